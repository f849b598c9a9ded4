/* See sqlite_feed.h. */
#include "source/sqlite_feed.h"

#include "base/clock.h"
#include "event/json.h"
#include "source/line_text.h"
#include "source/lines.h"
#include "source/sqlite_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* How long one read transaction lasts, about. */
#define PAGE_SECONDS_MAX 0.25
enum { WAIT_FIRST_MS = 5 };

typedef struct sqlite_feed {
    rf_feed feed;
    const rf_import_options *options;
    char *name; /* owned: "sqlite shop.db stored_events" */
    rf_sqlite *db;
    rf_sqlite_rows *rows;
    rf_sqlite_statement *page;
    rf_sqlite_statement *lost; /* NULL: no row can be */
    bool page_is_open; /* a read transaction */
    double page_begun;
    bool has_last;
    int64_t last; /* position of the row that was read last */
    uint64_t last_mark;
    bool is_ended;     /* there is nothing more at the moment */
    bool is_unchanged; /* nobody has written since `changes` was read */
    int64_t changes;
    int wait_ms;
    rf_line_blocks blocks;
} sqlite_feed;

static void sqlite_close(rf_feed *feed)
{
    sqlite_feed *at = (sqlite_feed *)feed;

    rf_sqlite_statement_free(at->page);
    rf_sqlite_statement_free(at->lost);
    rf_sqlite_rows_close(at->rows);
    rf_sqlite_close(at->db);
    rf_line_blocks_free(&at->blocks);
    free(at->name);
    free(at);
}

static size_t cursor_format(const sqlite_feed *at, char text_out[RF_LINE_CURSOR_SIZE])
{
    if (!at->has_last)
        return 0;
    return (size_t)snprintf(text_out, RF_LINE_CURSOR_SIZE, "sqlite %s %" PRId64 " %016" PRIx64,
                            rf_sqlite_rows_what(at->rows), at->last, at->last_mark);
}

static rf_status row_failed(const sqlite_feed *at, rf_err *err)
{
    if (at->has_last && rf_sqlite_rows_have_positions(at->rows))
        return rf_err_context(err, "%s, position %" PRId64, at->name, at->last);
    return rf_err_context(err, "%s", at->name);
}

/* Learns the position of the row at hand. */
static rf_status row_place(sqlite_feed *at, bool *is_again_out, rf_err *err)
{
    int64_t position;

    *is_again_out = false;
    if (!rf_sqlite_rows_have_positions(at->rows))
        return RF_OK;
    rf_status status = rf_sqlite_rows_position(at->rows, at->page, &position, err);
    if (status)
        return rf_err_context(err, "%s", at->name);
    *is_again_out = at->has_last && position <= at->last;
    if (*is_again_out)
        return rf_fail(err, RF_ERR_INPUT,
                       "%s: the position %" PRId64 " stands twice; of two events with one position "
                       "a later import might miss one",
                       at->name, position);
    at->last = position;
    at->last_mark = rf_sqlite_rows_mark(at->rows, at->page);
    at->has_last = true;
    return RF_OK;
}

/* A page has no row without a position: it would be passed over. */
static rf_status lost_check(sqlite_feed *at, rf_err *err)
{
    bool row = false;

    if (!at->lost)
        return RF_OK;
    rf_status status = rf_sqlite_step(at->lost, &row, err);
    rf_sqlite_reset(at->lost);
    if (!status && row)
        status = rf_fail(err, RF_ERR_INPUT, "%s: the position of a row is NULL, so it would be missed",
                         at->name);
    return status;
}

static rf_status page_begin(sqlite_feed *at, rf_err *err)
{
    /* Before the page: what comes in between makes the next wait end at once. */
    rf_status status =
        at->feed.follows ? rf_sqlite_changes(at->db, &at->changes, err) : RF_OK;

    if (!status)
        status = lost_check(at, err);
    if (status)
        return status;
    if (rf_sqlite_rows_have_positions(at->rows))
        rf_sqlite_bind_integer(at->page, 1, at->has_last ? at->last : INT64_MIN);
    at->page_is_open = true;
    at->page_begun = rf_clock_seconds();
    return RF_OK;
}

