/* Emitting: rows of a partition in the order of their names, to the sinks or to a spill; see
 * fold.h.
 *
 * Names come in batches. Name order is no order of memory, so the rows of a batch are fetched some
 * names ahead, and when they are there, what their texts refer to.
 */
#include "rebuild/fold_job.h"

#include "base/clock.h"

#include <stdlib.h>

enum { EMIT_AHEAD = 16 };

static inline void fetch_row(const rf_state *state, uint32_t index)
{
    __builtin_prefetch(state->rows + index * state->stride);
    __builtin_prefetch(state->rows + (index + 1) * state->stride - 1);
}

static inline void fetch_texts(const rf_state *state, uint32_t index)
{
    const char *row = state->rows + index * state->stride;

    if (!(state->flags[index] & RF_STATE_TOUCHED))
        return;
    for (uint32_t i = 0; i < state->text_count; i++) {
        rf_slice text;
        memcpy(&text, row + state->text_offsets[i], sizeof text);
        __builtin_prefetch(text.data);
    }
}

/* Whose names are needed: of one definition its own flags tell, of several their union. */
static const uint8_t *who_exists(rf_fold_worker *worker)
{
    uint32_t count = worker->range.count;

    if (worker->job->target_count == 1)
        return worker->states[0].flags;
    memset(worker->exists, 0, count);
    for (uint32_t i = 0; i < worker->job->target_count; i++)
        for (uint32_t k = 0; k < count; k++)
            worker->exists[k] |= worker->states[i].flags[k];
    return worker->exists;
}

/* The rows of one definition for a batch of names: to its sink, or to its spill. */
static rf_status emit_batch(rf_fold_worker *worker, uint32_t target_index, bool spilled,
                            const rf_stream_name *names, uint32_t count, rf_err *err)
{
    const rf_fold_target *target = &worker->job->targets[target_index];
    const rf_state *state = &worker->states[target_index];
    uint32_t first = worker->range.first;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < EMIT_AHEAD && i < count; i++)
        fetch_row(state, names[i].number - first);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        uint32_t index = names[i].number - first;
        if (i + EMIT_AHEAD < count)
            fetch_row(state, names[i + EMIT_AHEAD].number - first);
        if (i + EMIT_AHEAD / 2 < count)
            fetch_texts(state, names[i + EMIT_AHEAD / 2].number - first);
        if (!(state->flags[index] & RF_STATE_EXISTS))
            continue;
        const char *row = state->rows + index * state->stride;
        status = spilled ? rf_spill_add(worker->spills[target_index], names[i].number, row, err)
                         : target->row(target->sink_arg, worker->index, worker->partition,
                                       names[i].name, row, err);
    }
    return status;
}

static rf_status emit_rows(rf_fold_worker *worker, bool spilled, rf_err *err)
{
    const rf_log_names_wanted wanted = {
        .first = worker->range.first,
        .count = worker->range.count,
        .flags = who_exists(worker),
        .mask = RF_STATE_EXISTS,
    };
    const rf_stream_name *names;
    uint32_t count = 1;
    rf_status status = RF_OK;

    rf_log_names_restart(worker->names, worker->partition);
    while (status == RF_OK && count > 0) {
        status = rf_log_names_next(worker->names, &wanted, &names, &count, err);
        for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++)
            status = emit_batch(worker, i, spilled, names, count, err);
    }
    return status;
}

static rf_status end_partition(rf_fold_worker *worker, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++) {
        const rf_fold_target *target = &worker->job->targets[i];
        if (target->partition_end)
            status = target->partition_end(target->sink_arg, worker->index, worker->partition, err);
    }
    return status;
}

rf_status rf_fold_emit(rf_fold_worker *worker, rf_err *err)
{
    double start = rf_clock_seconds();

    /* an empty partition ends too */
    rf_status status = worker->range.count > 0 ? emit_rows(worker, false, err) : RF_OK;
    if (status == RF_OK)
        status = end_partition(worker, err);
    worker->emit_s += rf_clock_seconds() - start;
    return status;
}

