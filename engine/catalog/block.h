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

/* A row in a hurry, which is most of them: gives where to put it, `room` bytes at least, the key being
 * there already; NULL where rf_block_builder_begin_row has to look. */
static inline char *rf_block_row_begin(rf_block_builder *builder, rf_slice key, size_t room);
/* Where the room ends that it has in truth. */
static inline const char *rf_block_row_limit(const rf_block_builder *builder);
/* Ends such a row. `digest` as above. */
static inline rf_status rf_block_row_end(rf_block_builder *builder, const char *end,
                                         rf_digest *digest, rf_err *err);

/* ---- private: what the two need ---- */

enum {
    RF_BLOCK_HEADER_SIZE = 12,
    RF_BLOCK_ENTRY_SIZE = 4,
    /* Two LMDB pages less the header that it puts before a value on pages of its own. */
    RF_BLOCK_SIZE = 2 * 4096 - 16,
    RF_BLOCK_ROWS_MAX = (RF_BLOCK_SIZE - RF_BLOCK_HEADER_SIZE) / RF_BLOCK_ENTRY_SIZE,
    RF_BLOCK_PAD = RF_DIGEST_PAD, /* before the first row: what its digest wants there */
};

struct rf_block_builder {
    rf_block_sink sink;
    void *sink_arg;
    uint32_t count;
    rf_buf data;  /* the pad, then keys and rows of the block that grows, then the row being added */
    size_t filled; /* bytes of `data` before the row being added */
    size_t key_size; /* of the row being added */
    struct {
        uint16_t start, key_size; /* start within `data`, the pad left out */
    } entries[RF_BLOCK_ROWS_MAX];
};

/* The key of the last row that was added, of which there is one. */
static inline rf_slice rf_block_last_key(const rf_block_builder *builder)
{
    return (rf_slice){builder->data.data + RF_BLOCK_PAD + builder->entries[builder->count - 1].start,
                      builder->entries[builder->count - 1].key_size};
}

/* Whether the block has no room for the row being added, which ends at `size` of `data`. */
static inline bool rf_block_is_full(const rf_block_builder *builder, size_t size)
{
    return builder->count > 0 &&
           RF_BLOCK_HEADER_SIZE + (size_t)(builder->count + 1) * RF_BLOCK_ENTRY_SIZE +
                   (size - RF_BLOCK_PAD) >
               RF_BLOCK_SIZE;
}

static inline char *rf_block_row_begin(rf_block_builder *builder, rf_slice key, size_t room)
{
    char *at = builder->data.data + builder->filled;

    if (key.size > RF_KEY_SIZE_MAX || key.size + room > builder->data.capacity - builder->filled ||
        (builder->count > 0 && !rf_key_rises(rf_block_last_key(builder), key)))
        return NULL;
    builder->data.failed = false;
    builder->data.size = builder->filled;
    builder->key_size = key.size;
    rf_copy_short(at, key.data, key.size);
    return at + key.size;
}

static inline const char *rf_block_row_limit(const rf_block_builder *builder)
{
    size_t most = builder->filled + builder->key_size + RF_ROW_SIZE_MAX;
    return builder->data.data + (most < builder->data.capacity ? most : builder->data.capacity);
}

static inline rf_status rf_block_row_end(rf_block_builder *builder, const char *end,
                                         rf_digest *digest, rf_err *err)
{
    size_t size = (size_t)(end - builder->data.data);

    builder->data.size = size;
    if (__builtin_expect(rf_block_is_full(builder, size), false))
        return rf_block_builder_end_row(builder, digest, err);
    if (digest)
        rf_digest_add_joined(digest, builder->data.data + builder->filled, builder->key_size,
                             size - builder->filled);
    builder->entries[builder->count].start = (uint16_t)(builder->filled - RF_BLOCK_PAD);
    builder->entries[builder->count].key_size = (uint16_t)builder->key_size;
    builder->count++;
    builder->filled = size;
    return RF_OK;
}

/* ---- reading ---- */

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

/* A whole block as it stands, whose keys are above those that were added, verified by the caller: copied
 * if what was gathered before fills a block well enough, row by row if not. So blocks stay at least half
 * full, however often they are copied. */
rf_status rf_block_builder_add_block(rf_block_builder *builder, const rf_block *block,
                                     rf_err *err);

#endif
