/* Listing: which values of an array are of the wanted ones. A projection of rare types finds its
 * events so, 32 at a time where the processor has AVX2. Pure functions. */
#ifndef RF_LOG_LISTING_H
#define RF_LOG_LISTING_H

#include <stddef.h>
#include <stdint.h>

/* Writes the indexes of the values v < `kind_count` that have a wanted[v], in order, to
 * `indexes_out`, which has room for `count`; gives how many these are. */
size_t rf_list_wanted(const uint32_t *values, size_t count, const uint8_t *wanted,
                      uint32_t kind_count, uint32_t *indexes_out);
/* The same without AVX2. */
size_t rf_list_wanted_plain(const uint32_t *values, size_t count, const uint8_t *wanted,
                            uint32_t kind_count, uint32_t *indexes_out);

#endif
