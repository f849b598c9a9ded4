/* Folding the events of a range of streams of one partition; see fold.h.
 *
 * A range goes: step (decoded by itself or ahead) -> lanes and fold, definition by definition ->
 * perhaps evacuate. The loop over a segment's events runs once for each definition: types and
 * stream numbers are in the nearest cache by then, and a definition's rows have it for themselves.
 */
#include "rebuild/fold_job.h"

#include "base/clock.h"
#include "log/listing.h"

#include <stdlib.h>

/* No budget but a border: an arena must have one. What is kept is what rows need, twice at most. */
#define TEXT_BYTES_MAX ((size_t)1 << 40)
#define PROGRESS_S 1.0
enum {
    MAPPED_BY_STEP = 1 << 20, /* a page of the tree leads to some hundred segments, but its way from the root
                                 is three, and each may come with what lies around it */
};
/* Where more than one event in as many has no handler, those that have one are listed first: a
 * processor cannot guess which do. */
enum { LISTED_SHARE = 8 };
enum { RANGE_STREAMS_MIN = 16 }; /* fewer are not folded together for the sake of their text */

/* ---- faults ---- */

/* The name of a stream of the worker's partition; "?" where it cannot be told. */
static rf_slice name_of(rf_fold_worker *worker, uint32_t number)
{
    const rf_log_names_wanted wanted = {.first = number, .count = 1};
    const rf_stream_name *names;
    uint32_t count = 0;

    rf_log_names_restart(worker->names, worker->partition);
    if (rf_log_names_next(worker->names, &wanted, &names, &count, NULL) != RF_OK || count == 0)
        return RF_SLICE("?");
    return names[0].name;
}

/* Adds the place of a segment's event to what went wrong there. */
rf_status rf_fold_blame(rf_fold_worker *worker, const rf_log_step *step, uint32_t event,
                        uint32_t target, rf_status failure, const char *reason, rf_err *err)
{
    const rf_segment *segment = &step->segment;
    int64_t *values = malloc(segment->count * sizeof *values);
    uint64_t position = 0;
    rf_slice type = {"?", 1};
    rf_slice stream = {"?", 1};

    if (values) {
        if (rf_segment_envelope(segment, RF_ENVELOPE_POSITION, values, NULL, NULL) == RF_OK)
            position = (uint64_t)values[event];
        if (rf_segment_envelope(segment, RF_ENVELOPE_TYPE, values, NULL, NULL) == RF_OK &&
            (uint64_t)values[event] < segment->type_count)
            type = segment->types[values[event]].name;
        if (rf_segment_envelope(segment, RF_ENVELOPE_STREAM, values, NULL, NULL) == RF_OK)
            stream = name_of(worker, (uint32_t)values[event]);
    }
    free(values);
    rf_status status =
        rf_fail(err, failure, "%s: %s, at position %llu (stream %.*s, type %.*s)",
                worker->job->definitions[target]->name, reason, (unsigned long long)position,
                (int)stream.size, stream.data, (int)type.size, type.data);
    if (err)
        err->position = position;
    worker->failure = (rf_fold_failure){position, target};
    return status;
}

/* ---- text ---- */

/* Lets go of text that no row refers to any more, where there is much of it. Between segments:
 * event structs refer to text too. */
static rf_status evacuate(rf_fold_worker *worker, rf_err *err)
{
    rf_arena fresh;
    rf_status status = RF_OK;

    if (worker->text.bytes <= worker->job->text_budget ||
        worker->text.bytes <= 2 * worker->text_live)
        return RF_OK;
    rf_arena_init(&fresh, TEXT_BYTES_MAX);
    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++)
        status = rf_state_move_texts(&worker->states[i], &fresh, err);
    /* after a failure rows refer to both; neither is read again */
    rf_arena_free(&worker->text);
    worker->text = fresh;
    worker->text_live = fresh.bytes;
    return status;
}

/* ---- folding ---- */

