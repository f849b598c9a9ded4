/* The keys of an exchange's calls; see exchange.h.
 *
 * A key that is one text is the text as it lies: in what was decoded, or where it is carried. Any
 * other is encoded. */
#include "rebuild/exchange_job.h"

#include <stdio.h>

/* An event without key: a fault, unless such events are ignored. */
static void refuse_nil(rf_exchange_worker *worker, const rf_keying_handler *handler, uint32_t part,
                       uint64_t position)
{
    rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;
    char reason[RF_EXCHANGE_REASON_SIZE];

    if (definition->no_key_ignore) {
        worker->lacks_key = true;
        worker->goes_on = true;
        return;
    }
    (void)snprintf(reason, sizeof reason, "the event has no key: %s is unset",
                   definition->key_parts[part].name);
    rf_exchange_refuse_key(worker, RF_ERR_INPUT, position,
                           (uint32_t)(handler - job->keying.handlers), reason);
}

static void refuse_fault(rf_exchange_worker *worker, const rf_keying_handler *handler,
                         rf_key_fault fault, uint64_t position)
{
    rf_exchange_refuse_key(worker, RF_ERR_INPUT, position,
                           (uint32_t)(handler - worker->job->keying.handlers),
                           fault == RF_KEY_TOO_LONG ? "the event's key is longer than 480 bytes"
                                                    : "the event's key has a zero byte");
}

/* Encodes parts [0, count) that stand in `from`. False where there is no key. */
static bool encode(rf_exchange_worker *worker, const rf_keying_handler *handler, const char *from,
                   uint32_t count, uint64_t position, rf_key_bytes *key_out)
{
    key_out->size = 0;
    for (uint32_t i = 0; i < count; i++) {
        rf_value value = rf_keying_value(&handler->parts[i], from);
        if (value.is_null) {
            refuse_nil(worker, handler, i, position);
            return false;
        }
        rf_key_fault fault = rf_key_add(key_out, &value);
        if (fault != RF_KEY_FINE) {
            refuse_fault(worker, handler, fault, position);
            return false;
        }
    }
    return true;
}

bool rf_exchange_refuse_place(rf_exchange_worker *worker, const rf_keying_handler *handler,
                              rf_exchange_place place, uint64_t position)
{
    RF_ASSERT(place < RF_PLACE_ROWS);
    if (place == RF_PLACE_ELSEWHERE)
        return true;
    worker->goes_on = false;
    if (place == RF_PLACE_NONE)
        refuse_nil(worker, handler, 0, position);
    else
        refuse_fault(worker, handler,
                     place == RF_PLACE_TOO_LONG ? RF_KEY_TOO_LONG : RF_KEY_HAS_NUL, position);
    return worker->goes_on;
}

static void unset_parts(const rf_keying_handler *handler, char *parts)
{
    const int64_t none = RF_TIME_NONE;

    memset(parts, 0, handler->computed->parts_size);
    for (uint32_t i = 0; i < handler->part_count; i++)
        if (handler->parts[i].kind == RF_TIME || handler->parts[i].kind == RF_DATE)
            memcpy(parts + handler->parts[i].offset, &none, sizeof none);
}

/* Why a runner did not compute a key. True where the event goes without. */
static bool refuse_computed(rf_exchange_worker *worker, uint32_t handler, rf_status status,
                            uint64_t position)
{
    const char *reason = rf_exchange_run_reason(worker);

    if (status == RF_ERR_PLUGIN)
        rf_exchange_refuse_key(worker, status, position, handler, reason);
    else
        rf_exchange_fault(worker->job, status, position, handler, RF_SLICE(""), reason);
    return worker->goes_on;
}

/* The parts of an event's key, which a runner or the plugin's function makes; NULL where there is
 * none. */
