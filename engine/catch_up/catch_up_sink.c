/* Where the rows of a catch-up come from and go to; see catch_up.h.
 *
 * A changed row is looked up in delta and base: what the delta had there is replaced, what the base
 * has there needs a tombstone where the row is gone, and nothing is left in the delta where the base
 * holds again. The same for its entries in the indexes (see delta.h).
 */
#include "catch_up/catch_up_job.h"
#include "event/key.h"
#include "generation/build_index.h"

#include <stdlib.h>

enum { NEW = RF_CHANGE_NEW, CURRENT = RF_CHANGE_CURRENT, BASE = RF_CHANGE_BASE, SIDES = RF_CHANGE_SIDES };

rf_status rf_catch_up_slot_open(rf_catch_up_item *item, rf_catalog *catalog, rf_catch_up_slot *slot,
                                rf_err *err)
{
    rf_buf_init(&slot->row, RF_ROW_SIZE_MAX);
    rf_delta_changes_init(&slot->changes);
    for (int i = 0; i < SIDES; i++) {
        slot->values[i] = calloc(item->pinned.manifest.column_count, sizeof(rf_value));
        if (!slot->values[i])
            return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a row", item->name);
    }
    return rf_rows_open(catalog, &item->pinned, &slot->rows, err);
}

void rf_catch_up_slot_clear(rf_catch_up_slot *slot)
{
    rf_delta_changes_free(&slot->changes);
    rf_delta_changes_init(&slot->changes);
    rf_rows_cursor_close(slot->cursor);
    slot->cursor = NULL;
    slot->added = slot->removed = (rf_digest){0};
    slot->delta_rows = slot->delta_bytes = 0;
    slot->looked_count = slot->looked_next = 0;
}

void rf_catch_up_slot_close(rf_catch_up_slot *slot)
{
    rf_rows_cursor_close(slot->cursor);
    rf_catch_up_merge_close(slot);
    rf_rows_close(slot->rows);
    rf_buf_free(&slot->row);
    rf_delta_changes_free(&slot->changes);
    free(slot->looked);
    for (int i = 0; i < SIDES; i++)
        free(slot->values[i]);
}

bool rf_catch_up_same_row(rf_slice a, rf_slice b)
{
    return a.data && b.data ? rf_slice_equal(a, b) : !a.data && !b.data;
}

static void count_entry(rf_catch_up_slot *slot, rf_slice key, rf_slice row, int64_t by)
{
    slot->delta_rows += by;
    slot->delta_bytes += by * (int64_t)(key.size + row.size);
}

static void change_row(rf_catch_up_slot *slot, const rf_catch_up_change *at)
{
    const rf_delta_entry entry = {at->key, at->rows[NEW]};
    const int sides[] = {CURRENT, NEW};

    for (int i = 0; i < 2; i++)
        if (at->rows[sides[i]].data)
            rf_digest_add_row(sides[i] == NEW ? &slot->added : &slot->removed, at->key,
                              at->rows[sides[i]]);
    if (at->in_delta)
        count_entry(slot, at->key, at->rows[CURRENT], -1);
    if (at->of_base) {
        rf_delta_changes_delete(&slot->changes, RF_DELTA_ROWS, at->key);
        return;
    }
    count_entry(slot, at->key, at->rows[NEW], 1);
    rf_delta_changes_put(&slot->changes, RF_DELTA_ROWS, &entry);
}

