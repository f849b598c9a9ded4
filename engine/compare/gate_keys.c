/* See gate_keys.h. */
#include "compare/gate_keys.h"

#include "base/file.h"
#include "event/key.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX ((size_t)256 << 20)
enum { SHOWN_BYTES_MAX = 70 /* of a key in a message */ };

static rf_status take_line(rf_gate_keys *keys, const char *path, size_t number, rf_slice line,
                           const rf_definition *definition, rf_err *err)
{
    rf_key_bytes encoded;
    rf_slice key = line;

    if (!rf_key_is_text(definition->key_parts, definition->key_part_count)) {
        rf_status status = rf_key_parse(line, definition->key_parts, definition->key_part_count,
                                        RF_KEY_WHOLE, &encoded, err);
        if (status != RF_OK) {
            (void)rf_err_context(err, "%s:%zu", path, number);
            return status == RF_ERR_USAGE ? rf_fail(err, RF_ERR_INPUT, "%s", err ? err->message : "")
                                          : status;
        }
        key = rf_arena_copy(&keys->memory, rf_key_slice(&encoded));
        if (!key.data)
            return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its keys", path);
    }
    keys->keys[keys->count++] = key;
    return RF_OK;
}

static rf_status take_lines(rf_gate_keys *keys, const char *path, const rf_definition *definition,
                            rf_err *err)
{
    rf_slice left = rf_buf_slice(&keys->text);
    rf_status status = RF_OK;

    for (size_t number = 1; status == RF_OK && left.size > 0; number++) {
        const char *end = memchr(left.data, '\n', left.size);
        rf_slice line = {left.data, end ? (size_t)(end - left.data) : left.size};
        size_t taken = line.size + (end ? 1 : 0);
        left = (rf_slice){left.data + taken, left.size - taken};
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        if (line.size > 0)
            status = take_line(keys, path, number, line, definition, err);
    }
    return status;
}

rf_status rf_gate_keys_read(const char *path, const rf_definition *definition,
                            rf_gate_keys *keys_out, rf_err *err)
{
    rf_gate_keys keys = {.count = 0};
    size_t lines = 1;

    rf_buf_init(&keys.text, FILE_BYTES_MAX);
    rf_arena_init(&keys.memory, 4 * FILE_BYTES_MAX);
    rf_status status = rf_file_read(path, &keys.text, err);
    for (size_t i = 0; status == RF_OK && i < keys.text.size; i++)
        lines += keys.text.data[i] == '\n';
    if (status == RF_OK) {
        keys.keys = calloc(lines, sizeof *keys.keys);
        if (!keys.keys)
            status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its keys", path);
    }
    if (status == RF_OK)
        status = take_lines(&keys, path, definition, err);
    if (status == RF_OK && keys.count == 0)
        status = rf_fail(err, RF_ERR_INPUT, "%s: no keys in it", path);
    if (status != RF_OK) {
        rf_gate_keys_free(&keys);
        return status;
    }
    *keys_out = keys;
    return RF_OK;
}

void rf_gate_keys_free(rf_gate_keys *keys)
{
    rf_buf_free(&keys->text);
    rf_arena_free(&keys->memory);
    free(keys->keys);
    *keys = (rf_gate_keys){0};
}

void rf_gate_show_key(rf_slice key, const rf_definition *definition, char *out, size_t size,
                      size_t *used_io)
{
    rf_buf shown;

    if (*used_io >= size)
        return;
    rf_buf_init(&shown, 8 * RF_KEY_BYTES_MAX);
    rf_key_append_json(&shown, key, definition->key_parts, definition->key_part_count);
    rf_slice text = rf_buf_slice(&shown);
    int put = snprintf(out + *used_io, size - *used_io, "%s%.*s", *used_io > 0 ? ", " : "",
                       text.size < SHOWN_BYTES_MAX ? (int)text.size : SHOWN_BYTES_MAX, text.data);
    *used_io += put > 0 ? (size_t)put : 0;
    rf_buf_free(&shown);
}

rf_status rf_gate_keys_look(const rf_gate_keys *keys, const rf_definition *definition,
                            const rf_diff_side *side, char *shown_out, size_t size,
                            uint64_t *missing_out, rf_err *err)
{
    rf_base_reader *reader = NULL;
    uint64_t missing = 0;
    size_t used = 0;

    shown_out[0] = '\0';
    rf_status status = rf_base_reader_open(side->pinned.base, &reader, err);
    for (size_t i = 0; status == RF_OK && i < keys->count; i++) {
        rf_slice row = {NULL, 0};
        status = rf_diff_find(side, reader, keys->keys[i], &row, err);
        if (status == RF_OK && !row.data && missing++ < RF_GATE_SHOWN)
            rf_gate_show_key(keys->keys[i], definition, shown_out, size, &used);
    }
    rf_base_reader_close(reader);
    if (status == RF_OK)
        *missing_out = missing;
    return status;
}
