/* See column.h. One pass measures a column (minimum, maximum, those of the differences); a small
 * hash table tries a dictionary where the values would need more than a few bits each, and gives up
 * as soon as it has too many of them. */
#include "log/column.h"

#include "base/wide.h"
#include "log/bitpack.h"

/* Stored as the first byte; never renumbered. */
enum {
    INT_CONSTANT = 0,
    INT_FRAME = 1,
    INT_DELTA = 2,
    INT_DICTIONARY = 3,
    INT_PLAIN = 4,
    INT_SCALED = 5, /* as INT_DELTA, the differences being a least one and multiples of a number */
};

enum {
    DICTIONARY_MAX = 256,     /* codes of 8 bits, and a table on the stack */
    DICTIONARY_WIDTH_MIN = 5, /* below, a dictionary gains next to nothing */
    DICTIONARY_COUNT_MIN = 64,
    DICTIONARY_SLOTS = 1024,
    SCALE_WIDTH_MIN = 10, /* of differences; a thousand takes ten bits */
};

typedef struct int_measure {
    int64_t min, max;
    int64_t delta_min, delta_max; /* of wrapping differences */
    unsigned frame_width;
    unsigned delta_width;
} int_measure;

typedef struct int_dictionary {
    uint32_t count;
    size_t varint_size; /* of all values as zigzag varints */
    int64_t values[DICTIONARY_MAX];
    uint16_t slots[DICTIONARY_SLOTS]; /* index + 1; 0: free */
} int_dictionary;

