/* See kv.h.
 *
 * The registry: LMDB must not have a file open twice in a process (its locks are the process's, and
 * closing any descriptor of lock.mdb drops them), so environments are counted by device and inode
 * under one mutex.
 *
 * The size of the data file: LMDB never writes pages that a transaction took and freed again, so
 * the file may end before its last page, and a truncated file looks the same. Here a commit first
 * makes the file as long as the pages that it can have taken at most (a hole, no blocks); so a file
 * that is shorter than its last page is damage, and is refused before anything in the mapping is
 * touched that could raise SIGBUS.
 */
#include "base/kv.h"

#include "base/file.h"
#include "base/kv_check.h"
#include "base/kv_meta.h"
#include "base/mount.h"
#include "base/wait_note.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    READERS_MAX = 1022,
    BEGIN_TRIES_MAX = 1000,
    LOCK_FILE_SIZE = 128 << 10, /* room for the reader table; LMDB takes the size it finds */
    PAGES_PER_WRITE = 16,       /* pages of the tree that one put or delete can copy or split */
    PAGES_SLACK = 1024,         /* the list of free pages and the tables' roots */
    META_PAGES_SIZE = 2 * 4096,
    PAGE_HEADER_SIZE = 16,
    PAGE_FLAGS_AT = 10,
    PAGE_COUNT_AT = 12, /* of pages, where a value has its own */
    PAGE_OVERFLOW = 4,
    DISK_FULL_BYTES = 1 << 20, /* a write of LMDB was cut short with less than this free */
};
#define LMDB_MAGIC 0xbeefc0deu
#define MAP_BYTES ((size_t)1 << 40)

/* What this process can do with an environment. */
enum access {
    ACCESS_WRITE,
    ACCESS_READ,       /* its data file cannot be written, but who reads can say so in lock.mdb */
    ACCESS_UNCHANGING, /* nobody can write, so nobody needs to know of who reads */
};

struct rf_kv {
    /* fixed after open */
    MDB_env *env;
    char *path;
    dev_t device;
    ino_t inode;
    uint32_t table_count;
    MDB_dbi tables[RF_KV_TABLES_MAX];
    const char *names[RF_KV_TABLES_MAX]; /* of them, as given; "": the unnamed one */
    size_t page_size;
    const char *map; /* of immutable files that are not empty; NULL for others */
    _Atomic(const char *) found_map; /* of others, once it was looked for; atomic */
    bool immutable;
    enum access access;
    pid_t pid;

    /* atomic: what was looked at (kv_check.h) */
    atomic_bool is_checked[RF_KV_TABLES_MAX];
    atomic_bool is_free_list_checked;

    /* guarded by registry_mutex */
    uint32_t users;
    rf_kv *next;
};

struct rf_kv_txn {
    rf_kv *kv;
    MDB_txn *txn;
    bool write;
    bool copied; /* see rf_kv_read_copied */
    uint64_t pages_max; /* that the writes so far can have taken */
};

struct rf_kv_cursor {
    rf_kv *kv;
    MDB_cursor *cursor;
    rf_kv_txn *writes; /* its transaction, if that may */
    uint32_t table;
    bool copied; /* its transaction's values are */
};

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static rf_kv *registry;

/* LMDB gives EIO for a write that was cut short, which is what a full disk does. */
static bool disk_full(const char *path)
{
    struct statvfs disk;

    return statvfs(path, &disk) == 0 && disk.f_bavail * disk.f_frsize < DISK_FULL_BYTES;
}

static rf_status fail_kv(rf_err *err, int code, const char *path, const char *what)
{
    rf_status status = RF_ERR_IO;

    if (code == EIO && disk_full(path))
        code = ENOSPC;
    if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
        code == MDB_PANIC)
        status = RF_ERR_DAMAGED;
    else if (code == MDB_VERSION_MISMATCH)
        status = RF_ERR_FORMAT;
    else if (code == ENOMEM)
        status = RF_ERR_MEMORY;
    (void)rf_fail(err, status, "%s: %s: %s", path, what, mdb_strerror(code));
    if (err)
        err->cause = code;
    return status;
}

static MDB_val val_of(rf_slice slice)
{
    return (MDB_val){slice.size, (void *)(uintptr_t)slice.data};
}

