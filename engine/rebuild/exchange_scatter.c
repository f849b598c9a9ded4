/* Scattering: one partition of the log in one window; see exchange.h.
 *
 * Step by step, by call (exchange_calls.c) or, where events have to be taken in their order, event by
 * event: for each its calls in order, each with its struct put together by the plan, then what is
 * carried, then its key. What comes out is a record in the bucket of the row's partition or, where
 * columns are combined, a change of the worker's own rows. Keys that a column has in a dictionary
 * are looked at once a segment, by code.
 */
#include "rebuild/exchange_job.h"

#include "base/clock.h"

#include <stdlib.h>

#define PROGRESS_S 1.0

void rf_exchange_drop_text(rf_exchange_worker *worker)
{
    rf_arena_rewind(&worker->text);
    if (worker->text.spare_bytes > worker->job->text_budget)
        rf_arena_free(&worker->text);
}

/* ---- a segment ---- */

static rf_status reserve_lanes(rf_exchange_worker *worker, uint32_t count, rf_err *err)
{
    if (count <= worker->lane_capacity)
        return RF_OK;
    free(worker->lanes);
    worker->lanes = malloc(count * sizeof *worker->lanes);
    worker->lane_capacity = worker->lanes ? count : 0;
    return worker->lanes
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", count);
}

/* Where the texts of a call's events stand that are at `offset` in its struct; they may be by codes. */
static const rf_slice *texts_at(const rf_plan_call *call, uint32_t offset,
                                const uint32_t **codes_out)
{
    for (uint32_t i = 0; i < call->word_count; i++)
        if (call->words[i].offset == offset && call->words[i].by_ordinal == sizeof(rf_slice))
            return (const rf_slice *)(const void *)call->words[i].from;
    for (uint32_t i = 0; i < call->move_count; i++) {
        const rf_plan_move *move = &call->moves[i];
        if (move->offset != offset || move->by != RF_BY_ORDINAL || move->size != sizeof(rf_slice))
            continue;
        *codes_out = move->codes;
        return (const rf_slice *)(const void *)move->from;
    }
    return NULL;
}

static rf_exchange_way way_of(const rf_keying_handler *handler)
{
    if (!handler->handler)
        return RF_EXCHANGE_CARRY;
    if (handler->every_row)
        return RF_EXCHANGE_EVERY_ROW;
    if (handler->from_place)
        return RF_EXCHANGE_CARRIED;
    return handler->is_text && handler->text_slot == UINT32_MAX ? RF_EXCHANGE_TEXT
                                                                : RF_EXCHANGE_ANY;
}

/* Places by code, none of which is known; NULL without memory. */
static rf_exchange_place *make_known(rf_exchange_worker *worker, const uint32_t *codes,
                                     uint32_t count)
{
    uint32_t last = 0;

    for (uint32_t i = 0; i < count; i++)
        last = codes[i] > last ? codes[i] : last;
    size_t size = ((size_t)last + 1) * sizeof(rf_exchange_place);
    rf_exchange_place *known = rf_arena_alloc(&worker->scratch, size);
    if (known)
        memset(known, 0, size);
    return known;
}

/* False without memory. */
static bool set_call(rf_exchange_worker *worker, const rf_plan_call *plan, uint32_t count,
                     rf_exchange_call *call)
{
    const rf_keying *keying = &worker->job->keying;
    const rf_keying_handler *handler = rf_keying_of(keying, plan->handler);

    *call = (rf_exchange_call){
        .plan = plan,
        .handler = handler,
        .event_size = handler->event_size,
        .index = (uint16_t)(handler - keying->handlers),
        .way = (uint8_t)way_of(handler),
        .fills = plan->handler->field_count > 0,
    };
    while (call->word_count < plan->word_count &&
           plan->words[call->word_count].offset < plan->handler->event_size)
        call->word_count++;
    bool carries = call->way == RF_EXCHANGE_CARRY && keying->slots[handler->slot].is_place;
    if (call->way != RF_EXCHANGE_TEXT && !carries)
        return true;
    call->key_offset = carries ? handler->value.offset : handler->parts[0].offset;
    call->numbers = plan->numbers;
    if (call->numbers)
        rf_exchange_know_numbers(worker, call);
    else
        call->texts = texts_at(plan, call->key_offset, &call->codes);
    if (!call->codes)
        return true;
    call->way = carries ? call->way : RF_EXCHANGE_CODED_TEXT;
    call->known = make_known(worker, call->codes, count);
    return call->known != NULL;
}

