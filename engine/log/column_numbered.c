/* See column_numbered.h. Digits are read one by one and written eight at a time. */
#include "log/column_numbered.h"

#include "event/value.h"

enum {
    COUNT_MIN = 16,
    DECIMAL_DIGITS_MAX = 18,
    HEXADECIMAL_DIGITS_MAX = 16,
    WORD = 8, /* bytes that a store of digits may go past the end */
};

static inline uint64_t power_of_ten(unsigned exponent)
{
    return (uint64_t)rf_powers_of_ten[exponent];
}

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* What all texts begin with, and whether all have one size. */
static size_t beginning_of(const rf_slice *values, size_t count, bool *one_size_out)
{
    rf_slice first = values[0];
    size_t shared = first.size;
    bool one_size = true;

    for (size_t i = 1; i < count; i++) {
        size_t end = shared < values[i].size ? shared : values[i].size;
        one_size &= values[i].size == first.size;
        if (end == shared && memcmp(first.data, values[i].data, shared) == 0)
            continue;
        shared = 0;
        while (shared < end && first.data[shared] == values[i].data[shared])
            shared++;
        if (shared == 0 && !one_size)
            break;
    }
    *one_size_out = one_size;
    return shared;
}

/* Decimal digits; false where there are none, others, or more than fit. */
static inline bool decimal_read(const char *at, size_t size, int64_t *number_out)
{
    uint64_t number = 0;
    unsigned others = 0;

    if (size == 0 || size > DECIMAL_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(unsigned char)at[i] - '0';
        others |= digit > 9;
        number = number * 10 + digit;
    }
    *number_out = (int64_t)number;
    return !others;
}

static inline bool hexadecimal_read(const char *at, size_t size, int64_t *number_out)
{
    uint64_t number = 0;
    unsigned others = 0;

    if (size == 0 || size > HEXADECIMAL_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned)(unsigned char)at[i] - '0';
        unsigned letter = (unsigned)(unsigned char)at[i] - 'a';
        others |= digit > 9 && letter > 5;
        number = number << 4 | (digit > 9 ? letter + 10 : digit);
    }
    *number_out = (int64_t)number;
    return !others;
}

/* All numbers in one of the ways; false at the first text that is otherwise. */
static bool read_all(const rf_slice *values, size_t count, rf_numbered *numbered)
{
    size_t begin = numbered->beginning.size;

    for (size_t i = 0; i < count; i++) {
        const char *at = values[i].data + begin;
        size_t size = values[i].size - begin;
        bool right = numbered->hexadecimal ? hexadecimal_read(at, size, &numbered->numbers[i])
                                           : decimal_read(at, size, &numbered->numbers[i]);
        if (!right || (numbered->digits == 0 && size > 1 && at[0] == '0'))
            return false;
    }
    return true;
}

bool rf_numbered_measure(const rf_slice *values, size_t count, rf_arena *scratch,
                         rf_numbered *numbered_out)
{
    bool one_size;

    if (count < COUNT_MIN || values[0].size == 0)
        return false;
    /* The last byte tells for most texts. */
    char last = values[0].data[values[0].size - 1];
    if (!is_digit(last) && (last < 'a' || last > 'f'))
        return false;
    size_t begin = beginning_of(values, count, &one_size);
    size_t rest = values[0].size - begin;
    if (one_size && (rest == 0 || rest > DECIMAL_DIGITS_MAX))
        return false;
    while (!one_size && begin > 0 && is_digit(values[0].data[begin - 1]))
        begin--;
    rf_numbered numbered = {.beginning = {values[0].data, begin},
                            .digits = one_size ? (unsigned)rest : 0,
                            .numbers = rf_arena_alloc(scratch, count * sizeof(int64_t))};
    if (!numbered.numbers)
        return false;
    bool right = read_all(values, count, &numbered);
    if (!right && one_size) {
        numbered.hexadecimal = true;
        right = read_all(values, count, &numbered);
    }
    if (!right)
        return false;
    uint64_t min = UINT64_MAX, max = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = (uint64_t)numbered.numbers[i];
        min = number < min ? number : min;
        max = number > max ? number : max;
    }
    numbered.range = max - min;
    *numbered_out = numbered;
    return true;
}

void rf_numbered_append(const rf_numbered *numbered, size_t count, rf_arena *scratch, rf_buf *out)
{
    rf_buf_append_varint(out, numbered->beginning.size);
    rf_buf_append_slice(out, numbered->beginning);
    rf_buf_append_byte(out, (uint8_t)numbered->digits);
    rf_int_column_encode(numbered->numbers, count, scratch, out);
}

/* Eight decimal digits of a number below 10^8, the first in the lowest byte. */
static inline uint64_t decimal_word(uint64_t number)
{
    uint64_t fours = number / 10000 | (number % 10000) << 32;
    uint64_t hundreds = ((fours * 10486) >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = ((twos * 103) >> 10) & UINT64_C(0x000f000f000f000f);

    return (tens | (twos - 10 * tens) << 8) | UINT64_C(0x3030303030303030);
}

static inline uint64_t hexadecimal_word(uint64_t number)
{
    uint64_t word = (number << 16 | number) & UINT64_C(0x0000ffff0000ffff);

    word = (word << 8 | word) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word << 4 | word) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = ((word + UINT64_C(0x0606060606060606)) >> 4) & UINT64_C(0x0101010101010101);
    return __builtin_bswap64(word + UINT64_C(0x3030303030303030) + letters * ('a' - '0' - 10));
}

