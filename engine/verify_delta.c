/* See verify_delta.h. */
#include "verify_delta.h"

#include "generation/build_index.h"

#include <stdlib.h>

struct delta_check {
    const rf_manifest *manifest;
    const rf_reader_column *columns;
    rf_checkpoint checkpoint;
    rf_delta_part rows;
    rf_delta_part indexes[RF_MANIFEST_INDEXES_MAX];
    rf_slice *base_rows; /* by entry of `rows`; data NULL: the base has none */
    rf_value *values;
};

static const rf_delta_entry *find_entry(const rf_delta_part *part, rf_slice key)
{
    uint32_t at = rf_delta_seek(part, key);

    return at < part->count && rf_slice_equal(part->entries[at].key, key) ? &part->entries[at] : NULL;
}

/* The entry that a row has in an index, if that is in the delta. */
static rf_status find_index_entry(const struct delta_check *check, uint32_t number, rf_slice key,
                                  rf_slice row, const rf_delta_entry **entry_out, rf_err *err)
{
    const rf_manifest_index *index = &check->manifest->indexes[number];
    char bytes[RF_KEY_BYTES_MAX];
    size_t size = 0;

    *entry_out = NULL;
    rf_status status =
        rf_row_decode(row, check->columns, check->manifest->column_count, check->values, err);
    if (status == RF_OK && rf_index_entry(check->values, index->columns, index->column_count, key,
                                          bytes, &size) == RF_KEY_FINE)
        *entry_out = find_entry(&check->indexes[number], (rf_slice){bytes, size});
    return status;
}

/* An entry for each row, with the row, and none of the base's left that one of them replaces. */
static rf_status check_index(const struct delta_check *check, uint32_t number, rf_err *err)
{
    uint64_t live = 0;
    bool whole = true;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && whole && i < check->rows.count; i++) {
        const rf_delta_entry *row = &check->rows.entries[i];
        const rf_delta_entry *entry = NULL;
        if (check->base_rows[i].data) {
            status = find_index_entry(check, number, row->key, check->base_rows[i], &entry, err);
            whole = entry != NULL;
        }
        if (status == RF_OK && row->row.data) {
            live++;
            status = find_index_entry(check, number, row->key, row->row, &entry, err);
            whole = whole && entry && entry->row.data && rf_slice_equal(entry->row, row->row);
        }
    }
    for (uint32_t i = 0; i < check->indexes[number].count; i++)
        live -= check->indexes[number].entries[i].row.data != NULL;
    if (status == RF_OK && (!whole || live != 0))
        status = rf_fail(err, RF_ERR_DAMAGED, "%s: the delta's entries are not those of its rows",
                         check->manifest->indexes[number].file.name);
    return status;
}

static rf_status check_rows(struct delta_check *check, rf_base *base, rf_err *err)
{
    rf_digest sum = check->manifest->digest;
    rf_base_reader *reader = NULL;

    sum.rows = check->manifest->rows;
    rf_status status = rf_base_reader_open(base, &reader, err);
    for (uint32_t i = 0; status == RF_OK && i < check->rows.count; i++) {
        const rf_delta_entry *entry = &check->rows.entries[i];
        rf_digest replaced = {0};
        bool found = false;
        status = rf_base_reader_get(reader, entry->key, &check->base_rows[i], &found, err);
        if (status == RF_OK && found) {
            rf_digest_add_row(&replaced, entry->key, check->base_rows[i]);
            rf_digest_remove(&sum, &replaced);
        }
        if (status == RF_OK && entry->row.data) {
            status = rf_row_decode(entry->row, check->columns, check->manifest->column_count,
                                   check->values, err);
            rf_digest_add_row(&sum, entry->key, entry->row);
        }
    }
    const rf_digest *promised = &check->checkpoint.digest;
    if (status == RF_OK && (sum.low != promised->low || sum.high != promised->high ||
                            sum.rows != promised->rows))
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "the rows of base and delta are not those that the checkpoint promises");
    for (uint32_t i = 0; status == RF_OK && i < check->manifest->index_count; i++)
        status = check_index(check, i, err); /* the base's rows are there while it is read */
    rf_base_reader_close(reader);
    return status;
}

rf_status rf_verify_delta(rf_catalog *catalog, const rf_pinned *pinned,
                          const rf_reader_column *columns, uint64_t *rows_out, rf_err *err)
{
    struct delta_check check = {.manifest = &pinned->manifest, .columns = columns};

    rf_status status =
        rf_rows_take_delta(catalog, pinned, &check.rows, check.indexes, &check.checkpoint, err);
    if (status != RF_OK)
        return status;
    check.values = calloc(check.manifest->column_count, sizeof *check.values);
    check.base_rows = calloc(check.rows.count + 1, sizeof *check.base_rows);
    if (!check.values || !check.base_rows)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a delta of %u rows",
                         check.rows.count);
    if (status == RF_OK)
        status = check_rows(&check, pinned->base, err);
    if (status == RF_OK)
        *rows_out = check.checkpoint.digest.rows;
    for (uint32_t i = 0; i < check.manifest->index_count; i++)
        rf_delta_part_free(&check.indexes[i]);
    rf_delta_part_free(&check.rows);
    free(check.values);
    free(check.base_rows);
    return status;
}
