/* Rows of two lists of columns, compared column by column.
 *
 *     rf_diff_columns_of (two manifests) -> rf_diff_values_new (one a thread) -> rf_diff_columns_compare …
 *
 * Columns belong together by name; see refold/diff.h for what is equal. Shared by threads, each with
 * values of its own.
 */
#ifndef RF_DIFF_COLUMNS_H
#define RF_DIFF_COLUMNS_H

#include "catalog/manifest.h"
#include "compare/diff.h"
#include "refold/diff.h"
#include "refold/text.h"

enum { RF_DIFF_NO_COLUMN = UINT32_MAX };

/* A name: where either side has it. */
typedef struct rf_diff_pair {
    uint32_t before, after; /* indexes of columns; RF_DIFF_NO_COLUMN: there is none */
} rf_diff_pair;

typedef struct rf_diff_columns {
    rf_reader_column *before, *after; /* owned; the names are the manifests' */
    uint32_t before_count, after_count;
    rf_diff_pair *pairs; /* owned; in the order of `after`, then those that only `before` has */
    uint32_t pair_count;
    bool same_columns;
    bool same_keys;
} rf_diff_columns;

rf_status rf_diff_columns_of(const rf_manifest *before, const rf_manifest *after,
                             rf_diff_columns *columns_out, rf_err *err);
void rf_diff_columns_free(rf_diff_columns *columns); /* a zeroed one too */

typedef struct rf_diff_values {
    rf_value *before, *after;
    bool *differs; /* one a pair; what only one side has does not */
    rf_text *text[2];
} rf_diff_values;
rf_status rf_diff_values_new(const rf_diff_columns *columns, rf_diff_values *values_out, rf_err *err);
void rf_diff_values_free(rf_diff_values *values); /* a zeroed one too */

/* Decodes both rows of `row` into `values`, or the one that there is, and compares them where there are
 * two: *differs_out tells whether any column does, so it is true where there is only one. */
rf_status rf_diff_columns_compare(const rf_diff_columns *columns, const rf_diff_row *row,
                                  rf_diff_values *values, bool *differs_out, rf_err *err);

#endif
