/* Fuzz target of files of cases: any bytes are refused, or are cases whose events are whole lines of
 * JSON, one for each.
 */
#include "test_cases.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_events(const rf_given *given, rf_json_parser *parser, rf_buf *lines)
{
    const rf_json_node *nodes;
    uint32_t count;
    uint32_t due = 0;

    rf_buf_clear(lines);
    rf_test_append_events(given, lines);
    for (uint32_t i = given->events + 1; i < given->nodes[given->events].next;
         i = given->nodes[i].next)
        due++;
    size_t end = lines->size;
    rf_buf_append(lines, (char[RF_JSON_PADDING]){0}, RF_JSON_PADDING);
    RF_ASSERT(!lines->failed);
    for (size_t at = 0; at < end; due--) {
        const char *newline = memchr(lines->data + at, '\n', end - at);
        RF_ASSERT(newline && due > 0);
        rf_slice line = {lines->data + at, (size_t)(newline - lines->data) - at};
        RF_ASSERT(rf_json_parse(parser, line, &nodes, &count, NULL) == RF_OK);
        RF_ASSERT(nodes[0].kind == RF_JSON_OBJECT);
        RF_ASSERT(rf_test_member(nodes, 0, RF_SLICE("data")) != 0);
        at += line.size + 1;
    }
    RF_ASSERT(due == 0);
    rf_json_parser_reset(parser);
}

static void check_rows(const rf_given *given, rf_json_parser *parser, rf_buf *text)
{
    const rf_json_node *nodes;
    uint32_t count;

    rf_buf_clear(text);
    rf_test_append_json(text, &given->nodes[given->rows]);
    size_t size = text->size;
    rf_buf_append(text, (char[RF_JSON_PADDING]){0}, RF_JSON_PADDING);
    RF_ASSERT(!text->failed && !memchr(text->data, '\n', size));
    RF_ASSERT(rf_json_parse(parser, (rf_slice){text->data, size}, &nodes, &count, NULL) == RF_OK);
    rf_json_parser_reset(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rf_json_parser *parser;
    rf_test_cases cases;
    rf_buf text;
    rf_err err;

    if (!parser)
        parser = rf_json_parser_new();
    RF_ASSERT(parser);
    rf_buf_init(&text, (size_t)64 << 20);
    if (rf_test_cases_of("fuzz", (rf_slice){(const char *)data, size}, &cases, &err) == RF_OK) {
        RF_ASSERT(cases.count > 0);
        for (uint32_t i = 0; i < cases.count; i++) {
            RF_ASSERT((cases.given[i].error != NULL) == (cases.given[i].rows == 0));
            check_events(&cases.given[i], parser, &text);
            if (cases.given[i].rows != 0)
                check_rows(&cases.given[i], parser, &text);
        }
    } else {
        RF_ASSERT(err.message[0] != '\0');
    }
    rf_test_cases_free(&cases);
    rf_buf_free(&text);
    return 0;
}
