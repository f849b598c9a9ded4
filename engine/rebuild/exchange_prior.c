/* What a fold that begins behind the log's first event needs to know of the events before it, and has in
 * no stored row; see exchange.h.
 *
 * Which streams of a partition have events is read first, from the segments' columns of streams. What
 * these carry then comes from their earlier events: the partition's earlier segments are gone through,
 * but only those are decoded that have any event of these streams that carries, and only the fields that
 * are carried. And before a handler of every row is called first for a stream, the stream's stored rows are
 * looked for.
 */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

/* ---- streams that have events ---- */

static rf_status open_scan(rf_exchange_worker *worker, uint32_t partition, uint64_t from,
                           uint64_t until, rf_err *err)
{
    return worker->scan ? rf_log_scan_restart(worker->scan, partition, from, until, err)
                        : rf_log_scan_open(worker->job->log, partition, from, until, &worker->scan,
                                           err);
}

static rf_status mark_step(rf_exchange_worker *worker, const rf_log_step *step, uint32_t partition,
                           rf_err *err)
{
    uint32_t stream_count = worker->job->sources[partition].stream_count;
    rf_status status = rf_segment_envelope(&step->segment, RF_ENVELOPE_STREAM, worker->positions,
                                           NULL, err);

    for (uint32_t i = step->begin; status == RF_OK && i < step->end; i++) {
        uint64_t stream = (uint64_t)worker->positions[i];
        if (stream >= stream_count)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: an event is of stream number %llu",
                           partition, (unsigned long long)stream);
        worker->touched_count += !worker->touched[stream];
        worker->touched[stream] = 1;
    }
    return status;
}

rf_status rf_exchange_mark_streams(rf_exchange_worker *worker, uint32_t partition, uint64_t from,
                                   uint64_t until, rf_err *err)
{
    uint32_t stream_count = worker->job->sources[partition].stream_count;
    uint8_t *touched = realloc(worker->touched, stream_count ? stream_count : 1);
    rf_log_step step;
    bool found = true;

    if (!touched)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u streams", stream_count);
    memset(touched, 0, stream_count);
    worker->touched = touched;
    worker->touched_count = 0;
    rf_status status = open_scan(worker, partition, from, until, err);
    while (status == RF_OK && found) {
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status == RF_OK && found)
            status = mark_step(worker, &step, partition, err);
    }
    return status;
}

/* ---- what they carry ---- */

/* The first marked stream that is not below `stream`; the count of streams where there is none. */
static uint32_t next_touched(const rf_exchange_worker *worker, uint32_t stream, uint32_t count)
{
    const uint8_t *at = stream < count ? memchr(worker->touched + stream, 1, count - stream) : NULL;

    return at ? (uint32_t)(at - worker->touched) : count;
}

/* Whether a segment of these numbers may have events of marked streams. */
static bool spans_touched(const void *arg, uint32_t stream_min, uint32_t stream_max)
{
    const rf_exchange_worker *worker = arg;
    uint32_t end = worker->first_stream + worker->stream_span;
    uint32_t next = next_touched(worker, stream_min, end);

    return next < end && next <= stream_max;
}

/* Goes along with a segment's events: which of them were left out, and carry nothing. */
typedef struct left_out {
    const rf_fault_policy *policy;
    uint32_t skip;
    const rf_plan_faulty *faulty, *faulty_end;
} left_out;

static bool is_left_out(left_out *along, uint32_t index, uint64_t position)
{
    const rf_fault_policy *policy = along->policy;

    while (along->skip < policy->skip_count && policy->skips[along->skip] < position)
        along->skip++;
    while (along->faulty < along->faulty_end && along->faulty->event < index)
        along->faulty++;
    return (along->skip < policy->skip_count && policy->skips[along->skip] == position) ||
           (along->faulty < along->faulty_end && along->faulty->event == index);
}

/* False at a fault. Where positions are not known, that of the segment stands for them: nothing but the lack
 * of memory is told by it. */
static bool carry_events(rf_exchange_worker *worker, const rf_step *step, bool knows_positions,
                         rf_exchange_source *source)
{
    const rf_plan_segment *bound = &step->bound;
    const rf_fault_policy *policy = &worker->job->target->policy;
    uint64_t first = step->log.segment.first_position;
    uint32_t begin = bound->listed ? 0 : step->log.begin;
    uint32_t end = bound->listed ? bound->listed_count : step->log.end;
    left_out along = {policy, rf_fault_policy_seek(policy, first), bound->faults,
                      bound->faults + bound->fault_count};
    bool fine = true;

    for (uint32_t at = begin; fine && at < end; at++) {
        uint32_t i = bound->listed ? bound->listed[at] : at;
        rf_exchange_lane *lane = &worker->lanes[bound->event_types[i]];
        const rf_exchange_stand stand = {knows_positions ? (uint64_t)worker->positions[i] : first,
                                         bound->event_streams[i], source};
        uint32_t ordinal = bound->event_ordinals ? bound->event_ordinals[i] : lane->ordinal++;
        if (lane->call_count == 0 || !worker->touched[stand.stream] ||
            is_left_out(&along, i, stand.position))
            continue;
        for (uint32_t c = 0; fine && c < lane->call_count; c++)
            fine = rf_exchange_scatter_call(worker, &lane->calls[c], &stand, i, ordinal);
    }
    return fine;
}

