/* See census_tree.h. */
#include "log/census_tree.h"

#include "event/value.h"

#include <stdlib.h>

enum { INTEGER_DIGITS_SAFE = 18 };

/* Names and nodes of one census in memory. */
#define FOREST_BYTES_MAX ((size_t)1 << 30)

void rf_census_forest_init(rf_census_forest *forest)
{
    *forest = (rf_census_forest){.count = 1};
    rf_arena_init(&forest->names, FOREST_BYTES_MAX);
}

void rf_census_forest_free(rf_census_forest *forest)
{
    free(forest->nodes);
    rf_arena_free(&forest->names);
    rf_census_forest_init(forest);
}

void rf_census_forest_clear(rf_census_forest *forest)
{
    forest->count = 1;
    rf_arena_reset(&forest->names);
}

static rf_status add_node(rf_census_forest *forest, uint8_t depth, rf_slice name,
                          uint32_t *node_out, rf_err *err)
{
    if (forest->count >= forest->capacity) {
        size_t capacity = forest->capacity ? 2 * (size_t)forest->capacity : 64;
        rf_census_node *nodes = capacity <= FOREST_BYTES_MAX / sizeof *nodes
                                    ? realloc(forest->nodes, capacity * sizeof *nodes)
                                    : NULL;
        if (!nodes)
            return rf_fail(err, RF_ERR_MEMORY, "census: out of memory with %u fields of all types",
                           forest->count);
        forest->nodes = nodes;
        forest->capacity = (uint32_t)capacity;
    }
    rf_slice kept = rf_arena_copy(&forest->names, name);
    if (!kept.data)
        return rf_fail(err, RF_ERR_MEMORY, "census: out of memory with %u fields of all types",
                       forest->count);
    forest->nodes[forest->count] = (rf_census_node){.name = kept, .depth = depth};
    *node_out = forest->count++;
    return RF_OK;
}

rf_status rf_census_tree_init(rf_census_forest *forest, rf_census_tree *tree, rf_err *err)
{
    rf_census_tree made = {.depth_max = RF_SEGMENT_DEPTH_MAX};

    for (unsigned i = 0; i < RF_CENSUS_ROOTS; i++) {
        rf_status status = add_node(forest, 0, RF_SLICE(""), &made.roots[i], err);
        if (status != RF_OK)
            return status;
    }
    *tree = made;
    return RF_OK;
}

/* Nodes below `node`; the tree is at most RF_SEGMENT_DEPTH_MAX deep. */
static uint32_t count_below(const rf_census_forest *forest, uint32_t node)
{
    uint32_t count = 0;

    for (uint32_t at = forest->nodes[node].first_child; at; at = forest->nodes[at].next)
        count += 1 + count_below(forest, at);
    return count;
}

static void drop_children(rf_census_forest *forest, rf_census_tree *tree, uint32_t node)
{
    rf_census_node *at = &forest->nodes[node];

    tree->node_count -= count_below(forest, node);
    at->first_child = at->last_child = at->child_guess = 0;
    at->child_count = 0;
    tree->capped = true;
}

void rf_census_tree_cap(rf_census_forest *forest, rf_census_tree *tree, uint32_t node)
{
    drop_children(forest, tree, node);
    forest->nodes[node].capped = true;
}

static void drop_at_depth(rf_census_forest *forest, rf_census_tree *tree, uint32_t node,
                          uint8_t depth)
{
    if (forest->nodes[node].depth == depth) {
        if (forest->nodes[node].first_child)
            drop_children(forest, tree, node);
        return;
    }
    for (uint32_t at = forest->nodes[node].first_child; at; at = forest->nodes[at].next)
        drop_at_depth(forest, tree, at, depth);
}

void rf_census_tree_lower(rf_census_forest *forest, rf_census_tree *tree, uint8_t depth_max)
{
    if (depth_max >= tree->depth_max)
        return;
    for (unsigned i = 0; i < RF_CENSUS_ROOTS; i++)
        drop_at_depth(forest, tree, tree->roots[i], depth_max);
    tree->depth_max = depth_max;
    tree->capped = true;
}

static rf_status make_child(rf_census_forest *forest, rf_census_tree *tree, uint32_t parent,
                            rf_slice name, uint32_t *node_out, rf_err *err)
{
    uint32_t made = 0;
    uint8_t depth = (uint8_t)(forest->nodes[parent].depth + 1);

    *node_out = 0;
    if (forest->nodes[parent].capped)
        return RF_OK;
    if (depth > tree->depth_max) {
        tree->capped = true;
        return RF_OK;
    }
    if (forest->nodes[parent].child_count == RF_SEGMENT_MEMBERS_MAX) {
        rf_census_tree_cap(forest, tree, parent);
        return RF_OK;
    }
    rf_status status = add_node(forest, depth, name, &made, err);
    if (status != RF_OK)
        return status;
    rf_census_node *above = &forest->nodes[parent];
    if (above->last_child)
        forest->nodes[above->last_child].next = made;
    else
        above->first_child = made;
    above->last_child = made;
    above->child_count++;
    tree->node_count++;
    /* Both roots together have at most 128 children, so one level always remains. */
    while (tree->node_count > RF_CENSUS_NODES_MAX) {
        RF_ASSERT(tree->depth_max > 1);
        rf_census_tree_lower(forest, tree, (uint8_t)(tree->depth_max - 1));
    }
    *node_out = depth <= tree->depth_max ? made : 0;
    return RF_OK;
}

