/* See checksum.h. */
#include "base/checksum.h"

#include <stdio.h>
#include <string.h>

/* Inlined, so that small pieces cost no call and the streaming state may stand on the stack. */
#define XXH_INLINE_ALL
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

rf_hash128 rf_hash128_of_parts(const rf_slice *parts, size_t count)
{
    char joined[1024];
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    if (size <= sizeof joined) {
        char *at = joined;
        for (size_t i = 0; i < count; i++) {
            if (parts[i].size > 0)
                memcpy(at, parts[i].data, parts[i].size);
            at += parts[i].size;
        }
        return rf_hash128_of((rf_slice){joined, size});
    }
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    (void)XXH3_128bits_reset(&state);
    for (size_t i = 0; i < count; i++)
        (void)XXH3_128bits_update(&state, parts[i].data, parts[i].size);
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (rf_hash128){hash.low64, hash.high64};
}

void rf_hash128_format(rf_hash128 hash, char text_out[33])
{
    (void)snprintf(text_out, 33, "%016llx%016llx", (unsigned long long)hash.high,
                   (unsigned long long)hash.low);
}
