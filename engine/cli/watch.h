/* A thread beside a command that tells whom it waits for, which the library does not do.
 *
 * Once a wait has lasted two seconds, and then every 30, one line goes to standard error, unless it is to be quiet. A
 * wait that the library cannot bound, for another process inside its commit, ends with the command's --wait-lock and
 * exit 5; and a signal ends any wait that has lasted a moment, and the process, at once: nothing is half-done while it
 * waits.
 *
 * The thread runs until the process ends. It takes no signals.
 */
#ifndef RF_CLI_WATCH_H
#define RF_CLI_WATCH_H

#include "cli/command.h"

/* Looks for --quiet and --wait-lock among the command's options, which are read by now. A thread that the system does
 * not give is done without. */
void cli_watch_start(const cli_command *command, const void *options);

#endif
