/* Identity: finding what the log already holds of one partition, for the appender.
 *
 * An event is known by (stream, version), or by (stream, source, source position) where it came
 * without version. Nothing but the segments themselves says where an event is: their columns are
 * decoded into small tables, kept for the segments used last within a bound. A search tries the
 * segment of the last hit, then the one after it, then the other tables, then walks the partition's
 * segments whose range of stream numbers covers the one wanted. A file that is imported again walks
 * the segments in order, so each is decoded once.
 *
 * Segments that are not committed yet are known by their bytes (rf_identity_add_pending). Comparing
 * an event with a stored one reads type, schema, time and the bytes of data and metadata from one
 * segment, copied out of the transaction and kept, with the last payload chunk, for the next
 * comparison.
 *
 * Confined to the task that handles the partition. Reads go through the transaction that is passed.
 */
#ifndef RF_LOG_IDENTITY_H
#define RF_LOG_IDENTITY_H

#include "base/kv.h"
#include "event/event.h"

typedef struct rf_identity rf_identity;

typedef struct rf_identity_key {
    uint32_t stream;
    bool by_source; /* else by version */
    int64_t version;
    uint32_t source;
    uint64_t source_position;
} rf_identity_key;

typedef struct rf_identity_hit {
    uint64_t position;
    uint32_t fingerprint;
} rf_identity_hit;

/* `bytes_max` bounds the tables (two segments are always kept). NULL without memory. */
rf_identity *rf_identity_new(uint32_t partition, uint32_t table, size_t bytes_max);
void rf_identity_free(rf_identity *identity);

rf_status rf_identity_find(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                           rf_identity_hit *hit_out, bool *found_out, rf_err *err);
/* Whether the event at `position` has the same type, schema, time, data and metadata. */
rf_status rf_identity_same(rf_identity *identity, rf_kv_txn *txn, uint64_t position,
                           const rf_event *event, bool *same_out, rf_err *err);

/* A segment that is not committed yet; `bytes` stay where they are until committed or free. */
rf_status rf_identity_add_pending(rf_identity *identity, rf_slice bytes, rf_err *err);
/* The pending segments are in the table now, and their bytes may go. */
void rf_identity_committed(rf_identity *identity);
/* Forgets the tables: segments were merged, or another process appended. */
void rf_identity_forget(rf_identity *identity);

#endif
