/* Building segments; see segment.h for what one is and segment_layout.h for where things stand in it.
 *
 * Events are added value by value to growing columns, found through one tree of member names per type: events of a
 * type nearly always name their members in the same order, so each node remembers which child came after which,
 * and the guess is compared before anything is searched. All buffers are kept from segment to segment.
 */
#include "log/segment_layout.h"

#include "event/value.h"

#include <stdlib.h>

enum {
    NONE = UINT32_MAX,
    KINDS = RF_FIELD_TEXT + 1,
    CHUNK_LEVEL = 1, /* payloads: import is bound by it, and 3 gains a tenth of the bytes only */
    SCALE_MAX = 18,
    TREE_BYTES_MAX = 64 << 20,
    COLUMN_BYTES_MAX = 64 << 20,
};

/* A member name under its parent; a root is the data or metadata of a type. */
struct node {
    rf_slice key;
    uint32_t parent; /* NONE at a root */
    uint32_t first_child, last_child, next_sibling;
    uint32_t guess; /* the child that came after the last one found */
    uint32_t member_count;
    uint32_t columns[KINDS]; /* by rf_field_kind; NONE */
    uint32_t last_event;     /* the event (of the type) whose value came last */
    uint8_t depth;
    bool metadata;
    bool banned; /* too many members: no columns below */
};

struct column {
    uint32_t node;
    uint32_t type;
    rf_field_kind kind;
    unsigned scale;
    rf_buf events; /* uint32_t: index among the type's events, one per value */
    rf_buf ints;   /* int64_t: INT, EXACT, BOOL */
    rf_buf ends;   /* uint32_t: end of each text */
    rf_buf text;
};

struct type {
    rf_slice name;
    uint32_t count;
    uint32_t column_count;
    uint32_t roots[2]; /* data, metadata */
    bool capped;
};

struct rf_segment_builder {
    uint32_t partition;
    uint32_t count;
    uint64_t raw_bytes;
    rf_codec *codec;
    rf_arena tree;    /* names */
    rf_arena scratch; /* of encoders */
    rf_buf envelope[RF_ENVELOPE_COUNT]; /* int64_t */
    rf_buf types;   /* struct type */
    rf_buf nodes;   /* struct node */
    struct column *columns; /* buffers of all are kept; the first column_count are in use */
    uint32_t column_count, column_capacity;
    uint32_t last_type;
    rf_buf chunk_sizes; /* of the open chunk: varints */
    rf_buf chunk_bytes;
    uint32_t chunk_first;
    rf_buf chunk_directory; /* of the finished chunks */
    rf_buf chunks;
    uint32_t chunk_count;
};

static struct type *types_of(const rf_segment_builder *builder)
{
    return (struct type *)(void *)builder->types.data;
}

static uint32_t type_count(const rf_segment_builder *builder)
{
    return (uint32_t)(builder->types.size / sizeof(struct type));
}

static struct node *node_at(const rf_segment_builder *builder, uint32_t index)
{
    return (struct node *)(void *)builder->nodes.data + index;
}

rf_segment_builder *rf_segment_builder_new(uint32_t partition)
{
    rf_segment_builder *builder = calloc(1, sizeof *builder);

    if (!builder)
        return NULL;
    builder->partition = partition;
    rf_arena_init(&builder->tree, TREE_BYTES_MAX);
    rf_arena_init(&builder->scratch, (size_t)4 * COLUMN_BYTES_MAX);
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++)
        rf_buf_init(&builder->envelope[i], RF_SEGMENT_EVENTS_MAX * sizeof(int64_t));
    rf_buf_init(&builder->types, TREE_BYTES_MAX);
    rf_buf_init(&builder->nodes, TREE_BYTES_MAX);
    rf_buf_init(&builder->chunk_sizes, RF_SEGMENT_EVENTS_MAX * 20);
    rf_buf_init(&builder->chunk_bytes, SEGMENT_CHUNK_RAW_MAX);
    rf_buf_init(&builder->chunk_directory, TREE_BYTES_MAX);
    rf_buf_init(&builder->chunks, SEGMENT_SIZE_MAX);
    builder->codec = rf_codec_new();
    if (!builder->codec) {
        rf_segment_builder_free(builder);
        return NULL;
    }
    return builder;
}

