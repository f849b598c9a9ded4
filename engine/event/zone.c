/* See zone.h.
 *
 * A zone file (RFC 8536) has two parts, of which the second, with 64-bit times, is read: a list of
 * moments with the offset from then on, and a rule in POSIX form for the time after the last. The
 * rule's moments are appended to the list, so that a look-up is a search in one list.
 */
#include "event/zone.h"

#include "base/file.h"
#include "event/value.h"

#include <stdio.h>
#include <stdlib.h>

enum { ZONE_FILE_MAX = 256 << 10, RULE_YEAR_MIN = 1970, RULE_YEAR_MAX = 2201 };

typedef struct zone_change {
    int64_t at; /* UTC seconds */
    int32_t offset_s;
} zone_change;

struct rf_zone {
    int32_t first_offset_s; /* before the first change */
    uint32_t change_count;
    zone_change *changes; /* owned; ascending */
};

/* One end of summer time: day and time of day, by the wall clock. */
typedef struct zone_rule_day {
    char form; /* 'M' month.week.weekday, 'J' day without 29 February, 'D' day from 0 */
    int month, week, day;
    int64_t seconds;
} zone_rule_day;

static uint32_t load_be32(const char *at)
{
    return __builtin_bswap32(rf_load_u32(at));
}

static int64_t load_be64(const char *at)
{
    return (int64_t)rf_load_u64_be(at);
}

/* A number of digits at *at; false without one. */
static bool rule_number(const char **at, int *value_out)
{
    int value = 0;
    const char *begin = *at;

    while (**at >= '0' && **at <= '9' && value < 10000)
        value = value * 10 + (*(*at)++ - '0');
    *value_out = value;
    return *at != begin;
}

/* [+-]h[h[h]][:mm[:ss]] */
static bool rule_time(const char **at, int64_t *seconds_out)
{
    bool negative = **at == '-';
    int parts[3] = {0, 0, 0};

    if (**at == '-' || **at == '+')
        ++*at;
    for (int i = 0; i < 3; i++) {
        if (!rule_number(at, &parts[i]))
            return false;
        if (**at != ':')
            break;
        if (i < 2)
            ++*at;
    }
    if (parts[0] > 167 || parts[1] > 59 || parts[2] > 59)
        return false;
    int64_t seconds = parts[0] * 3600 + parts[1] * 60 + parts[2];
    *seconds_out = negative ? -seconds : seconds;
    return true;
}

static bool rule_name(const char **at)
{
    const char *begin = *at;

    if (**at == '<') {
        while (**at && **at != '>')
            ++*at;
        if (**at != '>')
            return false;
        ++*at;
        return true;
    }
    while ((**at >= 'a' && **at <= 'z') || (**at >= 'A' && **at <= 'Z'))
        ++*at;
    return *at != begin;
}

static bool rule_day(const char **at, zone_rule_day *day_out)
{
    zone_rule_day day = {.seconds = 7200};

    if (**at != ',')
        return false;
    ++*at;
    day.form = **at == 'M' || **at == 'J' ? *(*at)++ : 'D';
    if (day.form == 'M') {
        if (!rule_number(at, &day.month) || *(*at)++ != '.' || !rule_number(at, &day.week) ||
            *(*at)++ != '.' || !rule_number(at, &day.day))
            return false;
        if (day.month < 1 || day.month > 12 || day.week < 1 || day.week > 5 || day.day > 6)
            return false;
    } else if (!rule_number(at, &day.day) || day.day > 365) {
        return false;
    }
    if (**at == '/') {
        ++*at;
        if (!rule_time(at, &day.seconds))
            return false;
    }
    *day_out = day;
    return true;
}

static int64_t first_of(int year, int month)
{
    char text[16];
    int64_t days = 0;

    (void)snprintf(text, sizeof text, "%04u-%02u-01", (unsigned)year % 10000u,
                   (unsigned)month % 100u);
    rf_value_fault fault = rf_parse_date(rf_slice_of(text), &days);
    RF_ASSERT(fault == RF_VALUE_OK);
    return days;
}

