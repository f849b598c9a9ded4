/* What changes between the rows that were published and those that are to be, as long as that is less than sending all
 * rows. What was published is a generation that is still as it was; or a base that is still there and what was noted
 * of the rows that differed from it (export_state.h).
 *
 *     rf_export_changes_find -> (the changes are sent) -> rf_export_changes_free
 *
 * The rows are copies, and stay until free.
 */
#ifndef RF_EXPORT_CHANGES_H
#define RF_EXPORT_CHANGES_H

#include "base/arena.h"
#include "compare/diff.h"
#include "sink/postgres.h"

/* Of the rows, when changing is no longer cheaper: a row that changes costs the server about three
 * times one that is copied. */
#define RF_EXPORT_CHANGES_SHARE 0.2

typedef struct rf_export_changes {
    rf_arena *memory; /* one a partition, owned as the next */
    uint32_t partitions;
    rf_table_change *items;
} rf_export_changes;

/* What the target says of it. */
typedef struct rf_export_published {
    uint64_t generation;
    const char *digest;
    rf_slice state; /* data NULL: nothing was noted */
} rf_export_published;

/* `changes_out` is zeroed or used. *found_out is false where the store cannot tell any more what was published, or where too
 * much differs. */
rf_status rf_export_changes_find(rf_store *store, const rf_export_published *published,
                                 const rf_diff_side *now, const rf_run *run,
                                 rf_export_changes *changes_out, rf_sink_changes *out,
                                 bool *found_out, rf_err *err);
void rf_export_changes_free(rf_export_changes *changes); /* a zeroed one too */

#endif
