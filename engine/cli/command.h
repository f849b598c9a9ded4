/* A command of the tool: its table of options and the function that runs it. One file a command,
 * listed in commands.c in the order of --help.
 *
 * A command prints its results to standard output, and nothing on failure but what is already out;
 * the line of the error is main's to print, and the exit code follows from the status.
 */
#ifndef RF_CLI_COMMAND_H
#define RF_CLI_COMMAND_H

#include "cli/options.h"

typedef struct cli_call {
    const void *options; /* the command's own struct */
    const char *const *operands;
    uint32_t operand_count;
} cli_call;

typedef struct cli_command {
    const char *name;
    const char *operands; /* as --help shows them: "STORE NAME KEY" */
    const char *summary;  /* one line */
    const char *details;  /* more for --help; NULL for none */
    const cli_option *options;
    uint32_t option_count;
    uint32_t options_size; /* of the command's struct */
    uint32_t operands_min, operands_max;
    bool orderly; /* it looks at the interrupt flag, see interrupt.h */
    rf_status (*run)(const cli_call *call, rf_err *err);
} cli_command;

#define CLI_COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

extern const cli_command *const cli_commands[];
extern const uint32_t cli_command_count;

extern const cli_command cli_import, cli_info, cli_types, cli_status, cli_events, cli_check,
    cli_rebuild, cli_swap, cli_rollback, cli_generations, cli_gc, cli_get, cli_scan, cli_verify,
    cli_bench, cli_export, cli_test, cli_quarantine, cli_skip, cli_unskip, cli_follow,
    cli_wait, cli_resume, cli_diff, cli_retire, cli_pin, cli_unpin, cli_repair;

#endif
