/* A small read model for the tests: how often each stream had a type, and the sum of one field.
 *
 * Built by the tests with macros that make it good or bad: COUNTING_NAME, COUNTING_VERSION,
 * COUNTING_TYPE, COUNTING_FIELD, COUNTING_OPTIONAL, COUNTING_ABI, COUNTING_MAGIC, COUNTING_KEY,
 * COUNTING_FAIL_AT (the sum at which the handler fails), COUNTING_SPIN (turns of idling at each
 * event), COUNTING_RESTLESS (rows are others each time), COUNTING_MOODY (what a row counts depends on the
 * environment's variable MOOD, as no projection's may), COUNTING_FLAGS (of the projection),
 * COUNTING_CONTENT (makes another file of the same definition).
 */
#include "refold/projection.h"

#include <stdlib.h>

#ifndef COUNTING_NAME
#define COUNTING_NAME "counting"
#endif
#ifndef COUNTING_VERSION
#define COUNTING_VERSION 1
#endif
#ifndef COUNTING_TYPE
#define COUNTING_TYPE "ItemAdded"
#endif
#ifndef COUNTING_FIELD
#define COUNTING_FIELD "qty"
#endif
#ifndef COUNTING_KIND
#define COUNTING_KIND RF_INT
#endif
#ifndef COUNTING_OPTIONAL
#define COUNTING_OPTIONAL 0
#endif
#ifndef COUNTING_ABI
#define COUNTING_ABI RF_PROJECTION_ABI
#endif
#ifndef COUNTING_MAGIC
#define COUNTING_MAGIC RF_PROJECTION_MAGIC
#endif
#ifndef COUNTING_KEY
#define COUNTING_KEY "stream"
#endif
#ifndef COUNTING_FAIL_AT
#define COUNTING_FAIL_AT INT64_MAX
#endif
#ifndef COUNTING_SPIN
#define COUNTING_SPIN 0
#endif
#ifndef COUNTING_RESTLESS
#define COUNTING_RESTLESS 0
#endif
#ifndef COUNTING_MOODY
#define COUNTING_MOODY 0
#endif
#ifndef COUNTING_FLAGS
#define COUNTING_FLAGS 0
#endif
#ifndef COUNTING_CONTENT
#define COUNTING_CONTENT "first"
#endif

/* Only here to change the bytes of the file. */
RF_PROJECTION_EXPORT const char counting_content[] = COUNTING_CONTENT;

typedef struct row {
    int64_t count;
    int64_t sum;
} row;

typedef struct item {
    int64_t value;
} item;

static rf_fold_result fold_item(rf_fold *fold, void *row_in, const void *event_in)
{
    row *r = row_in;
    const item *e = event_in;

    for (volatile int64_t turn = 0; turn < COUNTING_SPIN; turn = turn + 1)
        continue;
    static int64_t calls;
    r->count += COUNTING_RESTLESS ? ++calls : 1;
    if (COUNTING_MOODY && getenv("MOOD") && e->value > 1)
        r->count += 100;
    if (!rf_add(&r->sum, e->value))
        return rf_fold_fail(fold, "sum beyond 64 bits");
    if (r->sum >= COUNTING_FAIL_AT)
        return rf_fold_fail(fold, "the sum is too high for this test");
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(row, count, RF_INT),
    RF_COLUMN(row, sum, RF_INT),
};

static const rf_field fields[] = {
    {.kind = COUNTING_KIND,
     .optional = COUNTING_OPTIONAL,
     .offset = offsetof(item, value),
     .present_offset = RF_NO_PRESENT,
     .path = COUNTING_FIELD},
};

static const rf_handler handlers[] = {
    RF_HANDLER(COUNTING_TYPE, fold_item, item, fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    .magic = COUNTING_MAGIC,
    .abi = COUNTING_ABI,
    .struct_size = sizeof(rf_projection),
    .name = COUNTING_NAME,
    .version = COUNTING_VERSION,
    .row_size = sizeof(row),
    .key = COUNTING_KEY,
    .columns = columns,
    .handlers = handlers,
    .column_count = RF_COUNT_OF(columns),
    .handler_count = RF_COUNT_OF(handlers),
    .flags = COUNTING_FLAGS,
};
