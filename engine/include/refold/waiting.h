/* What this process waits for: a lock, or another process that writes. Calls of the library say nothing while they
 * wait; a thread beside them can ask here, and tell its user.
 *
 * Threads: any.
 */
#ifndef REFOLD_WAITING_H
#define REFOLD_WAITING_H

#include "refold/types.h"

typedef struct rf_waiting {
    double seconds;  /* so far */
    bool is_bounded; /* by the call that waits: else it lasts until the other lets go */
    bool is_writer;  /* `path` is a directory, and another process writes to what is in it */
    char path[512];  /* of what is locked; empty: it is no file */
    char what[128];  /* "another import is running" */
} rf_waiting;

/* The longest wait that is under way; false: none. Cheap. */
RF_API bool rf_waiting_look(rf_waiting *waiting_out);

#define RF_WAITING_LINE_SIZE 1024
/* One line for people: what is waited for, and which process has it, as far as the system tells (no more than its
 * number, program and command; and whether it is stopped). Reads /proc. */
RF_API void rf_waiting_describe(const rf_waiting *waiting, char line_out[RF_WAITING_LINE_SIZE]);

#endif
