/* See store.h and refold/store.h.
 *
 * Creation: the directory, LOCK (which marks a directory as a store being made), log/, live/,
 * generations/, and FORMAT last, durably. A directory with LOCK and without FORMAT is a creation
 * that was interrupted: the next create completes it, under LOCK; an open without create says so.
 * Where its log holds events it is a store that lost its FORMAT, and is left alone.
 */
#include "store/store.h"

#include "base/checksum.h"
#include "log/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT_SIZE_MAX = 256, PARTITIONS_DEFAULT = 64, PARTITIONS_MAX = 1024 };
enum { MERGE_WAIT_MS = 600000 };
#define MERGE "live/MERGE"

static size_t format_write(uint32_t partitions, char text_out[FORMAT_SIZE_MAX])
{
    int size = snprintf(text_out, FORMAT_SIZE_MAX, "refold %d\npartitions %u\n", RF_STORE_FORMAT,
                        partitions);
    uint64_t checksum = rf_checksum((rf_slice){text_out, (size_t)size});

    return (size_t)(size + snprintf(text_out + size, FORMAT_SIZE_MAX - (size_t)size,
                                    "checksum %016" PRIx64 "\n", checksum));
}

static bool partitions_are_valid(uint32_t partitions)
{
    return partitions > 0 && partitions <= PARTITIONS_MAX && (partitions & (partitions - 1)) == 0;
}

/* The version is looked at before the checksum: a newer format may lay out the rest as it likes. */
static rf_status format_read(const char *path, uint32_t *partitions_out, rf_err *err)
{
    char file[RF_PATH_SIZE];
    char expected[FORMAT_SIZE_MAX];
    unsigned version = 0;
    uint32_t partitions = 0;
    rf_buf text;

    rf_status status = rf_path_format(file, "%s/FORMAT", err, path);
    if (status)
        return status;
    rf_buf_init(&text, 64 << 10);
    status = rf_file_read(file, &text, err);
    if (status) {
        rf_buf_free(&text);
        return status;
    }
    size_t size = text.size;
    rf_buf_append_byte(&text, 0);
    int parsed = text.failed
                     ? 0
                     : sscanf(text.data, "refold %u\npartitions %" SCNu32, &version, &partitions);
    if (parsed >= 1 && version != RF_STORE_FORMAT)
        status = rf_fail(err, RF_ERR_FORMAT,
                         "%s is of format %u; this refold reads format %d, nothing was changed",
                         path, version, RF_STORE_FORMAT);
    else if (parsed != 2 || !partitions_are_valid(partitions) ||
             format_write(partitions, expected) != size || memcmp(text.data, expected, size) != 0)
        status = rf_fail(err, RF_ERR_DAMAGED, "%s is damaged", file);
    rf_buf_free(&text);
    if (!status)
        *partitions_out = partitions;
    return status;
}

typedef struct entries {
    uint32_t known;
    bool has_lock;
    bool has_format;
    char foreign[64]; /* first entry that no store has; empty if none */
} entries;

static rf_status entries_visit(void *arg, const char *name, rf_err *err)
{
    static const char *const known[] = {"log",  "live",   "generations",
                                        "LOCK", "FORMAT", "FORMAT.tmp"};
    entries *seen = arg;

    (void)err;
    if (strcmp(name, "LOCK") == 0)
        seen->has_lock = true;
    if (strcmp(name, "FORMAT") == 0)
        seen->has_format = true;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0) {
            seen->known++;
            return RF_OK;
        }
    }
    if (!seen->foreign[0])
        (void)snprintf(seen->foreign, sizeof seen->foreign, "%s", name);
    return RF_OK;
}

/* What stands at `path`: a store, a creation that was interrupted, an empty directory (or none), or
 * something else, which is refused. */
typedef enum place { PLACE_STORE, PLACE_UNFINISHED, PLACE_EMPTY } place;

