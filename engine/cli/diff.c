/* diff: what differs between two generations. */
#include "cli/command.h"
#include "cli/diff_html.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 /* bytes of a value in a line */ };

typedef struct diff_options {
    bool rows, exit_code, catch_up, json;
    const char *html;
    cli_count samples, workers;
    int64_t wait_lock_ms;
} diff_options;

#define AT(member) offsetof(diff_options, member)
static const cli_option table[] = {
    {"rows", NULL, "each row that differs, as JSON Lines in key order", CLI_FLAG, AT(rows), 0, 0},
    {"samples", "N", "rows shown of each kind of change (3)", CLI_COUNT, AT(samples), 0,
     RF_DIFF_SAMPLES_MAX},
    {"html", "FILE", "also a page for review that needs nothing beside it", CLI_TEXT, AT(html), 0, 0},
    {"exit-code", NULL, "exit 4 if anything differs", CLI_FLAG, AT(exit_code), 0, 0},
    {"catch-up", NULL, "first bring the one that is behind to the other's position", CLI_FLAG,
     AT(catch_up), 0, 0},
    {"wait-lock", "[SECONDS]", "with --catch-up: wait while another run has the lock", CLI_WAIT,
     AT(wait_lock_ms), 0, 0},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT, AT(workers),
     0, 256},
    {"json", NULL, "the report as one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static const char *const op_names[RF_DIFF_OPS] = {"add", "remove", "change"};
static const char *const op_words[RF_DIFF_OPS] = {"added", "removed", "changed"};

/* ---- rows ---- */

static rf_status print_row(void *arg, const rf_diff_change *change, rf_err *err)
{
    rf_text *text = arg;
    const char *op = op_names[change->op];

    rf_text_clear(text);
    rf_text_append(text, RF_SLICE("{\"op\":\""));
    rf_text_append(text, (rf_slice){op, strlen(op)});
    rf_text_append(text, RF_SLICE("\",\"key\":"));
    rf_text_append_key_json(text,
                            change->before.values ? change->before_info : change->after_info,
                            change->before.key);
    cli_append_row(text, ",\"old\":", change->before_info, &change->before);
    cli_append_row(text, ",\"new\":", change->after_info, &change->after);
    rf_text_append(text, RF_SLICE("}\n"));
    rf_status status = rf_text_check(text, err);
    if (status != RF_OK)
        return status;
    cli_print_bytes(rf_text_bytes(text));
    return cli_output_failed() ? cli_fail(err, RF_ERR_IO, "standard output cannot be written") : RF_OK;
}

/* ---- JSON ---- */

static void print_json_side(cli_json *json, const char *name, const rf_reader_info *info,
                            uint64_t live)
{
    cli_json_open(json, name, '{');
    cli_json_count(json, "generation", info->generation);
    cli_json_bool(json, "live", info->generation == live);
    cli_json_count(json, "version", info->version);
    cli_json_count(json, "position", info->position);
    cli_json_count(json, "rows", info->rows);
    cli_json_text(json, "digest", info->digest);
    cli_json_close(json, '}');
}

static void print_json_column(cli_json *json, const rf_diff_column *column)
{
    char kind[CLI_KIND_SIZE];

    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", column->name);
    cli_json_text(json, "old_kind", column->before ? cli_diff_kind(column->before, kind) : NULL);
    cli_json_text(json, "new_kind", column->after ? cli_diff_kind(column->after, kind) : NULL);
    cli_json_count(json, "changed", column->changed);
    if (column->example_key) {
        cli_json_open(json, "example", '{');
        cli_json_raw(json, "key", column->example_key);
        cli_json_raw(json, "old", column->example_before);
        cli_json_raw(json, "new", column->example_after);
        cli_json_close(json, '}');
    }
    cli_json_close(json, '}');
}

static void print_json_sample(cli_json *json, const rf_diff_sample *sample)
{
    cli_json_open(json, NULL, '{');
    cli_json_raw(json, "key", sample->key);
    cli_json_open(json, "columns", '{');
    for (uint32_t i = 0; i < sample->cell_count; i++) {
        const rf_diff_cell *cell = &sample->cells[i];
        cli_json_open(json, cell->column, '{');
        if (cell->before)
            cli_json_raw(json, "old", cell->before);
        if (cell->after)
            cli_json_raw(json, "new", cell->after);
        cli_json_close(json, '}');
    }
    cli_json_close(json, '}');
    cli_json_close(json, '}');
}

static rf_status print_json(const rf_diff_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);

    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", report->name);
    print_json_side(&json, "old", report->before, report->live);
    print_json_side(&json, "new", report->after, report->live);
    cli_json_bool(&json, "same", report->same);
    cli_json_bool(&json, "same_columns", report->same_columns);
    cli_json_bool(&json, "same_keys", report->same_keys);
    for (int op = 0; op < RF_DIFF_OPS; op++)
        cli_json_count(&json, op_words[op], report->counts[op]);
    cli_json_count(&json, "unchanged", report->unchanged);
    cli_json_number(&json, "seconds", report->seconds);
    cli_json_open(&json, "columns", '[');
    for (uint32_t i = 0; i < report->column_count; i++)
        print_json_column(&json, &report->columns[i]);
    cli_json_close(&json, ']');
    cli_json_open(&json, "samples", '{');
    for (int op = 0; op < RF_DIFF_OPS; op++) {
        cli_json_open(&json, op_words[op], '[');
        for (uint32_t i = 0; i < report->sample_counts[op]; i++)
            print_json_sample(&json, &report->samples[op][i]);
        cli_json_close(&json, ']');
    }
    cli_json_close(&json, '}');
    return cli_json_finish(&json, err);
}

