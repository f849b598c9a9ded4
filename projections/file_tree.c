/* file_tree: the files of a git repository as its history leaves them: path (the stream) to mode,
 * blob and lines.
 *
 * Lines are the sum of lines added less lines deleted. git does not count the lines of a binary
 * file: from the first binary change on they are unknown (lines 0, binary true) until the file is
 * added anew. A change that keeps the blob (of mode only) tells nothing about lines.
 */
#include "refold/projection.h"

struct row {
    rf_slice mode;
    rf_slice blob;
    int64_t lines;
    bool binary;
};

struct change {
    rf_slice mode;
    rf_slice blob;
    rf_slice old; /* the blob before; not in FileAdded */
    int64_t added;
    int64_t deleted;
    bool binary;
};

/* git's name of the empty file, which it lists as binary where the history does. */
#define EMPTY_BLOB "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

static rf_fold_result count_lines(rf_fold *fold, struct row *row, const struct change *event)
{
    if (row->binary)
        row->lines = 0;
    else if (!rf_add(&row->lines, event->added) || !rf_subtract(&row->lines, event->deleted))
        return rf_fold_fail(fold, "lines are beyond 64 bits");
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_added(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct change *event = any_event;

    row->mode = event->mode;
    row->blob = event->blob;
    row->lines = 0;
    row->binary = event->binary && !rf_slice_is(event->blob, EMPTY_BLOB);
    return count_lines(fold, row, event);
}

static rf_fold_result on_changed(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct change *event = any_event;

    row->mode = event->mode;
    row->blob = event->blob;
    if (rf_slice_same(event->old, event->blob))
        return RF_ROW_WRITTEN;
    row->binary = row->binary || event->binary;
    return count_lines(fold, row, event);
}

static rf_fold_result on_deleted(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_DELETED;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, mode, RF_TEXT),
    RF_COLUMN(struct row, blob, RF_TEXT),
    RF_COLUMN(struct row, lines, RF_INT),
    RF_COLUMN(struct row, binary, RF_BOOL),
};

static const rf_field change_fields[] = {
    RF_FIELD(struct change, mode, RF_TEXT),
    RF_FIELD(struct change, blob, RF_TEXT),
    RF_FIELD_OPTIONAL(struct change, old, RF_TEXT),
    RF_FIELD_OPTIONAL(struct change, added, RF_INT),
    RF_FIELD_OPTIONAL(struct change, deleted, RF_INT),
    RF_FIELD_OPTIONAL(struct change, binary, RF_BOOL),
};

static const rf_handler handlers[] = {
    RF_HANDLER("FileAdded", on_added, struct change, change_fields),
    RF_HANDLER("FileModified", on_changed, struct change, change_fields),
    RF_HANDLER("FileModeChanged", on_changed, struct change, change_fields),
    RF_HANDLER("FileTypeChanged", on_changed, struct change, change_fields),
    RF_HANDLER_BARE("FileDeleted", on_deleted),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "file_tree",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
