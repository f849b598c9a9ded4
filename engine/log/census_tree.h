/* Trees of field paths with counts: the census' inner part.
 *
 * A tree belongs to one (type, schema) and has two roots, data and metadata; a node is a member
 * name under its parent. Counting an event walks its JSON nodes and the tree side by side; each
 * node remembers which sibling came after it last time, so events of one shape cost one comparison
 * a member and no search.
 *
 * Caps only ever grow and do not depend on the order of events: a node whose objects had more than
 * RF_SEGMENT_MEMBERS_MAX member names in all is `capped` and has no children from then on; members
 * deeper than the tree's `depth_max` are left out, which begins as RF_SEGMENT_DEPTH_MAX and is
 * lowered, level by level, when the tree has more than RF_CENSUS_NODES_MAX nodes. So what a tree
 * lists was counted in every event.
 *
 * All trees of a forest share its memory. Confined to one thread.
 */
#ifndef RF_LOG_CENSUS_TREE_H
#define RF_LOG_CENSUS_TREE_H

#include "base/arena.h"
#include "log/census.h"

enum { RF_CENSUS_NODES_MAX = 1024, RF_CENSUS_ROOTS = 2 };

typedef struct rf_census_node {
    uint64_t counts[RF_CENSUS_KIND_COUNT];
    uint64_t seen;        /* the walk that counted here last */
    rf_slice name;        /* in the forest's arena */
    uint32_t first_child; /* 0: none; children in order of arrival */
    uint32_t last_child;
    uint32_t next;        /* sibling */
    uint32_t child_guess; /* the child that came first last time */
    uint32_t next_guess;  /* the sibling that came next last time */
    uint16_t child_count;
    uint8_t depth; /* 0 at the roots */
    bool capped;
} rf_census_node;

typedef struct rf_census_forest {
    rf_census_node *nodes; /* owned; the first is not used */
    uint32_t count;
    uint32_t capacity;
    uint64_t walks;
    rf_arena names;
} rf_census_forest;

typedef struct rf_census_tree {
    uint32_t roots[RF_CENSUS_ROOTS]; /* data, metadata */
    uint32_t node_count;             /* that are reachable, without the roots */
    uint8_t depth_max;
    bool capped; /* something was left out */
} rf_census_tree;

void rf_census_forest_init(rf_census_forest *forest);
void rf_census_forest_free(rf_census_forest *forest);
/* Ends all trees; memory is kept. */
void rf_census_forest_clear(rf_census_forest *forest);

rf_status rf_census_tree_init(rf_census_forest *forest, rf_census_tree *tree, rf_err *err);
/* Counts the members of one value (data: root 0, metadata: root 1), which `events` have. */
rf_status rf_census_tree_count(rf_census_forest *forest, rf_census_tree *tree, unsigned root,
                               const rf_json_node *nodes, uint32_t node_count, uint64_t events,
                               rf_err *err);
/* The child of that name, made if need be; *node_out is 0 where the caps leave it out. */
rf_status rf_census_tree_child(rf_census_forest *forest, rf_census_tree *tree, uint32_t parent,
                               rf_slice name, uint32_t *node_out, rf_err *err);
/* Marks a node whose members were too many. */
void rf_census_tree_cap(rf_census_forest *forest, rf_census_tree *tree, uint32_t node);
void rf_census_tree_lower(rf_census_forest *forest, rf_census_tree *tree, uint8_t depth_max);
/* Adds `other`, of another forest. */
rf_status rf_census_tree_add(rf_census_forest *forest, rf_census_tree *tree,
                             const rf_census_forest *other_forest, const rf_census_tree *other,
                             rf_err *err);

#endif
