/* Key tables: the rows of one partition of a read model, found by their keys.
 *
 * Open addressing over 8-byte slots: 16 bits of the key's hash and the row's address. Rows stand in
 * chunks, which many tables may share rooms for, so they never move while a table grows; each has a head with its key, short ones in the
 * head itself. Nothing is ever taken out: a deleted row has no flags. Keys are hashed as partitions
 * are chosen (rf_key_hash), so the lowest bits are the same in a table and the others place a key.
 *
 * Confined to one worker at a time.
 */
#ifndef RF_REBUILD_KEY_TABLE_H
#define RF_REBUILD_KEY_TABLE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "rebuild/key_room.h"

enum { RF_KEY_INLINE_MAX = 16, RF_KEY_CHUNK_ROWS = 64 };
#define RF_KEY_ROW_NONE UINT32_MAX

/* The row itself stands behind its head, aligned to 16. */
typedef struct rf_keyed_row {
    uint32_t hash;
    uint16_t key_size;
    uint8_t flags;   /* the caller's: 0 at first */
    uint8_t marks;   /* likewise */
    uint32_t next;   /* likewise: RF_KEY_ROW_NONE at first */
    uint32_t index;
    union {
        char bytes[RF_KEY_INLINE_MAX];
        const char *at;
    } key;
} rf_keyed_row;
_Static_assert(sizeof(rf_keyed_row) == 32, "rows are aligned to 16");

typedef struct rf_key_table {
    size_t stride;    /* bytes of a head and its row */
    uint64_t *slots;  /* high bits of the hash << 48 | address of the row; 0: free */
    uint32_t slot_bits;
    uint32_t row_count;
    uint32_t chunk_count, chunk_capacity;
    char **chunks;
    rf_arena keys; /* long ones */
} rf_key_table;

/* FNV-1a 64 of the bytes, folded: its lowest bits are the partition (rf_partition_of). *nul_out is
 * set where a byte is zero. */
static inline uint32_t rf_key_hash(rf_slice key, bool *nul_out)
{
    const uint64_t prime = 0x100000001b3u;
    const unsigned char *at = (const unsigned char *)key.data;
    const unsigned char *end = at + key.size;
    uint64_t hash = 0xcbf29ce484222325u;
    uint64_t nul = 0;

    for (; end - at >= 8; at += 8) {
        uint64_t word = rf_load_u64(at);
        nul |= (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
        for (int i = 0; i < 8; i++, word >>= 8)
            hash = (hash ^ (word & 0xff)) * prime;
    }
    for (; at < end; at++) {
        nul |= *at == 0;
        hash = (hash ^ *at) * prime;
    }
    *nul_out = nul != 0;
    return (uint32_t)(hash ^ (hash >> 32));
}

/* Bytes of a chunk of rows. */
size_t rf_key_chunk_size(size_t row_size);
void rf_key_table_init(rf_key_table *table, size_t row_size);
/* `room` is the worker's that calls, for chunks of this size; it ends after the table. NULL: chunks
 * are of the heap, all of a table or none. */
void rf_key_table_free(rf_key_table *table, rf_key_room *room);
/* Bytes that it takes, but for what rows refer to. */
size_t rf_key_table_bytes(const rf_key_table *table);
/* The row of the key, which is added (not cleared, without flags) if it is new; NULL without memory.
 * `room` likewise. */
rf_keyed_row *rf_key_table_take(rf_key_table *table, rf_key_room *room, uint32_t hash,
                                rf_slice key);

static inline rf_keyed_row *rf_key_table_row(const rf_key_table *table, uint32_t index)
{
    return (rf_keyed_row *)(table->chunks[index / RF_KEY_CHUNK_ROWS] +
                            index % RF_KEY_CHUNK_ROWS * table->stride);
}

static inline char *rf_keyed_row_data(rf_keyed_row *row)
{
    return (char *)(row + 1);
}

static inline rf_slice rf_keyed_row_key(const rf_keyed_row *row)
{
    return (rf_slice){row->key_size <= RF_KEY_INLINE_MAX ? row->key.bytes : row->key.at,
                      row->key_size};
}

static inline size_t rf_key_slot(const rf_key_table *table, uint32_t hash)
{
    return (hash * 0x9e3779b1u) >> (32 - table->slot_bits);
}

static inline rf_keyed_row *rf_key_slot_row(uint64_t slot)
{
    return (rf_keyed_row *)(uintptr_t)(slot & 0xffffffffffff);
}

/* Both for keys that are taken soon: the slot first, then the row. */
static inline void rf_key_table_fetch_slot(const rf_key_table *table, uint32_t hash)
{
    if (table->slots)
        __builtin_prefetch(&table->slots[rf_key_slot(table, hash)]);
}
static inline void rf_key_table_fetch_row(const rf_key_table *table, uint32_t hash)
{
    uint64_t slot = table->slots ? table->slots[rf_key_slot(table, hash)] : 0;

    if (slot) {
        const char *row = (const char *)rf_key_slot_row(slot);
        __builtin_prefetch(row);
        __builtin_prefetch(row + table->stride - 1);
    }
}

/* The rows that have all bits of `flags`, in key order: malloc'ed, the caller frees it. False without
 * memory. */
bool rf_key_table_sort(const rf_key_table *table, uint8_t flags, rf_keyed_row ***rows_out,
                       uint32_t *count_out);

#endif
