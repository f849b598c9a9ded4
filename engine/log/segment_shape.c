/* Shapes: what the events of a type have in common, so that their bytes need not be stored.
 *
 * A shape is the literal bytes of data and metadata with slots between them. Each slot is a value
 * whose node in the builder's tree has it in its lists, so the columns have it too, or an array,
 * whose bytes go to the chunks. An event has a shape if literals and values, written one after
 * another, are its bytes: each is compared before it is taken. So what is stored for it is the
 * shape's number.
 *
 * A value is written in one way only, by its column: integers and numbers as their literal, texts
 * with the escapes that JSON demands and no others. Numbers with a fraction have the column's
 * scale, not their own; so a slot either has a fixed number of decimals, or as few as each needs.
 * What is written otherwise has no shape.
 *
 * A shape is made of an event that has none, while the shapes of a segment are small beside what
 * was taken. docs/FORMAT.md says how they are stored, payload_shape.c reads them.
 */
#include "log/segment_build.h"

#include "event/value.h"

enum {
    SHAPE_BYTES_FREE = 2048, /* of shapes in a segment, besides a part of its raw bytes */
    SHAPE_BYTES_PART = 16,
    SHAPE_SLOT_COST = 4,
    DECIMALS_MAX = RF_SLOT_STYLES - 1,
};

static inline bool literal_is(const char *at, const char *stop, rf_slice literal)
{
    return (size_t)(stop - at) >= literal.size &&
           rf_short_equal((rf_slice){at, literal.size}, literal);
}

/* How a number is written: its decimals, and whether one of them is a zero that it does not need.
 * False where it has no fraction, or an exponent, or too many decimals: then it is kept as text. */
