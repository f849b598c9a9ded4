"""Random projections with keys of their own, each as C and as a serial fold in Python.

A projection is drawn from a seed: the parts of its key, what it carries, its handlers, how its
columns are combined. `source` writes it as a plugin; `fold` computes its rows the slow and obvious
way, event by event in the order of the log, with keys as tuples of Python values. The two share
nothing but this description.
"""

import json
import random

import serial_fold

FIELDS = {  # payload fields of the made events: kind in C, C type
    'sku': ('RF_TEXT', 'rf_slice'),
    'to': ('RF_TEXT', 'rf_slice'),
    'n': ('RF_INT', 'int64_t'),
    'price': ('RF_DECIMAL', 'int64_t'),
    'flag': ('RF_BOOL', 'bool'),
    'at': ('RF_TIME', 'int64_t'),
    'on': ('RF_DATE', 'int64_t'),
}
SOURCES = {'stream': 'RF_EVENT_STREAM', 'type': 'RF_EVENT_TYPE', 'category': 'RF_EVENT_CATEGORY'}
TYPES = ('Put', 'Moved', 'Took', 'Closed')
DAY = 86400 * 1000000


def scale(kind):
    return 2 if kind == 'RF_DECIMAL' else 0


class Projection:
    def __init__(self, seed):
        self.random = r = random.Random(seed)
        self.carries = r.random() < 0.5
        self.every_row = not self.carries and r.random() < 0.3
        self.combines = not self.every_row and r.random() < 0.4
        self.computed = not self.every_row and r.random() < 0.2
        names = list(FIELDS) + list(SOURCES)
        if self.carries:
            names += ['carried.customer', 'carried.level'] * 3
        if self.computed:
            self.key = ['computed text', 'computed int']
        elif self.every_row:
            self.key = ['stream'] + r.sample(sorted(FIELDS), r.randrange(0, 3))
        else:
            self.key = r.sample(names, 1) if r.random() < 0.5 else r.sample(names, r.randrange(2, 4))
            self.key = list(dict.fromkeys(self.key))
        if self.key == ['stream'] and not self.every_row:
            self.key = ['sku']
        self.other_key = [{'sku': 'to', 'to': 'sku'}.get(part, part) for part in self.key]
        self.types = sorted(r.sample(TYPES, r.randrange(1, 4)))
        self.star = r.random() < 0.4
        self.name = 'keyed_%d' % seed

    # ---- as C ----

    def part(self, name):
        if name in SOURCES:
            return '{%s, RF_TEXT, 0, 0, 0, 0, RF_NO_PRESENT, NULL}' % SOURCES[name]
        if name.startswith('carried.'):
            kind = 'RF_TEXT' if name == 'carried.customer' else 'RF_INT'
            return '{RF_CARRIED, %s, 0, 0, 0, 0, RF_NO_PRESENT, "%s"}' % (kind, name[8:])
        kind = FIELDS[name][0]
        return '{RF_PAYLOAD, %s, %d, 1, 0, 0, RF_NO_PRESENT, "%s"}' % (kind, scale(kind), name)

    def key_tables(self):
        if self.computed:
            return COMPUTED_KEY
        tables = ''
        for label, key in (('', self.key), ('other_', self.other_key)):
            tables += 'static const rf_field %sparts[] = {%s};\n' % (
                label,
                ', '.join(self.part(name) for name in key),
            )
            tables += 'static const rf_key %skey = {.parts = %sparts, .part_count = %d};\n' % (
                label,
                label,
                len(key),
            )
        return tables

    def handlers(self):
        """(type, function, whether it has the other key, whether it gets every row)"""
        listed = [(type, 'on_event', False, False) for type in self.types]
        if not self.computed and self.other_key != self.key:
            listed.append((self.types[0], 'on_event', True, False))
        if self.star:
            listed.append(('*', 'on_any', False, False))
        if self.every_row:
            listed.append(('Closed', 'on_every', False, True))
        return listed

    def source(self):

        table = ''
        for type, function, other, every in self.handlers():
            table += '    {"%s", %s, fields, RF_COUNT_OF(fields), sizeof(struct event), %d, %s},\n' % (
                type,
                function,
                every,
                '&other_key' if other else 'NULL',
            )
        carried = CARRIED_FIELDS if self.carries else ''
        return SOURCE % {
            'body': COMBINED if self.combines else ORDERED,
            'carried': carried,
            'keys': self.key_tables(),
            'handlers': table,
            'name': self.name,
            'carries': '.carries = carries, .carry_count = RF_COUNT_OF(carries),'
            if self.carries
            else '',
        }

    # ---- as a serial fold ----

    def key_of(self, key, event, carried):
        if self.computed:
            sku, n = event['data'].get('sku'), event['data'].get('n') or 0
            return None if sku is None else (sku[:1], n % 3 if n >= 0 else -(-n % 3))
        values = []
        for name in key:
            if name == 'stream':
                value = event['stream']
            elif name == 'type':
                value = event['type']
            elif name == 'category':
                value = event['stream'].split('-')[0]
            elif name.startswith('carried.'):
                value = carried.get(name[8:])
            else:
                value = event['data'].get(name)
                if value is not None and name == 'price':
                    value = serial_fold.hundredths(value)
                elif value is not None and name == 'at':
                    value = serial_fold.time_us(value)
            if value is None:
                return None
            values.append(value)
        return tuple(values)

    def fold(self, events):
        """Rows by key, and how many events had no key for some handler."""
        rows, streams, keyless = {}, {}, 0
        for position, event in enumerate(events, 1):
            carried = streams.setdefault(event['stream'], {})
            if self.carries:
                if event['type'] == 'Put' and event['data'].get('customer') is not None:
                    carried['customer'] = event['data']['customer']
                if event['data'].get('n') is not None:
                    carried['level'] = event['data']['n']
            lacking = False
            for type, function, other, every in self.handlers():
                if type not in ('*', event['type']):
                    continue
                if every:
                    for key in rows:
                        if key[0] == event['stream'] and rows[key]:
                            rows[key]['touched'] += 1
                    continue
                key = self.key_of(self.other_key if other else self.key, event, carried)
                if key is None:
                    lacking = True
                    continue
                call = self.combine if self.combines else self.call
                call(rows, key, function, position, event, carried)
            keyless += lacking
        return {key: self.show(row) for key, row in rows.items() if row is not None}, keyless

    def call(self, rows, key, function, position, event, carried):
        n = event['data'].get('n') or 0
        row = rows.get(key)
        if function == 'on_any':
            if n % 5 == 1:
                return
            row = row or dict(ORDERED_UNSET)
            row['touched'] += 1
            rows[key] = row
            return
        if n % 11 == 7:
            rows[key] = None
            return
        row = dict(row or ORDERED_UNSET)
        row['rises'] += n > row['last']
        row['last'] = n
        row['mixed'] = (row['mixed'] * 31 + position) % 1000003
        row['sku'] = event['data'].get('sku')
        row['memo'] = ((row['memo'] or '')[-3:] + event['stream'])[-12:]
        row['customer'] = carried.get('customer')
        rows[key] = row

    def combine(self, rows, key, function, position, event, carried):
        data = event['data']
        n = data.get('n') or 0
        if n % 5 == 1:
            return
        row = rows.setdefault(key, dict(COMBINED_UNSET))
        row['count'] += 1
        if function == 'on_any':
            return
        row['total'] += n
        at = serial_fold.time_us(data['at']) if data.get('at') else None
        sku = data['sku'].encode() if 'sku' in data else None
        for name, better in (('least', min), ('most', max)):
            row[name] = n if row[name] is None else better(row[name], n)
        for name, value, better in (
            ('first_at', at, min),
            ('last_at', at, max),
            ('low', sku, min),
            ('high', sku, max),
        ):
            if value is not None:
                row[name] = value if row[name] is None else better(row[name], value)
        if data.get('sku') is not None:
            row['first_sku'] = row['first_sku'] if row['first_sku'] is not None else data['sku']
            row['last_sku'] = data['sku']
        row['first_n'] = n if row['first_n'] is None else row['first_n']
        row['last_n'] = n
        row['any_flag'] = row['any_flag'] or bool(data.get('flag'))
        row['all_flags'] = row['all_flags'] and bool(data.get('flag'))

    def show(self, row):
        shown = {}
        for name, value in row.items():
            if name.endswith('_at'):
                value = serial_fold.time_text(value)
            elif isinstance(value, bytes):
                value = value.decode()
            elif value is None and name in ('least', 'most', 'first_n', 'last_n'):
                value = 0
            shown[name] = value
        return shown

    # ---- keys as they are printed ----

    def show_key(self, key):
        shown = []
        for name, value in zip(self.key, key):
            if name == 'price':
                value = serial_fold.hundredths_text(value)
            elif name == 'at':
                value = serial_fold.time_text(value)
            shown.append(value)
        return shown[0] if len(shown) == 1 else shown

    def print_rows(self, rows):
        def order(key):
            return [part.encode() if isinstance(part, str) else part for part in key]

        dump = json.JSONEncoder(ensure_ascii=False, separators=(',', ':')).encode
        return ''.join(
            dump({'key': self.show_key(key), **rows[key]}) + '\n' for key in sorted(rows, key=order)
        ).encode()


