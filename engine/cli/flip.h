/* swap and rollback: the same options and report, another direction. */
#ifndef RF_CLI_FLIP_H
#define RF_CLI_FLIP_H

#include "cli/command.h"

typedef struct cli_flip_options {
    cli_count generation;
    int64_t wait_lock_ms;
    bool json;
    bool catch_up; /* rollback only: the last of the table */
} cli_flip_options;

enum { CLI_SWAP_OPTION_COUNT = 3, CLI_FLIP_OPTION_COUNT };
extern const cli_option cli_flip_table[CLI_FLIP_OPTION_COUNT];

typedef rf_status (*cli_flip_fn)(rf_store *store, const char *const *names, uint32_t name_count,
                                 uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out,
                                 rf_err *err);
rf_status cli_flip(const cli_call *call, cli_flip_fn flip, rf_err *err);

#endif
