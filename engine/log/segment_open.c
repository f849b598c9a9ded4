/* Opening a segment: the header becomes a directory in the caller's arena.
 *
 * The checksum says that the header is what was written; every bound is checked nevertheless, so
 * that bytes that someone made up, with a checksum that fits, give an error too. Every entry takes
 * a byte at least, so no count can ask for much more memory than the header has bytes. */
#include "log/segment_format.h"

#include "base/checksum.h"

enum { HEADER_USUAL = 4096, COPY_BYTES_MAX = 1 << 30 };

typedef struct opening {
    rf_segment segment;
    rf_bytes_reader header;
    rf_bytes_reader body; /* columns, then chunks, given out in order */
    rf_arena *arena;
    rf_segment_type *types;
    rf_segment_column *columns;
    uint32_t column_at;
    rf_segment_chunk *chunks;
} opening;

static rf_status damaged(const opening *o, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   o->segment.partition, (unsigned long long)o->segment.first_position, what);
}

static rf_status no_memory(const opening *o, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY,
                   "segment of partition %u at position %llu: no memory for its directory",
                   o->segment.partition, (unsigned long long)o->segment.first_position);
}

/* `head` has the header, or all bytes where it is none. */
static rf_status open_head(opening *o, rf_slice head, rf_err *err)
{
    rf_slice bytes = o->segment.bytes;

    if (bytes.size < RF_SEGMENT_HEAD_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "a segment of %zu bytes has no header", bytes.size);
    uint64_t checksum = rf_load_u64(head.data);
    uint32_t magic = rf_load_u32(head.data + 8);
    uint32_t header_size = rf_load_u32(head.data + 12);
    uint32_t size = rf_load_u32(head.data + 16);
    if (magic != RF_SEGMENT_MAGIC)
        return rf_fail(err, RF_ERR_DAMAGED, "a segment does not begin as one");
    if (size != bytes.size || header_size > size || header_size < RF_SEGMENT_HEAD_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "a segment of %zu bytes says that it has %u, %u of them header", bytes.size,
                       size, header_size);
    if (rf_checksum((rf_slice){head.data + 8, header_size - 8}) != checksum)
        return rf_fail(err, RF_ERR_DAMAGED, "a segment's header does not match its checksum");
    o->header = rf_bytes_reader_of(
        (rf_slice){head.data + RF_SEGMENT_HEAD_SIZE, header_size - RF_SEGMENT_HEAD_SIZE});
    o->body = rf_bytes_reader_of((rf_slice){bytes.data + header_size, size - header_size});
    return RF_OK;
}

static rf_status open_summary(opening *o, rf_err *err)
{
    rf_segment *s = &o->segment;
    uint64_t partition = rf_read_varint(&o->header);
    uint64_t count = rf_read_varint(&o->header);
    uint64_t first = rf_read_varint(&o->header);
    uint64_t span = rf_read_varint(&o->header);
    uint8_t has_time = rf_read_byte(&o->header);

    s->time_min = s->time_max = RF_TIME_NONE;
    if (has_time == 1) {
        s->time_min = rf_unzigzag(rf_read_varint(&o->header));
        s->time_max = (int64_t)((uint64_t)s->time_min + rf_read_varint(&o->header));
    }
    uint64_t stream_min = rf_read_varint(&o->header);
    uint64_t stream_span = rf_read_varint(&o->header);
    s->raw_bytes = rf_read_varint(&o->header);
    if (o->header.failed || partition > UINT32_MAX || count == 0 || count > RF_SEGMENT_EVENTS_MAX ||
        first > INT64_MAX || span > INT64_MAX - first || has_time > 1 ||
        (has_time && (s->time_min == RF_TIME_NONE || s->time_max < s->time_min)) ||
        stream_min > UINT32_MAX || stream_span > UINT32_MAX - stream_min ||
        s->raw_bytes > RF_SEGMENT_CHUNK_RAW_MAX)
        return damaged(o, "its counts and ranges are impossible", err);
    s->partition = (uint32_t)partition;
    s->count = (uint32_t)count;
    s->first_position = first;
    s->last_position = first + span;
    s->stream_min = (uint32_t)stream_min;
    s->stream_max = (uint32_t)(stream_min + stream_span);
    return RF_OK;
}

static rf_status open_types(opening *o, rf_err *err)
{
    uint64_t type_count = rf_read_varint(&o->header);
    uint64_t sum = 0;

    if (o->header.failed || type_count == 0 || type_count > o->segment.count)
        return damaged(o, "its types are not right", err);
    o->types = rf_arena_alloc(o->arena, type_count * sizeof *o->types);
    if (!o->types)
        return no_memory(o, err);
    for (uint64_t i = 0; i < type_count; i++) {
        rf_slice name = rf_read_slice(&o->header, rf_read_byte(&o->header));
        uint64_t count = rf_read_varint(&o->header);
        bool overflow = count & 1;
        count >>= 1;
        if (o->header.failed || name.size == 0 || count == 0 || count > o->segment.count)
            return damaged(o, "its types are not right", err);
        o->types[i] = (rf_segment_type){
            .name = name, .count = (uint32_t)count, .capped = overflow, .overflow = overflow};
        sum += count;
    }
    if (sum != o->segment.count)
        return damaged(o, "its types do not add up to its events", err);
    o->segment.types = o->types;
    o->segment.type_count = (uint32_t)type_count;
    return RF_OK;
}

