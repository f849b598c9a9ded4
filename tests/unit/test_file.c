/* file.h: whole files, durable replacement, locks that exclude. */
#include "base/file.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char path[256];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-file-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
    cr_assert_not(rf_path_exists(dir));
}

TestSuite(file, .init = make_dir, .fini = remove_dir);

Test(file, replaces_a_file_as_a_whole)
{
    rf_buf buf;

    rf_buf_init(&buf, 1000);
    cr_assert_eq(rf_file_replace(path, RF_SLICE("first"), NULL), RF_OK);
    cr_assert_eq(rf_file_replace(path, RF_SLICE("second"), NULL), RF_OK);
    cr_assert_eq(rf_file_read(path, &buf, NULL), RF_OK);
    cr_assert(rf_slice_equal(rf_buf_slice(&buf), RF_SLICE("second")));
    rf_buf_free(&buf);
}

Test(file, creates_only_what_is_not_there)
{
    cr_assert_eq(rf_file_create(path, RF_SLICE("first"), NULL), RF_OK);
    cr_assert_eq(rf_file_create(path, RF_SLICE("second"), NULL), RF_ERR_IO);
}

Test(file, reads_no_more_than_the_buffer_may_hold)
{
    rf_buf buf;

    rf_buf_init(&buf, 3);
    cr_assert_eq(rf_file_create(path, RF_SLICE("four"), NULL), RF_OK);
    cr_assert_eq(rf_file_read(path, &buf, NULL), RF_ERR_MEMORY);
    rf_buf_free(&buf);
}

Test(file, tells_absent_from_not_regular)
{
    rf_buf buf;

    rf_buf_init(&buf, 100);
    cr_assert_eq(rf_file_read(path, &buf, NULL), RF_ERR_ABSENT);
    cr_assert_eq(rf_file_read(dir, &buf, NULL), RF_ERR_INPUT);
}

Test(file, a_lock_excludes_others_and_names_what_is_locked)
{
    int first;
    int second;
    rf_err err;

    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "a rebuild is running", &first, &err),
                 RF_OK);
    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "a rebuild is running", &second, &err),
                 RF_ERR_LOCKED);
    cr_assert_not_null(strstr(err.message, "a rebuild is running"));
    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_SHARED, 50, "busy", &second, &err), RF_ERR_LOCKED);
    rf_lock_release(first);
    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_SHARED, 0, "busy", &first, &err), RF_OK);
    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_SHARED, 0, "busy", &second, &err), RF_OK);
    rf_lock_release(first);
    rf_lock_release(second);
}

struct waiting {
    atomic_bool has_lock;
    rf_status status;
};

static void *wait_without_limit(void *arg)
{
    struct waiting *waiting = arg;
    int fd = -1;

    waiting->status = rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, -1, "busy", &fd, NULL);
    atomic_store(&waiting->has_lock, true);
    rf_lock_release(fd);
    return NULL;
}

/* Looking every 20 ms it would not find the lock free within 20 turns of another, sixteen times over. */
Test(file, who_waits_without_limit_gets_the_lock_when_it_is_let_go_of)
{
    for (int i = 0; i < 16; i++) {
        struct waiting waiting = {.status = RF_ERR_USAGE};
        pthread_t thread;
        int held, turns = 0;
        cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "busy", &held, NULL), RF_OK);
        cr_assert_eq(pthread_create(&thread, NULL, wait_without_limit, &waiting), 0);
        for (; !atomic_load(&waiting.has_lock) && turns < 20; turns++) {
            (void)usleep(10000);
            rf_lock_release(held);
            (void)usleep(1000);
            cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, -1, "busy", &held, NULL), RF_OK);
        }
        rf_lock_release(held);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(waiting.status, RF_OK);
        cr_assert_lt(turns, 20);
    }
}

Test(file, removes_a_directory_without_following_links)
{
    char inner[160];
    char link_path[200];
    char outside[128];

    (void)snprintf(inner, sizeof inner, "%s/inner", dir);
    (void)snprintf(link_path, sizeof link_path, "%s/link", inner);
    (void)snprintf(outside, sizeof outside, "%s/outside", dir);
    cr_assert_eq(rf_dir_make(inner, NULL), RF_OK);
    cr_assert_eq(rf_dir_make(inner, NULL), RF_OK);
    cr_assert_eq(rf_dir_make(outside, NULL), RF_OK);
    (void)snprintf(path, sizeof path, "%s/kept", outside);
    cr_assert_eq(rf_file_create(path, RF_SLICE("x"), NULL), RF_OK);
    cr_assert_eq(symlink(outside, link_path), 0);
    cr_assert_eq(rf_dir_remove(inner, NULL), RF_OK);
    cr_assert(rf_path_exists(path));
    cr_assert_not(rf_path_exists(inner));
}

Test(file, refuses_a_pipe_without_waiting_for_it, .timeout = 10)
{
    rf_buf buf;
    rf_err err = {0};

    cr_assert_eq(mkfifo(path, 0600), 0);
    rf_buf_init(&buf, 100);
    cr_assert_eq(rf_file_read(path, &buf, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "not a regular file"), "%s", err.message);
    rf_buf_free(&buf);
    cr_assert_eq(unlink(path), 0);
}

Test(file, a_suffix_stays_whole_behind_a_message_that_is_cut)
{
    char text[2 * RF_ERR_MESSAGE_SIZE];
    rf_err err = {0};

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(rf_fail(&err, RF_ERR_IO, "%s", text), RF_ERR_IO);
    err.position = 7;
    cr_assert_eq(rf_err_suffix(&err, "what was live is %s", "live"), RF_ERR_IO);
    size_t size = strlen(err.message);
    cr_assert_str_eq(err.message + size - strlen("...; what was live is live"),
                     "...; what was live is live");
    cr_assert_eq(err.position, 7);
    cr_assert_eq(rf_fail(&err, RF_ERR_INPUT, "short"), RF_ERR_INPUT);
    cr_assert_eq(rf_err_suffix(&err, "%d", 3), RF_ERR_INPUT);
    cr_assert_str_eq(err.message, "short; 3");
}

Test(file, writes_a_new_file_and_syncs_a_whole_tree)
{
    char inner[80], new_file[96];
    rf_buf read;
    rf_err err = {0};

    (void)snprintf(inner, sizeof inner, "%s/inner", dir);
    cr_assert_eq(rf_dir_make(inner, NULL), RF_OK);
    (void)snprintf(new_file, sizeof new_file, "%s/new", inner);
    cr_assert_eq(rf_file_write(new_file, RF_SLICE("text"), &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_file_write(new_file, RF_SLICE("other"), NULL), RF_ERR_IO, "it is there already");
    rf_buf_init(&read, 100);
    cr_assert_eq(rf_file_read(new_file, &read, NULL), RF_OK);
    cr_assert(rf_slice_equal(rf_buf_slice(&read), RF_SLICE("text")));
    rf_buf_free(&read);
    cr_assert_eq(rf_dir_sync_all(dir, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_dir_sync_all(new_file, NULL), RF_ERR_IO, "a file is no directory");
    (void)snprintf(new_file, sizeof new_file, "%s/dangling", inner);
    cr_assert_eq(symlink("nowhere", new_file), 0);
    cr_assert_eq(rf_dir_sync_all(dir, NULL), RF_ERR_IO, "what cannot be opened is not durable");
}