/* *handled_out: events of the segment whose type the definition handles. */
static rf_status set_lanes(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                           uint32_t *handled_out, rf_err *err)
{
    uint32_t type_count = step->bound.type_count;

    if (type_count > worker->lane_capacity) {
        free(worker->lanes);
        free(worker->wanted);
        worker->lanes = aligned_alloc(_Alignof(rf_fold_lane), type_count * sizeof *worker->lanes);
        worker->wanted = malloc(type_count);
        worker->lane_capacity = worker->lanes && worker->wanted ? type_count : 0;
        if (worker->lane_capacity == 0)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", type_count);
    }
    *handled_out = 0;
    for (uint32_t t = 0; t < type_count; t++) {
        const rf_plan_type *type = &step->bound.types[t];
        rf_fold_lane lane = {.ordinal = type->events_before};
        for (uint32_t c = 0; c < type->call_count; c++) {
            if (type->calls[c].definition != target)
                continue;
            if (!lane.calls)
                lane.calls = &type->calls[c];
            lane.call_count++;
        }
        worker->lanes[t] = lane;
        worker->wanted[t] = lane.call_count > 0;
        *handled_out += lane.call_count > 0 ? type->count : 0;
    }
    return RF_OK;
}

rf_status rf_fold_refuse_result(rf_fold_worker *worker, const rf_log_step *step, uint32_t event,
                                uint32_t target, rf_fold_result result, rf_err *err)
{
    const char *reason = worker->context.reason;

    if (worker->out_of_memory)
        return rf_fold_blame(worker, step, event, target, RF_ERR_MEMORY,
                     "out of memory for text that a handler makes (16 MiB a piece at most)", err);
    if (result != RF_FOLD_FAILED)
        reason = "a handler returned what is no rf_fold_result";
    else if (reason[0] == '\0')
        reason = RF_FOLD_NO_REASON;
    return rf_fold_blame(worker, step, event, target, RF_ERR_PLUGIN, reason, err);
}

/* Where the row of a stream stands, with its first bytes if it is new. */
static inline __attribute__((always_inline)) char *row_of(const rf_state *state, uint32_t stream)
{
    char *row = state->rows + stream * state->stride;
    uint8_t *flags = &state->flags[stream];

    if (!(*flags & RF_STATE_TOUCHED)) {
        memcpy(row, state->definition->row_template, state->definition->row_size);
        *flags = RF_STATE_TOUCHED;
    }
    return row;
}

/* Tells the row's flags what became of it. */
static inline __attribute__((always_inline)) void note_result(const rf_state *state,
                                                              uint32_t stream,
                                                              rf_fold_result result)
{
    if (result == RF_ROW_WRITTEN)
        state->flags[stream] = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    else if (result == RF_ROW_DELETED)
        state->flags[stream] = 0;
}

/* One handler for one event. */
static inline __attribute__((always_inline)) rf_fold_result
call_handler(rf_fold *fold, const rf_state *state, const rf_plan_call *call, uint32_t event,
             uint32_t ordinal, uint32_t stream)
{
    rf_fold_result result =
        call->fold(fold, row_of(state, stream), rf_plan_event(call, event, ordinal, stream));

    note_result(state, stream, result);
    return result;
}

static inline bool is_fine(rf_fold_result result)
{
    return result == RF_ROW_WRITTEN || result == RF_ROW_UNCHANGED || result == RF_ROW_DELETED;
}

/* Several handlers for one event, in their order, up to one that fails. */
__attribute__((noinline)) rf_fold_result rf_fold_call(rf_fold *fold, const rf_state *state,
                                                      const rf_fold_lane *lane, uint32_t event,
                                                      uint32_t ordinal, uint32_t stream)
{
    rf_fold_result result = RF_ROW_UNCHANGED;

    for (uint32_t i = 0; i < lane->call_count && is_fine(result); i++)
        result = call_handler(fold, state, &lane->calls[i], event, ordinal, stream);
    return result;
}

/* Blocks for the types that have one handler and enough events. */
static void begin_blocks(rf_fold_worker *worker, const rf_step *step)
{
    size_t used = 0;

    for (uint32_t t = 0; t < step->bound.type_count; t++) {
        rf_fold_lane *lane = &worker->lanes[t];
        uint32_t count = step->bound.types[t].ordinal_count;
        size_t size = lane->call_count == 1 ? rf_event_block_size(lane->calls, count) : 0;
        if (size == 0 || size > RF_FOLD_BLOCKS_BYTES - used)
            continue;
        rf_event_block_begin(&lane->block, lane->calls, worker->blocks + used, lane->ordinal, count);
        used += size;
    }
}

