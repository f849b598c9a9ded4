/* order_payment: how each order was ordered, paid and sent. A row an order. */
#include "refold/projection.h"

struct row {
    rf_slice channel;
    rf_slice currency;
    rf_slice method;
    int64_t amount;
    rf_slice carrier;
};

struct placed {
    rf_slice channel;
    rf_slice currency;
};

struct paid {
    rf_slice method;
    int64_t amount;
};

struct shipped {
    rf_slice carrier;
};

static rf_fold_result on_placed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct placed *event = any_event;

    (void)fold;
    row->channel = event->channel;
    row->currency = event->currency;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_paid(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct paid *event = any_event;

    (void)fold;
    row->method = event->method;
    row->amount = event->amount;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_shipped(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct shipped *event = any_event;

    (void)fold;
    row->carrier = event->carrier;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, channel, RF_TEXT),
    RF_COLUMN(struct row, currency, RF_TEXT),
    RF_COLUMN(struct row, method, RF_TEXT),
    RF_COLUMN(struct row, amount, RF_INT),
    RF_COLUMN(struct row, carrier, RF_TEXT),
};

static const rf_field placed_fields[] = {
    RF_FIELD(struct placed, channel, RF_TEXT),
    RF_FIELD(struct placed, currency, RF_TEXT),
};

static const rf_field paid_fields[] = {
    RF_FIELD(struct paid, method, RF_TEXT),
    RF_FIELD(struct paid, amount, RF_INT),
};

static const rf_field shipped_fields[] = {
    RF_FIELD(struct shipped, carrier, RF_TEXT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderPlaced", on_placed, struct placed, placed_fields),
    RF_HANDLER("OrderPaid", on_paid, struct paid, paid_fields),
    RF_HANDLER("OrderShipped", on_shipped, struct shipped, shipped_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "order_payment",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
