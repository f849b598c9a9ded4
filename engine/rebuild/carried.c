/* See carried.h. */
#include "rebuild/carried.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)1 << 40)
enum { TIDY_BYTES_MIN = 1 << 16 };

static bool is_text(const rf_carried_slot *slot)
{
    return !slot->is_place && (slot->kind == RF_TEXT || slot->kind == RF_JSON);
}

/* Of no stream, and written to, as the slots of a key table: values are read first. */
static int64_t *make_values(uint32_t stream_count)
{
    size_t size = ((size_t)stream_count * sizeof(int64_t) + 64) & ~(size_t)63;
    int64_t *values = aligned_alloc(64, size);

    if (values)
        memset(values, 0, size);
    return values;
}

bool rf_carried_begin(rf_carried *carried, const rf_carried_slot *slots, uint32_t slot_count,
                      uint32_t stream_first, uint32_t stream_count)
{
    bool made = true;

    *carried = (rf_carried){
        .slot_count = slot_count,
        .slots = slots,
        .stream_first = stream_first,
        .stream_count = stream_count,
        .values = calloc(slot_count, sizeof(int64_t *)),
        .present = calloc(slot_count, sizeof(bool *)),
    };
    rf_arena_init(&carried->text, TEXT_BYTES_MAX);
    if (!carried->values || !carried->present)
        return false;
    for (uint32_t i = 0; made && i < slot_count; i++) {
        bool tells = is_text(&slots[i]) || slots[i].is_place;
        carried->values[i] = make_values(stream_count);
        if (!tells)
            carried->present[i] = calloc(stream_count ? stream_count : 1, sizeof(bool));
        made = carried->values[i] && (tells || carried->present[i]);
    }
    return made;
}

void rf_carried_end(rf_carried *carried)
{
    for (uint32_t i = 0; i < carried->slot_count; i++) {
        if (carried->values)
            free(carried->values[i]);
        if (carried->present)
            free(carried->present[i]);
    }
    free(carried->values);
    free(carried->present);
    rf_arena_free(&carried->text);
    *carried = (rf_carried){0};
}

size_t rf_carried_bytes(const rf_carried *carried)
{
    return carried->slot_count * carried->stream_count * (sizeof(int64_t) + sizeof(bool)) +
           carried->text.bytes;
}

static rf_carried_text *copy_text(rf_arena *arena, rf_slice text)
{
    const size_t last = _Alignof(rf_carried_text) - 1;
    char *bytes = rf_arena_bytes(arena, sizeof(rf_carried_text) + text.size + last);

    if (!bytes)
        return NULL;
    rf_carried_text *copy = (rf_carried_text *)(((uintptr_t)bytes + last) & ~(uintptr_t)last);
    copy->size = (uint32_t)text.size;
    if (text.size > 0)
        memcpy(copy->bytes, text.data, text.size);
    return copy;
}

static bool put_text(rf_carried *carried, int64_t *at, const void *value)
{
    const rf_carried_text *before = (const rf_carried_text *)(uintptr_t)*at;
    rf_slice text;

    memcpy(&text, value, sizeof text);
    if (before && rf_short_equal((rf_slice){before->bytes, before->size}, text))
        return true;
    rf_carried_text *copy = copy_text(&carried->text, text);
    if (before)
        carried->text_dropped += sizeof *before + before->size;
    *at = (int64_t)(uintptr_t)copy;
    return copy != NULL;
}

static bool has_stream(const rf_carried *carried, uint32_t stream)
{
    return stream >= carried->stream_first && stream - carried->stream_first < carried->stream_count;
}

/* Of a slot that has them. */
static bool *present_at(const rf_carried *carried, uint32_t slot, uint32_t stream)
{
    return &carried->present[slot][stream - carried->stream_first];
}

bool rf_carried_put(rf_carried *carried, uint32_t slot, uint32_t stream, const void *value)
{
    int64_t *at = rf_carried_at(carried, slot, stream);

    RF_ASSERT(has_stream(carried, stream));
    if (is_text(&carried->slots[slot]))
        return put_text(carried, at, value);
    *present_at(carried, slot, stream) = true;
    memcpy(at, value, carried->slots[slot].kind == RF_BOOL ? sizeof(bool) : sizeof *at);
    return true;
}

bool rf_carried_get(const rf_carried *carried, uint32_t slot, uint32_t stream, void *value_out)
{
    const int64_t *at = rf_carried_at(carried, slot, stream);

    RF_ASSERT(has_stream(carried, stream));
    if (is_text(&carried->slots[slot])) {
        const rf_carried_text *text = rf_carried_text_of(carried, slot, stream);
        if (!text)
            return false;
        memcpy(value_out, &(rf_slice){text->bytes, text->size}, sizeof(rf_slice));
        return true;
    }
    if (!*present_at(carried, slot, stream))
        return false;
    memcpy(value_out, at, carried->slots[slot].kind == RF_BOOL ? sizeof(bool) : sizeof *at);
    return true;
}

rf_carried_value rf_carried_keep(const rf_carried *carried, uint32_t slot, uint32_t stream)
{
    RF_ASSERT(has_stream(carried, stream));
    return (rf_carried_value){
        .value = *rf_carried_at(carried, slot, stream),
        .present = carried->present[slot] && *present_at(carried, slot, stream),
    };
}

static size_t text_bytes(int64_t at)
{
    const rf_carried_text *text = (const rf_carried_text *)(uintptr_t)at;

    return text ? sizeof *text + text->size : 0;
}

void rf_carried_take_back(rf_carried *carried, uint32_t slot, uint32_t stream,
                          rf_carried_value value)
{
    int64_t *at = rf_carried_at(carried, slot, stream);

    RF_ASSERT(has_stream(carried, stream));
    if (carried->present[slot])
        *present_at(carried, slot, stream) = value.present;
    else if (!carried->slots[slot].is_place && *at != value.value) /* then the kept one was counted as dropped */
        carried->text_dropped += text_bytes(*at) - text_bytes(value.value);
    *at = value.value;
}

bool rf_carried_tidy(rf_carried *carried)
{
    rf_arena fresh;
    bool moved = true;

    if (carried->text_dropped < TIDY_BYTES_MIN ||
        carried->text_dropped < carried->text.bytes / 2)
        return true;
    rf_arena_init(&fresh, TEXT_BYTES_MAX);
    for (uint32_t slot = 0; moved && slot < carried->slot_count; slot++) {
        if (!is_text(&carried->slots[slot]))
            continue;
        for (uint32_t i = 0; moved && i < carried->stream_count; i++) {
            int64_t *at = &carried->values[slot][i];
            const rf_carried_text *text = (const rf_carried_text *)(uintptr_t)*at;
            if (!text)
                continue;
            rf_carried_text *copy = copy_text(&fresh, (rf_slice){text->bytes, text->size});
            *at = (int64_t)(uintptr_t)copy;
            moved = copy != NULL;
        }
    }
    rf_arena_free(&carried->text);
    carried->text = fresh;
    carried->text_dropped = 0;
    return moved;
}
