/* Encoding what a builder gathered: columns, directory, header. See segment_build.h and
 * docs/FORMAT.md. */
#include "log/segment_build.h"

#include "base/checksum.h"
#include "event/value.h"

rf_status rf_build_flush_chunk(rf_segment_builder *builder, bool compress, rf_err *err)
{
    rf_slice raw = rf_buf_slice(&builder->chunk);
    rf_slice stored = raw;
    rf_buf *directory = &builder->chunk_directory;
    bool compressed = false;

    RF_ASSERT(builder->chunk_events > 0);
    if (compress && raw.size > 0) {
        rf_status status = rf_build_work(builder, err);
        if (status != RF_OK)
            return status;
        rf_buf_clear(&builder->work->compressed);
        status = rf_codec_compress(builder->work->codec, raw, RF_SEGMENT_LEVEL,
                                   &builder->work->compressed, &compressed, err);
        if (status != RF_OK)
            return status;
        stored = rf_buf_slice(&builder->work->compressed);
    }
    rf_buf_append_slice(&builder->chunks, stored);
    rf_status status = rf_buf_check(&builder->chunks, "building a segment", err);
    if (status != RF_OK)
        return status;
    RF_ASSERT(compressed == (stored.size < raw.size));
    rf_buf_append_varint(directory, builder->chunk_events);
    rf_buf_append_varint(directory, raw.size);
    rf_buf_append_varint(directory, stored.size);
    rf_buf_append_u32(directory, (uint32_t)rf_checksum(stored));
    if (compressed)
        rf_buf_append_u32(directory, (uint32_t)rf_checksum(raw));
    rf_buf_clear(&builder->chunk);
    builder->chunk_events = 0;
    builder->chunk_count++;
    return rf_buf_check(directory, "building a segment", err);
}

void rf_build_describe_column(rf_segment_builder *builder, size_t begin, rf_buf *directory)
{
    if (builder->work->columns.failed)
        return; /* asked at the end */
    rf_slice stored = {builder->work->columns.data + begin, builder->work->columns.size - begin};
    rf_buf_append_varint(directory, stored.size);
    rf_buf_append_u32(directory, (uint32_t)rf_checksum(stored));
    builder->column_count++;
}

/* The values of one kind of one node on their way into a column. */
typedef struct column_values {
    uint32_t count;
    const uint16_t *ordinals; /* NULL: of the first ones */
    const int64_t *ints;
    const rf_slice *texts;
    uint8_t scale;
} column_values;

/* Brings exact numbers to the largest scale. Those that do not fit are appended to the numbers as
 * text. */
static bool scale_exact(rf_segment_builder *builder, const rf_build_list *list,
                        column_values *values_out, column_values *spilled_out)
{
    rf_arena *scratch = &builder->work->scratch;
    int64_t *ints = rf_arena_alloc(scratch, list->count * sizeof *ints);
    uint16_t *ordinals = rf_arena_alloc(scratch, list->count * sizeof *ordinals);
    uint16_t *spilled = rf_arena_alloc(scratch, list->count * sizeof *spilled);
    rf_slice *texts = rf_arena_alloc(scratch, list->count * sizeof *texts);
    uint8_t scale = 0;

    if (!ints || !ordinals || !spilled || !texts)
        return false;
    *values_out = (column_values){.ordinals = ordinals, .ints = ints};
    *spilled_out = (column_values){.ordinals = spilled, .texts = texts};
    for (uint32_t i = 0; i < list->count; i++)
        scale = list->scales[i] > scale ? list->scales[i] : scale;
    for (uint32_t i = 0; i < list->count; i++) {
        int64_t *to = &ints[values_out->count];
        if (rf_rescale(list->values[i], list->scales[i], scale, RF_ROUND_NONE, to) == RF_VALUE_OK) {
            ordinals[values_out->count++] = (uint16_t)rf_build_ordinal(list, i);
            continue;
        }
        char text[RF_VALUE_TEXT_SIZE];
        size_t size = rf_format_decimal(list->values[i], list->scales[i], text);
        texts[spilled_out->count] = rf_arena_copy(scratch, (rf_slice){text, size});
        if (!texts[spilled_out->count].data)
            return false;
        spilled[spilled_out->count++] = (uint16_t)rf_build_ordinal(list, i);
    }
    values_out->scale = scale;
    return true;
}

