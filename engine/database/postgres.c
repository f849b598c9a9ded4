/* See postgres.h.
 *
 * libpq is used in its non-blocking mode throughout: send, flush, poll the socket, consume, look
 * whether a result is whole. The wait between these is rf_postgres_await alone.
 */
#include "base/clock.h"
#include "database/postgres_state.h"
#include "database/postgres_url.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_SECONDS 10.0
enum { MESSAGE_SIZE = 800, NAME_SIZE_MAX = 63, SQLSTATE_SIZE = 6 };

/* A client that is gone is noticed, and what an administrator set for web requests does not end a
 * copy of an hour. */
static const char session_sql[] =
    "SET datestyle = ISO; SET timezone = 'UTC'; SET standard_conforming_strings = on; "
    "SET statement_timeout = 0; SET lock_timeout = 0; "
    "SET idle_in_transaction_session_timeout = 0; "
    "SELECT pg_catalog.set_config('client_connection_check_interval', '2s', false) "
    "FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'";

/* One line of what libpq or the server said, without secrets. The one way for such text. */
static void message_of(const rf_postgres *postgres, const char *said, char out[MESSAGE_SIZE])
{
    size_t used = 0;

    for (const char *at = said; *at && used + 3 < MESSAGE_SIZE; at++) {
        bool is_blank = *at == '\t' || *at == ' ';
        if (is_blank && used > 0 && out[used - 1] == ' ')
            continue;
        if (*at != '\n')
            out[used++] = is_blank ? ' ' : *at;
        else if (at[1] && used > 0)
            memcpy(out + used, "; ", 2), used += 2;
    }
    while (used > 0 && (out[used - 1] == ' ' || out[used - 1] == ';'))
        used--;
    out[used] = '\0';
    rf_postgres_redact(out, postgres->url);
    PQconninfoOption *options = postgres->connection ? PQconninfo(postgres->connection) : NULL;
    for (const PQconninfoOption *option = options; option && option->keyword; option++) {
        if (option->val && strchr(option->dispchar, '*'))
            rf_postgres_mask(out, rf_slice_of(option->val));
    }
    if (options)
        PQconninfoFree(options);
}

rf_status rf_postgres_fail_connection(rf_postgres *postgres, const char *what, rf_err *err)
{
    char message[MESSAGE_SIZE];

    postgres->is_lost = true;
    message_of(postgres, PQerrorMessage(postgres->connection), message);
    return rf_fail(err, RF_ERR_UNREACHABLE, "%s: %s: %s", postgres->name, what,
                   *message ? message : "the server closed the connection");
}

static rf_status status_of(const char *state)
{
    static const char *const again[] = {"08", "57P0", "53300", "55P03", "40", "57014", "25P03"};
    static const char *const full[] = {"53", "58"};

    for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
        if (strncmp(state, again[i], strlen(again[i])) == 0)
            return RF_ERR_UNREACHABLE;
    }
    for (size_t i = 0; i < sizeof full / sizeof *full; i++) {
        if (strncmp(state, full[i], strlen(full[i])) == 0)
            return RF_ERR_IO;
    }
    return RF_ERR_INPUT;
}

rf_status rf_postgres_fail_result(rf_postgres *postgres, const PGresult *result, rf_err *err)
{
    char message[MESSAGE_SIZE], more[MESSAGE_SIZE];
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;

    const char *severity = result ? PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED) : NULL;

    /* After FATAL the server hangs up, which libpq has perhaps not seen yet. */
    if (!state || PQstatus(postgres->connection) == CONNECTION_BAD ||
        (severity && strcmp(severity, "ERROR") != 0))
        postgres->is_lost = true;
    if (!state)
        return rf_postgres_fail_connection(postgres, "the connection was lost", err);
    (void)snprintf(postgres->sqlstate, sizeof postgres->sqlstate, "%s", state);
    message_of(postgres, primary ? primary : "failed", message);
    message_of(postgres, detail ? detail : "", more);
    return rf_fail(err, status_of(state), "%s: %s%s%s%s", postgres->name, message,
                   *more ? " (" : "", more, *more ? ")" : "");
}

const char *rf_postgres_name(const rf_postgres *postgres)
{
    return postgres->name;
}

int rf_postgres_server_version(const rf_postgres *postgres)
{
    return PQserverVersion(postgres->connection);
}

const char *rf_postgres_sqlstate(const rf_postgres *postgres)
{
    return postgres->sqlstate;
}

