#include "cli/command.h"

/* From the events to the rows, then the upkeep. */
const cli_command *const cli_commands[] = {
    &cli_import,      &cli_info, &cli_types,      &cli_status, &cli_events, &cli_check,
    &cli_rebuild,     &cli_swap, &cli_rollback,   &cli_skip,   &cli_unskip, &cli_quarantine,
    &cli_follow,      &cli_wait, &cli_resume,     &cli_retire, &cli_repair,
    &cli_generations, &cli_pin,  &cli_unpin,      &cli_gc,   &cli_get,        &cli_scan,   &cli_diff,   &cli_export,
    &cli_verify,
    &cli_bench,       &cli_test,
};
const uint32_t cli_command_count = CLI_COUNT_OF(cli_commands);
