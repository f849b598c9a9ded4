/* key_customers: the orders of the customers whose numbers begin with 00; few of all. */
#include "refold/projection.h"

#include <string.h>

struct row {
    rf_slice customer;
    rf_slice channel;
};

struct placed {
    rf_slice customer;
    rf_slice channel;
};

static rf_fold_result on_placed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    static const char prefix[] = "c-00";
    struct row *row = row_of_stream;
    const struct placed *event = any_event;

    (void)fold;
    if (event->customer.size < sizeof prefix - 1 ||
        memcmp(event->customer.data, prefix, sizeof prefix - 1) != 0)
        return RF_ROW_UNCHANGED;
    row->customer = event->customer;
    row->channel = event->channel;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, customer, RF_TEXT),
    RF_COLUMN(struct row, channel, RF_TEXT),
};

static const rf_field placed_fields[] = {
    RF_FIELD(struct placed, customer, RF_TEXT),
    RF_FIELD(struct placed, channel, RF_TEXT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderPlaced", on_placed, struct placed, placed_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "key_customers",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
