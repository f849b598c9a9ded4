/* Decoding columns of an opened segment, one at a time; verifying all of it. See segment.h. */
#include "log/segment_format.h"

#include "base/checksum.h"
#include "base/wide.h"
#include "log/listing.h"

#include <stdlib.h>

static rf_status damaged(const rf_segment *segment, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   segment->partition, (unsigned long long)segment->first_position, what);
}

static rf_status no_memory(const rf_segment *segment, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY,
                   "segment of partition %u at position %llu: no memory for its columns",
                   segment->partition, (unsigned long long)segment->first_position);
}

static rf_status with_place(const rf_segment *segment, rf_status status, rf_err *err)
{
    return status == RF_OK
               ? RF_OK
               : rf_err_context(err, "segment of partition %u at position %llu", segment->partition,
                                (unsigned long long)segment->first_position);
}

/* Copied with the header, as far as that goes: NULL where it does not have all of the column. */
static const char *beside_header(const rf_segment *segment, rf_slice stored)
{
    const rf_buf *header = &segment->copies->header;
    size_t at = (size_t)(stored.data - segment->bytes.data);

    return at + stored.size <= header->size ? header->data + at : NULL;
}

/* The column as it is stored, until the next one is loaded; its checksum holds. */
static rf_status load(const rf_segment *segment, const rf_segment_column *column,
                      rf_slice *stored_out, uint64_t *bytes_decoded, rf_err *err)
{
    rf_slice stored = column->stored;

    const char *beside = segment->copies ? beside_header(segment, stored) : NULL;

    if (beside) {
        stored.data = beside;
    } else if (segment->copies) {
        rf_buf *copy = &segment->copies->column;
        rf_buf_clear(copy);
        char *room = rf_buf_reserve(copy, stored.size);
        if (!room)
            return no_memory(segment, err);
        rf_status status = rf_kv_copy(segment->copies->kv, stored, room, err);
        if (status != RF_OK)
            return status;
        stored.data = room;
    }
    if ((uint32_t)rf_checksum(stored) != column->checksum)
        return damaged(segment, "a column does not match its checksum", err);
    if (bytes_decoded)
        *bytes_decoded += stored.size;
    *stored_out = stored;
    return RF_OK;
}

static rf_status decode_times(const rf_segment *segment, rf_slice stored, int64_t *values_out,
                              rf_err *err)
{
    size_t bitmap_size = ((size_t)segment->count + 7) / 8;

    if (stored.size == 0)
        return damaged(segment, "its times are empty", err);
    uint8_t mode = (uint8_t)stored.data[0];
    rf_slice rest = {stored.data + 1, stored.size - 1};
    if (mode == RF_TIMES_ALL)
        return rf_int_column_decode(rest, segment->count, values_out, err);
    if (mode == RF_TIMES_NONE && rest.size == 0) {
        for (uint32_t i = 0; i < segment->count; i++)
            values_out[i] = RF_TIME_NONE;
        return RF_OK;
    }
    if (mode != RF_TIMES_SOME || rest.size < bitmap_size)
        return damaged(segment, "its times are not right", err);
    const uint8_t *bits = (const uint8_t *)rest.data;
    size_t present = 0;
    for (uint32_t i = 0; i < segment->count; i++)
        present += rf_bitmap_get(bits, i);
    if (!rf_bitmap_check((rf_slice){rest.data, bitmap_size}, segment->count, present))
        return damaged(segment, "its times are not right", err);
    /* Decoded to the end of the array, then moved to the front, each to its event. */
    int64_t *dense = values_out + (segment->count - present);
    rf_status status = rf_int_column_decode(
        (rf_slice){rest.data + bitmap_size, rest.size - bitmap_size}, present, dense, err);
    for (uint32_t i = 0; i < segment->count && status == RF_OK; i++)
        values_out[i] = rf_bitmap_get(bits, i) ? *dense++ : RF_TIME_NONE;
    return status;
}

