/* See checksum_wide.h. All of this file is compiled for AVX2; xxhash.h does the rest. */
#include "base/checksum_wide.h"

#if RF_CHECKSUM_WIDE

#pragma GCC target("avx2")
#define XXH_INLINE_ALL
#define XXH_VECTOR XXH_AVX2
#include <xxhash.h>

uint64_t rf_checksum_wide(rf_slice bytes)
{
    RF_ASSERT(bytes.size >= RF_CHECKSUM_WIDE_MIN);
    return XXH3_64bits(bytes.data, bytes.size);
}

uint64_t rf_checksum_wide_seeded(rf_slice bytes, uint64_t seed)
{
    RF_ASSERT(bytes.size >= RF_CHECKSUM_WIDE_MIN);
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

#endif
