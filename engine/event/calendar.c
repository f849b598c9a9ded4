/* See calendar.h. */
#include "event/calendar.h"

#include "event/number.h"
#include "event/value.h"

#include <pthread.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)
enum { DAY_S = 86400, ZONES_MAX = 2000, NAME_SIZE = 64 };

typedef struct zone_entry {
    char name[NAME_SIZE];
    rf_zone *zone; /* owned */
} zone_entry;

struct rf_zones {
    pthread_mutex_t mutex;
    /* guarded by mutex */
    zone_entry *entries; /* owned; by name; what a zone points at never moves */
    uint32_t count;
    uint32_t capacity;
};

rf_status rf_zones_new(rf_zones **zones_out, rf_err *err)
{
    rf_zones *zones = calloc(1, sizeof *zones);

    if (!zones || pthread_mutex_init(&zones->mutex, NULL) != 0) {
        free(zones);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for time zones");
    }
    *zones_out = zones;
    return RF_OK;
}

void rf_zones_free(rf_zones *zones)
{
    if (!zones)
        return;
    for (uint32_t i = 0; i < zones->count; i++)
        rf_zone_free(zones->entries[i].zone);
    free(zones->entries);
    (void)pthread_mutex_destroy(&zones->mutex);
    free(zones);
}

/* Where a name stands or would. */
static uint32_t zones_seek(const rf_zones *zones, rf_slice name)
{
    uint32_t low = 0;
    uint32_t high = zones->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rf_slice_compare(rf_slice_of(zones->entries[middle].name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static rf_status zones_add(rf_zones *zones, uint32_t at, const char *name, rf_err *err)
{
    zone_entry entry = {.zone = NULL};

    if (zones->count == ZONES_MAX)
        return rf_fail(err, RF_ERR_USAGE, "more than %d time zones", ZONES_MAX);
    if (zones->count == zones->capacity) {
        uint32_t capacity = zones->capacity ? zones->capacity * 2 : 8;
        zone_entry *entries = realloc(zones->entries, capacity * sizeof *entries);
        if (!entries)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for time zone %s", name);
        zones->entries = entries;
        zones->capacity = capacity;
    }
    rf_status status = rf_zone_new(name, &entry.zone, err);
    if (status != RF_OK)
        return status;
    memcpy(entry.name, name, strlen(name) + 1);
    memmove(zones->entries + at + 1, zones->entries + at,
            (zones->count - at) * sizeof *zones->entries);
    zones->entries[at] = entry;
    zones->count++;
    return RF_OK;
}

rf_status rf_zones_get(rf_zones *zones, rf_slice name, const rf_zone **zone_out, rf_err *err)
{
    char text[NAME_SIZE] = "";
    rf_status status = RF_OK;

    if (name.size == 0 || name.size >= sizeof text || memchr(name.data, '\0', name.size))
        return rf_fail(err, RF_ERR_USAGE, "no time zone '%.*s': a name is like Europe/Berlin",
                       (int)(name.size < 100 ? name.size : 100), name.size ? name.data : "");
    memcpy(text, name.data, name.size);
    (void)pthread_mutex_lock(&zones->mutex);
    uint32_t at = zones_seek(zones, name);
    if (at == zones->count || !rf_slice_equal(rf_slice_of(zones->entries[at].name), name))
        status = zones_add(zones, at, text, err);
    if (status == RF_OK)
        *zone_out = zones->entries[at].zone;
    (void)pthread_mutex_unlock(&zones->mutex);
    return status;
}

rf_hash128 rf_zones_hash(rf_zones *zones)
{
    rf_hash128 hash = {0, 0};

    (void)pthread_mutex_lock(&zones->mutex);
    for (uint32_t i = 0; i < zones->count; i++) {
        rf_hash128 zone = rf_zone_hash(zones->entries[i].zone);
        const rf_slice parts[] = {
            {(const char *)&hash, sizeof hash},
            {zones->entries[i].name, strlen(zones->entries[i].name) + 1},
            {(const char *)&zone, sizeof zone},
        };
        hash = rf_hash128_of_parts(parts, sizeof parts / sizeof parts[0]);
    }
    (void)pthread_mutex_unlock(&zones->mutex);
    return hash;
}

/* Seconds on the zone's clock. */
static inline int64_t local_seconds(rf_zone_view *view, int64_t us)
{
    int64_t utc_s = us / SECOND_US - (us % SECOND_US < 0);

    if (!view->zone)
        return utc_s;
    if (utc_s < view->span.begin_s || utc_s >= view->span.end_s)
        view->span = rf_zone_span_at(view->zone, utc_s);
    return utc_s + view->span.offset_s;
}

static inline int64_t local_days(rf_zone_view *view, int64_t us)
{
    int64_t local_s = local_seconds(view, us);

    return local_s / DAY_S - (local_s % DAY_S < 0);
}

int64_t rf_calendar_days(rf_zone_view *view, int64_t us)
{
    return local_days(view, us);
}

/* Makes the view's month that of a day. */
static void month_seek(rf_zone_view *view, int64_t days)
{
    unsigned day;

    rf_days_split(days, &view->year, &view->month, &day);
    view->month_begin = days - day + 1;
    view->month_end = view->month == 12 ? rf_days_of(view->year + 1, 1, 1)
                                        : rf_days_of(view->year, view->month + 1, 1);
    RF_ASSERT(view->month_begin <= days && days < view->month_end);
}

static inline void month_of(rf_zone_view *view, int64_t days)
{
    if (days < view->month_begin || days >= view->month_end)
        month_seek(view, days);
}

/* Puts the view where `us` is; false for what is no time. */
static inline bool view_time(rf_zone_view *view, double us, int64_t *days_out)
{
    if (!rf_number_is_whole(us))
        return false;
    *days_out = local_days(view, (int64_t)us);
    month_of(view, *days_out);
    return true;
}

static inline bool view_date(rf_zone_view *view, double days, int64_t *days_out)
{
    if (!rf_number_is_whole(days) || days < -1e11 || days > 1e11)
        return false;
    *days_out = (int64_t)days;
    month_of(view, *days_out);
    return true;
}

double rf_calendar_date(rf_zone_view *view, double us)
{
    return rf_number_is_whole(us) ? (double)local_days(view, (int64_t)us) : RF_NOT_A_NUMBER;
}

double rf_calendar_year(rf_zone_view *view, double us)
{
    int64_t days;

    return view_time(view, us, &days) ? (double)view->year : RF_NOT_A_NUMBER;
}

double rf_calendar_month(rf_zone_view *view, double us)
{
    int64_t days;

    return view_time(view, us, &days) ? (double)view->month : RF_NOT_A_NUMBER;
}

double rf_calendar_day(rf_zone_view *view, double us)
{
    int64_t days;

    return view_time(view, us, &days) ? (double)(days - view->month_begin + 1) : RF_NOT_A_NUMBER;
}

double rf_calendar_hour(rf_zone_view *view, double us)
{
    if (!rf_number_is_whole(us))
        return RF_NOT_A_NUMBER;
    int64_t second = local_seconds(view, (int64_t)us) % DAY_S;
    return (double)((second < 0 ? second + DAY_S : second) / 3600);
}

double rf_calendar_year_of_date(rf_zone_view *view, double days)
{
    int64_t whole;

    return view_date(view, days, &whole) ? (double)view->year : RF_NOT_A_NUMBER;
}

double rf_calendar_month_of_date(rf_zone_view *view, double days)
{
    int64_t whole;

    return view_date(view, days, &whole) ? (double)view->month : RF_NOT_A_NUMBER;
}

double rf_calendar_day_of_date(rf_zone_view *view, double days)
{
    int64_t whole;

    return view_date(view, days, &whole) ? (double)(whole - view->month_begin + 1)
                                         : RF_NOT_A_NUMBER;
}
