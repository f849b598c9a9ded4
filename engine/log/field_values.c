/* See field_values.h. */
#include "log/field_values.h"

#include <string.h>

enum { EXACT_SCALE = 18, TIME_SIZE_MIN = 20, DATE_SIZE = 10 };

/* ---- numbers ---- */

static __int128 widen(int64_t number, unsigned scale)
{
    __int128 wide = number;

    for (; scale < EXACT_SCALE; scale++)
        wide *= 10;
    return wide;
}

static void add_exact(rf_field_values *values, __int128 smallest, __int128 largest)
{
    if (!values->has_exact || smallest < values->exact_min)
        values->exact_min = smallest;
    if (!values->has_exact || largest > values->exact_max)
        values->exact_max = largest;
    values->has_exact = true;
}

void rf_field_values_exact(rf_field_values *values, const int64_t *numbers, size_t count,
                           unsigned scale)
{
    int64_t smallest = INT64_MAX;
    int64_t largest = INT64_MIN;

    RF_ASSERT(scale <= EXACT_SCALE);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        smallest = numbers[i] < smallest ? numbers[i] : smallest;
        largest = numbers[i] > largest ? numbers[i] : largest;
    }
    add_exact(values, widen(smallest, scale), widen(largest, scale));
}

static void add_number(rf_field_values *values, double smallest, double largest)
{
    if (!values->has_number || smallest < values->number_min)
        values->number_min = smallest;
    if (!values->has_number || largest > values->number_max)
        values->number_max = largest;
    values->has_number = true;
}

void rf_field_values_number(rf_field_values *values, rf_slice literal)
{
    double number;

    if (rf_parse_float(literal, &number) == RF_VALUE_OK)
        add_number(values, number, number);
    else
        values->partial = true;
}

/* ---- texts ---- */

static void add_range(bool *has, int64_t *smallest_at, int64_t *largest_at, int64_t smallest,
                      int64_t largest)
{
    if (!*has || smallest < *smallest_at)
        *smallest_at = smallest;
    if (!*has || largest > *largest_at)
        *largest_at = largest;
    *has = true;
}

static void classify(rf_field_values *values, rf_slice text)
{
    bool dated = text.size >= DATE_SIZE && text.data[4] == '-' && text.data[7] == '-';
    int64_t number;

    if (dated && text.size >= TIME_SIZE_MIN &&
        rf_parse_time(text, false, 0, &number) == RF_VALUE_OK)
        add_range(&values->has_time, &values->time_min, &values->time_max, number, number);
    else if (dated && text.size == DATE_SIZE && rf_parse_date(text, &number) == RF_VALUE_OK)
        add_range(&values->has_date, &values->date_min, &values->date_max, number, number);
    else
        values->has_other = true;
}

/* Whole characters up to the size of an example. */
static rf_values_example make_example(rf_slice text, uint64_t position)
{
    rf_values_example example = {.position = position};
    size_t size = 0;

    while (size < text.size) {
        size_t width = rf_utf8_width((rf_slice){text.data + size, text.size - size});
        width = width ? width : 1;
        if (size + width > RF_VALUES_EXAMPLE_SIZE)
            break;
        size += width;
    }
    memcpy(example.text, text.data, size);
    example.size = (uint8_t)size;
    example.cut = size < text.size;
    return example;
}

static bool same_text(const rf_values_example *a, const rf_values_example *b)
{
    return a->size == b->size && a->cut == b->cut && memcmp(a->text, b->text, a->size) == 0;
}

/* Keeps the distinct ones that came first. */
static void add_example(rf_field_values *values, const rf_values_example *example)
{
    rf_values_example *examples = values->examples;
    uint32_t count = values->example_count;
    uint32_t at = 0;

    while (at < count && !same_text(&examples[at], example))
        at++;
    if (at < count && examples[at].position <= example->position)
        return;
    if (at == count && count == RF_VALUES_EXAMPLES) {
        at--; /* the last one goes, if it came later */
        if (examples[at].position <= example->position)
            return;
    } else if (at == count) {
        values->example_count++;
    }
    for (; at > 0 && examples[at - 1].position > example->position; at--)
        examples[at] = examples[at - 1];
    examples[at] = *example;
}

static bool wants_example(const rf_field_values *values, uint64_t position)
{
    return values->example_count < RF_VALUES_EXAMPLES ||
           values->examples[RF_VALUES_EXAMPLES - 1].position > position;
}

bool rf_field_values_want_text(const rf_field_values *values, uint64_t position)
{
    return !values->has_other || wants_example(values, position);
}

void rf_field_values_text(rf_field_values *values, rf_slice text, uint64_t position)
{
    if (!values->has_other)
        classify(values, text);
    if (!wants_example(values, position))
        return;
    rf_values_example example = make_example(text, position);
    add_example(values, &example);
}

/* ---- all of it ---- */

void rf_field_values_add(rf_field_values *values, const rf_field_values *other)
{
    if (other->has_exact)
        add_exact(values, other->exact_min, other->exact_max);
    if (other->has_number)
        add_number(values, other->number_min, other->number_max);
    if (other->has_time)
        add_range(&values->has_time, &values->time_min, &values->time_max, other->time_min,
                  other->time_max);
    if (other->has_date)
        add_range(&values->has_date, &values->date_min, &values->date_max, other->date_min,
                  other->date_max);
    values->has_other |= other->has_other;
    values->partial |= other->partial;
    for (uint32_t i = 0; i < other->example_count; i++)
        add_example(values, &other->examples[i]);
}

rf_values_order rf_field_values_order(const rf_field_values *values)
{
    if (values->has_exact || values->has_number)
        return RF_VALUES_NUMBERS;
    if (values->has_other || values->has_time == values->has_date)
        return RF_VALUES_UNORDERED;
    return values->has_time ? RF_VALUES_TIMES : RF_VALUES_DATES;
}

static size_t format_exact(__int128 number, char text_out[RF_VALUE_TEXT_SIZE])
{
    unsigned scale = EXACT_SCALE;

    for (; scale > 0 && number % 10 == 0; scale--)
        number /= 10;
    RF_ASSERT(number >= INT64_MIN && number <= INT64_MAX); /* as it was before it was widened */
    return rf_format_decimal((int64_t)number, scale, text_out);
}

static double exact_as_double(__int128 number)
{
    return (double)number / 1e18;
}

static size_t format(const rf_field_values *values, bool largest, char text_out[RF_VALUE_TEXT_SIZE])
{
    rf_values_order order = rf_field_values_order(values);

    RF_ASSERT(order != RF_VALUES_UNORDERED);
    if (order == RF_VALUES_TIMES)
        return rf_format_time_short(largest ? values->time_max : values->time_min, text_out);
    if (order == RF_VALUES_DATES)
        return rf_format_date(largest ? values->date_max : values->date_min, text_out);
    __int128 exact = largest ? values->exact_max : values->exact_min;
    double number = largest ? values->number_max : values->number_min;
    bool by_number = !values->has_exact ||
                     (values->has_number && (largest ? number > exact_as_double(exact)
                                                     : number < exact_as_double(exact)));
    return by_number ? rf_format_float(number, text_out) : format_exact(exact, text_out);
}

size_t rf_field_values_smallest(const rf_field_values *values, char text_out[RF_VALUE_TEXT_SIZE])
{
    return format(values, false, text_out);
}

size_t rf_field_values_largest(const rf_field_values *values, char text_out[RF_VALUE_TEXT_SIZE])
{
    return format(values, true, text_out);
}
