/* event/key.h: keys sort as their values do, come back as they were, and are printed and parsed. */
#include "event/key.h"
#include "rebuild/key_table.h"

#include <criterion/criterion.h>
#include <stdio.h>

static rf_key_bytes key_of(const rf_value *values, uint32_t count)
{
    rf_key_bytes key = {.size = 0};

    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(rf_key_add(&key, &values[i]), RF_KEY_FINE);
    return key;
}

static rf_value integer(rf_kind kind, int64_t value)
{
    return (rf_value){.kind = kind, .integer = value};
}

static rf_value text(const char *value)
{
    return (rf_value){.kind = RF_TEXT, .text = rf_slice_of(value)};
}

static rf_value null_of(rf_kind kind)
{
    return (rf_value){.kind = kind, .is_null = true};
}

/* Each is below the next. */
static void rises(const rf_value *values, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++) {
        rf_key_bytes low = key_of(&values[i], 1), high = key_of(&values[i + 1], 1);
        cr_assert_lt(rf_slice_compare(rf_key_slice(&low), rf_key_slice(&high)), 0, "%u", i);
    }
}

Test(key, sorts_integers_by_value_with_null_first)
{
    const int64_t numbers[] = {INT64_MIN, -5000000000, -256, -1, 0, 1, 255, 256, INT64_MAX};
    const rf_kind kinds[] = {RF_INT, RF_DECIMAL, RF_TIME, RF_DATE};

    for (int k = 0; k < 4; k++) {
        rf_value values[10] = {null_of(kinds[k])};
        for (int i = 0; i < 9; i++)
            values[i + 1] = integer(kinds[k], numbers[i]);
        rises(values, 10);
    }
}

Test(key, sorts_floats_by_value)
{
    const double numbers[] = {-__builtin_inf(), -1e300, -1.5, -1e-300, 0, 1e-300, 1.5, 1e300,
                              __builtin_inf(), __builtin_nan("")};
    rf_value values[11] = {null_of(RF_FLOAT)};

    for (int i = 0; i < 10; i++)
        values[i + 1] = (rf_value){.kind = RF_FLOAT, .number = numbers[i]};
    rises(values, 11);
}

Test(key, sorts_texts_by_bytes_and_booleans)
{
    const rf_value texts[] = {null_of(RF_TEXT), text(""), text("\x01"), text("a"), text("a\x01"),
                              text("aa"), text("b"), text("ä")};
    const rf_value bools[] = {null_of(RF_BOOL),
                              {.kind = RF_BOOL, .boolean = false},
                              {.kind = RF_BOOL, .boolean = true}};

    rises(texts, 8);
    rises(bools, 3);
}

Test(key, sorts_tuples_element_by_element)
{
    const rf_value tuples[][2] = {
        {text(""), integer(RF_INT, 9)},    {text("a"), null_of(RF_INT)},
        {text("a"), integer(RF_INT, -1)},  {text("a"), integer(RF_INT, 0)},
        {text("a\x01"), null_of(RF_INT)},  {text("aa"), integer(RF_INT, -7)},
        {text("b"), integer(RF_INT, -70)},
    };

    for (int i = 0; i + 1 < 7; i++) {
        rf_key_bytes low = key_of(tuples[i], 2), high = key_of(tuples[i + 1], 2);
        cr_assert_lt(rf_slice_compare(rf_key_slice(&low), rf_key_slice(&high)), 0, "%d", i);
    }
}

static const rf_reader_column parts[] = {
    {"warehouse", RF_TEXT, 0}, {"size", RF_INT, 0}, {"price", RF_DECIMAL, 2},
    {"open", RF_BOOL, 0},      {"at", RF_TIME, 0},  {"day", RF_DATE, 0},
};
enum { PARTS = 6 };

static void shows(const char *expected, const rf_value *values, uint32_t count)
{
    rf_key_bytes key = key_of(values, count);
    rf_buf shown;

    rf_buf_init(&shown, 1 << 16);
    rf_key_append_json(&shown, rf_key_slice(&key), parts, count);
    rf_buf_append_byte(&shown, 0);
    cr_assert_str_eq(shown.data, expected);
    rf_key_bytes parsed;
    rf_err err = {0};
    cr_assert_eq(rf_key_parse(rf_slice_of(expected), parts, count, RF_KEY_WHOLE, &parsed, &err),
                 RF_OK, "%s", err.message);
    cr_assert(rf_slice_equal(rf_key_slice(&parsed), rf_key_slice(&key)));
    rf_buf_free(&shown);
}

