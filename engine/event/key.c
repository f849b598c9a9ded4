/* See key.h. */
#include "event/key.h"

#include "event/json.h"
#include "event/value.h"

#include <stdlib.h>

enum { NULL_BYTE = 0, VALUE_BYTE = 1, WORD_SIZE = 8 };
#define SIGN_BIT ((uint64_t)1 << 63)

/* ---- encoding ---- */

static bool is_word(rf_kind kind)
{
    return kind == RF_INT || kind == RF_DECIMAL || kind == RF_TIME || kind == RF_DATE ||
           kind == RF_FLOAT;
}

static uint64_t word_of(const rf_value *value)
{
    uint64_t bits;

    if (value->kind != RF_FLOAT)
        return (uint64_t)value->integer ^ SIGN_BIT;
    memcpy(&bits, &value->number, sizeof bits);
    if (__builtin_isnan(value->number))
        return UINT64_MAX;
    return bits & SIGN_BIT ? ~bits : bits ^ SIGN_BIT;
}

static void value_of_word(uint64_t word, rf_value *value)
{
    uint64_t bits = word & SIGN_BIT ? word ^ SIGN_BIT : ~word;

    if (value->kind != RF_FLOAT)
        value->integer = (int64_t)(word ^ SIGN_BIT);
    else
        memcpy(&value->number, &bits, sizeof bits);
}

rf_key_fault rf_key_add(rf_key_bytes *key, const rf_value *value)
{
    bool is_text = value->kind == RF_TEXT;
    size_t body = value->is_null         ? 0
                  : is_text              ? value->text.size + 1
                  : is_word(value->kind) ? WORD_SIZE
                                         : 1;

    RF_ASSERT(value->kind != RF_JSON);
    if (body + 1 > RF_KEY_BYTES_MAX - key->size)
        return RF_KEY_TOO_LONG;
    if (is_text && body > 1 && memchr(value->text.data, 0, value->text.size))
        return RF_KEY_HAS_NUL;
    char *at = key->data + key->size;
    *at++ = value->is_null ? NULL_BYTE : VALUE_BYTE;
    key->size += 1 + body;
    if (value->is_null)
        return RF_KEY_FINE;
    if (is_word(value->kind)) {
        rf_store_u64_be(at, word_of(value));
    } else if (is_text) {
        if (body > 1)
            memcpy(at, value->text.data, body - 1);
        at[body - 1] = 0;
    } else {
        *at = value->boolean ? 1 : 0;
    }
    return RF_KEY_FINE;
}

/* ---- decoding ---- */

static bool read_part(rf_bytes_reader *in, rf_value *value)
{
    uint8_t mark = rf_read_byte(in);

    value->is_null = mark == NULL_BYTE;
    if (in->failed || mark > VALUE_BYTE)
        return false;
    if (value->is_null)
        return true;
    if (is_word(value->kind)) {
        value_of_word(__builtin_bswap64(rf_read_u64(in)), value);
        return !in->failed;
    }
    if (value->kind == RF_BOOL) {
        uint8_t byte = rf_read_byte(in);
        value->boolean = byte == 1;
        return !in->failed && byte <= 1;
    }
    const char *end = rf_bytes_left(in) ? memchr(in->at, 0, rf_bytes_left(in)) : NULL;
    if (value->kind != RF_TEXT || !end)
        return false;
    value->text = rf_read_slice(in, (size_t)(end - in->at));
    (void)rf_read_byte(in);
    return true;
}

rf_status rf_key_decode(rf_slice key, const rf_reader_column *parts, uint32_t part_count,
                        rf_value *values_out, rf_err *err)
{
    rf_bytes_reader in = rf_bytes_reader_of(key);

    if (rf_key_is_text(parts, part_count)) {
        values_out[0] = (rf_value){.kind = RF_TEXT, .text = key};
        return RF_OK;
    }
    for (uint32_t i = 0; i < part_count; i++) {
        values_out[i] = (rf_value){.kind = parts[i].kind, .scale = parts[i].scale};
        if (!read_part(&in, &values_out[i]))
            return rf_fail(err, RF_ERR_DAMAGED, "a key's part %s does not hold its kind",
                           parts[i].name);
    }
    if (rf_bytes_left(&in) > 0)
        return rf_fail(err, RF_ERR_DAMAGED, "a key has %zu bytes after its last part",
                       rf_bytes_left(&in));
    return RF_OK;
}

