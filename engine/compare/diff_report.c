/* The difference of two generations as the library gives it; see refold/diff.h.
 *
 *     open both -> pair their columns -> walk and count -> read the rows of the keys that are shown
 *
 * Where digests and columns are the same nothing is walked. Rows that are called for come from a walk over
 * all partitions in key order, on the calling thread; else partitions are walked on the pool.
 */
#include "base/clock.h"
#include "compare/diff_sides.h"
#include "compare/diff_tally.h"

#include <stdlib.h>

#define REPORT_BYTES_MAX ((size_t)1 << 30)

struct report {
    rf_diff_report report;
    rf_reader_info before, after;
    rf_arena arena;
};

/* One comparison under way. */
struct comparison {
    rf_store *store;
    const rf_diff_options *options;
    rf_pool *pool;
    rf_diff_sides sides;
    rf_diff_columns columns;
    rf_diff_tally *tally;
    rf_diff_sum sum;
    rf_diff_values values;
    rf_base_reader *readers[2]; /* of both bases, for the rows that are shown */
    rf_text *text;
    struct report *report;
};

static void *take(struct comparison *run, size_t size)
{
    void *memory = rf_arena_alloc(&run->report->arena, size);

    if (memory)
        memset(memory, 0, size);
    return memory;
}

static rf_status out_of_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
}

/* ---- what is compared ---- */

static rf_status describe_columns(struct comparison *run, const rf_manifest *manifest,
                                  rf_reader_info *info, rf_err *err)
{
    rf_reader_column *columns = take(run, (manifest->column_count + 1) * sizeof *columns);
    rf_reader_column *parts = take(run, (manifest->key_part_count + 1) * sizeof *parts);
    bool copied = columns && parts;

    for (uint32_t i = 0; copied && i < manifest->column_count; i++) {
        const rf_manifest_column *from = &manifest->columns[i];
        columns[i] = (rf_reader_column){
            rf_arena_copy(&run->report->arena, rf_slice_of(from->name)).data, from->kind,
            from->scale};
        copied = columns[i].name;
    }
    for (uint32_t i = 0; copied && i < manifest->key_part_count; i++) {
        const rf_manifest_part *from = &manifest->key[i];
        parts[i] = (rf_reader_column){
            rf_arena_copy(&run->report->arena, rf_slice_of(from->name)).data, from->kind,
            from->scale};
        copied = parts[i].name;
    }
    if (!copied)
        return out_of_memory(err);
    info->columns = columns;
    info->column_count = manifest->column_count;
    info->key_parts = parts;
    info->key_part_count = manifest->key_part_count;
    return RF_OK;
}

static rf_status describe(struct comparison *run, const rf_diff_side *side, rf_reader_info *info,
                          rf_err *err)
{
    const rf_manifest *manifest = &side->pinned.manifest;

    *info = (rf_reader_info){
        .name = rf_arena_copy(&run->report->arena, rf_slice_of(manifest->name)).data,
        .generation = manifest->number,
        .version = manifest->version,
        .position = side->checkpoint.position,
        .rows = side->checkpoint.digest.rows,
    };
    rf_digest_format(&side->checkpoint.digest, info->digest);
    return info->name ? describe_columns(run, manifest, info, err) : out_of_memory(err);
}

/* ---- the walk ---- */

static rf_status tell(struct comparison *run, rf_diff_op op, const rf_diff_row *row, rf_err *err)
{
    const rf_diff_change change = {
        .op = op,
        .before_info = &run->report->before,
        .after_info = &run->report->after,
        .before = {row->key, op == RF_DIFF_ADD ? NULL : run->values.before},
        .after = {row->key, op == RF_DIFF_REMOVE ? NULL : run->values.after},
    };

    return run->options->visit(run->options->visit_arg, &change, err);
}