/* The entries of one index: those that the delta has go, and those that it needs come. */
static rf_status change_index(const rf_catch_up_item *item, rf_catch_up_slot *slot,
                              const rf_catch_up_change *at, uint32_t number, rf_err *err)
{
    const rf_manifest_index *index = &item->pinned.manifest.indexes[number];
    uint32_t table = RF_DELTA_INDEXES + number;
    char bytes[SIDES][RF_KEY_BYTES_MAX];
    rf_slice entries[SIDES] = {{0}};

    for (int i = 0; i < SIDES; i++) {
        size_t size = 0;
        if (!at->rows[i].data)
            continue;
        rf_key_fault fault = rf_index_entry(slot->values[i], index->columns, index->column_count,
                                            at->key, bytes[i], &size);
        if (fault != RF_KEY_FINE)
            return slot->refused =
                       rf_index_refuse(item->definition, index->columns[0], fault, at->key, err);
        entries[i] = (rf_slice){bytes[i], size};
    }
    if (at->in_delta && entries[CURRENT].data)
        rf_delta_changes_delete(&slot->changes, table, entries[CURRENT]);
    if (at->in_delta && entries[BASE].data)
        rf_delta_changes_delete(&slot->changes, table, entries[BASE]);
    if (at->of_base)
        return RF_OK;
    if (entries[BASE].data)
        rf_delta_changes_put(&slot->changes, table, &(rf_delta_entry){entries[BASE], {NULL, 0}});
    if (entries[NEW].data) /* perhaps in place of the tombstone */
        rf_delta_changes_put(&slot->changes, table, &(rf_delta_entry){entries[NEW], at->rows[NEW]});
    return RF_OK;
}

rf_status rf_catch_up_put_change(rf_catch_up_item *item, rf_catch_up_slot *slot,
                                 const rf_catch_up_change *at, rf_err *err)
{
    const rf_manifest *manifest = &item->pinned.manifest;
    rf_status status = RF_OK;

    change_row(slot, at);
    for (int i = 0; status == RF_OK && manifest->index_count > 0 && i < SIDES; i++)
        if (at->rows[i].data)
            status = rf_row_decode(at->rows[i], item->columns, manifest->column_count,
                                   slot->values[i], err);
    for (uint32_t i = 0; status == RF_OK && i < manifest->index_count; i++)
        status = change_index(item, slot, at, i, err);
    return status == RF_OK ? rf_delta_changes_check(&slot->changes, item->name, err) : status;
}

/* Notes what the base has, for when the row comes back. */
static rf_status note_looked(rf_catch_up_slot *slot, rf_slice key, rf_slice base, rf_err *err)
{
    if (slot->looked_next == slot->looked_count)
        slot->looked_count = slot->looked_next = 0;
    if (slot->looked_count == slot->looked_capacity) {
        uint32_t capacity = slot->looked_capacity ? 2 * slot->looked_capacity : 256;
        rf_catch_up_looked *looked = realloc(slot->looked, capacity * sizeof *looked);
        if (!looked)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u rows", capacity);
        slot->looked = looked;
        slot->looked_capacity = capacity;
    }
    slot->looked[slot->looked_count++] = (rf_catch_up_looked){key, base};
    return RF_OK;
}

/* As rf_rows_look. */
static rf_status look(rf_catch_up_slot *slot, rf_slice key, rf_slice *base_out,
                      rf_delta_entry *entry_out, bool *in_delta_out, rf_err *err)
{
    if (slot->looked_next == slot->looked_count ||
        slot->looked[slot->looked_next].key.data != key.data)
        return rf_rows_look(slot->rows, key, base_out, entry_out, in_delta_out, err);
    *base_out = slot->looked[slot->looked_next++].base;
    return rf_rows_look_delta(slot->rows, key, entry_out, in_delta_out, err);
}

/* The row of `key` becomes `row`; data NULL: it is gone. */
static rf_status take_change(rf_catch_up_item *item, rf_catch_up_slot *slot, rf_slice key,
                             rf_slice row, rf_err *err)
{
    rf_catch_up_change at = {.key = key};
    rf_delta_entry entry = {.key = key};

    at.rows[NEW] = row;
    rf_status status =
        look(slot, key, &at.rows[BASE], &entry, &at.in_delta, err);
    if (status != RF_OK)
        return status;
    at.rows[CURRENT] = at.in_delta ? entry.row : at.rows[BASE];
    if (rf_catch_up_same_row(at.rows[NEW], at.rows[CURRENT]))
        return RF_OK;
    at.of_base = rf_catch_up_same_row(at.rows[NEW], at.rows[BASE]);
    if (item->asks)
        status = rf_catch_up_ask(item, slot, &at, err);
    return status == RF_OK ? rf_catch_up_put_change(item, slot, &at, err) : status;
}

