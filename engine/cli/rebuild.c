/* rebuild: checks, folds, seals and swaps in. */
#include "cli/command.h"
#include "cli/exported.h"
#include "cli/fail.h"
#include "cli/findings.h"
#include "cli/interrupt.h"
#include "cli/kept.h"
#include "cli/metrics.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/publish.h"

#include <string.h>
#include <time.h>

typedef struct rebuild_options {
    bool all, no_swap, full, allow_missing, dev, independent, if_changed, summary, quiet, json;
    cli_count workers, memory, keep, min_rows, max_errors;
    const char *on_error, *unknown;
    cli_share max_removed;
    cli_moment until;
    int64_t wait_lock_ms;
    const char *evolution, *publish, *schema, *as, *metrics, *expect_keys;
    cli_share max_changed;
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
    {"full", NULL, "fold the whole log, also where few events are new", CLI_FLAG, AT(full), 0, 0},
    {"keep", "N", "generations that stay, the live one counted (3)", CLI_COUNT, AT(keep), 1,
     UINT32_MAX},
    {"min-rows", "N", "gate: refuse fewer rows (1)", CLI_COUNT, AT(min_rows), 0, 0},
    {"max-removed", "SHARE", "gate: refuse if more of the live rows are gone (50%)", CLI_SHARE,
     AT(max_removed), 0, 0},
    {"max-changed", "SHARE", "gate: refuse if more rows differ, as a share of the live ones",
     CLI_SHARE, AT(max_changed), 0, 0},
    {"expect-keys", "FILE", "gate: refuse if a key of it, one a line, has no row", CLI_TEXT,
     AT(expect_keys), 0, 0},
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
    {"publish", "URL|FILE", "publish what is live then, as export does", CLI_TEXT, AT(publish), 0,
     0},
    {"schema", "NAME", "with --publish, PostgreSQL: where the public names are (public)", CLI_TEXT,
     AT(schema), 0, 0},
    {"as", "view|table", "with --publish, PostgreSQL: what the public name is (as before; view)",
     CLI_CHOICE, AT(as), 0, 0},
    {"metrics", "FILE", "write what came of it as metrics for Prometheus, after a failure too",
     CLI_TEXT, AT(metrics), 0, 0},
    {"summary", NULL, "the report as one line", CLI_FLAG, AT(summary), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while another rebuild runs", CLI_WAIT, AT(wait_lock_ms), 0, 0},
    {"quiet", NULL, "no progress", CLI_FLAG, AT(quiet), 0, 0},
    {"json", NULL, "the report as one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static rf_status print_json_projection(cli_json *json, rf_store *store, const rf_rebuilt *rebuilt,
                                       rf_err *err)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "name", rebuilt->name);
    cli_json_count(json, "version", rebuilt->version);
    cli_json_count(json, "generation", rebuilt->generation);
    cli_json_count(json, "position", rebuilt->position);
    cli_json_count(json, "rows", rebuilt->rows);
    cli_json_count(json, "events", rebuilt->events);
    cli_json_count(json, "folded", rebuilt->folded);
    cli_json_text(json, "digest", rebuilt->digest);
    cli_json_bool(json, "live", rebuilt->live);
    cli_json_bool(json, "reused", rebuilt->reused);
    cli_json_bool(json, "merged", rebuilt->merged);
    cli_json_count(json, "bytes", rebuilt->bytes);
    cli_json_count(json, "generation_before", rebuilt->generation_before);
    cli_json_count(json, "rows_before", rebuilt->rows_before);
    cli_json_count(json, "rows_added", rebuilt->rows_added);
    cli_json_count(json, "rows_removed", rebuilt->rows_removed);
    cli_json_count(json, "skipped", rebuilt->skipped);
    cli_json_count(json, "quarantined", rebuilt->quarantined);
    cli_json_count(json, "on_record", rebuilt->on_record);
    cli_json_count(json, "events_without_key", rebuilt->events_without_key);
    rf_status status = cli_kept_json(json, store, rebuilt->name, err);
    cli_json_close(json, '}');
    return status;
}

struct outcome {
    rf_store *store;
    const char *store_path; /* as it was given */
    rf_rebuild_report *rebuilt;
    rf_export_report *published;
};

