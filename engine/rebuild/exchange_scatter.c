/* Scattering: one partition of the log in one window; see exchange.h.
 *
 * Step by step: for each event its calls in order, each with its struct put together by the plan,
 * then what is carried, then its key. What comes out is a record in the bucket of the key's
 * partition or, where columns are combined, a change of the worker's own rows. Keys that a column
 * has in a dictionary are looked at once a segment, by code.
 */
#include "rebuild/exchange_job.h"

#include "base/clock.h"

#include <stdlib.h>

#define PROGRESS_S 1.0
enum { MAPPED_AROUND = 2 << 20, KNOWN_FINE = 1, KNOWN_FAULT = 2 };

/* ---- buckets ---- */

void rf_exchange_empty_buckets(rf_exchange_worker *worker)
{
    for (uint32_t i = 0; i < worker->job->partition_count; i++) {
        rf_exchange_bucket *bucket = &worker->buckets[i];
        if (bucket->last) {
            bucket->last->next = worker->free_chunks;
            worker->free_chunks = bucket->first;
        }
        *bucket = (rf_exchange_bucket){0};
    }
}

static void free_chunks(rf_exchange_chunk *chunk)
{
    while (chunk) {
        rf_exchange_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void rf_exchange_free_buckets(rf_exchange_worker *worker)
{
    for (uint32_t i = 0; worker->buckets && i < worker->job->partition_count; i++)
        free_chunks(worker->buckets[i].first);
    free_chunks(worker->free_chunks);
    free(worker->buckets);
}

static rf_exchange_chunk *new_chunk(rf_exchange_worker *worker, uint32_t size)
{
    rf_exchange_chunk *chunk = worker->free_chunks;

    if (chunk && chunk->size >= size) {
        worker->free_chunks = chunk->next;
    } else {
        uint32_t room = size > worker->job->chunk_size ? size : worker->job->chunk_size;
        chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return NULL;
        chunk->size = room;
    }
    chunk->next = NULL;
    chunk->used = 0;
    return chunk;
}

/* Room for a record; NULL without memory. */
static inline rf_exchange_record *bucket_room(rf_exchange_worker *worker, uint32_t target,
                                              uint32_t size)
{
    rf_exchange_bucket *bucket = &worker->buckets[target];
    rf_exchange_chunk *chunk = bucket->last;

    if (__builtin_expect(!chunk || size > chunk->size - chunk->used, false)) {
        chunk = new_chunk(worker, size);
        if (!chunk)
            return NULL;
        if (bucket->last)
            bucket->last->next = chunk;
        else
            bucket->first = chunk;
        bucket->last = chunk;
    }
    rf_exchange_record *record = (rf_exchange_record *)(void *)(chunk->bytes + chunk->used);
    chunk->used += size;
    bucket->count++;
    return record;
}

void rf_exchange_drop_text(rf_exchange_worker *worker)
{
    rf_arena_rewind(&worker->text);
    if (worker->text.spare_bytes > worker->job->text_budget)
        rf_arena_free(&worker->text);
}

/* ---- names ---- */

/* The streams that have events in the window, as a range of numbers. */
static rf_status find_span(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_exchange *job = worker->job;
    uint32_t last = 0;
    rf_log_step step;
    bool found = true;

    worker->first_stream = UINT32_MAX;
    worker->stream_span = 0;
    rf_status status = worker->scan ? rf_log_scan_restart(worker->scan, partition, job->from,
                                                          job->until, err)
                                    : rf_log_scan_open(job->log, partition, job->from, job->until,
                                                       &worker->scan, err);
    while (status == RF_OK && found) {
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status != RF_OK || !found)
            break;
        if (step.segment.stream_min < worker->first_stream)
            worker->first_stream = step.segment.stream_min;
        last = step.segment.stream_max > last ? step.segment.stream_max : last;
    }
    if (status == RF_OK) /* no read transaction outlives what it was for */
        status = rf_log_scan_restart(worker->scan, partition, 0, 0, err);
    uint32_t count = job->sources[partition].stream_count;
    last = last < count ? last : count - 1; /* what is out of range may be newer */
    if (worker->first_stream <= last && count > 0)
        worker->stream_span = last - worker->first_stream + 1;
    return status;
}

/* Their names, and the names' first parts. */
static rf_status read_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_log_names_wanted wanted = {worker->first_stream, worker->stream_span, NULL, 0};
    size_t size = (size_t)worker->stream_span * sizeof(rf_slice);
    const rf_stream_name *names;
    uint32_t count = 1;
    rf_status status = RF_OK;

    worker->names_by_number = rf_arena_alloc(&worker->text, size);
    worker->categories_by_number = rf_arena_alloc(&worker->text, size);
    if (!worker->names_by_number || !worker->categories_by_number)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                       wanted.count);
    memset(worker->names_by_number, 0, size);
    rf_log_names_restart(worker->names, partition);
    while (status == RF_OK && count > 0 && wanted.count > 0) {
        status = rf_log_names_next(worker->names, &wanted, &names, &count, err);
        for (uint32_t i = 0; status == RF_OK && i < count; i++) {
            rf_slice name = rf_arena_copy(&worker->text, names[i].name);
            uint32_t index = names[i].number - wanted.first;
            if (!name.data)
                return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                               wanted.count);
            const char *end = memchr(name.data, '-', name.size);
            worker->names_by_number[index] = name;
            worker->categories_by_number[index] =
                (rf_slice){name.data, end ? (size_t)(end - name.data) : name.size};
        }
    }
    for (uint32_t i = 0; status == RF_OK && i < wanted.count; i++)
        if (!worker->names_by_number[i].data)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: stream number %u has no name",
                           partition, wanted.first + i);
    return status;
}

