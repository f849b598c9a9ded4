#include "compare/diff.h"

#include <stdlib.h>

enum { ROWS_UNASKED = 1024 /* between two looks at the cancel flag */ };

struct walk {
    /* fixed after start */
    const rf_diff_side *before;
    const rf_diff_side *after;
    rf_diff_fn visit;
    void *arg;
    const volatile int *cancel;
    /* one per partition, written by its task */
    rf_diff_counts *counts;
};

struct cursor {
    rf_rows_cursor *rows;
    rf_slice key, row;
    bool found;
};

rf_status rf_diff_open(rf_store *store, const char *name, uint64_t generation,
                       rf_diff_side *side_out, rf_err *err)
{
    *side_out = RF_DIFF_NONE;
    rf_status status = rf_catalog_pin(store->catalog, name, generation, &side_out->pinned, err);
    if (status != RF_OK)
        return status;
    status = rf_rows_take_delta(store->catalog, &side_out->pinned, &side_out->delta, NULL,
                                &side_out->checkpoint, err);
    if (status != RF_OK)
        rf_diff_close(side_out);
    return status;
}

void rf_diff_close(rf_diff_side *side)
{
    rf_delta_part_free(&side->delta);
    rf_catalog_unpin(&side->pinned);
}

bool rf_diff_is_empty(const rf_diff_side *before, const rf_diff_side *after)
{
    const rf_digest *a = &before->checkpoint.digest;
    const rf_digest *b = &after->checkpoint.digest;
    return a->low == b->low && a->high == b->high && a->rows == b->rows;
}

static rf_status next(struct cursor *cursor, rf_err *err)
{
    return rf_rows_cursor_next(cursor->rows, &cursor->key, &cursor->row, &cursor->found, err);
}

static rf_status tell(const struct walk *walk, uint32_t partition, const struct cursor *before,
                      const struct cursor *after, int order, rf_err *err)
{
    rf_diff_counts *counts = &walk->counts[partition];
    rf_diff_row row = {.key = order <= 0 ? before->key : after->key};

    if (order <= 0)
        row.before = before->row;
    if (order >= 0)
        row.after = after->row;
    counts->removed += order < 0;
    counts->added += order > 0;
    counts->changed += order == 0;
    return walk->visit ? walk->visit(walk->arg, partition, &row, err) : RF_OK;
}

static rf_status walk_both(const struct walk *walk, uint32_t partition, struct cursor *before,
                           struct cursor *after, rf_err *err)
{
    rf_status status = next(before, err);

    if (status == RF_OK)
        status = next(after, err);
    for (uint32_t row = 1; status == RF_OK && (before->found || after->found); row++) {
        if (row % ROWS_UNASKED == 0 && walk->cancel && *walk->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
        int order = !before->found  ? 1
                    : !after->found ? -1
                                    : rf_slice_compare(before->key, after->key);
        if (order != 0 || !rf_slice_equal(before->row, after->row))
            status = tell(walk, partition, before, after, order, err);
        if (status == RF_OK && order <= 0)
            status = next(before, err);
        if (status == RF_OK && order >= 0)
            status = next(after, err);
    }
    return status;
}

static rf_status walk_partition(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct walk *walk = arg;
    struct cursor before = {0};
    struct cursor after = {0};

    (void)worker;
    rf_status status = rf_rows_cursor_open_partition(&walk->before->pinned, &walk->before->delta,
                                                     (uint32_t)index, &before.rows, err);
    if (status == RF_OK)
        status = rf_rows_cursor_open_partition(&walk->after->pinned, &walk->after->delta,
                                               (uint32_t)index, &after.rows, err);
    if (status == RF_OK)
        status = walk_both(walk, (uint32_t)index, &before, &after, err);
    rf_rows_cursor_close(before.rows);
    rf_rows_cursor_close(after.rows);
    return status;
}

rf_status rf_diff_walk(rf_store *store, rf_pool *pool, const volatile int *cancel,
                       const rf_diff_side *before, const rf_diff_side *after, rf_diff_fn visit,
                       void *arg, rf_diff_counts *counts_out, rf_err *err)
{
    struct walk walk = {
        .before = before, .after = after, .visit = visit, .arg = arg, .cancel = cancel};
    rf_diff_counts counts = {0};

    walk.counts = calloc(store->partitions, sizeof *walk.counts);
    if (!walk.counts)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a comparison",
                       before->pinned.manifest.name);
    rf_status status = rf_pool_run(pool, store->partitions, walk_partition, &walk, err);
    for (uint32_t i = 0; status == RF_OK && i < store->partitions; i++) {
        counts.added += walk.counts[i].added;
        counts.removed += walk.counts[i].removed;
        counts.changed += walk.counts[i].changed;
    }
    if (status == RF_OK)
        *counts_out = counts;
    free(walk.counts);
    return status;
}