static bool fraction_of(rf_slice text, unsigned *scale_out, bool *trimmed_out)
{
    const char *point = memchr(text.data, '.', text.size);

    if (!point)
        return false;
    size_t scale = text.size - 1 - (size_t)(point - text.data);
    for (size_t i = text.size - scale; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    if (scale > DECIMALS_MAX)
        return false;
    *scale_out = (unsigned)scale;
    *trimmed_out = scale == 1 || text.data[text.size - 1] != '0';
    return true;
}

static bool style_fits(const rf_build_slot *slot, unsigned scale, bool trimmed)
{
    switch ((rf_build_style)slot->style) {
    case RF_STYLE_ANY:
        return true;
    case RF_STYLE_EITHER:
        return trimmed || scale == slot->scale;
    case RF_STYLE_FIXED:
        return scale == slot->scale;
    case RF_STYLE_TRIMMED:
        return trimmed;
    }
    return false;
}

/* The slot has a number that fits. */
static void style_note(rf_build_slot *slot, unsigned scale, bool trimmed)
{
    if (slot->style == RF_STYLE_ANY) {
        slot->style = trimmed ? RF_STYLE_EITHER : RF_STYLE_FIXED;
        slot->scale = (uint8_t)scale;
    } else if (slot->style == RF_STYLE_EITHER) {
        slot->style = scale != slot->scale ? RF_STYLE_TRIMMED
                      : trimmed            ? RF_STYLE_EITHER
                                           : RF_STYLE_FIXED;
    }
}

static bool fraction_fits(const rf_build_slot *slot, rf_slice text)
{
    unsigned scale;
    bool trimmed;

    return !fraction_of(text, &scale, &trimmed) || style_fits(slot, scale, trimmed);
}

static void fraction_note(rf_build_slot *slot, rf_slice text)
{
    unsigned scale;
    bool trimmed;

    if (fraction_of(text, &scale, &trimmed))
        style_note(slot, scale, trimmed);
}

/* A text as it is written; NULL where the bytes are others. */
static const char *text_match(rf_segment_builder *builder, const rf_json_node *json,
                              const char *at, const char *stop)
{
    size_t left = (size_t)(stop - at);

    /* It lies there as it is, so it has nothing to escape. */
    if (json->text == at + 1 && left >= 2 && left - 2 >= json->text_size)
        return at[0] == '"' && at[json->text_size + 1] == '"' ? at + json->text_size + 2 : NULL;
    rf_buf_clear(&builder->escaped);
    rf_append_json_string(&builder->escaped, rf_json_text(json));
    if (builder->escaped.failed || !literal_is(at, stop, rf_buf_slice(&builder->escaped)))
        return NULL;
    return at + builder->escaped.size;
}

/* Where the value at `at` ends, if it is this one; else NULL. */
static inline const char *value_match(rf_segment_builder *builder, const rf_build_slot *slot,
                                      const rf_json_node *json, const char *at, const char *stop)
{
    size_t size = json->text_size;

    if ((json->kind == RF_JSON_ARRAY) != (slot->node == 0))
        return NULL;
    if (json->kind == RF_JSON_STRING)
        return text_match(builder, json, at, stop);
    if ((size_t)(stop - at) < size || (json->text != at && memcmp(json->text, at, size) != 0))
        return NULL;
    if (json->kind == RF_JSON_NUMBER && !fraction_fits(slot, rf_json_text(json)))
        return NULL;
    return at + size;
}

/* Whether slots and what stands between and behind them give the bytes. */
static bool root_match(rf_segment_builder *builder, const rf_build_slot *slots, uint32_t count,
                       rf_slice end, rf_slice bytes, const rf_json_node *nodes, uint32_t node_count)
{
    const char *at = bytes.data;
    const char *stop = bytes.data + bytes.size;
    uint32_t used = 0;

    for (uint32_t i = 0; i < node_count;) {
        if (nodes[i].kind == RF_JSON_OBJECT) {
            i++;
            continue;
        }
        if (used == count || !literal_is(at, stop, slots[used].before))
            return false;
        at = value_match(builder, &slots[used], &nodes[i], at + slots[used].before.size, stop);
        if (!at)
            return false;
        used++;
        i = nodes[i].next;
    }
    return used == count && (size_t)(stop - at) == end.size && literal_is(at, stop, end);
}

static bool shape_match(rf_segment_builder *builder, const rf_build_shape *shape,
                        const rf_event *event)
{
    const rf_build_slot *slots = &builder->slots[shape->slot_begin];

    if ((shape->ends[1].data != NULL) != (event->metadata.data != NULL))
        return false;
    return root_match(builder, slots, shape->slot_counts[0], shape->ends[0], event->data,
                      event->data_nodes, event->data_node_count) &&
           (!event->metadata.data ||
            root_match(builder, slots + shape->slot_counts[0], shape->slot_counts[1],
                       shape->ends[1], event->metadata, event->metadata_nodes,
                       event->metadata_node_count));
}

uint32_t rf_shape_find(rf_segment_builder *builder, rf_build_type *type, const rf_event *event)
{
    uint32_t last = type->shape_last;

    if (last && shape_match(builder, &builder->shapes[last], event))
        return last;
    for (uint32_t at = type->shape_first; at; at = builder->shapes[at].next) {
        if (at != last && shape_match(builder, &builder->shapes[at], event)) {
            type->shape_last = at;
            return at;
        }
    }
    return 0;
}

static void root_take(rf_segment_builder *builder, rf_build_slot *slot, uint32_t ordinal,
                      const rf_json_node *nodes, uint32_t node_count)
{
    for (uint32_t i = 0; i < node_count;) {
        if (nodes[i].kind == RF_JSON_OBJECT) {
            i++;
            continue;
        }
        if (nodes[i].kind == RF_JSON_NUMBER)
            fraction_note(slot, rf_json_text(&nodes[i]));
        if (slot->node)
            rf_build_take_value(builder, slot->node, ordinal, &nodes[i]);
        slot++;
        i = nodes[i].next;
    }
}

void rf_shape_take(rf_segment_builder *builder, uint32_t shape, uint32_t ordinal,
                   const rf_event *event)
{
    const rf_build_shape *of = &builder->shapes[shape];
    rf_build_slot *slots = &builder->slots[of->slot_begin];

    root_take(builder, slots, ordinal, event->data_nodes, event->data_node_count);
    root_take(builder, slots + of->slot_counts[0], ordinal, event->metadata_nodes,
              event->metadata_node_count);
}

/* Appends the slots of one root. False where a value does not lie in the bytes as it is (an escaped
 * text), or without memory. */
static bool root_learn(rf_segment_builder *builder, rf_build_shape *shape, unsigned root,
                       rf_slice bytes, const rf_json_node *nodes, uint32_t node_count)
{
    const char *at = bytes.data;
    const char *stop = bytes.data + bytes.size;

    for (uint32_t i = 0; i < node_count;) {
        const rf_json_node *json = &nodes[i];
        if (json->kind == RF_JSON_OBJECT) {
            i++;
            continue;
        }
        const char *text = json->text - (json->kind == RF_JSON_STRING);
        if ((uintptr_t)text < (uintptr_t)at || (uintptr_t)text >= (uintptr_t)stop)
            return false;
        rf_slice before =
            rf_arena_copy(&builder->names, (rf_slice){at, (size_t)(text - at)});
        if (!before.data || !rf_build_grow(&builder->slots, builder->slot_count,
                                           &builder->slot_capacity, 16, sizeof *builder->slots))
            return false;
        uint32_t leaf = builder->slot_count - shape->slot_begin;
        RF_ASSERT(leaf < builder->leaf_count);
        builder->slots[builder->slot_count++] =
            (rf_build_slot){.before = before, .node = builder->leaves[leaf]};
        shape->has_rest |= builder->leaves[leaf] == 0;
        shape->slot_counts[root]++;
        at = json->text + json->text_size + (json->kind == RF_JSON_STRING);
        i = json->next;
    }
    if (at > stop)
        return false;
    shape->ends[root] = rf_arena_copy(&builder->names, (rf_slice){at, (size_t)(stop - at)});
    return shape->ends[root].data != NULL;
}

/* The shape is the builder's from now on. */
static void shape_keep(rf_segment_builder *builder, rf_build_type *type, uint32_t index)
{
    rf_build_shape *shape = &builder->shapes[index];
    uint32_t slot_end = shape->slot_begin + shape->slot_counts[0] + shape->slot_counts[1];

    shape->number = ++type->shape_count;
    if (type->shape_end)
        builder->shapes[type->shape_end].next = index;
    else
        type->shape_first = index;
    type->shape_end = index;
    type->shape_last = index;
    for (uint32_t i = shape->slot_begin; i < slot_end; i++)
        builder->nodes[builder->slots[i].node].shaped = true;
}

uint32_t rf_shape_learn(rf_segment_builder *builder, rf_build_type *type, const rf_event *event)
{
    size_t cost = event->data.size + event->metadata.size + SHAPE_SLOT_COST * builder->leaf_count;
    uint32_t index = builder->shape_count;
    rf_build_shape shape = {.slot_begin = builder->slot_count};

    if (!builder->leaves_whole || builder->leaf_count == 0 || index > RF_BUILD_SHAPES_MAX ||
        builder->shape_bytes + cost > SHAPE_BYTES_FREE + builder->raw_bytes / SHAPE_BYTES_PART ||
        event->data_nodes[0].kind != RF_JSON_OBJECT ||
        (event->metadata.data && event->metadata_nodes[0].kind != RF_JSON_OBJECT))
        return 0;
    if (!rf_build_grow(&builder->shapes, index, &builder->shape_capacity, 16,
                       sizeof *builder->shapes))
        return 0;
    bool whole = root_learn(builder, &shape, 0, event->data, event->data_nodes,
                            event->data_node_count) &&
                 (!event->metadata.data ||
                  root_learn(builder, &shape, 1, event->metadata, event->metadata_nodes,
                             event->metadata_node_count));
    if (!whole || !shape_match(builder, &shape, event)) {
        builder->slot_count = shape.slot_begin;
        return 0;
    }
    uint32_t at = shape.slot_begin;
    for (unsigned root = 0; root < 2; root++) {
        const rf_json_node *nodes = root ? event->metadata_nodes : event->data_nodes;
        uint32_t count = root ? event->metadata_node_count : event->data_node_count;
        for (uint32_t i = 0; i < count;
             i = nodes[i].kind == RF_JSON_OBJECT ? i + 1 : nodes[i].next) {
            if (nodes[i].kind == RF_JSON_NUMBER)
                fraction_note(&builder->slots[at], rf_json_text(&nodes[i]));
            at += nodes[i].kind != RF_JSON_OBJECT;
        }
    }
    builder->shapes[index] = shape;
    builder->shape_count++;
    builder->shape_bytes += cost;
    shape_keep(builder, type, index);
    return index;
}

/* Slots of data or metadata of an event's shape. The quotes of texts are written with their values,
 * not with what stands between. False without memory. */
static bool planned_root(rf_segment_builder *builder, const rf_build_plan *plan,
                         const rf_event_shape *from, rf_build_shape *shape, unsigned root)
{
    bool open = false; /* the value before was a text */

    for (uint32_t i = 0; i < from->value_count; i++) {
        const rf_shape_value *value = &from->values[i];
        rf_slice before = value->before;
        uint32_t target = 0;
        if ((value->node >= from->data_node_count) != (root == 1))
            continue;
        before.data += open;
        before.size -= open;
        open = value->kind == RF_JSON_STRING;
        before.size -= open;
        while (plan->targets[target].value != i)
            target++;
        if (!rf_build_grow(&builder->slots, builder->slot_count, &builder->slot_capacity, 16,
                           sizeof *builder->slots))
            return false;
        builder->slots[builder->slot_count++] =
            (rf_build_slot){.before = before, .node = plan->targets[target].node};
        shape->slot_counts[root]++;
    }
    rf_slice end = root ? from->metadata_end : from->data_end;
    shape->ends[root] = (rf_slice){end.data + open, end.size - open};
    return true;
}

/* A shape of the segment made of an event's shape; 0 where there is no room. */
static uint32_t planned_make(rf_segment_builder *builder, rf_build_type *type,
                             const rf_build_plan *plan, const rf_event *event)
{
    size_t cost =
        event->data.size + event->metadata.size + SHAPE_SLOT_COST * event->shape->value_count;
    uint32_t index = builder->shape_count;
    rf_build_shape shape = {.slot_begin = builder->slot_count, .variant = plan->shape};

    if (index > RF_BUILD_SHAPES_MAX ||
        builder->shape_bytes + cost > SHAPE_BYTES_FREE + builder->raw_bytes / SHAPE_BYTES_PART ||
        !rf_build_grow(&builder->shapes, index, &builder->shape_capacity, 16,
                       sizeof *builder->shapes))
        return 0;
    if (!planned_root(builder, plan, event->shape, &shape, 0) ||
        (event->metadata.data && !planned_root(builder, plan, event->shape, &shape, 1))) {
        builder->slot_count = shape.slot_begin;
        return 0;
    }
    builder->shapes[index] = shape;
    builder->shape_count++;
    builder->shape_bytes += cost;
    shape_keep(builder, type, index);
    return index;
}

/* As few decimals as it needs, one at least. Of a number with a fraction the digits tell it. */
static bool is_trimmed(const rf_event_value *value)
{
    return value->scale == 1 || value->value % 10 != 0;
}

/* Whether the shape writes the event's numbers as they are; notes them if it does. */
static bool planned_fits(rf_segment_builder *builder, const rf_build_shape *shape,
                         const rf_build_plan *plan, const rf_event *event)
{
    rf_build_slot *slots = &builder->slots[shape->slot_begin];

    for (uint32_t i = 0; i < plan->target_count; i++) {
        const rf_build_target *target = &plan->targets[i];
        if (target->kind != RF_FIELD_EXACT)
            continue;
        const rf_event_value *value = &event->values[target->value];
        if (!style_fits(&slots[target->slot], value->scale, is_trimmed(value)))
            return false;
    }
    for (uint32_t i = 0; i < plan->target_count; i++) {
        const rf_build_target *target = &plan->targets[i];
        if (target->kind != RF_FIELD_EXACT)
            continue;
        const rf_event_value *value = &event->values[target->value];
        style_note(&slots[target->slot], value->scale, is_trimmed(value));
    }
    return true;
}

uint32_t rf_shape_planned(rf_segment_builder *builder, rf_build_type *type, const rf_event *event)
{
    rf_build_plan *plan = rf_build_plan_of(builder, event->shape);

    if (!plan || !plan->whole)
        return 0;
    if (plan->shape && !plan->has_fractions)
        return plan->shape;
    for (uint32_t at = plan->shape; at; at = builder->shapes[at].variant)
        if (planned_fits(builder, &builder->shapes[at], plan, event))
            return at;
    uint32_t made = planned_make(builder, type, plan, event);
    if (made) {
        plan->shape = made;
        (void)planned_fits(builder, &builder->shapes[made], plan, event);
    }
    return made;
}

static void append_slot(rf_buf *out, rf_buf *literal, uint64_t code)
{
    rf_buf_append_varint(out, literal->size);
    rf_buf_append_slice(out, rf_buf_slice(literal));
    rf_buf_append_varint(out, code);
    rf_buf_clear(literal);
}

static void append_root(rf_segment_builder *builder, const rf_build_slot *slots, uint32_t count,
                        rf_slice end, rf_buf *out)
{
    rf_buf *literal = &builder->work->literal;

    for (uint32_t i = 0; i < count; i++) {
        const rf_build_slot *slot = &slots[i];
        const rf_build_node *node = &builder->nodes[slot->node];
        unsigned style = slot->style == RF_STYLE_EITHER || slot->style == RF_STYLE_FIXED
                             ? slot->scale
                             : 0;
        rf_buf_append_slice(literal, slot->before);
        if (slot->node == 0)
            append_slot(out, literal, RF_SLOT_REST);
        else if (node->path == UINT32_MAX) /* never anything else */
            rf_buf_append_slice(literal, RF_SLICE("null"));
        else
            append_slot(out, literal,
                        RF_SLOT_VALUE + (uint64_t)node->path * RF_SLOT_STYLES + style);
    }
    rf_buf_append_slice(literal, end);
}

void rf_shape_append(rf_segment_builder *builder, rf_buf *out)
{
    rf_buf *literal = &builder->work->literal;

    rf_buf_clear(literal);
    for (uint32_t i = 0; i < builder->type_count; i++) {
        rf_buf_append_varint(out, builder->types[i].shape_count);
        for (uint32_t at = builder->types[i].shape_first; at; at = builder->shapes[at].next) {
            const rf_build_shape *shape = &builder->shapes[at];
            const rf_build_slot *slots = &builder->slots[shape->slot_begin];
            append_root(builder, slots, shape->slot_counts[0], shape->ends[0], out);
            if (shape->ends[1].data) {
                append_slot(out, literal, RF_SLOT_METADATA);
                append_root(builder, slots + shape->slot_counts[0], shape->slot_counts[1],
                            shape->ends[1], out);
            }
            append_slot(out, literal, RF_SLOT_END);
        }
    }
    out->failed |= literal->failed;
}
