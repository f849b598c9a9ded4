/* See key_table.h. */
#include "rebuild/key_table.h"

#include <stdlib.h>

enum { SLOT_BITS_MIN = 6, SLOT_BITS_MAX = 31 };
#define KEY_BYTES_MAX ((size_t)1 << 40)

static size_t stride_of(size_t row_size)
{
    return sizeof(rf_keyed_row) + ((row_size + 15) & ~(size_t)15);
}

size_t rf_key_chunk_size(size_t row_size)
{
    return RF_KEY_CHUNK_ROWS * stride_of(row_size);
}

void rf_key_table_init(rf_key_table *table, size_t row_size)
{
    *table = (rf_key_table){
        .stride = stride_of(row_size),
        .slot_bits = SLOT_BITS_MIN,
    };
    rf_arena_init(&table->keys, KEY_BYTES_MAX);
}

void rf_key_table_free(rf_key_table *table, rf_key_room *room)
{
    for (uint32_t i = 0; i < table->chunk_count; i++) {
        if (room)
            rf_key_room_give_back(room, table->chunks[i]);
        else
            free(table->chunks[i]);
    }
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

/* All free, and written to: a page that is read before it is written, as calloc's are, faults twice,
 * and the second time interrupts all other workers. */
static uint64_t *make_slots(uint32_t bits)
{
    size_t size = sizeof(uint64_t) << bits;
    uint64_t *slots = aligned_alloc(64, size);

    if (slots)
        memset(slots, 0, size);
    return slots;
}

/* Never more than half full. */
static bool grow_slots(rf_key_table *table)
{
    uint32_t bits = table->slots ? table->slot_bits + 1 : table->slot_bits;

    if (table->slots && 2 * ((size_t)table->row_count + 1) <= (size_t)1 << table->slot_bits)
        return true;
    if (bits > SLOT_BITS_MAX)
        return false;
    uint64_t *slots = make_slots(bits);
    if (!slots)
        return false;
    free(table->slots);
    table->slots = slots;
    table->slot_bits = bits;
    for (uint32_t i = 0; i < table->row_count; i++)
        place(table, rf_key_table_row(table, i));
    return true;
}

static bool grow_rows(rf_key_table *table, rf_key_room *room)
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
    size_t size = RF_KEY_CHUNK_ROWS * table->stride;
    RF_ASSERT(!room || room->chunk_size == size);
    char *chunk = room ? rf_key_room_take(room) : aligned_alloc(64, size);
    if (!chunk)
        return false;
    table->chunks[table->chunk_count++] = chunk;
    return true;
}

static rf_keyed_row *add(rf_key_table *table, rf_key_room *room, uint32_t hash, rf_slice key)
{
    if (!grow_slots(table) || !grow_rows(table, room))
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

rf_keyed_row *rf_key_table_take(rf_key_table *table, rf_key_room *room, uint32_t hash,
                                rf_slice key)
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
    return add(table, room, hash, key);
}

/* ---- order ----
 *
 * By eight bytes of each key, those behind what all keys begin with, digit by digit from the lowest
 * up; digits that all have the same are left out. Rows that have these bytes alike stand together
 * then, and are sorted by comparing keys. */

typedef struct order_entry {
    uint64_t bytes;
    rf_keyed_row *row;
} order_entry;

enum { DIGIT = 8, DIGITS = 1 << DIGIT, FEW = 32 };

static int compare_entries(const void *left, const void *right)
{
    const order_entry *a = left;
    const order_entry *b = right;

    return rf_slice_compare(rf_keyed_row_key(a->row), rf_keyed_row_key(b->row));
}

/* How many bytes all keys begin with. */
static size_t beginning_of(const order_entry *entries, uint32_t count)
{
    rf_slice first = rf_keyed_row_key(entries[0].row);
    size_t shared = first.size;

    for (uint32_t i = 1; i < count && shared > 0; i++) {
        rf_slice key = rf_keyed_row_key(entries[i].row);
        size_t end = shared < key.size ? shared : key.size;
        for (shared = 0; shared < end && key.data[shared] == first.data[shared];)
            shared++;
    }
    return shared;
}

static uint64_t bytes_from(rf_slice key, size_t begin)
{
    char bytes[8] = {0};
    size_t left = key.size - begin;

    memcpy(bytes, key.data + begin, left < sizeof bytes ? left : sizeof bytes);
    return rf_load_u64_be(bytes);
}

/* Sorts by the digit at `shift`; false where all have the same, and nothing is moved. */
static bool sort_digit(const order_entry *from, order_entry *to, uint32_t count, unsigned shift)
{
    uint32_t starts[DIGITS] = {0};
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        starts[from[i].bytes >> shift & (DIGITS - 1)]++;
    if (starts[from[0].bytes >> shift & (DIGITS - 1)] == count)
        return false;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t held = starts[d];
        starts[d] = sum;
        sum += held;
    }
    for (uint32_t i = 0; i < count; i++)
        to[starts[from[i].bytes >> shift & (DIGITS - 1)]++] = from[i];
    return true;
}

/* The entries in order: they are these or those of `room`. */
static order_entry *sort_entries(order_entry *entries, order_entry *room, uint32_t count)
{
    if (count <= FEW) {
        qsort(entries, count, sizeof *entries, compare_entries);
        return entries;
    }
    size_t begin = beginning_of(entries, count);
    for (uint32_t i = 0; i < count; i++)
        entries[i].bytes = bytes_from(rf_keyed_row_key(entries[i].row), begin);
    for (unsigned shift = 0; shift < 64; shift += DIGIT) {
        if (!sort_digit(entries, room, count, shift))
            continue;
        order_entry *swapped = entries;
        entries = room;
        room = swapped;
    }
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && entries[end].bytes == entries[i].bytes;)
            end++;
        if (end - i > 1)
            qsort(entries + i, end - i, sizeof *entries, compare_entries);
    }
    return entries;
}

bool rf_key_table_sort(const rf_key_table *table, uint8_t flags, rf_keyed_row ***rows_out,
                       uint32_t *count_out)
{
    size_t room = table->row_count ? table->row_count : 1;
    order_entry *entries = malloc(2 * room * sizeof *entries);
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
            entries[count++].row = row;
    }
    const order_entry *sorted = sort_entries(entries, entries + room, count);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = sorted[i].row;
    free(entries);
    *rows_out = rows;
    *count_out = count;
    return true;
}
