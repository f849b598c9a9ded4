/* See test_cases.h. */
#include "test_cases.h"

#include "base/file.h"
#include "event/value.h"

#include <inttypes.h>

enum { FILE_BYTES_MAX = 256 << 20, CASES_MAX = 1000000 };

uint32_t rf_test_member(const rf_json_node *nodes, uint32_t object, rf_slice name)
{
    for (uint32_t i = object + 1; i < nodes[object].next; i = nodes[i].next)
        if (rf_slice_equal(rf_json_key(&nodes[i]), name))
            return i;
    return 0;
}

void rf_test_append_json(rf_buf *out, const rf_json_node *node)
{
    bool string = false;

    if (node->kind == RF_JSON_STRING) {
        rf_append_json_string(out, rf_json_text(node));
        return;
    }
    for (size_t i = 0; i < node->text_size; i++) {
        char byte = node->text[i];
        if (!string && (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'))
            continue;
        rf_buf_append_byte(out, (uint8_t)byte);
        if (string && byte == '\\' && i + 1 < node->text_size)
            rf_buf_append_byte(out, (uint8_t)node->text[++i]);
        else if (byte == '"')
            string = !string;
    }
}

void rf_test_append_events(const rf_given *given, rf_buf *out)
{
    const rf_json_node *nodes = given->nodes;

    for (uint32_t i = given->events + 1; i < nodes[given->events].next; i = nodes[i].next) {
        rf_slice raw = rf_json_text(&nodes[i]);
        size_t begin = out->size;
        /* Without its last brace, which comes when `data` is there. */
        rf_buf_append(out, raw.data, raw.size - 1);
        for (size_t at = begin; !out->failed && at < out->size; at++)
            if (out->data[at] == '\n' || out->data[at] == '\r')
                out->data[at] = ' '; /* between values: none can stand in a string */
        if (rf_test_member(nodes, i, RF_SLICE("data")) == 0) {
            bool empty = nodes[i].next == i + 1;
            rf_buf_append_slice(out, empty ? RF_SLICE("\"data\":{}") : RF_SLICE(",\"data\":{}"));
        }
        rf_buf_append_slice(out, RF_SLICE("}\n"));
    }
}

/* The end of the object that begins at `at`; NULL where its last brace is missing. Counts lines. */
static const char *object_end(const char *at, const char *end, uint64_t *line)
{
    uint32_t depth = 0;
    bool string = false;

    for (; at < end; at++) {
        *line += *at == '\n';
        if (string) {
            if (*at == '\\' && at + 1 < end)
                at++;
            else if (*at == '"')
                string = false;
        } else if (*at == '"') {
            string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return NULL;
}

/* Every element of the array nodes[array] is an object, with `key` among its members if asked. */
static bool all_objects(const rf_json_node *nodes, uint32_t array, bool keyed)
{
    if (nodes[array].kind != RF_JSON_ARRAY)
        return false;
    for (uint32_t i = array + 1; i < nodes[array].next; i = nodes[i].next)
        if (nodes[i].kind != RF_JSON_OBJECT ||
            (keyed && rf_test_member(nodes, i, RF_SLICE("key")) == 0))
            return false;
    return true;
}

static rf_status check_members(const rf_json_node *nodes, rf_err *err)
{
    static const char *const known[] = {"case", "events", "rows", "error"};
    const size_t count = sizeof known / sizeof known[0];
    bool seen[sizeof known / sizeof known[0]] = {false};

    for (uint32_t i = 1; i < nodes[0].next; i = nodes[i].next) {
        rf_slice name = rf_json_key(&nodes[i]);
        size_t at = 0;
        while (at < count && !rf_slice_equal(name, rf_slice_of(known[at])))
            at++;
        if (at == count)
            return rf_fail(err, RF_ERR_INPUT,
                           "a case has no %.*s, only case, events, and rows or error",
                           (int)(name.size < 80 ? name.size : 80), name.data);
        if (seen[at])
            return rf_fail(err, RF_ERR_INPUT, "%s stands there twice", known[at]);
        seen[at] = true;
    }
    return RF_OK;
}

static rf_status read_case(rf_test_cases *cases, const rf_json_node *nodes, rf_given *given,
                           rf_err *err)
{
    uint32_t name = rf_test_member(nodes, 0, RF_SLICE("case"));
    uint32_t error = rf_test_member(nodes, 0, RF_SLICE("error"));

    given->nodes = nodes;
    given->events = rf_test_member(nodes, 0, RF_SLICE("events"));
    given->rows = rf_test_member(nodes, 0, RF_SLICE("rows"));
    rf_status status = check_members(nodes, err);
    if (status != RF_OK)
        return status;
    if (name != 0 && nodes[name].kind != RF_JSON_STRING)
        return rf_fail(err, RF_ERR_INPUT, "case is its name, a text");
    if (given->events == 0 || !all_objects(nodes, given->events, false))
        return rf_fail(err, RF_ERR_INPUT, "events is missing or no array of events");
    if ((given->rows == 0) == (error == 0))
        return rf_fail(err, RF_ERR_INPUT, "a case has either rows or error");
    if (given->rows != 0 && !all_objects(nodes, given->rows, true))
        return rf_fail(err, RF_ERR_INPUT, "rows is an array of objects, each with its key");
    if (error != 0 && (nodes[error].kind != RF_JSON_STRING || nodes[error].text_size == 0))
        return rf_fail(err, RF_ERR_INPUT, "error is a text that the message has to contain");
    rf_slice name_text = name != 0 ? rf_json_text(&nodes[name]) : RF_SLICE("");
    given->name = rf_arena_copy(&cases->arena, name_text).data;
    given->error =
        error != 0 ? rf_arena_copy(&cases->arena, rf_json_text(&nodes[error])).data : NULL;
    if (!given->name || (error != 0 && !given->error))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a case");
    return RF_OK;
}

static rf_status add_case(rf_test_cases *cases, rf_slice text, uint64_t line, uint32_t *capacity,
                          rf_err *err)
{
    const rf_json_node *nodes = NULL;
    uint32_t node_count = 0;

    if (cases->count == *capacity) {
        uint32_t more = *capacity ? *capacity * 2 : 64;
        rf_given *given = more <= CASES_MAX
                              ? rf_arena_alloc(&cases->arena, more * sizeof *given)
                              : NULL;
        if (!given)
            return rf_fail(err, RF_ERR_MEMORY, "more than %u cases", cases->count);
        if (cases->count > 0)
            memcpy(given, cases->given, cases->count * sizeof *given);
        cases->given = given;
        *capacity = more;
    }
    rf_given *given = &cases->given[cases->count];
    *given = (rf_given){.line = line};
    rf_status status = rf_json_parse(cases->parser, text, &nodes, &node_count, err);
    if (status == RF_OK)
        status = read_case(cases, nodes, given, err);
    if (status == RF_OK)
        cases->count++;
    return status;
}

static rf_status cut_cases(rf_test_cases *cases, const char *path, rf_slice text, rf_err *err)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    uint64_t line = 1;
    uint32_t capacity = 0;

    for (;;) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
            line += *at++ == '\n';
        if (at == end)
            return RF_OK;
        uint64_t begin_line = line;
        if (*at != '{')
            return rf_fail(err, RF_ERR_INPUT, "%s:%" PRIu64 ": no case: it begins with {", path,
                           line);
        const char *next = object_end(at, end, &line);
        if (!next)
            return rf_fail(err, RF_ERR_INPUT,
                           "%s:%" PRIu64 ": the case that begins here has no end: a bracket or "
                           "quote is missing",
                           path, begin_line);
        rf_slice object = {at, (size_t)(next - at)};
        rf_status status = add_case(cases, object, begin_line, &capacity, err);
        if (status != RF_OK) {
            (void)rf_err_context(err, "%s:%" PRIu64, path, begin_line);
            return status;
        }
        at = next;
    }
}

static rf_status begin(const char *path, rf_test_cases *cases, rf_err *err)
{
    *cases = (rf_test_cases){.parser = rf_json_parser_new()};
    rf_buf_init(&cases->text, FILE_BYTES_MAX);
    rf_arena_init(&cases->arena, FILE_BYTES_MAX);
    return cases->parser ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "out of memory for %s", path);
}

/* Of what is in `text`. */
static rf_status read_text(const char *path, rf_test_cases *cases, rf_err *err)
{
    size_t size = cases->text.size;

    if (!rf_buf_reserve(&cases->text, RF_JSON_PADDING))
        return rf_buf_check(&cases->text, "a file of cases", err);
    memset(cases->text.data + size, 0, RF_JSON_PADDING);
    rf_status status = cut_cases(cases, path, (rf_slice){cases->text.data, size}, err);
    if (status == RF_OK && cases->count == 0)
        status = rf_fail(err, RF_ERR_INPUT, "%s: no case in it", path);
    return status;
}

rf_status rf_test_cases_read(const char *path, rf_test_cases *cases_out, rf_err *err)
{
    rf_status status = begin(path, cases_out, err);

    if (status == RF_OK)
        status = rf_file_read(path, &cases_out->text, err);
    return status == RF_OK ? read_text(path, cases_out, err) : status;
}

rf_status rf_test_cases_of(const char *path, rf_slice bytes, rf_test_cases *cases_out, rf_err *err)
{
    rf_status status = begin(path, cases_out, err);

    if (status == RF_OK)
        rf_buf_append_slice(&cases_out->text, bytes);
    return status == RF_OK ? read_text(path, cases_out, err) : status;
}

void rf_test_cases_free(rf_test_cases *cases)
{
    rf_json_parser_free(cases->parser);
    rf_arena_free(&cases->arena);
    rf_buf_free(&cases->text);
}
