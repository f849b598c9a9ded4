/* See rows.h. */
#include "catalog/rows.h"

#include "catalog/record.h"

#include <stdlib.h>

struct rf_rows {
    rf_catalog *catalog;
    const rf_pinned *pinned;
    rf_base_reader *base;
    rf_kv_txn *txn; /* reset between calls */
    bool txn_open;
    uint64_t stamp; /* of the catalog when the checkpoint was read */
    rf_checkpoint checkpoint;
    rf_buf row; /* the last that the delta gave */
    const rf_delta_part *lent; /* NULL: the delta is the catalog's */
};

struct rf_rows_cursor {
    rf_base_cursor *base;
    rf_delta_part own; /* empty where the delta is borrowed */
    const rf_delta_part *delta;
    bool by_partition;
    bool is_index;
    uint32_t at; /* next entry of the delta */
    bool base_due; /* its next row is to be looked at */
    bool base_found;
    rf_slice base_key, base_row;
};

/* ---- one transaction a call ---- */

static rf_status begin(rf_rows *rows, rf_err *err)
{
    rf_status status = rows->txn ? rf_kv_renew(rows->txn, err)
                                 : rf_kv_begin(rows->catalog->kv, false, &rows->txn, err);

    rows->txn_open = status == RF_OK;
    return status;
}

static void end(rf_rows *rows)
{
    if (rows->txn_open)
        rf_kv_reset(rows->txn);
    rows->txn_open = false;
}

/* Within the transaction: where nothing was committed since, it is known. */
static rf_status read_checkpoint(rf_rows *rows, rf_err *err)
{
    const rf_manifest *manifest = &rows->pinned->manifest;
    uint64_t stamp = rf_kv_txn_id(rows->txn);
    bool found;

    if (stamp == rows->stamp)
        return RF_OK;
    rf_status status = rf_record_get_checkpoint(rows->txn, manifest->name, manifest->number,
                                                &rows->checkpoint, &found, err);
    if (status == RF_OK)
        rows->stamp = stamp;
    return status;
}

rf_status rf_rows_open(rf_catalog *catalog, const rf_pinned *pinned, rf_rows **rows_out,
                       rf_err *err)
{
    rf_rows *rows = calloc(1, sizeof *rows);

    if (!rows)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a reader", pinned->manifest.name);
    rows->catalog = catalog;
    rows->pinned = pinned;
    rows->stamp = UINT64_MAX;
    rf_buf_init(&rows->row, RF_ROW_SIZE_MAX);
    rows->checkpoint = rf_catalog_checkpoint_of_base(&pinned->manifest);
    rf_status status = rf_base_reader_open(pinned->base, &rows->base, err);
    if (status == RF_OK)
        status = rf_rows_refresh(rows, err);
    if (status != RF_OK) {
        rf_rows_close(rows);
        return status;
    }
    *rows_out = rows;
    return RF_OK;
}

void rf_rows_close(rf_rows *rows)
{
    if (!rows)
        return;
    rf_base_reader_close(rows->base);
    rf_kv_abort(rows->txn);
    rf_buf_free(&rows->row);
    free(rows);
}

const rf_checkpoint *rf_rows_checkpoint(const rf_rows *rows)
{
    return &rows->checkpoint;
}

rf_status rf_rows_refresh(rf_rows *rows, rf_err *err)
{
    if (rf_catalog_stamp(rows->catalog) == rows->stamp)
        return RF_OK;
    rf_status status = begin(rows, err);
    if (status == RF_OK)
        status = read_checkpoint(rows, err);
    end(rows);
    return status;
}

void rf_rows_lend(rf_rows *rows, const rf_delta_part *delta, const rf_checkpoint *checkpoint)
{
    rows->lent = delta;
    rows->checkpoint = *checkpoint;
}

/* Whether the delta is known to be empty: nothing was committed since it was seen so. */
static bool has_base_only(const rf_rows *rows)
{
    return !rows->lent && rows->checkpoint.delta_rows == 0 && rf_catalog_stamp(rows->catalog) == rows->stamp;
}

static void look_in_lent(const rf_delta_part *delta, rf_slice key, rf_delta_entry *entry_out,
                         bool *found_out)
{
    uint32_t at = rf_delta_seek(delta, key);

    *found_out = at < delta->count && rf_slice_equal(delta->entries[at].key, key);
    if (*found_out)
        *entry_out = delta->entries[at];
}

