/* See replay.h. */
#include "replay.h"

#include "base/clock.h"

#include <stdlib.h>

rf_status rf_replay_begin(rf_replay *replay, rf_store *store, const rf_resolved *resolved,
                          rf_pool *pool, bool scratch, rf_err *err)
{
    const rf_build_options options = {rf_pool_worker_slots(pool), scratch};
    rf_status status = RF_OK;

    *replay = (rf_replay){
        .store = store,
        .resolved = resolved,
        .pool = pool,
        .builds = calloc(resolved->count, sizeof(rf_build *)),
        .events = calloc(resolved->count, sizeof(uint64_t)),
    };
    if (!replay->builds || !replay->events)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", resolved->count);
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++)
        status = rf_build_begin(store, resolved->definitions[i], &options, &replay->builds[i], err);
    return status;
}

rf_status rf_replay_fold(rf_replay *replay, const rf_fold_options *options, rf_err *err)
{
    uint32_t count = replay->resolved->count;
    rf_timings *timings = &replay->timings;
    rf_fold_options fold_options = *options;
    rf_fold_stats stats = {0};

    rf_fold_target *targets = calloc(count, sizeof *targets);
    if (!targets)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", count);
    for (uint32_t i = 0; i < count; i++)
        rf_build_target(replay->builds[i], &targets[i]);
    if (fold_options.memory_bytes == 0)
        fold_options.memory_bytes = RF_REPLAY_MEMORY_DEFAULT;
    fold_options.spill_dir = rf_build_dir(replay->builds[0]);
    rf_status status =
        rf_fold_run(replay->store->log, replay->pool, targets, count, &fold_options, &stats, err);
    timings->write = 0;
    for (uint32_t i = 0; i < count; i++) {
        replay->events[i] = targets[i].events;
        timings->write += rf_build_write_seconds(replay->builds[i]);
    }
    replay->bytes_decoded = stats.bytes_decoded;
    timings->load = stats.decode_s;
    timings->fold = stats.fold_s;
    /* the sinks write from within emit */
    timings->emit = stats.emit_s > timings->write ? stats.emit_s - timings->write : 0;
    free(targets);
    return status;
}

struct seal_run {
    rf_build **builds;
    uint64_t position;
    int64_t time_last;
};

static rf_status seal_build(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct seal_run *run = arg;

    (void)worker;
    return rf_build_seal(run->builds[index], NULL, run->position, run->time_last, err);
}

/* One build's files side by side, or several builds. */
rf_status rf_replay_seal(rf_replay *replay, uint64_t position, int64_t time_last, rf_err *err)
{
    double start = rf_clock_seconds();
    struct seal_run run = {replay->builds, position, time_last};
    uint32_t count = replay->resolved->count;

    rf_status status =
        count == 1 ? rf_build_seal(replay->builds[0], replay->pool, position, time_last, err)
                   : rf_pool_run(replay->pool, count, seal_build, &run, err);
    replay->timings.seal = rf_clock_seconds() - start;
    return status;
}

void rf_replay_end(rf_replay *replay)
{
    for (uint32_t i = 0; replay->builds && i < replay->resolved->count; i++)
        rf_build_free(replay->builds[i]);
    free(replay->builds);
    free(replay->events);
    *replay = (rf_replay){0};
}
