/* Fuzz target of blocks and rows: any bytes give rows inside of the block, or one error.
 *
 * The first two bytes choose the kinds of four columns, the rest is a block; its checksum is put right, so that what lies
 * behind it is reached. A row that is accepted must come back from its values as the same bytes: one row, one encoding.
 */
#include "base/checksum.h"
#include "catalog/block.h"
#include "catalog/row.h"

#include <stdlib.h>

enum { COLUMNS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef union cell {
    int64_t integer;
    double number;
    bool boolean;
    rf_slice text;
} cell;

static void check_row(rf_slice stored, const rf_reader_column *read, const rf_column *columns)
{
    rf_value values[COLUMNS];
    cell cells[COLUMNS];
    rf_err err;
    rf_buf again;

    if (rf_row_decode(stored, read, COLUMNS, values, &err) != RF_OK)
        return;
    for (int i = 0; i < COLUMNS; i++) {
        const rf_value *value = &values[i];
        cells[i] = (cell){0};
        if (value->kind == RF_TEXT || value->kind == RF_JSON)
            cells[i].text = value->is_null ? (rf_slice){NULL, 0} : value->text;
        else if (value->kind == RF_FLOAT)
            cells[i].number = value->number;
        else if (value->kind == RF_BOOL)
            cells[i].boolean = value->boolean;
        else
            cells[i].integer = value->is_null ? RF_TIME_NONE : value->integer;
    }
    rf_buf_init(&again, RF_ROW_SIZE_MAX);
    rf_row_encode(columns, COLUMNS, cells, &again);
    RF_ASSERT(!again.failed && rf_slice_equal(rf_buf_slice(&again), stored));
    rf_buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_reader_column read[COLUMNS];
    rf_column columns[COLUMNS];
    rf_slice key, stored;
    rf_block block;
    rf_err err;
    bool equal;

    if (size < 2)
        return 0;
    uint32_t kinds = (uint32_t)data[0] | (uint32_t)data[1] << 8;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        rf_kind kind = (rf_kind)(RF_INT + (kinds >> 3 * i & 7));
        read[i] = (rf_reader_column){"column", kind, 0};
        columns[i] = (rf_column){
            .name = "column", .kind = kind, .offset = (uint32_t)(i * sizeof(cell))};
    }
    size -= 2;
    char *bytes = malloc(size ? size : 1); /* of exact size, for the sanitizer */
    RF_ASSERT(bytes);
    if (size > 0)
        memcpy(bytes, data + 2, size);
    check_row((rf_slice){bytes, size}, read, columns);
    if (size >= 16)
        rf_store_u64(bytes, rf_checksum((rf_slice){bytes + 8, size - 8}));
    if (rf_block_open((rf_slice){bytes, size}, true, &block, &err) == RF_OK) {
        RF_ASSERT(rf_block_find(&block, RF_SLICE("order-1"), &equal) <= block.count);
        for (uint32_t i = 0; i < block.count; i++) {
            if (rf_block_row(&block, i, &key, &stored, &err) != RF_OK)
                continue;
            RF_ASSERT(key.data >= bytes && stored.data + stored.size <= bytes + size);
            RF_ASSERT(rf_block_find(&block, key, &equal) <= block.count);
            check_row(stored, read, columns);
        }
    }
    free(bytes);
    return 0;
}
