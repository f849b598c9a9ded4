/* Lua's patterns, with a bound on how long a match may take.
 *
 * The language of string.find in Lua 5.1: characters, `.`, classes (%a …, ASCII), sets, the
 * repetitions * + - ?, %b, %f, captures and what they captured before (%1), anchors. Matching goes
 * back and tries again, so that a pattern of a few characters may need more time than there is: each
 * try takes a step, and when the steps are used up the match is given up. Written anew because Lua's
 * own cannot be stopped.
 *
 * Pure functions of plain data; any thread.
 */
#ifndef RF_PROJECTION_LUA_PATTERN_H
#define RF_PROJECTION_LUA_PATTERN_H

#include "refold/types.h"

enum { RF_PATTERN_CAPTURES_MAX = 32 };

/* Sizes of captures that are no text. */
enum { RF_PATTERN_OPEN = -1, RF_PATTERN_PLACE = -2 };

typedef struct rf_pattern_match {
    int64_t begin, end; /* of what matched */
    int64_t steps;      /* in and out: that may be taken yet */
    int32_t capture_count;
    struct {
        int64_t begin, size;
    } captures[RF_PATTERN_CAPTURES_MAX];
} rf_pattern_match;

typedef enum rf_pattern_result {
    RF_PATTERN_NONE = 0,
    RF_PATTERN_FOUND = 1,
    RF_PATTERN_MALFORMED = 2,
    RF_PATTERN_TOO_LONG = 3, /* no steps left */
    RF_PATTERN_TOO_DEEP = 4,
} rf_pattern_result;

/* The first match that begins at byte `from` or, unless the pattern begins with ^, behind it. */
rf_pattern_result rf_pattern_find(rf_slice text, rf_slice pattern, size_t from,
                                  rf_pattern_match *match);

#endif
