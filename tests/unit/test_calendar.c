/* The calendar of times in zones and of dates, against Python's datetime (zone_cases.h). */
#include "event/calendar.h"

#include "base/bytes.h"
#include "event/number.h"
#include "zone_cases.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

Test(calendar, parts_of_times_are_those_of_datetime)
{
    rf_zones *zones = NULL;
    rf_err err;

    cr_assert_eq(rf_zones_new(&zones, &err), RF_OK);
    for (size_t i = 0; i < COUNT_OF(calendar_cases); i++) {
        rf_zone_view view = {0};
        double us = (double)calendar_cases[i].us;
        const char *name = calendar_cases[i].zone;
        cr_assert_eq(rf_zones_get(zones, rf_slice_of(name), &view.zone, &err), RF_OK, "%s",
                     err.message);
        cr_assert_eq(rf_calendar_date(&view, us), (double)calendar_cases[i].date, "%s %.0f", name,
                     us);
        cr_assert_eq(rf_calendar_year(&view, us), (double)calendar_cases[i].year, "%s %.0f", name,
                     us);
        cr_assert_eq(rf_calendar_month(&view, us), (double)calendar_cases[i].month, "%s %.0f", name,
                     us);
        cr_assert_eq(rf_calendar_day(&view, us), (double)calendar_cases[i].day, "%s %.0f", name,
                     us);
        cr_assert_eq(rf_calendar_hour(&view, us), (double)calendar_cases[i].hour, "%s %.0f", name,
                     us);
        double days = (double)calendar_cases[i].date;
        cr_assert_eq(rf_calendar_year_of_date(&view, days), (double)calendar_cases[i].year);
        cr_assert_eq(rf_calendar_month_of_date(&view, days), (double)calendar_cases[i].month);
        cr_assert_eq(rf_calendar_day_of_date(&view, days), (double)calendar_cases[i].day);
        cr_assert_eq(rf_calendar_days(&view, calendar_cases[i].us), calendar_cases[i].date);
    }
    rf_zones_free(zones);
}

/* What a view remembers must never answer for another time: the same times in any order. */
Test(calendar, a_view_answers_the_same_whatever_it_was_asked_before)
{
    rf_zones *zones = NULL;
    rf_zone_view used = {0};
    uint64_t state = 88172645463325252u;
    rf_err err;

    cr_assert_eq(rf_zones_new(&zones, &err), RF_OK);
    cr_assert_eq(rf_zones_get(zones, RF_SLICE("Australia/Lord_Howe"), &used.zone, &err), RF_OK);
    for (int i = 0; i < 100000; i++) {
        rf_zone_view fresh = {.zone = used.zone};
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        double us = (double)((int64_t)(state >> 11) - (INT64_C(1) << 52));
        cr_assert_eq(rf_calendar_hour(&used, us), rf_calendar_hour(&fresh, us), "%.0f", us);
        cr_assert_eq(rf_calendar_date(&used, us), rf_calendar_date(&fresh, us), "%.0f", us);
        cr_assert_eq(rf_calendar_year(&used, us), rf_calendar_year(&fresh, us), "%.0f", us);
        fresh = (rf_zone_view){.zone = used.zone};
        cr_assert_eq(rf_calendar_month(&used, us), rf_calendar_month(&fresh, us), "%.0f", us);
        fresh = (rf_zone_view){.zone = used.zone};
        cr_assert_eq(rf_calendar_day(&used, us), rf_calendar_day(&fresh, us), "%.0f", us);
    }
    rf_zones_free(zones);
}

Test(calendar, without_a_zone_times_are_utc)
{
    rf_zone_view view = {0};

    cr_assert_eq(rf_calendar_date(&view, 0), 0);
    cr_assert_eq(rf_calendar_date(&view, -1), -1);
    cr_assert_eq(rf_calendar_hour(&view, -1), 23);
    cr_assert_eq(rf_calendar_year(&view, 1720612800000000.0), 2024);
    cr_assert_eq(rf_calendar_month(&view, 1720612800000000.0), 7);
    cr_assert_eq(rf_calendar_day(&view, 1720612800000000.0), 10);
    cr_assert_eq(rf_calendar_hour(&view, 1720612800000000.0), 12);
}

