/* See value.h.
 *
 * A number's text is first cut into sign, digits and exponent (number_cut), which checks the grammar of
 * JSON; everything exact then works on digits. Digit runs and exponents of any size are fine: work
 * is linear in the text, and nothing is accumulated past 64 bits. Days are counted with the
 * proleptic Gregorian calendar in eras of 400 years.
 */
#include "event/value.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCALE_MAX = 18 };

static const int64_t powers[SCALE_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* A number literal in parts: -WHOLE.FRACTIONeEXPONENT. */
typedef struct number {
    bool negative;
    bool has_exponent;
    rf_slice whole;    /* one digit at least */
    rf_slice fraction; /* perhaps empty */
    int64_t exponent;  /* clamped to +-EXPONENT_MAX */
} number;

#define EXPONENT_MAX INT64_C(1000000000000)

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* The run of digits at *at. */
static rf_slice digits_cut(const char **at, const char *end)
{
    const char *begin = *at;

    while (*at < end && is_digit(**at))
        ++*at;
    return (rf_slice){begin, (size_t)(*at - begin)};
}

static bool exponent_cut(const char **at, const char *end, int64_t *exponent_out)
{
    bool negative = *at < end && **at == '-';
    int64_t exponent = 0;

    if (*at < end && (**at == '-' || **at == '+'))
        ++*at;
    rf_slice digits = digits_cut(at, end);
    if (digits.size == 0)
        return false;
    for (size_t i = 0; i < digits.size && exponent < EXPONENT_MAX; i++)
        exponent = exponent * 10 + (digits.data[i] - '0');
    if (exponent > EXPONENT_MAX)
        exponent = EXPONENT_MAX;
    *exponent_out = negative ? -exponent : exponent;
    return true;
}

/* By the grammar of JSON; false for anything else. */
static bool number_cut(rf_slice text, number *number_out)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    number cut = {.fraction = RF_SLICE("")};

    if (text.size == 0)
        return false;
    cut.negative = *at == '-';
    at += cut.negative;
    cut.whole = digits_cut(&at, end);
    if (cut.whole.size == 0 || (cut.whole.size > 1 && cut.whole.data[0] == '0'))
        return false;
    if (at < end && *at == '.') {
        at++;
        cut.fraction = digits_cut(&at, end);
        if (cut.fraction.size == 0)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        cut.has_exponent = true;
        if (!exponent_cut(&at, end, &cut.exponent))
            return false;
    }
    if (at != end)
        return false;
    *number_out = cut;
    return true;
}

/* A digit of WHOLE and FRACTION as one run. */
static unsigned number_digit(const number *from, size_t index)
{
    char digit = index < from->whole.size ? from->whole.data[index]
                                          : from->fraction.data[index - from->whole.size];
    return (unsigned)(digit - '0');
}

static rf_value_fault sign_apply(uint64_t magnitude, bool negative, int64_t *value_out)
{
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return RF_VALUE_RANGE;
    *value_out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return RF_VALUE_OK;
}

/* Whether a magnitude that was cut off goes up to the next: `half` compares the rest with a half
 * (-1 less, 0 the same, 1 more); the rest is not zero. */
static bool rounds_up(rf_rounding rounding, int half, bool odd)
{
    switch (rounding) {
    case RF_ROUND_HALF_EVEN:
        return half > 0 || (half == 0 && odd);
    case RF_ROUND_HALF_UP:
        return half >= 0;
    case RF_ROUND_UP:
        return true;
    case RF_ROUND_DOWN:
    case RF_ROUND_NONE:
        return false;
    }
    return false;
}

rf_value_fault rf_parse_int(rf_slice text, int64_t *value_out)
{
    size_t at = 0;
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t magnitude = 0;
    bool range = false;

    at += negative;
    if (at == text.size || (text.data[at] == '0' && text.size - at > 1))
        return RF_VALUE_WRONG_KIND;
    /* 18 digits cannot go beyond 64 bits. */
    for (size_t safe = text.size < at + 18 ? text.size : at + 18; at < safe; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';
        if (digit > 9)
            return RF_VALUE_WRONG_KIND;
        magnitude = magnitude * 10 + digit;
    }
    for (; at < text.size; at++) {
        if (!is_digit(text.data[at]))
            return RF_VALUE_WRONG_KIND;
        range = range || __builtin_mul_overflow(magnitude, (uint64_t)10, &magnitude) ||
                __builtin_add_overflow(magnitude, (uint64_t)(text.data[at] - '0'), &magnitude);
    }
    return range ? RF_VALUE_RANGE : sign_apply(magnitude, negative, value_out);
}

