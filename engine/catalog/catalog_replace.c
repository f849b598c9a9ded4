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

/* What takes which place. */
struct replacing {
    const rf_manifest *manifest;
    uint64_t from;
};

/* Step `replace` of tests/model/swap.pml. */
static rf_status replace(void *arg, rf_kv_txn *txn, uint64_t epoch, rf_err *err)
{
    const struct replacing *replacing = arg;
    const rf_manifest *manifest = replacing->manifest;
    uint64_t from = replacing->from;
    rf_catalog_generation old = {0}, new = {0};
    rf_catalog_model model;
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
    if (status != RF_OK)
        return status;
    new.is_pinned = old.is_pinned;
    old.is_pinned = false;
    old.set = 0;
    old.replaced_by = manifest->number;
    change_model(&model, from, manifest->number);
    model.epoch = epoch;
    status = rf_record_put_generation(txn, &new, err);
    if (status == RF_OK)
        status = rf_record_put_generation(txn, &old, err);
    return status == RF_OK ? rf_record_put_model(txn, &model, err) : status;
}

rf_status rf_catalog_replace(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                             int64_t wait_lock_ms, rf_err *err)
{
    struct replacing replacing = {manifest, from};
    int lock = -1;

    rf_status status = rf_catalog_lock_swap(catalog, wait_lock_ms, &lock, err);
    if (status == RF_OK)
        status = rf_catalog_change_live(catalog, replace, &replacing, "the merge", err);
    rf_lock_release(lock);
    return status;
}
