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


def is_of_kind(name, value):
    """Whether a payload value is one of its field; a missing one is."""
    kind = FIELDS[name][0] if name in FIELDS else 'RF_TEXT'
    if value is None:
        return True
    if kind == 'RF_INT':
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == 'RF_BOOL':
        return isinstance(value, bool)
    return isinstance(value, str) and not value.startswith('bad ')


class Failed(Exception):
    pass


class Projection:
    def __init__(self, seed, fails=False):
        self.fails = fails
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
        self.strict_keys = r.random() < 0.5

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
            'fails': int(self.fails),
            'flags': '0' if self.fails and self.strict_keys else 'RF_PROJECTION_NO_KEY_IGNORE',
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

    def fold(self, events, policy='stop', put_aside=()):
        """Rows by key, how many events had no key for some handler, and (position, reason) of those
        that were left out. An event that fails is left out of all its rows, and carries nothing;
        with a quarantine the rows of its keys are shut, as far as the keys can be told.
        """
        rows, streams, keyless, left_out, shut = {}, {}, 0, [], set()
        for position, event in enumerate(events, 1):
            if position in put_aside:
                continue
            before = streams.setdefault(event['stream'], {})
            carried = self.carry(event, before)
            calls, lacking, certain = self.calls_of(event, carried)
            spoilt = self.fails and self.is_spoilt(event, carried)
            if not calls and not spoilt and certain is None:
                keyless += lacking
                streams[event['stream']] = carried
                continue
            changed, failed, touched = {}, certain, set()
            open_keyed = keyed = False
            if spoilt:
                failed = None
            for index, function, key, every in calls:
                keys = [key]
                if every:
                    both = {**rows, **changed}
                    keys = [k for k in both if k[0] == event['stream'] and both[k]]
                    keys = [k for k in keys if k not in shut]
                touched.update(keys)
                for k in sorted(keys, key=repr):
                    keyed = keyed or not every
                    if k in shut:
                        continue
                    open_keyed = True
                    if spoilt or (failed and failed[0] <= index):
                        continue
                    try:
                        self.apply(rows, changed, k, function, position, event, carried)
                    except Failed as why:
                        failed = (index, str(why))
            if spoilt:
                unsure = policy == 'quarantine' and keyed and certain is None
                failed = None if unsure and not open_keyed else (-1, 'of a wrong kind')
            if failed is None and spoilt:
                continue  # all its rows are shut
            if failed is None:
                rows.update(changed)
                streams[event['stream']] = carried
                keyless += lacking
                continue
            left_out.append((position, failed[1]))
            if policy == 'quarantine':
                shut.update(touched)
        shown = {
            key: self.show(row)
            for key, row in rows.items()
            if row is not None and key not in shut
        }
        return shown, keyless, left_out

    def carry(self, event, before):
        carried = dict(before)
        data = event['data']
        if self.carries:
            if event['type'] == 'Put' and data.get('customer') is not None:
                carried['customer'] = data['customer']
            if data.get('n') is not None:
                carried['level'] = data['n']
        return carried

    def key_fields(self, key):
        return ('sku', 'n') if self.computed else [name for name in key if name in FIELDS]

    def is_spoilt(self, event, carried):
        """Whether a value that some handler, key or carry asks for is not of its kind."""
        data, names = event['data'], set()
        for type, function, other, every in self.handlers():
            if type in ('*', event['type']):
                names.update(('n', 'at', 'sku', 'flag'))
                if not every:
                    names.update(self.key_fields(self.other_key if other else self.key))
        if self.carries:
            names.update(('n',) + (('customer',) if event['type'] == 'Put' else ()))
        return not all(is_of_kind(name, data.get(name)) for name in names)

    def calls_of(self, event, carried):
        """Calls (index, function, key, every row), whether a handler lacks its key, and the first
        reason why a key cannot be told.
        """
        calls, lacking, certain, data = [], False, None, event['data']
        carry_spoilt = self.carries and not (
            is_of_kind('n', data.get('n'))
            and (event['type'] != 'Put' or is_of_kind('customer', data.get('customer')))
        )
        for index, (type, function, other, every) in enumerate(self.handlers()):
            if type not in ('*', event['type']):
                continue
            if carry_spoilt and self.fails:
                certain = certain or (index, 'unknown')
                continue
            if every:
                calls.append((index, function, None, True))
                continue
            names = self.other_key if other else self.key
            if self.fails and not all(
                is_of_kind(name, data.get(name)) for name in self.key_fields(names)
            ):
                certain = certain or (index, 'unknown')
                continue
            key = self.key_of(names, event, carried)
            if key is not None:
                calls.append((index, function, key, False))
            elif self.fails and self.strict_keys:
                certain = certain or (index, 'the event has no key')
            else:
                lacking = True
        return calls, lacking, certain

    def apply(self, rows, changed, key, function, position, event, carried):
        if key not in changed:
            row = rows.get(key)
            changed[key] = None if row is None else dict(row)
        if function == 'on_every':
            changed[key]['touched'] += 1
            if self.fails and changed[key]['touched'] % 4 == 0:
                raise Failed('touched too often')
            return
        call = self.combine if self.combines else self.call
        call(changed, key, function, position, event, carried)

    def call(self, rows, key, function, position, event, carried):
        n = event['data'].get('n') or 0
        row = rows.get(key)
        if function == 'on_any':
            if n % 5 == 1:
                return
            row = row or dict(ORDERED_UNSET)
            row['touched'] += 1
            if self.fails and n == 18:
                raise Failed('eighteen')
            rows[key] = row
            return
        if n % 11 == 7:
            rows[key] = None
            return
        row = dict(row or ORDERED_UNSET)
        if self.fails and n == 17:
            raise Failed('seventeen')
        if self.fails and row['rises'] >= 2 and n % 3 == 0:
            raise Failed('risen enough')
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
        if self.fails and n == 18:
            raise Failed('eighteen')
        row = rows[key] = rows.get(key) or dict(COMBINED_UNSET)
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
    const rf_slice memo_before = row->memo;

    if (event->n % 11 == 7 || event->n % 11 == -4)
        return RF_ROW_DELETED;
    row->memo = (rf_slice){NULL, 0}; /* what fails later is put back */
    if (FAILS && event->n == 17)
        return rf_fold_fail(fold, "seventeen");
    row->memo = memo_before;
    if (FAILS && row->rises >= 2 && event->n % 3 == 0)
        return rf_fold_fail(fold, "risen enough");
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

    if (event->n % 5 == 1 || event->n % 5 == -4)
        return RF_ROW_UNCHANGED;
    ((struct row *)any_row)->touched++;
    if (FAILS && event->n == 18)
        return rf_fold_fail(fold, "eighteen");
    return RF_ROW_WRITTEN;
}
static rf_fold_result on_every(rf_fold *fold, void *any_row, const void *any_event)
{
    (void)any_event;
    ((struct row *)any_row)->touched++;
    if (FAILS && ((struct row *)any_row)->touched % 4 == 0)
        return rf_fold_fail(fold, "touched too often");
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

    if (event->n % 5 == 1 || event->n % 5 == -4)
        return RF_ROW_UNCHANGED;
    ((struct row *)any_row)->count++;
    if (FAILS && event->n == 18)
        return rf_fold_fail(fold, "eighteen");
    return RF_ROW_WRITTEN;
}
static rf_fold_result on_event(rf_fold *fold, void *any_row, const void *any_event)
{
    const struct event *event = any_event;
    struct row *row = any_row;

    rf_fold_result result = on_any(fold, row, event);
    if (result != RF_ROW_WRITTEN)
        return result;
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
enum { FAILS = %(fails)d };
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
    .flags = %(flags)s,
    %(carries)s
};
'''


def make_log(seed, events, streams, bad=0):
    """Events as dictionaries; fields are missing now and then, or of a wrong kind."""
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
            elif bad and r.random() < bad:
                data[name] = 7 if name in ('sku', 'to', 'customer', 'flag') else 'bad one'
        type = r.choice(TYPES)
        log.append({'stream': stream, 'version': versions[stream], 'type': type, 'data': data})
    return log
