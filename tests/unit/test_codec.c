/* codec.h: what goes in comes out, bombs do not grow, damage is found. */
#include "base/codec.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static rf_slice repeated(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 7);
    return (rf_slice){bytes, size};
}

Test(codec, gives_back_what_was_compressed)
{
    rf_codec *codec = rf_codec_new();
    char *bytes = malloc(100000);
    char *again = malloc(100000);
    bool compressed = false;
    rf_buf out;

    rf_buf_init(&out, 1 << 20);
    rf_slice raw = repeated(bytes, 100000);
    cr_assert_eq(rf_codec_compress(codec, raw, 3, &out, &compressed, NULL), RF_OK);
    cr_assert(compressed);
    cr_assert_lt(out.size, 1000);
    cr_assert_eq(rf_codec_decompress(codec, rf_buf_slice(&out), again, raw.size, NULL), RF_OK);
    cr_assert_eq(memcmp(again, bytes, raw.size), 0);
    rf_buf_free(&out);
    free(again);
    free(bytes);
    rf_codec_free(codec);
}

Test(codec, stores_what_does_not_shrink_as_it_is)
{
    rf_codec *codec = rf_codec_new();
    char bytes[4096];
    uint64_t state = 1;
    bool compressed = true;
    rf_buf out;

    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (char)(state >> 56);
    }
    rf_buf_init(&out, 1 << 20);
    rf_slice raw = {bytes, sizeof bytes};
    cr_assert_eq(rf_codec_compress(codec, raw, 3, &out, &compressed, NULL), RF_OK);
    cr_assert_not(compressed);
    cr_assert(rf_slice_equal(rf_buf_slice(&out), raw));
    rf_buf_free(&out);
    rf_codec_free(codec);
}

Test(codec, refuses_what_unpacks_to_another_size)
{
    rf_codec *codec = rf_codec_new();
    char *bytes = calloc(1, 1 << 20);
    char small[100];
    bool compressed = false;
    rf_buf out;
    rf_err err;

    rf_buf_init(&out, 2 << 20);
    cr_assert_eq(rf_codec_compress(codec, (rf_slice){bytes, 1 << 20}, 3, &out, &compressed, NULL),
                 RF_OK);
    rf_slice stored = rf_buf_slice(&out);
    cr_assert_eq(rf_codec_decompress(codec, stored, small, sizeof small, &err), RF_ERR_DAMAGED);
    stored.size /= 2;
    cr_assert_eq(rf_codec_decompress(codec, stored, bytes, 1 << 20, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_codec_decompress(codec, RF_SLICE("not zstd"), bytes, 1 << 20, &err),
                 RF_ERR_DAMAGED);
    rf_buf_free(&out);
    free(bytes);
    rf_codec_free(codec);
}
