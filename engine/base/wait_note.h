/* Notes of the waits of this process for others, kept while they last: so that a command can say whom it waits for
 * (refold/waiting.h). Who waits puts itself on a list, and takes itself off.
 *
 *     begin -> end
 *
 * Threads: any. The list has a mutex of its own, under which nothing is called.
 */
#ifndef RF_BASE_WAIT_NOTE_H
#define RF_BASE_WAIT_NOTE_H

#include "base/bytes.h"
#include "refold/waiting.h"

typedef struct rf_wait_note rf_wait_note;
struct rf_wait_note {
    /* fixed by who waits, until the end of it */
    const char *path; /* of a file that is flock()ed, or of an LMDB environment (is_writer); NULL: neither */
    const char *what; /* "another import is running" */
    bool is_writer;
    bool is_bounded; /* it ends by itself */
    /* guarded by the list's mutex */
    double begun;
    rf_wait_note *next;
};

void rf_wait_note_begin(rf_wait_note *wait);
void rf_wait_note_end(rf_wait_note *wait);

#endif
