/* See inflate.h. */
#include "base/inflate.h"

#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_BITS = 15, ANY_HEADER = 32 };

struct rf_inflate {
    z_stream stream;
};

rf_inflate *rf_inflate_new(void)
{
    rf_inflate *state = calloc(1, sizeof *state);

    if (state && inflateInit2(&state->stream, WINDOW_BITS + ANY_HEADER) != Z_OK) {
        free(state);
        return NULL;
    }
    return state;
}

void rf_inflate_free(rf_inflate *state)
{
    if (!state)
        return;
    (void)inflateEnd(&state->stream);
    free(state);
}

void rf_inflate_reset(rf_inflate *state)
{
    (void)inflateReset(&state->stream);
}

rf_status rf_inflate_step(rf_inflate *state, rf_slice *input, char *out, size_t size,
                          size_t *got_out, bool *ended_out, rf_err *err)
{
    z_stream *stream = &state->stream;
    size_t given = input->size < UINT32_MAX ? input->size : UINT32_MAX;
    size_t room = size < UINT32_MAX ? size : UINT32_MAX;

    /* zlib reads through a pointer that is not const. */
    memcpy(&stream->next_in, &input->data, sizeof input->data);
    stream->avail_in = (uInt)given;
    stream->next_out = (Bytef *)out;
    stream->avail_out = (uInt)room;
    int code = inflate(stream, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return rf_fail(err, code == Z_MEM_ERROR ? RF_ERR_MEMORY : RF_ERR_INPUT, "%s",
                       stream->msg ? stream->msg : zError(code));
    input->data += given - stream->avail_in;
    input->size -= given - stream->avail_in;
    *got_out = room - stream->avail_out;
    *ended_out = code == Z_STREAM_END;
    return RF_OK;
}

bool rf_is_gzip(rf_slice bytes)
{
    return bytes.size >= 2 && rf_load_u16(bytes.data) == 0x8b1f;
}

/* RFC 1950: method 8, a window of at most 32 KiB, a check over both bytes. */
bool rf_is_zlib(rf_slice bytes)
{
    if (bytes.size < 2)
        return false;
    unsigned method = (unsigned char)bytes.data[0];
    unsigned flags = (unsigned char)bytes.data[1];
    return (method & 0x0f) == 8 && method >> 4 <= 7 && (method << 8 | flags) % 31 == 0;
}
