/* See column.h. The stored forms are in docs/FORMAT.md.
 *
 * Bit packing is least-significant-bit first: value i occupies bits [i * width, (i + 1) * width) of a
 * little-endian bit string. Unpacking loads 8 bytes at any alignment and shifts, which costs about a nanosecond a
 * value and needs no special instructions; the last few values, whose load would run over the end, are read
 * byte by byte.
 */
#include "log/column.h"

enum int_encoding {
    INT_CONSTANT = 0,  /* zigzag varint: the value */
    INT_FRAME = 1,     /* zigzag varint: minimum; width; packed value - minimum */
    INT_DELTA = 2,     /* zigzag varint: first; then as FRAME the count - 1 differences */
    INT_DICTIONARY = 3,/* varint: n; zigzag varint: least; n - 1 varints: steps; width; packed indexes */
    INT_PLAIN = 4,     /* 8 bytes each */
};

enum {
    DICTIONARY_MAX = 256,       /* distinct integers */
    LOAD_WIDTH_MAX = 56,        /* wider values do not fit one unaligned load with a shift of up to 7 */
    TEXT_DICTIONARY = 0,
    TEXT_PLAIN = 1,
    TEXT_COMPRESSED = 2, /* flag */
    TEXT_COMPRESS_MIN = 128,
    TEXT_LEVEL = 3,
};

static unsigned bits_of(uint64_t value)
{
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

static size_t packed_size(size_t count, unsigned width)
{
    return (count * width + 7) / 8;
}

/* Appends `count` values of `width` bits. */
static void pack(const uint64_t *values, size_t count, unsigned width, rf_buf *out)
{
    size_t size = packed_size(count, width);
    char *at = rf_buf_reserve(out, size + 8);
    unsigned __int128 pending = 0;
    unsigned filled = 0;

    if (!at)
        return;
    for (size_t i = 0; i < count; i++) {
        pending |= (unsigned __int128)values[i] << filled;
        filled += width;
        if (filled >= 64) {
            rf_store_u64(at, (uint64_t)pending);
            at += 8;
            pending >>= 64;
            filled -= 64;
        }
    }
    rf_store_u64(at, (uint64_t)pending);
    out->size += size;
}

/* One value at any width, without reading past `size`. */
static uint64_t unpack_one(const char *packed, size_t size, size_t index, unsigned width)
{
    size_t bit = index * width;
    unsigned __int128 window = 0;
    char bytes[16] = {0};

    size_t from = bit >> 3;
    memcpy(bytes, packed + from, size - from < sizeof bytes ? size - from : sizeof bytes);
    memcpy(&window, bytes, sizeof window);
    window >>= bit & 7;
    return width == 64 ? (uint64_t)window : (uint64_t)window & (((uint64_t)1 << width) - 1);
}

/* Adds `base` to each value: `values_out[i] = base + packed[i]`, wrapping. */
static void unpack(const char *packed, size_t count, unsigned width, uint64_t base,
                   int64_t *values_out)
{
    size_t size = packed_size(count, width);
    size_t i = 0;

    RF_ASSERT(width >= 1 && width <= 64);
    if (width <= LOAD_WIDTH_MAX && size >= 8) {
        uint64_t mask = ((uint64_t)1 << width) - 1;
        size_t whole = ((size - 8) * 8) / width; /* their loads end inside */
        if (whole > count)
            whole = count;
        for (size_t bit = 0; i < whole; i++, bit += width)
            values_out[i] =
                (int64_t)(base + ((rf_load_u64(packed + (bit >> 3)) >> (bit & 7)) & mask));
    }
    for (; i < count; i++)
        values_out[i] = (int64_t)(base + unpack_one(packed, size, i, width));
}

struct measure {
    int64_t min, max;
    uint64_t delta_min_bits; /* as int64 */
    unsigned frame_width;
    unsigned delta_width;
    bool delta_fits;
};

static struct measure measure_ints(const int64_t *values, size_t count)
{
    struct measure measure = {.min = values[0], .max = values[0], .delta_fits = count > 1};
    int64_t delta_min = INT64_MAX;
    int64_t delta_max = INT64_MIN;

    for (size_t i = 1; i < count; i++) {
        int64_t delta;
        if (values[i] < measure.min)
            measure.min = values[i];
        if (values[i] > measure.max)
            measure.max = values[i];
        if (__builtin_sub_overflow(values[i], values[i - 1], &delta)) {
            measure.delta_fits = false;
            continue;
        }
        if (delta < delta_min)
            delta_min = delta;
        if (delta > delta_max)
            delta_max = delta;
    }
    measure.frame_width = bits_of((uint64_t)measure.max - (uint64_t)measure.min);
    if (measure.delta_fits) {
        measure.delta_min_bits = (uint64_t)delta_min;
        measure.delta_width = bits_of((uint64_t)delta_max - (uint64_t)delta_min);
    }
    return measure;
}

/* Distinct values in ascending order; 0 if there are more than DICTIONARY_MAX. */
static size_t distinct_ints(const int64_t *values, size_t count, int64_t distinct[DICTIONARY_MAX])
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && values[i] == values[i - 1])
            continue;
        size_t low = 0;
        size_t high = used;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (distinct[middle] < values[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low < used && distinct[low] == values[i])
            continue;
        if (used == DICTIONARY_MAX)
            return 0;
        memmove(&distinct[low + 1], &distinct[low], (used - low) * sizeof distinct[0]);
        distinct[low] = values[i];
        used++;
    }
    return used;
}

