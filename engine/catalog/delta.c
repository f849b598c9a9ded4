/* See delta.h. The key of an entry: delta u32 BE, table u8, the key. Its value: the row (none: a
 * tombstone), and the checksum of it, its seed that of the key. */
#include "catalog/delta.h"

#include "catalog/record.h"

#include <stdlib.h>

enum {
    HEAD_SIZE = 5,
    CHECKSUM_SIZE = 8,
    KEY_SIZE_MAX = HEAD_SIZE + RF_KEY_SIZE_MAX,
    ENTRIES_MAX = 1 << 30,
    SWEEP_BATCH = 4096,
    PUT_BYTES = 4 << 20, /* of one transaction */
};
_Static_assert((int)KEY_SIZE_MAX <= (int)RF_KV_KEY_SIZE_MAX, "an entry's key is one of LMDB's");
#define PART_BYTES_MAX ((size_t)1 << 40)

static rf_slice entry_key(char bytes[KEY_SIZE_MAX], uint32_t delta, uint32_t table, rf_slice key)
{
    RF_ASSERT(key.size <= RF_KEY_SIZE_MAX && table <= UINT8_MAX);
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(delta >> (24 - 8 * i));
    bytes[4] = (char)table;
    if (key.size > 0)
        memcpy(bytes + HEAD_SIZE, key.data, key.size);
    return (rf_slice){bytes, HEAD_SIZE + key.size};
}

static uint32_t delta_of(rf_slice key)
{
    return (uint32_t)rf_load_u16_be(key.data) << 16 | rf_load_u16_be(key.data + 2);
}

static rf_status open_entry(rf_slice key, rf_slice value, rf_delta_entry *entry_out, rf_err *err)
{
    size_t size = value.size - CHECKSUM_SIZE;

    if (value.size < CHECKSUM_SIZE || key.size < HEAD_SIZE ||
        rf_load_u64(value.data + size) !=
            rf_checksum_seeded((rf_slice){value.data, size}, rf_checksum(key)))
        return rf_fail(err, RF_ERR_DAMAGED, "live/: damaged: an entry of a delta does not hold");
    entry_out->key = (rf_slice){key.data + HEAD_SIZE, key.size - HEAD_SIZE};
    entry_out->row = size > 0 ? (rf_slice){value.data, size} : (rf_slice){NULL, 0};
    return RF_OK;
}

rf_status rf_delta_get(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice key,
                       rf_delta_entry *entry_out, bool *found_out, rf_err *err)
{
    char bytes[KEY_SIZE_MAX];
    rf_slice value;

    *found_out = false;
    if (key.size > RF_KEY_SIZE_MAX)
        return RF_OK;
    rf_slice at = entry_key(bytes, delta, table, key);
    rf_status status = rf_kv_get(txn, RF_CATALOG_DELTA_TABLE, at, &value, found_out, err);
    if (status == RF_OK && *found_out)
        status = open_entry(at, value, entry_out, err);
    if (status == RF_OK && *found_out)
        entry_out->key = key;
    return status;
}

rf_status rf_delta_delete(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice key, rf_err *err)
{
    char bytes[KEY_SIZE_MAX];

    return rf_kv_delete(txn, RF_CATALOG_DELTA_TABLE, entry_key(bytes, delta, table, key), err);
}

/* ---- writing ---- */

rf_status rf_delta_writer_open(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice first,
                               rf_delta_writer *writer_out, rf_err *err)
{
    rf_delta_writer writer = {.delta = delta};
    char bytes[KEY_SIZE_MAX];
    rf_slice wanted = entry_key(bytes, delta, table, first);
    rf_slice key, value;
    bool found;

    rf_status status = rf_kv_cursor_open(txn, RF_CATALOG_DELTA_TABLE, &writer.cursor, err);
    if (status != RF_OK)
        return status;
    status = rf_kv_cursor_seek(writer.cursor, RF_KV_LAST, RF_SLICE(""), &key, &value, &found, err);
    if (status != RF_OK) {
        rf_delta_writer_close(&writer);
        return status;
    }
    writer.behind = !found || rf_slice_compare(key, wanted) < 0;
    *writer_out = writer;
    return RF_OK;
}