/* The delta's entry, copied. */
rf_status rf_rows_look_delta(rf_rows *rows, rf_slice key, rf_delta_entry *entry_out,
                             bool *found_out, rf_err *err)
{
    rf_delta_entry entry = {.key = key};
    bool found = false;

    *found_out = false;
    if (has_base_only(rows))
        return RF_OK;
    if (rows->lent) {
        look_in_lent(rows->lent, key, entry_out, found_out);
        return RF_OK;
    }
    rf_status status = begin(rows, err);
    if (status == RF_OK)
        status = read_checkpoint(rows, err);
    if (status == RF_OK && rows->checkpoint.delta_rows > 0)
        status = rf_delta_get(rows->txn, rows->pinned->delta, RF_DELTA_ROWS, key, &entry, &found,
                              err);
    if (status == RF_OK && found && entry.row.data) {
        rf_buf_clear(&rows->row);
        rf_buf_append_slice(&rows->row, entry.row);
        status = rf_buf_check(&rows->row, rows->pinned->manifest.name, err);
        entry.row = rf_buf_slice(&rows->row);
    }
    end(rows);
    if (status != RF_OK)
        return status;
    *entry_out = entry;
    *found_out = found;
    return RF_OK;
}

rf_status rf_rows_get(rf_rows *rows, rf_slice key, rf_slice *row_out, bool *found_out, rf_err *err)
{
    rf_delta_entry entry;
    bool in_delta;

    if (has_base_only(rows))
        return rf_base_reader_get(rows->base, key, row_out, found_out, err);
    rf_status status = rf_rows_look_delta(rows, key, &entry, &in_delta, err);
    if (status != RF_OK)
        return status;
    if (!in_delta)
        return rf_base_reader_get(rows->base, key, row_out, found_out, err);
    *found_out = entry.row.data != NULL;
    if (*found_out)
        *row_out = entry.row;
    return RF_OK;
}

rf_status rf_rows_get_base(rf_rows *rows, rf_slice key, rf_slice *row_out, bool *found_out,
                           rf_err *err)
{
    return rf_base_reader_get(rows->base, key, row_out, found_out, err);
}

rf_status rf_rows_look(rf_rows *rows, rf_slice key, rf_slice *base_out, rf_delta_entry *entry_out,
                       bool *in_delta_out, rf_err *err)
{
    rf_slice base = {NULL, 0};
    bool found;

    rf_status status = rf_rows_look_delta(rows, key, entry_out, in_delta_out, err);
    if (status == RF_OK)
        status = rf_base_reader_get(rows->base, key, &base, &found, err);
    if (status == RF_OK)
        *base_out = found ? base : (rf_slice){NULL, 0};
    return status;
}

rf_status rf_rows_take_delta(rf_catalog *catalog, const rf_pinned *pinned, rf_delta_part *rows_out,
                             rf_delta_part *indexes_out, rf_checkpoint *checkpoint_out, rf_err *err)
{
    const rf_manifest *manifest = &pinned->manifest;
    const rf_delta_range all = {.limit = 0};
    uint32_t table_count = indexes_out ? 1 + manifest->index_count : 1;
    rf_delta_part parts[1 + RF_MANIFEST_INDEXES_MAX] = {0};
    rf_checkpoint checkpoint = rf_catalog_checkpoint_of_base(manifest);
    rf_kv_txn *txn;
    bool found;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_checkpoint(txn, manifest->name, manifest->number, &checkpoint, &found,
                                      err);
    for (uint32_t i = 0; status == RF_OK && i < table_count; i++)
        status = rf_delta_take(txn, pinned->delta, RF_DELTA_ROWS + i, &all, &parts[i], err);
    rf_kv_abort(txn);
    if (status == RF_OK)
        status = rf_delta_split(&parts[0], manifest->partitions, err);
    if (status != RF_OK) {
        for (uint32_t i = 0; i < table_count; i++)
            rf_delta_part_free(&parts[i]);
        return status;
    }
    *rows_out = parts[0];
    for (uint32_t i = 1; i < table_count; i++)
        indexes_out[i - 1] = parts[i];
    *checkpoint_out = checkpoint;
    return RF_OK;
}

/* ---- cursors ---- */

static rf_status take_range(rf_rows *rows, uint32_t table, const rf_delta_range *range,
                            rf_delta_part *part_out, rf_err *err)
{
    rf_delta_part part = {0};

    if (!has_base_only(rows)) {
        rf_status status = begin(rows, err);
        if (status == RF_OK)
            status = read_checkpoint(rows, err);
        if (status == RF_OK && rows->checkpoint.delta_rows > 0)
            status = rf_delta_take(rows->txn, rows->pinned->delta, table, range, &part, err);
        end(rows);
        if (status != RF_OK)
            return status;
    }
    *part_out = part;
    return RF_OK;
}

static rf_slice start_of(const rf_delta_range *range)
{
    rf_slice from = range->from;

    if (from.size == 0 || rf_slice_compare(range->prefix, from) > 0)
        from = range->prefix;
    /* No key is that long: behind it there is still what sorts after its first bytes. */
    if (from.size > RF_KEY_SIZE_MAX)
        from.size = RF_KEY_SIZE_MAX;
    return from.data ? from : RF_SLICE("");
}

