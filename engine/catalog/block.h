/* Blocks of rows: what a base file stores under (partition, first key).
 *
 * A block holds rows in key order: checksum, count, offset table, then key and row of each. Its
 * size is chosen to fill LMDB's pages (two pages less their header); a larger row gets a block of
 * its own. The checksum covers all else and is verified at first touch. docs/FORMAT.md has the
 * bytes.
 */
#ifndef RF_CATALOG_BLOCK_H
#define RF_CATALOG_BLOCK_H

#include "base/bytes.h"
#include "catalog/row.h"

/* Collects rows of one partition in key order and gives finished blocks one after another.
 * Confined. */
typedef struct rf_block_builder rf_block_builder;

/* Called for a finished block of `size` bytes: gives the room that it is put into after the call.
 * `first_key` is valid during the call. */
typedef rf_status (*rf_block_sink)(void *arg, rf_slice first_key, size_t size, char **room_out,
                                   rf_err *err);

rf_block_builder *rf_block_builder_new(rf_block_sink sink, void *sink_arg);
void rf_block_builder_free(rf_block_builder *builder);
/* Keys must rise. */
rf_status rf_block_builder_add(rf_block_builder *builder, rf_slice key, rf_slice row, rf_err *err);
/* The same without a copy of the row: the caller appends the row, of RF_ROW_SIZE_MAX bytes at most,
 * to *row_out, and ends it if that did not fail. Whatever else is called in between drops the row.
 * `digest`, which the row is added to, may be NULL. */
rf_status rf_block_builder_begin_row(rf_block_builder *builder, rf_slice key, rf_buf **row_out,
                                     rf_err *err);
rf_status rf_block_builder_end_row(rf_block_builder *builder, rf_digest *digest, rf_err *err);
/* Gives the last block; the builder is empty then, ready for the next partition. */
rf_status rf_block_builder_flush(rf_block_builder *builder, rf_err *err);

typedef struct rf_block {
    rf_slice bytes;
    uint32_t count;
} rf_block;
/* Bounds only; `check` also verifies the checksum. */
rf_status rf_block_open(rf_slice bytes, bool check, rf_block *block_out, rf_err *err);
/* Row `index` < count. */
rf_status rf_block_row(const rf_block *block, uint32_t index, rf_slice *key_out, rf_slice *row_out,
                       rf_err *err);
/* Index of the first row with key >= `key`; count if none. */
uint32_t rf_block_find(const rf_block *block, rf_slice key, bool *equal_out);

#endif
