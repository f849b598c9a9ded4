/* case_summary: for each stream, how many events it has, the first and the last of them, and when
 * they were.
 *
 * It works for any log, since it reads nothing of the payloads. As the smallest projection it is
 * the one to copy: a struct for the row, a struct for what is read of an event, a fold, and the
 * tables that tell refold about them.
 */
#include "refold/projection.h"

struct row {
    int64_t events;
    rf_slice first; /* types of the first and the last event */
    rf_slice last;
    int64_t started_at; /* times of these two */
    int64_t ended_at;
};

struct event {
    rf_slice type;
    int64_t time;
};

static rf_fold_result on_event(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct event *event = any_event;

    (void)fold;
    if (row->events == 0) {
        row->first = event->type;
        row->started_at = event->time;
    }
    row->events++;
    row->last = event->type;
    row->ended_at = event->time;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, events, RF_INT),
    RF_COLUMN(struct row, first, RF_TEXT),
    RF_COLUMN(struct row, last, RF_TEXT),
    RF_COLUMN(struct row, started_at, RF_TIME),
    RF_COLUMN(struct row, ended_at, RF_TIME),
};

static const rf_field event_fields[] = {
    RF_FIELD_OF_EVENT(struct event, type, RF_EVENT_TYPE, RF_TEXT),
    RF_FIELD_OF_EVENT(struct event, time, RF_EVENT_TIME, RF_TIME),
};

static const rf_handler handlers[] = {
    RF_HANDLER("*", on_event, struct event, event_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "case_summary",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