/* Of a walk in order: all counts into the first part. */
static rf_status visit(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    struct comparison *run = arg;
    bool differs = false;

    if (run->options->run.cancel && *run->options->run.cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    rf_status status = rf_diff_columns_compare(&run->columns, row, &run->values, &differs, err);
    if (status == RF_OK)
        status = rf_diff_tally_note(run->tally, partition, row, &run->values, differs, err);
    if (status != RF_OK || !differs)
        return status;
    if (row->before.data && row->after.data && run->columns.same_keys)
        return tell(run, RF_DIFF_CHANGE, row, err);
    if (row->before.data)
        status = tell(run, RF_DIFF_REMOVE, row, err);
    if (status == RF_OK && row->after.data)
        status = tell(run, RF_DIFF_ADD, row, err);
    return status;
}

static rf_status walk(struct comparison *run, rf_err *err)
{
    const rf_diff_options *options = run->options;
    uint32_t samples = options->samples < RF_DIFF_SAMPLES_MAX ? options->samples : RF_DIFF_SAMPLES_MAX;
    rf_diff_counts counts;

    rf_status status = rf_diff_tally_new(&run->columns, run->store->partitions, samples,
                                         options->run.cancel, &run->tally, err);
    if (status == RF_OK)
        status = rf_diff_values_new(&run->columns, &run->values, err);
    bool equal = rf_diff_is_empty(&run->sides.before, &run->sides.after) &&
                 run->columns.same_columns && run->columns.same_keys;
    if (status == RF_OK && !equal)
        status = options->visit
                     ? rf_diff_walk_in_order(options->run.cancel, &run->sides.before, &run->sides.after, visit, run,
                                             &counts, err)
                     : rf_diff_walk(run->store, run->pool, options->run.cancel, &run->sides.before, &run->sides.after,
                                    rf_diff_tally_row, run->tally, &counts, err);
    return status == RF_OK ? rf_diff_tally_sum(run->tally, &run->sum, err) : status;
}

/* ---- what is shown ---- */

/* What stands in the text, kept; NULL without memory. */
static const char *keep_text(struct comparison *run)
{
    const char *kept = NULL;

    if (rf_text_check(run->text, NULL) == RF_OK)
        kept = rf_arena_copy(&run->report->arena, rf_text_bytes(run->text)).data;
    rf_text_clear(run->text);
    return kept;
}

static const char *show_key(struct comparison *run, const rf_reader_info *info, rf_slice key)
{
    rf_text_append_key_json(run->text, info, key);
    return keep_text(run);
}

static const char *show_value(struct comparison *run, const rf_value *value)
{
    rf_text_append_value_json(run->text, value);
    return keep_text(run);
}

/* Reads and compares both rows of a key, or the one of `op`. */
static rf_status look(struct comparison *run, rf_diff_op op, rf_slice key, rf_err *err)
{
    rf_diff_row row = {.key = key};
    rf_status status = RF_OK;
    bool differs = false;

    if (op != RF_DIFF_ADD)
        status = rf_diff_find(&run->sides.before, run->readers[0], key, &row.before, err);
    if (status == RF_OK && op != RF_DIFF_REMOVE)
        status = rf_diff_find(&run->sides.after, run->readers[1], key, &row.after, err);
    RF_ASSERT(status != RF_OK || row.before.data || row.after.data);
    return status == RF_OK ? rf_diff_columns_compare(&run->columns, &row, &run->values, &differs, err)
                           : status;
}

/* Whether a sample of `op` shows this pair of columns. */
static bool is_shown(const struct comparison *run, rf_diff_op op, uint32_t pair)
{
    const rf_diff_pair *columns = &run->columns.pairs[pair];

    if (op == RF_DIFF_CHANGE)
        return run->values.differs[pair];
    return (op == RF_DIFF_ADD ? columns->after : columns->before) != RF_DIFF_NO_COLUMN;
}

static rf_status show_sample(struct comparison *run, rf_diff_op op, rf_slice key,
                             rf_diff_sample *sample, rf_err *err)
{
    rf_status status = look(run, op, key, err);
    uint32_t count = 0;

    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < run->columns.pair_count; i++)
        count += is_shown(run, op, i);
    rf_diff_cell *cells = take(run, (count + 1) * sizeof *cells);
    sample->key = show_key(
        run, op == RF_DIFF_REMOVE ? &run->report->before : &run->report->after, key);
    if (!cells || !sample->key)
        return out_of_memory(err);
    sample->cells = cells;
    for (uint32_t i = 0; i < run->columns.pair_count; i++) {
        const rf_diff_pair *pair = &run->columns.pairs[i];
        if (!is_shown(run, op, i))
            continue;
        rf_diff_cell *cell = &cells[sample->cell_count++];
        cell->column = run->report->report.columns[i].name;
        if (op != RF_DIFF_ADD)
            cell->before = show_value(run, &run->values.before[pair->before]);
        if (op != RF_DIFF_REMOVE)
            cell->after = show_value(run, &run->values.after[pair->after]);
        if ((op != RF_DIFF_ADD && !cell->before) || (op != RF_DIFF_REMOVE && !cell->after))
            return out_of_memory(err);
    }
    return RF_OK;
}

static rf_status show_column(struct comparison *run, uint32_t index, rf_err *err)
{
    const rf_diff_pair *pair = &run->columns.pairs[index];
    rf_diff_column *column = &run->report->report.columns[index];
    rf_slice key = run->sum.first_keys[index];

    if (pair->before != RF_DIFF_NO_COLUMN)
        column->before = &run->report->before.columns[pair->before];
    if (pair->after != RF_DIFF_NO_COLUMN)
        column->after = &run->report->after.columns[pair->after];
    column->name = column->after ? column->after->name : column->before->name;
    column->changed = run->sum.changed[index];
    if (!key.data)
        return RF_OK;
    rf_status status = look(run, RF_DIFF_CHANGE, key, err);
    if (status != RF_OK)
        return status;
    column->example_key = show_key(run, &run->report->after, key);
    column->example_before = show_value(run, &run->values.before[pair->before]);
    column->example_after = show_value(run, &run->values.after[pair->after]);
    return column->example_key && column->example_before && column->example_after
               ? RF_OK
               : out_of_memory(err);
}

