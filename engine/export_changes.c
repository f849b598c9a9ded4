#include "export_changes.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { ROWS_ALWAYS = 1000 /* so many may change in any table */ };
#define BYTES_MAX ((size_t)256 << 20)

/* What a partition has found: confined to the worker that walks it. */
struct found {
    rf_table_change *items;
    size_t count, capacity;
};

struct search {
    /* fixed after start */
    rf_export_changes *changes;
    struct found *found; /* one a partition */
    uint64_t rows_max;
    const volatile int *cancel;
    /* atomic */
    _Atomic uint64_t rows, bytes;
};

static rf_status keep(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    struct search *search = arg;
    struct found *found = &search->found[partition];
    rf_arena *memory = &search->changes->memory[partition];
    uint64_t size = row->key.size + row->after.size + sizeof *found->items;

    if (search->cancel && *search->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    if (atomic_fetch_add(&search->rows, 1) >= search->rows_max ||
        atomic_fetch_add(&search->bytes, size) + size > BYTES_MAX)
        return rf_fail(err, RF_ERR_NOTHING, "too much differs");
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        rf_table_change *items = realloc(found->items, capacity * sizeof *items);
        if (!items)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for rows that changed");
        found->items = items;
        found->capacity = capacity;
    }
    rf_table_change change = {.key = rf_arena_copy(memory, row->key)};
    if (row->after.data)
        change.row = rf_arena_copy(memory, row->after);
    if (!change.key.data || (row->after.data && !change.row.data))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for rows that changed");
    found->items[found->count++] = change;
    return RF_OK;
}

static rf_status collect(struct search *search, rf_sink_changes *out, rf_err *err)
{
    rf_export_changes *changes = search->changes;
    uint64_t count = 0;

    for (uint32_t i = 0; i < changes->partitions; i++)
        count += search->found[i].count;
    changes->items = calloc(count + 1, sizeof *changes->items);
    if (!changes->items)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for rows that changed");
    out->items = changes->items;
    out->count = 0;
    for (uint32_t i = 0; i < changes->partitions; i++)
        for (size_t k = 0; k < search->found[i].count; k++)
            changes->items[out->count++] = search->found[i].items[k];
    return RF_OK;
}

static rf_status walk(rf_store *store, const rf_run *run, struct search *search,
                      const rf_diff_side *before, const rf_diff_side *after, rf_err *err)
{
    rf_pool *pool = NULL;
    rf_diff_counts counts;

    rf_status status =
        rf_pool_new(run->workers_default ? rf_processor_count() : run->workers, &pool, err);
    if (status == RF_OK)
        status = rf_diff_walk(store, pool, run->cancel, before, after, keep, search, &counts, err);
    rf_pool_free(pool);
    return status;
}

static rf_status compare(rf_store *store, const rf_run *run, const rf_diff_side *before,
                         const rf_diff_side *after, rf_export_changes *changes,
                         rf_sink_changes *out, rf_err *err)
{
    uint64_t rows = after->checkpoint.digest.rows;
    struct search search = {.changes = changes, .cancel = run->cancel};

    search.rows_max = (uint64_t)((double)rows * RF_EXPORT_CHANGES_SHARE);
    if (search.rows_max < ROWS_ALWAYS)
        search.rows_max = ROWS_ALWAYS;
    changes->partitions = store->partitions;
    changes->memory = calloc(store->partitions, sizeof *changes->memory);
    search.found = calloc(store->partitions, sizeof *search.found);
    if (!changes->memory || !search.found) {
        free(search.found);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
    }
    for (uint32_t i = 0; i < store->partitions; i++)
        rf_arena_init(&changes->memory[i], BYTES_MAX);
    rf_status status = walk(store, run, &search, before, after, err);
    if (status == RF_OK)
        status = collect(&search, out, err);
    for (uint32_t i = 0; i < store->partitions; i++)
        free(search.found[i].items);
    free(search.found);
    if (status != RF_OK)
        return status;
    out->position = after->checkpoint.position;
    out->rows = rows;
    rf_digest_format(&after->checkpoint.digest, out->digest);
    return RF_OK;
}

rf_status rf_export_changes_find(rf_store *store, const char *name, uint64_t before_number,
                                 const char *digest, uint64_t after_number, const rf_run *run,
                                 rf_export_changes *changes_out, rf_sink_changes *out,
                                 bool *found_out, rf_err *err)
{
    rf_diff_side before, after;
    rf_err ignored;
    char text[33] = "";

    *found_out = false;
    /* Whatever keeps the old one from being read: all rows are sent instead. */
    if (rf_diff_open(store, name, before_number, &before, &ignored) != RF_OK)
        return RF_OK;
    rf_digest_format(&before.checkpoint.digest, text);
    if (strcmp(text, digest) != 0) {
        rf_diff_close(&before);
        return RF_OK;
    }
    rf_status status = rf_diff_open(store, name, after_number, &after, err);
    if (status == RF_OK) {
        rf_export_changes_free(changes_out);
        status = compare(store, run, &before, &after, changes_out, out, err);
        rf_diff_close(&after);
    }
    rf_diff_close(&before);
    *found_out = status == RF_OK;
    if (status == RF_ERR_NOTHING || status == RF_ERR_DAMAGED) /* the rows themselves tell of damage */
        status = RF_OK;
    return status;
}

void rf_export_changes_free(rf_export_changes *changes)
{
    for (uint32_t i = 0; changes->memory && i < changes->partitions; i++)
        rf_arena_free(&changes->memory[i]);
    free(changes->memory);
    free(changes->items);
    *changes = (rf_export_changes){0};
}
