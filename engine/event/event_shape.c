/* See event_shape.h.
 *
 * A shape is known by its key: the raw bytes of data and metadata with a NUL and a kind in place of
 * each value. Equal keys have equal nodes but for their texts. What the shape gives of the raw bytes
 * are pieces of its key.
 */
#include "event/event.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/checksum.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHAPES_BYTES_MAX = 16 << 20, KEY_SIZE_MAX = 64 << 10, NODES_MAX = 512 };

struct rf_event_shapes {
    pthread_mutex_t mutex;
    /* guarded by mutex; a shape itself is fixed once it is made */
    rf_arena memory;
    uint32_t count;
    struct {
        uint64_t hash;
        rf_slice key;
        const rf_event_shape *shape;
    } known[RF_EVENT_SHAPES_MAX];
};

rf_event_shapes *rf_event_shapes_new(void)
{
    rf_event_shapes *shapes = calloc(1, sizeof *shapes);

    if (!shapes)
        return NULL;
    (void)pthread_mutex_init(&shapes->mutex, NULL);
    rf_arena_init(&shapes->memory, SHAPES_BYTES_MAX);
    return shapes;
}

void rf_event_shapes_free(rf_event_shapes *shapes)
{
    if (!shapes)
        return;
    rf_arena_free(&shapes->memory);
    (void)pthread_mutex_destroy(&shapes->mutex);
    free(shapes);
}

static bool is_value(const rf_json_node *node)
{
    return node->kind == RF_JSON_INTEGER || node->kind == RF_JSON_NUMBER ||
           node->kind == RF_JSON_STRING;
}

/* Whether these nodes are of an object that a shape may have: few members, no arrays, and no object
 * with two members of one name. */
static bool is_plain(const rf_json_node *nodes, uint32_t count)
{
    if (count > NODES_MAX || nodes[0].kind != RF_JSON_OBJECT)
        return false;
    for (uint32_t object = 0; object < count; object++) {
        if (nodes[object].kind == RF_JSON_ARRAY)
            return false;
        if (nodes[object].kind != RF_JSON_OBJECT)
            continue;
        for (uint32_t a = object + 1; a < nodes[object].next; a = nodes[a].next)
            for (uint32_t b = object + 1; b < a; b = nodes[b].next)
                if (rf_slice_equal(rf_json_key(&nodes[a]), rf_json_key(&nodes[b])))
                    return false;
    }
    return true;
}

/* Appends raw bytes to a key, without the values; false where a string had escapes: its text does
 * not stand in them. */
static bool key_append(rf_buf *key, rf_slice raw, const rf_json_node *nodes, uint32_t count)
{
    const char *at = raw.data;
    const char *end = raw.data + raw.size;

    for (uint32_t i = 0; i < count; i++) {
        uintptr_t text = (uintptr_t)nodes[i].text;
        if (!is_value(&nodes[i]))
            continue;
        if (text < (uintptr_t)at || text >= (uintptr_t)end)
            return false;
        rf_buf_append(key, at, (size_t)(nodes[i].text - at));
        rf_buf_append_byte(key, 0);
        rf_buf_append_byte(key, nodes[i].kind);
        at = nodes[i].text + nodes[i].text_size;
    }
    rf_buf_append(key, at, (size_t)(end - at));
    rf_buf_append_byte(key, 0);
    rf_buf_append_byte(key, UINT8_MAX);
    return !key->failed;
}

/* The piece of a key up to its next NUL; *at is moved behind that and the byte that follows. */
static rf_slice key_piece(const char **at)
{
    rf_slice piece = rf_slice_of(*at);

    *at += piece.size + 2;
    return piece;
}

/* The values of data or metadata, whose first node is `first`; returns the bytes behind the last.
 */
