/* Makes one system call of a program fail: an LD_PRELOAD library with one counter for the whole
 * process.
 *
 * Calls of the C library that change files are counted, over all threads, when their name stands in
 * FAULT_CALLS
 * ("pwrite,fsync"). The call number FAULT_AT then meets FAULT_MODE:
 *
 *   once   it fails with errno FAULT_ERRNO          stick  it and all later ones do
 *   short  it writes half of what was asked         kill   the process dies before the call, as by kill -9
 *   die    it is done, and the process dies before it can go on
 *   lose   what was not synced is taken back, as by a power cut, and the process dies; if it ends before,
 *          that is done at its end (unsynced.h, with a folder UNSYNCED_KEEP)
 *
 * With FAULT_COUNT=FILE the number of calls is written there at exit. Writes to standard output and
 * error are never counted. What the C library does inside itself (thread stacks, the loading of
 * plugins) does not come by here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "unsynced.h"

typedef enum fault { FAULT_NONE, FAULT_FAIL, FAULT_SHORT, FAULT_DIE } fault;

static atomic_long calls;

__attribute__((destructor)) static void at_end(void)
{
    const char *path = getenv("FAULT_COUNT");
    char text[32];

    unsynced_take_back();
    if (!path)
        return;
    int size = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || syscall(SYS_write, fd, text, (size_t)size) != size)
        abort();
    syscall(SYS_close, fd);
}

static int is_listed(const char *name)
{
    const char *list = getenv("FAULT_CALLS");
    size_t size = strlen(name);

    for (const char *at = list ? strstr(list, name) : NULL; at; at = strstr(at + 1, name))
        if ((at == list || at[-1] == ',') && (at[size] == 0 || at[size] == ','))
            return 1;
    return 0;
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* What a call gives; it is the last where it is to be. */
static ssize_t done(fault f, ssize_t result)
{
    if (f == FAULT_DIE)
        die();
    return result;
}

/* The same of one that writes. */
static ssize_t written(fault f, int fd, ssize_t size)
{
    unsynced_wrote(fd);
    unsynced_unlock();
    return done(f, size);
}

/* Counts a call and says what shall become of it. */
static fault meet(const char *name)
{
    const char *at = getenv("FAULT_AT");
    const char *mode = getenv("FAULT_MODE");
    const char *code = getenv("FAULT_ERRNO");

    if (!is_listed(name))
        return FAULT_NONE;
    long number = atomic_fetch_add(&calls, 1) + 1;
    long wanted = at ? atol(at) : 0;
    if (!mode || wanted < 1 || number < wanted || (number > wanted && strcmp(mode, "stick") != 0))
        return FAULT_NONE;
    if (strcmp(mode, "kill") == 0)
        die();
    if (strcmp(mode, "lose") == 0) {
        unsynced_take_back();
        die();
    }
    if (strcmp(mode, "die") == 0)
        return FAULT_DIE;
    if (strcmp(mode, "short") == 0)
        return FAULT_SHORT;
    errno = code ? atoi(code) : EIO;
    return FAULT_FAIL;
}

/* The same of one that writes, before it does. */
static fault meet_write(const char *name, int fd, off_t at, size_t size)
{
    unsynced_lock();
    fault f = meet(name);
    unsynced_note_bytes(fd, at, size);
    return f;
}

/* Declares `next`, the function that this one stands before. */
#define NEXT(result, name, ...)                                                                    \
    static result (*next)(__VA_ARGS__);                                                            \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

/* One that only fails or not. */
#define FAILING(result, name, failed, parameters, arguments)                                       \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*next) parameters;                                                           \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        fault f = meet(#name);                                                                     \
        return (result)done(f, f == FAULT_FAIL ? failed : next arguments);                         \
    }

/* The same, with what unsynced.h has to be told before and after it. */
#define CHANGING(result, name, failed, parameters, arguments, before, after)                       \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*next) parameters;                                                           \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        unsynced_lock();                                                                           \
        fault f = meet(#name);                                                                     \
        before;                                                                                    \
        result outcome = f == FAULT_FAIL ? failed : next arguments;                                \
        after;                                                                                     \
        unsynced_unlock();                                                                         \
        return (result)done(f, outcome);                                                           \
    }

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    NEXT(ssize_t, pwrite, int, const void *, size_t, off_t);
    fault f = meet_write("pwrite", fd, at, size);
    return written(f, fd, f == FAULT_FAIL ? -1 : next(fd, bytes, f == FAULT_SHORT ? size / 2 : size, at));
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    return pwrite(fd, bytes, size, at);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    NEXT(ssize_t, write, int, const void *, size_t);
    if (fd <= 2)
        return next(fd, bytes, size);
    fault f = meet_write("write", fd, unsynced_here(fd), size);
    return written(f, fd, f == FAULT_FAIL ? -1 : next(fd, bytes, f == FAULT_SHORT ? size / 2 : size));
}

