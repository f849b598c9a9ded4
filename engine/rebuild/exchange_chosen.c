/* Exchanging chosen streams; see fold.h.
 *
 * Where keys begin with the stream, what a row is made of, and what its events carry, is of one stream. So of
 * each partition of the log only segments are decoded that may have any number of the range from the first chosen
 * stream to the last, of these the events of chosen streams are scattered, and a partition without any is left out.
 */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

bool rf_exchange_leaves_out(const rf_exchange *job, uint32_t partition)
{
    const rf_fold_stream *streams;

    return job->options->chosen_count > 0 && rf_fold_chosen_of(job->options, partition, &streams) == 0;
}

static rf_status mark_chosen(rf_exchange_worker *worker, uint32_t stream_count,
                             const rf_fold_stream *streams, size_t count, rf_err *err)
{
    uint8_t *touched = realloc(worker->touched, stream_count);

    if (!touched)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u streams", stream_count);
    worker->touched = touched;
    memset(touched, 0, stream_count);
    for (size_t i = 0; i < count; i++)
        touched[streams[i].number] = 1;
    return RF_OK;
}

rf_status rf_exchange_begin_chosen(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_fold_stream *streams;
    size_t count = rf_fold_chosen_of(worker->job->options, partition, &streams);

    RF_ASSERT(count > 0);
    RF_ASSERT(streams[count - 1].number < worker->job->sources[partition].stream_count);
    worker->first_stream = streams[0].number;
    worker->stream_span = streams[count - 1].number - streams[0].number + 1;
    rf_status status = mark_chosen(worker, worker->job->sources[partition].stream_count, streams, count, err);
    if (status != RF_OK || !worker->job->reads_names)
        return status;
    return worker->stream_span == 1 ? rf_exchange_know_name(worker, streams[0].name, err)
                                    : rf_exchange_read_names(worker, partition, err);
}

bool rf_exchange_list_chosen(rf_exchange_worker *worker, rf_step *step)
{
    rf_plan_segment *bound = &step->bound;
    uint32_t begin = bound->listed ? 0 : step->log.begin;
    uint32_t end = bound->listed ? bound->listed_count : step->log.end;
    size_t segment = step->log.segment.count;
    uint32_t *listed = rf_arena_alloc(&worker->scratch, segment * sizeof *listed);
    uint32_t *ordinals = rf_arena_alloc(&worker->scratch, segment * sizeof *ordinals);
    uint32_t *next = rf_arena_alloc(&worker->scratch, bound->type_count * sizeof *next);
    uint32_t count = 0;

    if (!listed || !ordinals || !next)
        return false;
    for (uint32_t t = 0; t < bound->type_count; t++)
        next[t] = bound->types[t].events_before;
    for (uint32_t at = begin; at < end; at++) {
        uint32_t i = bound->listed ? bound->listed[at] : at;
        uint32_t ordinal = next[bound->event_types[i]]++;
        uint32_t stream = bound->event_streams[i];
        if (stream - worker->first_stream >= worker->stream_span || !worker->touched[stream])
            continue;
        ordinals[i] = bound->event_ordinals ? bound->event_ordinals[i] : ordinal;
        listed[count++] = i;
    }
    bound->listed = listed;
    bound->listed_count = count;
    bound->event_ordinals = ordinals;
    return true;
}
