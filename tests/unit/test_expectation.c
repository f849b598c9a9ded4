/* projection/expectation.h: what is made of texts, and what holds for rows. */
#include "projection/expectation.h"

#include <criterion/criterion.h>

static const rf_reader_column columns[] = {
    {"total", RF_DECIMAL, 2}, {"items", RF_INT, 0},   {"rate", RF_FLOAT, 0},
    {"paid", RF_BOOL, 0},     {"status", RF_TEXT, 0}, {"placed_at", RF_TIME, 0},
    {"shipped_at", RF_TIME, 0}, {"due", RF_DATE, 0},  {"lines", RF_JSON, 0},
};
enum { COLUMNS = 9 };

/* total -12.50, items 3, rate 0.5, paid, status "placed", placed 2024-07-10T12:00, not shipped, due
 * 2024-07-11, no lines */
static const rf_value row[COLUMNS] = {
    {.kind = RF_DECIMAL, .scale = 2, .integer = -1250},
    {.kind = RF_INT, .integer = 3},
    {.kind = RF_FLOAT, .number = 0.5},
    {.kind = RF_BOOL, .boolean = true},
    {.kind = RF_TEXT, .text = {"placed", 6}},
    {.kind = RF_TIME, .integer = 1720612800000000},
    {.kind = RF_TIME, .is_null = true, .integer = RF_TIME_NONE},
    {.kind = RF_DATE, .integer = 19915},
    {.kind = RF_JSON, .is_null = true},
};

static bool holds(const char *text)
{
    rf_expectation *expectation = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_expectation_new(rf_slice_of(text), columns, COLUMNS, &expectation, &err), RF_OK,
                 "%s: %s", text, err.message);
    bool found = rf_expectation_holds(expectation, row);
    rf_expectation_free(expectation);
    return found;
}

Test(expectation, holds_as_the_values_say)
{
    static const char *const true_ones[] = {
        "total == -12.5", "total == -12.500", "total < 0", "total <= -12.50", "items * 2 == 6",
        "items / 2 == 1.5", "items % 2 == 1", "-items % 2 == 1", "-7 % 3 == 2", "7 % -3 == -2",
        "total + 12.5 == 0", "total * items == -37.5", "total * total == 156.25", "rate == 0.5",
        "rate * 2 == 1", "rate < items", "1e2 == 100", "-total > 12", "- - items == 3",
        "paid", "not not paid", "paid == true", "paid ~= false", "status == 'placed'",
        "status == \"placed\"", "status < 'q'", "status ~= nil", "placed_at < '2024-07-10T12:00:01Z'",
        "placed_at == '2024-07-10T14:00:00+02:00'", "'2024-07-10T12:00:00Z' <= placed_at",
        "due == '2024-07-11'", "due > '2024-07-10'", "shipped_at == nil", "nil == shipped_at",
        "shipped_at == nil or shipped_at >= placed_at", "lines == nil", "nil == nil",
        "not (shipped_at > placed_at)", "not (shipped_at < placed_at)", "shipped_at ~= placed_at",
        "total >= 0 or items == 3 and paid", "(total >= 0 or items == 3) and paid",
        "1 + 2 * 3 == 7", "(1 + 2) * 3 == 9", "10 - 3 - 2 == 5",
        "0.1 + 0.2 == 0.3", "not paid == false or paid",
        "99999999999999999 * 1000 == 99999999999999999000", "items==3 and(paid)",
    };
    static const char *const false_ones[] = {
        "total >= 0", "total ~= -12.5", "items > 3", "not paid", "paid == false",
        "status == 'Placed'", "status == nil", "shipped_at > placed_at", "shipped_at <= placed_at",
        "shipped_at ~= nil", "lines ~= nil", "paid and total > 0", "items == 3 and not paid",
        "rate > 1", "due > '2024-07-11'", "nil ~= nil", "items / 0 < 0", "0 / 0 == 0 / 0",
        "0 / 0 < 1", "false",
    };

    for (size_t i = 0; i < sizeof true_ones / sizeof *true_ones; i++)
        cr_expect(holds(true_ones[i]), "%s", true_ones[i]);
    for (size_t i = 0; i < sizeof false_ones / sizeof *false_ones; i++)
        cr_expect_not(holds(false_ones[i]), "%s", false_ones[i]);
}

Test(expectation, refuses_what_cannot_be_asked_and_says_why)
{
    static const char *const wrong[][2] = {
        {"", "value is expected"}, {"total >=", "value is expected"}, {"total", "a number"},
        {"totl >= 0", "no column `totl`"}, {"total = 0", "`==`"}, {"total != 0", "`~=`"},
        {"total >= 'x'", "a number and a text"}, {"status + 1 == 2", "takes numbers"},
        {"total >= 0 total", "not expected"}, {"(total >= 0", "without its end"},
        {"status == 'x", "without its end"}, {"paid and total", "true or false"},
        {"not total", "true or false"}, {"-status == 1", "`-` of a text"}, {"total < nil", "nil"},
        {"paid < true", "no order"}, {"lines == lines", "json"}, {"placed_at > 'noon'", "no time"},
        {"due == '2024-13-01'", "no date"}, {"status == 'a\\n'", "backslash"},
        {"1.2.3 == 1", "no number"}, {"total >= 0 ;", "not expected"}, {"os.exit()", "no column"},
        {"placed_at == due", "a time and a date"}, {"1 < 2 < 3", "not expected"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rf_expectation *expectation = NULL;
        rf_err err = {0};
        cr_expect_eq(
            rf_expectation_new(rf_slice_of(wrong[i][0]), columns, COLUMNS, &expectation, &err),
            RF_ERR_PLUGIN, "%s", wrong[i][0]);
        cr_expect(strstr(err.message, wrong[i][1]), "%s: %s", wrong[i][0], err.message);
    }
}

Test(expectation, refuses_what_is_too_long_or_too_deep)
{
    char text[RF_EXPECTATION_SIZE_MAX + 2];
    rf_expectation *expectation = NULL;
    rf_err err = {0};

    memset(text, '(', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(rf_expectation_new(rf_slice_of(text), columns, COLUMNS, &expectation, &err),
                 RF_ERR_PLUGIN);
    text[RF_EXPECTATION_SIZE_MAX] = '\0';
    cr_assert_eq(rf_expectation_new(rf_slice_of(text), columns, COLUMNS, &expectation, &err),
                 RF_ERR_PLUGIN);
    cr_assert(strstr(err.message, "brackets"), "%s", err.message);
    for (size_t i = 0; i < RF_EXPECTATION_SIZE_MAX / 4 - 1; i++)
        memcpy(text + 4 * i, "not ", 5);
    cr_assert_eq(rf_expectation_new(rf_slice_of(text), columns, COLUMNS, &expectation, &err),
                 RF_ERR_PLUGIN);
    cr_assert(strstr(err.message, "brackets"), "%s", err.message);
}
