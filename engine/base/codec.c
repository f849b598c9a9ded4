/* See codec.h. */
#include "base/codec.h"

#include <stdlib.h>
#include <zstd.h>

struct rf_codec {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    rf_buf check; /* what was compressed, decompressed again */
};

enum { CHECK_SIZE_MAX = 64 << 20 };

rf_codec *rf_codec_new(void)
{
    rf_codec *codec = calloc(1, sizeof *codec);

    if (!codec)
        return NULL;
    rf_buf_init(&codec->check, CHECK_SIZE_MAX);
    codec->compressor = ZSTD_createCCtx();
    codec->decompressor = ZSTD_createDCtx();
    if (!codec->compressor || !codec->decompressor) {
        rf_codec_free(codec);
        return NULL;
    }
    return codec;
}

void rf_codec_free(rf_codec *codec)
{
    if (!codec)
        return;
    (void)ZSTD_freeCCtx(codec->compressor);
    (void)ZSTD_freeDCtx(codec->decompressor);
    rf_buf_free(&codec->check);
    free(codec);
}

rf_status rf_codec_compress(rf_codec *codec, rf_slice raw, int level, rf_buf *out,
                            bool *compressed_out, rf_err *err)
{
    RF_ASSERT(level >= 1 && level <= 12);
    size_t room = ZSTD_compressBound(raw.size);
    char *at = rf_buf_reserve(out, room);
    if (!at)
        return rf_buf_check(out, "compressing", err);

    size_t size = ZSTD_compressCCtx(codec->compressor, at, room, raw.data, raw.size, level);
    if (ZSTD_isError(size))
        return rf_fail(err, RF_ERR_MEMORY, "zstd cannot compress %zu bytes: %s", raw.size,
                       ZSTD_getErrorName(size));
    if (size >= raw.size - raw.size / 16) {
        rf_buf_append_slice(out, raw);
        *compressed_out = false;
        return rf_buf_check(out, "compressing", err);
    }
    rf_buf_clear(&codec->check);
    char *again = rf_buf_reserve(&codec->check, raw.size + 1);
    if (!again)
        return rf_buf_check(&codec->check, "checking what was compressed", err);
    rf_status status = rf_codec_decompress(codec, (rf_slice){at, size}, again, raw.size, err);
    if (status != RF_OK || memcmp(again, raw.data, raw.size) != 0)
        return rf_fail(
            err, RF_ERR_DAMAGED,
            "zstd did not give back the %zu bytes that it compressed; nothing was stored",
            raw.size);
    out->size += size;
    *compressed_out = true;
    return RF_OK;
}

rf_status rf_codec_decompress(rf_codec *codec, rf_slice stored, char *raw_out, size_t raw_size,
                              rf_err *err)
{
    size_t size =
        ZSTD_decompressDCtx(codec->decompressor, raw_out, raw_size, stored.data, stored.size);

    if (ZSTD_isError(size))
        return rf_fail(err, RF_ERR_DAMAGED, "compressed bytes are damaged: %s",
                       ZSTD_getErrorName(size));
    if (size != raw_size)
        return rf_fail(err, RF_ERR_DAMAGED, "compressed bytes hold %zu bytes instead of %zu", size,
                       raw_size);
    return RF_OK;
}

struct rf_zstd_stream {
    ZSTD_DStream *stream;
};

rf_zstd_stream *rf_zstd_stream_new(void)
{
    rf_zstd_stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return NULL;
    stream->stream = ZSTD_createDStream();
    if (!stream->stream) {
        free(stream);
        return NULL;
    }
    return stream;
}

void rf_zstd_stream_free(rf_zstd_stream *stream)
{
    if (!stream)
        return;
    (void)ZSTD_freeDStream(stream->stream);
    free(stream);
}

rf_status rf_zstd_stream_read(rf_zstd_stream *stream, rf_slice *in, char *out, size_t size,
                              size_t *written_out, bool *frame_open_out, rf_err *err)
{
    ZSTD_inBuffer input = {in->data, in->size, 0};
    ZSTD_outBuffer output = {out, size, 0};

    size_t hint = ZSTD_decompressStream(stream->stream, &output, &input);
    if (ZSTD_isError(hint))
        return rf_fail(err, RF_ERR_INPUT, "not valid zstd data: %s", ZSTD_getErrorName(hint));
    in->data += input.pos;
    in->size -= input.pos;
    *written_out = output.pos;
    *frame_open_out = hint != 0;
    return RF_OK;
}
