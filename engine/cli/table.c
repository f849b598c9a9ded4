#include "cli/table.h"

#include "cli/fail.h"
#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cli_table {
    const char *layout;
    size_t columns;
    char **cells; /* owned, as each of them */
    size_t count, capacity;
    bool failed;
};

cli_table *cli_table_new(const char *layout)
{
    cli_table *table = calloc(1, sizeof *table);
    if (table)
        *table = (cli_table){.layout = layout, .columns = strlen(layout)};
    return table;
}

/* Characters, as a terminal counts most of them: bytes that do not continue another. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* A copy with control characters as \x0a; NULL without memory. */
static char *safe_copy(rf_slice text)
{
    char *copy = malloc(text.size * 4 + 1);
    if (!copy)
        return NULL;
    char *at = copy;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7f)
            at += snprintf(at, 5, "\\x%02x", c);
        else
            *at++ = text.data[i];
    }
    *at = '\0';
    return copy;
}

void cli_table_slice(cli_table *table, rf_slice text)
{
    if (!table)
        return;
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    char *copy = safe_copy(text);
    if (copy)
        table->cells[table->count++] = copy;
    else
        table->failed = true;
}

void cli_table_cell(cli_table *table, const char *text)
{
    cli_table_slice(table, (rf_slice){text, strlen(text)});
}

void cli_table_count(cli_table *table, uint64_t count)
{
    char text[CLI_NUMBER_SIZE];
    cli_table_cell(table, cli_format_count(count, text));
}

void cli_table_bytes(cli_table *table, uint64_t bytes)
{
    char text[CLI_NUMBER_SIZE];
    cli_table_cell(table, cli_format_bytes(bytes, text));
}

static void print_line(const cli_table *table, char *const *cells, const size_t *widths)
{
    size_t columns = table->columns;
    while (columns > 1 && !*cells[columns - 1])
        columns--; /* no blanks at the end of a line */
    for (size_t i = 0; i < columns; i++) {
        int fill = (int)(widths[i] - text_width(cells[i]));
        bool last = i + 1 == columns;
        if (table->layout[i] == 'r')
            cli_print("%*s%s%s", fill, "", cells[i], last ? "" : "  ");
        else
            cli_print("%s%*s", cells[i], last ? 0 : fill + 2, "");
    }
    cli_print("\n");
}

rf_status cli_table_finish(cli_table *table, rf_err *err)
{
    enum { COLUMNS_MAX = 16 };
    size_t widths[COLUMNS_MAX] = {0};
    if (!table || table->failed || table->columns > COLUMNS_MAX) {
        if (table) {
            for (size_t i = 0; i < table->count; i++)
                free(table->cells[i]);
            free(table->cells);
        }
        free(table);
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t width = text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i + table->columns <= table->count; i += table->columns)
        print_line(table, table->cells + i, widths);
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
    return RF_OK;
}
