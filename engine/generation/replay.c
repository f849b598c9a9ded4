/* See replay.h. */
#include "generation/replay.h"

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
        .scratch = scratch,
        .builds = calloc(resolved->count, sizeof(rf_build *)),
        .skips = calloc(resolved->count, sizeof(rf_left_out_list)),
        .faults = calloc(resolved->count, sizeof(rf_faults)),
        .events = calloc(resolved->count, sizeof(uint64_t)),
        .keyless = calloc(resolved->count, sizeof(uint64_t)),
    };
    if (!replay->builds || !replay->skips || !replay->faults || !replay->events ||
        !replay->keyless)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", resolved->count);
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++) {
        const rf_definition *definition = resolved->definitions[i];
        status = rf_catalog_skips(store->catalog, definition->name, &replay->skips[i], err);
        if (status == RF_OK)
            status = rf_build_begin(store, definition, &options, &replay->builds[i], err);
    }
    return status;
}

/* The positions of skips, for a fold's policy; NULL without memory. */
static uint64_t *positions_of(const rf_left_out_list *skips)
{
    uint64_t *positions = calloc(skips->count + 1, sizeof *positions);

    for (uint32_t i = 0; positions && i < skips->count; i++)
        positions[i] = skips->items[i].position;
    return positions;
}

static rf_status make_targets(rf_replay *replay, rf_fold_target *targets, uint64_t **positions,
                              rf_err *err)
{
    for (uint32_t i = 0; i < replay->resolved->count; i++) {
        rf_build_target(replay->builds[i], &targets[i]);
        positions[i] = positions_of(&replay->skips[i]);
        if (!positions[i])
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u skips",
                           replay->skips[i].count);
        targets[i].policy = (rf_fault_policy){
            .on_error = replay->on_error,
            .errors_max = replay->errors_max,
            .skips = positions[i],
            .skip_count = replay->skips[i].count,
        };
    }
    return RF_OK;
}

rf_status rf_replay_fold(rf_replay *replay, const rf_fold_options *options, rf_err *err)
{
    uint32_t count = replay->resolved->count;
    rf_timings *timings = &replay->timings;
    rf_fold_options fold_options = *options;
    rf_fold_stats stats = {0};

    rf_fold_target *targets = calloc(count, sizeof *targets);
    uint64_t **positions = calloc(count, sizeof *positions);
    rf_status status = RF_OK;
    if (!targets || !positions)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", count);
    else
        status = make_targets(replay, targets, positions, err);
    if (fold_options.memory_bytes == 0)
        fold_options.memory_bytes = RF_REPLAY_MEMORY_DEFAULT;
    fold_options.spill_dir = rf_build_dir(replay->builds[0]);
    if (status == RF_OK)
        status = rf_fold_run(replay->store->log, replay->pool, targets, count, &fold_options,
                             &stats, err);
    timings->write = 0;
    for (uint32_t i = 0; targets && i < count; i++) {
        replay->events[i] = targets[i].events;
        replay->faults[i] = targets[i].faults;
        replay->keyless[i] = targets[i].keyless;
        timings->write += rf_build_write_seconds(replay->builds[i]);
    }
    replay->bytes_decoded = stats.bytes_decoded;
    timings->load = stats.decode_s;
    timings->fold = stats.fold_s;
    /* the sinks write from within emit */
    timings->emit = stats.emit_s > timings->write ? stats.emit_s - timings->write : 0;
    for (uint32_t i = 0; positions && i < count; i++)
        free(positions[i]);
    free(positions);
    free(targets);
    return status;
}

uint32_t rf_replay_skips_until(const rf_replay *replay, uint32_t index, uint64_t position)
{
    const rf_left_out_list *skips = &replay->skips[index];
    uint32_t count = skips->count;

    while (count > 0 && skips->items[count - 1].position > position)
        count--;
    return count;
}