/* ---- text ---- */

/* A JSON value, cut between characters where it is long. */
static void print_value(const char *json)
{
    size_t size = strlen(json);
    bool cut = size > SHOWN;

    if (cut)
        size = SHOWN;
    while (cut && size > 0 && ((unsigned char)json[size] & 0xc0) == 0x80)
        size--;
    cli_print_safe((rf_slice){json, size});
    if (cut)
        cli_print("...");
}

static void print_side(const char *what, const rf_reader_info *info, uint64_t live)
{
    char position[CLI_NUMBER_SIZE], rows[CLI_NUMBER_SIZE];

    cli_print("  %s  generation %llu%s, version %u, position %s, %s row%s\n", what,
              (unsigned long long)info->generation, info->generation == live ? " (live)" : "",
              info->version, cli_format_count(info->position, position),
              cli_format_count(info->rows, rows), cli_plural(info->rows));
}

static void describe_column(const rf_diff_column *column, char out[3 * CLI_KIND_SIZE])
{
    char before[CLI_KIND_SIZE], after[CLI_KIND_SIZE];

    if (!column->before)
        (void)snprintf(out, 3 * CLI_KIND_SIZE, "%s, added", cli_diff_kind(column->after, after));
    else if (!column->after)
        (void)snprintf(out, 3 * CLI_KIND_SIZE, "%s, removed", cli_diff_kind(column->before, before));
    else if (strcmp(cli_diff_kind(column->before, before), cli_diff_kind(column->after, after)) != 0)
        (void)snprintf(out, 3 * CLI_KIND_SIZE, "%s -> %s", before, after);
    else
        (void)snprintf(out, 3 * CLI_KIND_SIZE, "%s", after);
}

