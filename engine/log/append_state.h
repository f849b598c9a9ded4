/* What the files of the appender share: its state, whole and per partition. See append.h.
 *
 * A block of events goes through: grouped by partition (append.c) -> decided, partition by
 * partition (append_decide.c) -> positions, in order (append.c) -> built into segments, partition
 * by partition (append_build.c). The commit is in append_commit.c, small segments are merged in
 * append_merge.c, names in append_names.c.
 *
 * Nearly always all events of a block are new, and their positions known before any is decided. So a
 * partition whose events are all new is built in the step that decides, while they are in the worker's
 * caches; the step that builds only has what else there is: partitions whose builder is nearly full, and
 * where some event of the block was not new, those that have duplicates, and the positions of the
 * others, which are put right.
 *
 * What is taken between two commits is a batch. A commit finishes its segments and names on the pool
 * and then moves it out of the way of the next: from there on it is leaving, and belongs to whoever
 * writes it, the caller or the pool's thread beside. Deciding goes on meanwhile, for all it needs is
 * in memory: names stay where they were found until they can be read from the log (log/streams.h), and
 * for the rare event that may be stored already it waits until what is leaving is stored.
 */
#ifndef RF_LOG_APPEND_STATE_H
#define RF_LOG_APPEND_STATE_H

#include "log/append.h"
#include "log/append_recent.h"
#include "log/known_ids.h"
#include "log/record.h"

/* A finished segment that is not committed yet. */
typedef struct rf_append_segment {
    rf_buf bytes; /* owned */
    rf_segment_span span;
    uint64_t raw_bytes;
    uint32_t events;
} rf_append_segment;

/* A stored event that has the fingerprint of one of the block: their bytes are compared at the end
 * of the partition's turn, in the order of the log, so that each segment is read once whatever the
 * order of the events. */
typedef struct rf_append_compare {
    uint64_t position;
    rf_identity_key key;
    uint32_t index; /* of the event in the block */
} rf_append_compare;

/* What a batch adds to a partition. */
typedef struct rf_append_batch {
    rf_append_segment *segments; /* owned, as is its array */
    uint32_t segment_count;
    uint32_t segment_room;
    uint64_t events;
    uint64_t raw_bytes;
    uint64_t last_position;
    uint32_t streams;      /* of the partition in all, at the end of the batch */
    rf_buf run;            /* of stream names, made at commit */
    rf_buf merged;         /* run that takes the place of the newest ones in the log */
    uint32_t merged_count; /* how many */
} rf_append_batch;

/* Confined to the task that handles the partition while the pool runs, else to the caller's thread. */
typedef struct rf_append_part {
    /* of who writes, while the partition's batch is leaving */
    rf_directory_record record; /* as committed */
    rf_append_batch leaving;
    /* made when first needed; NULL before */
    rf_streams *streams;
    rf_identity *identity;
    rf_known_ids *ids;
    rf_segment_builder *builder;
    rf_recent recent;
    /* of the batch: since the last commit */
    uint32_t builder_events;
    uint64_t builder_raw;
    rf_append_batch batch;
    /* of the block at hand */
    uint32_t block_begin, block_end; /* in the array of places */
    uint32_t block_new, block_duplicates, block_streams;
    uint64_t block_raw;   /* bytes of data and metadata of those that are new */
    uint64_t block_names; /* and of their streams' names */
    bool block_is_built;
    rf_append_compare *compares; /* owned */
    uint32_t compare_count;
    uint32_t compare_room;
    rf_status failure;      /* of the first event that failed; RF_OK: none */
    uint32_t failure_index; /* of the event in the block */
    rf_err failure_err;
} rf_append_part;

/* An event of the block in its partition: those of one stand side by side, in the order in which they came. */
typedef struct rf_append_place {
    uint64_t stream_hash;
    uint32_t index; /* in the block */
    uint32_t fingerprint;
    /* once it is decided */
    int64_t version;
    uint32_t stream_number;
} rf_append_place;

/* A batch that is leaving: handed to who writes it at rf_pool_begin_beside, and back when that has ended.
 */
typedef struct rf_append_leaving {
    uint32_t *partitions; /* that it adds to; owned */
    uint32_t partition_count;
    uint64_t position; /* its last */
    rf_log_source source;
    rf_append_counts counts;
    rf_census **censuses; /* by worker; owned */
    uint64_t bytes;       /* of its segments and names */
    /* what became of it */
    bool is_committed; /* it is in the log, whatever became of HEAD */
    uint64_t txn_id;
} rf_append_leaving;