rf_status rf_exchange_set_lanes(rf_exchange_worker *worker, const rf_step *step, rf_err *err)
{
    uint32_t type_count = step->bound.type_count;
    bool made = true;

    rf_arena_rewind(&worker->scratch);
    rf_exchange_run_forget(worker);
    rf_status status = reserve_lanes(worker, type_count, err);
    for (uint32_t t = 0; status == RF_OK && t < type_count; t++) {
        const rf_plan_type *bound = &step->bound.types[t];
        rf_exchange_lane *lane = &worker->lanes[t];
        *lane = (rf_exchange_lane){
            .calls = rf_arena_alloc(&worker->scratch, bound->call_count * sizeof *lane->calls),
            .call_count = bound->call_count,
            .ordinal = bound->events_before,
        };
        made = lane->calls != NULL;
        for (uint32_t c = 0; made && c < bound->call_count; c++) {
            made = set_call(worker, &bound->calls[c], bound->ordinal_count, &lane->calls[c]);
            lane->is_handled = lane->is_handled || lane->calls[c].way != RF_EXCHANGE_CARRY;
        }
        if (!made)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's keys");
        if (worker->job->guard.on && lane->is_handled &&
            (lane->call_count > 1 || lane->calls[0].handler->every_row))
            atomic_store_explicit(&worker->job->guard.several, true, memory_order_relaxed);
    }
    return status;
}

rf_status rf_exchange_begin_segment(rf_exchange_worker *worker, const rf_step *step, rf_err *err)
{
    rf_status status = rf_segment_envelope(&step->log.segment, RF_ENVELOPE_POSITION,
                                           worker->positions, NULL, err);

    return status == RF_OK ? rf_exchange_set_lanes(worker, step, err) : status;
}

/* ---- an event ---- */

__attribute__((noinline)) bool rf_exchange_no_memory(rf_exchange_worker *worker, uint64_t position)
{
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                      "out of memory for the events of a window");
    return false;
}

/* A record for the fold or, where columns are combined, for the worker's own rows. */
static bool put_record(rf_exchange_worker *worker, const rf_exchange_call *call,
                       const rf_exchange_stand *at, rf_exchange_place place)
{
    if (!worker->own)
        return rf_exchange_put(worker, call, at->position, place) ||
               rf_exchange_no_memory(worker, at->position);
    return rf_exchange_wait(worker, call, at->position, place);
}

/* A handler of every row: to all partitions that may have rows of the stream. */
static bool broadcast(rf_exchange_worker *worker, const rf_exchange_call *call, const rf_exchange_stand *at)
{
    const rf_exchange *job = worker->job;
    rf_key_bytes key;

    if (at->source->row_sets[at->stream] == 0 && !at->source->asked)
        return true;
    worker->goes_on = false;
    if (!rf_exchange_stream_key(worker, call->handler, call->plan->event, at->position, &key))
        return worker->goes_on;
    if (at->source->asked && !rf_exchange_list_rows(worker, at, rf_key_slice(&key)))
        return false;
    uint64_t set = at->source->row_sets[at->stream];
    for (uint32_t target = 0; target < job->partition_count; target++) {
        if (!job->active[target] || !(set >> (target & 63) & 1))
            continue;
        rf_exchange_place place =
            rf_exchange_find_stream(worker, rf_key_slice(&key), target, at->position);
        if (place < RF_PLACE_ROWS || !put_record(worker, call, at, place))
            return false;
    }
    return true;
}

