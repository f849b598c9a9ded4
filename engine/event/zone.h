/* A time zone: from wall-clock times without offset to UTC.
 *
 * A fixed offset ("Z", "+02:00") or a name of the system's zone files ("Europe/Berlin"), whose
 * rules are unrolled up to the year 2200 when it is made. Immutable then: usable by many threads.
 */
#ifndef RF_EVENT_ZONE_H
#define RF_EVENT_ZONE_H

#include "base/error.h"

typedef struct rf_zone rf_zone;

/* RF_ERR_USAGE for a name that is no zone. */
rf_status rf_zone_new(const char *name, rf_zone **zone_out, rf_err *err);
void rf_zone_free(rf_zone *zone); /* takes NULL */
/* Seconds east of UTC at a wall-clock time, given as seconds since 1970-01-01T00:00:00 on the same
 * clock. A time that occurs twice is the first one; one that is skipped counts on with the offset
 * before the gap. */
int32_t rf_zone_offset(const rf_zone *zone, int64_t local_s);

#endif
