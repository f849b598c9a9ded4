/* See census.h: types and their totals. Fields: census_tree.c; what is stored: census_record.c. */
#include "log/census.h"

#include "base/checksum.h"
#include "log/census_types.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64 };

#define LIST_BYTES_MAX ((size_t)1 << 30)

rf_census *rf_census_new(void)
{
    rf_census *census = calloc(1, sizeof *census);

    if (!census)
        return NULL;
    rf_census_forest_init(&census->forest);
    rf_arena_init(&census->list, LIST_BYTES_MAX);
    return census;
}

void rf_census_free(rf_census *census)
{
    if (!census)
        return;
    rf_census_forest_free(&census->forest);
    rf_arena_free(&census->list);
    free(census->entries);
    free(census->slots);
    free(census->shapes);
    free(census);
}

void rf_census_clear(rf_census *census)
{
    rf_census_forest_clear(&census->forest);
    rf_arena_reset(&census->list);
    census->count = 0;
    census->last = 0;
    for (uint32_t i = 0; i < census->shape_count; i++)
        census->shapes[i].events = 0;
    census->shape_count = 0;
    if (census->slots)
        memset(census->slots, 0, census->slot_count * sizeof *census->slots);
}

static uint32_t slot_of(const rf_census *census, rf_slice type, int64_t schema)
{
    uint64_t hash = rf_checksum_seeded(type, (uint64_t)schema);
    uint32_t at = (uint32_t)hash & (census->slot_count - 1);

    while (census->slots[at]) {
        const rf_census_entry *entry = &census->entries[census->slots[at] - 1];
        if (entry->schema == schema && rf_slice_equal(entry->type, type))
            break;
        at = (at + 1) & (census->slot_count - 1);
    }
    return at;
}

static rf_status out_of_memory(const rf_census *census, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "census: out of memory with %u types", census->count);
}

/* Room for one more entry and its slot. */
static bool entries_grow(rf_census *census)
{
    if (census->count == census->capacity) {
        size_t capacity = census->capacity ? 2 * (size_t)census->capacity : SLOTS_MIN / 2;
        rf_census_entry *entries = capacity <= UINT32_MAX / 4
                                       ? realloc(census->entries, capacity * sizeof *entries)
                                       : NULL;
        if (!entries)
            return false;
        census->entries = entries;
        census->capacity = (uint32_t)capacity;
    }
    if (2 * (census->count + 1) <= census->slot_count)
        return true;
    uint32_t slot_count = census->slot_count ? 2 * census->slot_count : SLOTS_MIN;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return false;
    free(census->slots);
    census->slots = slots;
    census->slot_count = slot_count;
    for (uint32_t i = 0; i < census->count; i++)
        slots[slot_of(census, census->entries[i].type, census->entries[i].schema)] = i + 1;
    return true;
}

rf_status rf_census_entry_find(rf_census *census, rf_slice type, int64_t schema,
                               rf_census_entry **entry_out, rf_err *err)
{
    rf_census_entry made = {.schema = schema, .time_min = RF_TIME_NONE, .time_max = RF_TIME_NONE};

    if (census->last < census->count) {
        rf_census_entry *last = &census->entries[census->last];
        if (last->schema == schema && rf_slice_equal(last->type, type)) {
            *entry_out = last;
            return RF_OK;
        }
    }
    if (!entries_grow(census))
        return out_of_memory(census, err);
    uint32_t slot = slot_of(census, type, schema);
    if (!census->slots[slot]) {
        made.type = rf_arena_copy(&census->forest.names, type);
        if (!made.type.data)
            return out_of_memory(census, err);
        rf_status status = rf_census_tree_init(&census->forest, &made.tree, err);
        if (status != RF_OK)
            return status;
        census->entries[census->count++] = made;
        census->slots[slot] = census->count;
    }
    census->last = census->slots[slot] - 1;
    *entry_out = &census->entries[census->last];
    return RF_OK;
}

/* Widens the range of positions and times. */
static void add_range(rf_census_entry *entry, uint64_t first, uint64_t last, int64_t time_min,
                      int64_t time_max)
{
    if (entry->events == 0 || first < entry->first_position)
        entry->first_position = first;
    if (entry->events == 0 || last > entry->last_position)
        entry->last_position = last;
    if (time_min == RF_TIME_NONE)
        return;
    if (entry->time_min == RF_TIME_NONE || time_min < entry->time_min)
        entry->time_min = time_min;
    if (entry->time_max == RF_TIME_NONE || time_max > entry->time_max)
        entry->time_max = time_max;
}

