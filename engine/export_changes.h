/* What changes between a generation that was published and the one that is to be, as long as that
 * is less than sending all rows.
 *
 *     rf_export_changes_find -> (the changes are sent) -> rf_export_changes_free
 *
 * The rows are copies, and stay until free.
 */
#ifndef RF_EXPORT_CHANGES_H
#define RF_EXPORT_CHANGES_H

#include "base/arena.h"
#include "diff.h"
#include "sink/postgres.h"

/* Of the rows, when changing is no longer cheaper: a row that changes costs the server about three
 * times one that is copied. */
#define RF_EXPORT_CHANGES_SHARE 0.2

typedef struct rf_export_changes {
    rf_arena *memory; /* one a partition, owned as the next */
    uint32_t partitions;
    rf_table_change *items;
} rf_export_changes;

/* `changes_out` is zeroed. *found_out is false where the store has the generation no more as it was
 * published (`digest`), or where too much differs. */
rf_status rf_export_changes_find(rf_store *store, const char *name, uint64_t before,
                                 const char *digest, uint64_t after, const rf_run *run,
                                 rf_export_changes *changes_out, rf_sink_changes *out,
                                 bool *found_out, rf_err *err);
void rf_export_changes_free(rf_export_changes *changes); /* a zeroed one too */

#endif