static inline int64_t wrapping_difference(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* Without AVX2 the minima and maxima are taken one value at a time. */
RF_ALSO_AVX2 static int_measure int_measure_of(const int64_t *values, size_t count)
{
    int_measure m = {.min = values[0], .max = values[0]};

    m.delta_min = INT64_MAX;
    m.delta_max = INT64_MIN;
    for (size_t i = 1; i < count; i++) {
        int64_t delta = wrapping_difference(values[i], values[i - 1]);
        m.min = values[i] < m.min ? values[i] : m.min;
        m.max = values[i] > m.max ? values[i] : m.max;
        m.delta_min = delta < m.delta_min ? delta : m.delta_min;
        m.delta_max = delta > m.delta_max ? delta : m.delta_max;
    }
    m.frame_width = rf_bit_width((uint64_t)m.max - (uint64_t)m.min);
    m.delta_width = count < 2 ? 64 : rf_bit_width((uint64_t)m.delta_max - (uint64_t)m.delta_min);
    return m;
}

static size_t varint_size(uint64_t value)
{
    unsigned width = rf_bit_width(value);
    return width == 0 ? 1 : (width + 6) / 7;
}

/* Index of `value`, which is added if it is new; DICTIONARY_MAX if there is no room. */
static uint32_t int_dictionary_index(int_dictionary *dictionary, int64_t value)
{
    uint64_t slot = ((uint64_t)value * UINT64_C(0x9e3779b97f4a7c15)) >> 54;

    for (;; slot = (slot + 1) % DICTIONARY_SLOTS) {
        uint32_t entry = dictionary->slots[slot];
        if (entry == 0)
            break;
        if (dictionary->values[entry - 1] == value)
            return entry - 1;
    }
    if (dictionary->count == DICTIONARY_MAX)
        return DICTIONARY_MAX;
    dictionary->values[dictionary->count++] = value;
    dictionary->slots[slot] = (uint16_t)dictionary->count;
    dictionary->varint_size += varint_size(rf_zigzag(value));
    return dictionary->count - 1;
}

/* Codes of all values in `scratch`; NULL where the values are too many. */
static uint32_t *int_dictionary_build(int_dictionary *dictionary, const int64_t *values,
                                      size_t count, rf_arena *scratch)
{
    uint32_t *codes = rf_arena_alloc(scratch, count * sizeof *codes);

    memset(dictionary->slots, 0, sizeof dictionary->slots);
    dictionary->count = 0;
    dictionary->varint_size = 0;
    if (!codes)
        return NULL; /* no room to try is no failure: another encoding is taken */
    for (size_t i = 0; i < count; i++) {
        uint32_t code = int_dictionary_index(dictionary, values[i]);
        if (code == DICTIONARY_MAX)
            return NULL;
        codes[i] = code;
    }
    return codes;
}

static void append_dictionary(const int_dictionary *dictionary, const uint32_t *codes, size_t count,
                              rf_buf *out)
{
    rf_buf_append_byte(out, INT_DICTIONARY);
    rf_buf_append_varint(out, dictionary->count);
    for (uint32_t i = 0; i < dictionary->count; i++)
        rf_buf_append_varint(out, rf_zigzag(dictionary->values[i]));
    rf_bitpack_u32(codes, count, rf_bit_width(dictionary->count - 1), out);
}

static bool all_multiples(const int64_t *deltas, size_t count, int64_t least, uint64_t scale)
{
    uint64_t rest = 0;

    for (size_t i = 0; i < count && rest == 0; i++)
        rest = ((uint64_t)deltas[i] - (uint64_t)least) % scale;
    return rest == 0;
}

/* Times are microseconds, but often of whole milliseconds or seconds: 1 where the differences are
 * no such multiples. */
static uint64_t scale_of(const int64_t *deltas, size_t count, const int_measure *m)
{
    if (m->delta_width <= SCALE_WIDTH_MIN)
        return 1;
    if (all_multiples(deltas, count, m->delta_min, 1000000))
        return 1000000;
    return all_multiples(deltas, count, m->delta_min, 1000) ? 1000 : 1;
}

static void append_scaled(int64_t *deltas, size_t count, int64_t first, const int_measure *m,
                          uint64_t scale, rf_buf *out)
{
    uint64_t range = ((uint64_t)m->delta_max - (uint64_t)m->delta_min) / scale;
    unsigned width = rf_bit_width(range);

    for (size_t i = 0; i < count; i++)
        deltas[i] = (int64_t)(((uint64_t)deltas[i] - (uint64_t)m->delta_min) / scale);
    rf_buf_append_byte(out, INT_SCALED);
    rf_buf_append_byte(out, (uint8_t)width);
    rf_buf_append_varint(out, rf_zigzag(first));
    rf_buf_append_varint(out, rf_zigzag(m->delta_min));
    rf_buf_append_varint(out, scale);
    rf_bitpack(deltas, count, 0, width, out);
}

/* The differences are packed from a copy, so that one packing loop serves all. */
static bool append_delta(const int64_t *values, size_t count, const int_measure *m,
                         rf_arena *scratch, rf_buf *out)
{
    int64_t *deltas = rf_arena_alloc(scratch, (count - 1) * sizeof *deltas);

    if (!deltas)
        return false;
    for (size_t i = 1; i < count; i++)
        deltas[i - 1] = wrapping_difference(values[i], values[i - 1]);
    uint64_t scale = scale_of(deltas, count - 1, m);
    if (scale > 1) {
        append_scaled(deltas, count - 1, values[0], m, scale, out);
        return true;
    }
    rf_buf_append_byte(out, INT_DELTA);
    rf_buf_append_byte(out, (uint8_t)m->delta_width);
    rf_buf_append_varint(out, rf_zigzag(values[0]));
    rf_buf_append_varint(out, rf_zigzag(m->delta_min));
    rf_bitpack(deltas, count - 1, (uint64_t)m->delta_min, m->delta_width, out);
    return true;
}

void rf_int_column_encode(const int64_t *values, size_t count, rf_arena *scratch, rf_buf *out)
{
    if (count == 0)
        return;
    int_measure m = int_measure_of(values, count);
    if (m.frame_width == 0) {
        rf_buf_append_byte(out, INT_CONSTANT);
        rf_buf_append_varint(out, rf_zigzag(m.min));
        return;
    }
    size_t plain_size = count * sizeof *values;
    size_t frame_size =
        m.frame_width > RF_BITPACK_WIDTH_MAX
            ? SIZE_MAX
            : 1 + varint_size(rf_zigzag(m.min)) + rf_bitpack_size(count, m.frame_width);
    size_t delta_size = m.delta_width > RF_BITPACK_WIDTH_MAX
                            ? SIZE_MAX
                            : 1 + varint_size(rf_zigzag(values[0])) +
                                  varint_size(rf_zigzag(m.delta_min)) +
                                  rf_bitpack_size(count - 1, m.delta_width);
    size_t best = frame_size < plain_size ? frame_size : plain_size;
    bool delta = delta_size < best;
    if (delta)
        best = delta_size;
    if (count >= DICTIONARY_COUNT_MIN && best > rf_bitpack_size(count, DICTIONARY_WIDTH_MIN - 1)) {
        int_dictionary dictionary;
        uint32_t *codes = int_dictionary_build(&dictionary, values, count, scratch);
        if (codes && 2 + dictionary.varint_size +
                             rf_bitpack_size(count, rf_bit_width(dictionary.count - 1)) <
                         best) {
            append_dictionary(&dictionary, codes, count, out);
            return;
        }
    }
    if (delta && append_delta(values, count, &m, scratch, out))
        return;
    if (frame_size < plain_size) {
        rf_buf_append_byte(out, INT_FRAME);
        rf_buf_append_byte(out, (uint8_t)m.frame_width);
        rf_buf_append_varint(out, rf_zigzag(m.min));
        rf_bitpack(values, count, (uint64_t)m.min, m.frame_width, out);
        return;
    }
    rf_buf_append_byte(out, INT_PLAIN);
    rf_buf_append(out, values, plain_size);
}

static rf_status int_damaged(const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "an integer column %s", what);
}

