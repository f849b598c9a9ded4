/* large_payments: the orders that were paid with a large amount; few of all. */
#include "refold/projection.h"

enum { LARGE = 98000 };

struct row {
    rf_slice method;
    int64_t amount;
};

struct paid {
    rf_slice method;
    int64_t amount;
};

static rf_fold_result on_paid(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct paid *event = any_event;

    (void)fold;
    if (event->amount < LARGE)
        return RF_ROW_UNCHANGED;
    row->method = event->method;
    row->amount = event->amount;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, method, RF_TEXT),
    RF_COLUMN(struct row, amount, RF_INT),
};

static const rf_field paid_fields[] = {
    RF_FIELD(struct paid, method, RF_TEXT),
    RF_FIELD(struct paid, amount, RF_INT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderPaid", on_paid, struct paid, paid_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "large_payments",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
