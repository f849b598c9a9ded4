/* Taking events into a segment: envelope, scalars by path, payload bytes. See segment_build.h. */
#include "log/segment_build.h"

#include "base/checksum.h"
#include "event/value.h"

#include <stdlib.h>

enum {
    BUF_SIZE_MAX = 256 << 20,
    ARENA_SIZE_MAX = 256 << 20,
    LIST_FIRST = 16,
    EVENTS_FIRST = 16, /* room at first: a small commit makes a small builder */
};

rf_segment_builder *rf_segment_builder_new(uint32_t partition)
{
    rf_segment_builder *builder = calloc(1, sizeof *builder);

    if (!builder)
        return NULL;
    builder->partition = partition;
    rf_arena_init(&builder->names, ARENA_SIZE_MAX);
    rf_buf_init(&builder->chunk, RF_SEGMENT_CHUNK_RAW_MAX);
    rf_buf_init(&builder->chunk_directory, BUF_SIZE_MAX);
    rf_buf_init(&builder->chunks, BUF_SIZE_MAX);
    rf_buf_init(&builder->escaped, BUF_SIZE_MAX);
    rf_build_reset(builder);
    return builder;
}

rf_segment_workspace *rf_segment_workspace_new(void)
{
    rf_segment_workspace *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    rf_arena_init(&work->scratch, ARENA_SIZE_MAX);
    rf_buf_init(&work->compressed, BUF_SIZE_MAX);
    rf_buf_init(&work->columns, BUF_SIZE_MAX);
    rf_buf_init(&work->per_event, BUF_SIZE_MAX);
    rf_buf_init(&work->fields, BUF_SIZE_MAX);
    rf_buf_init(&work->shapes, BUF_SIZE_MAX);
    rf_buf_init(&work->literal, BUF_SIZE_MAX);
    rf_buf_init(&work->header, BUF_SIZE_MAX);
    work->codec = rf_codec_new();
    if (!work->codec) {
        rf_segment_workspace_free(work);
        return NULL;
    }
    return work;
}

void rf_segment_workspace_free(rf_segment_workspace *workspace)
{
    if (!workspace)
        return;
    rf_codec_free(workspace->codec);
    rf_arena_free(&workspace->scratch);
    rf_buf_free(&workspace->compressed);
    rf_buf_free(&workspace->columns);
    rf_buf_free(&workspace->per_event);
    rf_buf_free(&workspace->fields);
    rf_buf_free(&workspace->shapes);
    rf_buf_free(&workspace->literal);
    rf_buf_free(&workspace->header);
    free(workspace->gathered);
    free(workspace);
}

void rf_segment_builder_use(rf_segment_builder *builder, rf_segment_workspace *workspace)
{
    builder->work = workspace;
}

rf_status rf_build_work(rf_segment_builder *builder, rf_err *err)
{
    if (builder->work)
        return RF_OK;
    if (!builder->own)
        builder->own = rf_segment_workspace_new();
    builder->work = builder->own;
    return builder->work ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
}

static void free_lists(rf_segment_builder *builder)
{
    for (uint32_t i = 0; i < builder->list_capacity; i++) {
        free(builder->lists[i].values);
        free(builder->lists[i].ordinals);
        free(builder->lists[i].scales);
        rf_buf_free(&builder->lists[i].bytes);
    }
    free(builder->lists);
    builder->lists = NULL;
    builder->list_capacity = 0;
    builder->list_count = 0;
}

void rf_segment_builder_free(rf_segment_builder *builder)
{
    if (!builder)
        return;
    free_lists(builder);
    free(builder->rows);
    free(builder->plans);
    free(builder->types);
    free(builder->nodes);
    free(builder->slots);
    free(builder->shapes);
    free(builder->sizes);
    free(builder->metadata_sizes);
    rf_arena_free(&builder->names);
    rf_buf_free(&builder->chunk);
    rf_buf_free(&builder->chunk_directory);
    rf_buf_free(&builder->chunks);
    rf_buf_free(&builder->escaped);
    rf_segment_workspace_free(builder->own);
    free(builder);
}

