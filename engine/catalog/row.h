/* Rows as stored: a MessagePack array of the columns, in declared order.
 *
 * int, decimal, time, date: the smallest MessagePack integer (a decimal is a count of 10^-scale;
 * times are microseconds, dates days); float: float 64; bool: bool; text, json: str; unset text,
 * json, time, date: nil. So a row has exactly one encoding, and readers in other languages need no
 * code of ours. The digest of a table is the sum modulo 2^128, over its rows, of XXH3-128 of (key
 * size u32, key, encoded row): it depends on neither order nor workers.
 */
#ifndef RF_CATALOG_ROW_H
#define RF_CATALOG_ROW_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "refold/projection.h"
#include "refold/read.h"

enum { RF_ROW_SIZE_MAX = 16 << 20, RF_KEY_SIZE_MAX = 480 };

/* Appends the row that stands in a plugin's row struct. */
void rf_row_encode(const rf_column *columns, uint32_t column_count, const void *row, rf_buf *out);
/* The same to `at`, where there are rf_row_room(column_count) bytes or more up to `end`: gives where
 * it ends, or NULL where a text does not fit. *ascii_out: all texts are short and ASCII, which is seen
 * while they are copied, and is nearly always so; otherwise they may be anything. (Order log: 60 of 600
 * instructions a row, which asking each text anew took.) */
char *rf_row_encode_at(const rf_column *columns, uint32_t column_count, const void *row, char *at,
                       const char *end, bool *ascii_out);
enum { RF_ROW_VALUE_SIZE_MAX = 9 /* but for a text's own bytes */ };
static inline size_t rf_row_room(uint32_t column_count)
{
    enum { USUAL = 512 }; /* for the texts of most rows */
    return USUAL + 2 * RF_ROW_VALUE_SIZE_MAX * (size_t)column_count;
}
/* `values_out` has room for all columns; text borrows from `stored`. RF_ERR_DAMAGED where it does
 * not fit the columns. */
rf_status rf_row_decode(rf_slice stored, const rf_reader_column *columns, uint32_t column_count,
                        rf_value *values_out, rf_err *err);

/* Puts decoded values into a plugin's row struct, which is unset; texts are copied into `text`.
 * False without memory. */
struct rf_arena;
bool rf_row_fill(const rf_column *columns, uint32_t column_count, const rf_value *values,
                 struct rf_arena *text, void *row);

typedef struct rf_digest {
    uint64_t low, high; /* the sum */
    uint64_t rows;
} rf_digest;
void rf_digest_add_row(rf_digest *digest, rf_slice key, rf_slice stored);
/* The same for `size` bytes at `at`, key and stored row one after the other: hashed where they
 * stand. The RF_DIGEST_PAD bytes before `at` are borrowed for the key's size and put back. */
void rf_digest_add_joined(rf_digest *digest, char *at, size_t key_size, size_t size);
enum { RF_DIGEST_PAD = 4 };
void rf_digest_add(rf_digest *digest, const rf_digest *other);
/* Takes away rows that were added. */
void rf_digest_remove(rf_digest *digest, const rf_digest *other);
/* 32 hex digits; the row count is mixed in. */
void rf_digest_format(const rf_digest *digest, char text_out[33]);

/* Whether it is printed and published as null: unset, or a float that is no number. */
bool rf_value_is_null(const rf_value *value);

#endif
