/* One generation in the place of another that has the same rows; see catalog.h.
 *
 * Between its MANIFEST and the one transaction here nobody knows the new one: what a crash leaves is a
 * directory that gc removes, and the old one serves on.
 */
#include "catalog/record.h"

#include <inttypes.h>

/* Whether `from` is what the new one was made of, and serves. */
static rf_status check_replaced(const rf_catalog_model *model, const rf_catalog_generation *from,
                                const rf_manifest *manifest, rf_err *err)
{
    bool serves = from->number == model->live || rf_catalog_colour_of(model, from->number);

    RF_ASSERT(from->number < manifest->number);
    if (!serves || from->position != manifest->position || from->rows != manifest->rows ||
        from->content_hash.low != manifest->content_hash.low ||
        from->content_hash.high != manifest->content_hash.high)
        return rf_fail(err, RF_ERR_LOCKED,
                       "%s generation %" PRIu64 " was moved on or left by another run; nothing was "
                       "changed",
                       manifest->name, from->number);
    return RF_OK;
}

static void change_model(rf_catalog_model *model, uint64_t from, uint64_t to)
{
    if (model->live == from)
        model->live = to;
    for (uint32_t i = 0; i < model->history_count; i++)
        if (model->history[i] == from)
            model->history[i] = to;
    for (uint32_t i = 0; i < model->colour_count; i++)
        if (model->colours[i].number == from)
            model->colours[i].number = to;
}

static rf_status replace(rf_kv_txn *txn, const rf_manifest *manifest, uint64_t from, rf_err *err)
{
    rf_catalog_generation old = {0}, new = {0};
    rf_catalog_model model;
    uint64_t epoch = 0;
    bool found;

    rf_status status = rf_record_get_model(txn, manifest->name, &model, &found, err);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, manifest->name, from, &old, &found, err);
    if (status == RF_OK && !found)
        return rf_fail(err, RF_ERR_LOCKED, "%s generation %" PRIu64 " is gone", manifest->name,
                       from);
    if (status == RF_OK)
        status = check_replaced(&model, &old, manifest, err);
    if (status == RF_OK)
        status = rf_record_add_generation(txn, manifest, old.set, err);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, manifest->name, manifest->number, &new, &found, err);
    if (status == RF_OK)
        status = rf_record_get_epoch(txn, &epoch, err);
    if (status != RF_OK)
        return status;
    new.is_pinned = old.is_pinned;
    old.is_pinned = false;
    old.set = 0;
    old.replaced_by = manifest->number;
    change_model(&model, from, manifest->number);
    model.epoch = epoch + 1;
    status = rf_record_put_generation(txn, &new, err);
    if (status == RF_OK)
        status = rf_record_put_generation(txn, &old, err);
    if (status == RF_OK)
        status = rf_record_put_model(txn, &model, err);
    return status == RF_OK ? rf_record_put_epoch(txn, epoch + 1, err) : status;
}

/* Step `replace` of tests/model/swap.pml; *text gets the witness that belongs to it. */
static rf_status commit(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                        rf_buf *text, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = replace(txn, manifest, from, err);
    if (status == RF_OK)
        status = rf_witness_text(txn, text, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_replace(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                             int64_t wait_lock_ms, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_buf text;
    int lock = -1;

    rf_buf_init(&text, 1 << 20);
    rf_status status = rf_path_format(path, "%s/live/SWAP", err, catalog->path);
    if (status == RF_OK)
        status = rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, wait_lock_ms, "a swap is under way",
                                 &lock, err);
    if (status == RF_OK)
        status = commit(catalog, manifest, from, &text, err);
    if (status == RF_OK) {
        status = rf_witness_write(catalog, rf_buf_slice(&text), err);
        if (status != RF_OK)
            (void)rf_err_context(err, "the merge is done and holds, but not its witness");
    }
    rf_lock_release(lock);
    rf_buf_free(&text);
    return status;
}