/* What a segment's events of marked streams gave these. */
static rf_status carry_step(rf_exchange_worker *worker, const rf_log_step *log, uint32_t partition,
                            bool *fine_out, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_exchange_source *source = &job->sources[partition];
    const rf_plan_input input = {
        .segment = &log->segment,
        .begin = log->begin,
        .end = log->end,
        .stream_count = source->stream_count,
        .stream_first = worker->first_stream,
        .stream_end = worker->first_stream + worker->stream_span,
        .wanted = worker->touched,
        .streams = worker->names_by_number,
        .categories = worker->categories_by_number,
        .text = &worker->prior_text,
    };
    rf_step step = {.log = *log};
    rf_plan_fault fault;
    bool skips = rf_fault_policy_skips_any(&job->target->policy, log->segment.first_position,
                                           log->segment.last_position);

    rf_arena_rewind(&worker->prior_text);
    rf_status status = rf_plan_bind(worker->prior_plan, &input, &step.bound, &fault, err);
    if (status != RF_OK || !step.bound.event_types)
        return status;
    status = skips ? rf_exchange_begin_segment(worker, &step, err)
                   : rf_exchange_set_lanes(worker, &step, err);
    if (status == RF_OK)
        *fine_out = carry_events(worker, &step, skips, source);
    rf_exchange_unload_log(worker, &step);
    return status;
}

static rf_status make_plan(rf_exchange_worker *worker, rf_err *err)
{
    const rf_exchange *job = worker->job;

    if (worker->prior_plan)
        return RF_OK;
    worker->prior_plan =
        rf_plan_new(&job->carries_of, 1, job->census_types, job->census_type_count);
    if (!worker->prior_plan)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a plan");
    if (!rf_fault_policy_is_strict(&job->target->policy))
        rf_plan_be_lenient(worker->prior_plan);
    rf_plan_set_cancel(worker->prior_plan, job->options->cancel);
    return RF_OK;
}

void rf_exchange_span_touched(rf_exchange_worker *worker, uint32_t stream_count)
{
    uint32_t last = stream_count - 1;

    RF_ASSERT(worker->touched_count > 0);
    while (!worker->touched[last])
        last--;
    worker->first_stream = next_touched(worker, 0, stream_count);
    worker->stream_span = last - worker->first_stream + 1;
}

/* The names of the worker's range of numbers, where a carry reads these. */
static rf_status set_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    worker->names_by_number = worker->categories_by_number = NULL;
    return rf_plan_reads_stream(worker->prior_plan) || rf_plan_reads_category(worker->prior_plan)
               ? rf_exchange_read_names(worker, partition, err)
               : RF_OK;
}

rf_status rf_exchange_carry_prior(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_exchange *job = worker->job;
    rf_log_step step;
    bool fine = true;
    bool found = true;

    RF_ASSERT(worker->touched_count > 0 && job->options->from > 1);
    rf_status status = make_plan(worker, err);
    if (status == RF_OK)
        status = set_names(worker, partition, err);
    if (status == RF_OK)
        status = open_scan(worker, partition, 1, job->options->from - 1, err);
    if (status == RF_OK)
        rf_log_scan_only(worker->scan, spans_touched, worker);
    while (status == RF_OK && found && fine) {
        if (job->options->cancel && *job->options->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while folding; what was live is live");
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status == RF_OK && found)
            status = carry_step(worker, &step, partition, &fine, err);
    }
    rf_arena_rewind(&worker->prior_text);
    return status;
}

/* ---- rows of a stream ---- */

/* What a stored key of a stream that is asked about leads to. */
typedef struct listing {
    rf_exchange_worker *worker;
    const rf_exchange_stand *at;
} listing;

/* The row comes to its stream's list when the record is folded, which is no call. */
static rf_status list_row(void *arg, rf_slice key, rf_err *err)
{
    const listing *list = arg;
    rf_exchange_worker *worker = list->worker;
    const rf_keying *keying = &worker->job->keying;
    const rf_plan_call nothing = {.event = NULL};
    const rf_exchange_call call = {.plan = &nothing,
                                   .index = (uint16_t)keying->derived.handler_count};

    rf_exchange_place place = rf_exchange_find(worker, key, list->at->position);
    if (place < RF_PLACE_ROWS) /* of another pass */
        return RF_OK;
    list->at->source->row_sets[list->at->stream] |= (uint64_t)1 << (place >> RF_PLACE_SHIFT & 63);
    return rf_exchange_put(worker, &call, list->at->position, place)
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for the events of a window");
}

bool rf_exchange_list_rows(rf_exchange_worker *worker, const rf_exchange_stand *at,
                           rf_slice stream_key)
{
    const rf_fold_target *target = worker->job->target;
    listing list = {worker, at};
    rf_err failure = {0};

    if (at->source->asked[at->stream])
        return true;
    at->source->asked[at->stream] = true;
    rf_status status = target->list(target->sink_arg, worker->index, stream_key, list_row, &list,
                                    &failure);
    if (status != RF_OK)
        rf_exchange_fault(worker->job, status, at->position, 0, RF_SLICE(""), failure.message);
    return status == RF_OK;
}