/* ---- rows that the fold gives ---- */

static rf_status refuse_row(const rf_catch_up_item *item, rf_status failure, rf_slice key,
                            const char *what, rf_err *err)
{
    const rf_definition *definition = item->definition;
    rf_buf buf;

    rf_buf_init(&buf, 8 * RF_KEY_BYTES_MAX);
    if (!rf_key_is_text(definition->key_parts, definition->key_part_count)) {
        rf_key_append_json(&buf, key, definition->key_parts, definition->key_part_count);
        key = rf_buf_slice(&buf);
    }
    rf_status status = rf_fail(err, failure, "%s: the row of %.*s %s", item->name, (int)key.size,
                               key.data, what);
    rf_buf_free(&buf);
    return status;
}

rf_status rf_catch_up_encode(const rf_catch_up_item *item, rf_catch_up_slot *slot, rf_slice key,
                             const void *row, rf_err *err)
{
    const rf_definition *definition = item->definition;

    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        rf_slice text;
        if (column->kind != RF_TEXT && column->kind != RF_JSON)
            continue;
        memcpy(&text, (const char *)row + column->offset, sizeof text);
        if (text.data && !rf_utf8_valid(text))
            return slot->refused = refuse_row(item, RF_ERR_PLUGIN, key, "holds what is no UTF-8", err);
    }
    rf_buf_clear(&slot->row);
    rf_row_encode(definition->columns, definition->column_count, row, &slot->row);
    if (slot->row.failed)
        return slot->refused =
                   refuse_row(item, RF_ERR_INPUT, key, "is larger than 16777216 bytes", err);
    return RF_OK;
}

static rf_status start_row(void *arg, uint32_t worker, rf_slice key, rf_arena *text, void *row,
                           rf_start *start_out, rf_err *err)
{
    rf_catch_up_item *item = arg;
    rf_catch_up_slot *slot = &item->slots[worker];
    const rf_definition *definition = item->definition;
    rf_delta_entry entry;
    rf_slice base;
    bool in_delta;

    if (rf_slices_have(item->shut_out, item->shut_out_count, key)) {
        *start_out = RF_START_SHUT_OUT;
        return RF_OK;
    }
    *start_out = RF_START_NONE;
    rf_status status = rf_rows_look(slot->rows, key, &base, &entry, &in_delta, err);
    if (status == RF_OK && definition->by_stream && !item->build)
        status = note_looked(slot, key, base, err);
    rf_slice stored = in_delta ? entry.row : base;
    if (status != RF_OK || !stored.data)
        return status;
    status = rf_row_decode(stored, item->columns, definition->column_count, slot->values[0], err);
    if (status == RF_OK && !rf_row_fill(definition->columns, definition->column_count,
                                        slot->values[0], text, row))
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its rows", item->name);
    if (status == RF_OK)
        *start_out = RF_START_ROW;
    return status;
}

