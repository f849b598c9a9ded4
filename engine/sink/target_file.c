#include "sink/target_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_TRIES_MAX = 16 };

/* Where a link leads to, and the names beside. */
static rf_status place(rf_target_file *file, const char *path, rf_err *err)
{
    struct stat info;
    char *real = realpath(path, NULL);
    if (!real && errno == ENOENT && lstat(path, &info) == 0)
        return rf_fail(err, RF_ERR_INPUT, "%s is a link to what is not there; nothing was written", path);
    rf_status status = rf_path_format(file->path, "%s", err, real ? real : path);

    free(real);
    if (status != RF_OK)
        return status;
    bool is_there = stat(file->path, &info) == 0;
    if (is_there && S_ISDIR(info.st_mode))
        return rf_fail(err, RF_ERR_INPUT, "%s is a directory: name a file in it", path);
    if (is_there && !S_ISREG(info.st_mode))
        return rf_fail(err, RF_ERR_INPUT, "%s is no regular file", path);
    const char *slash = strrchr(file->path, '/');
    const char *name = slash ? slash + 1 : file->path;
    if (*name == '\0')
        return rf_fail(err, RF_ERR_INPUT, "%s is no name of a file", path);
    if (!slash)
        status = rf_path_format(file->dir, ".", err);
    else
        status = rf_path_format(file->dir, "%.*s", err,
                                slash == file->path ? 1 : (int)(slash - file->path), file->path);
    if (status == RF_OK)
        status = rf_path_format(file->part, "%.*s.%s.part", err,
                                slash ? (int)(slash + 1 - file->path) : 0, file->path, name);
    return status;
}

/* Opens and locks the file beside; false with *status_out RF_OK where another run renamed or
 * removed it in between. */
static bool lock_part(rf_target_file *file, rf_status *status_out, rf_err *err)
{
    struct stat opened, named;

    file->fd = open(file->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    *status_out = RF_OK;
    if (file->fd < 0) {
        *status_out = rf_fail_errno(err, "%s: cannot create; nothing was written", file->part);
        return false;
    }
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0)
        *status_out = errno == EWOULDBLOCK
                          ? rf_fail(err, RF_ERR_LOCKED, "another export writes %s", file->path)
                          : rf_fail_errno(err, "%s: cannot lock", file->part);
    else if (fstat(file->fd, &opened) == 0 && stat(file->part, &named) == 0 &&
             opened.st_ino == named.st_ino && opened.st_dev == named.st_dev)
        return true;
    (void)close(file->fd);
    file->fd = -1;
    return false;
}

rf_status rf_target_file_begin(rf_target_file *file, const char *path, rf_err *err)
{
    struct stat info;

    *file = (rf_target_file){.fd = -1};
    rf_status status = place(file, path, err);
    for (int tries = 0; status == RF_OK && !lock_part(file, &status, err); tries++)
        if (status == RF_OK && tries == OPEN_TRIES_MAX)
            status = rf_fail(err, RF_ERR_LOCKED, "other exports write %s", file->path);
    if (status != RF_OK)
        return status;
    if (ftruncate(file->fd, 0) != 0)
        status = rf_fail_errno(err, "%s: cannot empty", file->part);
    if (status == RF_OK && stat(file->path, &info) == 0 &&
        fchmod(file->fd, info.st_mode & 07777) != 0)
        status = rf_fail_errno(err, "%s: cannot set its permissions", file->part);
    if (status != RF_OK)
        rf_target_file_abandon(file);
    return status;
}

rf_status rf_target_file_write(rf_target_file *file, rf_slice bytes, rf_err *err)
{
    for (size_t done = 0; done < bytes.size;) {
        ssize_t written = write(file->fd, bytes.data + done, bytes.size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return rf_fail_errno(err, "%s: cannot write", file->part);
        }
        done += (size_t)written;
    }
    file->size += bytes.size;
    return RF_OK;
}

rf_status rf_target_file_finish(rf_target_file *file, rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(file->fd >= 0);
    if (fsync(file->fd) != 0)
        status = rf_fail_errno(err, "%s: fsync failed", file->part);
    else if (rename(file->part, file->path) != 0)
        status = rf_fail_errno(err, "%s: cannot rename to it", file->path);
    if (status != RF_OK) {
        rf_target_file_abandon(file);
        return status;
    }
    (void)close(file->fd); /* fsynced: nothing that close could still lose */
    file->fd = -1;
    return rf_dir_sync(file->dir, err);
}

void rf_target_file_abandon(rf_target_file *file)
{
    if (file->fd < 0)
        return;
    (void)unlink(file->part);
    (void)close(file->fd);
    file->fd = -1;
}
