#include "sink/watch.h"

#include "base/clock.h"

void rf_sink_watch_begin(rf_sink_watch *watch, const rf_run *run, uint64_t total)
{
    double now = rf_clock_seconds();
    *watch = (rf_sink_watch){.run = run, .total = total, .start = now, .last = now};
}

rf_status rf_sink_watch_look(rf_sink_watch *watch, rf_err *err)
{
    const rf_run *run = watch->run;

    if (run->cancel && *run->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    double now = rf_clock_seconds();
    if (run->progress && now >= watch->last + 1) {
        watch->last = now;
        const rf_progress progress = {.what = "export",
                                      .unit = "rows",
                                      .done = watch->done,
                                      .total = watch->total,
                                      .seconds = now - watch->start};
        run->progress(run->progress_arg, &progress);
    }
    return RF_OK;
}