static rf_status print_columns(const rf_diff_report *report, rf_err *err)
{
    cli_table *columns = cli_table_new("llrl");

    if (!columns)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for a table");
    for (uint32_t i = 0; i < report->column_count; i++) {
        const rf_diff_column *column = &report->columns[i];
        char kind[3 * CLI_KIND_SIZE], name[80];
        bool both = column->before && column->after;
        describe_column(column, kind);
        (void)snprintf(name, sizeof name, "  %s", column->name);
        cli_table_cell(columns, name);
        cli_table_cell(columns, kind);
        if (both)
            cli_table_count(columns, column->changed);
        else
            cli_table_cell(columns, "");
        cli_table_cell(columns, !both ? "" : column->changed == 1 ? "row changed" : "rows changed");
    }
    return cli_table_finish(columns, err);
}

static void print_sample(rf_diff_op op, const rf_diff_sample *sample)
{
    cli_print("%s ", op_words[op]);
    print_value(sample->key);
    cli_print("\n");
    for (uint32_t i = 0; i < sample->cell_count; i++) {
        const rf_diff_cell *cell = &sample->cells[i];
        cli_print("    %s: ", cell->column);
        if (cell->before)
            print_value(cell->before);
        if (cell->before && cell->after)
            cli_print(" -> ");
        if (cell->after)
            print_value(cell->after);
        cli_print("\n");
    }
}

static rf_status print_text(const rf_diff_report *report, rf_err *err)
{
    static const rf_diff_op order[] = {RF_DIFF_CHANGE, RF_DIFF_ADD, RF_DIFF_REMOVE};
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE], d[CLI_NUMBER_SIZE];

    cli_print("%s\n", report->name);
    print_side("old", report->before, report->live);
    print_side("new", report->after, report->live);
    if (report->before->position != report->after->position)
        cli_print("  they are at different positions: the events in between are among the "
                  "differences (--catch-up)\n");
    if (!report->same_keys)
        cli_print("  their keys have other parts: no row of one is a row of the other\n");
    cli_print("%s added, %s removed, %s changed, %s as they were\n",
              cli_format_count(report->counts[RF_DIFF_ADD], a),
              cli_format_count(report->counts[RF_DIFF_REMOVE], b),
              cli_format_count(report->counts[RF_DIFF_CHANGE], c),
              cli_format_count(report->unchanged, d));
    if (report->same)
        return RF_OK;
    rf_status status = print_columns(report, err);
    for (uint32_t k = 0; status == RF_OK && k < RF_DIFF_OPS; k++)
        for (uint32_t i = 0; i < report->sample_counts[order[k]]; i++)
            print_sample(order[k], &report->samples[order[k]][i]);
    return status;
}

/* ---- the command ---- */

/* A version, "@3", is left to be found when the store is open. */
static rf_status take_generation(const char *text, uint64_t *number_out, rf_err *err)
{
    char *end = NULL;

    if (*text == '@')
        return RF_OK;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || number == 0)
        return cli_fail(err, RF_ERR_USAGE, "'%s' is neither a number of a generation nor a version, like @3", text);
    *number_out = number;
    return RF_OK;
}

static rf_status make_options(const cli_call *call, rf_text *text, rf_diff_options *options,
                              rf_err *err)
{
    const diff_options *given = call->options;
    rf_status status = RF_OK;

    if (call->operand_count == 3)
        return cli_fail(err, RF_ERR_USAGE, "OLD and NEW are given both, or neither");
    if (given->rows && given->html)
        return cli_fail(err, RF_ERR_USAGE, "--rows and --html exclude each other");
    if (given->rows && given->samples.given)
        return cli_fail(err, RF_ERR_USAGE, "--rows has all rows: not with --samples");
    *options = (rf_diff_options){
        .catch_up = given->catch_up,
        .samples = given->rows            ? 0
                   : given->samples.given ? (uint32_t)given->samples.value
                                          : RF_DIFF_SAMPLES_DEFAULT,
        .visit = given->rows ? print_row : NULL,
        .visit_arg = text,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given,
                .wait_lock_ms = given->wait_lock_ms,
                .cancel = cli_interrupt_flag()},
    };
    if (call->operand_count == 4) {
        status = take_generation(call->operands[2], &options->before, err);
        if (status == RF_OK)
            status = take_generation(call->operands[3], &options->after, err);
    }
    return status;
}

