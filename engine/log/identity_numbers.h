/* Numbers of a segment's events in memory: 32 bits each where they are less than that apart.
 *
 * Part of identity.c. Confined as it is.
 */
#ifndef RF_LOG_IDENTITY_NUMBERS_H
#define RF_LOG_IDENTITY_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Numbers of a segment's events: `least` and what they are more than it. */
typedef struct rf_numbers {
    uint64_t least;
    uint32_t *more; /* NULL where they are further apart */
    uint64_t *wide;
} rf_numbers;

static inline uint64_t rf_number_at(const rf_numbers *of, uint32_t index)
{
    return of->more ? of->least + of->more[index] : of->wide[index];
}

static inline bool rf_numbers_known(const rf_numbers *of)
{
    return of->more || of->wide;
}

static inline void rf_numbers_free(rf_numbers *of)
{
    free(of->more);
    free(of->wide);
    *of = (rf_numbers){0};
}

#endif
