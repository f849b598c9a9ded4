/* Where the value of a field comes from, for events of some schema: the field's path is followed back
 * through the upcasters that such an event goes through, from the last to the first.
 *
 * An upcaster that copies makes it another path; a default is remembered for what is missing below.
 * A function, or a move that reads its field as another kind, makes a layer: what it assigned
 * counts, and where it left the field as it was, what is below. At the bottom is a stored path or a
 * constant. Most traces have no layer: the field is bound like any other, at its old path.
 */
#ifndef RF_PROJECTION_TRACE_H
#define RF_PROJECTION_TRACE_H

#include "projection/evolution.h"

/* What stands in where a value is missing; RF_ASSIGNED_NOT: nothing. */
typedef struct rf_trace_default {
    rf_assigned value;
    const rf_evolution_upcast *of; /* whose it is */
} rf_trace_default;

typedef struct rf_trace_layer {
    uint32_t step;     /* of the chain */
    uint32_t assigned; /* which of its assigned paths */
    bool hides;        /* that path lies above: once it is assigned, the field is missing */
    rf_trace_default fallback; /* where the layer says missing */
} rf_trace_layer;

typedef struct rf_trace {
    const rf_trace_layer *layers; /* that of the last upcaster first */
    uint32_t layer_count;
    bool stored;   /* else the bottom is `fallback` */
    rf_path path;  /* stored */
    rf_slice path_text;
    rf_trace_default fallback; /* where the bottom is missing */
} rf_trace;

/* The trace of a payload field as an event has it after `step_count` upcasters of the chain. What it
 * refers to is in `arena` or the evolution's. RF_ERR_PLUGIN for a json field of which an upcaster
 * assigns a part, and for paths that become too deep. */
rf_status rf_trace_field(const rf_evolution_chain *chain, uint32_t step_count,
                         const rf_definition_field *field, rf_arena *arena, rf_trace *trace_out,
                         rf_err *err);

/* Whether all fields of all handlers and upcasters can be traced. */
rf_status rf_trace_check(const rf_definition *definition, const rf_evolution *evolution,
                         rf_err *err);

#endif