bool rf_key_skip(rf_slice key, const rf_reader_column *parts, uint32_t part_count, size_t *size_out)
{
    rf_bytes_reader in = rf_bytes_reader_of(key);

    for (uint32_t i = 0; i < part_count; i++) {
        rf_value value = {.kind = parts[i].kind};
        if (!read_part(&in, &value))
            return false;
    }
    *size_out = key.size - rf_bytes_left(&in);
    return true;
}

static void append_value(rf_buf *out, const rf_value *value)
{
    char text[RF_VALUE_TEXT_SIZE];

    if (value->is_null) {
        rf_buf_append_format(out, "null");
        return;
    }
    switch (value->kind) {
    case RF_INT:
        rf_buf_append_format(out, "%lld", (long long)value->integer);
        return;
    case RF_FLOAT:
        (void)rf_format_float(value->number, text);
        rf_buf_append_format(out, "%s", text);
        return;
    case RF_BOOL:
        rf_buf_append_format(out, "%s", value->boolean ? "true" : "false");
        return;
    case RF_TEXT:
    case RF_JSON:
        rf_append_json_string(out, value->text);
        return;
    case RF_DECIMAL:
        (void)rf_format_decimal(value->integer, value->scale, text);
        break;
    case RF_TIME:
        (void)rf_format_time(value->integer, text);
        break;
    case RF_DATE:
        (void)rf_format_date(value->integer, text);
        break;
    }
    rf_buf_append_format(out, "\"%s\"", text);
}

void rf_key_append_json(rf_buf *out, rf_slice key, const rf_reader_column *parts,
                        uint32_t part_count)
{
    rf_value values[RF_KEY_PARTS_MAX];

    RF_ASSERT(part_count <= RF_KEY_PARTS_MAX);
    if (rf_key_is_text(parts, part_count) ||
        rf_key_decode(key, parts, part_count, values, NULL) != RF_OK) {
        rf_append_json_string(out, key);
        return;
    }
    if (part_count > 1)
        rf_buf_append_byte(out, '[');
    for (uint32_t i = 0; i < part_count; i++) {
        if (i > 0)
            rf_buf_append_byte(out, ',');
        append_value(out, &values[i]);
    }
    if (part_count > 1)
        rf_buf_append_byte(out, ']');
}

/* ---- from the command line ---- */

static const char *kind_words(rf_kind kind)
{
    static const char *const words[] = {
        [RF_INT] = "an integer",        [RF_DECIMAL] = "a decimal with no more digits than it has",
        [RF_FLOAT] = "a number",        [RF_BOOL] = "true or false",
        [RF_TEXT] = "a text",           [RF_TIME] = "a time such as 2024-07-10T12:00:00Z",
        [RF_DATE] = "a date such as 2024-07-10", [RF_JSON] = "JSON",
    };
    return words[kind];
}

/* A value of the kind out of its text; false where it is none. */
static bool parse_value(rf_slice text, rf_value *value)
{
    switch (value->kind) {
    case RF_INT:
        return rf_parse_int(text, &value->integer) == RF_VALUE_OK;
    case RF_DECIMAL:
        return rf_parse_decimal(text, value->scale, RF_ROUND_NONE, &value->integer) == RF_VALUE_OK;
    case RF_FLOAT:
        return rf_parse_float(text, &value->number) == RF_VALUE_OK;
    case RF_BOOL:
        value->boolean = rf_slice_equal(text, RF_SLICE("true"));
        return value->boolean || rf_slice_equal(text, RF_SLICE("false"));
    case RF_TIME:
        return rf_parse_time(text, false, 0, &value->integer) == RF_VALUE_OK;
    case RF_DATE:
        return rf_parse_date(text, &value->integer) == RF_VALUE_OK;
    case RF_TEXT:
        value->text = text;
        return true;
    case RF_JSON:
        break;
    }
    return false;
}

static bool node_fits(const rf_json_node *node, rf_kind kind)
{
    bool is_number = node->kind == RF_JSON_INTEGER || node->kind == RF_JSON_NUMBER;
    bool is_string = node->kind == RF_JSON_STRING;

    switch (kind) {
    case RF_INT:
    case RF_FLOAT:
        return is_number;
    case RF_DECIMAL:
        return is_number || is_string;
    case RF_BOOL:
        return node->kind == RF_JSON_TRUE || node->kind == RF_JSON_FALSE;
    case RF_TEXT:
    case RF_TIME:
    case RF_DATE:
        return is_string;
    case RF_JSON:
        break;
    }
    return false;
}