rf_value_fault rf_parse_decimal(rf_slice text, unsigned scale, rf_rounding rounding,
                                int64_t *value_out)
{
    number cut;
    uint64_t magnitude = 0;

    RF_ASSERT(scale <= SCALE_MAX);
    if (!number_cut(text, &cut))
        return RF_VALUE_WRONG_KIND;
    size_t count = cut.whole.size + cut.fraction.size;
    /* How many digits of the run stand before the point of the result; the rest is cut off. */
    int64_t kept = (int64_t)cut.whole.size + cut.exponent + (int64_t)scale;
    for (int64_t i = 0; i < kept; i++) {
        unsigned digit = (uint64_t)i < count ? number_digit(&cut, (size_t)i) : 0;
        if ((uint64_t)i >= count && magnitude == 0)
            break;
        if (__builtin_mul_overflow(magnitude, (uint64_t)10, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)digit, &magnitude))
            return RF_VALUE_RANGE;
    }
    unsigned first = kept >= 0 && (uint64_t)kept < count ? number_digit(&cut, (size_t)kept) : 0;
    bool rest = false;
    for (size_t i = kept < 0 ? 0 : (size_t)kept + 1; i < count && !rest; i++)
        rest = number_digit(&cut, i) != 0;
    if (first != 0 || rest) {
        int half = first > 5 || (first == 5 && rest) ? 1 : first == 5 ? 0 : -1;
        if (rounding == RF_ROUND_NONE)
            return RF_VALUE_DIGITS;
        if (rounds_up(rounding, half, magnitude & 1) &&
            __builtin_add_overflow(magnitude, (uint64_t)1, &magnitude))
            return RF_VALUE_RANGE;
    }
    return sign_apply(magnitude, cut.negative, value_out);
}

bool rf_parse_exact(rf_slice text, int64_t *mantissa_out, unsigned *scale_out)
{
    size_t at = text.size > 0 && text.data[0] == '-';
    bool negative = at == 1;
    size_t whole = at;
    size_t point = text.size;
    int64_t mantissa = 0;

    for (; at < text.size; at++) {
        char byte = text.data[at];
        if (is_digit(byte)) {
            if (mantissa > (powers[SCALE_MAX] - 1 - (byte - '0')) / 10)
                return false;
            mantissa = mantissa * 10 + (byte - '0');
        } else if (byte == '.' && point == text.size && at > whole) {
            point = at;
        } else {
            return false;
        }
    }
    size_t whole_size = point - whole;
    size_t scale = point == text.size ? 0 : text.size - point - 1;
    if (whole_size == 0 || (whole_size > 1 && text.data[whole] == '0') || scale > SCALE_MAX ||
        (point < text.size && scale == 0))
        return false;
    if (negative && mantissa == 0) /* an int64_t has no -0 */
        return false;
    *mantissa_out = negative ? -mantissa : mantissa;
    *scale_out = (unsigned)scale;
    return true;
}

static locale_t c_locale;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The locale of numbers, whatever the process has chosen. */
static locale_t number_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, c_locale_make);
    RF_ASSERT(c_locale != (locale_t)0);
    return c_locale;
}

rf_value_fault rf_parse_float(rf_slice text, double *value_out)
{
    /* No double is told apart from a neighbour's border after 768 digits; a last digit that is not zero stands
     * for all that follow. */
    enum { DIGITS_MAX = 800 };
    char buffer[DIGITS_MAX + 64];
    number cut;
    size_t used = 0;

    if (!number_cut(text, &cut))
        return RF_VALUE_WRONG_KIND;
    size_t count = cut.whole.size + cut.fraction.size;
    size_t first = 0;
    while (first < count && number_digit(&cut, first) == 0)
        first++;
    size_t kept = count - first < DIGITS_MAX ? count - first : DIGITS_MAX;
    bool rest = false;
    for (size_t i = first + kept; i < count && !rest; i++)
        rest = number_digit(&cut, i) != 0;
    if (cut.negative)
        buffer[used++] = '-';
    buffer[used++] = '0';
    for (size_t i = 0; i < kept; i++)
        buffer[used++] = (char)('0' + number_digit(&cut, first + i));
    int64_t exponent = cut.exponent + (int64_t)(cut.whole.size - first) - (int64_t)kept;
    if (rest) {
        buffer[used++] = '1';
        exponent--;
    }
    (void)snprintf(buffer + used, sizeof buffer - used, "e%lld", (long long)exponent);
    double value = strtod_l(buffer, NULL, number_locale());
    if (!isfinite(value))
        return RF_VALUE_RANGE;
    *value_out = value;
    return RF_VALUE_OK;
}

