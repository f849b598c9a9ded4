/* A time zone: between the wall clock of a place and UTC, both ways.
 *
 * A fixed offset ("Z", "UTC", "+02:00") or a name of the system's zone files ("Europe/Berlin").
 * After the last change that a file lists its rule in POSIX form holds, for ever: the calendar
 * repeats itself every 400 years, so the rule is unrolled for that long and later times are looked
 * up so many years earlier. Before the first change the file's first offset holds (as a rule, local
 * mean time). A zone is immutable and usable by many threads.
 *
 * What a definition computes with a zone depends on the file's bytes, so their hash belongs to the
 * definition's content hash: rf_zone_hash, or rf_zone_table_hash where zones' names come from
 * events.
 */
#ifndef RF_EVENT_ZONE_H
#define RF_EVENT_ZONE_H

#include "base/checksum.h"
#include "base/error.h"

typedef struct rf_zone rf_zone;

/* A time in which the offset does not change: begin_s <= t < end_s, UTC seconds. */
typedef struct rf_zone_span {
    int64_t begin_s;
    int64_t end_s;
    int32_t offset_s; /* seconds east of UTC */
} rf_zone_span;

/* RF_ERR_USAGE for a name that is no zone. */
rf_status rf_zone_new(const char *name, rf_zone **zone_out, rf_err *err);
/* Of the bytes of a zone file (RFC 8536, version 2 and up), not kept; RF_ERR_USAGE with `name` for
 * others. */
rf_status rf_zone_of_file(const char *name, rf_slice file, rf_zone **zone_out, rf_err *err);
void rf_zone_free(rf_zone *zone); /* takes NULL */
/* Of the zone file's bytes; of a fixed offset, of that. */
rf_hash128 rf_zone_hash(const rf_zone *zone);
/* Of the system's rules for all zones; RF_ERR_INPUT where it does not say them in one file. */
rf_status rf_zone_table_hash(rf_hash128 *hash_out, rf_err *err);

/* Seconds east of UTC at a wall-clock time, given as seconds since 1970-01-01T00:00:00 on the same
 * clock, up to the year 2400. A time that occurs twice is the first one; one that is skipped counts
 * on with the offset before the gap. */
int32_t rf_zone_offset(const rf_zone *zone, int64_t local_s);
/* The offset at a moment, with a time around it in which it holds too. */
rf_zone_span rf_zone_span_at(const rf_zone *zone, int64_t utc_s);

#endif
