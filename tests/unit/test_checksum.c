/* checksum.h: sums of pieces of any size are those of XXH3, whichever form the processor takes. */
#include "base/checksum.h"

#include <criterion/criterion.h>
#include <xxhash.h>

enum { SIZE_MAX_TRIED = 5000 };

static char bytes[SIZE_MAX_TRIED];

static void fill_bytes(void)
{
    uint64_t state = 88172645463325252u;

    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (char)(state >> 56);
    }
}

TestSuite(checksum, .init = fill_bytes);

Test(checksum, is_xxh3_of_pieces_of_every_size)
{
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size += size < 600 ? 1 : 37) {
        const rf_slice piece = {bytes, size};
        cr_assert_eq(rf_checksum(piece), XXH3_64bits(bytes, size), "%zu bytes", size);
        cr_assert_eq(rf_checksum_seeded(piece, size + 1),
                     XXH3_64bits_withSeed(bytes, size, size + 1), "%zu bytes", size);
    }
}

Test(checksum, of_parts_is_that_of_all_together)
{
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size += size < 600 ? 1 : 37) {
        size_t first = size / 3;
        rf_hash128 hash = rf_hash128_of_parts(
            (rf_slice[]){{bytes, first}, {bytes + first, size - first}}, 2);
        XXH128_hash_t expected = XXH3_128bits(bytes, size);
        cr_assert(hash.low == expected.low64 && hash.high == expected.high64, "%zu bytes", size);
    }
}