static rf_status show(struct comparison *run, rf_err *err)
{
    rf_diff_report *report = &run->report->report;
    rf_status status =
        rf_base_reader_open(run->sides.before.pinned.base, &run->readers[0], err);

    if (status == RF_OK)
        status = rf_base_reader_open(run->sides.after.pinned.base, &run->readers[1], err);
    report->column_count = run->columns.pair_count;
    report->columns = take(run, (report->column_count + 1) * sizeof *report->columns);
    if (status == RF_OK && !report->columns)
        status = out_of_memory(err);
    for (uint32_t i = 0; status == RF_OK && i < report->column_count; i++)
        status = show_column(run, i, err);
    for (int op = 0; status == RF_OK && op < RF_DIFF_OPS; op++) {
        uint32_t count = run->sum.key_counts[op];
        report->samples[op] = take(run, (count + 1) * sizeof *report->samples[op]);
        if (!report->samples[op])
            status = out_of_memory(err);
        for (uint32_t i = 0; status == RF_OK && i < count; i++) {
            report->sample_counts[op] = i + 1;
            status = show_sample(run, (rf_diff_op)op, run->sum.keys[op][i],
                                 &report->samples[op][i], err);
        }
    }
    return status;
}

static rf_status compare(struct comparison *run, const char *name, rf_err *err)
{
    const rf_run *how = &run->options->run;
    struct report *own = run->report;
    rf_diff_report *report = &own->report;

    rf_status status =
        rf_pool_new(how->workers_default ? rf_processor_count() : how->workers, &run->pool, err);
    if (status == RF_OK)
        status = rf_diff_sides_open(run->store, run->pool, name, run->options, &run->sides, err);
    if (status == RF_OK)
        status = rf_diff_columns_of(&run->sides.before.pinned.manifest,
                                    &run->sides.after.pinned.manifest, &run->columns, err);
    if (status == RF_OK)
        status = describe(run, &run->sides.before, &own->before, err);
    if (status == RF_OK)
        status = describe(run, &run->sides.after, &own->after, err);
    if (status == RF_OK)
        status = walk(run, err);
    if (status == RF_OK)
        status = show(run, err);
    if (status != RF_OK)
        return status;
    memcpy(report->counts, run->sum.counts, sizeof report->counts);
    report->name = own->after.name;
    report->before = &own->before;
    report->after = &own->after;
    report->live = run->sides.live;
    report->same_keys = run->columns.same_keys;
    report->same_columns = run->columns.same_columns;
    report->unchanged =
        own->before.rows - report->counts[RF_DIFF_REMOVE] - report->counts[RF_DIFF_CHANGE];
    report->same = report->same_keys && report->same_columns && report->counts[RF_DIFF_ADD] == 0 &&
                   report->counts[RF_DIFF_REMOVE] == 0 && report->counts[RF_DIFF_CHANGE] == 0;
    return RF_OK;
}

static void end(struct comparison *run)
{
    rf_text_free(run->text);
    rf_base_reader_close(run->readers[0]);
    rf_base_reader_close(run->readers[1]);
    rf_diff_values_free(&run->values);
    rf_diff_sum_free(&run->sum);
    rf_diff_tally_free(run->tally);
    rf_diff_columns_free(&run->columns);
    rf_diff_sides_close(&run->sides);
    rf_pool_free(run->pool);
}

rf_status rf_diff(rf_store *store, const char *name, const rf_diff_options *options,
                  rf_diff_report **report_out, rf_err *err)
{
    const rf_diff_options none = {.samples = RF_DIFF_SAMPLES_DEFAULT,
                                  .run = {.workers_default = true}};
    struct comparison run = {
        .store = store,
        .options = options ? options : &none,
        .sides = {.before = RF_DIFF_NONE, .after = RF_DIFF_NONE},
    };
    double start = rf_clock_seconds();

    if ((run.options->before == 0) != (run.options->after == 0))
        return rf_fail(err, RF_ERR_USAGE, "%s: two generations are named, or none", name);
    run.report = calloc(1, sizeof *run.report);
    run.text = rf_text_new();
    if (!run.report || !run.text) {
        free(run.report);
        rf_text_free(run.text);
        return out_of_memory(err);
    }
    rf_arena_init(&run.report->arena, REPORT_BYTES_MAX);
    rf_status status = compare(&run, name, err);
    run.report->report.seconds = rf_clock_seconds() - start;
    end(&run);
    if (status != RF_OK) {
        rf_diff_report_free(&run.report->report);
        return status;
    }
    *report_out = &run.report->report;
    return RF_OK;
}

void rf_diff_report_free(rf_diff_report *report)
{
    if (!report)
        return;
    struct report *owner = (struct report *)report;
    rf_arena_free(&owner->arena);
    free(owner);
}