static void encode_dictionary(const int64_t *values, size_t count, const int64_t *distinct,
                              size_t distinct_count, uint64_t *scratch, rf_buf *out)
{
    unsigned width = bits_of(distinct_count - 1);

    rf_buf_append_byte(out, INT_DICTIONARY);
    rf_buf_append_varint(out, distinct_count);
    rf_buf_append_varint(out, rf_zigzag(distinct[0]));
    for (size_t i = 1; i < distinct_count; i++)
        rf_buf_append_varint(out, (uint64_t)distinct[i] - (uint64_t)distinct[i - 1]);
    rf_buf_append_byte(out, (uint8_t)width);
    for (size_t i = 0; i < count; i++) {
        size_t low = 0;
        size_t high = distinct_count - 1;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (distinct[middle] < values[i])
                low = middle + 1;
            else
                high = middle;
        }
        scratch[i] = low;
    }
    pack(scratch, count, width, out);
}

static size_t dictionary_size(const int64_t *distinct, size_t distinct_count, size_t count)
{
    size_t size = 4;

    for (size_t i = 0; i < distinct_count; i++) {
        uint64_t step = i == 0 ? rf_zigzag(distinct[0])
                               : (uint64_t)distinct[i] - (uint64_t)distinct[i - 1];
        size += bits_of(step) / 7 + 1;
    }
    return size + packed_size(count, bits_of(distinct_count - 1));
}

void rf_int_column_encode(const int64_t *values, size_t count, rf_arena *scratch, rf_buf *out)
{
    int64_t distinct[DICTIONARY_MAX];

    if (count == 0)
        return;
    struct measure measure = measure_ints(values, count);
    if (measure.min == measure.max) {
        rf_buf_append_byte(out, INT_CONSTANT);
        rf_buf_append_varint(out, rf_zigzag(values[0]));
        return;
    }
    uint64_t *packed = rf_arena_alloc(scratch, count * sizeof *packed);
    if (!packed) {
        out->failed = true;
        return;
    }
    size_t frame = packed_size(count, measure.frame_width) + 10;
    size_t delta = measure.delta_fits ? packed_size(count - 1, measure.delta_width) + 14 : SIZE_MAX;
    size_t best = frame < delta ? frame : delta;
    /* Looking for few distinct wide values pays only where the others need many bits. */
    size_t distinct_count = best > count && count >= 16 ? distinct_ints(values, count, distinct) : 0;
    if (distinct_count > 0 && dictionary_size(distinct, distinct_count, count) < best) {
        encode_dictionary(values, count, distinct, distinct_count, packed, out);
    } else if (best >= count * 8) {
        rf_buf_append_byte(out, INT_PLAIN);
        rf_buf_append(out, values, count * 8);
    } else if (delta < frame) {
        rf_buf_append_byte(out, INT_DELTA);
        rf_buf_append_varint(out, rf_zigzag(values[0]));
        rf_buf_append_varint(out, rf_zigzag((int64_t)measure.delta_min_bits));
        rf_buf_append_byte(out, (uint8_t)measure.delta_width);
        for (size_t i = 1; i < count; i++)
            packed[i - 1] =
                (uint64_t)values[i] - (uint64_t)values[i - 1] - measure.delta_min_bits;
        if (measure.delta_width > 0)
            pack(packed, count - 1, measure.delta_width, out);
    } else {
        rf_buf_append_byte(out, INT_FRAME);
        rf_buf_append_varint(out, rf_zigzag(measure.min));
        rf_buf_append_byte(out, (uint8_t)measure.frame_width);
        for (size_t i = 0; i < count; i++)
            packed[i] = (uint64_t)values[i] - (uint64_t)measure.min;
        pack(packed, count, measure.frame_width, out);
    }
}

