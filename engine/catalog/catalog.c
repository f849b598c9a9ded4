/* See catalog.h. Here: opening, looking things up, new and sealed generations. catalog_flip.c and
 * catalog_replace.c make generations live, catalog_pin.c opens them for reading, catalog_gc.c removes them; record.c has
 * the bytes. */
#include "catalog/catalog.h"

#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SCRATCH "generations/.scratch" /* no name of a read model begins with a dot */

static rf_status make_dirs(const char *store_path, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = rf_path_format(path, "%s/live", err, store_path);
    if (status == RF_OK)
        status = rf_dir_make(path, err);
    if (status == RF_OK)
        status = rf_path_format(path, "%s/generations", err, store_path);
    if (status == RF_OK)
        status = rf_dir_make(path, err);
    return status == RF_OK ? rf_dir_sync(store_path, err) : status;
}

rf_status rf_catalog_open(const char *store_path, bool create, rf_catalog **catalog_out,
                          rf_err *err)
{
    rf_kv_options options = {.tables = {"catalog", "delta"}, .create = create};
    char path[RF_PATH_SIZE];

    rf_status status = create ? make_dirs(store_path, err) : RF_OK;
    if (status == RF_OK)
        status = rf_path_format(path, "%s/live", err, store_path);
    if (status != RF_OK)
        return status;
    rf_catalog *catalog = calloc(1, sizeof *catalog);
    if (!catalog || !(catalog->path = strdup(store_path)) ||
        pthread_mutex_init(&catalog->pins_mutex, NULL) != 0) {
        if (catalog)
            free(catalog->path);
        free(catalog);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", store_path);
    }
    status = rf_kv_open(path, &options, &catalog->kv, err);
    if (status == RF_OK)
        status = rf_witness_check(catalog, err);
    if (status != RF_OK) {
        rf_catalog_close(catalog);
        return status;
    }
    *catalog_out = catalog;
    return RF_OK;
}

void rf_catalog_close(rf_catalog *catalog)
{
    if (!catalog)
        return;
    RF_ASSERT(catalog->pins == NULL); /* readers are closed before their store */
    rf_kv_close(catalog->kv);
    (void)pthread_mutex_destroy(&catalog->pins_mutex);
    free(catalog->path);
    free(catalog);
}

rf_kv *rf_catalog_kv(rf_catalog *catalog)
{
    return catalog->kv;
}