/* The call to the row that its key leads to. False at a fault: the partition ends there. */
static bool deliver(rf_exchange_worker *worker, const rf_exchange_call *call, const rf_exchange_stand *at,
                    rf_exchange_place place)
{
    if (place < RF_PLACE_ROWS)
        return rf_exchange_refuse_place(worker, call->handler, place, at->position);
    if (at->source->row_sets)
        at->source->row_sets[at->stream] |= (uint64_t)1 << (place >> RF_PLACE_SHIFT & 63);
    return put_record(worker, call, at, place);
}

static bool carry(rf_exchange_worker *worker, const rf_exchange_call *call, const rf_exchange_stand *at,
                  uint32_t ordinal)
{
    rf_carried *carried = &at->source->carried;
    const rf_keying_handler *handler = call->handler;
    rf_slice text;

    if (!carried->slots[handler->slot].is_place)
        return rf_keying_carry(handler, carried, at->stream, call->plan->event) ||
               rf_exchange_no_memory(worker, at->position);
    memcpy(&text, call->plan->event + handler->value.offset, sizeof text);
    rf_exchange_place place =
        call->numbers ? rf_exchange_find_number(worker, call, ordinal, at->position)
                      : rf_exchange_find_text(worker, text, at->position);
    if (place != RF_PLACE_NONE)
        *rf_carried_at(carried, handler->slot, at->stream) = (int64_t)place;
    return true;
}

/* One call. False where the event is a fault, or one before it. */
static bool scatter_call(rf_exchange_worker *worker, const rf_exchange_call *call,
                         const rf_exchange_stand *at, uint32_t ordinal)
{
    const rf_carried *carried = &at->source->carried;
    const char *event = call->plan->event;
    rf_exchange_place place;
    rf_slice text;
    bool fine;

    switch ((rf_exchange_way)call->way) {
    case RF_EXCHANGE_CODED_TEXT:
        place = call->known[call->codes[ordinal]];
        if (place != RF_PLACE_NONE)
            return deliver(worker, call, at, place);
        memcpy(&text, event + call->key_offset, sizeof text);
        place = rf_exchange_find_text(worker, text, at->position);
        call->known[call->codes[ordinal]] = place;
        return deliver(worker, call, at, place);
    case RF_EXCHANGE_TEXT:
        if (call->numbers)
            return deliver(worker, call, at,
                           rf_exchange_find_number(worker, call, ordinal, at->position));
        memcpy(&text, event + call->key_offset, sizeof text);
        return deliver(worker, call, at, rf_exchange_find_text(worker, text, at->position));
    case RF_EXCHANGE_CARRIED:
        place = (rf_exchange_place)*rf_carried_at(carried, call->handler->text_slot, at->stream);
        return deliver(worker, call, at, place);
    case RF_EXCHANGE_CARRY:
        return carry(worker, call, at, ordinal);
    case RF_EXCHANGE_EVERY_ROW:
        return broadcast(worker, call, at);
    case RF_EXCHANGE_ANY:
        break;
    }
    place = rf_exchange_make_key(worker, call->handler, carried, at->stream, event, at->position,
                                 &fine);
    return fine && deliver(worker, call, at, place);
}

/* All calls of an event. */
static bool
scatter_event(rf_exchange_worker *worker, const rf_exchange_lane *lane, const rf_exchange_stand *at,
              uint32_t index, uint32_t ordinal)
{
    bool fine = true;

    for (uint32_t c = 0; fine && c < lane->call_count; c++) {
        const rf_exchange_call *call = &lane->calls[c];
        if (call->fills)
            (void)rf_plan_event(call->plan, index, ordinal, at->stream - worker->first_stream);
        if (call->handler->carried_count > 0)
            rf_keying_put_carried(call->handler, &at->source->carried, at->stream,
                                  call->plan->event);
        fine = scatter_call(worker, call, at, ordinal);
    }
    return fine;
}

