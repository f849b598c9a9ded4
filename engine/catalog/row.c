/* See row.h. Encoding measures the texts first, reserves once and then writes without a check a
 * column; decoding trusts nothing, not even that a value is in its smallest form: one row, one
 * encoding. */
#include "catalog/row.h"

#include "base/arena.h"

#include <string.h>

enum {
    NIL = 0xc0,
    FALSE_BYTE = 0xc2,
    TRUE_BYTE = 0xc3,
    FLOAT_64 = 0xcb,
    UINT_8 = 0xcc,
    UINT_16 = 0xcd,
    UINT_32 = 0xce,
    UINT_64 = 0xcf,
    INT_8 = 0xd0,
    INT_16 = 0xd1,
    INT_32 = 0xd2,
    INT_64 = 0xd3,
    STR_8 = 0xd9,
    STR_16 = 0xda,
    STR_32 = 0xdb,
    ARRAY_16 = 0xdc,
    FIXED_ARRAY = 0x90,
    FIXED_STR = 0xa0,
    NEGATIVE_FIXED = 0xe0,
};

enum {
    HEAD_SIZE_MAX = 3,
    VALUE_SIZE_MAX = RF_ROW_VALUE_SIZE_MAX,
};

/* Every NaN is this one, so that a row that holds one has one encoding too. */
#define NAN_BITS 0x7ff8000000000000u

static inline char *put_byte(char *at, unsigned byte)
{
    *(unsigned char *)at = (unsigned char)byte;
    return at + 1;
}

static char *put_u16(char *at, unsigned byte, uint16_t value)
{
    rf_store_u16_be(at + 1, value);
    return put_byte(at, byte) + 2;
}

static char *put_u32(char *at, unsigned byte, uint32_t value)
{
    rf_store_u32(at + 1, __builtin_bswap32(value));
    return put_byte(at, byte) + 4;
}

static char *put_u64(char *at, unsigned byte, uint64_t value)
{
    rf_store_u64_be(at + 1, value);
    return put_byte(at, byte) + 8;
}

/* What an integer begins with, and how many bytes follow, by the bytes that it takes. */
typedef struct int_form {
    uint8_t byte;
    uint8_t size;
} int_form;

/* Without a branch on the width, which a processor cannot guess: the value goes out as eight bytes,
 * of which those behind its width are written over by what comes next. `at` has room for nine. */
static inline char *put_wide(char *at, const int_form *form, int64_t value)
{
    rf_store_u64_be(at + 1, (uint64_t)value << (64 - 8 * form->size));
    return put_byte(at, form->byte) + form->size;
}

static inline char *put_int(char *at, int64_t value)
{
    static const int_form positive[] = {{0, 0},       {UINT_8, 1},  {UINT_16, 2},
                                        {UINT_32, 4}, {UINT_32, 4}, {UINT_64, 8},
                                        {UINT_64, 8}, {UINT_64, 8}, {UINT_64, 8}};
    static const int_form negative[] = {{0, 0},      {INT_8, 1},  {INT_16, 2},
                                        {INT_32, 4}, {INT_32, 4}, {INT_64, 8},
                                        {INT_64, 8}, {INT_64, 8}, {INT_64, 8}};

    if (value >= -32 && value < 0x80)
        return put_byte(at, (unsigned)(value & 0xff));
    /* significant bits: of a negative value one more, the sign */
    uint64_t bits = value < 0 ? ((uint64_t)~value << 1) | 1 : (uint64_t)value;
    unsigned size = (64 - (unsigned)__builtin_clzll(bits) + 7) / 8;
    return put_wide(at, value < 0 ? &negative[size] : &positive[size], value);
}

