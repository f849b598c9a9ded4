/* zstd, the only file that knows it.
 *
 * Compression is checked at write: what comes out is decompressed and compared. Decompression goes
 * into exactly as many bytes as our own checksummed header announced: no bomb can grow. Contexts
 * are confined to one thread.
 */
#ifndef RF_BASE_CODEC_H
#define RF_BASE_CODEC_H

#include "base/bytes.h"

typedef struct rf_codec rf_codec;

rf_codec *rf_codec_new(void); /* NULL without memory */
void rf_codec_free(rf_codec *codec);

/* Appends the compressed form of `raw` to `out` and sets *compressed_out to true, or appends `raw`
 * as it is and sets it to false where compression gains less than 1/16. `level` 1 to 12. */
rf_status rf_codec_compress(rf_codec *codec, rf_slice raw, int level, rf_buf *out,
                            bool *compressed_out, rf_err *err);
/* Decompresses into exactly `raw_size` bytes at `raw_out`; RF_ERR_DAMAGED otherwise. */
rf_status rf_codec_decompress(rf_codec *codec, rf_slice stored, char *raw_out, size_t raw_size,
                              rf_err *err);

/* A streaming reader of .zst files for imports; see source/lines.h. */
typedef struct rf_zstd_stream rf_zstd_stream;
rf_zstd_stream *rf_zstd_stream_new(void);
void rf_zstd_stream_free(rf_zstd_stream *stream);
/* Consumes from *in (advancing it), writes at most `size` bytes at `out`; *written_out says how
 * many and *frame_open_out whether a frame is unfinished (a truncated file if the input ends here).
 */
rf_status rf_zstd_stream_read(rf_zstd_stream *stream, rf_slice *in, char *out, size_t size,
                              size_t *written_out, bool *frame_open_out, rf_err *err);

#endif
