#include "catalog/row.h"
#include "sink/layout.h"

#include <criterion/criterion.h>

static void check_names(const rf_reader_column *parts, uint32_t part_count,
                        const rf_reader_column *columns, uint32_t column_count,
                        const char *const *expected)
{
    const rf_reader_info info = {.name = "model",
                                 .columns = columns,
                                 .column_count = column_count,
                                 .key_parts = parts,
                                 .key_part_count = part_count};
    rf_layout layout;

    cr_assert_eq(rf_layout_make(&info, &layout, NULL), RF_OK);
    cr_assert_eq(layout.key_count, part_count);
    cr_assert_eq(layout.column_count, part_count + column_count);
    for (uint32_t i = 0; i < layout.column_count; i++)
        cr_assert_str_eq(layout.columns[i].name, expected[i]);
    rf_layout_free(&layout);
}

Test(layout, a_key_of_one_part_is_the_column_key)
{
    const rf_reader_column part = {"customer.id", RF_INT, 0};
    const rf_reader_column columns[] = {{"total", RF_DECIMAL, 2}};
    const char *const expected[] = {"key", "total"};

    check_names(&part, 1, columns, 1, expected);
}

Test(layout, parts_of_a_tuple_are_named_as_they_are_where_that_is_free)
{
    const rf_reader_column parts[] = {
        {"customer.address.city", RF_TEXT, 0}, {"total", RF_INT, 0},   {"Total", RF_INT, 0},
        {"\"a; b\"", RF_TEXT, 0},              {"stream", RF_TEXT, 0}, {"stream", RF_TEXT, 0},
    };
    const rf_reader_column columns[] = {{"total", RF_DECIMAL, 2}, {"key_3", RF_INT, 0}};
    const char *const expected[] = {"customer_address_city", "key_total", "key_19",
                                    "a__b", "stream", "key_stream", "total", "key_3"};

    check_names(parts, 6, columns, 2, expected);
}

Test(layout, a_name_that_is_too_long_is_a_number)
{
    char name[200];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    const rf_reader_column parts[] = {{name, RF_TEXT, 0}, {"", RF_INT, 0}};
    const char *const expected[] = {"key_1", "key_2"};

    check_names(parts, 2, NULL, 0, expected);
}

Test(layout, numbers_that_are_no_number_and_unset_values_are_null)
{
    const rf_value nulls[] = {
        {.kind = RF_FLOAT, .number = __builtin_inf()}, {.kind = RF_DATE, .integer = RF_TIME_NONE},
        {.kind = RF_JSON}, {.kind = RF_INT, .is_null = true}};
    const rf_value values[] = {
        {.kind = RF_FLOAT}, {.kind = RF_DATE}, {.kind = RF_TEXT, .text = {"", 0}}, {.kind = RF_BOOL}};

    for (size_t i = 0; i < 4; i++) {
        cr_assert(rf_value_is_null(&nulls[i]));
        cr_assert_not(rf_value_is_null(&values[i]));
    }
}
