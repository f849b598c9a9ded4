/* Where the changes of a catch-up go when they become a new base: between the rows that did not change,
 * which come from the old base and its delta; see base_merge.h.
 *
 * The fold gives the changed rows of a partition in key order. Before each come the stored rows that
 * are below it, of base and delta together; a block of the base that lies below as a whole is copied
 * as it stands. What is stored under the key itself is passed over.
 */
#include "catch_up/catch_up_job.h"

#include <stdlib.h>

static rf_status next_block(rf_catch_up_slot *slot, rf_err *err)
{
    slot->block_at = 0;
    return rf_base_blocks_next(slot->blocks, &slot->block, &slot->block_found, err);
}

static rf_status begin_partition(rf_catch_up_item *item, rf_catch_up_slot *slot, uint32_t partition,
                                 rf_err *err)
{
    RF_ASSERT(!slot->merges && !item->merged[partition]);
    item->merged[partition] = 1;
    slot->merges = true;
    slot->partition = partition;
    slot->delta_at = item->delta.first[partition];
    rf_status status = rf_base_blocks_open(item->pinned.base, partition, &slot->blocks, err);
    return status == RF_OK ? next_block(slot, err) : status;
}

void rf_catch_up_merge_close(rf_catch_up_slot *slot)
{
    rf_base_blocks_close(slot->blocks);
    slot->blocks = NULL;
    slot->merges = false;
}

/* ---- to the build ---- */

static rf_status put_entries(rf_catch_up_item *item, rf_catch_up_slot *slot, uint32_t worker,
                             rf_slice key, rf_slice row, rf_err *err)
{
    const rf_manifest *manifest = &item->pinned.manifest;

    if (manifest->index_count == 0)
        return RF_OK;
    rf_status status = rf_row_decode(row, item->columns, manifest->column_count, slot->values[0],
                                     err);
    return status == RF_OK
               ? rf_build_stored_entries(item->build, worker, key, slot->values[0], err)
               : status;
}

static rf_status put_row(rf_catch_up_item *item, uint32_t worker, rf_slice key, rf_slice row,
                         rf_err *err)
{
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_status status = rf_build_stored_row(item->build, worker, slot->partition, key, row, err);

    return status == RF_OK ? put_entries(item, slot, worker, key, row, err) : status;
}

static rf_status put_block(rf_catch_up_item *item, uint32_t worker, rf_err *err)
{
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_slice key, row;

    rf_status status =
        rf_build_stored_block(item->build, worker, slot->partition, &slot->block, err);
    for (uint32_t i = 0; item->pinned.manifest.index_count > 0 && i < slot->block.count; i++) {
        if (status == RF_OK)
            status = rf_block_row(&slot->block, i, &key, &row, err);
        if (status == RF_OK)
            status = put_entries(item, slot, worker, key, row, err);
    }
    return status;
}

/* ---- stored rows ---- */

/* Whether all that is left of the block at hand is below `key` (data NULL: no bound). */
static rf_status is_block_below(const rf_catch_up_slot *slot, rf_slice key, bool *below_out,
                                rf_err *err)
{
    rf_slice last, row;

    *below_out = !key.data;
    if (!key.data)
        return RF_OK;
    rf_status status = rf_block_row(&slot->block, slot->block.count - 1, &last, &row, err);
    if (status == RF_OK)
        *below_out = rf_slice_compare(last, key) < 0;
    return status;
}

/* Rows of the base below `key`; then the block at hand has its row, if any, as its next. */
static rf_status put_base(rf_catch_up_item *item, uint32_t worker, rf_slice key, rf_err *err)
{
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_status status = RF_OK;

    while (status == RF_OK && slot->block_found) {
        bool below = false;
        rf_slice at, row;
        status = is_block_below(slot, key, &below, err);
        if (status == RF_OK && below && slot->block_at == 0) {
            status = put_block(item, worker, err);
        } else {
            for (; status == RF_OK && slot->block_at < slot->block.count; slot->block_at++) {
                status = rf_block_row(&slot->block, slot->block_at, &at, &row, err);
                if (status == RF_OK && !below && rf_slice_compare(at, key) >= 0)
                    break;
                if (status == RF_OK)
                    status = put_row(item, worker, at, row, err);
            }
            if (status == RF_OK && !below)
                return RF_OK;
        }
        if (status == RF_OK)
            status = next_block(slot, err);
    }
    return status;
}

