#include "cli/watch.h"

#include "cli/interrupt.h"
#include "refold/error.h"
#include "refold/waiting.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 200, STACK_SIZE = 128 << 10 };
#define TELL_SECONDS 2.0
#define TELL_AGAIN_SECONDS 30.0
#define MOMENT_SECONDS 0.2 /* that a wait lasts at least which a signal ends */

/* Set before the thread starts, its own from then on. */
static struct watch {
    bool quiet;
    double limit; /* seconds; 0: none */
    double told;  /* seconds into the wait, when it was told the last time; 0: not yet */
} watch;

static const void *value_of(const cli_command *command, const void *options, const char *name)
{
    for (uint32_t i = 0; i < command->option_count; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return (const char *)options + command->options[i].offset;
    return NULL;
}

static void end_at_limit(const rf_waiting *waiting)
{
    char line[RF_WAITING_LINE_SIZE];

    rf_waiting_describe(waiting, line);
    (void)fprintf(stderr, "refold: %s; after %.0f s of waiting nothing more was changed\n", line, waiting->seconds);
    _exit(rf_status_exit_code(RF_ERR_LOCKED));
}

static void tell(const rf_waiting *waiting)
{
    char line[RF_WAITING_LINE_SIZE];

    rf_waiting_describe(waiting, line);
    (void)fprintf(stderr, "%srefold: waiting for %.0f s: %s\n", isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "",
                  waiting->seconds, line);
}

static void look(void)
{
    rf_waiting waiting;

    if (!rf_waiting_look(&waiting)) {
        watch.told = 0;
        return;
    }
    if (*cli_interrupt_flag() && waiting.seconds >= MOMENT_SECONDS)
        cli_interrupt_end_now();
    if (!waiting.is_bounded && watch.limit > 0 && waiting.seconds >= watch.limit)
        end_at_limit(&waiting);
    if (waiting.seconds < watch.told) /* another one */
        watch.told = 0;
    if (watch.quiet || waiting.seconds < (watch.told > 0 ? watch.told + TELL_AGAIN_SECONDS : TELL_SECONDS))
        return;
    watch.told = waiting.seconds;
    tell(&waiting);
}

static void *run(void *arg)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    for (;;) {
        (void)nanosleep(&pause, NULL);
        look();
    }
    return arg;
}

void cli_watch_start(const cli_command *command, const void *options)
{
    const bool *quiet = value_of(command, options, "quiet");
    const int64_t *wait_lock_ms = value_of(command, options, "wait-lock");
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;

    watch.quiet = quiet && *quiet;
    watch.limit = wait_lock_ms && *wait_lock_ms > 0 ? (double)*wait_lock_ms / 1000 : 0;
    if (pthread_attr_init(&attributes) != 0)
        return;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)pthread_create(&thread, &attributes, run, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
}
