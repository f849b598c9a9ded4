/* Merging the small segments at a partition's end into few large ones.
 *
 * A commit writes whatever it has, so commits of few events leave small segments. Those at the end
 * of a partition that were never merged are its tail (rf_directory_record). When the tail is long
 * enough it is read back event by event, payloads parsed, and built again. What comes out is no
 * longer tail, whatever its size: each event is written at most twice.
 *
 * rf_merge_read only reads, and runs for many partitions at once; the caller applies the results in
 * its write transaction, which it began before, so that both see the same log.
 */
#ifndef RF_LOG_MERGE_H
#define RF_LOG_MERGE_H

#include "log/record.h"

enum {
    RF_MERGE_EVENTS_SMALL = RF_SEGMENT_EVENTS_MAX / 8, /* a segment with fewer events … */
    RF_MERGE_RAW_SMALL = RF_SEGMENT_RAW_MAX / 8,       /* … and fewer bytes is small */
    RF_MERGE_TAIL_FINISH = 32, /* tails of so many are merged at the end of an import */
    RF_MERGE_TAIL_COMMIT = 64, /* and of so many at each commit */
};

typedef struct rf_merge rf_merge;

/* Whether a segment belongs to the tail; notes it in the record. */
void rf_merge_note_segment(rf_directory_record *record, uint64_t first_position, uint32_t events,
                           uint64_t raw_bytes);

/* Reads the tail of `partition` and builds it again. */
rf_status rf_merge_read(rf_kv_txn *txn, uint32_t partition, const rf_directory_record *record,
                        rf_merge **merge_out, rf_err *err);
/* Replaces the tail by what was built, in the write transaction, and brings the record up to date.
 */
rf_status rf_merge_apply(const rf_merge *merge, rf_kv_txn *txn, rf_directory_record *record,
                         rf_err *err);
/* Takes NULL. */
void rf_merge_free(rf_merge *merge);

#endif
