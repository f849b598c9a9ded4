/* What the parts of a catch-up share. Private to the files catch_up*.c; see catch_up.h. */
#ifndef RF_CATCH_UP_JOB_H
#define RF_CATCH_UP_JOB_H

#include "catalog/delta_changes.h"
#include "catalog/rows.h"
#include "catch_up/catch_up.h"
#include "generation/build.h"
#include "rebuild/fold.h"
#include "refold/read.h"

/* A stored row that a fold began with; data NULL: the base has none. */
typedef struct rf_catch_up_looked {
    rf_slice key, base;
} rf_catch_up_looked;

/* Confined to its worker while a fold runs. */
typedef struct rf_catch_up_slot {
    rf_rows *rows;
    rf_buf row;          /* as it is encoded */
    rf_delta_changes changes;
    rf_value *values[3]; /* of three rows */
    rf_digest added, removed;
    int64_t delta_rows, delta_bytes; /* by how much these change */
    /* RF_OK, or why a row cannot be what its events make of it: RF_ERR_REFUSED where it breaks what the
     * definition expects, else what it holds */
    rf_status refused;
    /* of the partition at hand: what the base has of rows that are streams', which come back in the
     * order in which the fold asked for them, their keys where they were */
    rf_catch_up_looked *looked;
    uint32_t looked_count, looked_capacity, looked_next;
    /* of the partition at hand, where all is folded and compared */
    rf_rows_cursor *cursor;
    bool cursor_found;
    rf_slice cursor_key, cursor_row;
    /* of the partition at hand, where all goes into a new base */
    bool merges; /* there is one at hand */
    uint32_t partition;
    rf_base_blocks *blocks;
    rf_block block; /* its row `block_at` is the next */
    bool block_found;
    uint32_t block_at;
    uint32_t delta_at; /* next entry of the delta */
} rf_catch_up_slot;

typedef struct rf_catch_up_item {
    /* fixed after open */
    char name[64];
    uint64_t number;
    bool if_followed;
    rf_pinned pinned;
    rf_definition *definition;
    rf_reader_column *columns;
    bool resumes; /* as a rule: from stored rows on */
    bool asks;    /* what the definition expects of its rows */
    /* where it is, and what it left out up to there */
    rf_checkpoint checkpoint;
    rf_left_out_list left_out;
    bool has_new_left_out; /* since `left_out` was read */
    rf_slice *shut_out; /* keys in quarantine, in order; text of left_out */
    uint32_t shut_out_count;
    /* of a fold */
    bool goes_on;   /* from stored rows; else all is folded and compared with them */
    bool is_behind; /* the fold begins behind the first event */
    bool needs_all; /* it could not */
    uint64_t events; /* that made the rows which it gives */
    uint64_t *skips;
    uint32_t skip_count;
    rf_delta_part delta; /* where all is folded and compared, or goes into a new base */
    rf_build *build;     /* the new base; NULL: changes go to the delta */
    uint8_t *merged;     /* by partition: some worker has begun it */
    rf_catch_up_slot *slots;
    uint32_t slot_count;
    rf_left_out_list noted; /* what it left out */
    const rf_delta_changes **changes; /* by slot */
} rf_catch_up_item;

struct rf_catch_up {
    rf_store *store;
    rf_pool *pool;
    rf_catch_up_item *items;
    rf_catalog_move *moves;
    uint32_t count;
    uint64_t events;
    uint64_t folded_until; /* by the last fold, whatever came of it */
    uint64_t round_events; /* of the next round at most */
    bool only_goes_on;     /* from stored rows, or a fold fails */
    bool told_too_little;  /* so the last one failed for that */
};

/* A row at three times: as it becomes, as it is, and in the base; data NULL where there is none. */
enum { RF_CHANGE_NEW, RF_CHANGE_CURRENT, RF_CHANGE_BASE, RF_CHANGE_SIDES };
typedef struct rf_catch_up_change {
    rf_slice key;
    rf_slice rows[RF_CHANGE_SIDES];
    bool in_delta;
    bool of_base; /* as it becomes it is the base's */
} rf_catch_up_change;

/* catch_up.c: clears what an earlier fold left, and finds the events up to `until` that are put aside;
 * brings the slots' changes into order; and what these make of the checkpoint. */
rf_status rf_catch_up_item_begin(rf_catch_up *catch_up, rf_catch_up_item *item, uint64_t until,
                                 rf_left_out_list *on_record, rf_err *err);
rf_status rf_catch_up_sort_changes(const rf_catch_up *catch_up, rf_err *err);
void rf_catch_up_make_move(rf_catch_up_item *item, uint64_t until, int64_t time_last,
                           rf_catalog_move *move);
/* RF_ERR_REFUSED where an event up to the log's end is of a schema that a generation was not built for. */
rf_status rf_catch_up_check_census(const rf_catch_up *catch_up, rf_err *err);

/* catch_up_sink.c: the row as it is stored, in slot->row; what handlers make is checked as a build does. */
rf_status rf_catch_up_encode(const rf_catch_up_item *item, rf_catch_up_slot *slot, rf_slice key,
                             const void *row, rf_err *err);
/* What was found of a row, to the slot's changes, with its entries in the indexes. */
rf_status rf_catch_up_put_change(rf_catch_up_item *item, rf_catch_up_slot *slot,
                                 const rf_catch_up_change *at, rf_err *err);
/* catch_up_expect.c: whether a change breaks what held; then the slot says so. */
rf_status rf_catch_up_ask(const rf_catch_up_item *item, rf_catch_up_slot *slot,
                          const rf_catch_up_change *at, rf_err *err);
void rf_catch_up_forget_broken(rf_catch_up *catch_up);
/* Whether two rows are the same, or both are none. */
bool rf_catch_up_same_row(rf_slice a, rf_slice b);
/* What the generation left out up to its checkpoint, read anew. */
rf_status rf_catch_up_read_left_out(rf_catch_up_item *item, rf_catalog *catalog, rf_err *err);

/* catch_up_sink.c: the sinks and the source of a target; `sink_arg` is the item. */
void rf_catch_up_target(rf_catch_up_item *item, rf_fold_target *target_out);
rf_status rf_catch_up_slot_open(rf_catch_up_item *item, rf_catalog *catalog, rf_catch_up_slot *slot,
                                rf_err *err);
void rf_catch_up_slot_clear(rf_catch_up_slot *slot);
void rf_catch_up_slot_close(rf_catch_up_slot *slot);

/* catch_up_merge.c: the same sinks where all goes into a new base. The last writes what no event was
 * of: the rests of partitions, and whole ones. */
rf_status rf_catch_up_merge_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                                const void *row, rf_err *err);
rf_status rf_catch_up_merge_gone(void *arg, uint32_t worker, rf_slice key, rf_err *err);
rf_status rf_catch_up_merge_rest(rf_catch_up_item *item, rf_pool *pool, rf_err *err);
void rf_catch_up_merge_close(rf_catch_up_slot *slot);

#endif