void rf_build_reset(rf_segment_builder *builder)
{
    size_t kept = 0;

    for (uint32_t i = 0; i < builder->list_capacity; i++) {
        /* In the next segment the list may be one of short texts. */
        if (builder->lists[i].bytes.capacity > RF_BUILD_TEXT_KEPT_MAX)
            rf_buf_free(&builder->lists[i].bytes);
        kept += builder->lists[i].capacity * 8u + builder->lists[i].ordinal_capacity * 2u +
                builder->lists[i].scale_capacity + builder->lists[i].bytes.capacity;
    }
    if (kept > RF_BUILD_KEPT_BYTES_MAX)
        free_lists(builder);
    builder->failed = false;
    builder->count = 0;
    builder->raw_bytes = 0;
    builder->type_count = 0;
    builder->node_count = 1; /* 0 is none, as in `lists` */
    builder->list_count = 1;
    builder->slot_count = 0;
    builder->shape_count = 1;
    builder->shape_bytes = 0;
    builder->size_count = 0;
    builder->metadata_count = 0;
    memset(builder->buckets, 0, sizeof builder->buckets);
    if (builder->plans)
        memset(builder->plans, 0, builder->plan_count * sizeof(rf_build_plan *));
    builder->plan_count = 0;
    rf_arena_reset(&builder->names);
    rf_buf_clear(&builder->chunk);
    rf_buf_clear(&builder->chunk_directory);
    rf_buf_clear(&builder->chunks);
    builder->chunk_events = 0;
    builder->chunk_count = 0;
    builder->column_count = 0;
}

void rf_segment_builder_move(rf_segment_builder *builder, uint32_t index, uint64_t position)
{
    RF_ASSERT(index < builder->count && position > 0);
    builder->rows[index].position = position;
}

rf_segment_span rf_segment_builder_span(const rf_segment_builder *builder)
{
    return builder->span;
}

uint32_t rf_segment_builder_count(const rf_segment_builder *builder)
{
    return builder->count;
}

bool rf_segment_builder_fits(const rf_segment_builder *builder, const rf_event *event)
{
    uint64_t raw = event->data.size + event->metadata.size;

    return builder->count == 0 || (builder->count < RF_SEGMENT_EVENTS_MAX &&
                                   builder->raw_bytes + raw <= RF_SEGMENT_RAW_MAX);
}

bool rf_build_grow(void *array_at, uint32_t count, uint32_t *capacity, uint32_t first, size_t size)
{
    void *array;
    uint32_t wanted = *capacity ? *capacity + *capacity / 2 : first;

    if (count < *capacity)
        return true;
    memcpy(&array, array_at, sizeof array);
    array = realloc(array, wanted * size);
    if (!array)
        return false;
    memcpy(array_at, &array, sizeof array);
    *capacity = wanted;
    return true;
}

static uint32_t node_new(rf_segment_builder *builder, rf_build_type *type, rf_slice key,
                         unsigned depth)
{
    if (!rf_build_grow(&builder->nodes, builder->node_count, &builder->node_capacity, 64,
              sizeof *builder->nodes)) {
        builder->failed = true;
        return 0;
    }
    rf_slice copy = rf_arena_copy(&builder->names, key);
    if (!copy.data) {
        builder->failed = true;
        return 0;
    }
    builder->nodes[builder->node_count] = (rf_build_node){.key = copy, .depth = (uint8_t)depth};
    type->node_count++;
    return builder->node_count++;
}

/* Index of a type, made if it is new; UINT32_MAX without memory. */
static uint32_t type_find(rf_segment_builder *builder, rf_slice name)
{
    uint64_t hash = rf_checksum(name);
    uint32_t *bucket = &builder->buckets[hash % RF_BUILD_TYPE_BUCKETS];

    for (uint32_t at = *bucket; at; at = builder->types[at - 1].next_in_bucket) {
        const rf_build_type *type = &builder->types[at - 1];
        if (type->hash == hash && rf_short_equal(type->name, name))
            return at - 1;
    }
    rf_slice copy = rf_arena_copy(&builder->names, name);
    if (!copy.data || !rf_build_grow(&builder->types, builder->type_count, &builder->type_capacity, 8,
                            sizeof *builder->types)) {
        builder->failed = true;
        return UINT32_MAX;
    }
    rf_build_type *type = &builder->types[builder->type_count];
    *type = (rf_build_type){.name = copy, .hash = hash, .next_in_bucket = *bucket};
    *bucket = ++builder->type_count;
    return builder->type_count - 1;
}

/* Twice the room, from `first` on. */
static bool list_grow(void *array_at, uint32_t count, uint32_t *capacity, size_t size)
{
    void *array;
    uint32_t wanted = *capacity ? 2 * *capacity : LIST_FIRST;

    if (count < *capacity)
        return true;
    memcpy(&array, array_at, sizeof array);
    array = realloc(array, wanted * size);
    if (!array)
        return false;
    memcpy(array_at, &array, sizeof array);
    *capacity = wanted;
    return true;
}

