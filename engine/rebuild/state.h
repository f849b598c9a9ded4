/* States: the rows of one definition in the partition at hand, by stream number; of all its streams,
 * or of a range of them where memory is short.
 *
 * A state is a row and a flag byte. A row is given its first bytes when its first event comes, so
 * nothing is cleared from partition to partition but the flags; buffers grow and stay. Confined to
 * one worker.
 */
#ifndef RF_REBUILD_STATE_H
#define RF_REBUILD_STATE_H

#include "base/arena.h"
#include "projection/definition.h"

enum {
    RF_STATE_TOUCHED = 1, /* the row's bytes are set */
    RF_STATE_EXISTS = 2,  /* a handler wrote */
    RF_STATE_QUARANTINED = 4, /* alone: an event failed, and the key is left out with it */
    RF_STATE_TEXTS_MAX = 8,
};

typedef struct rf_state {
    const rf_definition *definition;
    char *rows; /* `stride` bytes each */
    uint8_t *flags;
    size_t stride;
    size_t rows_capacity; /* bytes */
    size_t flags_capacity;
    uint32_t stream_count; /* in range: row 0 is that of its first */
    uint32_t text_count;
    uint32_t text_offsets[RF_STATE_TEXTS_MAX]; /* in a row, of its first columns of text */
} rf_state;

/* Bytes that the row of one stream takes, but for its text. */
size_t rf_state_stream_bytes(const rf_definition *definition);
void rf_state_begin(rf_state *state, const rf_definition *definition);
void rf_state_end(rf_state *state);
/* Room for `stream_count` rows, none of which is touched. `partition` is for the message. */
rf_status rf_state_size(rf_state *state, uint32_t partition, uint32_t stream_count, rf_err *err);
/* Copies the text that columns refer to into `fresh` and refers to it there. After a failure some
 * rows refer to the one, some to the other. */
rf_status rf_state_move_texts(rf_state *state, rf_arena *fresh, rf_err *err);

#endif
