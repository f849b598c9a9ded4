/* quarantine: what a generation left out, and the events that are put aside. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

typedef struct quarantine_options {
    cli_count generation;
    bool json;
} quarantine_options;

static const cli_option options_table[] = {
    {"generation", "N", "of this one instead of the live one", CLI_COUNT,
     offsetof(quarantine_options, generation), 1, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(quarantine_options, json), 0, 0},
};

static const char *cause_name(rf_cause cause)
{
    switch (cause) {
    case RF_CAUSE_SKIPPED:
        return "skipped";
    case RF_CAUSE_QUARANTINED:
        return "quarantined";
    case RF_CAUSE_ON_RECORD:
        return "on record";
    }
    return "?";
}

static const char *policy_name(rf_on_error on_error)
{
    switch (on_error) {
    case RF_ON_ERROR_STOP:
        return "stop";
    case RF_ON_ERROR_SKIP:
        return "skip";
    case RF_ON_ERROR_QUARANTINE:
        return "quarantine";
    }
    return "?";
}

static rf_status print_json(const char *name, const rf_quarantine *quarantine, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", name);
    cli_json_count(&json, "generation", quarantine->generation);
    cli_json_count(&json, "position", quarantine->position);
    cli_json_text(&json, "on_error", policy_name(quarantine->on_error));
    cli_json_count(&json, "skipped", quarantine->skipped);
    cli_json_count(&json, "quarantined", quarantine->quarantined);
    cli_json_count(&json, "on_record", quarantine->on_record);
    cli_json_open(&json, "items", '[');
    for (uint32_t i = 0; i < quarantine->item_count; i++) {
        const rf_quarantine_item *item = &quarantine->items[i];
        cli_json_open(&json, NULL, '{');
        cli_json_count(&json, "position", item->left_out.position);
        cli_json_text(&json, "cause",
                      item->left_out.cause == RF_CAUSE_ON_RECORD ? "on_record"
                                                                 : cause_name(item->left_out.cause));
        cli_json_slice(&json, "stream", item->left_out.stream);
        cli_json_slice(&json, "type", item->left_out.type);
        cli_json_slice(&json, "reason", item->left_out.reason);
        cli_json_bool(&json, "pending", item->pending);
        cli_json_bool(&json, "withdrawn", item->withdrawn);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static rf_status print_items(const rf_quarantine *quarantine, rf_err *err)
{
    static const char *const heads[] = {"position", "cause", "stream", "type", "reason", ""};
    cli_table *table = cli_table_new("rlllll");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        cli_table_cell(table, heads[i]);
    for (uint32_t i = 0; i < quarantine->item_count; i++) {
        const rf_quarantine_item *item = &quarantine->items[i];
        cli_table_count(table, item->left_out.position);
        cli_table_cell(table, cause_name(item->left_out.cause));
        cli_table_slice(table, item->left_out.stream);
        cli_table_slice(table, item->left_out.type);
        cli_table_slice(table, item->left_out.reason);
        cli_table_cell(table, item->withdrawn ? "until the next rebuild"
                              : item->pending ? "from the next rebuild on"
                                              : "");
    }
    return cli_table_finish(table, err);
}

static rf_status print_text(const char *name, const rf_quarantine *quarantine, rf_err *err)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    if (quarantine->generation) {
        cli_print("%s generation %llu: %s event%s skipped, ", name,
                  (unsigned long long)quarantine->generation,
                  cli_format_count(quarantine->skipped, a), cli_plural(quarantine->skipped));
        cli_print("%s quarantined with %s, %s event%s put aside on record\n",
                  cli_format_count(quarantine->quarantined, b),
                  quarantine->quarantined == 1 ? "its key" : "their keys", cli_format_count(quarantine->on_record, c),
                  cli_plural(quarantine->on_record));
    } else {
        cli_print("%s: no generation is live\n", name);
    }
    return quarantine->item_count ? print_items(quarantine, err) : RF_OK;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const quarantine_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    const rf_quarantine *quarantine = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_quarantine_list(store, name, given->generation.value, &quarantine, err);
    if (status == RF_OK)
        status = given->json ? print_json(name, quarantine, err)
                             : print_text(name, quarantine, err);
    rf_quarantine_free(quarantine);
    rf_store_close(store);
    return status;
}

const cli_command cli_quarantine = {
    .name = "quarantine",
    .operands = "STORE NAME",
    .summary = "What the live generation of NAME left out, and why.",
    .details = "Events that failed (rebuild --on-error skip), keys that were left out with the event\n"
               "that failed first (--on-error quarantine), and events put aside by skip.\n"
               "NAME@VERSION: what that version left out.\n",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(quarantine_options),
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
