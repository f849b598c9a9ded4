/* swap: makes a newer generation live. */
#include "cli/flip.h"

static rf_status run(const cli_call *call, rf_err *err)
{
    return cli_flip(call, rf_swap, err);
}

const cli_command cli_swap = {
    .name = "swap",
    .operands = "STORE NAME...",
    .summary = "Makes a newer generation live: the newest sealed one, or --generation N.",
    .details =
        "A generation that is behind the live one is brought up to its position first. Several names\n"
        "flip in one transaction, together or not at all. It prints what became of what:\n"
        "order_summary 7 -> 8, position 10,000,000, 0 events behind.\n",
    .options = cli_flip_table,
    .option_count = CLI_SWAP_OPTION_COUNT,
    .options_size = sizeof(cli_flip_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run,
};