bool rf_postgres_is_lost(const rf_postgres *postgres)
{
    return postgres->is_lost;
}

void rf_postgres_on_wait(rf_postgres *postgres, rf_status (*waiting)(void *arg, rf_err *err),
                         void *arg)
{
    postgres->waiting = waiting;
    postgres->waiting_arg = arg;
}

rf_status rf_postgres_await(rf_postgres *postgres, short events, rf_err *err)
{
    for (;;) {
        struct pollfd wait = {.fd = PQsocket(postgres->connection), .events = events};
        if (postgres->cancel && *postgres->cancel) {
            postgres->is_lost = true;
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while waiting for %s",
                           postgres->name);
        }
        int ready = wait.fd < 0 ? 1 : poll(&wait, 1, POSTGRES_POLL_MS);
        if (ready > 0)
            return RF_OK;
        if (ready < 0 && errno != EINTR)
            return rf_fail_errno(err, "waiting for %s", postgres->name);
        if (ready == 0 && postgres->waiting) {
            rf_status status = postgres->waiting(postgres->waiting_arg, err);
            if (status != RF_OK) {
                postgres->is_lost = true;
                return status;
            }
        }
    }
}

rf_status rf_postgres_flush(rf_postgres *postgres, rf_err *err)
{
    for (;;) {
        int left = PQflush(postgres->connection);
        if (left == 0)
            return RF_OK;
        if (left < 0)
            return rf_postgres_fail_connection(postgres, "the connection was lost", err);
        rf_status status = rf_postgres_await(postgres, POLLIN | POLLOUT, err);
        if (status != RF_OK)
            return status;
        /* A server that has much to say reads no more until it was heard. */
        if (!PQconsumeInput(postgres->connection))
            return rf_postgres_fail_connection(postgres, "the connection was lost", err);
    }
}

rf_status rf_postgres_next_result(rf_postgres *postgres, PGresult **result_out, rf_err *err)
{
    while (PQisBusy(postgres->connection)) {
        rf_status status = rf_postgres_await(postgres, POLLIN, err);
        if (status != RF_OK)
            return status;
        if (!PQconsumeInput(postgres->connection))
            return rf_postgres_fail_connection(postgres, "the connection was lost", err);
    }
    *result_out = PQgetResult(postgres->connection);
    return RF_OK;
}

rf_status rf_postgres_finish(rf_postgres *postgres, PGresult **last_out, rf_err *err)
{
    rf_status status = RF_OK;
    PGresult *last = NULL;

    for (;;) {
        PGresult *result = NULL;
        rf_status got = rf_postgres_next_result(postgres, &result, status ? NULL : err);
        if (status == RF_OK)
            status = got;
        if (got != RF_OK || !result)
            break;
        ExecStatusType kind = PQresultStatus(result);
        if (status == RF_OK && kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK)
            status = rf_postgres_fail_result(postgres, result, err);
        PQclear(last);
        last = result;
        /* A COPY that nobody serves would not end. */
        if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT || kind == PGRES_COPY_BOTH) {
            postgres->is_lost = true;
            break;
        }
    }
    if (status == RF_OK && last_out)
        *last_out = last;
    else
        PQclear(last);
    return status;
}

rf_status rf_postgres_send(rf_postgres *postgres, const char *sql, rf_err *err)
{
    postgres->sqlstate[0] = '\0';
    if (!PQsendQuery(postgres->connection, sql))
        return rf_postgres_fail_connection(postgres, "a query cannot be sent", err);
    return rf_postgres_flush(postgres, err);
}

rf_status rf_postgres_run(rf_postgres *postgres, const char *sql, rf_err *err)
{
    rf_status status = rf_postgres_send(postgres, sql, err);

    return status == RF_OK ? rf_postgres_finish(postgres, NULL, err) : status;
}

rf_status rf_postgres_query(rf_postgres *postgres, const char *sql, const char *const *parameters,
                            uint32_t parameter_count, rf_postgres_rows **rows_out, rf_err *err)
{
    PGresult *result = NULL;

    postgres->sqlstate[0] = '\0';
    if (!PQsendQueryParams(postgres->connection, sql, (int)parameter_count, NULL, parameters, NULL,
                           NULL, 0))
        return rf_postgres_fail_connection(postgres, "a query cannot be sent", err);
    rf_status status = rf_postgres_flush(postgres, err);
    if (status == RF_OK)
        status = rf_postgres_finish(postgres, &result, err);
    if (status == RF_OK && !result)
        status = rf_postgres_fail_connection(postgres, "the connection was lost", err);
    if (status == RF_OK)
        *rows_out = (rf_postgres_rows *)result;
    return status;
}

