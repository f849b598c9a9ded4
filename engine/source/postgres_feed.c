/* See postgres_feed.h. */
#include "source/postgres_feed.h"

#include "base/clock.h"
#include "source/line_text.h"
#include "source/postgres_bound.h"
#include "source/postgres_cursor.h"
#include "source/postgres_ranges.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_MS_DEFAULT 60000
#define LOOK_SECONDS_MIN 0.05
#define LOOK_SECONDS_MAX 1.0
#define RETRY_SECONDS_MIN 0.2
#define RETRY_SECONDS_MAX 5.0

typedef struct postgres_feed {
    rf_feed feed;
    /* fixed after open */
    const char *url;
    const rf_import_options *options;
    rf_postgres_options connect;
    rf_postgres_bound_options bound;
    rf_postgres_layout *layout;
    rf_eventsourcing *decoder; /* NULL: the layout has no states */
    char *name;

    rf_postgres *postgres; /* NULL: lost */
    rf_postgres_ranges *ranges; /* NULL: between rounds */
    rf_postgres_mark done;      /* handed over up to here */
    rf_postgres_last last;      /* that was handed over */
    rf_postgres_mark bound_mark;
    rf_line_blocks blocks;
    double look_at; /* when to look next for more, or to connect again */
    double look_seconds;
    double lost_at;
} postgres_feed;

static postgres_feed *feed_of(rf_feed *feed)
{
    return (postgres_feed *)feed;
}

static void postgres_close(rf_feed *base)
{
    postgres_feed *feed = feed_of(base);

    (void)rf_postgres_ranges_end(feed->ranges, NULL);
    rf_postgres_close(feed->postgres);
    rf_postgres_layout_free(feed->layout);
    rf_eventsourcing_free(feed->decoder);
    rf_line_blocks_free(&feed->blocks);
    free(feed->name);
    free(feed);
}

/* Where the log says that reading ended. */
static rf_status start_at(postgres_feed *feed, rf_slice cursor, rf_err *err)
{
    rf_postgres_layout *layout = feed->layout;
    bool has_transaction, is_foreign = false;

    rf_status status = rf_postgres_cursor_read(layout, cursor, &feed->last, &has_transaction, err);
    if (status == RF_OK && has_transaction)
        status = rf_postgres_bound_foreign(feed->postgres, layout, &is_foreign, err);
    if (status == RF_OK && is_foreign && cursor.size > 0)
        status = rf_fail(err, RF_ERR_USAGE,
                         "%s was restored into another server since the last import, where transactions are "
                         "numbered anew: --from-start reads it again",
                         feed->name);
    if (status != RF_OK)
        return status;
    if (is_foreign || !has_transaction)
        rf_postgres_layout_order_by_position(layout);
    feed->done = feed->last.mark;
    return rf_postgres_cursor_check(feed->postgres, layout, feed->decoder, feed->name, &feed->last, err);
}

static rf_status feed_connect(postgres_feed *feed, rf_err *err)
{
    rf_postgres *postgres = NULL;
    rf_status status = rf_postgres_ranges_connect(feed->url, &feed->connect, &postgres, err);

    if (status == RF_OK && !feed->layout)
        status = rf_postgres_layout_find(postgres, feed->options, &feed->layout, err);
    if (status == RF_OK && feed->feed.follows && feed->layout->channel) {
        rf_buf sql;
        rf_buf_init(&sql, 256);
        rf_buf_append(&sql, "LISTEN ", 7);
        status = rf_postgres_quote_name(postgres, rf_slice_of(feed->layout->channel), &sql, err);
        rf_buf_append_byte(&sql, '\0');
        if (status == RF_OK)
            status = rf_buf_check(&sql, "an SQL statement", err);
        if (status == RF_OK)
            status = rf_postgres_run(postgres, sql.data, err);
        rf_buf_free(&sql);
    }
    if (status == RF_OK)
        feed->postgres = postgres;
    else
        rf_postgres_close(postgres);
    return status;
}

