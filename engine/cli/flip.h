/* swap and rollback: the same report, another direction. */
#ifndef RF_CLI_FLIP_H
#define RF_CLI_FLIP_H

#include "cli/command.h"

/* `options` without names: those of the command line, which may be left out where a set is given. */
rf_status cli_flip(const cli_call *call, const rf_flip_options *options, bool json, rf_err *err);

#endif