void rf_segment_builder_free(rf_segment_builder *builder)
{
    if (!builder)
        return;
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++)
        rf_buf_free(&builder->envelope[i]);
    for (uint32_t i = 0; i < builder->column_capacity; i++) {
        rf_buf_free(&builder->columns[i].events);
        rf_buf_free(&builder->columns[i].ints);
        rf_buf_free(&builder->columns[i].ends);
        rf_buf_free(&builder->columns[i].text);
    }
    free(builder->columns);
    rf_buf_free(&builder->types);
    rf_buf_free(&builder->nodes);
    rf_buf_free(&builder->chunk_sizes);
    rf_buf_free(&builder->chunk_bytes);
    rf_buf_free(&builder->chunk_directory);
    rf_buf_free(&builder->chunks);
    rf_arena_free(&builder->tree);
    rf_arena_free(&builder->scratch);
    rf_codec_free(builder->codec);
    free(builder);
}

static void builder_clear(rf_segment_builder *builder)
{
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++)
        rf_buf_clear(&builder->envelope[i]);
    rf_buf_clear(&builder->types);
    rf_buf_clear(&builder->nodes);
    rf_buf_clear(&builder->chunk_sizes);
    rf_buf_clear(&builder->chunk_bytes);
    rf_buf_clear(&builder->chunk_directory);
    rf_buf_clear(&builder->chunks);
    rf_arena_reset(&builder->tree);
    rf_arena_reset(&builder->scratch);
    builder->count = 0;
    builder->raw_bytes = 0;
    builder->column_count = 0;
    builder->last_type = 0;
    builder->chunk_first = 0;
    builder->chunk_count = 0;
}

uint32_t rf_segment_builder_count(const rf_segment_builder *builder)
{
    return builder->count;
}

bool rf_segment_builder_fits(const rf_segment_builder *builder, const rf_event *event)
{
    uint64_t raw = builder->raw_bytes + event->data.size + event->metadata.size;

    return builder->count == 0 ||
           (builder->count < RF_SEGMENT_EVENTS_MAX && raw <= RF_SEGMENT_RAW_MAX);
}

static rf_status out_of_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment");
}

static uint32_t add_node(rf_segment_builder *builder, uint32_t parent, rf_slice key)
{
    uint32_t index = (uint32_t)(builder->nodes.size / sizeof(struct node));
    struct node node = {
        .parent = parent,
        .first_child = NONE,
        .last_child = NONE,
        .next_sibling = NONE,
        .guess = NONE,
        .last_event = NONE,
    };

    for (int i = 0; i < KINDS; i++)
        node.columns[i] = NONE;
    if (parent != NONE) {
        node.key = rf_arena_copy(&builder->tree, key);
        node.depth = (uint8_t)(node_at(builder, parent)->depth + 1);
        node.metadata = node_at(builder, parent)->metadata;
        if (!node.key.data)
            return NONE;
    }
    rf_buf_append(&builder->nodes, &node, sizeof node);
    return builder->nodes.failed ? NONE : index;
}

static bool key_equal(const struct node *node, const rf_json_node *member)
{
    return node->key.size == member->key_size &&
           memcmp(node->key.data, member->key, member->key_size) == 0;
}

