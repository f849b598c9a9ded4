/* Rows of streams, of what they carry or of what combines: how orders were that customers placed, for the
 * tests. Built with COUNTING_NAME and COUNTING_COMBINES: the columns combine.
 */
#include "refold/projection.h"

#ifndef COUNTING_COMBINES
#define COUNTING_COMBINES 0
#endif

typedef struct row {
    int64_t qty;
    int64_t least;
    rf_slice customer;
} row;

typedef struct item {
    int64_t qty;
    rf_slice customer; /* carried */
} item;

static rf_fold_result fold_item(rf_fold *fold, void *row_in, const void *event_in)
{
    row *r = row_in;
    const item *e = event_in;

    (void)fold;
    r->qty = COUNTING_COMBINES ? e->qty : r->qty + e->qty;
    r->least = COUNTING_COMBINES || e->qty < r->least ? e->qty : r->least;
    r->customer = e->customer;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    {.name = "qty",
     .kind = RF_INT,
     .offset = offsetof(row, qty),
     .combine = COUNTING_COMBINES ? RF_COMBINE_SUM : RF_COMBINE_NONE},
    {.name = "least",
     .kind = RF_INT,
     .offset = offsetof(row, least),
     .combine = COUNTING_COMBINES ? RF_COMBINE_MIN : RF_COMBINE_NONE},
    {.name = "customer",
     .kind = RF_TEXT,
     .offset = offsetof(row, customer),
     .combine = COUNTING_COMBINES ? RF_COMBINE_LAST : RF_COMBINE_NONE},
};

static const rf_field fields[] = {
    {.kind = RF_INT, .offset = offsetof(item, qty), .present_offset = RF_NO_PRESENT, .path = "qty"},
    {.kind = RF_TEXT,
     .source = RF_CARRIED,
     .optional = 1,
     .offset = offsetof(item, customer),
     .present_offset = RF_NO_PRESENT,
     .path = "customer"},
};

static const rf_handler handlers[] = {
    RF_HANDLER("ItemAdded", fold_item, item, fields),
};

static const rf_carry carries[] = {
    {"customer", "OrderPlaced", {.kind = RF_TEXT, .path = "customer"}},
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    .magic = RF_PROJECTION_MAGIC,
    .abi = RF_PROJECTION_ABI,
    .struct_size = sizeof(rf_projection),
    .name = COUNTING_NAME,
    .version = 1,
    .row_size = sizeof(row),
    .key = "stream",
    .columns = columns,
    .handlers = handlers,
    .carries = carries,
    .column_count = RF_COUNT_OF(columns),
    .handler_count = RF_COUNT_OF(handlers),
    .carry_count = RF_COUNT_OF(carries),
};
