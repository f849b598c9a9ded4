#include "catalog/row.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

typedef struct wide {
    int64_t count;
    int64_t total;
    double share;
    bool open;
    rf_slice name;
    int64_t at;
    int64_t day;
    rf_slice raw;
} wide;

static const rf_column wide_columns[] = {
    RF_COLUMN(wide, count, RF_INT),  RF_COLUMN_DECIMAL(wide, total, 2),
    RF_COLUMN(wide, share, RF_FLOAT), RF_COLUMN(wide, open, RF_BOOL),
    RF_COLUMN(wide, name, RF_TEXT),  RF_COLUMN(wide, at, RF_TIME),
    RF_COLUMN(wide, day, RF_DATE),   RF_COLUMN(wide, raw, RF_JSON),
};
static const rf_reader_column wide_read[] = {
    {"count", RF_INT, 0}, {"total", RF_DECIMAL, 2}, {"share", RF_FLOAT, 0}, {"open", RF_BOOL, 0},
    {"name", RF_TEXT, 0}, {"at", RF_TIME, 0},       {"day", RF_DATE, 0},    {"raw", RF_JSON, 0},
};
enum { WIDE = 8 };

typedef struct one {
    int64_t n;
} one;
static const rf_column one_column[] = {RF_COLUMN(one, n, RF_INT)};
static const rf_reader_column one_read[] = {{"n", RF_INT, 0}};
static const rf_reader_column text_read[] = {{"t", RF_TEXT, 0}};

static rf_buf encode_one(int64_t n)
{
    rf_buf out;
    rf_buf_init(&out, 1000);
    rf_row_encode(one_column, 1, &(one){n}, &out);
    cr_assert_not(out.failed);
    return out;
}

Test(row, writes_each_integer_in_its_smallest_form)
{
    static const struct {
        int64_t value;
        size_t size;
        unsigned char first;
    } cases[] = {
        {0, 1, 0x00},           {127, 1, 0x7f},          {128, 2, 0xcc},
        {255, 2, 0xcc},         {256, 3, 0xcd},          {65535, 3, 0xcd},
        {65536, 5, 0xce},       {UINT32_MAX, 5, 0xce},   {1ll << 32, 9, 0xcf},
        {INT64_MAX, 9, 0xcf},   {-1, 1, 0xff},           {-32, 1, 0xe0},
        {-33, 2, 0xd0},         {-128, 2, 0xd0},         {-129, 3, 0xd1},
        {-32768, 3, 0xd1},      {-32769, 5, 0xd2},       {INT32_MIN, 5, 0xd2},
        {-2147483649ll, 9, 0xd3}, {INT64_MIN, 9, 0xd3},
    };

    for (size_t i = 0; i < RF_COUNT_OF(cases); i++) {
        rf_buf out = encode_one(cases[i].value);
        rf_value value;
        rf_err err;
        cr_assert_eq(out.size, 1 + cases[i].size, "%lld", (long long)cases[i].value);
        cr_assert_eq((unsigned char)out.data[0], 0x91);
        cr_assert_eq((unsigned char)out.data[1], cases[i].first, "%lld", (long long)cases[i].value);
        cr_assert_eq(rf_row_decode(rf_buf_slice(&out), one_read, 1, &value, &err), RF_OK);
        cr_assert_eq(value.integer, cases[i].value);
        rf_buf_free(&out);
    }
}

Test(row, gives_back_every_kind_and_what_is_unset)
{
    wide row = {-5, 14970, 0.25, true, RF_SLICE("Zoë"), 1720612800000000, 19914, RF_SLICE("{}")};
    wide unset = {.at = RF_TIME_NONE, .day = RF_TIME_NONE};
    rf_value values[WIDE];
    rf_err err;
    rf_buf out;

    rf_buf_init(&out, 10000);
    rf_row_encode(wide_columns, WIDE, &row, &out);
    cr_assert_eq(rf_row_decode(rf_buf_slice(&out), wide_read, WIDE, values, &err), RF_OK);
    cr_assert_eq(values[0].integer, -5);
    cr_assert_eq(values[1].integer, 14970);
    cr_assert_eq(values[1].scale, 2);
    cr_assert_float_eq(values[2].number, 0.25, 0);
    cr_assert(values[3].boolean);
    cr_assert(rf_slice_equal(values[4].text, RF_SLICE("Zoë")));
    cr_assert_eq(values[5].integer, 1720612800000000);
    cr_assert_eq(values[6].integer, 19914);
    cr_assert(rf_slice_equal(values[7].text, RF_SLICE("{}")));

    rf_buf_clear(&out);
    rf_row_encode(wide_columns, WIDE, &unset, &out);
    cr_assert_eq(rf_row_decode(rf_buf_slice(&out), wide_read, WIDE, values, &err), RF_OK);
    for (int i = 0; i < WIDE; i++)
        cr_assert_eq(values[i].is_null, i >= 4, "column %d", i);
    rf_buf_free(&out);
}

