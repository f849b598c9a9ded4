/* pin and unpin: a generation that gc leaves alone. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/output.h"

typedef struct pin_options {
    cli_count generation;
    bool json;
} pin_options;

static const cli_option pin_table[] = {
    {"generation", "N", "this one instead of the live one", CLI_COUNT,
     offsetof(pin_options, generation), 1, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(pin_options, json), 0, 0},
};
static const cli_option unpin_table[] = {
    {"generation", "N", "only this one", CLI_COUNT, offsetof(pin_options, generation), 1, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(pin_options, json), 0, 0},
};

static rf_status print_json(const char *name, const char *member, uint64_t value, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", name);
    cli_json_count(&json, member, value);
    return cli_json_finish(&json, err);
}

static rf_status run_pin(const cli_call *call, rf_err *err)
{
    const pin_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    uint64_t number = 0;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_generation_pin(store, name, given->generation.value, &number, err);
    rf_store_close(store);
    if (status != RF_OK)
        return status;
    if (given->json)
        return print_json(name, "generation", number, err);
    cli_print("%s generation %llu is pinned: gc leaves it alone until unpin\n", name,
              (unsigned long long)number);
    return RF_OK;
}

static rf_status run_unpin(const cli_call *call, rf_err *err)
{
    const pin_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    uint32_t count = 0;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_generation_unpin(store, name, given->generation.value, &count, err);
    rf_store_close(store);
    if (status != RF_OK)
        return status;
    if (given->json)
        return print_json(name, "unpinned", count, err);
    cli_print("%s: %u generation%s unpinned\n", name, count, cli_plural(count));
    return RF_OK;
}

const cli_command cli_pin = {
    .name = "pin",
    .operands = "STORE NAME",
    .summary = "Keeps a generation from gc: the live one of NAME, or --generation N.",
    .details = "It stays beside those that --keep counts, until it is unpinned; `generations` shows it.\n"
               "NAME@VERSION is the generation of that version, live or kept beside it.\n",
    .options = pin_table,
    .option_count = CLI_COUNT_OF(pin_table),
    .options_size = sizeof(pin_options),
    .operands_min = 2,
    .operands_max = 2,
    .run = run_pin,
};

const cli_command cli_unpin = {
    .name = "unpin",
    .operands = "STORE NAME",
    .summary = "Lets gc take what was pinned: all of NAME, or --generation N.",
    .options = unpin_table,
    .option_count = CLI_COUNT_OF(unpin_table),
    .options_size = sizeof(pin_options),
    .operands_min = 2,
    .operands_max = 2,
    .run = run_unpin,
};
