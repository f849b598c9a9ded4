/* The two generations that are compared: which, and each as it is at one moment.
 *
 *     rf_diff_sides_open -> (walks, see diff.h) -> rf_diff_sides_close
 *
 * Where it is asked for, the one that is behind is brought to the other's position first. The one that
 * may be moved on by others, the live one, is opened first and the other brought to just where that copy
 * is, so a busy `follow` cannot keep the two from meeting.
 */
#ifndef RF_DIFF_SIDES_H
#define RF_DIFF_SIDES_H

#include "compare/diff.h"
#include "refold/diff.h"

typedef struct rf_diff_sides {
    rf_diff_side before, after;
    uint64_t live; /* generation; 0: none */
} rf_diff_sides;

/* RF_ERR_ABSENT where there are not two generations. */
rf_status rf_diff_sides_open(rf_store *store, rf_pool *pool, const char *name,
                             const rf_diff_options *options, rf_diff_sides *sides_out, rf_err *err);
void rf_diff_sides_close(rf_diff_sides *sides);

#endif
