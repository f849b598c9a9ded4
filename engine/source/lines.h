/* Blocks of whole lines from a file or standard input, decompressed on the way.
 *
 * The first bytes tell .zst and .gz from plain text, not the name; concatenated frames and members
 * are one text. A block ends behind a newline, or at the end of the input; a line that is longer
 * than a block makes that block longer, up to RF_LINES_LINE_MAX: memory is bounded by three buffers
 * of that size. A byte order mark at the start is skipped.
 *
 * Call order: open, next until the block is empty, close. There are three buffers, so a block may be
 * read while other threads still work on the two before it. A pipe that pauses gives what it has
 * brought so far, and waiting ends when *cancel is set. Confined to one thread at a time.
 */
#ifndef RF_SOURCE_LINES_H
#define RF_SOURCE_LINES_H

#include "base/error.h"

enum {
    /* So that a block, its events and its nodes stay in the processors' caches until they are
       stored. */
    RF_LINES_BLOCK_SIZE = 512 << 10,
    RF_LINES_LINE_MAX = (16 << 20) + (64 << 10), /* an event of 16 MiB and what stands around it */
};

typedef struct rf_lines rf_lines;

/* "-" is standard input. `cancel` may be NULL. */
rf_status rf_lines_open(const char *path, const volatile int *cancel, rf_lines **lines_out,
                        rf_err *err);
void rf_lines_close(rf_lines *lines); /* takes NULL */
/* `waiting` is called by rf_lines_next, a few times a second, while nothing comes: what was taken
 * from earlier blocks need not wait for the next. A failure of it ends the read. */
void rf_lines_on_wait(rf_lines *lines, rf_status (*waiting)(void *arg, rf_err *err), void *arg);
/* The path, or "standard input". */
rf_slice rf_lines_name(const rf_lines *lines);
/* Whether reading never waits for another process: then a block may be read ahead. */
bool rf_lines_is_file(const rf_lines *lines);
/* The next block: valid until the third call from this one, followed by RF_JSON_PADDING readable bytes,
 * empty at the end. `line` is the number of its first line, for messages. */
rf_status rf_lines_next(rf_lines *lines, uint64_t line, rf_slice *block_out, rf_err *err);

#endif
