/* What the values of one field were: the smallest and largest number, time or date, and examples of
 * texts.
 *
 * Values come column by column, in any order of segments; the result depends on the values alone.
 * Integers and exact numbers are compared exactly, other numbers as doubles. A field whose texts
 * are all times has a smallest and largest time, likewise dates. Examples are the distinct texts
 * that came first by position, cut to some bytes. Confined to one thread; those of several are
 * added up.
 */
#ifndef RF_LOG_FIELD_VALUES_H
#define RF_LOG_FIELD_VALUES_H

#include "event/value.h"
#include "log/segment.h"

enum { RF_VALUES_EXAMPLES = 3, RF_VALUES_EXAMPLE_SIZE = 60 };

typedef enum rf_values_order {
    RF_VALUES_UNORDERED, /* no smallest and largest */
    RF_VALUES_NUMBERS,
    RF_VALUES_TIMES,
    RF_VALUES_DATES,
} rf_values_order;

typedef struct rf_values_example {
    uint64_t position; /* of the first event that has it */
    uint8_t size;
    bool cut;
    char text[RF_VALUES_EXAMPLE_SIZE];
} rf_values_example;

/* Zeroed at first. */
typedef struct rf_field_values {
    bool has_exact, has_number, has_time, has_date;
    bool has_other; /* a text that is neither time nor date */
    bool partial;   /* some values have no column and were not looked at */
    __int128 exact_min, exact_max; /* counts of 10^-18 */
    double number_min, number_max;
    int64_t time_min, time_max;
    int64_t date_min, date_max;
    uint32_t example_count;
    rf_values_example examples[RF_VALUES_EXAMPLES]; /* by position */
} rf_field_values;

/* `count` integers, or mantissas of that scale. */
void rf_field_values_exact(rf_field_values *values, const int64_t *numbers, size_t count,
                           unsigned scale);
/* A number literal of any other form. */
void rf_field_values_number(rf_field_values *values, rf_slice literal);
void rf_field_values_text(rf_field_values *values, rf_slice text, uint64_t position);
/* Whether a text of an event at `position` or later can change anything. */
bool rf_field_values_want_text(const rf_field_values *values, uint64_t position);
void rf_field_values_add(rf_field_values *values, const rf_field_values *other);

rf_values_order rf_field_values_order(const rf_field_values *values);
/* Unless they are unordered: with a NUL; return the length. */
size_t rf_field_values_smallest(const rf_field_values *values, char text_out[RF_VALUE_TEXT_SIZE]);
size_t rf_field_values_largest(const rf_field_values *values, char text_out[RF_VALUE_TEXT_SIZE]);

#endif
