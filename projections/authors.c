/* authors: how many commits each author of a repository has made.
 *
 * Streams are files, and a commit touches many of them: its events stand in many partitions. They
 * are folded in the order of the log by author, so a commit is counted once, when it differs from
 * the author's commit before. */
#include "refold/projection.h"

struct row {
    int64_t commits;
    rf_slice last_commit;
};

struct change {
    rf_slice commit;
};

static rf_fold_result on_change(rf_fold *fold, void *row_of_author, const void *any_event)
{
    struct row *row = row_of_author;
    const struct change *event = any_event;

    (void)fold;
    if (rf_slice_same(event->commit, row->last_commit))
        return RF_ROW_UNCHANGED;
    row->commits++;
    row->last_commit = event->commit;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, commits, RF_INT),
    RF_COLUMN(struct row, last_commit, RF_TEXT),
};

static const rf_field change_fields[] = {
    RF_FIELD(struct change, commit, RF_TEXT),
};

static const rf_field key_parts[] = {RF_KEY_PART("author", RF_TEXT)};
static const rf_key key = {.parts = key_parts, .part_count = RF_COUNT_OF(key_parts)};

static const rf_handler handlers[] = {
    RF_HANDLER("*", on_change, struct change, change_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "authors",
    .version = 1,
    .row_size = sizeof(struct row),
    .key_by = &key,
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