/* Ends the read transaction. The row behind the last one may have its position, where that is not
 * known to be its own: then it would be lost. */
static rf_status page_end(sqlite_feed *at, bool has_more, rf_err *err)
{
    rf_status status = RF_OK;
    bool row = false;

    if (has_more && rf_sqlite_rows_may_repeat(at->rows)) {
        int64_t last = at->last;
        uint64_t mark = at->last_mark;
        bool again;
        status = rf_sqlite_step(at->page, &row, err);
        if (!status && row)
            status = row_place(at, &again, err);
        at->last = last;
        at->last_mark = mark;
    }
    rf_sqlite_reset(at->page);
    at->page_is_open = false;
    return status;
}

/* A writer of a file that is not in WAL mode waits for readers. */
static bool page_is_due(const sqlite_feed *at)
{
    return rf_sqlite_rows_have_positions(at->rows) &&
           (!rf_sqlite_readers_are_free(at->db) ||
            rf_clock_seconds() - at->page_begun >= PAGE_SECONDS_MAX);
}

static rf_status block_fill(sqlite_feed *at, rf_buf *out, rf_err *err)
{
    rf_status status = RF_OK;
    bool row = true;

    while (!status && row && out->size < RF_LINES_BLOCK_SIZE) {
        bool again;
        status = at->page_is_open ? RF_OK : page_begin(at, err);
        if (!status)
            status = rf_sqlite_step(at->page, &row, err);
        if (status)
            return status;
        if (!row)
            break;
        status = row_place(at, &again, err);
        if (status)
            return status;
        status = rf_sqlite_rows_line(at->rows, at->page, out, err);
        if (status)
            return row_failed(at, err);
    }
    at->is_ended = !row;
    return at->is_ended || page_is_due(at) ? page_end(at, row, err) : RF_OK;
}

static rf_status sqlite_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    sqlite_feed *at = (sqlite_feed *)feed;
    char cursor[RF_LINE_CURSOR_SIZE];
    rf_status status = RF_OK;

    (void)line;
    rf_buf *out = rf_line_blocks_turn(&at->blocks);
    if (!at->is_ended)
        status = block_fill(at, out, err);
    if (status) {
        rf_sqlite_reset(at->page);
        at->page_is_open = false;
        return status;
    }
    size_t size = cursor_format(at, cursor);
    return rf_line_blocks_give(&at->blocks, (rf_slice){cursor, size}, block_out, err);
}

