/* The presets: which columns of which table are which member of an event. Private to the layout.
 *
 * Facts about each store stand here and nowhere else.
 */
#ifndef RF_SOURCE_POSTGRES_PRESET_H
#define RF_SOURCE_POSTGRES_PRESET_H

#include "source/postgres_layout.h"

typedef struct rf_postgres_preset_column {
    const char *names; /* alternatives with '|' between */
    rf_postgres_role role;
    const char *member; /* of RF_ROLE_FILTER: what stands behind the column */
    bool is_optional;
    const char *omitted;
} rf_postgres_preset_column;

typedef struct rf_postgres_preset {
    const char *name;
    const char *schema; /* NULL: the search path's */
    const char *tables; /* alternatives with '|' between; NULL: found by its columns */
    /* Where positions are drawn when the table's own default does not tell, in the table's schema. */
    const char *sequences;
    const char *streams; /* a table that names the stream of each event, by event_id */
    bool notifies;       /* on a channel that is called as the table */
    rf_postgres_preset_column columns[16]; /* up to one without names */
} rf_postgres_preset;

/* NULL where there is none of this name. */
const rf_postgres_preset *rf_postgres_preset_find(const char *name);
/* The `index`-th; NULL behind the last. */
const rf_postgres_preset *rf_postgres_preset_at(uint32_t index);

#endif
