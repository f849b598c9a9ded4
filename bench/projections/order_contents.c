/* order_contents: what each order holds: articles, the last one put in, the most expensive. A row
 * an order.
 */
#include "refold/projection.h"

struct row {
    rf_slice last_sku;
    int64_t items;
    int64_t price_max;
};

struct item {
    rf_slice sku;
    int64_t qty;
    int64_t price;
};

static rf_fold_result on_placed(rf_fold *fold, void *row, const void *event)
{
    (void)fold;
    (void)row;
    (void)event;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_added(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct item *event = any_event;

    if (!rf_add(&row->items, event->qty))
        return rf_fold_fail(fold, "items are beyond 64 bits");
    row->last_sku = event->sku;
    if (event->price > row->price_max)
        row->price_max = event->price;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_removed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct item *event = any_event;

    if (!rf_subtract(&row->items, event->qty))
        return rf_fold_fail(fold, "items are beyond 64 bits");
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, last_sku, RF_TEXT),
    RF_COLUMN(struct row, items, RF_INT),
    RF_COLUMN(struct row, price_max, RF_INT),
};

static const rf_field added_fields[] = {
    RF_FIELD(struct item, sku, RF_TEXT),
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD(struct item, price, RF_INT),
};

static const rf_field removed_fields[] = {
    RF_FIELD(struct item, qty, RF_INT),
};

static const rf_handler handlers[] = {
    RF_HANDLER_BARE("OrderPlaced", on_placed),
    RF_HANDLER("ItemAdded", on_added, struct item, added_fields),
    RF_HANDLER("ItemRemoved", on_removed, struct item, removed_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "order_contents",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
