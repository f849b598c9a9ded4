/* gc: removes old generations and leftovers. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/kept.h"
#include "cli/output.h"

typedef struct gc_options {
    cli_count keep;
    int64_t wait_lock_ms;
    bool json;
} gc_options;

static const cli_option table[] = {
    {"keep", "N", "generations that stay, the live one counted (3)", CLI_COUNT,
     offsetof(gc_options, keep), 1, UINT32_MAX},
    {"wait-lock", "[SECONDS]", "wait while a rebuild runs", CLI_WAIT,
     offsetof(gc_options, wait_lock_ms), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(gc_options, json), 0, 0},
};

static rf_status print_json(rf_store *store, const char *name, const rf_gc_result *result,
                            rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "removed", result->removed);
    cli_json_count(&json, "in_use", result->in_use);
    cli_json_count(&json, "bytes", result->bytes);
    status = cli_kept_json(&json, store, name, err);
    if (status == RF_OK)
        return cli_json_finish(&json, err);
    cli_json_abandon(&json);
    return status;
}

static void print_text(const rf_gc_result *result)
{
    char bytes[CLI_NUMBER_SIZE];
    cli_print("%u generation%s removed, %s freed\n", result->removed, cli_plural(result->removed),
              cli_format_bytes(result->bytes, bytes));
    if (result->in_use)
        cli_print("%u kept because a reader holds %s\n", result->in_use,
                  result->in_use == 1 ? "it" : "them");
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const gc_options *given = call->options;
    const char *name = call->operand_count > 1 ? call->operands[1] : NULL;
    rf_store *store = NULL;
    rf_gc_result result = {0};
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_gc(store, name, (uint32_t)given->keep.value, given->wait_lock_ms, &result, err);
    if (status == RF_OK && given->json) {
        status = print_json(store, name, &result, err);
    } else if (status == RF_OK) {
        print_text(&result);
        status = cli_kept_print(store, call->operands[0], name, err);
    }
    rf_store_close(store);
    return status;
}

const cli_command cli_gc = {
    .name = "gc",
    .operands = "STORE [NAME]",
    .summary = "Removes old generations, of NAME or of all, and leftovers of interrupted runs.",
    .details = "The live generation and those that a reader holds are never removed. Nor are versions\n"
               "that a swap left, until they are retired, and what is pinned: these do not count, and\n"
               "are named with their size.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(gc_options),
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
