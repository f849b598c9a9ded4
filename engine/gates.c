/* See gates.h. */
#include "gates.h"

#include <stdlib.h>

#define MAX_REMOVED_DEFAULT 0.5

struct comparison {
    /* fixed after start */
    const rf_pinned *before;
    const rf_pinned *after;
    /* one per partition, written by its task */
    rf_gate_counts *counts;
};

struct side {
    rf_base_cursor *cursor;
    rf_slice key;
    bool found;
};

static rf_status side_next(struct side *side, rf_err *err)
{
    rf_slice row;
    return rf_base_cursor_next(side->cursor, &side->key, &row, &side->found, err);
}

static rf_status walk_both(struct side *before, struct side *after, rf_gate_counts *counts,
                           rf_err *err)
{
    rf_status status = side_next(before, err);

    if (status == RF_OK)
        status = side_next(after, err);
    while (status == RF_OK && (before->found || after->found)) {
        int order = !before->found  ? 1
                    : !after->found ? -1
                                    : rf_slice_compare(before->key, after->key);
        counts->removed += order < 0;
        counts->added += order > 0;
        if (order <= 0)
            status = side_next(before, err);
        if (status == RF_OK && order >= 0)
            status = side_next(after, err);
    }
    return status;
}

static rf_status compare_partition(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    struct comparison *comparison = arg;
    struct side before = {0};
    struct side after = {0};
    rf_slice start = {"", 0};

    (void)worker;
    rf_status status = rf_base_cursor_open(comparison->before->base, (uint32_t)index, start,
                                           &before.cursor, err);
    if (status == RF_OK)
        status = rf_base_cursor_open(comparison->after->base, (uint32_t)index, start, &after.cursor,
                                     err);
    if (status == RF_OK)
        status = walk_both(&before, &after, &comparison->counts[index], err);
    rf_base_cursor_close(before.cursor);
    rf_base_cursor_close(after.cursor);
    return status;
}

static rf_status compare_keys(rf_store *store, rf_pool *pool, const rf_manifest *manifest,
                              const rf_pinned *before, rf_gate_counts *counts, rf_err *err)
{
    rf_pinned after;

    rf_status status =
        rf_catalog_pin(store->catalog, manifest->name, manifest->number, &after, err);
    if (status != RF_OK)
        return status;
    struct comparison comparison = {.before = before, .after = &after};
    comparison.counts = calloc(store->partitions, sizeof *comparison.counts);
    if (!comparison.counts)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its gates", manifest->name);
    if (status == RF_OK)
        status = rf_pool_run(pool, store->partitions, compare_partition, &comparison, err);
    for (uint32_t i = 0; status == RF_OK && i < store->partitions; i++) {
        counts->added += comparison.counts[i].added;
        counts->removed += comparison.counts[i].removed;
    }
    free(comparison.counts);
    rf_catalog_unpin(&after);
    return status;
}

static rf_status judge(const rf_manifest *manifest, const rf_gate_counts *counts,
                       const rf_rebuild_options *options, rf_err *err)
{
    unsigned long long rows = manifest->rows;
    unsigned long long before = counts->rows_before;
    unsigned long long number = manifest->number;
    uint64_t min_rows = options->has_min_rows ? options->min_rows : 1;
    double max_removed = options->has_max_removed ? options->max_removed : MAX_REMOVED_DEFAULT;

    if (rows < min_rows)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s: generation %llu has %llu rows, fewer than %llu; it is kept, not live "
                       "(--min-rows %llu allows it)",
                       manifest->name, number, rows, (unsigned long long)min_rows, rows);
    if ((double)counts->removed > max_removed * (double)before)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s: generation %llu lacks %llu of the %llu live rows; it is kept, not live "
                       "(--max-removed allows more)",
                       manifest->name, number, (unsigned long long)counts->removed, before);
    return RF_OK;
}

rf_status rf_gates_check(rf_store *store, rf_pool *pool, const rf_manifest *manifest, uint64_t live,
                         const rf_rebuild_options *options, rf_gate_counts *counts_out, rf_err *err)
{
    rf_gate_counts counts = {.added = manifest->rows};

    if (live != 0) {
        rf_pinned before;
        rf_status status = rf_catalog_pin(store->catalog, manifest->name, live, &before, err);
        if (status != RF_OK)
            return status;
        counts.rows_before = before.manifest.rows;
        counts.added = 0;
        const rf_digest *old = &before.manifest.digest;
        const rf_digest *new = &manifest->digest;
        bool same = old->low == new->low && old->high == new->high && old->rows == new->rows;
        if (!same)
            status = compare_keys(store, pool, manifest, &before, &counts, err);
        rf_catalog_unpin(&before);
        if (status != RF_OK)
            return status;
    }
    *counts_out = counts;
    return judge(manifest, &counts, options, err);
}