rf_status rf_delta_write(rf_delta_writer *writer, uint32_t table, const rf_delta_entry *entry,
                         rf_err *err)
{
    char bytes[KEY_SIZE_MAX];
    char *room;

    rf_slice at = entry_key(bytes, writer->delta, table, entry->key);
    rf_status status = rf_kv_cursor_put_room(writer->cursor, at, entry->row.size + CHECKSUM_SIZE,
                                             writer->behind, &room, err);
    if (status != RF_OK)
        return status;
    if (entry->row.size > 0)
        memcpy(room, entry->row.data, entry->row.size);
    rf_store_u64(room + entry->row.size, rf_checksum_seeded(entry->row, rf_checksum(at)));
    return RF_OK;
}

void rf_delta_writer_close(rf_delta_writer *writer)
{
    rf_kv_cursor_close(writer->cursor);
}

/* ---- parts ---- */

static rf_status part_add(rf_delta_part *part, const rf_delta_entry *entry, rf_err *err)
{
    if (part->count == part->capacity) {
        uint32_t capacity = part->capacity ? 2 * part->capacity : 64;
        rf_delta_entry *entries =
            capacity <= ENTRIES_MAX ? realloc(part->entries, capacity * sizeof *entries) : NULL;
        if (!entries)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u rows of a delta", capacity);
        part->entries = entries;
        part->capacity = capacity;
    }
    rf_delta_entry *copy = &part->entries[part->count];
    copy->key = rf_arena_copy(&part->memory, entry->key);
    copy->row = entry->row.data ? rf_arena_copy(&part->memory, entry->row) : entry->row;
    if (!copy->key.data || (entry->row.data && !copy->row.data))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u rows of a delta", part->count);
    part->count++;
    return RF_OK;
}

/* Where reading of a range begins. */
static rf_slice start_of(const rf_delta_range *range)
{
    rf_slice from = range->from;

    if (from.size == 0 || rf_slice_compare(range->prefix, from) > 0)
        from = range->prefix;
    if (from.size > RF_KEY_SIZE_MAX)
        from.size = RF_KEY_SIZE_MAX;
    return from;
}

static rf_status take_entries(rf_kv_cursor *cursor, rf_slice at, const rf_delta_range *range,
                              rf_delta_part *part, rf_err *err)
{
    uint64_t rows = 0;
    char head[HEAD_SIZE];
    rf_slice key, value;
    bool found;

    memcpy(head, at.data, HEAD_SIZE);
    rf_status status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, at, &key, &value, &found, err);
    while (status == RF_OK && found && rf_slice_starts_with(key, (rf_slice){head, HEAD_SIZE})) {
        rf_delta_entry entry;
        status = open_entry(key, value, &entry, err);
        if (status != RF_OK)
            return status;
        if (!rf_slice_starts_with(entry.key, range->prefix) ||
            (range->to.data && rf_slice_compare(entry.key, range->to) >= 0))
            break;
        part->is_cut = range->limit > 0 && rows == range->limit;
        if (part->is_cut)
            break;
        rows += entry.row.data != NULL;
        status = part_add(part, &entry, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &value, &found, err);
    }
    return status;
}

