/* See checksum.h. */
#include "base/checksum.h"

#include "base/checksum_wide.h"

#include <stdio.h>
#include <string.h>

/* Inlined, so that small pieces cost no call and the streaming state may stand on the stack. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t rf_checksum(rf_slice bytes)
{
#if RF_CHECKSUM_WIDE
    if (bytes.size >= RF_CHECKSUM_WIDE_MIN && rf_wide_works())
        return rf_checksum_wide(bytes);
#endif
    return XXH3_64bits(bytes.data, bytes.size);
}

uint64_t rf_checksum_seeded(rf_slice bytes, uint64_t seed)
{
#if RF_CHECKSUM_WIDE
    if (bytes.size >= RF_CHECKSUM_WIDE_MIN && rf_wide_works())
        return rf_checksum_wide_seeded(bytes, seed);
#endif
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

static inline uint64_t fnv_step(uint64_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * 0x100000001b3u;
}

void rf_partition_hash_four(const rf_slice keys[4], uint32_t hashes_out[4])
{
    const uint64_t start = 0xcbf29ce484222325u;
    uint64_t a = start, b = start, c = start, d = start;
    size_t shared = keys[0].size;

    for (unsigned i = 1; i < 4; i++)
        shared = keys[i].size < shared ? keys[i].size : shared;
    for (size_t i = 0; i < shared; i++) {
        a = fnv_step(a, keys[0].data[i]);
        b = fnv_step(b, keys[1].data[i]);
        c = fnv_step(c, keys[2].data[i]);
        d = fnv_step(d, keys[3].data[i]);
    }
    uint64_t hashes[4] = {a, b, c, d};
    for (unsigned k = 0; k < 4; k++) {
        for (size_t i = shared; i < keys[k].size; i++)
            hashes[k] = fnv_step(hashes[k], keys[k].data[i]);
        hashes_out[k] = (uint32_t)(hashes[k] ^ (hashes[k] >> 32));
    }
}

void rf_hash128_format(rf_hash128 hash, char text_out[33])
{
    (void)snprintf(text_out, 33, "%016llx%016llx", (unsigned long long)hash.high,
                   (unsigned long long)hash.low);
}
