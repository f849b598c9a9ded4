/* JSON to nodes: what is accepted, how it comes out, and what is refused with which words. */
#include "event/json.h"

#include "base/bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct parsed {
    rf_json_parser *parser;
    char *memory;
    const rf_json_node *nodes;
    uint32_t count;
    rf_status status;
    rf_err err;
} parsed;

/* Parses a copy whose padding is hostile: it would go on with digits. */
static parsed parse(const char *text, size_t size)
{
    parsed all = {.parser = rf_json_parser_new(), .memory = malloc(size + RF_JSON_PADDING)};

    cr_assert(all.parser && all.memory);
    memcpy(all.memory, text, size);
    memset(all.memory + size, '7', RF_JSON_PADDING);
    all.status =
        rf_json_parse(all.parser, (rf_slice){all.memory, size}, &all.nodes, &all.count, &all.err);
    return all;
}

static void release(parsed *all)
{
    rf_json_parser_free(all->parser);
    free(all->memory);
}

static void expect_string(const char *json, const char *text, size_t size)
{
    parsed all = parse(json, strlen(json));

    cr_assert_eq(all.status, RF_OK, "%s: %s", json, all.err.message);
    cr_assert_eq(all.count, 1);
    cr_assert_eq(all.nodes[0].kind, RF_JSON_STRING);
    cr_assert_eq(all.nodes[0].text_size, size, "%s gave %u bytes", json, all.nodes[0].text_size);
    cr_assert_eq(memcmp(all.nodes[0].text, text, size), 0, "%s", json);
    release(&all);
}

static void expect_refused(const char *json, size_t size, const char *message)
{
    parsed all = parse(json, size);

    cr_assert_eq(all.status, RF_ERR_INPUT, "%.*s was accepted", (int)size, json);
    cr_assert_str_eq(all.err.message, message, "%.*s: %s", (int)size, json, all.err.message);
    release(&all);
}

#define REFUSED(json, message) expect_refused((json), sizeof(json) - 1, (message))
#define STRING(json, text) expect_string((json), (text), sizeof(text) - 1)

Test(json, lists_a_document_in_order_with_links_to_siblings)
{
    const char *json = " {\"a\" : [1, {\"b\":null}, []] ,\"c\":{} , \"d\":-2.5e+3}\r";
    parsed all = parse(json, strlen(json));
    static const struct {
        int kind;
        const char *key;
        const char *text;
        uint32_t next;
        int depth;
    } due[] = {
        {RF_JSON_OBJECT, NULL, "{\"a\" : [1, {\"b\":null}, []] ,\"c\":{} , \"d\":-2.5e+3}", 8, 0},
        {RF_JSON_ARRAY, "a", "[1, {\"b\":null}, []]", 6, 1},
        {RF_JSON_INTEGER, NULL, "1", 3, 2},
        {RF_JSON_OBJECT, NULL, "{\"b\":null}", 5, 2},
        {RF_JSON_NULL, "b", "null", 5, 3},
        {RF_JSON_ARRAY, NULL, "[]", 6, 2},
        {RF_JSON_OBJECT, "c", "{}", 7, 1},
        {RF_JSON_NUMBER, "d", "-2.5e+3", 8, 1},
    };

    cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
    cr_assert_eq(all.count, sizeof due / sizeof due[0]);
    for (uint32_t i = 0; i < all.count; i++) {
        const rf_json_node *node = &all.nodes[i];
        cr_assert_eq(node->kind, due[i].kind, "node %u", i);
        cr_assert_eq(node->next, due[i].next, "node %u", i);
        cr_assert_eq(node->depth, due[i].depth, "node %u", i);
        cr_assert(rf_slice_equal(rf_json_text(node), rf_slice_of(due[i].text)), "node %u", i);
        if (due[i].key)
            cr_assert(rf_slice_equal(rf_json_key(node), rf_slice_of(due[i].key)), "node %u", i);
        else
            cr_assert_null(node->key, "node %u", i);
    }
    release(&all);
}

