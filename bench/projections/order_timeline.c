/* order_timeline: when each order was placed, paid, sent or cancelled. A row an order. */
#include "refold/projection.h"

struct row {
    int64_t placed_at;
    int64_t paid_at;
    int64_t shipped_at;
    int64_t cancelled_at;
};

struct step {
    int64_t time;
};

#define HANDLER_OF(member)                                                                         \
    static rf_fold_result on_##member(rf_fold *fold, void *row, const void *event)                 \
    {                                                                                              \
        (void)fold;                                                                                \
        ((struct row *)row)->member = ((const struct step *)event)->time;                          \
        return RF_ROW_WRITTEN;                                                                     \
    }
HANDLER_OF(placed_at)
HANDLER_OF(paid_at)
HANDLER_OF(shipped_at)
HANDLER_OF(cancelled_at)

static const rf_column columns[] = {
    RF_COLUMN(struct row, placed_at, RF_TIME),
    RF_COLUMN(struct row, paid_at, RF_TIME),
    RF_COLUMN(struct row, shipped_at, RF_TIME),
    RF_COLUMN(struct row, cancelled_at, RF_TIME),
};

static const rf_field step_fields[] = {
    RF_FIELD_OF_EVENT(struct step, time, RF_EVENT_TIME, RF_TIME),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderPlaced", on_placed_at, struct step, step_fields),
    RF_HANDLER("OrderPaid", on_paid_at, struct step, step_fields),
    RF_HANDLER("OrderShipped", on_shipped_at, struct step, step_fields),
    RF_HANDLER("OrderCancelled", on_cancelled_at, struct step, step_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "order_timeline",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
