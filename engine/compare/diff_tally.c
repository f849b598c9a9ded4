/* See diff_tally.h. */
#include "compare/diff_tally.h"

#include <stdlib.h>

#define MEMORY_MAX ((size_t)1 << 30)

/* Of one partition. */
struct part {
    uint64_t counts[RF_DIFF_OPS];
    uint64_t *changed;    /* one a pair; owned, as all that follows; made with the first change */
    rf_slice *first_keys; /* in `memory` */
    rf_slice *keys[RF_DIFF_OPS];
    uint32_t key_counts[RF_DIFF_OPS];
    rf_diff_values values;
    rf_arena memory;
};

struct rf_diff_tally {
    /* fixed after start */
    const rf_diff_columns *columns;
    const volatile int *cancel;
    uint32_t part_count, samples;
    /* confined to the worker of each */
    struct part parts[];
};

rf_status rf_diff_tally_new(const rf_diff_columns *columns, uint32_t partitions, uint32_t samples,
                            const volatile int *cancel, rf_diff_tally **tally_out, rf_err *err)
{
    rf_diff_tally *tally = calloc(1, sizeof *tally + partitions * sizeof tally->parts[0]);

    RF_ASSERT(partitions > 0);
    if (!tally)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
    tally->columns = columns;
    tally->cancel = cancel;
    tally->part_count = partitions;
    tally->samples = samples;
    for (uint32_t i = 0; i < partitions; i++)
        rf_arena_init(&tally->parts[i].memory, MEMORY_MAX);
    *tally_out = tally;
    return RF_OK;
}

void rf_diff_tally_free(rf_diff_tally *tally)
{
    for (uint32_t i = 0; tally && i < tally->part_count; i++) {
        struct part *part = &tally->parts[i];
        free(part->changed);
        free(part->first_keys);
        for (int op = 0; op < RF_DIFF_OPS; op++)
            free(part->keys[op]);
        rf_diff_values_free(&part->values);
        rf_arena_free(&part->memory);
    }
    free(tally);
}

static rf_status make(const rf_diff_tally *tally, struct part *part, rf_err *err)
{
    uint32_t pairs = tally->columns->pair_count;
    bool made = true;

    if (part->changed)
        return RF_OK;
    part->changed = calloc(pairs + 1, sizeof *part->changed);
    part->first_keys = calloc(pairs + 1, sizeof *part->first_keys);
    for (int op = 0; op < RF_DIFF_OPS; op++) {
        part->keys[op] = calloc(tally->samples + 1, sizeof *part->keys[op]);
        made = made && part->keys[op];
    }
    if (!made || !part->changed || !part->first_keys)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
    return RF_OK;
}

static rf_status keep_key(struct part *part, rf_slice key, rf_slice *kept_out, rf_err *err)
{
    *kept_out = rf_arena_copy(&part->memory, key);
    return kept_out->data ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "out of memory for keys that differ");
}

static rf_status note(const rf_diff_tally *tally, struct part *part, rf_diff_op op, rf_slice key,
                      rf_err *err)
{
    rf_status status = RF_OK;

    part->counts[op]++;
    if (part->key_counts[op] < tally->samples)
        status = keep_key(part, key, &part->keys[op][part->key_counts[op]], err);
    if (status == RF_OK && part->key_counts[op] < tally->samples)
        part->key_counts[op]++;
    return status;
}

static rf_status note_columns(const rf_diff_tally *tally, struct part *part, rf_slice key,
                              const rf_diff_values *values, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < tally->columns->pair_count; i++) {
        if (!values->differs[i])
            continue;
        if (part->changed[i]++ == 0)
            status = keep_key(part, key, &part->first_keys[i], err);
    }
    return status;
}

rf_status rf_diff_tally_note(rf_diff_tally *tally, uint32_t partition, const rf_diff_row *row,
                             const rf_diff_values *values, bool differs, rf_err *err)
{
    struct part *part = &tally->parts[partition];
    rf_status status = make(tally, part, err);

    if (status != RF_OK || !differs)
        return status;
    if (row->before.data && row->after.data && tally->columns->same_keys) {
        status = note(tally, part, RF_DIFF_CHANGE, row->key, err);
        return status == RF_OK ? note_columns(tally, part, row->key, values, err) : status;
    }
    if (row->before.data)
        status = note(tally, part, RF_DIFF_REMOVE, row->key, err);
    if (status == RF_OK && row->after.data)
        status = note(tally, part, RF_DIFF_ADD, row->key, err);
    return status;
}