/* Source positions: as they are, or less the log's positions. */
static rf_status decode_source_positions(const rf_segment *segment, rf_slice stored,
                                         int64_t *values_out, uint64_t *bytes_decoded, rf_err *err)
{
    if (stored.size == 0 || (uint8_t)stored.data[0] > 1)
        return damaged(segment, "its source positions are not right", err);
    rf_status status = rf_int_column_decode((rf_slice){stored.data + 1, stored.size - 1},
                                            segment->count, values_out, err);
    if (status != RF_OK || stored.data[0] == 0)
        return status;
    int64_t *positions = malloc(segment->count * sizeof *positions);
    if (!positions)
        return no_memory(segment, err);
    status =
        rf_segment_per_event(segment, RF_ENVELOPE_POSITION, positions, bytes_decoded, err);
    for (uint32_t i = 0; i < segment->count && status == RF_OK; i++)
        values_out[i] = (int64_t)((uint64_t)values_out[i] + (uint64_t)positions[i]);
    free(positions);
    return status;
}

RF_ALSO_AVX2 static void range_of(const int64_t *values, uint32_t count, int64_t *min_out,
                                  int64_t *max_out)
{
    int64_t min = values[0], max = values[0];

    for (uint32_t i = 1; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    *min_out = min;
    *max_out = max;
}

/* What others index arrays by, or search in, is checked beyond its checksum. */
static rf_status check_range(const rf_segment *segment, unsigned column, const int64_t *values,
                             rf_err *err)
{
    int64_t min, max;
    bool rises = true;
    uint32_t count = segment->count;

    range_of(values, count, &min, &max);
    switch (column) {
    case RF_ENVELOPE_STREAM:
        if (min != segment->stream_min || max != segment->stream_max)
            return damaged(segment, "its stream numbers are not in the range of its header", err);
        break;
    case RF_ENVELOPE_POSITION:
        for (uint32_t i = 1; i < count; i++)
            rises &= values[i] > values[i - 1];
        if (!rises || values[0] != (int64_t)segment->first_position ||
            values[count - 1] != (int64_t)segment->last_position)
            return damaged(segment, "its positions are not those of its header", err);
        break;
    case RF_ENVELOPE_SOURCE:
    case RF_ENVELOPE_FINGERPRINT:
    case RF_SEGMENT_SHAPE:
        if (min < 0 || max > UINT32_MAX)
            return damaged(segment, "a column of 32 bits has more", err);
        break;
    default:
        break;
    }
    return RF_OK;
}

static rf_status check_types(const rf_segment *segment, const int64_t *values, rf_err *err)
{
    uint32_t counts[RF_SEGMENT_EVENTS_MAX];
    bool right = true;

    memset(counts, 0, segment->type_count * sizeof *counts);
    for (uint32_t i = 0; i < segment->count; i++) {
        if ((uint64_t)values[i] >= segment->type_count)
            return damaged(segment, "an event has a type that its header lacks", err);
        counts[values[i]]++;
    }
    for (uint32_t i = 0; i < segment->type_count; i++)
        right &= counts[i] == segment->types[i].count;
    return right ? RF_OK : damaged(segment, "its types are not as many as its header says", err);
}

rf_status rf_segment_per_event(const rf_segment *segment, unsigned column, int64_t *values_out,
                               uint64_t *bytes_decoded, rf_err *err)
{
    const rf_segment_column *entry = &segment->columns[column];

    rf_slice stored;

    RF_ASSERT(column < RF_SEGMENT_PER_EVENT && segment->count > 0);
    rf_status status = load(segment, entry, &stored, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (column == RF_ENVELOPE_TIME)
        status = decode_times(segment, stored, values_out, err);
    else if (column == RF_ENVELOPE_SOURCE_POSITION)
        status = decode_source_positions(segment, stored, values_out, bytes_decoded, err);
    else
        status = rf_int_column_decode(stored, segment->count, values_out, err);
    if (status != RF_OK)
        return with_place(segment, status, err);
    if (column == RF_ENVELOPE_TYPE)
        return check_types(segment, values_out, err);
    return check_range(segment, column, values_out, err);
}

rf_status rf_segment_envelope(const rf_segment *segment, rf_envelope column, int64_t *values_out,
                              uint64_t *bytes_decoded, rf_err *err)
{
    RF_ASSERT(column < RF_ENVELOPE_COUNT);
    return rf_segment_per_event(segment, column, values_out, bytes_decoded, err);
}

rf_status rf_segment_sizes(const rf_segment *segment, unsigned column, uint32_t count,
                           int64_t *values_out, uint64_t *bytes_decoded, rf_err *err)
{
    const rf_segment_column *entry = &segment->columns[column];

    rf_slice stored;

    RF_ASSERT(column >= RF_SEGMENT_SIZES && column < RF_SEGMENT_FIXED_COLUMNS);
    rf_status status = load(segment, entry, &stored, bytes_decoded, err);
    if (status == RF_OK)
        status = with_place(segment, rf_int_column_decode(stored, count, values_out, err), err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < count; i++)
        if (values_out[i] < 0 || values_out[i] > RF_SEGMENT_CHUNK_RAW_MAX)
            return damaged(segment, "a size of its payloads is impossible", err);
    return RF_OK;
}

RF_ALSO_AVX2 static void range_of_u32(const uint32_t *values, uint32_t count, uint32_t *min_out,
                                      uint32_t *max_out)
{
    uint32_t min = values[0], max = values[0];

    for (uint32_t i = 1; i < count; i++) {
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
    }
    *min_out = min;
    *max_out = max;
}

static rf_status check_streams_u32(const rf_segment *segment, const uint32_t *values, rf_err *err)
{
    uint32_t min, max;

    range_of_u32(values, segment->count, &min, &max);
    return min == segment->stream_min && max == segment->stream_max
               ? RF_OK
               : damaged(segment, "its stream numbers are not in the range of its header", err);
}

RF_ALSO_AVX2 static uint32_t count_equal(const uint32_t *values, uint32_t count, uint32_t value)
{
    uint32_t equal = 0;

    for (uint32_t i = 0; i < count; i++)
        equal += values[i] == value;
    return equal;
}

/* As many of each type as the header says. Few types are counted one by one, eight values at a time;
 * of more, all at once, two counts a type in turns: one alone would wait for itself. */
static bool types_are_as_many(const rf_segment *segment, const uint32_t *values)
{
    enum { FEW_TYPES = 12 };
    uint32_t counts[2][RF_SEGMENT_EVENTS_MAX];
    bool right = true;

    if (segment->type_count <= FEW_TYPES) {
        for (uint32_t i = 0; i + 1 < segment->type_count; i++) /* the last has what is left */
            right &= count_equal(values, segment->count, i) == segment->types[i].count;
        return right;
    }
    memset(counts[0], 0, segment->type_count * sizeof counts[0][0]);
    memset(counts[1], 0, segment->type_count * sizeof counts[1][0]);
    for (uint32_t i = 0; i + 1 < segment->count; i += 2) {
        counts[0][values[i]]++;
        counts[1][values[i + 1]]++;
    }
    if (segment->count % 2)
        counts[0][values[segment->count - 1]]++;
    for (uint32_t i = 0; i < segment->type_count; i++)
        right &= counts[0][i] + counts[1][i] == segment->types[i].count;
    return right;
}

static rf_status check_types_u32(const rf_segment *segment, const uint32_t *values, rf_err *err)
{
    uint32_t min, max;

    range_of_u32(values, segment->count, &min, &max);
    if (max >= segment->type_count)
        return damaged(segment, "an event has a type that its header lacks", err);
    return types_are_as_many(segment, values)
               ? RF_OK
               : damaged(segment, "its types are not as many as its header says", err);
}

rf_status rf_segment_envelope_u32(const rf_segment *segment, rf_envelope column,
                                  uint32_t *values_out, int64_t *scratch, uint64_t *bytes_decoded,
                                  rf_err *err)
{
    const rf_segment_column *entry = &segment->columns[column];

    RF_ASSERT(column == RF_ENVELOPE_STREAM || column == RF_ENVELOPE_TYPE);
    RF_ASSERT(segment->count > 0);
    rf_slice stored;
    rf_status status = load(segment, entry, &stored, bytes_decoded, err);
    if (status == RF_OK)
        status = with_place(
            segment,
            rf_int_column_decode_u32(stored, segment->count, values_out, scratch, err), err);
    if (status != RF_OK)
        return status;
    return column == RF_ENVELOPE_TYPE ? check_types_u32(segment, values_out, err)
                                      : check_streams_u32(segment, values_out, err);
}

/* What was listed is as many of each type as the header says, and of streams in its range. */
static bool listed_are_right(const rf_segment *segment, const uint8_t *wanted,
                             const rf_segment_listed *listed, uint32_t *counts)
{
    bool right = true;

    memset(counts, 0, segment->type_count * sizeof *counts);
    for (uint32_t i = 0; i < listed->event_count; i++) {
        uint32_t event = listed->events[i];
        counts[listed->types[event]]++;
        right &= listed->streams[event] >= segment->stream_min &&
                 listed->streams[event] <= segment->stream_max;
    }
    for (uint32_t i = 0; i < segment->type_count; i++) {
        right &= counts[i] == (wanted[i] ? segment->types[i].count : 0);
    }
    return right;
}

rf_status rf_segment_list_events(const rf_segment *segment, const uint8_t *wanted,
                                 rf_segment_listed *listed, int64_t *scratch,
                                 uint64_t *bytes_decoded, rf_err *err)
{
    uint32_t counts[RF_SEGMENT_EVENTS_MAX];
    uint32_t count = segment->count;
    rf_slice stored;

    rf_status status =
        load(segment, &segment->columns[RF_ENVELOPE_TYPE], &stored, bytes_decoded, err);
    if (status == RF_OK)
        status = with_place(
            segment, rf_int_column_decode_u32(stored, count, listed->types, scratch, err), err);
    if (status != RF_OK)
        return status;
    listed->event_count = (uint32_t)rf_list_wanted(listed->types, count, wanted,
                                                   segment->type_count, listed->events);
    status = load(segment, &segment->columns[RF_ENVELOPE_STREAM], &stored, bytes_decoded, err);
    if (status == RF_OK)
        status = with_place(segment,
                            rf_int_column_decode_u32_at(stored, count, listed->events,
                                                        listed->event_count, listed->streams,
                                                        scratch, err),
                            err);
    if (status != RF_OK)
        return status;
    return listed_are_right(segment, wanted, listed, counts)
               ? RF_OK
               : damaged(segment, "its types or streams are not those of its header", err);
}

static rf_status decode_bools(const rf_segment *segment, rf_slice stored, uint32_t count,
                              int64_t *values_out, rf_err *err)
{
    const uint8_t *bits = (const uint8_t *)stored.data;
    size_t ones = 0;

    if (stored.size != ((size_t)count + 7) / 8)
        return damaged(segment, "a column of booleans is not as long as its values", err);
    for (uint32_t i = 0; i < count; i++) {
        values_out[i] = rf_bitmap_get(bits, i);
        ones += (size_t)values_out[i];
    }
    return rf_bitmap_check(stored, count, ones)
               ? RF_OK
               : damaged(segment, "a column of booleans is not right", err);
}

rf_status rf_segment_decode_field(const rf_segment *segment, uint32_t type_count,
                                  const rf_segment_column *column, rf_codec *codec, rf_arena *arena,
                                  rf_arena *text, rf_field_column *out, uint64_t *bytes_decoded,
                                  rf_err *err)
{
    rf_slice rest;
    uint32_t count = column->present_count;
    rf_field_column field = {
        .kind = (rf_field_kind)column->kind, .scale = column->scale, .present_count = count};

    rf_status status = load(segment, column, &rest, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (count < type_count) {
        size_t size = ((size_t)type_count + 7) / 8;
        if (rest.size < size || !rf_bitmap_check((rf_slice){rest.data, size}, type_count, count))
            return damaged(segment, "a column's bitmap does not have as many values as it says",
                           err);
        uint8_t *present = rf_arena_alloc(arena, size);
        if (!present)
            return no_memory(segment, err);
        memcpy(present, rest.data, size);
        field.present = present;
        rest = (rf_slice){rest.data + size, rest.size - size};
    }
    if (field.kind == RF_FIELD_TEXT || field.kind == RF_FIELD_NUMBER) {
        status = rf_text_column_decode(rest, count, codec, arena, text, &field.text, err);
    } else {
        int64_t *ints = rf_arena_alloc(arena, count * sizeof *ints);
        if (!ints)
            return no_memory(segment, err);
        status = field.kind == RF_FIELD_BOOL ? decode_bools(segment, rest, count, ints, err)
                                             : rf_int_column_decode(rest, count, ints, err);
        field.ints = ints;
    }
    if (status != RF_OK)
        return with_place(segment, status, err);
    *out = field;
    return RF_OK;
}

/* Whether `path` is the column's; for a capped one, whether it lies below. */
static bool path_matches(const rf_segment_column *column, const rf_path *path)
{
    bool below = column->kind == RF_FIELD_CAPPED;

    if (column->hidden || column->metadata != path->metadata ||
        (below ? column->part_count >= path->part_count : column->part_count != path->part_count))
        return false;
    /* From the last part on: paths share their first ones. */
    for (unsigned i = column->part_count; i-- > 0;) {
        if (!rf_slice_equal(column->parts[i], path->parts[i]))
            return false;
    }
    return true;
}

rf_status rf_segment_field(const rf_segment *segment, uint32_t type, const rf_path *path,
                           rf_codec *codec, rf_arena *arena, rf_arena *text,
                           rf_field_column columns_out[5], uint32_t *column_count_out,
                           bool *capped_out, uint64_t *bytes_decoded, rf_err *err)
{
    const rf_segment_type *of = &segment->types[type];
    rf_field_column columns[5];
    uint32_t count = 0;
    bool capped = false;

    RF_ASSERT(type < segment->type_count && path->part_count >= 1);
    for (uint32_t i = of->column_begin; i < of->column_end; i++) {
        const rf_segment_column *column = &segment->columns[i];
        if (!path_matches(column, path))
            continue;
        if (column->kind == RF_FIELD_CAPPED) {
            capped = true;
            continue;
        }
        if (count == 5)
            return damaged(segment, "a path stands in its directory twice", err);
        rf_status status = rf_segment_decode_field(segment, of->count, column, codec, arena, text,
                                        &columns[count], bytes_decoded, err);
        if (status != RF_OK)
            return status;
        count++;
    }
    if (count > 0)
        memcpy(columns_out, columns, count * sizeof *columns);
    *column_count_out = count;
    *capped_out = capped || (count == 0 && of->overflow);
    return RF_OK;
}

rf_status rf_segment_fields(const rf_segment *segment, rf_arena *arena, rf_field_info **infos_out,
                            uint32_t *count_out, rf_err *err)
{
    rf_field_info *infos = rf_arena_alloc(arena, segment->column_count * sizeof *infos);
    uint32_t count = 0;

    if (!infos)
        return no_memory(segment, err);
    for (uint32_t type = 0; type < segment->type_count; type++) {
        for (uint32_t i = segment->types[type].column_begin; i < segment->types[type].column_end;
             i++) {
            const rf_segment_column *column = &segment->columns[i];
            if (column->kind == RF_FIELD_CAPPED || column->hidden)
                continue;
            infos[count++] =
                (rf_field_info){.type = type,
                                .kind = (rf_field_kind)column->kind,
                                .path = {column->metadata, column->part_count, column->parts},
                                .count = column->present_count};
        }
    }
    *infos_out = infos;
    *count_out = count;
    return RF_OK;
}

static rf_status verify_per_event(const rf_segment *segment, rf_err *err)
{
    int64_t *values = malloc(segment->count * sizeof *values);
    rf_status status = values ? RF_OK : no_memory(segment, err);

    for (unsigned i = 0; i < RF_SEGMENT_PER_EVENT && status == RF_OK; i++) {
        status = rf_segment_per_event(segment, i, values, NULL, err);
        if (status != RF_OK || i != RF_ENVELOPE_TIME)
            continue;
        int64_t min = INT64_MAX, max = RF_TIME_NONE;
        for (uint32_t at = 0; at < segment->count; at++) {
            min = values[at] != RF_TIME_NONE && values[at] < min ? values[at] : min;
            max = values[at] > max ? values[at] : max;
        }
        if (max != segment->time_max || (max != RF_TIME_NONE && min != segment->time_min))
            status = damaged(segment, "its times are not in the range of its header", err);
    }
    free(values);
    return status;
}

static rf_status verify_fields(const rf_segment *segment, rf_err *err)
{
    rf_status status = RF_OK;
    rf_arena arena;
    rf_codec *codec = rf_codec_new();

    rf_arena_init(&arena, 64 << 20);
    if (!codec)
        status = no_memory(segment, err);
    for (uint32_t type = 0; type < segment->type_count && status == RF_OK; type++) {
        const rf_segment_type *of = &segment->types[type];
        for (uint32_t i = of->column_begin; i < of->column_end && status == RF_OK; i++) {
            rf_field_column field;
            rf_arena_reset(&arena);
            if (segment->columns[i].kind != RF_FIELD_CAPPED)
                status = rf_segment_decode_field(segment, of->count, &segment->columns[i], codec, &arena,
                                      &arena, &field, NULL, err);
        }
    }
    rf_codec_free(codec);
    rf_arena_free(&arena);
    return status;
}

/* Every payload, and that it is what the event came with: fingerprints are over all of it. */
static rf_status verify_payloads(const rf_segment *segment, rf_payload_reader *reader,
                                 int64_t *const columns[RF_ENVELOPE_COUNT], rf_err *err)
{
    static const rf_envelope wanted[] = {RF_ENVELOPE_TYPE, RF_ENVELOPE_SCHEMA, RF_ENVELOPE_TIME,
                                         RF_ENVELOPE_FINGERPRINT};
    rf_status status = RF_OK;

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && status == RF_OK; i++)
        status = rf_segment_envelope(segment, wanted[i], columns[wanted[i]], NULL, err);
    for (uint32_t i = 0; i < segment->count && status == RF_OK; i++) {
        rf_event event = {.type = segment->types[columns[RF_ENVELOPE_TYPE][i]].name,
                          .schema = columns[RF_ENVELOPE_SCHEMA][i],
                          .time = columns[RF_ENVELOPE_TIME][i]};
        status = rf_payload_read(reader, segment, i, &event.data, &event.metadata, NULL, err);
        if (status == RF_OK &&
            rf_event_fingerprint(&event) != (uint32_t)columns[RF_ENVELOPE_FINGERPRINT][i])
            status = damaged(segment, "an event does not have its fingerprint", err);
    }
    return status;
}

rf_status rf_segment_verify(const rf_segment *segment, rf_err *err)
{
    int64_t *columns[RF_ENVELOPE_COUNT];
    rf_status status = verify_per_event(segment, err);

    if (status == RF_OK)
        status = verify_fields(segment, err);
    if (status != RF_OK)
        return status;
    rf_payload_reader *reader = rf_payload_reader_new();
    int64_t *values = malloc(RF_ENVELOPE_COUNT * sizeof *values * segment->count);
    for (size_t i = 0; i < RF_ENVELOPE_COUNT && values; i++)
        columns[i] = values + i * segment->count;
    status = reader && values ? verify_payloads(segment, reader, columns, err)
                              : no_memory(segment, err);
    free(values);
    rf_payload_reader_free(reader);
    return status;
}
