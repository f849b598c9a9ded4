/* See postgres_ranges.h.
 *
 * Lanes stand in a ring: the one at `head` has the range that comes next. A lane gets its next range when its
 * last chunk was handed over, and is then the last in the ring.
 */
#include "source/postgres_ranges.h"

#include "base/clock.h"
#include "source/lines.h"
#include "source/postgres_bound.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    LANES_MAX = 4,
    CHUNKS = 6, /* of a lane, read ahead */
    CHUNK_SIZE = RF_LINES_BLOCK_SIZE,
    CHUNK_SIZE_MAX = RF_LINES_BLOCK_SIZE + 2 * RF_LINES_LINE_MAX,
    WAIT_MS = 100, /* how long a chunk that is not full waits for more */
    SQL_SIZE_MAX = 2 << 20,
    WIDTH_MIN = 1000,
};

typedef struct range_chunk {
    rf_buf text;
    rf_postgres_place place; /* of its last line */
} range_chunk;

typedef struct range_lane {
    rf_postgres *postgres;
    bool is_own;
    bool is_busy;  /* has a range */
    bool is_ended; /* all of it was read */
    bool is_begun; /* the copy's header has come */
    int64_t from, to; /* of the range: behind `from` */
    uint64_t row_count;
    range_chunk chunks[CHUNKS]; /* a ring, too */
    unsigned first;             /* the oldest */
    unsigned filled;            /* full ones; behind them the one that is being filled */
} range_lane;

struct rf_postgres_ranges {
    const rf_postgres_layout *layout;
    rf_eventsourcing *decoder;
    rf_postgres_mark after, bound;
    int64_t next_from;
    int64_t width;
    bool is_single; /* one range has all */
    bool is_given;  /* and it was begun */
    uint32_t lane_count;
    uint32_t head;
    range_lane lanes[LANES_MAX];
};

