/* Scattering a segment call by call; see exchange.h.
 *
 * Of an event only what it carries has to be done in its turn: calls are sorted by position
 * afterwards, or their order does not matter. So what streams carry is noted for each event first,
 * and then the events of one call are taken after another, a batch at a time: the places of all their
 * keys are looked for before the first is needed, and no branch depends on the type of an event.
 */
#include "rebuild/exchange_job.h"

bool rf_exchange_goes_by_call(const rf_exchange *job)
{
    const rf_keying *keying = &job->keying;
    const rf_definition *definition = keying->definition;
    bool by_call = !definition->no_key_ignore && !keying->has_every_row;

    for (uint32_t i = 0; i < keying->slot_count; i++)
        by_call = by_call && keying->slots[i].is_place;
    for (uint32_t i = 0; i < keying->derived.handler_count; i++)
        by_call = by_call && keying->handlers[i].carried_count == 0;
    return by_call;
}

/* Lists the step's events of a type. */
static uint32_t list_type(rf_exchange_worker *worker, const rf_step *step, uint32_t type)
{
    const uint32_t *types = step->bound.event_types;
    const uint32_t *listed = step->bound.listed;
    uint32_t count = 0;

    for (uint32_t i = 0; listed && i < step->bound.listed_count; i++) {
        worker->listed[count] = listed[i];
        count += types[listed[i]] == type;
    }
    for (uint32_t i = step->log.begin; !listed && i < step->log.end; i++) {
        worker->listed[count] = i;
        count += types[i] == type;
    }
    return count;
}

/* The events of a call of which `count` are left to take, from `begin` on. */
static void next_events(const rf_exchange_worker *worker, const rf_step *step,
                        const rf_exchange_lane *lane, uint32_t begin, uint32_t count,
                        rf_exchange_events *events)
{
    const uint32_t *ordinals = step->bound.event_ordinals;

    events->count = count < RF_EXCHANGE_PENDING ? count : RF_EXCHANGE_PENDING;
    events->indexes = worker->listed + begin;
    for (uint32_t i = 0; i < events->count; i++)
        events->ordinals[i] = ordinals ? ordinals[events->indexes[i]] : lane->ordinal + begin + i;
}

/* ---- what streams carry ---- */

/* Notes by event what the call gives its stream. */
static void note_carry(rf_exchange_worker *worker, const rf_step *step,
                       const rf_exchange_lane *lane, const rf_exchange_call *call, uint32_t count)
{
    rf_exchange_place *given = worker->carried[call->handler->slot];
    bool at_hand = call->texts || call->numbers;
    rf_exchange_events events;

    for (uint32_t begin = 0; begin < count; begin += events.count) {
        next_events(worker, step, lane, begin, count - begin, &events);
        if (at_hand)
            rf_exchange_find_texts(worker, call, &events);
        for (uint32_t i = 0; i < events.count; i++) {
            uint32_t index = events.indexes[i];
            rf_slice text;
            if (!at_hand) {
                rf_exchange_fill(worker, step, call, index, events.ordinals[i]);
                memcpy(&text, call->plan->event + call->key_offset, sizeof text);
                events.places[i] =
                    rf_exchange_find_text(worker, text, (uint64_t)worker->positions[index]);
            }
            if (events.places[i] != RF_PLACE_NONE)
                given[index] = events.places[i];
        }
    }
}

/* What each event's stream carries then, in place of what the event gives it. */
static void carry_on(const rf_step *step, const rf_carried *carried, uint32_t slot,
                     rf_exchange_place *places)
{
    const uint32_t *streams = step->bound.event_streams;
    const uint32_t *listed = step->bound.listed;
    uint32_t begin = listed ? 0 : step->log.begin;
    uint32_t end = listed ? step->bound.listed_count : step->log.end;

    for (uint32_t at = begin; at < end; at++) {
        uint32_t i = listed ? listed[at] : at;
        int64_t *value = rf_carried_at(carried, slot, streams[i]);
        rf_exchange_place held = places[i] != RF_PLACE_NONE ? places[i] : (rf_exchange_place)*value;
        *value = (int64_t)held;
        places[i] = held;
    }
}

