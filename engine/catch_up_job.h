/* What the parts of a catch-up share. Private to the files catch_up*.c; see catch_up.h. */
#ifndef RF_CATCH_UP_JOB_H
#define RF_CATCH_UP_JOB_H

#include "catalog/rows.h"
#include "catch_up.h"
#include "rebuild/fold.h"
#include "refold/read.h"

/* Confined to its worker while a fold runs. */
typedef struct rf_catch_up_slot {
    rf_rows *rows;
    rf_buf row;          /* as it is encoded */
    rf_buf changes;      /* see rf_delta_apply */
    rf_value *values[3]; /* of three rows */
    rf_digest added, removed;
    int64_t delta_rows, delta_bytes; /* by how much these change */
    /* of the partition at hand, where all is folded and compared */
    rf_rows_cursor *cursor;
    bool cursor_found;
    rf_slice cursor_key, cursor_row;
} rf_catch_up_slot;

typedef struct rf_catch_up_item {
    /* fixed after open */
    char name[64];
    uint64_t number;
    bool if_live;
    rf_pinned pinned;
    rf_definition *definition;
    rf_reader_column *columns;
    bool resumes; /* as a rule: from stored rows on */
    /* where it is, and what it left out up to there */
    rf_checkpoint checkpoint;
    rf_left_out_list left_out;
    bool has_new_left_out; /* since `left_out` was read */
    rf_slice *shut_out; /* keys in quarantine, in order; text of left_out */
    uint32_t shut_out_count;
    /* of a fold */
    bool goes_on;   /* from stored rows; else all is folded and compared with them */
    bool needs_all; /* it could not */
    uint64_t *skips;
    uint32_t skip_count;
    rf_delta_part delta; /* where all is folded and compared */
    rf_catch_up_slot *slots;
    uint32_t slot_count;
    rf_left_out_list noted; /* what it left out */
    rf_slice *changes;      /* by slot */
} rf_catch_up_item;

/* catch_up_sink.c: the sinks and the source of a target; `sink_arg` is the item. */
void rf_catch_up_target(rf_catch_up_item *item, rf_fold_target *target_out);
rf_status rf_catch_up_slot_open(rf_catch_up_item *item, rf_catalog *catalog, rf_catch_up_slot *slot,
                                rf_err *err);
void rf_catch_up_slot_clear(rf_catch_up_slot *slot);
void rf_catch_up_slot_close(rf_catch_up_slot *slot);

#endif
