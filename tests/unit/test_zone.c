/* Time zones against Python's zoneinfo (zone_cases.h), and files that are none. */
#include "event/zone.h"

#include "base/bytes.h"
#include "zone_cases.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The zone of a case, made where it is another than the last one's. */
static const rf_zone *zone_of(const char *name, rf_zone **last, const char **last_name)
{
    rf_err err;

    if (!*last || strcmp(name, *last_name) != 0) {
        rf_zone_free(*last);
        *last = NULL;
        cr_assert_eq(rf_zone_new(name, last, &err), RF_OK, "%s", err.message);
        *last_name = name;
    }
    return *last;
}

static void put_be32(rf_buf *out, uint32_t value)
{
    value = __builtin_bswap32(value);
    rf_buf_append(out, &value, sizeof value);
}

static void put_be64(rf_buf *out, int64_t value)
{
    uint64_t big = __builtin_bswap64((uint64_t)value);
    rf_buf_append(out, &big, sizeof big);
}

static void put_header(rf_buf *out, uint32_t times, uint32_t types, uint32_t chars)
{
    rf_buf_append(out, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    for (int i = 0; i < 3; i++)
        put_be32(out, 0);
    put_be32(out, times);
    put_be32(out, types);
    put_be32(out, chars);
}

static void put_type(rf_buf *out, int32_t offset_s)
{
    put_be32(out, (uint32_t)offset_s);
    rf_buf_append(out, "\0\0", 2);
}

/* As rule_file in zone_cases.py: one change, at 1970, and a rule from then on. */
static void put_file(rf_buf *out, int64_t at, int32_t offset_s, const char *rule)
{
    rf_buf_clear(out);
    put_header(out, 0, 1, 1);
    put_type(out, 0);
    rf_buf_append_byte(out, 0);
    put_header(out, 1, 2, 8);
    put_be64(out, at);
    rf_buf_append_byte(out, 1);
    put_type(out, offset_s);
    put_type(out, 0);
    rf_buf_append(out, "LMT\0ABC\0", 8);
    rf_buf_append_byte(out, '\n');
    rf_buf_append(out, rule, strlen(rule));
    rf_buf_append_byte(out, '\n');
}

Test(zone, offsets_at_moments_are_those_of_zoneinfo)
{
    rf_zone *zone = NULL;
    const char *name = "";

    for (size_t i = 0; i < COUNT_OF(utc_cases); i++) {
        const zone_case *due = &utc_cases[i];
        rf_zone_span span = rf_zone_span_at(zone_of(due->zone, &zone, &name), due->at_s);
        cr_assert_eq(span.offset_s, due->offset_s, "%s at %lld: %d, due %d", due->zone,
                     (long long)due->at_s, span.offset_s, due->offset_s);
        cr_assert(span.begin_s <= due->at_s && due->at_s < span.end_s);
    }
    rf_zone_free(zone);
}

Test(zone, offsets_of_wall_clock_times_are_those_of_zoneinfo)
{
    rf_zone *zone = NULL;
    const char *name = "";

    for (size_t i = 0; i < COUNT_OF(clock_cases); i++) {
        const zone_case *due = &clock_cases[i];
        int32_t offset_s = rf_zone_offset(zone_of(due->zone, &zone, &name), due->at_s);
        cr_assert_eq(offset_s, due->offset_s, "%s at %lld by the clock: %d, due %d", due->zone,
                     (long long)due->at_s, offset_s, due->offset_s);
    }
    rf_zone_free(zone);
}

Test(zone, rules_hold_for_ever)
{
    rf_buf file;
    rf_err err;

    rf_buf_init(&file, 4096);
    for (size_t i = 0; i < COUNT_OF(rule_cases); i++) {
        const zone_case *due = &rule_cases[i];
        rf_zone *zone = NULL;
        put_file(&file, 0, -1234, due->zone);
        cr_assert_eq(rf_zone_of_file(due->zone, rf_buf_slice(&file), &zone, &err), RF_OK, "%s",
                     due->zone);
        rf_zone_span span = rf_zone_span_at(zone, due->at_s);
        cr_assert_eq(span.offset_s, due->offset_s, "%s at %lld: %d, due %d", due->zone,
                     (long long)due->at_s, span.offset_s, due->offset_s);
        cr_assert_eq(rf_zone_span_at(zone, -1).offset_s, -1234);
        rf_zone_free(zone);
    }
    rf_buf_free(&file);
}

/* Moments as the C library has them. */
Test(zone, days_of_a_rule_without_j_count_from_zero)
{
    rf_zone *zone = NULL;
    rf_buf file;
    rf_err err;

    rf_buf_init(&file, 4096);
    put_file(&file, 0, 0, "AAA-5BBB,59/1,299/1");
    cr_assert_eq(rf_zone_of_file("x", rf_buf_slice(&file), &zone, &err), RF_OK);
    cr_assert_eq(rf_zone_span_at(zone, 36619199).offset_s, 5 * 3600);
    rf_zone_span span = rf_zone_span_at(zone, 36619200);
    cr_assert_eq(span.offset_s, 6 * 3600);
    cr_assert_eq(span.begin_s, 36619200);
    cr_assert_eq(span.end_s, 57351600);
    rf_zone_free(zone);
    rf_buf_free(&file);
}

/* Walks every span and asks on both its sides: spans meet, and hold what they say. */
Test(zone, spans_follow_each_other_without_a_hole)
{
    static const char *const names[] = {"Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"};
    rf_err err;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        rf_zone *zone = NULL;
        cr_assert_eq(rf_zone_new(names[i], &zone, &err), RF_OK, "%s", err.message);
        rf_zone_span span = rf_zone_span_at(zone, INT64_MIN / 1000000);
        cr_assert_eq(span.begin_s, INT64_MIN);
        for (int step = 0; step < 20000 && span.end_s < INT64_C(253402300800); step++) {
            rf_zone_span next = rf_zone_span_at(zone, span.end_s);
            rf_zone_span again = rf_zone_span_at(zone, span.end_s - 1);
            cr_assert_eq(next.begin_s, span.end_s, "%s: %lld", names[i], (long long)span.end_s);
            cr_assert_eq(again.offset_s, span.offset_s);
            cr_assert_eq(again.end_s, span.end_s);
            cr_assert_gt(next.end_s, next.begin_s);
            span = next;
        }
        cr_assert_geq(span.end_s, INT64_C(253402300800));
        rf_zone_free(zone);
    }
}