static rf_slice slice_of(MDB_val val)
{
    return (rf_slice){val.mv_data, val.mv_size};
}

static size_t map_bytes(const rf_kv_options *options, off_t file_size)
{
    const char *wanted = getenv("REFOLD_MAP_BYTES");

    if (options->immutable)
        return (size_t)file_size;
    if (wanted && *wanted)
        return (size_t)strtoull(wanted, NULL, 10);
    return MAP_BYTES;
}

/* Without a place in lock.mdb, pages could be written over while they are read. */
static rf_status fail_without_lock(const char *path, enum access *access_out, rf_err *err)
{
    const int cause = errno;

    if (cause == EROFS && rf_mount_is_unchanging(path)) {
        *access_out = ACCESS_UNCHANGING;
        return RF_OK;
    }
    if (cause == EROFS)
        return rf_fail(err, RF_ERR_IO,
                       "%s: mounted read-only here, but others may write: who reads has to be noted there (a copy of the "
                       "store, or a snapshot that is mounted read-only as a whole, can be read without)",
                       path);
    if (cause == EACCES || cause == EPERM)
        return rf_fail(err, RF_ERR_IO,
                       "%s: this user may not write it, and others may write: who reads has to be noted there (give the "
                       "right to write to this file, or read a copy of the store)",
                       path);
    errno = cause;
    return rf_fail_errno(err, "%s: cannot open", path);
}

/* Gives lock.mdb its blocks before LMDB maps it: a hole there would raise SIGBUS on a full disk. */
static rf_status preallocate_lock(const char *dir, enum access *access_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    struct stat info;

    rf_status status = rf_path_format(path, "%s/lock.mdb", err, dir);
    if (status != RF_OK)
        return status;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_without_lock(path, access_out, err);
    if (fstat(fd, &info) != 0) {
        status = rf_fail_errno(err, "%s: cannot look at", path);
    } else {
        off_t size = info.st_size > 0 ? info.st_size : LOCK_FILE_SIZE;
        int cause = info.st_blocks * 512 >= size ? 0 : posix_fallocate(fd, 0, size);
        if (cause != 0) {
            errno = cause;
            status = rf_fail_errno(err, "%s: cannot allocate", path);
        }
    }
    (void)close(fd);
    return status;
}

static rf_status open_tables(rf_kv *kv, const rf_kv_options *options, rf_err *err)
{
    MDB_txn *txn;
    unsigned flags = options->create ? MDB_CREATE : 0;

    int code = mdb_txn_begin(kv->env, NULL, options->create ? 0 : MDB_RDONLY, &txn);
    if (code != 0)
        return fail_kv(err, code, kv->path, "cannot begin");
    if (!options->tables[0]) {
        code = mdb_dbi_open(txn, NULL, 0, &kv->tables[0]);
        kv->table_count = 1;
        kv->is_checked[0] = true; /* with the tree of names, which it is */
    }
    for (uint32_t i = 0; code == 0 && i < RF_KV_TABLES_MAX && options->tables[i]; i++) {
        code = mdb_dbi_open(txn, options->tables[i], flags, &kv->tables[i]);
        kv->names[i] = options->tables[i];
        kv->table_count = i + 1;
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        if (code == MDB_NOTFOUND)
            return rf_fail(err, RF_ERR_DAMAGED, "%s: a table is missing", kv->path);
        return fail_kv(err, code, kv->path, "cannot open its tables");
    }
    code = mdb_txn_commit(txn);
    return code == 0 ? RF_OK : fail_kv(err, code, kv->path, "cannot open its tables");
}

/* LMDB has read the metas by now: compares what they promise with the file. */
static rf_status check_size(rf_kv *kv, rf_err *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;

    int code = mdb_env_get_fd(kv->env, &fd);
    if (code == 0 && fstat(fd, &file) != 0)
        code = errno;
    if (code != 0)
        return fail_kv(err, code, kv->path, "cannot look at its size");
    if (file.st_size < META_PAGES_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: %lld bytes are too few", kv->path,
                       (long long)file.st_size);
    (void)mdb_env_info(kv->env, &info);
    (void)mdb_env_stat(kv->env, &stat);
    kv->page_size = stat.ms_psize;
    /* Another process may commit beside this one: the file as it is after the metas were read. */
    if (fstat(fd, &file) != 0)
        return fail_kv(err, errno, kv->path, "cannot look at its size");
    if (info.me_last_pgno >= (uint64_t)file.st_size / stat.ms_psize)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "%s: damaged: %lld bytes, shorter than its last page (%zu)", kv->path,
                       (long long)file.st_size, info.me_last_pgno);
    return RF_OK;
}

