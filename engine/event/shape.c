/* See shape.h. */
#include "event/shape.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/checksum.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHAPES_BYTES_MAX = 16 << 20, NODES_MAX = 512 };

struct rf_shapes {
    pthread_mutex_t mutex;
    /* guarded by mutex; a shape itself is fixed once it is made */
    rf_arena memory;
    uint32_t count;
    const rf_shape *shapes[RF_SHAPES_MAX];
};

rf_shapes *rf_shapes_new(void)
{
    rf_shapes *shapes = calloc(1, sizeof *shapes);

    if (!shapes)
        return NULL;
    (void)pthread_mutex_init(&shapes->mutex, NULL);
    rf_arena_init(&shapes->memory, SHAPES_BYTES_MAX);
    return shapes;
}

void rf_shapes_free(rf_shapes *shapes)
{
    if (!shapes)
        return;
    rf_arena_free(&shapes->memory);
    (void)pthread_mutex_destroy(&shapes->mutex);
    free(shapes);
}

static uint64_t nodes_hash(const rf_json_node *nodes, uint32_t count, uint64_t seed)
{
    uint64_t hash = seed ^ count;

    for (uint32_t i = 0; i < count; i++) {
        hash = rf_checksum_seeded(rf_json_key(&nodes[i]), hash);
        hash = hash * 31 + ((uint64_t)nodes[i].kind << 8 | nodes[i].depth);
    }
    return hash;
}

static bool nodes_equal(const rf_json_node *a, const rf_json_node *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (a[i].kind != b[i].kind || a[i].depth != b[i].depth || a[i].next != b[i].next ||
            !a[i].key != !b[i].key || !rf_slice_equal(rf_json_key(&a[i]), rf_json_key(&b[i])))
            return false;
    }
    return true;
}

/* Nodes without texts; false without memory. */
static bool nodes_copy(rf_arena *memory, const rf_json_node *from, uint32_t count, rf_json_node *to)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].text = "";
        to[i].text_size = 0;
        if (from[i].key) {
            to[i].key = rf_arena_copy(memory, rf_json_key(&from[i])).data;
            if (!to[i].key)
                return false;
        }
    }
    return true;
}

/* Whether an object has two members of one name. */
static bool has_equal_members(const rf_json_node *nodes, uint32_t count)
{
    for (uint32_t object = 0; object < count; object++) {
        if (nodes[object].kind != RF_JSON_OBJECT)
            continue;
        for (uint32_t a = object + 1; a < nodes[object].next; a = nodes[a].next)
            for (uint32_t b = object + 1; b < a; b = nodes[b].next)
                if (rf_slice_equal(rf_json_key(&nodes[a]), rf_json_key(&nodes[b])))
                    return true;
    }
    return false;
}

static bool is_value(const rf_json_node *node)
{
    return node->kind == RF_JSON_INTEGER || node->kind == RF_JSON_NUMBER ||
           node->kind == RF_JSON_STRING;
}

static const rf_shape *shape_make(rf_shapes *shapes, const rf_shape *like)
{
    uint32_t count = like->data_node_count + like->metadata_node_count;
    rf_shape *shape = rf_arena_alloc(&shapes->memory, sizeof *shape);
    rf_json_node *nodes = rf_arena_alloc(&shapes->memory, count * sizeof *nodes);
    uint32_t *value_nodes = rf_arena_alloc(&shapes->memory, count * sizeof *value_nodes);

    if (!shape || !nodes || !value_nodes)
        return NULL;
    *shape = *like;
    shape->type = rf_arena_copy(&shapes->memory, like->type);
    if (!shape->type.data ||
        !nodes_copy(&shapes->memory, like->data_nodes, like->data_node_count, nodes) ||
        !nodes_copy(&shapes->memory, like->metadata_nodes, like->metadata_node_count,
                    nodes + like->data_node_count))
        return NULL;
    shape->data_nodes = nodes;
    shape->metadata_nodes = nodes + like->data_node_count;
    shape->value_nodes = value_nodes;
    uint32_t first = like->metadata_first ? like->data_node_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = first + i < count ? first + i : first + i - count;
        if (is_value(&nodes[node]))
            value_nodes[shape->value_count++] = node;
    }
    return shape->value_count <= RF_SHAPE_VALUES_MAX ? shape : NULL;
}

static const rf_shape *find_or_make(rf_shapes *shapes, const rf_shape *like)
{
    for (uint32_t i = 0; i < shapes->count; i++) {
        const rf_shape *shape = shapes->shapes[i];
        if (shape->hash == like->hash && rf_slice_equal(shape->type, like->type) &&
            shape->data_node_count == like->data_node_count &&
            shape->metadata_node_count == like->metadata_node_count &&
            nodes_equal(shape->data_nodes, like->data_nodes, like->data_node_count) &&
            shape->metadata_first == like->metadata_first &&
            nodes_equal(shape->metadata_nodes, like->metadata_nodes, like->metadata_node_count))
            return shape;
    }
    if (shapes->count == RF_SHAPES_MAX || like->data_node_count > NODES_MAX ||
        like->metadata_node_count > NODES_MAX ||
        has_equal_members(like->data_nodes, like->data_node_count) ||
        has_equal_members(like->metadata_nodes, like->metadata_node_count))
        return NULL;
    const rf_shape *made = shape_make(shapes, like);
    if (made)
        shapes->shapes[shapes->count++] = made;
    return made;
}

const rf_shape *rf_shapes_find(rf_shapes *shapes, rf_slice type, const rf_json_node *data_nodes,
                               uint32_t data_node_count, const rf_json_node *metadata_nodes,
                               uint32_t metadata_node_count, bool metadata_first)
{
    rf_shape like = {
        .type = type,
        .data_nodes = data_nodes,
        .data_node_count = data_node_count,
        .metadata_nodes = metadata_nodes,
        .metadata_node_count = metadata_node_count,
        .metadata_first = metadata_first,
    };

    RF_ASSERT(data_node_count > 0);
    like.hash = nodes_hash(data_nodes, data_node_count, rf_checksum(type));
    like.hash = nodes_hash(metadata_nodes, metadata_node_count, like.hash);
    (void)pthread_mutex_lock(&shapes->mutex);
    like.id = shapes->count;
    const rf_shape *shape = find_or_make(shapes, &like);
    (void)pthread_mutex_unlock(&shapes->mutex);
    return shape;
}
