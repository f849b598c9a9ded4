#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { GRACE_SECONDS = 8 };

static volatile int signal_seen; /* an int: what rf_run.cancel points at */
static volatile sig_atomic_t orderly_end;

void cli_interrupt_end_now(void)
{
    static const char message[] = "refold: interrupted; what was committed stays\n";
    /* Nothing can be done about a failure here. */
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(cli_interrupt_exit_code());
}

static void on_signal(int number)
{
    if (number == SIGALRM)
        cli_interrupt_end_now();
    bool second = signal_seen != 0;
    signal_seen = number;
    if (second || !orderly_end)
        cli_interrupt_end_now();
    alarm(GRACE_SECONDS);
}

void cli_interrupt_install(bool orderly)
{
    orderly_end = orderly;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    /* Without SA_RESTART, so that a read that waits for input ends. */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    /* A closed pipe shows as a failed write; see output.h. */
    signal(SIGPIPE, SIG_IGN);
}

const volatile int *cli_interrupt_flag(void)
{
    return &signal_seen;
}

int cli_interrupt_exit_code(void)
{
    return signal_seen == SIGTERM ? 128 + SIGTERM : 128 + SIGINT;
}
