/* See checksum.h. */
#include "base/checksum.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t rf_checksum(rf_slice bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}

uint64_t rf_checksum_seeded(rf_slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

rf_hash128 rf_hash128_of(rf_slice bytes)
{
    XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
    return (rf_hash128){hash.low64, hash.high64};
}

void rf_hash128_format(rf_hash128 hash, char text_out[33])
{
    (void)snprintf(text_out, 33, "%016llx%016llx", (unsigned long long)hash.high,
                   (unsigned long long)hash.low);
}
