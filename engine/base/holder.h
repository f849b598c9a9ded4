/* Who has a lock, as far as the system tells (/proc): for messages only. What it tells may be over by the time that it is
 * read, and a process of another container or user may not show at all: then the text is empty.
 */
#ifndef RF_BASE_HOLDER_H
#define RF_BASE_HOLDER_H

#include "base/bytes.h"

enum { RF_HOLDER_TEXT_SIZE = 128 };

/* Who has flock()ed the file: "process 123 (refold follow), which is stopped". True where it is known. */
bool rf_holder_of_lock(const char *path, char text_out[RF_HOLDER_TEXT_SIZE]);
/* Who may have the write mutex of the LMDB environment in the directory `path`: the system knows who has it open, and of
 * these who is stopped is meant; or else whoever is the only one. */
bool rf_holder_of_writer(const char *path, char text_out[RF_HOLDER_TEXT_SIZE]);

#endif