rf_status rf_postgres_describe(rf_postgres *postgres, const char *sql, rf_postgres_rows **rows_out,
                               rf_err *err)
{
    PGresult *result = NULL;

    postgres->sqlstate[0] = '\0';
    if (!PQsendPrepare(postgres->connection, "", sql, 0, NULL))
        return rf_postgres_fail_connection(postgres, "a query cannot be sent", err);
    rf_status status = rf_postgres_flush(postgres, err);
    if (status == RF_OK)
        status = rf_postgres_finish(postgres, NULL, err);
    if (status == RF_OK && !PQsendDescribePrepared(postgres->connection, ""))
        status = rf_postgres_fail_connection(postgres, "a query cannot be sent", err);
    if (status == RF_OK)
        status = rf_postgres_flush(postgres, err);
    if (status == RF_OK)
        status = rf_postgres_finish(postgres, &result, err);
    if (status == RF_OK)
        *rows_out = (rf_postgres_rows *)result;
    return status;
}

static const PGresult *result_of(const rf_postgres_rows *rows)
{
    return (const PGresult *)rows;
}

void rf_postgres_rows_free(rf_postgres_rows *rows)
{
    PQclear((PGresult *)rows);
}

uint32_t rf_postgres_row_count(const rf_postgres_rows *rows)
{
    return (uint32_t)PQntuples(result_of(rows));
}

uint32_t rf_postgres_column_count(const rf_postgres_rows *rows)
{
    return (uint32_t)PQnfields(result_of(rows));
}

const char *rf_postgres_column_name(const rf_postgres_rows *rows, uint32_t column)
{
    RF_ASSERT(column < rf_postgres_column_count(rows));
    return PQfname(result_of(rows), (int)column);
}

uint32_t rf_postgres_column_type(const rf_postgres_rows *rows, uint32_t column)
{
    RF_ASSERT(column < rf_postgres_column_count(rows));
    return PQftype(result_of(rows), (int)column);
}

bool rf_postgres_is_null(const rf_postgres_rows *rows, uint32_t row, uint32_t column)
{
    RF_ASSERT(row < rf_postgres_row_count(rows) && column < rf_postgres_column_count(rows));
    return PQgetisnull(result_of(rows), (int)row, (int)column);
}

const char *rf_postgres_text(const rf_postgres_rows *rows, uint32_t row, uint32_t column)
{
    RF_ASSERT(row < rf_postgres_row_count(rows) && column < rf_postgres_column_count(rows));
    return PQgetvalue(result_of(rows), (int)row, (int)column);
}

int64_t rf_postgres_int(const rf_postgres_rows *rows, uint32_t row, uint32_t column)
{
    const char *text = rf_postgres_text(rows, row, column);
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? value : 0;
}

rf_status rf_postgres_notified(rf_postgres *postgres, bool *any_out, rf_err *err)
{
    PGnotify *notification;

    if (!PQconsumeInput(postgres->connection))
        return rf_postgres_fail_connection(postgres, "the connection was lost", err);
    *any_out = false;
    while ((notification = PQnotifies(postgres->connection)) != NULL) {
        *any_out = true;
        PQfreemem(notification);
    }
    return RF_OK;
}

static rf_status quotable(const rf_postgres *postgres, rf_slice text, rf_err *err)
{
    if (!rf_utf8_valid(text) || memchr(text.data, '\0', text.size))
        return rf_fail(err, RF_ERR_INPUT, "%s takes no text that is not UTF-8 or has a NUL",
                       postgres->name);
    return RF_OK;
}

static rf_status quoted_append(rf_postgres *postgres, char *quoted, rf_buf *sql, rf_err *err)
{
    if (!quoted)
        return rf_postgres_fail_connection(postgres, "a name cannot be quoted", err);
    rf_buf_append(sql, quoted, strlen(quoted));
    PQfreemem(quoted);
    return rf_buf_check(sql, "an SQL statement", err);
}