static const char begin_sql[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

rf_status rf_postgres_ranges_connect(const char *url, const rf_postgres_options *options,
                                     rf_postgres **postgres_out, rf_err *err)
{
    rf_postgres *postgres = NULL;
    rf_status status = rf_postgres_open(url, options, &postgres, err);

    if (status == RF_OK)
        status = rf_postgres_run(
            postgres, "SET row_security = off; SET default_transaction_read_only = on", err);
    if (status == RF_OK)
        *postgres_out = postgres;
    else
        rf_postgres_close(postgres);
    return status;
}

static void lane_init(range_lane *lane, rf_postgres *postgres, bool is_own)
{
    lane->postgres = postgres;
    lane->is_own = is_own;
    for (unsigned i = 0; i < CHUNKS; i++)
        rf_buf_init(&lane->chunks[i].text, CHUNK_SIZE_MAX);
}

/* Another connection in the snapshot of the first. */
static rf_status lane_open(rf_postgres_ranges *ranges, const char *url,
                           const rf_postgres_options *options, const char *snapshot, rf_err *err)
{
    rf_postgres *postgres = NULL;
    rf_buf sql;
    rf_status status = rf_postgres_ranges_connect(url, options, &postgres, err);

    if (status != RF_OK)
        return status;
    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_buf_append_format(&sql, "%s; SET TRANSACTION SNAPSHOT ", begin_sql);
    status = rf_postgres_quote_text(postgres, rf_slice_of(snapshot), &sql, err);
    rf_buf_append_byte(&sql, '\0');
    if (status == RF_OK)
        status = rf_buf_check(&sql, "an SQL statement", err);
    if (status == RF_OK)
        status = rf_postgres_run(postgres, sql.data, err);
    rf_buf_free(&sql);
    if (status != RF_OK) {
        rf_postgres_close(postgres);
        return status;
    }
    lane_init(&ranges->lanes[ranges->lane_count++], postgres, true);
    return RF_OK;
}

static rf_status lanes_open(rf_postgres_ranges *ranges, const char *url,
                            const rf_postgres_options *options, rf_err *err)
{
    rf_postgres_rows *rows = NULL;
    rf_postgres *first = ranges->lanes[0].postgres;
    rf_status status = rf_postgres_query(first, "SELECT pg_catalog.pg_export_snapshot()", NULL, 0,
                                         &rows, err);

    if (status != RF_OK)
        return status;
    while (ranges->lane_count < LANES_MAX) {
        /* What the first connection reached the others reach, or there is no room for them. */
        if (lane_open(ranges, url, options, rf_postgres_text(rows, 0, 0), NULL) != RF_OK)
            break;
    }
    rf_postgres_rows_free(rows);
    if (options->cancel && *options->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while connecting to %s",
                       rf_postgres_name(first));
    return RF_OK;
}

/* How many positions have a range's number of rows, by what the server believes to know. */
static int64_t width_guess(const rf_postgres_layout *layout, rf_postgres_mark bound)
{
    double rows = layout->row_estimate > 0 ? (double)layout->row_estimate : (double)bound.position;
    double width = (double)bound.position / (rows < 1 ? 1 : rows) * RF_POSTGRES_RANGE_ROWS;

    return width < WIDTH_MIN ? WIDTH_MIN : width > 1e15 ? (int64_t)1e15 : (int64_t)width;
}

rf_status rf_postgres_ranges_begin(rf_postgres *first, const char *url,
                                   const rf_postgres_options *options,
                                   const rf_postgres_layout *layout,
                                   rf_eventsourcing *decoder, rf_postgres_mark after,
                                   rf_postgres_mark bound, rf_postgres_ranges **ranges_out,
                                   rf_err *err)
{
    rf_postgres_ranges *ranges = calloc(1, sizeof *ranges);
    rf_status status = rf_postgres_run(first, begin_sql, err);

    if (!ranges)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for reading a database");
    if (status != RF_OK) {
        free(ranges);
        return status;
    }
    ranges->layout = layout;
    ranges->decoder = decoder;
    ranges->after = after;
    ranges->bound = bound;
    ranges->next_from = after.position;
    ranges->width = width_guess(layout, bound);
    ranges->is_single = layout->transaction || !layout->has_index;
    lane_init(&ranges->lanes[ranges->lane_count++], first, false);
    if (!ranges->is_single && bound.position / 2 - after.position / 2 > ranges->width)
        status = lanes_open(ranges, url, options, err);
    if (status == RF_OK)
        *ranges_out = ranges;
    else
        (void)rf_postgres_ranges_end(ranges, NULL);
    return status;
}

rf_status rf_postgres_ranges_end(rf_postgres_ranges *ranges, rf_err *err)
{
    rf_status status = RF_OK;

    if (!ranges)
        return RF_OK;
    for (uint32_t i = 0; i < ranges->lane_count; i++) {
        range_lane *lane = &ranges->lanes[i];
        for (unsigned j = 0; j < CHUNKS; j++)
            rf_buf_free(&lane->chunks[j].text);
        if (lane->is_own)
            rf_postgres_close(lane->postgres);
        else if (!rf_postgres_is_lost(lane->postgres) && !lane->is_busy)
            status = rf_postgres_run(lane->postgres, "ROLLBACK", err);
    }
    free(ranges);
    return status;
}

/* Gives the lane its next range, if there is one. */
static rf_status lane_begin(rf_postgres_ranges *ranges, range_lane *lane, rf_err *err)
{
    const rf_postgres_layout *layout = ranges->layout;
    rf_buf sql;
    int64_t to = ranges->bound.position;

    if (ranges->is_given || (!ranges->is_single && ranges->next_from >= to))
        return RF_OK;
    if (!ranges->is_single && to - ranges->next_from > ranges->width)
        to = ranges->next_from + ranges->width;
    lane->from = ranges->next_from;
    lane->to = to;
    ranges->next_from = to;
    ranges->is_given = ranges->is_single;

    rf_postgres_mark after = ranges->is_single ? ranges->after : (rf_postgres_mark){0, lane->from};
    rf_postgres_mark bound = ranges->is_single ? ranges->bound : (rf_postgres_mark){0, lane->to};
    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_buf_append_format(&sql, "COPY (SELECT %s FROM %s", layout->select, layout->from);
    rf_postgres_bound_where(layout, after, bound, &sql);
    rf_buf_append_format(&sql, " ORDER BY %s%s%s) TO STDOUT (FORMAT binary)",
                         layout->transaction ? layout->transaction : "",
                         layout->transaction ? ", " : "", layout->position);
    rf_buf_append_byte(&sql, '\0');
    rf_status status = rf_buf_check(&sql, "an SQL statement", err);
    if (status == RF_OK)
        status = rf_postgres_copy_out(lane->postgres, sql.data, err);
    rf_buf_free(&sql);
    lane->is_busy = status == RF_OK;
    lane->is_ended = lane->is_begun = false;
    lane->row_count = 0;
    return status;
}

/* Ranges become wider or narrower by what the last had. */
static void width_adapt(rf_postgres_ranges *ranges, const range_lane *lane)
{
    bool was_whole = lane->to - lane->from >= ranges->width;

    if (lane->row_count > 2 * RF_POSTGRES_RANGE_ROWS && ranges->width / 2 >= WIDTH_MIN)
        ranges->width /= 2;
    else if (was_whole && lane->row_count < RF_POSTGRES_RANGE_ROWS / 2 &&
             ranges->width < INT64_MAX / 4)
        ranges->width *= 2;
}

static range_chunk *lane_chunk(range_lane *lane, unsigned index)
{
    return &lane->chunks[(lane->first + index) % CHUNKS];
}

static bool lane_has_room(const range_lane *lane)
{
    return lane->is_busy && !lane->is_ended && lane->filled < CHUNKS;
}

/* Makes lines of what has come, until a chunk is full. *moved_out: anything happened. */
static rf_status lane_pump(rf_postgres_ranges *ranges, range_lane *lane, bool *moved_out, rf_err *err)
{
    while (lane_has_room(lane)) {
        range_chunk *chunk = lane_chunk(lane, lane->filled);
        rf_postgres_copy copy;
        rf_slice row;
        bool is_row;
        rf_status status = rf_postgres_copy_poll(lane->postgres, &copy, &row, err);
        if (status != RF_OK || copy == RF_POSTGRES_WAIT)
            return status;
        *moved_out = true;
        if (copy == RF_POSTGRES_END) {
            lane->is_ended = true;
            width_adapt(ranges, lane);
            return RF_OK;
        }
        status = rf_postgres_line_append(ranges->layout, ranges->decoder, row, &lane->is_begun,
                                         &chunk->text, &chunk->place, &is_row, err);
        if (status != RF_OK)
            return rf_err_context(err, "%s %s", rf_postgres_name(lane->postgres),
                                  ranges->layout->name);
        lane->row_count += is_row;
        if (chunk->text.size >= CHUNK_SIZE) {
            lane->filled++;
            return RF_OK;
        }
    }
    return RF_OK;
}

/* Hands over the lane's oldest chunk. */
static void lane_give(range_lane *lane, rf_buf *text, rf_postgres_last *last)
{
    range_chunk *chunk = lane_chunk(lane, 0);
    rf_buf given = chunk->text;

    RF_ASSERT(given.size > 0 && text->size == 0);
    chunk->text = *text;
    *text = given;
    *last = rf_postgres_last_of(rf_buf_slice(text), &chunk->place);
    if (lane->filled > 0) {
        lane->filled--;
        lane->first = (lane->first + 1) % CHUNKS;
    }
}

/* What the other lanes' servers have sent is made lines of, a chunk a lane. */
static rf_status lanes_pump(rf_postgres_ranges *ranges, bool *moved_out, rf_err *err)
{
    for (uint32_t i = 1; i < ranges->lane_count; i++) {
        range_lane *lane = &ranges->lanes[(ranges->head + i) % ranges->lane_count];
        rf_status status = lane_pump(ranges, lane, moved_out, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

static rf_status lanes_wait(rf_postgres_ranges *ranges, bool *ready_out, rf_err *err)
{
    rf_postgres *waiting[LANES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < ranges->lane_count; i++) {
        range_lane *lane = &ranges->lanes[(ranges->head + i) % ranges->lane_count];
        if (lane_has_room(lane))
            waiting[count++] = lane->postgres;
    }
    RF_ASSERT(count > 0);
    return rf_postgres_wait(waiting, count, WAIT_MS, ready_out, err);
}

/* Idle lanes get ranges, in the order of the ring. */
static rf_status lanes_begin(rf_postgres_ranges *ranges, rf_err *err)
{
    for (uint32_t i = 0; i < ranges->lane_count; i++) {
        range_lane *lane = &ranges->lanes[(ranges->head + i) % ranges->lane_count];
        rf_status status = lane->is_busy ? RF_OK : lane_begin(ranges, lane, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

rf_status rf_postgres_ranges_read(rf_postgres_ranges *ranges, rf_buf *text_io,
                                  rf_postgres_last *last_io, bool *ended_out, rf_err *err)
{
    bool is_late = false; /* what there is is to be given */

    *ended_out = false;
    for (;;) {
        rf_status status = lanes_begin(ranges, err);
        if (status != RF_OK)
            return status;
        range_lane *head = &ranges->lanes[ranges->head];
        if (!head->is_busy) {
            *ended_out = true;
            return RF_OK;
        }
        bool has_lines = lane_chunk(head, 0)->text.size > 0;
        bool moved = false;
        if (head->filled > 0 || (has_lines && (head->is_ended || is_late))) {
            lane_give(head, text_io, last_io);
            return lanes_pump(ranges, &moved, err);
        }
        if (head->is_ended) {
            head->is_busy = false;
            ranges->head = (ranges->head + 1) % ranges->lane_count;
            continue;
        }
        status = lane_pump(ranges, head, &moved, err);
        if (status == RF_OK && !moved)
            status = lanes_pump(ranges, &moved, err);
        if (status == RF_OK && !moved) {
            bool ready;
            status = lanes_wait(ranges, &ready, err);
            is_late = !ready;
        }
        if (status != RF_OK)
            return status;
    }
}