/* Stored size and checksum; the bytes are the next of the body. */
static void open_column(opening *o, rf_segment_column *column)
{
    uint64_t size = rf_read_varint(&o->header);
    column->checksum = rf_read_u32(&o->header);
    column->stored = rf_read_slice(&o->body, size);
}

/* The parts of a path: as many shared with the one before as it says, then new ones. */
static bool open_parts(opening *o, const rf_segment_column *before, rf_segment_column *path)
{
    uint8_t counts = rf_read_byte(&o->header);
    unsigned shared = counts >> 4;
    unsigned fresh = counts & 15;

    if (o->header.failed || shared + fresh > RF_SEGMENT_DEPTH_MAX || shared > before->part_count)
        return false;
    rf_slice *parts = rf_arena_alloc(o->arena, (shared + fresh) * sizeof *parts);
    if (!parts)
        return false;
    for (unsigned i = 0; i < shared; i++)
        parts[i] = before->parts[i];
    for (unsigned i = 0; i < fresh; i++)
        parts[shared + i] = rf_read_slice(&o->header, rf_read_byte(&o->header));
    path->parts = parts;
    path->part_count = (uint8_t)(shared + fresh);
    return !o->header.failed;
}

/* The columns of a path. */
static bool open_kinds(opening *o, const rf_segment_type *type, const rf_segment_column *path,
                       uint8_t flags)
{
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT; kind++) {
        if (!(flags & 1u << (kind - 1)))
            continue;
        if (o->column_at == o->segment.column_count)
            return false;
        rf_segment_column *column = &o->columns[o->column_at++];
        *column = *path;
        column->kind = (uint8_t)kind;
        column->hidden = flags & RF_PATH_HIDDEN;
        column->scale = kind == RF_FIELD_EXACT ? rf_read_byte(&o->header) : 0;
        uint64_t missing = rf_read_varint(&o->header);
        if (column->scale > 18 || missing >= type->count)
            return false;
        column->present_count = type->count - (uint32_t)missing;
        open_column(o, column);
    }
    return true;
}

static rf_status open_fields(opening *o, rf_segment_type *type, rf_err *err)
{
    rf_segment_column before = {0};

    type->column_begin = o->column_at;
    for (;;) {
        rf_segment_column path = {0};
        uint8_t flags = rf_read_byte(&o->header);
        if (o->header.failed)
            return damaged(o, "its directory of fields ends early", err);
        if (flags == 0)
            break;
        path.metadata = flags & RF_PATH_METADATA;
        if (path.metadata != before.metadata)
            before = (rf_segment_column){.metadata = path.metadata};
        if (!(flags & (RF_PATH_KINDS | RF_PATH_CAPPED)) ||
            ((flags & RF_PATH_HIDDEN) && !(flags & RF_PATH_KINDS)) || !open_parts(o, &before, &path) ||
            (path.part_count == 0 && flags & RF_PATH_KINDS))
            return damaged(o, "a path of its directory is not right", err);
        if (flags & RF_PATH_CAPPED) {
            if (o->column_at == o->segment.column_count)
                return damaged(o, "it has more columns than it says", err);
            o->columns[o->column_at] = path;
            o->columns[o->column_at++].kind = RF_FIELD_CAPPED;
            type->capped = true;
        }
        if (!open_kinds(o, type, &path, flags))
            return damaged(o, "a column of its directory is not right", err);
        before = path;
    }
    type->column_end = o->column_at;
    return RF_OK;
}

static rf_status open_columns(opening *o, rf_err *err)
{
    uint64_t column_count = rf_read_varint(&o->header);
    uint64_t chunk_count = rf_read_varint(&o->header);

    /* Each has an entry of two bytes at least. */
    if (o->header.failed || column_count > rf_bytes_left(&o->header) / 2 ||
        column_count < RF_SEGMENT_FIXED_COLUMNS || chunk_count > o->segment.count)
        return damaged(o, "its count of columns is not right", err);
    o->columns = rf_arena_alloc(o->arena, column_count * sizeof *o->columns);
    o->chunks = rf_arena_alloc(o->arena, chunk_count * sizeof *o->chunks);
    if (!o->columns || !o->chunks)
        return no_memory(o, err);
    o->segment.columns = o->columns;
    o->segment.column_count = (uint32_t)column_count;
    o->segment.chunks = o->chunks;
    o->segment.chunk_count = (uint32_t)chunk_count;
    for (; o->column_at < RF_SEGMENT_FIXED_COLUMNS; o->column_at++) {
        o->columns[o->column_at] =
            (rf_segment_column){.kind = RF_FIELD_PER_EVENT, .present_count = o->segment.count};
        open_column(o, &o->columns[o->column_at]);
    }
    for (uint32_t i = 0; i < o->segment.type_count; i++) {
        rf_status status = open_fields(o, &o->types[i], err);
        if (status != RF_OK)
            return status;
    }
    if (o->column_at != o->segment.column_count)
        return damaged(o, "it has fewer columns than it says", err);
    uint64_t shapes_size = rf_read_varint(&o->header);
    o->segment.shapes_checksum = shapes_size > 0 ? rf_read_u32(&o->header) : 0;
    o->segment.shapes = rf_read_slice(&o->body, shapes_size);
    return RF_OK;
}

