/* See block.h.
 *
 *     0   u64  checksum of all that follows
 *     8   u32  count of rows, at least 1
 *     12  count times: u16 start of the row's key in the block, u16 size of the key
 *     …   rows: key, then the encoded row, which ends where the next key starts or the block ends
 *
 * A block of several rows is at most RF_BLOCK_SIZE bytes, so its starts fit 16 bits; a larger row
 * is alone in its block and starts right after the table.
 */
#include "catalog/block.h"

#include "base/checksum.h"
#include "catalog/row.h"

#include <stdlib.h>

enum {
    HEADER_SIZE = RF_BLOCK_HEADER_SIZE,
    ENTRY_SIZE = RF_BLOCK_ENTRY_SIZE,
    BLOCK_SIZE = RF_BLOCK_SIZE,
    DATA_SIZE_MAX = RF_ROW_SIZE_MAX + RF_KEY_SIZE_MAX,
    PAD = RF_BLOCK_PAD,
};

rf_block_builder *rf_block_builder_new(rf_block_sink sink, void *sink_arg)
{
    rf_block_builder *builder = malloc(sizeof *builder);

    RF_ASSERT(sink != NULL);
    if (!builder)
        return NULL;
    builder->sink = sink;
    builder->sink_arg = sink_arg;
    builder->count = 0;
    builder->filled = PAD;
    rf_buf_init(&builder->data, PAD + BLOCK_SIZE + DATA_SIZE_MAX);
    if (!rf_buf_reserve(&builder->data, 2 * BLOCK_SIZE)) {
        free(builder);
        return NULL;
    }
    memset(builder->data.data, 0, PAD);
    return builder;
}

void rf_block_builder_free(rf_block_builder *builder)
{
    if (!builder)
        return;
    rf_buf_free(&builder->data);
    free(builder);
}

/* All rows but the one being added. */
static rf_status give_block(rf_block_builder *builder, rf_err *err)
{
    size_t table_end = HEADER_SIZE + (size_t)builder->count * ENTRY_SIZE;
    size_t data_size = builder->filled - PAD;
    size_t size = table_end + data_size;
    char *at = NULL;

    if (builder->count == 0)
        return RF_OK;
    RF_ASSERT(builder->count == 1 || size <= BLOCK_SIZE);
    rf_slice first_key = {builder->data.data + PAD, builder->entries[0].key_size};
    rf_status status = builder->sink(builder->sink_arg, first_key, size, &at, err);
    if (status == RF_OK) {
        rf_store_u32(at + 8, builder->count);
        for (uint32_t i = 0; i < builder->count; i++) {
            char *entry = at + HEADER_SIZE + (size_t)i * ENTRY_SIZE;
            rf_store_u16(entry, (uint16_t)(builder->entries[i].start + table_end));
            rf_store_u16(entry + 2, builder->entries[i].key_size);
        }
        memcpy(at + table_end, builder->data.data + PAD, data_size);
        rf_store_u64(at, rf_checksum((rf_slice){at + 8, size - 8}));
    }
    builder->count = 0;
    builder->filled = PAD;
    return status;
}

rf_status rf_block_builder_begin_row(rf_block_builder *builder, rf_slice key, rf_buf **row_out,
                                     rf_err *err)
{
    rf_buf *data = &builder->data;

    if (key.size > RF_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "a row's key of %zu bytes is over the limit of %d",
                       key.size, RF_KEY_SIZE_MAX);
    if (builder->count > 0 && !rf_key_rises(rf_block_last_key(builder), key)) {
        rf_slice last = rf_block_last_key(builder);
        return rf_fail(err, RF_ERR_INPUT, "row %.*s comes after %.*s: keys must rise",
                       (int)key.size, key.data, (int)last.size, last.data);
    }
    data->size = builder->filled; /* a row that was begun and not ended is gone */
    data->size_max = builder->filled + key.size + RF_ROW_SIZE_MAX;
    data->failed = false;
    if (!rf_buf_reserve(data, key.size))
        return rf_buf_check(data, "a block of rows", err);
    if (key.size > 0)
        memcpy(data->data + data->size, key.data, key.size);
    data->size += key.size;
    builder->key_size = key.size;
    *row_out = data;
    return RF_OK;
}

rf_status rf_block_builder_end_row(rf_block_builder *builder, rf_digest *digest, rf_err *err)
{
    rf_buf *data = &builder->data;
    size_t start = builder->filled;
    size_t size = data->size - start;

    RF_ASSERT(!data->failed && size >= builder->key_size);
    if (digest)
        rf_digest_add_joined(digest, data->data + start, builder->key_size, size);
    if (rf_block_is_full(builder, data->size)) {
        rf_status status = give_block(builder, err);
        memmove(data->data + PAD, data->data + start, size);
        data->size = PAD + size;
        if (status != RF_OK)
            return status;
    }
    builder->entries[builder->count].start = (uint16_t)(builder->filled - PAD);
    builder->entries[builder->count].key_size = (uint16_t)builder->key_size;
    builder->count++;
    builder->filled = data->size;
    return RF_OK;
}

