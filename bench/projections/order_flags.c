/* order_flags: how often an order was flagged, and the highest score. Handles one rare type: nearly
 * all of the log's columns are of no interest to it.
 */
#include "refold/projection.h"

struct row {
    int64_t flags;
    int64_t score_max;
};

struct flagged {
    int64_t score;
};

static rf_fold_result on_flagged(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct flagged *event = any_event;

    (void)fold;
    row->flags++;
    if (event->score > row->score_max)
        row->score_max = event->score;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, flags, RF_INT),
    RF_COLUMN(struct row, score_max, RF_INT),
};

static const rf_field flagged_fields[] = {
    RF_FIELD(struct flagged, score, RF_INT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("OrderFlagged", on_flagged, struct flagged, flagged_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "order_flags",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