Test(row, writes_texts_of_every_size_class)
{
    static const size_t sizes[] = {0, 31, 32, 255, 256, 65535, 65536, 1 << 20};
    typedef struct texts {
        rf_slice t;
    } texts;
    static const rf_column columns[] = {RF_COLUMN(texts, t, RF_TEXT)};
    char *bytes = calloc(1, 1 << 20);

    for (size_t i = 0; i < RF_COUNT_OF(sizes); i++) {
        rf_buf out;
        rf_value value;
        rf_err err;
        rf_buf_init(&out, RF_ROW_SIZE_MAX);
        rf_row_encode(columns, 1, &(texts){{bytes, sizes[i]}}, &out);
        cr_assert_eq(rf_row_decode(rf_buf_slice(&out), text_read, 1, &value, &err), RF_OK);
        cr_assert_not(value.is_null);
        cr_assert_eq(value.text.size, sizes[i]);
        rf_buf_free(&out);
    }
    free(bytes);
}

Test(row, writes_an_array_of_many_columns)
{
    enum { MANY = 1000 };
    static rf_column columns[MANY];
    static rf_reader_column read[MANY];
    static rf_value values[MANY];
    rf_err err;
    rf_buf out;
    one row = {7};

    for (int i = 0; i < MANY; i++) {
        columns[i] = one_column[0];
        read[i] = one_read[0];
    }
    for (uint32_t count = 0; count <= MANY; count += count < 20 ? 1 : 490) {
        rf_buf_init(&out, 20000);
        rf_row_encode(columns, count, &row, &out);
        cr_assert_eq((unsigned char)out.data[0], count < 16 ? 0x90 + count : 0xdc);
        cr_assert_eq(rf_row_decode(rf_buf_slice(&out), read, count, values, &err), RF_OK);
        rf_buf_free(&out);
    }
}

Test(row, has_one_encoding_of_not_a_number)
{
    typedef struct floats {
        double x;
    } floats;
    static const rf_column columns[] = {RF_COLUMN(floats, x, RF_FLOAT)};
    rf_buf a, b;

    rf_buf_init(&a, 100);
    rf_buf_init(&b, 100);
    rf_row_encode(columns, 1, &(floats){NAN}, &a);
    rf_row_encode(columns, 1, &(floats){-NAN}, &b);
    cr_assert(rf_slice_equal(rf_buf_slice(&a), rf_buf_slice(&b)));
    rf_buf_free(&a);
    rf_buf_free(&b);
}

Test(row, fits_a_buffer_that_has_just_room_and_fails_in_a_smaller_one)
{
    rf_buf out;

    rf_buf_init(&out, 2);
    rf_row_encode(one_column, 1, &(one){5}, &out);
    cr_assert_not(out.failed);
    cr_assert_eq(out.size, 2);
    rf_buf_clear(&out);
    rf_row_encode(one_column, 1, &(one){500}, &out);
    cr_assert(out.failed);
    rf_buf_free(&out);
}

