"""Makes zone_cases.h: offsets of time zones as Python's zoneinfo has them, an implementation that
shares nothing with ours.

    python3 tests/unit/zone_cases.py > tests/unit/zone_cases.h

Times are around changes, on both sides to the second, and far from them. Of the system's zones only
the past is asked, which a new tzdata leaves as it is; rules stand in files made here. Days
without J are left out: Python counts them from 1 and POSIX from 0.
"""
import datetime
import io
import random
import struct
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ['Europe/Berlin', 'Europe/Dublin', 'America/New_York', 'America/St_Johns', 'Asia/Kolkata',
         'Asia/Kathmandu', 'Australia/Lord_Howe', 'Africa/Casablanca', 'Pacific/Apia',
         'America/Santiago', 'Pacific/Kiritimati', 'Asia/Tehran', 'UTC']
RULES = ['CET-1CEST,M3.5.0,M10.5.0/3', 'EST5EDT,M3.2.0,M11.1.0', 'AEST-10AEDT,M10.1.0,M4.1.0/3',
         'IST-1GMT0,M10.5.0,M3.5.0/1', '<-02>2<-01>,M3.5.0/-1,M10.5.0/0', 'IST-2IDT,M3.4.4/26,M10.5.0',
         '<+1030>-10:30<+11>-11,M10.1.0,M4.1.0', 'AAA3BBB,J60/0,J300/0', 'AAA-5BBB,J59/1,J299/1',
         '<+0545>-5:45', 'EST5EDT,J1/0,J365/25']


def seconds(when):
    return (when - EPOCH) // datetime.timedelta(seconds=1)


def offset_at(zone, utc_s):
    when = (EPOCH + datetime.timedelta(seconds=utc_s)).astimezone(zone)
    return int(when.utcoffset().total_seconds())


def offset_of_clock(zone, local_s):
    clock = (EPOCH + datetime.timedelta(seconds=local_s)).replace(tzinfo=zone, fold=0)
    return int(clock.utcoffset().total_seconds())


def changes(zone, first_year, last_year):
    """Moments at which the offset changes, by bisection between days."""
    day = seconds(datetime.datetime(first_year, 1, 1, tzinfo=UTC))
    end = seconds(datetime.datetime(last_year, 12, 31, tzinfo=UTC))
    before = offset_at(zone, day)
    while day < end:
        low, high = day, day + 86400
        after = offset_at(zone, high)
        if after != before:
            while high - low > 1:
                middle = (low + high) // 2
                if offset_at(zone, middle) == before:
                    low = middle
                else:
                    high = middle
            yield high, before, after
        before, day = after, day + 86400


def rule_file(rule):
    """A zone file with one change, at 1970, and this rule from then on."""
    part = struct.pack('>4s c 15x 6I', b'TZif', b'2', 0, 0, 0, 0, 1, 1)
    head = part + struct.pack('>i?B', 0, False, 0) + b'\0'
    body = struct.pack('>4s c 15x 6I', b'TZif', b'2', 0, 0, 0, 1, 2, 8)
    body += struct.pack('>q', 0) + b'\1'
    body += struct.pack('>i?B', -1234, False, 0) + struct.pack('>i?B', 0, False, 4)
    body += b'LMT\0ABC\0'
    return head + body + b'\n' + rule.encode() + b'\n'


def calendar_row(name, us):
    clock = (EPOCH + datetime.timedelta(microseconds=us)).astimezone(zoneinfo.ZoneInfo(name))
    return (name, us, clock.date().toordinal() - EPOCH.date().toordinal(), clock.year, clock.month,
            clock.day, clock.hour)


def calendar_rows():
    for name in ('UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Kiritimati'):
        for when in ('0001-01-03', '1900-03-01', '1969-12-31', '1970-01-01', '1999-12-31', '2000-02-29',
                     '2020-03-01'):
            midnight = seconds(datetime.datetime.fromisoformat(when).replace(tzinfo=UTC)) * 1000000
            clock = midnight - offset_at(zoneinfo.ZoneInfo(name), midnight // 1000000) * 1000000
            if abs(clock) < 2**53:
                yield calendar_row(name, clock - 1)
                yield calendar_row(name, clock)


def main():
    random.seed(4)
    utc, clock, rules = [], [], []
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        found = list(changes(zone, 1905, 2022))
        for at, before, after in random.sample(found, min(len(found), 3)) + found[-1:]:
            utc += [(name, t, offset_at(zone, t)) for t in (at - 1, at)]
            width = abs(after - before)
            edge = at + min(before, after)
            clock += [(name, t, offset_of_clock(zone, t))
                      for t in (edge - 1, edge, edge + width - 1, edge + width)]
        for _ in range(3):
            t = random.randrange(-2000000000, 1600000000)
            utc.append((name, t, offset_at(zone, t)))
    for rule in RULES:
        zone = zoneinfo.ZoneInfo.from_file(io.BytesIO(rule_file(rule)))
        for year in (1971, 2100, 2373, 9990):
            for at, _, _ in list(changes(zone, year, year)):
                rules += [(rule, t, offset_at(zone, t)) for t in (at - 1, at)]
            t = seconds(datetime.datetime(year, random.randrange(1, 13), 5, tzinfo=UTC))
            rules.append((rule, t, offset_at(zone, t)))
    print('/* Made by zone_cases.py from Python\'s zoneinfo; see there. Not to be edited.\n */')
    print('#include <stdint.h>\n')
    print('typedef struct zone_case {\n    const char *zone;\n    int64_t at_s;\n'
          '    int32_t offset_s;\n} zone_case;\n')
    for table, rows in (('utc_cases', utc), ('clock_cases', clock), ('rule_cases', rules)):
        print('static const zone_case %s[] = {' % table)
        for row in dict.fromkeys(rows):
            print('    {"%s", %d, %d},' % row)
        print('};')
    print('\n/* A time, and the date, year, month, day and hour on the clock. */')
    print('static const struct {\n    const char *zone;\n    int64_t us, date, year, month, day, hour;\n'
          '} calendar_cases[] = {')
    for row in calendar_rows():
        print('    {"%s", %d, %d, %d, %d, %d, %d},' % row)
    print('};')


if __name__ == '__main__':
    main()