/* Wall-clock seconds of a rule's day in a year. */
static int64_t rule_moment(const zone_rule_day *rule, int year)
{
    int64_t days = first_of(year, 1);

    if (rule->form == 'M') {
        int64_t first = first_of(year, rule->month);
        int64_t next = rule->month == 12 ? first_of(year + 1, 1) : first_of(year, rule->month + 1);
        int64_t weekday = (first + 4) % 7; /* 1970-01-01 was a Thursday */
        days = first + (rule->day - weekday + 7) % 7 + (rule->week - 1) * 7;
        if (days >= next)
            days -= 7;
    } else if (rule->form == 'J') {
        bool leap = first_of(year, 3) - first_of(year, 2) == 29;
        days += rule->day - 1 + (leap && rule->day >= 60);
    } else {
        days += rule->day;
    }
    return days * 86400 + rule->seconds;
}

static void change_add(rf_zone *zone, int64_t at, int64_t offset_s)
{
    if (zone->change_count > 0 && zone->changes[zone->change_count - 1].at >= at)
        return;
    zone->changes[zone->change_count++] = (zone_change){at, (int32_t)offset_s};
}

/* Appends what the rule `text` says about the time after the last change. The changes have room. */
static bool rule_unroll(rf_zone *zone, const char *text)
{
    const char *at = text;
    int64_t standard_s;
    int64_t summer_s;
    zone_rule_day begin;
    zone_rule_day end;

    if (*at == '\0')
        return true;
    if (!rule_name(&at) || !rule_time(&at, &standard_s))
        return false;
    standard_s = -standard_s; /* POSIX counts west of UTC */
    if (*at == '\0')
        return true;
    if (!rule_name(&at))
        return false;
    summer_s = standard_s + 3600;
    if (*at != ',') {
        if (!rule_time(&at, &summer_s))
            return false;
        summer_s = -summer_s;
    }
    if (!rule_day(&at, &begin) || !rule_day(&at, &end) || *at != '\0')
        return false;
    for (int year = RULE_YEAR_MIN; year <= RULE_YEAR_MAX; year++) {
        int64_t begins = rule_moment(&begin, year) - standard_s;
        int64_t ends = rule_moment(&end, year) - summer_s;
        if (begins < ends) {
            change_add(zone, begins, summer_s);
            change_add(zone, ends, standard_s);
        } else {
            change_add(zone, ends, standard_s);
            change_add(zone, begins, summer_s);
        }
    }
    return true;
}

/* Counts of one part of a zone file, as its header gives them. */
typedef struct zone_part {
    uint32_t utc, standard, leap, times, types, chars;
    size_t size; /* without the header */
} zone_part;

enum { ZONE_HEADER_SIZE = 44, ZONE_TYPE_SIZE = 6 };

static bool part_read(rf_slice file, size_t at, size_t time_size, zone_part *part_out)
{
    if (file.size < at + ZONE_HEADER_SIZE || memcmp(file.data + at, "TZif", 4) != 0)
        return false;
    const char *counts = file.data + at + 20;
    zone_part part = {load_be32(counts),
                      load_be32(counts + 4),
                      load_be32(counts + 8),
                      load_be32(counts + 12),
                      load_be32(counts + 16),
                      load_be32(counts + 20),
                      0};
    if (part.utc > 256 || part.standard > 256 || part.leap > 4096 || part.times > 65536 ||
        part.types > 256 || part.types == 0 || part.chars > 65536)
        return false;
    part.size = part.times * (time_size + 1) + part.types * ZONE_TYPE_SIZE + part.chars +
                part.leap * (time_size + 4) + part.standard + part.utc;
    *part_out = part;
    return file.size - at - ZONE_HEADER_SIZE >= part.size;
}

