/* What the parts of a plan share. Private to plan.c and the files plan_*.c; see plan.h.
 *
 * A lane is what is bound alike: the events of a type or, where upcasters tell schemas apart and a
 * segment has several, those of a type and schema. Lanes [0, type_count) are of the segment's types
 * in their order; others are behind. Columns have the values of a type: an event's ordinal is that
 * in its type, whatever its lane. A mask says which ordinals a lane means; it has none where these
 * are all.
 */
#ifndef RF_REBUILD_PLAN_STATE_H
#define RF_REBUILD_PLAN_STATE_H

#include "rebuild/binding.h"
#include "rebuild/payload.h"
#include "rebuild/plan_faults.h"

/* The columns of a path, or that it has to be read from the payload. */
typedef struct rf_path_columns {
    rf_field_column columns[5];
    uint32_t count;
    bool capped;
} rf_path_columns;

/* What a lane is beside its rf_plan_type. */
typedef struct rf_plan_lane {
    rf_binding *binding;
    uint32_t stored_type; /* index of the segment's type */
    uint32_t end;         /* its type's events before the end of the range */
    const uint8_t *mask;  /* by ordinal; NULL: all */
    int64_t schema;       /* of its events; 0 if it was not looked at */
} rf_plan_lane;

/* Columns that were decoded for one lane and may be read by the next. */
typedef struct rf_plan_decoded {
    struct rf_plan_decoded *next;
    uint32_t stored_type;
    rf_slice path_text;
    rf_path_columns columns;
} rf_plan_decoded;

struct rf_plan {
    /* fixed after new */
    bool reads_stream;
    bool reads_category;
    const volatile int *cancel; /* that upcasters look at; NULL: never */
    rf_binder binder;
    /* of the segment at hand; buffers grow and stay */
    uint32_t *event_types;   /* as stored */
    uint32_t *event_streams;
    uint32_t *listed;
    uint8_t *wanted; /* by the segment's type: whether it is handled */
    int64_t *scratch_ints;                   /* as many as a segment has events */
    int64_t *envelope[RF_ENVELOPE_COUNT];    /* those that event structs have; NULL until needed */
    bool envelope_read[RF_ENVELOPE_COUNT];
    rf_plan_type *types; /* by lane, as the next */
    rf_plan_lane *lanes;
    uint32_t lane_count, lane_capacity;
    bool split;               /* there are lanes behind, or masks: the next two are set */
    uint32_t *event_lanes;    /* NULL until needed, as the next */
    uint32_t *event_ordinals;
    rf_plan_decoded *decoded;
    void **upcast_states; /* by definition; NULL until needed */
    rf_arena scratch;
    rf_codec *codec;
    rf_payload_reader *payloads;
    bool payloads_read; /* of the segment at hand */
    rf_json_parser *json;
    uint64_t bytes_decoded;
    rf_plan_faults faults;
};

/* plan.c */
void rf_plan_bind_lane(rf_plan *plan, uint32_t lane, rf_binding *binding, uint32_t count);
rf_status rf_plan_reserve_lanes(rf_plan *plan, uint32_t count, rf_err *err);
rf_status rf_plan_read_envelope(rf_plan *plan, const rf_segment *segment, rf_envelope column,
                                rf_err *err);
/* Says which event and whose definition a failure is about. */
void rf_plan_blame(const rf_plan *plan, const rf_segment *segment, uint32_t lane, uint32_t ordinal,
                   uint32_t definition, rf_plan_fault *fault_out);
/* For a lenient plan: makes note of the failure instead, whose line is *failure, and gives RF_OK. */
rf_status rf_plan_forgive(rf_plan *plan, uint32_t lane, uint32_t ordinal, uint32_t definition,
                          rf_status status, const rf_err *failure, rf_err *err);
/* What the conversion of a field's values notes faults in. `of` lives as long. */
rf_convert_fault rf_plan_note(rf_plan *plan, uint32_t lane, const rf_fill *fill,
                              rf_plan_faults_of *of);
/* The same of a stored value, with the reason. Nothing where the plan is lenient: it was noted. */
rf_status rf_plan_refuse(const rf_plan *plan, const rf_segment *segment, uint32_t lane,
                         const rf_fill *fill, const rf_convert_fault *found,
                         rf_plan_fault *fault_out, rf_err *err);
void rf_plan_add_members(rf_plan_call *call, const rf_field *field, const rf_members *members);
void rf_plan_add_move(rf_plan_call *call, const rf_plan_move *move);
rf_status rf_plan_move_member(rf_plan *plan, const rf_plan_input *input, rf_plan_call *call,
                              const rf_field *field, rf_err *err);
void rf_plan_pad_words(rf_plan_call *call);

/* plan_fill.c */
rf_status rf_plan_fill_lane(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                            rf_plan_fault *fault_out, rf_err *err);

/* plan_lanes.c: tells the events of a type apart by schema where their bindings say so, and events
 * whose streams are in range from others where upcasters are run; binds what comes of it. */
rf_status rf_plan_split(rf_plan *plan, const rf_plan_input *input, rf_err *err);
/* Whether all events of the range may be taken. */
rf_status rf_plan_check_lanes(rf_plan *plan, const rf_plan_input *input, rf_plan_fault *fault_out,
                              rf_err *err);

/* plan_upcast.c: a traced fill, from its layers and, where they leave it as it was, from columns;
 * what the payload gives comes later, and finish_traced after it. */
rf_status rf_plan_fill_traced(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              rf_fill *fill, const rf_path_columns *path, rf_plan_fault *fault_out,
                              rf_err *err);
rf_status rf_plan_finish_traced(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                                const rf_fill *fill, rf_plan_fault *fault_out, rf_err *err);
/* Runs the upcaster of a stage whose call is filled. */
rf_status rf_plan_produce(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                          const rf_stage *stage, rf_plan_fault *fault_out, rf_err *err);
void rf_plan_close_upcasts(rf_plan *plan);

/* Members for the type's events, of which the lane's may be faults. */
static inline rf_members rf_plan_members(const rf_plan *plan, const rf_plan_input *input,
                                         uint32_t lane)
{
    return (rf_members){
        .count = input->segment->types[plan->lanes[lane].stored_type].count,
        .begin = plan->types[lane].events_before,
        .end = plan->lanes[lane].end,
        .mask = plan->lanes[lane].mask,
    };
}

static inline bool rf_plan_in_lane(const rf_plan *plan, uint32_t event, uint32_t lane)
{
    return (plan->split ? plan->event_lanes : plan->event_types)[event] == lane;
}

#endif