static rf_status print_json(const struct outcome *outcome, rf_err *err)
{
    const rf_rebuild_report *report = outcome->rebuilt;
    const rf_export_report *published = outcome->published;
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "position", report->position);
    cli_json_count(&json, "workers", report->workers);
    if (report->set)
        cli_json_count(&json, "set", report->set);
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
    cli_json_number(&json, "discarded", report->timings.discarded);
    cli_json_close(&json, '}');
    cli_json_open(&json, "projections", '[');
    for (uint32_t i = 0; status == RF_OK && i < report->projection_count; i++)
        status = print_json_projection(&json, outcome->store, &report->projections[i], err);
    cli_json_close(&json, ']');
    cli_findings_json(&json, report->findings, report->finding_count);
    if (published) {
        cli_json_open(&json, "published", '{');
        cli_exported_json(&json, published);
        cli_json_close(&json, '}');
    }
    if (status == RF_OK)
        return cli_json_finish(&json, err);
    cli_json_abandon(&json);
    return status;
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
    if (rebuilt->reused)
        cli_print("  %s event%s that came since folded, %s\n", cli_format_count(rebuilt->folded, a),
                  cli_plural(rebuilt->folded),
                  rebuilt->merged ? "and merged with the rows that were live"
                                  : "beside the base files that were live");
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
static rf_status print_text(const struct outcome *outcome, const char *told, rf_err *err)
{
    const rf_rebuild_report *report = outcome->rebuilt;
    rf_status status = RF_OK;
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    cli_findings_print(report->findings, report->finding_count, !told, told);
    for (uint32_t i = 0; i < report->projection_count; i++)
        print_projection(&report->projections[i]);
    if (!report->projection_count) /* refused before anything was built */
        return RF_OK;
    for (uint32_t i = 0; status == RF_OK && i < report->projection_count; i++)
        if (report->projections[i].live)
            status = cli_kept_print(outcome->store, outcome->store_path,
                                    report->projections[i].name, err);
    cli_print("%s event%s in %s", cli_format_count(report->events, a), cli_plural(report->events),
              cli_format_seconds(report->seconds, b));
    if (report->projections[0].reused) { /* all are, and most events were not looked at */
        cli_print(", %u worker%s\n", report->workers, cli_plural(report->workers));
        return status;
    }
    cli_print(": %s events/s, ", cli_format_rate(report->events, report->seconds, c));
    cli_print("%s decoded, %u worker%s\n", cli_format_bytes(report->bytes_decoded, a),
              report->workers, cli_plural(report->workers));
    if (report->timings.discarded > 0)
        cli_print("  %s of it discarded: stored rows tell too little to go on from, so all was folded\n",
                  cli_format_seconds(report->timings.discarded, a));
    return status;
}

/* For a log that has a line a night. */
static void print_summary(const rf_rebuild_report *report, const rf_export_report *published)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    cli_print("%s event%s in %s:", cli_format_count(report->events, a),
              cli_plural(report->events), cli_format_seconds(report->seconds, b));
    for (uint32_t i = 0; i < report->projection_count; i++) {
        const rf_rebuilt *rebuilt = &report->projections[i];
        cli_print("%s %s generation %llu %s, ", i ? ";" : "", rebuilt->name,
                  (unsigned long long)rebuilt->generation, rebuilt->live ? "live" : "not live");
        cli_print("%s row%s (+%s ", cli_format_count(rebuilt->rows, a), cli_plural(rebuilt->rows),
                  cli_format_count(rebuilt->rows_added, b));
        cli_print("-%s)", cli_format_count(rebuilt->rows_removed, c));
    }
    if (published) {
        cli_print("; published to ");
        cli_print_safe((rf_slice){published->target, strlen(published->target)});
        cli_print(" in %s", cli_format_seconds(published->seconds, a));
    }
    cli_print("\n");
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
    if (given->publish && given->no_swap)
        return cli_fail(err, RF_ERR_USAGE, "--publish takes what is live: not with --no-swap");
    if (!given->publish && (given->schema || given->as))
        return cli_fail(err, RF_ERR_USAGE, "--schema and --as go with --publish");
    if (given->summary && given->json)
        return cli_fail(err, RF_ERR_USAGE, "--summary and --json exclude each other");
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
        .gates = {.min_rows = given->min_rows.value,
                  .has_min_rows = given->min_rows.given,
                  .max_removed = given->max_removed.value,
                  .has_max_removed = given->max_removed.given,
                  .max_changed = given->max_changed.value,
                  .has_max_changed = given->max_changed.given,
                  .expect_keys = given->expect_keys},
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

static bool any_row_changed(const rf_export_report *published)
{
    for (uint32_t i = 0; published && i < published->model_count; i++)
        if (published->models[i].way != RF_EXPORT_SAME)
            return true;
    return false;
}