rf_status rf_rows_cursor_open(rf_rows *rows, uint32_t table, const rf_delta_range *range,
                              rf_rows_cursor **cursor_out, rf_err *err)
{
    const rf_pinned *pinned = rows->pinned;
    rf_base *base = table == RF_DELTA_ROWS ? pinned->base
                                           : pinned->indexes[table - RF_DELTA_INDEXES];
    rf_rows_cursor *cursor = calloc(1, sizeof *cursor);

    RF_ASSERT(table == RF_DELTA_ROWS || table - RF_DELTA_INDEXES < pinned->manifest.index_count);
    if (!cursor)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a cursor");
    cursor->delta = &cursor->own;
    cursor->base_due = true;
    cursor->is_index = table != RF_DELTA_ROWS;
    rf_status status = RF_OK;
    if (rows->lent) {
        RF_ASSERT(!cursor->is_index);
        cursor->delta = rows->lent;
        cursor->at = rf_delta_seek(rows->lent, start_of(range));
    } else {
        status = take_range(rows, table, range, &cursor->own, err);
    }
    if (status == RF_OK)
        status = rf_base_cursor_open(base, RF_BASE_ALL, start_of(range), &cursor->base, err);
    if (status != RF_OK) {
        rf_rows_cursor_close(cursor);
        return status;
    }
    *cursor_out = cursor;
    return RF_OK;
}

/* Over a delta that is lent. */
static rf_status open_lent(const rf_pinned *pinned, const rf_delta_part *delta, uint32_t partition,
                           rf_rows_cursor **cursor_out, rf_err *err)
{
    rf_rows_cursor *cursor = calloc(1, sizeof *cursor);

    if (!cursor)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a cursor");
    cursor->delta = delta;
    cursor->by_partition = partition != RF_BASE_ALL;
    cursor->base_due = true;
    cursor->at = cursor->by_partition ? delta->first[partition] : 0;
    rf_status status = rf_base_cursor_open(pinned->base, partition, RF_SLICE(""), &cursor->base,
                                           err);
    if (status != RF_OK) {
        rf_rows_cursor_close(cursor);
        return status;
    }
    *cursor_out = cursor;
    return RF_OK;
}

rf_status rf_rows_cursor_open_partition(const rf_pinned *pinned, const rf_delta_part *delta,
                                        uint32_t partition, rf_rows_cursor **cursor_out,
                                        rf_err *err)
{
    RF_ASSERT(delta->first && partition < pinned->manifest.partitions);
    return open_lent(pinned, delta, partition, cursor_out, err);
}

rf_status rf_rows_cursor_open_all(const rf_pinned *pinned, const rf_delta_part *delta,
                                  rf_rows_cursor **cursor_out, rf_err *err)
{
    return open_lent(pinned, delta, RF_BASE_ALL, cursor_out, err);
}

void rf_rows_cursor_close(rf_rows_cursor *cursor)
{
    if (!cursor)
        return;
    rf_base_cursor_close(cursor->base);
    rf_delta_part_free(&cursor->own);
    free(cursor);
}

static rf_status look_at_base(rf_rows_cursor *cursor, rf_err *err)
{
    if (!cursor->base_due)
        return RF_OK;
    cursor->base_due = false;
    return rf_base_cursor_next(cursor->base, &cursor->base_key, &cursor->base_row,
                               &cursor->base_found, err);
}

rf_status rf_rows_cursor_next(rf_rows_cursor *cursor, rf_slice *key_out, rf_slice *row_out,
                              bool *found_out, rf_err *err)
{
    const rf_delta_part *delta = cursor->delta;

    for (;;) {
        rf_status status = look_at_base(cursor, err);
        const rf_delta_entry *entry =
            cursor->at < delta->count ? &delta->entries[cursor->at] : NULL;
        *found_out = status == RF_OK && (entry || (cursor->base_found && !delta->is_cut));
        if (!*found_out)
            return status;
        int order = !entry               ? -1
                    : !cursor->base_found ? 1
                                          : rf_slice_compare(cursor->base_key, entry->key);
        cursor->base_due = order <= 0;
        if (order < 0) {
            *key_out = cursor->base_key;
            *row_out = cursor->is_index ? (rf_slice){NULL, 0} : cursor->base_row;
            return RF_OK;
        }
        cursor->at = cursor->by_partition ? delta->next[cursor->at] : cursor->at + 1;
        if (entry->row.data) {
            *key_out = entry->key;
            *row_out = entry->row;
            return RF_OK;
        }
    }
}