struct rf_appender {
    /* fixed after begin */
    rf_log *log;
    rf_pool *pool;
    uint32_t partitions;
    bool gaps_allow;
    char source_name[64];
    size_t identity_bytes_max; /* of one partition */
    /* confined to the caller's thread */
    rf_kv_txn *txn;  /* the write transaction of a merge; else NULL */
    bool has_batch;  /* something was added since the last commit began */
    bool is_leaving; /* a commit was begun and not ended: `leaving` is not ours */
    bool is_known;   /* records and views are of the commit known_txn */
    bool is_failed;
    uint64_t known_txn; /* fixed while the pool runs, as is `is_leaving` */
    uint64_t position; /* last given, committed or not */
    rf_log_source source;
    bool cursor_is_new;      /* the source's is not committed */
    rf_append_counts counts; /* of what is committed */
    rf_append_counts batch;
    uint64_t pending_bytes;
    uint64_t pending_compressed;
    rf_append_leaving leaving;
    /* handed to the pool's tasks, element by element */
    rf_append_part *parts;
    rf_kv_txn **reads;                 /* read transactions by worker; NULL before the first use */
    rf_segment_workspace **workspaces; /* by worker; NULL before the first use */
    rf_census **censuses;              /* of the batch, by worker; NULL before the first use */
    const rf_event *events;            /* the block; borrowed during add */
    const rf_event_note *notes;
    size_t event_count;
    size_t event_room;
    rf_append_place *places; /* of each event, by partition */
    uint64_t *positions;     /* of each event as it came; 0: it is not new */
    uint32_t *active;              /* partitions that the running step handles */
    uint32_t active_count;
    void **merges; /* rf_merge of each active partition while merging */
};

/* Bytes of finished segments that one commit may hold: only an atomic import comes near it. */
#define RF_APPEND_COMPRESSED_MAX ((uint64_t)8 << 30)

/* The worker's read transaction, with a fresh view. It is reset by rf_append_read_end. */
rf_status rf_append_read_begin(rf_appender *appender, uint32_t worker, rf_kv_txn **txn_out,
                               rf_err *err);
void rf_append_read_end(rf_appender *appender, uint32_t worker);

/* Tasks of the pool; `arg` is the appender, `index` counts in `active`. Faults of an event are kept
 * in its part, so that the lowest event is reported, whatever the workers. */
rf_status rf_append_decide_task(void *arg, uint32_t worker, size_t index, rf_err *err);
/* As many tasks as rf_append_build_tasks says: those past `active`, which are the partitions that are
 * not done yet, count pieces of the block into the census, which does not ask for partitions. */
size_t rf_append_build_tasks(const rf_appender *appender);
rf_status rf_append_build_task(void *arg, uint32_t worker, size_t index, rf_err *err);
/* Whether the new events of the block fit the part's builder. */
bool rf_append_build_fits(const rf_append_part *part);
/* Builds the new events of the block, whose positions stand in `positions`. A fault is the part's. */
void rf_append_build_part(rf_appender *appender, uint32_t partition, uint32_t worker);

/* Finishes the open builder, if it has events, into the part's list of segments. */
rf_status rf_append_finish_builder(rf_appender *appender, rf_append_part *part, uint32_t worker,
                                   rf_err *err);
/* Forgets the views of the log, which went on without this appender. */
void rf_append_part_forget(rf_append_part *part);
void rf_append_part_free(rf_append_part *part);

/* Merges the tails of at least `tail_min` segments. Called between commits. */
rf_status rf_append_merge(rf_appender *appender, uint32_t tail_min, rf_err *err);
/* Makes one run of the names of each partition that was appended to, where that is not much beside
 * what was written (append_names.c). Called between commits. */
rf_status rf_append_merge_names(rf_appender *appender, rf_err *err);
/* Merges runs of names of a partition into its part's `merged`, where `turn` says so (log/streams.h), in the
 * worker's read transaction. */
rf_status rf_append_merge_runs(rf_appender *appender, uint32_t partition, uint32_t worker,
                               uint64_t turn, rf_err *err);
/* Begins the write transaction of a merge, and learns the state of the log where another process changed
 * it. */
rf_status rf_append_txn_begin(rf_appender *appender, rf_err *err);
/* Whether a partition has a tail of at least `tail_min` segments; lists those in `active`. */
bool rf_append_merge_is_due(rf_appender *appender, uint32_t tail_min);
/* Ends a commit that was begun, if it is done or `wait` says so. A failure of it is the appender's. */
rf_status rf_append_leaving_end(rf_appender *appender, bool wait, rf_err *err);

#endif