Test(row, refuses_what_is_not_its_columns_in_smallest_form)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool text;
    } cases[] = {
        {"", 0, false},
        {"\x92\x01\x01", 3, false},     /* two columns */
        {"\x91", 1, false},             /* none left */
        {"\x91\x01\x01", 3, false},     /* one too many */
        {"\x91\xc0", 2, false},         /* nil is no int */
        {"\x91\xa1x", 3, false},        /* nor is text */
        {"\x91\xcc\x05", 3, false},     /* 5 in two bytes */
        {"\x91\xcd\x00\x05", 4, false},
        {"\x91\xce\x00\x00\x00\x05", 6, false},
        {"\x91\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 10, false},
        {"\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 10, false}, /* beyond 63 bits */
        {"\x91\xd0\xff", 3, false},     /* -1 in two bytes */
        {"\x91\xd1\xff\xff", 4, false},
        {"\x91\xd2\xff\xff\xff\xff", 6, false},
        {"\x91\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 10, false},
        {"\x91\xcd\x01", 3, false},     /* cut */
        {"\xdc\x00\x01\x05", 4, false}, /* one column in the long form */
        {"\x91\xa5xy", 4, true},        /* text that is cut */
        {"\x91\xd9\x01x", 4, true},     /* text in a form too long */
        {"\x91\xda\x00\x01x", 5, true},
        {"\x91\xdb\x00\x00\x00\x01x", 7, true},
        {"\x91\xdb\xff\xff\xff\xffx", 7, true},
        {"\x91\x01", 2, true},
    };

    for (size_t i = 0; i < RF_COUNT_OF(cases); i++) {
        rf_value value;
        rf_err err;
        rf_status status = rf_row_decode((rf_slice){cases[i].bytes, cases[i].size},
                                         cases[i].text ? text_read : one_read, 1, &value, &err);
        cr_assert_eq(status, RF_ERR_DAMAGED, "case %zu", i);
        cr_assert_eq(err.status, RF_ERR_DAMAGED);
    }
}

Test(row, digest_depends_on_neither_order_nor_split)
{
    enum { ROWS = 100 };
    rf_digest forward = {0}, backward = {0}, parts[3] = {{0}}, sum = {0};
    char keys[ROWS][16], first[33], second[33];

    for (int i = 0; i < ROWS; i++)
        (void)snprintf(keys[i], sizeof keys[i], "key-%d", i);
    for (int i = 0; i < ROWS; i++) {
        rf_buf a = encode_one(i), b = encode_one(ROWS - 1 - i);
        rf_digest_add_row(&forward, rf_slice_of(keys[i]), rf_buf_slice(&a));
        rf_digest_add_row(&backward, rf_slice_of(keys[ROWS - 1 - i]), rf_buf_slice(&b));
        rf_digest_add_row(&parts[i * i % 3], rf_slice_of(keys[i]), rf_buf_slice(&a));
        rf_buf_free(&a);
        rf_buf_free(&b);
    }
    for (int i = 0; i < 3; i++)
        rf_digest_add(&sum, &parts[i]);
    rf_digest_format(&forward, first);
    rf_digest_format(&backward, second);
    cr_assert_str_eq(first, second);
    rf_digest_format(&sum, second);
    cr_assert_str_eq(first, second);
    cr_assert_eq(sum.rows, ROWS);
}

Test(row, digest_tells_rows_apart)
{
    rf_digest a = {0}, b = {0}, none = {0};
    char first[33], second[33];

    rf_digest_add_row(&a, RF_SLICE("ab"), RF_SLICE("c"));
    rf_digest_add_row(&b, RF_SLICE("a"), RF_SLICE("bc"));
    rf_digest_format(&a, first);
    rf_digest_format(&b, second);
    cr_assert_str_neq(first, second);
    rf_digest_format(&none, second);
    cr_assert_str_neq(first, second);
}

Test(row, digest_of_a_large_row_is_that_of_its_bytes_together)
{
    enum { SIZE = 5000 };
    static char bytes[4 + 1 + SIZE];
    rf_digest digest = {0};

    for (size_t i = 0; i < SIZE; i++)
        bytes[5 + i] = (char)i;
    rf_store_u32(bytes, 1);
    bytes[4] = 'k';
    for (size_t size = 0; size <= SIZE; size += 250) {
        digest = (rf_digest){0};
        rf_digest_add_row(&digest, RF_SLICE("k"), (rf_slice){bytes + 5, size});
        rf_hash128 hash = rf_hash128_of((rf_slice){bytes, 5 + size});
        cr_assert_eq(digest.low, hash.low);
        cr_assert_eq(digest.high, hash.high);
    }
}

/* The plain twin of seeing while copying: each byte by itself. */
Test(row, tells_of_texts_that_are_not_ascii)
{
    typedef struct texts {
        rf_slice a, b;
    } texts;
    static const rf_column columns[] = {RF_COLUMN(texts, a, RF_TEXT), RF_COLUMN(texts, b, RF_TEXT)};
    char room[4096];
    char bytes[40];
    rf_buf out;

    for (size_t size = 0; size <= sizeof bytes; size++)
        for (size_t at = 0; at <= size; at++) {
            bool is_ascii = size < 32;
            bool seen = !is_ascii;
            memset(bytes, 'x', sizeof bytes);
            if (at < size)
                bytes[at] = (char)0xc3;
            for (size_t i = 0; i < size; i++)
                is_ascii = is_ascii && !(bytes[i] & 0x80);
            const texts row = {{"plain", 5}, {bytes, size}};
            const char *end = rf_row_encode_at(columns, 2, &row, room, room + sizeof room, &seen);
            cr_assert_not_null(end);
            cr_assert_eq(seen, is_ascii, "size %zu, byte %zu", size, at);
            rf_buf_init(&out, sizeof room);
            rf_row_encode(columns, 2, &row, &out);
            cr_assert(rf_slice_equal(rf_buf_slice(&out), (rf_slice){room, (size_t)(end - room)}));
            rf_buf_free(&out);
        }
}
