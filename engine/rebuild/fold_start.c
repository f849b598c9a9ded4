/* Folding on from rows that are stored; see fold.h.
 *
 * Which streams of the partition have events is read first, from the segments' column of streams. Then
 * their names are found by number (rf_log_names_find), each row is asked for under its name, and the
 * fold goes as any: a row that is there is one that an earlier event wrote. In the end the same names
 * come again.
 */
#include "rebuild/fold_job.h"

#include "base/clock.h"

#include <stdlib.h>

static rf_status mark_step(rf_fold_worker *worker, const rf_log_step *step, rf_err *err)
{
    rf_status status = rf_segment_envelope(&step->segment, RF_ENVELOPE_STREAM, worker->positions,
                                           NULL, err);

    for (uint32_t i = step->begin; status == RF_OK && i < step->end; i++) {
        uint64_t stream = (uint64_t)worker->positions[i];
        if (stream >= worker->stream_count)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: an event is of stream number %llu",
                           worker->partition, (unsigned long long)stream);
        worker->touched_count += !worker->touched[stream];
        worker->touched[stream] = 1;
    }
    return status;
}

/* Marks the streams that have events in the positions that are folded. */
static rf_status mark_streams(rf_fold_worker *worker, rf_err *err)
{
    const rf_fold_job *job = worker->job;
    uint8_t *touched = realloc(worker->touched, worker->stream_count ? worker->stream_count : 1);
    rf_log_step step;
    bool found = true;

    if (touched)
        worker->touched = touched;
    if (!worker->positions)
        worker->positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->positions);
    if (!touched || !worker->positions)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u streams", worker->stream_count);
    memset(touched, 0, worker->stream_count);
    worker->touched_count = 0;
    rf_status status =
        worker->scan ? rf_log_scan_restart(worker->scan, worker->partition, job->options->from,
                                           job->options->until, err)
                     : rf_log_scan_open(job->log, worker->partition, job->options->from,
                                        job->options->until, &worker->scan, err);
    while (status == RF_OK && found) {
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status == RF_OK && found)
            status = mark_step(worker, &step, err);
    }
    return status;
}

/* Of each target the row of one stream, as it stands. */
static rf_status start_stream(rf_fold_worker *worker, const rf_stream_name *name, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++) {
        const rf_fold_target *target = &worker->job->targets[i];
        const rf_state *state = &worker->states[i];
        char *row = state->rows + name->number * state->stride;
        rf_start start = RF_START_NONE;
        memcpy(row, state->definition->row_template, state->definition->row_size);
        status = target->start(target->sink_arg, worker->index, name->name, &worker->text, row,
                               &start, err);
        if (start == RF_START_ROW)
            state->flags[name->number] = RF_STATE_TOUCHED | RF_STATE_EXISTS;
        else if (start == RF_START_SHUT_OUT)
            state->flags[name->number] = RF_STATE_QUARANTINED;
    }
    return status;
}

static rf_status emit_stream(rf_fold_worker *worker, const rf_stream_name *name, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++) {
        const rf_fold_target *target = &worker->job->targets[i];
        const rf_state *state = &worker->states[i];
        status = state->flags[name->number] & RF_STATE_EXISTS
                     ? target->row(target->sink_arg, worker->index, worker->partition, name->name,
                                   state->rows + name->number * state->stride, err)
                     : target->gone(target->sink_arg, worker->index, name->name, err);
    }
    return status;
}

/* The names of the marked streams; by number too, for handlers that read them. */
static rf_status find_names(rf_fold_worker *worker, rf_err *err)
{
    uint32_t count = worker->touched_count;

    worker->touched_names =
        rf_arena_alloc(&worker->names_arena, (count + 1) * sizeof *worker->touched_names);
    if (!worker->touched_names)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams", count);
    rf_status status =
        rf_log_names_find(worker->names, worker->partition, worker->touched, worker->stream_count,
                          count, &worker->names_arena, worker->touched_names, err);
    return status == RF_OK && rf_ahead_reads_names(worker->job->ahead)
               ? rf_fold_index_names(worker, worker->touched_names, count, err)
               : status;
}

static rf_status walk_touched(rf_fold_worker *worker,
                              rf_status (*visit)(rf_fold_worker *, const rf_stream_name *,
                                                 rf_err *),
                              rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->touched_count; i++)
        status = visit(worker, &worker->touched_names[i], err);
    return status;
}

rf_status rf_fold_start_begin(rf_fold_worker *worker, rf_err *err)
{
    RF_ASSERT(worker->range.first == 0 && worker->range.count == worker->stream_count);
    rf_status status = mark_streams(worker, err);
    if (status == RF_OK)
        status = find_names(worker, err);
    return status == RF_OK ? walk_touched(worker, start_stream, err) : status;
}

rf_status rf_fold_start_emit(rf_fold_worker *worker, rf_err *err)
{
    double start = rf_clock_seconds();
    rf_status status = walk_touched(worker, emit_stream, err);

    worker->emit_s += rf_clock_seconds() - start;
    return status;
}
