/* Looking into the log: what it holds, and the events themselves; types.c has the types. See
 * refold/log.h.
 *
 * Events come in position order from all partitions at once: each partition has a cursor over its
 * segments, and a heap orders the cursors by their next matching event. A cursor keeps a copy of
 * its segment, so no transaction is held between calls; columns beyond the positions are decoded
 * when first asked for. Memory is bounded by a segment a partition and by the names of the streams,
 * which are loaded per partition where an event of it is given.
 */
#include "refold/log.h"

#include "store/store.h"

#include <stdlib.h>

enum { CURSOR_ARENA_MAX = 64 << 20 };
#define NAMES_ARENA_MAX ((size_t)64 << 30)

rf_status rf_store_position_at(rf_store *store, int64_t time, uint64_t *position_out, rf_err *err)
{
    return rf_log_position_at_time(store->log, time, position_out, err);
}

rf_status rf_store_info(rf_store *store, rf_info *info_out, rf_err *err)
{
    rf_log_info log;
    rf_log_source *sources;
    uint32_t source_count;

    rf_status status = rf_log_get_info(store->log, &log, err);
    if (status)
        return status;
    status = rf_log_sources(store->log, &sources, &source_count, err);
    if (status)
        return status;
    free(sources);
    *info_out = (rf_info){
        .position = log.position,
        .events = log.events,
        .streams = log.streams,
        .segments = log.segments,
        .bytes = log.bytes,
        .raw_bytes = log.raw_bytes,
        .partitions = store->partitions,
        .source_count = source_count,
    };
    return RF_OK;
}

/* One partition's place in the walk. */
typedef struct events_cursor {
    uint32_t partition;
    uint64_t from;     /* position wanted next, after the segment at hand */
    uint64_t position; /* of the next matching event; UINT64_MAX: no more */
    char *bytes;       /* copy of the segment; owned */
    size_t room;
    rf_segment segment;
    uint32_t index, end;
    uint32_t type; /* of the query in this segment */
    rf_arena arena;
    int64_t *columns[RF_ENVELOPE_COUNT]; /* owned, for `columns_room` events */
    uint32_t columns_room[RF_ENVELOPE_COUNT];
    bool decoded[RF_ENVELOPE_COUNT];
    rf_payload_reader *reader;
    /* names by number; NULL before the first event is given */
    rf_arena names_arena;
    rf_slice *names;
    uint32_t name_count;
} events_cursor;

struct rf_events {
    rf_store *store;
    rf_event_query query; /* its slices are copies */
    char *query_text;
    uint64_t until;
    uint64_t given;
    bool by_stream;
    rf_stream_name stream; /* of the query */
    rf_log_source *sources;
    uint32_t source_count;
    rf_log_scan *scan; /* shared by the cursors: at rest between calls */
    events_cursor *cursors;
    uint32_t cursor_count;
    uint32_t *heap; /* of cursors with a next event, the lowest position first */
    uint32_t heap_count;
};

static void cursor_free(events_cursor *cursor)
{
    free(cursor->bytes);
    for (size_t i = 0; i < RF_ENVELOPE_COUNT; i++)
        free(cursor->columns[i]);
    rf_payload_reader_free(cursor->reader);
    rf_arena_free(&cursor->arena);
    rf_arena_free(&cursor->names_arena);
    free(cursor->names);
}

void rf_events_close(rf_events *events)
{
    if (!events)
        return;
    for (uint32_t i = 0; i < events->cursor_count; i++)
        cursor_free(&events->cursors[i]);
    rf_log_scan_close(events->scan);
    free(events->cursors);
    free(events->heap);
    free(events->sources);
    free(events->query_text);
    free(events);
}

static rf_status cursor_column(events_cursor *cursor, rf_envelope column, const int64_t **out,
                               rf_err *err)
{
    if (!cursor->decoded[column]) {
        if (cursor->columns_room[column] < cursor->segment.count) {
            free(cursor->columns[column]);
            cursor->columns_room[column] = 0;
            cursor->columns[column] = malloc(cursor->segment.count * sizeof(int64_t));
            if (!cursor->columns[column])
                return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
            cursor->columns_room[column] = cursor->segment.count;
        }
        rf_status status =
            rf_segment_envelope(&cursor->segment, column, cursor->columns[column], NULL, err);
        if (status)
            return status;
        cursor->decoded[column] = true;
    }
    *out = cursor->columns[column];
    return RF_OK;
}

