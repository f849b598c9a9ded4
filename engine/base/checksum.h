/* Checksums and hashes, one place for each use.
 *
 * rf_checksum guards stored bytes (XXH3 64, by libxxhash). rf_hash128 names content and makes row
 * digests (XXH3 128). rf_partition_hash places keys: FNV-1a 64, folded; simple on purpose, readers
 * in any language compute it.
 */
#ifndef RF_BASE_CHECKSUM_H
#define RF_BASE_CHECKSUM_H

#include "refold/types.h"

typedef struct rf_hash128 {
    uint64_t low;
    uint64_t high;
} rf_hash128;

uint64_t rf_checksum(rf_slice bytes);
/* With a seed, to chain several pieces: the checksum of one is the seed of the next. */
uint64_t rf_checksum_seeded(rf_slice bytes, uint64_t seed);
rf_hash128 rf_hash128_of(rf_slice bytes);
/* Of the pieces one after another, as if they stood together. */
rf_hash128 rf_hash128_of_parts(const rf_slice *parts, size_t count);
/* 32 hex digits, high half first, and a NUL. */
void rf_hash128_format(rf_hash128 hash, char text_out[33]);

/* h = FNV-1a 64 of an encoded key; h ^ (h >> 32), its lower half. */
static inline uint32_t rf_partition_hash(rf_slice key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ (hash >> 32));
}
/* The same of four keys at once: FNV waits for a multiplication at each byte, so four side by side
 * take little longer than one. */
void rf_partition_hash_four(const rf_slice keys[4], uint32_t hashes_out[4]);
/* Partition of an encoded key among `partitions`, a power of two. */
static inline uint32_t rf_partition_of(rf_slice key, uint32_t partitions)
{
    return rf_partition_hash(key) & (partitions - 1);
}

#endif
