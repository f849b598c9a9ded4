/* Rests of stream names in fewer bytes: what a front-coded entry has of its name behind what it
 * shares with the name before.
 *
 * Most names end in a UUID, a hash or a number. Their hexadecimal digits are stored two a byte, and
 * the dashes of a UUID not at all: they stand where its end says. A rest is one byte of form and
 * what it says (docs/FORMAT.md): a plain text, the last 1 to 36 characters of a UUID in small digits, or
 * small hexadecimal digits alone.
 *
 * Digits are packed and unpacked eight at a time in one integer, without a branch: a rebuild
 * unpacks one rest a row.
 */
#ifndef RF_LOG_STREAMS_PACK_H
#define RF_LOG_STREAMS_PACK_H

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    RF_REST_UUID = 0x80,  /* plus characters; below it: so many bytes of plain text */
    RF_REST_HEX = 0xa8,   /* plus digits */
    RF_REST_LONG = 0xff,  /* size u16 and plain text */
    RF_REST_UUID_SIZE = 36,
    RF_REST_UUID_DIGITS = 32,
    RF_REST_HEX_MAX = RF_REST_LONG - 1 - RF_REST_HEX, /* digits */
    RF_REST_HEAD_MAX = 3,                             /* bytes in front of the text */
};

/* What a form says of its rest. */
typedef struct rf_streams_form {
    uint8_t stored_size; /* RF_REST_UNUSUAL: of RF_REST_LONG and of what cannot be */
    uint8_t size;        /* of the text */
} rf_streams_form;
enum { RF_REST_UNUSUAL = 255 };
extern const rf_streams_form rf_streams_forms[256];

/* A rest as it is stored, borrowed. */
typedef struct rf_streams_rest {
    const char *stored;
    uint32_t stored_size;
    uint32_t size; /* of the text */
    uint8_t form;  /* its first byte */
} rf_streams_rest;

/* Writes the rest of `name` behind `shared` bytes, form included, to `out`, which has room for
 * RF_REST_HEAD_MAX bytes more than that text; returns the size. */
size_t rf_streams_rest_pack(rf_slice name, uint32_t shared, char *out);
/* Any form but plain: its text to `out`, which has room for 16 bytes more than it. */
void rf_streams_rest_unpack(const rf_streams_rest *rest, char *out);

static inline bool rf_streams_rest_is_plain(const rf_streams_rest *rest)
{
    return rest->form < RF_REST_UUID || rest->form == RF_REST_LONG;
}

/* Digits of the last `size` characters of a UUID: dashes stand 13, 18, 23 and 28 before its end. */
static inline uint32_t rf_streams_uuid_digits(uint32_t size)
{
    return size - (size >= 13) - (size >= 18) - (size >= 23) - (size >= 28);
}

/* Reads form and size at *at and steps over the rest; false where it does not end before `end`. */
static inline bool rf_streams_rest_read(const char **at, const char *end,
                                        rf_streams_rest *rest_out)
{
    const char *from = *at;
    rf_streams_rest rest;

    if (from >= end)
        return false;
    rest.form = (uint8_t)*from++;
    rest.size = rest.form;
    rest.stored_size = rest.form;
    if (rest.form == RF_REST_LONG) {
        if (end - from < 2)
            return false;
        rest.size = rest.stored_size = rf_load_u16(from);
        from += 2;
    } else if (rest.form >= RF_REST_HEX) {
        rest.size -= RF_REST_HEX;
        rest.stored_size = (rest.size + 1) / 2;
    } else if (rest.form >= RF_REST_UUID) {
        rest.size -= RF_REST_UUID;
        rest.stored_size = (rf_streams_uuid_digits(rest.size) + 1) / 2;
        if (rest.size == 0 || rest.size > RF_REST_UUID_SIZE)
            return false;
    }
    if (rest.stored_size > (size_t)(end - from))
        return false;
    rest.stored = from;
    *at = from + rest.stored_size;
    *rest_out = rest;
    return true;
}

