/* Encoding the columns that have a value per event, and the sizes of what is in the chunks. See segment_build.h.
 */
#include "log/segment_build.h"

#include <stddef.h>
#include <stdlib.h>

/* Times where some events have none: a bitmap, then those that are there. */
static rf_status append_times(rf_segment_builder *builder, const int64_t *times, rf_err *err)
{
    uint8_t *bits = rf_arena_alloc(&builder->work->scratch, (builder->count + 7) / 8);
    int64_t *present = rf_arena_alloc(&builder->work->scratch, builder->count * sizeof *present);
    uint32_t count = 0;

    if (!bits || !present)
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    memset(bits, 0, (builder->count + 7) / 8);
    for (uint32_t i = 0; i < builder->count; i++) {
        if (times[i] == RF_TIME_NONE)
            continue;
        bits[i >> 3] = (uint8_t)(bits[i >> 3] | 1u << (i & 7));
        present[count++] = times[i];
    }
    rf_buf_append_byte(&builder->work->columns, count == builder->count ? RF_TIMES_ALL
                                                : count == 0            ? RF_TIMES_NONE
                                                                        : RF_TIMES_SOME);
    if (count > 0 && count < builder->count)
        rf_bitmap_encode(bits, builder->count, &builder->work->columns);
    rf_int_column_encode(present, count, &builder->work->scratch, &builder->work->columns);
    return RF_OK;
}

/* Positions of a source rise as the log's do: where that is shorter, they are stored as what they are
 * more than these. */
static void append_source_positions(rf_segment_builder *builder, int64_t *values)
{
    const rf_build_row *rows = builder->rows;
    int64_t min = INT64_MAX, max = INT64_MIN, less_min = INT64_MAX, less_max = INT64_MIN;

    for (uint32_t i = 0; i < builder->count; i++) {
        int64_t less = (int64_t)((uint64_t)values[i] - rows[i].position);
        min = values[i] < min ? values[i] : min;
        max = values[i] > max ? values[i] : max;
        less_min = less < less_min ? less : less_min;
        less_max = less > less_max ? less : less_max;
    }
    bool relative = (uint64_t)less_max - (uint64_t)less_min < (uint64_t)max - (uint64_t)min;
    for (uint32_t i = 0; i < builder->count && relative; i++)
        values[i] = (int64_t)((uint64_t)values[i] - rows[i].position);
    rf_buf_append_byte(&builder->work->columns, relative);
    rf_int_column_encode(values, builder->count, &builder->work->scratch, &builder->work->columns);
}

/* The values that one column has of the rows [begin, end). */
static void gather_column(const rf_build_row *rows, uint32_t begin, uint32_t end, unsigned column,
                          int64_t *values_out)
{
    static const struct {
        uint8_t offset;
        uint8_t size;
    } places[RF_SEGMENT_PER_EVENT] = {
        [RF_ENVELOPE_STREAM] = {offsetof(rf_build_row, stream), 4},
        [RF_ENVELOPE_VERSION] = {offsetof(rf_build_row, version), 8},
        [RF_ENVELOPE_POSITION] = {offsetof(rf_build_row, position), 8},
        [RF_ENVELOPE_SOURCE] = {offsetof(rf_build_row, source), 4},
        [RF_ENVELOPE_SOURCE_POSITION] = {offsetof(rf_build_row, source_position), 8},
        [RF_ENVELOPE_TIME] = {offsetof(rf_build_row, time), 8},
        [RF_ENVELOPE_TYPE] = {offsetof(rf_build_row, type), 2},
        [RF_ENVELOPE_SCHEMA] = {offsetof(rf_build_row, schema), 8},
        [RF_ENVELOPE_FINGERPRINT] = {offsetof(rf_build_row, fingerprint), 4},
        [RF_SEGMENT_SHAPE] = {offsetof(rf_build_row, shape), 2},
    };
    const char *at = (const char *)&rows[begin] + places[column].offset;

    if (places[column].size == 8) {
        for (uint32_t i = begin; i < end; i++, at += sizeof(rf_build_row))
            values_out[i] = (int64_t)rf_load_u64(at);
    } else if (places[column].size == 4) {
        for (uint32_t i = begin; i < end; i++, at += sizeof(rf_build_row))
            values_out[i] = rf_load_u32(at);
    } else {
        for (uint32_t i = begin; i < end; i++, at += sizeof(rf_build_row))
            values_out[i] = rf_load_u16(at);
    }
}

/* The values of all columns that have one per event, one column behind the other. Rows are more than a cache
 * has, so some at a time give all of theirs. */
static int64_t *gather(rf_segment_builder *builder)
{
    enum { ROWS = 256 }; /* 16 KiB */
    rf_segment_workspace *work = builder->work;
    uint32_t wanted = builder->count * RF_SEGMENT_PER_EVENT;

    if (wanted > work->gathered_capacity) {
        free(work->gathered);
        work->gathered_capacity = 0;
        work->gathered = malloc(wanted * sizeof *work->gathered);
        if (!work->gathered)
            return NULL;
        work->gathered_capacity = wanted;
    }
    for (uint32_t begin = 0; begin < builder->count; begin += ROWS) {
        uint32_t end = begin + ROWS < builder->count ? begin + ROWS : builder->count;
        for (unsigned column = 0; column < RF_SEGMENT_PER_EVENT; column++)
            gather_column(builder->rows, begin, end, column,
                          work->gathered + (size_t)column * builder->count);
    }
    return work->gathered;
}

static rf_status append_per_event(rf_segment_builder *builder, rf_err *err)
{
    int64_t *values = gather(builder);
    rf_status status = RF_OK;

    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    for (unsigned i = 0; i < RF_SEGMENT_PER_EVENT && status == RF_OK; i++, values += builder->count) {
        size_t begin = builder->work->columns.size;
        rf_arena_rewind(&builder->work->scratch);
        if (i == RF_ENVELOPE_TIME)
            status = append_times(builder, values, err);
        else if (i == RF_ENVELOPE_SOURCE_POSITION)
            append_source_positions(builder, values);
        else
            rf_int_column_encode(values, builder->count, &builder->work->scratch,
                                 &builder->work->columns);
        rf_build_describe_column(builder, begin, &builder->work->per_event);
    }
    return status;
}

/* The sizes of what stands in the chunks. */
static rf_status append_sizes(rf_segment_builder *builder, const uint32_t *sizes, uint32_t count,
                              rf_err *err)
{
    size_t begin = builder->work->columns.size;

    rf_arena_rewind(&builder->work->scratch);
    int64_t *values = rf_arena_alloc(&builder->work->scratch, count * sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    for (uint32_t i = 0; i < count; i++)
        values[i] = sizes[i];
    rf_int_column_encode(values, count, &builder->work->scratch, &builder->work->columns);
    rf_build_describe_column(builder, begin, &builder->work->per_event);
    return RF_OK;
}

rf_status rf_build_append_envelope(rf_segment_builder *builder, rf_err *err)
{
    rf_status status = append_per_event(builder, err);

    if (status == RF_OK)
        status = append_sizes(builder, builder->sizes, builder->size_count, err);
    if (status == RF_OK)
        status = append_sizes(builder, builder->metadata_sizes, builder->metadata_count, err);
    return status;
}
