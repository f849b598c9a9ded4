/* One generation in the place of another that has the same rows; see catalog.h.
 *
 * While it is brought to where the other one is, its record says that it is replaced by itself: nothing goes
 * to it, and what a crash leaves of it is removed by gc. In the one transaction that gives it the other's
 * place it gets the last events too.
 */
#include "catalog/record.h"

#include <inttypes.h>

/* What takes which place. */
struct replacing {
    const rf_manifest *manifest;
    uint64_t from;
    rf_catalog_catch_up catch_up;
    void *catch_up_arg;
};

/* Whether `from` is what the new one was made of, and serves. */
static rf_status check_serves(const rf_catalog_model *model, const rf_catalog_generation *from,
                              const rf_catalog_generation *new, rf_err *err)
{
    bool serves = from->number == model->live || rf_catalog_colour_of(model, from->number);

    RF_ASSERT(from->number < new->number);
    if (!serves || from->content_hash.low != new->content_hash.low ||
        from->content_hash.high != new->content_hash.high)
        return rf_fail(err, RF_ERR_LOCKED,
                       "%s generation %" PRIu64 " was left by another run; nothing was changed",
                       from->name, from->number);
    return RF_OK;
}

static rf_status digest_of(rf_kv_txn *txn, const rf_catalog_generation *generation,
                           const rf_digest *sealed, rf_digest *digest_out, rf_err *err)
{
    rf_checkpoint checkpoint;
    bool found = false;

    rf_status status = rf_record_get_checkpoint(txn, generation->name, generation->number,
                                                &checkpoint, &found, err);
    if (status == RF_OK)
        *digest_out = found ? checkpoint.digest : *sealed;
    return status;
}

/* Brings the new one to where `old` is, and makes sure that they are the same then. */
static rf_status bring_there(const struct replacing *replacing, rf_kv_txn *txn,
                             const rf_catalog_generation *old, rf_catalog_generation *new, rf_err *err)
{
    const rf_catalog_move *move = NULL;
    uint32_t count = 0;
    rf_digest was, is;
    bool found;
    rf_status status = RF_OK;

    if (new->position < old->position && replacing->catch_up) {
        status = replacing->catch_up(replacing->catch_up_arg, old->position, &move, &count,
                                     err);
        RF_ASSERT(status != RF_OK || count == 1);
        if (status == RF_OK)
            status = rf_catalog_apply_move(txn, move, err);
        if (status == RF_OK)
            status = rf_record_get_generation(txn, new->name, new->number, new, &found, err);
    }
    if (status == RF_OK && (new->position != old->position || new->rows != old->rows))
        status = rf_fail(err, RF_ERR_LOCKED,
                         "%s generation %" PRIu64 " was moved on by another run; nothing was changed",
                         old->name, old->number);
    if (status != RF_OK)
        return status;
    is = replacing->manifest->digest;
    status = digest_of(txn, new, &is, &is, err);
    if (status == RF_OK)
        status = digest_of(txn, old, &is, &was, err);
    if (status == RF_OK && (is.low != was.low || is.high != was.high))
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "%s: generation %" PRIu64 " has other rows than %" PRIu64
                         ", of which it was made; nothing was changed",
                         old->name, new->number, old->number);
    return status;
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
        status = rf_record_get_generation(txn, manifest->name, manifest->number, &new, &found, err);
    if (status == RF_OK && (!found || new.replaced_by != new.number))
        return rf_fail(err, RF_ERR_LOCKED, "%s generation %" PRIu64 " was removed", manifest->name,
                       manifest->number);
    if (status == RF_OK)
        status = check_serves(&model, &old, &new, err);
    if (status == RF_OK)
        status = bring_there(replacing, txn, &old, &new, err);
    if (status != RF_OK)
        return status;
    new.is_pinned = old.is_pinned;
    new.set = old.set;
    new.counts_as = old.counts_as;
    new.replaced_by = 0;
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

static rf_status add(rf_kv_txn *txn, const rf_manifest *manifest, rf_err *err)
{
    rf_catalog_generation generation = {0};
    bool found;

    rf_status status = rf_record_add_generation(txn, manifest, 0, 0, err);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, manifest->name, manifest->number, &generation,
                                          &found, err);
    generation.replaced_by = manifest->number;
    return status == RF_OK ? rf_record_put_generation(txn, &generation, err) : status;
}

rf_status rf_catalog_add_replacing(rf_catalog *catalog, const rf_manifest *manifest, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = add(txn, manifest, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_replace(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                             rf_catalog_catch_up catch_up, void *catch_up_arg,
                             int64_t wait_lock_ms, rf_err *err)
{
    struct replacing replacing = {manifest, from, catch_up, catch_up_arg};
    int lock = -1;

    rf_status status = rf_catalog_lock_swap(catalog, wait_lock_ms, &lock, err);
    if (status == RF_OK)
        status = rf_catalog_change_live(catalog, replace, &replacing, "the merge", err);
    rf_lock_release(lock);
    return status;
}