/* Texts of a list and, for numbers, the spilled ones between them in the order of events. */
static bool merge_texts(rf_segment_builder *builder, const rf_build_list *list,
                        const column_values *spilled, column_values *values_out)
{
    uint32_t list_count = list ? list->count : 0;
    uint32_t count = list_count + spilled->count;
    rf_slice *texts = rf_arena_alloc(&builder->work->scratch, count * sizeof *texts);
    uint16_t *ordinals = rf_arena_alloc(&builder->work->scratch, count * sizeof *ordinals);
    uint32_t at = 0, other = 0;
    int64_t begin = 0;

    if (!texts || !ordinals)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (other < spilled->count &&
            (at == list_count || spilled->ordinals[other] < rf_build_ordinal(list, at))) {
            texts[i] = spilled->texts[other];
            ordinals[i] = spilled->ordinals[other++];
            continue;
        }
        texts[i] = (rf_slice){list->bytes.data ? list->bytes.data + begin : "",
                              (size_t)(list->values[at] - begin)};
        begin = list->values[at];
        ordinals[i] = (uint16_t)rf_build_ordinal(list, at++);
    }
    *values_out = (column_values){.count = count, .ordinals = ordinals, .texts = texts};
    return true;
}

/* A bitmap of `bit_count` with the given bits set, appended. */
static bool append_bits(rf_segment_builder *builder, uint32_t bit_count, const uint16_t *ordinals,
                        const int64_t *values, uint32_t count)
{
    uint8_t *bits = rf_arena_alloc(&builder->work->scratch, (bit_count + 7) / 8);

    if (!bits)
        return false;
    memset(bits, 0, (bit_count + 7) / 8);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bit = ordinals ? ordinals[i] : i;
        bool set = !values || values[i];
        bits[bit >> 3] = (uint8_t)(bits[bit >> 3] | (unsigned)set << (bit & 7));
    }
    rf_bitmap_encode(bits, bit_count, &builder->work->columns);
    return true;
}

/* Shapes have an event's bytes from its columns alone: what was written is read again, and has to be
 * what was to be written. */
static rf_status check_field(rf_segment_builder *builder, const rf_build_type *type,
                             rf_field_kind kind, const column_values *values, size_t begin,
                             rf_err *err)
{
    rf_slice stored = {builder->work->columns.data + begin, builder->work->columns.size - begin};
    rf_segment segment = {.partition = builder->partition,
                          .first_position = builder->rows[0].position};
    rf_segment_column column = {.stored = stored,
                                .checksum = (uint32_t)rf_checksum(stored),
                                .present_count = values->count,
                                .kind = (uint8_t)kind,
                                .scale = values->scale};
    rf_field_column field;
    bool same = true;

    rf_status status = rf_buf_check(&builder->work->columns, "finishing a segment", err);
    if (status == RF_OK)
        status = rf_segment_decode_field(&segment, type->count, &column, builder->work->codec,
                                         &builder->work->scratch, &builder->work->scratch, &field,
                                         NULL, err);
    if (status != RF_OK)
        return status;
    if (field.present) {
        for (uint32_t i = 0; i < values->count; i++)
            same &= rf_bitmap_get(field.present, values->ordinals ? values->ordinals[i] : i);
    }
    if (kind == RF_FIELD_TEXT || kind == RF_FIELD_NUMBER) {
        for (uint32_t i = 0; i < values->count; i++)
            same &= rf_short_equal(rf_text_column_at(&field.text, i), values->texts[i]);
    } else {
        same &= memcmp(field.ints, values->ints, values->count * sizeof *field.ints) == 0;
    }
    return same ? RF_OK
                : rf_fail(err, RF_ERR_DAMAGED,
                          "a column did not give back the %u values that it was made of; nothing "
                          "was stored",
                          values->count);
}

