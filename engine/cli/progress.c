#include "cli/progress.h"

#include "cli/interrupt.h"
#include "cli/output.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SECONDS = 30 };

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_progress(void *arg, const rf_progress *now)
{
    cli_progress *progress = arg;
    pthread_mutex_lock(&progress->mutex);
    double moment = seconds_now();
    if (!progress->terminal && moment < progress->last_line + LINE_SECONDS) {
        pthread_mutex_unlock(&progress->mutex);
        return;
    }
    progress->last_line = moment;
    char done[CLI_NUMBER_SIZE], total[CLI_NUMBER_SIZE], rate[CLI_NUMBER_SIZE],
        left[CLI_NUMBER_SIZE];
    cli_format_count(now->done, done);
    cli_format_rate(now->done, now->seconds, rate);
    const char *unit = now->unit ? now->unit : "events";
    const char *begin = progress->terminal ? "\r\033[K" : "refold: ";
    const char *end = progress->terminal ? "" : "\n";
    if (now->total && now->done && now->done <= now->total) {
        double seconds = now->seconds / (double)now->done * (double)(now->total - now->done);
        fprintf(stderr, "%s%s: %s of %s %s (%.0f %%), %s/s, %s left%s", begin, now->what, done,
                cli_format_count(now->total, total), unit,
                100.0 * (double)now->done / (double)now->total, rate,
                cli_format_seconds(seconds, left), end);
    } else {
        fprintf(stderr, "%s%s: %s %s, %s/s%s", begin, now->what, done, unit, rate, end);
    }
    fflush(stderr);
    progress->shown = true;
    pthread_mutex_unlock(&progress->mutex);
}

void cli_progress_start(cli_progress *progress, bool quiet, rf_run *run)
{
    *progress = (cli_progress){.terminal = isatty(STDERR_FILENO) == 1, .last_line = seconds_now()};
    pthread_mutex_init(&progress->mutex, NULL);
    run->cancel = cli_interrupt_flag();
    if (!quiet) {
        run->progress = on_progress;
        run->progress_arg = progress;
    }
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->terminal && progress->shown)
        fputs("\r\033[K", stderr);
    pthread_mutex_destroy(&progress->mutex);
}
