/* rebuild: checks, folds, seals and swaps in. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/findings.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <string.h>

typedef struct rebuild_options {
    bool all, no_swap, full, allow_missing, dev, independent, if_changed, quiet, json;
    cli_count workers, memory, keep, min_rows, max_errors;
    const char *on_error, *unknown;
    cli_share max_removed;
    cli_moment until;
    int64_t wait_lock_ms;
    const char *evolution;
} rebuild_options;

#define AT(member) offsetof(rebuild_options, member)
static const cli_option table[] = {
    {"all", NULL, "rebuild every live read model", CLI_FLAG, AT(all), 0, 0},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT, AT(workers),
     0, 1024},
    {"memory", "BYTES", "budget for states and buffers, such as 512M (256M)", CLI_BYTES, AT(memory),
     1 << 20, 0},
    {"no-swap", NULL, "build and seal; swap makes it live later", CLI_FLAG, AT(no_swap), 0, 0},
    {"until", "POSITION|TIME", "fold up to here; needs --no-swap", CLI_MOMENT, AT(until), 0, 0},
    {"full", NULL, "read the whole log, reuse nothing", CLI_FLAG, AT(full), 0, 0},
    {"keep", "N", "generations that stay, the live one counted (3)", CLI_COUNT, AT(keep), 1,
     UINT32_MAX},
    {"min-rows", "N", "gate: refuse fewer rows (1)", CLI_COUNT, AT(min_rows), 0, 0},
    {"max-removed", "SHARE", "gate: refuse if more of the live rows are gone (50%)", CLI_SHARE,
     AT(max_removed), 0, 0},
    {"on-error", "stop|skip|quarantine",
     "an event that fails ends the rebuild (stop), or is left out, or its key", CLI_CHOICE, AT(on_error),
     0, 0},
    {"max-errors", "N", "fail all the same if more events fail (100)", CLI_COUNT, AT(max_errors), 0,
     RF_MAX_ERRORS_MAX},
    {"unknown", "stop|ignore",
     "a type without handler, where a projection says it handles all (stop)", CLI_CHOICE,
     AT(unknown), 0, 0},
    {"evolution", "FILE", "Lua file of renames and upcasters, for plugins", CLI_TEXT,
     AT(evolution), 0, 0},
    {"allow-missing", NULL, "types and fields that never occurred are only noted", CLI_FLAG,
     AT(allow_missing), 0, 0},
    {"dev", NULL, "accept a lower version, or the same one with other content", CLI_FLAG, AT(dev),
     0, 0},
    {"independent", NULL, "several projections swap one by one, not all together", CLI_FLAG,
     AT(independent), 0, 0},
    {"if-changed", NULL, "exit 3 if nothing changed since the live generations", CLI_FLAG,
     AT(if_changed), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while another rebuild runs", CLI_WAIT, AT(wait_lock_ms), 0, 0},
    {"quiet", NULL, "no progress", CLI_FLAG, AT(quiet), 0, 0},
    {"json", NULL, "the report as one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static void print_json_projection(cli_json *json, const rf_rebuilt *rebuilt)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", rebuilt->name);
    cli_json_count(json, "version", rebuilt->version);
    cli_json_count(json, "generation", rebuilt->generation);
    cli_json_count(json, "position", rebuilt->position);
    cli_json_count(json, "rows", rebuilt->rows);
    cli_json_count(json, "events", rebuilt->events);
    cli_json_text(json, "digest", rebuilt->digest);
    cli_json_bool(json, "live", rebuilt->live);
    cli_json_count(json, "bytes", rebuilt->bytes);
    cli_json_count(json, "generation_before", rebuilt->generation_before);
    cli_json_count(json, "rows_before", rebuilt->rows_before);
    cli_json_count(json, "rows_added", rebuilt->rows_added);
    cli_json_count(json, "rows_removed", rebuilt->rows_removed);
    cli_json_count(json, "skipped", rebuilt->skipped);
    cli_json_count(json, "quarantined", rebuilt->quarantined);
    cli_json_count(json, "on_record", rebuilt->on_record);
    cli_json_count(json, "events_without_key", rebuilt->events_without_key);
    cli_json_close(json, '}');
}

static rf_status print_json(const rf_rebuild_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "position", report->position);
    cli_json_count(&json, "workers", report->workers);
    cli_json_number(&json, "seconds", report->seconds);
    cli_json_count(&json, "events", report->events);
    cli_json_count(&json, "bytes_decoded", report->bytes_decoded);
    cli_json_open(&json, "timings", '{');
    cli_json_number(&json, "load", report->timings.load);
    cli_json_number(&json, "fold", report->timings.fold);
    cli_json_number(&json, "emit", report->timings.emit);
    cli_json_number(&json, "write", report->timings.write);
    cli_json_number(&json, "seal", report->timings.seal);
    cli_json_number(&json, "swap", report->timings.swap);
    cli_json_close(&json, '}');
    cli_json_open(&json, "projections", '[');
    for (uint32_t i = 0; i < report->projection_count; i++)
        print_json_projection(&json, &report->projections[i]);
    cli_json_close(&json, ']');
    cli_findings_json(&json, report->findings, report->finding_count);
    return cli_json_finish(&json, err);
}

static void print_left_out(const rf_rebuilt *rebuilt)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    if (!rebuilt->skipped && !rebuilt->quarantined && !rebuilt->on_record)
        return;
    cli_print("  left out: %s event%s that failed, ", cli_format_count(rebuilt->skipped, a),
              cli_plural(rebuilt->skipped));
    cli_print("%s with %s, %s event%s on record (see refold quarantine)\n",
              cli_format_count(rebuilt->quarantined, b),
              rebuilt->quarantined == 1 ? "its key" : "their keys",
              cli_format_count(rebuilt->on_record, c), cli_plural(rebuilt->on_record));
}

static void print_projection(const rf_rebuilt *rebuilt)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    cli_print("%s generation %llu: %s row%s of %s event%s, ", rebuilt->name,
              (unsigned long long)rebuilt->generation, cli_format_count(rebuilt->rows, a),
              cli_plural(rebuilt->rows), cli_format_count(rebuilt->events, b),
              cli_plural(rebuilt->events));
    cli_print("%s\n", cli_format_bytes(rebuilt->bytes, a));
    if (rebuilt->live)
        cli_print("  live at position %s", cli_format_count(rebuilt->position, a));
    else
        cli_print("  sealed at position %s, not live", cli_format_count(rebuilt->position, a));
    if (rebuilt->generation_before)
        cli_print("; before: generation %llu, %s row%s; added %s",
                  (unsigned long long)rebuilt->generation_before,
                  cli_format_count(rebuilt->rows_before, a), cli_plural(rebuilt->rows_before),
                  cli_format_count(rebuilt->rows_added, b));
    if (rebuilt->generation_before)
        cli_print(", removed %s", cli_format_count(rebuilt->rows_removed, a));
    cli_print("\n");
    print_left_out(rebuilt);
    if (rebuilt->events_without_key)
        cli_print("  %s event%s left out: without a key\n",
                  cli_format_count(rebuilt->events_without_key, a),
                  cli_plural(rebuilt->events_without_key));
}

/* `told`: the line of the failure; NULL: it is done. */
static void print_text(const rf_rebuild_report *report, const char *told)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    cli_findings_print(report->findings, report->finding_count, !told, told);
    for (uint32_t i = 0; i < report->projection_count; i++)
        print_projection(&report->projections[i]);
    if (!report->projection_count) /* refused before anything was built */
        return;
    cli_print("%s event%s in %s: %s events/s, ", cli_format_count(report->events, a),
              cli_plural(report->events), cli_format_seconds(report->seconds, b),
              cli_format_rate(report->events, report->seconds, c));
    cli_print("%s decoded, %u worker%s\n", cli_format_bytes(report->bytes_decoded, a),
              report->workers, cli_plural(report->workers));
}

