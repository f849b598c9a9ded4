/* rollback: back to the generation that was live before. */
#include "cli/flip.h"

static rf_status run(const cli_call *call, rf_err *err)
{
    return cli_flip(call, rf_rollback, err);
}

const cli_command cli_rollback = {
    .name = "rollback",
    .operands = "STORE NAME...",
    .summary = "Makes the generation live that was live before, or --generation N, at once.",
    .details = "Again: further back. A definition that a rollback leaves is held: rebuilding it builds and\n"
               "does not swap (exit 4) until swap names it.\n",
    .options = cli_flip_table,
    .option_count = CLI_FLIP_OPTION_COUNT,
    .options_size = sizeof(cli_flip_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run,
};