/* The base's row of `key`, below which everything was put, is passed over; data NULL: there is none. */
static rf_status pass_base(rf_catch_up_slot *slot, rf_slice key, rf_slice *row_out, rf_err *err)
{
    rf_slice at, row;

    *row_out = (rf_slice){NULL, 0};
    if (!slot->block_found)
        return RF_OK;
    rf_status status = rf_block_row(&slot->block, slot->block_at, &at, &row, err);
    if (status != RF_OK || !rf_slice_equal(at, key))
        return status;
    *row_out = row;
    return ++slot->block_at == slot->block.count ? next_block(slot, err) : RF_OK;
}

/* All stored rows below `key` (data NULL: all); *row_out is the one of the key, which is passed over. */
static rf_status put_stored(rf_catch_up_item *item, uint32_t worker, rf_slice key,
                            rf_slice *row_out, rf_err *err)
{
    const rf_delta_part *delta = &item->delta;
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_slice base = {NULL, 0};

    for (;;) {
        const rf_delta_entry *entry =
            slot->delta_at < delta->count ? &delta->entries[slot->delta_at] : NULL;
        int order = !entry ? 1 : !key.data ? -1 : rf_slice_compare(entry->key, key);
        rf_slice bound = order < 0 ? entry->key : key;
        rf_status status = put_base(item, worker, bound, err);
        if (status == RF_OK && bound.data)
            status = pass_base(slot, bound, &base, err);
        if (order <= 0)
            slot->delta_at = delta->next[slot->delta_at];
        if (status == RF_OK && order < 0 && entry->row.data)
            status = put_row(item, worker, entry->key, entry->row, err);
        if (status == RF_OK && order < 0)
            continue;
        *row_out = status == RF_OK && order == 0 ? entry->row : base;
        return status;
    }
}

static rf_status end_partition(rf_catch_up_item *item, uint32_t worker, rf_err *err)
{
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_slice none;

    rf_status status = put_stored(item, worker, (rf_slice){NULL, 0}, &none, err);
    if (status == RF_OK)
        status = rf_build_stored_end(item->build, worker, slot->partition, err);
    rf_catch_up_merge_close(slot);
    return status;
}

/* ---- changes ---- */

/* The row of `key` becomes `row`; data NULL: it is gone. */
static rf_status take_change(rf_catch_up_item *item, uint32_t worker, uint32_t partition,
                             rf_slice key, rf_slice row, rf_err *err)
{
    rf_catch_up_slot *slot = &item->slots[worker];
    rf_slice stored;
    rf_status status = RF_OK;

    if (slot->merges && slot->partition != partition)
        status = end_partition(item, worker, err);
    if (status == RF_OK && !slot->merges)
        status = begin_partition(item, slot, partition, err);
    if (status == RF_OK)
        status = put_stored(item, worker, key, &stored, err);
    if (status != RF_OK)
        return status;
    if (stored.data)
        rf_digest_add_row(&slot->removed, key, stored);
    if (!row.data)
        return RF_OK;
    rf_digest_add_row(&slot->added, key, row);
    return put_row(item, worker, key, row, err);
}

rf_status rf_catch_up_merge_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                                const void *row, rf_err *err)
{
    rf_catch_up_item *item = arg;
    rf_catch_up_slot *slot = &item->slots[worker];

    rf_status status = rf_catch_up_encode(item, slot, key, row, err);
    return status == RF_OK
               ? take_change(item, worker, partition, key, rf_buf_slice(&slot->row), err)
               : status;
}

