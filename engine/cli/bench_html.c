#include "cli/bench_html.h"

#include "cli/bench_charts.h"
#include "cli/fail.h"
#include "cli/html.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

/* The fills of the shares carry dark figures in both modes. */
static const char style[] =
    ":root{--replay:#2f6fdd;--on-replay:#fff;--floor:#a9b4c0;--dot:#0b2a63;--ideal:#c2410c}\n"
    "@media (prefers-color-scheme:dark){:root{--replay:#6ea2f7;--on-replay:#0b1a33;--floor:#56616d;"
    "--dot:#e3edff;--ideal:#fb9a5b}}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);"
    "margin:6px 0 4px}\n"
    ".legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;"
    "vertical-align:-1px}\n"
    ".legend "
    "i.run{border-radius:50%;width:8px;height:8px;background:var(--dot);vertical-align:1px}\n"
    ".legend i.ideal{height:0;width:16px;border-top:2px dashed var(--ideal);border-radius:0;"
    "background:none;vertical-align:4px}\n"
    ".scroll{overflow-x:auto}svg{display:block;width:100%;min-width:420px;height:auto}\n"
    "svg text{fill:var(--ink);font-size:13px}svg .tick{fill:var(--soft);font-size:12px}\n"
    "svg .value{font-weight:600}svg .figure{fill:var(--on-replay);font-weight:600}\n"
    "svg .part{fill:#1b1f24;font-size:12px}\n"
    ".grid{stroke:var(--line)}.axis{stroke:var(--soft)}\n"
    ".ideal{stroke:var(--ideal);stroke-width:2;stroke-dasharray:5 4}\n"
    ".run{fill:var(--dot);fill-opacity:.75;stroke:var(--paper);stroke-width:1}\n"
    ".spread{stroke:var(--ink);stroke-width:1.5;fill:none}\n"
    ".replay{fill:var(--replay);background:var(--replay)}.floor{fill:var(--floor);"
    "background:var(--floor)}\n"
    ".decode{fill:#8cc0f2;background:#8cc0f2}.fold{fill:#f4cf7c;background:#f4cf7c}\n"
    ".emit{fill:#8ad8b6;background:#8ad8b6}.write{fill:#dcb4e6;background:#dcb4e6}\n"
    ".seal{fill:#f3a58f;background:#f3a58f}.idle{fill:#ccd3da;background:#ccd3da}\n"
    "@media (max-width:640px){svg text{font-size:16px}svg .tick{font-size:15px}"
    "svg .part{font-size:15px}}\n"
    "@media print{svg{break-inside:avoid}}\n";

/* Of the fastest number of workers. */
static const rf_bench_case *best_of(const rf_bench_report *report)
{
    const rf_bench_case *best = &report->cases[0];

    for (uint32_t i = 1; i < report->case_count; i++)
        if (report->cases[i].median < best->median)
            best = &report->cases[i];
    return best;
}

static void put_names(rf_text *page, const rf_bench_report *report)
{
    for (uint32_t i = 0; i < report->projection_count; i++) {
        cli_html_put(page, "%s", i == 0 ? "" : i + 1 < report->projection_count ? ", " : " and ");
        cli_html_value(page, report->projections[i].name);
    }
}

static void put_head(rf_text *page, const rf_bench_report *report)
{
    char number[CLI_NUMBER_SIZE];

    cli_page_head(page);
    cli_html_put(page, "<title>refold bench: ");
    put_names(page, report);
    cli_html_put(page, "</title>\n");
    cli_page_style(page, (rf_slice){style, sizeof style - 1});
    cli_html_put(page, "<h1>Replay of ");
    put_names(page, report);
    cli_html_put(page, "</h1>\n<p class=\"soft\">%s events, ",
                 cli_format_count(report->events, number));
    cli_html_put(page, "%s streams, ", cli_format_count(report->streams, number));
    cli_html_put(page, "%s of payload &middot; ", cli_format_bytes(report->payload_bytes, number));
    cli_html_value(page, report->processor);
    cli_html_put(page, ", %u processor%s</p>\n", report->processors,
                 cli_plural(report->processors));
}

