/* order_summary: one row an order: whose it is, how it stands, what is in it and what that costs.
 *
 * Every kind of event moves the status; those of items also move the sums. Each handler reads only
 * what it needs: refold decodes no other column of the log.
 */
#include "refold/projection.h"

struct row {
    rf_slice customer;
    rf_slice status; /* type of the last event */
    int64_t items;
    int64_t total; /* in cents */
    int64_t placed_at;
    int64_t last_at;
    int64_t events;
};

struct step {
    rf_slice type;
    int64_t time;
};

struct placed {
    struct step step;
    rf_slice customer;
};

struct item {
    struct step step;
    int64_t qty;
    int64_t price; /* of one, in cents */
};

static rf_fold_result take_step(struct row *row, const struct step *step)
{
    if (row->events == 0)
        row->placed_at = step->time;
    row->status = step->type;
    row->last_at = step->time;
    row->events++;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_step(rf_fold *fold, void *row, const void *event)
{
    (void)fold;
    return take_step(row, event);
}

static rf_fold_result on_placed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct placed *event = any_event;

    (void)fold;
    row->customer = event->customer;
    return take_step(row, &event->step);
}

static rf_fold_result on_item_added(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct item *event = any_event;
    int64_t cost;

    if (!rf_multiply(event->qty, event->price, &cost) || !rf_add(&row->total, cost))
        return rf_fold_fail(fold, "total is beyond 64 bits");
    if (!rf_add(&row->items, event->qty))
        return rf_fold_fail(fold, "items are beyond 64 bits");
    return take_step(row, &event->step);
}

static rf_fold_result on_item_removed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct item *event = any_event;
    int64_t cost;

    if (!rf_multiply(event->qty, event->price, &cost) || !rf_subtract(&row->total, cost))
        return rf_fold_fail(fold, "total is beyond 64 bits");
    if (!rf_subtract(&row->items, event->qty))
        return rf_fold_fail(fold, "items are beyond 64 bits");
    return take_step(row, &event->step);
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, customer, RF_TEXT),
    RF_COLUMN(struct row, status, RF_TEXT),
    RF_COLUMN(struct row, items, RF_INT),
    RF_COLUMN(struct row, total, RF_INT),
    RF_COLUMN(struct row, placed_at, RF_TIME),
    RF_COLUMN(struct row, last_at, RF_TIME),
    RF_COLUMN(struct row, events, RF_INT),
};

static const rf_field step_fields[] = {
    RF_FIELD_OF_EVENT(struct step, type, RF_EVENT_TYPE, RF_TEXT),
    RF_FIELD_OF_EVENT(struct step, time, RF_EVENT_TIME, RF_TIME),
};

static const rf_field placed_fields[] = {
    RF_FIELD_OF_EVENT(struct placed, step.type, RF_EVENT_TYPE, RF_TEXT),
    RF_FIELD_OF_EVENT(struct placed, step.time, RF_EVENT_TIME, RF_TIME),
    RF_FIELD(struct placed, customer, RF_TEXT),
};

static const rf_field item_fields[] = {
    RF_FIELD_OF_EVENT(struct item, step.type, RF_EVENT_TYPE, RF_TEXT),
    RF_FIELD_OF_EVENT(struct item, step.time, RF_EVENT_TIME, RF_TIME),
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD(struct item, price, RF_INT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderPlaced", on_placed, struct placed, placed_fields),
    RF_HANDLER("ItemAdded", on_item_added, struct item, item_fields),
    RF_HANDLER("ItemRemoved", on_item_removed, struct item, item_fields),
    RF_HANDLER("OrderPaid", on_step, struct step, step_fields),
    RF_HANDLER("OrderShipped", on_step, struct step, step_fields),
    RF_HANDLER("OrderCancelled", on_step, struct step, step_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "order_summary",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
