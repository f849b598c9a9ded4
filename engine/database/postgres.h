/* PostgreSQL: a connection, as sources and sinks need it, and the only file that includes libpq.
 *
 * What is called waits for the server in poll(), so that *cancel is seen a few times a second and
 * a silent server can be told of (rf_postgres_on_wait); nothing waits inside libpq but the look-up
 * of a host's name. A connection that is closed in the middle of a query ends that query: the
 * server is asked to look after its client (client_connection_check_interval).
 *
 * Secrets. A URL may hold a password. No message holds one: what libpq or the server says goes
 * through one redactor, and messages call a database by rf_postgres_name. Of a URL that libpq does
 * not understand nothing is repeated, because a password that is not percent-encoded may be taken
 * for a host, a port or a database.
 *
 * Errors. RF_ERR_UNREACHABLE: no connection could be made, it was lost, the server shuts down or is
 * full, a lock or the server's own limit of time was waited for in vain: what trying again may
 * help. RF_ERR_IO: the server's disk or memory is full. RF_ERR_INPUT: every other refusal, a missing permission or table
 * among them; rf_postgres_sqlstate tells which.
 *
 * A session has UTF-8, ISO dates, UTC, and no limits of time of its own, as pg_dump. Between calls
 * at most one query is in progress. Confined to one thread at a time.
 */
#ifndef RF_DATABASE_POSTGRES_H
#define RF_DATABASE_POSTGRES_H

#include "base/bytes.h"

typedef struct rf_postgres rf_postgres;
typedef struct rf_postgres_rows rf_postgres_rows;

typedef struct rf_postgres_options {
    const volatile int *cancel; /* NULL: none. Set: calls end with RF_ERR_INTERRUPTED */
    uint32_t connect_timeout_ms; /* 0: the URL's connect_timeout, or 10 s */
    const char *application_name; /* what pg_stat_activity shows where the URL names none; NULL: "refold" */
} rf_postgres_options;

/* Whether `text` is meant as a URL of PostgreSQL: postgresql: or postgres: in front. */
bool rf_postgres_is_url(const char *text);
/* Writes over the password in a URL with '*', in place: what `ps` shows of a command line. Of a URL that is
 * not understood everything behind the scheme is. */
void rf_postgres_hide_password(char *url);
/* Writes '*' over what is secret in `url` wherever it stands in `text`. */
void rf_postgres_redact(char *text, const char *url);

/* `options` may be NULL. RF_ERR_USAGE for a URL that makes no sense. The service= file, PGPASSFILE
 * and the PG… variables of the environment count, as in psql. */
rf_status rf_postgres_open(const char *url, const rf_postgres_options *options,
                           rf_postgres **postgres_out, rf_err *err);
void rf_postgres_close(rf_postgres *postgres); /* takes NULL */
/* "postgresql HOST/DATABASE", without secrets; lives as long as the connection. */
const char *rf_postgres_name(const rf_postgres *postgres);
/* 150018 for 15.18. */
int rf_postgres_server_version(const rf_postgres *postgres);
/* The SQLSTATE of the last failure ("42501"); "" where the server gave none. */
const char *rf_postgres_sqlstate(const rf_postgres *postgres);
/* Whether the connection was lost, or never whole again: close it. */
bool rf_postgres_is_lost(const rf_postgres *postgres);
/* `waiting` is called a few times a second while a call waits for the server; a failure of it ends
 * the call and leaves the connection lost. NULL: none. */
void rf_postgres_on_wait(rf_postgres *postgres, rf_status (*waiting)(void *arg, rf_err *err),
                         void *arg);

/* Runs statements whose rows nobody wants; several with ';' between them are one transaction. */
rf_status rf_postgres_run(rf_postgres *postgres, const char *sql, rf_err *err);
/* Runs one statement with text parameters ($1, …; NULL is null) and keeps all its rows: for few. */
rf_status rf_postgres_query(rf_postgres *postgres, const char *sql, const char *const *parameters,
                            uint32_t parameter_count, rf_postgres_rows **rows_out, rf_err *err);
/* The names and types of the columns of a query, which is not run: rows without a row. */
rf_status rf_postgres_describe(rf_postgres *postgres, const char *sql, rf_postgres_rows **rows_out,
                               rf_err *err);
void rf_postgres_rows_free(rf_postgres_rows *rows); /* takes NULL */
uint32_t rf_postgres_row_count(const rf_postgres_rows *rows);
uint32_t rf_postgres_column_count(const rf_postgres_rows *rows);
const char *rf_postgres_column_name(const rf_postgres_rows *rows, uint32_t column);
uint32_t rf_postgres_column_type(const rf_postgres_rows *rows, uint32_t column); /* its OID */
bool rf_postgres_is_null(const rf_postgres_rows *rows, uint32_t row, uint32_t column);
/* As text, ended by a NUL; "" for null. Lives as long as the rows. */
const char *rf_postgres_text(const rf_postgres_rows *rows, uint32_t row, uint32_t column);
/* A bigint; 0 for null or what is none. */
int64_t rf_postgres_int(const rf_postgres_rows *rows, uint32_t row, uint32_t column);

/* COPY … TO STDOUT: begin, then poll until RF_POSTGRES_END. Poll never waits; RF_POSTGRES_WAIT means that
 * nothing has come yet: rf_postgres_wait. A row is valid until the next call on the connection. */
typedef enum rf_postgres_copy { RF_POSTGRES_ROW, RF_POSTGRES_WAIT, RF_POSTGRES_END } rf_postgres_copy;
rf_status rf_postgres_copy_out(rf_postgres *postgres, const char *sql, rf_err *err);
rf_status rf_postgres_copy_poll(rf_postgres *postgres, rf_postgres_copy *copy_out,
                                rf_slice *row_out, rf_err *err);
/* Waits until one of the connections has something to read, or timeout_ms. Sees the first's *cancel; calls
 * no `waiting`. */
rf_status rf_postgres_wait(rf_postgres *const *all, uint32_t count, int timeout_ms, bool *ready_out,
                           rf_err *err);

/* COPY … FROM STDIN: begin, write pieces (best of 64 KiB and more; rows may lie across), end. Where a write
 * fails, the server refused the rows; the connection is usable again. `end` gives the rows' number; to
 * give up in the middle, abort. */
rf_status rf_postgres_copy_in(rf_postgres *postgres, const char *sql, rf_err *err);
rf_status rf_postgres_copy_write(rf_postgres *postgres, rf_slice piece, rf_err *err);
rf_status rf_postgres_copy_end(rf_postgres *postgres, uint64_t *row_count_out, rf_err *err);
rf_status rf_postgres_copy_abort(rf_postgres *postgres, rf_err *err);

/* Takes the notifications that have come (LISTEN) and tells whether there were any; does not wait. */
rf_status rf_postgres_notified(rf_postgres *postgres, bool *any_out, rf_err *err);

/* Appends `name` as a quoted identifier, `text` as a literal. RF_ERR_INPUT for what is not valid
 * UTF-8, or has a NUL; for names of more than 63 bytes too, which the server would cut. */
rf_status rf_postgres_quote_name(rf_postgres *postgres, rf_slice name, rf_buf *sql, rf_err *err);
rf_status rf_postgres_quote_text(rf_postgres *postgres, rf_slice text, rf_buf *sql, rf_err *err);

#endif
