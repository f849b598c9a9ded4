/* Carried values: what each stream of a partition has last had in some fields.
 *
 * A slot is a carry's name; its values stand in an array by stream number, of a range of these, eight
 * bytes each: a number, or where a text lies with its size. An event's text is copied, and what is replaced stays
 * until rf_carried_tidy, because events that wait to be folded refer to it.
 *
 * Confined to the worker that has the partition.
 */
#ifndef RF_REBUILD_CARRIED_H
#define RF_REBUILD_CARRIED_H

#include "base/arena.h"
#include "base/bytes.h"
#include "refold/projection.h"

typedef struct rf_carried_text {
    uint32_t size;
    char bytes[];
} rf_carried_text;

typedef struct rf_carried_slot {
    rf_kind kind;
    bool is_place; /* of a text that is nothing but a key: eight bytes of the caller's, 0 at first */
} rf_carried_slot;

typedef struct rf_carried {
    uint32_t slot_count;
    const rf_carried_slot *slots; /* borrowed */
    uint32_t stream_first, stream_count; /* the streams that are asked about */
    int64_t **values; /* by slot, then stream less the first; of a text an rf_carried_text, 0: none */
    bool **present;   /* likewise; NULL for texts and places */
    rf_arena text;
    size_t text_dropped; /* bytes of it that nothing refers to */
} rf_carried;

/* False without memory; then only end is allowed. */
bool rf_carried_begin(rf_carried *carried, const rf_carried_slot *slots, uint32_t slot_count,
                      uint32_t stream_first, uint32_t stream_count);
void rf_carried_end(rf_carried *carried); /* a zeroed one too */
size_t rf_carried_bytes(const rf_carried *carried);
/* A stream's value as it stands. */
static inline int64_t *rf_carried_at(const rf_carried *carried, uint32_t slot, uint32_t stream)
{
    return &carried->values[slot][stream - carried->stream_first];
}
/* `value` is of the slot's C type and present. False without memory. */
bool rf_carried_put(rf_carried *carried, uint32_t slot, uint32_t stream, const void *value);
/* Whether there is a value; it is put at `value_out`, which is unchanged if not. */
bool rf_carried_get(const rf_carried *carried, uint32_t slot, uint32_t stream, void *value_out);
/* A stream's value as it is, to be put back where an event that put others is taken back; what was
 * put last is taken back first, and nothing is tidied meanwhile. */
typedef struct rf_carried_value {
    int64_t value;
    bool present;
} rf_carried_value;
rf_carried_value rf_carried_keep(const rf_carried *carried, uint32_t slot, uint32_t stream);
void rf_carried_take_back(rf_carried *carried, uint32_t slot, uint32_t stream,
                          rf_carried_value value);
/* Of a text slot; NULL if there is none. */
static inline const rf_carried_text *rf_carried_text_of(const rf_carried *carried, uint32_t slot,
                                                        uint32_t stream)
{
    return (const rf_carried_text *)(uintptr_t)*rf_carried_at(carried, slot, stream);
}
/* Drops what was replaced, where it is much: nothing may refer to texts. False without memory. */
bool rf_carried_tidy(rf_carried *carried);

#endif
