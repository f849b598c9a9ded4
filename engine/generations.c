/* Generations as the library shows them: listing, gc and status; see refold/generation.h. */
#include "catalog/named.h"
#include "refold/generation.h"
#include "store/quarantine.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>

enum { KEEP_DEFAULT = 3 };

struct rf_generations {
    rf_generation *items; /* owned, as is all that they point at */
    uint32_t count;
};

static bool same_hash(rf_hash128 a, rf_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static bool is_held(const rf_catalog_model *model, rf_hash128 content)
{
    for (uint32_t i = 0; i < model->held_count; i++)
        if (same_hash(model->held[i].content, content))
            return true;
    return false;
}

/* Whether a newer definition than the live one was rolled back from: one of a higher version, or of the same. */
static bool holds_newer(const rf_catalog_model *model, uint32_t version)
{
    for (uint32_t i = 0; i < model->held_count; i++)
        if (model->held[i].version >= version)
            return true;
    return false;
}

void rf_generations_free(rf_generations *list)
{
    if (!list)
        return;
    for (uint32_t i = 0; i < list->count; i++) {
        free((void *)(uintptr_t)list->items[i].name);
        free((void *)(uintptr_t)list->items[i].definition_file);
    }
    free(list->items);
    free(list);
}

/* A damaged manifest hides its own facts, not the generation: it has to stay visible to be
 * collected. */
static rf_status describe(rf_store *store, const rf_catalog_generation *known,
                          const rf_catalog_model *model, rf_generation *item, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    rf_manifest manifest;
    const char *definition_file = "";

    rf_status status = rf_catalog_path(store->catalog, known->name, known->number, dir, err);
    if (status != RF_OK)
        return status;
    bool whole = rf_manifest_read(dir, &manifest, NULL) == RF_OK;
    *item = (rf_generation){
        .number = known->number,
        .live = known->number == model->live,
        .held = is_held(model, known->content_hash),
        .colour = rf_catalog_colour_of(model, known->number) != NULL,
        .pinned = known->is_pinned,
        .version = known->version,
        .position = known->position,
        .rows = known->rows,
        .set = known->set,
        .replaced_by = known->replaced_by,
    };
    rf_hash128_format(known->content_hash, item->content_hash);
    if (whole) {
        rf_checkpoint checkpoint;
        status = rf_catalog_checkpoint(store->catalog, &manifest, &checkpoint, err);
        if (status != RF_OK) {
            rf_manifest_free(&manifest);
            return status;
        }
        item->sealed_at = manifest.sealed_at;
        item->delta_rows = checkpoint.delta_rows;
        item->bytes = checkpoint.delta_bytes;
        rf_digest_format(&checkpoint.digest, item->digest);
        for (uint32_t i = 0; i < manifest.file_count; i++)
            item->bytes += manifest.files[i].size;
        definition_file = manifest.definition_file;
    }
    item->name = strdup(known->name);
    item->definition_file = strdup(definition_file);
    if (whole)
        rf_manifest_free(&manifest);
    if (!item->name || !item->definition_file)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a list of generations");
    return RF_OK;
}

/* Adds one, unless another version is asked for. */
static rf_status add_item(rf_store *store, const rf_catalog_generation *known, uint32_t version,
                          rf_catalog_model *model, rf_generations *list, rf_err *err)
{
    rf_status status = RF_OK;
    bool found;

    if (version != 0 && version != known->version)
        return RF_OK;
    if (strcmp(known->name, model->name) != 0)
        status = rf_catalog_get_model(store->catalog, known->name, model, &found, err);
    return status == RF_OK ? describe(store, known, model, &list->items[list->count++], err)
                           : status;
}

/* Of which read model, and of which of its versions: 0 for all. */
static rf_status find_model(rf_store *store, const char *name, rf_named *named_out,
                            rf_catalog_model *model_out, rf_err *err)
{
    bool found = false;

    rf_status status = rf_named_parse(name, named_out, err);
    if (status == RF_OK)
        status = rf_catalog_get_model(store->catalog, named_out->name, model_out, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", named_out->name);
    return status;
}

rf_status rf_generations_list(rf_store *store, const char *name, rf_generations **list_out,
                              rf_err *err)
{
    rf_catalog_generation *known = NULL;
    rf_catalog_model model = {0};
    rf_named named = {.version = 0};
    uint32_t count = 0;

    rf_status status = name ? find_model(store, name, &named, &model, err) : RF_OK;
    if (status == RF_OK)
        status = rf_catalog_generations(store->catalog, name ? named.name : NULL, &known, &count,
                                        err);
    if (status != RF_OK)
        return status;
    rf_generations *list = calloc(1, sizeof *list);
    if (list)
        list->items = calloc(count + 1, sizeof *list->items);
    if (!list || !list->items)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a list of generations");
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = add_item(store, &known[i], named.version, &model, list, err);
    free(known);
    if (status == RF_OK && named.version != 0 && list->count == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no generation has this version", name);
    if (status != RF_OK) {
        rf_generations_free(list);
        return status;
    }
    *list_out = list;
    return RF_OK;
}

const rf_generation *rf_generations_items(const rf_generations *list, uint32_t *count_out)
{
    *count_out = list->count;
    return list->items;
}

rf_status rf_gc(rf_store *store, const char *name, uint32_t keep, int64_t wait_lock_ms,
                rf_gc_result *result_out, rf_err *err)
{
    int lock = -1;

    rf_status status = rf_store_lock(store, wait_lock_ms, &lock, err);
    if (status != RF_OK)
        return status;
    status = rf_catalog_gc(store->catalog, name, keep ? keep : KEEP_DEFAULT, false, wait_lock_ms,
                           result_out, err);
    rf_lock_release(lock);
    return status;
}

/* The largest time of any event in the log; RF_TIME_NONE if none has one. */
static rf_status last_time(rf_store *store, int64_t *time_out, rf_err *err)
{
    const rf_census_type *types;
    uint32_t count;
    rf_census *census = rf_census_new();

    if (!census)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the census");
    rf_status status = rf_log_census(store->log, census, err);
    if (status == RF_OK)
        status = rf_census_list(census, &types, &count, err);
    if (status == RF_OK) {
        *time_out = RF_TIME_NONE;
        for (uint32_t i = 0; i < count; i++)
            if (types[i].time_max > *time_out)
                *time_out = types[i].time_max;
    }
    rf_census_free(census);
    return status;
}

/* What a status is made of: where the log stands, and the generations as they were when the models were read. */
struct moment {
    uint64_t position;
    int64_t time;
    rf_catalog_generation *generations;
    uint32_t generation_count;
};

static const rf_catalog_generation *generation_of(const struct moment *moment, const char *name,
                                                  uint64_t number)
{
    for (uint32_t i = 0; i < moment->generation_count; i++)
        if (moment->generations[i].number == number &&
            strcmp(moment->generations[i].name, name) == 0)
            return &moment->generations[i];
    return NULL;
}

/* What MANIFEST and checkpoint tell; of a damaged one nothing. */
static rf_status add_checkpoint(rf_store *store, const rf_catalog_generation *served,
                                const struct moment *moment, rf_model_status *out, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    rf_manifest manifest;
    rf_checkpoint checkpoint;
    rf_quarantine_counts counts = {0};

    rf_status status = rf_catalog_path(store->catalog, served->name, served->number, dir, err);
    if (status != RF_OK || rf_manifest_read(dir, &manifest, NULL) != RF_OK)
        return status;
    status = rf_catalog_checkpoint(store->catalog, &manifest, &checkpoint, err);
    /* A late event may be younger in the model than the log's last: never less than nothing. */
    if (status == RF_OK && checkpoint.time_last != RF_TIME_NONE && moment->time != RF_TIME_NONE)
        out->staleness_s = moment->time > checkpoint.time_last
                               ? ((double)moment->time - (double)checkpoint.time_last) / 1e6
                               : 0;
    if (status == RF_OK)
        status = rf_quarantine_count(store, &manifest, &counts, err);
    out->left_out = counts.left_out;
    out->pending = counts.pending;
    rf_manifest_free(&manifest);
    return status;
}

/* The live one, or a colour. */
static rf_status served_status(rf_store *store, const rf_catalog_model *model,
                               const rf_catalog_colour *colour, const struct moment *moment,
                               rf_model_status *out, rf_err *err)
{
    uint64_t number = colour ? colour->number : model->live;
    rf_named named = {.version = colour ? colour->version : 0};
    rf_catalog_suspension suspension;
    char text[RF_NAMED_TEXT_SIZE];
    bool suspended = false;

    memcpy(named.name, model->name, sizeof named.name);
    const rf_catalog_generation *served = generation_of(moment, model->name, number);
    if (!served)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: its %s generation %" PRIu64 " is not known",
                       model->name, colour ? "kept" : "live", number);
    *out = (rf_model_status){
        .version = served->version,
        .generation = served->number,
        .position = served->position,
        .lag = moment->position > served->position ? moment->position - served->position : 0,
        .staleness_s = -1,
        .rows = served->rows,
        .held = colour ? is_held(model, served->content_hash) : holds_newer(model, served->version),
    };
    rf_status status = add_checkpoint(store, served, moment, out, err);
    if (status == RF_OK)
        status = rf_catalog_get_suspension(store->catalog, model->name, number, &suspension,
                                           &suspended, err);
    if (status != RF_OK)
        return status;
    if (suspended) {
        out->suspended_at = suspension.position;
        out->suspended = strdup(suspension.reason);
    }
    rf_named_format(&named, text);
    out->name = strdup(text);
    return out->name && (out->suspended || !suspended)
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for a status");
}

static rf_status model_status(rf_store *store, const rf_catalog_model *model,
                              const struct moment *moment, rf_model_status *out, rf_err *err)
{
    rf_status status = served_status(store, model, NULL, moment, out, err);

    if (status != RF_OK || model->colour_count == 0)
        return status;
    out->colours = calloc(model->colour_count, sizeof *out->colours);
    if (!out->colours)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a status");
    for (uint32_t i = 0; status == RF_OK && i < model->colour_count; i++) {
        rf_model_status *colour = &out->colours[out->colour_count];
        status = served_status(store, model, &model->colours[i], moment, colour, err);
        out->colour_count += colour->name || colour->suspended ? 1 : 0;
    }
    return status;
}

static void model_status_free(rf_model_status *model)
{
    for (uint32_t i = 0; i < model->colour_count; i++) {
        free((void *)(uintptr_t)model->colours[i].name);
        free((void *)(uintptr_t)model->colours[i].suspended);
    }
    free(model->colours);
    free((void *)(uintptr_t)model->name);
    free((void *)(uintptr_t)model->suspended);
}

rf_status rf_store_status(rf_store *store, rf_status_report **report_out, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;
    rf_log_info info;
    struct moment moment = {.time = RF_TIME_NONE};

    rf_status status = rf_log_get_info(store->log, &info, err);
    if (status == RF_OK)
        status = last_time(store, &moment.time, err);
    if (status == RF_OK)
        status = rf_catalog_models_and_generations(store->catalog, &models, &count, &moment.generations,
                                                   &moment.generation_count, err);
    if (status != RF_OK)
        return status;
    moment.position = info.position;
    rf_status_report *report = calloc(1, sizeof *report);
    if (report)
        report->models = calloc(count + 1, sizeof *report->models);
    if (!report || !report->models)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a status");
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        if (models[i].live == 0)
            continue;
        status = model_status(store, &models[i], &moment, &report->models[report->model_count], err);
        report->model_count++;
    }
    free(models);
    free(moment.generations);
    if (status != RF_OK) {
        rf_status_report_free(report);
        return status;
    }
    report->position = info.position;
    *report_out = report;
    return RF_OK;
}

void rf_status_report_free(rf_status_report *report)
{
    if (!report)
        return;
    for (uint32_t i = 0; report->models && i < report->model_count; i++)
        model_status_free(&report->models[i]);
    free(report->models);
    free(report);
}
