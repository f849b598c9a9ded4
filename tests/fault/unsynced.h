/* What a process has changed and not synced yet, so that it can be taken back: a power cut of one process, at its
 * worst. Bytes of a file are safe with the fsync of any descriptor of it, or when they are written through one
 * that is synchronous; names with the fsync of the directory where they are. What is taken back is taken back
 * latest first, so that files are what they were.
 *
 * Part of shim.c. One mutex is held from before a change is noted until after it is made, and by every sync, so
 * nothing is changed beside unsynced_take_back. It is for small stores: all bytes that are overwritten are kept.
 * Files and directories that are to be gone again are moved to the folder UNSYNCED_KEEP, on the same file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum unsynced_kind { UNSYNCED_BYTES, UNSYNCED_NEW_NAME, UNSYNCED_RENAMED, UNSYNCED_REMOVED };

/* A change. `device` and `inode`: the file or directory whose fsync makes it safe. */
struct unsynced {
    struct unsynced *before;
    enum unsynced_kind kind;
    dev_t device;
    ino_t inode;
    int fd;            /* of bytes: one of our own, for reading and writing */
    off_t at, length;  /* of bytes: where, and how long the file was */
    size_t size;
    char *bytes;
    char path[PATH_MAX], from[PATH_MAX], kept[PATH_MAX]; /* of names; "": none */
};

static struct unsynced *unsynced_last;
static pthread_mutex_t unsynced_mutex = PTHREAD_MUTEX_INITIALIZER;
static int unsynced_number;

static int unsynced_is_on(void)
{
    const char *mode = getenv("FAULT_MODE");

    return mode && strcmp(mode, "lose") == 0;
}

static void unsynced_lock(void)
{
    if (unsynced_is_on())
        pthread_mutex_lock(&unsynced_mutex);
}

static void unsynced_unlock(void)
{
    if (unsynced_is_on())
        pthread_mutex_unlock(&unsynced_mutex);
}

static struct unsynced *unsynced_add(enum unsynced_kind kind, const struct stat *info)
{
    struct unsynced *change = calloc(1, sizeof *change);

    if (!change)
        abort();
    change->before = unsynced_last;
    change->kind = kind;
    change->device = info->st_dev;
    change->inode = info->st_ino;
    unsynced_last = change;
    return change;
}

/* A descriptor of the same file that is never closed: that would let go of LMDB's locks. */
static int unsynced_open(int fd, const struct stat *info)
{
    static struct {
        dev_t device;
        ino_t inode;
        int fd;
    } files[256];
    static int count;
    char path[64];

    for (int i = 0; i < count; i++)
        if (files[i].device == info->st_dev && files[i].inode == info->st_ino)
            return files[i].fd;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (own < 0 || count == sizeof files / sizeof files[0])
        abort();
    files[count].device = info->st_dev;
    files[count].inode = info->st_ino;
    files[count++].fd = own;
    return own;
}

