/* stock: pieces by (warehouse, sku); a move touches two rows. */
#include "refold/projection.h"

struct row {
    int64_t pieces;
};

struct event {
    int64_t qty;
};

static rf_fold_result add(rf_fold *fold, struct row *row, int64_t qty)
{
    if (!rf_add(&row->pieces, qty))
        return rf_fold_fail(fold, "pieces beyond 64 bits");
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_in(rf_fold *fold, void *row, const void *event)
{
    return add(fold, row, ((const struct event *)event)->qty);
}

static rf_fold_result on_out(rf_fold *fold, void *row, const void *event)
{
    return add(fold, row, -((const struct event *)event)->qty);
}

static const rf_column columns[] = {RF_COLUMN(struct row, pieces, RF_INT)};
static const rf_field fields[] = {RF_FIELD(struct event, qty, RF_INT)};
static const rf_field here[] = {RF_KEY_PART("warehouse", RF_TEXT), RF_KEY_PART("size", RF_INT)};
static const rf_field there[] = {RF_KEY_PART("to", RF_TEXT), RF_KEY_PART("size", RF_INT)};
static const rf_key key = {.parts = here, .part_count = 2};
static const rf_key other_key = {.parts = there, .part_count = 2};

#define HANDLER(type, function, its_key)                                                           \
    {                                                                                              \
        type, function, fields, RF_COUNT_OF(fields), sizeof(struct event), 0, its_key              \
    }
static const rf_handler handlers[] = {
    HANDLER("Received", on_in, NULL),
    HANDLER("Moved", on_out, NULL),
    HANDLER("Moved", on_in, &other_key),
};

#ifndef COUNTING_FLAGS
#define COUNTING_FLAGS 0
#endif

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "stock",
    .version = 1,
    .row_size = sizeof(struct row),
    .key_by = &key,
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
    .flags = COUNTING_FLAGS,
};
