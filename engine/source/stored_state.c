/* See stored_state.h. */
#include "source/stored_state.h"

#include "base/inflate.h"
#include "event/event.h"
#include "event/json.h"
#include "source/cipher.h"

#include <stdlib.h>

/* An event has at most 16 MiB; what its store writes around the values is left out of it. */
#define PLAIN_BYTES_MAX ((size_t)2 * RF_EVENT_SIZE_MAX)
enum { ROOM_FIRST = 4096 };

typedef enum state_packing { PACKING_AUTO, PACKING_NONE, PACKING_ZLIB, PACKING_GZIP } state_packing;

struct rf_stored_state {
    state_packing packing;
    rf_cipher *cipher; /* NULL: none */
    rf_buf decrypted;
    rf_buf plain;
    rf_inflate *inflate;
};

rf_status rf_stored_state_new(const rf_import_options *options, rf_stored_state **state_out,
                              rf_err *err)
{
    const char *packing = options->decompress ? options->decompress : "auto";
    rf_stored_state *state = calloc(1, sizeof *state);
    rf_status status = RF_OK;

    if (!state)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for stored states");
    state->packing = strcmp(packing, "none") == 0   ? PACKING_NONE
                     : strcmp(packing, "zlib") == 0 ? PACKING_ZLIB
                     : strcmp(packing, "gzip") == 0 ? PACKING_GZIP
                                                    : PACKING_AUTO;
    rf_buf_init(&state->decrypted, PLAIN_BYTES_MAX + RF_JSON_PADDING);
    rf_buf_init(&state->plain, PLAIN_BYTES_MAX + RF_JSON_PADDING);
    if (options->cipher_key_env)
        status = rf_cipher_new(options->cipher_key_env, &state->cipher, err);
    state->inflate = rf_inflate_new();
    if (!status && !state->inflate)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for stored states");
    if (status) {
        rf_stored_state_free(state);
        return status;
    }
    *state_out = state;
    return RF_OK;
}

void rf_stored_state_free(rf_stored_state *state)
{
    if (!state)
        return;
    rf_inflate_free(state->inflate);
    rf_cipher_free(state->cipher);
    rf_buf_free(&state->decrypted);
    rf_buf_free(&state->plain);
    free(state);
}

static rf_status inflate_all(rf_stored_state *state, rf_slice packed, rf_err *err)
{
    bool ended = false;
    size_t got = 0;
    size_t room;
    rf_status status = RF_OK;

    rf_inflate_reset(state->inflate);
    do {
        size_t left = PLAIN_BYTES_MAX - state->plain.size;
        room = state->plain.size < ROOM_FIRST ? ROOM_FIRST : state->plain.size;
        room = room < left ? room : left;
        if (room == 0)
            return rf_fail(err, RF_ERR_INPUT,
                           "the state has more than %zu bytes decompressed; an event has at most "
                           "16 MiB",
                           PLAIN_BYTES_MAX);
        char *out = rf_buf_reserve(&state->plain, room);
        if (!out)
            return rf_buf_check(&state->plain, "a decompressed state", err);
        status = rf_inflate_step(state->inflate, &packed, out, room, &got, &ended, err);
        state->plain.size += status ? 0 : got;
    } while (!status && !ended && got == room);
    if (!status && !ended)
        status = rf_fail(err, RF_ERR_INPUT, "it ends too early");
    if (!status && packed.size > 0)
        status = rf_fail(err, RF_ERR_INPUT, "there are bytes behind its end");
    return status ? rf_err_context(err, "the state cannot be decompressed") : RF_OK;
}

rf_status rf_stored_state_read(rf_stored_state *state, rf_slice stored, rf_slice *plain_out,
                               rf_err *err)
{
    rf_status status = RF_OK;

    rf_buf_clear(&state->decrypted);
    rf_buf_clear(&state->plain);
    if (state->cipher) {
        status = rf_cipher_decrypt(state->cipher, stored, &state->decrypted, err);
        stored = rf_buf_slice(&state->decrypted);
    }
    if (status)
        return status;
    bool zlib_due = state->packing == PACKING_ZLIB;
    bool gzip_due = state->packing == PACKING_GZIP;
    if ((zlib_due && !rf_is_zlib(stored)) || (gzip_due && !rf_is_gzip(stored)))
        return rf_fail(err, RF_ERR_INPUT, "the state is not %s data, as --decompress says",
                       zlib_due ? "zlib" : "gzip");
    bool is_packed = zlib_due || gzip_due ||
                     (state->packing == PACKING_AUTO && (rf_is_zlib(stored) || rf_is_gzip(stored)));
    if (is_packed)
        status = inflate_all(state, stored, err);
    else
        rf_buf_append_slice(&state->plain, stored);
    if (status)
        return status;
    char *padding = rf_buf_reserve(&state->plain, RF_JSON_PADDING);
    status = rf_buf_check(&state->plain, "a stored state", err);
    if (status)
        return status;
    memset(padding, 0, RF_JSON_PADDING);
    *plain_out = rf_buf_slice(&state->plain);
    return RF_OK;
}