/* *bits gets those that any byte of a short text has, and all of a long one. */
static inline char *put_text(char *at, rf_slice text, uint64_t *bits)
{
    if (text.size < 32) {
        at = put_byte(at, FIXED_STR | (unsigned)text.size);
        *bits |= rf_copy_short(at, text.data, text.size);
        return at + text.size;
    }
    *bits = UINT64_MAX;
    if (text.size <= UINT8_MAX)
        at = put_byte(put_byte(at, STR_8), (unsigned)text.size);
    else if (text.size <= UINT16_MAX)
        at = put_u16(at, STR_16, (uint16_t)text.size);
    else
        at = put_u32(at, STR_32, (uint32_t)text.size);
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static rf_slice text_of(const rf_column *column, const void *row)
{
    rf_slice text = {NULL, 0};

    if (column->kind == RF_TEXT || column->kind == RF_JSON)
        memcpy(&text, (const char *)row + column->offset, sizeof text);
    return text;
}

static inline int64_t integer_at(const char *at)
{
    int64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static char *put_float(char *at, const char *from)
{
    double value;
    uint64_t bits = NAN_BITS;

    memcpy(&value, from, sizeof value);
    if (!__builtin_isnan(value))
        memcpy(&bits, &value, sizeof bits);
    return put_u64(at, FLOAT_64, bits);
}

/* Writes the columns, without measuring them first; NULL where a text does not fit. There are
 * VALUE_SIZE_MAX bytes a column before `end` that no text gets, so nothing else is checked. *bits_out:
 * see put_text. */
static char *put_columns(char *at, const char *end, const rf_column *columns, uint32_t column_count,
                         const void *row, uint64_t *bits_out)
{
    uint64_t bits = 0;

    const char *limit = end - VALUE_SIZE_MAX * (size_t)column_count;

    for (const rf_column *column = columns; column < columns + column_count; column++) {
        const char *from = (const char *)row + column->offset;
        switch (column->kind) {
        case RF_INT:
        case RF_DECIMAL:
            at = put_int(at, integer_at(from));
            break;
        case RF_TIME:
        case RF_DATE: {
            int64_t value = integer_at(from);
            at = value == RF_TIME_NONE ? put_byte(at, NIL) : put_int(at, value);
            break;
        }
        case RF_FLOAT:
            at = put_float(at, from);
            break;
        case RF_BOOL:
            at = put_byte(at, *(const unsigned char *)from ? TRUE_BYTE : FALSE_BYTE);
            break;
        case RF_TEXT:
        case RF_JSON: {
            rf_slice text;
            memcpy(&text, from, sizeof text);
            if (!text.data) {
                at = put_byte(at, NIL);
                break;
            }
            if (at > limit || text.size > (size_t)(limit - at))
                return NULL;
            at = put_text(at, text, &bits);
            break;
        }
        }
    }
    *bits_out = bits;
    return at;
}

static char *put_head(char *at, uint32_t column_count)
{
    return column_count < 16 ? put_byte(at, FIXED_ARRAY | column_count)
                             : put_u16(at, ARRAY_16, (uint16_t)column_count);
}

/* When room is short: what the row needs at most may be more than `out` can have, what it needs
 * less. */
static void encode_measured(const rf_column *columns, uint32_t column_count, const void *row,
                            rf_buf *out)
{
    size_t least = 1 + (size_t)column_count;
    size_t room = HEAD_SIZE_MAX + 2 * VALUE_SIZE_MAX * (size_t)column_count; /* see put_columns */

    for (uint32_t i = 0; i < column_count; i++) {
        size_t size = text_of(&columns[i], row).size;
        /* A size that no row can have makes the buffer fail; the sum must not wrap before that. */
        size = size <= RF_ROW_SIZE_MAX ? size : (size_t)RF_ROW_SIZE_MAX + 1;
        room += size;
        least += size;
    }
    if (least > out->size_max - out->size) {
        out->failed = true;
        return;
    }
    uint64_t bits;
    rf_buf exact;
    rf_buf_init(&exact, room);
    char *start = rf_buf_reserve(&exact, room);
    if (start) {
        char *at =
            put_columns(put_head(start, column_count), start + room, columns, column_count, row, &bits);
        RF_ASSERT(at != NULL);
        rf_buf_append(out, start, (size_t)(at - start));
    }
    out->failed |= exact.failed;
    rf_buf_free(&exact);
}

char *rf_row_encode_at(const rf_column *columns, uint32_t column_count, const void *row, char *at,
                       const char *end, bool *ascii_out)
{
    uint64_t bits = 0;

    at = put_columns(put_head(at, column_count), end, columns, column_count, row, &bits);
    *ascii_out = (bits & RF_HIGH_BITS) == 0;
    return at;
}

void rf_row_encode(const rf_column *columns, uint32_t column_count, const void *row, rf_buf *out)
{
    size_t room = rf_row_room(column_count);
    uint64_t bits;
    char *at = NULL;

    RF_ASSERT(column_count <= UINT16_MAX);
    if (out->failed)
        return;
    if (room <= out->size_max - out->size) {
        char *start = rf_buf_reserve(out, room);
        if (!start)
            return;
        size_t end = out->capacity < out->size_max ? out->capacity : out->size_max;
        at =
            put_columns(put_head(start, column_count), out->data + end, columns, column_count, row,
                        &bits);
    }
    if (at)
        out->size = (size_t)(at - out->data);
    else
        encode_measured(columns, column_count, row, out);
}

static uint32_t read_u32_be(rf_bytes_reader *reader)
{
    return __builtin_bswap32(rf_read_u32(reader));
}

/* An integer in its smallest form; false for anything else. */
static bool read_int(rf_bytes_reader *reader, uint8_t byte, int64_t *value_out)
{
    uint64_t value = 0;

    if (byte < 0x80 || byte >= NEGATIVE_FIXED) {
        *value_out = (int8_t)byte;
        return true;
    }
    switch (byte) {
    case UINT_8:
        *value_out = rf_read_byte(reader);
        return *value_out >= 0x80;
    case UINT_16:
        *value_out = __builtin_bswap16(rf_read_u16(reader));
        return *value_out > UINT8_MAX;
    case UINT_32:
        *value_out = read_u32_be(reader);
        return *value_out > UINT16_MAX;
    case UINT_64:
        value = __builtin_bswap64(rf_read_u64(reader));
        *value_out = (int64_t)value;
        return value > UINT32_MAX && value <= INT64_MAX;
    case INT_8:
        *value_out = (int8_t)rf_read_byte(reader);
        return *value_out < -32;
    case INT_16:
        *value_out = (int16_t)__builtin_bswap16(rf_read_u16(reader));
        return *value_out < INT8_MIN;
    case INT_32:
        *value_out = (int32_t)read_u32_be(reader);
        return *value_out < INT16_MIN;
    case INT_64:
        *value_out = (int64_t)__builtin_bswap64(rf_read_u64(reader));
        return *value_out < INT32_MIN;
    default:
        return false;
    }
}

static bool read_text(rf_bytes_reader *reader, uint8_t byte, rf_slice *text_out)
{
    size_t size;

    if (byte >= FIXED_STR && byte < NIL) {
        size = byte & 31u;
    } else if (byte == STR_8) {
        size = rf_read_byte(reader);
        if (size < 32)
            return false;
    } else if (byte == STR_16) {
        size = __builtin_bswap16(rf_read_u16(reader));
        if (size <= UINT8_MAX)
            return false;
    } else if (byte == STR_32) {
        size = read_u32_be(reader);
        if (size <= UINT16_MAX)
            return false;
    } else {
        return false;
    }
    *text_out = rf_read_slice(reader, size);
    return true;
}

static bool read_value(rf_bytes_reader *reader, rf_value *value)
{
    uint8_t byte = rf_read_byte(reader);

    switch (value->kind) {
    case RF_INT:
    case RF_DECIMAL:
        return read_int(reader, byte, &value->integer);
    case RF_TIME:
    case RF_DATE:
        value->is_null = byte == NIL;
        if (value->is_null)
            return true;
        return read_int(reader, byte, &value->integer) && value->integer != RF_TIME_NONE;
    case RF_FLOAT: {
        uint64_t bits = __builtin_bswap64(rf_read_u64(reader));
        memcpy(&value->number, &bits, sizeof bits);
        return byte == FLOAT_64 && (!__builtin_isnan(value->number) || bits == NAN_BITS);
    }
    case RF_BOOL:
        value->boolean = byte == TRUE_BYTE;
        return byte == TRUE_BYTE || byte == FALSE_BYTE;
    case RF_TEXT:
    case RF_JSON:
        value->is_null = byte == NIL;
        return value->is_null || read_text(reader, byte, &value->text);
    }
    return false;
}

rf_status rf_row_decode(rf_slice stored, const rf_reader_column *columns, uint32_t column_count,
                        rf_value *values_out, rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);
    uint8_t byte = rf_read_byte(&reader);
    uint32_t count = byte & 15u;

    if (byte == ARRAY_16)
        count = __builtin_bswap16(rf_read_u16(&reader));
    bool is_array = byte == ARRAY_16 ? count > 15 : (byte & 0xf0) == FIXED_ARRAY;
    if (reader.failed || !is_array || count != column_count)
        return rf_fail(err, RF_ERR_DAMAGED, "a stored row is not an array of %u columns",
                       column_count);
    for (uint32_t i = 0; i < column_count; i++) {
        rf_value *value = &values_out[i];
        *value = (rf_value){.kind = columns[i].kind, .scale = columns[i].scale};
        if (!read_value(&reader, value) || reader.failed)
            return rf_fail(err, RF_ERR_DAMAGED, "a stored row's column %s does not hold its kind",
                           columns[i].name);
    }
    if (rf_bytes_left(&reader) > 0)
        return rf_fail(err, RF_ERR_DAMAGED, "a stored row has %zu bytes after its last column",
                       rf_bytes_left(&reader));
    return RF_OK;
}

static bool fill_text(const rf_value *value, rf_arena *text, char *to)
{
    rf_slice copy = {NULL, 0};

    if (!value->is_null) {
        copy = rf_arena_copy(text, value->text);
        if (!copy.data)
            return false;
    }
    memcpy(to, &copy, sizeof copy);
    return true;
}

bool rf_row_fill(const rf_column *columns, uint32_t column_count, const rf_value *values,
                 rf_arena *text, void *row)
{
    bool filled = true;

    for (uint32_t i = 0; filled && i < column_count; i++) {
        const rf_value *value = &values[i];
        char *to = (char *)row + columns[i].offset;
        int64_t integer = value->is_null ? RF_TIME_NONE : value->integer;
        RF_ASSERT(value->kind == columns[i].kind);
        switch (value->kind) {
        case RF_INT:
        case RF_DECIMAL:
        case RF_TIME:
        case RF_DATE:
            memcpy(to, &integer, sizeof integer);
            break;
        case RF_FLOAT:
            memcpy(to, &value->number, sizeof value->number);
            break;
        case RF_BOOL:
            *(bool *)to = value->boolean;
            break;
        case RF_TEXT:
        case RF_JSON:
            filled = fill_text(value, text, to);
            break;
        }
    }
    return filled;
}

void rf_digest_add_row(rf_digest *digest, rf_slice key, rf_slice stored)
{
    char size[4];

    rf_store_u32(size, (uint32_t)key.size);
    rf_hash128 hash = rf_hash128_of_parts((rf_slice[]){{size, sizeof size}, key, stored}, 3);
    rf_digest_add(digest, &(rf_digest){hash.low, hash.high, 1});
}

void rf_digest_add_joined(rf_digest *digest, char *at, size_t key_size, size_t size)
{
    char *start = at - RF_DIGEST_PAD;
    uint32_t kept = rf_load_u32(start);

    RF_ASSERT(key_size <= size);
    rf_store_u32(start, (uint32_t)key_size);
    rf_hash128 hash = rf_hash128_of((rf_slice){start, RF_DIGEST_PAD + size});
    rf_store_u32(start, kept);
    rf_digest_add(digest, &(rf_digest){hash.low, hash.high, 1});
}

void rf_digest_add(rf_digest *digest, const rf_digest *other)
{
    uint64_t low = digest->low + other->low;

    digest->high += other->high + (low < digest->low ? 1 : 0);
    digest->low = low;
    digest->rows += other->rows;
}

void rf_digest_remove(rf_digest *digest, const rf_digest *other)
{
    digest->high -= other->high + (digest->low < other->low ? 1 : 0);
    digest->low -= other->low;
    digest->rows -= other->rows;
}

void rf_digest_format(const rf_digest *digest, char text_out[33])
{
    char bytes[24];

    rf_store_u64(bytes, digest->low);
    rf_store_u64(bytes + 8, digest->high);
    rf_store_u64(bytes + 16, digest->rows);
    rf_hash128_format(rf_hash128_of((rf_slice){bytes, sizeof bytes}), text_out);
}

bool rf_value_is_null(const rf_value *value)
{
    if (value->is_null)
        return true;
    switch (value->kind) {
    case RF_TIME:
    case RF_DATE:
        return value->integer == RF_TIME_NONE;
    case RF_TEXT:
    case RF_JSON:
        return !value->text.data;
    case RF_FLOAT: /* neither JSON nor SQL's CSV has a word for them that all readers take */
        return !__builtin_isfinite(value->number);
    case RF_INT:
    case RF_DECIMAL:
    case RF_BOOL:
        break;
    }
    return false;
}