/* Where the mapping starts. LMDB tells only with a fixed address, but each page begins with its
 * number; the first entry's page leads to page 0, which has to look like one. */
static rf_status find_map(rf_kv *kv, char **map_out, rf_err *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_envinfo info;
    MDB_val key, value;
    unsigned char resident;

    int code = mdb_txn_begin(kv->env, NULL, MDB_RDONLY, &txn);
    if (code != 0)
        return fail_kv(err, code, kv->path, "cannot begin");
    code = mdb_cursor_open(txn, kv->tables[0], &cursor);
    if (code == 0) {
        code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (code != 0)
        return code == MDB_NOTFOUND ? RF_OK : fail_kv(err, code, kv->path, "cannot read");
    char *page = (char *)value.mv_data - (uintptr_t)value.mv_data % kv->page_size;
    uint64_t number = rf_load_u64(page);
    (void)mdb_env_info(kv->env, &info);
    if (number <= info.me_last_pgno) {
        char *map = page - number * kv->page_size;
        if (mincore(map, kv->page_size, &resident) == 0 && rf_load_u64(map) == 0 &&
            rf_load_u32(map + PAGE_HEADER_SIZE) == LMDB_MAGIC) {
            *map_out = map;
            return RF_OK;
        }
    }
    return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: a page has the wrong number", kv->path);
}

static rf_status check_first_pages(rf_kv *kv, rf_kv_tree tree, const char *table, rf_err *err)
{
    rf_status status = rf_kv_check_first_pages(kv, tree, table, err);

    if (status != RF_OK)
        (void)rf_err_context(err, status == RF_ERR_DAMAGED ? "%s: damaged" : "%s", kv->path);
    return status;
}

/* Before a table is read or written for the first time: LMDB would trust its pages. */
static rf_status check_table(rf_kv *kv, uint32_t table, rf_err *err)
{
    RF_ASSERT(table < kv->table_count);
    if (atomic_load_explicit(&kv->is_checked[table], memory_order_relaxed))
        return RF_OK;
    rf_status status = check_first_pages(kv, RF_KV_TREE_TABLE, kv->names[table], err);
    if (status == RF_OK)
        atomic_store_explicit(&kv->is_checked[table], true, memory_order_relaxed);
    return status;
}

/* Before the first page is taken from it. */
static rf_status check_free_list(rf_kv *kv, rf_err *err)
{
    if (atomic_load_explicit(&kv->is_free_list_checked, memory_order_relaxed))
        return RF_OK;
    rf_status status = check_first_pages(kv, RF_KV_TREE_FREE, "", err);
    if (status == RF_OK)
        atomic_store_explicit(&kv->is_free_list_checked, true, memory_order_relaxed);
    return status;
}

static rf_status open_env(rf_kv *kv, const rf_kv_options *options, off_t file_size, rf_err *err)
{
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;

    if (options->immutable)
        flags |= MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK;
    if (kv->access != ACCESS_WRITE)
        flags |= kv->access == ACCESS_READ ? MDB_RDONLY : MDB_RDONLY | MDB_NOLOCK;

    int code = mdb_env_create(&kv->env);
    if (code == 0)
        code = mdb_env_set_mapsize(kv->env, map_bytes(options, file_size));
    if (code == 0 && options->tables[0])
        code = mdb_env_set_maxdbs(kv->env, RF_KV_TABLES_MAX);
    if (code == 0)
        code = mdb_env_set_maxreaders(kv->env, READERS_MAX);
    if (code == 0)
        code = mdb_env_open(kv->env, kv->path, flags, 0600);
    if (code != 0)
        return fail_kv(err, code, kv->path, "cannot open");

    rf_status status = check_size(kv, err);
    if (status == RF_OK && !(flags & MDB_NOLOCK))
        (void)mdb_reader_check(kv->env, NULL);
    if (status == RF_OK)
        status = check_first_pages(kv, RF_KV_TREE_NAMES, "", err);
    if (status == RF_OK)
        status = open_tables(kv, options, err);
    char *map = NULL;
    if (status == RF_OK && options->immutable)
        status = find_map(kv, &map, err);
    kv->map = map;
    return status;
}

static void kv_free(rf_kv *kv)
{
    if (!kv)
        return;
    if (kv->env)
        mdb_env_close(kv->env);
    free(kv->path);
    free(kv);
}

static rf_status open_new(const char *path, const char *data_path, const rf_kv_options *options,
                          rf_kv **kv_out, rf_err *err)
{
    struct stat info;
    bool exists = stat(data_path, &info) == 0;

    if (!exists && !options->create)
        return rf_fail(err, RF_ERR_ABSENT, "%s: no such file", data_path);
    if (exists && info.st_size == 0 && !options->create)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: the file is empty", data_path);
    rf_status status = exists ? rf_kv_meta_check(data_path, options->immutable, err) : RF_OK;
    enum access can = ACCESS_WRITE;
    if (status == RF_OK && !options->immutable)
        status = preallocate_lock(path, &can, err);
    if (status == RF_OK && can == ACCESS_WRITE && exists && access(data_path, W_OK) != 0)
        can = ACCESS_READ;
    if (status != RF_OK)
        return status;
    rf_kv *kv = calloc(1, sizeof *kv);
    if (!kv || !(kv->path = strdup(path))) {
        free(kv);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    }
    kv->immutable = options->immutable;
    kv->access = can;
    kv->pid = getpid();
    kv->users = 1;
    status = open_env(kv, options, exists ? info.st_size : 0, err);
    if (status == RF_OK && !exists) /* it must not vanish with its directory entry */
        status = rf_dir_sync(kv->path, err);
    if (status == RF_OK && stat(data_path, &info) != 0)
        status = rf_fail_errno(err, "%s: cannot look at", data_path);
    if (status != RF_OK) {
        kv_free(kv);
        return status;
    }
    kv->device = info.st_dev;
    kv->inode = info.st_ino;
    kv->next = registry;
    registry = kv;
    *kv_out = kv;
    return RF_OK;
}

rf_status rf_kv_open(const char *path, const rf_kv_options *options, rf_kv **kv_out, rf_err *err)
{
    char data_path[RF_PATH_SIZE];
    struct stat info;

    rf_status status = rf_path_format(data_path, options->immutable ? "%s" : "%s/data.mdb", err, path);
    if (status != RF_OK)
        return status;
    (void)pthread_mutex_lock(&registry_mutex);
    rf_kv *known = NULL;
    if (stat(data_path, &info) == 0)
        for (known = registry; known; known = known->next)
            if (known->device == info.st_dev && known->inode == info.st_ino)
                break;
    if (known) {
        RF_ASSERT(known->immutable == options->immutable);
        known->users++;
        *kv_out = known;
    } else {
        status = open_new(path, data_path, options, kv_out, err);
    }
    (void)pthread_mutex_unlock(&registry_mutex);
    return status;
}

void rf_kv_close(rf_kv *kv)
{
    if (!kv)
        return;
    (void)pthread_mutex_lock(&registry_mutex);
    RF_ASSERT(kv->users > 0);
    if (--kv->users == 0) {
        rf_kv **link = &registry;
        while (*link != kv)
            link = &(*link)->next;
        *link = kv->next;
        kv_free(kv);
    }
    (void)pthread_mutex_unlock(&registry_mutex);
}

void rf_kv_get_info(rf_kv *kv, rf_kv_info *info_out)
{
    MDB_envinfo info;

    (void)mdb_env_info(kv->env, &info);
    *info_out = (rf_kv_info){
        .last_txn_id = info.me_last_txnid,
        .bytes_used = (info.me_last_pgno + 1) * kv->page_size,
        .last_page = info.me_last_pgno,
        .page_size = kv->page_size,
        .table_count = kv->table_count,
        .map = kv->map,
    };
}

uint64_t rf_kv_last_txn_id(const rf_kv *kv)
{
    MDB_envinfo info;

    (void)mdb_env_info(kv->env, &info);
    return info.me_last_txnid;
}

bool rf_kv_is_in_place(const rf_kv *kv)
{
    char data_path[RF_PATH_SIZE];
    struct stat info;

    return rf_path_format(data_path, kv->immutable ? "%s" : "%s/data.mdb", NULL, kv->path) == RF_OK &&
           stat(data_path, &info) == 0 && info.st_dev == kv->device && info.st_ino == kv->inode;
}

int rf_kv_file(const rf_kv *kv)
{
    int fd = -1;

    (void)mdb_env_get_fd(kv->env, &fd);
    return fd;
}

void rf_kv_unload(rf_kv *kv)
{
    MDB_envinfo info;
    char *map = NULL;

    (void)mdb_env_info(kv->env, &info);
    /* For a shared mapping of a file this only forgets where the pages are in memory. */
    if (find_map(kv, &map, NULL) == RF_OK && map)
        (void)madvise(map, (info.me_last_pgno + 1) * kv->page_size, MADV_DONTNEED);
}

/* NULL: cannot be told. */
static const char *map_for_copies(rf_kv *kv)
{
    const char *found = kv->map ? kv->map : atomic_load(&kv->found_map);
    char *map = NULL;

    if (found)
        return found;
    if (find_map(kv, &map, NULL) == RF_OK)
        atomic_store(&kv->found_map, map);
    return map;
}

rf_status rf_kv_copy(rf_kv *kv, rf_slice stored, char *to, rf_err *err)
{
    const char *map = map_for_copies(kv);
    size_t done = 0;
    int fd = -1;

    if (!map || mdb_env_get_fd(kv->env, &fd) != 0) {
        if (stored.size > 0)
            memcpy(to, stored.data, stored.size);
        return RF_OK;
    }
    off_t at = (off_t)(stored.data - map);
    while (done < stored.size) {
        ssize_t size = pread(fd, to + done, stored.size - done, at + (off_t)done);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return rf_fail_errno(err, "%s: cannot read", kv->path);
        if (size == 0)
            return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: it ends before what it has to hold",
                           kv->path);
        done += (size_t)size;
    }
    return RF_OK;
}

