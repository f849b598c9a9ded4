/* Columns: the encodings of integers, text and presence inside a segment.
 *
 * An integer column stores `count` int64_t as one of: constant, frame of reference (minimum and
 * bit-packed differences), delta (first value, then frame of reference of the differences),
 * dictionary (distinct values and bit-packed indexes), plain 64-bit. The encoder measures all and
 * takes the smallest. A text column is a dictionary (distinct texts and bit-packed indexes) or
 * plain (lengths as an integer column, and the bytes), its bytes through zstd where that gains. The
 * stored form says which; see docs/FORMAT.md. A bitmap column stores presence or booleans.
 *
 * Decoders check everything against the stored size and count: bytes from outside never crash
 * them. Encoders and decoders are pure; scratch memory comes from the caller.
 */
#ifndef RF_LOG_COLUMN_H
#define RF_LOG_COLUMN_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/codec.h"

/* Appends the stored form. */
void rf_int_column_encode(const int64_t *values, size_t count, rf_arena *scratch, rf_buf *out);
/* Exactly `count` values from all of `stored`. */
rf_status rf_int_column_decode(rf_slice stored, size_t count, int64_t *values_out, rf_err *err);
/* The same for values that have to be within 32 bits, at half of the memory. `scratch` has room for
 * `count` values, for encodings that are decoded in 64 bits first. */
rf_status rf_int_column_decode_u32(rf_slice stored, size_t count, uint32_t *values_out,
                                   int64_t *scratch, rf_err *err);

/* Only those of the values that `indexes` names, which rise, each to its own place in `values_out`.
 */
rf_status rf_int_column_decode_u32_at(rf_slice stored, size_t count, const uint32_t *indexes,
                                      size_t index_count, uint32_t *values_out, int64_t *scratch,
                                      rf_err *err);

void rf_bitmap_encode(const uint8_t *bits, size_t count, rf_buf *out);
static inline bool rf_bitmap_get(const uint8_t *bits, size_t index)
{
    return (bits[index >> 3] >> (index & 7)) & 1;
}

/* Whether `stored` is a bitmap of `count` bits of which `ones` are set, with nothing behind them.
 */
bool rf_bitmap_check(rf_slice stored, size_t count, size_t ones);

/* Texts that are one beginning with a number behind it; see column_numbered.h. */
typedef struct rf_text_numbers {
    rf_slice beginning;
    unsigned digits; /* 0: as many as each needs */
    bool hexadecimal;
    const int64_t *numbers; /* one per value */
    uint64_t max;           /* the greatest of them */
} rf_text_numbers;

/* A decoded text column. Value i is values[codes ? codes[i] : i]. */
typedef struct rf_text_column {
    const rf_slice *values; /* distinct texts if codes, else one per value */
    const uint32_t *codes;  /* NULL for a plain column */
    uint32_t value_count;
    const rf_text_numbers *numbered; /* NULL: otherwise */
} rf_text_column;

static inline rf_slice rf_text_column_at(const rf_text_column *column, size_t index)
{
    return column->values[column->codes ? column->codes[index] : index];
}

/* All texts together have at most 17 MiB. A `codec` of NULL means: do not compress. */
rf_status rf_text_column_encode(const rf_slice *values, size_t count, rf_codec *codec,
                                rf_arena *scratch, rf_buf *out, rf_err *err);
/* The column lives in `arena`, the bytes of its texts in `text`, which may be the same; NULL: texts
 * that are numbered stay numbers, without `values`, others are in `arena`. */
rf_status rf_text_column_decode(rf_slice stored, size_t count, rf_codec *codec, rf_arena *arena,
                                rf_arena *text, rf_text_column *column_out, rf_err *err);
/* Texts of numbers of the column, in `arena`, their bytes in `text`. */
rf_status rf_text_numbers_write(const rf_text_numbers *numbered, const int64_t *numbers,
                                size_t count, rf_arena *arena, rf_arena *text,
                                const rf_slice **values_out, rf_err *err);

#endif
