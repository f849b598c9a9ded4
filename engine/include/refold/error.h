/* How refold reports failure: a status is returned, the explanation goes into a struct of the
 * caller.
 *
 * The return value is the truth, `rf_err` the explanation: one line with what failed, where (file,
 * line, position, stream) and what still holds. It is written once, where the fault is found.
 * Outputs change only on success. Every function that takes an `rf_err *` accepts NULL.
 * An rf_err is confined to the thread that passes it.
 */
#ifndef REFOLD_ERROR_H
#define REFOLD_ERROR_H

#include "refold/types.h"

#include <stdint.h>

typedef enum rf_status {
    RF_OK = 0,
    RF_ERR_IO = 1,           /* a system call failed; cause is errno */
    RF_ERR_MEMORY = 2,       /* out of memory, or a limit chosen at start was reached */
    RF_ERR_INPUT = 3,        /* an event, file or argument value is not acceptable */
    RF_ERR_ABSENT = 4,       /* no such store, read model or generation */
    RF_ERR_FORMAT = 5,       /* a store or file of another format version */
    RF_ERR_PLUGIN = 6,       /* a projection cannot be loaded, or its handler failed */
    RF_ERR_USAGE = 7,        /* the call itself is wrong */
    RF_ERR_NO_ROW = 8,       /* no such row */
    RF_ERR_NOTHING = 9,      /* nothing to do, where that was asked */
    RF_ERR_REFUSED = 10,     /* a check or gate refused; nothing was swapped */
    RF_ERR_LOCKED = 11,      /* locked by another run */
    RF_ERR_DAMAGED = 12,     /* stored bytes are not what was written */
    RF_ERR_UNREACHABLE = 13, /* a source or target could not be reached, or a wait timed out */
    RF_ERR_INTERRUPTED = 14, /* the caller's cancel flag was set */
} rf_status;

#define RF_ERR_MESSAGE_SIZE 1024

typedef struct rf_err {
    rf_status status;
    int cause;                         /* errno or the library's code; 0 if none */
    uint64_t position;                 /* of the event at fault; 0 if none */
    char message[RF_ERR_MESSAGE_SIZE]; /* one line, no newline, control characters escaped */
} rf_err;

/* The exit code that the command line gives for a status: 0 done, 1 failed, 2 usage, 3 no row or
 * nothing to do, 4 refused, 5 locked, 6 damaged, 75 unreachable, 130 interrupted. */
RF_API int rf_status_exit_code(rf_status status);

#endif
