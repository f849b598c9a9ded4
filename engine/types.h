/* The report of types while it is made: types.c fills it from the census, dictionary.c adds what only
 * the events themselves tell. See refold/log.h. */
#ifndef RF_TYPES_H
#define RF_TYPES_H

#include "log/field_values.h"
#include "refold/log.h"
#include "store/store.h"

struct rf_types {
    rf_arena arena; /* texts */
    rf_census *census;
    const rf_census_type *list; /* of the census */
    rf_log_source *sources;
    rf_source_info *source_infos;
    uint32_t source_count;
    rf_type_info *types;   /* as the list */
    rf_type_field *fields; /* of all types, in their order */
    uint32_t type_count;
    uint32_t field_count;
};

/* Looks at every event up to position `until`. */
rf_status rf_types_look(rf_store *store, const rf_run *run, uint64_t until, rf_types *types,
                        rf_err *err);

#endif
