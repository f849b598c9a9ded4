/* See value.h.
 *
 * A number's text is first cut into sign, digits and exponent (number_cut), which checks the
 * grammar of JSON; everything exact then works on digits. Digit runs and exponents of any size are
 * fine: work is linear in the text, and nothing is accumulated past 64 bits. Times are in
 * value_time.c.
 */
#include "event/value.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCALE_MAX = 18 };

const int64_t rf_powers_of_ten[RF_POWERS_OF_TEN] = {
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
            if (mantissa > (rf_powers_of_ten[SCALE_MAX] - 1 - (byte - '0')) / 10)
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
    /* After 768 digits a text cannot be on a border between two doubles any more; a last digit
     * that is not zero stands for all that follow. */
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
        if (__builtin_mul_overflow(value, rf_powers_of_ten[to - from], &scaled))
            return RF_VALUE_RANGE;
        *value_out = scaled;
        return RF_VALUE_OK;
    }
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t divisor = (uint64_t)rf_powers_of_ten[from - to];
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

rf_value_fault rf_muldiv(int64_t a, int64_t b, int64_t c, rf_rounding rounding, int64_t *value_out)
{
    if (c == 0)
        return RF_VALUE_BY_ZERO;
    /* 126 bits and a sign: cannot overflow. */
    __int128 product = (__int128)a * b;
    bool negative = (product < 0) != (c < 0);
    unsigned __int128 magnitude =
        product < 0 ? 0 - (unsigned __int128)product : (unsigned __int128)product;
    uint64_t divisor = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    unsigned __int128 quotient;
    uint64_t rest;
    if (magnitude >> 64 == 0) {
        quotient = (uint64_t)magnitude / divisor;
        rest = (uint64_t)magnitude % divisor;
    } else {
        quotient = magnitude / divisor;
        rest = (uint64_t)(magnitude % divisor);
    }
    if (rest) {
        uint64_t other = divisor - rest; /* rest against a half, without doubling it */
        int half = rest > other ? 1 : rest == other ? 0 : -1;
        if (rounding == RF_ROUND_NONE)
            return RF_VALUE_DIGITS;
        quotient += rounds_up(rounding, half, quotient & 1);
    }
    if (quotient >> 64 != 0)
        return RF_VALUE_RANGE;
    return sign_apply((uint64_t)quotient, negative, value_out);
}

bool rf_rounding_of(rf_slice name, rf_rounding *rounding_out)
{
    static const struct {
        const char *name;
        rf_rounding rounding;
    } modes[] = {
        {"half_even", RF_ROUND_HALF_EVEN},
        {"half_up", RF_ROUND_HALF_UP},
        {"down", RF_ROUND_DOWN},
        {"up", RF_ROUND_UP},
    };

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (rf_slice_equal(name, rf_slice_of(modes[i].name))) {
            *rounding_out = modes[i].rounding;
            return true;
        }
    }
    return false;
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

/* The high bit of each byte that needs an escape; of bytes above the lowest such one perhaps more. */
static uint64_t escapes_of(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t quotes = bytes ^ ones * '"';
    uint64_t slashes = bytes ^ ones * '\\';

    return (((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) |
            ((slashes - ones) & ~slashes)) & RF_HIGH_BITS;
}

/* Whether nothing of the text needs an escape. Eight bytes at a time, the last of which may overlap. */
static bool is_plain(rf_slice text)
{
    uint64_t escapes = 0;
    char few[8] = "        ";

    if (text.size < 8) {
        memcpy(few, text.data, text.size);
        return escapes_of(rf_load_u64(few)) == 0;
    }
    for (size_t i = 0; i + 8 < text.size; i += 8)
        escapes |= escapes_of(rf_load_u64(text.data + i));
    return (escapes | escapes_of(rf_load_u64(text.data + text.size - 8))) == 0;
}

/* Most texts need no escapes, and then go in one piece. */
static bool append_plain(rf_buf *out, rf_slice text)
{
    char *at = is_plain(text) ? rf_buf_reserve(out, text.size + 2) : NULL;
    if (!at)
        return false;
    *at = '"';
    rf_copy_short(at + 1, text.data, text.size);
    at[text.size + 1] = '"';
    out->size += text.size + 2;
    return true;
}

void rf_append_json_string(rf_buf *out, rf_slice text)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = 0;

    if (append_plain(out, text))
        return;
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
