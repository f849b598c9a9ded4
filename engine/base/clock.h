/* Time that passes (monotonic, for durations and progress) and the wall clock (for MANIFEST only:
 * no row, digest or event ever depends on it). */
#ifndef RF_BASE_CLOCK_H
#define RF_BASE_CLOCK_H

#include <stdint.h>

/* Seconds since some fixed moment; only differences mean anything. */
double rf_clock_seconds(void);
/* Microseconds since 1970 UTC by the wall clock. */
int64_t rf_clock_wall_us(void);

#endif
