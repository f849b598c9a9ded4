#include "cli/diff_html.h"

#include "cli/fail.h"
#include "cli/html.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

enum { CELL_SHOWN = 400 /* bytes of a value; what is longer is cut */ };

static const char style[] =
    ":root{--add:#1a7f37;--add-back:#e3f5e8;--remove:#b3261e;--remove-back:#fce8e6}\n"
    "@media (prefers-color-scheme:dark){:root{--add:#6fd58c;--add-back:#14301d;--remove:#ff9a8f;"
    "--remove-back:#3a1c19}}\n"
    ".scroll{overflow-x:auto}\n"
    "h3{font-size:14px;margin:20px 0 2px;overflow-wrap:anywhere}\n"
    "td{vertical-align:top}.cells td,.left{text-align:left;white-space:normal;"
    "overflow-wrap:anywhere}.cells th{text-align:left}\n"
    ".cells td:first-child{width:22%;color:var(--soft)}.cells{margin-top:4px;table-layout:fixed}\n"
    "del,ins{text-decoration:none;padding:1px 5px;border-radius:4px;"
    "-webkit-box-decoration-break:clone;box-decoration-break:clone}\n"
    "del{color:var(--remove);background:var(--remove-back)}"
    "ins{color:var(--add);background:var(--add-back)}\n"
    ".bar{display:flex;height:14px;border-radius:7px;overflow:hidden;background:var(--card);"
    "border:1px solid var(--line);margin:14px 0 4px}.bar i{display:block;min-width:0}\n"
    ".bar .a{background:var(--add)}.bar .r{background:var(--remove)}.bar .c{background:#d29922}\n"
    ".warn{border-left:3px solid #d29922;padding:4px 12px;background:var(--card)}\n";

const char *cli_diff_kind(const rf_reader_column *column, char out[CLI_KIND_SIZE])
{
    static const char *const names[] = {
        [RF_INT] = "int",   [RF_FLOAT] = "float", [RF_BOOL] = "bool", [RF_TEXT] = "text",
        [RF_TIME] = "time", [RF_DATE] = "date",   [RF_JSON] = "json", [RF_DECIMAL] = "decimal"};

    if (column->kind == RF_DECIMAL)
        (void)snprintf(out, CLI_KIND_SIZE, "decimal(%u)", (unsigned)column->scale);
    else
        (void)snprintf(out, CLI_KIND_SIZE, "%s", names[column->kind]);
    return out;
}

/* A JSON value, cut between characters where it is long. */
static void put_json(rf_text *page, const char *json)
{
    char shown[CELL_SHOWN + 8];
    size_t size = strlen(json);

    if (size > CELL_SHOWN) {
        size = CELL_SHOWN;
        while (size > 0 && ((unsigned char)json[size] & 0xc0) == 0x80)
            size--;
        (void)snprintf(shown, sizeof shown, "%.*s", (int)size, json);
        cli_html_value(page, shown);
        cli_html_put(page, "&hellip;");
        return;
    }
    cli_html_value(page, json);
}

static void put_side(rf_text *page, const char *what, const rf_reader_info *info, uint64_t live)
{
    char number[CLI_NUMBER_SIZE];

    cli_html_put(page, "<tr><td>%s</td><td>%llu%s</td><td>%u</td>", what,
                 (unsigned long long)info->generation, info->generation == live ? " (live)" : "",
                 info->version);
    cli_html_put(page, "<td>%s</td>", cli_format_count(info->position, number));
    cli_html_put(page, "<td>%s</td><td><code>%s</code></td></tr>\n",
                 cli_format_count(info->rows, number), info->digest);
}

static void put_head(rf_text *page, const rf_diff_report *report)
{
    cli_page_head(page);
    cli_html_put(page, "<title>refold diff: ");
    cli_html_value(page, report->name);
    cli_html_put(page, "</title>\n");
    cli_page_style(page, (rf_slice){style, sizeof style - 1});
    cli_html_put(page, "<h1>");
    cli_html_value(page, report->name);
    cli_html_put(page,
                 ": generation %llu &rarr; %llu</h1>\n<p class=\"soft\">%s</p>\n",
                 (unsigned long long)report->before->generation,
                 (unsigned long long)report->after->generation,
                 report->same                                 ? "Both have the same rows."
                 : report->before->generation == report->live ? "What a swap to it would change."
                 : report->after->generation == report->live  ? "What is live, against another one."
                                                              : "Neither of them is live.");
    if (report->before->position != report->after->position)
        cli_html_put(page, "<p class=\"warn\">They are at different positions, so the events in "
                           "between are among the differences; <code>--catch-up</code> brings the one "
                           "that is behind to the other first.</p>\n");
    if (!report->same_keys)
        cli_html_put(page, "<p class=\"warn\">Their keys have other parts: no row of one is a row of "
                           "the other.</p>\n");
}

static void put_tile(rf_text *page, uint64_t count, const char *what)
{
    char number[CLI_NUMBER_SIZE];

    cli_html_put(page, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n",
                 cli_format_count(count, number), what);
}

