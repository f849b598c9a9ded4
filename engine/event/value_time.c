/* See value.h: times and dates.
 *
 * Days are counted with the proleptic Gregorian calendar in eras of 400 years. Text has fixed
 * places, so it is read by index.
 */
#include "event/value.h"

#include <stdio.h>

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

#define DAY_US INT64_C(86400000000)
#define SECOND_US INT64_C(1000000)

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned month_days(int64_t year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

/* Days since 1970-01-01. A year that begins in March has its leap day last, so the day of a month
 * in it is a linear function, and 400 years are 146097 days. */
int64_t rf_days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int64_t year_of_era = march_year - era * 400;
    int64_t month_from_march = month > 2 ? (int64_t)month - 3 : (int64_t)month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void rf_days_split(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day_out = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month_out = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year_out = year_of_era + era * 400 + (*month_out <= 2);
}

/* Exactly `count` digits at `at`. */
static bool fixed_digits(rf_slice text, size_t at, size_t count, unsigned *value_out)
{
    unsigned value = 0;

    if (text.size < at + count)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (!is_digit(text.data[i]))
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *value_out = value;
    return true;
}

static bool byte_is(rf_slice text, size_t at, char byte)
{
    return at < text.size && text.data[at] == byte;
}

/* The ten bytes YYYY-MM-DD at the front; year 0 is left to the caller. */
static bool date_cut(rf_slice text, unsigned *year_out, int64_t *days_out)
{
    unsigned month;
    unsigned day;

    if (!fixed_digits(text, 0, 4, year_out) || !byte_is(text, 4, '-') ||
        !fixed_digits(text, 5, 2, &month) || !byte_is(text, 7, '-') ||
        !fixed_digits(text, 8, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > month_days(*year_out, month))
        return false;
    *days_out = rf_days_of(*year_out, month, day);
    return true;
}

/* "Z", "+02:00", "+0200" or "+02", all of `text`. */
static bool offset_cut(rf_slice text, int32_t *seconds_out)
{
    unsigned hours;
    unsigned minutes = 0;

    if (text.size == 1 && (text.data[0] == 'Z' || text.data[0] == 'z')) {
        *seconds_out = 0;
        return true;
    }
    if (!(byte_is(text, 0, '+') || byte_is(text, 0, '-')) || !fixed_digits(text, 1, 2, &hours))
        return false;
    bool colon = byte_is(text, 3, ':');
    if (text.size != 3 &&
        (text.size != (colon ? 6u : 5u) || !fixed_digits(text, colon ? 4 : 3, 2, &minutes)))
        return false;
    if (hours > 23 || minutes > 59)
        return false;
    int32_t seconds = (int32_t)(hours * 3600 + minutes * 60);
    *seconds_out = text.data[0] == '-' ? -seconds : seconds;
    return true;
}

/* The fraction after a '.' at `at`, cut to microseconds; *at moves behind it. */
static bool fraction_cut(rf_slice text, size_t *at, int64_t *us_out)
{
    int64_t us = 0;
    size_t digits = 0;

    for (++*at; *at < text.size && is_digit(text.data[*at]); ++*at, digits++) {
        if (digits < 6)
            us = us * 10 + (text.data[*at] - '0');
    }
    if (digits == 0)
        return false;
    for (; digits < 6; digits++)
        us *= 10;
    *us_out = us;
    return true;
}

static bool within_years(int64_t days)
{
    return days >= rf_days_of(1, 1, 1) && days <= rf_days_of(9999, 12, 31);
}

rf_value_fault rf_parse_time(rf_slice text, bool has_zone, int32_t zone_offset_s, int64_t *us_out)
{
    unsigned year;
    unsigned hour;
    unsigned minute;
    unsigned second;
    int64_t days;
    int64_t fraction_us = 0;
    int32_t offset_s = zone_offset_s;
    size_t at = 19;

    if (!date_cut(text, &year, &days) ||
        !(byte_is(text, 10, 'T') || byte_is(text, 10, 't') || byte_is(text, 10, ' ')) ||
        !fixed_digits(text, 11, 2, &hour) || !byte_is(text, 13, ':') ||
        !fixed_digits(text, 14, 2, &minute) || !byte_is(text, 16, ':') ||
        !fixed_digits(text, 17, 2, &second))
        return RF_VALUE_WRONG_KIND;
    if (hour > 23 || minute > 59 || second > 60) /* 60, a leap second, is the next minute's 00 */
        return RF_VALUE_WRONG_KIND;
    if (byte_is(text, at, '.') && !fraction_cut(text, &at, &fraction_us))
        return RF_VALUE_WRONG_KIND;
    if (at == text.size) {
        if (!has_zone)
            return RF_VALUE_NO_ZONE;
    } else if (!offset_cut((rf_slice){text.data + at, text.size - at}, &offset_s)) {
        return RF_VALUE_WRONG_KIND;
    }
    int64_t seconds = days * 86400 + (int64_t)(hour * 3600 + minute * 60 + second) - offset_s;
    int64_t days_utc = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
    if (year == 0 || !within_years(days_utc))
        return RF_VALUE_RANGE;
    *us_out = seconds * SECOND_US + fraction_us;
    return RF_VALUE_OK;
}

rf_value_fault rf_parse_date(rf_slice text, int64_t *days_out)
{
    unsigned year;
    int64_t days;

    if (text.size != 10 || !date_cut(text, &year, &days))
        return RF_VALUE_WRONG_KIND;
    if (year == 0)
        return RF_VALUE_RANGE;
    *days_out = days;
    return RF_VALUE_OK;
}

/* The last `count` digits of `value`. */
static char *put_digits(char *out, uint64_t value, unsigned count)
{
    for (unsigned i = count; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + count;
}

static char *put_date(char *out, int64_t days)
{
    int64_t year;
    unsigned month;
    unsigned day;

    rf_days_split(days, &year, &month, &day);
    if (year >= 0 && year <= 9999)
        out = put_digits(out, (uint64_t)year, 4);
    else /* nothing that was parsed */
        out += snprintf(out, 24, "%lld", (long long)year);
    *out++ = '-';
    out = put_digits(out, month, 2);
    *out++ = '-';
    return put_digits(out, day, 2);
}

static size_t format_time(int64_t us, bool short_form, char text_out[RF_VALUE_TEXT_SIZE])
{
    int64_t days = us / DAY_US - (us % DAY_US < 0);
    uint64_t rest = (uint64_t)(us % DAY_US + (us % DAY_US < 0 ? DAY_US : 0));
    uint64_t seconds = rest / (uint64_t)SECOND_US;
    uint64_t fraction = rest % (uint64_t)SECOND_US;
    char *out = put_date(text_out, days);

    *out++ = 'T';
    out = put_digits(out, seconds / 3600, 2);
    *out++ = ':';
    out = put_digits(out, seconds / 60 % 60, 2);
    *out++ = ':';
    out = put_digits(out, seconds % 60, 2);
    if (!short_form || fraction != 0) {
        *out++ = '.';
        out = put_digits(out, fraction, 6);
    }
    *out++ = 'Z';
    *out = '\0';
    return (size_t)(out - text_out);
}

size_t rf_format_time(int64_t us, char text_out[RF_VALUE_TEXT_SIZE])
{
    return format_time(us, false, text_out);
}

size_t rf_format_time_short(int64_t us, char text_out[RF_VALUE_TEXT_SIZE])
{
    return format_time(us, true, text_out);
}

size_t rf_format_date(int64_t days, char text_out[RF_VALUE_TEXT_SIZE])
{
    /* Keeps the arithmetic and the text in bounds for any argument; no parsed date is near. */
    int64_t limit = INT64_C(100000000000000);
    int64_t bounded = days < -limit ? -limit : days > limit ? limit : days;
    char *out = put_date(text_out, bounded);

    *out = '\0';
    return (size_t)(out - text_out);
}
