/* rollback: back to the generation that was live before. */
#include "cli/flip.h"

static rf_status run(const cli_call *call, rf_err *err)
{
    const cli_flip_options *given = call->options;
    return cli_flip(call, given->catch_up ? rf_rollback_caught_up : rf_rollback, err);
}

const cli_command cli_rollback = {
    .name = "rollback",
    .operands = "STORE NAME...",
    .summary = "Makes the generation live that was live before, or --generation N, at once.",
    .details = "It says how many events the generation is behind; `follow` brings it up, or --catch-up\n"
               "before it is live. Again: further back. A definition that a rollback leaves is held:\n"
               "rebuilding it builds and does not swap (exit 4) until swap names it.\n",
    .options = cli_flip_table,
    .option_count = CLI_FLIP_OPTION_COUNT,
    .options_size = sizeof(cli_flip_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run,
};
