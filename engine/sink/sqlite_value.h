/* Values of rows as SQLite keeps them.
 *
 * int is INTEGER, bool INTEGER 0 or 1 (BOOLEAN), float REAL, text, json, time and date TEXT, the last two
 * in forms that SQLite's date functions read and that sort. A decimal is a number (NUMERIC): whole ones
 * an INTEGER; others a REAL, which prints back and compares as the decimal up to 15 digits; or,
 * if asked for, its TEXT.
 */
#ifndef RF_SINK_SQLITE_VALUE_H
#define RF_SINK_SQLITE_VALUE_H

#include "database/sqlite_write.h"
#include "sink/layout.h"

const char *rf_sqlite_type_name(const rf_layout_column *column, bool decimals_text);
/* Binds column `index` (from 0) of a row; false for a decimal that is no exact number. */
bool rf_sqlite_bind(rf_sqlite_writer *writer, uint32_t index, const rf_value *value,
                    bool decimals_text);

#endif
