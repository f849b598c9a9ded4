/* The events of a segment that a lenient plan cannot convert, gathered while it binds.
 *
 *     begin -> (note, at each field) … -> settle
 *
 * Conversion meets them type by type, field by field, by their place among the events of the type;
 * settle turns that into events, in their order, each of a definition once. A part of the plan
 * (plan.h), confined to its worker.
 */
#ifndef RF_REBUILD_PLAN_FAULTS_H
#define RF_REBUILD_PLAN_FAULTS_H

#include "rebuild/binding.h"

/* Of what an event has several of, the first is told, and of these the first as text: so it does not
 * depend on the order in which columns are read. */
typedef enum rf_plan_rank {
    RF_RANK_SCHEMA,
    RF_RANK_VALUE,  /* as it was stored */
    RF_RANK_UPCAST, /* what comes of it */
} rf_plan_rank;

/* While it is gathered, `event` of an item is the ordinal within its type. */
typedef struct rf_plan_faults {
    bool wanted;
    bool failed; /* no memory */
    rf_plan_faulty *list; /* owned, as `types` */
    uint32_t *types;      /* of each item */
    uint32_t count, capacity;
    rf_arena reasons;
} rf_plan_faults;

/* What a note is about. */
typedef struct rf_plan_faults_of {
    rf_plan_faults *faults;
    const rf_fill *fill;
    uint32_t type; /* index in the segment */
} rf_plan_faults_of;

/* Why a stored value is none of the field: RF_ERR_INPUT. */
rf_status rf_plan_fault_line(const rf_fill *fill, const rf_convert_fault *fault, rf_err *err);

void rf_plan_faults_free(rf_plan_faults *faults);
void rf_plan_faults_begin(rf_plan_faults *faults);
/* What conversion notes faults in: kept where they are wanted. `of` lives as long. */
rf_convert_fault rf_plan_faults_note(rf_plan_faults_of *of);
/* An event, by its ordinal within its type, that another fault than of a stored value is of. */
void rf_plan_faults_add(rf_plan_faults *faults, uint32_t type, uint32_t ordinal,
                        uint32_t definition, rf_plan_rank rank, uint64_t marks,
                        const char *reason);
rf_status rf_plan_faults_settle(rf_plan_faults *faults, const uint32_t *event_types,
                                uint32_t event_count, uint32_t type_count, rf_err *err);

#endif
