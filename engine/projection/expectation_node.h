/* The tree of an expectation, for the files that make and ask it; see expectation.h. */
#ifndef RF_PROJECTION_EXPECTATION_NODE_H
#define RF_PROJECTION_EXPECTATION_NODE_H

#include "projection/expectation.h"

enum rf_expectation_op {
    OP_OR, OP_AND, OP_NOT, /* booleans */
    OP_EQUAL, OP_DIFFERENT, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL,
    OP_ADD, OP_SUBTRACT, OP_MULTIPLY, OP_DIVIDE, OP_REMAINDER, OP_NEGATE,
    OP_COLUMN, OP_LITERAL,
};

enum rf_expectation_type { IS_NIL, IS_NUMBER, IS_BOOL, IS_TEXT, IS_TIME, IS_DATE, IS_JSON };

/* A value on its way. */
struct rf_expectation_value {
    enum rf_expectation_type type; /* of one that is not nil: of a nil nothing else counts */
    bool is_nil;
    bool is_exact;  /* a number: count * 10^-scale, else `number` */
    bool boolean;
    uint8_t scale;
    __int128 count; /* also of times and dates */
    double number;
    rf_slice text;
};

struct rf_expectation_node {
    enum rf_expectation_op op;
    enum rf_expectation_type type;
    uint32_t left, right; /* nodes; of a column its index */
    struct rf_expectation_value literal;
};

struct rf_expectation {
    char *text; /* a copy, which literals refer to */
    struct rf_expectation_node *nodes;
    uint32_t count, capacity;
    uint32_t root;
};

typedef enum rf_expectation_op expectation_op;
typedef enum rf_expectation_type expectation_type;
typedef struct rf_expectation_value expectation_value;
typedef struct rf_expectation_node expectation_node;

#endif
