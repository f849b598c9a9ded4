/* Helpers of handlers for whole doubles: every mode on every side, and what they refuse. */
#include "event/number.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const rf_rounding modes[] = {RF_ROUND_HALF_EVEN, RF_ROUND_HALF_UP, RF_ROUND_DOWN,
                                    RF_ROUND_UP};

static void expect_number(double is, rf_value_fault *fault, double due, const char *what)
{
    cr_assert_eq(*fault, RF_VALUE_OK, "%s: fault %d", what, *fault);
    cr_assert(is == due, "%s: %.17g, due %.17g", what, is, due);
    cr_assert(!signbit(is) || is < 0, "%s: -0", what);
}

static void expect_fault(double is, rf_value_fault *fault, rf_value_fault due, const char *what)
{
    cr_assert(is != is, "%s: %.17g", what, is);
    cr_assert_eq(*fault, due, "%s: fault %d, due %d", what, *fault, due);
    *fault = RF_VALUE_OK;
}

/* Results by half_even, half_up, down, up. */
Test(number, round_by_every_mode)
{
    static const struct {
        double x;
        double due[4];
    } cases[] = {
        {0, {0, 0, 0, 0}},
        {-0.0, {0, 0, 0, 0}},
        {7, {7, 7, 7, 7}},
        {0.5, {0, 1, 0, 1}},
        {1.5, {2, 2, 1, 2}},
        {2.5, {2, 3, 2, 3}},
        {-0.5, {0, -1, 0, -1}},
        {-1.5, {-2, -2, -1, -2}},
        {-2.5, {-2, -3, -2, -3}},
        {0.49999999999999994, {0, 0, 0, 1}},
        {-0.1, {0, 0, 0, -1}},
        {2378.81, {2379, 2379, 2378, 2379}},
        {4503599627370495.5, {4503599627370496, 4503599627370496, 4503599627370495,
                              4503599627370496}},
        {9007199254740991, {9007199254740991, 9007199254740991, 9007199254740991,
                            9007199254740991}},
        {5e-324, {0, 0, 0, 1}},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
            rf_value_fault fault = RF_VALUE_OK;
            double is = rf_number_round(cases[i].x, modes[mode], &fault);
            char what[64];
            snprintf(what, sizeof what, "round %.17g mode %zu", cases[i].x, mode);
            expect_number(is, &fault, cases[i].due[mode], what);
        }
    }
}

Test(number, round_refuses_what_has_no_whole_neighbour)
{
    static const struct {
        double x;
        rf_value_fault due;
    } cases[] = {
        {9007199254740992.0, RF_VALUE_RANGE}, {-9007199254740992.0, RF_VALUE_RANGE},
        {1e300, RF_VALUE_RANGE},              {(double)INFINITY, RF_VALUE_RANGE},
        {(double)NAN, RF_VALUE_NOT_WHOLE},
    };
    rf_value_fault fault = RF_VALUE_OK;

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_fault(rf_number_round(cases[i].x, RF_ROUND_UP, &fault), &fault, cases[i].due, "round");
    expect_fault(rf_number_round(0.25, RF_ROUND_NONE, &fault), &fault, RF_VALUE_DIGITS, "none");
}

Test(number, muldiv_is_exact_in_between)
{
    static const struct {
        double a, b, c;
        double due[4];
    } cases[] = {
        {1999, 119, 100, {2379, 2379, 2378, 2379}},
        {5, 1, 2, {2, 3, 2, 3}},
        {-5, 1, 2, {-2, -3, -2, -3}},
        {5, -1, -2, {2, 3, 2, 3}},
        {7, 1, -2, {-4, -4, -3, -4}},
        {0, 5, 3, {0, 0, 0, 0}},
        {9007199254740991, 9007199254740991, 9007199254740991,
         {9007199254740991, 9007199254740991, 9007199254740991, 9007199254740991}},
        {9007199254740990, 9007199254740989, 9007199254740991,
         {9007199254740988, 9007199254740988, 9007199254740988, 9007199254740989}},
        {1, 1, 9007199254740991, {0, 0, 0, 1}},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
            rf_value_fault fault = RF_VALUE_OK;
            double is =
                rf_number_muldiv(cases[i].a, cases[i].b, cases[i].c, modes[mode], &fault);
            char what[64];
            snprintf(what, sizeof what, "muldiv case %zu mode %zu", i, mode);
            expect_number(is, &fault, cases[i].due[mode], what);
        }
    }
}

Test(number, muldiv_refuses_by_name_of_the_fault)
{
    rf_value_fault fault = RF_VALUE_OK;

    expect_fault(rf_number_muldiv(1, 2, 0, RF_ROUND_UP, &fault), &fault, RF_VALUE_BY_ZERO, "zero");
    expect_fault(rf_number_muldiv(0.5, 2, 1, RF_ROUND_UP, &fault), &fault, RF_VALUE_NOT_WHOLE, "a");
    expect_fault(rf_number_muldiv(1, (double)NAN, 1, RF_ROUND_UP, &fault), &fault,
                 RF_VALUE_NOT_WHOLE, "b");
    expect_fault(rf_number_muldiv(1, 1, 1e16, RF_ROUND_UP, &fault), &fault, RF_VALUE_RANGE, "c");
    expect_fault(rf_number_muldiv(9007199254740991, 2, 1, RF_ROUND_UP, &fault), &fault,
                 RF_VALUE_RANGE, "beyond 2^53");
    expect_fault(rf_number_muldiv(9007199254740991, 9007199254740991, 1, RF_ROUND_UP, &fault),
                 &fault, RF_VALUE_RANGE, "beyond 64 bits");
    expect_fault(rf_number_muldiv(1, 1, 3, RF_ROUND_NONE, &fault), &fault, RF_VALUE_DIGITS, "third");
    cr_assert_str_eq(rf_number_fault_text(RF_VALUE_BY_ZERO), "is divided by zero");
    cr_assert_str_eq(rf_number_fault_text(RF_VALUE_RANGE),
                     "is not below 2^53 (9007199254740992)");
    cr_assert_str_eq(rf_number_fault_text(RF_VALUE_NOT_WHOLE),
                     "is not whole; round(x) makes it so");
}

