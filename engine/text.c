/* Rows and events as text, for the public text.h: a thin coat over base/bytes and event/value. */
#include "refold/text.h"

#include "base/bytes.h"
#include "catalog/row.h"
#include "event/key.h"
#include "event/value.h"

#include <inttypes.h>
#include <stdlib.h>

/* A row has at most 16 MiB, of which JSON makes at most six times as much where every byte is a
 * control character; real rows stay far below. */
enum { TEXT_SIZE_MAX = 128 << 20 };

struct rf_text {
    rf_buf buf;
};

rf_text *rf_text_new(void)
{
    rf_text *text = calloc(1, sizeof *text);
    if (text)
        rf_buf_init(&text->buf, TEXT_SIZE_MAX);
    return text;
}

void rf_text_free(rf_text *text)
{
    if (!text)
        return;
    rf_buf_free(&text->buf);
    free(text);
}

void rf_text_clear(rf_text *text)
{
    rf_buf_clear(&text->buf);
}

rf_slice rf_text_bytes(const rf_text *text)
{
    return rf_buf_slice(&text->buf);
}

rf_status rf_text_check(const rf_text *text, rf_err *err)
{
    return rf_buf_check(&text->buf, "text of a row or event", err);
}

void rf_text_append(rf_text *text, rf_slice bytes)
{
    rf_buf_append_slice(&text->buf, bytes);
}

void rf_text_append_json_string(rf_text *text, rf_slice string)
{
    rf_append_json_string(&text->buf, string);
}

static void append_literal(rf_buf *out, const char *literal)
{
    rf_buf_append(out, literal, strlen(literal));
}

/* Digits of an integer: by hand, because a scan of millions of rows spends its time here. */
static void append_int(rf_buf *out, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        digits[--at] = '-';
    rf_buf_append(out, digits + at, sizeof digits - at);
}

/* A value that is neither null nor text nor json, as it stands in JSON (without quotes) and CSV. */
static void append_scalar(rf_buf *out, const rf_value *value)
{
    char text[RF_VALUE_TEXT_SIZE];
    switch (value->kind) {
    case RF_INT:
        append_int(out, value->integer);
        break;
    case RF_DECIMAL:
        rf_buf_append(out, text, rf_format_decimal(value->integer, value->scale, text));
        break;
    case RF_FLOAT:
        rf_buf_append(out, text, rf_format_float(value->number, text));
        break;
    case RF_BOOL:
        append_literal(out, value->boolean ? "true" : "false");
        break;
    case RF_TIME:
        rf_buf_append(out, text, rf_format_time(value->integer, text));
        break;
    case RF_DATE:
        rf_buf_append(out, text, rf_format_date(value->integer, text));
        break;
    case RF_TEXT:
    case RF_JSON:
        rf_buf_append_slice(out, value->text);
        break;
    }
}

static void append_value_json(rf_buf *out, const rf_value *value)
{
    if (rf_value_is_null(value)) {
        append_literal(out, "null");
    } else if (value->kind == RF_TEXT) {
        rf_append_json_string(out, value->text);
    } else {
        bool quoted =
            value->kind == RF_DECIMAL || value->kind == RF_TIME || value->kind == RF_DATE;
        if (quoted)
            rf_buf_append_byte(out, '"');
        append_scalar(out, value);
        if (quoted)
            rf_buf_append_byte(out, '"');
    }
}

void rf_text_append_value_json(rf_text *text, const rf_value *value)
{
    append_value_json(&text->buf, value);
}

void rf_text_append_key_json(rf_text *text, const rf_reader_info *info, rf_slice key)
{
    rf_key_append_json(&text->buf, key, info->key_parts, info->key_part_count);
}

void rf_text_append_row_json(rf_text *text, const rf_reader_info *info, const rf_row *row)
{
    rf_buf *out = &text->buf;
    append_literal(out, "{\"key\":");
    rf_key_append_json(out, row->key, info->key_parts, info->key_part_count);
    for (uint32_t i = 0; i < info->column_count; i++) {
        /* A column's name is [a-z0-9_]: it needs no escapes. */
        append_literal(out, ",\"");
        append_literal(out, info->columns[i].name);
        append_literal(out, "\":");
        append_value_json(out, &row->values[i]);
    }
    rf_buf_append_byte(out, '}');
}

static void append_text_csv(rf_buf *out, rf_slice field)
{
    bool quoted = field.size == 0;
    for (size_t i = 0; i < field.size && !quoted; i++) {
        char c = field.data[i];
        quoted = c == ',' || c == '"' || c == '\r' || c == '\n';
    }
    if (!quoted) {
        rf_buf_append_slice(out, field);
        return;
    }
    rf_buf_append_byte(out, '"');
    size_t begin = 0;
    for (size_t i = 0; i < field.size; i++) {
        if (field.data[i] == '"') {
            rf_buf_append(out, field.data + begin, i + 1 - begin);
            begin = i; /* the quote comes once more with what follows */
        }
    }
    rf_buf_append(out, field.data + begin, field.size - begin);
    rf_buf_append_byte(out, '"');
}