/* Whether the header alone tells that the query finds nothing here. */
static bool segment_misses(const rf_events *events, const rf_segment *segment, uint32_t *type_out)
{
    const rf_event_query *query = &events->query;

    if (events->by_stream && (events->stream.number < segment->stream_min ||
                              events->stream.number > segment->stream_max))
        return true;
    if (query->has_time_from || query->has_time_until) {
        if (segment->time_min == RF_TIME_NONE ||
            (query->has_time_from && segment->time_max < query->time_from) ||
            (query->has_time_until && segment->time_min > query->time_until))
            return true;
    }
    if (!query->type.data)
        return false;
    for (uint32_t i = 0; i < segment->type_count; i++) {
        if (rf_slice_equal(segment->types[i].name, query->type)) {
            *type_out = i;
            return false;
        }
    }
    return true;
}

/* Copies the step's segment and opens the copy. */
static rf_status cursor_keep(events_cursor *cursor, const rf_log_step *step, rf_err *err)
{
    rf_slice bytes = step->segment.bytes;

    if (cursor->room < bytes.size) {
        free(cursor->bytes);
        cursor->room = 0;
        cursor->bytes = malloc(bytes.size);
        if (!cursor->bytes)
            return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
        cursor->room = bytes.size;
    }
    memcpy(cursor->bytes, bytes.data, bytes.size);
    rf_arena_reset(&cursor->arena);
    memset(cursor->decoded, 0, sizeof cursor->decoded);
    cursor->index = step->begin;
    cursor->end = step->end;
    /* A reader keeps its last chunk by place, and this segment lies where the last one did. */
    rf_payload_reader_free(cursor->reader);
    cursor->reader = rf_payload_reader_new();
    if (!cursor->reader)
        return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
    return rf_segment_open((rf_slice){cursor->bytes, bytes.size}, &cursor->arena, &cursor->segment,
                           err);
}

/* The partition's next segment that may match. At the end, index == end. */
static rf_status cursor_refill(rf_events *events, events_cursor *cursor, rf_err *err)
{
    cursor->index = 0;
    cursor->end = 0;
    rf_status status =
        rf_log_scan_restart(events->scan, cursor->partition, cursor->from, events->until, err);
    while (!status) {
        rf_log_step step;
        bool found;

        status = rf_log_scan_next(events->scan, &step, &found, err);
        if (status || !found)
            break;
        cursor->from = step.segment.last_position + 1;
        if (segment_misses(events, &step.segment, &cursor->type))
            continue;
        status = cursor_keep(cursor, &step, err);
        break;
    }
    /* Ends the scan's transaction: none is held between calls. */
    rf_status ended =
        rf_log_scan_restart(events->scan, cursor->partition, cursor->from, events->until, err);
    return status ? status : ended;
}

static rf_status cursor_matches(rf_events *events, events_cursor *cursor, bool *matches_out,
                                rf_err *err)
{
    const rf_event_query *query = &events->query;
    const int64_t *values = NULL;
    rf_status status = RF_OK;

    *matches_out = false;
    if (events->by_stream) {
        status = cursor_column(cursor, RF_ENVELOPE_STREAM, &values, err);
        if (status || values[cursor->index] != events->stream.number)
            return status;
    }
    if (query->type.data) {
        status = cursor_column(cursor, RF_ENVELOPE_TYPE, &values, err);
        if (status || values[cursor->index] != cursor->type)
            return status;
    }
    if (query->has_time_from || query->has_time_until) {
        status = cursor_column(cursor, RF_ENVELOPE_TIME, &values, err);
        if (status)
            return status;
        int64_t time = values[cursor->index];
        if (time == RF_TIME_NONE || (query->has_time_from && time < query->time_from) ||
            (query->has_time_until && time > query->time_until))
            return RF_OK;
    }
    *matches_out = true;
    return RF_OK;
}

