/* Instructions that not every x86-64 has, AVX2 as yet, chosen while the program runs. Kernels that are
 * written with them have a plain twin, which gives the same and which tests compare with them:
 *
 *     #if RF_WIDE
 *     if (rf_wide_works())
 *         return kernel_wide(…);       RF_AVX2 size_t kernel_wide(…)
 *     #endif
 *
 * Plain loops that a compiler makes wide by itself are only marked, by RF_ALSO_AVX2.
 */
#ifndef RF_BASE_WIDE_H
#define RF_BASE_WIDE_H

#include <stdbool.h>

#if defined(__x86_64__)
#define RF_WIDE 1
#define RF_AVX2 __attribute__((target("avx2")))
static inline bool rf_wide_works(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}
#else
#define RF_WIDE 0
#endif

/* Compiled twice; the loader takes the form that the processor has. The thread sanitizer does not
 * survive that choice. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define RF_ALSO_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define RF_ALSO_AVX2
#endif

#endif
