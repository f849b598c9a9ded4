/* Counts of a field's values by kind, for `types` and `check`. */
#ifndef RF_CLI_KINDS_H
#define RF_CLI_KINDS_H

#include "cli/json.h"
#include "cli/table.h"

/* In the order in which they are shown. */
typedef struct cli_kinds {
    uint64_t ints, numbers, texts, bools, arrays, objects, nulls;
} cli_kinds;

/* Not null. */
uint64_t cli_kinds_present(const cli_kinds *kinds);
/* A member for each kind. */
void cli_kinds_json(cli_json *json, const cli_kinds *kinds);
/* "int", or "int 7, text 3" where there are several. */
void cli_kinds_cell(cli_table *table, const cli_kinds *kinds);
/* "25.1%": 100% is all of them, and 0% none. */
void cli_share_cell(cli_table *table, uint64_t present, uint64_t events);

#endif
