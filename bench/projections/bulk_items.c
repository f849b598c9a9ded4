/* bulk_items: the orders that had several of an expensive article put in; few of all. Every item is
 * looked at.
 */
#include "refold/projection.h"

enum { MANY = 4, EXPENSIVE = 19900 };

struct row {
    rf_slice sku; /* the last such article */
    int64_t count;
};

struct item {
    rf_slice sku;
    int64_t qty;
    int64_t price;
};

static rf_fold_result on_item(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct item *event = any_event;

    (void)fold;
    if (event->qty < MANY || event->price < EXPENSIVE)
        return RF_ROW_UNCHANGED;
    row->sku = event->sku;
    row->count++;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, sku, RF_TEXT),
    RF_COLUMN(struct row, count, RF_INT),
};

static const rf_field item_fields[] = {
    RF_FIELD(struct item, sku, RF_TEXT),
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD(struct item, price, RF_INT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("ItemAdded", on_item, struct item, item_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "bulk_items",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