static rf_status begin_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_status status = RF_OK;

    worker->first_stream = 0;
    worker->stream_span = worker->job->sources[partition].stream_count;
    worker->names_by_number = worker->categories_by_number = NULL;
    if (!worker->job->reads_names)
        return RF_OK;
    status = find_span(worker, partition, err);
    return status == RF_OK && worker->stream_span > 0 ? read_names(worker, partition, err) : status;
}

/* ---- a segment ---- */

static rf_status reserve_types(rf_exchange_worker *worker, uint32_t count, rf_err *err)
{
    if (count <= worker->type_capacity)
        return RF_OK;
    free(worker->ordinals);
    free(worker->dictionaries);
    worker->ordinals = malloc(count * sizeof *worker->ordinals);
    worker->dictionaries = malloc(count * sizeof(rf_exchange_dictionary *));
    worker->type_capacity = worker->ordinals && worker->dictionaries ? count : 0;
    return worker->type_capacity
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", count);
}

/* The codes of a call's key, where it is a text that stands in a dictionary. */
static const uint32_t *codes_of(const rf_plan_call *call, const rf_keying_handler *handler)
{
    if (!handler->is_text || handler->text_slot != UINT32_MAX || handler->every_row)
        return NULL;
    for (uint32_t i = 0; i < call->move_count; i++) {
        const rf_plan_move *move = &call->moves[i];
        if (move->offset == handler->parts[0].offset && move->by == RF_BY_ORDINAL &&
            move->size == sizeof(rf_slice))
            return move->codes;
    }
    return NULL;
}

static rf_status set_dictionaries(rf_exchange_worker *worker, const rf_step *step, uint32_t type,
                                  rf_err *err)
{
    const rf_plan_type *bound = &step->bound.types[type];
    uint32_t count = step->log.segment.types[type].count;
    rf_exchange_dictionary *dictionaries =
        rf_arena_alloc(&worker->scratch, bound->call_count * sizeof *dictionaries);

    if (!dictionaries)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's keys");
    for (uint32_t c = 0; c < bound->call_count; c++) {
        const rf_plan_call *call = &bound->calls[c];
        const uint32_t *codes = codes_of(call, rf_keying_of(&worker->job->keying, call->handler));
        uint32_t last = 0;
        dictionaries[c] = (rf_exchange_dictionary){0};
        if (!codes)
            continue;
        for (uint32_t i = 0; i < count; i++)
            last = codes[i] > last ? codes[i] : last;
        rf_exchange_known *known =
            rf_arena_alloc(&worker->scratch, ((size_t)last + 1) * sizeof *known);
        if (!known)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's keys");
        memset(known, 0, ((size_t)last + 1) * sizeof *known);
        dictionaries[c] = (rf_exchange_dictionary){codes, known};
    }
    worker->dictionaries[type] = dictionaries;
    return RF_OK;
}

