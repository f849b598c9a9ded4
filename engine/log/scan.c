/* Walking a partition's segments: see log.h.
 *
 * The walk keeps the next position that it wants, never a place in the table: each step looks for
 * the segment that holds that position or begins after it. So a merge between two steps changes
 * where a segment begins, but not which events come next.
 */
#include "log/record.h"

#include <stdlib.h>

enum { SCAN_ARENA_MAX = 64 << 20 };

struct rf_log_scan {
    rf_log *log;
    rf_kv_txn *txn; /* NULL before the first step */
    bool is_open;   /* the transaction has a view (not reset) */
    uint32_t partition;
    uint64_t next; /* position that is wanted */
    uint64_t until;
    rf_log_wants_fn wants; /* NULL: all */
    const void *wants_arg;
    rf_arena arena;     /* directory of the step's segment */
    rf_segment_copies copies;
    int64_t *positions; /* of one segment */
};

rf_status rf_log_scan_open(rf_log *log, uint32_t partition, uint64_t from, uint64_t until,
                           rf_log_scan **scan_out, rf_err *err)
{
    rf_log_scan *scan = calloc(1, sizeof *scan);

    if (!scan)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for a scan");
    rf_arena_init(&scan->arena, SCAN_ARENA_MAX);
    rf_segment_copies_begin(&scan->copies, rf_log_kv(log));
    scan->positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *scan->positions);
    if (!scan->positions) {
        rf_log_scan_close(scan);
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for a scan");
    }
    scan->log = log;
    rf_status status = rf_log_scan_restart(scan, partition, from, until, err);
    if (status) {
        rf_log_scan_close(scan);
        return status;
    }
    *scan_out = scan;
    return RF_OK;
}

void rf_log_scan_close(rf_log_scan *scan)
{
    if (!scan)
        return;
    rf_kv_abort(scan->txn);
    rf_arena_free(&scan->arena);
    rf_segment_copies_end(&scan->copies);
    free(scan->positions);
    free(scan);
}

static void scan_reset(rf_log_scan *scan)
{
    if (scan->is_open)
        rf_kv_reset(scan->txn);
    scan->is_open = false;
}

rf_status rf_log_scan_restart(rf_log_scan *scan, uint32_t partition, uint64_t from, uint64_t until,
                              rf_err *err)
{
    (void)err;
    RF_ASSERT(partition < rf_log_partitions(scan->log));
    scan_reset(scan);
    scan->partition = partition;
    scan->next = from > 0 ? from : 1;
    scan->until = until;
    scan->wants = NULL;
    return RF_OK;
}

void rf_log_scan_only(rf_log_scan *scan, rf_log_wants_fn wants, const void *arg)
{
    scan->wants = wants;
    scan->wants_arg = arg;
}

uint64_t rf_log_scan_at(const rf_log_scan *scan)
{
    return scan->next;
}

static rf_status scan_view(rf_log_scan *scan, rf_err *err)
{
    scan_reset(scan);
    rf_status status = scan->txn ? rf_kv_renew(scan->txn, err)
                                 : rf_kv_begin(rf_log_kv(scan->log), false, &scan->txn, err);
    scan->is_open = status == RF_OK;
    if (scan->is_open)
        rf_kv_read_copied(scan->txn);
    return status;
}

/* Opens what the cursor found and checks that it is what its key says. */
static rf_status scan_segment(rf_log_scan *scan, const rf_segment_span *span, rf_slice value,
                              rf_segment *out, rf_err *err)
{
    rf_arena_reset(&scan->arena);
    rf_status status = rf_segment_open_copied(value, &scan->copies, &scan->arena, out, err);
    if (status)
        return rf_err_context(err, "log, partition %u, segment at position %llu", span->partition,
                              (unsigned long long)span->first_position);
    return rf_segment_span_check(span, out, err);
}

static bool is_wanted(const rf_log_scan *scan, const rf_segment_span *span)
{
    return span->partition == scan->partition && span->last_position >= scan->next &&
           (!scan->wants || scan->wants(scan->wants_arg, span->stream_min, span->stream_max));
}

/* The segment that holds `next`, or else the first one after it, of those that are wanted. Their keys tell, so the
 * others are not opened. */
