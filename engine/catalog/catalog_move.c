/* Moving generations on: their delta and their checkpoint in one transaction; see catalog.h. */
#include "catalog/delta.h"
#include "catalog/record.h"

#include <inttypes.h>

rf_status rf_catalog_apply_move(rf_kv_txn *txn, const rf_catalog_move *move, rf_err *err)
{
    rf_catalog_generation generation = {0};
    bool found;

    rf_status status =
        rf_record_get_generation(txn, move->name, move->number, &generation, &found, err);
    if (status != RF_OK)
        return status;
    if (!found || generation.position != move->from)
        return rf_fail(err, RF_ERR_LOCKED,
                       "%s generation %" PRIu64 " was moved or removed by another run; nothing was "
                       "changed",
                       move->name, move->number);
    RF_ASSERT(move->to.position >= move->from);
    for (uint32_t i = 0; status == RF_OK && i < move->change_count; i++)
        status = rf_delta_apply(txn, generation.delta, move->changes[i], err);
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
