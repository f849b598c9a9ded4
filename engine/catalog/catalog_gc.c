/* Removing generations; see catalog.h.
 *
 * Kept are the live one, the one that a rollback would go to, and then the newest; beside them, and not
 * counted, colours and what the user pinned. One that another has the place of is not kept. A generation
 * that goes is locked by its MANIFEST first, without waiting: readers hold it shared, so one that
 * is read is skipped. Its record goes before its directory, so a crash in between leaves a leftover
 * and never a record of nothing.
 */
#include "catalog/delta.h"
#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SPARE "generations/.spare" /* no name of a read model begins with a dot */
enum { BATCH = 64 }; /* generations removed under one lock of live/SWAP */

typedef struct gc_victim {
    uint64_t number;
    int lock_fd;
    char dir[RF_PATH_SIZE];
} gc_victim;

typedef struct counting {
    const char *dir;
    uint64_t bytes;
} counting;

static rf_status count_entry(void *arg, const char *name, rf_err *err)
{
    counting *count = arg;
    char path[RF_PATH_SIZE];

    rf_status status = rf_path_format(path, "%s/%s", err, count->dir, name);
    if (status != RF_OK)
        return status;
    if (!rf_path_is_dir(path)) {
        count->bytes += rf_file_freed(path);
        return RF_OK;
    }
    counting inner = {path, 0};
    status = rf_dir_list(path, count_entry, &inner, err);
    count->bytes += inner.bytes;
    return status;
}

/* Bytes that removing a directory gives back: base files that other generations share are none of them. What
 * cannot be looked at counts nothing. */
static uint64_t freed_by(const char *dir)
{
    counting count = {dir, 0};

    (void)rf_dir_list(dir, count_entry, &count, NULL);
    return count.bytes;
}

/* Takes the lock of a generation that is to go; *busy_out if a reader holds it. */
static rf_status victim_lock(gc_victim *victim, bool *busy_out, rf_err *err)
{
    char path[RF_PATH_SIZE];

    victim->lock_fd = -1;
    *busy_out = false;
    rf_status status = rf_path_format(path, "%s/MANIFEST", err, victim->dir);
    if (status != RF_OK || !rf_path_exists(path))
        return status; /* without one nobody can read it */
    status = rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "a reader", &victim->lock_fd, err);
    *busy_out = status == RF_ERR_LOCKED;
    return *busy_out ? RF_OK : status;
}

static bool is_uncounted(const rf_catalog_model *model, const rf_catalog_generation *generation)
{
    return generation->is_pinned || rf_catalog_colour_of(model, generation->number);
}

static bool is_kept(const rf_catalog_model *model, const rf_catalog_generation *generations,
                    uint32_t count, uint32_t index, uint32_t keep)
{
    uint64_t number = generations[index].number, age = generations[index].counts_as;
    uint64_t back =
        model->history_count > 0 && keep > 1 ? model->history[model->history_count - 1] : 0;
    uint32_t newer = 0; /* others before it in the order of who is kept */

    if (generations[index].replaced_by != 0)
        return false;
    if (number == model->live || number == back || is_uncounted(model, &generations[index]))
        return true;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t other = generations[i].number;
        if (generations[i].replaced_by != 0)
            continue;
        if (other == model->live ||
            (!is_uncounted(model, &generations[i]) &&
             (other == back || generations[i].counts_as > age)))
            newer++;
    }
    return newer < keep;
}

/* Locks a generation and takes its record away; *busy_out if a reader holds it. */
static rf_status forget_one(rf_catalog *catalog, rf_kv_txn *txn, rf_catalog_model *model, gc_victim *victim,
                            bool *busy_out, rf_err *err)
{
    uint32_t kept = 0;

    rf_status status = rf_catalog_path(catalog, model->name, victim->number, victim->dir, err);
    if (status == RF_OK)
        status = victim_lock(victim, busy_out, err);
    if (status != RF_OK || *busy_out)
        return status;
    for (uint32_t i = 0; i < model->history_count; i++)
        if (model->history[i] != victim->number)
            model->history[kept++] = model->history[i];
    model->history_count = kept;
    return rf_record_delete_generation(txn, model->name, victim->number, err);
}

/* Under live/SWAP: locks up to BATCH generations that may go and takes their records away. Step `forget` of
 * tests/model/swap.pml. */
