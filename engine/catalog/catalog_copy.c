/* Generations that begin as copies of others: with the same base, and a delta of their own; see catalog.h. */
#include "catalog/delta.h"
#include "catalog/record.h"

#include <inttypes.h>

enum { TABLES = 1 + RF_MANIFEST_INDEXES_MAX };

/* What a generation has beside its base, at one moment. */
struct copied {
    rf_checkpoint checkpoint;
    bool has_moved; /* else it has nothing beside */
    rf_left_out_list left_out;
    rf_delta_part parts[TABLES];
};

static void free_copied(struct copied *copied)
{
    rf_left_out_list_free(&copied->left_out);
    for (uint32_t i = 0; i < TABLES; i++)
        rf_delta_part_free(&copied->parts[i]);
}

static rf_status read_all(rf_kv_txn *txn, const rf_manifest *manifest, uint64_t from,
                          struct copied *copied, rf_err *err)
{
    const rf_delta_range all = {.limit = 0};
    const char *name = manifest->name;
    rf_catalog_generation source = {0};
    bool found;

    rf_status status = rf_record_get_generation(txn, name, from, &source, &found, err);
    if (status == RF_OK && !found)
        return rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, name, from);
    if (status == RF_OK)
        status = rf_record_get_checkpoint(txn, name, from, &copied->checkpoint, &copied->has_moved,
                                          err);
    if (status != RF_OK || !copied->has_moved)
        return status;
    RF_ASSERT(manifest->position == source.sealed_position);
    status = rf_record_left_out(txn, name, from, &copied->left_out, err);
    for (uint32_t i = 0; status == RF_OK && i < TABLES; i++)
        status = rf_delta_take(txn, source.delta, i, &all, &copied->parts[i], err);
    return status;
}

/* One transaction that reads: who moves the generation on meanwhile waits for nobody. */
static rf_status read_copied(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                             struct copied *copied, rf_err *err)
{
    rf_kv_txn *txn;

    *copied = (struct copied){0};
    rf_left_out_list_init(&copied->left_out);
    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = read_all(txn, manifest, from, copied, err);
    rf_kv_abort(txn);
    return status;
}

static rf_status put_delta(rf_catalog *catalog, const struct copied *copied, uint32_t *delta_out,
                           rf_err *err)
{
    uint64_t delta = 0;
    uint32_t table = 0, at = 0;
    rf_status status = RF_OK;

    while (status == RF_OK && table < TABLES) {
        rf_kv_txn *txn;
        if (at == copied->parts[table].count) {
            table++;
            at = 0;
            continue;
        }
        status = rf_kv_begin(catalog->kv, true, &txn, err);
        if (status != RF_OK)
            return status;
        if (delta == 0)
            status = rf_record_take_number(txn, RF_RECORD_DELTAS, UINT32_MAX, &delta, err);
        if (status == RF_OK)
            status = rf_delta_put_some(txn, (uint32_t)delta, table, &copied->parts[table], &at, err);
        if (status == RF_OK)
            status = rf_kv_commit(txn, err);
        else
            rf_kv_abort(txn);
    }
    *delta_out = (uint32_t)delta;
    return status;
}

static rf_status put_records(rf_kv_txn *txn, const rf_manifest *manifest, uint32_t delta,
                             const struct copied *copied, uint64_t *set, rf_err *err)
{
    const rf_left_out_list *left_out = &copied->left_out;
    rf_status status =
        *set == 0 ? rf_record_take_number(txn, RF_RECORD_SETS, UINT64_MAX, set, err) : RF_OK;

    if (status == RF_OK)
        status = rf_record_add_generation(txn, manifest, delta, *set, err);
    for (uint32_t i = 0; status == RF_OK && i < left_out->count; i++)
        status = rf_record_put_left_out(txn, manifest->name, manifest->number,
                                        &left_out->items[i], err);
    return status == RF_OK && copied->has_moved
               ? rf_record_put_checkpoint(txn, manifest->name, manifest->number,
                                          &copied->checkpoint, err)
               : status;
}

static rf_status record(rf_catalog *catalog, const rf_manifest *manifest, uint32_t delta,
                        const struct copied *copied, uint64_t *set, rf_err *err)
{
    uint64_t number = *set;
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = put_records(txn, manifest, delta, copied, &number, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    status = rf_kv_commit(txn, err);
    if (status == RF_OK)
        *set = number;
    return status;
}

rf_status rf_catalog_add_copy(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                              uint64_t *set, rf_err *err)
{
    struct copied copied;
    uint32_t delta = 0;

    rf_status status = read_copied(catalog, manifest, from, &copied, err);
    if (status == RF_OK)
        status = put_delta(catalog, &copied, &delta, err);
    if (status == RF_OK)
        status = record(catalog, manifest, delta, &copied, set, err);
    free_copied(&copied);
    return status;
}