static rf_status append_field(rf_segment_builder *builder, const rf_build_type *type,
                              rf_field_kind kind, const column_values *values, bool compress,
                              bool checked, rf_err *err)
{
    size_t begin = builder->work->columns.size;
    rf_status status = RF_OK;

    RF_ASSERT(values->count > 0 && values->count <= type->count);
    if (values->count < type->count &&
        !append_bits(builder, type->count, values->ordinals, NULL, values->count))
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    switch (kind) {
    case RF_FIELD_INT:
    case RF_FIELD_EXACT:
        rf_int_column_encode(values->ints, values->count, &builder->work->scratch,
                             &builder->work->columns);
        break;
    case RF_FIELD_BOOL:
        if (!append_bits(builder, values->count, NULL, values->ints, values->count))
            return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
        break;
    case RF_FIELD_TEXT:
    case RF_FIELD_NUMBER:
        status = rf_text_column_encode(values->texts, values->count,
                                       compress ? builder->work->codec : NULL,
                                       &builder->work->scratch, &builder->work->columns, err);
        break;
    }
    if (kind == RF_FIELD_EXACT)
        rf_buf_append_byte(&builder->work->fields, values->scale);
    rf_buf_append_varint(&builder->work->fields, type->count - values->count);
    rf_build_describe_column(builder, begin, &builder->work->fields);
    if (status == RF_OK && checked)
        status = check_field(builder, type, kind, values, begin, err);
    return status;
}

/* Gathers the values of a node by kind; false without memory. */
static bool node_values(rf_segment_builder *builder, const rf_build_node *node,
                        column_values values_out[RF_BUILD_KINDS])
{
    column_values spilled = {0};

    memset(values_out, 0, RF_BUILD_KINDS * sizeof *values_out);
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT; kind++) {
        const rf_build_list *list = node->lists[kind] ? &builder->lists[node->lists[kind]] : NULL;
        bool text = kind == RF_FIELD_TEXT || kind == RF_FIELD_NUMBER;
        uint32_t extra = kind == RF_FIELD_NUMBER ? spilled.count : 0; /* EXACT comes before */
        if ((list ? list->count : 0) + extra == 0)
            continue;
        if (kind == RF_FIELD_EXACT) {
            if (!scale_exact(builder, list, &values_out[kind], &spilled))
                return false;
        } else if (text) {
            column_values none = {0};
            if (!merge_texts(builder, list, kind == RF_FIELD_NUMBER ? &spilled : &none,
                             &values_out[kind]))
                return false;
        } else {
            values_out[kind] = (column_values){
                .count = list->count,
                .ordinals = list->sparse ? list->ordinals : NULL,
                .ints = list->values};
        }
    }
    return true;
}

/* A walk over the tree of one root, depth first. */
typedef struct path_walk {
    rf_build_type *type;
    bool metadata;
    bool compress;
    uint32_t *columns_left;                 /* of the type */
    rf_slice written[RF_SEGMENT_DEPTH_MAX]; /* parts of the path that was written last */
    unsigned written_count;
    rf_slice parts[RF_SEGMENT_DEPTH_MAX];
    uint32_t *paths; /* of the type that have columns */
} path_walk;

static void append_path(rf_segment_builder *builder, path_walk *walk, unsigned depth,
                        unsigned flags)
{
    unsigned shared = 0;

    while (shared < depth && shared < walk->written_count &&
           rf_slice_equal(walk->written[shared], walk->parts[shared]))
        shared++;
    rf_buf_append_byte(&builder->work->fields,
                       (uint8_t)(flags | (walk->metadata ? RF_PATH_METADATA : 0)));
    rf_buf_append_byte(&builder->work->fields, (uint8_t)(shared << 4 | (depth - shared)));
    for (unsigned i = shared; i < depth; i++) {
        rf_buf_append_byte(&builder->work->fields, (uint8_t)walk->parts[i].size);
        rf_buf_append_slice(&builder->work->fields, walk->parts[i]);
        walk->written[i] = walk->parts[i];
    }
    walk->written_count = depth;
}

