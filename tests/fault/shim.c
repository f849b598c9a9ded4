/* Makes one system call of a program fail: an LD_PRELOAD library with one counter for the whole
 * process.
 *
 * Calls of the C library that change files are counted, over all threads, when their name stands in
 * FAULT_CALLS
 * ("pwrite,fsync"). The call number FAULT_AT then meets FAULT_MODE:
 *
 *   once   it fails with errno FAULT_ERRNO          stick  it and all later ones do
 *   short  it writes half of what was asked         kill   the process dies before the call, as by kill -9
 *   die    it writes, and the process dies before it can go on
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum fault { FAULT_NONE, FAULT_FAIL, FAULT_SHORT, FAULT_DIE } fault;

static atomic_long calls;

__attribute__((destructor)) static void write_count(void)
{
    const char *path = getenv("FAULT_COUNT");
    char text[32];

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

/* What a call that writes gives; it is the last where it is to be. */
static ssize_t written(fault f, ssize_t size)
{
    if (f == FAULT_DIE)
        die();
    return size;
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
    if (strcmp(mode, "die") == 0)
        return FAULT_DIE;
    if (strcmp(mode, "short") == 0)
        return FAULT_SHORT;
    errno = code ? atoi(code) : EIO;
    return FAULT_FAIL;
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
        return meet(#name) == FAULT_FAIL ? failed : next arguments;                                \
    }

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    NEXT(ssize_t, pwrite, int, const void *, size_t, off_t);
    fault f = meet("pwrite");
    return f == FAULT_FAIL ? -1 : written(f, next(fd, bytes, f == FAULT_SHORT ? size / 2 : size, at));
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    return pwrite(fd, bytes, size, at);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    NEXT(ssize_t, write, int, const void *, size_t);
    fault f = fd > 2 ? meet("write") : FAULT_NONE;
    return f == FAULT_FAIL ? -1 : written(f, next(fd, bytes, f == FAULT_SHORT ? size / 2 : size));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(ssize_t, writev, int, const struct iovec *, int);
    fault f = fd > 2 ? meet("writev") : FAULT_NONE;
    return f == FAULT_FAIL
               ? -1
               : written(f, next(fd, parts, f == FAULT_SHORT && count > 1 ? count / 2 : count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    NEXT(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    fault f = meet("pwritev");
    return f == FAULT_FAIL
               ? -1
               : written(f, next(fd, parts, f == FAULT_SHORT && count > 1 ? count / 2 : count, at));
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
    return meet("open") == FAULT_FAIL ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
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

FAILING(int, fsync, -1, (int fd), (fd))
FAILING(int, fdatasync, -1, (int fd), (fd))
FAILING(int, msync, -1, (void *at, size_t size, int flags), (at, size, flags))
FAILING(int, ftruncate, -1, (int fd, off_t size), (fd, size))
FAILING(int, ftruncate64, -1, (int fd, off_t size), (fd, size))
FAILING(int, posix_fallocate, errno, (int fd, off_t at, off_t size), (fd, at, size))
FAILING(int, posix_fallocate64, errno, (int fd, off_t at, off_t size), (fd, at, size))
FAILING(int, fallocate, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
FAILING(int, fallocate64, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
FAILING(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
FAILING(int, mkdirat, -1, (int folder, const char *path, mode_t mode), (folder, path, mode))
FAILING(int, rename, -1, (const char *from, const char *to), (from, to))
FAILING(int, renameat, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILING(int, unlink, -1, (const char *path), (path))
FAILING(int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags))
FAILING(int, rmdir, -1, (const char *path), (path))
FAILING(int, flock, -1, (int fd, int how), (fd, how))
FAILING(ssize_t, copy_file_range, -1,
        (int a, off64_t *ao, int b, off64_t *bo, size_t size, unsigned flags),
        (a, ao, b, bo, size, flags))
FAILING(ssize_t, sendfile, -1, (int to, int from, off_t *at, size_t size), (to, from, at, size))
