/* Bindings: which handlers of which definitions take the events of a type, and which of their
 * fields are read from the payload. Made when a type is first met, and remembered by name: many
 * segments, few types.
 *
 * Where a definition has an evolution, its handlers are those of the type's name of today, and
 * fields are traced back through the upcasters (projection/trace.h). What comes of that depends on
 * the schema: such a type has a binding for each. The census tells where there is only one.
 *
 * A part of the plan (plan.h), confined to its worker.
 */
#ifndef RF_REBUILD_BINDING_H
#define RF_REBUILD_BINDING_H

#include "base/arena.h"
#include "projection/trace.h"
#include "rebuild/convert.h"
#include "rebuild/plan.h"

/* How many words a call may have: two a field, and those that fill nothing. */
static inline uint32_t rf_plan_words_max(uint32_t field_count)
{
    return 2 * field_count + RF_PLAN_UNROLL;
}

/* An upcaster that is run over the events: a function, or moves that read fields as some kind. */
typedef struct rf_producer {
    const rf_evolution_upcast *upcast; /* NULL: nobody needs what it assigns */
    uint32_t definition;
    /* of the segment at hand: by assigned path, values by the type's events */
    rf_assigned **assigned;
} rf_producer;

/* A payload field of one call. */
typedef struct rf_fill {
    rf_plan_call *call;
    uint32_t order; /* fills of one path go in this order */
    const rf_definition_field *field; /* its path is the stored one */
    const rf_definition_field *origin; /* as the handler declares it */
    const rf_evolution_upcast *upcast; /* whose field it is; NULL: a handler's */
    bool compound; /* perhaps an array or object somewhere */
    /* What upcasters make of it. A fill is traced if it has layers or a fallback; `field` has no path
     * then if nothing stored is at its bottom. */
    bool traced;
    const rf_trace_layer *layers;
    uint32_t layer_count;
    const rf_producer *producers; /* by step */
    rf_trace_default fallback;
    /* in the segment at hand */
    bool payload; /* read from the payload */
    rf_members members; /* where it is not taken from a column as it is */
} rf_fill;

/* What is filled together: the event struct of one upcaster, which is then run, or of all handlers. */
typedef struct rf_stage {
    rf_plan_call *calls;
    uint32_t call_count;
    rf_fill *fills; /* by path: equal paths are neighbours */
    uint32_t fill_count;
    rf_producer *producer; /* NULL: handlers */
} rf_stage;

/* The handlers of a type's events, or of those of one schema. */
typedef struct rf_binding {
    rf_slice name;
    int64_t schema; /* of its events; 0: any */
    int64_t asked;  /* that it is found by */
    bool handled;
    bool by_schema; /* each schema has a binding of its own, and this is none of them */
    bool evolved;   /* its events may go through upcasters */
    bool traced;    /* some fill is */
    rf_plan_call *calls; /* of the handlers */
    uint32_t call_count;
    rf_stage *stages; /* the handlers' last */
    uint32_t stage_count;
    /* Why its events are not taken: "schema 4 of …"; NULL: they are. */
    const char *refusal;
    uint32_t refusal_definition;
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
/* The binding of a type, valid until the end; NULL without memory. `schema` 0 at first, and that of
 * the events where the binding is `by_schema`. */
rf_binding *rf_binder_find(rf_binder *binder, rf_slice name, int64_t schema);

#endif
