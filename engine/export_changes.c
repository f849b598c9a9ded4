#include "export_changes.h"

#include "export_state.h"

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
    const rf_delta_part *noted; /* what was published, where the store has it no more; else NULL */
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
    if (search->noted && rf_export_state_has(search->noted, row->key, row->after))
        return RF_OK;
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

static bool on_one_base(const rf_diff_side *a, const rf_digest *base)
{
    const rf_manifest *manifest = &a->pinned.manifest;
    return manifest->digest.low == base->low && manifest->digest.high == base->high &&
           manifest->rows == base->rows;
}

static rf_digest base_of(const rf_diff_side *side)
{
    const rf_manifest *manifest = &side->pinned.manifest;
    return (rf_digest){manifest->digest.low, manifest->digest.high, manifest->rows};
}

static rf_status walk(rf_store *store, const rf_run *run, struct search *search,
                      const rf_diff_side *before, const rf_diff_side *after, rf_err *err)
{
    const rf_digest base = base_of(before);
    rf_pool *pool = NULL;
    rf_diff_counts counts;

    if (on_one_base(after, &base))
        return rf_diff_walk_deltas(run->cancel, before, after, keep, search, err);
    rf_status status =
        rf_pool_new(run->workers_default ? rf_processor_count() : run->workers, &pool, err);
    if (status == RF_OK)
        status = rf_diff_walk(store, pool, run->cancel, before, after, keep, search, &counts, err);
    rf_pool_free(pool);
    return status;
}

static rf_status compare(rf_store *store, const rf_run *run, const rf_diff_side *before,
                         const rf_diff_side *after, bool is_noted, rf_export_changes *changes,
                         rf_sink_changes *out, rf_err *err)
{
    uint64_t rows = after->checkpoint.digest.rows;
    struct search search = {
        .changes = changes, .cancel = run->cancel, .noted = is_noted ? &before->delta : NULL};

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

/* ---- what was published ---- */

static bool has_digest(const rf_digest *digest, const char *text)
{
    char own[33];

    rf_digest_format(digest, own);
    return strcmp(own, text) == 0;
}

/* `delta` instead of its own, which is freed. */
static void replace_delta(rf_diff_side *side, rf_delta_part *delta)
{
    rf_delta_part_free(&side->delta);
    side->delta = *delta;
    *delta = (rf_delta_part){0};
}

/* The rows that were published, as a side; false where the store cannot tell them. A failure to read the
 * old generation is no failure: all rows are sent instead. */
static bool open_published(rf_store *store, const rf_export_published *published,
                           const rf_diff_side *now, rf_diff_side *side_out, bool *is_noted_out)
{
    const char *name = now->pinned.manifest.name;
    const rf_digest base_now = base_of(now);
    rf_delta_part noted = {0};
    rf_digest base = {0};
    rf_err ignored;

    *is_noted_out = false;
    bool has_note = published->state.data &&
                    rf_export_state_read(published->state, store->partitions, &base, &noted,
                                         &ignored) == RF_OK;
    bool found = rf_diff_open(store, name, published->generation, side_out, &ignored) == RF_OK;
    if (found && !has_digest(&side_out->checkpoint.digest, published->digest)) {
        *is_noted_out = has_note && on_one_base(side_out, &base);
        if (!*is_noted_out)
            rf_diff_close(side_out);
        found = *is_noted_out;
    }
    /* It is gone, but its base is that of the one that is to be. */
    if (!found && has_note && on_one_base(now, &base))
        found = *is_noted_out =
            rf_diff_open(store, name, now->pinned.manifest.number, side_out, &ignored) == RF_OK;
    if (*is_noted_out) {
        replace_delta(side_out, &noted);
    } else if (!found && has_digest(&base_now, published->digest)) {
        rf_delta_part none = {0};
        found = rf_diff_open(store, name, now->pinned.manifest.number, side_out, &ignored) == RF_OK;
        if (found && rf_delta_split(&none, store->partitions, &ignored) == RF_OK)
            replace_delta(side_out, &none);
        else if (found)
            rf_diff_close(side_out), found = false;
    }
    rf_delta_part_free(&noted);
    return found;
}

rf_status rf_export_changes_find(rf_store *store, const rf_export_published *published,
                                 const rf_diff_side *now, const rf_run *run,
                                 rf_export_changes *changes_out, rf_sink_changes *out,
                                 bool *found_out, rf_err *err)
{
    rf_diff_side before = RF_DIFF_NONE;
    bool is_noted = false;

    *found_out = false;
    if (!open_published(store, published, now, &before, &is_noted))
        return RF_OK;
    rf_export_changes_free(changes_out);
    rf_status status = compare(store, run, &before, now, is_noted, changes_out, out, err);
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
