/* Looking up from a long way of rows: at the cancel flag, and at the clock for progress.
 *
 *     rf_sink_watch_begin -> rf_sink_watch_row …
 *
 * Confined to one thread.
 */
#ifndef RF_SINK_WATCH_H
#define RF_SINK_WATCH_H

#include "base/error.h"
#include "refold/store.h"

typedef struct rf_sink_watch {
    const rf_run *run;
    uint64_t done, total; /* rows */
    double start, last;
} rf_sink_watch;

void rf_sink_watch_begin(rf_sink_watch *watch, const rf_run *run, uint64_t total);
rf_status rf_sink_watch_look(rf_sink_watch *watch, rf_err *err);
/* Counts a row. RF_ERR_INTERRUPTED soon after the flag was set. */
static inline rf_status rf_sink_watch_row(rf_sink_watch *watch, rf_err *err)
{
    return (++watch->done & 1023) == 0 ? rf_sink_watch_look(watch, err) : RF_OK;
}

#endif