/* The child of `parent` that `member` names, or a new one; NONE without memory. */
static uint32_t find_child(rf_segment_builder *builder, uint32_t parent, const rf_json_node *member)
{
    struct node *above = node_at(builder, parent);
    uint32_t found = above->guess;

    if (found == NONE || !key_equal(node_at(builder, found), member))
        for (found = above->first_child; found != NONE;
             found = node_at(builder, found)->next_sibling)
            if (key_equal(node_at(builder, found), member))
                break;
    if (found == NONE) {
        found = add_node(builder, parent, rf_json_key(member));
        if (found == NONE)
            return NONE;
        above = node_at(builder, parent); /* the array may have moved */
        if (above->first_child == NONE)
            above->first_child = found;
        else
            node_at(builder, above->last_child)->next_sibling = found;
        above->last_child = found;
        above->member_count++;
    }
    uint32_t after = node_at(builder, found)->next_sibling;
    above->guess = after != NONE ? after : above->first_child;
    return found;
}

static struct column *add_column(rf_segment_builder *builder, uint32_t type, uint32_t node,
                                 rf_field_kind kind)
{
    if (builder->column_count == builder->column_capacity) {
        uint32_t capacity = builder->column_capacity ? builder->column_capacity * 2 : 32;
        struct column *columns = realloc(builder->columns, capacity * sizeof *columns);
        if (!columns)
            return NULL;
        builder->columns = columns;
        for (uint32_t i = builder->column_capacity; i < capacity; i++) {
            rf_buf_init(&columns[i].events, COLUMN_BYTES_MAX);
            rf_buf_init(&columns[i].ints, COLUMN_BYTES_MAX);
            rf_buf_init(&columns[i].ends, COLUMN_BYTES_MAX);
            rf_buf_init(&columns[i].text, COLUMN_BYTES_MAX);
        }
        builder->column_capacity = capacity;
    }
    struct column *column = &builder->columns[builder->column_count];
    node_at(builder, node)->columns[kind] = builder->column_count++;
    types_of(builder)[type].column_count++;
    column->node = node;
    column->type = type;
    column->kind = kind;
    column->scale = 0;
    rf_buf_clear(&column->events);
    rf_buf_clear(&column->ints);
    rf_buf_clear(&column->ends);
    rf_buf_clear(&column->text);
    return column;
}

/* The column of a node and kind, made at its first value; NULL where the type has too many, or without
 * memory (then the builder's nodes are marked failed). */
static struct column *column_of(rf_segment_builder *builder, uint32_t type, uint32_t node,
                                rf_field_kind kind)
{
    uint32_t index = node_at(builder, node)->columns[kind];

    if (index != NONE)
        return &builder->columns[index];
    if (types_of(builder)[type].column_count >= RF_SEGMENT_COLUMNS_MAX) {
        types_of(builder)[type].capped = true;
        return NULL;
    }
    struct column *column = add_column(builder, type, node, kind);
    if (!column)
        builder->nodes.failed = true;
    return column;
}

static void append_event_index(struct column *column, uint32_t event)
{
    rf_buf_append_u32(&column->events, event);
}

static void put_int(struct column *column, uint32_t event, int64_t value)
{
    append_event_index(column, event);
    rf_buf_append_u64(&column->ints, (uint64_t)value);
}

static void put_text(struct column *column, uint32_t event, rf_slice text)
{
    append_event_index(column, event);
    rf_buf_append_slice(&column->text, text);
    rf_buf_append_u32(&column->ends, (uint32_t)column->text.size);
}

static bool scale_up(int64_t value, unsigned digits, int64_t *value_out)
{
    for (; digits > 0; digits--)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *value_out = value;
    return true;
}

/* Brings the whole column to a larger scale; false, and unchanged, where a value does not fit. */
static bool rescale_column(struct column *column, unsigned scale)
{
    size_t count = column->ints.size / sizeof(int64_t);
    int64_t *values = (int64_t *)(void *)column->ints.data;
    int64_t ignored;

    for (size_t i = 0; i < count; i++)
        if (!scale_up(values[i], scale - column->scale, &ignored))
            return false;
    for (size_t i = 0; i < count; i++)
        (void)scale_up(values[i], scale - column->scale, &values[i]);
    column->scale = scale;
    return true;
}

