/* bench: replay throughput by number of workers, with the floor beside it. */
#include "cli/bench_html.h"
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_options {
    bool allow_missing, quiet, json;
    cli_list workers;
    cli_count runs, memory;
    const char *html, *evolution;
    int64_t wait_lock_ms;
} bench_options;

#define AT(member) offsetof(bench_options, member)
static const cli_option table[] = {
    {"workers", "LIST", "numbers of workers, such as 0,1,2; 0 is in line (up to the processors)",
     CLI_LIST, AT(workers), 0, 0},
    {"runs", "N", "counted replays for each number of workers (5)", CLI_COUNT, AT(runs), 1,
     RF_BENCH_RUNS_MAX},
    {"memory", "BYTES", "budget for states and buffers, such as 512M (256M)", CLI_BYTES, AT(memory),
     1 << 20, 0},
    {"html", "FILE", "also a page with charts that needs nothing beside it", CLI_TEXT, AT(html), 0,
     0},
    {"evolution", "FILE", "Lua file of renames and upcasters, for plugins", CLI_TEXT,
     AT(evolution), 0, 0},
    {"allow-missing", NULL, "types and fields that never occurred are only noted", CLI_FLAG,
     AT(allow_missing), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while a rebuild runs", CLI_WAIT, AT(wait_lock_ms), 0, 0},
    {"quiet", NULL, "no progress", CLI_FLAG, AT(quiet), 0, 0},
    {"json", NULL, "the report as one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

/* ---- json ---- */

static void json_seconds(cli_json *json, const char *name, const double *seconds, uint32_t count)
{
    cli_json_open(json, name, '[');
    for (uint32_t i = 0; i < count; i++)
        cli_json_number(json, NULL, seconds[i]);
    cli_json_close(json, ']');
}

static void json_case(cli_json *json, const rf_bench_report *report, const rf_bench_case *at)
{
    cli_json_open(json, NULL, '{');
    cli_json_count(json, "workers", at->workers);
    cli_json_number(json, "median", at->median);
    cli_json_number(json, "fastest", at->fastest);
    cli_json_number(json, "slowest", at->slowest);
    cli_json_number(json, "events_per_second", at->events_per_second);
    cli_json_number(json, "payload_bytes_per_second", at->payload_bytes_per_second);
    cli_json_count(json, "bytes_decoded", report->bytes_decoded);
    cli_json_number(json, "speedup", at->speedup);
    cli_json_number(json, "floor", at->floor_median);
    cli_json_number(json, "floor_ratio", at->floor_ratio);
    if (at->memory_peak)
        cli_json_count(json, "memory_peak", at->memory_peak);
    else
        cli_json_text(json, "memory_peak", NULL);
    cli_json_open(json, "shares", '{');
    cli_json_number(json, "decode", at->shares.decode);
    cli_json_number(json, "fold", at->shares.fold);
    cli_json_number(json, "emit", at->shares.emit);
    cli_json_number(json, "write", at->shares.write);
    cli_json_number(json, "seal", at->shares.seal);
    cli_json_number(json, "idle", at->shares.idle);
    cli_json_close(json, '}');
    json_seconds(json, "seconds", at->seconds, report->runs);
    json_seconds(json, "floor_seconds", at->floor_seconds, report->runs);
    cli_json_close(json, '}');
}

static void json_projection(cli_json *json, const rf_bench_projection *projection)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", projection->name);
    cli_json_count(json, "version", projection->version);
    cli_json_count(json, "rows", projection->rows);
    cli_json_count(json, "events", projection->events);
    cli_json_count(json, "bytes", projection->bytes);
    cli_json_text(json, "digest", projection->digest);
    cli_json_close(json, '}');
}

static rf_status print_json(const rf_bench_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "refold", RF_VERSION);
    cli_json_time(&json, "measured_at", report->measured_at);
    cli_json_open(&json, "machine", '{');
    cli_json_text(&json, "processor", report->processor);
    cli_json_count(&json, "processors", report->processors);
    cli_json_count(&json, "memory", report->machine_memory);
    cli_json_text(&json, "system", report->system);
    cli_json_number(&json, "load", report->load);
    cli_json_close(&json, '}');
    cli_json_text(&json, "store", report->store);
    cli_json_count(&json, "position", report->position);
    cli_json_count(&json, "events", report->events);
    cli_json_count(&json, "streams", report->streams);
    cli_json_count(&json, "partitions", report->partitions);
    cli_json_count(&json, "payload_bytes", report->payload_bytes);
    cli_json_count(&json, "log_bytes", report->log_bytes);
    cli_json_count(&json, "memory", report->memory_bytes);
    cli_json_count(&json, "runs", report->runs);
    cli_json_count(&json, "warm_up_runs", 1);
    cli_json_count(&json, "baseline_workers", report->baseline_workers);
    cli_json_count(&json, "bytes_decoded", report->bytes_decoded);
    cli_json_count(&json, "bytes_written", report->bytes_written);
    cli_json_open(&json, "projections", '[');
    for (uint32_t i = 0; i < report->projection_count; i++)
        json_projection(&json, &report->projections[i]);
    cli_json_close(&json, ']');
    cli_json_open(&json, "cases", '[');
    for (uint32_t i = 0; i < report->case_count; i++)
        json_case(&json, report, &report->cases[i]);
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

/* ---- text ---- */

__attribute__((format(printf, 2, 3))) static void cell(cli_table *cells, const char *format, ...)
{
    char text[CLI_NUMBER_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_table_cell(cells, text);
}

static rf_status no_table(rf_err *err)
{
    return cli_fail(err, RF_ERR_MEMORY, "out of memory for a table");
}

static void print_head(const rf_bench_report *report)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    for (uint32_t i = 0; i < report->projection_count; i++) {
        const rf_bench_projection *projection = &report->projections[i];
        cli_print("%s version %u: %s rows of %s events, %s\n", projection->name,
                  projection->version, cli_format_count(projection->rows, a),
                  cli_format_count(projection->events, b), cli_format_bytes(projection->bytes, c));
    }
    cli_print("log: %s events in %s streams, %s of payload", cli_format_count(report->events, a),
              cli_format_count(report->streams, b), cli_format_bytes(report->payload_bytes, c));
    cli_print("; a replay decodes %s and writes %s\n", cli_format_bytes(report->bytes_decoded, a),
              cli_format_bytes(report->bytes_written, b));
    cli_print("store: ");
    cli_print_safe((rf_slice){report->store, strlen(report->store)});
    cli_print("; refold %s\nmachine: %s, %u processor%s, ", RF_VERSION, report->processor,
              report->processors, cli_plural(report->processors));
    cli_print("%s, %s, load %.1f\n", cli_format_bytes(report->machine_memory, a), report->system,
              report->load);
    cli_print("%u run%s each, in turns, after a warm-up that is not counted\n\n", report->runs,
              cli_plural(report->runs));
}

static rf_status print_times(const rf_bench_report *report, rf_err *err)
{
    static const char *const names[] = {"workers",  "median",     "fastest",  "slowest",
                                        "events/s", "MB/s",       "speed-up", "floor",
                                        "by floor", "peak memory"};
    cli_table *cells = cli_table_new("rrrrrrrrrr");
    if (!cells)
        return no_table(err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cli_table_cell(cells, names[i]);
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_case *at = &report->cases[i];
        cell(cells, "%u", at->workers);
        cell(cells, "%.3f s", at->median);
        cell(cells, "%.3f s", at->fastest);
        cell(cells, "%.3f s", at->slowest);
        cli_table_count(cells, (uint64_t)at->events_per_second);
        cell(cells, "%.0f", at->payload_bytes_per_second / 1e6);
        cell(cells, "%.2f x", at->speedup);
        cell(cells, "%.3f s", at->floor_median);
        cell(cells, "%.2f x", at->floor_ratio);
        if (at->memory_peak)
            cli_table_bytes(cells, at->memory_peak);
        else
            cli_table_cell(cells, "unknown");
    }
    return cli_table_finish(cells, err);
}

static rf_status print_shares(const rf_bench_report *report, rf_err *err)
{
    static const char *const names[] = {"workers", "decode", "fold", "emit",
                                        "write",   "seal",   "idle"};
    cli_table *cells = cli_table_new("rrrrrrr");
    if (!cells)
        return no_table(err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cli_table_cell(cells, names[i]);
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_bench_shares *shares = &report->cases[i].shares;
        const double parts[] = {shares->decode, shares->fold, shares->emit,
                                shares->write,  shares->seal, shares->idle};
        cell(cells, "%u", report->cases[i].workers);
        for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++)
            cell(cells, "%.1f %%", 100 * parts[part]);
    }
    return cli_table_finish(cells, err);
}

static rf_status print_text(const rf_bench_report *report, rf_err *err)
{
    print_head(report);
    rf_status status = print_times(report, err);
    if (status != RF_OK)
        return status;
    cli_print("\nshares of the workers' time:\n");
    status = print_shares(report, err);
    cli_print("\nfloor: decoding the columns that are needed plus writing and fsyncing as many "
              "bytes,\nmeasured beside each replay. MB/s: of payload, 1 MB is 10^6 bytes. "
              "Speed-up: against\n%u worker%s. Peak memory: of the process, mapped files "
              "included.\n",
              report->baseline_workers, cli_plural(report->baseline_workers));
    return status;
}

/* ---- the command ---- */

static rf_status read_workers(const cli_list *list, uint32_t workers_out[CLI_LIST_MAX], rf_err *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        size_t digits = strspn(item, "0123456789");
        if (digits == 0 || digits > 4 || item[digits] != '\0')
            return cli_fail(err, RF_ERR_USAGE, "--workers takes numbers such as 0,1,2, not '%s'",
                            item);
        workers_out[i] = (uint32_t)strtoul(item, NULL, 10);
    }
    return RF_OK;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* How to measure the same elsewhere: without the folders of this machine. */
static rf_text *make_command(const cli_call *call, const rf_bench_report *report)
{
    rf_text *text = rf_text_new();
    char piece[64];
    for (uint32_t i = 0; text && i < call->operand_count; i++) {
        const char *part = last_part(call->operands[i]);
        rf_text_append(text, i == 0 ? RF_SLICE("refold bench ") : RF_SLICE(" "));
        rf_text_append(text, (rf_slice){part, strlen(part)});
    }
    for (uint32_t i = 0; text && i < report->case_count; i++) {
        snprintf(piece, sizeof piece, "%s%u", i == 0 ? " --workers " : ",",
                 report->cases[i].workers);
        rf_text_append(text, (rf_slice){piece, strlen(piece)});
    }
    snprintf(piece, sizeof piece, " --runs %u", report->runs);
    if (text) {
        rf_text_append(text, (rf_slice){piece, strlen(piece)});
        rf_text_append(text, (rf_slice){"", 1});
    }
    return text;
}

static rf_status write_page(cli_page *page, const cli_call *call,
                            const rf_bench_report *report, rf_err *err)
{
    rf_text *command = make_command(call, report);
    if (!command)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for the page");
    rf_status status = rf_text_check(command, err);
    if (status == RF_OK)
        status = cli_bench_page_write(page, report, rf_text_bytes(command).data, err);
    rf_text_free(command);
    return status;
}

static rf_status measure(const cli_call *call, rf_bench_report **report_out, rf_err *err)
{
    const bench_options *given = call->options;
    uint32_t workers[CLI_LIST_MAX];
    rf_store *store = NULL;
    rf_status status = read_workers(&given->workers, workers, err);
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status != RF_OK)
        return status;
    rf_bench_options options = {
        .workers = workers,
        .worker_count = given->workers.count,
        .runs = (uint32_t)given->runs.value,
        .allow_missing = given->allow_missing,
        .evolution = given->evolution,
        .memory_bytes = given->memory.value,
        .run = {.wait_lock_ms = given->wait_lock_ms},
    };
    cli_progress progress;
    cli_progress_start(&progress, given->quiet, &options.run);
    status =
        rf_bench(store, call->operands + 1, call->operand_count - 1, &options, report_out, err);
    cli_progress_end(&progress);
    rf_store_close(store);
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const bench_options *given = call->options;
    cli_page page = CLI_PAGE_NONE;
    rf_bench_report *report = NULL;
    rf_status status = given->html ? cli_page_begin(&page, given->html, "nothing was measured", err) : RF_OK;
    if (status == RF_OK)
        status = measure(call, &report, err);
    if (status == RF_OK)
        status = given->json ? print_json(report, err) : print_text(report, err);
    if (status == RF_OK && given->html)
        status = write_page(&page, call, report, err);
    cli_page_end(&page);
    rf_bench_report_free(report);
    return status;
}

const cli_command cli_bench = {
    .name = "bench",
    .operands = "STORE PROJECTION...",
    .summary = "Measures replays by number of workers, beside the machine's floor.",
    .details =
        "A replay does what a rebuild does from the first event to the sealed files, fsyncs\n"
        "included, in a scratch folder of the store; it changes nothing that is live and takes\n"
        "no generation. Checks come first as for a rebuild; a version that is live may be\n"
        "measured with other content. No rebuild can run meanwhile. One warm-up replay is not\n"
        "counted.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(bench_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