Test(key, is_printed_as_an_array_and_parsed_again)
{
    const rf_value values[PARTS] = {
        text("w\"1"),
        integer(RF_INT, -7),
        {.kind = RF_DECIMAL, .scale = 2, .integer = -1250},
        {.kind = RF_BOOL, .boolean = true},
        integer(RF_TIME, 1720612800000000),
        integer(RF_DATE, 19914),
    };
    const rf_value nulls[PARTS] = {null_of(RF_TEXT), null_of(RF_INT),  null_of(RF_DECIMAL),
                                   null_of(RF_BOOL), null_of(RF_TIME), null_of(RF_DATE)};

    shows("[\"w\\\"1\",-7,\"-12.50\",true,\"2024-07-10T12:00:00.000000Z\",\"2024-07-10\"]", values,
          PARTS);
    shows("[null,null,null,null,null,null]", nulls, PARTS);
}

static void parses(const char *argument, const rf_reader_column *of, uint32_t count,
                   rf_key_use use, const rf_value *values, uint32_t value_count, size_t cut)
{
    rf_key_bytes expected = key_of(values, value_count), key;
    rf_err err = {0};

    cr_assert_eq(rf_key_parse(rf_slice_of(argument), of, count, use, &key, &err), RF_OK, "%s",
                 err.message);
    expected.size -= cut;
    cr_assert(rf_slice_equal(rf_key_slice(&key), rf_key_slice(&expected)), "%s", argument);
}

Test(key, takes_single_parts_as_they_are_and_beginnings)
{
    const rf_value values[2] = {text("w-1"), integer(RF_INT, 4)};
    const rf_value seven = integer(RF_INT, -7);

    parses("-7", &parts[1], 1, RF_KEY_WHOLE, &seven, 1, 0);
    parses("[-7]", &parts[1], 1, RF_KEY_WHOLE, &seven, 1, 0);
    parses("[\"w-1\"]", parts, 2, RF_KEY_BORDER, values, 1, 0);
    parses("[\"w-1\", 4]", parts, 2, RF_KEY_PREFIX, values, 2, 0);
    parses("w-1", parts, 2, RF_KEY_PREFIX, values, 1, 1);
    parses("[]", parts, 2, RF_KEY_PREFIX, values, 0, 0);
}

static void refuses(const char *argument, uint32_t count, const char *words)
{
    rf_key_bytes key;
    rf_err err = {0};

    cr_assert_eq(rf_key_parse(rf_slice_of(argument), parts + 1, count, RF_KEY_WHOLE, &key, &err),
                 RF_ERR_USAGE);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
}

Test(key, refuses_arguments_that_do_not_fit)
{
    refuses("[1]", 2, "2 parts, and this array 1");
    refuses("[1,2,3]", 2, "2 parts, and this array more");
    refuses("7", 2, "a JSON array");
    refuses("[1", 2, "no JSON array");
    refuses("[\"1\",\"2.00\"]", 2, "size is an integer");
    refuses("[1,\"2.001\"]", 2, "price is a decimal");
    refuses("seven", 1, "size is an integer");
}

Test(key, refuses_what_is_too_long_or_holds_a_zero_byte)
{
    static char long_text[RF_KEY_BYTES_MAX];
    rf_key_bytes key = {.size = 0};
    rf_value value = {.kind = RF_TEXT, .text = {long_text, sizeof long_text - 1}};

    memset(long_text, 'x', sizeof long_text);
    cr_assert_eq(rf_key_add(&key, &value), RF_KEY_TOO_LONG);
    value.text.size = sizeof long_text - 2;
    cr_assert_eq(rf_key_add(&key, &value), RF_KEY_FINE);
    cr_assert_eq(key.size, RF_KEY_BYTES_MAX);
    key.size = 0;
    value.text = (rf_slice){"a\0b", 3};
    cr_assert_eq(rf_key_add(&key, &value), RF_KEY_HAS_NUL);
}

Test(key, refuses_bytes_that_are_no_key)
{
    const rf_slice wrong[] = {RF_SLICE(""),         RF_SLICE("\x02x\0\x01\0\0\0\0\0\0\0\0"),
                              RF_SLICE("\x01x"),    RF_SLICE("\x01x\0\x01\0\0\0"),
                              RF_SLICE("\0\0\0")};
    rf_value values[2];

    for (int i = 0; i < 5; i++)
        cr_assert_eq(rf_key_decode(wrong[i], parts, 2, values, NULL), RF_ERR_DAMAGED, "%d", i);
    cr_assert_eq(rf_key_decode(RF_SLICE("\x01\x02"), &parts[3], 1, values, NULL), RF_ERR_DAMAGED);
}

