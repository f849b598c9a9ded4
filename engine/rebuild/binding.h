/* Bindings: which handlers of which definitions take the events of a type, and which of their
 * fields are read from the payload. Made when a type is first met, and remembered by name: many
 * segments, few types.
 *
 * A part of the plan (plan.h), confined to its worker.
 */
#ifndef RF_REBUILD_BINDING_H
#define RF_REBUILD_BINDING_H

#include "base/arena.h"
#include "rebuild/convert.h"
#include "rebuild/plan.h"

/* How many words a call may have: two a field, and those that fill nothing. */
static inline uint32_t rf_plan_words_max(uint32_t field_count)
{
    return 2 * field_count + RF_PLAN_UNROLL;
}

/* A payload field of one call. */
typedef struct rf_fill {
    uint32_t call;
    const rf_definition_field *field;
    bool compound; /* perhaps an array or object somewhere */
    /* in the segment at hand */
    bool payload; /* read from the payload */
    rf_members members; /* where it is not taken from a column as it is */
} rf_fill;

/* A type's handlers, remembered by name. */
typedef struct rf_binding {
    rf_slice name;
    rf_plan_call *calls;
    uint32_t call_count;
    rf_fill *fills; /* by path: equal paths are neighbours */
    uint32_t fill_count;
} rf_binding;

/* Bindings by name: open addressing, never more than half full. */
typedef struct rf_binder {
    const rf_definition *const *definitions;
    uint32_t definition_count;
    const rf_census_type *census;
    uint32_t census_count;
    rf_binding **slots;
    size_t slot_count;
    size_t binding_count;
    rf_arena names; /* type names and bindings */
} rf_binder;

/* Borrows all that it is given until the end. False without memory; then only rf_binder_end is
 * allowed. */
bool rf_binder_begin(rf_binder *binder, const rf_definition *const *definitions, uint32_t count,
                     const rf_census_type *census, uint32_t census_count);
void rf_binder_end(rf_binder *binder);
/* The binding of a type, valid until the end; NULL without memory. */
rf_binding *rf_binder_find(rf_binder *binder, rf_slice name);

#endif
