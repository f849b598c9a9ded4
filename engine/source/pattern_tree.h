/* The tree of patterns: private to pattern.c, which walks it, and pattern_learn.c, which grows it.
 */
#ifndef RF_SOURCE_PATTERN_TREE_H
#define RF_SOURCE_PATTERN_TREE_H

#include "source/pattern.h"

enum {
    PATTERN_STEPS_MAX = 2048, /* of a tree */
    PATTERN_BYTES_MAX = 4 << 20,
    PATTERN_DEPTH_MAX = 128,   /* steps of a line */
    PATTERN_SIBLINGS_MAX = 16, /* so that a line without a match is soon known to have none */
    PATTERN_UNUSED_MAX = 16,   /* unused members of a line */
    PATTERN_WORD = 16, /* bytes compared at a time */
};

typedef enum pattern_value {
    PATTERN_TEXT,
    PATTERN_NUMBER,
    PATTERN_END, /* no value: the end of the line */
} pattern_value;

/* Roles of values past those of targets. */
enum { PATTERN_ROLE_PAYLOAD = RF_TARGET_COUNT, PATTERN_ROLE_UNUSED, PATTERN_ROLE_COUNT };

/* A place in a line: so many bytes behind the beginning of a step's literal. */
typedef struct pattern_place {
    uint32_t depth;
    uint32_t offset;
} pattern_place;

/* What is known of a line at its end. */
typedef struct pattern_line {
    const rf_event_shape *shape;
    uint32_t targets; /* a bit for each that has a value */
    bool time_is_text;
    pattern_place data_begin, data_end;
    pattern_place metadata_begin, metadata_end;
    uint32_t unused_count;
    rf_slice unused[PATTERN_UNUSED_MAX];
} pattern_line;

/* A literal and the kind of value behind it. Steps stand in the tree's array; NULL is none. */
typedef struct pattern_step pattern_step;
struct pattern_step {
    char tail[PATTERN_WORD]; /* its last word; of a shorter literal all of it, zeros behind */
    const char *bytes;
    uint32_t size;
    uint16_t mask; /* a bit for each byte of `tail` that counts */
    uint8_t value; /* pattern_value */
    uint8_t is_payload;
    uint8_t index; /* of the value: among those of the payload, or its role */
    pattern_step *sibling;    /* another literal at the same place */
    pattern_step *child[2];   /* behind a string or an integer; behind a number with a fraction */
    const pattern_line *line; /* at the end */
};

struct rf_patterns {
    const rf_mapping *mapping;
    rf_event_shapes *shapes;
    rf_arena memory; /* of steps' bytes and lines */
    uint32_t step_count;
    bool usable; /* the mapping reads top-level members alone */
    /* where values go: in the arena of the caller */
    rf_event_value *values;
    uint32_t values_left;
    pattern_step steps[PATTERN_STEPS_MAX]; /* the first is above the first literals */
};

#endif
