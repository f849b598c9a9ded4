/* Rows of a read model against those that a case expects: as values, in any order.
 *
 *     begin -> row … -> end
 *
 * Rows come as the JSON that a scan prints. Differences and their texts are in the arena that the
 * caller gave. Confined to one thread.
 */
#ifndef RF_TEST_COMPARE_H
#define RF_TEST_COMPARE_H

#include "refold/read.h"
#include "refold/test.h"
#include "test_cases.h"

typedef struct rf_test_compare {
    /* borrowed until end */
    const rf_given *given;
    const rf_reader_info *info;
    rf_arena *arena;
    /* owned */
    rf_json_parser *parser;
    rf_buf text;
    bool *found; /* by the expected row's number; in the arena */
    /* the result, in the arena; handed to the caller at end */
    rf_test_difference *differences;
    uint32_t count;
    uint32_t capacity;
} rf_test_compare;

/* Also after a failure end is called. */
rf_status rf_test_compare_begin(rf_test_compare *compare, const rf_given *given,
                                const rf_reader_info *info, rf_arena *arena, rf_err *err);
rf_status rf_test_compare_row(rf_test_compare *compare, rf_slice json, rf_err *err);
/* Adds the rows that did not come. */
rf_status rf_test_compare_rest(rf_test_compare *compare, rf_err *err);
void rf_test_compare_end(rf_test_compare *compare);

#endif
