/* Sorting names: each commit brings its touched streams into name order.
 *
 * Names are compared by the eight bytes behind what all of them share, as integers, with a radix
 * sort that skips the bytes in which all agree; groups of equal eight bytes are sorted again behind
 * those. Names of one kind ("order-000123") take one round. Pure; memory comes from the caller.
 */
#ifndef RF_LOG_STREAMS_SORT_H
#define RF_LOG_STREAMS_SORT_H

#include "base/bytes.h"

typedef struct rf_streams_item {
    uint64_t key; /* private */
    const char *name;
    uint32_t name_size;
    uint32_t index; /* the caller's */
} rf_streams_item;

/* Sorts by the bytes of the names. `scratch` has room for `count` items. */
void rf_streams_sort(rf_streams_item *items, rf_streams_item *scratch, size_t count);

#endif
