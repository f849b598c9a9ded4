/* See roles.h. */
#include "roles.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    pid_t pid;
    const char *name;
    bool may_end;
} roles[ROLES_MAX];
static int role_count;

void *roles_share(size_t size)
{
    void *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(shared != MAP_FAILED);
    return shared;
}

pid_t roles_start(const char *name, void (*role)(void *), void *arg)
{
    CHECK(role_count < ROLES_MAX && fflush(NULL) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        role(arg);
        exit(0);
    }
    roles[role_count].pid = pid;
    roles[role_count++].name = name;
    return pid;
}

pid_t roles_start_ending(const char *name, void (*role)(void *), void *arg)
{
    pid_t pid = roles_start(name, role, arg);

    roles[role_count - 1].may_end = true;
    return pid;
}

static void kill_all(void)
{
    for (int i = 0; i < role_count; i++)
        if (roles[i].pid > 0)
            (void)kill(roles[i].pid, SIGKILL);
}

/* One that has ended; `may_end`: well is well. */
static void judge(int role, int outcome, bool may_end)
{
    roles[role].pid = 0;
    if (WIFEXITED(outcome) && WEXITSTATUS(outcome) == 0 && may_end)
        return;
    (void)fprintf(stderr, "%s ended with %s %d\n", roles[role].name,
                  WIFSIGNALED(outcome) ? "signal" : "exit code",
                  WIFSIGNALED(outcome) ? WTERMSIG(outcome) : WEXITSTATUS(outcome));
    kill_all();
    exit(1);
}

void roles_look(void)
{
    for (int i = 0; i < role_count; i++) {
        int outcome;
        if (roles[i].pid > 0 && waitpid(roles[i].pid, &outcome, WNOHANG) == roles[i].pid)
            judge(i, outcome, roles[i].may_end);
    }
}

void roles_end(void)
{
    for (int i = 0; i < role_count; i++) {
        int outcome;
        if (roles[i].pid > 0 && waitpid(roles[i].pid, &outcome, 0) == roles[i].pid)
            judge(i, outcome, true);
    }
}

void roles_must(rf_status status, const rf_err *err, const char *file, int line)
{
    if (status == RF_OK)
        return;
    (void)fprintf(stderr, "%s:%d: status %d: %s\n", file, line, (int)status, err->message);
    abort();
}

double roles_seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void roles_sleep_ms(double milliseconds)
{
    struct timespec left = {(time_t)(milliseconds / 1000),
                            (long)(milliseconds * 1e6) % 1000000000L};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

void roles_measure(roles_largest *largest, double seconds_begun)
{
    unsigned long took = (unsigned long)((roles_seconds() - seconds_begun) * 1e6);
    unsigned long seen = atomic_load(largest);

    while (took > seen && !atomic_compare_exchange_weak(largest, &seen, took))
        ;
}

double roles_largest_ms(roles_largest *largest)
{
    return (double)atomic_load(largest) / 1000;
}