static rf_status begin_segment(rf_exchange_worker *worker, const rf_step *step, rf_err *err)
{
    uint32_t type_count = step->log.segment.type_count;

    rf_arena_rewind(&worker->scratch);
    rf_status status = reserve_types(worker, type_count, err);
    for (uint32_t t = 0; status == RF_OK && t < type_count; t++) {
        worker->ordinals[t] = step->bound.types[t].events_before;
        status = set_dictionaries(worker, step, t, err);
    }
    return status;
}

/* ---- an event ---- */

/* One call of one event, with all that is known of it. */
typedef struct scattered {
    const rf_keying_handler *handler;
    const char *event;
    uint64_t position;
    uint32_t stream; /* number */
    rf_exchange_source *source;
} scattered;

static bool no_memory(rf_exchange_worker *worker, const scattered *call)
{
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, call->position, 0, RF_SLICE(""),
                      "out of memory for the events of a window");
    return false;
}

/* A record for the fold. */
static inline bool put_record(rf_exchange_worker *worker, const scattered *call,
                              const rf_exchange_key *key, uint32_t target)
{
    rf_exchange *job = worker->job;
    uint32_t size = (uint32_t)sizeof(rf_exchange_record) + call->handler->event_size;

    rf_exchange_record *record = bucket_room(worker, target, size);
    if (!record)
        return no_memory(worker, call);
    *record = (rf_exchange_record){
        .key = key->bytes.data,
        .position = (uint32_t)(call->position - job->from),
        .hash = key->hash,
        .handler = (uint16_t)(call->handler - job->keying.handlers),
        .key_size = (uint16_t)key->bytes.size,
    };
    memcpy(record + 1, call->event, call->handler->event_size);
    return true;
}

/* A handler of every row: to all partitions that may have rows of the stream. */
static bool broadcast(rf_exchange_worker *worker, const scattered *call)
{
    const rf_exchange *job = worker->job;
    uint64_t set = call->source->row_sets[call->stream];
    rf_exchange_key key;

    if (set == 0)
        return true;
    if (!rf_exchange_stream_key(worker, call->handler, call->event, call->position, &key))
        return false;
    for (uint32_t target = 0; target < job->partition_count; target++)
        if (job->active[target] && (set >> (target & 63) & 1) &&
            !put_record(worker, call, &key, target))
            return false;
    return true;
}

/* The worker's own row of a key; NULL without memory. */
static rf_keyed_row *own_row(rf_exchange_worker *worker, const rf_exchange_key *key,
                             uint32_t target)
{
    rf_keyed_row *row = rf_key_table_take(&worker->own[target].table, key->hash, key->bytes);

    if (row && row->flags == 0) {
        rf_combiner_clear(&worker->job->combiner, rf_keyed_row_data(row));
        row->flags = RF_STATE_TOUCHED;
    }
    return row;
}

/* Calls the handler with an unset row, and combines what it wrote. */
static bool combine(rf_exchange_worker *worker, const scattered *call, rf_keyed_row *row,
                    uint32_t target)
{
    const rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;
    uint32_t index = (uint32_t)(call->handler - job->keying.handlers);

    memcpy(worker->row, job->combiner.row_template, definition->row_size);
    worker->alloc_from = &worker->made;
    rf_fold_result result =
        call->handler->handler->fold(&worker->context.fold, worker->row, call->event);
    if (__builtin_expect(result == RF_ROW_DELETED, false)) {
        rf_exchange_fault(worker->job, RF_ERR_PLUGIN, call->position, index, rf_keyed_row_key(row),
                          "rows of combined columns cannot be deleted");
        return false;
    }
    if (__builtin_expect(result != RF_ROW_WRITTEN || worker->out_of_memory, false))
        return !rf_exchange_refuse(worker, result, call->position, index, rf_keyed_row_key(row));
    row->flags |= RF_STATE_EXISTS;
    return rf_combiner_add(&job->combiner, rf_keyed_row_data(row), worker->row, call->position,
                           &worker->own[target].text) ||
           no_memory(worker, call);
}

/* The row or bucket that a key belongs to. */
static bool deliver(rf_exchange_worker *worker, const scattered *call, const rf_exchange_key *key,
                    rf_exchange_known *known)
{
    const rf_exchange *job = worker->job;
    uint32_t target = key->hash & (job->partition_count - 1);

    if (call->source->row_sets)
        call->source->row_sets[call->stream] |= (uint64_t)1 << (target & 63);
    if (!job->active[target])
        return true;
    if (!worker->own)
        return put_record(worker, call, key, target);
    rf_keyed_row *row = known && known->row ? known->row : own_row(worker, key, target);
    if (!row)
        return no_memory(worker, call);
    if (known)
        known->row = row;
    return combine(worker, call, row, target);
}

