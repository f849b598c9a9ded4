/* sku_sales: what was sold of each article. Its columns are combined, so its events need no
 * exchange. */
#include "refold/projection.h"

struct row {
    int64_t revenue;
    int64_t items;
    int64_t lines;
};

struct item {
    int64_t qty;
    int64_t price;
};

static rf_fold_result add(rf_fold *fold, struct row *row, const struct item *event, int64_t sign)
{
    int64_t value;

    if (!rf_multiply(event->qty, event->price, &value) || value == INT64_MIN)
        return rf_fold_fail(fold, "a line is beyond 64 bits");
    row->revenue = sign * value;
    row->items = sign * event->qty;
    row->lines = 1;
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

#define COMBINED(member, how)                                                                      \
    {                                                                                              \
        #member, RF_INT, 0, (how), offsetof(struct row, member)                                    \
    }
static const rf_column columns[] = {
    COMBINED(revenue, RF_COMBINE_SUM),
    COMBINED(items, RF_COMBINE_SUM),
    COMBINED(lines, RF_COMBINE_COUNT),
};

static const rf_field item_fields[] = {
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD(struct item, price, RF_INT),
};

static const rf_field key_parts[] = {RF_KEY_PART("sku", RF_TEXT)};
static const rf_key key = {.parts = key_parts, .part_count = RF_COUNT_OF(key_parts)};

static const rf_handler handlers[] = {
    RF_HANDLER("ItemAdded", on_added, struct item, item_fields),
    RF_HANDLER("ItemRemoved", on_removed, struct item, item_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "sku_sales",
    .version = 1,
    .row_size = sizeof(struct row),
    .key_by = &key,
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