static rf_status sqlite_wait(rf_feed *feed, bool *more_out, rf_err *err)
{
    sqlite_feed *at = (sqlite_feed *)feed;
    const volatile int *cancel = at->options->run.cancel;
    struct timespec pause = {0, (long)at->wait_ms * 1000000};
    int64_t changes;

    (void)nanosleep(&pause, NULL);
    if (cancel && *cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while following %s", at->name);
    rf_status status = rf_sqlite_is_same_file(at->db, err);
    if (!status)
        status = rf_sqlite_changes(at->db, &changes, err);
    if (status)
        return status;
    *more_out = changes != at->changes;
    at->wait_ms = *more_out ? WAIT_FIRST_MS : 2 * at->wait_ms;
    if (at->wait_ms > RF_FEED_WAIT_MS)
        at->wait_ms = RF_FEED_WAIT_MS;
    if (*more_out)
        at->is_ended = false;
    return RF_OK;
}

static const rf_feed_ops sqlite_ops = {
    .next = sqlite_next, .wait = sqlite_wait, .close = sqlite_close};

/* Whether the row that the last import ended with is there, and is the same. */
static rf_status row_is_known(sqlite_feed *at, int64_t position, uint64_t mark, rf_err *err)
{
    rf_sqlite_statement *statement = NULL;
    bool row = false;

    rf_status status =
        rf_sqlite_prepare(at->db, rf_sqlite_rows_sql_at(at->rows), &statement, err);
    if (status)
        return status;
    rf_sqlite_bind_integer(statement, 1, position);
    status = rf_sqlite_step(statement, &row, err);
    bool is_known = !status && row && rf_sqlite_rows_mark(at->rows, statement) == mark;
    rf_sqlite_statement_free(statement);
    if (!status && !is_known)
        status = rf_fail(err, RF_ERR_INPUT,
                         "%s: the row at position %" PRId64 ", where the last import ended, is %s: "
                         "another database needs its own --source NAME, one whose rows were given "
                         "other positions is read again with --from-start",
                         at->name, position, row ? "another one now" : "not there");
    return status;
}

/* Goes on behind the cursor. */
static rf_status start_at(sqlite_feed *at, rf_slice cursor, rf_err *err)
{
    char text[RF_LINE_CURSOR_SIZE + 1];
    char due[RF_LINE_CURSOR_SIZE];
    int64_t position;
    uint64_t mark;
    int end = 0;

    if (cursor.size == 0 || !rf_sqlite_rows_have_positions(at->rows))
        return RF_OK;
    RF_ASSERT(cursor.size < sizeof text);
    memcpy(text, cursor.data, cursor.size);
    text[cursor.size] = '\0';
    int size = snprintf(due, sizeof due, "sqlite %s ", rf_sqlite_rows_what(at->rows));
    if (strncmp(text, due, (size_t)size) != 0 ||
        sscanf(text + size, "%" SCNd64 " %" SCNx64 "%n", &position, &mark, &end) != 2 ||
        text[size + end] != '\0')
        return rf_fail(err, RF_ERR_USAGE,
                       "%s: what was read before under this --source is something else (%s); give "
                       "this one another name, or read it with --from-start",
                       at->name, text);
    rf_status status = row_is_known(at, position, mark, err);
    if (status)
        return status;
    at->last = position;
    at->last_mark = mark;
    at->has_last = true;
    return RF_OK;
}

static rf_status feed_begin(sqlite_feed *at, const char *path, const rf_feed_start *start,
                            rf_err *err)
{
    rf_status status = rf_sqlite_open_read(path, at->options->run.cancel, &at->db, err);
    if (!status)
        status = rf_sqlite_rows_open(at->db, path, at->options, &at->rows, err);
    if (status)
        return status;
    if (asprintf(&at->name, "sqlite %s %s", path,
                 strchr(rf_sqlite_rows_what(at->rows), ' ')
                     ? strchr(rf_sqlite_rows_what(at->rows), ' ') + 1
                     : "query") < 0) {
        at->name = NULL;
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for sqlite %s", path);
    }
    at->feed.name = rf_slice_of(at->name);
    if (at->options->follow && !rf_sqlite_rows_have_positions(at->rows))
        return rf_fail(err, RF_ERR_USAGE,
                       "%s: its rows have no position, so --follow cannot tell which are new",
                       at->name);
    status = start_at(at, start->cursor, err);
    if (!status)
        status = rf_sqlite_prepare(at->db, rf_sqlite_rows_sql(at->rows), &at->page, err);
    if (!status && rf_sqlite_rows_sql_lost(at->rows).size > 0)
        status = rf_sqlite_prepare(at->db, rf_sqlite_rows_sql_lost(at->rows), &at->lost, err);
    return status;
}

rf_status rf_sqlite_feed_open(const char *path, const rf_import_options *options,
                              const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    sqlite_feed *at = calloc(1, sizeof *at);

    if (!at)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for sqlite %s", path);
    at->feed.ops = &sqlite_ops;
    at->feed.reads_ahead = true;
    at->feed.has_positions = true;
    at->feed.follows = options->follow;
    at->options = options;
    at->wait_ms = WAIT_FIRST_MS;
    rf_line_blocks_init(&at->blocks);
    rf_status status = feed_begin(at, path, start, err);
    if (status) {
        sqlite_close(&at->feed);
        return status;
    }
    *feed_out = &at->feed;
    return RF_OK;
}
