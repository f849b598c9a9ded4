/* Lines that a program hands over, as a feed: a copy of them, in blocks that end with a line. */
#ifndef RF_SOURCE_MEMORY_FEED_H
#define RF_SOURCE_MEMORY_FEED_H

#include "source/feed.h"

/* The last line may lack its newline. */
rf_status rf_memory_feed_open(rf_slice lines, rf_feed **feed_out, rf_err *err);

#endif