/* Begins or renews to read. LMDB takes a reader's number first, and then the roots from the meta page of its
 * parity: where the thread had to wait in between, two commits later, these are newer than the number says, and
 * who keeps anything by the number would take the new for the old. Then once more. */
static int begin_to_read(rf_kv *kv, MDB_txn **txn)
{
    for (int tries = 1;; tries++) {
        int code = *txn ? mdb_txn_renew(*txn) : mdb_txn_begin(kv->env, NULL, MDB_RDONLY, txn);
        if (code != 0 || rf_kv_last_txn_id(kv) <= mdb_txn_id(*txn) + 1)
            return code;
        mdb_txn_reset(*txn);
        if (tries == BEGIN_TRIES_MAX)
            return EAGAIN;
    }
}

/* Waits for whoever writes: LMDB knows no limit for that. */
static int begin_to_write(rf_kv *kv, MDB_txn **txn)
{
    rf_wait_note wait = {.path = kv->path, .what = "another process writes", .is_writer = true};

    rf_wait_note_begin(&wait);
    int code = mdb_txn_begin(kv->env, NULL, 0, txn);
    rf_wait_note_end(&wait);
    return code;
}

static rf_status begin_txn(rf_kv *kv, bool write, rf_kv_txn *txn, rf_err *err)
{
    RF_ASSERT(kv->pid == getpid()); /* LMDB does not survive a fork */
    int code = write ? begin_to_write(kv, &txn->txn) : begin_to_read(kv, &txn->txn);

    if (code == MDB_READERS_FULL) {
        (void)mdb_reader_check(kv->env, NULL);
        code = begin_to_read(kv, &txn->txn);
    }
    if (code != 0) {
        mdb_txn_abort(txn->txn); /* NULL, or not begun */
        return fail_kv(err, code, kv->path,
                       write ? "cannot begin to write" : "cannot begin to read");
    }
    txn->kv = kv;
    txn->write = write;
    txn->pages_max = PAGES_SLACK;
    return RF_OK;
}