static rf_status place_look(const char *path, place *place_out, rf_err *err)
{
    entries seen = {0};
    struct stat info;

    if (stat(path, &info) != 0) {
        if (errno == ENOENT) {
            *place_out = PLACE_EMPTY;
            return RF_OK;
        }
        return rf_fail_errno(err, "cannot open the store %s", path);
    }
    if (!S_ISDIR(info.st_mode))
        return rf_fail(err, RF_ERR_INPUT, "%s is a file, not a store (a directory)", path);
    rf_status status = rf_dir_list(path, entries_visit, &seen, err);
    if (status)
        return status;
    if (seen.has_format) {
        *place_out = PLACE_STORE;
        return RF_OK;
    }
    if (seen.foreign[0] || (seen.known > 0 && !seen.has_lock))
        return rf_fail(err, RF_ERR_INPUT,
                       "%s is not a store and not empty (it has no FORMAT but %s)", path,
                       seen.foreign[0] ? seen.foreign : "entries of another kind");
    *place_out = seen.known > 0 ? PLACE_UNFINISHED : PLACE_EMPTY;
    return RF_OK;
}

static rf_status lock_path(const char *path, const char *name, int64_t wait_ms, const char *what,
                           int *fd_out, rf_err *err)
{
    char file[RF_PATH_SIZE];

    rf_status status = rf_path_format(file, "%s/%s", err, path, name);
    if (status)
        return status;
    return rf_lock_acquire(file, RF_LOCK_EXCLUSIVE, wait_ms, what, fd_out, err);
}

/* Makes the parts and FORMAT; opens the log and the catalog on the way. Called under LOCK. */
static rf_status store_make(rf_store *store, rf_err *err)
{
    char path[RF_PATH_SIZE];
    char text[FORMAT_SIZE_MAX];

    rf_status status = rf_path_format(path, "%s/log", err, store->path);
    if (!status)
        status = rf_log_open(path, store->partitions, true, &store->log, err);
    if (!status)
        status = rf_path_format(path, "%s/live", err, store->path);
    if (!status)
        status = rf_dir_make(path, err);
    if (!status)
        status = rf_path_format(path, "%s/generations", err, store->path);
    if (!status)
        status = rf_dir_make(path, err);
    if (!status)
        status = rf_catalog_open(store->path, true, &store->catalog, err);
    if (!status)
        status = rf_dir_sync(store->path, err);
    if (!status)
        status = rf_path_format(path, "%s/FORMAT", err, store->path);
    if (status)
        return status;
    size_t size = format_write(store->partitions, text);
    status = rf_file_replace(path, (rf_slice){text, size}, err);
    if (!status)
        status = rf_path_format(path, "%s/..", err, store->path);
    return status ? status : rf_dir_sync(path, err);
}

/* The position that the log or its witness names; 0 also where there is no log yet, or only its
 * beginning. */
static rf_status log_position(const char *log_path, uint64_t *position_out, rf_err *err)
{
    rf_kv_options options = {.tables = {"segments", "directory", "streams", "census", "meta"}};
    rf_head head = {0};
    uint64_t position = 0;
    uint32_t partitions;
    rf_kv *kv = NULL;
    rf_kv_txn *txn;
    bool found;

    rf_status status = rf_head_read(log_path, &head, &found, err);
    if (status)
        return status;
    if (!rf_kv_open(log_path, &options, &kv, NULL) && !rf_kv_begin(kv, false, &txn, NULL)) {
        status = rf_meta_read(txn, &partitions, &position, &found, err);
        rf_kv_abort(txn);
    }
    rf_kv_close(kv);
    if (!status)
        *position_out = position > head.position ? position : head.position;
    return status;
}

/* A creation that was interrupted may have made the log with another number of partitions; it is
 * without events, so it is begun anew. */
static rf_status store_clear(const char *path, rf_err *err)
{
    static const char *const parts[] = {"log", "live", "generations"};
    char part[RF_PATH_SIZE];
    uint64_t position;

    rf_status status = rf_path_format(part, "%s/log", err, path);
    if (!status)
        status = log_position(part, &position, err);
    if (status)
        return status;
    if (position > 0)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "%s/FORMAT is missing, but the log holds events up to position %" PRIu64
                       "; nothing was changed",
                       path, position);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !status; i++) {
        status = rf_path_format(part, "%s/%s", err, path, parts[i]);
        if (!status)
            status = rf_dir_remove(part, err);
    }
    return status;
}