static rf_on_error on_error_of(const char *given)
{
    if (given && strcmp(given, "skip") == 0)
        return RF_ON_ERROR_SKIP;
    return given && strcmp(given, "quarantine") == 0 ? RF_ON_ERROR_QUARANTINE : RF_ON_ERROR_STOP;
}

static rf_status check_usage(const cli_call *call, rf_err *err)
{
    const rebuild_options *given = call->options;
    bool named = call->operand_count > 1;
    if (given->max_errors.given && on_error_of(given->on_error) == RF_ON_ERROR_STOP)
        return cli_fail(err, RF_ERR_USAGE, "--max-errors goes with --on-error skip or quarantine");
    if (given->all && named)
        return cli_fail(err, RF_ERR_USAGE, "--all takes no PROJECTION");
    if (!given->all && !named)
        return cli_fail(err, RF_ERR_USAGE, "no PROJECTION given, nor --all");
    if (given->until.given && !given->no_swap)
        return cli_fail(err, RF_ERR_USAGE, "--until needs --no-swap");
    if (given->until.given && !given->until.is_time && !given->until.position)
        return cli_fail(err, RF_ERR_USAGE, "--until takes a position of 1 or more");
    return RF_OK;
}

static rf_rebuild_options make_options(const rebuild_options *given)
{
    return (rf_rebuild_options){
        .all = given->all,
        .no_swap = given->no_swap,
        .allow_missing = given->allow_missing,
        .evolution = given->evolution,
        .dev = given->dev,
        .independent = given->independent,
        .full = given->full,
        .if_changed = given->if_changed,
        .until = given->until.position,
        .until_time = given->until.time,
        .has_until_time = given->until.is_time,
        .keep = (uint32_t)given->keep.value,
        .min_rows = given->min_rows.value,
        .has_min_rows = given->min_rows.given,
        .max_removed = given->max_removed.value,
        .has_max_removed = given->max_removed.given,
        .on_error = on_error_of(given->on_error),
        .max_errors = given->max_errors.value,
        .has_max_errors = given->max_errors.given,
        .ignore_unknown = given->unknown && strcmp(given->unknown, "ignore") == 0,
        .memory_bytes = given->memory.value,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given,
                .wait_lock_ms = given->wait_lock_ms},
    };
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const rebuild_options *given = call->options;
    rf_store *store = NULL;
    rf_status status = check_usage(call, err);
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status != RF_OK)
        return status;
    rf_rebuild_options options = make_options(given);
    rf_rebuild_report *report = NULL;
    cli_progress progress;
    cli_progress_start(&progress, given->quiet, &options.run);
    status =
        rf_rebuild(store, call->operands + 1, call->operand_count - 1, &options, &report, err);
    cli_progress_end(&progress);
    rf_store_close(store);
    if (report) {
        /* The report of a refused rebuild is printed too; the refusal stays the status. */
        rf_status print_status = RF_OK;
        if (given->json)
            print_status = print_json(report, status == RF_OK ? err : &(rf_err){.status = RF_OK});
        else
            print_text(report, status != RF_OK ? err->message : NULL);
        status = status == RF_OK ? print_status : status;
    }
    rf_rebuild_report_free(report);
    return status;
}

const cli_command cli_rebuild = {
    .name = "rebuild",
    .operands = "STORE PROJECTION...|--all",
    .summary = "Builds new generations in parallel, checks them and swaps them in.",
    .details =
        "A path (projections/order_summary.so) deploys that definition; a name rebuilds the\n"
        "live read model with the definition that it keeps. Several projections share one\n"
        "pass over the log and swap together or not at all. Exit 4: a check or gate refused,\n"
        "and what was live stays live.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(rebuild_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