static void put_tiles(rf_text *page, const rf_bench_report *report)
{
    const rf_bench_case *best = best_of(report);
    char number[CLI_NUMBER_SIZE], brief[CLI_SHORT_SIZE], workers[CLI_SHORT_SIZE];

    cli_html_put(page,
                 "<div class=\"tiles\">\n"
                 "<div class=\"tile\"><b>%s</b><span>events a second, %s</span></div>\n",
                 cli_bench_short(best->events_per_second, brief),
                 cli_bench_workers(best->workers, workers));
    cli_html_put(page,
                 "<div class=\"tile\"><b>%s</b><span>from the log to sealed read models"
                 "</span></div>\n",
                 cli_format_seconds(best->median, number));
    cli_html_put(page,
                 "<div class=\"tile\"><b>%.2f &times;</b><span>the floor of this machine"
                 "</span></div>\n",
                 best->floor_ratio);
    if (best->workers != report->baseline_workers)
        cli_html_put(page,
                     "<div class=\"tile\"><b>%.2f &times;</b><span>the speed of %s</span></div>\n",
                     best->speedup, cli_bench_workers(report->baseline_workers, workers));
    cli_html_put(page, "<div class=\"tile\"><b>%s</b><span>peak memory</span></div>\n</div>\n",
                 best->memory_peak ? cli_format_bytes(best->memory_peak, number) : "unknown");
}

static void put_charts(rf_text *page, const rf_bench_report *report)
{
    char workers[CLI_SHORT_SIZE];

    cli_html_put(page,
                 "<h2>Throughput</h2>\n<div class=\"legend\"><span><i class=\"replay\"></i>median, "
                 "events a second</span><span><i class=\"run\"></i>each of %u run%s</span><span>"
                 "<i class=\"ideal\"></i>perfect scaling from %s</span></div>\n",
                 report->runs, cli_plural(report->runs),
                 cli_bench_workers(report->baseline_workers, workers));
    cli_bench_chart_throughput(page, report);
    cli_html_put(page,
                 "<h2>Beside the floor</h2>\n<p class=\"note\">The floor is measured right after "
                 "each replay: decoding the columns that the projections need, plus writing and "
                 "fsyncing as many bytes as the replay wrote, with "
                 "as many workers. No fold of this log can do without these.</p>\n"
                 "<div class=\"legend\"><span><i class=\"replay\"></i>replay: median, with the "
                 "fastest and slowest run</span><span><i class=\"floor\"></i>floor: median</span>"
                 "</div>\n");
    cli_bench_chart_floor(page, report);
    cli_html_put(page, "<h2>Where the time goes</h2>\n<div class=\"legend\">"
                       "<span><i class=\"decode\"></i>decode columns</span>"
                       "<span><i class=\"fold\"></i>fold events</span>"
                       "<span><i class=\"emit\"></i>emit rows</span>"
                       "<span><i class=\"write\"></i>write</span>"
                       "<span><i class=\"seal\"></i>seal (fsync)</span>"
                       "<span><i class=\"idle\"></i>idle</span></div>\n");
    cli_bench_chart_shares(page, report);
    cli_html_put(page, "<p class=\"note\">Shares of all workers' time. One thread seals: the other "
                       "workers are idle meanwhile.</p>\n");
}

/* What the chart has no room to say of thin slices. */
static void put_shares(rf_text *page, const rf_bench_report *report)
{
    char workers[CLI_SHORT_SIZE];

    cli_html_put(page, "<div class=\"scroll\"><table>\n<tr><th>share of the workers' time</th>"
                       "<th>decode</th><th>fold</th><th>emit</th><th>write</th><th>seal</th>"
                       "<th>idle</th></tr>\n");
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_shares *shares = &report->cases[i].shares;
        cli_html_put(page,
                     "<tr><td>%s</td><td>%.1f %%</td><td>%.1f %%</td><td>%.1f %%</td>"
                     "<td>%.1f %%</td><td>%.1f %%</td><td>%.1f %%</td></tr>\n",
                     cli_bench_workers(report->cases[i].workers, workers), 100 * shares->decode,
                     100 * shares->fold, 100 * shares->emit, 100 * shares->write,
                     100 * shares->seal, 100 * shares->idle);
    }
    cli_html_put(page, "</table></div>\n");
}

