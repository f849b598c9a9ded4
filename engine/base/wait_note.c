/* See wait_note.h and refold/waiting.h. */
#include "base/wait_note.h"

#include "base/clock.h"
#include "base/holder.h"

#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static rf_wait_note *list; /* the newest first */

void rf_wait_note_begin(rf_wait_note *wait)
{
    RF_ASSERT(wait->what);
    wait->begun = rf_clock_seconds();
    (void)pthread_mutex_lock(&list_mutex);
    wait->next = list;
    list = wait;
    (void)pthread_mutex_unlock(&list_mutex);
}

void rf_wait_note_end(rf_wait_note *wait)
{
    (void)pthread_mutex_lock(&list_mutex);
    rf_wait_note **link = &list;
    while (*link && *link != wait)
        link = &(*link)->next;
    RF_ASSERT(*link == wait);
    *link = wait->next;
    (void)pthread_mutex_unlock(&list_mutex);
}

bool rf_waiting_look(rf_waiting *waiting_out)
{
    double now = rf_clock_seconds();

    (void)pthread_mutex_lock(&list_mutex);
    const rf_wait_note *longest = list;
    for (const rf_wait_note *wait = list; wait; wait = wait->next)
        longest = wait->begun < longest->begun ? wait : longest;
    if (longest) {
        *waiting_out = (rf_waiting){
            .seconds = now - longest->begun, .is_bounded = longest->is_bounded, .is_writer = longest->is_writer};
        (void)snprintf(waiting_out->path, sizeof waiting_out->path, "%s", longest->path ? longest->path : "");
        (void)snprintf(waiting_out->what, sizeof waiting_out->what, "%s", longest->what);
    }
    (void)pthread_mutex_unlock(&list_mutex);
    return longest != NULL;
}

void rf_waiting_describe(const rf_waiting *waiting, char line_out[RF_WAITING_LINE_SIZE])
{
    char holder[RF_HOLDER_TEXT_SIZE] = "";

    if (waiting->is_writer) {
        bool known = rf_holder_of_writer(waiting->path, holder);
        (void)snprintf(line_out, RF_WAITING_LINE_SIZE, "%s (in %s%s%s)", waiting->what, waiting->path,
                       known ? ", which is open in " : "", holder);
        return;
    }
    if (!waiting->path[0]) {
        (void)snprintf(line_out, RF_WAITING_LINE_SIZE, "%s", waiting->what);
        return;
    }
    bool known = rf_holder_of_lock(waiting->path, holder);
    (void)snprintf(line_out, RF_WAITING_LINE_SIZE, "%s (%s is locked%s%s)", waiting->what, waiting->path,
                   known ? " by " : "", holder);
}