/* What the fold left out and what was put aside, in position order; no event is in both. */
static rf_status merge_left_out(const rf_replay *replay, uint32_t index, uint64_t position,
                                rf_left_out_list *list, rf_err *err)
{
    const rf_left_out *skips = replay->skips[index].items;
    const rf_faults *faults = &replay->faults[index];
    uint32_t skip_count = rf_replay_skips_until(replay, index, position);
    rf_status status = RF_OK;

    for (uint32_t s = 0, f = 0; status == RF_OK && s + f < skip_count + faults->count;) {
        if (f == faults->count ||
            (s < skip_count && skips[s].position < faults->items[f].position)) {
            status = rf_left_out_list_add(list, &skips[s++], err);
            continue;
        }
        const rf_fault *fault = &faults->items[f++];
        const rf_left_out item = {
            .position = fault->position,
            .cause = replay->on_error == RF_ON_ERROR_QUARANTINE ? RF_CAUSE_QUARANTINED
                                                                : RF_CAUSE_SKIPPED,
            .stream = fault->stream,
            .type = fault->type,
            .reason = fault->reason,
        };
        status = rf_left_out_list_add(list, &item, err);
    }
    return status;
}

struct seal_run {
    rf_replay *replay;
    uint64_t position;
    int64_t time_last;
};

static rf_status end_rows(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct seal_run *run = arg;
    rf_left_out_list list;

    (void)worker;
    rf_left_out_list_init(&list);
    rf_status status = merge_left_out(run->replay, (uint32_t)index, run->position, &list, err);
    const rf_build_fold fold = {
        .position = run->position,
        .time_last = run->time_last,
        .events = run->replay->events[index],
        .on_error = run->replay->on_error,
        .left_out = list.items,
        .left_out_count = list.count,
    };
    if (status == RF_OK)
        status = rf_build_end_rows(run->replay->builds[index], &fold, err);
    rf_left_out_list_free(&list);
    return status;
}

static rf_status sync_piece(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct seal_run *run = arg;
    rf_build **build = run->replay->builds;

    (void)worker;
    for (; index >= rf_build_sync_count(*build); build++)
        index -= rf_build_sync_count(*build);
    return rf_build_sync(*build, (uint32_t)index, err);
}

static rf_status seal_build(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct seal_run *run = arg;

    (void)worker;
    return rf_build_seal(run->replay->builds[index], err);
}

/* Whatever waits for the disk waits side by side. */
rf_status rf_replay_seal(rf_replay *replay, uint64_t position, int64_t time_last, rf_err *err)
{
    double start = rf_clock_seconds();
    uint32_t count = replay->resolved->count;
    struct seal_run run = {replay, position, time_last};
    size_t pieces = 0;

    rf_status status = rf_pool_run(replay->pool, count, end_rows, &run, err);
    for (uint32_t i = 0; i < count; i++)
        pieces += rf_build_sync_count(replay->builds[i]);
    if (status == RF_OK)
        status = rf_pool_run(replay->pool, pieces, sync_piece, &run, err);
    if (status == RF_OK)
        status = rf_pool_run(replay->pool, count, seal_build, &run, err);
    if (status == RF_OK && !replay->scratch)
        status = rf_build_record(replay->builds, count, &replay->set, err);
    replay->timings.seal = rf_clock_seconds() - start;
    return status;
}

void rf_replay_end(rf_replay *replay)
{
    for (uint32_t i = 0; replay->builds && i < replay->resolved->count; i++)
        rf_build_free(replay->builds[i]);
    for (uint32_t i = 0; replay->skips && i < replay->resolved->count; i++)
        rf_left_out_list_free(&replay->skips[i]);
    for (uint32_t i = 0; replay->faults && i < replay->resolved->count; i++)
        rf_faults_free(&replay->faults[i]);
    free(replay->builds);
    free(replay->skips);
    free(replay->faults);
    free(replay->events);
    free(replay->keyless);
    *replay = (rf_replay){0};
}
