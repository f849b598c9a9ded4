/* account_activity: what went in and out of each account, and its balance as the bank gives it with
 * every event.
 *
 * Amounts are decimals with two places, held as counts of 0.01: sums are exact, and one that does
 * not fit into 64 bits stops the rebuild rather than being wrong.
 */
#include "refold/projection.h"

struct row {
    int64_t transactions;
    int64_t credited; /* this and the next four: in 0.01 */
    int64_t debited;
    int64_t balance;
    int64_t lowest;
    int64_t highest;
    int64_t first_at;
    int64_t last_at;
};

struct transaction {
    int64_t amount;  /* in 0.01 */
    int64_t balance; /* after it */
    int64_t time;
};

/* What credits and debits have in common. */
static void note(struct row *row, const struct transaction *event)
{
    if (row->transactions == 0) {
        row->lowest = event->balance;
        row->highest = event->balance;
        row->first_at = event->time;
    }
    row->transactions++;
    row->balance = event->balance;
    if (event->balance < row->lowest)
        row->lowest = event->balance;
    if (event->balance > row->highest)
        row->highest = event->balance;
    row->last_at = event->time;
}

static rf_fold_result on_credit(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct transaction *event = any_event;

    if (!rf_add(&row->credited, event->amount))
        return rf_fold_fail(fold, "credited is beyond 64 bits");
    note(row, event);
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_debit(rf_fold *fold, void *row_of_stream, const void *any_event)
{
    struct row *row = row_of_stream;
    const struct transaction *event = any_event;

    if (!rf_add(&row->debited, event->amount))
        return rf_fold_fail(fold, "debited is beyond 64 bits");
    note(row, event);
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, transactions, RF_INT),
    RF_COLUMN_DECIMAL(struct row, credited, 2),
    RF_COLUMN_DECIMAL(struct row, debited, 2),
    RF_COLUMN_DECIMAL(struct row, balance, 2),
    RF_COLUMN_DECIMAL(struct row, lowest, 2),
    RF_COLUMN_DECIMAL(struct row, highest, 2),
    RF_COLUMN(struct row, first_at, RF_TIME),
    RF_COLUMN(struct row, last_at, RF_TIME),
};

static const rf_field transaction_fields[] = {
    RF_FIELD_DECIMAL(struct transaction, amount, 2),
    RF_FIELD_DECIMAL(struct transaction, balance, 2),
    RF_FIELD_OF_EVENT(struct transaction, time, RF_EVENT_TIME, RF_TIME),
};

static const rf_handler handlers[] = {
    RF_HANDLER("CashDeposited", on_credit, struct transaction, transaction_fields),
    RF_HANDLER("TransferReceived", on_credit, struct transaction, transaction_fields),
    RF_HANDLER("InterestCredited", on_credit, struct transaction, transaction_fields),
    RF_HANDLER("CashWithdrawn", on_debit, struct transaction, transaction_fields),
    RF_HANDLER("TransferSent", on_debit, struct transaction, transaction_fields),
    RF_HANDLER("CardWithdrawn", on_debit, struct transaction, transaction_fields),
};

RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "account_activity",
    .version = 1,
    .key = "stream",
    .row_size = sizeof(struct row),
    .columns = columns,
    .column_count = RF_COUNT_OF(columns),
    .handlers = handlers,
    .handler_count = RF_COUNT_OF(handlers),
};