rf_status rf_diff_walk_in_order(const volatile int *cancel, const rf_diff_side *before,
                                const rf_diff_side *after, rf_diff_fn visit, void *arg, rf_diff_counts *counts_out,
                                rf_err *err)
{
    rf_diff_counts counts = {0};
    const struct walk walk = {.before = before,
                              .after = after,
                              .visit = visit,
                              .arg = arg,
                              .cancel = cancel,
                              .counts = &counts};
    struct cursor old = {0};
    struct cursor new = {0};

    rf_status status = rf_rows_cursor_open_all(&before->pinned, &before->delta, &old.rows, err);
    if (status == RF_OK)
        status = rf_rows_cursor_open_all(&after->pinned, &after->delta, &new.rows, err);
    if (status == RF_OK)
        status = walk_both(&walk, 0, &old, &new, err);
    rf_rows_cursor_close(old.rows);
    rf_rows_cursor_close(new.rows);
    if (status == RF_OK)
        *counts_out = counts;
    return status;
}

/* A row of one side: what its delta has, if `entry` is of the key, else what the base has. */
static rf_status row_of(rf_base_reader *base, const rf_delta_entry *entry, rf_slice key,
                        rf_slice *row_out, rf_err *err)
{
    bool found = false;

    *row_out = (rf_slice){NULL, 0};
    if (entry) {
        *row_out = entry->row;
        return RF_OK;
    }
    rf_status status = rf_base_reader_get(base, key, row_out, &found, err);
    if (!found)
        *row_out = (rf_slice){NULL, 0};
    return status;
}

rf_status rf_diff_walk_deltas(const volatile int *cancel, const rf_diff_side *before,
                              const rf_diff_side *after, rf_diff_fn visit, void *arg, rf_err *err)
{
    const rf_delta_part *old = &before->delta;
    const rf_delta_part *new = &after->delta;
    rf_base_reader *base = NULL;
    uint32_t at = 0, to = 0;

    rf_status status = rf_base_reader_open(after->pinned.base, &base, err);
    for (uint32_t rows = 1; status == RF_OK && (at < old->count || to < new->count); rows++) {
        if (rows % ROWS_UNASKED == 0 && cancel && *cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
        int order = at == old->count ? 1
                    : to == new->count ? -1
                                       : rf_slice_compare(old->entries[at].key, new->entries[to].key);
        const rf_delta_entry *left = order <= 0 ? &old->entries[at++] : NULL;
        const rf_delta_entry *right = order >= 0 ? &new->entries[to++] : NULL;
        rf_diff_row row = {.key = left ? left->key : right->key};
        if (status == RF_OK)
            status = row_of(base, left, row.key, &row.before, err);
        if (status == RF_OK)
            status = row_of(base, right, row.key, &row.after, err);
        bool same = !row.before.data == !row.after.data && rf_slice_equal(row.before, row.after);
        if (status == RF_OK && !same)
            status = visit(arg, 0, &row, err);
    }
    rf_base_reader_close(base);
    return status;
}

rf_status rf_diff_find(const rf_diff_side *side, rf_base_reader *reader, rf_slice key,
                       rf_slice *row_out, rf_err *err)
{
    const rf_delta_part *delta = &side->delta;
    uint32_t low = 0;
    uint32_t high = delta->count;
    bool found = false;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rf_slice_compare(delta->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < delta->count && rf_slice_equal(delta->entries[low].key, key)) {
        *row_out = delta->entries[low].row;
        return RF_OK;
    }
    rf_status status = rf_base_reader_get(reader, key, row_out, &found, err);
    if (status == RF_OK && !found)
        *row_out = (rf_slice){NULL, 0};
    return status;
}
