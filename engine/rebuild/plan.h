/* The plan: which columns of which types a pass has to decode, per segment and once.
 *
 *     new -> bind (once a segment) … -> free
 *
 * The plan binds the types that it meets to the handlers of all definitions (by name, "*" included)
 * and remembers that by name. For each segment it decodes the columns that the handlers of its
 * types name, each (type, path) once however many read it, straight into arrays of event structs,
 * one array per handler and type, in order of events. Kinds are converted on the way (convert.h).
 * Paths without column and json fields are read from the payload, with the same result. Types that
 * nobody handles cost nothing.
 *
 * A plan is confined to one worker. What bind gives is valid until the next bind, but for text:
 * that lives in the arena of the caller, and type names as long as the plan.
 */
#ifndef RF_REBUILD_PLAN_H
#define RF_REBUILD_PLAN_H

#include "log/log.h"
#include "projection/definition.h"

typedef struct rf_plan rf_plan;

/* One handler bound to a type. */
typedef struct rf_plan_call {
    rf_handler_fn fold;
    const char *structs; /* for the segment at hand: one per event of the type */
    uint32_t event_size;
    uint32_t definition; /* index */
    const rf_definition_handler *handler;
} rf_plan_call;

typedef struct rf_plan_type {
    rf_slice name;
    const rf_plan_call *calls; /* by definition, then in its order */
    uint32_t call_count;
    uint32_t events_before; /* of this type in the segment, before `begin` */
} rf_plan_type;

typedef struct rf_plan_input {
    const rf_segment *segment;
    uint32_t begin, end;     /* events in range: only their values can be faults */
    uint32_t stream_count;   /* stream numbers in range are below it */
    const rf_slice *streams; /* names by number, for definitions that read them; else NULL */
    rf_arena *text;          /* keeps what event structs refer to */
} rf_plan_input;

typedef struct rf_plan_segment {
    const rf_plan_type *types;   /* by the segment's type index */
    const uint32_t *event_types; /* of each event: index of its type; NULL if no type is handled */
    const int64_t *event_streams;
} rf_plan_segment;

/* Which event a failure is about. */
typedef struct rf_plan_fault {
    uint32_t event;      /* UINT32_MAX: none */
    uint32_t definition; /* index */
} rf_plan_fault;

/* `census` tells where a path ever was an array or object: no column has these, so such fields are
 * looked for in the payload, where a wrong kind shows. Both are borrowed until free. NULL without
 * memory. */
rf_plan *rf_plan_new(const rf_definition *const *definitions, uint32_t count,
                     const rf_census_type *census, uint32_t census_count);
void rf_plan_free(rf_plan *plan);
/* Whether any handler reads the event's stream or category. */
bool rf_plan_reads_stream(const rf_plan *plan);
/* RF_ERR_INPUT for a value that is not of its field's kind; *fault_out says whose, and the caller
 * adds the event's place to the message. */
rf_status rf_plan_bind(rf_plan *plan, const rf_plan_input *input, rf_plan_segment *segment_out,
                       rf_plan_fault *fault_out, rf_err *err);
/* Stored bytes that were read so far. */
uint64_t rf_plan_bytes_decoded(const rf_plan *plan);

#endif