Test(json, a_detached_value_is_an_array_of_its_own)
{
    const char *json = "{\"x\":1,\"data\":{\"a\":[1,2],\"b\":3},\"y\":2}";
    parsed all = parse(json, strlen(json));
    uint32_t count;

    cr_assert_eq(all.status, RF_OK);
    const rf_json_node *data = rf_json_detach(all.nodes, 2, &count);
    cr_assert_eq(count, 5);
    cr_assert_eq(data[0].next, 5);
    cr_assert_eq(data[0].depth, 0);
    cr_assert_eq(data[1].next, 4);
    cr_assert_eq(data[2].depth, 2);
    cr_assert_eq(data[4].next, 5);
    cr_assert(rf_slice_equal(rf_json_key(&data[4]), RF_SLICE("b")));
    release(&all);
}

Test(json, unescapes_every_escape)
{
    STRING("\"\"", "");
    STRING("\"plain\"", "plain");
    STRING("\"  blanks  \"  ", "  blanks  ");
    STRING("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    STRING("\"a\\u0000b\"", "a\0b");
    STRING("\"\\u0041\\u007f\\u0080\\u07ff\"", "A\x7f\xc2\x80\xdf\xbf");
    STRING("\"\\u0800\\uFFFF\\uffff\"", "\xe0\xa0\x80\xef\xbf\xbf\xef\xbf\xbf");
    STRING("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    STRING("\"\\\\\"", "\\");
    STRING("\"\\\\\\\"\"", "\\\"");
    STRING("\"[1,{\\\"a\\\":2}]\"", "[1,{\"a\":2}]");
    STRING("\"\xc3\xa9\xe7\x8e\x8b\xf0\x9f\x98\x80\"", "\xc3\xa9\xe7\x8e\x8b\xf0\x9f\x98\x80");
}

Test(json, refuses_broken_escapes_and_surrogates)
{
    REFUSED("\"\\x\"", "an escape that JSON does not know at byte 2");
    REFUSED("\"a\\u12g4\"", "an escape \\u without four hex digits at byte 3");
    REFUSED("\"\\u12\"", "an escape \\u without four hex digits at byte 2");
    REFUSED("\"\\udc00\"", "a low surrogate escape without a high one before it at byte 2");
    REFUSED("\"\\ud800\"", "a high surrogate escape without a low one after it at byte 2");
    REFUSED("\"\\ud800x\"", "a high surrogate escape without a low one after it at byte 2");
    REFUSED("\"\\ud800\\n1234\"", "a high surrogate escape without a low one after it at byte 2");
    REFUSED("\"\\ud800\\ud800\"", "a high surrogate escape without a low one after it at byte 2");
    REFUSED("{\"\\q\":1}", "an escape that JSON does not know at byte 3");
}

Test(json, unescapes_member_names_and_keeps_duplicates)
{
    const char *json = "{\"a\\u0000\":1,\"a\\u0000\":2}";
    parsed all = parse(json, strlen(json));

    cr_assert_eq(all.status, RF_OK);
    cr_assert_eq(all.count, 3);
    for (uint32_t i = 1; i < 3; i++)
        cr_assert(rf_slice_equal(rf_json_key(&all.nodes[i]), RF_SLICE("a\0")));
    release(&all);
}

