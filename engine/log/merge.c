/* See merge.h. */
#include "log/merge.h"

#include <stdlib.h>

enum {
    MERGE_ARENA_MAX = 64 << 20,
    MERGE_OUT_MAX = 512 << 20, /* a tail is at most 64 small segments and one commit's worth more */
};

typedef struct built {
    rf_segment_key key;
    size_t offset, size;
} built;

struct rf_merge {
    uint32_t partition;
    rf_segment_key *olds; /* keys of the tail's segments; owned */
    uint32_t old_count;
    built *news;
    uint32_t new_count;
    uint32_t new_room;
    rf_buf out; /* bytes of the new segments */
    /* while reading */
    rf_segment_builder *builder;
    uint32_t builder_count;
    rf_json_parser *parser;
    rf_arena arena;
    int64_t *columns[RF_ENVELOPE_COUNT];
};

void rf_merge_note_segment(rf_directory_record *record, uint64_t first_position, uint32_t events,
                           uint64_t raw_bytes)
{
    if (events >= RF_MERGE_EVENTS_SMALL || raw_bytes >= RF_MERGE_RAW_SMALL) {
        record->tail_count = 0;
        return;
    }
    if (record->tail_count == 0)
        record->tail_first = first_position;
    record->tail_count++;
}

void rf_merge_free(rf_merge *merge)
{
    if (!merge)
        return;
    rf_segment_builder_free(merge->builder);
    rf_json_parser_free(merge->parser);
    rf_arena_free(&merge->arena);
    for (size_t i = 0; i < RF_ENVELOPE_COUNT; i++)
        free(merge->columns[i]);
    rf_buf_free(&merge->out);
    free(merge->olds);
    free(merge->news);
    free(merge);
}

static rf_merge *merge_new(uint32_t partition, uint32_t tail_count)
{
    rf_merge *merge = calloc(1, sizeof *merge);

    if (!merge)
        return NULL;
    merge->partition = partition;
    rf_arena_init(&merge->arena, MERGE_ARENA_MAX);
    rf_buf_init(&merge->out, MERGE_OUT_MAX);
    merge->olds = malloc(tail_count * sizeof *merge->olds);
    merge->builder = rf_segment_builder_new(partition);
    merge->parser = rf_json_parser_new();
    bool is_whole = merge->olds && merge->builder && merge->parser;
    for (size_t i = 0; i < RF_ENVELOPE_COUNT; i++) {
        merge->columns[i] = malloc(RF_SEGMENT_EVENTS_MAX * sizeof(int64_t));
        is_whole = is_whole && merge->columns[i];
    }
    if (!is_whole) {
        rf_merge_free(merge);
        return NULL;
    }
    return merge;
}

static rf_status merge_finish_segment(rf_merge *merge, rf_err *err)
{
    if (merge->builder_count == 0)
        return RF_OK;
    if (merge->new_count == merge->new_room) {
        uint32_t room = merge->new_room ? 2 * merge->new_room : 4;
        built *grown = realloc(merge->news, room * sizeof *grown);
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory to merge segments");
        merge->news = grown;
        merge->new_room = room;
    }
    size_t offset = merge->out.size;
    rf_status status = rf_segment_builder_finish(merge->builder, &merge->out, err);
    if (status)
        return status;
    rf_segment_span span = rf_segment_builder_span(merge->builder);
    merge->news[merge->new_count++] =
        (built){rf_segment_key_of(&span), offset, merge->out.size - offset};
    merge->builder_count = 0;
    return RF_OK;
}

