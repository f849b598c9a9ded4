/* retire: ends the version of a read model that a flip left. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/output.h"

typedef struct retire_options {
    bool json;
} retire_options;

static const cli_option table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(retire_options, json), 0, 0},
};

static rf_status print_json(const char *name, const rf_retired *retired, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", name);
    cli_json_count(&json, "generation", retired->generation);
    cli_json_count(&json, "bytes", retired->bytes);
    return cli_json_finish(&json, err);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const retire_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    rf_retired retired = {0};
    char bytes[CLI_NUMBER_SIZE];
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_retire(store, name, &retired, err);
    rf_store_close(store);
    if (status != RF_OK)
        return status;
    if (given->json)
        return print_json(name, &retired, err);
    cli_print("%s is retired: generation %llu is not kept current any more, and gc may take its %s\n",
              name, (unsigned long long)retired.generation,
              cli_format_bytes(retired.bytes, bytes));
    return RF_OK;
}

const cli_command cli_retire = {
    .name = "retire",
    .operands = "STORE NAME@VERSION",
    .summary = "Ends a version that a swap left: nobody keeps it current, and gc may take it.",
    .details = "When no program reads NAME@VERSION any more. The version that is live is refused (exit 4).\n"
               "A view that was published for it goes with the next publication.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(retire_options),
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