/* The step's events, in order. False at a fault. */
static bool scatter_events(rf_exchange_worker *worker, const rf_step *step,
                           rf_exchange_source *source)
{
    const uint32_t *listed = step->bound.listed;
    uint32_t begin = listed ? 0 : step->log.begin;
    uint32_t end = listed ? step->bound.listed_count : step->log.end;
    const uint32_t *types = step->bound.event_types;
    const uint32_t *streams = step->bound.event_streams;
    uint64_t events = 0, keyless = 0;
    bool fine = true;

    for (uint32_t at = begin; fine && at < end; at++) {
        uint32_t i = listed ? listed[at] : at;
        rf_exchange_lane *lane = &worker->lanes[types[i]];
        const rf_exchange_stand place = {(uint64_t)worker->positions[i], streams[i], source};
        uint32_t ordinal =
            step->bound.event_ordinals ? step->bound.event_ordinals[i] : lane->ordinal++;
        if (lane->call_count == 0)
            continue;
        worker->lacks_key = false;
        fine = scatter_event(worker, lane, &place, i, ordinal);
        events += lane->is_handled;
        keyless += worker->lacks_key;
    }
    worker->events += worker->job->counts ? events : 0;
    worker->keyless += worker->job->counts ? keyless : 0;
    return (worker->pending_count == 0 || rf_exchange_combine(worker)) && fine;
}

bool rf_exchange_scatter_call(rf_exchange_worker *worker, const rf_exchange_call *call,
                              const rf_exchange_stand *at, uint32_t index, uint32_t ordinal)
{
    if (call->fills)
        (void)rf_plan_event(call->plan, index, ordinal, at->stream - worker->first_stream);
    if (call->handler->carried_count > 0)
        rf_keying_put_carried(call->handler, &at->source->carried, at->stream, call->plan->event);
    return scatter_call(worker, call, at, ordinal);
}

bool rf_exchange_scatter_event(rf_exchange_worker *worker, const rf_exchange_lane *lane,
                               const rf_exchange_stand *at, uint32_t index, uint32_t ordinal)
{
    return scatter_event(worker, lane, at, index, ordinal);
}

static void report_progress(rf_exchange_worker *worker, uint32_t events)
{
    rf_exchange *job = worker->job;
    uint64_t done = atomic_fetch_add_explicit(&job->events_done, events, memory_order_relaxed);

    if (!job->options->progress || worker->index != 0)
        return;
    double now = rf_clock_seconds();
    if (now - worker->last_progress < PROGRESS_S)
        return;
    worker->last_progress = now;
    const rf_progress progress = {
        .what = "rebuild",
        .done = done + events < job->options->until ? done + events : job->options->until,
        .total = job->options->until,
        .seconds = now - job->start,
    };
    job->options->progress(job->options->progress_arg, &progress);
}

/* See fold_events.c. */
void rf_exchange_unload_log(rf_exchange_worker *worker, const rf_step *step)
{
    rf_slice segment = step->log.segment.bytes;

    rf_log_touched(worker->job->log, &worker->mapped, segment,
                   segment.size > RF_LOG_MAPPED_AROUND ? segment.size : RF_LOG_MAPPED_AROUND);
}

