/* See append_recent.h. Open addressing with linear probing, indexes plus one, at most half full. */
#include "log/append_recent.h"

#include <stdlib.h>

void rf_recent_free(rf_recent *recent)
{
    free(recent->events);
    free(recent->slots);
    *recent = (rf_recent){0};
}

rf_status rf_recent_add(rf_recent *recent, const rf_recent_event *event, rf_err *err)
{
    if (recent->count == recent->room) {
        uint32_t room = recent->room ? recent->room + recent->room / 2 : 64;
        rf_recent_event *grown = realloc(recent->events, room * sizeof *grown);
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory for a batch of %u events", room);
        recent->events = grown;
        recent->room = room;
    }
    recent->events[recent->count++] = *event;
    if (event->source_position > recent->source_position_max &&
        !rf_event_is_id(event->source_position))
        recent->source_position_max = event->source_position;
    return RF_OK;
}

static uint32_t slot_of(const rf_recent *recent, uint32_t stream, uint64_t second)
{
    uint64_t hash = (stream + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;

    hash = (hash ^ (hash >> 29) ^ second) * 0x94d049bb133111ebu;
    return (uint32_t)(hash >> 32) & (recent->slot_count - 1);
}

static void index_put(rf_recent *recent, uint32_t *slots, uint64_t second, uint32_t index)
{
    uint32_t slot = slot_of(recent, recent->events[index].stream, second);

    while (slots[slot])
        slot = (slot + 1) & (recent->slot_count - 1);
    slots[slot] = index + 1;
}

static rf_status index_extend(rf_recent *recent, rf_err *err)
{
    if (recent->slot_count < 2 * recent->count) {
        uint32_t slot_count = recent->slot_count ? recent->slot_count : 64;
        while (slot_count < 4 * recent->count)
            slot_count *= 2;
        uint32_t *slots = calloc((size_t)slot_count * 2, sizeof *slots);
        if (!slots)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
        free(recent->slots);
        recent->slots = slots;
        recent->slot_count = slot_count;
        recent->indexed = 0;
    }
    for (; recent->indexed < recent->count; recent->indexed++) {
        const rf_recent_event *event = &recent->events[recent->indexed];
        index_put(recent, recent->slots, (uint64_t)event->version, recent->indexed);
        if (event->source_position > 0)
            index_put(recent, recent->slots + recent->slot_count, event->source_position,
                      recent->indexed);
    }
    return RF_OK;
}

rf_status rf_recent_find(rf_recent *recent, const rf_identity_key *key,
                         const rf_recent_event **event_out, rf_err *err)
{
    *event_out = NULL;
    if (recent->count == 0)
        return RF_OK;
    rf_status status = index_extend(recent, err);
    if (status)
        return status;
    const uint32_t *slots = recent->slots + (key->by_source ? recent->slot_count : 0);
    uint64_t second = key->by_source ? key->source_position : (uint64_t)key->version;
    uint32_t slot = slot_of(recent, key->stream, second);
    for (; slots[slot]; slot = (slot + 1) & (recent->slot_count - 1)) {
        const rf_recent_event *event = &recent->events[slots[slot] - 1];
        bool equal = event->stream == key->stream &&
                     (key->by_source ? event->source_position == key->source_position &&
                                           event->source == key->source
                                     : event->version == key->version);
        if (equal) {
            *event_out = event;
            break;
        }
    }
    return RF_OK;
}

/* The index holds places in the array: they change, so it is made anew when needed. */
static void index_drop(rf_recent *recent)
{
    if (recent->indexed > 0)
        memset(recent->slots, 0, (size_t)recent->slot_count * 2 * sizeof *recent->slots);
    recent->indexed = 0;
}

void rf_recent_built_done(rf_recent *recent)
{
    uint32_t built = 0;

    while (built < recent->count && recent->events[built].block_index == RF_RECENT_BUILT)
        built++;
    if (built == 0)
        return;
    memmove(recent->events, recent->events + built,
            (recent->count - built) * sizeof *recent->events);
    recent->count -= built;
    index_drop(recent);
}