/* Keys of one length and of many, that begin alike or not, that differ late or only in length. */
Test(key, sorts_the_rows_of_a_table_by_their_bytes)
{
    static const uint32_t counts[] = {0, 1, 2, 31, 32, 33, 500, 3000};

    for (uint32_t form = 0; form < 6; form++)
        for (uint32_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            rf_key_table table;
            rf_keyed_row **rows;
            uint32_t count;
            char key[64];
            bool nul;
            rf_key_table_init(&table, 8);
            for (uint32_t i = 0; i < counts[c]; i++) {
                uint32_t mixed = i * 2654435761u;
                int size = form == 0   ? snprintf(key, sizeof key, "SKU-%05u", mixed % 90001)
                           : form == 1 ? snprintf(key, sizeof key, "%u", mixed)
                           : form == 2 ? snprintf(key, sizeof key, "a longer beginning %08x", mixed)
                           : form == 3 ? snprintf(key, sizeof key, "%c late, %040u", 'a' + i % 3, i)
                                       : (int)(i % 64);
                if (form == 4)
                    memset(key, 0, sizeof key);
                if (form == 5)
                    memset(key, 'a' + (int)(mixed >> 30), sizeof key);
                const rf_slice slice = {key, (size_t)size};
                rf_keyed_row *row =
                    rf_key_table_take(&table, NULL, rf_key_hash(slice, &nul), slice);
                cr_assert_not_null(row);
                row->flags = i % 5 ? 3 : 1;
            }
            cr_assert(rf_key_table_sort(&table, 2, &rows, &count));
            uint32_t flagged = 0;
            for (uint32_t i = 0; i < table.row_count; i++)
                flagged += (rf_key_table_row(&table, i)->flags & 2) != 0;
            cr_assert_eq(count, flagged);
            for (uint32_t i = 1; i < count; i++)
                cr_assert_lt(rf_slice_compare(rf_keyed_row_key(rows[i - 1]),
                                              rf_keyed_row_key(rows[i])), 0);
            free(rows);
            rf_key_table_free(&table, NULL);
        }
}

/* Chunks of a room: none is given twice, unless it was given back, and tables of one room stay apart. */
Test(key, keeps_the_rows_of_tables_that_share_a_room)
{
    enum { TABLES = 5, ROWS = 700 };
    rf_key_table tables[TABLES];
    rf_key_room room, other;
    bool nul;

    rf_key_room_begin(&room, rf_key_chunk_size(24), 1 << 15);
    rf_key_room_begin(&other, rf_key_chunk_size(24), 0);
    for (uint32_t t = 0; t < TABLES; t++)
        rf_key_table_init(&tables[t], 24);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < TABLES * ROWS; i++) {
            uint32_t t = (uint32_t)(i % TABLES);
            const rf_slice key = {(const char *)&i, sizeof i};
            rf_keyed_row *row = rf_key_table_take(&tables[t], i % 3 ? &room : &other,
                                                  rf_key_hash(key, &nul), key);
            cr_assert_not_null(row);
            cr_assert_eq((uintptr_t)row % 16, 0);
            memset(rf_keyed_row_data(row), (int)(i * 7 + round), 24);
        }
        for (uint64_t i = 0; i < TABLES * ROWS; i++) {
            const rf_slice key = {(const char *)&i, sizeof i};
            char expected[24];
            memset(expected, (int)(i * 7 + round), 24);
            rf_keyed_row *row =
                rf_key_table_take(&tables[i % TABLES], &room, rf_key_hash(key, &nul), key);
            cr_assert_arr_eq(rf_keyed_row_data(row), expected, 24);
        }
        for (uint32_t t = 0; t < TABLES; t++)
            cr_assert_eq(tables[t].row_count, ROWS);
        size_t slabs = room.slab_count;
        rf_key_table_free(&tables[round], &room);
        for (uint32_t i = 0; i < ROWS; i++) { /* in what was given back */
            const rf_slice key = {(const char *)&i, sizeof i};
            cr_assert_not_null(
                rf_key_table_take(&tables[round], &room, rf_key_hash(key, &nul), key));
        }
        cr_assert_eq(room.slab_count, slabs);
        for (uint32_t t = 0; t < TABLES; t++)
            rf_key_table_free(&tables[t], round == 1 ? &other : &room);
        if (round != 1)
            continue;
        rf_key_room_clear(&room);
        rf_key_room_clear(&other);
    }
    rf_key_room_end(&room);
    rf_key_room_end(&other);
}
