/* See line_text.h. */
#include "source/line_text.h"

#include "event/json.h"
#include "source/lines.h"

enum { BLOCK_TEXT_MAX = RF_LINES_BLOCK_SIZE + 2 * RF_LINES_LINE_MAX };

void rf_line_blocks_init(rf_line_blocks *blocks)
{
    for (unsigned i = 0; i < RF_LINE_BLOCKS; i++)
        rf_buf_init(&blocks->texts[i], BLOCK_TEXT_MAX);
    blocks->turn = 0;
}

void rf_line_blocks_free(rf_line_blocks *blocks)
{
    for (unsigned i = 0; i < RF_LINE_BLOCKS; i++)
        rf_buf_free(&blocks->texts[i]);
}

rf_buf *rf_line_blocks_turn(rf_line_blocks *blocks)
{
    blocks->turn = (blocks->turn + 1) % RF_LINE_BLOCKS;
    rf_buf_clear(&blocks->texts[blocks->turn]);
    return &blocks->texts[blocks->turn];
}

rf_status rf_line_blocks_give(rf_line_blocks *blocks, rf_slice cursor, rf_feed_block *block_out,
                              rf_err *err)
{
    rf_buf *text = &blocks->texts[blocks->turn];
    char *kept = blocks->cursors[blocks->turn];

    RF_ASSERT(cursor.size <= RF_LINE_CURSOR_SIZE);
    char *padding = rf_buf_reserve(text, RF_JSON_PADDING);
    rf_status status = rf_buf_check(text, "a block of events", err);
    if (status)
        return status;
    memset(padding, 0, RF_JSON_PADDING);
    memcpy(kept, cursor.data, cursor.size);
    *block_out = (rf_feed_block){rf_buf_slice(text), {kept, cursor.size}};
    return RF_OK;
}

/* Writes `"name":`, with a comma before it where it is not the first, and gives the place behind it, with
 * `more` bytes of room; NULL without. */
static char *member_begin(rf_buf *out, const char *name, size_t more)
{
    size_t size = strlen(name);
    bool is_first = out->size == 0 || out->data[out->size - 1] == '{';
    char *at = rf_buf_reserve(out, size + 4 + more);

    if (!at)
        return NULL;
    *at = ',';
    at += !is_first;
    *at++ = '"';
    rf_copy_short(at, name, size);
    memcpy(at + size, "\":", 2);
    out->size += size + 3 + !is_first;
    return at + size + 2;
}

void rf_line_begin(rf_buf *out)
{
    rf_buf_append_byte(out, '{');
}

void rf_line_end(rf_buf *out)
{
    rf_buf_append(out, "}\n", 2);
}

void rf_line_integer(rf_buf *out, const char *name, int64_t value)
{
    char *at = member_begin(out, name, RF_VALUE_TEXT_SIZE);

    if (at)
        out->size += rf_format_decimal(value, 0, at);
}

void rf_line_string(rf_buf *out, const char *name, rf_slice text)
{
    (void)member_begin(out, name, text.size + 2);
    rf_append_json_string(out, text);
}

void rf_line_plain(rf_buf *out, const char *name, rf_slice text)
{
    char *at = member_begin(out, name, text.size + 2);

    if (!at)
        return;
    *at = '"';
    rf_copy_short(at + 1, text.data, text.size);
    at[text.size + 1] = '"';
    out->size += text.size + 2;
}

void rf_line_time(rf_buf *out, const char *name, int64_t us)
{
    char text[RF_VALUE_TEXT_SIZE];
    size_t size = rf_format_time(us, text);

    rf_line_plain(out, name, (rf_slice){text, size});
}

void rf_line_raw(rf_buf *out, const char *name, rf_slice json)
{
    char *at = member_begin(out, name, json.size);

    if (!at)
        return;
    memcpy(at, json.data, json.size);
    out->size += json.size;
}

/* Behind the string that begins at `at`; NULL where it does not end, or has a control character inside. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if ((unsigned char)*at < 0x20)
            return NULL;
        at += *at == '\\' && at + 1 < end && (unsigned char)at[1] >= 0x20;
    }
    return NULL;
}

/* Whether brackets close what they open and nothing stands behind the value's own last one: then no text
 * can add members to the line that it is put into. */
static bool is_one_value(rf_slice json)
{
    const char *end = json.data + json.size;
    char opened[RF_JSON_DEPTH_MAX];
    unsigned depth = 0;
    bool done = false;

    for (const char *at = json.data; at < end;) {
        char byte = *at;
        if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n') {
            at++;
            continue;
        }
        if (done)
            return false;
        if (byte == '"') {
            at = string_end(at, end);
            if (!at)
                return false;
        } else if (byte == '{' || byte == '[') {
            if (depth == RF_JSON_DEPTH_MAX)
                return false;
            opened[depth++] = byte;
            at++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0 || opened[--depth] != (byte == '}' ? '{' : '['))
                return false;
            at++;
        } else if (depth == 0) {
            /* A number or a word: up to a blank. */
            while (at < end && *at != ' ' && *at != '\t' && *at != '\r' && *at != '\n') {
                if (*at == ',' || *at == ':' || *at == '"' || *at == '}' || *at == ']')
                    return false;
                at++;
            }
        } else {
            at++;
        }
        done = depth == 0;
    }
    return done && depth == 0;
}

static void blank_breaks(rf_buf *out, size_t begin, char byte)
{
    for (char *at; begin < out->size; begin = (size_t)(at + 1 - out->data)) {
        at = memchr(out->data + begin, byte, out->size - begin);
        if (!at)
            break;
        *at = ' ';
    }
}

bool rf_line_json(rf_buf *out, const char *name, rf_slice json)
{
    if (!is_one_value(json))
        return false;
    (void)member_begin(out, name, json.size);
    size_t begin = out->size;
    rf_buf_append_slice(out, json);
    /* Strings have none. */
    blank_breaks(out, begin, '\n');
    blank_breaks(out, begin, '\r');
    return true;
}
