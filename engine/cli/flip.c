#include "cli/flip.h"

#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>

const cli_option cli_flip_table[CLI_FLIP_OPTION_COUNT] = {
    {"generation", "N", "this one", CLI_COUNT, offsetof(cli_flip_options, generation), 1, 0},
    {"wait-lock", "[SECONDS]", "wait while another run flips", CLI_WAIT,
     offsetof(cli_flip_options, wait_lock_ms), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(cli_flip_options, json), 0, 0},
    {"catch-up", NULL, "first bring it up to where the live one is", CLI_FLAG,
     offsetof(cli_flip_options, catch_up), 0, 0},
};

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

rf_status cli_flip(const cli_call *call, cli_flip_fn flip, rf_err *err)
{
    const cli_flip_options *given = call->options;
    uint32_t count = call->operand_count - 1;
    if (given->generation.given && count > 1)
        return cli_fail(err, RF_ERR_USAGE, "--generation goes with one NAME");
    rf_flip *flips = calloc(count, sizeof *flips);
    if (!flips)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory");
    rf_store *store = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = flip(store, call->operands + 1, count, given->generation.value,
                      given->wait_lock_ms, flips, err);
    if (status == RF_OK && given->json)
        status = print_json(flips, count, err);
    else if (status == RF_OK)
        for (uint32_t i = 0; i < count; i++)
            print_flip(&flips[i]);
    rf_store_close(store);
    free(flips);
    return status;
}
