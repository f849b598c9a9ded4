/* See gates.h. */
#include "gates.h"

#include "diff.h"

#define MAX_REMOVED_DEFAULT 0.5

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

rf_status rf_gates_check(rf_store *store, rf_pool *pool, const rf_manifest *manifest, uint64_t live,
                         rf_catch_up_late *late, const rf_rebuild_options *options,
                         rf_gate_counts *counts_out, rf_err *err)
{
    rf_gate_counts counts = {0};
    rf_diff_counts keys = {0};
    rf_diff_side before = RF_DIFF_NONE;
    rf_diff_side after;

    /* The live one's rows are copied first: what is followed moves on meanwhile. */
    rf_status status =
        live != 0 ? rf_diff_open(store, manifest->name, live, &before, err) : RF_OK;
    if (status != RF_OK)
        return status;
    if (live != 0)
        status = rf_catch_up_late_run(late, before.checkpoint.position, err);
    if (status == RF_OK)
        status = rf_diff_open(store, manifest->name, manifest->number, &after, err);
    if (status != RF_OK) {
        rf_diff_close(&before);
        return status;
    }
    uint64_t rows = after.checkpoint.digest.rows;
    counts.rows_before = before.checkpoint.digest.rows;
    counts.added = live != 0 ? 0 : rows;
    if (live != 0 && !rf_diff_is_empty(&before, &after))
        status = rf_diff_walk(store, pool, options->run.cancel, &before, &after, NULL, NULL, &keys, err);
    counts.added += keys.added;
    counts.removed = keys.removed;
    rf_diff_close(&before);
    rf_diff_close(&after);
    if (status != RF_OK)
        return status;
    *counts_out = counts;
    return judge(manifest, rows, &counts, options, err);
}