static cli_publication publication_of(const rebuild_options *given)
{
    return (cli_publication){.target = given->publish, .schema = given->schema, .as = given->as};
}

/* Behind a rebuild that is done or had nothing to do: last time publishing may have failed. */
static rf_status publish(const cli_call *call, rf_run run, rf_status rebuilt,
                         struct outcome *outcome, rf_err *err)
{
    const rebuild_options *given = call->options;
    const cli_publication publication = publication_of(given);
    cli_progress progress; /* its own, as its seconds begin anew */
    cli_names names = {0};
    rf_err nothing = *err;

    rf_status status = cli_names_of_run(outcome->rebuilt, &names, err);
    cli_progress_start(&progress, given->quiet, &run);
    if (status == RF_OK)
        status = cli_publish(outcome->store, &names, &publication, &run, rebuilt == RF_OK,
                             &outcome->published, err);
    cli_progress_end(&progress);
    cli_names_free(&names);
    if (status == RF_OK && rebuilt == RF_ERR_NOTHING && !any_row_changed(outcome->published)) {
        *err = nothing;
        return rebuilt;
    }
    return status;
}

static rf_status print(const rebuild_options *given, const struct outcome *outcome,
                       rf_status status, rf_err *err)
{
    if (!outcome->rebuilt && outcome->published && status == RF_OK)
        cli_exported_print(outcome->published);
    if (!outcome->rebuilt)
        return RF_OK;
    rf_err unused;
    if (given->json)
        return print_json(outcome, status == RF_OK ? err : &unused);
    if (given->summary && status == RF_OK) {
        print_summary(outcome->rebuilt, outcome->published);
        return RF_OK;
    }
    rf_status printed = print_text(outcome, status != RF_OK ? err->message : NULL,
                                   status == RF_OK ? err : &unused);
    if (outcome->published)
        cli_exported_print(outcome->published);
    return printed;
}

static rf_status rebuild(const cli_call *call, struct outcome *outcome, rf_err *err)
{
    const rebuild_options *given = call->options;
    const cli_publication publication = publication_of(given);
    uint32_t named = call->operand_count - 1;
    cli_progress progress;

    rf_status status = rf_store_open(call->operands[0], NULL, &outcome->store, err);
    if (status == RF_OK && given->publish)
        status = cli_publish_check(outcome->store, &publication, given->all, named, err);
    if (status != RF_OK)
        return status;
    rf_rebuild_options options = make_options(given);
    cli_progress_start(&progress, given->quiet, &options.run);
    status = rf_rebuild(outcome->store, call->operands + 1, named, &options, &outcome->rebuilt, err);
    cli_progress_end(&progress);
    bool unchanged = status == RF_ERR_NOTHING;
    if (given->publish && (status == RF_OK || unchanged))
        status = publish(call, options.run, status, outcome, err);
    if (unchanged) { /* that report told what to publish; nothing was rebuilt */
        rf_rebuild_report_free(outcome->rebuilt);
        outcome->rebuilt = NULL;
    }
    /* The report of a refused rebuild is printed too; the refusal stays the status. */
    rf_status print_status = print(given, outcome, status, err);
    return status == RF_OK ? print_status : status;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const rebuild_options *given = call->options;
    struct outcome outcome = {.store_path = call->operands[0]};
    double start = seconds_now();

    rf_status status = check_usage(call, err);
    if (status != RF_OK)
        return status;
    status = rebuild(call, &outcome, err);
    if (given->metrics) {
        rf_err metrics_err;
        const cli_run facts = {
            .store = outcome.store,
            .store_path = call->operands[0],
            .exit_code = status == RF_ERR_INTERRUPTED ? cli_interrupt_exit_code()
                                                      : rf_status_exit_code(status),
            .seconds = seconds_now() - start,
            .rebuilt = outcome.rebuilt,
            .published = outcome.published,
        };
        rf_status written = cli_metrics_write(given->metrics, &facts, &metrics_err);
        if (written != RF_OK && status == RF_OK) {
            *err = metrics_err;
            status = written;
        }
    }
    rf_export_report_free(outcome.published);
    rf_rebuild_report_free(outcome.rebuilt);
    rf_store_close(outcome.store);
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
        "and what was live stays live: the line says which gate, and how to look and to go on.\n"
        "With --publish the new generations are then published as export does it, and\n"
        "where --if-changed finds nothing, what is live is, unless it was: so a run makes up for\n"
        "one that could not reach the database.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(rebuild_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