static void put_number(rf_segment_builder *builder, uint32_t type, uint32_t node, uint32_t event,
                       rf_slice literal)
{
    int64_t mantissa;
    unsigned scale;
    struct column *column;

    if (rf_parse_exact(literal, &mantissa, &scale)) {
        column = column_of(builder, type, node, RF_FIELD_EXACT);
        if (!column)
            return;
        bool fits = scale <= column->scale ? scale_up(mantissa, column->scale - scale, &mantissa)
                                           : rescale_column(column, scale);
        if (fits) {
            put_int(column, event, mantissa);
            return;
        }
    }
    column = column_of(builder, type, node, RF_FIELD_NUMBER);
    if (column)
        put_text(column, event, literal);
}

/* The last of two members of the same name counts: takes the earlier value back. */
static void take_back(rf_segment_builder *builder, const struct node *node, uint32_t event)
{
    for (int kind = RF_FIELD_INT; kind < KINDS; kind++) {
        if (node->columns[kind] == NONE)
            continue;
        struct column *column = &builder->columns[node->columns[kind]];
        size_t count = column->events.size / 4;
        if (count == 0 || rf_load_u32(column->events.data + (count - 1) * 4) != event)
            continue;
        column->events.size -= 4;
        if (kind == RF_FIELD_TEXT || kind == RF_FIELD_NUMBER) {
            column->ends.size -= 4;
            column->text.size = count > 1 ? rf_load_u32(column->ends.data + (count - 2) * 4) : 0;
        } else {
            column->ints.size -= 8;
        }
    }
}

static void put_value(rf_segment_builder *builder, uint32_t type, uint32_t node, uint32_t event,
                      const rf_json_node *value)
{
    struct column *column;
    int64_t number;

    switch ((rf_json_kind)value->kind) {
    case RF_JSON_FALSE:
    case RF_JSON_TRUE:
        column = column_of(builder, type, node, RF_FIELD_BOOL);
        if (column)
            put_int(column, event, value->kind == RF_JSON_TRUE);
        break;
    case RF_JSON_INTEGER:
        if (rf_parse_int(rf_json_text(value), &number) != RF_VALUE_OK) {
            put_number(builder, type, node, event, rf_json_text(value));
            break;
        }
        column = column_of(builder, type, node, RF_FIELD_INT);
        if (column)
            put_int(column, event, number);
        break;
    case RF_JSON_NUMBER:
        put_number(builder, type, node, event, rf_json_text(value));
        break;
    case RF_JSON_STRING:
        column = column_of(builder, type, node, RF_FIELD_TEXT);
        if (column)
            put_text(column, event, rf_json_text(value));
        break;
    case RF_JSON_NULL:
    case RF_JSON_ARRAY:
    case RF_JSON_OBJECT:
        break;
    }
}

/* Members of the object nodes[object] go to the children of tree node `parent`. Recursion ends at
 * RF_SEGMENT_DEPTH_MAX. */
static bool put_members(rf_segment_builder *builder, uint32_t type, uint32_t parent, uint32_t event,
                        const rf_json_node *nodes, uint32_t object)
{
    if (node_at(builder, parent)->banned)
        return true;
    if (node_at(builder, parent)->depth >= RF_SEGMENT_DEPTH_MAX) {
        if (nodes[object].next > object + 1)
            types_of(builder)[type].capped = true;
        return true;
    }
    for (uint32_t i = object + 1; i < nodes[object].next; i = nodes[i].next) {
        uint32_t child = find_child(builder, parent, &nodes[i]);
        if (child == NONE)
            return false;
        if (node_at(builder, parent)->member_count > RF_SEGMENT_MEMBERS_MAX) {
            node_at(builder, parent)->banned = true;
            types_of(builder)[type].capped = true;
            return true;
        }
        struct node *node = node_at(builder, child);
        if (node->last_event == event) {
            take_back(builder, node, event);
            if (node->first_child != NONE || nodes[i].kind == RF_JSON_OBJECT)
                types_of(builder)[type].capped = true; /* two objects of one name: the payload tells */
        }
        node->last_event = event;
        if (nodes[i].kind == RF_JSON_OBJECT) {
            if (!put_members(builder, type, child, event, nodes, i))
                return false;
        } else {
            put_value(builder, type, child, event, &nodes[i]);
        }
    }
    return true;
}