static void put_figures(rf_text *page, const rf_bench_report *report)
{
    char number[CLI_NUMBER_SIZE];

    cli_html_put(page,
                 "<h2>All figures</h2>\n<div class=\"scroll\"><table>\n<tr><th>workers</th>"
                 "<th>median</th><th>fastest</th><th>slowest</th><th>events/s</th>"
                 "<th>payload MB/s</th><th>speed-up</th><th>floor</th><th>replay by floor</th>"
                 "<th>peak memory</th></tr>\n");
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_case *at = &report->cases[i];
        char workers[CLI_SHORT_SIZE];
        cli_html_put(page,
                     "<tr><td>%s</td><td>%.3f s</td><td>%.3f s</td><td>%.3f s</td><td>%s</td>",
                     cli_bench_workers(at->workers, workers), at->median, at->fastest, at->slowest,
                     cli_format_count((uint64_t)at->events_per_second, number));
        cli_html_put(
            page, "<td>%.0f</td><td>%.2f</td><td>%.3f s</td><td>%.2f</td><td>%s</td></tr>\n",
            at->payload_bytes_per_second / 1e6, at->speedup, at->floor_median, at->floor_ratio,
            at->memory_peak ? cli_format_bytes(at->memory_peak, number) : "unknown");
    }
    cli_html_put(page, "</table></div>\n");
    put_shares(page, report);
    cli_html_put(page, "<div class=\"scroll\"><table>\n<tr><th>projection</th>"
                       "<th>version</th><th>rows</th><th>events</th><th>written</th>"
                       "<th>digest of the rows</th></tr>\n");
    for (uint32_t i = 0; i < report->projection_count; i++) {
        const rf_bench_projection *projection = &report->projections[i];
        cli_html_put(page, "<tr><td>");
        cli_html_value(page, projection->name);
        cli_html_put(page, "</td><td>%u</td><td>%s</td>", projection->version,
                     cli_format_count(projection->rows, number));
        cli_html_put(page, "<td>%s</td>", cli_format_count(projection->events, number));
        cli_html_put(page, "<td>%s</td><td><code>%s</code></td></tr>\n",
                     cli_format_bytes(projection->bytes, number), projection->digest);
    }
    cli_html_put(page, "</table></div>\n");
}

static void put_term(rf_text *page, const char *term, const char *value)
{
    cli_html_put(page, "<dt>%s</dt><dd>", term);
    cli_html_value(page, value);
    cli_html_put(page, "</dd>\n");
}

static void put_circumstances(rf_text *page, const rf_bench_report *report, const char *command)
{
    char number[CLI_NUMBER_SIZE], line[256];

    cli_html_put(page, "<h2>How it was measured</h2>\n<dl>\n");
    snprintf(line, sizeof line, "%.120s, %u processor%s, %s", report->processor, report->processors,
             cli_plural(report->processors), cli_format_bytes(report->machine_memory, number));
    put_term(page, "machine", line);
    snprintf(line, sizeof line, "%.120s; load %.1f when the bench began", report->system,
             report->load);
    put_term(page, "system", line);
    put_term(page, "refold", RF_VERSION);
    cli_html_put(page, "<dt>date</dt><dd>");
    rf_text_append_time(page, report->measured_at / 1000000 * 1000000);
    cli_html_put(page, "</dd>\n");
    const char *slash = strrchr(report->store, '/');
    put_term(page, "store", slash && slash[1] ? slash + 1 : report->store);
    cli_html_put(page, "<dt>log</dt><dd>%s events, ", cli_format_count(report->events, number));
    cli_html_put(page, "%s on disk, ", cli_format_bytes(report->log_bytes, number));
    cli_html_put(page, "%u partition%s</dd>\n", report->partitions, cli_plural(report->partitions));
    cli_html_put(page, "<dt>a replay</dt><dd>decodes %s of columns and ",
                 cli_format_bytes(report->bytes_decoded, number));
    cli_html_put(page, "writes %s</dd>\n", cli_format_bytes(report->bytes_written, number));
    put_term(page, "budget", cli_format_bytes(report->memory_bytes, number));
    cli_html_put(page,
                 "<dt>runs</dt><dd>%u for each number of workers, in turns, after one warm-up "
                 "replay that is not counted</dd>\n</dl>\n<pre>",
                 report->runs);
    cli_html_value(page, command);
    cli_html_put(
        page, "</pre>\n<p class=\"note\">A replay is what a rebuild does from the first event to "
              "sealed files, by the same code and with the same fsyncs; checks, gates, catalog "
              "and swap are left out, and nothing live was touched. All replays gave the same "
              "digests. Peak memory is the largest resident set of the process, pages of mapped "
              "files included. 1 MB is 10<sup>6</sup> bytes, 1 MiB is 2<sup>20</sup>.</p>\n");
    cli_page_foot(page);
}

rf_status cli_bench_page_write(cli_page *page, const rf_bench_report *report, const char *command,
                               rf_err *err)
{
    rf_text *text = rf_text_new();

    if (!text)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for the page");
    put_head(text, report);
    put_tiles(text, report);
    put_charts(text, report);
    put_figures(text, report);
    put_circumstances(text, report, command);
    rf_status status = cli_page_write(page, text, err);
    rf_text_free(text);
    return status;
}
