/* See listing.h. */
#include "log/listing.h"

#include "base/wide.h"

/* From `begin` on; the indexes go behind the `listed` that are there. */
static size_t list_from(const uint32_t *values, size_t begin, size_t count, const uint8_t *wanted,
                        uint32_t kind_count, uint32_t *indexes_out, size_t listed)
{
    for (size_t i = begin; i < count; i++) {
        indexes_out[listed] = (uint32_t)i;
        listed += values[i] < kind_count && wanted[values[i]];
    }
    return listed;
}

size_t rf_list_wanted_plain(const uint32_t *values, size_t count, const uint8_t *wanted,
                            uint32_t kind_count, uint32_t *indexes_out)
{
    return list_from(values, 0, count, wanted, kind_count, indexes_out, 0);
}

#if RF_WIDE

#include <immintrin.h>

enum { WANTED_MAX = 4, LANES = 8, STEP = 4 * LANES };

/* A bit for each of the 32 values that is one of `kinds`. (Order log, a type of 1 %: half an
 * instruction an event, where the plain loop takes six.) */
RF_AVX2 static inline uint32_t bits_of(const uint32_t *values, const __m256i kinds[WANTED_MAX])
{
    uint32_t bits = 0;

#pragma GCC unroll 4
    for (unsigned part = 0; part < STEP / LANES; part++) {
        __m256i value =
            _mm256_loadu_si256((const __m256i *)(const void *)(values + part * LANES));
        __m256i one = _mm256_or_si256(_mm256_cmpeq_epi32(value, kinds[0]),
                                      _mm256_cmpeq_epi32(value, kinds[1]));
        __m256i two = _mm256_or_si256(_mm256_cmpeq_epi32(value, kinds[2]),
                                      _mm256_cmpeq_epi32(value, kinds[3]));
        int found = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_or_si256(one, two)));
        bits |= (uint32_t)found << (part * LANES);
    }
    return bits;
}

/* Of at most WANTED_MAX kinds, some of which may be the same. */
RF_AVX2 static size_t list_wide(const uint32_t *values, size_t count,
                                const uint32_t wanted[WANTED_MAX], uint32_t *indexes_out)
{
    __m256i kinds[WANTED_MAX];
    size_t listed = 0;

    for (unsigned i = 0; i < WANTED_MAX; i++)
        kinds[i] = _mm256_set1_epi32((int)wanted[i]);
    for (size_t begin = 0; begin + STEP <= count; begin += STEP)
        for (uint32_t bits = bits_of(values + begin, kinds); bits; bits &= bits - 1)
            indexes_out[listed++] = (uint32_t)begin + (uint32_t)__builtin_ctz(bits);
    return listed;
}

/* False: more than WANTED_MAX. */
static bool list_kinds(const uint8_t *wanted, uint32_t kind_count, uint32_t kinds[WANTED_MAX])
{
    unsigned found = 0;

    for (uint32_t i = 0; i < kind_count; i++) {
        if (!wanted[i])
            continue;
        if (found == WANTED_MAX)
            return false;
        kinds[found++] = i;
    }
    for (unsigned i = found; found > 0 && i < WANTED_MAX; i++)
        kinds[i] = kinds[0];
    return found > 0;
}

#endif

size_t rf_list_wanted(const uint32_t *values, size_t count, const uint8_t *wanted,
                      uint32_t kind_count, uint32_t *indexes_out)
{
#if RF_WIDE
    uint32_t kinds[WANTED_MAX];
    if (rf_wide_works() && list_kinds(wanted, kind_count, kinds)) {
        size_t listed = list_wide(values, count, kinds, indexes_out);
        return list_from(values, count / STEP * STEP, count, wanted, kind_count, indexes_out,
                         listed);
    }
#endif
    return rf_list_wanted_plain(values, count, wanted, kind_count, indexes_out);
}