static bool find_type(rf_segment_builder *builder, rf_slice name, uint32_t *index_out)
{
    struct type *types = types_of(builder);
    uint32_t count = type_count(builder);

    if (count > 0 && rf_slice_equal(types[builder->last_type].name, name)) {
        *index_out = builder->last_type;
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (rf_slice_equal(types[i].name, name)) {
            *index_out = builder->last_type = i;
            return true;
        }
    }
    struct type type = {.name = rf_arena_copy(&builder->tree, name)};
    type.roots[0] = add_node(builder, NONE, name);
    type.roots[1] = add_node(builder, NONE, name);
    if (!type.name.data || type.roots[0] == NONE || type.roots[1] == NONE)
        return false;
    node_at(builder, type.roots[1])->metadata = true;
    rf_buf_append(&builder->types, &type, sizeof type);
    *index_out = builder->last_type = count;
    return !builder->types.failed;
}

/* Ends the open chunk: sizes and bytes, compressed unless the segment is small. */
static rf_status end_chunk(rf_segment_builder *builder, bool compress, rf_err *err)
{
    uint32_t count = builder->count - builder->chunk_first;
    size_t before = builder->chunks.size;
    bool compressed = false;

    if (count == 0)
        return RF_OK;
    size_t raw_size = builder->chunk_sizes.size + builder->chunk_bytes.size;
    char *raw = rf_arena_bytes(&builder->scratch, raw_size + 1);
    if (!raw)
        return out_of_memory(err);
    memcpy(raw, builder->chunk_sizes.data, builder->chunk_sizes.size);
    if (builder->chunk_bytes.size)
        memcpy(raw + builder->chunk_sizes.size, builder->chunk_bytes.data,
               builder->chunk_bytes.size);
    rf_status status = RF_OK;
    if (compress)
        status = rf_codec_compress(builder->codec, (rf_slice){raw, raw_size}, CHUNK_LEVEL,
                                   &builder->chunks, &compressed, err);
    else
        rf_buf_append(&builder->chunks, raw, raw_size);
    if (status == RF_OK)
        status = rf_buf_check(&builder->chunks, "a segment's payloads", err);
    if (status != RF_OK)
        return status;
    rf_slice stored = {builder->chunks.data + before, builder->chunks.size - before};
    rf_buf *directory = &builder->chunk_directory;
    rf_buf_append_varint(directory, count);
    rf_buf_append_byte(directory, compressed ? SEGMENT_CHUNK_COMPRESSED : 0);
    rf_buf_append_varint(directory, raw_size);
    rf_buf_append_varint(directory, stored.size);
    rf_buf_append_u32(directory, segment_checksum(stored));
    builder->chunk_count++;
    builder->chunk_first = builder->count;
    rf_buf_clear(&builder->chunk_sizes);
    rf_buf_clear(&builder->chunk_bytes);
    rf_arena_reset(&builder->scratch);
    return RF_OK;
}

static rf_status put_payload(rf_segment_builder *builder, const rf_event *event, rf_err *err)
{
    size_t raw = event->data.size + event->metadata.size;

    if (builder->chunk_bytes.size > 0 && builder->chunk_bytes.size + raw > RF_SEGMENT_CHUNK_RAW) {
        rf_status status = end_chunk(builder, true, err);
        if (status != RF_OK)
            return status;
    }
    rf_buf_append_varint(&builder->chunk_sizes, event->data.size);
    rf_buf_append_varint(&builder->chunk_sizes, event->metadata.data ? event->metadata.size + 1 : 0);
    rf_buf_append_slice(&builder->chunk_bytes, event->data);
    rf_buf_append_slice(&builder->chunk_bytes, event->metadata);
    return builder->chunk_sizes.failed ? out_of_memory(err)
                                       : rf_buf_check(&builder->chunk_bytes, "a payload", err);
}

