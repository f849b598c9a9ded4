/* SIGINT and SIGTERM: an orderly end within ten seconds.
 *
 * The first signal sets the flag that long library calls look at; the call then ends with
 * RF_ERR_INTERRUPTED and nothing half-applied. If it does not within eight seconds (a read from a
 * silent pipe), or a second signal comes, the process ends at once: every change
 * to a store is a transaction, so there is nothing to lose. So it does from a wait for another process (watch.h). Commands that do not look at the flag
 * end at the first signal.
 */
#ifndef RF_CLI_INTERRUPT_H
#define RF_CLI_INTERRUPT_H

#include <stdbool.h>

void cli_interrupt_install(bool orderly);
/* For rf_run.cancel. */
const volatile int *cli_interrupt_flag(void);
/* What that is. For a handler of signals, too. */
__attribute__((noreturn)) void cli_interrupt_end_now(void);
/* 130 or 143, by the signal that came; 130 if none did. */
int cli_interrupt_exit_code(void);

#endif