static rf_status append_node(rf_segment_builder *builder, path_walk *walk, uint32_t index,
                             bool below_capped, rf_err *err)
{
    rf_build_node *node = &builder->nodes[index];
    column_values values[RF_BUILD_KINDS];
    rf_status status = RF_OK;
    bool capped = node->capped && !below_capped;
    bool hidden = below_capped;
    unsigned flags = 0;
    uint32_t wanted = 0;

    node->path = UINT32_MAX;
    if (node->depth > 0)
        walk->parts[node->depth - 1] = node->key;
    rf_arena_rewind(&builder->work->scratch);
    if (!node_values(builder, node, values))
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT; kind++)
        wanted += values[kind].count > 0;
    if (!hidden && wanted > *walk->columns_left) {
        walk->type->overflow = true; /* all kinds of a path have columns, or none */
        hidden = true;
    }
    if (hidden && !node->shaped)
        wanted = 0;
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT && wanted; kind++)
        flags |= (values[kind].count > 0 ? 1u : 0u) << (kind - 1);
    if (wanted)
        node->path = (*walk->paths)++;
    flags |= (wanted && hidden ? RF_PATH_HIDDEN : 0u) | (capped ? RF_PATH_CAPPED : 0u);
    if (flags)
        append_path(builder, walk, node->depth, flags);
    builder->column_count += capped;
    *walk->columns_left -= hidden ? 0 : wanted;
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT && wanted && status == RF_OK; kind++) {
        if (values[kind].count > 0)
            status = append_field(builder, walk->type, (rf_field_kind)kind, &values[kind],
                                  walk->compress, node->shaped, err);
    }
    below_capped |= node->capped;
    for (uint32_t child = node->first_child; child && status == RF_OK;
         child = builder->nodes[child].next_sibling)
        status = append_node(builder, walk, child, below_capped, err); /* to RF_SEGMENT_DEPTH_MAX */
    return status;
}

static rf_status append_fields(rf_segment_builder *builder, bool compress, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < builder->type_count && status == RF_OK; i++) {
        rf_build_type *type = &builder->types[i];
        uint32_t columns_left = RF_SEGMENT_COLUMNS_MAX;
        uint32_t paths = 0;
        for (unsigned root = 0; root < 2 && status == RF_OK; root++) {
            path_walk walk = {.type = type,
                              .metadata = root == 1,
                              .compress = compress,
                              .columns_left = &columns_left,
                              .paths = &paths};
            if (type->roots[root])
                status = append_node(builder, &walk, type->roots[root], false, err);
        }
        rf_buf_append_byte(&builder->work->fields, 0);
    }
    return status;
}

/* The shapes stand behind the columns. */
static void append_shapes(rf_segment_builder *builder)
{
    rf_buf *shapes = &builder->work->shapes;

    rf_buf_clear(shapes);
    if (builder->shape_count > 1)
        rf_shape_append(builder, shapes);
    rf_buf_append_varint(&builder->work->fields, shapes->size);
    if (shapes->size > 0)
        rf_buf_append_u32(&builder->work->fields, (uint32_t)rf_checksum(rf_buf_slice(shapes)));
    rf_buf_append_slice(&builder->work->columns, rf_buf_slice(shapes));
}

/* Counts and ranges, in front of the directory. */
static void append_summary(rf_segment_builder *builder)
{
    rf_buf *header = &builder->work->header;
    const rf_build_row *rows = builder->rows;
    int64_t time_min = INT64_MAX, time_max = INT64_MIN;
    uint32_t stream_min = rows[0].stream, stream_max = rows[0].stream;

    for (uint32_t i = 0; i < builder->count; i++) {
        if (rows[i].time != RF_TIME_NONE) {
            time_min = rows[i].time < time_min ? rows[i].time : time_min;
            time_max = rows[i].time > time_max ? rows[i].time : time_max;
        }
        stream_min = rows[i].stream < stream_min ? rows[i].stream : stream_min;
        stream_max = rows[i].stream > stream_max ? rows[i].stream : stream_max;
    }
    builder->span = (rf_segment_span){builder->partition, rows[0].position,
                                      rows[builder->count - 1].position, stream_min, stream_max};
    rf_buf_append_varint(header, builder->partition);
    rf_buf_append_varint(header, builder->count);
    rf_buf_append_varint(header, rows[0].position);
    rf_buf_append_varint(header, rows[builder->count - 1].position - rows[0].position);
    bool has_time = time_max != INT64_MIN;
    rf_buf_append_byte(header, has_time);
    if (has_time) {
        rf_buf_append_varint(header, rf_zigzag(time_min));
        rf_buf_append_varint(header, (uint64_t)time_max - (uint64_t)time_min);
    }
    rf_buf_append_varint(header, stream_min);
    rf_buf_append_varint(header, stream_max - stream_min);
    rf_buf_append_varint(header, builder->raw_bytes);
    rf_buf_append_varint(header, builder->type_count);
    for (uint32_t i = 0; i < builder->type_count; i++) {
        const rf_build_type *type = &builder->types[i];
        rf_buf_append_byte(header, (uint8_t)type->name.size);
        rf_buf_append_slice(header, type->name);
        rf_buf_append_varint(header, (uint64_t)type->count << 1 | type->overflow);
    }
}