rf_status rf_segment_builder_add(rf_segment_builder *builder, const rf_event *event,
                                 const rf_placement *placement, rf_err *err)
{
    uint32_t type;

    RF_ASSERT(builder->count < RF_SEGMENT_EVENTS_MAX);
    if (!find_type(builder, event->type, &type))
        return out_of_memory(err);
    rf_status status = put_payload(builder, event, err);
    if (status != RF_OK)
        return status;
    const int64_t envelope[RF_ENVELOPE_COUNT] = {
        [RF_ENVELOPE_STREAM] = placement->stream_number,
        [RF_ENVELOPE_VERSION] = placement->version,
        [RF_ENVELOPE_POSITION] = (int64_t)placement->position,
        [RF_ENVELOPE_SOURCE] = placement->source,
        [RF_ENVELOPE_SOURCE_POSITION] = (int64_t)event->source_position,
        [RF_ENVELOPE_TIME] = event->time,
        [RF_ENVELOPE_TYPE] = type,
        [RF_ENVELOPE_SCHEMA] = event->schema,
        [RF_ENVELOPE_FINGERPRINT] = placement->fingerprint,
    };
    bool failed = false;
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++) {
        rf_buf_append_u64(&builder->envelope[i], (uint64_t)envelope[i]);
        failed |= builder->envelope[i].failed;
    }
    uint32_t index = types_of(builder)[type].count++;
    const rf_json_node *roots[2] = {event->data_nodes, event->metadata_nodes};
    const uint32_t counts[2] = {event->data_node_count, event->metadata_node_count};
    for (int i = 0; i < 2 && !failed; i++)
        if (counts[i] > 0 && roots[i][0].kind == RF_JSON_OBJECT)
            failed = !put_members(builder, type, types_of(builder)[type].roots[i], index, roots[i], 0);
    builder->count++;
    builder->raw_bytes += event->data.size + event->metadata.size;
    if (failed || builder->nodes.failed)
        return out_of_memory(err);
    return builder->chunk_bytes.size > RF_SEGMENT_CHUNK_RAW ? end_chunk(builder, true, err) : RF_OK;
}

static bool is_banned(const rf_segment_builder *builder, uint32_t node)
{
    for (node = node_at(builder, node)->parent; node != NONE; node = node_at(builder, node)->parent)
        if (node_at(builder, node)->banned)
            return true;
    return false;
}

/* Appends the values of a field column to `out`: presence where some events lack it, then the values. */
static rf_status encode_field(rf_segment_builder *builder, const struct column *column,
                              rf_codec *codec, rf_buf *out, rf_err *err)
{
    uint32_t type_events = types_of(builder)[column->type].count;
    size_t count = column->events.size / 4;
    size_t bitmap_size = ((size_t)type_events + 7) / 8;

    if (count < type_events) {
        uint8_t *bits = rf_arena_alloc(&builder->scratch, bitmap_size);
        if (!bits)
            return out_of_memory(err);
        memset(bits, 0, bitmap_size);
        for (size_t i = 0; i < count; i++) {
            uint32_t event = rf_load_u32(column->events.data + i * 4);
            bits[event >> 3] = (uint8_t)(bits[event >> 3] | (1u << (event & 7)));
        }
        rf_bitmap_encode(bits, type_events, out);
    }
    if (column->kind != RF_FIELD_TEXT && column->kind != RF_FIELD_NUMBER) {
        rf_int_column_encode((const int64_t *)(const void *)column->ints.data, count,
                             &builder->scratch, out);
        return rf_buf_check(out, "a column", err);
    }
    rf_slice *texts = rf_arena_alloc(&builder->scratch, count * sizeof *texts);
    if (!texts)
        return out_of_memory(err);
    uint32_t from = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t end = rf_load_u32(column->ends.data + i * 4);
        texts[i] = (rf_slice){column->text.data ? column->text.data + from : "", end - from};
        from = end;
    }
    return rf_text_column_encode(texts, count, codec, &builder->scratch, out, err);
}