ORDERED_UNSET = {
    'rises': 0,
    'last': 0,
    'mixed': 0,
    'touched': 0,
    'sku': None,
    'memo': None,
    'customer': None,
}
COMBINED_UNSET = {
    'count': 0,
    'total': 0,
    'least': None,
    'most': None,
    'first_at': None,
    'last_at': None,
    'low': None,
    'high': None,
    'first_sku': None,
    'last_sku': None,
    'first_n': None,
    'last_n': None,
    'any_flag': False,
    'all_flags': True,
}

COMPUTED_KEY = r'''
struct made { rf_slice first; int64_t rest; };
struct asked { rf_slice sku; int64_t n; };
static rf_fold_result compute(rf_fold *fold, const void *event, void *parts)
{
    const struct asked *asked = event;
    struct made *made = parts;

    if (!asked->sku.data)
        return RF_ROW_WRITTEN;
    char *first = rf_fold_alloc(fold, 2);
    size_t size = asked->sku.size == 0 ? 0 : (unsigned char)*asked->sku.data < 0x80 ? 1 : 2;
    memcpy(first, asked->sku.data, size);
    made->first = (rf_slice){first, size};
    made->rest = asked->n % 3;
    return RF_ROW_WRITTEN;
}
static const rf_field parts[] = {RF_FIELD(struct made, first, RF_TEXT),
                                 RF_FIELD(struct made, rest, RF_INT)};
static const rf_field asked_fields[] = {RF_FIELD_OPTIONAL(struct asked, sku, RF_TEXT),
                                        RF_FIELD_OPTIONAL(struct asked, n, RF_INT)};
static const rf_key key = {parts, 2, compute, asked_fields, 2, sizeof(struct asked),
                           sizeof(struct made)};
'''