/* Parses the payload of one stored event and adds the event to the builder. */
static rf_status merge_event(rf_merge *merge, const rf_segment *segment, uint32_t index,
                             rf_payload_reader *reader, rf_err *err)
{
    int64_t *const *columns = merge->columns;
    rf_event event = {
        .version = columns[RF_ENVELOPE_VERSION][index],
        .schema = columns[RF_ENVELOPE_SCHEMA][index],
        .time = columns[RF_ENVELOPE_TIME][index],
        .source_position = (uint64_t)columns[RF_ENVELOPE_SOURCE_POSITION][index],
    };
    rf_placement placement = {
        .position = (uint64_t)columns[RF_ENVELOPE_POSITION][index],
        .stream_number = (uint32_t)columns[RF_ENVELOPE_STREAM][index],
        .source = (uint32_t)columns[RF_ENVELOPE_SOURCE][index],
        .version = event.version,
        .fingerprint = (uint32_t)columns[RF_ENVELOPE_FINGERPRINT][index],
    };
    int64_t type = columns[RF_ENVELOPE_TYPE][index];

    if (type < 0 || type >= (int64_t)segment->type_count)
        return rf_fail(err, RF_ERR_DAMAGED, "log: position %llu has no type",
                       (unsigned long long)placement.position);
    event.type = segment->types[type].name;
    rf_status status =
        rf_payload_read(reader, segment, index, &event.data, &event.metadata, NULL, err);
    if (status)
        return status;
    rf_json_parser_reset(merge->parser);
    status =
        rf_json_parse(merge->parser, event.data, &event.data_nodes, &event.data_node_count, err);
    if (!status && event.metadata.data)
        status = rf_json_parse(merge->parser, event.metadata, &event.metadata_nodes,
                               &event.metadata_node_count, err);
    if (status)
        return rf_err_context(err, "log: the payload at position %llu",
                              (unsigned long long)placement.position);
    if (merge->builder_count > 0 && !rf_segment_builder_fits(merge->builder, &event)) {
        status = merge_finish_segment(merge, err);
        if (status)
            return status;
    }
    status = rf_segment_builder_add(merge->builder, &event, &placement, err);
    if (!status)
        merge->builder_count++;
    return status;
}

static rf_status merge_segment(rf_merge *merge, const rf_segment_span *span, rf_slice bytes,
                               rf_err *err)
{
    rf_segment segment;

    rf_arena_reset(&merge->arena);
    rf_status status = rf_segment_open(bytes, &merge->arena, &segment, err);
    if (!status)
        status = rf_segment_span_check(span, &segment, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < RF_ENVELOPE_COUNT && !status; i++)
        status = rf_segment_envelope(&segment, (rf_envelope)i, merge->columns[i], NULL, err);
    if (status)
        return status;
    /* A reader for each: it keeps a chunk by its place, and the next segment may lie where this
     * did. */
    rf_payload_reader *reader = rf_payload_reader_new();
    if (!reader)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to merge segments");
    for (uint32_t i = 0; i < segment.count && !status; i++)
        status = merge_event(merge, &segment, i, reader, err);
    rf_payload_reader_free(reader);
    return status;
}

rf_status rf_merge_read(rf_kv_txn *txn, uint32_t partition, const rf_directory_record *record,
                        rf_merge **merge_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    rf_segment_key wanted = rf_segment_key_from(partition, record->tail_first);
    rf_kv_seek seek = RF_KV_AT_LEAST;

    RF_ASSERT(record->tail_count > 0);
    rf_merge *merge = merge_new(partition, record->tail_count);
    if (!merge)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to merge segments");
    rf_status status = rf_kv_cursor_open(txn, RF_LOG_SEGMENTS, &cursor, err);
    while (!status) {
        rf_slice key, value;
        rf_segment_span span;
        bool found;

        status = rf_kv_cursor_seek(cursor, seek, rf_segment_key_slice(&wanted), &key, &value,
                                   &found, err);
        seek = RF_KV_NEXT;
        if (!status && found)
            status = rf_segment_key_parse(key, &span, err);
        if (status || !found || span.partition != partition)
            break;
        if (merge->old_count == record->tail_count) {
            merge->old_count++; /* more than the record says */
            break;
        }
        merge->olds[merge->old_count++] = rf_segment_key_of(&span);
        status = merge_segment(merge, &span, value, err);
    }
    rf_kv_cursor_close(cursor);
    if (!status && merge->old_count != record->tail_count)
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "log, partition %u: its directory says that %u small segments follow "
                         "position %llu, which is not so",
                         partition, record->tail_count, (unsigned long long)record->tail_first);
    if (!status)
        status = merge_finish_segment(merge, err);
    if (!status)
        status = rf_buf_check(&merge->out, "merged segments", err);
    if (status) {
        rf_merge_free(merge);
        return status;
    }
    *merge_out = merge;
    return RF_OK;
}

rf_status rf_merge_apply(const rf_merge *merge, rf_kv_txn *txn, rf_directory_record *record,
                         rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < merge->old_count && !status; i++)
        status = rf_kv_delete(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&merge->olds[i]), err);
    for (uint32_t i = 0; i < merge->new_count && !status; i++) {
        const built *it = &merge->news[i];
        status = rf_kv_put(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&it->key),
                           (rf_slice){merge->out.data + it->offset, it->size}, err);
    }
    if (status)
        return status;
    record->counts.segments = record->counts.segments - merge->old_count + merge->new_count;
    record->tail_count = 0;
    return rf_directory_write(txn, merge->partition, record, err);
}