static void append_path(const rf_segment_builder *builder, uint32_t node, rf_buf *header)
{
    uint32_t path[RF_SEGMENT_DEPTH_MAX];
    unsigned depth = node_at(builder, node)->depth;

    RF_ASSERT(depth >= 1 && depth <= RF_SEGMENT_DEPTH_MAX);
    for (unsigned i = depth; i > 0; node = node_at(builder, node)->parent)
        path[--i] = node;
    rf_buf_append_byte(header, (uint8_t)depth);
    for (unsigned i = 0; i < depth; i++) {
        rf_slice key = node_at(builder, path[i])->key;
        rf_buf_append_varint(header, key.size);
        rf_buf_append_slice(header, key);
    }
}

static void append_place(rf_buf *header, const rf_buf *body, size_t before)
{
    rf_slice stored = {body->data + before, body->size - before};

    rf_buf_append_varint(header, stored.size);
    rf_buf_append_u32(header, segment_checksum(stored));
}

static rf_status encode_columns(rf_segment_builder *builder, rf_codec *codec, rf_buf *directory,
                                uint32_t *count_out, rf_buf *body, rf_err *err)
{
    uint32_t count = 0;

    for (int i = 0; i < RF_ENVELOPE_COUNT; i++) {
        size_t before = body->size;
        rf_int_column_encode((const int64_t *)(const void *)builder->envelope[i].data,
                             builder->count, &builder->scratch, body);
        rf_status status = rf_buf_check(body, "a segment", err);
        if (status != RF_OK)
            return status;
        rf_buf_append_byte(directory, (uint8_t)i);
        append_place(directory, body, before);
        rf_arena_reset(&builder->scratch);
        count++;
    }
    for (uint32_t i = 0; i < builder->column_count; i++) {
        const struct column *column = &builder->columns[i];
        const struct node *node = node_at(builder, column->node);
        size_t values = column->events.size / 4;
        size_t before = body->size;
        if (column->events.failed || column->ints.failed || column->ends.failed ||
            column->text.failed)
            return out_of_memory(err);
        if (values == 0 || is_banned(builder, column->node))
            continue;
        rf_status status = encode_field(builder, column, codec, body, err);
        if (status != RF_OK)
            return status;
        bool presence = values < types_of(builder)[column->type].count;
        rf_buf_append_byte(directory, (uint8_t)(SEGMENT_FIELD_BASE + (int)column->kind));
        rf_buf_append_byte(directory, (uint8_t)((node->metadata ? SEGMENT_COLUMN_METADATA : 0) |
                                                (presence ? SEGMENT_COLUMN_PRESENCE : 0)));
        rf_buf_append_byte(directory, (uint8_t)column->scale);
        rf_buf_append_varint(directory, column->type);
        rf_buf_append_varint(directory, values);
        append_path(builder, column->node, directory);
        append_place(directory, body, before);
        rf_arena_reset(&builder->scratch);
        count++;
    }
    *count_out = count;
    return RF_OK;
}

static void min_max(const rf_buf *values, int64_t ignored, int64_t *min_out, int64_t *max_out)
{
    const int64_t *at = (const int64_t *)(const void *)values->data;
    size_t count = values->size / sizeof *at;

    *min_out = *max_out = ignored;
    for (size_t i = 0; i < count; i++) {
        if (at[i] == ignored)
            continue;
        if (*min_out == ignored || at[i] < *min_out)
            *min_out = at[i];
        if (*max_out == ignored || at[i] > *max_out)
            *max_out = at[i];
    }
}

