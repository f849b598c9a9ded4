/* See resolve.h. */
#include "generation/resolve.h"

#include "projection/evolution_file.h"

#include <stdlib.h>

static bool is_path(rf_slice projection)
{
    const rf_slice endings[] = {RF_SLICE(".so"), RF_SLICE(".lua")};

    if (memchr(projection.data, '/', projection.size))
        return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        rf_slice ending = endings[i];
        if (projection.size > ending.size &&
            memcmp(projection.data + projection.size - ending.size, ending.data, ending.size) == 0)
            return true;
    }
    return false;
}

/* `evolution_out` has RF_PATH_SIZE bytes and is empty where there is none. */
static rf_status check_kept(rf_store *store, const char *name, uint64_t number, char *path_out,
                            char *evolution_out, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    char folder[RF_PATH_SIZE];
    rf_manifest manifest;
    rf_hash128 hash;

    rf_status status = rf_catalog_path(store->catalog, name, number, dir, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status != RF_OK)
        return status;
    rf_hash128 expected = manifest.content_hash;
    status = rf_path_format(path_out, "%s/definition/%s", err, dir, manifest.definition_file);
    if (status == RF_OK)
        status = rf_path_format(folder, "%s/definition", err, dir);
    evolution_out[0] = '\0';
    if (status == RF_OK && manifest.evolution_file[0] != '\0')
        status = rf_evolution_file_path(folder, manifest.evolution_file, evolution_out, err);
    rf_manifest_free(&manifest);
    if (status == RF_OK)
        status = rf_definition_hash_file(path_out, &hash, err);
    if (status == RF_OK && evolution_out[0] != '\0')
        status = rf_evolution_file_hash(evolution_out, &hash, err);
    if (status == RF_OK && (hash.low != expected.low || hash.high != expected.high))
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "%s: the kept definition is not the one that generation %llu was built "
                         "with; its rows still serve",
                         path_out, (unsigned long long)number);
    return status;
}

rf_status rf_resolve_check_kept(rf_store *store, const char *name, uint64_t number, char *path_out,
                                rf_err *err)
{
    char evolution[RF_PATH_SIZE];

    return check_kept(store, name, number, path_out, evolution, err);
}

rf_status rf_resolve_kept(rf_store *store, const char *name, uint64_t number,
                          rf_definition **definition_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    char evolution[RF_PATH_SIZE];
    rf_definition *definition = rf_kept_find(store->kept, name, number);

    if (definition) {
        *definition_out = definition;
        return RF_OK;
    }
    rf_status status = check_kept(store, name, number, path, evolution, err);
    if (status == RF_OK)
        status = rf_definition_load(path, &definition, err);
    if (status != RF_OK)
        return status;
    if (evolution[0] != '\0')
        status = rf_evolution_file_load(evolution, definition, err);
    if (status != RF_OK) {
        rf_definition_free(definition);
        return status;
    }
    rf_kept_put(store->kept, number, definition);
    *definition_out = definition;
    return RF_OK;
}

static rf_status resolve_live(rf_store *store, const char *name, rf_definition **definition_out,
                              rf_err *err)
{
    rf_catalog_model model;
    bool found = false;

    if (!rf_name_valid(rf_slice_of(name)))
        return rf_fail(
            err, RF_ERR_USAGE,
            "%s: neither the path of a projection (./NAME.so) nor the name of a read model", name);
    rf_status status = rf_catalog_get_model(store->catalog, name, &model, &found, err);
    if (status != RF_OK)
        return status;
    if (!found || model.live == 0)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: no live read model of this name; give the path of its projection",
                       name);
    return rf_resolve_kept(store, name, model.live, definition_out, err);
}

static rf_status resolve_one(rf_store *store, const char *projection,
                             rf_definition **definition_out, rf_err *err)
{
    if (is_path(rf_slice_of(projection)))
        return rf_definition_load(projection, definition_out, err);
    return resolve_live(store, projection, definition_out, err);
}

static rf_status add(rf_resolved *resolved, rf_definition *definition, rf_err *err)
{
    for (uint32_t i = 0; i < resolved->count; i++) {
        if (strcmp(resolved->definitions[i]->name, definition->name) == 0) {
            rf_status status =
                rf_fail(err, RF_ERR_USAGE, "%s is named twice (%s and %s)", definition->name,
                        resolved->definitions[i]->path, definition->path);
            rf_definition_free(definition);
            return status;
        }
    }
    resolved->definitions[resolved->count++] = definition;
    return RF_OK;
}

static rf_status resolve_named(rf_store *store, const char *const *projections, uint32_t count,
                               rf_resolved *resolved, rf_err *err)
{
    rf_status status = RF_OK;

    resolved->definitions = calloc(count ? count : 1, sizeof *resolved->definitions);
    if (!resolved->definitions)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", count);
    for (uint32_t i = 0; i < count && status == RF_OK; i++) {
        rf_definition *definition;
        status = resolve_one(store, projections[i], &definition, err);
        if (status == RF_OK)
            status = add(resolved, definition, err);
    }
    return status;
}

static rf_status resolve_all(rf_store *store, rf_resolved *resolved, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t model_count = 0;

    rf_status status = rf_catalog_models(store->catalog, &models, &model_count, err);
    if (status != RF_OK)
        return status;
    const char **names = calloc(model_count ? model_count : 1, sizeof *names);
    uint32_t count = 0;
    for (uint32_t i = 0; names && i < model_count; i++)
        if (models[i].live != 0)
            names[count++] = models[i].name;
    if (!names)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", model_count);
    else if (count == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no read model is live yet: a rebuild with the path of a projection makes one live", store->path);
    else
        status = resolve_named(store, names, count, resolved, err);
    free(names);
    free(models);
    return status;
}

rf_status rf_resolve(rf_store *store, const char *const *projections, uint32_t projection_count,
                     bool all, rf_resolved *resolved_out, rf_err *err)
{
    rf_resolved resolved = {0};
    rf_status status;

    if (all && projection_count > 0)
        return rf_fail(err, RF_ERR_USAGE, "either all read models or named projections, not both");
    if (!all && projection_count == 0)
        return rf_fail(err, RF_ERR_USAGE, "no projection is named");
    if (all)
        status = resolve_all(store, &resolved, err);
    else
        status = resolve_named(store, projections, projection_count, &resolved, err);
    if (status != RF_OK) {
        rf_resolved_free(&resolved);
        return status;
    }
    *resolved_out = resolved;
    return RF_OK;
}

rf_status rf_resolve_evolution(const rf_resolved *resolved, const char *const *projections,
                               const char *file, rf_err *err)
{
    rf_status status = RF_OK;
    uint32_t count = 0;

    for (uint32_t i = 0; status == RF_OK && file && i < resolved->count; i++) {
        rf_definition *definition = resolved->definitions[i];
        if (!projections || !is_path(rf_slice_of(projections[i])) || !definition->plugin)
            continue;
        count++;
        status = rf_evolution_file_load(file, definition, err);
    }
    if (status == RF_OK && file && count == 0)
        return rf_fail(err, RF_ERR_USAGE,
                       "%s: an evolution is for plugins that are named by their path; a Lua "
                       "projection says `evolution \"FILE\"`, and a live one keeps its own",
                       file);
    return status;
}

void rf_resolved_free(rf_resolved *resolved)
{
    for (uint32_t i = 0; i < resolved->count; i++)
        rf_definition_free(resolved->definitions[i]);
    free(resolved->definitions);
    *resolved = (rf_resolved){0};
}