rf_status rf_diff_tally_row(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    rf_diff_tally *tally = arg;
    struct part *part = &tally->parts[partition];
    rf_status status = RF_OK;
    bool differs = true;

    RF_ASSERT(partition < tally->part_count);
    if (tally->cancel && *tally->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    if (!part->values.before)
        status = rf_diff_values_new(tally->columns, &part->values, err);
    if (status == RF_OK && row->before.data && row->after.data)
        status = rf_diff_columns_compare(tally->columns, row, &part->values, &differs, err);
    return status == RF_OK
               ? rf_diff_tally_note(tally, partition, row, &part->values, differs, err)
               : status;
}

/* ---- the sum ---- */

static int compare_keys(const void *a, const void *b)
{
    return rf_slice_compare(*(const rf_slice *)a, *(const rf_slice *)b);
}

static rf_status copy_key(rf_diff_sum *sum, rf_slice *key, rf_err *err)
{
    *key = rf_arena_copy(&sum->memory, *key);
    return key->data ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "out of memory for keys that differ");
}

/* The first keys of all parts' first ones. */
static rf_status sum_keys(const rf_diff_tally *tally, int op, rf_diff_sum *sum, rf_err *err)
{
    uint64_t count = 0;

    for (uint32_t p = 0; p < tally->part_count; p++)
        count += tally->parts[p].key_counts[op];
    rf_slice *keys = calloc(count + 1, sizeof *keys);
    if (!keys)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for keys that differ");
    sum->keys[op] = keys;
    count = 0;
    for (uint32_t p = 0; p < tally->part_count; p++)
        for (uint32_t i = 0; i < tally->parts[p].key_counts[op]; i++)
            keys[count++] = tally->parts[p].keys[op][i];
    qsort(keys, count, sizeof *keys, compare_keys);
    sum->key_counts[op] = count < tally->samples ? (uint32_t)count : tally->samples;
    rf_status status = RF_OK;
    for (uint32_t i = 0; status == RF_OK && i < sum->key_counts[op]; i++)
        status = copy_key(sum, &keys[i], err);
    return status;
}

static rf_status sum_column(const rf_diff_tally *tally, uint32_t pair, rf_diff_sum *sum, rf_err *err)
{
    rf_slice *first = &sum->first_keys[pair];

    for (uint32_t p = 0; p < tally->part_count; p++) {
        const struct part *part = &tally->parts[p];
        if (!part->changed || part->changed[pair] == 0)
            continue;
        sum->changed[pair] += part->changed[pair];
        if (!first->data || rf_slice_compare(part->first_keys[pair], *first) < 0)
            *first = part->first_keys[pair];
    }
    return first->data ? copy_key(sum, first, err) : RF_OK;
}

rf_status rf_diff_tally_sum(const rf_diff_tally *tally, rf_diff_sum *sum_out, rf_err *err)
{
    uint32_t pairs = tally->columns->pair_count;
    rf_diff_sum sum = {
        .changed = calloc(pairs + 1, sizeof *sum.changed),
        .first_keys = calloc(pairs + 1, sizeof *sum.first_keys),
    };
    rf_status status = RF_OK;

    rf_arena_init(&sum.memory, MEMORY_MAX);
    if (!sum.changed || !sum.first_keys)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
    for (int op = 0; status == RF_OK && op < RF_DIFF_OPS; op++) {
        for (uint32_t p = 0; p < tally->part_count; p++)
            sum.counts[op] += tally->parts[p].counts[op];
        status = sum_keys(tally, op, &sum, err);
    }
    for (uint32_t i = 0; status == RF_OK && i < pairs; i++)
        status = sum_column(tally, i, &sum, err);
    if (status == RF_OK)
        *sum_out = sum;
    else
        rf_diff_sum_free(&sum);
    return status;
}

void rf_diff_sum_free(rf_diff_sum *sum)
{
    free(sum->changed);
    free(sum->first_keys);
    for (int op = 0; op < RF_DIFF_OPS; op++)
        free(sum->keys[op]);
    rf_arena_free(&sum->memory);
    *sum = (rf_diff_sum){0};
}
