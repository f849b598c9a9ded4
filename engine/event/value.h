/* Exact scalars: decimals, integers, times and dates between their text and their int64_t.
 *
 * No float touches a decimal. All of these are pure functions.
 */
#ifndef RF_EVENT_VALUE_H
#define RF_EVENT_VALUE_H

#include "base/bytes.h"
#include "refold/types.h"

typedef enum rf_value_fault {
    RF_VALUE_OK = 0,
    RF_VALUE_WRONG_KIND, /* not of this kind at all */
    RF_VALUE_RANGE,      /* beyond 64 bits, or beyond the years 0001 to 9999 */
    RF_VALUE_DIGITS,     /* more non-zero digits than the scale holds, and no rounding mode */
    RF_VALUE_NO_ZONE,    /* a time without offset, and no zone was given */
    RF_VALUE_NOT_WHOLE,  /* a double that is no whole number */
    RF_VALUE_BY_ZERO,    /* divided by zero */
} rf_value_fault;

/* 10^0 to 10^18. */
enum { RF_POWERS_OF_TEN = 19 };
extern const int64_t rf_powers_of_ten[RF_POWERS_OF_TEN];

/* A decimal integer with optional '-'; nothing else. "1e3" and "1.0" are of the wrong kind. */
rf_value_fault rf_parse_int(rf_slice text, int64_t *value_out);
/* A JSON number or the same as text ("-12.50", "1e2"), as a count of 10^-scale. Zeros beyond the
 * scale are no error. */
rf_value_fault rf_parse_decimal(rf_slice text, unsigned scale, rf_rounding rounding,
                                int64_t *value_out);
/* The exact form of a number literal where it has at most 18 significant digits and 0 to 18
 * decimals: mantissa and scale as written (19.90 is 1990 and 2). False otherwise. */
bool rf_parse_exact(rf_slice text, int64_t *mantissa_out, unsigned *scale_out);
/* Correctly rounded, independent of the locale. */
rf_value_fault rf_parse_float(rf_slice text, double *value_out);
/* Changes the scale of a decimal exactly, or by the rounding mode. */
rf_value_fault rf_rescale(int64_t value, unsigned from, unsigned to, rf_rounding rounding,
                          int64_t *value_out);
/* a * b / c, exact in between (128 bits), then rounded. RF_VALUE_DIGITS: not whole, and no mode. */
rf_value_fault rf_muldiv(int64_t a, int64_t b, int64_t c, rf_rounding rounding, int64_t *value_out);
/* "half_even", "half_up", "down", "up"; false for another name. */
bool rf_rounding_of(rf_slice name, rf_rounding *rounding_out);
/* RFC 3339 ('T', 't' or blank between; digits beyond microseconds are cut off). Without an offset:
 * `zone_offset_s` seconds east of UTC if `has_zone`, else RF_VALUE_NO_ZONE. */
rf_value_fault rf_parse_time(rf_slice text, bool has_zone, int32_t zone_offset_s, int64_t *us_out);
rf_value_fault rf_parse_date(rf_slice text, int64_t *days_out);

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar, and back. `month` is 1 to 12,
 * `day` 1 to 31. Years of any sign; days up to 10^14 on either side. */
int64_t rf_days_of(int64_t year, unsigned month, unsigned day);
void rf_days_split(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out);

enum { RF_VALUE_TEXT_SIZE = 40 };
/* "149.70", "-0.05", and without a scale "12": with a NUL; returns the length. */
size_t rf_format_decimal(int64_t value, unsigned scale, char text_out[RF_VALUE_TEXT_SIZE]);
/* "2024-07-10T12:00:00.000000Z". */
size_t rf_format_time(int64_t us, char text_out[RF_VALUE_TEXT_SIZE]);
/* As rf_format_time, without a fraction that is zero. */
size_t rf_format_time_short(int64_t us, char text_out[RF_VALUE_TEXT_SIZE]);
size_t rf_format_date(int64_t days, char text_out[RF_VALUE_TEXT_SIZE]);
/* Shortest form that reads back as the same double; "null" for what JSON cannot say. */
size_t rf_format_float(double value, char text_out[RF_VALUE_TEXT_SIZE]);
/* Appends `text` as a JSON string with quotes; escapes only what JSON demands. */
void rf_append_json_string(rf_buf *out, rf_slice text);

#endif
