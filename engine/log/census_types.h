/* The types of a census, for census.c and census_record.c only. */
#ifndef RF_LOG_CENSUS_TYPES_H
#define RF_LOG_CENSUS_TYPES_H

#include "log/census_tree.h"

/* One (type, schema). */
typedef struct rf_census_entry {
    rf_slice type; /* in the forest's arena */
    int64_t schema;
    uint64_t events;
    uint64_t first_position;
    uint64_t last_position;
    int64_t time_min;
    int64_t time_max;
    rf_census_tree tree;
} rf_census_entry;

/* Events of one shape and schema whose fields are not counted yet. */
typedef struct rf_census_shape {
    const rf_event_shape *shape; /* borrowed while events > 0 */
    int64_t schema;
    uint64_t events;
    uint32_t entry; /* index */
} rf_census_shape;

struct rf_census {
    rf_census_forest forest;
    rf_census_entry *entries; /* owned; in order of arrival */
    uint32_t count;
    uint32_t capacity;
    uint32_t last;       /* index that was found last */
    uint32_t *slots;     /* owned; index + 1, 0 is free; open addressing */
    uint32_t slot_count; /* a power of two, at most half taken */
    rf_census_shape *shapes; /* owned; RF_EVENT_SHAPES_MAX by id; NULL before the first */
    uint32_t shape_count;    /* ids below it may have events */
    rf_arena list;       /* what rf_census_list gave */
};

/* The entry of (type, schema), made if need be; valid until the next is made. */
rf_status rf_census_entry_find(rf_census *census, rf_slice type, int64_t schema,
                               rf_census_entry **entry_out, rf_err *err);
rf_status rf_census_entry_add(rf_census *census, const rf_census *other,
                              const rf_census_entry *entry, rf_err *err);

#endif