/* One call. False where the event or one before it is a fault: the partition ends there. */
static inline bool scatter_call(rf_exchange_worker *worker, const scattered *call,
                                const rf_exchange_dictionary *dictionary, uint32_t ordinal)
{
    rf_exchange_known *known = NULL;
    rf_exchange_key key;

    if (call->handler->every_row)
        return broadcast(worker, call);
    if (dictionary->codes) {
        known = &dictionary->known[dictionary->codes[ordinal]];
        if (known->state == KNOWN_FINE) {
            memcpy(&key.bytes, call->event + call->handler->parts[0].offset, sizeof key.bytes);
            key.hash = known->hash;
            return deliver(worker, call, &key, known);
        }
    }
    if (!rf_exchange_make_key(worker, call->handler, &call->source->carried, call->stream,
                              call->event, call->position, &key))
        return worker->job->keying.definition->no_key_ignore &&
               atomic_load(&worker->job->limit) > call->position;
    if (known)
        *known = (rf_exchange_known){.hash = key.hash, .state = KNOWN_FINE};
    return deliver(worker, call, &key, known);
}

/* All calls of an event. */
static inline bool scatter_event(rf_exchange_worker *worker, const rf_step *step,
                                 rf_exchange_source *source, uint32_t index)
{
    uint32_t type = step->bound.event_types[index];
    uint32_t stream = step->bound.event_streams[index];
    const rf_plan_type *bound = &step->bound.types[type];
    uint32_t ordinal = worker->ordinals[type]++;
    bool handled = false;
    bool fine = true;

    worker->lacks_key = false;
    for (uint32_t c = 0; fine && c < bound->call_count; c++) {
        const rf_plan_call *plan_call = &bound->calls[c];
        char *event = plan_call->event;
        (void)rf_plan_event(plan_call, index, ordinal, stream - worker->first_stream);
        scattered call = {
            .handler = rf_keying_of(&worker->job->keying, plan_call->handler),
            .event = event,
            .stream = stream,
            .source = source,
        };
        if (!call.handler->handler) {
            fine = rf_keying_carry(call.handler, &source->carried, stream, event);
            if (!fine)
                rf_exchange_fault(worker->job, RF_ERR_MEMORY, 1, 0, RF_SLICE(""),
                                  "out of memory for what is carried");
            continue;
        }
        handled = true;
        memcpy(&call.position, event + call.handler->position_offset, sizeof call.position);
        if (call.handler->carried_count > 0)
            rf_keying_put_carried(call.handler, &source->carried, stream, event);
        fine = scatter_call(worker, &call, &worker->dictionaries[type][c], ordinal);
    }
    worker->events += handled && worker->job->counts;
    worker->keyless += worker->lacks_key && worker->job->counts;
    return fine;
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
static void unload_log(rf_exchange_worker *worker, const rf_step *step)
{
    size_t bytes = step->log.segment.bytes.size;

    worker->mapped_bytes += bytes > MAPPED_AROUND ? bytes : MAPPED_AROUND;
    if (worker->mapped_bytes < worker->job->mapped_budget)
        return;
    worker->mapped_bytes = 0;
    rf_log_unload(worker->job->log);
}

/* Events of the step that was decoded; *fine_out is false at a fault. */
static rf_status scatter_step(rf_exchange_worker *worker, const rf_step *step, uint32_t partition,
                              bool *fine_out, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_exchange_source *source = &job->sources[partition];

    *fine_out = true;
    if (!step->bound.event_types)
        return RF_OK;
    rf_status status = begin_segment(worker, step, err);
    for (uint32_t i = step->log.begin; status == RF_OK && *fine_out && i < step->log.end; i++) {
        if (step->bound.types[step->bound.event_types[i]].call_count > 0)
            *fine_out = scatter_event(worker, step, source, i);
        else
            worker->ordinals[step->bound.event_types[i]]++;
    }
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
    unload_log(worker, step);
    rf_steps_done(worker->steps, step);
    if (worker->own) { /* accumulators have copies of all that they need */
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
    rf_status status = begin_names(worker, partition, err);
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