bool rf_build_list_room(rf_build_list *list, uint32_t ordinal)
{
    if (!list_grow(&list->values, list->count, &list->capacity, sizeof *list->values))
        return false;
    if (!list->sparse && ordinal == list->count)
        return true;
    while (list->ordinal_capacity <= list->count)
        if (!list_grow(&list->ordinals, list->ordinal_capacity, &list->ordinal_capacity,
                       sizeof *list->ordinals))
            return false;
    for (uint32_t i = 0; i < list->count && !list->sparse; i++)
        list->ordinals[i] = (uint16_t)i;
    list->sparse = true;
    list->ordinals[list->count] = (uint16_t)ordinal;
    return true;
}

bool rf_build_list_put_exact(rf_build_list *list, uint32_t ordinal, int64_t value, uint8_t scale)
{
    if (!list_grow(&list->scales, list->count, &list->scale_capacity, sizeof *list->scales))
        return false;
    list->scales[list->count] = scale;
    return rf_build_list_put(list, ordinal, value);
}

rf_build_list *rf_build_list_of(rf_segment_builder *builder, rf_build_node *node,
                                rf_field_kind kind)
{
    if (node->lists[kind] == 0) {
        uint32_t before = builder->list_capacity;
        if (!rf_build_grow(&builder->lists, builder->list_count, &builder->list_capacity, 32,
                  sizeof *builder->lists))
            return NULL;
        for (uint32_t i = before; i < builder->list_capacity; i++) {
            builder->lists[i] = (rf_build_list){0};
            rf_buf_init(&builder->lists[i].bytes, RF_SEGMENT_CHUNK_RAW_MAX);
        }
        builder->lists[builder->list_count].count = 0;
        builder->lists[builder->list_count].sparse = false;
        rf_buf_clear(&builder->lists[builder->list_count].bytes);
        node->lists[kind] = builder->list_count++;
    }
    return &builder->lists[node->lists[kind]];
}

void rf_build_take_value(rf_segment_builder *builder, uint32_t node, uint32_t ordinal,
                         const rf_json_node *json)
{
    rf_field_kind kind = RF_FIELD_TEXT;
    rf_slice text = rf_json_text(json);
    int64_t value = 0;
    unsigned scale = 0;

    switch ((rf_json_kind)json->kind) {
    case RF_JSON_INTEGER: /* no int64_t says -0, and a float field must get it */
        kind = rf_parse_int(text, &value) == RF_VALUE_OK && (value != 0 || text.size == 1)
                   ? RF_FIELD_INT
                   : RF_FIELD_NUMBER;
        break;
    case RF_JSON_NUMBER:
        kind = rf_parse_exact(text, &value, &scale) ? RF_FIELD_EXACT : RF_FIELD_NUMBER;
        break;
    case RF_JSON_FALSE:
    case RF_JSON_TRUE:
        kind = RF_FIELD_BOOL;
        value = json->kind == RF_JSON_TRUE;
        break;
    case RF_JSON_STRING:
        break;
    case RF_JSON_NULL:
    case RF_JSON_ARRAY:
    case RF_JSON_OBJECT:
        return;
    }
    rf_build_list *list = rf_build_list_of(builder, &builder->nodes[node], kind);
    bool taken = list;
    if (list && (kind == RF_FIELD_TEXT || kind == RF_FIELD_NUMBER))
        taken = rf_build_list_put_text(list, ordinal, text);
    else if (list && kind == RF_FIELD_EXACT)
        taken = rf_build_list_put_exact(list, ordinal, value, (uint8_t)scale);
    else if (list)
        taken = rf_build_list_put(list, ordinal, value);
    builder->failed |= !taken;
}

/* Of two members of one name the last wins: takes back what this event has put at and below
 * `index`. */
static void forget_value(rf_segment_builder *builder, uint32_t index, uint32_t ordinal)
{
    rf_build_node *node = &builder->nodes[index];

    if (node->last_seen != ordinal + 1)
        return;
    node->last_seen = 0;
    for (unsigned kind = RF_FIELD_INT; kind <= RF_FIELD_TEXT; kind++) {
        rf_build_list *list = &builder->lists[node->lists[kind]];
        if (node->lists[kind] == 0 || list->count == 0 ||
            rf_build_ordinal(list, list->count - 1) != ordinal)
            continue;
        list->count--;
        if (kind == RF_FIELD_TEXT || kind == RF_FIELD_NUMBER)
            list->bytes.size = list->count ? (size_t)list->values[list->count - 1] : 0;
    }
    for (uint32_t child = node->first_child; child; child = builder->nodes[child].next_sibling)
        forget_value(builder, child, ordinal); /* as deep as RF_SEGMENT_DEPTH_MAX */
}