static rf_status refuse_part(const rf_reader_column *part, rf_slice text, rf_err *err)
{
    return rf_fail(err, RF_ERR_USAGE, "the key's part %s is %s, not %.*s", part->name,
                   kind_words(part->kind), (int)text.size, text.data);
}

static rf_status add_part(rf_key_bytes *key, const rf_reader_column *part, const rf_value *value,
                          rf_err *err)
{
    switch (rf_key_add(key, value)) {
    case RF_KEY_FINE:
        return RF_OK;
    case RF_KEY_TOO_LONG:
        return rf_fail(err, RF_ERR_USAGE, "a key has at most %d bytes", RF_KEY_BYTES_MAX);
    case RF_KEY_HAS_NUL:
        break;
    }
    return rf_fail(err, RF_ERR_USAGE, "the key's part %s has a zero byte", part->name);
}

static rf_status parse_elements(const rf_json_node *nodes, uint32_t count,
                                const rf_reader_column *parts, uint32_t part_count,
                                rf_key_use use, rf_key_bytes *key, rf_err *err)
{
    uint32_t used = 0;
    rf_status status = RF_OK;

    for (uint32_t at = 1; status == RF_OK && at < count; at = nodes[at].next, used++) {
        if (used == part_count)
            return rf_fail(err, RF_ERR_USAGE, "a key has %u parts, and this array more",
                           part_count);
        rf_value value = {.kind = parts[used].kind, .scale = parts[used].scale};
        value.is_null = nodes[at].kind == RF_JSON_NULL;
        if (!value.is_null && !(node_fits(&nodes[at], value.kind) &&
                                parse_value(rf_json_text(&nodes[at]), &value)))
            return refuse_part(&parts[used], rf_json_text(&nodes[at]), err);
        status = add_part(key, &parts[used], &value, err);
    }
    if (status == RF_OK && use == RF_KEY_WHOLE && used < part_count)
        return rf_fail(err, RF_ERR_USAGE, "a key has %u parts, and this array %u", part_count, used);
    return status;
}

static rf_status parse_array(rf_slice text, const rf_reader_column *parts, uint32_t part_count,
                             rf_key_use use, rf_key_bytes *key, rf_err *err)
{
    const rf_json_node *nodes;
    uint32_t count;
    rf_json_parser *parser = rf_json_parser_new();
    char *padded = calloc(1, text.size + RF_JSON_PADDING);
    rf_status status = RF_OK;

    if (!parser || !padded)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a key");
    if (status == RF_OK) {
        memcpy(padded, text.data, text.size);
        status = rf_json_parse(parser, (rf_slice){padded, text.size}, &nodes, &count, err);
        if (status != RF_OK)
            status = rf_fail(err, RF_ERR_USAGE, "the key %.*s is no JSON array", (int)text.size,
                             text.data);
    }
    if (status == RF_OK)
        status = parse_elements(nodes, count, parts, part_count, use, key, err);
    free(padded);
    rf_json_parser_free(parser);
    return status;
}

/* A single value, written as it is; of a prefix of text the end is open. */
static rf_status parse_single(rf_slice text, const rf_reader_column *part, rf_key_use use,
                              rf_key_bytes *key, rf_err *err)
{
    rf_value value = {.kind = part->kind, .scale = part->scale};

    if (!parse_value(text, &value))
        return refuse_part(part, text, err);
    rf_status status = add_part(key, part, &value, err);
    if (status == RF_OK && use == RF_KEY_PREFIX && part->kind == RF_TEXT)
        key->size--; /* the zero byte at its end */
    return status;
}

rf_status rf_key_parse(rf_slice text, const rf_reader_column *parts, uint32_t part_count,
                       rf_key_use use, rf_key_bytes *key_out, rf_err *err)
{
    RF_ASSERT(part_count > 0 && part_count <= RF_KEY_PARTS_MAX);
    key_out->size = 0;
    if (text.size > 0 && text.data[0] == '[' && !rf_key_is_text(parts, part_count))
        return parse_array(text, parts, part_count, use, key_out, err);
    if (part_count > 1 && use == RF_KEY_WHOLE)
        return rf_fail(err, RF_ERR_USAGE, "a key of %u parts is a JSON array, not %.*s", part_count,
                       (int)text.size, text.data);
    return parse_single(text, &parts[0], use, key_out, err);
}
