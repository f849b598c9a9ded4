/* A read model as a table: its key's parts, then its columns, with names that a database takes.
 *
 * A key of one part is the column `key`. Each part of a tuple is a column of its own, named as the
 * part is, with '_' for what is no letter, digit or '_' ("customer.address.city" is
 * customer_address_city); `key_` stands before it where a column has that name already, and what is
 * no name then is key_1, key_2 … by its place. Letters count as the same in either case, because SQLite reads
 * them so. Columns keep their names, and all order is declared
 * order. Pure functions.
 */
#ifndef RF_SINK_LAYOUT_H
#define RF_SINK_LAYOUT_H

#include "base/bytes.h"
#include "refold/read.h"

enum { RF_LAYOUT_NAME_SIZE = 64 }; /* 63 bytes and a NUL: what PostgreSQL keeps of a name */

typedef struct rf_layout_column {
    char name[RF_LAYOUT_NAME_SIZE];
    rf_kind kind;
    uint8_t scale;
} rf_layout_column;

typedef struct rf_layout {
    const char *name;     /* the read model's; borrowed, as the next */
    const rf_reader_info *info;
    uint32_t key_count;   /* the first columns */
    uint32_t column_count;
    rf_layout_column *columns; /* owned */
} rf_layout;

rf_status rf_layout_make(const rf_reader_info *info, rf_layout *layout_out, rf_err *err);
void rf_layout_free(rf_layout *layout); /* a zeroed one too */
/* The number in `columns` of a column of an index. */
static inline uint32_t rf_layout_indexed(const rf_layout *layout, uint32_t index, uint32_t part)
{
    return layout->key_count + layout->info->indexes[index].columns[part];
}
/* The row's values in the order of `columns`; they borrow from the row. */
rf_status rf_layout_values(const rf_layout *layout, const rf_reader *reader, const rf_row *row,
                           rf_value *values_out, rf_err *err);

#endif
