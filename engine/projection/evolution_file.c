/* See evolution_file.h. */
#include "projection/evolution_file.h"

#include "base/file.h"
#include "projection/lua_state.h"

#include <libgen.h>
#include <stdlib.h>

struct rf_evolution_file {
    rf_lua_file *file;
    rf_lua_state *state; /* whose tables the evolution was made of */
    char name[256];
};

static rf_status take_name(rf_evolution_file *file, const char *path, rf_err *err)
{
    char copy[RF_PATH_SIZE];

    rf_status status = rf_path_format(copy, "%s", err, path);
    if (status != RF_OK)
        return status;
    const char *name = basename(copy);
    size_t size = strlen(name);
    if (size >= sizeof file->name || size < 5 || strcmp(name + size - 4, ".lua") != 0)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: an evolution is a Lua file: NAME.lua", path);
    memcpy(file->name, name, size + 1);
    return RF_OK;
}

rf_status rf_evolution_file_load(const char *path, rf_definition *definition, rf_err *err)
{
    rf_evolution_file *file = calloc(1, sizeof *file);
    rf_evolution *evolution;
    rf_hash128 hash;

    RF_ASSERT(!definition->evolution && !definition->evolution_file);
    if (!file)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    definition->evolution_file = file;
    rf_status status = take_name(file, path, err);
    if (status == RF_OK)
        status = rf_lua_file_open(path, &file->file, err);
    if (status == RF_OK)
        status = rf_lua_state_new_evolution(file->file, &file->state, err);
    if (status == RF_OK)
        status = rf_evolution_new(rf_lua_state_evolution(file->state), &evolution, err);
    if (status != RF_OK)
        return status;
    hash = rf_lua_file_hash(file->file);
    rf_definition_hash_engine(definition, rf_lua_state_uses_zones(file->state));
    return rf_definition_evolve(definition, evolution,
                                (rf_slice){(const char *)&hash, sizeof hash}, err);
}

void rf_evolution_file_free(rf_definition *definition)
{
    rf_evolution_file *file = definition->evolution_file;

    if (!file)
        return;
    rf_lua_state_free(file->state);
    rf_lua_file_free(file->file);
    free(file);
    definition->evolution_file = NULL;
}

const char *rf_evolution_file_name(const rf_definition *definition)
{
    return definition->evolution_file ? definition->evolution_file->name : NULL;
}

rf_status rf_evolution_file_path(const char *dir, const char *name, char *path_out, rf_err *err)
{
    return rf_path_format(path_out, "%s/evolution/%s", err, dir, name);
}

rf_status rf_evolution_file_save(const rf_definition *definition, const char *dir, rf_err *err)
{
    const rf_evolution_file *file = definition->evolution_file;
    char folder[RF_PATH_SIZE];
    char path[RF_PATH_SIZE];

    RF_ASSERT(file);
    rf_status status = rf_path_format(folder, "%s/evolution", err, dir);
    if (status == RF_OK)
        status = rf_dir_make(folder, err);
    if (status == RF_OK)
        status = rf_evolution_file_path(dir, file->name, path, err);
    if (status == RF_OK)
        status = rf_lua_file_save(file->file, path, err);
    return status;
}

rf_status rf_evolution_file_hash(const char *path, rf_hash128 *hash, rf_err *err)
{
    rf_lua_file *file = NULL;

    rf_status status = rf_lua_file_open(path, &file, err);
    if (status == RF_OK)
        status = rf_lua_file_take_all(file, err);
    if (status == RF_OK) {
        rf_hash128 own = rf_lua_file_hash(file);
        *hash = rf_evolution_hash(*hash, (rf_slice){(const char *)&own, sizeof own});
    }
    rf_lua_file_free(file);
    return status;
}
