/* What the parts of a check share. Private to check.c and check_schemas.c; see check.h. */
#ifndef RF_REBUILD_CHECK_JOB_H
#define RF_REBUILD_CHECK_JOB_H

#include "projection/trace.h"
#include "rebuild/check.h"

/* What the census says about one field of one handler. */
typedef struct rf_check_tally {
    uint64_t events;   /* of the handler's types */
    uint64_t present;  /* of these, with the field, not null */
    uint64_t fitting;  /* of these, of a kind that the field can read */
    uint64_t assigned; /* of those with the field: upcasters may assign it */
    uint64_t counts[RF_CENSUS_KIND_COUNT];
    bool capped; /* some of the types have more fields than the census lists */
} rf_check_tally;

/* One definition against one census. */
typedef struct rf_checking {
    const rf_definition *definition;
    const rf_census_type *types;
    uint32_t type_count;
    const rf_slice *names; /* of the types, today */
    rf_arena *arena;
    rf_check_list *list;
    uint32_t field_capacity;
    uint32_t finding_capacity;
    uint32_t schema_capacity;
} rf_checking;

/* The nearest name seen so far. */
typedef struct rf_check_nearest {
    rf_slice wanted;
    rf_slice name; /* data NULL: none yet */
    uint32_t distance;
} rf_check_nearest;

/* check.c: whether any handler takes the type. */
bool rf_check_handles(const rf_definition *definition, rf_slice type);
/* "NAME: FACT" and, where there is a nearest name, "; the nearest is NAME". */
__attribute__((format(printf, 5, 6))) rf_status
rf_check_add(rf_checking *checking, bool refuses, const rf_check_nearest *nearest, rf_err *err,
             const char *format, ...);
/* Room for one more element: arrays in an arena grow by copying. */
void *rf_check_grow(rf_arena *arena, void *items, uint32_t count, uint32_t *capacity, size_t size);
/* Fields that are looked for in events. */
typedef struct rf_check_fields_of {
    const rf_definition_handler *handler; /* whose types these events are of */
    rf_slice shown;                       /* that type, in messages */
    int64_t schema; /* 0: of all; else of an upcaster of that schema, in events of it */
    const rf_definition_field *fields;
    uint32_t count;
    bool is_key; /* an event without one has no key */
} rf_check_fields_of;
rf_status rf_check_fields(rf_checking *checking, const rf_check_fields_of *of, rf_err *err);

/* check_schemas.c: each schema that occurred has an upcaster, or is the current one; and what that
 * is. */
rf_status rf_check_schemas(rf_checking *checking, rf_err *err);
/* Whether a field can hold what upcasters give all events of some schema. */
rf_status rf_check_constant(rf_checking *checking, const rf_definition_field *field,
                            const rf_trace_default *constant, rf_err *err);
/* The fields that upcasters of handled types read. */
rf_status rf_check_upcasts(rf_checking *checking, rf_err *err);

#endif