Test(json, keeps_numbers_as_they_are_written)
{
    static const struct {
        const char *text;
        int kind;
    } numbers[] = {
        {"0", RF_JSON_INTEGER},       {"-0", RF_JSON_INTEGER},
        {"7", RF_JSON_INTEGER},       {"-123456789012345678901234567890", RF_JSON_INTEGER},
        {"0.0", RF_JSON_NUMBER},      {"-1.50", RF_JSON_NUMBER},
        {"1e5", RF_JSON_NUMBER},      {"1E+05", RF_JSON_NUMBER},
        {"10.25e-7", RF_JSON_NUMBER}, {"9007199254740993", RF_JSON_INTEGER},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        parsed all = parse(numbers[i].text, strlen(numbers[i].text));
        cr_assert_eq(all.status, RF_OK, "%s: %s", numbers[i].text, all.err.message);
        cr_assert_eq(all.nodes[0].kind, numbers[i].kind, "%s", numbers[i].text);
        cr_assert(rf_slice_equal(rf_json_text(&all.nodes[0]), rf_slice_of(numbers[i].text)));
        release(&all);
    }
}

Test(json, refuses_numbers_outside_the_grammar)
{
    REFUSED("01", "a number with a leading zero at byte 1");
    REFUSED("-01", "a number with a leading zero at byte 1");
    REFUSED("-", "a number without digits at byte 1");
    REFUSED("-a", "a number without digits at byte 1");
    REFUSED("1.", "a number without digits after its point at byte 1");
    REFUSED("[1.e3]", "a number without digits after its point at byte 2");
    REFUSED("1e", "a number without digits in its exponent at byte 1");
    REFUSED("1e+", "a number without digits in its exponent at byte 1");
    REFUSED("0x10", "a number followed by something else at byte 1");
    REFUSED("1a", "a number followed by something else at byte 1");
    REFUSED("1\"\"", "a number followed by something else at byte 1");
}

Test(json, refuses_what_is_no_value)
{
    REFUSED("", "no JSON value at byte 1");
    REFUSED("  ", "no JSON value at byte 1");
    REFUSED("+1", "something that is no JSON value at byte 1");
    REFUSED(".5", "something that is no JSON value at byte 1");
    REFUSED("NaN", "something that is no JSON value at byte 1");
    REFUSED("tru", "something that is no JSON value at byte 1");
    REFUSED("truex", "something that is no JSON value at byte 1");
    REFUSED("nullnull", "something that is no JSON value at byte 1");
    REFUSED("'a'", "something that is no JSON value at byte 1");
    REFUSED("\0", "something that is no JSON value at byte 1");
    REFUSED("[1,\0]", "something that is no JSON value at byte 4");
    REFUSED("\xef\xbb\xbf{}", "something that is no JSON value at byte 1");
}

Test(json, refuses_broken_structure)
{
    REFUSED("{", "an object without an end at byte 2");
    REFUSED("[", "no value where one is due at byte 2");
    REFUSED("[1", "an array without an end at byte 3");
    REFUSED("[1,]", "something that is no JSON value at byte 4");
    REFUSED("[,1]", "something that is no JSON value at byte 2");
    REFUSED("[1 2]", "neither ',' nor ']' after an element at byte 4");
    REFUSED("[1}", "neither ',' nor ']' after an element at byte 3");
    REFUSED("{\"a\"}", "no colon after a member name at byte 5");
    REFUSED("{\"a\" 1}", "no colon after a member name at byte 6");
    REFUSED("{\"a\":}", "something that is no JSON value at byte 6");
    REFUSED("{\"a\":1,}", "no member name where one is due at byte 8");
    REFUSED("{\"a\":1]", "neither ',' nor '}' after a member at byte 7");
    REFUSED("{\"a\":1", "an object without an end at byte 7");
    REFUSED("{a:1}", "no member name where one is due at byte 2");
    REFUSED("{1:1}", "no member name where one is due at byte 2");
    REFUSED("{} {}", "something after the JSON value at byte 4");
    REFUSED("1 2", "something after the JSON value at byte 3");
    REFUSED("]", "something that is no JSON value at byte 1");
    REFUSED("\"a\"b", "something after the JSON value at byte 4");
}

