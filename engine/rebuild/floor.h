/* The floor: what a replay cannot do without, and nothing else. Its time is what a replay's time is
 * compared with.
 *
 * Workers take partitions as in a fold. Of each they decode the columns that the handlers name, of
 * the types that they handle (payloads where a field has no column), and throw them away; then
 * they write the partition's share of as many bytes as the replay wrote, into a file of their own.
 * At the end all files are fsynced. There are no event structs, handlers, states, stream
 * names, rows, checksums of rows, trees of pages or directories.
 */
#ifndef RF_REBUILD_FLOOR_H
#define RF_REBUILD_FLOOR_H

#include "rebuild/fold.h"

typedef struct rf_floor_options {
    uint64_t until;       /* last position decoded */
    uint64_t write_bytes; /* over all files */
    const char *dir;      /* exists; nothing of the floor is left in it */
    const volatile int *cancel;
} rf_floor_options;

/* Seconds from the start of the first worker to the end of the last fsync. */
rf_status rf_floor_run(rf_log *log, rf_pool *pool, const rf_definition *const *definitions,
                       uint32_t definition_count, const rf_floor_options *options,
                       double *seconds_out, rf_err *err);

#endif