/* Eight digits, the first in the highest bits, as text, the first in the lowest byte. */
static inline uint64_t rf_streams_digits_text(uint32_t digits)
{
    uint64_t spread = digits;

    spread = (spread | spread << 16) & 0x0000ffff0000ffffu;
    spread = (spread | spread << 8) & 0x00ff00ff00ff00ffu;
    spread = (spread | spread << 4) & 0x0f0f0f0f0f0f0f0fu;
    spread = __builtin_bswap64(spread);
    uint64_t letters = (spread + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    return spread + 0x3030303030303030u + letters * ('a' - '0' - 10);
}

/* The text of 32 digits, eight an integer. (Order log: with SSE2, which every x86-64 has, a name takes
 * a quarter fewer instructions; a test has both.) */
static inline void rf_streams_digits_text_all(uint64_t high, uint64_t low, uint64_t text_out[4])
{
#ifdef __SSE2__
    const __m128i low_half = _mm_set1_epi8(15);
    __m128i bytes = _mm_set_epi64x((int64_t)__builtin_bswap64(low), (int64_t)__builtin_bswap64(high));
    __m128i first = _mm_and_si128(_mm_srli_epi16(bytes, 4), low_half);
    __m128i second = _mm_and_si128(bytes, low_half);
    __m128i digits[2] = {_mm_unpacklo_epi8(first, second), _mm_unpackhi_epi8(first, second)};
    for (unsigned i = 0; i < 2; i++) {
        __m128i letters = _mm_cmpgt_epi8(digits[i], _mm_set1_epi8(9));
        __m128i text = _mm_add_epi8(
            _mm_add_epi8(digits[i], _mm_set1_epi8('0')),
            _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10)));
        text_out[2 * i] = (uint64_t)_mm_cvtsi128_si64(text);
        text_out[2 * i + 1] = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(text, text));
    }
#else
    text_out[0] = rf_streams_digits_text((uint32_t)(high >> 32));
    text_out[1] = rf_streams_digits_text((uint32_t)high);
    text_out[2] = rf_streams_digits_text((uint32_t)(low >> 32));
    text_out[3] = rf_streams_digits_text((uint32_t)low);
#endif
}

/* A whole UUID's text as integers of eight characters, the last of four. `stored` has 16 readable
 * bytes, which begin with its digit `skipped`; digits before that become 0. */
static inline void rf_streams_uuid_text(const char *stored, uint32_t skipped, uint64_t words_out[5])
{
    const uint64_t dash = '-';
    uint64_t high = __builtin_bswap64(rf_load_u64(stored));
    uint64_t low = __builtin_bswap64(rf_load_u64(stored + 8));
    uint32_t bits = 4 * skipped;

    if (bits >= 64) {
        low = high >> (bits - 64);
        high = 0;
    } else if (bits > 0) {
        low = low >> bits | high << (64 - bits);
        high >>= bits;
    }
    uint64_t text[4];
    rf_streams_digits_text_all(high, low, text);
    uint64_t b = text[1];
    uint64_t c = text[2];
    uint64_t d = text[3];
    words_out[0] = text[0];
    words_out[1] = dash | b << 32 >> 24 | dash << 40 | b >> 32 << 48;
    words_out[2] = b >> 48 | dash << 16 | c << 32 >> 8 | dash << 56;
    words_out[3] = c >> 32 | d << 32;
    words_out[4] = d >> 32;
}

/* Writes the rest behind the first `shared` bytes of `name`, which has room for 16 bytes more than
 * the whole. `end`: of the readable bytes. */
static inline void rf_streams_rest_write(const rf_streams_rest *rest, const char *end, char *name,
                                         uint32_t shared)
{
    uint32_t before = RF_REST_UUID_SIZE - rest->size; /* characters of a UUID that it lacks */
    uint64_t words[5];

    if (rf_streams_rest_is_plain(rest)) {
        if (rest->size <= 16 && end - rest->stored >= 16)
            memcpy(name + shared, rest->stored, 16);
        else
            memcpy(name + shared, rest->stored, rest->size);
        return;
    }
    if (rest->form >= RF_REST_HEX || before > 8 || before > shared || end - rest->stored < 16) {
        rf_streams_rest_unpack(rest, name + shared);
        return;
    }
    /* The UUID is written whole; what it begins with stays as it stands there. */
    rf_streams_uuid_text(rest->stored, before, words);
    char *at = name + shared - before;
    uint64_t kept = before < 8 ? ((uint64_t)1 << 8 * before) - 1 : UINT64_MAX;
    rf_store_u64(at, (rf_load_u64(at) & kept) | (words[0] & ~kept));
    rf_store_u64(at + 8, words[1]);
    rf_store_u64(at + 16, words[2]);
    rf_store_u64(at + 24, words[3]);
    rf_store_u32(at + 32, (uint32_t)words[4]);
}

#endif
