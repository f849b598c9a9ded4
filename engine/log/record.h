/* The small records of the log: its keys, the directory, meta, sources, and the witness HEAD.
 *
 * Every record ends with a checksum over what stands before it, so that damage in them is found at
 * the first read. docs/FORMAT.md lists the bytes. HEAD is a file of text: it names the last
 * position that was acknowledged and the transaction that committed it.
 *
 * All functions are pure but for those that take a transaction or a path.
 */
#ifndef RF_LOG_RECORD_H
#define RF_LOG_RECORD_H

#include "base/kv.h"
#include "log/log.h"

enum { RF_LOG_SEGMENTS, RF_LOG_DIRECTORY, RF_LOG_STREAMS, RF_LOG_CENSUS, RF_LOG_META };

/* The key of a segment tells what it may hold, so that who looks for streams opens no others; partition and first
 * position sort. */
enum { RF_SEGMENT_KEY_SIZE = 30 };

typedef struct rf_segment_key {
    char bytes[RF_SEGMENT_KEY_SIZE];
} rf_segment_key;

rf_segment_key rf_segment_key_of(const rf_segment_span *span);
/* For seeks: at least the first segment that begins at the position or after it, at most the last that begins there or
 * before. */
rf_segment_key rf_segment_key_from(uint32_t partition, uint64_t position);
rf_segment_key rf_segment_key_up_to(uint32_t partition, uint64_t position);
static inline rf_slice rf_segment_key_slice(const rf_segment_key *key)
{
    return (rf_slice){key->bytes, sizeof key->bytes};
}
/* RF_ERR_DAMAGED where `key` is none that was made of a span. */
rf_status rf_segment_key_parse(rf_slice key, rf_segment_span *span_out, rf_err *err);
/* RF_ERR_DAMAGED where a segment is not what its key says, or has no events, or more than one may have. */
rf_status rf_segment_span_check(const rf_segment_span *span, const rf_segment *segment, rf_err *err);

/* A partition's entry in the directory. */
typedef struct rf_directory_record {
    rf_log_partition counts;
    /* The run of small segments at the partition's end that were never merged: the position of its
     * first segment, and how many they are. A large segment, and a merge, begin it anew. */
    uint64_t tail_first;
    uint32_t tail_count;
} rf_directory_record;

/* All zero where the partition has none yet. */
rf_status rf_directory_read(rf_kv_txn *txn, uint32_t partition, rf_directory_record *out,
                            rf_err *err);
rf_status rf_directory_write(rf_kv_txn *txn, uint32_t partition, const rf_directory_record *record,
                             rf_err *err);

/* *found_out false where the log was not made yet. */
rf_status rf_meta_read(rf_kv_txn *txn, uint32_t *partitions_out, uint64_t *position_out,
                       bool *found_out, rf_err *err);
rf_status rf_meta_write(rf_kv_txn *txn, uint32_t partitions, uint64_t position, rf_err *err);

/* All sources by number; malloc'ed, the caller frees. */
rf_status rf_sources_read(rf_kv_txn *txn, rf_log_source **sources_out, uint32_t *count_out,
                          rf_err *err);
rf_status rf_source_write(rf_kv_txn *txn, const rf_log_source *source, rf_err *err);

typedef struct rf_head {
    uint64_t position;
    uint64_t txn_id;
} rf_head;

/* *found_out false if there is no such file; RF_ERR_DAMAGED if it is not what was written. */
rf_status rf_head_read(const char *log_path, rf_head *head_out, bool *found_out, rf_err *err);
/* Durable. */
rf_status rf_head_write(const char *log_path, const rf_head *head, rf_err *err);
/* Writes HEAD unless it names this position or a later one already; processes that append take
 * turns (HEAD.lock), so it never goes back. */
rf_status rf_head_raise(const char *log_path, uint64_t position, uint64_t txn_id, rf_err *err);

#endif