static rf_status check_may_write(const rf_kv *kv, rf_err *err)
{
    if (kv->access == ACCESS_WRITE)
        return RF_OK;
    return rf_fail(err, RF_ERR_IO,
                   kv->access == ACCESS_READ ? "%s: this user may only read it; nothing was changed"
                                             : "%s: it is on a read-only file system; nothing was changed",
                   kv->path);
}

rf_status rf_kv_begin(rf_kv *kv, bool write, rf_kv_txn **txn_out, rf_err *err)
{
    rf_kv_txn *txn = calloc(1, sizeof *txn);

    if (!txn)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a transaction", kv->path);
    RF_ASSERT(!write || !kv->immutable);
    rf_status status = write ? check_may_write(kv, err) : RF_OK;
    if (status == RF_OK && write)
        status = check_free_list(kv, err);
    if (status == RF_OK)
        status = begin_txn(kv, write, txn, err);
    if (status != RF_OK) {
        free(txn);
        return status;
    }
    *txn_out = txn;
    return RF_OK;
}

/* Makes the data file as long as its last page will be at most (see the top of this file). */
static int lengthen_file(rf_kv_txn *txn)
{
    MDB_envinfo info;
    struct stat file;
    int fd;

    int code = mdb_env_get_fd(txn->kv->env, &fd);
    if (code != 0)
        return code;
    if (fstat(fd, &file) != 0)
        return errno;
    (void)mdb_env_info(txn->kv->env, &info);
    off_t wanted = (off_t)((info.me_last_pgno + 1 + txn->pages_max) * txn->kv->page_size);
    if (file.st_size < wanted && ftruncate(fd, wanted) != 0)
        return errno;
    return 0;
}

