/* See streams_recent.h. */
#include "log/streams_recent.h"

#include <stddef.h>
#include <stdlib.h>

enum { SLOTS_MIN = 64, LINE = 64, LINES_SIZE = 4 << 10 };

/* Entries and names of one partition. */
#define ENTRIES_BYTES_MAX ((size_t)16 << 30)

void rf_streams_recent_init(rf_streams_recent *recent)
{
    *recent = (rf_streams_recent){0};
    rf_arena_init(&recent->arena, ENTRIES_BYTES_MAX);
}

void rf_streams_recent_free(rf_streams_recent *recent)
{
    rf_arena_free(&recent->arena);
    free(recent->slots);
    rf_streams_recent_init(recent);
}

/* Room for one more slot that is taken. */
static bool slots_grow(rf_streams_recent *recent)
{
    if (recent->slot_count > 0 && recent->entry_count + 1 <= recent->slot_count / 3 * 2)
        return true;
    size_t count = recent->slot_count ? 2 * recent->slot_count : SLOTS_MIN;
    rf_streams_slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < recent->slot_count; i++) {
        if (!recent->slots[i].entry)
            continue;
        size_t at = recent->slots[i].hash & (count - 1);
        while (slots[at].entry)
            at = (at + 1) & (count - 1);
        slots[at] = recent->slots[i];
    }
    free(recent->slots);
    recent->slots = slots;
    recent->slot_count = count;
    return true;
}

static rf_streams_found *entry_room(rf_streams_recent *recent, size_t size)
{
    size_t skip = (size_t)(-(uintptr_t)recent->at % _Alignof(rf_streams_found));
    size_t in_line = ((uintptr_t)recent->at + skip) % LINE;

    if ((in_line + size - 1) / LINE > (size - 1) / LINE)
        skip += LINE - in_line;
    if (!recent->at || (size_t)(recent->end - recent->at) < skip + size) {
        char *lines = rf_arena_alloc(&recent->arena, LINES_SIZE + LINE);
        if (!lines)
            return NULL;
        recent->end = lines + LINES_SIZE + LINE;
        recent->at = lines;
        skip = (size_t)(-(uintptr_t)lines % LINE);
    }
    rf_streams_found *made = (rf_streams_found *)(void *)(recent->at + skip);
    recent->at += skip + size;
    return made;
}

rf_streams_found *rf_streams_recent_add(rf_streams_recent *recent, rf_slice name, uint64_t hash,
                                        rf_stream stream)
{
    if (!slots_grow(recent))
        return NULL;
    rf_streams_found *made = entry_room(recent, offsetof(rf_streams_found, name) + name.size);
    if (!made)
        return NULL;
    made->stream = stream;
    made->round = 0;
    made->name_size = (uint16_t)name.size;
    memcpy(made->name, name.data, name.size);

    size_t at = hash & (recent->slot_count - 1);
    while (recent->slots[at].entry)
        at = (at + 1) & (recent->slot_count - 1);
    recent->slots[at] = (rf_streams_slot){hash, made};
    recent->entry_count++;
    return made;
}

void rf_streams_recent_prefetch_slot(const rf_streams_recent *recent, uint64_t hash)
{
    if (recent->slot_count > 0)
        __builtin_prefetch(&recent->slots[hash & (recent->slot_count - 1)]);
}

void rf_streams_recent_prefetch_entry(const rf_streams_recent *recent, uint64_t hash)
{
    if (recent->slot_count == 0)
        return;
    size_t at = hash & (recent->slot_count - 1);
    while (recent->slots[at].entry && recent->slots[at].hash != hash)
        at = (at + 1) & (recent->slot_count - 1);
    if (recent->slots[at].entry)
        __builtin_prefetch(recent->slots[at].entry, 1); /* a name of up to 42 bytes is in one line */
}
