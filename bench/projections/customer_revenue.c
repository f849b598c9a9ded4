/* customer_revenue: orders and revenue of each customer. Only OrderPlaced names the customer: what
 * an order's other events need is carried from it. Its columns are combined. */
#include "refold/projection.h"

struct row {
    int64_t orders;
    int64_t revenue;
};

struct item {
    int64_t qty;
    int64_t price;
};

static rf_fold_result on_placed(rf_fold *fold, void *row, const void *event)
{
    (void)fold;
    (void)event;
    ((struct row *)row)->orders = 1;
    return RF_ROW_WRITTEN;
}

static rf_fold_result add(rf_fold *fold, struct row *row, const struct item *event, int64_t sign)
{
    if (!rf_multiply(event->qty, event->price * sign, &row->revenue))
        return rf_fold_fail(fold, "a line is beyond 64 bits");
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_added(rf_fold *fold, void *row, const void *event)
{
    return add(fold, row, event, 1);
}

static rf_fold_result on_removed(rf_fold *fold, void *row, const void *event)
{
    return add(fold, row, event, -1);
}

static const rf_column columns[] = {
    {"orders", RF_INT, 0, RF_COMBINE_COUNT, offsetof(struct row, orders)},
    {"revenue", RF_INT, 0, RF_COMBINE_SUM, offsetof(struct row, revenue)},
};

static const rf_field item_fields[] = {
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD(struct item, price, RF_INT),
};

static const rf_carry carries[] = {
    {"customer", "OrderPlaced", RF_KEY_PART("customer", RF_TEXT)},
};

static const rf_field key_parts[] = {
    {RF_CARRIED, RF_TEXT, 0, 0, 0, 0, RF_NO_PRESENT, "customer"},
};
static const rf_key key = {.parts = key_parts, .part_count = RF_COUNT_OF(key_parts)};

static const rf_handler handlers[] = {
    RF_HANDLER_BARE("OrderPlaced", on_placed),
    RF_HANDLER("ItemAdded", on_added, struct item, item_fields),
    RF_HANDLER("ItemRemoved", on_removed, struct item, item_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "customer_revenue",
    .version = 1,
    .row_size = sizeof(struct row),
    .key_by = &key,
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
    .carries = carries,
    .carry_count = RF_COUNT_OF(carries),
};