static rf_status count_nodes(rf_census *census, rf_census_entry *entry, const rf_json_node *data,
                             uint32_t data_count, const rf_json_node *metadata,
                             uint32_t metadata_count, uint64_t events, rf_err *err)
{
    rf_status status =
        rf_census_tree_count(&census->forest, &entry->tree, 0, data, data_count, events, err);
    if (status != RF_OK || metadata_count == 0)
        return status;
    return rf_census_tree_count(&census->forest, &entry->tree, 1, metadata, metadata_count, events,
                                err);
}

/* The slot of a shape; NULL without memory. */
static rf_census_shape *shape_slot(rf_census *census, uint32_t id)
{
    RF_ASSERT(id < RF_EVENT_SHAPES_MAX);
    if (!census->shapes)
        census->shapes = calloc(RF_EVENT_SHAPES_MAX, sizeof *census->shapes);
    if (!census->shapes)
        return NULL;
    if (id >= census->shape_count)
        census->shape_count = id + 1;
    return &census->shapes[id];
}

rf_status rf_census_count_event(rf_census *census, const rf_event *event, uint64_t position,
                                rf_err *err)
{
    rf_census_shape *shape = event->shape ? shape_slot(census, event->shape->id) : NULL;
    rf_census_entry *entry;

    if (shape && shape->events > 0 && shape->schema == event->schema) {
        entry = &census->entries[shape->entry];
        shape->events++;
    } else {
        rf_status status =
            rf_census_entry_find(census, event->type, event->schema, &entry, err);
        if (status == RF_OK && shape && shape->events == 0)
            *shape = (rf_census_shape){
                event->shape, event->schema, 1, (uint32_t)(entry - census->entries)};
        else if (status == RF_OK)
            status = count_nodes(census, entry, event->data_nodes, event->data_node_count,
                                 event->metadata_nodes, event->metadata_node_count, 1, err);
        if (status != RF_OK)
            return status;
    }
    add_range(entry, position, position, event->time, event->time);
    entry->events++;
    return RF_OK;
}

rf_status rf_census_settle(rf_census *census, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < census->shape_count && status == RF_OK; i++) {
        rf_census_shape *slot = &census->shapes[i];
        const rf_event_shape *shape = slot->shape;
        if (slot->events == 0)
            continue;
        status = count_nodes(census, &census->entries[slot->entry], shape->data_nodes,
                             shape->data_node_count, shape->metadata_nodes,
                             shape->metadata_node_count, slot->events, err);
        slot->events = 0;
    }
    census->shape_count = 0;
    return status;
}

rf_status rf_census_entry_add(rf_census *census, const rf_census *other,
                              const rf_census_entry *entry, rf_err *err)
{
    rf_census_entry *to;

    rf_status status = rf_census_entry_find(census, entry->type, entry->schema, &to, err);
    if (status != RF_OK)
        return status;
    add_range(to, entry->first_position, entry->last_position, entry->time_min, entry->time_max);
    to->events += entry->events;
    return rf_census_tree_add(&census->forest, &to->tree, &other->forest, &entry->tree, err);
}

