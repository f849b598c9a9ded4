/* Taking events that have a shape (event/event_shape.h) into a segment: their members are looked for once
 * a segment. See segment_build.h.
 *
 * The first event of a shape is taken like any other, with nodes. Then all its paths are in the
 * type's tree, and the plan of the shape is where each value goes: which list. An object that gets
 * too many members later is capped, and what its lists have had or get is left out at the end, so a
 * plan stays right until the segment is finished.
 */
#include "log/segment_build.h"

#include <stdlib.h>

/* A plan on its way. */
typedef struct planning {
    rf_segment_builder *builder;
    const rf_event_shape *shape;
    rf_build_plan *plan;
    uint32_t planned; /* values that have a target */
} planning;

/* Index of the value of a node, which counts from the data's first. */
static uint32_t value_of(const rf_event_shape *shape, uint32_t node)
{
    uint32_t value = 0;

    while (value < shape->value_count && shape->values[value].node != node)
        value++;
    return value;
}

/* Its slot: those of data come before those of metadata. */
static uint32_t slot_of(const rf_event_shape *shape, uint32_t value)
{
    bool in_metadata = shape->values[value].node >= shape->data_node_count;
    uint32_t slot = 0;

    for (uint32_t i = 0; i < shape->value_count; i++) {
        bool other_in_metadata = shape->values[i].node >= shape->data_node_count;
        slot += other_in_metadata == in_metadata ? i < value : in_metadata;
    }
    return slot;
}

static void plan_scalar(planning *from, uint32_t tree_node, uint32_t shape_node)
{
    rf_segment_builder *builder = from->builder;
    rf_build_target target = {.value = RF_BUILD_CONSTANT};
    const rf_json_node *json = &from->shape->data_nodes[shape_node];

    switch ((rf_json_kind)json->kind) {
    case RF_JSON_INTEGER:
        target.kind = RF_FIELD_INT;
        break;
    case RF_JSON_NUMBER:
        target.kind = RF_FIELD_EXACT;
        break;
    case RF_JSON_STRING:
        target.kind = RF_FIELD_TEXT;
        break;
    case RF_JSON_TRUE:
    case RF_JSON_FALSE:
        target.kind = RF_FIELD_BOOL;
        target.constant = json->kind == RF_JSON_TRUE;
        break;
    case RF_JSON_NULL:
    case RF_JSON_ARRAY:
    case RF_JSON_OBJECT:
        return;
    }
    if (target.kind != RF_FIELD_BOOL) {
        target.value = (uint16_t)value_of(from->shape, shape_node);
        target.slot = (uint16_t)slot_of(from->shape, target.value);
    }
    if (!rf_build_list_of(builder, &builder->nodes[tree_node], (rf_field_kind)target.kind)) {
        builder->failed = true;
        return;
    }
    target.list = builder->nodes[tree_node].lists[target.kind];
    target.node = tree_node;
    from->planned += target.value != RF_BUILD_CONSTANT;
    from->plan->has_fractions |= json->kind == RF_JSON_NUMBER;
    from->plan->targets[from->plan->target_count++] = target;
}

/* The child of that name; 0: none. */
static uint32_t child_of(const rf_segment_builder *builder, uint32_t parent, rf_slice key)
{
    uint32_t at = builder->nodes[parent].first_child;

    while (at && !rf_short_equal(builder->nodes[at].key, key))
        at = builder->nodes[at].next_sibling;
    return at;
}

/* Plans the members of an object; `base` is the node that `next` counts from. */
static void plan_members(planning *from, uint32_t parent, uint32_t base, uint32_t object)
{
    const rf_segment_builder *builder = from->builder;
    const rf_json_node *json = from->shape->data_nodes + base;

    if (builder->nodes[parent].capped)
        return;
    for (uint32_t i = object + 1; i < json[object].next; i = json[i].next) {
        uint32_t child = child_of(builder, parent, rf_json_key(&json[i]));
        if (child && json[i].kind == RF_JSON_OBJECT)
            plan_members(from, child, base, i); /* as deep as RF_SEGMENT_DEPTH_MAX */
        else if (child)
            plan_scalar(from, child, base + i);
    }
}