/* Whether the failure is one that a feed that follows gets over. */
static bool feed_lost(postgres_feed *feed, rf_status status)
{
    if (!feed->feed.follows || status != RF_ERR_UNREACHABLE)
        return false;
    /* An own connection of the ranges may be the lost one: nothing of this round is gone on with. */
    bool is_wait = !feed->ranges && feed->postgres && !rf_postgres_is_lost(feed->postgres);
    if (is_wait)
        return false;
    (void)rf_postgres_ranges_end(feed->ranges, NULL);
    feed->ranges = NULL;
    rf_postgres_close(feed->postgres);
    feed->postgres = NULL;
    feed->lost_at = rf_clock_seconds();
    feed->look_at = feed->lost_at;
    feed->look_seconds = RETRY_SECONDS_MIN;
    return true;
}

/* *any_out: there is something to read in this round. */
static rf_status round_begin(postgres_feed *feed, bool *any_out, rf_err *err)
{
    rf_status status = rf_postgres_bound_find(feed->postgres, feed->layout, &feed->bound, feed->done,
                                              any_out, &feed->bound_mark, err);

    if (status != RF_OK || !*any_out)
        return status;
    return rf_postgres_ranges_begin(feed->postgres, feed->url, &feed->connect, feed->layout,
                                    feed->decoder, feed->done, feed->bound_mark, &feed->ranges, err);
}

static rf_status round_end(postgres_feed *feed, rf_err *err)
{
    rf_postgres_ranges *ranges = feed->ranges;

    feed->ranges = NULL;
    if (!feed->layout->transaction)
        feed->done = feed->bound_mark;
    feed->look_at = 0;
    feed->look_seconds = LOOK_SECONDS_MIN;
    return rf_postgres_ranges_end(ranges, err);
}

static rf_status block_read(postgres_feed *feed, rf_buf *text, rf_err *err)
{
    bool any = true, ended = false;
    rf_status status = RF_OK;

    if (!feed->ranges)
        status = round_begin(feed, &any, err);
    if (status == RF_OK && any)
        status = rf_postgres_ranges_read(feed->ranges, text, &feed->last, &ended, err);
    if (status == RF_OK && text->size > 0)
        feed->done = feed->last.mark;
    if (status == RF_OK && ended)
        status = round_end(feed, err);
    return status;
}

static rf_status postgres_next(rf_feed *base, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    postgres_feed *feed = feed_of(base);
    char cursor[RF_LINE_CURSOR_SIZE];
    rf_buf *text = rf_line_blocks_turn(&feed->blocks);
    rf_status status = feed->postgres ? block_read(feed, text, err) : RF_OK;

    (void)line;
    if (status != RF_OK && !feed_lost(feed, status))
        return status;
    return rf_line_blocks_give(
        &feed->blocks, rf_postgres_cursor_write(feed->layout, &feed->last, cursor), block_out, err);
}

static rf_status pause_ms(const postgres_feed *feed, long ms, rf_err *err)
{
    struct timespec time = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&time, NULL);
    if (feed->connect.cancel && *feed->connect.cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while waiting for %s", feed->name);
    return RF_OK;
}

/* Tries to connect again, from time to time, and gives up after as long as writers are waited for. */
static rf_status wait_for_server(postgres_feed *feed, bool *more_out, rf_err *err)
{
    double now = rf_clock_seconds();

    if (now < feed->look_at)
        return pause_ms(feed, RF_FEED_WAIT_MS / 2, err);
    rf_status status = feed_connect(feed, err);
    if (status == RF_OK)
        status = rf_postgres_cursor_check(feed->postgres, feed->layout, feed->decoder, feed->name,
                                          &feed->last, err);
    now = rf_clock_seconds();
    *more_out = status == RF_OK;
    if (status == RF_OK) {
        feed->look_seconds = LOOK_SECONDS_MIN;
        return RF_OK;
    }
    rf_postgres_close(feed->postgres);
    feed->postgres = NULL;
    bool is_over = feed->bound.wait_ms >= 0 &&
                   (now - feed->lost_at) * 1000 >= (double)feed->bound.wait_ms;
    if (status != RF_ERR_UNREACHABLE || is_over)
        return status;
    feed->look_at = now + feed->look_seconds;
    feed->look_seconds *= 2;
    if (feed->look_seconds > RETRY_SECONDS_MAX)
        feed->look_seconds = RETRY_SECONDS_MAX;
    return RF_OK;
}

