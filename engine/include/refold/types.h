/* The words that all of refold's headers share: borrowed bytes and the kinds of values.
 *
 * Plain data, no ownership, no threads. Included by projections and by the library alike.
 */
#ifndef REFOLD_TYPES_H
#define REFOLD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks what librefold offers: the build hides every other symbol. */
#if defined(__cplusplus)
#define RF_API extern "C" __attribute__((visibility("default")))
#else
#define RF_API __attribute__((visibility("default")))
#endif

/* Borrowed bytes; `data` is NULL for "no value", non-NULL with size 0 for empty text. Whoever
 * returns or keeps one says until when it is valid. Not terminated by NUL. */
typedef struct rf_slice {
    const char *data;
    size_t size;
} rf_slice;

/* A slice of a string literal. */
#define RF_SLICE(literal) ((rf_slice){(literal), sizeof(literal) - 1})

/* Kinds of columns (of rows) and of fields (of events). The numbers are part of the plugin ABI and
 * of MANIFEST; they never change. */
typedef enum rf_kind {
    RF_INT = 1,     /* int64_t */
    RF_DECIMAL = 2, /* int64_t: a count of 10^-scale, scale 0 to 18 */
    RF_FLOAT = 3,   /* double */
    RF_BOOL = 4,    /* bool */
    RF_TEXT = 5,    /* rf_slice: UTF-8; data NULL is unset */
    RF_TIME = 6,    /* int64_t: microseconds since 1970-01-01T00:00:00Z; RF_TIME_NONE is unset */
    RF_DATE = 7,    /* int64_t: days since 1970-01-01; RF_TIME_NONE is unset */
    RF_JSON = 8,    /* rf_slice: one JSON value; data NULL is unset */
} rf_kind;

/* What becomes of a decimal's digits beyond its scale. */
typedef enum rf_rounding {
    RF_ROUND_NONE = 0,      /* an error, unless they are zeros */
    RF_ROUND_HALF_EVEN = 1,
    RF_ROUND_HALF_UP = 2,   /* halves away from zero */
    RF_ROUND_DOWN = 3,      /* towards zero */
    RF_ROUND_UP = 4,        /* away from zero */
} rf_rounding;

/* An unset time or date. */
#define RF_TIME_NONE INT64_MIN

#endif
