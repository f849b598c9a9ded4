/* Fuzz target of expectations: any text is one or is refused with one line, and what is one gives an answer for
 * every row, the same each time.
 *
 * The first eight bytes are the row's values, the rest is the text. */
#include "projection/expectation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rf_reader_column columns[] = {
    {"total", RF_DECIMAL, 2}, {"huge", RF_DECIMAL, 18}, {"items", RF_INT, 0},  {"rate", RF_FLOAT, 0},
    {"paid", RF_BOOL, 0},     {"status", RF_TEXT, 0},   {"at", RF_TIME, 0},    {"due", RF_DATE, 0},
    {"lines", RF_JSON, 0},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* Numbers at the ends of what there is, and texts, or nil. */
static void row_make(const uint8_t *data, rf_value *values)
{
    static const int64_t numbers[] = {0, 1, -1, 100, INT64_MAX, INT64_MIN, 1720612800000000, 19915};
    static const double floats[] = {0, 0.5, -1e308, 1e308, 5e-324, 1e19, -3, 1.0 / 3};

    for (uint32_t i = 0; i < COLUMNS; i++) {
        uint8_t choice = data[i % 8];
        values[i] = (rf_value){.kind = columns[i].kind, .scale = columns[i].scale};
        values[i].is_null = (choice & 0x10) != 0 &&
                            (columns[i].kind == RF_TEXT || columns[i].kind == RF_TIME ||
                             columns[i].kind == RF_DATE || columns[i].kind == RF_JSON);
        if (columns[i].kind == RF_FLOAT)
            values[i].number = floats[choice & 7];
        else if (columns[i].kind == RF_BOOL)
            values[i].boolean = choice & 1;
        else if (columns[i].kind == RF_TEXT || columns[i].kind == RF_JSON)
            values[i].text = (rf_slice){"[\"placed\"]", (choice & 7) + 3u};
        else
            values[i].integer = values[i].is_null ? RF_TIME_NONE : numbers[choice & 7];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_expectation *expectation = NULL;
    rf_value values[COLUMNS];
    rf_err err = {.message = ""};

    if (size < 8)
        return 0;
    rf_slice text = {(const char *)data + 8, size - 8};
    rf_status status = rf_expectation_new(text, columns, COLUMNS, &expectation, &err);
    if (status != RF_OK) {
        RF_ASSERT(!expectation && err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    row_make(data, values);
    bool holds = rf_expectation_holds(expectation, values);
    RF_ASSERT(rf_expectation_holds(expectation, values) == holds);
    rf_expectation_free(expectation);
    return 0;
}
