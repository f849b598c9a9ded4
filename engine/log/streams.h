/* Streams: per partition, the names of its streams with their numbers and last versions, as sorted
 * runs.
 *
 * A stream gets the next number of its partition when its first event arrives; numbers are dense. A
 * commit writes one run per partition with the names it touched: front-coded blocks in name order
 * of (name, number, last version), a block index and a filter, checksummed. An entry in a newer run
 * hides the same name in older ones. Runs of a size class are merged like segments, so a partition
 * has few. A run is stored in parts of about 64 KiB: the table `streams` of the log maps (partition
 * u16 BE, run id u64 BE, part u32 BE) to a part (streams_part.h); the greatest id is the newest
 * run.
 *
 * rf_streams is the appender's view of one partition: the bounded recent part (a hash table of what
 * was touched or looked up since) over the runs. It is confined to the task that handles the
 * partition. Reads go through the transaction that is passed, a read transaction. What others
 * commit meanwhile is not seen in what is cached: when another process has appended, free the view
 * and begin a new one.
 */
#ifndef RF_LOG_STREAMS_H
#define RF_LOG_STREAMS_H

#include "base/arena.h"
#include "base/checksum.h"
#include "base/kv.h"

typedef struct rf_streams rf_streams;

/* Hash of a name, for filters and hash tables. */
static inline uint64_t rf_streams_hash(rf_slice name)
{
    return rf_checksum(name);
}

typedef struct rf_stream {
    uint32_t number;
    bool is_new;          /* created since the last flush */
    bool touched;         /* changed since the last flush */
    int64_t last_version; /* RF_VERSION_NONE (INT64_MIN) while new and without events */
} rf_stream;

/* `stream_count` is how many numbers the partition has given so far (kept in the log's directory).
 * NULL without memory. */
rf_streams *rf_streams_new(uint32_t partition, uint32_t table, uint32_t stream_count);
void rf_streams_free(rf_streams *streams);
/* Bytes above which the recent part is emptied after a commit; RF_STREAMS_CACHE_BYTES unless set.
 * What one commit touches is always kept until then. */
void rf_streams_set_cache_bytes(rf_streams *streams, size_t cache_bytes);
enum { RF_STREAMS_CACHE_BYTES = 1 << 20 };
/* The entry of `name`, whose rf_streams_hash is `hash`, or one made with the next number. The
 * pointer is valid until flush or forget; the caller sets `last_version` and `touched`. */
rf_status rf_streams_find_or_add(rf_streams *streams, rf_kv_txn *txn, rf_slice name, uint64_t hash,
                                 rf_stream **stream_out, rf_err *err);
/* Ask for the memory that a later find_or_add of `hash` touches: its slot, and, some time after
 * that, its entry. */
void rf_streams_prefetch_slot(const rf_streams *streams, uint64_t hash);
void rf_streams_prefetch_entry(const rf_streams *streams, uint64_t hash);
uint32_t rf_streams_count(const rf_streams *streams);
/* Appends a run of all touched entries, in name order, to `out` (nothing if none). The entries
 * count as written when the caller's commit succeeds (rf_streams_flushed); otherwise the caller
 * frees the view. */
rf_status rf_streams_flush(rf_streams *streams, rf_buf *out, rf_err *err);
/* After a commit: the touched become plain cache entries, and the cache is emptied where it is past
 * its bound. */
void rf_streams_flushed(rf_streams *streams);
/* The same in two steps, for a commit that takes its time while more is looked up and added. After leave
 * what was touched is being written, and not touched any more; all that is found stays known. After left
 * that commit has succeeded. */
void rf_streams_leave(rf_streams *streams);
void rf_streams_left(rf_streams *streams);

/* Appends to `out` the merge of the newest runs of `partition`, read in `txn`; nothing where none are due.
 * *count_out: how many runs. At a commit, `turn` is a number that rises with each and differs between
 * partitions: full size classes are merged, large ones in a part of the turns. At the end of an
 * import it is RF_STREAMS_TURN_LAST: down to a run that is large beside all newer ones, and of many names no
 * more than half.
 * rf_streams_put_merged, in a write transaction that sees the same runs, puts it in their place. */
#define RF_STREAMS_TURN_LAST UINT64_MAX
rf_status rf_streams_merge(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint64_t turn,
                           rf_buf *out, uint32_t *count_out, rf_err *err);
rf_status rf_streams_put_merged(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice run,
                                uint32_t count, rf_err *err);
/* Puts a run (what flush gave) as the newest of the partition. */
rf_status rf_streams_put_run(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice run,
                             rf_err *err);

typedef struct rf_stream_name {
    rf_slice name; /* in the arena */
    uint32_t number;
    int64_t last_version;
} rf_stream_name;

/* All names of a partition with number < `number_end`, in name order (bytes), in `arena`. */
rf_status rf_streams_list(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint32_t number_end,
                          rf_arena *arena, rf_stream_name **names_out, uint32_t *count_out,
                          rf_err *err);
/* One name; *found_out false if the partition has no such stream. The slice in *name_out is `name`.
 */
rf_status rf_streams_get(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice name,
                         rf_stream_name *name_out, bool *found_out, rf_err *err);
/* Checks every run of the partition: checksums, order, numbers dense and unique. For verify. */
rf_status rf_streams_verify(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                            uint32_t stream_count, rf_err *err);

#endif
