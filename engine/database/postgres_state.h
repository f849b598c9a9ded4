/* The parts of a connection: private to the postgres files, with libpq as they use it. */
#ifndef RF_DATABASE_POSTGRES_STATE_H
#define RF_DATABASE_POSTGRES_STATE_H

#include "database/libpq.h"
#include "database/postgres.h"

enum { POSTGRES_POLL_MS = 200 /* how soon a wait sees *cancel */ };

struct rf_postgres {
    PGconn *connection;
    char *url;  /* owned; what the redactor looks for */
    char *name; /* owned */
    const volatile int *cancel;
    rf_status (*waiting)(void *arg, rf_err *err); /* NULL: none */
    void *waiting_arg;
    char sqlstate[6];
    bool is_lost;
    bool copy_begun; /* COPY OUT: the server has said that rows follow */
    char *copy_row;  /* libpq's, of the last poll */
};

/* Fills err with what libpq says of the connection, which is lost, or of a result. */
rf_status rf_postgres_fail_connection(rf_postgres *postgres, const char *what, rf_err *err);
rf_status rf_postgres_fail_result(rf_postgres *postgres, const PGresult *result, rf_err *err);
/* Sends what libpq holds back. */
rf_status rf_postgres_flush(rf_postgres *postgres, rf_err *err);
/* Waits for the socket, a few times a second looks up; events as in poll(). */
rf_status rf_postgres_await(rf_postgres *postgres, short events, rf_err *err);
/* The next result of the query in progress; NULL behind the last. */
rf_status rf_postgres_next_result(rf_postgres *postgres, PGresult **result_out, rf_err *err);
/* Reads results to the end; the first failure is that of the call. */
rf_status rf_postgres_finish(rf_postgres *postgres, PGresult **last_out, rf_err *err);
rf_status rf_postgres_send(rf_postgres *postgres, const char *sql, rf_err *err);

#endif
