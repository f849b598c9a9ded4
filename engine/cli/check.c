/* check: what a rebuild would read and trip over. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/findings.h"
#include "cli/kinds.h"
#include "cli/output.h"
#include "cli/table.h"

typedef struct check_options {
    const char *evolution;
    bool strict, json;
} check_options;

static const cli_option options_table[] = {
    {"evolution", "FILE", "Lua file of renames and upcasters, for plugins", CLI_TEXT,
     offsetof(check_options, evolution), 0, 0},
    {"strict", NULL, "exit 4 if there is any finding, also a note", CLI_FLAG,
     offsetof(check_options, strict), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(check_options, json), 0, 0},
};

static const char *kind_name(rf_kind kind)
{
    switch (kind) {
    case RF_INT:
        return "int";
    case RF_DECIMAL:
        return "decimal";
    case RF_FLOAT:
        return "float";
    case RF_BOOL:
        return "bool";
    case RF_TEXT:
        return "text";
    case RF_TIME:
        return "time";
    case RF_DATE:
        return "date";
    case RF_JSON:
        return "json";
    }
    return "?";
}

static cli_kinds kinds_of(const rf_check_field *field)
{
    return (cli_kinds){field->ints,   field->numbers, field->texts, field->bools,
                       field->arrays, field->objects, field->nulls};
}

static rf_status print_json(const rf_check_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "position", report->position);
    cli_json_count(&json, "events", report->events);
    cli_json_count(&json, "events_handled", report->events_handled);
    cli_json_bool(&json, "refused", report->refused);
    cli_json_count(&json, "bytes_to_read", report->bytes_to_read);
    cli_json_number(&json, "estimated_seconds", report->seconds);
    cli_json_count(&json, "workers", report->workers);
    cli_json_open(&json, "fields", '[');
    for (uint32_t i = 0; i < report->field_count; i++) {
        const rf_check_field *field = &report->fields[i];
        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "type", field->type);
        cli_json_text(&json, "path", field->path);
        cli_json_text(&json, "kind", kind_name(field->kind));
        cli_json_bool(&json, "optional", field->optional);
        cli_json_count(&json, "events", field->events);
        if (field->uncounted)
            cli_json_text(&json, "present", NULL);
        else
            cli_json_count(&json, "present", field->present);
        cli_kinds kinds = kinds_of(field);
        cli_json_open(&json, "kinds", '{');
        cli_kinds_json(&json, &kinds);
        cli_json_close(&json, '}');
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    cli_findings_json(&json, report->findings, report->finding_count);
    return cli_json_finish(&json, err);
}

/* `told`: the line of the failure; NULL: there is none. */
static rf_status print_text(const rf_check_report *report, const char *told, rf_err *err)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    cli_print("a rebuild would fold %s of %s events", cli_format_count(report->events_handled, a),
              cli_format_count(report->events, b));
    cli_print(" and read about %s, in about %s on %u worker%s\n",
              cli_format_bytes(report->bytes_to_read, a), cli_format_seconds(report->seconds, b),
              report->workers, cli_plural(report->workers));
    if (report->field_count) {
        static const char *const heads[] = {"type",   "field",   "declared", "",
                                            "events", "have it", "as"};
        cli_table *table = cli_table_new("llllrrl");
        for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
            cli_table_cell(table, heads[i]);
        for (uint32_t i = 0; i < report->field_count; i++) {
            const rf_check_field *field = &report->fields[i];
            cli_table_cell(table, field->type);
            cli_table_cell(table, field->path);
            cli_table_cell(table, kind_name(field->kind));
            cli_table_cell(table, field->optional ? "optional" : "");
            cli_table_count(table, field->events);
            cli_kinds kinds = kinds_of(field);
            if (field->uncounted)
                cli_table_cell(table, "?");
            else
                cli_share_cell(table, field->present, field->events);
            cli_kinds_cell(table, &kinds);
        }
        rf_status status = cli_table_finish(table, err);
        if (status != RF_OK)
            return status;
    }
    cli_findings_print(report->findings, report->finding_count, false, told);
    return RF_OK;
}

static rf_status judge(const rf_check_report *report, bool strict, rf_err *err)
{
    if (report->refused) {
        const char *refusal = cli_findings_refusal(report->findings, report->finding_count);
        return cli_fail(err, RF_ERR_REFUSED, "a rebuild would be refused: %s",
                        refusal ? refusal : "see above");
    }
    if (strict && report->finding_count)
        return cli_fail(err, RF_ERR_REFUSED, "%u finding%s, and --strict: %s",
                        report->finding_count, cli_plural(report->finding_count),
                        report->findings[0].text);
    return RF_OK;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const check_options *given = call->options;
    rf_store *store = NULL;
    rf_check_report *report = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_check(store, call->operands + 1, call->operand_count - 1, given->evolution,
                          &report, err);
    rf_err failure = {0};
    rf_status judged = status == RF_OK ? judge(report, given->strict, &failure) : RF_OK;
    const char *told = judged != RF_OK ? failure.message : NULL;
    if (status == RF_OK)
        status = given->json ? print_json(report, err) : print_text(report, told, err);
    if (status == RF_OK && judged != RF_OK) {
        status = judged;
        *err = failure;
    }
    rf_check_report_free(report);
    rf_store_close(store);
    return status;
}

const cli_command cli_check = {
    .name = "check",
    .operands = "STORE PROJECTION...",
    .summary = "What a rebuild would read and trip over; changes nothing.",
    .details = "Per declared field how many events have it, and in which kinds; findings, with the\n"
               "nearest name where one was misspelt; and about how many bytes and seconds it takes,\n"
               "from a sample of the log. Exit 4 if a rebuild would be refused.\n",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(check_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run,
};
