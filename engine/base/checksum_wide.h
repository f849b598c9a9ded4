/* XXH3 64 of long pieces with AVX2: the same sums as those of checksum.c, in half the instructions
 * of the 16-byte form that every x86-64 has (order log: 3 % of a rebuild). RF_CHECKSUM_WIDE is 0
 * where the compiler cannot; see wide.h. */
#ifndef RF_BASE_CHECKSUM_WIDE_H
#define RF_BASE_CHECKSUM_WIDE_H

#include "base/error.h"
#include "base/wide.h"

#if RF_WIDE && defined(__GNUC__) && !defined(__clang__)
#define RF_CHECKSUM_WIDE 1
#else
#define RF_CHECKSUM_WIDE 0
#endif

enum { RF_CHECKSUM_WIDE_MIN = 241 }; /* XXH3 takes up to 240 bytes by other ways */

#if RF_CHECKSUM_WIDE
/* Of RF_CHECKSUM_WIDE_MIN bytes or more, where it works. */
uint64_t rf_checksum_wide(rf_slice bytes);
uint64_t rf_checksum_wide_seeded(rf_slice bytes, uint64_t seed);
#endif

#endif