static rf_status store_create(rf_store *store, uint32_t partitions, rf_err *err)
{
    place found;
    int fd = -1;

    store->is_made_whole = !rf_path_exists(store->path);
    rf_status status = rf_dir_make(store->path, err);
    if (status)
        return status;
    status = lock_path(store->path, "LOCK", -1, "creating the store", &fd, err);
    if (status)
        return status;
    /* Another process may have finished it while this one waited. */
    status = place_look(store->path, &found, err);
    if (!status && found != PLACE_STORE) {
        store->partitions = partitions ? partitions : PARTITIONS_DEFAULT;
        status = store_clear(store->path, err);
        if (!status)
            status = store_make(store, err);
        store->is_made = status == RF_OK;
    }
    rf_lock_release(fd);
    return status;
}

static rf_status store_open_parts(rf_store *store, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = format_read(store->path, &store->partitions, err);
    if (status)
        return status;
    status = rf_path_format(path, "%s/log", err, store->path);
    if (status)
        return status;
    status = rf_log_open(path, store->partitions, false, &store->log, err);
    if (status)
        return status;
    return rf_catalog_open(store->path, false, &store->catalog, err);
}

rf_status rf_store_open(const char *path, const rf_store_options *options, rf_store **store_out,
                        rf_err *err)
{
    rf_store_options none = {0};
    place found = PLACE_EMPTY;
    rf_store *store = NULL;

    if (!options)
        options = &none;
    if (!path || !path[0])
        return rf_fail(err, RF_ERR_USAGE, "the path of the store is empty");
    if (options->partitions && !partitions_are_valid(options->partitions))
        return rf_fail(err, RF_ERR_USAGE, "%u partitions: a power of two from 1 to %d is needed",
                       options->partitions, PARTITIONS_MAX);
    rf_status status = place_look(path, &found, err);
    if (status)
        return status;
    if (found != PLACE_STORE && !options->create)
        return rf_fail(err, RF_ERR_ABSENT,
                       found == PLACE_EMPTY
                           ? "there is no store at %s"
                           : "%s has no FORMAT: its creation is under way or was interrupted; the "
                             "next import completes it if the store holds no events",
                       path);

    store = calloc(1, sizeof *store);
    if (!store || !(store->path = strdup(path))) {
        status = rf_fail(err, RF_ERR_MEMORY, "%s: no memory to open the store", path);
        goto fail;
    }
    status = rf_kept_new(&store->kept, err);
    if (status)
        goto fail;
    if (found != PLACE_STORE) {
        status = store_create(store, options->partitions, err);
        if (status)
            goto fail;
    }
    if (!store->log) {
        status = store_open_parts(store, err);
        if (status)
            goto fail;
    }
    if (options->partitions && options->partitions != store->partitions) {
        status =
            rf_fail(err, RF_ERR_INPUT, "%s has %u partitions, chosen when it was created, not %u",
                    path, store->partitions, options->partitions);
        goto fail;
    }
    *store_out = store;
    return RF_OK;
fail:
    rf_store_close(store);
    return status;
}

void rf_store_close(rf_store *store)
{
    if (!store)
        return;
    rf_kept_free(store->kept);
    if (store->catalog)
        rf_catalog_close(store->catalog);
    rf_log_close(store->log);
    free(store->path);
    free(store);
}

const char *rf_store_path(const rf_store *store)
{
    return store->path;
}

uint32_t rf_store_partitions(const rf_store *store)
{
    return store->partitions;
}

/* Under a lock: while it was waited for, who made the store may have taken it back. */
static rf_status check_place(const rf_store *store, const rf_kv *kv, rf_err *err)
{
    if (rf_kv_is_in_place(kv))
        return RF_OK;
    return rf_fail(err, RF_ERR_ABSENT, "%s was removed while it was open; nothing was changed",
                   store->path);
}

static rf_status lock_store(rf_store *store, int64_t wait_ms, int *fd_out, rf_err *err)
{
    int fd = -1;
    rf_status status = lock_path(store->path, "LOCK", wait_ms,
                                 "another rebuild, bench, gc, repair or merge is running", &fd, err);

    /* What the one before recorded before it died has to be known, or it looks like a leftover. */
    if (status == RF_OK)
        status = check_place(store, rf_catalog_kv(store->catalog), err);
    if (status == RF_OK)
        status = rf_kv_settle(rf_catalog_kv(store->catalog), err);
    if (status != RF_OK) {
        rf_lock_release(fd);
        return status;
    }
    *fd_out = fd;
    return RF_OK;
}