static rf_status open_chunks(opening *o, rf_err *err)
{
    uint64_t raw_sum = 0;
    uint64_t events = 0;

    for (uint32_t i = 0; i < o->segment.chunk_count; i++) {
        rf_segment_chunk *chunk = &o->chunks[i];
        uint64_t chunk_events = rf_read_varint(&o->header);
        uint64_t raw_size = rf_read_varint(&o->header);
        uint64_t size = rf_read_varint(&o->header);
        chunk->checksum = rf_read_u32(&o->header);
        chunk->raw_checksum = chunk->checksum;
        if (size < raw_size)
            chunk->raw_checksum = rf_read_u32(&o->header);
        if (o->header.failed || raw_size > RF_SEGMENT_CHUNK_RAW_MAX || size > raw_size ||
            chunk_events == 0 || chunk_events > o->segment.count - events)
            return damaged(o, "a chunk of its directory is not right", err);
        chunk->stored = rf_read_slice(&o->body, size);
        chunk->raw_size = (uint32_t)raw_size;
        chunk->begin = (uint32_t)events;
        events += chunk_events;
        chunk->end = (uint32_t)events;
        raw_sum += raw_size;
    }
    if (o->header.failed || rf_bytes_left(&o->header) != 0)
        return damaged(o, "its directory is not as long as it says", err);
    if (o->body.failed || rf_bytes_left(&o->body) != 0)
        return damaged(o, "its columns and chunks are not as long as it says", err);
    if (events != o->segment.count || raw_sum > o->segment.raw_bytes)
        return damaged(o, "its chunks do not add up to its events", err);
    return RF_OK;
}

static rf_status open_all(opening *o, rf_slice head, rf_segment *segment_out, rf_err *err)
{
    rf_status status = open_head(o, head, err);

    if (status == RF_OK)
        status = open_summary(o, err);
    if (status == RF_OK)
        status = open_types(o, err);
    if (status == RF_OK)
        status = open_columns(o, err);
    if (status == RF_OK)
        status = open_chunks(o, err);
    if (status == RF_OK)
        *segment_out = o->segment;
    return status;
}

rf_status rf_segment_open(rf_slice bytes, rf_arena *arena, rf_segment *segment_out, rf_err *err)
{
    opening o = {.segment = {.bytes = bytes}, .arena = arena};

    return open_all(&o, bytes, segment_out, err);
}

void rf_segment_copies_begin(rf_segment_copies *copies, rf_kv *kv)
{
    *copies = (rf_segment_copies){.kv = kv};
    rf_buf_init(&copies->header, COPY_BYTES_MAX);
    rf_buf_init(&copies->column, COPY_BYTES_MAX);
}

void rf_segment_copies_end(rf_segment_copies *copies)
{
    rf_buf_free(&copies->header);
    rf_buf_free(&copies->column);
}

/* The first bytes, and more where the header says so. */
static rf_status copy_header(rf_segment_copies *copies, rf_slice bytes, rf_err *err)
{
    rf_buf *header = &copies->header;
    size_t wanted = bytes.size < HEADER_USUAL ? bytes.size : HEADER_USUAL;
    rf_status status = RF_OK;

    rf_buf_clear(header);
    while (status == RF_OK && header->size < wanted) {
        char *room = rf_buf_reserve(header, wanted - header->size);
        if (!room)
            return rf_buf_check(header, "the header of a segment", err);
        status = rf_kv_copy(copies->kv,
                            (rf_slice){bytes.data + header->size, wanted - header->size}, room, err);
        header->size = wanted;
        if (status == RF_OK && header->size >= RF_SEGMENT_HEAD_SIZE)
            wanted = rf_load_u32(header->data + 12);
        wanted = wanted < bytes.size ? wanted : bytes.size;
    }
    return status;
}

rf_status rf_segment_open_copied(rf_slice bytes, rf_segment_copies *copies, rf_arena *arena,
                                 rf_segment *segment_out, rf_err *err)
{
    opening o = {.segment = {.bytes = bytes, .copies = copies}, .arena = arena};
    rf_status status = copy_header(copies, bytes, err);

    return status == RF_OK ? open_all(&o, rf_buf_slice(&copies->header), segment_out, err) : status;
}