static rf_status forget(rf_catalog *catalog, const char *name, uint32_t keep, gc_victim *victims,
                        uint32_t *count_out, uint32_t *busy_out, rf_err *err)
{
    rf_catalog_generation *generations = NULL;
    uint32_t count = 0;
    rf_catalog_model model;
    rf_kv_txn *txn;
    bool found;

    *busy_out = 0;
    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_model(txn, name, &model, &found, err);
    if (status == RF_OK)
        status = rf_record_generations(txn, name, &generations, &count, err);
    rf_catalog_model after = model;
    for (uint32_t i = 0; status == RF_OK && i < count && *count_out < BATCH; i++) {
        gc_victim *next = &victims[*count_out];
        bool busy = false;
        if (is_kept(&model, generations, count, i, keep))
            continue;
        *next = (gc_victim){.number = generations[i].number, .lock_fd = -1};
        status = forget_one(catalog, txn, &after, next, &busy, err);
        *busy_out += busy ? 1 : 0;
        *count_out += next->lock_fd >= 0 || (status == RF_OK && !busy);
    }
    if (status == RF_OK && *count_out > 0)
        status = rf_record_put_model(txn, &after, err);
    free(generations);
    if (status != RF_OK || *count_out == 0) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

void rf_catalog_discard(rf_catalog *catalog, const char *name, uint64_t number)
{
    gc_victim victim = {.number = number, .lock_fd = -1};
    rf_catalog_model model = {0};
    rf_kv_txn *txn;
    bool found = false;
    bool busy = false;

    if (rf_kv_begin(catalog->kv, true, &txn, NULL) != RF_OK)
        return;
    rf_status status = rf_record_get_model(txn, name, &model, &found, NULL);
    for (uint32_t i = 0; i < model.history_count; i++)
        found = found && model.history[i] != number;
    if (status == RF_OK && found && model.live != number && !rf_catalog_colour_of(&model, number))
        status = forget_one(catalog, txn, &model, &victim, &busy, NULL);
    else
        busy = true;
    if (status != RF_OK || busy)
        rf_kv_abort(txn);
    else
        status = rf_kv_commit(txn, NULL);
    if (status == RF_OK && !busy)
        (void)rf_dir_remove(victim.dir, NULL);
    rf_lock_release(victim.lock_fd);
}

/* Moving base files of a generation that goes to the spare ones. */
typedef struct gc_spares {
    const char *from;
    const char *to;
} gc_spares;

static rf_status keep_file(void *arg, const char *name, rf_err *err)
{
    const gc_spares *spares = arg;
    char from[RF_PATH_SIZE], to[RF_PATH_SIZE];
    struct stat info;

    (void)err;
    /* What has another name too must not be written over, and what is spare already is enough. */
    if (strncmp(name, "base-", 5) == 0 &&
        rf_path_format(from, "%s/%s", NULL, spares->from, name) == RF_OK &&
        rf_path_format(to, "%s/%s", NULL, spares->to, name) == RF_OK &&
        lstat(from, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1 &&
        !rf_path_exists(to))
        (void)rename(from, to);
    return RF_OK;
}

/* Freeing large files takes a file system longer than writing them over: 45 ms for 136 MB, and half
 * of the kernel's work of writing as many anew. So some stay for the next build, as a database
 * keeps segments of its write-ahead log. */
static void spare_files(rf_catalog *catalog, const char *name, const char *dir)
{
    char parent[RF_PATH_SIZE], spare[RF_PATH_SIZE];

    if (rf_path_format(parent, "%s/" SPARE, NULL, catalog->path) == RF_OK &&
        rf_catalog_spare_path(catalog, name, spare, NULL) == RF_OK &&
        freed_by(dir) + freed_by(spare) <= RF_CATALOG_SPARE_BYTES_MAX &&
        rf_dir_make(parent, NULL) == RF_OK && rf_dir_make(spare, NULL) == RF_OK) {
        gc_spares spares = {dir, spare};
        (void)rf_dir_list(dir, keep_file, &spares, NULL);
    }
}

rf_status rf_catalog_spare_path(rf_catalog *catalog, const char *name, char dir_out[RF_PATH_SIZE],
                                rf_err *err)
{
    return rf_path_format(dir_out, "%s/" SPARE "/%s", err, catalog->path, name);
}

/* Files go when no record and no lock of a reader is left. Step `remove` of tests/model/swap.pml. */
static rf_status remove_batch(rf_catalog *catalog, const char *name, uint32_t keep, bool spares,
                              int64_t wait_lock_ms, rf_gc_result *result, bool *more_out,
                              rf_err *err)
{
    uint32_t count = 0;
    uint32_t busy = 0;
    int lock = -1;

    gc_victim *victims = calloc(BATCH, sizeof *victims);
    if (!victims)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for gc");
    rf_status status = rf_catalog_lock_swap(catalog, wait_lock_ms, &lock, err);
    if (status == RF_OK)
        status = forget(catalog, name, keep, victims, &count, &busy, err);
    rf_lock_release(lock);
    bool forgotten = status == RF_OK;
    for (uint32_t i = 0; i < count; i++) {
        if (forgotten) {
            uint64_t bytes = freed_by(victims[i].dir);
            if (spares)
                spare_files(catalog, name, victims[i].dir);
            rf_status removed = rf_dir_remove(victims[i].dir, status == RF_OK ? err : NULL);
            if (removed == RF_OK) {
                result->removed++;
                result->bytes += bytes;
            } else if (status == RF_OK) {
                status = removed;
            }
        }
        rf_lock_release(victims[i].lock_fd);
    }
    free(victims);
    *more_out = status == RF_OK && count == BATCH;
    if (!*more_out)
        result->in_use += busy;
    return status;
}

typedef struct sweep {
    rf_catalog *catalog;
    const rf_catalog_model *model;
    rf_gc_result *result;
} sweep;

/* A directory of a number that was given and that the catalog does not know is a leftover. Step `sweep` of
 * tests/model/swap.pml. */
static rf_status sweep_entry(void *arg, const char *name, rf_err *err)
{
    const sweep *at = arg;
    rf_catalog_generation generation;
    gc_victim leftover;
    char *end;
    bool found, busy;

    unsigned long long number = strtoull(name, &end, 10);
    if (*name < '0' || *name > '9' || *end != '\0' || number >= at->model->next_number)
        return RF_OK;
    rf_status status = rf_catalog_get_generation(at->catalog, at->model->name, number, &generation,
                                                 &found, err);
    if (status != RF_OK || found)
        return status;
    status = rf_path_format(leftover.dir, "%s/generations/%s/%s", err, at->catalog->path,
                            at->model->name, name);
    if (status == RF_OK)
        status = victim_lock(&leftover, &busy, err);
    if (status != RF_OK || busy)
        return status;
    uint64_t bytes = freed_by(leftover.dir);
    status = rf_dir_remove(leftover.dir, err);
    if (status == RF_OK)
        at->result->bytes += bytes;
    rf_lock_release(leftover.lock_fd);
    return status;
}

static rf_status sweep_model(rf_catalog *catalog, const rf_catalog_model *model,
                             rf_gc_result *result, rf_err *err)
{
    char path[RF_PATH_SIZE];
    sweep at = {catalog, model, result};

    rf_status status = rf_path_format(path, "%s/generations/%s", err, catalog->path, model->name);
    if (status != RF_OK || !rf_path_is_dir(path))
        return status;
    return rf_dir_list(path, sweep_entry, &at, err);
}

void rf_catalog_sweep(rf_catalog *catalog, const char *name)
{
    rf_catalog_model model;
    rf_gc_result result = {0};
    bool found = false;

    (void)rf_catalog_remove_scratch(catalog, NULL);
    if (rf_catalog_get_model(catalog, name, &model, &found, NULL) == RF_OK && found)
        (void)sweep_model(catalog, &model, &result, NULL);
}

static rf_status gc_model(rf_catalog *catalog, const rf_catalog_model *model, uint32_t keep,
                          bool spares, int64_t wait_lock_ms, rf_gc_result *result, rf_err *err)
{
    char spare[RF_PATH_SIZE];
    bool more = true;
    rf_status status = RF_OK;

    if (!spares && rf_catalog_spare_path(catalog, model->name, spare, NULL) == RF_OK) {
        uint64_t bytes = freed_by(spare);
        status = rf_dir_remove(spare, err);
        result->bytes += status == RF_OK ? bytes : 0;
    }

    while (status == RF_OK && more)
        status = remove_batch(catalog, model->name, keep, spares, wait_lock_ms, result, &more, err);
    return status == RF_OK ? sweep_model(catalog, model, result, err) : status;
}

rf_status rf_catalog_gc(rf_catalog *catalog, const char *name, uint32_t keep, bool keep_spares,
                        int64_t wait_lock_ms, rf_gc_result *result_out, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;
    rf_gc_result result = {0};
    bool any = false;

    RF_ASSERT(keep > 0);
    rf_status status = rf_catalog_remove_scratch(catalog, err);
    if (status == RF_OK)
        status = rf_catalog_models(catalog, &models, &count, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        if (name && strcmp(name, models[i].name) != 0)
            continue;
        any = true;
        status = gc_model(catalog, &models[i], keep, keep_spares, wait_lock_ms, &result, err);
    }
    free(models);
    if (status == RF_OK)
        status = rf_delta_sweep(catalog, err);
    if (status == RF_OK && name && !any)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    if (status == RF_OK)
        *result_out = result;
    return status;
}