rf_status rf_delta_take(rf_kv_txn *txn, uint32_t delta, uint32_t table,
                        const rf_delta_range *range, rf_delta_part *part_out, rf_err *err)
{
    rf_delta_part part = {0};
    char bytes[KEY_SIZE_MAX];
    rf_kv_cursor *cursor;

    rf_status status = rf_kv_cursor_open(txn, RF_CATALOG_DELTA_TABLE, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_arena_init(&part.memory, PART_BYTES_MAX);
    status = take_entries(cursor, entry_key(bytes, delta, table, start_of(range)), range, &part,
                          err);
    rf_kv_cursor_close(cursor);
    if (status != RF_OK) {
        rf_delta_part_free(&part);
        return status;
    }
    *part_out = part;
    return RF_OK;
}

uint32_t rf_delta_seek(const rf_delta_part *part, rf_slice key)
{
    uint32_t low = 0;
    uint32_t high = part->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rf_slice_compare(part->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

rf_status rf_delta_split(rf_delta_part *part, uint32_t partitions, rf_err *err)
{
    uint32_t *first = malloc(partitions * sizeof *first);
    uint32_t *next = malloc((part->count + 1) * sizeof *next);

    RF_ASSERT(!part->first);
    if (!first || !next) {
        free(first);
        free(next);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u rows of a delta", part->count);
    }
    for (uint32_t i = 0; i < partitions; i++)
        first[i] = part->count;
    for (uint32_t i = part->count; i-- > 0;) {
        uint32_t partition = rf_partition_of(part->entries[i].key, partitions);
        next[i] = first[partition];
        first[partition] = i;
    }
    part->first = first;
    part->next = next;
    return RF_OK;
}

void rf_delta_part_free(rf_delta_part *part)
{
    free(part->entries);
    free(part->first);
    free(part->next);
    rf_arena_free(&part->memory);
    *part = (rf_delta_part){0};
}

rf_status rf_delta_put_some(rf_kv_txn *txn, uint32_t delta, uint32_t table, const rf_delta_part *part,
                            uint32_t *at, rf_err *err)
{
    rf_delta_writer writer;
    size_t bytes = 0;

    if (*at == part->count)
        return RF_OK;
    rf_status status =
        rf_delta_writer_open(txn, delta, table, part->entries[*at].key, &writer, err);
    if (status != RF_OK)
        return status;
    while (status == RF_OK && *at < part->count && bytes < PUT_BYTES) {
        const rf_delta_entry *entry = &part->entries[*at];
        status = rf_delta_write(&writer, table, entry, err);
        bytes += entry->key.size + entry->row.size;
        (*at)++;
    }
    rf_delta_writer_close(&writer);
    return status;
}

/* ---- leftovers ---- */

static bool is_known(const rf_catalog_generation *generations, uint32_t count, uint32_t delta)
{
    for (uint32_t i = 0; i < count; i++)
        if (generations[i].delta == delta)
            return true;
    return false;
}

/* The first delta at or after *delta that no generation has; *found_out false if there is none. */
static rf_status find_leftover(rf_kv_txn *txn, uint32_t *delta, bool *found_out, rf_err *err)
{
    rf_catalog_generation *generations = NULL;
    rf_kv_cursor *cursor = NULL;
    char bytes[KEY_SIZE_MAX];
    uint32_t count = 0;
    rf_slice key, value;
    bool found = true;

    *found_out = false;
    rf_status status = rf_record_generations(txn, NULL, &generations, &count, err);
    if (status == RF_OK)
        status = rf_kv_cursor_open(txn, RF_CATALOG_DELTA_TABLE, &cursor, err);
    while (status == RF_OK && found && !*found_out) {
        rf_slice at = entry_key(bytes, *delta, 0, RF_SLICE(""));
        status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, at, &key, &value, &found, err);
        if (status != RF_OK || !found)
            break;
        if (key.size < HEAD_SIZE) {
            status = rf_fail(err, RF_ERR_DAMAGED,
                             "live/: damaged: an entry of a delta does not hold");
            break;
        }
        *delta = delta_of(key);
        *found_out = !is_known(generations, count, *delta);
        if (*delta == UINT32_MAX)
            break;
        *delta += *found_out ? 0 : 1;
    }
    rf_kv_cursor_close(cursor);
    free(generations);
    return status;
}

/* Deletes up to SWEEP_BATCH entries of a delta; *more_out if some are left. */
static rf_status delete_some(rf_kv_txn *txn, uint32_t delta, bool *more_out, rf_err *err)
{
    char bytes[KEY_SIZE_MAX];
    rf_slice start = entry_key(bytes, delta, 0, RF_SLICE(""));
    rf_kv_cursor *cursor;
    rf_slice key, value;

    *more_out = true;
    rf_status status = rf_kv_cursor_open(txn, RF_CATALOG_DELTA_TABLE, &cursor, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; status == RF_OK && *more_out && i < SWEEP_BATCH; i++) {
        status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, start, &key, &value, more_out, err);
        *more_out = status == RF_OK && *more_out && key.size >= HEAD_SIZE && delta_of(key) == delta;
        if (*more_out)
            status = rf_kv_cursor_delete(cursor, err);
    }
    rf_kv_cursor_close(cursor);
    return status;
}

rf_status rf_delta_sweep(rf_catalog *catalog, rf_err *err)
{
    uint32_t delta = 0;
    bool found = true;
    rf_status status = RF_OK;

    while (status == RF_OK && found) {
        rf_kv_txn *txn;
        bool more;
        status = rf_kv_begin(catalog->kv, false, &txn, err);
        if (status != RF_OK)
            return status;
        status = find_leftover(txn, &delta, &found, err);
        rf_kv_abort(txn);
        if (status != RF_OK || !found)
            break;
        status = rf_kv_begin(catalog->kv, true, &txn, err);
        if (status != RF_OK)
            return status;
        status = delete_some(txn, delta, &more, err);
        if (status == RF_OK)
            status = rf_kv_commit(txn, err);
        else
            rf_kv_abort(txn);
    }
    return status;
}