/* Goes to the next matching event at or after `index`. */
static rf_status cursor_settle(rf_events *events, events_cursor *cursor, rf_err *err)
{
    while (true) {
        for (; cursor->index < cursor->end; cursor->index++) {
            const int64_t *positions = NULL;
            bool matches;
            rf_status status = cursor_matches(events, cursor, &matches, err);
            if (!status && matches) {
                status = cursor_column(cursor, RF_ENVELOPE_POSITION, &positions, err);
                if (!status)
                    cursor->position = (uint64_t)positions[cursor->index];
            }
            if (status || matches)
                return status;
        }
        rf_status status = cursor_refill(events, cursor, err);
        if (status)
            return status;
        if (cursor->index == cursor->end) {
            cursor->position = UINT64_MAX;
            return RF_OK;
        }
    }
}

static void heap_sink(rf_events *events, uint32_t at)
{
    uint32_t *heap = events->heap;

    while (true) {
        uint32_t child = 2 * at + 1;
        if (child >= events->heap_count)
            return;
        if (child + 1 < events->heap_count &&
            events->cursors[heap[child + 1]].position < events->cursors[heap[child]].position)
            child++;
        if (events->cursors[heap[at]].position <= events->cursors[heap[child]].position)
            return;
        uint32_t swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
        at = child;
    }
}

static rf_status query_copy(rf_events *events, const rf_event_query *query, rf_err *err)
{
    events->query = *query;
    events->query_text = malloc(query->stream.size + query->type.size + 1);
    if (!events->query_text)
        return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
    if (query->stream.data) {
        memcpy(events->query_text, query->stream.data, query->stream.size);
        events->query.stream.data = events->query_text;
    }
    if (query->type.data) {
        char *at = events->query_text + query->stream.size;
        memcpy(at, query->type.data, query->type.size);
        events->query.type.data = at;
    }
    return RF_OK;
}

/* A cursor for each partition that may match. */
static rf_status events_begin(rf_events *events, rf_err *err)
{
    rf_log *log = events->store->log;
    uint32_t partition = 0;
    uint32_t partition_end = rf_log_partitions(log);

    if (events->query.stream.data) {
        bool found;
        rf_status status =
            rf_log_find_stream(log, events->query.stream, &partition, &events->stream, &found, err);
        if (status || !found)
            return status;
        events->by_stream = true;
        partition_end = partition + 1;
    }
    events->cursors = calloc(partition_end - partition, sizeof *events->cursors);
    events->heap = calloc(partition_end - partition, sizeof *events->heap);
    if (!events->cursors || !events->heap)
        return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
    rf_status status =
        rf_log_scan_open(log, partition, events->query.from, events->until, &events->scan, err);
    for (; partition < partition_end && !status; partition++) {
        events_cursor *cursor = &events->cursors[events->cursor_count];
        rf_arena_init(&cursor->arena, CURSOR_ARENA_MAX);
        rf_arena_init(&cursor->names_arena, NAMES_ARENA_MAX);
        cursor->partition = partition;
        cursor->from = events->query.from;
        events->cursor_count++;
        status = cursor_settle(events, cursor, err);
        if (!status && cursor->position != UINT64_MAX)
            events->heap[events->heap_count++] = events->cursor_count - 1;
    }
    for (uint32_t i = events->heap_count / 2; i-- > 0;)
        heap_sink(events, i);
    return status;
}

rf_status rf_events_open(rf_store *store, const rf_event_query *query, rf_events **events_out,
                         rf_err *err)
{
    rf_event_query all = {0};
    rf_log_info info;

    rf_events *events = calloc(1, sizeof *events);
    if (!events)
        return rf_fail(err, RF_ERR_MEMORY, "no memory to read events");
    events->store = store;
    rf_status status = query_copy(events, query ? query : &all, err);
    if (!status)
        status = rf_log_get_info(store->log, &info, err);
    if (!status)
        status = rf_log_sources(store->log, &events->sources, &events->source_count, err);
    if (!status) {
        /* What is appended while we read is not shown: the end is fixed here. */
        events->until = info.position;
        if (events->query.until > 0 && events->query.until < info.position)
            events->until = events->query.until;
        status = events_begin(events, err);
    }
    if (status) {
        rf_events_close(events);
        return status;
    }
    *events_out = events;
    return RF_OK;
}

