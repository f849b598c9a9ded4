/* The calendar of handlers: the day, year, month, day of the month and hour that a time is in, in a
 * zone, and the same of dates.
 *
 * Times are microseconds since 1970-01-01T00:00:00Z and dates days since 1970-01-01, both as whole
 * doubles, which is how handlers in Lua have them. The result is a whole double too: a date for
 * rf_calendar_date, numbers from 1 for month and day, from 0 for the hour. NaN is the answer to what
 * is not whole or not below 2^53: the caller then says which value it was.
 *
 * rf_zones keeps the zones that a definition names: each is read once and shared by all threads,
 * immutable, until the set is freed. A rf_zone_view is one caller's look at a zone: it remembers the
 * span of time between two changes and the month that it was in last, so that times near each other
 * cost comparisons. It is confined to a thread; one that is all zeros is UTC.
 */
#ifndef RF_EVENT_CALENDAR_H
#define RF_EVENT_CALENDAR_H

#include "event/zone.h"

typedef struct rf_zones rf_zones;

/* RF_ERR_MEMORY only. */
rf_status rf_zones_new(rf_zones **zones_out, rf_err *err);
void rf_zones_free(rf_zones *zones); /* takes NULL */
/* The zone of that name, valid as long as the set; by any thread. RF_ERR_USAGE for no zone. */
rf_status rf_zones_get(rf_zones *zones, rf_slice name, const rf_zone **zone_out, rf_err *err);
/* Of names and files of all that the set has: equal for equal sets, whatever the order in which
 * they came. */
rf_hash128 rf_zones_hash(rf_zones *zones);

typedef struct rf_zone_view {
    const rf_zone *zone; /* borrowed; NULL: UTC */
    rf_zone_span span;   /* empty at first, as the month */
    int64_t month_begin; /* days */
    int64_t month_end;
    int64_t year;
    unsigned month;
} rf_zone_view;

double rf_calendar_date(rf_zone_view *view, double us);
double rf_calendar_year(rf_zone_view *view, double us);
double rf_calendar_month(rf_zone_view *view, double us);
double rf_calendar_day(rf_zone_view *view, double us);
double rf_calendar_hour(rf_zone_view *view, double us);

/* Of a date; any view, whose zone does not matter. */
double rf_calendar_year_of_date(rf_zone_view *view, double days);
double rf_calendar_month_of_date(rf_zone_view *view, double days);
double rf_calendar_day_of_date(rf_zone_view *view, double days);

/* The date of a time of any 64 bits, for callers that have integers. */
int64_t rf_calendar_days(rf_zone_view *view, int64_t us);

#endif
