/* Progress of a long call on standard error: on a terminal one line, rewritten, with rate and time
 * left; elsewhere a line every 30 seconds; with --quiet nothing.
 */
#ifndef RF_CLI_PROGRESS_H
#define RF_CLI_PROGRESS_H

#include "refold/store.h"

#include <pthread.h>

typedef struct cli_progress {
    pthread_mutex_t mutex; /* guards what follows: the library may call from a worker */
    bool terminal;
    bool shown;       /* a line stands on the terminal */
    double last_line; /* when the last one was printed, or the call began; the seconds of a progress begin
                         anew with each part of a call */
} cli_progress;

/* Sets up run->progress and run->cancel. `progress` outlives the call that `run` is for. */
void cli_progress_start(cli_progress *progress, bool quiet, rf_run *run);
/* Wipes the line. */
void cli_progress_end(cli_progress *progress);

#endif
