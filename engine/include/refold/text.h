/* Rows and events as text: the JSON and CSV forms that the command line prints, and times.
 *
 * An rf_text is bytes that grow, owned by the library and used again and again:
 *
 *     new -> (append … bytes, clear) again and again -> free
 *
 * Appending never fails by itself; without memory, or past 128 MiB, the text remembers it and
 * rf_text_check says so. An rf_text is confined to one thread.
 *
 * Decimals are written digit by digit, no float is involved; times are RFC 3339 in UTC.
 */
#ifndef REFOLD_TEXT_H
#define REFOLD_TEXT_H

#include "refold/error.h"
#include "refold/log.h"
#include "refold/read.h"

typedef struct rf_text rf_text;

RF_API rf_text *rf_text_new(void); /* NULL without memory */
/* Takes NULL. */
RF_API void rf_text_free(rf_text *text);
RF_API void rf_text_clear(rf_text *text);
/* What was appended since the last clear; valid until the next append, clear or free. */
RF_API rf_slice rf_text_bytes(const rf_text *text);
/* RF_ERR_MEMORY if something could not be appended since the last clear. */
RF_API rf_status rf_text_check(const rf_text *text, rf_err *err);

RF_API void rf_text_append(rf_text *text, rf_slice bytes);
/* With quotes; only what JSON demands is escaped, so UTF-8 stays as it is. */
RF_API void rf_text_append_json_string(rf_text *text, rf_slice string);
/* {"key":"order-1","items":3,…}: columns in declared order, null where unset, a tuple key as an
 * array; no newline. */
RF_API void rf_text_append_row_json(rf_text *text, const rf_reader_info *info, const rf_row *row);
/* One value of a row, and a row's key, as they stand there. */
RF_API void rf_text_append_value_json(rf_text *text, const rf_value *value);
RF_API void rf_text_append_key_json(rf_text *text, const rf_reader_info *info, rf_slice key);
/* key,items,…: RFC 4180, CR LF included. A null is an empty field, an empty text is "". A tuple key
 * is one field, a JSON array. */
RF_API void rf_text_append_row_csv(rf_text *text, const rf_reader_info *info, const rf_row *row);
/* The names of key and columns, as the first line of a CSV. */
RF_API void rf_text_append_header_csv(rf_text *text, const rf_reader_info *info);
/* The event as one JSON object, without newline: refold's position, the source's, and data and
 * metadata byte for byte as they came. */
RF_API void rf_text_append_event_json(rf_text *text, const rf_stored_event *event);
/* "2024-07-10T12:00:00Z", with a fraction where it is not zero; "null" for RF_TIME_NONE. */
RF_API void rf_text_append_time(rf_text *text, int64_t time);

/* RFC 3339 with an offset ("2024-07-10T12:00:00Z", "2024-07-10T14:00:00+02:00") to microseconds
 * since 1970 UTC. RF_ERR_INPUT for anything else. */
RF_API rf_status rf_time_parse(rf_slice text, int64_t *time_out, rf_err *err);

#endif