rf_status rf_census_add(rf_census *census, const rf_census *other, rf_err *err)
{
    RF_ASSERT(census != other);
    RF_ASSERT(other->shape_count == 0);
    for (uint32_t i = 0; i < other->count; i++) {
        rf_status status = rf_census_entry_add(census, other, &other->entries[i], err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

/* A field on its way into a list, with its depth: the shallow ones are listed first where not all
 * are. */
typedef struct listed_field {
    rf_census_field field;
    unsigned depth;
} listed_field;

typedef struct field_walk {
    const rf_census *census;
    rf_arena *arena;
    listed_field *fields;
    uint32_t count;
    rf_path path;
    rf_slice parts[RF_SEGMENT_DEPTH_MAX];
    rf_buf text;
} field_walk;

static rf_status list_below(field_walk *walk, uint32_t parent, unsigned depth, rf_err *err)
{
    const rf_census_node *nodes = walk->census->forest.nodes;

    for (uint32_t at = nodes[parent].first_child; at; at = nodes[at].next) {
        listed_field *listed = &walk->fields[walk->count];
        RF_ASSERT(depth < RF_SEGMENT_DEPTH_MAX && walk->count < RF_CENSUS_NODES_MAX);
        walk->parts[depth] = nodes[at].name;
        walk->path.part_count = (uint8_t)(depth + 1);
        rf_buf_clear(&walk->text);
        rf_path_append(&walk->text, &walk->path);
        rf_status status = rf_buf_check(&walk->text, "census: path of a field", err);
        if (status != RF_OK)
            return status;
        listed->depth = depth;
        listed->field.path = rf_arena_copy(walk->arena, rf_buf_slice(&walk->text));
        if (!listed->field.path.data)
            return out_of_memory(walk->census, err);
        memcpy(listed->field.counts, nodes[at].counts, sizeof listed->field.counts);
        walk->count++;
        status = list_below(walk, at, depth + 1, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

static int compare_depths(const void *a, const void *b)
{
    const listed_field *left = a;
    const listed_field *right = b;

    if (left->depth != right->depth)
        return left->depth < right->depth ? -1 : 1;
    return rf_slice_compare(left->field.path, right->field.path);
}

static int compare_paths(const void *a, const void *b)
{
    const rf_census_field *left = a;
    const rf_census_field *right = b;

    return rf_slice_compare(left->path, right->path);
}

static rf_status list_fields(field_walk *walk, const rf_census_entry *entry, rf_census_type *type,
                             rf_err *err)
{
    walk->count = 0;
    for (unsigned root = 0; root < RF_CENSUS_ROOTS; root++) {
        walk->path = (rf_path){.metadata = root == 1, .parts = walk->parts};
        rf_status status = list_below(walk, entry->tree.roots[root], 0, err);
        if (status != RF_OK)
            return status;
    }
    if (walk->count > RF_SEGMENT_COLUMNS_MAX) {
        qsort(walk->fields, walk->count, sizeof *walk->fields, compare_depths);
        walk->count = RF_SEGMENT_COLUMNS_MAX;
        type->capped = true;
    }
    rf_census_field *fields = rf_arena_alloc(walk->arena, walk->count * sizeof *fields);
    if (!fields)
        return out_of_memory(walk->census, err);
    for (uint32_t i = 0; i < walk->count; i++)
        fields[i] = walk->fields[i].field;
    qsort(fields, walk->count, sizeof *fields, compare_paths);
    type->fields = fields;
    type->field_count = walk->count;
    return RF_OK;
}

static int compare_types(const void *a, const void *b)
{
    const rf_census_type *left = a;
    const rf_census_type *right = b;
    int order = rf_slice_compare(left->type, right->type);

    return order ? order : (left->schema > right->schema) - (left->schema < right->schema);
}

rf_status rf_census_list(rf_census *census, const rf_census_type **types_out, uint32_t *count_out,
                         rf_err *err)
{
    rf_status status = RF_OK;
    field_walk walk = {.census = census, .arena = &census->list};

    rf_arena_reset(&census->list);
    rf_buf_init(&walk.text, 2 * RF_EVENT_SIZE_MAX);
    rf_census_type *types = rf_arena_alloc(&census->list, census->count * sizeof *types);
    walk.fields = malloc(RF_CENSUS_NODES_MAX * sizeof *walk.fields);
    if (!types || !walk.fields)
        status = out_of_memory(census, err);
    for (uint32_t i = 0; i < census->count && status == RF_OK; i++) {
        const rf_census_entry *entry = &census->entries[i];
        types[i] = (rf_census_type){
            .type = entry->type,
            .schema = entry->schema,
            .events = entry->events,
            .first_position = entry->first_position,
            .last_position = entry->last_position,
            .time_min = entry->time_min,
            .time_max = entry->time_max,
            .capped = entry->tree.capped,
        };
        status = list_fields(&walk, entry, &types[i], err);
    }
    free(walk.fields);
    rf_buf_free(&walk.text);
    if (status != RF_OK)
        return status;
    qsort(types, census->count, sizeof *types, compare_types);
    *types_out = types;
    *count_out = census->count;
    return RF_OK;
}

static bool needs_quotes(rf_slice part)
{
    if (part.size == 0)
        return true;
    for (size_t i = 0; i < part.size; i++) {
        unsigned char byte = (unsigned char)part.data[i];
        if (byte <= ' ' || byte == 0x7f || strchr(".\"'\\?[]", byte))
            return true;
    }
    return false;
}

void rf_path_append(rf_buf *out, const rf_path *path)
{
    if (path->metadata)
        rf_buf_append_slice(out, RF_SLICE("metadata."));
    for (unsigned i = 0; i < path->part_count; i++) {
        rf_slice part = path->parts[i];
        /* A member of data that is called metadata is quoted: without quotes it means the other. */
        bool quoted = needs_quotes(part) ||
                      (i == 0 && !path->metadata && rf_slice_equal(part, RF_SLICE("metadata")));
        if (i > 0)
            rf_buf_append_byte(out, '.');
        if (!quoted) {
            rf_buf_append_slice(out, part);
            continue;
        }
        rf_buf_append_byte(out, '"');
        for (size_t k = 0; k < part.size; k++) {
            if (part.data[k] == '"' || part.data[k] == '\\')
                rf_buf_append_byte(out, '\\');
            rf_buf_append_byte(out, (uint8_t)part.data[k]);
        }
        rf_buf_append_byte(out, '"');
    }
}
