/* field_values.h: smallest and largest of numbers, times and dates, and examples of texts, whichever
 * way the values come. */
#include "log/field_values.h"

#include <criterion/criterion.h>

static void expect_range(const rf_field_values *values, rf_values_order order,
                         const char *smallest, const char *largest)
{
    char text[RF_VALUE_TEXT_SIZE];

    cr_assert_eq(rf_field_values_order(values), order);
    (void)rf_field_values_smallest(values, text);
    cr_assert_str_eq(text, smallest);
    (void)rf_field_values_largest(values, text);
    cr_assert_str_eq(text, largest);
}

Test(field_values, compare_integers_and_exact_numbers_of_any_scale)
{
    static const int64_t integers[] = {3, INT64_MAX, -2, INT64_MIN};
    static const int64_t cents[] = {-250, 1990};
    rf_field_values values = {0};

    rf_field_values_exact(&values, cents, 2, 2);
    expect_range(&values, RF_VALUES_NUMBERS, "-2.5", "19.9");
    rf_field_values_exact(&values, integers, 1, 0);
    expect_range(&values, RF_VALUES_NUMBERS, "-2.5", "19.9");
    rf_field_values_exact(&values, integers, 4, 0);
    expect_range(&values, RF_VALUES_NUMBERS, "-9223372036854775808", "9223372036854775807");
    rf_field_values_exact(&values, NULL, 0, 0);
    rf_field_values tiny = {0};
    rf_field_values_exact(&tiny, (const int64_t[]){1, 0}, 2, 18);
    expect_range(&tiny, RF_VALUES_NUMBERS, "0", "0.000000000000000001");
}

Test(field_values, compare_other_numbers_as_doubles)
{
    rf_field_values values = {0};

    rf_field_values_number(&values, RF_SLICE("1e3"));
    expect_range(&values, RF_VALUES_NUMBERS, "1000", "1000");
    rf_field_values_exact(&values, (const int64_t[]){5000, 7}, 2, 0);
    expect_range(&values, RF_VALUES_NUMBERS, "7", "5000");
    rf_field_values_number(&values, RF_SLICE("-1e300"));
    expect_range(&values, RF_VALUES_NUMBERS, "-1e+300", "5000");
    cr_assert_not(values.partial);
    rf_field_values_number(&values, RF_SLICE("1e999"));
    cr_assert(values.partial);
}

static void add_text(rf_field_values *values, const char *text, uint64_t position)
{
    rf_field_values_text(values, rf_slice_of(text), position);
}

Test(field_values, order_texts_that_are_all_times_or_all_dates)
{
    rf_field_values times = {0}, dates = {0}, both = {0};

    cr_assert_eq(rf_field_values_order(&times), RF_VALUES_UNORDERED);
    add_text(&times, "2024-07-10T12:00:00Z", 1);
    add_text(&times, "2024-07-10T12:30:00+02:00", 2);
    expect_range(&times, RF_VALUES_TIMES, "2024-07-10T10:30:00Z", "2024-07-10T12:00:00Z");
    add_text(&dates, "2024-07-10", 1);
    add_text(&dates, "1999-01-31", 2);
    expect_range(&dates, RF_VALUES_DATES, "1999-01-31", "2024-07-10");
    both = times;
    rf_field_values_add(&both, &dates);
    cr_assert_eq(rf_field_values_order(&both), RF_VALUES_UNORDERED);
    add_text(&times, "2024-13-10T12:00:00Z", 3);
    cr_assert_eq(rf_field_values_order(&times), RF_VALUES_UNORDERED);
}

Test(field_values, keep_the_distinct_texts_that_came_first_in_any_order)
{
    static const char *const texts[] = {"a", "b", "a", "c", "b", "d", "e"};
    static const uint64_t positions[] = {1, 2, 4};
    enum { COUNT = 7 };

    for (int shift = 0; shift < COUNT; shift++)
        for (int step = 1; step < COUNT; step++) {
            rf_field_values values = {0};
            rf_field_values other = {0};
            for (int i = 0; i < COUNT; i++) {
                int at = (shift + i * step) % COUNT;
                add_text(i % 2 ? &values : &other, texts[at], (uint64_t)at + 1);
            }
            rf_field_values_add(&values, &other);
            cr_assert_eq(values.example_count, 3);
            for (uint32_t i = 0; i < 3; i++) {
                cr_assert_eq(values.examples[i].size, 1);
                cr_assert_eq(values.examples[i].text[0], "abc"[i]);
                cr_assert_eq(values.examples[i].position, positions[i]);
            }
        }
}

Test(field_values, want_no_text_that_can_change_nothing)
{
    rf_field_values values = {0};

    cr_assert(rf_field_values_want_text(&values, 1));
    add_text(&values, "a", 10);
    add_text(&values, "b", 20);
    cr_assert(rf_field_values_want_text(&values, 30));
    add_text(&values, "c", 30);
    cr_assert_not(rf_field_values_want_text(&values, 30));
    cr_assert(rf_field_values_want_text(&values, 29));
    rf_field_values times = {0};
    for (int i = 0; i < 3; i++) {
        char text[] = "2024-07-10T12:00:00Z";
        text[18] = (char)('0' + i);
        add_text(&times, text, (uint64_t)i + 1);
    }
    cr_assert(rf_field_values_want_text(&times, 100));
}

Test(field_values, cut_examples_to_whole_characters)
{
    char text[RF_VALUES_EXAMPLE_SIZE + 10];
    rf_field_values values = {0};

    memset(text, 'x', sizeof text);
    memcpy(text + RF_VALUES_EXAMPLE_SIZE - 1, "\xc3\xa9", 2);
    rf_field_values_text(&values, (rf_slice){text, sizeof text}, 1);
    cr_assert(values.examples[0].cut);
    cr_assert_eq(values.examples[0].size, RF_VALUES_EXAMPLE_SIZE - 1);
    add_text(&values, "", 2);
    cr_assert_not(values.examples[1].cut);
    cr_assert_eq(values.examples[1].size, 0);
}