CARRIED_FIELDS = '''
    {RF_CARRIED, RF_TEXT, 0, 0, 0, offsetof(struct event, customer), RF_NO_PRESENT, "customer"},
'''

ORDERED = r'''
struct row {
    int64_t rises, last, mixed, touched;
    rf_slice sku, memo, customer;
};
static rf_fold_result on_event(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    if (event->n % 11 == 7 || event->n % 11 == -4)
        return RF_ROW_DELETED;
    row->rises += event->n > row->last;
    row->last = event->n;
    row->mixed = (row->mixed * 31 + event->position) % 1000003;
    row->sku = event->sku;
    row->customer = event->customer;
    size_t kept = row->memo.size < 3 ? row->memo.size : 3;
    size_t size = kept + event->stream.size;
    char *memo = rf_fold_alloc(fold, size);
    if (kept > 0)
        memcpy(memo, row->memo.data + row->memo.size - kept, kept);
    memcpy(memo + kept, event->stream.data, event->stream.size);
    size_t cut = size > 12 ? size - 12 : 0;
    row->memo = (rf_slice){memo + cut, size - cut};
    return RF_ROW_WRITTEN;
}
static rf_fold_result on_any(rf_fold *fold, void *any_row, const void *any_event)
{
    const struct event *event = any_event;

    (void)fold;
    if (event->n % 5 == 1 || event->n % 5 == -4)
        return RF_ROW_UNCHANGED;
    ((struct row *)any_row)->touched++;
    return RF_ROW_WRITTEN;
}
static rf_fold_result on_every(rf_fold *fold, void *any_row, const void *any_event)
{
    (void)fold, (void)any_event;
    ((struct row *)any_row)->touched++;
    return RF_ROW_WRITTEN;
}
static const rf_column columns[] = {
    RF_COLUMN(struct row, rises, RF_INT),   RF_COLUMN(struct row, last, RF_INT),
    RF_COLUMN(struct row, mixed, RF_INT),   RF_COLUMN(struct row, touched, RF_INT),
    RF_COLUMN(struct row, sku, RF_TEXT),    RF_COLUMN(struct row, memo, RF_TEXT),
    RF_COLUMN(struct row, customer, RF_TEXT),
};
'''

