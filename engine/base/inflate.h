/* Decompression of gzip and zlib data, the only file that knows zlib: a piece at a time.
 *
 * Call order: new -> step until *ended_out -> reset -> ... -> free. Confined to one thread.
 */
#ifndef RF_BASE_INFLATE_H
#define RF_BASE_INFLATE_H

#include "base/bytes.h"

typedef struct rf_inflate rf_inflate;

/* NULL without memory. It tells gzip from zlib by their headers. */
rf_inflate *rf_inflate_new(void);
void rf_inflate_free(rf_inflate *state); /* takes NULL */
/* Forgets what it has, and begins a new member. */
void rf_inflate_reset(rf_inflate *state);
/* Takes from the front of *input and writes up to `size` bytes. *ended_out: the member is whole. Where it
 * is not, and less than `size` came, it needs more input. RF_ERR_INPUT for what is no such data. */
rf_status rf_inflate_step(rf_inflate *state, rf_slice *input, char *out, size_t size,
                          size_t *got_out, bool *ended_out, rf_err *err);
/* Whether bytes begin as such data does. */
bool rf_is_gzip(rf_slice bytes);
bool rf_is_zlib(rf_slice bytes);

#endif
