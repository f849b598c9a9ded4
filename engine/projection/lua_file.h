/* A Lua projection's file and what it requires: read once, and exactly what was read is what runs,
 * is hashed and is kept with a generation.
 *
 * The main file is read at once; the files beside it when the projection requires them for the first
 * time. Confined to its thread until the projection is loaded, immutable from then on; but for the states of it
 * that nobody uses, which any thread takes and leaves (lua_state.h).
 */
#ifndef RF_PROJECTION_LUA_FILE_H
#define RF_PROJECTION_LUA_FILE_H

#include "base/bytes.h"
#include "base/checksum.h"

#include <pthread.h>

enum { RF_LUA_SIZE_MAX = 4 << 20, RF_LUA_FILES_MAX = 64 };

typedef struct rf_lua_part {
    char *name; /* file name: NAME.lua; of the main file its path */
    rf_buf bytes;
} rf_lua_part;

typedef struct rf_lua_file {
    rf_lua_part parts[RF_LUA_FILES_MAX]; /* the main file first */
    uint32_t count;
    bool complete; /* nothing more is read from the disk */
    pthread_mutex_t lock;
    /* guarded by `lock` */
    struct rf_lua_state *idle; /* states that nobody uses */
    uint32_t idle_count;
} rf_lua_file;

rf_status rf_lua_file_open(const char *path, rf_lua_file **file_out, rf_err *err);
void rf_lua_file_free(rf_lua_file *file); /* takes NULL */
/* The part that `require (name)` means; *part_out is valid until free. RF_ERR_PLUGIN where it is no
 * text, or there is none. */
rf_status rf_lua_file_require(rf_lua_file *file, const char *name, const rf_lua_part **part_out,
                              rf_err *err);
/* Of the main file, and of names and bytes of the others in the order of names. */
rf_hash128 rf_lua_file_hash(const rf_lua_file *file);
/* Takes in all files beside the main one: those of a kept definition. */
rf_status rf_lua_file_take_all(rf_lua_file *file, rf_err *err);
/* New files, not durable: the main one at `path`, the others beside it. */
rf_status rf_lua_file_save(const rf_lua_file *file, const char *path, rf_err *err);

#endif