static rf_slice values_make(rf_event_shape *shape, rf_shape_value *values, uint32_t first,
                            uint32_t count, const char **key_at)
{
    for (uint32_t i = first; i < first + count; i++) {
        if (!is_value(&shape->data_nodes[i]))
            continue;
        values[shape->value_count++] = (rf_shape_value){
            .before = key_piece(key_at), .node = i, .kind = shape->data_nodes[i].kind};
    }
    return key_piece(key_at);
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

static rf_event_shape *shape_make(rf_arena *memory, const rf_event *event, rf_slice key)
{
    uint32_t data_count = event->data_node_count;
    uint32_t count = data_count + event->metadata_node_count;
    rf_event_shape *shape = rf_arena_alloc(memory, sizeof *shape);
    rf_json_node *nodes = rf_arena_alloc(memory, count * sizeof *nodes);
    rf_shape_value *values = rf_arena_alloc(memory, count * sizeof *values);
    const char *at = key.data + 1;

    if (!shape || !nodes || !values)
        return NULL;
    *shape = (rf_event_shape){
        .type = rf_arena_copy(memory, event->type),
        .type_hash = rf_checksum(event->type),
        .data_node_count = data_count,
        .metadata_node_count = event->metadata_node_count,
        .data_nodes = nodes,
        .metadata_nodes = nodes + data_count,
        .values = values,
        .metadata_first = key.data[0] != 0,
    };
    if (!shape->type.data || !nodes_copy(memory, event->data_nodes, data_count, nodes) ||
        !nodes_copy(memory, event->metadata_nodes, event->metadata_node_count, nodes + data_count))
        return NULL;
    if (shape->metadata_first)
        shape->metadata_end =
            values_make(shape, values, data_count, event->metadata_node_count, &at);
    shape->data_end = values_make(shape, values, 0, data_count, &at);
    if (event->metadata_node_count > 0 && !shape->metadata_first)
        shape->metadata_end =
            values_make(shape, values, data_count, event->metadata_node_count, &at);
    return shape->value_count <= RF_EVENT_VALUES_MAX ? shape : NULL;
}

static const rf_event_shape *find_or_make(rf_event_shapes *shapes, const rf_event *event,
                                          rf_slice key)
{
    uint64_t hash = rf_checksum(key);

    for (uint32_t i = 0; i < shapes->count; i++) {
        if (shapes->known[i].hash == hash && rf_slice_equal(shapes->known[i].key, key))
            return shapes->known[i].shape;
    }
    if (shapes->count == RF_EVENT_SHAPES_MAX)
        return NULL;
    rf_slice kept = rf_arena_copy(&shapes->memory, key);
    rf_event_shape *made = kept.data ? shape_make(&shapes->memory, event, kept) : NULL;
    if (!made)
        return NULL;
    made->id = shapes->count;
    shapes->known[shapes->count].hash = hash;
    shapes->known[shapes->count].key = kept;
    shapes->known[shapes->count++].shape = made;
    return made;
}

const rf_event_shape *rf_event_shapes_find(rf_event_shapes *shapes, const rf_event *event)
{
    bool has_metadata = event->metadata_node_count > 0;
    bool metadata_first = has_metadata && event->metadata.data < event->data.data;
    const rf_event_shape *shape = NULL;
    rf_buf key;

    RF_ASSERT(event->data_node_count > 0);
    if (!is_plain(event->data_nodes, event->data_node_count) ||
        (has_metadata && !is_plain(event->metadata_nodes, event->metadata_node_count)))
        return NULL;
    rf_buf_init(&key, KEY_SIZE_MAX);
    rf_buf_append_byte(&key, metadata_first);
    bool keyed = !metadata_first || key_append(&key, event->metadata, event->metadata_nodes,
                                               event->metadata_node_count);
    keyed = keyed && key_append(&key, event->data, event->data_nodes, event->data_node_count);
    if (has_metadata && !metadata_first)
        keyed = keyed && key_append(&key, event->metadata, event->metadata_nodes,
                                    event->metadata_node_count);
    rf_buf_append_slice(&key, event->type);
    if (keyed && !key.failed) {
        (void)pthread_mutex_lock(&shapes->mutex);
        shape = find_or_make(shapes, event, rf_buf_slice(&key));
        (void)pthread_mutex_unlock(&shapes->mutex);
    }
    rf_buf_free(&key);
    return shape;
}

void rf_event_fill_nodes(const rf_event *event, rf_json_node *nodes_out)
{
    const rf_event_shape *shape = event->shape;

    memcpy(nodes_out, shape->data_nodes,
           (shape->data_node_count + shape->metadata_node_count) * sizeof *nodes_out);
    for (uint32_t i = 0; i < shape->value_count; i++) {
        nodes_out[shape->values[i].node].text = event->values[i].text;
        nodes_out[shape->values[i].node].text_size = event->values[i].text_size;
    }
}
