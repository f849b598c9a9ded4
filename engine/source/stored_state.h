/* A value as a store keeps it, encrypted or compressed or both, becomes plain bytes.
 *
 * Nothing in the bytes says which it is; the store's configuration does, and --decompress and
 * --cipher-key-env repeat it. Without --decompress it is told by the first bytes: zlib and gzip have
 * headers, JSON begins otherwise. On writing the order was compress, then encrypt; so it is decrypted
 * first. What decompression gives is bounded. Confined to one thread.
 */
#ifndef RF_SOURCE_STORED_STATE_H
#define RF_SOURCE_STORED_STATE_H

#include "base/bytes.h"
#include "refold/import.h"

typedef struct rf_stored_state rf_stored_state;

/* RF_ERR_USAGE for options that make no sense. */
rf_status rf_stored_state_new(const rf_import_options *options, rf_stored_state **state_out,
                              rf_err *err);
void rf_stored_state_free(rf_stored_state *state); /* takes NULL */
/* *plain_out is valid until the next call, and has RF_JSON_PADDING readable bytes behind. */
rf_status rf_stored_state_read(rf_stored_state *state, rf_slice stored, rf_slice *plain_out,
                               rf_err *err);

#endif
