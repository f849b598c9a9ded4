/* See bitpack_wide.h.
 *
 * A vector is two halves of 16 bytes, and each half is loaded from where its first value begins. A
 * shuffle puts the bytes of each value into a lane of its own, a shift by lane and a mask do the
 * rest. What is shuffled and shifted depends on the width alone, and is the same for all groups.
 */
#include "log/bitpack_wide.h"

#if RF_WIDE

#include "log/bitpack.h"

#include <immintrin.h>

enum { HALF = 16, GROUP = 8 };

/* How many groups can be read whose last load begins `reach` bytes into the group. */
static size_t groups_of(size_t size, size_t count, unsigned width, size_t reach)
{
    size_t groups = size < reach + HALF ? 0 : (size - reach - HALF) / width + 1;

    return groups < count / GROUP ? groups : count / GROUP;
}

/* Shuffle and shift of lanes of `lane` bytes: those of a half begin at bit `first` of its bytes. */
static void set_half(unsigned first, unsigned width, unsigned lane, uint8_t shuffle_out[HALF],
                     uint64_t shifts_out[HALF / sizeof(uint32_t)])
{
    for (unsigned i = 0; i < HALF / lane; i++) {
        unsigned bit = first + i * width;
        shifts_out[i] = bit & 7;
        for (unsigned k = 0; k < lane; k++) /* beyond the half there is no bit of the value */
            shuffle_out[i * lane + k] = (uint8_t)((bit >> 3) + k < HALF ? (bit >> 3) + k : 0x80);
    }
}

RF_AVX2 static inline __m256i load_halves(const char *low, const char *high)
{
    __m128i first = _mm_loadu_si128((const __m128i *)(const void *)low);

    return _mm256_inserti128_si256(_mm256_castsi128_si256(first),
                                   _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

RF_AVX2 size_t rf_bitunpack_u32_wide(rf_slice packed, size_t count, uint32_t base, unsigned width,
                                  uint32_t *values_out)
{
    unsigned high = 4 * width / 8;
    size_t groups = groups_of(packed.size, count, width, high);
    uint8_t shuffle[2 * HALF];
    uint64_t wide[8];
    uint32_t shifts[8];

    RF_ASSERT(width > 0 && width <= RF_BITPACK_U32_WIDTH_MAX);
    set_half(0, width, 4, shuffle, wide);
    set_half(4 * width % 8, width, 4, shuffle + HALF, wide + 4);
    for (int i = 0; i < 8; i++)
        shifts[i] = (uint32_t)wide[i];
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)shuffle);
    const __m256i shift = _mm256_loadu_si256((const __m256i *)(const void *)shifts);
    const __m256i mask = _mm256_set1_epi32((int)((UINT32_C(1) << width) - 1));
    const __m256i add = _mm256_set1_epi32((int)base);
    const char *at = packed.data;
    for (size_t i = 0; i < groups; i++, at += width) {
        __m256i value = _mm256_shuffle_epi8(load_halves(at, at + high), bytes);
        value = _mm256_and_si256(_mm256_srlv_epi32(value, shift), mask);
        _mm256_storeu_si256((__m256i *)(void *)(values_out + i * GROUP),
                            _mm256_add_epi32(value, add));
    }
    return groups * GROUP;
}

RF_AVX2 size_t rf_bitunpack_wide(rf_slice packed, size_t count, uint64_t base, unsigned width,
                              int64_t *values_out)
{
    size_t groups = groups_of(packed.size, count, width, 6 * width / 8);
    uint8_t shuffle[4 * HALF];
    uint64_t shifts[8];
    __m256i bytes[2], shift[2];

    RF_ASSERT(width > 0 && width <= RF_BITPACK_WIDTH_MAX);
    for (unsigned pair = 0; pair < 4; pair++) {
        uint64_t two[HALF / sizeof(uint32_t)];
        set_half(2 * pair * width % 8, width, 8, shuffle + pair * HALF, two);
        memcpy(shifts + 2 * (size_t)pair, two, 2 * sizeof *two);
    }
    for (size_t i = 0; i < 2; i++) {
        bytes[i] = _mm256_loadu_si256((const __m256i *)(const void *)(shuffle + i * 2 * HALF));
        shift[i] = _mm256_loadu_si256((const __m256i *)(const void *)(shifts + i * 4));
    }
    const __m256i mask = _mm256_set1_epi64x((int64_t)((UINT64_C(1) << width) - 1));
    const __m256i add = _mm256_set1_epi64x((int64_t)base);
    const char *at = packed.data;
    for (size_t i = 0; i < groups; i++, at += width) {
#pragma GCC unroll 2
        for (unsigned k = 0; k < 2; k++) {
            __m256i value =
                load_halves(at + 4 * k * width / 8, at + (4 * k + 2) * width / 8);
            value = _mm256_srlv_epi64(_mm256_shuffle_epi8(value, bytes[k]), shift[k]);
            value = _mm256_add_epi64(_mm256_and_si256(value, mask), add);
            _mm256_storeu_si256((__m256i *)(void *)(values_out + i * GROUP + 4 * (size_t)k),
                                value);
        }
    }
    return groups * GROUP;
}

#endif