/* Puts header, columns and chunks together behind the head. */
static rf_status append_all(rf_segment_builder *builder, rf_buf *out, rf_err *err)
{
    size_t header_size = RF_SEGMENT_HEAD_SIZE + builder->work->header.size;
    size_t size = header_size + builder->work->columns.size + builder->chunks.size;
    size_t begin = out->size;

    if (!rf_buf_reserve(out, size))
        return rf_buf_check(out, "finishing a segment", err);
    RF_ASSERT(size <= UINT32_MAX);
    rf_buf_append_u64(out, 0);
    rf_buf_append_u32(out, RF_SEGMENT_MAGIC);
    rf_buf_append_u32(out, (uint32_t)header_size);
    rf_buf_append_u32(out, (uint32_t)size);
    rf_buf_append_slice(out, rf_buf_slice(&builder->work->header));
    char *head = out->data + begin;
    rf_store_u64(head, rf_checksum((rf_slice){head + 8, header_size - 8}));
    rf_buf_append_slice(out, rf_buf_slice(&builder->work->columns));
    rf_buf_append_slice(out, rf_buf_slice(&builder->chunks));
    RF_ASSERT(out->size == begin + size);
    return RF_OK;
}

/* All of the segment into the workspace: columns, and the header behind its head. */
static rf_status encode(rf_segment_builder *builder, bool compress, rf_err *err)
{
    rf_segment_workspace *work = builder->work;
    const rf_buf *const bufs[] = {&work->columns, &work->per_event, &work->fields, &work->shapes,
                                  &work->header};

    rf_buf_clear(&work->columns);
    rf_buf_clear(&work->per_event);
    rf_buf_clear(&work->fields);
    rf_buf_clear(&work->header);
    rf_status status = rf_build_append_envelope(builder, err);
    if (status == RF_OK)
        status = append_fields(builder, compress, err);
    if (status == RF_OK)
        append_shapes(builder);
    if (status == RF_OK && builder->chunk_events > 0)
        status = rf_build_flush_chunk(builder, compress, err);
    if (status != RF_OK)
        return status;
    append_summary(builder); /* knows by now which types overflow */
    rf_buf_append_varint(&work->header, builder->column_count);
    rf_buf_append_varint(&work->header, builder->chunk_count);
    rf_buf_append_slice(&work->header, rf_buf_slice(&work->per_event));
    rf_buf_append_slice(&work->header, rf_buf_slice(&work->fields));
    rf_buf_append_slice(&work->header, rf_buf_slice(&builder->chunk_directory));
    for (unsigned i = 0; i < sizeof bufs / sizeof *bufs && status == RF_OK; i++)
        status = rf_buf_check(bufs[i], "finishing a segment", err);
    return status;
}

rf_status rf_segment_builder_finish(rf_segment_builder *builder, rf_buf *out, rf_err *err)
{
    bool compress = builder->raw_bytes >= RF_SEGMENT_COMPRESS_MIN;

    RF_ASSERT(builder->count > 0);
    if (builder->failed)
        return rf_fail(err, RF_ERR_MEMORY, "finishing a segment that ran out of memory before");
    rf_status status = rf_build_work(builder, err);
    if (status == RF_OK)
        status = encode(builder, compress, err);
    if (status == RF_OK)
        status = append_all(builder, out, err);
    if (status == RF_OK)
        rf_build_reset(builder);
    else
        builder->failed = true;
    return status;
}
