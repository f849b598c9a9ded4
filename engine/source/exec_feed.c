/* See exec_feed.h. */
#include "source/exec_feed.h"

#include "source/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CODE_UNREACHABLE = 75,
    CODE_NO_COMMAND = 127,
    END_STEP_MS = 20,
    END_PATIENCE_MS = 2000, /* between SIGTERM and SIGKILL */
};

typedef struct exec_feed {
    rf_feed feed;
    rf_feed *lines; /* owned: the pipe */
    pid_t pid;      /* 0: it has ended, or was not begun */
} exec_feed;

static void pause_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&pause, NULL);
}

/* Ends the group, and waits for the program itself. */
static void program_end(exec_feed *at)
{
    int code;

    if (at->pid == 0)
        return;
    (void)kill(-at->pid, SIGTERM);
    for (int waited = 0; waited < END_PATIENCE_MS; waited += END_STEP_MS) {
        pid_t ended = waitpid(at->pid, &code, WNOHANG);
        if (ended == at->pid || (ended < 0 && errno != EINTR)) {
            at->pid = 0;
            return;
        }
        pause_ms(END_STEP_MS);
    }
    (void)kill(-at->pid, SIGKILL);
    while (waitpid(at->pid, &code, 0) < 0 && errno == EINTR)
        continue;
    at->pid = 0;
}

static void exec_close(rf_feed *feed)
{
    exec_feed *at = (exec_feed *)feed;

    rf_feed_close(at->lines);
    program_end(at);
    free(at);
}

/* What the program says by its end. */
static rf_status program_ended(exec_feed *at, rf_err *err)
{
    int code = 0;
    pid_t ended;

    do
        ended = waitpid(at->pid, &code, 0);
    while (ended < 0 && errno == EINTR);
    at->pid = 0;
    if (ended < 0)
        return rf_fail_errno(err, "--exec: the command cannot be waited for");
    if (WIFSIGNALED(code))
        return rf_fail(err, RF_ERR_INPUT, "--exec: the command was ended by signal %d (%s)",
                       WTERMSIG(code), strsignal(WTERMSIG(code)));
    int exit_code = WEXITSTATUS(code);
    if (exit_code == 0)
        return RF_OK;
    if (exit_code == CODE_UNREACHABLE)
        return rf_fail(err, RF_ERR_UNREACHABLE,
                       "--exec: the command could not reach what it reads from (exit code 75)");
    return rf_fail(err, RF_ERR_INPUT, "--exec: the command ended with exit code %d%s", exit_code,
                   exit_code == CODE_NO_COMMAND ? ", as where there is no such program" : "");
}

static rf_status exec_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    exec_feed *at = (exec_feed *)feed;

    rf_feed_on_wait(at->lines, feed->waiting, feed->waiting_arg);
    at->lines->in_pieces = feed->in_pieces;
    rf_status status = at->lines->ops->next(at->lines, line, block_out, err);
    if (!status && block_out->text.size == 0 && at->pid != 0)
        status = program_ended(at, err);
    return status;
}

static const rf_feed_ops exec_ops = {.next = exec_next, .close = exec_close};

/* Our environment, and REFOLD_MARK. The array is the caller's to free. */
static char **environment_with(char *mark)
{
    static const char name[] = "REFOLD_MARK=";
    size_t count = 0;
    size_t kept = 0;

    while (environ[count])
        count++;
    char **all = calloc(count + 2, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], name, sizeof name - 1) != 0)
            all[kept++] = environ[i];
    all[kept] = mark;
    return all;
}

static int program_begin(exec_feed *at, char *command, char **environment, int out)
{
    static char shell[] = "sh", flag[] = "-c";
    char *const arguments[] = {shell, flag, command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;

    int code = posix_spawn_file_actions_init(&actions);
    if (code)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!code)
        code = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
#if __GLIBC_PREREQ(2, 34)
    /* LMDB's descriptors are not closed by exec. */
    if (!code)
        code = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
#endif
    if (!code)
        code = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (!code)
        code = posix_spawnattr_setpgroup(&attributes, 0);
    if (!code)
        code = posix_spawnattr_setflags(&attributes,
                                        POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    if (!code)
        code = posix_spawn(&at->pid, "/bin/sh", &actions, &attributes, arguments, environment);
    if (code)
        at->pid = 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return code;
}

static rf_status feed_begin(exec_feed *at, const char *command, const rf_import_options *options,
                            uint64_t mark, rf_err *err)
{
    char mark_text[48];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return rf_fail_errno(err, "--exec: no pipe");
    rf_status status = rf_lines_open_fd(ends[0], "--exec", options->run.cancel, &at->lines, err);
    if (status) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return status;
    }
    (void)snprintf(mark_text, sizeof mark_text, "REFOLD_MARK=%" PRIu64, mark);
    char **environment = environment_with(mark_text);
    char *copy = strdup(command);
    int code = environment && copy ? program_begin(at, copy, environment, ends[1]) : ENOMEM;
    (void)close(ends[1]);
    free(environment);
    free(copy);
    errno = code;
    return code ? rf_fail_errno(err, "--exec: /bin/sh cannot be run") : RF_OK;
}

rf_status rf_exec_feed_open(const char *command, const rf_import_options *options,
                            const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    exec_feed *at = calloc(1, sizeof *at);

    if (!at)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for --exec");
    at->feed.ops = &exec_ops;
    at->feed.name = RF_SLICE("--exec");
    rf_status status = feed_begin(at, command, options, start->mark, err);
    if (status) {
        exec_close(&at->feed);
        return status;
    }
    *feed_out = &at->feed;
    return RF_OK;
}
