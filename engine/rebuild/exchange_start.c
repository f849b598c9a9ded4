/* Going on from rows that are stored, in an exchange; see fold.h. */
#include "rebuild/exchange_job.h"

rf_status rf_exchange_start_row(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                rf_keyed_row *row, rf_err *err)
{
    const rf_fold_target *target = worker->job->target;
    const rf_definition *definition = target->definition;
    char *data = rf_keyed_row_data(row);
    rf_start start = RF_START_NONE;

    if (row->marks & RF_EXCHANGE_STARTED)
        return RF_OK;
    row->marks |= RF_EXCHANGE_STARTED;
    memcpy(data, definition->row_template, definition->row_size);
    rf_status status = target->start(target->sink_arg, worker->index, rf_keyed_row_key(row),
                                     &rows->text, data, &start, err);
    RF_ASSERT(start != RF_START_SHUT_OUT); /* under a policy all is folded */
    if (status == RF_OK && start == RF_START_ROW)
        row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    return status;
}

rf_status rf_exchange_start_combined(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                     rf_keyed_row *row, rf_err *err)
{
    rf_exchange *job = worker->job;
    const rf_fold_target *target = job->target;
    const rf_definition *definition = target->definition;
    rf_start start = RF_START_NONE;
    bool ambiguous = false;

    memcpy(worker->row, definition->row_template, definition->row_size);
    rf_status status = target->start(target->sink_arg, worker->index, rf_keyed_row_key(row),
                                     &rows->text, worker->row, &start, err);
    RF_ASSERT(start != RF_START_SHUT_OUT);
    if (status != RF_OK || start == RF_START_NONE)
        return status;
    if (!rf_combiner_add_stored(&job->combiner, rf_keyed_row_data(row), worker->row, &rows->text,
                                &ambiguous))
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for the text of its rows",
                       definition->name);
    if (ambiguous)
        atomic_store(&job->ambiguous, true);
    return RF_OK;
}