/* The packed part, which must be all that is left. */
static bool packed_read(rf_bytes_reader *reader, size_t count, unsigned width, rf_slice *packed_out)
{
    if (reader->failed || rf_bytes_left(reader) != rf_bitpack_size(count, width))
        return false;
    *packed_out = rf_read_slice(reader, rf_bytes_left(reader));
    return true;
}

static rf_status decode_dictionary(rf_bytes_reader *reader, size_t count, int64_t *values_out,
                                   rf_err *err)
{
    int64_t values[DICTIONARY_MAX] = {0};
    uint64_t value_count = rf_read_varint(reader);
    rf_slice packed;

    if (reader->failed || value_count == 0 || value_count > DICTIONARY_MAX)
        return int_damaged("has a dictionary of a wrong size", err);
    for (uint64_t i = 0; i < value_count; i++)
        values[i] = rf_unzigzag(rf_read_varint(reader));
    unsigned width = rf_bit_width(value_count - 1);
    if (!packed_read(reader, count, width, &packed))
        return int_damaged("is not as long as its values", err);
    rf_bitunpack(packed, count, 0, width, values_out);
    uint64_t code_max = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t code = (uint64_t)values_out[i];
        code_max = code > code_max ? code : code_max;
        values_out[i] = values[code]; /* width is at most 8: inside the table */
    }
    if (code_max >= value_count)
        return int_damaged("names a value that its dictionary lacks", err);
    return RF_OK;
}

rf_status rf_int_column_decode(rf_slice stored, size_t count, int64_t *values_out, rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);
    rf_slice packed;

    if (count == 0)
        return stored.size == 0 ? RF_OK : int_damaged("without values is not empty", err);
    uint8_t encoding = rf_read_byte(&reader);
    bool has_width = encoding == INT_FRAME || encoding == INT_DELTA || encoding == INT_SCALED;
    unsigned width = has_width ? rf_read_byte(&reader) : 0;
    if (reader.failed || width > RF_BITPACK_WIDTH_MAX)
        return int_damaged("has a wrong head", err);
    switch (encoding) {
    case INT_CONSTANT:
    case INT_FRAME: {
        uint64_t base = (uint64_t)rf_unzigzag(rf_read_varint(&reader));
        if (!packed_read(&reader, count, width, &packed))
            return int_damaged("is not as long as its values", err);
        rf_bitunpack(packed, count, base, width, values_out);
        return RF_OK;
    }
    case INT_DELTA:
    case INT_SCALED: {
        uint64_t value = (uint64_t)rf_unzigzag(rf_read_varint(&reader));
        uint64_t base = (uint64_t)rf_unzigzag(rf_read_varint(&reader));
        uint64_t scale = encoding == INT_SCALED ? rf_read_varint(&reader) : 1;
        if (!packed_read(&reader, count - 1, width, &packed))
            return int_damaged("is not as long as its values", err);
        rf_bitunpack(packed, count - 1, scale == 1 ? base : 0, width, values_out + 1);
        values_out[0] = (int64_t)value;
        if (scale == 1)
            base = 0;
        for (size_t i = 1; i < count; i++) { /* multiplying is not what the sum waits for */
            value += base + (uint64_t)values_out[i] * scale;
            values_out[i] = (int64_t)value;
        }
        return RF_OK;
    }
    case INT_DICTIONARY:
        return decode_dictionary(&reader, count, values_out, err);
    case INT_PLAIN:
        if (rf_bytes_left(&reader) != count * sizeof *values_out)
            return int_damaged("is not as long as its values", err);
        memcpy(values_out, reader.at, count * sizeof *values_out);
        return RF_OK;
    default:
        return int_damaged("has an unknown encoding", err);
    }
}