COMBINED = r'''
struct row {
    int64_t count, total, least, most, first_at, last_at, first_n, last_n;
    rf_slice low, high, first_sku, last_sku;
    bool any_flag, all_flags;
};
static rf_fold_result on_any(rf_fold *fold, void *any_row, const void *any_event)
{
    const struct event *event = any_event;

    (void)fold;
    if (event->n % 5 == 1 || event->n % 5 == -4)
        return RF_ROW_UNCHANGED;
    ((struct row *)any_row)->count++;
    return RF_ROW_WRITTEN;
}
static rf_fold_result on_event(rf_fold *fold, void *any_row, const void *any_event)
{
    const struct event *event = any_event;
    struct row *row = any_row;

    if (on_any(fold, row, event) == RF_ROW_UNCHANGED)
        return RF_ROW_UNCHANGED;
    row->total += event->n;
    row->least = event->n < row->least ? event->n : row->least;
    row->most = event->n;
    row->first_at = event->at;
    row->last_at = event->at;
    row->first_n = row->last_n = event->n;
    row->low = row->high = row->first_sku = row->last_sku = event->sku;
    row->any_flag = row->any_flag || event->flag;
    row->all_flags = row->all_flags && event->flag;
    return RF_ROW_WRITTEN;
}
#define WAY(member, kind, how) {#member, kind, 0, how, offsetof(struct row, member)}
static const rf_column columns[] = {
    WAY(count, RF_INT, RF_COMBINE_COUNT),      WAY(total, RF_INT, RF_COMBINE_SUM),
    WAY(least, RF_INT, RF_COMBINE_MIN),        WAY(most, RF_INT, RF_COMBINE_MAX),
    WAY(first_at, RF_TIME, RF_COMBINE_MIN),    WAY(last_at, RF_TIME, RF_COMBINE_MAX),
    WAY(low, RF_TEXT, RF_COMBINE_MIN),         WAY(high, RF_TEXT, RF_COMBINE_MAX),
    WAY(first_sku, RF_TEXT, RF_COMBINE_FIRST), WAY(last_sku, RF_TEXT, RF_COMBINE_LAST),
    WAY(first_n, RF_INT, RF_COMBINE_FIRST),    WAY(last_n, RF_INT, RF_COMBINE_LAST),
    WAY(any_flag, RF_BOOL, RF_COMBINE_ANY),    WAY(all_flags, RF_BOOL, RF_COMBINE_ALL),
};
'''

SOURCE = r'''
#include "refold/projection.h"
#include <string.h>

struct event {
    int64_t n, at, position;
    rf_slice sku, stream, customer;
    bool flag;
};
%(body)s
static const rf_field fields[] = {
    RF_FIELD_OPTIONAL(struct event, n, RF_INT),
    RF_FIELD_OPTIONAL(struct event, at, RF_TIME),
    RF_FIELD_OPTIONAL(struct event, sku, RF_TEXT),
    RF_FIELD_OPTIONAL(struct event, flag, RF_BOOL),
    RF_FIELD_OF_EVENT(struct event, position, RF_EVENT_POSITION, RF_INT),
    RF_FIELD_OF_EVENT(struct event, stream, RF_EVENT_STREAM, RF_TEXT),
    %(carried)s
};
const rf_carry carries[] = {
    {"customer", "Put", {RF_PAYLOAD, RF_TEXT, 0, 1, 0, 0, RF_NO_PRESENT, "customer"}},
    {"level", "*", {RF_PAYLOAD, RF_INT, 0, 1, 0, 0, RF_NO_PRESENT, "n"}},
};
%(keys)s
static const rf_handler handlers[] = {
%(handlers)s};
RF_PROJECTION_EXPORT const rf_projection refold_projection = {
    RF_PROJECTION_HEAD,
    .name = "%(name)s", .version = 1, .row_size = sizeof(struct row), .key_by = &key,
    .columns = columns, .column_count = RF_COUNT_OF(columns),
    .handlers = handlers, .handler_count = RF_COUNT_OF(handlers),
    .flags = RF_PROJECTION_NO_KEY_IGNORE,
    %(carries)s
};
'''


def make_log(seed, events, streams):
    """Events as dictionaries; fields are missing now and then."""
    r = random.Random(seed)
    versions, log = {}, []
    skus = ['s%d' % i for i in range(r.choice((1, 4, 60)))] + ['ä', '', 'a' * r.choice((5, 90))]
    for _ in range(events):
        stream = '%s-%d' % (r.choice(('order', 'crate')), r.randrange(streams))
        versions[stream] = versions.get(stream, 0) + 1
        data = {
            'sku': r.choice(skus[:1] * 3 + skus),
            'to': r.choice(skus),
            'n': r.randrange(-40, 40) if r.random() < 0.9 else r.choice((-(2**40), 2**40)),
            'price': '%d.%02d' % (r.randrange(-5, 5), r.randrange(0, 100, 25)),
            'flag': r.random() < 0.7,
            'at': serial_fold.time_text(r.randrange(-5, 5) * DAY),
            'on': '20%02d-01-0%d' % (r.randrange(10, 13), r.randrange(1, 9)),
            'customer': 'c-%d' % r.randrange(9),
        }
        for name in list(data):
            if r.random() < 0.05:
                del data[name]
        type = r.choice(TYPES)
        log.append({'stream': stream, 'version': versions[stream], 'type': type, 'data': data})
    return log
