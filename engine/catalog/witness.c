/* CURRENT, the catalog's witness: a small checksummed text, replaced after each flip.
 *
 *     refold-current 1 CHECKSUM          16 hex digits, of all that follows
 *     epoch 12
 *     order_summary 8 CHECKSUM           live generation and the checksum of its manifest, one line
 * a model
 *
 * LMDB's meta pages have no checksum: a flipped bit can make it serve an older state. So at open a
 * catalog whose epoch is below the witness's is refused, and one of the same epoch has to name the
 * same live generations. One of a greater epoch is what a crash between the two leaves, and
 * likewise one without a witness; then the manifests of its live generations have to be the ones
 * that it remembers. The next flip renews the witness.
 */
#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WITNESS_WORD "refold-current "
enum { WITNESS_FORMAT = 1 };

static rf_status witness_path(const rf_catalog *catalog, char path_out[RF_PATH_SIZE], rf_err *err)
{
    return rf_path_format(path_out, "%s/live/CURRENT", err, catalog->path);
}

rf_status rf_witness_text(rf_kv_txn *txn, rf_buf *text_out, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;
    uint64_t epoch = 0;
    rf_buf body;

    rf_buf_init(&body, RF_WITNESS_SIZE_MAX);
    rf_status status = rf_record_get_epoch(txn, &epoch, err);
    if (status == RF_OK)
        status = rf_record_models(txn, &models, &count, err);
    rf_buf_append_format(&body, "epoch %" PRIu64 "\n", epoch);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        rf_catalog_generation live;
        bool found;
        if (models[i].live == 0)
            continue;
        status = rf_record_get_generation(txn, models[i].name, models[i].live, &live, &found, err);
        if (status == RF_OK && !found)
            status =
                rf_fail(err, RF_ERR_DAMAGED,
                        "live/: damaged: the catalog has lost live generation %" PRIu64 " of %s",
                        models[i].live, models[i].name);
        if (status == RF_OK)
            rf_buf_append_format(&body, "%s %" PRIu64 " %016" PRIx64 "\n", live.name, live.number,
                                 live.manifest_checksum);
    }
    free(models);
    rf_buf_append_format(text_out, WITNESS_WORD "%d %016" PRIx64 "\n", WITNESS_FORMAT,
                         rf_checksum(rf_buf_slice(&body)));
    rf_buf_append_slice(text_out, rf_buf_slice(&body));
    text_out->failed |= body.failed;
    rf_buf_free(&body);
    return status == RF_OK ? rf_buf_check(text_out, "CURRENT", err) : status;
}

/* Step `witness` of tests/model/swap.pml. */
rf_status rf_witness_write(rf_catalog *catalog, rf_slice text, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = witness_path(catalog, path, err);
    return status == RF_OK ? rf_file_replace(path, text, err) : status;
}

/* Epoch of a witness whose checksum holds. The text ends with a NUL. */
static rf_status parse_epoch(const char *path, rf_slice text, uint64_t *epoch_out, rf_err *err)
{
    unsigned long long version, checksum, epoch;
    int header_size = 0;

    if (sscanf(text.data, WITNESS_WORD "%llu", &version) == 1 && version != WITNESS_FORMAT)
        return rf_fail(err, RF_ERR_FORMAT, "%s: format %llu, but this refold reads format %d", path,
                       version, WITNESS_FORMAT);
    if (sscanf(text.data, WITNESS_WORD "%llu %16llx%n", &version, &checksum, &header_size) != 2 ||
        (size_t)header_size >= text.size || text.data[header_size] != '\n' ||
        checksum != rf_checksum((rf_slice){text.data + header_size + 1,
                                           text.size - (size_t)header_size - 1}) ||
        sscanf(text.data + header_size + 1, "epoch %llu\n", &epoch) != 1)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "%s: damaged: its checksum does not hold; without the file the catalog is "
                       "compared with the manifests of its live generations instead",
                       path);
    *epoch_out = epoch;
    return RF_OK;
}

static rf_status check_live_manifests(rf_catalog *catalog, const rf_catalog_generation *live,
                                      uint32_t count, rf_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        rf_manifest manifest;
        rf_status status = rf_catalog_check_manifest(catalog, &live[i], &manifest, err);
        if (status != RF_OK)
            return status;
        rf_manifest_free(&manifest);
    }
    return RF_OK;
}

/* The catalog's own text, its epoch and live generations, in one read transaction. */
static rf_status read_catalog(rf_catalog *catalog, rf_buf *text_out, uint64_t *epoch_out,
                              rf_catalog_generation **live_out, uint32_t *count_out, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_epoch(txn, epoch_out, err);
    if (status == RF_OK)
        status = rf_witness_text(txn, text_out, err);
    if (status == RF_OK)
        status = rf_record_models(txn, &models, &count, err);
    rf_catalog_generation *live = calloc(count + 1, sizeof *live);
    if (status == RF_OK && !live)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", count);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        bool found = false;
        if (models[i].live != 0)
            status = rf_record_get_generation(txn, models[i].name, models[i].live,
                                              &live[*count_out], &found, err);
        *count_out += found ? 1 : 0;
    }
    rf_kv_abort(txn);
    free(models);
    *live_out = live;
    return status;
}

rf_status rf_witness_check(rf_catalog *catalog, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_buf stored, text;
    uint64_t witnessed = 0;
    uint64_t epoch = 0;
    rf_catalog_generation *live = NULL;
    uint32_t live_count = 0;

    rf_buf_init(&stored, RF_WITNESS_SIZE_MAX);
    rf_buf_init(&text, RF_WITNESS_SIZE_MAX);
    rf_status status = witness_path(catalog, path, err);
    /* The witness first: a flip in between can only make the catalog the newer of the two. */
    bool exists = status == RF_OK && rf_path_exists(path);
    if (exists) {
        status = rf_file_read(path, &stored, err);
        rf_slice bytes = rf_buf_slice(&stored);
        rf_buf_append_byte(&stored, 0);
        if (status == RF_OK)
            status = rf_buf_check(&stored, path, err);
        if (status == RF_OK)
            status = parse_epoch(path, (rf_slice){stored.data, bytes.size}, &witnessed, err);
    }
    if (status == RF_OK)
        status = read_catalog(catalog, &text, &epoch, &live, &live_count, err);
    if (status == RF_OK && epoch < witnessed)
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "%s/live: damaged: the catalog went back: it is at epoch %" PRIu64
                         ", its witness CURRENT at %" PRIu64 "; nothing is served from it",
                         catalog->path, epoch, witnessed);
    else if (status == RF_OK && exists && epoch == witnessed &&
             !rf_slice_equal(rf_buf_slice(&text), (rf_slice){stored.data, stored.size - 1}))
        status =
            rf_fail(err, RF_ERR_DAMAGED,
                    "%s/live: damaged: the catalog and its witness CURRENT name different live "
                    "generations at epoch %" PRIu64,
                    catalog->path, epoch);
    else if (status == RF_OK && epoch > witnessed)
        status = check_live_manifests(catalog, live, live_count, err);
    free(live);
    rf_buf_free(&stored);
    rf_buf_free(&text);
    return status;
}
