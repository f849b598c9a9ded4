/* Bit packing: numbers of one width, one after another, lowest bit first, without gaps.
 *
 * Value i stands at bit i * width. Widths go to RF_BITPACK_WIDTH_MAX, so that one unaligned 64-bit
 * load holds any value; wider numbers are stored plain. Eight values always begin at a whole byte;
 * the unpacking loops are written once and specialised by the compiler for every width. Pure
 * functions.
 */
#ifndef RF_LOG_BITPACK_H
#define RF_LOG_BITPACK_H

#include "base/bytes.h"

enum { RF_BITPACK_WIDTH_MAX = 56, RF_BITPACK_CODE_WIDTH_MAX = 16, RF_BITPACK_U32_WIDTH_MAX = 25 };

/* Bits that `value` needs; 0 for 0. */
static inline unsigned rf_bit_width(uint64_t value)
{
    return value == 0 ? 0 : 64u - (unsigned)__builtin_clzll(value);
}

static inline size_t rf_bitpack_size(size_t count, unsigned width)
{
    return (count * width + 7) / 8;
}

/* Appends values[i] - base for all; each difference is below 2^width. */
void rf_bitpack(const int64_t *values, size_t count, uint64_t base, unsigned width, rf_buf *out);
void rf_bitpack_u32(const uint32_t *values, size_t count, unsigned width, rf_buf *out);

/* `packed` is exactly rf_bitpack_size(count, width) bytes. Gives value + base, wrapping. */
void rf_bitunpack(rf_slice packed, size_t count, uint64_t base, unsigned width,
                  int64_t *values_out);
/* `width` up to RF_BITPACK_U32_WIDTH_MAX, so that a 32-bit load holds any value. */
void rf_bitunpack_u32(rf_slice packed, size_t count, uint32_t base, unsigned width,
                      uint32_t *values_out);
/* Value `index` alone, without a base. */
static inline uint32_t rf_bitunpack_one(rf_slice packed, size_t index, unsigned width)
{
    size_t bit = index * width;
    uint32_t mask = (uint32_t)((UINT64_C(1) << width) - 1);
    uint64_t bytes = 0;

    if ((bit >> 3) + sizeof bytes <= packed.size)
        bytes = rf_load_u64(packed.data + (bit >> 3));
    else
        memcpy(&bytes, packed.data + (bit >> 3), packed.size - (bit >> 3));
    return (uint32_t)(bytes >> (bit & 7)) & mask;
}
/* All without AVX2, which the first two take where it is to be had. */
void rf_bitunpack_plain(rf_slice packed, size_t count, uint64_t base, unsigned width,
                        int64_t *values_out);
void rf_bitunpack_u32_plain(rf_slice packed, size_t count, uint32_t base, unsigned width,
                            uint32_t *values_out);

#endif
