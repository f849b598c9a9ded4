/* See newlines.h. They are counted in bytes that are summed up before they overflow: summing in anything
 * wider takes four times as long. */
#include "source/newlines.h"

#include "base/wide.h"

#if RF_WIDE
#include <immintrin.h>
#endif

uint64_t rf_count_newlines_plain(rf_slice text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    return count;
}

#if RF_WIDE
enum { VECTOR = 32, STEP = 4 * VECTOR, STEPS_MAX = 255 };

RF_AVX2 static inline __m256i is_newline(const char *at)
{
    return _mm256_cmpeq_epi8(_mm256_loadu_si256((const void *)at), _mm256_set1_epi8('\n'));
}

/* Of a whole number of steps. */
RF_AVX2 static uint64_t count_steps(const char *at, size_t steps)
{
    __m256i sums = _mm256_setzero_si256();

    while (steps > 0) {
        size_t some = steps < STEPS_MAX / 4 ? steps : STEPS_MAX / 4;
        __m256i counts = _mm256_setzero_si256();
        for (size_t i = 0; i < some; i++, at += STEP) {
            __m256i first = _mm256_add_epi8(is_newline(at), is_newline(at + VECTOR));
            __m256i second =
                _mm256_add_epi8(is_newline(at + 2 * VECTOR), is_newline(at + 3 * VECTOR));
            counts = _mm256_sub_epi8(counts, _mm256_add_epi8(first, second));
        }
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
        steps -= some;
    }
    uint64_t parts[4];
    _mm256_storeu_si256((void *)parts, sums);
    return parts[0] + parts[1] + parts[2] + parts[3];
}
#endif

uint64_t rf_count_newlines(rf_slice text)
{
#if RF_WIDE
    if (rf_wide_works()) {
        size_t whole = text.size - text.size % STEP;
        return count_steps(text.data, whole / STEP) +
               rf_count_newlines_plain((rf_slice){text.data + whole, text.size - whole});
    }
#endif
    return rf_count_newlines_plain(text);
}