/* A frame of reference, or a constant, whose values fit: what stream numbers and types nearly always
 * are. False: another encoding, or not certain. */
static bool frame_read_u32(rf_slice stored, size_t count, rf_slice *packed_out, uint32_t *base_out,
                           unsigned *width_out)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);
    uint8_t encoding = rf_read_byte(&reader);
    unsigned width = encoding == INT_FRAME ? rf_read_byte(&reader) : 0;
    int64_t base = rf_unzigzag(rf_read_varint(&reader));

    if (count == 0 || (encoding != INT_FRAME && encoding != INT_CONSTANT) ||
        width > RF_BITPACK_U32_WIDTH_MAX || base < 0 ||
        base > (int64_t)UINT32_MAX - ((INT64_C(1) << width) - 1))
        return false;
    *base_out = (uint32_t)base;
    *width_out = width;
    return packed_read(&reader, count, width, packed_out);
}

rf_status rf_int_column_decode_u32(rf_slice stored, size_t count, uint32_t *values_out,
                                   int64_t *scratch, rf_err *err)
{
    uint64_t all = 0;
    rf_slice packed;
    uint32_t base;
    unsigned width;

    if (frame_read_u32(stored, count, &packed, &base, &width)) {
        rf_bitunpack_u32(packed, count, base, width, values_out);
        return RF_OK;
    }
    rf_status status = rf_int_column_decode(stored, count, scratch, err);
    if (status != RF_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        all |= (uint64_t)scratch[i];
        values_out[i] = (uint32_t)scratch[i];
    }
    return all <= UINT32_MAX ? RF_OK : int_damaged("of 32 bits has more", err);
}

rf_status rf_int_column_decode_u32_at(rf_slice stored, size_t count, const uint32_t *indexes,
                                      size_t index_count, uint32_t *values_out, int64_t *scratch,
                                      rf_err *err)
{
    rf_slice packed;
    uint32_t base;
    unsigned width;

    if (!frame_read_u32(stored, count, &packed, &base, &width))
        return rf_int_column_decode_u32(stored, count, values_out, scratch, err);
    for (size_t i = 0; i < index_count; i++) {
        RF_ASSERT(indexes[i] < count);
        values_out[indexes[i]] = base + rf_bitunpack_one(packed, indexes[i], width);
    }
    return RF_OK;
}

void rf_bitmap_encode(const uint8_t *bits, size_t count, rf_buf *out)
{
    rf_buf_append(out, bits, (count + 7) / 8);
}

bool rf_bitmap_check(rf_slice stored, size_t count, size_t ones)
{
    size_t sum = 0;

    if (stored.size != (count + 7) / 8)
        return false;
    for (size_t i = 0; i < stored.size; i++)
        sum += (size_t)__builtin_popcount((uint8_t)stored.data[i]);
    /* Bits past the last are zero, so the sum is that of the first `count`. */
    bool clean = count % 8 == 0 || ((uint8_t)stored.data[stored.size - 1] >> (count % 8)) == 0;
    return clean && sum == ones;
}
