/* COPY in both directions: see postgres.h. */
#include "database/postgres_state.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum { POLLED_MAX = 64 };

static const char lost[] = "the connection was lost";

rf_status rf_postgres_copy_out(rf_postgres *postgres, const char *sql, rf_err *err)
{
    postgres->copy_begun = false;
    return rf_postgres_send(postgres, sql, err);
}

/* The answer to the statement, which is whole: rows follow, or it failed. */
static rf_status copy_begin(rf_postgres *postgres, rf_err *err)
{
    PGresult *result = PQgetResult(postgres->connection);
    bool follows = result && PQresultStatus(result) == PGRES_COPY_OUT;
    rf_status status = RF_OK;

    if (!follows && result && PQresultStatus(result) != PGRES_FATAL_ERROR)
        status = rf_fail(err, RF_ERR_INPUT, "%s: a statement that gives no rows was to be copied",
                         postgres->name);
    else if (!follows)
        status = rf_postgres_fail_result(postgres, result, err);
    PQclear(result);
    postgres->copy_begun = follows;
    if (status != RF_OK && !postgres->is_lost)
        (void)rf_postgres_finish(postgres, NULL, NULL);
    return status;
}

rf_status rf_postgres_copy_poll(rf_postgres *postgres, rf_postgres_copy *copy_out,
                                rf_slice *row_out, rf_err *err)
{
    PGconn *connection = postgres->connection;

    *copy_out = RF_POSTGRES_WAIT;
    PQfreemem(postgres->copy_row);
    postgres->copy_row = NULL;
    for (int round = 0; round < 2; round++) {
        if (!postgres->copy_begun && !PQisBusy(connection)) {
            rf_status status = copy_begin(postgres, err);
            if (status != RF_OK)
                return status;
        }
        int size = postgres->copy_begun ? PQgetCopyData(connection, &postgres->copy_row, 1) : 0;
        if (size > 0) {
            *row_out = (rf_slice){postgres->copy_row, (size_t)size};
            *copy_out = RF_POSTGRES_ROW;
            return RF_OK;
        }
        if (size == -1) {
            postgres->copy_begun = false;
            *copy_out = RF_POSTGRES_END;
            return rf_postgres_finish(postgres, NULL, err);
        }
        if (size < 0)
            return rf_postgres_fail_connection(postgres, lost, err);
        if (round == 0 && !PQconsumeInput(connection))
            return rf_postgres_fail_connection(postgres, lost, err);
    }
    return RF_OK;
}

rf_status rf_postgres_wait(rf_postgres *const *all, uint32_t count, int timeout_ms, bool *ready_out,
                           rf_err *err)
{
    struct pollfd waits[POLLED_MAX];

    RF_ASSERT(count > 0 && count <= POLLED_MAX);
    for (uint32_t i = 0; i < count; i++)
        waits[i] = (struct pollfd){.fd = PQsocket(all[i]->connection), .events = POLLIN};
    *ready_out = false;
    while (!*ready_out) {
        int slice = timeout_ms < POSTGRES_POLL_MS ? timeout_ms : POSTGRES_POLL_MS;
        if (all[0]->cancel && *all[0]->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while waiting for %s",
                           all[0]->name);
        int ready = poll(waits, count, slice);
        if (ready < 0 && errno != EINTR)
            return rf_fail_errno(err, "waiting for %s", all[0]->name);
        *ready_out = ready > 0;
        timeout_ms -= slice;
        if (timeout_ms <= 0)
            break;
    }
    return RF_OK;
}

rf_status rf_postgres_copy_in(rf_postgres *postgres, const char *sql, rf_err *err)
{
    PGresult *result = NULL;
    rf_status status = rf_postgres_send(postgres, sql, err);

    if (status == RF_OK)
        status = rf_postgres_next_result(postgres, &result, err);
    if (status != RF_OK)
        return status;
    if (result && PQresultStatus(result) == PGRES_COPY_IN) {
        PQclear(result);
        return RF_OK;
    }
    if (result && PQresultStatus(result) != PGRES_FATAL_ERROR)
        status = rf_fail(err, RF_ERR_INPUT, "%s: a statement that takes no rows was to be filled",
                         postgres->name);
    else
        status = rf_postgres_fail_result(postgres, result, err);
    PQclear(result);
    if (!postgres->is_lost)
        (void)rf_postgres_finish(postgres, NULL, NULL);
    return status;
}

rf_status rf_postgres_copy_write(rf_postgres *postgres, rf_slice piece, rf_err *err)
{
    RF_ASSERT(piece.size <= INT32_MAX);
    for (;;) {
        int taken = PQputCopyData(postgres->connection, piece.data, (int)piece.size);
        if (taken > 0)
            return rf_postgres_flush(postgres, err);
        if (taken < 0) {
            /* The server has ended the copy: why stands in the result. */
            rf_status status = rf_postgres_finish(postgres, NULL, err);
            return status != RF_OK ? status : rf_postgres_fail_connection(postgres, lost, err);
        }
        rf_status status = rf_postgres_flush(postgres, err);
        if (status != RF_OK)
            return status;
    }
}

static rf_status copy_finish(rf_postgres *postgres, const char *reason, PGresult **result_out,
                             rf_err *err)
{
    int sent;

    while ((sent = PQputCopyEnd(postgres->connection, reason)) == 0) {
        rf_status status = rf_postgres_flush(postgres, err);
        if (status != RF_OK)
            return status;
    }
    if (sent < 0) {
        rf_status status = rf_postgres_finish(postgres, NULL, err);
        return status != RF_OK ? status : rf_postgres_fail_connection(postgres, lost, err);
    }
    rf_status status = rf_postgres_flush(postgres, err);
    return status == RF_OK ? rf_postgres_finish(postgres, result_out, err) : status;
}

rf_status rf_postgres_copy_end(rf_postgres *postgres, uint64_t *row_count_out, rf_err *err)
{
    PGresult *result = NULL;
    rf_status status = copy_finish(postgres, NULL, &result, err);

    if (status == RF_OK && row_count_out)
        *row_count_out = result ? strtoull(PQcmdTuples(result), NULL, 10) : 0;
    PQclear(result);
    return status;
}

rf_status rf_postgres_copy_abort(rf_postgres *postgres, rf_err *err)
{
    rf_err refused;
    rf_status status = copy_finish(postgres, "given up", NULL, &refused);

    if (!postgres->is_lost && strcmp(postgres->sqlstate, "57014") == 0)
        return RF_OK;
    if (status != RF_OK && err)
        *err = refused;
    return status;
}