static rf_status scan_find(rf_log_scan *scan, rf_segment *out, bool *found_out, rf_err *err)
{
    rf_segment_key at = rf_segment_key_up_to(scan->partition, scan->next);
    rf_kv_seek seek = RF_KV_AT_MOST;
    rf_kv_cursor *cursor = NULL;
    rf_segment_span span = {0};
    rf_slice key, value;
    bool is_there = true;

    *found_out = false;
    rf_status status = rf_kv_cursor_open(scan->txn, RF_LOG_SEGMENTS, &cursor, err);
    while (!status && is_there && !*found_out) {
        status = rf_kv_cursor_seek(cursor, seek, rf_segment_key_slice(&at), &key, NULL, &is_there,
                                   err);
        if (!status && is_there)
            status = rf_segment_key_parse(key, &span, err);
        if (!status && is_there) {
            *found_out = is_wanted(scan, &span);
            is_there = span.partition < scan->partition || (span.partition == scan->partition &&
                                                            span.first_position <= scan->until);
            seek = RF_KV_NEXT;
        } else if (!status && seek == RF_KV_AT_MOST) {
            is_there = true;
            seek = RF_KV_AT_LEAST;
        }
    }
    *found_out = *found_out && is_there;
    if (!status && *found_out)
        status = rf_kv_cursor_seek(cursor, RF_KV_HERE, (rf_slice){0}, &key, &value, &is_there, err);
    if (!status && *found_out)
        status = scan_segment(scan, &span, value, out, err);
    rf_kv_cursor_close(cursor);
    return status;
}

/* First index whose position is at least `position`. */
static uint32_t position_at_least(const int64_t *positions, uint32_t count, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint64_t)positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

rf_status rf_log_scan_next(rf_log_scan *scan, rf_log_step *step_out, bool *found_out, rf_err *err)
{
    *found_out = false;
    while (scan->next <= scan->until) {
        rf_log_step step;
        bool found;

        rf_status status = scan_view(scan, err);
        if (status)
            return status;
        status = scan_find(scan, &step.segment, &found, err);
        if (status)
            return status;
        if (!found)
            break;
        step.begin = 0;
        step.end = step.segment.count;
        if (step.segment.first_position < scan->next || step.segment.last_position > scan->until) {
            status = rf_segment_envelope(&step.segment, RF_ENVELOPE_POSITION, scan->positions, NULL,
                                         err);
            if (status)
                return status;
            step.begin = position_at_least(scan->positions, step.segment.count, scan->next);
            if (scan->until < step.segment.last_position)
                step.end = position_at_least(scan->positions, step.segment.count, scan->until + 1);
        }
        scan->next = step.segment.last_position + 1;
        if (step.begin < step.end) {
            *step_out = step;
            *found_out = true;
            return RF_OK;
        }
    }
    scan_reset(scan);
    return RF_OK;
}

/* Position of the first event of the step that is later than `time`; 0 if none. */
static rf_status first_later(const rf_log_step *step, int64_t time, int64_t *times,
                             int64_t *positions, uint64_t *position_out, rf_err *err)
{
    *position_out = 0;
    rf_status status = rf_segment_envelope(&step->segment, RF_ENVELOPE_TIME, times, NULL, err);
    if (status)
        return status;
    for (uint32_t i = step->begin; i < step->end; i++) {
        if (times[i] == RF_TIME_NONE || times[i] <= time)
            continue;
        status = rf_segment_envelope(&step->segment, RF_ENVELOPE_POSITION, positions, NULL, err);
        if (!status)
            *position_out = (uint64_t)positions[i];
        return status;
    }
    return RF_OK;
}

rf_status rf_log_position_at_time(rf_log *log, int64_t time, uint64_t *position_out, rf_err *err)
{
    rf_log_scan *scan = NULL;
    rf_log_info info;
    int64_t *times = NULL;
    int64_t *positions = NULL;

    rf_status status = rf_log_get_info(log, &info, err);
    if (status)
        return status;
    uint64_t last = info.position; /* no event up to here is later, as far as we have looked */
    times = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *times);
    positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *positions);
    if (!times || !positions)
        status = rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for a time");
    if (!status)
        status = rf_log_scan_open(log, 0, 1, last, &scan, err);
    for (uint32_t i = 0; i < rf_log_partitions(log) && !status; i++) {
        status = rf_log_scan_restart(scan, i, 1, last, err);
        while (!status) {
            rf_log_step step;
            bool found;
            uint64_t later = 0;

            status = rf_log_scan_next(scan, &step, &found, err);
            if (status || !found)
                break;
            if (step.segment.time_max == RF_TIME_NONE || step.segment.time_max <= time)
                continue;
            status = first_later(&step, time, times, positions, &later, err);
            if (!status && later > 0) {
                last = later - 1;
                break;
            }
        }
    }
    rf_log_scan_close(scan);
    free(times);
    free(positions);
    if (!status)
        *position_out = last;
    return status;
}