rf_status rf_kv_commit(rf_kv_txn *txn, rf_err *err)
{
    rf_kv *kv = txn->kv;
    int code = 0;

    if (txn->write)
        code = lengthen_file(txn);
    if (code == 0)
        code = mdb_txn_commit(txn->txn);
    else
        mdb_txn_abort(txn->txn);
    free(txn);
    return code == 0 ? RF_OK : fail_kv(err, code, kv->path, "cannot commit");
}

void rf_kv_abort(rf_kv_txn *txn)
{
    if (!txn)
        return;
    mdb_txn_abort(txn->txn);
    free(txn);
}

void rf_kv_reset(rf_kv_txn *txn)
{
    RF_ASSERT(!txn->write);
    mdb_txn_reset(txn->txn);
}

rf_status rf_kv_renew(rf_kv_txn *txn, rf_err *err)
{
    RF_ASSERT(!txn->write);
    int code = begin_to_read(txn->kv, &txn->txn);
    return code == 0 ? RF_OK : fail_kv(err, code, txn->kv->path, "cannot begin to read");
}

rf_status rf_kv_visible(rf_kv *kv, uint64_t *txn_id_out, rf_err *err)
{
    rf_kv_txn *txn = NULL;
    rf_status status = rf_kv_begin(kv, false, &txn, err);

    if (status != RF_OK)
        return status;
    *txn_id_out = rf_kv_txn_id(txn);
    rf_kv_abort(txn);
    return RF_OK;
}

rf_status rf_kv_is_settled(rf_kv *kv, bool *settled_out, rf_err *err)
{
    uint64_t last = rf_kv_last_txn_id(kv), visible = 0;
    rf_status status = rf_kv_visible(kv, &visible, err);

    if (status == RF_OK)
        *settled_out = visible >= last;
    return status;
}

/* Step `settle` of tests/model/swap.pml. To begin to write takes LMDB's mutex, which tells that its owner died, and then LMDB looks at the pages. */
rf_status rf_kv_settle(rf_kv *kv, rf_err *err)
{
    rf_kv_txn *txn = NULL;
    bool is_settled = false;

    rf_status status = rf_kv_is_settled(kv, &is_settled, err);
    if (status != RF_OK || is_settled)
        return status;
    status = rf_kv_begin(kv, true, &txn, err);
    if (status == RF_OK)
        rf_kv_abort(txn);
    return status;
}

uint64_t rf_kv_txn_id(rf_kv_txn *txn)
{
    return mdb_txn_id(txn->txn);
}

