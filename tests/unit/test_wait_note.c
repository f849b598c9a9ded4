/* base/wait_note.c, base/holder.c: what this process waits for, and who has it. */
#include "base/file.h"
#include "base/holder.h"
#include "base/wait_note.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[RF_PATH_SIZE];

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(path, sizeof path, "%s/refold-wait-XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static void teardown(void)
{
    (void)unlink(path);
}

TestSuite(wait_note, .init = setup, .fini = teardown);

Test(wait_note, there_is_none_while_nothing_is_waited_for)
{
    rf_waiting waiting;

    cr_assert_not(rf_waiting_look(&waiting));
}

Test(wait_note, the_longest_of_several_is_told_until_it_ends)
{
    rf_wait_note first = {.what = "first", .is_bounded = true}, second = {.what = "second", .path = path};
    rf_waiting waiting;

    rf_wait_note_begin(&first);
    (void)usleep(2000);
    rf_wait_note_begin(&second);
    cr_assert(rf_waiting_look(&waiting));
    cr_assert_str_eq(waiting.what, "first");
    cr_assert(waiting.is_bounded);
    cr_assert_geq(waiting.seconds, 0.002);
    rf_wait_note_end(&first);
    cr_assert(rf_waiting_look(&waiting));
    cr_assert_str_eq(waiting.what, "second");
    cr_assert_str_eq(waiting.path, path);
    cr_assert_not(waiting.is_bounded);
    rf_wait_note_end(&second);
    cr_assert_not(rf_waiting_look(&waiting));
}

static void *wait_for_lock(void *status_out)
{
    int fd = -1;

    *(rf_status *)status_out = rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, -1, "another has it", &fd, NULL);
    rf_lock_release(fd);
    return NULL;
}

Test(wait_note, a_wait_for_a_lock_shows_with_the_process_that_has_it)
{
    char line[RF_WAITING_LINE_SIZE];
    rf_status status = RF_ERR_USAGE;
    rf_waiting waiting;
    pthread_t thread;
    int held = -1;

    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "busy", &held, NULL), RF_OK);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_lock, &status), 0);
    while (!rf_waiting_look(&waiting))
        (void)usleep(1000);
    rf_waiting_describe(&waiting, line);
    rf_lock_release(held);
    (void)pthread_join(thread, NULL);
    cr_assert_eq(status, RF_OK);
    cr_assert_eq(strncmp(line, "another has it (", 16), 0, "%s", line);
    cr_assert_not_null(strstr(line, path));
    if (access("/proc/locks", R_OK) == 0)
        cr_assert_not_null(strstr(line, "is locked by this process)"), "%s", line);
    cr_assert_not(rf_waiting_look(&waiting));
}

Test(wait_note, nobody_has_a_lock_that_is_free)
{
    char text[RF_HOLDER_TEXT_SIZE] = "before";

    cr_assert_not(rf_holder_of_lock(path, text));
    cr_assert_str_empty(text);
    cr_assert_not(rf_holder_of_writer("/nowhere", text));
}