/* False for bytes that are no zone file that we can use. */
static bool zone_read(rf_slice file, rf_zone *zone)
{
    zone_part old;
    zone_part part;
    char rule[256] = "";

    if (!part_read(file, 0, 4, &old) || file.data[4] < '2')
        return false;
    size_t at = ZONE_HEADER_SIZE + old.size;
    if (!part_read(file, at, 8, &part) || part.leap != 0)
        return false;
    const char *times = file.data + at + ZONE_HEADER_SIZE;
    const char *indexes = times + (size_t)part.times * 8;
    const char *types = indexes + part.times;
    zone->changes =
        malloc((part.times + 2 * (RULE_YEAR_MAX - RULE_YEAR_MIN + 1)) * sizeof *zone->changes);
    if (!zone->changes)
        return false;
    zone->first_offset_s = (int32_t)load_be32(types);
    for (uint32_t i = 0; i < part.times; i++) {
        uint8_t type = (uint8_t)indexes[i];
        if (type >= part.types)
            return false;
        change_add(zone, load_be64(times + (size_t)i * 8),
                   (int32_t)load_be32(types + (size_t)type * ZONE_TYPE_SIZE));
    }
    at += ZONE_HEADER_SIZE + part.size;
    if (file.size > at + 1 && file.data[at] == '\n') {
        size_t size = file.size - at - 2;
        if (size >= sizeof rule)
            return false;
        memcpy(rule, file.data + at + 1, size);
    }
    return rule_unroll(zone, rule);
}

/* "+02:00" and the like, or "Z". */
static bool fixed_offset(const char *name, int32_t *offset_out)
{
    char text[40];
    int64_t us;

    if (strcmp(name, "UTC") == 0)
        name = "Z";
    if (*name == '\0' || strlen(name) > 6 || *name == '.')
        return false;
    (void)snprintf(text, sizeof text, "1970-01-01T00:00:00%s", name);
    if (rf_parse_time(rf_slice_of(text), false, 0, &us) != RF_VALUE_OK)
        return false;
    *offset_out = (int32_t)(-us / 1000000);
    return true;
}

/* Names lead below the zone directory and nowhere else. */
static bool name_is_safe(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";

    return *name != '\0' && *name != '/' && strlen(name) < 64 &&
           strspn(name, allowed) == strlen(name);
}

rf_status rf_zone_new(const char *name, rf_zone **zone_out, rf_err *err)
{
    char path[96];
    rf_buf file;
    rf_zone *zone = calloc(1, sizeof *zone);

    if (!zone)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for time zone %s", name);
    if (fixed_offset(name, &zone->first_offset_s)) {
        *zone_out = zone;
        return RF_OK;
    }
    rf_buf_init(&file, ZONE_FILE_MAX);
    if (name_is_safe(name)) {
        (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
        if (rf_file_read(path, &file, NULL) == RF_OK && zone_read(rf_buf_slice(&file), zone)) {
            rf_buf_free(&file);
            *zone_out = zone;
            return RF_OK;
        }
    }
    rf_buf_free(&file);
    rf_zone_free(zone);
    return rf_fail(err, RF_ERR_USAGE,
                   "no time zone %s: Z, an offset like +02:00, or a name like Europe/Berlin that "
                   "the system knows (package tzdata)",
                   name);
}

void rf_zone_free(rf_zone *zone)
{
    if (!zone)
        return;
    free(zone->changes);
    free(zone);
}

int32_t rf_zone_offset(const rf_zone *zone, int64_t local_s)
{
    uint32_t low = 0;
    uint32_t high = zone->change_count;

    /* The first change that may come after: no offset is as large as two days. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at <= local_s - 2 * 86400)
            low = middle + 1;
        else
            high = middle;
    }
    int32_t offset_s = low > 0 ? zone->changes[low - 1].offset_s : zone->first_offset_s;
    for (; low < zone->change_count && zone->changes[low].at <= local_s - offset_s; low++) {
        if (local_s - zone->changes[low].offset_s < zone->changes[low].at)
            break; /* in the gap */
        offset_s = zone->changes[low].offset_s;
    }
    return offset_s;
}
