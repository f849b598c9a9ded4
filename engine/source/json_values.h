/* Cuts the text of a feed into the JSON values that it is made of, one after the other, whatever lines they
 * stand on: {...} {...}, or the elements of [..., ...] where that is asked for.
 *
 * Only brackets, quotes and commas are looked at; whether a value is right in all else is for the parser to
 * say. One value at a time is in memory, up to a maximum. Confined to one thread at a time.
 */
#ifndef RF_SOURCE_JSON_VALUES_H
#define RF_SOURCE_JSON_VALUES_H

#include "source/feed.h"

typedef struct rf_json_values {
    rf_feed *feed; /* the caller's */
    bool elements; /* of arrays at the top, instead of these */
    rf_buf value;
    rf_slice rest;      /* of the feed's block */
    uint64_t line;      /* of rest.data */
    uint64_t line_next; /* of the feed's next block */
    bool in_array;
    bool comma_due; /* in an array: a comma or its end, before another value */
    bool value_due; /* behind a comma */
    bool ended;
} rf_json_values;

void rf_json_values_init(rf_json_values *values, rf_feed *feed, bool elements, size_t size_max);
void rf_json_values_free(rf_json_values *values);
/* The next value, valid until the next call, with RF_JSON_PADDING readable bytes behind; empty at the end.
 * *line_out: where it begins. */
rf_status rf_json_values_next(rf_json_values *values, rf_slice *value_out, uint64_t *line_out,
                              rf_err *err);

#endif
