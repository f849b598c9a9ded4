/* export: publishes read models into a file or another database. */
#include "cli/command.h"
#include "cli/exported.h"
#include "cli/fail.h"
#include "cli/progress.h"
#include "cli/publish.h"

#include <string.h>

typedef struct export_options {
    const char *format, *schema, *as, *decimals;
    cli_count generation, keep, wait_readers;
    int64_t wait_lock_ms;
    bool all, changes, full, replace, quiet, json;
} export_options;

#define AT(member) offsetof(export_options, member)
static const cli_option table[] = {
    {"all", NULL, "every live read model; then no NAME is given", CLI_FLAG, AT(all), 0, 0},
    {"format", "csv|jsonl|parquet|sqlite", "of a file, where its name does not say it", CLI_CHOICE, AT(format), 0,
     0},
    {"generation", "N", "of one NAME, instead of the live one", CLI_COUNT, AT(generation), 1, 0},
    {"decimals", "number|text", "SQLite: as numbers of up to 15 digits, or as texts (number)",
     CLI_CHOICE, AT(decimals), 0, 0},
    {"as", "view|table", "what the public name is in PostgreSQL (as before; view)", CLI_CHOICE, AT(as), 0, 0},
    {"schema", "NAME", "PostgreSQL: where the public names are (public)", CLI_TEXT, AT(schema), 0,
     0},
    {"changes", NULL, "PostgreSQL: fail rather than copy all rows", CLI_FLAG, AT(changes), 0, 0},
    {"full", NULL, "PostgreSQL: copy all rows also where few differ", CLI_FLAG, AT(full), 0, 0},
    {"keep", "N", "PostgreSQL: tables of generations that stay, with the published one (2)",
     CLI_COUNT, AT(keep), 1, 1000},
    {"wait-readers", "SECONDS", "PostgreSQL: for queries that read the old rows (60)", CLI_COUNT,
     AT(wait_readers), 1, 86400},
    {"replace", NULL, "also what stands in the way, as a refusal before named it", CLI_FLAG,
     AT(replace), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while another export publishes there", CLI_WAIT,
     AT(wait_lock_ms), 0, 0},
    {"quiet", NULL, "no progress", CLI_FLAG, AT(quiet), 0, 0},
    {"json", NULL, "the report as one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static rf_status print_json(const rf_export_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_exported_json(&json, report);
    return cli_json_finish(&json, err);
}

static rf_export_options make_options(const export_options *given)
{
    return (rf_export_options){
        .format = given->format,
        .generation = given->generation.value,
        .replace = given->replace,
        .decimals_text = given->decimals && strcmp(given->decimals, "text") == 0,
        .schema = given->schema,
        .as = cli_export_as(given->as),
        .changes_only = given->changes,
        .load_all = given->full,
        .keep = (uint32_t)given->keep.value,
        .wait_readers_s = (uint32_t)given->wait_readers.value,
        .run = {.workers_default = true, .wait_lock_ms = given->wait_lock_ms},
    };
}

static rf_status export_names(rf_store *store, const cli_call *call, rf_export_report **report_out,
                              rf_err *err)
{
    const export_options *given = call->options;
    uint32_t count = call->operand_count - 2;
    const char *target = call->operands[count + 1];
    rf_export_options options = make_options(given);
    cli_names all = {0};
    cli_progress progress;
    rf_status status = RF_OK;

    if (given->all)
        status = cli_names_of_all(store, &all, err);
    if (status == RF_OK && given->all && all.count == 0)
        status = cli_fail(err, RF_ERR_ABSENT, "no read model is live");
    cli_progress_start(&progress, given->quiet, &options.run);
    if (status == RF_OK)
        status = rf_export(store, given->all ? (const char *const *)all.items : call->operands + 1,
                           given->all ? all.count : count, target, &options, report_out, err);
    cli_progress_end(&progress);
    cli_names_free(&all);
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const export_options *given = call->options;
    rf_export_report *report = NULL;
    rf_store *store = NULL;

    if (given->all != (call->operand_count == 2))
        return cli_fail(err, RF_ERR_USAGE,
                        given->all ? "--all takes no NAME" : "too few arguments: NAME and URL|FILE");
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = export_names(store, call, &report, err);
    rf_store_close(store);
    if (status == RF_OK && given->json)
        status = print_json(report, err);
    else if (status == RF_OK)
        cli_exported_print(report);
    rf_export_report_free(report);
    return status;
}

const cli_command cli_export = {
    .name = "export",
    .operands = "STORE NAME...|--all URL|FILE",
    .summary = "Publishes the rows of NAME into a database or a file.",
    .details =
        "postgresql://...: a view NAME over a table of this generation, changed in one\n"
        "transaction for all NAMEs, with a row of refold_published.models for each. Rows that are\n"
        "there already are not copied again, and where few differ only these are sent. Versions beside\n"
        "the live one are shown too: NAME_v3 is NAME@3, which may also be named by itself.\n"
        "FILE.sqlite or sqlite:PATH: a finished SQLite file with a table for each NAME.\n"
        "FILE.csv is CSV by RFC 4180, FILE.jsonl is JSON Lines, as scan prints them, FILE.parquet is\n"
        "written where DuckDB's library is found (libduckdb.so, or REFOLD_DUCKDB_LIBRARY): one\n"
        "NAME each. A file appears whole, or stays what it was.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(export_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