rf_status rf_block_builder_add(rf_block_builder *builder, rf_slice key, rf_slice row, rf_err *err)
{
    rf_buf *to = NULL;

    if (row.size > RF_ROW_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "row %.*s: %zu bytes are over the limit of %d",
                       (int)key.size, key.data, row.size, RF_ROW_SIZE_MAX);
    rf_status status = rf_block_builder_begin_row(builder, key, &to, err);
    if (status != RF_OK)
        return status;
    rf_buf_append_slice(to, row);
    status = rf_buf_check(to, "a block of rows", err);
    return status == RF_OK ? rf_block_builder_end_row(builder, NULL, err) : status;
}

rf_status rf_block_builder_flush(rf_block_builder *builder, rf_err *err)
{
    return give_block(builder, err);
}

rf_status rf_block_builder_add_block(rf_block_builder *builder, const rf_block *block, rf_err *err)
{
    size_t gathered = builder->filled - PAD + (size_t)builder->count * ENTRY_SIZE;
    rf_slice key, row;
    char *at = NULL;
    rf_status status = RF_OK;

    if (builder->count > 0 && gathered < BLOCK_SIZE / 2) {
        for (uint32_t i = 0; status == RF_OK && i < block->count; i++) {
            status = rf_block_row(block, i, &key, &row, err);
            if (status == RF_OK)
                status = rf_block_builder_add(builder, key, row, err);
        }
        return status;
    }
    status = give_block(builder, err);
    if (status == RF_OK)
        status = rf_block_row(block, 0, &key, &row, err);
    if (status == RF_OK)
        status = builder->sink(builder->sink_arg, key, block->bytes.size, &at, err);
    if (status == RF_OK)
        memcpy(at, block->bytes.data, block->bytes.size);
    return status;
}

rf_status rf_block_open(rf_slice bytes, bool check, rf_block *block_out, rf_err *err)
{
    if (bytes.size < HEADER_SIZE + ENTRY_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "a block of %zu bytes is too short", bytes.size);
    uint32_t count = rf_load_u32(bytes.data + 8);
    if (count == 0 || count > (bytes.size - HEADER_SIZE) / ENTRY_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "a block of %zu bytes cannot hold %u rows", bytes.size,
                       count);
    if (check &&
        rf_load_u64(bytes.data) != rf_checksum((rf_slice){bytes.data + 8, bytes.size - 8}))
        return rf_fail(err, RF_ERR_DAMAGED, "the checksum of a block does not hold");
    *block_out = (rf_block){bytes, count};
    return RF_OK;
}

/* The key at `index`; empty where the table points outside, which rf_block_row reports. */
static inline rf_slice key_at(const rf_block *block, uint32_t index)
{
    const char *entry = block->bytes.data + HEADER_SIZE + (size_t)index * ENTRY_SIZE;
    size_t start = rf_load_u16(entry);
    size_t size = rf_load_u16(entry + 2);

    if (start > block->bytes.size || size > block->bytes.size - start)
        return (rf_slice){block->bytes.data, 0};
    return (rf_slice){block->bytes.data + start, size};
}

rf_status rf_block_row(const rf_block *block, uint32_t index, rf_slice *key_out, rf_slice *row_out,
                       rf_err *err)
{
    const char *entry = block->bytes.data + HEADER_SIZE + (size_t)index * ENTRY_SIZE;

    RF_ASSERT(index < block->count);
    size_t table_end = HEADER_SIZE + (size_t)block->count * ENTRY_SIZE;
    size_t start = rf_load_u16(entry);
    size_t key_size = rf_load_u16(entry + 2);
    size_t end = index + 1 < block->count ? rf_load_u16(entry + ENTRY_SIZE) : block->bytes.size;
    if (start < table_end || end > block->bytes.size || start > end || key_size > end - start ||
        key_size > RF_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_DAMAGED, "row %u of a block points outside of it", index);
    *key_out = (rf_slice){block->bytes.data + start, key_size};
    *row_out = (rf_slice){block->bytes.data + start + key_size, end - start - key_size};
    return RF_OK;
}

uint32_t rf_block_find(const rf_block *block, rf_slice key, bool *equal_out)
{
    uint32_t low = 0;
    uint32_t high = block->count;
    bool equal = false;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = rf_slice_compare(key_at(block, middle), key);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
            equal = order == 0;
        }
    }
    /* The last comparison that moved `high` was with the row at `low`, if there was one. */
    *equal_out = equal && low < block->count;
    return low;
}
