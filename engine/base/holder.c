/* See holder.h. /proc/locks has a line a lock, with its kind, owner and file by device and inode; those of who only waits
 * have an arrow in place of the kind. Some file systems show another device there than stat() does: then the inode
 * alone has to do. */
#include "base/holder.h"

#include "base/file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LINE_SIZE = 256, COMMAND_SIZE = 64, STAT_SIZE = 512 };

/* The beginning of a file of /proc, ended by a zero; its size. */
static size_t read_about(long pid, const char *name, char *out, size_t size)
{
    char path[64];

    out[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%ld/%s", pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t got = fread(out, 1, size - 1, file);
    (void)fclose(file);
    out[got] = '\0';
    return got;
}

/* The state comes behind the name, which is in brackets and may have any in it. */
static bool is_stopped(long pid)
{
    char text[STAT_SIZE];

    (void)read_about(pid, "stat", text, sizeof text);
    const char *state = strrchr(text, ')');
    return state && state[1] == ' ' && (state[2] == 'T' || state[2] == 't');
}

/* The program, and of refold's own the command. Other arguments may be secret. */
static void command_of(long pid, char out[COMMAND_SIZE])
{
    char line[STAT_SIZE], name[32];

    size_t size = read_about(pid, "comm", name, sizeof name);
    while (size > 0 && (unsigned char)name[size - 1] <= ' ')
        name[--size] = '\0';
    (void)snprintf(out, COMMAND_SIZE, "%s", *name ? name : "unknown");
    size = read_about(pid, "cmdline", line, sizeof line);
    if (strcmp(name, "refold") == 0 && strlen(line) + 1 < size)
        (void)snprintf(out, COMMAND_SIZE, "refold %.20s", line + strlen(line) + 1);
}

static bool describe(long pid, char text_out[RF_HOLDER_TEXT_SIZE])
{
    char command[COMMAND_SIZE];

    if (pid <= 0)
        return false;
    if (pid == (long)getpid()) {
        (void)snprintf(text_out, RF_HOLDER_TEXT_SIZE, "this process");
        return true;
    }
    command_of(pid, command);
    (void)snprintf(text_out, RF_HOLDER_TEXT_SIZE, "process %ld (%s)%s", pid, command,
                   is_stopped(pid) ? ", which is stopped" : "");
    return true;
}

/* Calls `visit` with the owner of each lock of a kind on the file. */
static void each_owner(const char *path, const char *kind, void (*visit)(void *arg, long pid, bool same_device), void *arg)
{
    struct stat info;
    char line[LINE_SIZE];

    if (stat(path, &info) != 0)
        return;
    FILE *file = fopen("/proc/locks", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char found[16];
        long pid;
        unsigned major_number, minor_number;
        unsigned long long inode;
        if (sscanf(line, "%*[^:]: %15s %*s %*s %ld %x:%x:%llu", found, &pid, &major_number, &minor_number, &inode) == 5 &&
            strcmp(found, kind) == 0 && inode == info.st_ino)
            visit(arg, pid, makedev(major_number, minor_number) == info.st_dev);
    }
    (void)fclose(file);
}

static void take_owner(void *arg, long pid, bool same_device)
{
    long *owner = arg;

    if (same_device || *owner == 0)
        *owner = pid;
}

bool rf_holder_of_lock(const char *path, char text_out[RF_HOLDER_TEXT_SIZE])
{
    long owner = 0;

    text_out[0] = '\0';
    each_owner(path, "FLOCK", take_owner, &owner);
    return describe(owner, text_out);
}

typedef struct others {
    long only; /* -1: there are several */
    long stopped;
} others;

static void take_other(void *arg, long pid, bool same_device)
{
    others *seen = arg;

    if (!same_device || pid <= 0 || pid == (long)getpid())
        return;
    seen->only = seen->only == 0 || seen->only == pid ? pid : -1;
    if (is_stopped(pid))
        seen->stopped = pid;
}

bool rf_holder_of_writer(const char *path, char text_out[RF_HOLDER_TEXT_SIZE])
{
    char lock[RF_PATH_SIZE];
    others seen = {0};

    text_out[0] = '\0';
    if (rf_path_format(lock, "%s/lock.mdb", NULL, path) != RF_OK)
        return false;
    each_owner(lock, "POSIX", take_other, &seen);
    return describe(seen.stopped ? seen.stopped : seen.only, text_out);
}
