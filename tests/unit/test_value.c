/* Exact scalars: tables of texts and values, both ways. */
#include "event/value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(value, integers_by_the_grammar_and_within_64_bits)
{
    static const struct {
        const char *text;
        rf_value_fault fault;
        int64_t value;
    } cases[] = {
        {"0", RF_VALUE_OK, 0},
        {"-0", RF_VALUE_OK, 0},
        {"-1", RF_VALUE_OK, -1},
        {"999999999999999999", RF_VALUE_OK, 999999999999999999},
        {"1000000000000000000", RF_VALUE_OK, 1000000000000000000},
        {"9223372036854775807", RF_VALUE_OK, INT64_MAX},
        {"-9223372036854775808", RF_VALUE_OK, INT64_MIN},
        {"9223372036854775808", RF_VALUE_RANGE, 0},
        {"-9223372036854775809", RF_VALUE_RANGE, 0},
        {"18446744073709551616", RF_VALUE_RANGE, 0},
        {"99999999999999999999999999999999999999999", RF_VALUE_RANGE, 0},
        {"", RF_VALUE_WRONG_KIND, 0},
        {"-", RF_VALUE_WRONG_KIND, 0},
        {"+1", RF_VALUE_WRONG_KIND, 0},
        {"01", RF_VALUE_WRONG_KIND, 0},
        {"1.0", RF_VALUE_WRONG_KIND, 0},
        {"1e3", RF_VALUE_WRONG_KIND, 0},
        {" 1", RF_VALUE_WRONG_KIND, 0},
        {"1 ", RF_VALUE_WRONG_KIND, 0},
        {"99999999999999999999x", RF_VALUE_WRONG_KIND, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 77;
        rf_value_fault fault = rf_parse_int(rf_slice_of(cases[i].text), &value);
        cr_assert_eq(fault, cases[i].fault, "%s: fault %d", cases[i].text, fault);
        cr_assert_eq(value, fault == RF_VALUE_OK ? cases[i].value : 77, "%s", cases[i].text);
    }
}

Test(value, decimals_digit_by_digit)
{
    static const struct {
        const char *text;
        unsigned scale;
        rf_value_fault fault;
        int64_t value;
    } cases[] = {
        {"0", 2, RF_VALUE_OK, 0},
        {"12", 2, RF_VALUE_OK, 1200},
        {"-12.5", 2, RF_VALUE_OK, -1250},
        {"0.05", 2, RF_VALUE_OK, 5},
        {"1.2300", 2, RF_VALUE_OK, 123},
        {"1.230000000000000000000000000000000000", 2, RF_VALUE_OK, 123},
        {"1.234", 2, RF_VALUE_DIGITS, 0},
        {"0.001", 2, RF_VALUE_DIGITS, 0},
        {"0.000", 2, RF_VALUE_OK, 0},
        {"1e2", 0, RF_VALUE_OK, 100},
        {"1E+2", 2, RF_VALUE_OK, 10000},
        {"120e-1", 0, RF_VALUE_OK, 12},
        {"1.5e1", 0, RF_VALUE_OK, 15},
        {"15e-1", 0, RF_VALUE_DIGITS, 0},
        {"0e999999999999999999999", 2, RF_VALUE_OK, 0},
        {"1e999999999999999999999", 2, RF_VALUE_RANGE, 0},
        {"1e-999999999999999999999", 2, RF_VALUE_DIGITS, 0},
        {"0e-999999999999999999999", 2, RF_VALUE_OK, 0},
        {"92233720368547758.07", 2, RF_VALUE_OK, INT64_MAX},
        {"-92233720368547758.08", 2, RF_VALUE_OK, INT64_MIN},
        {"92233720368547758.08", 2, RF_VALUE_RANGE, 0},
        {"9.223372036854775807", 18, RF_VALUE_OK, INT64_MAX},
        {"10", 18, RF_VALUE_RANGE, 0},
        {"", 2, RF_VALUE_WRONG_KIND, 0},
        {".5", 2, RF_VALUE_WRONG_KIND, 0},
        {"5.", 2, RF_VALUE_WRONG_KIND, 0},
        {"05", 2, RF_VALUE_WRONG_KIND, 0},
        {"1,5", 2, RF_VALUE_WRONG_KIND, 0},
        {"1e", 2, RF_VALUE_WRONG_KIND, 0},
        {"abc", 2, RF_VALUE_WRONG_KIND, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 77;
        rf_value_fault fault =
            rf_parse_decimal(rf_slice_of(cases[i].text), cases[i].scale, RF_ROUND_NONE, &value);
        cr_assert_eq(fault, cases[i].fault, "%s: fault %d", cases[i].text, fault);
        cr_assert_eq(value, fault == RF_VALUE_OK ? cases[i].value : 77, "%s: %lld", cases[i].text,
                     (long long)value);
    }
}

Test(value, huge_digit_strings_do_not_overflow)
{
    enum { SIZE = 100000 };
    char *text = malloc(SIZE);
    int64_t value;
    double real;

    cr_assert(text);
    memset(text, '9', SIZE);
    cr_assert_eq(rf_parse_decimal((rf_slice){text, SIZE}, 2, RF_ROUND_NONE, &value),
                 RF_VALUE_RANGE);
    cr_assert_eq(rf_parse_float((rf_slice){text, SIZE}, &real), RF_VALUE_RANGE);
    memset(text, '0', SIZE);
    memcpy(text, "2.", 2);
    cr_assert_eq(rf_parse_decimal((rf_slice){text, SIZE}, 2, RF_ROUND_NONE, &value), RF_VALUE_OK);
    cr_assert_eq(value, 200);
    cr_assert_eq(rf_parse_float((rf_slice){text, SIZE}, &real), RF_VALUE_OK);
    cr_assert(real == 2.0);
    text[SIZE - 1] = '1';
    cr_assert_eq(rf_parse_decimal((rf_slice){text, SIZE}, 2, RF_ROUND_NONE, &value),
                 RF_VALUE_DIGITS);
    cr_assert_eq(rf_parse_decimal((rf_slice){text, SIZE}, 0, RF_ROUND_UP, &value), RF_VALUE_OK);
    cr_assert_eq(value, 3);
    free(text);
}

Test(value, rounds_by_each_mode)
{
    static const struct {
        const char *text;
        int64_t half_even, half_up, down, up;
    } cases[] = {
        {"0.5", 0, 1, 0, 1},     {"1.5", 2, 2, 1, 2},      {"2.5", 2, 3, 2, 3},
        {"-0.5", 0, -1, 0, -1},  {"-1.5", -2, -2, -1, -2}, {"2.4", 2, 2, 2, 3},
        {"2.6", 3, 3, 2, 3},     {"2.50001", 3, 3, 2, 3},  {"-2.49999", -2, -2, -2, -3},
        {"0.05", 0, 0, 0, 1},    {"5e-1", 0, 1, 0, 1},     {"5e-9", 0, 0, 0, 1},
        {"9.99", 10, 10, 9, 10}, {"2.0", 2, 2, 2, 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t due[] = {cases[i].half_even, cases[i].half_up, cases[i].down, cases[i].up};
        static const rf_rounding modes[] = {RF_ROUND_HALF_EVEN, RF_ROUND_HALF_UP, RF_ROUND_DOWN,
                                            RF_ROUND_UP};
        for (int mode = 0; mode < 4; mode++) {
            int64_t value = 77;
            cr_assert_eq(rf_parse_decimal(rf_slice_of(cases[i].text), 0, modes[mode], &value),
                         RF_VALUE_OK);
            cr_assert_eq(value, due[mode], "%s mode %d gave %lld", cases[i].text, mode,
                         (long long)value);
        }
    }
}

Test(value, rescales_exactly_or_by_the_mode)
{
    int64_t value = 77;

    cr_assert_eq(rf_rescale(150, 2, 4, RF_ROUND_NONE, &value), RF_VALUE_OK);
    cr_assert_eq(value, 15000);
    cr_assert_eq(rf_rescale(-15000, 4, 2, RF_ROUND_NONE, &value), RF_VALUE_OK);
    cr_assert_eq(value, -150);
    cr_assert_eq(rf_rescale(INT64_MIN, 0, 0, RF_ROUND_NONE, &value), RF_VALUE_OK);
    cr_assert_eq(value, INT64_MIN);
    cr_assert_eq(rf_rescale(INT64_MIN, 18, 0, RF_ROUND_HALF_EVEN, &value), RF_VALUE_OK);
    cr_assert_eq(value, -9);
    value = 77;
    cr_assert_eq(rf_rescale(1, 2, 0, RF_ROUND_NONE, &value), RF_VALUE_DIGITS);
    cr_assert_eq(rf_rescale(INT64_MAX, 0, 1, RF_ROUND_NONE, &value), RF_VALUE_RANGE);
    cr_assert_eq(value, 77);
    cr_assert_eq(rf_rescale(50, 2, 0, RF_ROUND_HALF_EVEN, &value), RF_VALUE_OK);
    cr_assert_eq(value, 0);
    cr_assert_eq(rf_rescale(-50, 2, 0, RF_ROUND_HALF_UP, &value), RF_VALUE_OK);
    cr_assert_eq(value, -1);
    cr_assert_eq(rf_rescale(199, 2, 0, RF_ROUND_DOWN, &value), RF_VALUE_OK);
    cr_assert_eq(value, 1);
    cr_assert_eq(rf_rescale(101, 2, 0, RF_ROUND_UP, &value), RF_VALUE_OK);
    cr_assert_eq(value, 2);
}

Test(value, exact_numbers_keep_their_written_scale)
{
    static const struct {
        const char *text;
        bool exact;
        int64_t mantissa;
        unsigned scale;
    } cases[] = {
        {"19.90", true, 1990, 2},
        {"-0.05", true, -5, 2},
        {"7", true, 7, 0},
        {"0.0", true, 0, 1},
        {"999999999999999999", true, 999999999999999999, 0},
        {"0.000000000000000001", true, 1, 18},
        {"1000000000000000000", false, 0, 0},
        {"0.0000000000000000001", false, 0, 0},
        {"-0", false, 0, 0},
        {"-0.0", false, 0, 0},
        {"1e2", false, 0, 0},
        {"1.", false, 0, 0},
        {".1", false, 0, 0},
        {"1.2.3", false, 0, 0},
        {"01", false, 0, 0},
        {"-", false, 0, 0},
        {"", false, 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t mantissa = 0;
        unsigned scale = 0;
        cr_assert_eq(rf_parse_exact(rf_slice_of(cases[i].text), &mantissa, &scale), cases[i].exact,
                     "%s", cases[i].text);
        cr_assert_eq(mantissa, cases[i].mantissa, "%s", cases[i].text);
        cr_assert_eq(scale, cases[i].scale, "%s", cases[i].text);
    }
}

Test(value, floats_are_correctly_rounded_and_read_back)
{
    static const char *const texts[] = {"0.1",
                                        "1e+22",
                                        "123456789",
                                        "-0",
                                        "5e-324",
                                        "0.3",
                                        "1.7976931348623157e+308",
                                        "2.2250738585072014e-308",
                                        "9007199254740993",
                                        "0.30000000000000004",
                                        "1e-07"};
    char text[RF_VALUE_TEXT_SIZE];
    double value;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double again;
        cr_assert_eq(rf_parse_float(rf_slice_of(texts[i]), &value), RF_VALUE_OK);
        cr_assert(value == strtod(texts[i], NULL), "%s", texts[i]);
        size_t size = rf_format_float(value, text);
        cr_assert_eq(strlen(text), size);
        cr_assert_eq(rf_parse_float((rf_slice){text, size}, &again), RF_VALUE_OK);
        cr_assert(memcmp(&again, &value, sizeof value) == 0, "%s gave %s", texts[i], text);
        if (i != 8)
            cr_assert_str_eq(text, texts[i]);
    }
    cr_assert_eq(rf_parse_float(RF_SLICE("1e400"), &value), RF_VALUE_RANGE);
    cr_assert_eq(rf_parse_float(RF_SLICE("-1e400"), &value), RF_VALUE_RANGE);
    cr_assert_eq(rf_parse_float(RF_SLICE("1e-400"), &value), RF_VALUE_OK);
    cr_assert(value == 0);
    cr_assert_eq(rf_parse_float(RF_SLICE("inf"), &value), RF_VALUE_WRONG_KIND);
    cr_assert_eq(rf_parse_float(RF_SLICE("0x1p3"), &value), RF_VALUE_WRONG_KIND);
    cr_assert_eq(rf_parse_float(RF_SLICE("1,5"), &value), RF_VALUE_WRONG_KIND);
    cr_assert_eq(rf_format_float(1.0 / 0.0, text), 4);
    cr_assert_str_eq(text, "null");
}

Test(value, random_doubles_survive_their_text)
{
    uint64_t state = 88172645463325252u;

    for (int i = 0; i < 200000; i++) {
        double value;
        double again;
        char text[RF_VALUE_TEXT_SIZE];
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(&value, &state, sizeof value);
        if (!(value - value == 0))
            continue;
        size_t size = rf_format_float(value, text);
        cr_assert_eq(rf_parse_float((rf_slice){text, size}, &again), RF_VALUE_OK, "%s", text);
        cr_assert(again == value, "%s", text);
    }
}

static void expect_time(const char *text, int64_t due)
{
    int64_t us = 77;
    rf_value_fault fault = rf_parse_time(rf_slice_of(text), false, 0, &us);

    cr_assert_eq(fault, RF_VALUE_OK, "%s: fault %d", text, fault);
    cr_assert_eq(us, due, "%s gave %lld", text, (long long)us);
}

static void expect_time_fault(const char *text, rf_value_fault due)
{
    int64_t us = 77;
    rf_value_fault fault = rf_parse_time(rf_slice_of(text), false, 0, &us);

    cr_assert_eq(fault, due, "%s: fault %d", text, fault);
    cr_assert_eq(us, 77);
}

Test(value, times_of_rfc_3339)
{
    expect_time("1970-01-01T00:00:00Z", 0);
    expect_time("2024-07-10T12:00:00Z", 1720612800000000);
    expect_time("2024-07-10t14:00:00.5+02:00", 1720612800500000);
    expect_time("2024-07-10 06:30:00-0530", 1720612800000000);
    expect_time("2024-07-10 12:00:00+00", 1720612800000000);
    expect_time("2024-07-10T12:00:00.123456999z", 1720612800123456);
    expect_time("1969-12-31T23:59:59.999999Z", -1);
    expect_time("1969-12-31T23:59:59.9999999Z", -1);
    expect_time("2000-02-29T00:00:00Z", 951782400000000);
    expect_time("2016-12-31T23:59:60Z", 1483228800000000);
    expect_time("0001-01-01T00:00:00Z", -62135596800000000);
    expect_time("9999-12-31T23:59:59.999999Z", 253402300799999999);
    expect_time_fault("0000-12-31T00:00:00Z", RF_VALUE_RANGE);
    expect_time_fault("0001-01-01T00:00:00+01:00", RF_VALUE_RANGE);
    expect_time_fault("9999-12-31T23:59:59-01:00", RF_VALUE_RANGE);
    expect_time_fault("2024-07-10T12:00:00", RF_VALUE_NO_ZONE);
    expect_time_fault("2024-07-10T12:00:00.25", RF_VALUE_NO_ZONE);
    static const char *const wrong[] = {
        "",
        "2024",
        "2024-07-10",
        "2024-07-10T",
        "2024-07-10T12:00Z",
        "2024-7-10T12:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00+2:00",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+02:60",
        "2024-01-01T00:00:00+02:0",
        "2024-01-01T00:00:00 Z",
        "2024-01-01X00:00:00Z",
        "x024-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_time_fault(wrong[i], RF_VALUE_WRONG_KIND);
}

Test(value, times_without_offset_take_the_given_one)
{
    int64_t us;

    cr_assert_eq(rf_parse_time(RF_SLICE("2024-07-10T14:00:00"), true, 7200, &us), RF_VALUE_OK);
    cr_assert_eq(us, 1720612800000000);
    cr_assert_eq(rf_parse_time(RF_SLICE("2024-07-10T12:00:00Z"), true, 7200, &us), RF_VALUE_OK);
    cr_assert_eq(us, 1720612800000000);
}

Test(value, every_day_of_four_centuries_reads_back)
{
    char text[RF_VALUE_TEXT_SIZE];
    int64_t days;
    int64_t first;

    cr_assert_eq(rf_parse_date(RF_SLICE("1899-12-31"), &first), RF_VALUE_OK);
    for (int64_t i = first; i < first + 146097 + 400; i++) {
        size_t size = rf_format_date(i, text);
        cr_assert_eq(rf_parse_date((rf_slice){text, size}, &days), RF_VALUE_OK, "%s", text);
        cr_assert_eq(days, i, "%s", text);
    }
    cr_assert_eq(rf_parse_date(RF_SLICE("0000-01-01"), &days), RF_VALUE_RANGE);
    cr_assert_eq(rf_parse_date(RF_SLICE("2024-02-30"), &days), RF_VALUE_WRONG_KIND);
    cr_assert_eq(rf_parse_date(RF_SLICE("2024-02-3"), &days), RF_VALUE_WRONG_KIND);
}

Test(value, formats_times_and_decimals)
{
    char text[RF_VALUE_TEXT_SIZE];
    static const struct {
        int64_t value;
        unsigned scale;
        const char *text;
    } decimals[] = {
        {14970, 2, "149.70"},
        {-5, 2, "-0.05"},
        {12, 0, "12"},
        {0, 0, "0"},
        {0, 3, "0.000"},
        {INT64_MAX, 18, "9.223372036854775807"},
        {INT64_MIN, 18, "-9.223372036854775808"},
        {INT64_MIN, 0, "-9223372036854775808"},
        {1, 18, "0.000000000000000001"},
    };

    for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
        size_t size = rf_format_decimal(decimals[i].value, decimals[i].scale, text);
        cr_assert_str_eq(text, decimals[i].text);
        cr_assert_eq(size, strlen(text));
    }
    cr_assert_eq(rf_format_time(1720612800000000, text), 27);
    cr_assert_str_eq(text, "2024-07-10T12:00:00.000000Z");
    rf_format_time(-1, text);
    cr_assert_str_eq(text, "1969-12-31T23:59:59.999999Z");
    rf_format_time_short(1720612800000000, text);
    cr_assert_str_eq(text, "2024-07-10T12:00:00Z");
    rf_format_time_short(1720612800000001, text);
    cr_assert_str_eq(text, "2024-07-10T12:00:00.000001Z");
    rf_format_date(0, text);
    cr_assert_str_eq(text, "1970-01-01");
    /* Any 64 bits have some text that fits. */
    cr_assert_lt(rf_format_time(INT64_MIN, text), RF_VALUE_TEXT_SIZE);
    cr_assert_lt(rf_format_time(INT64_MAX, text), RF_VALUE_TEXT_SIZE);
    cr_assert_lt(rf_format_date(INT64_MIN, text), RF_VALUE_TEXT_SIZE);
    cr_assert_lt(rf_format_date(INT64_MAX, text), RF_VALUE_TEXT_SIZE);
}

Test(value, appends_json_strings_with_what_must_be_escaped)
{
    rf_buf out;

    rf_buf_init(&out, 1000);
    rf_append_json_string(&out, RF_SLICE("a\"b\\c/\n\r\t\b\f\x01\x1f\x7f\0\xc3\xa9"));
    cr_assert(rf_slice_equal(rf_buf_slice(&out),
                             RF_SLICE("\"a\\\"b\\\\c/\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\\u0000"
                                      "\xc3\xa9\"")),
              "%.*s", (int)out.size, out.data);
    rf_buf_clear(&out);
    rf_append_json_string(&out, RF_SLICE(""));
    cr_assert(rf_slice_equal(rf_buf_slice(&out), RF_SLICE("\"\"")));
    rf_buf_free(&out);
}

Test(value, escapes_any_byte_that_needs_it_wherever_it_stands)
{
    rf_buf out;

    rf_buf_init(&out, 1 << 16);
    for (size_t size = 1; size <= 40; size++) {
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                char text[40];
                memset(text, byte & 1 ? '!' : 0x7f, sizeof text);
                text[at] = (char)byte;
                bool needs = byte < 0x20 || byte == '"' || byte == '\\';
                rf_buf_clear(&out);
                rf_append_json_string(&out, (rf_slice){text, size});
                cr_assert_eq(out.size > size + 2, needs, "byte %u at %zu of %zu", byte, at, size);
                cr_assert_eq(out.data[0], '"');
                cr_assert_eq(out.data[out.size - 1], '"');
                cr_assert_eq(memcmp(out.data + 1, text, at), 0);
                cr_assert_eq(out.data[1 + at], needs ? '\\' : (char)byte);
                cr_assert_eq(memcmp(out.data + out.size - 1 - (size - at - 1), text + at + 1, size - at - 1), 0);
            }
        }
    }
    rf_buf_free(&out);
}