static const char *compute(rf_exchange_worker *worker, const rf_keying_handler *handler,
                           const char *event, uint64_t position)
{
    uint32_t index = (uint32_t)(handler - worker->job->keying.handlers);
    char *parts = worker->batch ? rf_exchange_run_key_parts(worker, 0) : worker->key_parts;
    uint32_t end;

    unset_parts(handler, parts);
    worker->alloc_from = &worker->text;
    if (worker->batch) {
        rf_exchange_run_add_key(worker, handler, 0, event);
        rf_status status = rf_exchange_run_keys(worker, 0, 1, &end);
        if (status != RF_OK)
            (void)refuse_computed(worker, index, status, position);
        return status == RF_OK ? parts : NULL;
    }
    rf_fold_result result = handler->computed->compute(
        &worker->context.fold, event + handler->computed_offset, parts);
    if (result == RF_ROW_UNCHANGED || result == RF_ROW_DELETED)
        result = (rf_fold_result)-1;
    if (result == RF_FOLD_FAILED && !worker->out_of_memory) {
        rf_exchange_refuse_key(worker, RF_ERR_PLUGIN, position, index, rf_exchange_reason(worker));
        worker->context.reason[0] = '\0';
        return NULL;
    }
    return rf_exchange_refuse(worker, result, position, index, RF_SLICE("")) ? NULL : parts;
}

/* Whether the texts of computed parts are such. */
static bool check_parts(rf_exchange_worker *worker, const rf_keying_handler *handler,
                        const char *parts, uint64_t position)
{
    for (uint32_t i = 0; i < handler->part_count; i++) {
        rf_value value = rf_keying_value(&handler->parts[i], parts);
        if (value.kind == RF_TEXT && !value.is_null && !rf_utf8_valid(value.text)) {
            rf_exchange_refuse_key(worker, RF_ERR_PLUGIN, position,
                                   (uint32_t)(handler - worker->job->keying.handlers),
                                   "a computed key is no UTF-8");
            return false;
        }
    }
    return true;
}

/* A text that is the key. */
static rf_slice text_of(const rf_keying_handler *handler, const rf_carried *carried,
                        uint32_t stream, const char *from)
{
    rf_slice text = {NULL, 0};

    if (handler->text_slot == UINT32_MAX) {
        memcpy(&text, from + handler->parts[0].offset, sizeof text);
        return text;
    }
    const rf_carried_text *held = rf_carried_text_of(carried, handler->text_slot, stream);
    return held ? (rf_slice){held->bytes, held->size} : text;
}

/* Not a text that is the key as it lies. */
static bool is_encoded(const rf_keying_handler *handler)
{
    return handler->part_count != 1 || handler->parts[0].kind != RF_TEXT;
}

/* What the parts in `from` lead to; NULL: there are none. */
static rf_exchange_place place_of(rf_exchange_worker *worker, const rf_keying_handler *handler,
                                  const rf_carried *carried, uint32_t stream, const char *from,
                                  uint64_t position, bool *fine_out)
{
    rf_key_bytes key;

    *fine_out = true;
    if (!from || (handler->computed && !check_parts(worker, handler, from, position))) {
        *fine_out = worker->goes_on;
        return RF_PLACE_ELSEWHERE;
    }
    if (is_encoded(handler)) {
        if (encode(worker, handler, from, handler->part_count, position, &key))
            return rf_exchange_find(worker, rf_key_slice(&key), position);
        *fine_out = worker->goes_on;
        return RF_PLACE_ELSEWHERE;
    }
    rf_exchange_place place =
        rf_exchange_find_text(worker, text_of(handler, carried, stream, from), position);
    if (place >= RF_PLACE_ROWS)
        return place;
    *fine_out = rf_exchange_refuse_place(worker, handler, place, position);
    return RF_PLACE_ELSEWHERE;
}

rf_exchange_place rf_exchange_make_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                                       const rf_carried *carried, uint32_t stream,
                                       const char *event, uint64_t position, bool *fine_out)
{
    RF_ASSERT(!handler->from_place);
    worker->goes_on = false;
    const char *from =
        handler->computed ? compute(worker, handler, event, position) : event;
    return place_of(worker, handler, carried, stream, from, position, fine_out);
}

/* ---- of many events ---- */