/* False without memory. */
static bool carry_events(rf_exchange_worker *worker, const rf_step *step,
                         rf_exchange_source *source)
{
    uint32_t slots = worker->job->keying.slot_count;
    size_t size = step->log.segment.count * sizeof(rf_exchange_place);

    worker->carried = rf_arena_alloc(&worker->scratch, slots * sizeof(rf_exchange_place *));
    for (uint32_t slot = 0; worker->carried && slot < slots; slot++) {
        worker->carried[slot] = rf_arena_alloc(&worker->scratch, size);
        if (!worker->carried[slot])
            return false;
        memset(worker->carried[slot], 0, size);
    }
    if (!worker->carried)
        return false;
    for (uint32_t t = 0; t < step->bound.type_count; t++) {
        const rf_exchange_lane *lane = &worker->lanes[t];
        bool carries = false;
        for (uint32_t c = 0; c < lane->call_count; c++)
            carries = carries || lane->calls[c].way == RF_EXCHANGE_CARRY;
        uint32_t count = carries ? list_type(worker, step, t) : 0;
        for (uint32_t c = 0; c < lane->call_count; c++)
            if (lane->calls[c].way == RF_EXCHANGE_CARRY)
                note_carry(worker, step, lane, &lane->calls[c], count);
    }
    for (uint32_t slot = 0; slot < slots; slot++)
        carry_on(step, &source->carried, slot, worker->carried[slot]);
    return true;
}

/* ---- calls ---- */

/* The places of a batch's keys. False at a fault. */
static bool find_places(rf_exchange_worker *worker, const rf_step *step,
                        const rf_exchange_call *call, rf_exchange_events *events)
{
    if (call->way == RF_EXCHANGE_CARRIED) {
        const rf_exchange_place *places = worker->carried[call->handler->text_slot];
        for (uint32_t i = 0; i < events->count; i++)
            events->places[i] = places[events->indexes[i]];
    } else if (call->texts || call->numbers) {
        rf_exchange_find_texts(worker, call, events);
    } else {
        return rf_exchange_make_keys(worker, step, call, events);
    }
    return true;
}

/* Takes those that lead to no row off the batch: those of another pass and, with all that come after
 * it, a fault, which gives false. */
static bool keep_rows(rf_exchange_worker *worker, const rf_exchange_call *call,
                      rf_exchange_events *events, uint32_t *indexes)
{
    uint32_t count = 0;
    bool fine = true;

    for (uint32_t i = 0; fine && i < events->count; i++) {
        rf_exchange_place place = events->places[i];
        uint64_t position = (uint64_t)worker->positions[events->indexes[i]];
        if (__builtin_expect(place < RF_PLACE_ROWS, false))
            fine = rf_exchange_refuse_place(worker, call->handler, place, position);
        indexes[count] = events->indexes[i];
        events->ordinals[count] = events->ordinals[i];
        events->places[count] = place;
        count += place >= RF_PLACE_ROWS;
    }
    events->indexes = indexes;
    events->count = count;
    return fine;
}

static bool put_events(rf_exchange_worker *worker, const rf_step *step,
                       const rf_exchange_call *call, const rf_exchange_events *events)
{
    for (uint32_t i = 0; i < events->count; i++) {
        uint32_t index = events->indexes[i];
        uint64_t position = (uint64_t)worker->positions[index];
        rf_exchange_fill(worker, step, call, index, events->ordinals[i]);
        if (!rf_exchange_put(worker, call, position, events->places[i]))
            return rf_exchange_no_memory(worker, position);
    }
    return true;
}

/* All events of a type, for one of its calls. False at a fault. */
static bool take_call(rf_exchange_worker *worker, const rf_step *step, const rf_exchange_lane *lane,
                      const rf_exchange_call *call, uint32_t count)
{
    uint32_t indexes[RF_EXCHANGE_PENDING];
    rf_exchange_events events;
    bool fine = true;
    uint32_t taken;

    for (uint32_t begin = 0; fine && begin < count; begin += taken) {
        next_events(worker, step, lane, begin, count - begin, &events);
        taken = events.count;
        fine = find_places(worker, step, call, &events);
        bool kept = keep_rows(worker, call, &events, indexes);
        bool done = worker->own ? rf_exchange_combine_events(worker, step, call, &events)
                                : put_events(worker, step, call, &events);
        fine = fine && kept && done;
    }
    return fine;
}

bool rf_exchange_take_segment(rf_exchange_worker *worker, const rf_step *step,
                              rf_exchange_source *source)
{
    bool fine = true;

    if (worker->job->keying.slot_count > 0 && !carry_events(worker, step, source))
        return rf_exchange_no_memory(worker, step->log.segment.first_position);
    for (uint32_t t = 0; t < step->bound.type_count; t++) {
        const rf_exchange_lane *lane = &worker->lanes[t];
        if (!lane->is_handled)
            continue;
        uint32_t count = list_type(worker, step, t);
        worker->events += worker->job->counts ? count : 0;
        for (uint32_t c = 0; c < lane->call_count; c++)
            if (lane->calls[c].way != RF_EXCHANGE_CARRY &&
                !take_call(worker, step, lane, &lane->calls[c], count))
                fine = false;
    }
    return fine;
}
