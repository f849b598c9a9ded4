/* See payload_pair.h. The literals of both shapes are walked side by side. */
#include "log/payload_pair.h"

#include "log/payload_shape.h"

/* Where in the event's shape: in the bytes before a value, or behind the last of its root. */
typedef struct walk {
    const rf_event_shape *shape;
    bool metadata;
    bool quoted;    /* the value at hand is a text: its quotes are the segment's with the value */
    rf_slice left;  /* literal bytes up to the value */
    uint32_t value; /* shape->value_count: none follows */
} walk;

/* Goes to the first value of the root from `from` on. */
static void walk_to(walk *at, uint32_t from)
{
    const rf_event_shape *shape = at->shape;
    bool behind_text = at->quoted;

    while (from < shape->value_count &&
           (shape->values[from].node >= shape->data_node_count) != at->metadata)
        from++;
    at->value = from;
    if (from < shape->value_count)
        at->left = shape->values[from].before;
    else
        at->left = at->metadata ? shape->metadata_end : shape->data_end;
    at->quoted = from < shape->value_count && shape->values[from].kind == RF_JSON_STRING;
    RF_ASSERT(at->left.size >= (size_t)behind_text + at->quoted);
    at->left.data += behind_text;
    at->left.size -= (size_t)behind_text + at->quoted;
}

static bool literal_take(walk *at, rf_slice literal)
{
    if (literal.size > at->left.size ||
        !rf_slice_equal(literal, (rf_slice){at->left.data, literal.size}))
        return false;
    at->left.data += literal.size;
    at->left.size -= literal.size;
    return true;
}

static bool root_done(const walk *at)
{
    return at->left.size == 0 && at->value == at->shape->value_count;
}

/* What of the event a value of the segment's shape is. */
static bool value_take(walk *at, rf_pair_step *step)
{
    if (at->left.size == 0) {
        if (at->value == at->shape->value_count)
            return false;
        step->value = at->value;
        step->kind = at->shape->values[at->value].kind;
        walk_to(at, at->value + 1);
        return true;
    }
    if (literal_take(at, RF_SLICE("null")))
        step->kind = RF_JSON_NULL;
    else if (literal_take(at, RF_SLICE("true")))
        step->kind = RF_JSON_TRUE;
    else if (literal_take(at, RF_SLICE("false")))
        step->kind = RF_JSON_FALSE;
    else
        return false;
    return true;
}

/* Whether the shapes pair; the steps are as many as the slots with a value. */
static bool pair_walk(const rf_event_shape *shape, const rf_shape_slot *slots, rf_pair_step *steps)
{
    bool has_metadata = shape->metadata_node_count > 0;
    walk at = {.shape = shape};

    walk_to(&at, 0);
    for (const rf_shape_slot *slot = slots;; slot++) {
        if (!literal_take(&at, slot->before))
            return false;
        if (slot->code == RF_SLOT_END)
            return root_done(&at) && at.metadata == has_metadata;
        if (slot->code == RF_SLOT_METADATA) {
            if (!root_done(&at) || at.metadata || !has_metadata)
                return false;
            at = (walk){.shape = shape, .metadata = true};
            walk_to(&at, 0);
        } else {
            *steps = (rf_pair_step){.column_begin = slot->column_begin,
                                    .column_end = slot->column_end,
                                    .style = slot->style};
            if (slot->code != RF_SLOT_VALUE || !value_take(&at, steps++))
                return false;
        }
    }
}

bool rf_shape_pair_make(const rf_event_shape *shape, const struct rf_shape_slot *slots,
                        rf_arena *arena, rf_shape_pair *pair_out)
{
    uint32_t count = 0;

    for (const rf_shape_slot *slot = slots; slot->code != RF_SLOT_END; slot++)
        count += slot->code == RF_SLOT_VALUE;
    rf_pair_step *steps = rf_arena_alloc(arena, (count + 1) * sizeof *steps);
    if (!steps)
        return false;
    *pair_out = (rf_shape_pair){.shape = shape, .step_count = count};
    if (pair_walk(shape, slots, steps))
        pair_out->steps = steps;
    return true;
}
