/* How long a program holds the catalog, and what for: an LD_PRELOAD library. hold.c has how long others wait.
 *
 *     HELD_OUT=FILE LD_PRELOAD=held.so refold …
 *
 * At the end one JSON object is written to FILE: how often the lock for write transactions of live/ was held, the
 * longest time, and how much of that was processor time, how much went by in calls that write to the disk, and so how
 * much the thread waited for a core. LMDB has that lock in live/lock.mdb, in the second cache line.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 8, LINE_BYTES = 64 };
#define LOOK_FROM_S 0.0005 /* shorter ones hold nobody, and are not looked at */

typedef struct hold {
    const pthread_mutex_t *lock;
    double begun, processor; /* seconds by the clock, and of the thread's processor time, when it began */
    double files;            /* in calls that write */
} hold;

static _Thread_local hold held[DEPTH_MAX];
static _Thread_local unsigned depth;

static struct {
    unsigned long count;
    double longest, processor, files;
} found; /* under the catalog's lock itself */

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool is_catalogs(const pthread_mutex_t *lock)
{
    static const pthread_mutex_t *known;
    char line[512];

    if (known)
        return known == lock;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !known && fgets(line, sizeof line, maps)) {
        char *end;
        uintptr_t begin = (uintptr_t)strtoull(line, &end, 16);
        if (strstr(line, "/live/lock.mdb") && (uintptr_t)lock == begin + LINE_BYTES)
            known = lock;
    }
    if (maps)
        (void)fclose(maps);
    return known != NULL;
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("HELD_OUT");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!file)
        return;
    double waited = found.longest - found.processor - found.files;
    (void)fprintf(file,
                  "{\"holds\":%lu,\"longest_s\":%.6f,\"processor_s\":%.6f,\"files_s\":%.6f,\"core_s\":%.6f}\n",
                  found.count, found.longest, found.processor, found.files, waited > 0 ? waited : 0);
    (void)fclose(file);
}

/* The function that stands behind one of these. */
static void *next_of(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        abort();
    return function;
}

int pthread_mutex_lock(pthread_mutex_t *lock)
{
    static int (*next)(pthread_mutex_t *);

    if (!next)
        *(void **)&next = next_of("pthread_mutex_lock");
    int code = next(lock);
    if (depth < DEPTH_MAX)
        held[depth++] = (hold){lock, seconds(CLOCK_MONOTONIC), seconds(CLOCK_THREAD_CPUTIME_ID), 0};
    return code;
}

int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    static int (*next)(pthread_mutex_t *);

    if (!next)
        *(void **)&next = next_of("pthread_mutex_unlock");
    if (depth > 0 && held[depth - 1].lock == lock) {
        const hold *ended = &held[--depth];
        double took = seconds(CLOCK_MONOTONIC) - ended->begun;
        if (took > LOOK_FROM_S && is_catalogs(lock)) {
            found.count++;
            if (took > found.longest) {
                found.longest = took;
                found.processor = seconds(CLOCK_THREAD_CPUTIME_ID) - ended->processor;
                found.files = ended->files;
            }
        }
    }
    return next(lock);
}

static void add_files(double begun)
{
    if (depth > 0)
        held[depth - 1].files += seconds(CLOCK_MONOTONIC) - begun;
}

int fdatasync(int fd)
{
    static int (*next)(int);

    if (!next)
        *(void **)&next = next_of("fdatasync");
    double begun = seconds(CLOCK_MONOTONIC);
    int code = next(fd);
    add_files(begun);
    return code;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);

    if (!next)
        *(void **)&next = next_of("pwrite");
    double begun = seconds(CLOCK_MONOTONIC);
    ssize_t written = next(fd, bytes, size, at);
    add_files(begun);
    return written;
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    static ssize_t (*next)(int, const struct iovec *, int, off_t);

    if (!next)
        *(void **)&next = next_of("pwritev");
    double begun = seconds(CLOCK_MONOTONIC);
    ssize_t written = next(fd, pieces, count, at);
    add_files(begun);
    return written;
}
