/* Fuzz target of keys: any bytes give the values of a key or one error, and what is accepted comes
 * back from its values as the same bytes.
 *
 * The first two bytes choose how many parts there are and their kinds, the rest is a key and then,
 * taken as text, an argument of the command line. */
#include "event/key.h"

#include <stdlib.h>

enum { PARTS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_decoded(rf_slice key, const rf_reader_column *parts, uint32_t count)
{
    rf_value values[PARTS];
    rf_key_bytes again = {.size = 0};
    rf_buf shown;

    rf_buf_init(&shown, 1 << 20);
    rf_key_append_json(&shown, key, parts, count);
    RF_ASSERT(!shown.failed);
    rf_buf_free(&shown);
    if (rf_key_is_text(parts, count) || key.size > RF_KEY_BYTES_MAX ||
        rf_key_decode(key, parts, count, values, NULL) != RF_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (values[i].kind == RF_FLOAT && !values[i].is_null && __builtin_isnan(values[i].number))
            return;
        RF_ASSERT(rf_key_add(&again, &values[i]) == RF_KEY_FINE);
    }
    RF_ASSERT(rf_slice_equal(rf_key_slice(&again), key));
}

static void check_parsed(rf_slice text, const rf_reader_column *parts, uint32_t count)
{
    rf_key_bytes key;
    rf_value values[PARTS];

    if (rf_key_is_text(parts, count) ||
        rf_key_parse(text, parts, count, RF_KEY_WHOLE, &key, NULL) != RF_OK)
        return;
    RF_ASSERT(rf_key_decode(rf_key_slice(&key), parts, count, values, NULL) == RF_OK);
    for (int use = RF_KEY_BORDER; use <= RF_KEY_PREFIX; use++)
        RF_ASSERT(rf_key_parse(text, parts, count, (rf_key_use)use, &key, NULL) == RF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_reader_column parts[PARTS];

    if (size < 2)
        return 0;
    uint32_t chosen = (uint32_t)data[0] | (uint32_t)data[1] << 8;
    uint32_t count = 1 + (chosen >> 14);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = chosen >> 3 * i & 7;
        parts[i] = (rf_reader_column){"part", kind < 7 ? (rf_kind)(RF_INT + kind) : RF_TEXT,
                                      kind + RF_INT == RF_DECIMAL ? 2 : 0};
    }
    size -= 2;
    char *bytes = malloc(size ? size : 1); /* of exact size, for the sanitizer */
    RF_ASSERT(bytes);
    if (size > 0)
        memcpy(bytes, data + 2, size);
    check_decoded((rf_slice){bytes, size}, parts, count);
    check_parsed((rf_slice){bytes, size}, parts, count);
    free(bytes);
    return 0;
}