static void append_header(rf_segment_builder *builder, rf_buf *header)
{
    const rf_buf *positions = &builder->envelope[RF_ENVELOPE_POSITION];
    uint64_t first = rf_load_u64(positions->data);
    uint64_t last = rf_load_u64(positions->data + positions->size - 8);
    int64_t low;
    int64_t high;

    rf_buf_append_varint(header, builder->partition);
    rf_buf_append_varint(header, builder->count);
    rf_buf_append_varint(header, first);
    rf_buf_append_varint(header, last - first);
    min_max(&builder->envelope[RF_ENVELOPE_TIME], RF_TIME_NONE, &low, &high);
    rf_buf_append_varint(header, rf_zigzag(low));
    rf_buf_append_varint(header, rf_zigzag(high));
    min_max(&builder->envelope[RF_ENVELOPE_STREAM], -1, &low, &high);
    rf_buf_append_varint(header, (uint64_t)low);
    rf_buf_append_varint(header, (uint64_t)high);
    rf_buf_append_varint(header, builder->raw_bytes);
    rf_buf_append_varint(header, type_count(builder));
    for (uint32_t i = 0; i < type_count(builder); i++) {
        const struct type *type = &types_of(builder)[i];
        rf_buf_append_varint(header, type->name.size);
        rf_buf_append_slice(header, type->name);
        rf_buf_append_varint(header, type->count);
        rf_buf_append_byte(header, type->capped);
    }
}

static void append_prefix(const rf_buf *header, rf_buf *out)
{
    uint32_t size = SEGMENT_PREFIX_SIZE + (uint32_t)header->size;

    rf_buf_append_u32(out, SEGMENT_MAGIC);
    rf_buf_append_u16(out, SEGMENT_FORMAT);
    rf_buf_append_u16(out, 0);
    rf_buf_append_u32(out, size);
    rf_buf_append_u32(out, 0);
    rf_buf_append_u64(out, rf_checksum_seeded(rf_buf_slice(header), size));
}

rf_status rf_segment_builder_finish(rf_segment_builder *builder, rf_buf *out, rf_err *err)
{
    bool compress = builder->raw_bytes >= RF_SEGMENT_COMPRESS_MIN;
    uint32_t column_count = 0;
    rf_buf directory;
    rf_buf header;
    rf_buf body;

    RF_ASSERT(builder->count > 0);
    rf_buf_init(&directory, TREE_BYTES_MAX);
    rf_buf_init(&header, TREE_BYTES_MAX);
    rf_buf_init(&body, SEGMENT_SIZE_MAX);
    rf_status status = end_chunk(builder, compress, err);
    if (status == RF_OK)
        status = encode_columns(builder, compress ? builder->codec : NULL, &directory,
                                &column_count, &body, err);
    if (status == RF_OK) {
        append_header(builder, &header);
        rf_buf_append_varint(&header, column_count);
        rf_buf_append_slice(&header, rf_buf_slice(&directory));
        rf_buf_append_varint(&header, builder->chunk_count);
        rf_buf_append_slice(&header, rf_buf_slice(&builder->chunk_directory));
        append_prefix(&header, out);
        rf_buf_append_slice(out, rf_buf_slice(&header));
        rf_buf_append_slice(out, rf_buf_slice(&body));
        rf_buf_append_slice(out, rf_buf_slice(&builder->chunks));
        status = directory.failed || header.failed || builder->chunk_directory.failed
                     ? out_of_memory(err)
                     : rf_buf_check(out, "a segment", err);
    }
    rf_buf_free(&directory);
    rf_buf_free(&header);
    rf_buf_free(&body);
    if (status == RF_OK)
        builder_clear(builder);
    return status;
}

uint32_t rf_event_fingerprint(const rf_event *event)
{
    const int64_t numbers[4] = {
        event->schema,
        event->time,
        (int64_t)event->data.size,
        event->metadata.data ? (int64_t)event->metadata.size : -1,
    };
    uint64_t hash = rf_checksum_seeded((rf_slice){(const char *)numbers, sizeof numbers},
                                       event->type.size);

    hash = rf_checksum_seeded(event->type, hash);
    hash = rf_checksum_seeded(event->data, hash);
    if (event->metadata.data)
        hash = rf_checksum_seeded(event->metadata, hash);
    return (uint32_t)(hash ^ (hash >> 32));
}