/* The key of the parts in `from`, for the segment at hand; without data where there is none. */
static rf_slice keep_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                         const char *from, uint64_t position, bool *fine_out)
{
    rf_key_bytes key;

    if (!from || (handler->computed && !check_parts(worker, handler, from, position)) ||
        !encode(worker, handler, from, handler->part_count, position, &key)) {
        *fine_out = worker->goes_on;
        return (rf_slice){NULL, 0};
    }
    rf_slice kept = rf_arena_copy(&worker->scratch, rf_key_slice(&key));
    *fine_out = kept.data || rf_exchange_no_memory(worker, position);
    return kept;
}

/* The key or, if it is a text, the place of event `i`, whose parts are in `from`. False at a fault,
 * which ends the events. */
static bool take_parts(rf_exchange_worker *worker, const rf_keying_handler *handler, uint32_t i,
                       const char *from, rf_exchange_events *events, rf_slice *key_out)
{
    uint64_t position = (uint64_t)worker->positions[events->indexes[i]];
    bool fine;

    if (is_encoded(handler))
        *key_out = keep_key(worker, handler, from, position, &fine);
    else
        events->places[i] = place_of(worker, handler, NULL, 0, from, position, &fine);
    events->count = fine ? events->count : i;
    return fine;
}

/* Keys that a runner computes, all together, again behind one that fails and is forgiven. */
static bool run_keys(rf_exchange_worker *worker, const rf_step *step, const rf_exchange_call *call,
                     rf_exchange_events *events, rf_slice *keys)
{
    const rf_keying_handler *handler = call->handler;
    uint32_t end = 0;
    bool fine = true;

    for (uint32_t i = 0; i < events->count; i++) {
        rf_exchange_fill(worker, step, call, events->indexes[i], events->ordinals[i]);
        unset_parts(handler, rf_exchange_run_key_parts(worker, i));
        rf_exchange_run_add_key(worker, handler, i, call->plan->event);
    }
    for (uint32_t begin = 0; fine && begin < events->count; begin = end + 1) {
        rf_status status = rf_exchange_run_keys(worker, begin, events->count, &end);
        for (uint32_t i = begin; fine && i < events->count && i <= end; i++) {
            const char *parts = i < end ? rf_exchange_run_key_parts(worker, i) : NULL;
            worker->goes_on = false;
            if (i == end)
                (void)refuse_computed(worker, call->index, status,
                                      (uint64_t)worker->positions[events->indexes[i]]);
            fine = take_parts(worker, handler, i, parts, events, &keys[i]);
        }
    }
    return fine;
}

bool rf_exchange_make_keys(rf_exchange_worker *worker, const rf_step *step,
                           const rf_exchange_call *call, rf_exchange_events *events)
{
    const rf_keying_handler *handler = call->handler;
    rf_slice keys[RF_EXCHANGE_PENDING];
    bool fine = true;

    if (handler->computed && worker->batch) {
        fine = run_keys(worker, step, call, events, keys);
    } else {
        for (uint32_t i = 0; fine && i < events->count; i++) {
            uint32_t index = events->indexes[i];
            const char *parts = call->plan->event;
            rf_exchange_fill(worker, step, call, index, events->ordinals[i]);
            worker->goes_on = false;
            if (handler->computed)
                parts = compute(worker, handler, parts, (uint64_t)worker->positions[index]);
            fine = take_parts(worker, handler, i, parts, events, &keys[i]);
        }
    }
    if (is_encoded(handler))
        rf_exchange_find_keys(worker, keys, events);
    return fine;
}

bool rf_exchange_stream_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                            const char *event, uint64_t position, rf_key_bytes *key_out)
{
    rf_slice text;

    RF_ASSERT(handler->parts[0].kind == RF_TEXT && !handler->computed);
    if (handler->part_count > 1)
        return encode(worker, handler, event, 1, position, key_out);
    memcpy(&text, event + handler->parts[0].offset, sizeof text);
    RF_ASSERT(text.data && text.size <= RF_KEY_BYTES_MAX); /* the name of a stream */
    memcpy(key_out->data, text.data, text.size);
    key_out->size = text.size;
    return true;
}