Test(json, refuses_bad_bytes_in_strings)
{
    REFUSED("\"abc", "a string without an end, begun at byte 1");
    REFUSED("{\"a\":\"b\\\"}", "a string without an end, begun at byte 6");
    REFUSED("\"a\nb\"", "an unescaped control character in a string at byte 3");
    REFUSED("\"a\0b\"", "an unescaped control character in a string at byte 3");
    REFUSED("[\"\xff\"]", "invalid UTF-8 at byte 3");
    REFUSED("\"\xc0\x80\"", "invalid UTF-8 at byte 2");
    REFUSED("\"\xed\xa0\x80\"", "invalid UTF-8 at byte 2");
    REFUSED("\"\xe7\x8e\"", "invalid UTF-8 at byte 2");
    REFUSED("\"\xf4\x90\x80\x80\"", "invalid UTF-8 at byte 2");
}

Test(json, accepts_nesting_of_64_and_refuses_65)
{
    char text[2 * 65 + 1];

    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    parsed all = parse(text, 128);
    cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
    cr_assert_eq(all.count, 64);
    cr_assert_eq(all.nodes[63].depth, 63);
    release(&all);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    expect_refused(text, 130, "nesting deeper than 64 at byte 65");
}

Test(json, texts_of_several_parses_stay_until_the_reset)
{
    enum { COUNT = 20000 };
    rf_json_parser *parser = rf_json_parser_new();
    const rf_json_node **nodes = malloc(COUNT * sizeof *nodes);
    char *memory = malloc(COUNT * 64 + RF_JSON_PADDING);

    cr_assert(parser && nodes && memory);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            char *text = memory + i * 64;
            int size = snprintf(text, 64, "[\"%d\\n%d\",%d]", i, round, i);
            uint32_t count;
            cr_assert_eq(
                rf_json_parse(parser, (rf_slice){text, (size_t)size}, &nodes[i], &count, NULL),
                RF_OK);
            cr_assert_eq(count, 3);
        }
        for (int i = 0; i < COUNT; i++) {
            char due[64];
            int size = snprintf(due, sizeof due, "%d\n%d", i, round);
            cr_assert(rf_slice_equal(rf_json_text(&nodes[i][1]), (rf_slice){due, (size_t)size}));
        }
        rf_json_parser_reset(parser);
    }
    free(memory);
    free(nodes);
    rf_json_parser_free(parser);
}

Test(json, reads_large_texts_and_small_ones_after_them)
{
    size_t elements = 3000000;
    char *text = malloc(2 * elements + 2 + RF_JSON_PADDING);
    rf_json_parser *parser = rf_json_parser_new();
    const rf_json_node *nodes;
    uint32_t count;

    cr_assert(text && parser);
    for (size_t i = 0; i < elements; i++)
        memcpy(text + 2 * i, i == 0 ? "[1" : ",1", 2);
    memcpy(text + 2 * elements, "]", 1);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(
            rf_json_parse(parser, (rf_slice){text, 2 * elements + 1}, &nodes, &count, NULL), RF_OK);
        cr_assert_eq(count, elements + 1);
        cr_assert_eq(nodes[0].next, elements + 1);
        rf_json_parser_reset(parser);
        cr_assert_eq(rf_json_parse(parser,
                                   (rf_slice){"[1]7777777777777777777777777777777777777777"
                                              "7777777777777777777777777777",
                                              3},
                                   &nodes, &count, NULL),
                     RF_OK);
        cr_assert_eq(count, 2);
    }
    free(text);
    rf_json_parser_free(parser);
}

Test(json, outputs_change_only_on_success)
{
    rf_json_parser *parser = rf_json_parser_new();
    const rf_json_node *nodes = NULL;
    uint32_t count = 42;
    char text[2 + RF_JSON_PADDING] = "[1";

    cr_assert_eq(rf_json_parse(parser, (rf_slice){text, 2}, &nodes, &count, NULL), RF_ERR_INPUT);
    cr_assert_null(nodes);
    cr_assert_eq(count, 42);
    rf_json_parser_free(parser);
}
