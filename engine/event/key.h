/* Keys: what rows are found by, as bytes whose order is the order of the values.
 *
 * A key is a tuple of parts. One single text is its own UTF-8 bytes. Anything else is, part after
 * part, a byte 0 for null or a byte 1 and the value: an integer, decimal, time or date as eight bytes
 * BE with the sign bit flipped; a float likewise, a negative one inverted; a boolean as a byte 0 or
 * 1; a text as its bytes, which hold no zero byte, and a zero byte. So memcmp orders keys element by
 * element, null first, and the encoding of the first elements is the beginning of the encoding of
 * all. A value has one encoding. docs/FORMAT.md has the same.
 *
 * On the command line a tuple is a JSON array and a single part is written as it is. Pure functions.
 */
#ifndef RF_EVENT_KEY_H
#define RF_EVENT_KEY_H

#include "base/bytes.h"
#include "refold/read.h"

typedef struct rf_key_bytes {
    size_t size;
    char data[RF_KEY_BYTES_MAX];
} rf_key_bytes;

typedef enum rf_key_fault {
    RF_KEY_FINE = 0,
    RF_KEY_TOO_LONG,
    RF_KEY_HAS_NUL, /* a text with a zero byte */
} rf_key_fault;

static inline rf_slice rf_key_slice(const rf_key_bytes *key)
{
    return (rf_slice){key->data, key->size};
}

/* Whether a key of these parts is the bytes of its text. */
static inline bool rf_key_is_text(const rf_reader_column *parts, uint32_t part_count)
{
    return part_count == 1 && parts[0].kind == RF_TEXT;
}

/* Appends one part of a key that is no single text; what was there stays in case of a fault. Not for
 * json. */
rf_key_fault rf_key_add(rf_key_bytes *key, const rf_value *value);

/* The values of a key's parts; text borrows from `key`. RF_ERR_DAMAGED where it is none. */
rf_status rf_key_decode(rf_slice key, const rf_reader_column *parts, uint32_t part_count,
                        rf_value *values_out, rf_err *err);

/* The size of the first parts of a key that is no single text, behind which anything may stand. False
 * where it does not begin with them. */
bool rf_key_skip(rf_slice key, const rf_reader_column *parts, uint32_t part_count,
                 size_t *size_out);

/* As JSON: a tuple as an array; what does not decode as a string of its bytes. */
void rf_key_append_json(rf_buf *out, rf_slice key, const rf_reader_column *parts,
                        uint32_t part_count);

/* From the command line, encoded part by part also where it is one text. RF_ERR_USAGE with the
 * reason. */
rf_status rf_key_parse(rf_slice text, const rf_reader_column *parts, uint32_t part_count,
                       rf_key_use use, rf_key_bytes *key_out, rf_err *err);

#endif
