/* skip and unskip: put one event aside for a read model, on record, and take that back. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>

typedef struct skip_options {
    const char *reason;
    bool json;
} skip_options;

static const cli_option skip_table[] = {
    {"reason", "TEXT", "why; kept with it (required)", CLI_TEXT, offsetof(skip_options, reason), 0,
     0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(skip_options, json), 0, 0},
};
static const cli_option unskip_table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(skip_options, json), 0, 0},
};

static rf_status parse_position(const char *text, uint64_t *position_out, rf_err *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno || !value)
        return cli_fail(err, RF_ERR_USAGE, "a position is a number of 1 or more, not '%s'", text);
    *position_out = value;
    return RF_OK;
}

static rf_status print_json(const char *name, uint64_t position, bool on_record, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", name);
    cli_json_count(&json, "position", position);
    cli_json_bool(&json, "on_record", on_record);
    return cli_json_finish(&json, err);
}

static rf_status run_skip(const cli_call *call, rf_err *err)
{
    const skip_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    uint64_t position = 0;
    bool known = false;
    rf_status status = parse_position(call->operands[2], &position, err);
    if (status == RF_OK && !given->reason)
        status = cli_fail(err, RF_ERR_USAGE, "skip needs a --reason");
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_skip(store, name, position, given->reason, &known, err);
    rf_store_close(store);
    if (status != RF_OK)
        return status;
    if (given->json)
        return print_json(name, position, true, err);
    cli_print("%s: the event at position %llu is put aside: rebuilds leave it out, and follow if it is not in yet\n", name,
              (unsigned long long)position);
    if (!known)
        cli_print("note: there is no read model of this name yet\n");
    return RF_OK;
}

static rf_status run_unskip(const cli_call *call, rf_err *err)
{
    const skip_options *given = call->options;
    const char *name = call->operands[1];
    rf_store *store = NULL;
    uint64_t position = 0;
    rf_status status = parse_position(call->operands[2], &position, err);
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_unskip(store, name, position, err);
    rf_store_close(store);
    if (status != RF_OK)
        return status;
    if (given->json)
        return print_json(name, position, false, err);
    cli_print("%s: the event at position %llu is folded again from the next rebuild on\n", name,
              (unsigned long long)position);
    return RF_OK;
}

const cli_command cli_skip = {
    .name = "skip",
    .operands = "STORE NAME POSITION",
    .summary = "Puts one event aside for the read model NAME, on record.",
    .details = "Every rebuild of NAME from then on leaves the event out, whether NAME is live yet or\n"
               "not. `quarantine` lists it, `unskip` takes it back. Once more changes the reason.\n",
    .options = skip_table,
    .option_count = CLI_COUNT_OF(skip_table),
    .options_size = sizeof(skip_options),
    .operands_min = 3,
    .operands_max = 3,
    .run = run_skip,
};

const cli_command cli_unskip = {
    .name = "unskip",
    .operands = "STORE NAME POSITION",
    .summary = "Takes back a skip: the next rebuild folds the event again.",
    .details = "Exit 3 if the event is not put aside.\n",
    .options = unskip_table,
    .option_count = CLI_COUNT_OF(unskip_table),
    .options_size = sizeof(skip_options),
    .operands_min = 3,
    .operands_max = 3,
    .run = run_unskip,
};