/* The child `key` of `parent`, made if it is new; 0 where it gets no column. */
static uint32_t child_find(rf_segment_builder *builder, rf_build_type *type, uint32_t parent,
                           rf_slice key, uint32_t guess)
{
    const rf_build_node *nodes = builder->nodes;

    if (guess && rf_short_equal(nodes[guess].key, key))
        return guess;
    for (uint32_t at = nodes[parent].first_child; at; at = nodes[at].next_sibling) {
        if (rf_short_equal(nodes[at].key, key))
            return at;
    }
    if (nodes[parent].child_count == RF_SEGMENT_MEMBERS_MAX) {
        builder->nodes[parent].capped = true;
        return 0;
    }
    if (key.size > RF_SEGMENT_KEY_SIZE_MAX || type->node_count >= RF_BUILD_NODES_MAX) {
        type->overflow = true;
        return 0;
    }
    uint32_t child = node_new(builder, type, key, nodes[parent].depth + 1u);
    if (!child)
        return 0;
    rf_build_node *node = &builder->nodes[parent];
    if (node->last_child)
        builder->nodes[node->last_child].next_sibling = child;
    else
        node->first_child = child;
    node->last_child = child;
    node->child_count++;
    return child;
}

/* A value of the event, or null, or an array. */
static void take_leaf(rf_segment_builder *builder, uint32_t node, uint32_t ordinal,
                      const rf_json_node *json)
{
    if (builder->leaf_count == RF_BUILD_SLOTS_MAX)
        builder->leaves_whole = false;
    else
        builder->leaves[builder->leaf_count++] = json->kind == RF_JSON_ARRAY ? 0 : node;
    rf_build_take_value(builder, node, ordinal, json);
}

/* Takes the members of an object whose place in the tree is `parent`. */
static void take_members(rf_segment_builder *builder, rf_build_type *type, uint32_t parent,
                         uint32_t ordinal, const rf_json_node *json, uint32_t object)
{
    uint32_t guess = builder->nodes[parent].first_child;

    if (builder->nodes[parent].depth == RF_SEGMENT_DEPTH_MAX && json[object].next > object + 1)
        builder->nodes[parent].capped = true;
    for (uint32_t i = object + 1; i < json[object].next; i = json[i].next) {
        uint32_t child = builder->nodes[parent].capped || builder->failed
                             ? 0
                             : child_find(builder, type, parent, rf_json_key(&json[i]), guess);
        if (!child) {
            builder->leaves_whole = false;
            if (builder->nodes[parent].capped || builder->failed)
                return;
            continue;
        }
        if (builder->nodes[child].last_seen == ordinal + 1) {
            builder->leaves_whole = false;
            forget_value(builder, child, ordinal);
        }
        builder->nodes[child].last_seen = ordinal + 1;
        if (json[i].kind == RF_JSON_OBJECT)
            take_members(builder, type, child, ordinal, json, i);
        else
            take_leaf(builder, child, ordinal, &json[i]);
        guess = builder->nodes[child].next_sibling;
    }
}

void rf_build_take_root(rf_segment_builder *builder, rf_build_type *type, bool metadata,
                        uint32_t ordinal, const rf_json_node *json, uint32_t json_count)
{
    if (json_count == 0 || json[0].kind != RF_JSON_OBJECT)
        return; /* no member, no path */
    RF_ASSERT(json[0].next == json_count);
    if (type->roots[metadata] == 0)
        type->roots[metadata] = node_new(builder, type, RF_SLICE(""), 0);
    if (type->roots[metadata])
        take_members(builder, type, type->roots[metadata], ordinal, json, 0);
}

static bool push_size(uint32_t **sizes, uint32_t *count, uint32_t *capacity, size_t size)
{
    if (!rf_build_grow(sizes, *count, capacity, EVENTS_FIRST, sizeof **sizes))
        return false;
    (*sizes)[(*count)++] = (uint32_t)size;
    return true;
}

static void take_rest_bytes(rf_segment_builder *builder, rf_slice bytes)
{
    rf_buf_append_slice(&builder->chunk, bytes);
    if (!push_size(&builder->sizes, &builder->size_count, &builder->size_capacity, bytes.size))
        builder->failed = true;
}

/* The arrays of an event with a shape, which nothing else has. */
static size_t take_arrays(rf_segment_builder *builder, const rf_json_node *nodes, uint32_t count,
                          bool measure)
{
    size_t size = 0;

    for (uint32_t i = 0; i < count; i = nodes[i].kind == RF_JSON_OBJECT ? i + 1 : nodes[i].next) {
        if (nodes[i].kind != RF_JSON_ARRAY)
            continue;
        size += nodes[i].text_size;
        if (!measure)
            take_rest_bytes(builder, rf_json_text(&nodes[i]));
    }
    return size;
}

