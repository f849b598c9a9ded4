/* Changing what is live; see record.h.
 *
 * SWAP -> one transaction, with the new epoch -> CURRENT. The witness comes after the commit: a crash between the two
 * leaves a catalog that is newer than it, which opening accepts (witness.c).
 */
#include "catalog/record.h"

rf_status rf_catalog_lock_swap(rf_catalog *catalog, int64_t wait_ms, int *fd_out, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = rf_path_format(path, "%s/live/SWAP", err, catalog->path);
    return status == RF_OK ? rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, wait_ms,
                                             "another swap is under way", fd_out, err)
                           : status;
}

/* *text gets the witness of what is committed. */
static rf_status commit(rf_catalog *catalog, rf_catalog_live_fn change, void *arg, rf_buf *text,
                        rf_err *err)
{
    rf_kv_txn *txn;
    uint64_t epoch = 0;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_epoch(txn, &epoch, err);
    if (status == RF_OK)
        status = change(arg, txn, epoch + 1, err);
    if (status == RF_OK)
        status = rf_record_put_epoch(txn, epoch + 1, err);
    if (status == RF_OK)
        status = rf_witness_text(txn, text, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_change_live(rf_catalog *catalog, rf_catalog_live_fn change, void *arg,
                                 const char *what, rf_err *err)
{
    rf_buf text;

    rf_buf_init(&text, RF_WITNESS_SIZE_MAX);
    rf_status status = commit(catalog, change, arg, &text, err);
    if (status == RF_OK) {
        status = rf_witness_write(catalog, rf_buf_slice(&text), err);
        if (status != RF_OK)
            (void)rf_err_context(err, "%s is done and holds, but not its witness", what);
    }
    rf_buf_free(&text);
    return status;
}
