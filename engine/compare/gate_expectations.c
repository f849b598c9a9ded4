/* See gate_expectations.h. */
#include "compare/gate_expectations.h"

#include "compare/gate_keys.h"
#include "event/key.h"

#include <stdlib.h>

enum { ROWS_UNASKED = 1024 /* between two looks at the cancel flag */ };

/* Of one expectation in one partition: written by its task. */
struct broken {
    uint64_t rows;
    uint32_t key_count;
    rf_key_bytes keys[RF_GATE_SHOWN]; /* the first ones */
};

struct scan {
    /* fixed after start */
    const rf_definition *definition;
    const rf_diff_side *side;
    const rf_reader_column *columns;
    const volatile int *cancel;
    /* one a partition and expectation: made by its task with the first row that it finds */
    struct broken **broken;
};

static rf_status note(struct broken **at, rf_slice key, rf_err *err)
{
    if (!*at)
        *at = calloc(1, sizeof **at);
    struct broken *broken = *at;
    if (!broken)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for expectations");
    broken->rows++;
    if (broken->key_count < RF_GATE_SHOWN) {
        rf_key_bytes *to = &broken->keys[broken->key_count++];
        to->size = key.size < sizeof to->data ? key.size : sizeof to->data;
        memcpy(to->data, key.data, to->size);
    }
    return RF_OK;
}

static rf_status look(const struct scan *scan, uint32_t partition, rf_slice key, rf_slice row,
                      rf_value *values, rf_err *err)
{
    const rf_definition *definition = scan->definition;
    struct broken **broken = &scan->broken[(size_t)partition * definition->expect_count];
    rf_status status =
        rf_row_decode(row, scan->columns, definition->column_count, values, err);

    for (uint32_t i = 0; status == RF_OK && i < definition->expect_count; i++)
        if (!rf_expectation_holds(definition->expects[i].expectation, values))
            status = note(&broken[i], key, err);
    return status;
}

static rf_status scan_partition(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const struct scan *scan = arg;
    rf_value *values = calloc(scan->definition->column_count + 1, sizeof *values);
    rf_rows_cursor *cursor = NULL;
    rf_slice key, row;
    bool found = true;

    (void)worker;
    rf_status status = values ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "out of memory for a row");
    if (status == RF_OK)
        status = rf_rows_cursor_open_partition(&scan->side->pinned, &scan->side->delta,
                                               (uint32_t)index, &cursor, err);
    for (uint32_t rows = 1; status == RF_OK && found; rows++) {
        if (rows % ROWS_UNASKED == 0 && scan->cancel && *scan->cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; what was live is live");
        if (status == RF_OK)
            status = rf_rows_cursor_next(cursor, &key, &row, &found, err);
        if (status == RF_OK && found)
            status = look(scan, (uint32_t)index, key, row, values, err);
    }
    rf_rows_cursor_close(cursor);
    free(values);
    return status;
}

/* ---- what is told ---- */

static int compare_keys(const void *a, const void *b)
{
    return rf_slice_compare(rf_key_slice(*(const rf_key_bytes *const *)a),
                            rf_key_slice(*(const rf_key_bytes *const *)b));
}

static void show_keys(const struct scan *scan, const rf_key_bytes **keys, size_t count,
                      char *out, size_t size)
{
    size_t used = 0;

    qsort(keys, count, sizeof(const rf_key_bytes *), compare_keys);
    for (size_t i = 0; i < count && i < RF_GATE_SHOWN; i++)
        rf_gate_show_key(rf_key_slice(keys[i]), scan->definition, out, size, &used);
}

static rf_status gather(const struct scan *scan, uint32_t partitions, uint32_t expectation,
                        rf_broken *out, rf_err *err)
{
    const rf_key_bytes **keys = calloc((size_t)partitions * RF_GATE_SHOWN, sizeof *keys);
    size_t count = 0;

    if (!keys)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for expectations");
    *out = (rf_broken){.expectation = expectation};
    for (uint32_t p = 0; p < partitions; p++) {
        const struct broken *broken =
            scan->broken[(size_t)p * scan->definition->expect_count + expectation];
        if (!broken)
            continue;
        out->rows += broken->rows;
        for (uint32_t i = 0; i < broken->key_count; i++)
            keys[count++] = &broken->keys[i];
    }
    show_keys(scan, keys, count, out->keys, sizeof out->keys);
    free(keys);
    return RF_OK;
}

rf_status rf_gate_expectations(const rf_definition *definition, rf_pool *pool,
                               const rf_diff_side *side, const volatile int *cancel,
                               rf_broken *broken_out, bool *found_out, rf_err *err)
{
    uint32_t partitions = side->pinned.manifest.partitions;
    size_t count = (size_t)partitions * definition->expect_count;
    rf_reader_column *columns = NULL;
    struct scan scan = {.definition = definition, .side = side, .cancel = cancel};
    rf_status status = RF_OK;

    *found_out = false;
    if (count == 0)
        return RF_OK;
    RF_ASSERT(side->pinned.manifest.column_count == definition->column_count);
    columns = calloc(definition->column_count + 1, sizeof *columns);
    scan.broken = calloc(count, sizeof(struct broken *));
    if (!columns || !scan.broken)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for expectations");
    for (uint32_t i = 0; status == RF_OK && i < definition->column_count; i++)
        columns[i] = (rf_reader_column){definition->columns[i].name, definition->columns[i].kind,
                                        definition->columns[i].scale};
    scan.columns = columns;
    if (status == RF_OK)
        status = rf_pool_run(pool, partitions, scan_partition, &scan, err);
    for (uint32_t i = 0; status == RF_OK && !*found_out && i < definition->expect_count; i++) {
        status = gather(&scan, partitions, i, broken_out, err);
        *found_out = status == RF_OK && broken_out->rows > 0;
    }
    for (size_t i = 0; scan.broken && i < count; i++)
        free(scan.broken[i]);
    free(scan.broken);
    free(columns);
    return status;
}
