#include "sink/sqlite_value.h"

#include "catalog/row.h"
#include "event/value.h"

enum { EXACT_DIGITS = 15 /* that a double brings back as they were */ };

const char *rf_sqlite_type_name(const rf_layout_column *column, bool decimals_text)
{
    static const char *const names[] = {
        [RF_INT] = "INTEGER", [RF_DECIMAL] = "NUMERIC", [RF_FLOAT] = "REAL", [RF_BOOL] = "BOOLEAN",
        [RF_TEXT] = "TEXT",   [RF_TIME] = "TEXT",       [RF_DATE] = "TEXT",  [RF_JSON] = "TEXT",
    };
    return column->kind == RF_DECIMAL && decimals_text ? "TEXT" : names[column->kind];
}

static bool bind_decimal(rf_sqlite_writer *writer, int index, const rf_value *value)
{
    int64_t count = value->integer;
    int64_t beyond = rf_powers_of_ten[EXACT_DIGITS];

    if (value->scale == 0) {
        rf_sqlite_writer_integer(writer, index, count);
        return true;
    }
    if (count <= -beyond || count >= beyond)
        return false;
    /* Both are exact, so the quotient is the double that is nearest. */
    rf_sqlite_writer_real(writer, index, (double)count / (double)rf_powers_of_ten[value->scale]);
    return true;
}

bool rf_sqlite_bind(rf_sqlite_writer *writer, uint32_t column, const rf_value *value,
                    bool decimals_text)
{
    char text[RF_VALUE_TEXT_SIZE];
    int index = (int)column + 1;

    if (rf_value_is_null(value))
        return true;
    switch (value->kind) {
    case RF_INT:
        rf_sqlite_writer_integer(writer, index, value->integer);
        break;
    case RF_DECIMAL:
        if (!decimals_text)
            return bind_decimal(writer, index, value);
        rf_sqlite_writer_copy(
            writer, index, (rf_slice){text, rf_format_decimal(value->integer, value->scale, text)});
        break;
    case RF_FLOAT:
        rf_sqlite_writer_real(writer, index, value->number);
        break;
    case RF_BOOL:
        rf_sqlite_writer_integer(writer, index, value->boolean);
        break;
    case RF_TIME:
        rf_sqlite_writer_copy(writer, index,
                              (rf_slice){text, rf_format_time(value->integer, text)});
        break;
    case RF_DATE:
        rf_sqlite_writer_copy(writer, index,
                              (rf_slice){text, rf_format_date(value->integer, text)});
        break;
    case RF_TEXT:
    case RF_JSON:
        rf_sqlite_writer_text(writer, index, value->text);
        break;
    }
    return true;
}
