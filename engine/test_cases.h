/* A file of cases for a projection, read: what refold/test.h says of it.
 *
 * The text is cut into its top-level objects, each is parsed and checked, and only then any runs: a
 * file with a fault is refused as a whole, with the line that its case begins in. Confined to one
 * thread; nodes and texts are valid until free.
 */
#ifndef RF_TEST_CASES_H
#define RF_TEST_CASES_H

#include "base/arena.h"
#include "base/bytes.h"
#include "event/json.h"

typedef struct rf_given {
    const char *name;
    uint64_t line;
    const rf_json_node *nodes; /* of the case */
    uint32_t events;           /* index of the array */
    uint32_t rows;             /* index of the array; 0: the case expects an error */
    const char *error;         /* NULL: it expects rows */
} rf_given;

typedef struct rf_test_cases {
    rf_buf text;
    rf_arena arena;
    rf_json_parser *parser;
    rf_given *given; /* in the arena */
    uint32_t count;
} rf_test_cases;

/* On failure too it is freed by the caller, as after the next one. */
rf_status rf_test_cases_read(const char *path, rf_test_cases *cases_out, rf_err *err);
/* Of the bytes of a file, which are copied; `path` is for messages. */
rf_status rf_test_cases_of(const char *path, rf_slice bytes, rf_test_cases *cases_out, rf_err *err);
void rf_test_cases_free(rf_test_cases *cases);
/* Index of the member `name` of the object nodes[object]; 0 if it has none. */
uint32_t rf_test_member(const rf_json_node *nodes, uint32_t object, rf_slice name);
/* Appends the events of a case as lines, the form that an import reads: line N is event N. */
void rf_test_append_events(const rf_given *given, rf_buf *out);
/* Appends a node as JSON on one line, without blanks between values. */
void rf_test_append_json(rf_buf *out, const rf_json_node *node);

#endif