Test(number, muldiv_of_all_64_bits)
{
    int64_t value = 77;

    cr_assert_eq(rf_muldiv(INT64_MIN, INT64_MIN, INT64_MIN, RF_ROUND_NONE, &value), RF_VALUE_OK);
    cr_assert_eq(value, INT64_MIN);
    cr_assert_eq(rf_muldiv(INT64_MAX, INT64_MAX, INT64_MIN, RF_ROUND_DOWN, &value), RF_VALUE_OK);
    cr_assert_eq(value, -INT64_MAX + 1);
    cr_assert_eq(rf_muldiv(INT64_MAX, INT64_MAX, INT64_MIN, RF_ROUND_UP, &value), RF_VALUE_OK);
    cr_assert_eq(value, -INT64_MAX);
    value = 77;
    cr_assert_eq(rf_muldiv(INT64_MIN, 1, -1, RF_ROUND_NONE, &value), RF_VALUE_RANGE);
    cr_assert_eq(rf_muldiv(INT64_MIN, INT64_MIN, 1, RF_ROUND_NONE, &value), RF_VALUE_RANGE);
    cr_assert_eq(value, 77);
}

Test(number, rescale_goes_both_ways)
{
    rf_value_fault fault = RF_VALUE_OK;

    expect_number(rf_number_rescale(1999, 2, 4, RF_ROUND_NONE, &fault), &fault, 199900, "up");
    expect_number(rf_number_rescale(-25, 1, 0, RF_ROUND_HALF_EVEN, &fault), &fault, -2, "even");
    expect_number(rf_number_rescale(-25, 1, 0, RF_ROUND_HALF_UP, &fault), &fault, -3, "half up");
    expect_number(rf_number_rescale(1, 18, 0, RF_ROUND_UP, &fault), &fault, 1, "far down");
    expect_fault(rf_number_rescale(1, 0, 16, RF_ROUND_UP, &fault), &fault, RF_VALUE_RANGE, "2^53");
    expect_fault(rf_number_rescale(1, 0, 19, RF_ROUND_UP, &fault), &fault, RF_VALUE_WRONG_KIND,
                 "scale");
    expect_fault(rf_number_rescale(1, -1, 2, RF_ROUND_UP, &fault), &fault, RF_VALUE_WRONG_KIND,
                 "scale");
    expect_fault(rf_number_rescale(1, 1.5, 2, RF_ROUND_UP, &fault), &fault, RF_VALUE_WRONG_KIND,
                 "scale");
    expect_fault(rf_number_rescale(5, 1, 0, RF_ROUND_NONE, &fault), &fault, RF_VALUE_DIGITS, "none");
    expect_fault(rf_number_rescale(0.5, 1, 0, RF_ROUND_UP, &fault), &fault, RF_VALUE_NOT_WHOLE, "x");
}

Test(number, money_counts_the_smallest_unit)
{
    rf_value_fault fault = RF_VALUE_OK;

    expect_number(rf_number_money(RF_SLICE("19.99"), 2, &fault), &fault, 1999, "19.99");
    expect_number(rf_number_money(RF_SLICE("20"), 2, &fault), &fault, 2000, "20");
    expect_number(rf_number_money(RF_SLICE("-0.05"), 2, &fault), &fault, -5, "-0.05");
    expect_number(rf_number_money(RF_SLICE("1.500"), 2, &fault), &fault, 150, "1.500");
    expect_number(rf_number_money(RF_SLICE("1000"), 0, &fault), &fault, 1000, "yen");
    expect_fault(rf_number_money(RF_SLICE("1.005"), 2, &fault), &fault, RF_VALUE_DIGITS, "1.005");
    expect_fault(rf_number_money(RF_SLICE("1,50"), 2, &fault), &fault, RF_VALUE_WRONG_KIND, "1,50");
    expect_fault(rf_number_money(RF_SLICE("EUR 1"), 2, &fault), &fault, RF_VALUE_WRONG_KIND, "EUR");
    expect_fault(rf_number_money(RF_SLICE(""), 2, &fault), &fault, RF_VALUE_WRONG_KIND, "nothing");
    expect_fault(rf_number_money(RF_SLICE("90071992547409.92"), 2, &fault), &fault, RF_VALUE_RANGE,
                 "2^53");
}

Test(number, names_of_rounding_modes)
{
    rf_rounding rounding = RF_ROUND_NONE;

    cr_assert(rf_rounding_of(RF_SLICE("half_even"), &rounding) && rounding == RF_ROUND_HALF_EVEN);
    cr_assert(rf_rounding_of(RF_SLICE("half_up"), &rounding) && rounding == RF_ROUND_HALF_UP);
    cr_assert(rf_rounding_of(RF_SLICE("down"), &rounding) && rounding == RF_ROUND_DOWN);
    cr_assert(rf_rounding_of(RF_SLICE("up"), &rounding) && rounding == RF_ROUND_UP);
    cr_assert(!rf_rounding_of(RF_SLICE("none"), &rounding) && rounding == RF_ROUND_UP);
    cr_assert(!rf_rounding_of(RF_SLICE(""), &rounding));
}
