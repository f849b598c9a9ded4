/* See test_compare.h. */
#include "test_compare.h"

#include "event/value.h"

enum { TEXT_BYTES_MAX = 128 << 20 };

static bool is_number(const rf_json_node *node)
{
    return node->kind == RF_JSON_INTEGER || node->kind == RF_JSON_NUMBER;
}

static bool numbers_equal(rf_slice a, rf_slice b)
{
    double a_value;
    double b_value;

    if (rf_slice_equal(a, b))
        return true;
    return rf_parse_float(a, &a_value) == RF_VALUE_OK && rf_parse_float(b, &b_value) == RF_VALUE_OK &&
           a_value == b_value;
}

/* Two values of JSON; members of objects in any order. No deeper than what the parser takes. */
static bool json_equal(const rf_json_node *a, uint32_t ai, const rf_json_node *b, uint32_t bi)
{
    uint32_t a_count = 0;
    uint32_t b_count = 0;

    if (is_number(&a[ai]) && is_number(&b[bi])) {
        bool whole = a[ai].kind == RF_JSON_INTEGER && b[bi].kind == RF_JSON_INTEGER;
        return whole ? rf_slice_equal(rf_json_text(&a[ai]), rf_json_text(&b[bi]))
                     : numbers_equal(rf_json_text(&a[ai]), rf_json_text(&b[bi]));
    }
    if (a[ai].kind != b[bi].kind)
        return false;
    if (a[ai].kind == RF_JSON_STRING)
        return rf_slice_equal(rf_json_text(&a[ai]), rf_json_text(&b[bi]));
    if (a[ai].kind != RF_JSON_ARRAY && a[ai].kind != RF_JSON_OBJECT)
        return true;
    for (uint32_t j = bi + 1; j < b[bi].next; j = b[j].next)
        b_count++;
    for (uint32_t i = ai + 1, j = bi + 1; i < a[ai].next; i = a[i].next, a_count++) {
        if (a[ai].kind == RF_JSON_OBJECT)
            j = rf_test_member(b, bi, rf_json_key(&a[i]));
        if (a_count >= b_count || j == 0 || !json_equal(a, i, b, j))
            return false;
        j = b[j].next;
    }
    return a_count == b_count;
}

static bool exact_equal(const rf_json_node *expected, const rf_json_node *got, unsigned scale)
{
    int64_t a;
    int64_t b;

    if (!is_number(expected) && expected->kind != RF_JSON_STRING)
        return false;
    return rf_parse_decimal(rf_json_text(expected), scale, RF_ROUND_NONE, &a) == RF_VALUE_OK &&
           rf_parse_decimal(rf_json_text(got), scale, RF_ROUND_NONE, &b) == RF_VALUE_OK && a == b;
}

static bool times_equal(const rf_json_node *expected, const rf_json_node *got)
{
    int64_t a;
    int64_t b;

    return expected->kind == RF_JSON_STRING &&
           rf_parse_time(rf_json_text(expected), false, 0, &a) == RF_VALUE_OK &&
           rf_parse_time(rf_json_text(got), false, 0, &b) == RF_VALUE_OK && a == b;
}

/* Whether a column has the expected value: what the column's kind calls equal. */
static bool column_equal(const rf_reader_column *column, const rf_json_node *expected, uint32_t at,
                         const rf_json_node *got, uint32_t got_at)
{
    if (json_equal(expected, at, got, got_at))
        return true;
    if (expected[at].kind == RF_JSON_NULL || got[got_at].kind == RF_JSON_NULL)
        return false;
    if (column->kind == RF_DECIMAL)
        return exact_equal(&expected[at], &got[got_at], column->scale);
    return column->kind == RF_TIME && times_equal(&expected[at], &got[got_at]);
}

/* A node as JSON in the arena; NULL without memory. */
static const char *text_of(rf_test_compare *compare, const rf_json_node *node)
{
    rf_buf_clear(&compare->text);
    rf_test_append_json(&compare->text, node);
    return compare->text.failed
               ? NULL
               : rf_arena_copy(compare->arena, rf_buf_slice(&compare->text)).data;
}