/* What a short one of several parts has written. */
static int parts_of(fault f, int count)
{
    return f == FAULT_SHORT && count > 1 ? count / 2 : count;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(ssize_t, writev, int, const struct iovec *, int);
    if (fd <= 2)
        return next(fd, parts, count);
    fault f = meet_write("writev", fd, unsynced_here(fd), unsynced_size(parts, count));
    return written(f, fd, f == FAULT_FAIL ? -1 : next(fd, parts, parts_of(f, count)));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    NEXT(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    fault f = meet_write("pwritev", fd, at, unsynced_size(parts, count));
    return written(f, fd, f == FAULT_FAIL ? -1 : next(fd, parts, parts_of(f, count), at));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    return pwritev(fd, parts, count, at);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset)
{
    if (meet("mmap") == FAULT_FAIL)
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, access, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int access, int flags, int fd, off_t offset)
{
    return mmap(at, size, access, flags, fd, offset);
}

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    int later = unsynced_is_on() ? flags & O_TRUNC : 0; /* when it is known which bytes that loses */

    unsynced_lock();
    fault f = meet("open");
    if (flags & O_CREAT)
        unsynced_note_new(path);
    int fd = f == FAULT_FAIL ? -1 : (int)syscall(SYS_openat, folder, path, flags & ~later, mode);
    if (fd >= 0 && later) {
        unsynced_note_bytes(fd, 0, SIZE_MAX);
        if (syscall(SYS_ftruncate, fd, 0) != 0)
            abort();
    }
    unsynced_unlock();
    return (int)done(f, fd);
}
static mode_t mode_of(va_list arguments, int flags)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}
#define OPENING(name, parameters, folder)                                                          \
    int name parameters                                                                            \
    {                                                                                              \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = mode_of(arguments, flags);                                                   \
        va_end(arguments);                                                                         \
        return open_at(folder, path, flags, mode);                                                 \
    }
OPENING(open, (const char *path, int flags, ...), AT_FDCWD)
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENING(openat, (int folder, const char *path, int flags, ...), folder)
OPENING(openat64, (int folder, const char *path, int flags, ...), folder)

#define FORGET(fd) outcome == 0 ? unsynced_forget(fd) : (void)0
CHANGING(int, fsync, -1, (int fd), (fd), (void)0, FORGET(fd))
CHANGING(int, fdatasync, -1, (int fd), (fd), (void)0, FORGET(fd))
FAILING(int, msync, -1, (void *at, size_t size, int flags), (at, size, flags))

#define NOTE_FROM(fd, at) unsynced_note_bytes(fd, at, SIZE_MAX)
CHANGING(int, ftruncate, -1, (int fd, off_t size), (fd, size), NOTE_FROM(fd, size), (void)0)
CHANGING(int, ftruncate64, -1, (int fd, off_t size), (fd, size), NOTE_FROM(fd, size), (void)0)
CHANGING(int, posix_fallocate, errno, (int fd, off_t at, off_t size), (fd, at, size),
         NOTE_FROM(fd, at), (void)0)
CHANGING(int, posix_fallocate64, errno, (int fd, off_t at, off_t size), (fd, at, size),
         NOTE_FROM(fd, at), (void)0)
CHANGING(int, fallocate, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size),
         NOTE_FROM(fd, at), (void)0)
CHANGING(int, fallocate64, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size),
         NOTE_FROM(fd, at), (void)0)
CHANGING(ssize_t, copy_file_range, -1,
         (int a, off64_t *ao, int b, off64_t *bo, size_t size, unsigned flags),
         (a, ao, b, bo, size, flags), unsynced_note_bytes(b, bo ? *bo : unsynced_here(b), size),
         (void)0)
CHANGING(ssize_t, sendfile, -1, (int to, int from, off_t *at, size_t size), (to, from, at, size),
         unsynced_note_bytes(to, unsynced_here(to), size), (void)0)

#define NOTE(kind, ...) unsynced_note_##kind(__VA_ARGS__)
CHANGING(int, mkdir, -1, (const char *path, mode_t mode), (path, mode), NOTE(new, path), (void)0)
FAILING(int, mkdirat, -1, (int folder, const char *path, mode_t mode), (folder, path, mode))
CHANGING(int, link, -1, (const char *from, const char *to), (from, to), NOTE(new, to), (void)0)
CHANGING(int, rename, -1, (const char *from, const char *to), (from, to), NOTE(renamed, from, to),
         (void)0)
FAILING(int, renameat, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGING(int, unlink, -1, (const char *path), (path), NOTE(removed, path), (void)0)
FAILING(int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags))
CHANGING(int, rmdir, -1, (const char *path), (path), NOTE(removed, path), (void)0)
FAILING(int, flock, -1, (int fd, int how), (fd, how))