/* Events of the step that was decoded; *fine_out is false at a fault. */
static rf_status scatter_step(rf_exchange_worker *worker, const rf_step *step, uint32_t partition,
                              bool *fine_out, rf_err *err)
{
    rf_exchange_source *source = &worker->job->sources[partition];

    *fine_out = true;
    if (!step->bound.event_types)
        return RF_OK;
    rf_status status = rf_exchange_begin_segment(worker, step, err);
    if (status != RF_OK)
        return status;
    rf_step chosen = {.log = step->log, .bound = step->bound};
    if (worker->job->options->chosen_count > 0) {
        if (!rf_exchange_list_chosen(worker, &chosen))
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
        step = &chosen;
    }
    uint64_t first = step->log.segment.first_position;
    uint64_t last = step->log.segment.last_position;
    if (step->bound.fault_count > 0 ||
        rf_fault_policy_skips_any(&worker->job->target->policy, first, last) ||
        rf_exchange_guard_knows_any(&worker->job->guard, first, last))
        *fine_out = rf_exchange_scatter_guarded(worker, step, source);
    else
        *fine_out = worker->job->by_call ? rf_exchange_take_segment(worker, step, source)
                                         : scatter_events(worker, step, source);
    return status;
}

/* The position of a segment's event that could not be decoded. */
static rf_status note_fault(rf_exchange_worker *worker, const rf_step *step, uint32_t event,
                            rf_status failure, const char *reason, rf_err *err)
{
    int64_t *values = malloc(step->log.segment.count * sizeof *values);

    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
    rf_status status =
        rf_segment_envelope(&step->log.segment, RF_ENVELOPE_POSITION, values, NULL, err);
    if (status == RF_OK)
        rf_exchange_fault(worker->job, failure, (uint64_t)values[event], 0, RF_SLICE(""), reason);
    free(values);
    return status;
}

/* One step, if there is one; *more_out is false at the end and at a fault. */
static rf_status take_step(rf_exchange_worker *worker, uint32_t partition, bool *more_out,
                           rf_err *err)
{
    rf_step *step = NULL;
    rf_plan_fault fault;
    rf_err found = {0};

    rf_status status = rf_steps_next(worker->steps, &step, &fault, &found);
    *more_out = false;
    if (status != RF_OK && step && fault.event != UINT32_MAX)
        return note_fault(worker, step, fault.event, status, found.message, err);
    if (status != RF_OK && err)
        *err = found;
    if (status != RF_OK || !step)
        return status;
    double start = rf_clock_seconds();
    status = scatter_step(worker, step, partition, more_out, err);
    uint32_t events = step->log.end - step->log.begin;
    rf_exchange_unload_log(worker, step);
    rf_steps_done(worker->steps, step);
    if (worker->own) { /* accumulators have copies of all that they need */
        rf_exchange_bound_own(worker, &worker->job->sources[partition].carried);
        rf_arena_rewind(&worker->made);
        if (!worker->job->reads_names)
            rf_exchange_drop_text(worker);
        if (!rf_carried_tidy(&worker->job->sources[partition].carried))
            status = rf_fail(err, RF_ERR_MEMORY, "out of memory for what is carried");
    }
    worker->fold_s += rf_clock_seconds() - start;
    report_progress(worker, events);
    return status;
}

rf_status rf_exchange_scatter(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_exchange *job = worker->job;
    bool more = true;

    if (worker->own) /* else records refer to it until they are folded */
        rf_exchange_drop_text(worker);
    if (job->sources[partition].idle)
        return RF_OK;
    rf_status status = rf_exchange_begin_names(worker, partition, err);
    if (status == RF_OK && !rf_carried_tidy(&job->sources[partition].carried))
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for what is carried");
    if (status != RF_OK)
        return status;
    const rf_steps_range range = {
        .partition = partition,
        .first = worker->first_stream,
        .count = worker->stream_span,
        .stream_count = job->sources[partition].stream_count,
        .streams = worker->names_by_number,
        .categories = worker->categories_by_number,
        .text = &worker->text,
        .from = job->from,
        .until = job->until,
    };
    rf_steps_begin(worker->steps, &range);
    while (status == RF_OK && more) {
        if (job->options->cancel && *job->options->cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED,
                             "interrupted while folding; what was live is live");
        else
            status = take_step(worker, partition, &more, err);
    }
    rf_steps_end(worker->steps);
    return status;
}
