/* JSON, the only file that knows simdjson: a line becomes a flat list of nodes.
 *
 * rf_json_parse checks a whole value (UTF-8, escapes, numbers by the grammar, depth, nothing after
 * it) and lists its nodes in document order (pre-order). Numbers stay text, so nothing is rounded.
 * Strings come unescaped. The parser never recurses; nesting deeper than RF_JSON_DEPTH_MAX is
 * refused. Errors count bytes from 1.
 *
 * Input must be followed by RF_JSON_PADDING readable bytes. Nodes and the text they point at (into
 * the input, or into the parser's own memory for unescaped strings) are valid until the next
 * rf_json_parser_reset. Confined to one thread.
 */
#ifndef RF_EVENT_JSON_H
#define RF_EVENT_JSON_H

#include "base/error.h"

enum { RF_JSON_DEPTH_MAX = 64, RF_JSON_PADDING = 64 };

typedef enum rf_json_kind {
    RF_JSON_NULL,
    RF_JSON_FALSE,
    RF_JSON_TRUE,
    RF_JSON_INTEGER, /* no fraction, no exponent; text is the literal, perhaps beyond 64 bits */
    RF_JSON_NUMBER,  /* with fraction or exponent; text is the literal */
    RF_JSON_STRING,  /* text is unescaped */
    RF_JSON_ARRAY,
    RF_JSON_OBJECT,
} rf_json_kind;

typedef struct rf_json_node {
    const char *key;  /* unescaped member name; NULL in an array and at the root */
    const char *text; /* literal or unescaped string; of an array or object its first raw byte */
    uint32_t key_size;
    uint32_t text_size; /* of an array or object: its raw bytes, brackets included */
    uint32_t next; /* index of the next sibling or, at the last, of what follows the parent: skips
                      the whole value */
    uint8_t kind;  /* rf_json_kind */
    uint8_t depth; /* 0 at the root */
} rf_json_node;

typedef struct rf_json_parser rf_json_parser;

rf_json_parser *rf_json_parser_new(void); /* NULL without memory */
void rf_json_parser_free(rf_json_parser *parser);
/* Forgets all nodes handed out since the last reset; memory is kept. */
void rf_json_parser_reset(rf_json_parser *parser);
/* Parses one value. Several values may be parsed between resets; the nodes of all stay valid. On
 * failure the error says what and at which byte of `text`. */
rf_status rf_json_parse(rf_json_parser *parser, rf_slice text, const rf_json_node **nodes_out,
                        uint32_t *count_out, rf_err *err);
/* Makes nodes[index], of an array that rf_json_parse gave, the first of an array of its own: from
 * now on `next` and `depth` of it and of what is below it count from it, and the array that it came
 * from cannot be walked past it. Its key stays. *count_out: how many nodes it has. */
const rf_json_node *rf_json_detach(const rf_json_node *nodes, uint32_t index, uint32_t *count_out);

static inline rf_slice rf_json_text(const rf_json_node *node)
{
    return (rf_slice){node->text, node->text_size};
}
static inline rf_slice rf_json_key(const rf_json_node *node)
{
    return (rf_slice){node->key, node->key_size};
}

#endif