static void plan_make(rf_segment_builder *builder, uint32_t type, const rf_event_shape *shape)
{
    uint32_t count = shape->data_node_count + shape->metadata_node_count;
    rf_build_plan *plan =
        rf_arena_alloc(&builder->names, sizeof *plan + count * sizeof *plan->targets);

    if (!builder->plans)
        builder->plans = calloc(RF_EVENT_SHAPES_MAX, sizeof(rf_build_plan *));
    if (!plan || !builder->plans) {
        builder->failed = true;
        return;
    }
    *plan = (rf_build_plan){.type = type};
    planning from = {.builder = builder, .shape = shape, .plan = plan};
    const uint32_t *roots = builder->types[type].roots;
    if (roots[0])
        plan_members(&from, roots[0], 0, 0);
    if (roots[1] && shape->metadata_node_count > 0)
        plan_members(&from, roots[1], shape->data_node_count, 0);
    plan->whole = from.planned == shape->value_count;
    RF_ASSERT(shape->id < RF_EVENT_SHAPES_MAX);
    builder->plans[shape->id] = plan;
    if (shape->id >= builder->plan_count)
        builder->plan_count = shape->id + 1;
}

static void take_first(rf_segment_builder *builder, uint32_t type, uint32_t ordinal,
                       const rf_event *event)
{
    const rf_event_shape *shape = event->shape;
    rf_json_node *nodes =
        rf_arena_alloc(&builder->names,
                       (shape->data_node_count + shape->metadata_node_count) * sizeof *nodes);

    if (!nodes) {
        builder->failed = true;
        return;
    }
    rf_event_fill_nodes(event, nodes);
    rf_build_take_root(builder, &builder->types[type], false, ordinal, nodes,
                       shape->data_node_count);
    rf_build_take_root(builder, &builder->types[type], true, ordinal,
                       nodes + shape->data_node_count, shape->metadata_node_count);
    if (!builder->failed)
        plan_make(builder, type, shape);
}

/* Most texts are short: their head is copied without asking how long they are, and what is too much is
 * written over. */
static inline bool put_text(rf_build_list *list, uint32_t ordinal, const rf_event_value *given)
{
    rf_buf *bytes = &list->bytes;

    if (given->text_size > RF_EVENT_VALUE_HEAD ||
        bytes->capacity - bytes->size < RF_EVENT_VALUE_HEAD)
        return rf_build_list_put_text(list, ordinal, rf_event_value_text(given));
    memcpy(bytes->data + bytes->size, given->head, RF_EVENT_VALUE_HEAD);
    bytes->size += given->text_size;
    return rf_build_list_put(list, ordinal, (int64_t)bytes->size);
}

void rf_segment_builder_prefetch(const rf_segment_builder *builder, bool tails)
{
    enum { LISTS_MAX = 64, LINE = 64 };
    uint32_t count = builder->list_count < LISTS_MAX ? builder->list_count : LISTS_MAX;

    if (!tails) {
        const char *lists = (const char *)builder->lists;
        for (size_t at = 0; at < count * sizeof *builder->lists; at += LINE)
            __builtin_prefetch(lists + at, 1);
        return;
    }
    if (builder->count > 0)
        __builtin_prefetch(&builder->rows[builder->count], 1);
    for (uint32_t i = 1; i < count; i++) {
        const rf_build_list *list = &builder->lists[i];
        if (list->count > 0)
            __builtin_prefetch(&list->values[list->count], 1);
        if (list->bytes.size > 0)
            __builtin_prefetch(list->bytes.data + list->bytes.size, 1);
    }
}

void rf_build_take_planned(rf_segment_builder *builder, uint32_t type, uint32_t ordinal,
                         const rf_event *event)
{
    const rf_build_plan *plan = rf_build_plan_of(builder, event->shape);

    if (!plan) {
        take_first(builder, type, ordinal, event);
        return;
    }
    bool taken = true;
    for (uint32_t i = 0; i < plan->target_count; i++) {
        const rf_build_target *target = &plan->targets[i];
        rf_build_list *list = &builder->lists[target->list];
        if (target->value == RF_BUILD_CONSTANT) {
            taken &= rf_build_list_put(list, ordinal, target->constant);
            continue;
        }
        const rf_event_value *given = &event->values[target->value];
        if (target->kind == RF_FIELD_TEXT)
            taken &= put_text(list, ordinal, given);
        else if (target->kind == RF_FIELD_EXACT)
            taken &= rf_build_list_put_exact(list, ordinal, given->value, given->scale);
        else
            taken &= rf_build_list_put(list, ordinal, given->value);
    }
    builder->failed |= !taken;
}