static rf_status damaged_ints(rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "a column of integers is damaged");
}

/* The packed bytes that must be all that is left of the column. */
static bool read_packed(rf_bytes_reader *reader, size_t count, unsigned width, const char **packed_out)
{
    size_t size = packed_size(count, width);

    if (reader->failed || width > 64 || rf_bytes_left(reader) != size)
        return false;
    *packed_out = reader->at;
    return true;
}

static rf_status decode_frame(rf_bytes_reader *reader, size_t count, int64_t *values_out, rf_err *err)
{
    uint64_t base = (uint64_t)rf_unzigzag(rf_read_varint(reader));
    unsigned width = rf_read_byte(reader);
    const char *packed;

    if (width == 0 || !read_packed(reader, count, width, &packed))
        return damaged_ints(err);
    unpack(packed, count, width, base, values_out);
    return RF_OK;
}

static rf_status decode_delta(rf_bytes_reader *reader, size_t count, int64_t *values_out, rf_err *err)
{
    uint64_t value = (uint64_t)rf_unzigzag(rf_read_varint(reader));
    uint64_t step = (uint64_t)rf_unzigzag(rf_read_varint(reader));
    unsigned width = rf_read_byte(reader);
    const char *packed;

    if (!read_packed(reader, count - 1, width, &packed))
        return damaged_ints(err);
    values_out[0] = (int64_t)value;
    if (width > 0)
        unpack(packed, count - 1, width, step, values_out + 1);
    for (size_t i = 1; i < count; i++) {
        value += width > 0 ? (uint64_t)values_out[i] : step;
        values_out[i] = (int64_t)value;
    }
    return RF_OK;
}

static rf_status decode_dictionary(rf_bytes_reader *reader, size_t count, int64_t *values_out,
                                   rf_err *err)
{
    int64_t distinct[DICTIONARY_MAX];
    size_t distinct_count = (size_t)rf_read_varint(reader);
    const char *packed;

    if (reader->failed || distinct_count < 2 || distinct_count > DICTIONARY_MAX)
        return damaged_ints(err);
    uint64_t value = (uint64_t)rf_unzigzag(rf_read_varint(reader));
    distinct[0] = (int64_t)value;
    for (size_t i = 1; i < distinct_count; i++) {
        value += rf_read_varint(reader);
        distinct[i] = (int64_t)value;
    }
    unsigned width = rf_read_byte(reader);
    if (width == 0 || !read_packed(reader, count, width, &packed))
        return damaged_ints(err);
    unpack(packed, count, width, 0, values_out);
    for (size_t i = 0; i < count; i++) {
        if ((uint64_t)values_out[i] >= distinct_count)
            return damaged_ints(err);
        values_out[i] = distinct[values_out[i]];
    }
    return RF_OK;
}

rf_status rf_int_column_decode(rf_slice stored, size_t count, int64_t *values_out, rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);

    if (count == 0)
        return stored.size == 0 ? RF_OK : damaged_ints(err);
    switch (rf_read_byte(&reader)) {
    case INT_CONSTANT: {
        int64_t value = rf_unzigzag(rf_read_varint(&reader));
        if (reader.failed || rf_bytes_left(&reader) != 0)
            return damaged_ints(err);
        for (size_t i = 0; i < count; i++)
            values_out[i] = value;
        return RF_OK;
    }
    case INT_FRAME:
        return decode_frame(&reader, count, values_out, err);
    case INT_DELTA:
        return decode_delta(&reader, count, values_out, err);
    case INT_DICTIONARY:
        return decode_dictionary(&reader, count, values_out, err);
    case INT_PLAIN:
        if (rf_bytes_left(&reader) != count * 8)
            return damaged_ints(err);
        memcpy(values_out, reader.at, count * 8);
        return RF_OK;
    default:
        return damaged_ints(err);
    }
}

void rf_bitmap_encode(const uint8_t *bits, size_t count, rf_buf *out)
{
    rf_buf_append(out, bits, (count + 7) / 8);
}