static rf_status add_difference(rf_test_compare *compare, const rf_json_node *key,
                                const char *column, const rf_json_node *expected,
                                const rf_json_node *got, rf_err *err)
{
    if (compare->count == compare->capacity) {
        uint32_t capacity = compare->capacity ? compare->capacity * 2 : 8;
        rf_test_difference *more = rf_arena_alloc(compare->arena, capacity * sizeof *more);
        if (!more)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for differences");
        if (compare->count > 0)
            memcpy(more, compare->differences, compare->count * sizeof *more);
        compare->differences = more;
        compare->capacity = capacity;
    }
    rf_test_difference *difference = &compare->differences[compare->count];
    *difference = (rf_test_difference){
        .key = text_of(compare, key),
        .column = column,
        .expected = expected ? text_of(compare, expected) : NULL,
        .got = got ? text_of(compare, got) : NULL,
    };
    if (!difference->key || (expected && !difference->expected) || (got && !difference->got))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for differences");
    compare->count++;
    return RF_OK;
}

static const rf_reader_column *find_column(const rf_reader_info *info, rf_slice name)
{
    for (uint32_t i = 0; i < info->column_count; i++)
        if (rf_slice_equal(rf_slice_of(info->columns[i].name), name))
            return &info->columns[i];
    return NULL;
}

rf_status rf_test_compare_begin(rf_test_compare *compare, const rf_given *given,
                                const rf_reader_info *info, rf_arena *arena, rf_err *err)
{
    uint32_t rows = 0;

    *compare = (rf_test_compare){.given = given, .info = info, .arena = arena};
    rf_buf_init(&compare->text, TEXT_BYTES_MAX);
    compare->parser = rf_json_parser_new();
    for (uint32_t i = given->rows + 1; i < given->nodes[given->rows].next; i = given->nodes[i].next)
        rows++;
    compare->found = rf_arena_alloc(arena, rows * sizeof *compare->found);
    if (!compare->parser || !compare->found)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a case");
    memset(compare->found, 0, rows * sizeof *compare->found);
    return RF_OK;
}

/* Compares the columns that the expected row has. */
static rf_status compare_columns(rf_test_compare *compare, uint32_t row, const rf_json_node *got,
                                 rf_err *err)
{
    const rf_json_node *nodes = compare->given->nodes;
    uint32_t key = rf_test_member(nodes, row, RF_SLICE("key"));
    rf_status status = RF_OK;

    for (uint32_t i = row + 1; status == RF_OK && i < nodes[row].next; i = nodes[i].next) {
        rf_slice name = rf_json_key(&nodes[i]);
        if (i == key)
            continue;
        const rf_reader_column *column = find_column(compare->info, name);
        uint32_t got_at = column ? rf_test_member(got, 0, name) : 0;
        if (got_at != 0 && column_equal(column, nodes, i, got, got_at))
            continue;
        const char *copy = rf_arena_copy(compare->arena, name).data;
        if (!copy)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for differences");
        status = add_difference(compare, &nodes[key], copy, &nodes[i],
                                got_at != 0 ? &got[got_at] : NULL, err);
    }
    return status;
}

rf_status rf_test_compare_row(rf_test_compare *compare, rf_slice json, rf_err *err)
{
    const rf_json_node *nodes = compare->given->nodes;
    uint32_t rows = compare->given->rows;
    const rf_json_node *got = NULL;
    uint32_t count = 0;
    uint32_t number = 0;

    rf_json_parser_reset(compare->parser);
    rf_status status = rf_json_parse(compare->parser, json, &got, &count, err);
    if (status != RF_OK)
        return status;
    uint32_t key = rf_test_member(got, 0, RF_SLICE("key"));
    RF_ASSERT(key != 0);
    for (uint32_t i = rows + 1; i < nodes[rows].next; i = nodes[i].next, number++) {
        uint32_t expected_key = rf_test_member(nodes, i, RF_SLICE("key"));
        if (compare->found[number] || !json_equal(nodes, expected_key, got, key))
            continue;
        compare->found[number] = true;
        return compare_columns(compare, i, got, err);
    }
    return add_difference(compare, &got[key], NULL, NULL, &got[0], err);
}

rf_status rf_test_compare_rest(rf_test_compare *compare, rf_err *err)
{
    const rf_json_node *nodes = compare->given->nodes;
    uint32_t rows = compare->given->rows;
    rf_status status = RF_OK;
    uint32_t number = 0;

    for (uint32_t i = rows + 1; status == RF_OK && i < nodes[rows].next;
         i = nodes[i].next, number++) {
        uint32_t key = rf_test_member(nodes, i, RF_SLICE("key"));
        if (!compare->found[number])
            status = add_difference(compare, &nodes[key], NULL, &nodes[i], NULL, err);
    }
    return status;
}

void rf_test_compare_end(rf_test_compare *compare)
{
    rf_json_parser_free(compare->parser);
    rf_buf_free(&compare->text);
}
