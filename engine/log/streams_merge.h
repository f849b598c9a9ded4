/* Runs of a partition in the table, and their merge in name order.
 *
 * A part is stored under (partition u16 BE, run id u64 BE, part u32 BE). Ids rise with age, the
 * newest is the greatest; a merge replaces the newest runs, all down to some older one, by one with
 * the next id, so that "newer" stays the order of ids.
 *
 * A merge reads the runs side by side and gives each name once, with the entry of its newest run.
 * To compare cheaply every run's current name has a key: the eight bytes behind what all names of
 * the partition share; most names differ there, and the minimum over at most some twenty integers
 * beats a heap. The keys stand side by side, not in
 * the readers, each of which has a name's buffer: one cache line instead of one a run. Confined to
 * one thread; reads through the transaction that is passed.
 */
#ifndef RF_LOG_STREAMS_MERGE_H
#define RF_LOG_STREAMS_MERGE_H

#include "base/kv.h"
#include "log/streams_part.h"

enum { RF_STREAMS_KEY_SIZE = 14 };

void rf_streams_key(char key_out[RF_STREAMS_KEY_SIZE], uint32_t partition, uint64_t run,
                    uint32_t part);

/* One run as the table has it. */
typedef struct rf_streams_run {
    uint64_t id;
    uint64_t entries;
    uint32_t parts;
} rf_streams_run;

/* Calls `visit` for each part of the partition, oldest run first, parts in order, after checking
 * that runs are whole (parts numbered from 0, the last marked). Does not check checksums. */
typedef rf_status (*rf_streams_part_visit)(void *arg, uint64_t run, rf_slice bytes, rf_err *err);
rf_status rf_streams_each_part(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                               rf_streams_part_visit visit, void *arg, rf_err *err);
/* The runs, oldest first. *runs_out is malloc'ed, the caller frees it. */
rf_status rf_streams_runs(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                          rf_streams_run **runs_out, uint32_t *count_out, rf_err *err);

/* In a write transaction, all parts of the runs. */
rf_status rf_streams_delete_runs(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                                 const rf_streams_run *runs, uint32_t count, rf_err *err);

rf_status rf_streams_load_part(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint64_t run,
                               uint32_t number, bool checked, rf_streams_part *part_out,
                               rf_err *err);

/* The runs alone, as they stand in the keys: entries are not counted, and no part is touched, so that
 * nothing is said of a run that lacks its last one before that is read. */
rf_status rf_streams_run_ids(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                             rf_streams_run **runs_out, uint32_t *count_out, rf_err *err);

typedef struct rf_streams_reader {
    const char *at;
    const char *end;
    rf_streams_part part;
    rf_streams_entry entry;
    uint64_t run;
    uint32_t next_block;
    bool ended;
    rf_buf copy; /* of the part, where parts are copied */
    char name[RF_STREAMS_NAME_BUFFER];
} rf_streams_reader;

typedef struct rf_streams_merge_state {
    rf_kv_txn *txn;
    rf_kv *copy_from; /* parts are copied to be read (rf_kv_copy); NULL: read as they stand */
    rf_streams_reader *readers; /* owned; newest run first */
    uint64_t *keys; /* owned; by reader: orders like its name, equal keys need the names */
    uint32_t count;
    uint32_t current; /* reader whose entry is the current one; `count` before the first */
    uint32_t table;
    uint32_t partition;
    uint32_t shared; /* bytes that all names share */
    bool tied;       /* another reader may be at the current name */
} rf_streams_merge_state;

/* Opens a merge of runs[0 … count), given oldest first. Free it in any case. */
rf_status rf_streams_merge_open(rf_streams_merge_state *merge, rf_kv_txn *txn, uint32_t table,
                                uint32_t partition, const rf_streams_run *runs, uint32_t count,
                                rf_err *err);
/* In a read transaction of `kv`, whose parts are copied before they are read. */
rf_status rf_streams_merge_open_copied(rf_streams_merge_state *merge, rf_kv *kv, rf_kv_txn *txn,
                                       uint32_t table, uint32_t partition,
                                       const rf_streams_run *runs, uint32_t count, rf_err *err);
void rf_streams_merge_free(rf_streams_merge_state *merge);
/* The next name; it is readers[current]'s name and entry until the next call. *renumbered_out (may
 * be NULL) says that an older run's entry of the name before it had another number. */
rf_status rf_streams_merge_next(rf_streams_merge_state *merge, bool *found_out,
                                bool *renumbered_out, rf_err *err);

#endif
