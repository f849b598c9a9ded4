/* A read model whose handler makes what it likes: a text of its own bytes (COUNTING_BYTES) and a
 * number that is none.
 */
#include "refold/projection.h"

#include <string.h>

typedef struct row {
    rf_slice made;
    double share;
} row;

static rf_fold_result fold_any(rf_fold *fold, void *row_in, const void *event)
{
    static const char bytes[] = COUNTING_BYTES;
    row *r = row_in;
    char *copy = rf_fold_alloc(fold, sizeof bytes);

    (void)event;
    memcpy(copy, bytes, sizeof bytes);
    r->made = (rf_slice){copy, sizeof bytes - 1};
    r->share = __builtin_inf();
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(row, made, RF_TEXT),
    RF_COLUMN(row, share, RF_FLOAT),
};

static const rf_handler handlers[] = {
    RF_HANDLER_BARE("OrderPlaced", fold_any),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "made",
    .version = 1,
    .row_size = sizeof(row),
    .key = "stream",
    .columns = columns,
    .handlers = handlers,
    .column_count = RF_COUNT_OF(columns),
    .handler_count = RF_COUNT_OF(handlers),
};
