/* A table for people: columns as wide as their cells, numbers to the right. */
#ifndef RF_CLI_TABLE_H
#define RF_CLI_TABLE_H

#include "refold/refold.h"

typedef struct cli_table cli_table;

/* `layout` has one letter a column: 'l' or 'r' for the side that its cells stand on. */
cli_table *cli_table_new(const char *layout);
/* Adds the next cell; the last of a line is followed by the first of the next. Control characters
 * are escaped. Without memory the table remembers it. */
void cli_table_cell(cli_table *table, const char *text);
void cli_table_slice(cli_table *table, rf_slice text);
void cli_table_count(cli_table *table, uint64_t count);
void cli_table_bytes(cli_table *table, uint64_t bytes);
/* Prints what is there and frees it. */
rf_status cli_table_finish(cli_table *table, rf_err *err);

#endif
