/* See key_table.h. */
#include "rebuild/key_table.h"

#include <stdlib.h>

enum { SLOT_BITS_MIN = 6, SLOT_BITS_MAX = 31 };
#define KEY_BYTES_MAX ((size_t)1 << 40)

void rf_key_table_init(rf_key_table *table, size_t row_size)
{
    *table = (rf_key_table){
        .stride = sizeof(rf_keyed_row) + ((row_size + 15) & ~(size_t)15),
        .slot_bits = SLOT_BITS_MIN,
    };
    rf_arena_init(&table->keys, KEY_BYTES_MAX);
}

void rf_key_table_free(rf_key_table *table)
{
    for (uint32_t i = 0; i < table->chunk_count; i++)
        free(table->chunks[i]);
    free(table->chunks);
    free(table->slots);
    rf_arena_free(&table->keys);
    table->chunks = NULL;
    table->slots = NULL;
    table->chunk_count = table->chunk_capacity = table->row_count = 0;
    table->slot_bits = SLOT_BITS_MIN;
}

size_t rf_key_table_bytes(const rf_key_table *table)
{
    size_t slots = table->slots ? sizeof(uint64_t) << table->slot_bits : 0;

    return slots + table->chunk_count * RF_KEY_CHUNK_ROWS * table->stride + table->keys.bytes;
}

static void place(rf_key_table *table, rf_keyed_row *row)
{
    size_t mask = ((size_t)1 << table->slot_bits) - 1;
    size_t at = rf_key_slot(table, row->hash);
    uint64_t address = (uint64_t)(uintptr_t)row;

    RF_ASSERT(address >> 48 == 0);
    while (table->slots[at])
        at = (at + 1) & mask;
    table->slots[at] = (uint64_t)(row->hash >> 16) << 48 | address;
}

/* Never more than half full. */
static bool grow_slots(rf_key_table *table)
{
    uint32_t bits = table->slots ? table->slot_bits + 1 : table->slot_bits;

    if (table->slots && 2 * ((size_t)table->row_count + 1) <= (size_t)1 << table->slot_bits)
        return true;
    if (bits > SLOT_BITS_MAX)
        return false;
    uint64_t *slots = calloc((size_t)1 << bits, sizeof *slots);
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->slot_bits = bits;
    for (uint32_t i = 0; i < table->row_count; i++)
        place(table, rf_key_table_row(table, i));
    return true;
}

static bool grow_rows(rf_key_table *table)
{
    if (table->row_count < table->chunk_count * RF_KEY_CHUNK_ROWS)
        return true;
    if (table->chunk_count == table->chunk_capacity) {
        uint32_t capacity = table->chunk_capacity ? 2 * table->chunk_capacity : 16;
        char **chunks = realloc(table->chunks, capacity * sizeof *chunks);
        if (!chunks)
            return false;
        table->chunks = chunks;
        table->chunk_capacity = capacity;
    }
    char *chunk = aligned_alloc(64, (RF_KEY_CHUNK_ROWS * table->stride + 63) & ~(size_t)63);
    if (!chunk)
        return false;
    table->chunks[table->chunk_count++] = chunk;
    return true;
}

static rf_keyed_row *add(rf_key_table *table, uint32_t hash, rf_slice key)
{
    if (!grow_slots(table) || !grow_rows(table))
        return NULL;
    uint32_t index = table->row_count;
    rf_keyed_row *row = rf_key_table_row(table, index);
    *row = (rf_keyed_row){
        .hash = hash,
        .key_size = (uint16_t)key.size,
        .next = RF_KEY_ROW_NONE,
        .index = index,
    };
    if (key.size > RF_KEY_INLINE_MAX) {
        char *copy = rf_arena_bytes(&table->keys, key.size);
        if (!copy)
            return NULL;
        memcpy(copy, key.data, key.size);
        row->key.at = copy;
    } else if (key.size > 0) {
        memcpy(row->key.bytes, key.data, key.size);
    }
    table->row_count++;
    place(table, row);
    return row;
}

rf_keyed_row *rf_key_table_take(rf_key_table *table, uint32_t hash, rf_slice key)
{
    size_t mask = ((size_t)1 << table->slot_bits) - 1;
    size_t at = rf_key_slot(table, hash);

    RF_ASSERT(key.size <= UINT16_MAX);
    for (; table->slots && table->slots[at]; at = (at + 1) & mask) {
        if (table->slots[at] >> 48 != hash >> 16)
            continue;
        rf_keyed_row *row = rf_key_slot_row(table->slots[at]);
        if (row->hash == hash && rf_short_equal(rf_keyed_row_key(row), key))
            return row;
    }
    return add(table, hash, key);
}

/* ---- order ---- */

/* The first eight bytes of a key as a number, which nearly always decides. */
typedef struct order_entry {
    uint64_t first;
    rf_keyed_row *row;
} order_entry;

static int compare_entries(const void *left, const void *right)
{
    const order_entry *a = left;
    const order_entry *b = right;

    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return rf_slice_compare(rf_keyed_row_key(a->row), rf_keyed_row_key(b->row));
}

static uint64_t first_of(rf_slice key)
{
    char bytes[8] = {0};

    memcpy(bytes, key.data, key.size < sizeof bytes ? key.size : sizeof bytes);
    return rf_load_u64_be(bytes);
}

bool rf_key_table_sort(const rf_key_table *table, uint8_t flags, rf_keyed_row ***rows_out,
                       uint32_t *count_out)
{
    size_t room = table->row_count ? table->row_count : 1;
    order_entry *entries = malloc(room * sizeof *entries);
    rf_keyed_row **rows = malloc(room * sizeof(rf_keyed_row *));
    uint32_t count = 0;

    if (!entries || !rows) {
        free(entries);
        free(rows);
        return false;
    }
    for (uint32_t i = 0; i < table->row_count; i++) {
        rf_keyed_row *row = rf_key_table_row(table, i);
        if ((row->flags & flags) == flags)
            entries[count++] = (order_entry){first_of(rf_keyed_row_key(row)), row};
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = entries[i].row;
    free(entries);
    *rows_out = rows;
    *count_out = count;
    return true;
}
