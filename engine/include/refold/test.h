/* Testing projections: given events, expect rows.
 *
 * A file of cases is JSON Lines; a case may also go over several lines. A case:
 *
 *     {"case": "two items make a total",
 *      "events": [{"stream": "order-1", "type": "OrderPlaced", "data": {"customer": "c-1"}},
 *                 {"stream": "order-1", "type": "ItemAdded", "data": {"qty": 2, "price": "9.99"}}],
 *      "rows": [{"key": "order-1", "items": 2, "total": "19.98"}]}
 *
 * `events` are as an import takes them; `data` is {} where it is left out, versions and positions
 * go on from 1, a missing time is null. `rows` are all rows of the read model, in any order; each has
 * its `key` and the columns that the case is about, other columns may hold anything. Values are
 * compared as values: "2", "2.0" and 2.00 are the same decimal, and a time is the same with any
 * offset. A case that must fail has, instead of rows, `error`: a text that the message contains.
 *
 * Each case is imported into a store of its own and rebuilt as everywhere, but for the checks and
 * gates that judge a whole log: a field or type that no event of the case has is no failure. The
 * store is in memory where the system has a file system for that, and is removed.
 */
#ifndef REFOLD_TEST_H
#define REFOLD_TEST_H

#include "refold/store.h"

typedef struct rf_test_options {
    const char *only; /* cases whose name contains this; NULL: all */
    const volatile int *cancel;
    const char *evolution; /* Lua file of renames and upcasters, for plugins; NULL */
} rf_test_options;

/* What is not as expected; texts are JSON. */
typedef struct rf_test_difference {
    const char *key;
    const char *column;   /* NULL: the row as a whole */
    const char *expected; /* NULL: no such row is expected */
    const char *got;      /* NULL: there is no such row or column */
} rf_test_difference;

typedef struct rf_test_case {
    const char *name; /* "" for a case without */
    uint64_t line;    /* that it begins in */
    bool passed;
    const char *reason; /* why it failed, where no rows could be compared, or NULL */
    rf_test_difference *differences;
    uint32_t difference_count;
    double seconds;
} rf_test_case;

/* A report owns all that it points at. */
typedef struct rf_test_report {
    rf_test_case *cases; /* in the order of the file, without those that `only` left out */
    uint32_t case_count;
    uint32_t failed_count;
    double seconds;
} rf_test_report;

/* Runs the cases of the file `cases` against the definition at the path `projection`. RF_OK also
 * where cases failed. RF_ERR_PLUGIN for a definition that cannot be loaded, RF_ERR_INPUT for a file
 * that has no cases or something else than cases, which runs none of them. `options` may be NULL. */
RF_API rf_status rf_test(const char *projection, const char *cases, const rf_test_options *options,
                         rf_test_report **report_out, rf_err *err);
RF_API void rf_test_report_free(rf_test_report *report); /* takes NULL */

#endif