/* The loop that everything else is there for: over the events begin to end of a segment, or over
 * those that are listed. Inlined for each of these, `listed` being NULL or not. One handler a type is
 * what most have, so several go another way. */
static inline __attribute__((always_inline)) rf_status
fold_events(rf_fold_worker *worker, const rf_step *step, uint32_t target, const uint32_t *listed,
            uint32_t begin, uint32_t end, rf_err *err)
{
    const rf_state *state = &worker->states[target];
    const rf_fold_range range = worker->range;
    rf_fold *fold = &worker->context.fold;
    rf_fold_lane *lanes = worker->lanes;
    const uint32_t *types = step->bound.event_types;
    const uint32_t *streams = step->bound.event_streams;
    uint64_t events = 0;

    begin_blocks(worker, step);
    for (uint32_t at = begin; at < end; at++) {
        uint32_t i = listed ? listed[at] : at;
        rf_fold_lane *lane = &lanes[types[i]];
        uint32_t stream = streams[i] - range.first;
        rf_fold_result result;
        if (__builtin_expect(lane->block.call != NULL, true)) {
            const void *event = rf_event_block_next(&lane->block, i);
            if (stream >= range.count)
                continue;
            result = lane->block.fold(fold, row_of(state, stream), event);
            note_result(state, stream, result);
        } else {
            uint32_t ordinal = lane->ordinal++;
            if (lane->call_count == 0 || stream >= range.count)
                continue;
            result = rf_fold_call(fold, state, lane, i, ordinal, stream);
        }
        events++;
        if (__builtin_expect(!is_fine(result) || worker->out_of_memory, false))
            return rf_fold_refuse_result(worker, &step->log, i, target, result, err);
    }
    worker->events[target] += events;
    return RF_OK;
}

/* The same where an event's ordinal cannot be told by counting. */
static rf_status fold_split_events(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                                   rf_err *err)
{
    const rf_fold_range range = worker->range;
    uint64_t events = 0;

    for (uint32_t i = step->log.begin; i < step->log.end; i++) {
        const rf_fold_lane *lane = &worker->lanes[step->bound.event_types[i]];
        uint32_t stream = step->bound.event_streams[i] - range.first;
        if (lane->call_count == 0 || stream >= range.count)
            continue;
        rf_fold_result result = rf_fold_call(&worker->context.fold, &worker->states[target], lane, i,
                                             step->bound.event_ordinals[i], stream);
        events++;
        if (!is_fine(result) || worker->out_of_memory)
            return rf_fold_refuse_result(worker, &step->log, i, target, result, err);
    }
    worker->events[target] += events;
    return RF_OK;
}

/* Lists the events whose type has a handler, without a branch an event. */
static uint32_t list_handled(rf_fold_worker *worker, const rf_step *step)
{
    uint32_t begin = step->log.begin;
    uint32_t count = (uint32_t)rf_list_wanted(step->bound.event_types + begin,
                                              step->log.end - begin, worker->wanted,
                                              step->bound.type_count, worker->listed);

    for (uint32_t i = 0; begin > 0 && i < count; i++)
        worker->listed[i] += begin;
    return count;
}

/* The events of a definition whose handlers a runner runs. */
static rf_status run_events(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                            const uint32_t *listed, uint32_t begin, uint32_t end, rf_err *err)
{
    uint32_t event = UINT32_MAX;
    rf_err found = {0};

    rf_status status =
        rf_fold_batch_events(worker, step, target, listed, begin, end, &event, &found);
    if (status == RF_OK)
        return RF_OK;
    if (event != UINT32_MAX)
        return rf_fold_blame(worker, &step->log, event, target, status, found.message, err);
    if (err)
        *err = found;
    return status;
}