/* Whether a value lies in the pages that LMDB gave it: a damaged size would lead its reader behind the end of
 * the file. Pages that a transaction has changed are not where pages of the map are, and not looked at. The
 * header of the first page is read from the file where values are copied: to touch it would map it. */
static bool is_whole(rf_kv *kv, MDB_val value, bool copied)
{
    size_t at = (uintptr_t)value.mv_data % kv->page_size;
    const char *page = (const char *)value.mv_data - at;
    char header[PAGE_HEADER_SIZE];

    if (value.mv_size <= kv->page_size - at)
        return true;
    if (copied && rf_kv_copy(kv, (rf_slice){page, sizeof header}, header, NULL) == RF_OK)
        page = header;
    return at == PAGE_HEADER_SIZE && (rf_load_u16(page + PAGE_FLAGS_AT) & PAGE_OVERFLOW) &&
           value.mv_size <= (uint64_t)rf_load_u32(page + PAGE_COUNT_AT) * kv->page_size - at;
}

void rf_kv_read_copied(rf_kv_txn *txn)
{
    RF_ASSERT(!txn->write);
    txn->copied = true;
}

static rf_status fail_torn(const rf_kv *kv, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: a value is larger than its pages", kv->path);
}

rf_status rf_kv_get(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_slice *value_out,
                    bool *found_out, rf_err *err)
{
    MDB_val wanted = val_of(key);
    MDB_val value;

    rf_status status = check_table(txn->kv, table, err);
    if (status != RF_OK)
        return status;
    int code = mdb_get(txn->txn, txn->kv->tables[table], &wanted, &value);
    if (code != 0 && code != MDB_NOTFOUND)
        return fail_kv(err, code, txn->kv->path, "cannot read");
    if (code == 0 && !txn->write && !is_whole(txn->kv, value, txn->copied))
        return fail_torn(txn->kv, err);
    *found_out = code == 0;
    if (code == 0)
        *value_out = slice_of(value);
    return RF_OK;
}

/* Through a cursor of the table, where there is one. */
static rf_status put(rf_kv_txn *txn, uint32_t table, MDB_cursor *cursor, rf_slice key, MDB_val *value,
                     unsigned flags, rf_err *err)
{
    MDB_val at = val_of(key);

    RF_ASSERT(txn->write);
    rf_status status = check_table(txn->kv, table, err);
    if (status != RF_OK)
        return status;
    if (key.size == 0 || key.size > RF_KV_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "%s: a key of %zu bytes", txn->kv->path, key.size);
    txn->pages_max += PAGES_PER_WRITE + value->mv_size / txn->kv->page_size;
    int code = cursor ? mdb_cursor_put(cursor, &at, value, flags)
                      : mdb_put(txn->txn, txn->kv->tables[table], &at, value, flags);
    return code == 0 ? RF_OK : fail_kv(err, code, txn->kv->path, "cannot write");
}

rf_status rf_kv_put(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_slice value, rf_err *err)
{
    MDB_val all = val_of(value);
    return put(txn, table, NULL, key, &all, 0, err);
}

rf_status rf_kv_put_room(rf_kv_txn *txn, uint32_t table, rf_slice key, size_t size, char **room_out,
                         rf_err *err)
{
    MDB_val room = {size, NULL};
    rf_status status = put(txn, table, NULL, key, &room, MDB_RESERVE, err);

    if (status == RF_OK)
        *room_out = room.mv_data;
    return status;
}

rf_status rf_kv_delete(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_err *err)
{
    MDB_val at = val_of(key);

    RF_ASSERT(txn->write);
    rf_status status = check_table(txn->kv, table, err);
    if (status != RF_OK)
        return status;
    txn->pages_max += PAGES_PER_WRITE;
    int code = mdb_del(txn->txn, txn->kv->tables[table], &at, NULL);
    return code == 0 || code == MDB_NOTFOUND ? RF_OK
                                             : fail_kv(err, code, txn->kv->path, "cannot delete");
}

rf_status rf_kv_count(rf_kv_txn *txn, uint32_t table, uint64_t *count_out, rf_err *err)
{
    MDB_stat stat;

    RF_ASSERT(table < txn->kv->table_count);
    int code = mdb_stat(txn->txn, txn->kv->tables[table], &stat);
    if (code != 0)
        return fail_kv(err, code, txn->kv->path, "cannot count");
    *count_out = stat.ms_entries;
    return RF_OK;
}