/* The last `digits` digits of a number, with room for a word behind them. */
static inline void digits_write(char *at, uint64_t number, unsigned digits, bool hexadecimal)
{
    while (digits > WORD) {
        digits -= WORD;
        uint64_t high = hexadecimal ? number >> (4 * digits) : number / power_of_ten(digits);
        number = hexadecimal ? number & ((UINT64_C(1) << (4 * digits)) - 1)
                             : number - high * power_of_ten(digits);
        rf_store_u64(at, hexadecimal ? hexadecimal_word(high) : decimal_word(high));
        at += WORD;
    }
    uint64_t word = hexadecimal ? hexadecimal_word(number) : decimal_word(number);
    rf_store_u64(at, word >> (8 * (WORD - digits)));
}

static inline unsigned digits_of(uint64_t number)
{
    unsigned digits = 1;

    while (digits < DECIMAL_DIGITS_MAX && number >= power_of_ten(digits))
        digits++;
    return digits;
}

static rf_status damaged(const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "a text column %s", what);
}

static bool number_fits(uint64_t number, unsigned digits, bool hexadecimal)
{
    if (hexadecimal)
        return digits == HEXADECIMAL_DIGITS_MAX || number >> (4 * digits) == 0;
    return number < power_of_ten(digits ? digits : DECIMAL_DIGITS_MAX);
}

/* Size of the texts of these numbers. */
static size_t size_of_all(const rf_text_numbers *numbered, const int64_t *numbers, size_t count)
{
    size_t size = count * (numbered->beginning.size + numbered->digits);

    for (size_t i = 0; i < count && numbered->digits == 0; i++)
        size += digits_of((uint64_t)numbers[i]);
    return size;
}

/* Texts of which each is a beginning and a number. `at` has room for all and a word more. */
static void write_any(char *at, const int64_t *numbers, size_t count, rf_slice beginning,
                      unsigned digits, bool hexadecimal, rf_slice *values)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = (uint64_t)numbers[i];
        unsigned own = digits ? digits : digits_of(number);
        values[i] = (rf_slice){at, beginning.size + own};
        for (size_t k = 0; k < beginning.size; k += WORD) /* what is too much is written over */
            memcpy(at + k, beginning.data + k,
                   beginning.size - k < WORD ? beginning.size - k : WORD);
        digits_write(at + beginning.size, number, own, hexadecimal);
        at += beginning.size + own;
    }
}

/* The same where both fit a word each: two stores a text. */
static void write_short(char *at, const int64_t *numbers, size_t count, rf_slice beginning,
                        unsigned digits, rf_slice *values)
{
    char bytes[WORD] = {0};
    unsigned shift = 8 * (WORD - digits);
    size_t size = beginning.size + digits;

    if (beginning.size > 0)
        memcpy(bytes, beginning.data, beginning.size);
    uint64_t first = rf_load_u64(bytes);
    for (size_t i = 0; i < count; i++, at += size) {
        values[i] = (rf_slice){at, size};
        rf_store_u64(at, first); /* what is too much is written over */
        rf_store_u64(at + beginning.size, decimal_word((uint64_t)numbers[i]) >> shift);
    }
}

rf_status rf_text_numbers_write(const rf_text_numbers *numbered, const int64_t *numbers,
                                size_t count, rf_arena *arena, rf_arena *text,
                                const rf_slice **values_out, rf_err *err)
{
    rf_slice beginning = numbered->beginning;
    unsigned digits = numbered->digits;
    rf_slice *values = rf_arena_alloc(arena, count * sizeof *values);
    char *at = rf_arena_bytes(text, size_of_all(numbered, numbers, count) + WORD);

    if (!values || !at)
        return rf_fail(err, RF_ERR_MEMORY,
                       "decoding a text column: out of memory, or over its limit");
    if (!numbered->hexadecimal && digits > 0 && digits <= WORD && beginning.size <= WORD)
        write_short(at, numbers, count, beginning, digits, values);
    else
        write_any(at, numbers, count, beginning, digits, numbered->hexadecimal, values);
    *values_out = values;
    return RF_OK;
}

rf_status rf_numbered_decode(rf_bytes_reader *reader, size_t count, bool hexadecimal,
                             size_t size_max, rf_arena *arena, const rf_text_numbers **numbered_out,
                             rf_err *err)
{
    rf_slice beginning = rf_read_slice(reader, rf_read_varint(reader));
    unsigned digits = rf_read_byte(reader);
    rf_slice stored = rf_read_slice(reader, rf_bytes_left(reader));

    if (reader->failed || digits > (hexadecimal ? HEXADECIMAL_DIGITS_MAX : DECIMAL_DIGITS_MAX) ||
        (hexadecimal && digits == 0) || beginning.size > size_max / count)
        return damaged("has a wrong head", err);
    rf_text_numbers *numbered = rf_arena_alloc(arena, sizeof *numbered);
    int64_t *numbers = rf_arena_alloc(arena, count * sizeof *numbers);
    rf_slice copy = rf_arena_copy(arena, beginning);
    if (!numbered || !numbers || !copy.data)
        return rf_fail(err, RF_ERR_MEMORY,
                       "decoding a text column: out of memory, or over its limit");
    rf_status status = rf_int_column_decode(stored, count, numbers, err);
    if (status != RF_OK)
        return status;
    uint64_t max = 0;
    for (size_t i = 0; i < count; i++)
        max = (uint64_t)numbers[i] > max ? (uint64_t)numbers[i] : max;
    *numbered = (rf_text_numbers){copy, digits, hexadecimal, numbers, max};
    if (!number_fits(max, digits, hexadecimal) || size_of_all(numbered, numbers, count) > size_max)
        return damaged("has numbers that are too long", err);
    *numbered_out = numbered;
    return RF_OK;
}
