/* Keying: what an exchange asks of each event beside the fields of its handlers.
 *
 * A plan fills structs with fields and knows of no keys. So of a definition whose rows are not those
 * of streams another one is derived, for plans only: each handler's struct goes on behind the
 * plugin's with what the key is made of, and each carry is a handler of its
 * own, before all others, whose struct is the field. What is carried is no field of the derived
 * ones: it is put into the struct afterwards (rf_keying_put_carried).
 *
 *     [the plugin's struct | parts of the key, or the struct that it is computed of]
 *
 * Immutable after begin, shared by threads.
 */
#ifndef RF_REBUILD_KEYING_H
#define RF_REBUILD_KEYING_H

#include "base/arena.h"
#include "event/key.h"
#include "projection/definition.h"
#include "rebuild/carried.h"

/* A field that takes a carried value. */
typedef struct rf_keying_carried {
    uint32_t slot;
    uint32_t offset, present_offset; /* RF_NO_PRESENT: not asked for */
    uint32_t size;
} rf_keying_carried;

/* A part of a key, once it is in the struct. */
typedef struct rf_keying_part {
    rf_kind kind;
    uint8_t scale;
    uint32_t offset;
    uint32_t present_offset; /* RF_NO_PRESENT: the value itself tells */
} rf_keying_part;

/* By the index of the derived definition's handlers; behind them stands one that is empty. */
typedef struct rf_keying_handler {
    const rf_definition_handler *handler; /* NULL: a carry */
    uint32_t event_size;                  /* of the plugin's struct */
    const rf_keying_carried *carried; /* before the key is made */
    uint32_t carried_count;
    const rf_keying_part *parts;
    uint32_t part_count;
    const rf_definition_key *computed; /* NULL: the parts are there */
    uint32_t computed_offset;          /* where its struct begins */
    /* of a key that is one text, what spares making it: the slot that carries it */
    bool is_text;
    uint32_t text_slot; /* UINT32_MAX: none */
    bool from_place;    /* the slot has the place that the key leads to */
    /* of a carry */
    uint32_t slot;
    rf_keying_part value;
    bool every_row;
} rf_keying_handler;

typedef struct rf_keying {
    const rf_definition *definition;
    rf_definition derived;
    const rf_keying_handler *handlers;
    const rf_carried_slot *slots;
    uint32_t slot_count;
    bool has_every_row;
    rf_arena arena;
} rf_keying;

/* RF_ERR_MEMORY, or what cannot be. */
rf_status rf_keying_begin(rf_keying *keying, const rf_definition *definition, rf_err *err);
void rf_keying_end(rf_keying *keying);

/* The mark of the fields that the keys of a derived handler are made of: 63 have their own, all others
 * share one. What is carried may be in any key. */
static inline uint64_t rf_keying_mark(uint32_t handler)
{
    return (uint64_t)1 << (handler < 63 ? handler : 63);
}

static inline const rf_keying_handler *rf_keying_of(const rf_keying *keying,
                                                    const rf_definition_handler *derived)
{
    return &keying->handlers[derived - keying->derived.handlers];
}

/* Puts carried values into the event's struct. */
void rf_keying_put_carried(const rf_keying_handler *handler, const rf_carried *carried,
                           uint32_t stream, char *event);

/* Takes the carry's value off its struct. False without memory. */
bool rf_keying_carry(const rf_keying_handler *handler, rf_carried *carried, uint32_t stream,
                     const char *event);

/* The value of a part in a struct; is_null where the event has none. */
rf_value rf_keying_value(const rf_keying_part *part, const char *event);

#endif