rf_status rf_catch_up_merge_gone(void *arg, uint32_t worker, rf_slice key, rf_err *err)
{
    rf_catch_up_item *item = arg;

    return take_change(item, worker, rf_partition_of(key, item->pinned.manifest.partitions), key,
                       (rf_slice){NULL, 0}, err);
}

/* A partition that no event was of. */
static rf_status copy_partition(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_catch_up_item *item = arg;

    if (item->merged[index])
        return RF_OK;
    rf_status status = begin_partition(item, &item->slots[worker], (uint32_t)index, err);
    return status == RF_OK ? end_partition(item, worker, err) : status;
}

rf_status rf_catch_up_merge_rest(rf_catch_up_item *item, rf_pool *pool, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < item->slot_count; i++)
        if (item->slots[i].merges)
            status = end_partition(item, i, err);
    return status == RF_OK
               ? rf_pool_run(pool, item->pinned.manifest.partitions, copy_partition, item, err)
               : status;
}

/* ---- from begin to end ---- */

bool rf_catch_up_resumes_all(const rf_catch_up *catch_up)
{
    bool all = true;

    for (uint32_t i = 0; i < catch_up->count; i++)
        all = all && catch_up->items[i].resumes;
    return all;
}

const rf_definition *rf_catch_up_definition(const rf_catch_up *catch_up)
{
    return catch_up->items[0].definition;
}

rf_status rf_catch_up_merge_into(rf_catch_up *catch_up, rf_build *build, rf_err *err)
{
    rf_catch_up_item *item = &catch_up->items[0];
    rf_catalog *catalog = catch_up->store->catalog;
    rf_checkpoint checkpoint;

    RF_ASSERT(catch_up->count == 1 && !item->build);
    item->merged = calloc(item->pinned.manifest.partitions, sizeof *item->merged);
    if (!item->merged)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a merge", item->name);
    rf_status status =
        rf_rows_take_delta(catalog, &item->pinned, &item->delta, NULL, &checkpoint, err);
    if (status != RF_OK)
        return status;
    item->checkpoint = checkpoint;
    status = rf_catch_up_read_left_out(item, catalog, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < item->slot_count; i++)
        rf_rows_lend(item->slots[i].rows, &item->delta, &item->checkpoint);
    item->build = build;
    rf_catch_up_make_move(item, checkpoint.position, RF_TIME_NONE, &catch_up->moves[0]);
    return RF_OK;
}

static int compare_positions(const void *left, const void *right)
{
    const rf_left_out *a = left;
    const rf_left_out *b = right;

    return (a->position > b->position) - (a->position < b->position);
}

rf_status rf_catch_up_merge_end(rf_catch_up *catch_up, bool *whole_out, rf_err *err)
{
    rf_catch_up_item *item = &catch_up->items[0];
    const rf_catalog_move *move = &catch_up->moves[0];
    rf_status status = RF_OK;

    *whole_out = !item->needs_all;
    if (item->needs_all)
        return RF_OK;
    status = rf_catch_up_merge_rest(item, catch_up->pool, err);
    for (uint32_t i = 0; status == RF_OK && i < item->noted.count; i++)
        status = rf_left_out_list_add(&item->left_out, &item->noted.items[i], err);
    if (status == RF_OK)
        status = rf_build_take_schemas(item->build, &item->pinned.manifest, err);
    if (status != RF_OK)
        return status;
    if (item->left_out.count > 1)
        qsort(item->left_out.items, item->left_out.count, sizeof *item->left_out.items,
              compare_positions);
    const rf_build_fold fold = {
        .position = move->to.position,
        .time_last = move->to.time_last,
        .events = move->to.events,
        .on_error = item->pinned.manifest.on_error,
        .left_out = item->left_out.items,
        .left_out_count = item->left_out.count,
        .digest = &move->to.digest,
    };
    return rf_build_end_rows(item->build, &fold, err);
}