static rf_status fold_target(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                             rf_err *err)
{
    uint32_t handled = 0;

    rf_status status = set_lanes(worker, step, target, &handled, err);
    if (status != RF_OK || handled == 0)
        return status;
    if (rf_fold_needs_guard(worker, step, target))
        return rf_fold_guarded(worker, step, target, err);
    const uint32_t *listed = step->bound.listed;
    uint32_t count = step->bound.listed_count;
    const uint32_t *ordinals = step->bound.event_ordinals;
    if (!listed && !ordinals &&
        handled <= step->log.segment.count / LISTED_SHARE * (LISTED_SHARE - 1)) {
        listed = worker->listed;
        count = list_handled(worker, step);
    }
    if (worker->runners[target])
        return listed ? run_events(worker, step, target, listed, 0, count, err)
                      : run_events(worker, step, target, NULL, step->log.begin, step->log.end, err);
    if (ordinals)
        return fold_split_events(worker, step, target, err);
    return listed ? fold_events(worker, step, target, listed, 0, count, err)
                  : fold_events(worker, step, target, NULL, step->log.begin, step->log.end, err);
}

static rf_status fold_step(rf_fold_worker *worker, const rf_step *step, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && step->bound.event_types && i < worker->job->target_count;
         i++)
        status = fold_target(worker, step, i, err);
    return status;
}

static void report_progress(rf_fold_worker *worker, uint32_t events)
{
    rf_fold_job *job = worker->job;
    uint64_t done = atomic_fetch_add_explicit(&job->events_done, events, memory_order_relaxed);
    double now;

    if (!job->options->progress || worker->index != 0)
        return;
    now = rf_clock_seconds();
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

/* Pages of the log that were mapped, to find segments or to read payloads, stay in the system's cache,
 * but need not count as ours. */
static void unload_log(rf_fold_worker *worker, const rf_step *step)
{
    rf_slice segment = step->log.segment.bytes;
    uint64_t read = segment.size > RF_LOG_MAPPED_AROUND ? segment.size : RF_LOG_MAPPED_AROUND;

    rf_log_touched(worker->job->log, &worker->mapped, segment,
                   step->bound.payloads_read ? read : MAPPED_BY_STEP);
}

/* One step, if there is one. */
static rf_status take_step(rf_fold_worker *worker, bool *found_out, rf_err *err)
{
    rf_step *step = NULL;
    rf_plan_fault fault;
    rf_err found = {0};

    rf_status status = rf_steps_next(worker->steps, &step, &fault, &found);
    *found_out = step != NULL;
    if (status != RF_OK && step && fault.event != UINT32_MAX)
        return rf_fold_blame(worker, &step->log, fault.event, fault.definition, status, found.message, err);
    if (status != RF_OK && err)
        *err = found;
    if (status != RF_OK || !step)
        return status;
    double start = rf_clock_seconds();
    status = fold_step(worker, step, err);
    uint32_t events = step->log.end - step->log.begin;
    unload_log(worker, step);
    rf_steps_done(worker->steps, step);
    if (status == RF_OK)
        status = evacuate(worker, err);
    worker->fold_s += rf_clock_seconds() - start;
    report_progress(worker, events);
    return status;
}

rf_status rf_fold_range_fold(rf_fold_worker *worker, bool *fits_out, rf_err *err)
{
    const rf_fold_job *job = worker->job;
    const rf_steps_range range = {
        .partition = worker->partition,
        .first = worker->range.first,
        .count = worker->range.count,
        .stream_count = worker->stream_count,
        .streams = worker->names_by_number,
        .categories = worker->categories_by_number,
        .text = &worker->text,
        .from = job->options->from,
    };
    bool found = true;
    bool fits = true;
    rf_status status = RF_OK;

    rf_steps_begin(worker->steps, &range);
    while (status == RF_OK && found && fits) {
        if (job->options->cancel && *job->options->cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED,
                             "interrupted while folding; what was live is live");
        else
            status = take_step(worker, &found, err);
        fits = worker->text_live <= job->text_budget || !job->options->spill_dir ||
               worker->range.count <= RANGE_STREAMS_MIN;
    }
    rf_steps_end(worker->steps);
    *fits_out = fits;
    return status;
}
