/* See lua_file.h. */
#include "projection/lua_file.h"

#include "base/file.h"
#include "projection/lua_state.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

static rf_status add_part(rf_lua_file *file, const char *path, const char *name, rf_err *err)
{
    if (file->count == RF_LUA_FILES_MAX)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d files", path, RF_LUA_FILES_MAX);
    rf_lua_part *part = &file->parts[file->count];
    rf_buf_init(&part->bytes, RF_LUA_SIZE_MAX);
    rf_status status = rf_file_read(path, &part->bytes, err);
    part->name = strdup(name);
    if (status == RF_OK && !part->name)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    rf_slice bytes = rf_buf_slice(&part->bytes);
    if (status == RF_OK && (!rf_utf8_valid(bytes) || memchr(bytes.data, '\0', bytes.size)))
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: no Lua source: not UTF-8 text", path);
    if (status != RF_OK) {
        rf_buf_free(&part->bytes);
        free(part->name);
        *part = (rf_lua_part){0};
        return status;
    }
    file->count++;
    return RF_OK;
}

rf_status rf_lua_file_open(const char *path, rf_lua_file **file_out, rf_err *err)
{
    rf_lua_file *file = calloc(1, sizeof *file);

    RF_ASSERT(path && file_out);
    if (!file)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    RF_ASSERT(pthread_mutex_init(&file->lock, NULL) == 0);
    rf_status status = add_part(file, path, path, err);
    if (status != RF_OK) {
        rf_lua_file_free(file);
        return status;
    }
    *file_out = file;
    return RF_OK;
}

void rf_lua_file_free(rf_lua_file *file)
{
    if (!file)
        return;
    rf_lua_state_free_idle(file);
    for (uint32_t i = 0; i < file->count; i++) {
        rf_buf_free(&file->parts[i].bytes);
        free(file->parts[i].name);
    }
    (void)pthread_mutex_destroy(&file->lock);
    free(file);
}

/* The path of a file beside `path`. */
static rf_status beside(const char *path, const char *name, char out[RF_PATH_SIZE], rf_err *err)
{
    char copy[RF_PATH_SIZE];

    rf_status status = rf_path_format(copy, "%s", err, path);
    return status == RF_OK ? rf_path_format(out, "%s/%s", err, dirname(copy), name) : status;
}

rf_status rf_lua_file_require(rf_lua_file *file, const char *name, const rf_lua_part **part_out,
                              rf_err *err)
{
    char file_name[256];
    char path[RF_PATH_SIZE];

    RF_ASSERT(file->count > 0);
    if ((size_t)snprintf(file_name, sizeof file_name, "%s.lua", name) >= sizeof file_name)
        return rf_fail(err, RF_ERR_PLUGIN, "the file name is too long");
    rf_status status = rf_path_format(path, "%s", err, file->parts[0].name);
    if (status == RF_OK && strcmp(basename(path), file_name) == 0)
        return rf_fail(err, RF_ERR_PLUGIN, "the file requires itself");
    for (uint32_t i = 1; i < file->count; i++)
        if (strcmp(file->parts[i].name, file_name) == 0) {
            *part_out = &file->parts[i];
            return RF_OK;
        }
    if (file->complete)
        return rf_fail(err, RF_ERR_PLUGIN, "%s was not required when the projection was loaded",
                       file_name);
    if (status == RF_OK)
        status = beside(file->parts[0].name, file_name, path, err);
    if (status == RF_OK)
        status = add_part(file, path, file_name, err);
    if (status == RF_OK)
        *part_out = &file->parts[file->count - 1];
    return status;
}

static int compare_names(const void *left, const void *right)
{
    const rf_lua_part *const *a = left;
    const rf_lua_part *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

rf_hash128 rf_lua_file_hash(const rf_lua_file *file)
{
    const rf_lua_part *sorted[RF_LUA_FILES_MAX];
    rf_hash128 hashes[2 * RF_LUA_FILES_MAX];
    size_t count = 0;

    RF_ASSERT(file->count > 0);
    for (uint32_t i = 1; i < file->count; i++)
        sorted[i - 1] = &file->parts[i];
    qsort(sorted, file->count - 1, sizeof *sorted, compare_names);
    hashes[count++] = rf_hash128_of(rf_buf_slice(&file->parts[0].bytes));
    for (uint32_t i = 0; i + 1 < file->count; i++) {
        hashes[count++] = rf_hash128_of(rf_slice_of(sorted[i]->name));
        hashes[count++] = rf_hash128_of(rf_buf_slice(&sorted[i]->bytes));
    }
    return rf_hash128_of((rf_slice){(const char *)hashes, count * sizeof hashes[0]});
}

struct others {
    rf_lua_file *file;
    const char *main_name;
};

static rf_status take_other(void *arg, const char *name, rf_err *err)
{
    struct others *others = arg;
    char path[RF_PATH_SIZE];

    if (strcmp(name, others->main_name) == 0)
        return RF_OK;
    rf_status status = beside(others->file->parts[0].name, name, path, err);
    return status == RF_OK ? add_part(others->file, path, name, err) : status;
}

rf_status rf_lua_file_take_all(rf_lua_file *file, rf_err *err)
{
    char folder[RF_PATH_SIZE];
    char main_name[RF_PATH_SIZE];

    RF_ASSERT(file->count == 1);
    rf_status status = rf_path_format(folder, "%s", err, file->parts[0].name);
    if (status == RF_OK)
        status = rf_path_format(main_name, "%s", err, file->parts[0].name);
    if (status != RF_OK)
        return status;
    struct others others = {file, basename(main_name)};
    return rf_dir_list(dirname(folder), take_other, &others, err);
}

rf_status rf_lua_file_save(const rf_lua_file *file, const char *path, rf_err *err)
{
    rf_status status = rf_file_write(path, rf_buf_slice(&file->parts[0].bytes), err);

    for (uint32_t i = 1; status == RF_OK && i < file->count; i++) {
        char other[RF_PATH_SIZE];
        status = beside(path, file->parts[i].name, other, err);
        if (status == RF_OK)
            status = rf_file_write(other, rf_buf_slice(&file->parts[i].bytes), err);
    }
    return status;
}