Test(zone, fixed_offsets_and_names_that_are_none)
{
    static const char *const wrong[] = {"",         "Europe",     "Europe/Nowhere", "../etc/passwd",
                                        "/etc/tz",  "tzdata.zi",  "+2",             "+25:00",
                                        "Europe/..", "zone.tab",  "right/UTC\n",    "europe berlin"};
    rf_zone *zone = NULL;
    rf_err err;

    cr_assert_eq(rf_zone_new("-05:30", &zone, &err), RF_OK);
    rf_zone_span span = rf_zone_span_at(zone, INT64_C(253402300799));
    cr_assert_eq(span.offset_s, -19800);
    cr_assert_eq(span.begin_s, INT64_MIN);
    cr_assert_eq(span.end_s, INT64_MAX);
    rf_zone_free(zone);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        zone = NULL;
        cr_assert_eq(rf_zone_new(wrong[i], &zone, &err), RF_ERR_USAGE, "%s", wrong[i]);
        cr_assert_null(zone);
        cr_assert(strstr(err.message, "no time zone"), "%s", err.message);
    }
}

Test(zone, the_hash_is_of_the_bytes)
{
    rf_zone *a = NULL;
    rf_zone *b = NULL;
    rf_zone *c = NULL;
    rf_hash128 table = {0, 0};
    rf_buf file;
    rf_err err;

    rf_buf_init(&file, 4096);
    put_file(&file, 0, 0, "CET-1");
    cr_assert_eq(rf_zone_of_file("a", rf_buf_slice(&file), &a, &err), RF_OK);
    cr_assert_eq(rf_zone_of_file("b", rf_buf_slice(&file), &b, &err), RF_OK);
    put_file(&file, 0, 0, "CET-1CEST,M3.5.0,M10.5.0/3");
    cr_assert_eq(rf_zone_of_file("a", rf_buf_slice(&file), &c, &err), RF_OK);
    cr_assert_eq(rf_zone_hash(a).low, rf_zone_hash(b).low);
    cr_assert_neq(rf_zone_hash(a).low, rf_zone_hash(c).low);
    rf_zone_free(a);
    rf_zone_free(b);
    rf_zone_free(c);
    rf_buf_free(&file);
    if (rf_zone_table_hash(&table, &err) == RF_OK)
        cr_assert(table.low != 0 && table.high != 0);
    else
        cr_assert(strstr(err.message, "tzdata.zi"), "%s", err.message);
}

static void expect_no_file(rf_slice file, const char *what)
{
    rf_zone *zone = NULL;
    rf_err err;

    cr_assert_eq(rf_zone_of_file("x", file, &zone, &err), RF_ERR_USAGE, "%s", what);
    cr_assert_null(zone);
    cr_assert_str_eq(err.message, "the file of time zone x is none that can be read");
}

Test(zone, refuses_files_that_are_cut_or_lie)
{
    static const char *const rules[] = {
        "CET",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,M3.5.0,M10.5.0x",
        "CET-27",
        "<CET-1",
        "CET-1CEST,400,M10.5.0",
        "CET-1CEST,M3.5.0/168,M10.5.0",
        "1",
    };
    rf_buf file;
    rf_zone *zone = NULL;
    rf_err err;

    rf_buf_init(&file, 4096);
    put_file(&file, 0, 0, "CET-1CEST,M3.5.0,M10.5.0/3");
    cr_assert_eq(rf_zone_of_file("x", rf_buf_slice(&file), &zone, &err), RF_OK);
    rf_zone_free(zone);
    size_t end = file.size - strlen("\nCET-1CEST,M3.5.0,M10.5.0/3\n");
    for (size_t size = 0; size < end; size++) {
        char *cut = malloc(size + 1);
        cr_assert_not_null(cut);
        memcpy(cut, file.data, size);
        expect_no_file((rf_slice){cut, size}, "cut");
        free(cut);
    }
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        put_file(&file, 0, 0, rules[i]);
        expect_no_file(rf_buf_slice(&file), rules[i]);
    }
    put_file(&file, 0, 200000, "CET-1");
    expect_no_file(rf_buf_slice(&file), "an offset of two days");
    put_file(&file, 0, 0, "CET-1");
    file.data[4] = '\0';
    expect_no_file(rf_buf_slice(&file), "version 1");
    rf_buf_free(&file);
}