rf_status rf_kv_cursor_open(rf_kv_txn *txn, uint32_t table, rf_kv_cursor **cursor_out, rf_err *err)
{
    rf_status status = table < RF_KV_TABLE_FREE ? check_table(txn->kv, table, err) : RF_OK;

    if (status != RF_OK)
        return status;
    rf_kv_cursor *cursor = calloc(1, sizeof *cursor);
    if (!cursor)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a cursor", txn->kv->path);
    MDB_dbi dbi = table < txn->kv->table_count ? txn->kv->tables[table] : 0;
    int code = mdb_cursor_open(txn->txn, dbi, &cursor->cursor);
    if (code != 0) {
        free(cursor);
        return fail_kv(err, code, txn->kv->path, "cannot open a cursor");
    }
    cursor->kv = txn->kv;
    cursor->writes = txn->write ? txn : NULL;
    cursor->table = table;
    cursor->copied = txn->copied;
    *cursor_out = cursor;
    return RF_OK;
}

void rf_kv_cursor_close(rf_kv_cursor *cursor)
{
    if (!cursor)
        return;
    mdb_cursor_close(cursor->cursor);
    free(cursor);
}

/* The last entry with key <= the wanted: the first one at or above it, or else the one before. */
static int seek_at_most(MDB_cursor *cursor, MDB_val wanted, MDB_val *key, MDB_val *value)
{
    *key = wanted;
    int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    if (code == 0 && (key->mv_size != wanted.mv_size ||
                      memcmp(key->mv_data, wanted.mv_data, wanted.mv_size) != 0))
        return mdb_cursor_get(cursor, key, value, MDB_PREV);
    return code;
}

rf_status rf_kv_cursor_seek(rf_kv_cursor *cursor, rf_kv_seek seek, rf_slice key, rf_slice *key_out,
                            rf_slice *value_out, bool *found_out, rf_err *err)
{
    MDB_val at = val_of(key);
    MDB_val value;
    int code = MDB_NOTFOUND;

    switch (seek) {
    case RF_KV_FIRST:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_FIRST);
        break;
    case RF_KV_LAST:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_LAST);
        break;
    case RF_KV_AT_LEAST:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_SET_RANGE);
        break;
    case RF_KV_AT_MOST:
        code = seek_at_most(cursor->cursor, val_of(key), &at, &value);
        break;
    case RF_KV_NEXT:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_NEXT);
        break;
    case RF_KV_PREVIOUS:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_PREV);
        break;
    case RF_KV_HERE:
        code = mdb_cursor_get(cursor->cursor, &at, &value, MDB_GET_CURRENT);
        break;
    }
    if (code != 0 && code != MDB_NOTFOUND)
        return fail_kv(err, code, cursor->kv->path, "cannot read");
    if (code == 0 && value_out && !cursor->writes && !is_whole(cursor->kv, value, cursor->copied))
        return fail_torn(cursor->kv, err);
    *found_out = code == 0;
    if (code == 0)
        *key_out = slice_of(at);
    if (code == 0 && value_out)
        *value_out = slice_of(value);
    return RF_OK;
}

rf_status rf_kv_cursor_put_room(rf_kv_cursor *cursor, rf_slice key, size_t size, bool behind,
                                char **room_out, rf_err *err)
{
    MDB_val room = {size, NULL};

    RF_ASSERT(cursor->writes);
    rf_status status = put(cursor->writes, cursor->table, cursor->cursor, key, &room,
                           MDB_RESERVE | (behind ? MDB_APPEND : 0), err);
    if (status == RF_OK)
        *room_out = room.mv_data;
    return status;
}

rf_status rf_kv_cursor_delete(rf_kv_cursor *cursor, rf_err *err)
{
    RF_ASSERT(cursor->writes);
    cursor->writes->pages_max += PAGES_PER_WRITE;
    int code = mdb_cursor_del(cursor->cursor, 0);
    return code == 0 ? RF_OK : fail_kv(err, code, cursor->kv->path, "cannot delete");
}
