/* Lines of events made of what a database gave: text that is then read as any file's.
 *
 * A line is begun, gets its members, and is ended:
 *
 *     rf_line_begin -> (rf_line_integer | rf_line_text | rf_line_json ...) -> rf_line_end
 *
 * Begin with the position: messages take it from there (jsonl.c). All append to a buffer, whose own limit
 * is asked about once, at the end (rf_buf_check). rf_line_blocks are the three buffers of a feed that
 * take turns. Confined to one thread.
 */
#ifndef RF_SOURCE_LINE_TEXT_H
#define RF_SOURCE_LINE_TEXT_H

#include "event/value.h"
#include "source/feed.h"

enum { RF_LINE_BLOCKS = 3, RF_LINE_CURSOR_SIZE = 400 };

typedef struct rf_line_blocks {
    rf_buf texts[RF_LINE_BLOCKS];
    char cursors[RF_LINE_BLOCKS][RF_LINE_CURSOR_SIZE];
    unsigned turn;
} rf_line_blocks;

void rf_line_blocks_init(rf_line_blocks *blocks);
void rf_line_blocks_free(rf_line_blocks *blocks);
/* The next buffer in turn, empty. */
rf_buf *rf_line_blocks_turn(rf_line_blocks *blocks);
/* Hands over that buffer and a copy of the cursor (which may be empty), with the padding behind.
 * RF_ERR_MEMORY where something did not fit. */
rf_status rf_line_blocks_give(rf_line_blocks *blocks, rf_slice cursor, rf_feed_block *block_out,
                              rf_err *err);

/* `name` is a member's own, which needs no escapes. */
void rf_line_begin(rf_buf *out);
void rf_line_integer(rf_buf *out, const char *name, int64_t value);
void rf_line_string(rf_buf *out, const char *name, rf_slice text);
/* Of text that needs no escapes: digits, names of our own. */
void rf_line_plain(rf_buf *out, const char *name, rf_slice text);
/* As rfc 3339, microseconds since 1970. */
void rf_line_time(rf_buf *out, const char *name, int64_t us);
/* JSON as it stands, from somebody who cannot be trusted to have written one value: false where it is not
 * one by its brackets and quotes, and then nothing was appended. Line breaks between values become
 * blanks. Whether it is right in all else is for the parser to say. */
bool rf_line_json(rf_buf *out, const char *name, rf_slice json);
/* JSON that a server made, on one line. */
void rf_line_raw(rf_buf *out, const char *name, rf_slice json);
void rf_line_end(rf_buf *out);

#endif
