/* An expectation: what holds for every row of a read model, `expect ("total >= 0")` in a Lua file.
 *
 *     rf_expectation_new (text, columns) -> rf_expectation_holds (a row's values) … -> free
 *
 *     or:    and { "or" and }            and: not { "and" not }       not: { "not" } compared
 *     compared: sum [ ( == ~= < <= > >= ) sum ]
 *     sum:   term { ( + - ) term }       term: factor { ( * / % ) factor }
 *     factor: - factor | ( or ) | NUMBER | 'TEXT' | "TEXT" | true | false | nil | COLUMN
 *
 * Numbers are what rows print: a decimal's 12.50 is 12.50. Ints and decimals are exact, at 128 bits; with a
 * float or a quotient in it, or past that, a number is a double. What is computed with nil is
 * nil; nil is equal to nothing but nil, and < and the like do not hold for it. Texts are compared by bytes;
 * a time or date with a text that is one. Kinds that cannot be compared are found when it is made. `and` and
 * `or` take booleans and look no further than they need.
 *
 * Immutable once made, shared by threads.
 */
#ifndef RF_PROJECTION_EXPECTATION_H
#define RF_PROJECTION_EXPECTATION_H

#include "base/bytes.h"
#include "refold/read.h"

enum {
    RF_EXPECTATION_SIZE_MAX = 4096, /* bytes of its text */
    RF_EXPECTATION_DEPTH_MAX = 64,  /* brackets within brackets */
    RF_EXPECTATIONS_MAX = 64        /* of a projection */
};

typedef struct rf_expectation rf_expectation;

/* RF_ERR_PLUGIN with the place in the text; `columns` are looked at during the call only. */
rf_status rf_expectation_new(rf_slice text, const rf_reader_column *columns, uint32_t column_count,
                             rf_expectation **expectation_out, rf_err *err);
void rf_expectation_free(rf_expectation *expectation); /* takes NULL */

/* `values`: of all columns, in their order. */
bool rf_expectation_holds(const rf_expectation *expectation, const rf_value *values);

#endif
