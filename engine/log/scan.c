/* Walking a partition's segments: see log.h.
 *
 * The walk keeps the next position that it wants, never a place in the table: each step looks for
 * the segment that holds that position or begins after it. So a merge between two steps changes
 * where a segment begins, but not which events come next. While nobody commits, the segment before
 * is known to end there, and is not opened once more to see it.
 */
#include "log/record.h"

#include <stdlib.h>

enum { SCAN_ARENA_MAX = 64 << 20 };

struct rf_log_scan {
    rf_log *log;
    rf_kv_txn *txn; /* NULL before the first step */
    bool is_open;   /* the transaction has a view (not reset) */
    uint32_t partition;
    rf_log_place place;
    uint64_t until;
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
    rf_log_scan_go_on(scan, partition, &(rf_log_place){.next = from > 0 ? from : 1}, until);
    return RF_OK;
}

void rf_log_scan_go_on(rf_log_scan *scan, uint32_t partition, const rf_log_place *place,
                       uint64_t until)
{
    RF_ASSERT(partition < rf_log_partitions(scan->log));
    RF_ASSERT(place->next > 0);
    scan_reset(scan);
    scan->partition = partition;
    scan->place = *place;
    scan->until = until;
}

void rf_log_scan_get_place(const rf_log_scan *scan, rf_log_place *place_out)
{
    *place_out = scan->place;
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
static rf_status scan_segment(rf_log_scan *scan, rf_slice key, rf_slice value, rf_segment *out,
                              bool *is_ours_out, rf_err *err)
{
    uint32_t partition;
    uint64_t position;

    if (!rf_segment_key_parse(key, &partition, &position))
        return rf_fail(err, RF_ERR_DAMAGED, "log: a segment key of %zu bytes", key.size);
    *is_ours_out = partition == scan->partition;
    if (!*is_ours_out)
        return RF_OK;
    rf_arena_reset(&scan->arena);
    rf_status status = rf_segment_open_copied(value, &scan->copies, &scan->arena, out, err);
    if (status)
        return rf_err_context(err, "log, partition %u, segment at position %llu", partition,
                              (unsigned long long)position);
    if (out->partition != partition || out->first_position != position || out->count == 0 ||
        out->count > RF_SEGMENT_EVENTS_MAX || out->last_position < position)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "log, partition %u: the segment at position %llu is another one (partition "
                       "%u, position %llu)",
                       partition, (unsigned long long)position, out->partition,
                       (unsigned long long)out->first_position);
    return RF_OK;
}

/* Whether a key is that of the segment of which the walk knows that it ends before `next`. */
static bool is_behind(const rf_log_scan *scan, rf_slice key)
{
    uint32_t partition;
    uint64_t position;

    return scan->place.behind > 0 && scan->place.view == rf_kv_txn_id(scan->txn) &&
           rf_segment_key_parse(key, &partition, &position) && partition == scan->partition &&
           position == scan->place.behind;
}

/* The segment that holds `next`, or else the first one after it. */
static rf_status scan_find(rf_log_scan *scan, rf_segment *out, bool *found_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    rf_segment_key wanted = rf_segment_key_of(scan->partition, scan->place.next);
    rf_slice key, value;
    bool found;
    bool is_ours = false;

    rf_status status = rf_kv_cursor_open(scan->txn, RF_LOG_SEGMENTS, &cursor, err);
    if (status)
        return status;
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_MOST, rf_segment_key_slice(&wanted), &key, &value,
                               &found, err);
    if (!status && found && !is_behind(scan, key))
        status = scan_segment(scan, key, value, out, &is_ours, err);
    if (!status && (!is_ours || out->last_position < scan->place.next)) {
        is_ours = false;
        status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, rf_segment_key_slice(&wanted), &key,
                                   &value, &found, err);
        if (!status && found)
            status = scan_segment(scan, key, value, out, &is_ours, err);
    }
    rf_kv_cursor_close(cursor);
    if (!status)
        *found_out = is_ours;
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
    while (scan->place.next <= scan->until) {
        rf_log_step step;
        bool found;

        rf_status status = scan_view(scan, err);
        if (status)
            return status;
        status = scan_find(scan, &step.segment, &found, err);
        if (status)
            return status;
        if (!found || step.segment.first_position > scan->until)
            break;
        step.begin = 0;
        step.end = step.segment.count;
        if (step.segment.first_position < scan->place.next || step.segment.last_position > scan->until) {
            status = rf_segment_envelope(&step.segment, RF_ENVELOPE_POSITION, scan->positions, NULL,
                                         err);
            if (status)
                return status;
            step.begin = position_at_least(scan->positions, step.segment.count, scan->place.next);
            if (scan->until < step.segment.last_position)
                step.end = position_at_least(scan->positions, step.segment.count, scan->until + 1);
        }
        scan->place = (rf_log_place){step.segment.last_position + 1, step.segment.first_position,
                                     rf_kv_txn_id(scan->txn)};
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
