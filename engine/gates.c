/* See gates.h. */
#include "gates.h"

#include "catalog/rows.h"

#include <stdlib.h>

#define MAX_REMOVED_DEFAULT 0.5

/* One of the two generations, at one position. */
struct version {
    rf_pinned pinned;
    rf_delta_part delta;
    rf_checkpoint checkpoint;
};

struct comparison {
    /* fixed after start */
    const struct version *before;
    const struct version *after;
    /* one per partition, written by its task */
    rf_gate_counts *counts;
};

struct side {
    rf_rows_cursor *cursor;
    rf_slice key;
    bool found;
};

static rf_status side_next(struct side *side, rf_err *err)
{
    rf_slice row;
    return rf_rows_cursor_next(side->cursor, &side->key, &row, &side->found, err);
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

    (void)worker;
    rf_status status =
        rf_rows_cursor_open_partition(&comparison->before->pinned, &comparison->before->delta,
                                      (uint32_t)index, &before.cursor, err);
    if (status == RF_OK)
        status =
            rf_rows_cursor_open_partition(&comparison->after->pinned, &comparison->after->delta,
                                          (uint32_t)index, &after.cursor, err);
    if (status == RF_OK)
        status = walk_both(&before, &after, &comparison->counts[index], err);
    rf_rows_cursor_close(before.cursor);
    rf_rows_cursor_close(after.cursor);
    return status;
}

static void version_close(struct version *version)
{
    rf_delta_part_free(&version->delta);
    rf_catalog_unpin(&version->pinned);
}

static rf_status version_open(rf_store *store, const char *name, uint64_t number,
                              struct version *version, rf_err *err)
{
    *version = (struct version){.pinned = {.lock_fd = -1}};
    rf_status status = rf_catalog_pin(store->catalog, name, number, &version->pinned, err);
    if (status != RF_OK)
        return status;
    status = rf_rows_take_delta(store->catalog, &version->pinned, &version->delta, NULL,
                                &version->checkpoint, err);
    if (status != RF_OK)
        version_close(version);
    return status;
}

static rf_status compare_keys(rf_store *store, rf_pool *pool, const struct version *before,
                              const struct version *after, rf_gate_counts *counts, rf_err *err)
{
    struct comparison comparison = {.before = before, .after = after};
    rf_status status = RF_OK;

    comparison.counts = calloc(store->partitions, sizeof *comparison.counts);
    if (!comparison.counts)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its gates",
                       before->pinned.manifest.name);
    status = rf_pool_run(pool, store->partitions, compare_partition, &comparison, err);
    for (uint32_t i = 0; status == RF_OK && i < store->partitions; i++) {
        counts->added += comparison.counts[i].added;
        counts->removed += comparison.counts[i].removed;
    }
    free(comparison.counts);
    return status;
}

static rf_status judge(const rf_manifest *manifest, uint64_t rows_after,
                       const rf_gate_counts *counts, const rf_rebuild_options *options, rf_err *err)
{
    unsigned long long rows = rows_after;
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

static bool same_digest(const rf_digest *a, const rf_digest *b)
{
    return a->low == b->low && a->high == b->high && a->rows == b->rows;
}

rf_status rf_gates_check(rf_store *store, rf_pool *pool, const rf_manifest *manifest, uint64_t live,
                         rf_catch_up_late *late, const rf_rebuild_options *options,
                         rf_gate_counts *counts_out, rf_err *err)
{
    rf_gate_counts counts = {0};
    struct version before = {.pinned = {.lock_fd = -1}};
    struct version after;

    /* The live one's rows are copied first: what is followed moves on meanwhile. */
    rf_status status =
        live != 0 ? version_open(store, manifest->name, live, &before, err) : RF_OK;
    if (status != RF_OK)
        return status;
    if (live != 0)
        status = rf_catch_up_late_run(late, before.checkpoint.position, err);
    if (status == RF_OK)
        status = version_open(store, manifest->name, manifest->number, &after, err);
    if (status != RF_OK) {
        version_close(&before);
        return status;
    }
    uint64_t rows = after.checkpoint.digest.rows;
    counts.rows_before = before.checkpoint.digest.rows;
    counts.added = live != 0 ? 0 : rows;
    if (live != 0 && !same_digest(&before.checkpoint.digest, &after.checkpoint.digest))
        status = compare_keys(store, pool, &before, &after, &counts, err);
    version_close(&before);
    version_close(&after);
    if (status != RF_OK)
        return status;
    *counts_out = counts;
    return judge(manifest, rows, &counts, options, err);
}
