/* price_rises: how often the price of each article rose from one sale to the next, in the order of
 * the log. */
#include "refold/projection.h"

struct row {
    int64_t rises;
    int64_t last_price;
    int64_t sales;
};

struct item {
    int64_t price;
};

static rf_fold_result on_added(rf_fold *fold, void *row_of_sku, const void *any_event)
{
    struct row *row = row_of_sku;
    const struct item *event = any_event;

    (void)fold;
    row->rises += row->sales > 0 && event->price > row->last_price;
    row->last_price = event->price;
    row->sales++;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, rises, RF_INT),
    RF_COLUMN(struct row, last_price, RF_INT),
    RF_COLUMN(struct row, sales, RF_INT),
};

static const rf_field item_fields[] = {RF_FIELD(struct item, price, RF_INT)};

static const rf_field key_parts[] = {RF_KEY_PART("sku", RF_TEXT)};
static const rf_key key = {.parts = key_parts, .part_count = RF_COUNT_OF(key_parts)};

static const rf_handler handlers[] = {
    RF_HANDLER("ItemAdded", on_added, struct item, item_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "price_rises",
    .version = 1,
    .row_size = sizeof(struct row),
    .key_by = &key,
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