/* Waits for a notification or for the time to look. */
static rf_status wait_for_events(postgres_feed *feed, bool *more_out, rf_err *err)
{
    double left = feed->look_at - rf_clock_seconds();
    int wait_ms = left <= 0 ? 0 : left * 1000 > RF_FEED_WAIT_MS ? RF_FEED_WAIT_MS : (int)(left * 1000) + 1;
    rf_postgres_mark highest;
    bool ready = false, notified = false;
    rf_status status = RF_OK;

    if (wait_ms > 0)
        status = rf_postgres_wait(&feed->postgres, 1, wait_ms, &ready, err);
    if (status == RF_OK && ready)
        status = rf_postgres_notified(feed->postgres, &notified, err);
    if (status != RF_OK || (!notified && rf_clock_seconds() < feed->look_at))
        return status;
    status = rf_postgres_bound_look(feed->postgres, feed->layout, feed->done, more_out, &highest, err);
    feed->look_at = rf_clock_seconds() + feed->look_seconds;
    feed->look_seconds *= 2;
    if (feed->look_seconds > LOOK_SECONDS_MAX)
        feed->look_seconds = LOOK_SECONDS_MAX;
    return status;
}

static rf_status postgres_wait(rf_feed *base, bool *more_out, rf_err *err)
{
    postgres_feed *feed = feed_of(base);

    *more_out = false;
    rf_status status = feed->postgres ? wait_for_events(feed, more_out, err)
                                      : wait_for_server(feed, more_out, err);
    if (status != RF_OK && feed->postgres && feed_lost(feed, status))
        return RF_OK;
    return status;
}

static const rf_feed_ops postgres_ops = {postgres_next, postgres_wait, postgres_close};

static rf_status feed_name(postgres_feed *feed, rf_err *err)
{
    if (asprintf(&feed->name, "%s %s", rf_postgres_name(feed->postgres), feed->layout->name) < 0) {
        feed->name = NULL;
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading a database");
    }
    feed->feed.name = rf_slice_of(feed->name);
    return RF_OK;
}

static bool has_states(const rf_postgres_layout *layout)
{
    for (uint32_t i = 0; i < layout->column_count; i++) {
        if (layout->columns[i].role == RF_ROLE_STATE)
            return true;
    }
    return false;
}

rf_status rf_postgres_feed_open(const char *url, const rf_import_options *options,
                                const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    postgres_feed *feed = calloc(1, sizeof *feed);

    if (!feed)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading a database");
    feed->feed = (rf_feed){.ops = &postgres_ops,
                           .reads_ahead = true,
                           .has_positions = true,
                           .follows = options->follow};
    feed->url = url;
    feed->options = options;
    feed->connect = (rf_postgres_options){.cancel = options->run.cancel,
                                          .application_name = "refold import"};
    feed->bound = (rf_postgres_bound_options){
        .strict = options->strict, .wait_ms = options->wait_ms ? options->wait_ms : WAIT_MS_DEFAULT};
    feed->look_seconds = LOOK_SECONDS_MIN;
    rf_line_blocks_init(&feed->blocks);
    rf_status status = feed_connect(feed, err);
    if (status == RF_OK)
        status = feed_name(feed, err);
    if (status == RF_OK && has_states(feed->layout))
        status = rf_eventsourcing_new(options, &feed->decoder, err);
    if (status == RF_OK && options->follow && feed->layout->is_unordered)
        status = rf_fail(err, RF_ERR_USAGE,
                         "%s: positions are drawn in blocks (CACHE or INCREMENT of their sequence), so a later event may have a "
                         "lower one: --follow could skip it; import without, which reads all each time",
                         feed->name);
    if (status == RF_OK)
        status = start_at(feed, options->from_start ? RF_SLICE("") : start->cursor, err);
    if (status == RF_OK)
        *feed_out = &feed->feed;
    else
        postgres_close(&feed->feed);
    return status;
}
