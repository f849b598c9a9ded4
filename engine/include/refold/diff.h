/* The difference of two generations of a read model: rows added, removed and changed, column by column.
 *
 * Each side is its base and delta as they were when it was opened, so readers and whoever moves a
 * generation on disturb nothing. Columns are compared by name: one that only one side has is told once
 * and makes no row a changed one. Where a column has another kind, ints and decimals are compared by
 * value (1.5 is 1.50), all else as it is printed. Rows belong together by their key; where the key's
 * parts have other kinds, all rows are removed and added.
 *
 * Nothing changes in the store, unless it is asked to catch up.
 */
#ifndef REFOLD_DIFF_H
#define REFOLD_DIFF_H

#include "refold/read.h"

typedef enum rf_diff_op {
    RF_DIFF_ADD = 0,
    RF_DIFF_REMOVE = 1,
    RF_DIFF_CHANGE = 2,
} rf_diff_op;
enum { RF_DIFF_OPS = 3, RF_DIFF_SAMPLES_DEFAULT = 3, RF_DIFF_SAMPLES_MAX = 1000 };

/* A row that differs. What it points at is valid for the call. */
typedef struct rf_diff_change {
    rf_diff_op op;
    const rf_reader_info *before_info, *after_info;
    rf_row before; /* values NULL: there is no such row */
    rf_row after;
} rf_diff_change;

typedef struct rf_diff_options {
    uint64_t before, after; /* generations; both 0: the live one and the newest sealed younger one, which
                               swap would take; without any the one live before and the live one */
    bool catch_up;    /* bring the one that is behind to the other's position first, with its own
                         definition and under the store's lock; also the live one, unless it is followed */
    uint32_t samples; /* of each kind of change, the first by key, up to RF_DIFF_SAMPLES_MAX */
    /* Called on the calling thread for each row that differs, in key order, as a scan goes; a failure ends
     * the comparison. NULL: partitions are compared side by side. */
    rf_status (*visit)(void *arg, const rf_diff_change *change, rf_err *err);
    void *visit_arg;
    rf_run run;
} rf_diff_options;

/* A column of either side. */
typedef struct rf_diff_column {
    const char *name;
    const rf_reader_column *before, *after; /* NULL: that side has no such column */
    uint64_t changed;                       /* rows of both in which it differs */
    /* The first of these by key, as JSON; NULL: there is none. */
    const char *example_key, *example_before, *example_after;
} rf_diff_column;

typedef struct rf_diff_cell {
    const char *column;
    const char *before, *after; /* JSON; NULL: that side has no such column or row */
} rf_diff_cell;
typedef struct rf_diff_sample {
    const char *key; /* JSON */
    const rf_diff_cell *cells; /* of a changed row those that differ, else all of the side that it is of */
    uint32_t cell_count;
} rf_diff_sample;

/* A report owns all that it points at. */
typedef struct rf_diff_report {
    const char *name;
    const rf_reader_info *before, *after;
    uint64_t live; /* generation; 0: none */
    uint64_t counts[RF_DIFF_OPS];
    uint64_t unchanged;
    bool same_keys;       /* the parts of the key have the same kinds */
    bool same_columns;    /* the same names and kinds in the same order */
    bool same;            /* that, and no row differs */
    rf_diff_column *columns; /* those of `after`, then those that only `before` has */
    uint32_t column_count;
    rf_diff_sample *samples[RF_DIFF_OPS];
    uint32_t sample_counts[RF_DIFF_OPS];
    double seconds;
} rf_diff_report;

/* `name` may be NAME@VERSION: that version against the live one. RF_ERR_ABSENT where there are not two
 * generations to compare. */
RF_API rf_status rf_diff(rf_store *store, const char *name, const rf_diff_options *options,
                         rf_diff_report **report_out, rf_err *err);
/* Takes NULL. */
RF_API void rf_diff_report_free(rf_diff_report *report);

#endif