rf_value_fault rf_rescale(int64_t value, unsigned from, unsigned to, rf_rounding rounding,
                          int64_t *value_out)
{
    RF_ASSERT(from <= SCALE_MAX && to <= SCALE_MAX);
    if (to >= from) {
        int64_t scaled;
        if (__builtin_mul_overflow(value, powers[to - from], &scaled))
            return RF_VALUE_RANGE;
        *value_out = scaled;
        return RF_VALUE_OK;
    }
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t divisor = (uint64_t)powers[from - to];
    uint64_t quotient = magnitude / divisor;
    uint64_t rest = magnitude % divisor;
    if (rest) {
        int half = rest > divisor / 2 ? 1 : rest == divisor / 2 ? 0 : -1;
        if (rounding == RF_ROUND_NONE)
            return RF_VALUE_DIGITS;
        quotient += rounds_up(rounding, half, quotient & 1);
    }
    return sign_apply(quotient, value < 0, value_out);
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
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int64_t year_of_era = march_year - era * 400;
    int64_t month_from_march = month > 2 ? (int64_t)month - 3 : (int64_t)month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void days_split(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out)
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
    *days_out = days_of(*year_out, month, day);
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
    return days >= days_of(1, 1, 1) && days <= days_of(9999, 12, 31);
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

size_t rf_format_decimal(int64_t value, unsigned scale, char text_out[RF_VALUE_TEXT_SIZE])
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[RF_VALUE_TEXT_SIZE];
    size_t used = sizeof digits;
    unsigned count = 0;

    RF_ASSERT(scale <= SCALE_MAX);
    while (magnitude > 0 || count <= scale) {
        if (count == scale && scale > 0)
            digits[--used] = '.';
        digits[--used] = (char)('0' + magnitude % 10);
        magnitude /= 10;
        count++;
    }
    if (value < 0)
        digits[--used] = '-';
    size_t size = sizeof digits - used;
    RF_ASSERT(size < RF_VALUE_TEXT_SIZE);
    memcpy(text_out, digits + used, size);
    text_out[size] = '\0';
    return size;
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

    days_split(days, &year, &month, &day);
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

size_t rf_format_float(double value, char text_out[RF_VALUE_TEXT_SIZE])
{
    int size;

    if (!isfinite(value)) {
        memcpy(text_out, "null", 5);
        return 4;
    }
    /* Below the normal range fewer than 15 digits may be enough. */
    int precision = value != 0 && fabs(value) < 0x1p-1022 ? 1 : 15;
    locale_t before = uselocale(number_locale());
    do {
        size = snprintf(text_out, RF_VALUE_TEXT_SIZE, "%.*g", precision, value);
        RF_ASSERT(size > 0 && size < RF_VALUE_TEXT_SIZE);
    } while (strtod(text_out, NULL) != value && precision++ < 17);
    (void)uselocale(before);
    return (size_t)size;
}

void rf_append_json_string(rf_buf *out, rf_slice text)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0;

    rf_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        char escape[6] = {'\\', 'u', '0', '0', 0, 0};
        size_t size = 2;
        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        switch (byte) {
        case '\b':
            escape[1] = 'b';
            break;
        case '\f':
            escape[1] = 'f';
            break;
        case '\n':
            escape[1] = 'n';
            break;
        case '\r':
            escape[1] = 'r';
            break;
        case '\t':
            escape[1] = 't';
            break;
        case '"':
        case '\\':
            escape[1] = (char)byte;
            break;
        default:
            escape[4] = hex[byte >> 4];
            escape[5] = hex[byte & 15];
            size = 6;
        }
        rf_buf_append(out, text.data + plain, i - plain);
        rf_buf_append(out, escape, size);
        plain = i + 1;
    }
    if (text.size > plain)
        rf_buf_append(out, text.data + plain, text.size - plain);
    rf_buf_append_byte(out, '"');
}
