/* See zone.h.
 *
 * A zone file (RFC 8536) has two parts, of which the second, with 64-bit times, is read: a list of
 * moments with the offset from then on, and a rule in POSIX form for the time after the last. The
 * rule's moments are appended to the list, so that a look-up is a search in one list. They go a whole
 * cycle of the calendar (400 years, which are full weeks) past the file's last moment: from cycle_end_s
 * on, what holds is what held a cycle earlier.
 */
#include "event/zone.h"

#include "base/file.h"
#include "event/value.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ZONE_FILE_MAX = 256 << 10,
    TABLE_FILE_MAX = 16 << 20,
    RULE_YEAR_MIN = 1800, /* where a file lists no moment at all */
    RULE_YEARS = 404,     /* a cycle and some days on both sides */
    OFFSET_MAX_S = 26 * 3600,
};
#define CYCLE_S (INT64_C(146097) * 86400)

typedef struct zone_change {
    int64_t at; /* UTC seconds */
    int32_t offset_s;
} zone_change;

struct rf_zone {
    int32_t first_offset_s; /* before the first change */
    uint32_t change_count;
    zone_change *changes; /* owned; ascending */
    int64_t cycle_end_s;  /* INT64_MAX: the last offset holds for ever */
    rf_hash128 hash;
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

/* Wall-clock seconds of a rule's day in a year. */
static int64_t rule_moment(const zone_rule_day *rule, int64_t year)
{
    int64_t days = rf_days_of(year, 1, 1);

    if (rule->form == 'M') {
        unsigned month = (unsigned)rule->month;
        int64_t first = rf_days_of(year, month, 1);
        int64_t next =
            month == 12 ? rf_days_of(year + 1, 1, 1) : rf_days_of(year, month + 1, 1);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        days = first + (rule->day - weekday + 7) % 7 + (rule->week - 1) * 7;
        if (days >= next)
            days -= 7;
    } else if (rule->form == 'J') {
        bool leap = rf_days_of(year, 3, 1) - rf_days_of(year, 2, 1) == 29;
        days += rule->day - 1 + (leap && rule->day >= 60);
    } else {
        days += rule->day;
    }
    return days * 86400 + rule->seconds;
}

/* The rule's moments come behind the file's; a later one for the same moment counts. */
static void change_add(rf_zone *zone, int64_t after, int64_t at, int64_t offset_s)
{
    zone_change *last = zone->change_count > 0 ? &zone->changes[zone->change_count - 1] : NULL;

    if (at <= after || (last && last->at > at))
        return;
    if (last && last->at == at)
        last->offset_s = (int32_t)offset_s;
    else
        zone->changes[zone->change_count++] = (zone_change){at, (int32_t)offset_s};
}

/* A rule: standard time, and where it has summer time, when that begins and ends. */
typedef struct zone_rule {
    int64_t standard_s, summer_s;
    bool has_summer;
    zone_rule_day begin, end;
} zone_rule;

static bool rule_read(const char *text, zone_rule *rule_out)
{
    const char *at = text;
    zone_rule rule = {0};

    if (!rule_name(&at) || !rule_time(&at, &rule.standard_s))
        return false;
    rule.standard_s = -rule.standard_s; /* POSIX counts west of UTC */
    rule.summer_s = rule.standard_s + 3600;
    rule.has_summer = *at != '\0';
    if (rule.has_summer) {
        if (!rule_name(&at))
            return false;
        if (*at != ',') {
            if (!rule_time(&at, &rule.summer_s))
                return false;
            rule.summer_s = -rule.summer_s;
        }
        if (!rule_day(&at, &rule.begin) || !rule_day(&at, &rule.end) || *at != '\0')
            return false;
    }
    if (rule.standard_s < -OFFSET_MAX_S || rule.standard_s > OFFSET_MAX_S ||
        rule.summer_s < -OFFSET_MAX_S || rule.summer_s > OFFSET_MAX_S)
        return false;
    *rule_out = rule;
    return true;
}

/* Appends what the rule `text` says about the time after the last change. The changes have room. */
static bool rule_unroll(rf_zone *zone, const char *text)
{
    zone_rule rule;
    int64_t after = zone->change_count > 0 ? zone->changes[zone->change_count - 1].at : INT64_MIN;
    int64_t year = RULE_YEAR_MIN;
    unsigned month, day;

    if (*text == '\0')
        return true;
    if (!rule_read(text, &rule))
        return false;
    if (after > INT64_C(253402300800)) /* the year 10000: no time that we have comes later */
        return true;
    if (!rule.has_summer) {
        if (zone->change_count > 0)
            zone->changes[zone->change_count - 1].offset_s = (int32_t)rule.standard_s;
        else
            zone->first_offset_s = (int32_t)rule.standard_s;
        return true;
    }
    if (after >= rf_days_of(RULE_YEAR_MIN, 1, 1) * 86400) {
        rf_days_split(after / 86400, &year, &month, &day);
        year--;
    }
    for (int64_t i = 0; i < RULE_YEARS; i++) {
        int64_t begins = rule_moment(&rule.begin, year + i) - rule.standard_s;
        int64_t ends = rule_moment(&rule.end, year + i) - rule.summer_s;
        if (begins < ends) {
            change_add(zone, after, begins, rule.summer_s);
            change_add(zone, after, ends, rule.standard_s);
        } else {
            change_add(zone, after, ends, rule.standard_s);
            change_add(zone, after, begins, rule.summer_s);
        }
    }
    zone->cycle_end_s = rf_days_of(year + RULE_YEARS - 1, 1, 1) * 86400;
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

static bool offset_read(const char *type, int32_t *offset_out)
{
    *offset_out = (int32_t)load_be32(type);
    return *offset_out >= -OFFSET_MAX_S && *offset_out <= OFFSET_MAX_S;
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
    zone->changes = malloc((part.times + (size_t)2 * RULE_YEARS) * sizeof *zone->changes);
    if (!zone->changes)
        return false;
    zone->cycle_end_s = INT64_MAX;
    if (!offset_read(types, &zone->first_offset_s))
        return false;
    for (uint32_t i = 0; i < part.times; i++) {
        uint8_t type = (uint8_t)indexes[i];
        zone_change *change = &zone->changes[i];
        change->at = load_be64(times + (size_t)i * 8);
        if (type >= part.types || (i > 0 && change->at <= change[-1].at) ||
            !offset_read(types + (size_t)type * ZONE_TYPE_SIZE, &change->offset_s))
            return false;
    }
    zone->change_count = part.times;
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

rf_status rf_zone_of_file(const char *name, rf_slice file, rf_zone **zone_out, rf_err *err)
{
    rf_zone *zone = calloc(1, sizeof *zone);

    if (!zone)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for time zone %s", name);
    if (!zone_read(file, zone)) {
        rf_zone_free(zone);
        return rf_fail(err, RF_ERR_USAGE, "the file of time zone %s is none that can be read",
                       name);
    }
    zone->hash = rf_hash128_of(file);
    *zone_out = zone;
    return RF_OK;
}

static rf_status zone_of_name(const char *name, rf_zone **zone_out, rf_err *err)
{
    char path[96];
    rf_buf file;

    if (!name_is_safe(name))
        return RF_ERR_USAGE;
    rf_buf_init(&file, ZONE_FILE_MAX);
    (void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    rf_status status = rf_file_read(path, &file, NULL) != RF_OK
                           ? RF_ERR_USAGE
                           : rf_zone_of_file(name, rf_buf_slice(&file), zone_out, err);
    rf_buf_free(&file);
    return status;
}

rf_status rf_zone_new(const char *name, rf_zone **zone_out, rf_err *err)
{
    int32_t offset_s;

    if (!fixed_offset(name, &offset_s)) {
        rf_status status = zone_of_name(name, zone_out, err);
        if (status != RF_ERR_USAGE)
            return status;
        return rf_fail(err, RF_ERR_USAGE,
                       "no time zone %s: Z, an offset like +02:00, or a name like Europe/Berlin that "
                       "the system knows (package tzdata)",
                       name);
    }
    rf_zone *zone = calloc(1, sizeof *zone);
    if (!zone)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for time zone %s", name);
    zone->first_offset_s = offset_s;
    zone->cycle_end_s = INT64_MAX;
    zone->hash = rf_hash128_of((rf_slice){(const char *)&offset_s, sizeof offset_s});
    *zone_out = zone;
    return RF_OK;
}

rf_hash128 rf_zone_hash(const rf_zone *zone)
{
    return zone->hash;
}

rf_status rf_zone_table_hash(rf_hash128 *hash_out, rf_err *err)
{
    rf_buf file;

    rf_buf_init(&file, TABLE_FILE_MAX);
    bool read = rf_file_read("/usr/share/zoneinfo/tzdata.zi", &file, NULL) == RF_OK;
    if (read)
        *hash_out = rf_hash128_of(rf_buf_slice(&file));
    rf_buf_free(&file);
    return read ? RF_OK
                : rf_fail(err, RF_ERR_INPUT,
                          "the system's rules of time zones are not known: tzdata.zi of the package "
                          "tzdata is missing");
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

rf_zone_span rf_zone_span_at(const rf_zone *zone, int64_t utc_s)
{
    uint32_t low = 0;
    uint32_t high = zone->change_count;
    int64_t shift_s = 0;

    if (utc_s >= zone->cycle_end_s)
        shift_s = ((utc_s - zone->cycle_end_s) / CYCLE_S + 1) * CYCLE_S;
    /* The first change that comes after. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at <= utc_s - shift_s)
            low = middle + 1;
        else
            high = middle;
    }
    rf_zone_span span = {
        .begin_s = low > 0 ? zone->changes[low - 1].at + shift_s : INT64_MIN,
        .end_s = low < zone->change_count ? zone->changes[low].at + shift_s : INT64_MAX,
        .offset_s = low > 0 ? zone->changes[low - 1].offset_s : zone->first_offset_s,
    };
    return span;
}
