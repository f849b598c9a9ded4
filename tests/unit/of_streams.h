/* Projections whose keys are streams, or begin with one, and that carry, combine, or have handlers of every row: what
 * their rows are made of is of one stream. */
#ifndef RF_TEST_OF_STREAMS_H
#define RF_TEST_OF_STREAMS_H

#include "shop_logs.h"

static const char carried_of_stream[] =
    "name 'carried' version (1)\n"
    "carry { owner = { Opened = 'owner text', Moved = 'owner text' }, qty = { Added = 'qty int' } }\n"
    "columns { 'owner text', 'before int', 'n int', 'name text' }\n"
    "on ('Added', { 'price decimal(2)', 'carried.owner text' }, function (row, e)\n"
    "  row.n, row.owner, row.name = row.n + 1, e.carried.owner, e.stream end)\n"
    "on ('Else', { 'carried.qty int' }, function (row, e) row.before = e.carried.qty end)\n"
    "on ('Closed', function (row, e) row:delete() end)\n";
static const char combined_of_stream[] =
    "name 'combined' version (1)\n"
    "columns { 'total decimal(2)', 'least int', 'most int', 'n int', 'first_sku text', 'last_sku text',\n"
    "          'some bool', 'every bool', 'since time' }\n"
    "combine { total = 'sum', least = 'min', most = 'max', n = 'count', first_sku = 'first',\n"
    "          last_sku = 'last', some = 'any', every = 'all', since = 'min' }\n"
    "on ('Added', { 'sku text', 'qty int', 'price decimal(2)' }, function (row, e)\n"
    "  row.total, row.n = row.total + e.price * e.qty, row.n + 1\n"
    "  row.least, row.most = math.min (row.least, e.qty - 4), math.max (row.most, e.qty)\n"
    "  row.first_sku, row.last_sku, row.since = e.sku, e.sku, e.time\n"
    "  row.some, row.every = e.qty > 7, e.qty > 1 end)\n";
static const char both_of_stream[] =
    "name 'both' version (1)\n"
    "carry { owner = { Opened = 'owner text', Moved = 'owner text' } }\n"
    "columns { 'sold int', 'owner text' } combine { sold = 'sum', owner = 'max' }\n"
    "on ('Added', { 'qty int', 'price decimal(2)', 'carried.owner text' }, function (row, e)\n"
    "  row.sold, row.owner = row.sold + e.qty, e.carried.owner end)\n";
static const char every_of_stream[] =
    "name 'every' version (1) key 'stream' columns { 'n int', 'open bool' }\n"
    "on ('Added', {}, function (row, e) row.n = row.n + 1 end)\n"
    "on ('Moved', {}, every_row, function (row, e) row.open = not row.open end)\n"
    "on ('Closed', {}, every_row, function (row, e) row:delete() end)\n";

/* The projection's file. */
static inline void write_of_stream(const char *name, const char *text, char file_out[160])
{
    (void)snprintf(file_out, 160, "%s/%s.lua", dir, name);
    FILE *file = fopen(file_out, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

/* A row at `position`, 0: as it is; nothing where there is none. */
static inline void append_row_at(rf_reader *reader, rf_slice key, uint64_t position, rf_text *text)
{
    rf_err err = {0};
    rf_row row;

    rf_status status = position ? rf_reader_get_as_of(reader, key, position, &row, &err)
                                : rf_reader_get(reader, key, &row, &err);
    rf_text_clear(text);
    if (status == RF_OK)
        rf_text_append_row_json(text, rf_reader_get_info(reader), &row);
    else
        cr_assert_eq(status, RF_ERR_NO_ROW, "%s", err.message);
}

#endif