rf_status rf_postgres_quote_name(rf_postgres *postgres, rf_slice name, rf_buf *sql, rf_err *err)
{
    rf_status status = quotable(postgres, name, err);

    if (status == RF_OK && (name.size == 0 || name.size > NAME_SIZE_MAX))
        status = rf_fail(err, RF_ERR_INPUT, "'%.*s' is no name for PostgreSQL: 1 to %d bytes",
                         (int)name.size, name.data, NAME_SIZE_MAX);
    if (status != RF_OK)
        return status;
    return quoted_append(postgres, PQescapeIdentifier(postgres->connection, name.data, name.size),
                         sql, err);
}

rf_status rf_postgres_quote_text(rf_postgres *postgres, rf_slice text, rf_buf *sql, rf_err *err)
{
    rf_status status = quotable(postgres, text, err);

    if (status != RF_OK)
        return status;
    return quoted_append(postgres, PQescapeLiteral(postgres->connection, text.data, text.size), sql,
                         err);
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* "postgresql HOST/DATABASE", of what libpq made of URL, service file and environment. */
static rf_status name_choose(rf_postgres *postgres, rf_err *err)
{
    const char *host = PQhost(postgres->connection);
    const char *database = PQdb(postgres->connection);
    char *name;

    if (asprintf(&name, "postgresql %s%s%s", host && *host ? host : "", host && *host ? "/" : "",
                 database ? database : "") < 0)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for connecting");
    free(postgres->name);
    postgres->name = name;
    return RF_OK;
}

static double connect_seconds(PGconn *connection, uint32_t timeout_ms)
{
    double seconds = timeout_ms > 0 ? timeout_ms / 1000.0 : CONNECT_SECONDS;
    PQconninfoOption *options = timeout_ms > 0 ? NULL : PQconninfo(connection);

    for (const PQconninfoOption *option = options; option && option->keyword; option++) {
        if (strcmp(option->keyword, "connect_timeout") == 0 && option->val && atoi(option->val) > 0)
            seconds = atoi(option->val);
    }
    if (options)
        PQconninfoFree(options);
    return seconds;
}

/* The code that a server gives with its refusal of a connection, and which goes from the text with the rest that is asked
 * for to have it: "...: FATAL:  28P01: password ...\nLOCATION:  ...". Of several hosts that of the last. */
static bool refusal_code(char *said, char code_out[SQLSTATE_SIZE])
{
    bool is_found = false;
    char *location;

    for (char *at = strstr(said, ":  "); at; at = strstr(at, ":  ")) {
        char *code = at + 3;
        size_t size = strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        at = code;
        if (size != SQLSTATE_SIZE - 1 || strncmp(code + size, ": ", 2) != 0)
            continue;
        memcpy(code_out, code, size);
        code_out[size] = '\0';
        is_found = true;
        memmove(code, code + size + 2, strlen(code + size + 2) + 1);
    }
    while ((location = strstr(said, "\nLOCATION:")) != NULL) {
        char *end = location + 1 + strcspn(location + 1, "\n");
        memmove(location, end, strlen(end) + 1);
    }
    return is_found;
}

/* Who is refused by the server has reached it: only what it says of itself passes by waiting. */
static rf_status fail_connecting(rf_postgres *postgres, rf_err *err)
{
    char message[MESSAGE_SIZE], code[SQLSTATE_SIZE];
    char *said = strdup(PQerrorMessage(postgres->connection));

    if (!said)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for connecting");
    rf_status status = refusal_code(said, code) ? status_of(code) : RF_ERR_UNREACHABLE;
    if (PQconnectionNeedsPassword(postgres->connection))
        status = RF_ERR_INPUT;
    message_of(postgres, said, message);
    free(said);
    return rf_fail(err, status, "%s: no connection: %s", postgres->name,
                   *message ? message : "the server closed the connection");
}

static rf_status connect_wait(rf_postgres *postgres, uint32_t timeout_ms, rf_err *err)
{
    double end = rf_clock_seconds() + connect_seconds(postgres->connection, timeout_ms);
    PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;

    for (;;) {
        struct pollfd wait = {.fd = PQsocket(postgres->connection),
                              .events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        double left = end - rf_clock_seconds();
        if (postgres->cancel && *postgres->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while connecting to %s",
                           postgres->name);
        if (left <= 0)
            return rf_fail(err, RF_ERR_UNREACHABLE, "%s: no answer to the connection in time",
                           postgres->name);
        int ready = poll(&wait, 1, left < 0.2 ? (int)(left * 1000) + 1 : POSTGRES_POLL_MS);
        if (ready <= 0)
            continue;
        wanted = PQconnectPoll(postgres->connection);
        if (wanted == PGRES_POLLING_OK)
            return RF_OK;
        if (wanted == PGRES_POLLING_FAILED)
            return fail_connecting(postgres, err);
    }
}

/* What libpq says against a URL, without what it quotes of it. */
static rf_status fail_url(const char *said, rf_err *err)
{
    char message[MESSAGE_SIZE];
    const char *first = said ? strchr(said, '"') : NULL;
    const char *last = first ? strrchr(said, '"') : NULL;

    (void)snprintf(message, sizeof message, "%.*s%s%s",
                   (int)(first ? first - said : (ptrdiff_t)strlen(said ? said : "")),
                   said ? said : "", first ? "..." : "", last ? last + 1 : "");
    message[strcspn(message, "\n")] = '\0';
    return rf_fail(err, RF_ERR_USAGE, "the URL of the database makes no sense%s%s",
                   *message ? ": " : "", message);
}

static rf_status url_check(const char *url, rf_err *err)
{
    char *said = NULL;
    rf_status status = RF_OK;

    if (!rf_postgres_url_is_clear(url))
        return rf_fail(err, RF_ERR_USAGE,
                       "the URL of the database can be read in more than one way: in a password, "
                       "@ is written %%40, : %%3A, / %%2F and ? %%3F (or keep it in PGPASSFILE)");
    PQconninfoOption *options = PQconninfoParse(url, &said);
    if (!options)
        status = fail_url(said, err);
    PQconninfoFree(options);
    PQfreemem(said);
    return status;
}

static rf_status connect_begin(rf_postgres *postgres, const char *application, rf_err *err)
{
    /* What stands before dbname gives way to the URL; what stands behind it does not. */
    const char *const keywords[] = {"keepalives_idle",  "keepalives_interval", "keepalives_count",
                                    "tcp_user_timeout", "dbname",              "client_encoding",
                                    "fallback_application_name", NULL};
    const char *const values[] = {"20",   "5",         "4", "60000", postgres->url,
                                  "UTF8", application, NULL};

    postgres->connection = PQconnectStartParams(keywords, values, 1);
    if (!postgres->connection)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for connecting");
    (void)PQsetNoticeReceiver(postgres->connection, ignore_notice, NULL);
    (void)PQsetErrorVerbosity(postgres->connection, PQERRORS_VERBOSE);
    const char *host = PQhost(postgres->connection);
    if (!host || !*host) /* not even the options were read: a service that is not defined */
        return fail_url(PQerrorMessage(postgres->connection), err);
    rf_status status = name_choose(postgres, err);
    if (status == RF_OK && PQstatus(postgres->connection) == CONNECTION_BAD)
        status = rf_postgres_fail_connection(postgres, "no connection", err);
    return status;
}

rf_status rf_postgres_open(const char *url, const rf_postgres_options *options,
                           rf_postgres **postgres_out, rf_err *err)
{
    rf_postgres_options none = {0};
    rf_postgres *postgres;
    rf_status status = rf_libpq_load(err);

    if (status == RF_OK)
        status = url_check(url, err);
    if (status != RF_OK)
        return status;
    if (!options)
        options = &none;
    postgres = calloc(1, sizeof *postgres);
    if (postgres) {
        postgres->cancel = options->cancel;
        postgres->url = strdup(url);
        postgres->name = strdup("postgresql");
    }
    if (!postgres || !postgres->url || !postgres->name)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for connecting");
    if (status == RF_OK)
        status = connect_begin(postgres,
                               options->application_name ? options->application_name : "refold",
                               err);
    if (status == RF_OK)
        status = connect_wait(postgres, options->connect_timeout_ms, err);
    if (status == RF_OK)
        status = name_choose(postgres, err);
    if (status == RF_OK)
        (void)PQsetErrorVerbosity(postgres->connection, PQERRORS_DEFAULT);
    if (status == RF_OK && PQsetnonblocking(postgres->connection, 1) != 0)
        status = rf_postgres_fail_connection(postgres, "no connection", err);
    if (status == RF_OK)
        status = rf_postgres_run(postgres, session_sql, err);
    if (status == RF_OK)
        *postgres_out = postgres;
    else
        rf_postgres_close(postgres);
    return status;
}

void rf_postgres_close(rf_postgres *postgres)
{
    if (!postgres)
        return;
    PQfreemem(postgres->copy_row);
    PQfinish(postgres->connection);
    free(postgres->url);
    free(postgres->name);
    free(postgres);
}