rf_status rf_catalog_get_model(rf_catalog *catalog, const char *name, rf_catalog_model *model_out,
                               bool *found_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_model(txn, name, model_out, found_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_get_generation(rf_catalog *catalog, const char *name, uint64_t number,
                                    rf_catalog_generation *out, bool *found_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_generation(txn, name, number, out, found_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_get_position(rf_catalog *catalog, const char *name, uint64_t number,
                                  uint64_t *position_out, rf_err *err)
{
    rf_catalog_generation generation;
    bool found = false;

    rf_status status = rf_catalog_get_generation(catalog, name, number, &generation, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, name, number);
    if (status == RF_OK)
        *position_out = generation.position;
    return status;
}

rf_status rf_catalog_get_younger(rf_catalog *catalog, const char *name, uint64_t live,
                                 uint64_t *number_out, rf_err *err)
{
    rf_catalog_generation *known = NULL;
    uint32_t count = 0;
    uint64_t newest = 0, number = 0;

    rf_status status = rf_catalog_generations(catalog, name, &known, &count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        if (known[i].number == live && known[i].counts_as >= newest) {
            newest = known[i].counts_as;
            number = 0;
        } else if (known[i].replaced_by == 0 && known[i].counts_as > newest) {
            newest = known[i].counts_as;
            number = known[i].number;
        }
    }
    free(known);
    *number_out = number;
    return RF_OK;
}

rf_status rf_catalog_models(rf_catalog *catalog, rf_catalog_model **out, uint32_t *count_out,
                            rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_models(txn, out, count_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_generations(rf_catalog *catalog, const char *name, rf_catalog_generation **out,
                                 uint32_t *count_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_generations(txn, name, out, count_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_models_and_generations(rf_catalog *catalog, rf_catalog_model **models_out,
                                            uint32_t *model_count_out,
                                            rf_catalog_generation **generations_out,
                                            uint32_t *generation_count_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_models(txn, models_out, model_count_out, err);
    if (status == RF_OK) {
        status = rf_record_generations(txn, NULL, generations_out, generation_count_out, err);
        if (status != RF_OK)
            free(*models_out);
    }
    rf_kv_abort(txn);
    return status;
}

rf_status rf_catalog_path(rf_catalog *catalog, const char *name, uint64_t number,
                          char dir_out[RF_PATH_SIZE], rf_err *err)
{
    if (!rf_record_name_valid(name))
        return rf_fail(err, RF_ERR_ABSENT, "%s is no name of a read model", name);
    return rf_path_format(dir_out, "%s/generations/%s/%06" PRIu64, err, catalog->path, name,
                          number);
}

static rf_status note_number(void *arg, const char *name, rf_err *err)
{
    uint64_t *highest = arg;
    char *end;

    (void)err;
    unsigned long long number = strtoull(name, &end, 10);
    if (*name >= '0' && *name <= '9' && *end == '\0' && number < UINT64_MAX / 2 &&
        number > *highest)
        *highest = number;
    return RF_OK;
}

/* Takes the next number: above the highest ever given and above any directory that is there. */
static rf_status take_number(rf_catalog *catalog, const char *name, const char *dir,
                             uint64_t *number_out, rf_err *err)
{
    rf_catalog_model model;
    uint64_t highest = 0;
    rf_kv_txn *txn;
    bool found;

    rf_status status = rf_dir_list(dir, note_number, &highest, err);
    if (status == RF_OK)
        status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_model(txn, name, &model, &found, err);
    if (status == RF_OK) {
        uint64_t number = model.next_number > highest ? model.next_number : highest + 1;
        model.next_number = number + 1;
        status = rf_record_put_model(txn, &model, err);
        if (status == RF_OK)
            *number_out = number;
    }
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

/* A new directory with definition/ in it. */
static rf_status make_build_dir(const char *dir, rf_err *err)
{
    char definition[RF_PATH_SIZE];

    rf_status status = rf_path_format(definition, "%s/definition", err, dir);
    if (status == RF_OK)
        status = rf_dir_make(dir, err);
    if (status == RF_OK)
        status = rf_dir_make(definition, err);
    return status;
}

rf_status rf_catalog_new_generation(rf_catalog *catalog, const char *name, uint64_t *number_out,
                                    char dir_out[RF_PATH_SIZE], rf_err *err)
{
    char parent[RF_PATH_SIZE], dir[RF_PATH_SIZE];
    uint64_t number = 0;

    if (!rf_record_name_valid(name))
        return rf_fail(err, RF_ERR_INPUT, "%s is no name of a read model", name);
    rf_status status = rf_path_format(parent, "%s/generations/%s", err, catalog->path, name);
    if (status == RF_OK)
        status = rf_dir_make(parent, err);
    if (status == RF_OK)
        status = take_number(catalog, name, parent, &number, err);
    if (status == RF_OK)
        status = rf_catalog_path(catalog, name, number, dir, err);
    if (status == RF_OK)
        status = make_build_dir(dir, err);
    if (status != RF_OK)
        return status;
    memcpy(dir_out, dir, sizeof dir);
    *number_out = number;
    return RF_OK;
}

rf_status rf_catalog_sync_directories(rf_catalog *catalog, const char *name, rf_err *err)
{
    char all[RF_PATH_SIZE], parent[RF_PATH_SIZE];

    rf_status status = rf_path_format(all, "%s/generations", err, catalog->path);
    if (status == RF_OK)
        status = rf_path_format(parent, "%s/%s", err, all, name);
    if (status == RF_OK)
        status = rf_dir_sync(parent, err);
    return status == RF_OK ? rf_dir_sync(all, err) : status;
}

rf_status rf_catalog_new_scratch(rf_catalog *catalog, const char *name, char dir_out[RF_PATH_SIZE],
                                 rf_err *err)
{
    char parent[RF_PATH_SIZE], dir[RF_PATH_SIZE];

    if (!rf_record_name_valid(name))
        return rf_fail(err, RF_ERR_INPUT, "%s is no name of a read model", name);
    rf_status status = rf_path_format(parent, "%s/" SCRATCH, err, catalog->path);
    if (status == RF_OK)
        status = rf_path_format(dir, "%s/%s", err, parent, name);
    if (status == RF_OK)
        status = rf_dir_make(parent, err);
    if (status == RF_OK)
        status = make_build_dir(dir, err);
    if (status == RF_OK)
        memcpy(dir_out, dir, sizeof dir);
    return status;
}

rf_status rf_catalog_remove_scratch(rf_catalog *catalog, rf_err *err)
{
    char dir[RF_PATH_SIZE];

    rf_status status = rf_path_format(dir, "%s/" SCRATCH, err, catalog->path);
    return status == RF_OK ? rf_dir_remove(dir, err) : status;
}

rf_status rf_record_add_generation(rf_kv_txn *txn, const rf_manifest *manifest, uint32_t delta,
                                   uint64_t set, rf_err *err)
{
    rf_catalog_generation generation = {
        .number = manifest->number,
        .version = manifest->version,
        .content_hash = manifest->content_hash,
        .sealed_position = manifest->position,
        .sealed_rows = manifest->rows,
        .manifest_checksum = rf_manifest_checksum(manifest),
        .set = set,
        .counts_as = manifest->number,
    };
    rf_catalog_model model;
    uint64_t number = delta;
    bool found;

    RF_ASSERT(manifest->number > 0);
    memcpy(generation.name, manifest->name, sizeof generation.name);
    rf_status status = rf_record_get_model(txn, manifest->name, &model, &found, err);
    if (status == RF_OK && (!found || manifest->number >= model.next_number))
        status = rf_fail(err, RF_ERR_USAGE, "generation %" PRIu64 " of %s was never begun",
                         manifest->number, manifest->name);
    if (status == RF_OK && delta == 0)
        status = rf_record_take_number(txn, RF_RECORD_DELTAS, UINT32_MAX, &number, err);
    generation.delta = (uint32_t)number;
    return status == RF_OK ? rf_record_put_generation(txn, &generation, err) : status;
}

rf_status rf_catalog_add_generations(rf_catalog *catalog, const rf_manifest *const *manifests,
                                     uint32_t count, uint64_t *set, rf_err *err)
{
    rf_kv_txn *txn;
    uint64_t number = *set;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    if (number == 0)
        status = rf_record_take_number(txn, RF_RECORD_SETS, UINT64_MAX, &number, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = rf_record_add_generation(txn, manifests[i], 0, number, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    status = rf_kv_commit(txn, err);
    if (status == RF_OK)
        *set = number;
    return status;
}

rf_status rf_catalog_check_manifest(rf_catalog *catalog, const rf_catalog_generation *generation,
                                    rf_manifest *manifest_out, rf_err *err)
{
    char dir[RF_PATH_SIZE], path[RF_PATH_SIZE];
    rf_manifest manifest;
    struct stat info;

    rf_status status = rf_catalog_path(catalog, generation->name, generation->number, dir, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status == RF_ERR_ABSENT)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: its MANIFEST is missing", dir);
    if (status != RF_OK)
        return status;
    if (rf_manifest_checksum(&manifest) != generation->manifest_checksum)
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "%s/MANIFEST: damaged: it is not the one that was sealed", dir);
    for (uint32_t i = 0; status == RF_OK && i < manifest.file_count; i++) {
        const rf_base_file *file = &manifest.files[i];
        status = rf_path_format(path, "%s/%s", err, dir, file->name);
        if (status == RF_OK && (stat(path, &info) != 0 || (uint64_t)info.st_size != file->size))
            status = rf_fail(err, RF_ERR_DAMAGED,
                             "%s: damaged: missing, or not the %" PRIu64 " bytes that were sealed",
                             path, file->size);
    }
    if (status != RF_OK) {
        rf_manifest_free(&manifest);
        return status;
    }
    *manifest_out = manifest;
    return RF_OK;
}

static rf_status check_name(const char *name, rf_err *err)
{
    return rf_record_name_valid(name)
               ? RF_OK
               : rf_fail(err, RF_ERR_USAGE, "%s is no name of a read model", name);
}

rf_status rf_catalog_skips(rf_catalog *catalog, const char *name, rf_left_out_list *list_out,
                           rf_err *err)
{
    rf_left_out_list list;
    rf_kv_txn *txn;

    rf_status status = check_name(name, err);
    if (status == RF_OK)
        status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    rf_left_out_list_init(&list);
    status = rf_record_skips(txn, name, &list, err);
    rf_kv_abort(txn);
    if (status != RF_OK) {
        rf_left_out_list_free(&list);
        return status;
    }
    *list_out = list;
    return RF_OK;
}

rf_status rf_catalog_put_skip(rf_catalog *catalog, const char *name, const rf_left_out *skip,
                              rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = check_name(name, err);
    if (status == RF_OK)
        status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_put_skip(txn, name, skip, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_remove_skip(rf_catalog *catalog, const char *name, uint64_t position,
                                 bool *found_out, rf_err *err)
{
    bool found = false;
    rf_kv_txn *txn;

    rf_status status = check_name(name, err);
    if (status == RF_OK)
        status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_delete_skip(txn, name, position, &found, err);
    if (status != RF_OK || !found)
        rf_kv_abort(txn);
    else
        status = rf_kv_commit(txn, err);
    if (status == RF_OK)
        *found_out = found;
    return status;
}

rf_checkpoint rf_catalog_checkpoint_of_base(const rf_manifest *manifest)
{
    rf_checkpoint checkpoint = {
        .position = manifest->position,
        .digest = manifest->digest,
        .time_last = manifest->time_last,
        .events = manifest->events,
    };

    checkpoint.digest.rows = manifest->rows;
    return checkpoint;
}

rf_status rf_catalog_checkpoint(rf_catalog *catalog, const rf_manifest *manifest,
                                rf_checkpoint *checkpoint_out, rf_err *err)
{
    rf_checkpoint checkpoint = rf_catalog_checkpoint_of_base(manifest);
    rf_kv_txn *txn;
    bool found;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_checkpoint(txn, manifest->name, manifest->number, &checkpoint, &found,
                                      err);
    rf_kv_abort(txn);
    if (status == RF_OK)
        *checkpoint_out = checkpoint;
    return status;
}

rf_status rf_catalog_left_out(rf_catalog *catalog, const rf_manifest *manifest,
                              rf_left_out_list *list_out, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    rf_left_out_list list;
    rf_kv_txn *txn;

    rf_status status = rf_catalog_path(catalog, manifest->name, manifest->number, dir, err);
    if (status == RF_OK)
        status = rf_quarantine_read(dir, manifest->left_out, manifest->left_out_checksum, &list,
                                    err);
    if (status != RF_OK)
        return status;
    status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status == RF_OK) {
        status = rf_record_left_out(txn, manifest->name, manifest->number, &list, err);
        rf_kv_abort(txn);
    }
    if (status != RF_OK) {
        rf_left_out_list_free(&list);
        return status;
    }
    *list_out = list;
    return RF_OK;
}