static void put_tiles(rf_text *page, const rf_diff_report *report)
{
    const uint64_t *counts = report->counts;
    double all = (double)(report->before->rows + counts[RF_DIFF_ADD]);

    cli_html_put(page, "<div class=\"tiles\">\n");
    put_tile(page, counts[RF_DIFF_ADD], "rows added");
    put_tile(page, counts[RF_DIFF_REMOVE], "rows removed");
    put_tile(page, counts[RF_DIFF_CHANGE], "rows changed");
    put_tile(page, report->unchanged, "rows as they were");
    cli_html_put(page, "</div>\n");
    if (all > 0)
        cli_html_put(page,
                     "<div class=\"bar\" role=\"img\" aria-label=\"shares of the rows\">"
                     "<i class=\"a\" style=\"width:%.3f%%\"></i><i class=\"r\" "
                     "style=\"width:%.3f%%\"></i><i class=\"c\" style=\"width:%.3f%%\"></i></div>\n"
                     "<p class=\"note\">of all rows of both: added green, removed red, changed "
                     "yellow</p>\n",
                     100 * (double)counts[RF_DIFF_ADD] / all,
                     100 * (double)counts[RF_DIFF_REMOVE] / all,
                     100 * (double)counts[RF_DIFF_CHANGE] / all);
}

static void put_kinds(rf_text *page, const rf_diff_column *column)
{
    char before[CLI_KIND_SIZE], after[CLI_KIND_SIZE];

    if (!column->before)
        cli_html_put(page, "<ins>%s, added</ins>", cli_diff_kind(column->after, after));
    else if (!column->after)
        cli_html_put(page, "<del>%s, removed</del>", cli_diff_kind(column->before, before));
    else if (strcmp(cli_diff_kind(column->before, before), cli_diff_kind(column->after, after)) != 0)
        cli_html_put(page, "<del>%s</del> <ins>%s</ins>", before, after);
    else
        cli_html_put(page, "%s", after);
}

static void put_columns(rf_text *page, const rf_diff_report *report)
{
    char number[CLI_NUMBER_SIZE];

    cli_html_put(page, "<h2>Columns</h2>\n<div class=\"scroll\"><table>\n<tr><th>column</th>"
                       "<th class=\"left\">kind</th><th>rows in which it changed</th>"
                       "<th class=\"left\">for example</th></tr>\n");
    for (uint32_t i = 0; i < report->column_count; i++) {
        const rf_diff_column *column = &report->columns[i];
        cli_html_put(page, "<tr><td>");
        cli_html_value(page, column->name);
        cli_html_put(page, "</td><td class=\"left\">");
        put_kinds(page, column);
        cli_html_put(page, "</td><td>%s</td><td class=\"left\">",
                     column->before && column->after ? cli_format_count(column->changed, number)
                                                     : "");
        if (column->example_key) {
            put_json(page, column->example_key);
            cli_html_put(page, ": <del>");
            put_json(page, column->example_before);
            cli_html_put(page, "</del> <ins>");
            put_json(page, column->example_after);
            cli_html_put(page, "</ins>");
        }
        cli_html_put(page, "</td></tr>\n");
    }
    cli_html_put(page, "</table></div>\n");
}

static void put_sample(rf_text *page, const rf_diff_sample *sample)
{
    cli_html_put(page, "<h3>");
    put_json(page, sample->key);
    cli_html_put(page, "</h3>\n<table class=\"cells\">\n");
    for (uint32_t i = 0; i < sample->cell_count; i++) {
        const rf_diff_cell *cell = &sample->cells[i];
        cli_html_put(page, "<tr><td>");
        cli_html_value(page, cell->column);
        cli_html_put(page, "</td><td>");
        if (cell->before) {
            cli_html_put(page, "<del>");
            put_json(page, cell->before);
            cli_html_put(page, "</del> ");
        }
        if (cell->after) {
            cli_html_put(page, "<ins>");
            put_json(page, cell->after);
            cli_html_put(page, "</ins>");
        }
        cli_html_put(page, "</td></tr>\n");
    }
    cli_html_put(page, "</table>\n");
}

static void put_samples(rf_text *page, const rf_diff_report *report)
{
    static const char *const titles[RF_DIFF_OPS] = {"added", "removed", "changed"};
    static const rf_diff_op order[] = {RF_DIFF_CHANGE, RF_DIFF_ADD, RF_DIFF_REMOVE};
    char number[CLI_NUMBER_SIZE];

    for (uint32_t k = 0; k < RF_DIFF_OPS; k++) {
        rf_diff_op op = order[k];
        if (report->sample_counts[op] == 0)
            continue;
        cli_html_put(page, "<h2>Rows %s</h2>\n<p class=\"note\">the first %u of %s</p>\n", titles[op],
                     report->sample_counts[op], cli_format_count(report->counts[op], number));
        for (uint32_t i = 0; i < report->sample_counts[op]; i++)
            put_sample(page, &report->samples[op][i]);
    }
}

rf_status cli_diff_page_write(cli_page *page, const rf_diff_report *report, const char *command,
                              rf_err *err)
{
    rf_text *text = rf_text_new();

    if (!text)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for the page");
    put_head(text, report);
    put_tiles(text, report);
    put_columns(text, report);
    put_samples(text, report);
    cli_html_put(text, "<h2>What was compared</h2>\n<div class=\"scroll\"><table>\n<tr><th></th>"
                       "<th>generation</th><th>version</th><th>position</th><th>rows</th>"
                       "<th>digest of the rows</th></tr>\n");
    put_side(text, "before", report->before, report->live);
    put_side(text, "after", report->after, report->live);
    cli_html_put(text, "</table></div>\n<pre>");
    cli_html_value(text, command);
    cli_html_put(text, "</pre>\n<p class=\"note\">refold %s</p>\n", RF_VERSION);
    cli_page_foot(text);
    rf_status status = cli_page_write(page, text, err);
    rf_text_free(text);
    return status;
}