/* Puts into the open chunk what of the event's bytes no shape has. */
static rf_status take_payload(rf_segment_builder *builder, const rf_event *event, uint32_t shape,
                              rf_err *err)
{
    size_t raw = event->data.size + event->metadata.size;
    size_t rest = raw;

    builder->raw_bytes += raw;
    builder->chunk_events++;
    if (shape && !builder->shapes[shape].has_rest)
        return RF_OK;
    if (shape)
        rest = take_arrays(builder, event->data_nodes, event->data_node_count, true) +
               take_arrays(builder, event->metadata_nodes, event->metadata_node_count, true);
    if (builder->chunk.size > 0 && builder->chunk.size + rest > RF_SEGMENT_CHUNK_RAW) {
        builder->chunk_events--;
        rf_status status = rf_build_flush_chunk(builder, true, err);
        if (status != RF_OK)
            return status;
        builder->chunk_events++;
    }
    if (shape) {
        (void)take_arrays(builder, event->data_nodes, event->data_node_count, false);
        (void)take_arrays(builder, event->metadata_nodes, event->metadata_node_count, false);
    } else {
        take_rest_bytes(builder, event->data);
        rf_buf_append_slice(&builder->chunk, event->metadata);
        builder->failed |= !push_size(&builder->metadata_sizes, &builder->metadata_count,
                                      &builder->metadata_capacity, event->metadata.size);
    }
    return rf_buf_check(&builder->chunk, "building a segment", err);
}

/* Gives the event's values to the lists; returns its shape. */
static uint32_t take_values(rf_segment_builder *builder, uint32_t type_index, uint32_t ordinal,
                            const rf_event *event)
{
    rf_build_type *type = &builder->types[type_index];
    /* The first events of a segment have none, so that a small one is written as it always is. */
    bool shaping = builder->raw_bytes >= RF_SEGMENT_COMPRESS_MIN;

    if (event->shape) {
        rf_build_take_planned(builder, type_index, ordinal, event);
        return shaping && !builder->failed ? rf_shape_planned(builder, type, event) : 0;
    }
    uint32_t shape = shaping ? rf_shape_find(builder, type, event) : 0;
    if (shape) {
        rf_shape_take(builder, shape, ordinal, event);
        return shape;
    }
    builder->leaf_count = 0;
    builder->leaves_whole = true;
    rf_build_take_root(builder, type, false, ordinal, event->data_nodes, event->data_node_count);
    rf_build_take_root(builder, type, true, ordinal, event->metadata_nodes,
                       event->metadata_node_count);
    return shaping && !builder->failed ? rf_shape_learn(builder, type, event) : 0;
}

rf_status rf_segment_builder_add(rf_segment_builder *builder, const rf_event *event,
                                 const rf_placement *placement, rf_err *err)
{
    uint32_t at = builder->count;

    RF_ASSERT(rf_segment_builder_fits(builder, event));
    RF_ASSERT(event->type.size >= 1 && event->type.size <= RF_TYPE_SIZE_MAX);
    RF_ASSERT(event->data.size > 0 && (!event->metadata.data || event->metadata.size > 0));
    RF_ASSERT(at == 0 || builder->rows[at - 1].position < placement->position);
    const rf_build_plan *plan = rf_build_plan_of(builder, event->shape);
    uint32_t type_index = plan ? plan->type : type_find(builder, event->type);
    if (type_index == UINT32_MAX ||
        !rf_build_grow(&builder->rows, at, &builder->capacity, EVENTS_FIRST, sizeof *builder->rows)) {
        builder->failed = true;
        return rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    }
    uint32_t ordinal = builder->types[type_index].count++;
    builder->count++;
    __builtin_prefetch(&builder->rows[at] + 4, 1);
    uint32_t shape = take_values(builder, type_index, ordinal, event);
    builder->rows[at] = (rf_build_row){
        .version = placement->version,
        .position = placement->position,
        .source_position = event->source_position,
        .time = event->time,
        .schema = event->schema,
        .stream = placement->stream_number,
        .source = placement->source,
        .fingerprint = placement->fingerprint,
        .type = (uint16_t)type_index,
        .shape = builder->shapes && shape ? builder->shapes[shape].number : 0,
    };
    rf_status status = take_payload(builder, event, shape, err);
    if (status == RF_OK && builder->failed)
        status = rf_fail(err, RF_ERR_MEMORY, "building a segment: out of memory");
    builder->failed = status != RF_OK;
    return status;
}