static rf_status cursor_name(rf_events *events, events_cursor *cursor, int64_t number,
                             rf_slice *name_out, rf_err *err)
{
    rf_log *log = events->store->log;

    if (events->by_stream) {
        *name_out = events->query.stream;
        return RF_OK;
    }
    if (!cursor->names) {
        rf_log_partition partition;
        rf_stream_name *names;
        uint32_t count;
        rf_status status = rf_log_get_partition(log, cursor->partition, &partition, err);
        if (!status)
            status = rf_log_names(log, cursor->partition, partition.streams, &cursor->names_arena,
                                  &names, &count, err);
        if (status)
            return status;
        cursor->names = calloc((size_t)partition.streams + 1, sizeof *cursor->names);
        if (!cursor->names)
            return rf_fail(err, RF_ERR_MEMORY, "no memory for the names of streams");
        cursor->name_count = partition.streams;
        for (uint32_t i = 0; i < count; i++)
            if (names[i].number < partition.streams)
                cursor->names[names[i].number] = names[i].name;
    }
    if (number < 0 || number >= cursor->name_count || !cursor->names[number].data)
        return rf_fail(err, RF_ERR_DAMAGED, "log, partition %u: stream %lld has no name",
                       cursor->partition, (long long)number);
    *name_out = cursor->names[number];
    return RF_OK;
}

static rf_status cursor_give(rf_events *events, events_cursor *cursor, rf_stored_event *out,
                             rf_err *err)
{
    const int64_t *columns[RF_ENVELOPE_COUNT] = {0};
    const uint32_t index = cursor->index;
    rf_stored_event event = {.position = cursor->position};
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < RF_ENVELOPE_COUNT && !status; i++)
        if (i != RF_ENVELOPE_FINGERPRINT)
            status = cursor_column(cursor, (rf_envelope)i, &columns[i], err);
    if (status)
        return status;
    int64_t type = columns[RF_ENVELOPE_TYPE][index];
    int64_t source = columns[RF_ENVELOPE_SOURCE][index];
    if (type < 0 || type >= cursor->segment.type_count || source < 0 ||
        source >= events->source_count)
        return rf_fail(err, RF_ERR_DAMAGED, "log: position %llu has an unknown type or source",
                       (unsigned long long)cursor->position);
    event.type = cursor->segment.types[type].name;
    event.source = rf_slice_of(events->sources[source].name);
    event.source_position = (uint64_t)columns[RF_ENVELOPE_SOURCE_POSITION][index];
    if (rf_event_is_id(event.source_position)) /* which it has in its metadata, too */
        event.source_position = 0;
    event.version = columns[RF_ENVELOPE_VERSION][index];
    event.schema = columns[RF_ENVELOPE_SCHEMA][index];
    event.time = columns[RF_ENVELOPE_TIME][index];
    status = cursor_name(events, cursor, columns[RF_ENVELOPE_STREAM][index], &event.stream, err);
    if (!status)
        status = rf_payload_read(cursor->reader, &cursor->segment, index, &event.data,
                                 &event.metadata, NULL, err);
    if (!status)
        *out = event;
    return status;
}

rf_status rf_events_next(rf_events *events, rf_stored_event *event_out, rf_err *err)
{
    /* The event that was given last is left now: until here it was valid. */
    if (events->given > 0 && events->heap_count > 0) {
        events_cursor *left = &events->cursors[events->heap[0]];
        left->index++;
        rf_status status = cursor_settle(events, left, err);
        if (status)
            return status;
        if (left->position == UINT64_MAX)
            events->heap[0] = events->heap[--events->heap_count];
        heap_sink(events, 0);
    }
    if (events->heap_count == 0 ||
        (events->query.limit > 0 && events->given >= events->query.limit))
        return rf_fail(err, RF_ERR_NO_ROW, "no more events");
    rf_status status = cursor_give(events, &events->cursors[events->heap[0]], event_out, err);
    if (!status)
        events->given++;
    return status;
}
