/* How many newlines a text has: a pass over all bytes of a file, so it is made with what the processor has. */
#ifndef RF_SOURCE_NEWLINES_H
#define RF_SOURCE_NEWLINES_H

#include "base/bytes.h"

uint64_t rf_count_newlines(rf_slice text);
/* The same, one byte at a time: its plain twin. */
uint64_t rf_count_newlines_plain(rf_slice text);

#endif