/* The key as one field: a text as it is, else as in JSON, a single part without its quotes. */
static void append_key_csv(rf_buf *out, const rf_reader_info *info, rf_slice key)
{
    rf_buf json;

    if (rf_key_is_text(info->key_parts, info->key_part_count)) {
        append_text_csv(out, key);
        return;
    }
    rf_buf_init(&json, TEXT_SIZE_MAX);
    rf_key_append_json(&json, key, info->key_parts, info->key_part_count);
    rf_slice shown = rf_buf_slice(&json);
    if (info->key_part_count == 1 && shown.size >= 2 && shown.data[0] == '"')
        shown = (rf_slice){shown.data + 1, shown.size - 2};
    append_text_csv(out, shown);
    out->failed |= json.failed;
    rf_buf_free(&json);
}

void rf_text_append_row_csv(rf_text *text, const rf_reader_info *info, const rf_row *row)
{
    rf_buf *out = &text->buf;
    append_key_csv(out, info, row->key);
    for (uint32_t i = 0; i < info->column_count; i++) {
        const rf_value *value = &row->values[i];
        rf_buf_append_byte(out, ',');
        if (rf_value_is_null(value))
            continue;
        if (value->kind == RF_TEXT || value->kind == RF_JSON)
            append_text_csv(out, value->text);
        else
            append_scalar(out, value);
    }
    append_literal(out, "\r\n");
}

void rf_text_append_header_csv(rf_text *text, const rf_reader_info *info)
{
    rf_buf *out = &text->buf;
    append_literal(out, "key");
    for (uint32_t i = 0; i < info->column_count; i++) {
        rf_buf_append_byte(out, ',');
        append_literal(out, info->columns[i].name);
    }
    append_literal(out, "\r\n");
}

void rf_text_append_time(rf_text *text, int64_t time)
{
    char formatted[RF_VALUE_TEXT_SIZE];
    if (time == RF_TIME_NONE)
        append_literal(&text->buf, "null");
    else
        rf_buf_append(&text->buf, formatted, rf_format_time_short(time, formatted));
}

void rf_text_append_event_json(rf_text *text, const rf_stored_event *event)
{
    rf_buf *out = &text->buf;
    append_literal(out, "{\"position\":");
    append_int(out, (int64_t)event->position);
    if (event->source_position) {
        append_literal(out, ",\"source_position\":");
        append_int(out, (int64_t)event->source_position);
    }
    if (event->source.size && !rf_slice_equal(event->source, RF_SLICE("main"))) {
        append_literal(out, ",\"source\":");
        rf_append_json_string(out, event->source);
    }
    append_literal(out, ",\"stream\":");
    rf_append_json_string(out, event->stream);
    append_literal(out, ",\"version\":");
    append_int(out, event->version);
    append_literal(out, ",\"type\":");
    rf_append_json_string(out, event->type);
    append_literal(out, ",\"schema\":");
    append_int(out, event->schema);
    append_literal(out, ",\"time\":");
    if (event->time == RF_TIME_NONE) {
        append_literal(out, "null");
    } else {
        rf_buf_append_byte(out, '"');
        rf_text_append_time(text, event->time);
        rf_buf_append_byte(out, '"');
    }
    append_literal(out, ",\"data\":");
    rf_buf_append_slice(out, event->data);
    if (event->metadata.data) {
        append_literal(out, ",\"metadata\":");
        rf_buf_append_slice(out, event->metadata);
    }
    rf_buf_append_byte(out, '}');
}

rf_status rf_time_parse(rf_slice text, int64_t *time_out, rf_err *err)
{
    int64_t time = 0;
    switch (rf_parse_time(text, false, 0, &time)) {
    case RF_VALUE_OK:
        *time_out = time;
        return RF_OK;
    case RF_VALUE_NO_ZONE:
        return rf_fail(err, RF_ERR_INPUT, "the time '%.*s' has no offset: end it with Z or +02:00",
                       (int)text.size, text.data);
    case RF_VALUE_RANGE:
        return rf_fail(err, RF_ERR_INPUT, "the time '%.*s' is out of range", (int)text.size,
                       text.data);
    case RF_VALUE_WRONG_KIND:
    case RF_VALUE_DIGITS:
    case RF_VALUE_NOT_WHOLE:
    case RF_VALUE_BY_ZERO:
        break;
    }
    return rf_fail(err, RF_ERR_INPUT, "'%.*s' is not a time such as 2024-07-10T12:00:00Z",
                   (int)text.size, text.data);
}