static rf_status find_version(rf_store *store, const char *name, const char *text,
                              uint64_t *number_out, rf_err *err)
{
    char named[128];

    if (*text != '@')
        return RF_OK;
    if (snprintf(named, sizeof named, "%s%s", name, text) >= (int)sizeof named)
        return cli_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    return rf_generation_find(store, named, number_out, err);
}

static rf_status find_versions(rf_store *store, const cli_call *call, rf_diff_options *options,
                               rf_err *err)
{
    const char *name = call->operands[1];

    if (call->operand_count < 4)
        return RF_OK;
    rf_status status = find_version(store, name, call->operands[2], &options->before, err);
    return status == RF_OK ? find_version(store, name, call->operands[3], &options->after, err)
                           : status;
}

static rf_status write_page(cli_page *page, const cli_call *call, const rf_diff_report *report,
                            rf_err *err)
{
    char command[512];

    (void)snprintf(command, sizeof command, "refold diff %s %s %llu %llu", call->operands[0],
                   report->name, (unsigned long long)report->before->generation,
                   (unsigned long long)report->after->generation);
    return cli_diff_page_write(page, report, command, err);
}

static rf_status compare(const cli_call *call, rf_text *text, cli_page *page, rf_err *err)
{
    const diff_options *given = call->options;
    rf_diff_report *report = NULL;
    rf_store *store = NULL;
    rf_diff_options options;

    rf_status status = make_options(call, text, &options, err);
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = find_versions(store, call, &options, err);
    if (status == RF_OK)
        status = rf_diff(store, call->operands[1], &options, &report, err);
    if (status == RF_OK && given->html)
        status = write_page(page, call, report, err);
    if (status == RF_OK && !given->rows)
        status = given->json ? print_json(report, err) : print_text(report, err);
    if (status == RF_OK && given->exit_code && !report->same)
        status = cli_fail(err, RF_ERR_REFUSED, "%s: generations %llu and %llu differ", report->name,
                          (unsigned long long)report->before->generation,
                          (unsigned long long)report->after->generation);
    rf_diff_report_free(report);
    rf_store_close(store);
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const diff_options *given = call->options;
    cli_page page = CLI_PAGE_NONE;
    rf_text *text = rf_text_new();

    rf_status status = text ? RF_OK : cli_fail(err, RF_ERR_MEMORY, "out of memory");
    if (status == RF_OK && given->html)
        status = cli_page_begin(&page, given->html, "nothing was compared", err);
    if (status == RF_OK)
        status = compare(call, text, &page, err);
    cli_page_end(&page);
    rf_text_free(text);
    return status;
}

const cli_command cli_diff = {
    .name = "diff",
    .operands = "STORE NAME [OLD NEW]",
    .summary = "Compares two generations: rows added, removed and changed, column by column.",
    .details =
        "OLD and NEW are numbers of generations, or versions (@3 @4). Without them it is the live one\n"
        "against the newest younger one, which swap would take; if there is none, the one live before,\n"
        "which rollback would take, against the live one. NAME@VERSION is compared with the live one.\n\n"
        "Columns are compared by name: one that only one side has is told once and makes no row a\n"
        "changed one; where its kind is another, ints and decimals are compared by value. Nothing is\n"
        "changed: where the two are at different positions that is told, and --catch-up brings the one\n"
        "that is behind to the other, with its own definition.\n\n"
        "--rows prints {\"op\":\"add|remove|change\",\"key\":K,\"old\":{...},\"new\":{...}}, one a line;\n"
        "old or new is null where there is no such row. --exit-code: 0 same, 4 different (1 is a\n"
        "failure, as everywhere).\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(diff_options),
    .operands_min = 2,
    .operands_max = 4,
    .orderly = true,
    .run = run,
};
