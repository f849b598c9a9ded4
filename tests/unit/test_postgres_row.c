#include "sink/postgres_row.h"

#include <criterion/criterion.h>

static uint32_t load_u16(const char *at)
{
    return (uint32_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

static uint32_t load_u32(const char *at)
{
    return load_u16(at) << 16 | load_u16(at + 2);
}

/* The row of one value, without the count of its columns. */
static rf_slice encode(rf_buf *buf, rf_value value)
{
    uint32_t fault = 0;
    rf_buf_init(buf, 1 << 20);
    cr_assert_eq(rf_postgres_row_add(buf, &value, 1, &fault, NULL), RF_OK);
    cr_assert_eq(load_u16(buf->data), 1);
    cr_assert_eq(load_u32(buf->data + 2) + 6, buf->size, "the value's size is told");
    return (rf_slice){buf->data + 6, buf->size - 6};
}

/* What the server reads of a numeric: the sum of its digits, as a count of 10^-scale. */
static __int128 decode_numeric(rf_slice bytes, uint32_t *scale_out)
{
    uint32_t digits = load_u16(bytes.data);
    int weight = (int16_t)load_u16(bytes.data + 2);
    bool negative = load_u16(bytes.data + 4) == 0x4000;
    __int128 sum = 0;

    *scale_out = load_u16(bytes.data + 6);
    cr_assert_eq(bytes.size, 8 + 2 * digits);
    for (uint32_t i = 0; i < digits; i++) {
        __int128 digit = load_u16(bytes.data + 8 + 2 * i);
        cr_assert_lt(digit, 10000);
        cr_assert(digit != 0 || (i != 0 && i + 1 != digits), "no zeros at the ends");
        int power = 4 * (weight - (int)i) + (int)*scale_out;
        for (; power > 0; power--)
            digit *= 10;
        for (; power < 0; power++) {
            cr_assert_eq(digit % 10, 0, "no digits behind the scale");
            digit /= 10;
        }
        sum += digit;
    }
    return negative ? -sum : sum;
}

Test(postgres_row, a_decimal_is_the_servers_numeric_whatever_its_scale)
{
    static const int64_t values[] = {0, 1, -1, 9, 10, 99, 100, 9999, 10000, -10000, 10001, 14970,
                                     100000000, 123456789012345678, -123456789012345678,
                                     INT64_MAX, INT64_MIN, INT64_MIN + 1, 1000000000000000000};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        for (uint8_t scale = 0; scale <= 18; scale++) {
            rf_buf buf;
            uint32_t seen = 0;
            rf_slice bytes =
                encode(&buf, (rf_value){.kind = RF_DECIMAL, .scale = scale, .integer = values[i]});
            cr_assert(decode_numeric(bytes, &seen) == values[i], "%lld of scale %u",
                      (long long)values[i], scale);
            cr_assert_eq(seen, scale);
            rf_buf_free(&buf);
        }
}

Test(postgres_row, a_random_decimal_survives)
{
    uint64_t state = 42;

    for (int i = 0; i < 200000; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        rf_buf buf;
        uint32_t seen = 0;
        uint8_t scale = (uint8_t)(state >> 59) % 19;
        int64_t value = (int64_t)state >> (state & 63);
        rf_slice bytes =
            encode(&buf, (rf_value){.kind = RF_DECIMAL, .scale = scale, .integer = value});
        cr_assert(decode_numeric(bytes, &seen) == value, "%lld of scale %u", (long long)value,
                  scale);
        rf_buf_free(&buf);
    }
}

Test(postgres_row, times_and_dates_count_from_the_year_2000)
{
    rf_buf buf;
    rf_slice bytes = encode(&buf, (rf_value){.kind = RF_TIME, .integer = 946684800000001});
    cr_assert_eq(bytes.size, 8);
    cr_assert_eq(load_u32(bytes.data + 4), 1);
    rf_buf_free(&buf);
    bytes = encode(&buf, (rf_value){.kind = RF_DATE, .integer = 0});
    cr_assert_eq((int32_t)load_u32(bytes.data), -10957);
    rf_buf_free(&buf);
}

Test(postgres_row, what_is_unset_is_null)
{
    const rf_value unset[] = {
        {.kind = RF_INT, .is_null = true},
        {.kind = RF_TIME, .integer = RF_TIME_NONE},
        {.kind = RF_TEXT, .text = {NULL, 0}},
        {.kind = RF_FLOAT, .number = __builtin_nan("")},
    };
    uint32_t fault = 0;
    rf_buf buf;

    rf_buf_init(&buf, 1 << 10);
    cr_assert_eq(rf_postgres_row_add(&buf, unset, 4, &fault, NULL), RF_OK);
    cr_assert_eq(buf.size, 2 + 4 * 4);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(load_u32(buf.data + 2 + 4 * i), UINT32_MAX);
    rf_buf_free(&buf);
}

Test(postgres_row, a_long_text_leaves_room_for_what_follows)
{
    static char text[300000];
    rf_value values[20];
    uint32_t fault = 0;
    rf_buf buf;

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 20; i++)
        values[i] = (rf_value){.kind = i % 2 ? RF_JSON : RF_DECIMAL, .scale = 9,
                               .integer = INT64_MIN};
    for (size_t i = 1; i < 20; i += 2)
        values[i].text = (rf_slice){text, sizeof text};
    rf_buf_init(&buf, 8 << 20);
    cr_assert_eq(rf_postgres_row_add(&buf, values, 20, &fault, NULL), RF_OK);
    const char *at = buf.data + 2;
    for (size_t i = 0; i < 20; i++) {
        cr_assert_eq(load_u32(at), i % 2 ? sizeof text + 1 : 8u + 2 * load_u16(at + 4));
        at += 4 + load_u32(at);
    }
    cr_assert_eq(at, buf.data + buf.size);
    rf_buf_free(&buf);
}

Test(postgres_row, a_text_with_a_zero_byte_is_refused_and_told)
{
    const rf_value values[] = {{.kind = RF_INT}, {.kind = RF_TEXT, .text = {"a\0b", 3}}};
    uint32_t fault = 7;
    rf_buf buf;

    rf_buf_init(&buf, 1 << 10);
    cr_assert_eq(rf_postgres_row_add(&buf, values, 2, &fault, NULL), RF_ERR_INPUT);
    cr_assert_eq(fault, 1);
    rf_buf_free(&buf);
}
