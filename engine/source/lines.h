/* Blocks of whole lines from a file or standard input, decompressed on the way.
 *
 * The first bytes tell .zst and .gz from plain text, not the name; concatenated frames and members
 * are one text. A block ends behind a newline, or at the end of the input; a line that is longer
 * than a block makes that block longer, up to RF_LINES_LINE_MAX: memory is bounded by three buffers
 * of that size. A byte order mark at the start is skipped. Where it is read in pieces (feed.h) a block ends
 * anywhere.
 *
 * The feed's blocks lie in three buffers that take turns. A pipe that pauses gives what it has
 * brought so far, and waiting ends when *cancel is set.
 */
#ifndef RF_SOURCE_LINES_H
#define RF_SOURCE_LINES_H

#include "source/feed.h"

enum {
    /* So that a block, its events and its nodes stay in the processors' caches until they are
       stored. */
    RF_LINES_BLOCK_SIZE = 512 << 10,
    RF_LINES_LINE_MAX = (16 << 20) + (64 << 10), /* an event of 16 MiB and what stands around it */
};

/* "-" is standard input. `cancel` may be NULL. A block may be read ahead where the path is a file: reading
 * it never waits for another process. */
rf_status rf_lines_open(const char *path, const volatile int *cancel, rf_feed **feed_out,
                        rf_err *err);
/* The same of a descriptor that is read to its end, which belongs to the feed when this succeeds. `name`
 * is copied. */
rf_status rf_lines_open_fd(int fd, const char *name, const volatile int *cancel, rf_feed **feed_out,
                           rf_err *err);

#endif
