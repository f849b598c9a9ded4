/* See file.h. */
#include "base/file.h"

#include "base/clock.h"
#include "base/holder.h"
#include "base/wait_note.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_POLL_FIRST_MS = 1, LOCK_POLL_LAST_MS = 20, COPY_BUFFER_SIZE = 1 << 16 };

rf_status rf_path_format(char path_out[RF_PATH_SIZE], const char *format, rf_err *err, ...)
{
    va_list args;

    va_start(args, err);
    int size = vsnprintf(path_out, RF_PATH_SIZE, format, args);
    va_end(args);
    if (size < 0 || size >= RF_PATH_SIZE)
        return rf_fail(err, RF_ERR_INPUT, "a path is longer than %d bytes: %.100s...",
                       RF_PATH_SIZE - 1, path_out);
    return RF_OK;
}

rf_status rf_dir_make(const char *path, rf_err *err)
{
    if (mkdir(path, 0700) == 0)
        return RF_OK;
    if (errno == EEXIST && rf_path_is_dir(path))
        return RF_OK;
    return rf_fail_errno(err, "%s: cannot make the directory", path);
}

/* fsyncs an open descriptor and closes it, whatever happens. */
static rf_status sync_and_close(int fd, const char *path, rf_err *err)
{
    if (fsync(fd) != 0) {
        rf_status status = rf_fail_errno(err, "%s: fsync failed", path);
        (void)close(fd);
        return status;
    }
    if (close(fd) != 0)
        return rf_fail_errno(err, "%s: close failed", path);
    return RF_OK;
}

rf_status rf_dir_sync(const char *path, rf_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot open the directory", path);
    return sync_and_close(fd, path, err);
}

rf_status rf_dir_list(const char *path,
                      rf_status (*visit)(void *arg, const char *name, rf_err *err), void *arg,
                      rf_err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return rf_fail_errno(err, "%s: cannot list the directory", path);

    rf_status status = RF_OK;
    while (status == RF_OK) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno != 0)
                status = rf_fail_errno(err, "%s: cannot list the directory", path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(arg, entry->d_name, err);
    }
    (void)closedir(dir);
    return status;
}

static rf_status remove_entry(void *arg, const char *name, rf_err *err)
{
    const char *dir = arg;
    char path[RF_PATH_SIZE];
    struct stat info;

    rf_status status = rf_path_format(path, "%s/%s", err, dir, name);
    if (status != RF_OK)
        return status;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? RF_OK : rf_fail_errno(err, "%s: cannot look at", path);
    if (S_ISDIR(info.st_mode))
        return rf_dir_remove(path, err);
    if (unlink(path) != 0 && errno != ENOENT)
        return rf_fail_errno(err, "%s: cannot remove", path);
    return RF_OK;
}

rf_status rf_dir_remove(const char *path, rf_err *err)
{
    struct stat info;

    if (lstat(path, &info) != 0)
        return errno == ENOENT ? RF_OK : rf_fail_errno(err, "%s: cannot look at", path);
    if (!S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        return rf_fail_errno(err, "%s: cannot remove", path);
    }
    char dir[RF_PATH_SIZE];
    rf_status status = rf_path_format(dir, "%s", err, path);
    if (status == RF_OK)
        status = rf_dir_list(path, remove_entry, dir, err);
    if (status == RF_OK && rmdir(path) != 0 && errno != ENOENT)
        status = rf_fail_errno(err, "%s: cannot remove the directory", path);
    return status;
}

bool rf_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool rf_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

uint64_t rf_file_freed(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_nlink == 1 ? (uint64_t)info.st_blocks * 512 : 0;
}

static rf_status write_all(int fd, const char *path, rf_slice bytes, rf_err *err)
{
    for (size_t done = 0; done < bytes.size;) {
        ssize_t written = write(fd, bytes.data + done, bytes.size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            if (written == 0)
                errno = ENOSPC;
            return rf_fail_errno(err, "%s: cannot write", path);
        }
        done += (size_t)written;
    }
    return RF_OK;
}

/* Reads from `fd` to the end of the file, giving each piece to `buf`. */
static rf_status read_all(int fd, const char *path, rf_buf *buf, rf_err *err)
{
    for (;;) {
        char piece[COPY_BUFFER_SIZE];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rf_fail_errno(err, "%s: cannot read", path);
        if (got == 0)
            return rf_buf_check(buf, path, err);
        rf_buf_append(buf, piece, (size_t)got);
        if (buf->failed)
            return rf_buf_check(buf, path, err);
    }
}

