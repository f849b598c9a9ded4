/* See delta_changes.h. A change: kind u8, table u8, size of the key u16, of the row u32, both. */
#include "catalog/delta_changes.h"

#include <stdlib.h>

enum { CHANGE_DELETE, CHANGE_PUT, HEAD_SIZE = 8, LIST_FIRST = 256 };
#define BYTES_MAX ((size_t)1 << 40)

void rf_delta_changes_init(rf_delta_changes *changes)
{
    *changes = (rf_delta_changes){.is_sorted = true};
    rf_buf_init(&changes->bytes, BYTES_MAX);
}

void rf_delta_changes_free(rf_delta_changes *changes)
{
    rf_buf_free(&changes->bytes);
    free(changes->list);
    changes->list = NULL;
}

static const char *change_at(const rf_delta_changes *changes, size_t index)
{
    return changes->bytes.data + changes->list[index].at;
}

static uint8_t table_of(const char *at)
{
    return (uint8_t)at[1];
}

static rf_slice key_of(const char *at)
{
    return (rf_slice){at + HEAD_SIZE, rf_load_u16(at + 2)};
}

static bool make_room(rf_delta_changes *changes)
{
    size_t capacity = changes->capacity ? 2 * changes->capacity : LIST_FIRST;

    if (changes->count < changes->capacity)
        return true;
    rf_delta_change *list = realloc(changes->list, capacity * sizeof *list);
    if (!list)
        return false;
    changes->list = list;
    changes->capacity = capacity;
    return true;
}

static size_t shared_size(rf_slice a, rf_slice b, size_t most)
{
    size_t size = 0;

    while (size < most && size < b.size && a.data[size] == b.data[size])
        size++;
    return size;
}

static void append_change(rf_delta_changes *changes, int kind, uint32_t table, rf_slice key,
                          rf_slice row)
{
    rf_buf *bytes = &changes->bytes;
    size_t at = bytes->size;

    if (!make_room(changes))
        bytes->failed = true;
    rf_buf_append_byte(bytes, (uint8_t)kind);
    rf_buf_append_byte(bytes, (uint8_t)table);
    rf_buf_append_u16(bytes, (uint16_t)key.size);
    rf_buf_append_u32(bytes, (uint32_t)row.size);
    rf_buf_append_slice(bytes, key);
    rf_buf_append_slice(bytes, row);
    if (bytes->failed)
        return;
    changes->list[changes->count++].at = at;
    changes->shared = changes->count == 1
                          ? key.size
                          : shared_size(key_of(change_at(changes, 0)), key, changes->shared);
    changes->is_sorted = false;
}

void rf_delta_changes_put(rf_delta_changes *changes, uint32_t table, const rf_delta_entry *entry)
{
    append_change(changes, CHANGE_PUT, table, entry->key, entry->row);
}

void rf_delta_changes_delete(rf_delta_changes *changes, uint32_t table, rf_slice key)
{
    append_change(changes, CHANGE_DELETE, table, key, RF_SLICE(""));
}

rf_status rf_delta_changes_check(const rf_delta_changes *changes, const char *what, rf_err *err)
{
    return rf_buf_check(&changes->bytes, what, err);
}

/* ---- order ---- */

static int compare_keys(const char *a, const char *b)
{
    return table_of(a) != table_of(b) ? table_of(a) - table_of(b)
                                      : rf_slice_compare(key_of(a), key_of(b));
}

static void set_leads(rf_delta_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        const char *at = change_at(changes, i);
        rf_slice key = key_of(at);
        size_t rest = key.size - changes->shared;
        char bytes[8] = {at[1]};
        memcpy(bytes + 1, key.data + changes->shared, rest < 7 ? rest : 7);
        changes->list[i].lead = rf_load_u64_be(bytes);
    }
}

/* Changes of one key as they were made. */
static int compare_changes(const void *left, const void *right, void *arg)
{
    const rf_delta_change *a = left, *b = right;
    const char *bytes = ((const rf_delta_changes *)arg)->bytes.data;

    if (a->lead != b->lead)
        return a->lead < b->lead ? -1 : 1;
    int order = compare_keys(bytes + a->at, bytes + b->at);
    return order != 0 ? order : a->at < b->at ? -1 : 1;
}

void rf_delta_changes_sort(rf_delta_changes *changes)
{
    size_t kept = 0;

    if (changes->is_sorted)
        return;
    set_leads(changes);
    qsort_r(changes->list, changes->count, sizeof *changes->list, compare_changes, changes);
    for (size_t i = 0; i < changes->count; i++)
        if (i + 1 == changes->count ||
            compare_keys(change_at(changes, i), change_at(changes, i + 1)) != 0)
            changes->list[kept++] = changes->list[i];
    changes->count = kept;
    changes->is_sorted = true;
}

/* ---- writing ---- */

/* What is left of one worker's. */
typedef struct source {
    const rf_delta_changes *changes;
    size_t next;
    const char *at; /* the change `next` */
} source;

/* Moves the first of `sources`, the others of which stand in order, to its place among them. */
static void settle_first(source *sources, uint32_t count)
{
    source first = sources[0];
    uint32_t low = 1, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_keys(sources[middle].at, first.at) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(sources, sources + 1, (low - 1) * sizeof *sources);
    sources[low - 1] = first;
}

static void step(source **sources, uint32_t *count)
{
    source *first = *sources;

    if (++first->next == first->changes->count) {
        (*sources)++;
        (*count)--;
        return;
    }
    first->at = change_at(first->changes, first->next);
    settle_first(first, *count);
}

static rf_status apply_sources(rf_kv_txn *txn, uint32_t delta, source *sources, uint32_t count,
                               rf_err *err)
{
    rf_delta_writer writer;

    rf_status status = rf_delta_writer_open(txn, delta, table_of(sources->at), key_of(sources->at),
                                            &writer, err);
    if (status != RF_OK)
        return status;
    while (status == RF_OK && count > 0) {
        const char *at = sources->at;
        rf_delta_entry entry = {.key = key_of(at)};
        entry.row = (rf_slice){entry.key.data + entry.key.size, rf_load_u32(at + 4)};
        status = *at == CHANGE_PUT ? rf_delta_write(&writer, table_of(at), &entry, err)
                                   : rf_delta_delete(txn, delta, table_of(at), entry.key, err);
        step(&sources, &count);
    }
    rf_delta_writer_close(&writer);
    return status;
}

rf_status rf_delta_apply(rf_kv_txn *txn, uint32_t delta, const rf_delta_changes *const *changes,
                         uint32_t count, rf_err *err)
{
    source *sources = calloc(count + 1, sizeof *sources);
    uint32_t first = count;

    if (!sources)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the changes of a delta");
    for (uint32_t i = 0; i < count; i++) {
        RF_ASSERT(changes[i]->is_sorted);
        if (changes[i]->count == 0)
            continue;
        sources[--first] = (source){changes[i], 0, change_at(changes[i], 0)};
        settle_first(sources + first, count - first);
    }
    rf_status status =
        first < count ? apply_sources(txn, delta, sources + first, count - first, err) : RF_OK;
    free(sources);
    return status;
}