/* Shared, so that a store which no merge was in gets no file. */
static bool is_merging(rf_store *store)
{
    char file[RF_PATH_SIZE];
    int fd = -1;

    rf_status status = rf_path_format(file, "%s/" MERGE, NULL, store->path);
    if (status == RF_OK)
        status = rf_lock_acquire(file, RF_LOCK_SHARED, 0, "a merge", &fd, NULL);
    rf_lock_release(fd);
    return status == RF_ERR_LOCKED;
}

rf_status rf_store_lock(rf_store *store, int64_t wait_ms, int *fd_out, rf_err *err)
{
    rf_err failure = {0};
    rf_status status = lock_store(store, wait_ms, fd_out, &failure);

    if (status == RF_ERR_LOCKED && wait_ms == 0 && is_merging(store))
        status = lock_store(store, MERGE_WAIT_MS, fd_out, &failure);
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

rf_status rf_store_lock_merge(rf_store *store, int *fd_out, int *merge_fd_out, rf_err *err)
{
    int fd = -1;
    rf_status status = lock_store(store, 0, &fd, err);

    if (status == RF_OK) /* who only looks has it for a moment */
        status = lock_path(store->path, MERGE, -1, "a merge", merge_fd_out, err);
    if (status != RF_OK) {
        rf_lock_release(fd);
        return status;
    }
    *fd_out = fd;
    return RF_OK;
}

rf_status rf_store_lock_import(rf_store *store, int64_t wait_ms, int *fd_out, rf_err *err)
{
    int fd = -1;
    rf_status status =
        lock_path(store->path, "log/IMPORT", wait_ms, "another import is running", &fd, err);

    /* What the one before committed before it died has to be known, or it looks like another's append. */
    if (status == RF_OK)
        status = check_place(store, rf_log_kv(store->log), err);
    if (status == RF_OK)
        status = rf_kv_settle(rf_log_kv(store->log), err);
    if (status != RF_OK) {
        rf_lock_release(fd);
        return status;
    }
    *fd_out = fd;
    return RF_OK;
}

/* Whether nothing was ever committed to the log, not even how far a source was read. */
static rf_status log_is_empty(rf_store *store, bool *empty_out, rf_err *err)
{
    rf_log_info info;
    rf_log_source *sources = NULL;
    uint32_t count = 0;

    rf_status status = rf_log_get_info(store->log, &info, err);
    if (!status)
        status = rf_log_sources(store->log, &sources, &count, err);
    free(sources);
    if (!status)
        *empty_out = info.position == 0 && count == 0;
    return status;
}

/* Without FORMAT it is a creation that was interrupted, whatever ends this. */
static rf_status parts_remove(const char *path, rf_err *err)
{
    char file[RF_PATH_SIZE];

    rf_status status = rf_path_format(file, "%s/FORMAT", err, path);
    if (!status && unlink(file) != 0)
        status = rf_fail_errno(err, "%s: cannot remove", file);
    if (!status)
        status = store_clear(path, err);
    if (!status)
        status = rf_path_format(file, "%s/LOCK", err, path);
    if (!status && unlink(file) != 0)
        status = rf_fail_errno(err, "%s: cannot remove", file);
    return status;
}

rf_status rf_store_unmake(rf_store *store, rf_err *err)
{
    bool empty = false;
    int fd = -1;

    rf_status status = store->is_made ? log_is_empty(store, &empty, err) : RF_OK;
    if (!status && !empty)
        status = rf_fail(err, RF_ERR_REFUSED, "%s has something in it, or was there before", store->path);
    if (!status)
        status = rf_store_lock(store, 0, &fd, err);
    if (!status)
        status = parts_remove(store->path, err);
    if (!status && store->is_made_whole)
        status = rf_dir_remove(store->path, err);
    rf_lock_release(fd);
    return status;
}
