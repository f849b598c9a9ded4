/* The rows of a pinned generation: its base and its delta, read as one.
 *
 * A get, and a cursor from open to close, are each at one position: that of the checkpoint which was
 * committed when it began. What of the delta lies in the range is copied in one short transaction;
 * then only immutable files are walked. Where a generation has no delta, the catalog is only asked
 * whether it changed.
 *
 * Threads: confined to one; the pin is shared. Cursors of a partition over one copy of the delta may
 * run on several threads.
 */
#ifndef RF_CATALOG_ROWS_H
#define RF_CATALOG_ROWS_H

#include "catalog/delta.h"

typedef struct rf_rows rf_rows;
/* The pin is borrowed until close. */
rf_status rf_rows_open(rf_catalog *catalog, const rf_pinned *pinned, rf_rows **rows_out,
                       rf_err *err);
void rf_rows_close(rf_rows *rows); /* takes NULL */
/* The checkpoint of what was last opened, got or refreshed. */
const rf_checkpoint *rf_rows_checkpoint(const rf_rows *rows);
rf_status rf_rows_refresh(rf_rows *rows, rf_err *err);

/* From now on gets, and cursors of rows, look in this copy of the delta, at whose checkpoint they are, and
 * not in the catalog: both are lent until close. */
void rf_rows_lend(rf_rows *rows, const rf_delta_part *delta, const rf_checkpoint *checkpoint);

/* The row as it is stored; valid until the next call. */
rf_status rf_rows_get(rf_rows *rows, rf_slice key, rf_slice *row_out, bool *found_out, rf_err *err);
/* What both have: *base_out has no data where the base has no such row; *entry_out is the delta's,
 * if *in_delta_out. Valid until the next call. */
rf_status rf_rows_look(rf_rows *rows, rf_slice key, rf_slice *base_out, rf_delta_entry *entry_out,
                       bool *in_delta_out, rf_err *err);
/* Only the delta's, as look gives it: for who can do without a base that is damaged. */
rf_status rf_rows_look_delta(rf_rows *rows, rf_slice key, rf_delta_entry *entry_out,
                             bool *found_out, rf_err *err);
/* Only the base's: for who walks an index of it. */
rf_status rf_rows_get_base(rf_rows *rows, rf_slice key, rf_slice *row_out, bool *found_out,
                           rf_err *err);
/* A copy of all of the delta and the checkpoint that it is of: its rows, split by partition, and as
 * many tables of indexes as the manifest has, if `indexes_out` is not NULL. The caller frees them. */
rf_status rf_rows_take_delta(rf_catalog *catalog, const rf_pinned *pinned, rf_delta_part *rows_out,
                             rf_delta_part *indexes_out, rf_checkpoint *checkpoint_out,
                             rf_err *err);

/* Rows of a table (RF_DELTA_ROWS or RF_DELTA_INDEXES + i) in key order, of all partitions. Of an
 * index the row's data is NULL where the row is the base's. */
typedef struct rf_rows_cursor rf_rows_cursor;
rf_status rf_rows_cursor_open(rf_rows *rows, uint32_t table, const rf_delta_range *range,
                              rf_rows_cursor **cursor_out, rf_err *err);
/* The rows of one partition; `delta` is split and borrowed. */
rf_status rf_rows_cursor_open_partition(const rf_pinned *pinned, const rf_delta_part *delta,
                                        uint32_t partition, rf_rows_cursor **cursor_out,
                                        rf_err *err);
void rf_rows_cursor_close(rf_rows_cursor *cursor); /* takes NULL */
/* The same of all partitions, in key order, over all of a delta. */
rf_status rf_rows_cursor_open_all(const rf_pinned *pinned, const rf_delta_part *delta,
                                  rf_rows_cursor **cursor_out, rf_err *err);
/* Key and row are valid until the next call. Goes past the end of a range: `to` and `prefix` are the
 * caller's to look at. */
rf_status rf_rows_cursor_next(rf_rows_cursor *cursor, rf_slice *key_out, rf_slice *row_out,
                              bool *found_out, rf_err *err);

#endif
