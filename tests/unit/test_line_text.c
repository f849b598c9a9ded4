/* Lines of events made of a database's values. */
#include "source/line_text.h"

#include "event/json.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool json_is_taken(const char *json)
{
    rf_buf out;

    rf_buf_init(&out, 1 << 20);
    rf_line_begin(&out);
    bool taken = rf_line_json(&out, "data", rf_slice_of(json));
    cr_assert(taken || out.size == 1, "nothing is appended of what is refused");
    rf_buf_free(&out);
    return taken;
}

Test(line_text, writes_members_with_their_escapes)
{
    rf_buf out;

    rf_buf_init(&out, 1 << 20);
    rf_line_begin(&out);
    rf_line_integer(&out, "position", INT64_MIN);
    rf_line_string(&out, "stream", RF_SLICE("a\"b\\\n\x01\xc4\x8d"));
    rf_line_time(&out, "time", 1500000);
    rf_line_raw(&out, "schema", RF_SLICE("2"));
    cr_assert(rf_line_json(&out, "data", RF_SLICE("{\r\n \"a\\\"}\" : [1,\n2] }\n")));
    rf_line_end(&out);
    cr_assert(rf_slice_equal(
        rf_buf_slice(&out),
        RF_SLICE("{\"position\":-9223372036854775808,\"stream\":\"a\\\"b\\\\\\n\\u0001\xc4\x8d\","
                 "\"time\":\"1970-01-01T00:00:01.500000Z\",\"schema\":2,"
                 "\"data\":{   \"a\\\"}\" : [1, 2] } }\n")),
              "%.*s", (int)out.size, out.data);
    rf_buf_free(&out);
}

Test(line_text, takes_no_json_that_could_add_members_to_the_line)
{
    static const char *const refused[] = {
        "",         " ",        "{}{}",         "{},\"stream\":\"x\"", "1,\"metadata\":{}",
        "{",        "[}",       "{]",           "\"a",                 "\"a\nb\"", "\"a\rb\"", "\"\\\n\"",
        "}",        "1}",       "{}}",          "\"a\":1",             "\"a\\\"",
        "null true", "{\"a\":\"}", "\"a\" \"b\"", "1\"",
    };
    static const char *const taken[] = {
        "{}", "[]", "1", "null", "\"a\"", " {\"a\":[{}]}\n", "\"}{,\"", "\"\\\\\"", "-1.5e3 ",
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        cr_assert_not(json_is_taken(refused[i]), "%s", refused[i]);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        cr_assert(json_is_taken(taken[i]), "%s", taken[i]);
}

Test(line_text, refuses_json_that_is_nested_too_deeply)
{
    char text[2 * RF_JSON_DEPTH_MAX + 3];

    memset(text, '[', RF_JSON_DEPTH_MAX);
    memset(text + RF_JSON_DEPTH_MAX, ']', RF_JSON_DEPTH_MAX);
    text[2 * RF_JSON_DEPTH_MAX] = '\0';
    cr_assert(json_is_taken(text));
    memset(text, '[', RF_JSON_DEPTH_MAX + 1);
    memset(text + RF_JSON_DEPTH_MAX + 1, ']', RF_JSON_DEPTH_MAX + 1);
    text[2 * RF_JSON_DEPTH_MAX + 2] = '\0';
    cr_assert_not(json_is_taken(text));
}

Test(line_text, keeps_a_block_until_the_third_turn_from_it)
{
    rf_line_blocks blocks;
    rf_feed_block given[3];

    rf_line_blocks_init(&blocks);
    for (int i = 0; i < 3; i++) {
        char cursor[2] = {(char)('0' + i), '\0'};
        rf_buf *out = rf_line_blocks_turn(&blocks);
        rf_line_begin(out);
        rf_line_integer(out, "position", i);
        rf_line_end(out);
        cr_assert_eq(rf_line_blocks_give(&blocks, rf_slice_of(cursor), &given[i], NULL), RF_OK);
    }
    for (int i = 0; i < 3; i++) {
        char due[32];
        snprintf(due, sizeof due, "{\"position\":%d}\n", i);
        cr_assert(rf_slice_equal(given[i].text, rf_slice_of(due)));
        cr_assert_eq(given[i].cursor.size, 1);
        cr_assert_eq(given[i].cursor.data[0], '0' + i);
        cr_assert_eq(given[i].text.data[given[i].text.size + RF_JSON_PADDING - 1], '\0');
    }
    rf_line_blocks_free(&blocks);
}
