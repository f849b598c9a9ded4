/* Reading read models: one row, or many in key order.
 *
 * A reader is pinned to one complete generation from open (or refresh) on: whatever is swapped,
 * rolled back or collected beside it, it sees no mixture. It holds a shared lock on the generation's
 * MANIFEST, so gc leaves it alone. rf_reader_refresh moves it to the generation that is live by then.
 * One that was opened for a version, "order_summary@3", stays with that version, whatever is swapped,
 * until it is retired (refold/generation.h): so programs of an old release and of a new one read
 * the same read model side by side.
 * Where `follow` keeps the generation current, each rf_reader_get and each cursor, from open to
 * close, is at one position: the last that was committed when it began. rf_reader_info has that of
 * the last of these.
 *
 * Threads: a reader and its cursors are confined to one thread; open one per thread, they share the
 * mapped files.
 */
#ifndef REFOLD_READ_H
#define REFOLD_READ_H

#include "refold/error.h"
#include "refold/store.h"
#include "refold/types.h"

typedef struct rf_reader rf_reader;
typedef struct rf_cursor rf_cursor;

/* One column of a row. Which member of the union holds follows from the kind: `integer` for int,
 * decimal (a count of 10^-scale), time (microseconds) and date (days), `number`, `boolean`, `text`
 * (text and json). */
typedef struct rf_value {
    rf_kind kind;
    bool is_null;
    uint8_t scale;
    union {
        int64_t integer;
        double number;
        bool boolean;
        rf_slice text;
    };
} rf_value;

typedef struct rf_row {
    rf_slice key; /* encoded: of a single text the text, else see rf_reader_key_values */
    const rf_value *values; /* as many as the reader has columns, in declared order */
} rf_row;

typedef struct rf_reader_column {
    const char *name;
    rf_kind kind;
    uint8_t scale;
} rf_reader_column;

typedef struct rf_reader_index {
    const uint32_t *columns; /* numbers of columns, in the index's order */
    uint32_t column_count;
} rf_reader_index;

typedef struct rf_reader_info {
    const char *name;
    uint64_t generation;
    uint32_t version;  /* of the definition */
    uint64_t position; /* all events up to it are in, none after it; as the next two, it moves with
                          each get, cursor and refresh */
    uint64_t rows;
    char digest[33]; /* 32 hex digits */
    const rf_reader_column *columns;
    uint32_t column_count;
    const rf_reader_column *key_parts; /* a tuple has several */
    uint32_t key_part_count;
    const rf_reader_index *indexes; /* that the definition declares */
    uint32_t index_count;
} rf_reader_info;

enum { RF_KEY_PARTS_MAX = 16, RF_KEY_BYTES_MAX = 480 };

/* `name` is NAME, with `generation` 0 the live one, or NAME@VERSION: the generation of that version, live or
 * kept beside it. RF_ERR_ABSENT if there is none; of a version the message names those that there are.
 * Damage in the manifest is found here. */
RF_API rf_status rf_reader_open(rf_store *store, const char *name, uint64_t generation,
                                rf_reader **reader_out, rf_err *err);
/* Takes NULL. Cursors are closed before. */
RF_API void rf_reader_close(rf_reader *reader);
/* Moves to the live generation, or to that of the version that it was opened for, and to its position
 * (*changed_out, which may be NULL, tells whether either is another); cursors must be closed. On failure the
 * reader stays where it was: RF_ERR_ABSENT where its version was retired. */
RF_API rf_status rf_reader_refresh(rf_reader *reader, bool *changed_out, rf_err *err);
/* Valid until close or refresh. */
RF_API const rf_reader_info *rf_reader_get_info(const rf_reader *reader);

/* The row of `key` (its encoded form: for a text key the text). RF_ERR_NO_ROW if there is none.
 * *row_out is valid until the next call on this reader. */
RF_API rf_status rf_reader_get(rf_reader *reader, rf_slice key, rf_row *row_out, rf_err *err);

/* A row of one stream's events as it was when the log ended with `position`: folded from the stream's events up to
 * there, with the definition and the policy that the reader's generation keeps, so it is the row that a
 * rebuild of it up to that position gives. Reads only segments of the log that may have events of the
 * stream. RF_ERR_USAGE for read models whose keys neither are the stream nor begin with it, so that events of
 * other streams may count, and for a position that the log does not have (rf_store_position_at gives that of a
 * time); RF_ERR_NO_ROW if there was none.
 * *row_out is valid until the next call on this reader. */
RF_API rf_status rf_reader_get_as_of(rf_reader *reader, rf_slice key, uint64_t position,
                                     rf_row *row_out, rf_err *err);

/* What a key is parsed for. */
typedef enum rf_key_use {
    RF_KEY_WHOLE,  /* a row's: all parts */
    RF_KEY_BORDER, /* from, to: a tuple may have fewer elements, and is where these begin */
    RF_KEY_PREFIX, /* likewise; what is no array is the beginning of a text or all of another part */
} rf_key_use;
/* The encoded form of a key as the command line has it: a tuple as a JSON array (["w-1","sku-2"],
 * [-7,true]), a single part as it is (c-17, -7, 2024-07-10). *key_out stands in `bytes`, or is
 * `text` where the key is a single text. RF_ERR_USAGE where it does not fit the key's parts. */
RF_API rf_status rf_reader_parse_key(const rf_reader *reader, rf_slice text, rf_key_use use,
                                     char bytes[RF_KEY_BYTES_MAX], rf_slice *key_out, rf_err *err);
/* The values of a row's key, one for each part; their text borrows from `key`. */
RF_API rf_status rf_reader_key_values(const rf_reader *reader, rf_slice key, rf_value *values_out,
                                      rf_err *err);

/* The same for an index of the read model: `index` has the names of its columns, with commas between
 * them ("customer", "status,placed_at"). RF_ERR_ABSENT if there is none. */
RF_API rf_status rf_reader_parse_index_key(const rf_reader *reader, const char *index,
                                           rf_slice text, rf_key_use use,
                                           char bytes[RF_KEY_BYTES_MAX], rf_slice *key_out,
                                           rf_err *err);

typedef struct rf_range {
    rf_slice prefix; /* encoded, as all three; size 0: any */
    rf_slice from;   /* inclusive; data NULL: from the first */
    rf_slice to;     /* exclusive; data NULL: to the last */
    const char *index; /* NULL: in key order; else in that of the index, whose keys the three are */
    uint64_t limit;    /* rows that are asked for at most, so that less is looked at; 0: all */
} rf_range;

/* `range` may be NULL for all; what it points at is copied. Keys come in the order of
 * their values: text by bytes, tuples element by element, null first. */
RF_API rf_status rf_cursor_open(rf_reader *reader, const rf_range *range, rf_cursor **cursor_out,
                                rf_err *err);
RF_API void rf_cursor_close(rf_cursor *cursor);
/* The next row, valid until the next call on the cursor; RF_ERR_NO_ROW at the end. */
RF_API rf_status rf_cursor_next(rf_cursor *cursor, rf_row *row_out, rf_err *err);

#endif