Test(calendar, what_is_not_whole_has_no_calendar)
{
    static const double wrong[] = {0.5, 9007199254740992.0, -1e300, (double)INFINITY, (double)NAN};
    rf_zone_view view = {0};

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        double x = wrong[i];
        cr_assert(rf_calendar_date(&view, x) != rf_calendar_date(&view, x));
        cr_assert(rf_calendar_year(&view, x) != rf_calendar_year(&view, x));
        cr_assert(rf_calendar_month(&view, x) != rf_calendar_month(&view, x));
        cr_assert(rf_calendar_day(&view, x) != rf_calendar_day(&view, x));
        cr_assert(rf_calendar_hour(&view, x) != rf_calendar_hour(&view, x));
        cr_assert(rf_calendar_year_of_date(&view, x) != rf_calendar_year_of_date(&view, x));
        cr_assert(rf_calendar_month_of_date(&view, x) != rf_calendar_month_of_date(&view, x));
        cr_assert(rf_calendar_day_of_date(&view, x) != rf_calendar_day_of_date(&view, x));
    }
    cr_assert(rf_calendar_year_of_date(&view, 1e12) != rf_calendar_year_of_date(&view, 1e12));
    (void)rf_calendar_days(&view, INT64_MIN);
    (void)rf_calendar_days(&view, INT64_MAX);
}

Test(calendar, a_set_has_each_zone_once_and_a_hash_of_all)
{
    rf_zones *a = NULL;
    rf_zones *b = NULL;
    const rf_zone *berlin = NULL;
    const rf_zone *again = NULL;
    const rf_zone *other = NULL;
    rf_err err;

    cr_assert_eq(rf_zones_new(&a, &err), RF_OK);
    cr_assert_eq(rf_zones_new(&b, &err), RF_OK);
    cr_assert_eq(rf_zones_get(a, RF_SLICE("Europe/Berlin"), &berlin, &err), RF_OK);
    cr_assert_eq(rf_zones_get(a, RF_SLICE("Asia/Kolkata"), &other, &err), RF_OK);
    cr_assert_eq(rf_zones_get(a, RF_SLICE("Europe/Berlin"), &again, &err), RF_OK);
    cr_assert_eq(berlin, again);
    cr_assert_neq(berlin, other);
    cr_assert_eq(rf_zones_get(b, RF_SLICE("Asia/Kolkata"), &other, &err), RF_OK);
    cr_assert_neq(rf_zones_hash(a).low, rf_zones_hash(b).low);
    cr_assert_eq(rf_zones_get(b, RF_SLICE("Europe/Berlin"), &berlin, &err), RF_OK);
    cr_assert_eq(rf_zones_hash(a).low, rf_zones_hash(b).low);
    cr_assert_eq(rf_zones_get(a, RF_SLICE("Europe/Nowhere"), &other, &err), RF_ERR_USAGE);
    cr_assert(strstr(err.message, "no time zone Europe/Nowhere"), "%s", err.message);
    cr_assert_eq(rf_zones_get(a, RF_SLICE(""), &other, &err), RF_ERR_USAGE);
    cr_assert_eq(rf_zones_get(a, RF_SLICE("UTC\0x"), &other, &err), RF_ERR_USAGE);
    cr_assert_eq(rf_zones_hash(a).high, rf_zones_hash(b).high);
    rf_zones_free(a);
    rf_zones_free(b);
    rf_zones_free(NULL);
}

static const char *const many[] = {"Europe/Berlin", "Europe/Paris",   "Asia/Tokyo",
                                   "Asia/Kolkata",  "America/Denver", "Africa/Cairo"};

static void *get_many(void *arg)
{
    rf_zones *zones = arg;
    rf_err err;

    for (size_t i = 0; i < 600; i++) {
        const rf_zone *zone = NULL;
        const char *name = many[i % COUNT_OF(many)];
        if (rf_zones_get(zones, rf_slice_of(name), &zone, &err) != RF_OK || !zone)
            return arg;
        rf_zone_view view = {.zone = zone};
        if (rf_calendar_date(&view, 43200000000.0) != 0)
            return arg;
    }
    return NULL;
}

Test(calendar, threads_share_a_set)
{
    pthread_t threads[4];
    rf_zones *zones = NULL;
    rf_err err;

    cr_assert_eq(rf_zones_new(&zones, &err), RF_OK);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, get_many, zones), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *failed = NULL;
        cr_assert_eq(pthread_join(threads[i], &failed), 0);
        cr_assert_null(failed);
    }
    rf_zones_free(zones);
}
