/* Unpacking with AVX2, eight values at a time: the same values as those of bitpack.c's loops, in a
 * fifth of the instructions. A projection that takes few events spends most of its time here (order
 * log, one type of 1 %: a fifth of the whole run). See wide.h. */
#ifndef RF_LOG_BITPACK_WIDE_H
#define RF_LOG_BITPACK_WIDE_H

#include "base/bytes.h"
#include "base/wide.h"

#if RF_WIDE
/* The first values of `packed`, in groups of eight; how many values these are, which leaves some at
 * the end. Widths are 1 to RF_BITPACK_WIDTH_MAX and RF_BITPACK_U32_WIDTH_MAX. */
size_t rf_bitunpack_wide(rf_slice packed, size_t count, uint64_t base, unsigned width,
                         int64_t *values_out);
size_t rf_bitunpack_u32_wide(rf_slice packed, size_t count, uint32_t base, unsigned width,
                             uint32_t *values_out);
#endif

#endif
