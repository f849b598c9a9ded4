#include "cli/flip.h"

#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"

#include <stdio.h>

static rf_status print_json(const rf_flip *flips, uint32_t count, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_open(&json, "flips", '[');
    for (uint32_t i = 0; i < count; i++) {
        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "name", flips[i].name);
        cli_json_count(&json, "from", flips[i].from);
        cli_json_count(&json, "to", flips[i].to);
        cli_json_count(&json, "position", flips[i].position);
        cli_json_count(&json, "behind", flips[i].behind);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static void print_flip(const rf_flip *flip)
{
    char from[CLI_NUMBER_SIZE] = "none", position[CLI_NUMBER_SIZE], behind[CLI_NUMBER_SIZE];
    if (flip->from)
        snprintf(from, sizeof from, "%llu", (unsigned long long)flip->from);
    cli_print("%s %s -> %llu, position %s, %s event%s behind\n", flip->name, from,
              (unsigned long long)flip->to, cli_format_count(flip->position, position),
              cli_format_count(flip->behind, behind), cli_plural(flip->behind));
}

rf_status cli_flip(const cli_call *call, const rf_flip_options *given, bool json, rf_err *err)
{
    rf_flip_options options = *given;
    rf_store *store = NULL;
    rf_flips *flips = NULL;
    uint32_t count = 0;

    options.names = call->operands + 1;
    options.name_count = call->operand_count - 1;
    if (options.set != 0 && options.name_count > 0)
        return cli_fail(err, RF_ERR_USAGE, "--set goes without a NAME");
    if (options.set == 0 && options.name_count == 0)
        return cli_fail(err, RF_ERR_USAGE, "a NAME is missing, or --set");
    if (options.generation != 0 && options.name_count != 1)
        return cli_fail(err, RF_ERR_USAGE, "--generation goes with one NAME");
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_flip_run(store, &options, &flips, err);
    if (status == RF_OK) {
        const rf_flip *items = rf_flips_items(flips, &count);
        if (json)
            status = print_json(items, count, err);
        for (uint32_t i = 0; !json && i < count; i++)
            print_flip(&items[i]);
    }
    rf_flips_free(flips);
    rf_store_close(store);
    return status;
}