static rf_status open_regular(const char *path, int *fd_out, rf_err *err)
{
    struct stat info;
    /* Without waiting for the other end of what turns out to be a pipe. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? rf_fail(err, RF_ERR_ABSENT, "%s: no such file", path)
                               : rf_fail_errno(err, "%s: cannot open", path);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(fd);
        return rf_fail(err, RF_ERR_INPUT, "%s: not a regular file", path);
    }
    *fd_out = fd;
    return RF_OK;
}

rf_status rf_file_read(const char *path, rf_buf *buf_out, rf_err *err)
{
    int fd = -1;
    rf_status status = open_regular(path, &fd, err);

    if (status != RF_OK)
        return status;
    status = read_all(fd, path, buf_out, err);
    (void)close(fd);
    return status;
}

static rf_status parent_of(const char *path, char dir_out[RF_PATH_SIZE], rf_err *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return rf_path_format(dir_out, ".", err);
    int size = slash == path ? 1 : (int)(slash - path);
    return rf_path_format(dir_out, "%.*s", err, size, path);
}

static rf_status write_new_file(const char *path, int flags, rf_slice bytes, int *fd_out,
                                rf_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot create", path);
    rf_status status = write_all(fd, path, bytes, err);
    if (status != RF_OK) {
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return RF_OK;
}

static rf_status write_new_file_durably(const char *path, int flags, rf_slice bytes, rf_err *err)
{
    int fd = -1;
    rf_status status = write_new_file(path, flags, bytes, &fd, err);

    return status == RF_OK ? sync_and_close(fd, path, err) : status;
}

rf_status rf_file_write(const char *path, rf_slice bytes, rf_err *err)
{
    int fd = -1;
    rf_status status = write_new_file(path, O_EXCL, bytes, &fd, err);

    if (status == RF_OK && close(fd) != 0)
        status = rf_fail_errno(err, "%s: cannot write", path);
    return status;
}

static rf_status sync_entry(void *dir, const char *name, rf_err *err)
{
    char path[RF_PATH_SIZE];

    rf_status status = rf_path_format(path, "%s/%s", err, (const char *)dir, name);
    if (status != RF_OK)
        return status;
    if (rf_path_is_dir(path))
        return rf_dir_sync_all(path, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot open", path);
    return sync_and_close(fd, path, err);
}

rf_status rf_dir_sync_all(const char *path, rf_err *err)
{
    char dir[RF_PATH_SIZE];

    rf_status status = rf_path_format(dir, "%s", err, path);
    if (status == RF_OK)
        status = rf_dir_list(path, sync_entry, dir, err);
    return status == RF_OK ? rf_dir_sync(path, err) : status;
}

rf_status rf_file_replace(const char *path, rf_slice bytes, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    char temporary[RF_PATH_SIZE];

    rf_status status = rf_path_format(temporary, "%s.tmp", err, path);
    if (status == RF_OK)
        status = parent_of(path, dir, err);
    if (status == RF_OK)
        status = write_new_file_durably(temporary, O_TRUNC, bytes, err);
    if (status == RF_OK && rename(temporary, path) != 0)
        status = rf_fail_errno(err, "%s: cannot rename to it", path);
    if (status != RF_OK) {
        (void)unlink(temporary);
        return status;
    }
    return rf_dir_sync(dir, err);
}

rf_status rf_file_create(const char *path, rf_slice bytes, rf_err *err)
{
    char dir[RF_PATH_SIZE];

    rf_status status = parent_of(path, dir, err);
    if (status == RF_OK)
        status = write_new_file_durably(path, O_EXCL, bytes, err);
    return status == RF_OK ? rf_dir_sync(dir, err) : status;
}

static rf_status fail_locked(const char *path, const char *what, rf_err *err)
{
    char holder[RF_HOLDER_TEXT_SIZE];

    if (!err)
        return RF_ERR_LOCKED;
    bool known = rf_holder_of_lock(path, holder);
    return rf_fail(err, RF_ERR_LOCKED, "%s (%s is locked%s%s); nothing was changed", what, path,
                   known ? " by " : "", holder);
}

/* Who waits without limit waits in the system's queue: looking now and then, it would be passed by those
 * that come while it sleeps, for seconds where four imports commit again and again. */
static rf_status lock_fd(int fd, const char *path, rf_lock_mode mode, int64_t wait_ms, const char *what,
                         rf_err *err)
{
    int operation = (mode == RF_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | (wait_ms < 0 ? 0 : LOCK_NB);
    double end = rf_clock_seconds() + (double)wait_ms / 1000;
    long poll_ms = LOCK_POLL_FIRST_MS;

    while (flock(fd, operation) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return rf_fail_errno(err, "%s: cannot lock", path);
        if (rf_clock_seconds() >= end)
            return fail_locked(path, what, err);
        struct timespec pause = {0, poll_ms * 1000000};
        (void)nanosleep(&pause, NULL);
        poll_ms = 2 * poll_ms < LOCK_POLL_LAST_MS ? 2 * poll_ms : LOCK_POLL_LAST_MS;
    }
    return RF_OK;
}

rf_status rf_lock_acquire(const char *path, rf_lock_mode mode, int64_t wait_ms, const char *what,
                          int *fd_out, rf_err *err)
{
    int create = mode == RF_LOCK_EXCLUSIVE ? O_RDWR | O_CREAT : O_RDONLY;
    rf_wait_note wait = {.path = path, .what = what, .is_bounded = wait_ms > 0};

    int fd = open(path, create | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EROFS)
        return rf_fail(err, RF_ERR_IO, "%s: it is on a read-only file system; nothing was changed", path);
    if (fd < 0 && errno == EACCES)
        return rf_fail(err, RF_ERR_IO, "%s: this user may not %s it; nothing was changed", path,
                       mode == RF_LOCK_EXCLUSIVE ? "write" : "read");
    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot open the lock", path);
    if (wait_ms != 0)
        rf_wait_note_begin(&wait);
    rf_status status = lock_fd(fd, path, mode, wait_ms, what, err);
    if (wait_ms != 0)
        rf_wait_note_end(&wait);
    if (status != RF_OK) {
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return RF_OK;
}

void rf_lock_release(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

#define COPY_BYTES_MAX ((size_t)1 << 40)

rf_status rf_file_link(const char *from, const char *to, rf_err *err)
{
    if (link(from, to) == 0)
        return RF_OK;
    if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != ENOTSUP)
        return rf_fail_errno(err, "%s: cannot be given another name", from);
    rf_buf bytes;
    rf_buf_init(&bytes, COPY_BYTES_MAX);
    rf_status status = rf_file_read(from, &bytes, err);
    if (status == RF_OK)
        status = rf_file_create(to, rf_buf_slice(&bytes), err);
    rf_buf_free(&bytes);
    return status;
}