rf_status rf_fold_spill(rf_fold_worker *worker, rf_err *err)
{
    const rf_fold_job *job = worker->job;
    double start = rf_clock_seconds();
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < job->target_count; i++) {
        if (!worker->spills[i])
            status = rf_spill_new(job->definitions[i], job->options->spill_dir, &worker->spills[i],
                                  err);
        if (status == RF_OK)
            status = rf_spill_run_begin(worker->spills[i], err);
    }
    if (status == RF_OK)
        status = emit_rows(worker, true, err);
    for (uint32_t i = 0; status == RF_OK && i < job->target_count; i++)
        status = rf_spill_run_end(worker->spills[i], err);
    worker->emit_s += rf_clock_seconds() - start;
    return status;
}

/* Index of the range that has the stream. Ranges are few and in the order of numbers. */
static uint32_t range_of(const rf_fold_range *ranges, uint32_t count, uint32_t number)
{
    uint32_t low = 0;

    while (count - low > 1) {
        uint32_t middle = low + (count - low) / 2;
        if (ranges[middle].first <= number)
            low = middle;
        else
            count = middle;
    }
    return low;
}

/* What of the names that follow is in memory. */
static void fetch_in_memory(const rf_fold_worker *worker, const rf_stream_name *names, uint32_t at,
                            uint32_t count)
{
    const rf_fold_range range = worker->range;
    uint32_t row = at + EMIT_AHEAD < count ? names[at + EMIT_AHEAD].number - range.first : UINT32_MAX;
    uint32_t text =
        at + EMIT_AHEAD / 2 < count ? names[at + EMIT_AHEAD / 2].number - range.first : UINT32_MAX;

    for (uint32_t i = 0; i < worker->job->target_count; i++) {
        if (row < range.count)
            fetch_row(&worker->states[i], row);
        if (text < range.count)
            fetch_texts(&worker->states[i], text);
    }
}

/* The rows of a name: those of the range that was folded last are in memory, those before in runs. */
static rf_status emit_spilled_name(rf_fold_worker *worker, const rf_fold_range *ranges,
                                   uint32_t count, const rf_stream_name *name, rf_err *err)
{
    uint32_t index = name->number - worker->range.first;
    bool in_memory = index < worker->range.count;
    uint32_t run = in_memory ? 0 : range_of(ranges, count, name->number);
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++) {
        const rf_fold_target *target = &worker->job->targets[i];
        const rf_state *state = &worker->states[i];
        const void *row = NULL;
        if (!in_memory)
            status = rf_spill_find(worker->spills[i], run, name->number, &row, err);
        else if (state->flags[index] & RF_STATE_EXISTS)
            row = state->rows + index * state->stride;
        if (status == RF_OK && row)
            status = target->row(target->sink_arg, worker->index, worker->partition, name->name,
                                 row, err);
    }
    return status;
}

rf_status rf_fold_emit_spilled(rf_fold_worker *worker, const rf_fold_range *ranges, uint32_t count,
                               rf_err *err)
{
    const rf_fold_job *job = worker->job;
    const rf_log_names_wanted all = {.first = 0, .count = worker->stream_count};
    const rf_stream_name *names;
    double start = rf_clock_seconds();
    uint32_t name_count = 1;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < job->target_count; i++)
        rf_spill_read_begin(worker->spills[i], job->text_budget / job->target_count);
    rf_log_names_restart(worker->names, worker->partition);
    while (status == RF_OK && name_count > 0) {
        status = rf_log_names_next(worker->names, &all, &names, &name_count, err);
        for (uint32_t i = 0; status == RF_OK && i < name_count; i++) {
            fetch_in_memory(worker, names, i, name_count);
            status = emit_spilled_name(worker, ranges, count, &names[i], err);
        }
    }
    if (status == RF_OK)
        status = end_partition(worker, err);
    for (uint32_t i = 0; status == RF_OK && i < job->target_count; i++)
        status = rf_spill_clear(worker->spills[i], err);
    worker->emit_s += rf_clock_seconds() - start;
    return status;
}