/* Of a stream whose name is the key there is one row at most, which is asked for by who visits. */
static rf_status list_rows(void *arg, uint32_t worker, rf_slice stream_key, rf_key_visit visit,
                           void *visit_arg, rf_err *err)
{
    rf_catch_up_item *item = arg;
    const rf_delta_range range = {.prefix = stream_key};
    rf_rows_cursor *cursor = NULL;
    rf_slice key, row;
    bool found = true;

    if (item->definition->key_part_count == 1)
        return visit(visit_arg, stream_key, err);
    rf_status status =
        rf_rows_cursor_open(item->slots[worker].rows, RF_DELTA_ROWS, &range, &cursor, err);
    while (status == RF_OK && found) {
        status = rf_rows_cursor_next(cursor, &key, &row, &found, err);
        found = found && rf_slice_starts_with(key, stream_key);
        if (status == RF_OK && found)
            status = visit(visit_arg, key, err);
    }
    rf_rows_cursor_close(cursor);
    return status;
}

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    rf_catch_up_item *item = arg;
    rf_catch_up_slot *slot = &item->slots[worker];

    (void)partition;
    rf_status status = rf_catch_up_encode(item, slot, key, row, err);
    return status == RF_OK ? take_change(item, slot, key, rf_buf_slice(&slot->row), err) : status;
}

static rf_status take_gone(void *arg, uint32_t worker, rf_slice key, rf_err *err)
{
    rf_catch_up_item *item = arg;

    return take_change(item, &item->slots[worker], key, (rf_slice){NULL, 0}, err);
}

/* ---- all rows, compared with those that are stored ---- */

static rf_status step(rf_catch_up_slot *slot, rf_err *err)
{
    return rf_rows_cursor_next(slot->cursor, &slot->cursor_key, &slot->cursor_row,
                               &slot->cursor_found, err);
}

/* Stored rows before `key` (data NULL: all that are left) are gone. */
static rf_status pass(rf_catch_up_item *item, rf_catch_up_slot *slot, uint32_t partition,
                      rf_slice key, rf_err *err)
{
    rf_status status = RF_OK;

    if (!slot->cursor) {
        status = rf_rows_cursor_open_partition(&item->pinned, &item->delta, partition,
                                               &slot->cursor, err);
        if (status == RF_OK)
            status = step(slot, err);
    }
    while (status == RF_OK && slot->cursor_found &&
           (!key.data || rf_slice_compare(slot->cursor_key, key) < 0)) {
        status = take_change(item, slot, slot->cursor_key, (rf_slice){NULL, 0}, err);
        if (status == RF_OK)
            status = step(slot, err);
    }
    return status;
}

static rf_status compare_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                             const void *row, rf_err *err)
{
    rf_catch_up_item *item = arg;
    rf_catch_up_slot *slot = &item->slots[worker];

    rf_status status = rf_catch_up_encode(item, slot, key, row, err);
    if (status == RF_OK)
        status = pass(item, slot, partition, key, err);
    bool stored = status == RF_OK && slot->cursor_found && rf_slice_equal(slot->cursor_key, key);
    if (status == RF_OK && !(stored && rf_slice_equal(slot->cursor_row, rf_buf_slice(&slot->row))))
        status = take_change(item, slot, key, rf_buf_slice(&slot->row), err);
    return status == RF_OK && stored ? step(slot, err) : status;
}

static rf_status compare_end(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    rf_catch_up_item *item = arg;
    rf_catch_up_slot *slot = &item->slots[worker];

    rf_status status = pass(item, slot, partition, (rf_slice){NULL, 0}, err);
    rf_rows_cursor_close(slot->cursor);
    slot->cursor = NULL;
    return status;
}

void rf_catch_up_target(rf_catch_up_item *item, rf_fold_target *target_out)
{
    *target_out = (rf_fold_target){
        .definition = item->definition,
        .row = item->goes_on ? take_row : compare_row,
        .partition_end = item->goes_on ? NULL : compare_end,
        .start = start_row,
        .list = list_rows,
        .gone = take_gone,
        .sink_arg = item,
        .policy = {.on_error = item->pinned.manifest.on_error,
                   .errors_max = RF_MAX_ERRORS_MAX,
                   .skips = item->skips,
                   .skip_count = item->skip_count},
    };
    if (item->build) {
        target_out->row = rf_catch_up_merge_row;
        target_out->gone = rf_catch_up_merge_gone;
    }
}