/* Before bytes of a file are written, or its length is changed: at most `size` from `at` are lost then. */
static void unsynced_note_bytes(int fd, off_t at, size_t size)
{
    struct stat info;

    if (!unsynced_is_on() || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    int own = unsynced_open(fd, &info);
    struct unsynced *change = unsynced_add(UNSYNCED_BYTES, &info);
    if (fcntl(fd, F_GETFL) & O_APPEND)
        at = info.st_size;
    size_t left = at < info.st_size ? (size_t)(info.st_size - at) : 0;
    size = size < left ? size : left;
    change->fd = own;
    change->at = at;
    change->length = info.st_size;
    change->bytes = malloc(size + 1);
    ssize_t got = change->bytes ? pread(own, change->bytes, size, at) : -1;
    if (got < 0)
        abort();
    change->size = (size_t)got;
}

static off_t unsynced_here(int fd)
{
    return unsynced_is_on() ? lseek(fd, 0, SEEK_CUR) : 0;
}

static size_t unsynced_size(const struct iovec *parts, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

/* After a sync, of which O_SYNC and O_DSYNC are one behind each write. */
static void unsynced_forget(int fd)
{
    struct stat info;

    if (!unsynced_is_on() || fstat(fd, &info) != 0)
        return;
    for (struct unsynced **at = &unsynced_last; *at;) {
        struct unsynced *change = *at;
        if (change->device != info.st_dev || change->inode != info.st_ino) {
            at = &change->before;
            continue;
        }
        *at = change->before;
        if (change->kept[0] && change->kind != UNSYNCED_NEW_NAME)
            (void)syscall(SYS_unlinkat, AT_FDCWD, change->kept, 0);
        free(change->bytes);
        free(change);
    }
}

static void unsynced_wrote(int fd)
{
    if (unsynced_is_on() && (fcntl(fd, F_GETFL) & O_DSYNC))
        unsynced_forget(fd);
}

/* A change of names in the directory of `path`; NULL where there is none. */
static struct unsynced *unsynced_add_name(enum unsynced_kind kind, const char *path)
{
    char folder[PATH_MAX];
    struct stat info;

    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    if (stat(!slash ? "." : *folder ? folder : "/", &info) != 0)
        return NULL;
    struct unsynced *change = unsynced_add(kind, &info);
    const char *keep = getenv("UNSYNCED_KEEP");
    if (!keep)
        abort();
    (void)snprintf(change->path, sizeof change->path, "%s", path);
    (void)snprintf(change->kept, sizeof change->kept, "%s/%d-%d", keep, (int)getpid(),
                   unsynced_number++);
    return change;
}

static void unsynced_note_new(const char *path)
{
    struct stat info;

    if (unsynced_is_on() && lstat(path, &info) != 0 && errno == ENOENT)
        (void)unsynced_add_name(UNSYNCED_NEW_NAME, path);
}

/* What had the name stays under another one until the directory is synced. */
static void unsynced_keep(struct unsynced *change)
{
    struct stat info;

    if (lstat(change->path, &info) != 0 || S_ISDIR(info.st_mode) ||
        syscall(SYS_linkat, AT_FDCWD, change->path, AT_FDCWD, change->kept, 0) != 0)
        change->kept[0] = 0;
}

static void unsynced_note_renamed(const char *from, const char *to)
{
    struct stat info;
    struct unsynced *change =
        unsynced_is_on() && lstat(from, &info) == 0 ? unsynced_add_name(UNSYNCED_RENAMED, to) : NULL;

    if (!change)
        return;
    unsynced_keep(change);
    (void)snprintf(change->from, sizeof change->from, "%s", from);
}

static void unsynced_note_removed(const char *path)
{
    struct stat info;
    struct unsynced *change =
        unsynced_is_on() && lstat(path, &info) == 0 ? unsynced_add_name(UNSYNCED_REMOVED, path) : NULL;

    if (change)
        unsynced_keep(change);
}

static void unsynced_move(const char *from, const char *to)
{
    if (from[0])
        (void)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

static void unsynced_take_back(void)
{
    for (struct unsynced *c = unsynced_last; c; c = c->before) {
        switch (c->kind) {
        case UNSYNCED_BYTES:
            if (syscall(SYS_pwrite64, c->fd, c->bytes, c->size, c->at) != (long)c->size ||
                syscall(SYS_ftruncate, c->fd, c->length) != 0)
                abort();
            break;
        case UNSYNCED_NEW_NAME:
            unsynced_move(c->path, c->kept);
            break;
        case UNSYNCED_RENAMED:
            unsynced_move(c->path, c->from);
            unsynced_move(c->kept, c->path);
            break;
        case UNSYNCED_REMOVED:
            if (c->kept[0])
                unsynced_move(c->kept, c->path);
            else
                (void)syscall(SYS_mkdirat, AT_FDCWD, c->path, 0700);
            break;
        }
    }
    unsynced_last = NULL;
}