rf_status rf_census_tree_child(rf_census_forest *forest, rf_census_tree *tree, uint32_t parent,
                               rf_slice name, uint32_t *node_out, rf_err *err)
{
    uint32_t at = forest->nodes[parent].first_child;

    while (at && !rf_short_equal(forest->nodes[at].name, name))
        at = forest->nodes[at].next;
    if (!at)
        return make_child(forest, tree, parent, name, node_out, err);
    *node_out = at;
    return RF_OK;
}

static rf_census_kind kind_of(const rf_json_node *node)
{
    int64_t value;

    switch ((rf_json_kind)node->kind) {
    case RF_JSON_NULL:
        return RF_CENSUS_NULL;
    case RF_JSON_FALSE:
    case RF_JSON_TRUE:
        return RF_CENSUS_BOOL;
    case RF_JSON_INTEGER:
        if (node->text_size <= INTEGER_DIGITS_SAFE ||
            rf_parse_int(rf_json_text(node), &value) == RF_VALUE_OK)
            return RF_CENSUS_INT;
        return RF_CENSUS_NUMBER;
    case RF_JSON_NUMBER:
        return RF_CENSUS_NUMBER;
    case RF_JSON_STRING:
        return RF_CENSUS_TEXT;
    case RF_JSON_ARRAY:
        return RF_CENSUS_ARRAY;
    case RF_JSON_OBJECT:
        return RF_CENSUS_OBJECT;
    }
    RF_ASSERT(!"a JSON node of no kind");
    return RF_CENSUS_NULL;
}

/* Where a walk is inside one object. */
typedef struct level {
    uint32_t node;   /* tree node of the object */
    uint32_t before; /* its child that was met last; 0: none yet */
} level;

/* The tree node of a member, by the guess or by search. */
static inline rf_status step(rf_census_forest *forest, rf_census_tree *tree, level *above,
                             rf_slice name, uint32_t *node_out, rf_err *err)
{
    uint32_t guess = above->before ? forest->nodes[above->before].next_guess
                                   : forest->nodes[above->node].child_guess;

    if (guess && rf_short_equal(forest->nodes[guess].name, name)) {
        *node_out = guess;
        return RF_OK;
    }
    rf_status status = rf_census_tree_child(forest, tree, above->node, name, node_out, err);
    if (status != RF_OK || *node_out == 0)
        return status;
    if (above->before)
        forest->nodes[above->before].next_guess = *node_out;
    else
        forest->nodes[above->node].child_guess = *node_out;
    return RF_OK;
}

rf_status rf_census_tree_count(rf_census_forest *forest, rf_census_tree *tree, unsigned root,
                               const rf_json_node *nodes, uint32_t node_count, uint64_t events,
                               rf_err *err)
{
    level levels[RF_SEGMENT_DEPTH_MAX + 1];
    uint64_t walk = ++forest->walks;

    if (node_count == 0 || nodes[0].kind != RF_JSON_OBJECT)
        return RF_OK;
    levels[0] = (level){tree->roots[root], 0};
    for (uint32_t i = 1; i < node_count;) {
        const rf_json_node *member = &nodes[i];
        uint32_t at = 0;
        RF_ASSERT(member->depth >= 1 && member->depth <= RF_SEGMENT_DEPTH_MAX);
        level *above = &levels[member->depth - 1];
        if (forest->nodes[above->node].capped) {
            /* Capped on the way: the rest of the object is left out. */
            i = member->next;
            continue;
        }
        rf_status status = step(forest, tree, above, rf_json_key(member), &at, err);
        if (status != RF_OK)
            return status;
        bool enter = member->kind == RF_JSON_OBJECT && at;
        if (at) {
            rf_census_node *node = &forest->nodes[at];
            above->before = at;
            /* A name that an object has twice counts once. */
            if (node->seen != walk)
                node->counts[kind_of(member)] += events;
            node->seen = walk;
            if (enter && (node->capped || node->depth >= tree->depth_max)) {
                tree->capped |= member->next > i + 1;
                enter = false;
            }
        }
        if (enter)
            levels[member->depth] = (level){at, 0};
        i = enter ? i + 1 : member->next;
    }
    return RF_OK;
}

static rf_status add_below(rf_census_forest *forest, rf_census_tree *tree, uint32_t node,
                           const rf_census_forest *other_forest, uint32_t other, rf_err *err)
{
    const rf_census_node *from = &other_forest->nodes[other];

    if (forest->nodes[node].depth > tree->depth_max)
        return RF_OK; /* left out on the way */
    for (unsigned kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++)
        forest->nodes[node].counts[kind] += from->counts[kind];
    if (from->capped && !forest->nodes[node].capped)
        rf_census_tree_cap(forest, tree, node);
    for (uint32_t at = from->first_child; at; at = other_forest->nodes[at].next) {
        uint32_t to = 0;
        rf_status status =
            rf_census_tree_child(forest, tree, node, other_forest->nodes[at].name, &to, err);
        if (status == RF_OK && to)
            status = add_below(forest, tree, to, other_forest, at, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

rf_status rf_census_tree_add(rf_census_forest *forest, rf_census_tree *tree,
                             const rf_census_forest *other_forest, const rf_census_tree *other,
                             rf_err *err)
{
    rf_census_tree_lower(forest, tree, other->depth_max);
    tree->capped |= other->capped;
    for (unsigned i = 0; i < RF_CENSUS_ROOTS; i++) {
        rf_status status =
            add_below(forest, tree, tree->roots[i], other_forest, other->roots[i], err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}
