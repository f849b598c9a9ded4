/* Moving generations on: their delta and their checkpoint in one transaction; see catalog.h. */
#include "catalog/delta_changes.h"
#include "catalog/named.h"
#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>

/* Whether the rows are still those of a checkpoint. A repair changes them, and no position. */
static rf_status is_at(rf_kv_txn *txn, const rf_catalog_generation *generation,
                       const rf_checkpoint *expected, bool *at_out, rf_err *err)
{
    rf_checkpoint now = {.position = generation->sealed_position};
    bool found = false;

    rf_status status = rf_record_get_checkpoint(txn, generation->name, generation->number, &now,
                                                &found, err);
    if (status != RF_OK)
        return status;
    *at_out = now.position == expected->position && now.delta_rows == expected->delta_rows &&
              now.delta_bytes == expected->delta_bytes &&
              (!found || (now.digest.low == expected->digest.low &&
                          now.digest.high == expected->digest.high &&
                          now.digest.rows == expected->digest.rows));
    return RF_OK;
}

/* Step `move` of tests/model/swap.pml. */
rf_status rf_catalog_apply_move(rf_kv_txn *txn, const rf_catalog_move *move, rf_err *err)
{
    rf_catalog_generation generation = {0};
    rf_catalog_model model = {0};
    bool found;

    rf_status status = rf_record_get_model(txn, move->name, &model, &found, err);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, move->name, move->number, &generation, &found, err);
    bool is_there = false;
    if (status == RF_OK && found)
        status = is_at(txn, &generation, &move->from, &is_there, err);
    if (status != RF_OK)
        return status;
    if (!is_there || (move->if_followed && model.live != move->number &&
                      !rf_catalog_colour_of(&model, move->number)))
        return rf_fail(err, RF_ERR_LOCKED,
                       "%s generation %" PRIu64 " was moved or removed by another run; nothing was "
                       "changed",
                       move->name, move->number);
    RF_ASSERT(move->to.position >= move->from.position);
    status = rf_delta_apply(txn, generation.delta, move->changes, move->change_count, err);
    for (uint32_t i = 0; status == RF_OK && i < move->left_out_count; i++)
        status =
            rf_record_put_left_out(txn, move->name, move->number, &move->left_out[i], err);
    return status == RF_OK
               ? rf_record_put_checkpoint(txn, move->name, move->number, &move->to, err)
               : status;
}

rf_status rf_catalog_move_on(rf_catalog *catalog, const rf_catalog_move *moves, uint32_t count,
                             rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = rf_catalog_apply_move(txn, &moves[i], err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_get_suspension(rf_catalog *catalog, const char *name, uint64_t number,
                                    rf_catalog_suspension *suspension_out, bool *found_out,
                                    rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_suspension(txn, name, number, suspension_out, found_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_suspend(rf_catalog *catalog, const char *name,
                             const rf_catalog_suspension *suspension, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_put_suspension(txn, name, suspension, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_resume(rf_catalog *catalog, const char *name, uint64_t number, rf_err *err)
{
    rf_catalog_model model;
    rf_kv_txn *txn;
    bool found;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_model(txn, name, &model, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    if (status == RF_OK)
        status = rf_record_delete_suspension(txn, name, number, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_follow_path(const rf_catalog *catalog, const rf_named *named, char path_out[RF_PATH_SIZE],
                                 rf_err *err)
{
    char version[16] = "";

    if (!rf_record_name_valid(named->name))
        return rf_fail(err, RF_ERR_ABSENT, "%s is no name of a read model", named->name);
    if (named->version != 0)
        (void)snprintf(version, sizeof version, "@%" PRIu32, named->version);
    return rf_path_format(path_out, "%s/generations/%s/FOLLOW%s", err, catalog->path, named->name, version);
}

rf_status rf_catalog_lock_follow(rf_catalog *catalog, const rf_named *named, int64_t wait_ms,
                                 int *fd_out, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = rf_catalog_follow_path(catalog, named, path, err);
    return status == RF_OK ? rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, wait_ms,
                                             "another run follows this read model", fd_out, err)
                           : status;
}
