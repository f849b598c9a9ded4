/* See json_values.h. */
#include "source/json_values.h"

#include "event/json.h"

/* Where a value that is being read stands. */
typedef struct value_state {
    uint32_t depth;
    bool in_string;
    bool is_escaped;
    bool is_scalar;
} value_state;

void rf_json_values_init(rf_json_values *values, rf_feed *feed, bool elements, size_t size_max)
{
    *values = (rf_json_values){
        .feed = feed, .elements = elements, .rest = RF_SLICE(""), .line_next = 1};
    rf_buf_init(&values->value, size_max + RF_JSON_PADDING);
}

void rf_json_values_free(rf_json_values *values)
{
    rf_buf_free(&values->value);
}

static rf_status refuse(const rf_json_values *values, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_INPUT, "%s:%llu: %s", values->feed->name.data,
                   (unsigned long long)values->line, what);
}

/* More text, where there is none left. */
static rf_status rest_fill(rf_json_values *values, rf_err *err)
{
    rf_feed_block block;

    if (values->rest.size > 0 || values->ended)
        return RF_OK;
    values->line = values->line_next;
    rf_status status = values->feed->ops->next(values->feed, values->line, &block, err);
    if (status)
        return status;
    values->rest = block.text;
    values->ended = block.text.size == 0;
    for (size_t i = 0; i < block.text.size; i++)
        values->line_next += block.text.data[i] == '\n';
    return RF_OK;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static char rest_take(rf_json_values *values)
{
    char byte = values->rest.data[0];

    values->line += byte == '\n';
    values->rest.data++;
    values->rest.size--;
    return byte;
}

/* Up to the first byte of a value. */
static rf_status begin_find(rf_json_values *values, bool *found_out, rf_err *err)
{
    *found_out = false;
    for (;;) {
        rf_status status = rest_fill(values, err);
        if (status)
            return status;
        if (values->ended)
            return values->in_array
                       ? refuse(values, "the text ends in the middle of an array", err)
                       : RF_OK;
        char byte = values->rest.data[0];
        if (is_blank(byte)) {
            (void)rest_take(values);
        } else if (!values->in_array && values->elements && byte == '[') {
            (void)rest_take(values);
            values->in_array = true;
            values->comma_due = values->value_due = false;
        } else if (values->in_array && byte == ']' && !values->value_due) {
            (void)rest_take(values);
            values->in_array = false;
        } else if (values->in_array && byte == ',' && values->comma_due) {
            (void)rest_take(values);
            values->comma_due = false;
            values->value_due = true;
        } else if (values->in_array && (values->comma_due || byte == ',' || byte == ']')) {
            return refuse(values, "not valid JSON: a comma or a value is missing in the array", err);
        } else {
            *found_out = true;
            return RF_OK;
        }
    }
}

/* Whether the value ends with this byte; *before_out: it ended before it. */
static bool ends_with(value_state *state, char byte, bool *before_out)
{
    *before_out = false;
    if (state->in_string) {
        state->in_string = state->is_escaped || byte != '"';
        state->is_escaped = !state->is_escaped && byte == '\\';
        return !state->in_string && state->depth == 0;
    }
    if (state->is_scalar) {
        *before_out = is_blank(byte) || byte == ',' || byte == ']' || byte == '}';
        return *before_out;
    }
    if (byte == '"') {
        state->in_string = true;
    } else if (byte == '{' || byte == '[') {
        state->depth++;
    } else if (byte == '}' || byte == ']') {
        state->depth -= state->depth > 0;
        return state->depth == 0;
    } else if (state->depth == 0) {
        state->is_scalar = true;
    }
    return false;
}

/* Copies the value that begins at the rest. */
static rf_status value_take(rf_json_values *values, rf_err *err)
{
    value_state state = {0};
    bool done = false;
    bool before;

    while (!done) {
        rf_status status = rest_fill(values, err);
        if (status)
            return status;
        if (values->ended)
            return state.is_scalar ? RF_OK
                                   : refuse(values, "the text ends in the middle of a JSON value",
                                            err);
        size_t size = 0;
        before = false;
        while (!done && size < values->rest.size) {
            char byte = values->rest.data[size++];
            done = ends_with(&state, byte, &before);
            values->line += byte == '\n' && !before;
        }
        size -= before;
        rf_buf_append(&values->value, values->rest.data, size);
        values->rest.data += size;
        values->rest.size -= size;
        if (values->value.failed)
            return refuse(values, "a JSON value is larger than one can be here", err);
    }
    return RF_OK;
}

/* What stands behind a value, as far as it has come: who writes the next one later has perhaps written the comma. */
static void rest_skip(rf_json_values *values)
{
    for (; values->rest.size > 0; (void)rest_take(values)) {
        bool is_comma = values->in_array && values->comma_due && values->rest.data[0] == ',';
        if (!is_comma && !is_blank(values->rest.data[0]))
            return;
        if (is_comma) {
            values->comma_due = false;
            values->value_due = true;
        }
    }
}

rf_status rf_json_values_next(rf_json_values *values, rf_slice *value_out, uint64_t *line_out,
                              rf_err *err)
{
    bool found;

    rf_buf_clear(&values->value);
    rf_status status = begin_find(values, &found, err);
    *line_out = values->line;
    if (!status && found) {
        status = value_take(values, err);
        values->comma_due = true;
        values->value_due = false;
        if (!status)
            rest_skip(values);
    }
    if (status)
        return status;
    size_t size = values->value.size;
    char *padding = rf_buf_reserve(&values->value, RF_JSON_PADDING);
    status = rf_buf_check(&values->value, "a JSON value", err);
    if (status)
        return status;
    memset(padding, 0, RF_JSON_PADDING);
    *value_out = (rf_slice){values->value.data, size};
    return RF_OK;
}
