"""Definitions of the walk, each as a Lua file and as a serial fold in Python, and the events that they fold.

A definition is a random one of tests/model/lua_projections.py: keys by stream, by fields, computed, carried, of
each type its own, rows of a stream; columns of every kind, that combine or not; upcasts and renames. Each version of a
read model is another one, with the same key. Added are what the walk is about: columns that come, go and change
their kind from version to version, an index, events that break what is expected of a row and mend it, and events that
fail. A fold goes on from event to event, and knows the policy and which events are put aside.
"""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'model'))
import lua_projections
import serial_fold

MODES = ('stream', 'field', 'tuple', 'typed', 'carried', 'types', 'computed', 'every')
OWN_TYPES = ('Break', 'Mend', 'Boom')
KEY_OF_TYPES = (
    '{ Put = "t text", Moved = "s text", Took = "stream", Closed = "t text", '
    'Break = "t text", Mend = "t text", Boom = "s text" }'
)
PARTS_OF_TYPES = dict(lua_projections.OF_TYPES, Break=('t',), Mend=('t',), Boom=('s',))
BANG_MAX = 5  # of a Boom that does not fail
EXTRA_KINDS = {'int': 1, 'decimal(1)': 10, 'text': None}


class Definition(lua_projections.Projection):
    def __init__(self, name, version, mode, seed):
        self.random = r = random.Random(seed)
        self.name, self.version, self.mode = name, version, mode
        self.combines = mode not in ('stream', 'every') and r.random() < 0.4
        self.text_key = mode in ('stream', 'field', 'carried', 'types')
        self.renames = {'OldPut': 'Put'} if r.random() < 0.5 else {}
        self.upcasts = self.make_upcasts() if r.random() < 0.5 else {}
        self.columns = dict(lua_projections.COMBINED if self.combines else lua_projections.COLUMNS)
        self.handlers = self.make_handlers()
        self.expects = r.random() < 0.5
        self.fails = r.random() < 0.6
        self.extras = {
            'extra%d' % i: r.choice(sorted(EXTRA_KINDS)) for i in range(3) if r.random() < 0.5
        }
        self.index = r.choice((None, 'i', 't', 'o,d', 'broken,u'))
        own = ['Put'] if self.extras else []
        own += ['Break', 'Mend'] + (['Boom'] if self.fails else [])
        self.own = [lua_projections.Handler(type, None, self.handlers[0].key) for type in own]
        if mode in ('field', 'carried'):  # one of the others may have a key of its own
            for handler in self.own:
                handler.key = None

    # ---- as Lua ----

    def kinds(self):
        """Of all columns, in their order."""
        return {
            'broken': 'int',
            **{c: lua_projections.COLUMNS[c] for c in self.columns},
            **self.extras,
        }

    def lines_of(self, type):
        """What a handler of the walk's own does."""
        if type == 'Put':
            for name, kind in self.extras.items():
                yield (
                    'row.%s = e.t' % name
                    if kind == 'text'
                    else 'row.%s = row.%s + e.n * %d' % (name, name, EXTRA_KINDS[kind])
                )
        elif type == 'Break':
            yield 'row.broken = row.broken + 1'
        elif type == 'Mend':
            yield 'row.broken = row.broken - 1' if self.combines else 'row.broken = 0'
        else:
            yield 'row.broken = row.broken + e.bang'
            yield 'if e.bang > %d then error("too much") end' % BANG_MAX
            yield 'row.broken = row.broken - e.bang'

    def source(self):
        name, version = "name '%s'" % self.name, 'version (%d)' % self.version
        lines = super().source().replace('version (1)', version).split('\n')
        assert lines[0] == name, lines[0]
        for i, line in enumerate(lines):
            if line.startswith('columns'):
                shown = ', '.join('"%s %s"' % pair for pair in self.kinds().items())
                lines[i] = 'columns { %s }' % shown
            elif line.startswith('combine'):
                how = {n: 'last' if k == 'text' else 'sum' for n, k in self.extras.items()}
                how = {**self.columns, 'broken': 'sum', **how}
                lines[i] = 'combine { %s }' % ', '.join('%s = "%s"' % pair for pair in how.items())
            elif line.startswith('key') and self.mode == 'types':
                lines[i] = 'key ' + KEY_OF_TYPES
        if not self.upcasts:
            lines.append('schemas ("Moved", 1, 2, 3)')
        if self.index:
            lines.append('index { %s }' % ', '.join('"%s"' % c for c in self.index.split(',')))
        if self.expects:
            lines.append('expect ("broken == 0")')
        for handler in self.own:
            key = handler.key + ', ' if handler.key else ''
            fields = '{ "n int?", "t text?", "bang int?" }'
            lines.append('on ("%s", %s, %sfunction (row, e)' % (handler.type, fields, key))
            lines += ['    ' + line for line in self.lines_of(handler.type)] + ['end)']
        return '\n'.join(lines) + '\n'

    # ---- as a serial fold ----

    def key_of(self, handler, event):
        if self.mode == 'types':
            parts = PARTS_OF_TYPES[handler.type]
            values = [event.stream if p == 'stream' else event.get(p) for p in parts]
            return None if None in values else tuple(values)
        return super().key_of(handler, event)

    def call_own(self, rows, key, type, event):
        row = rows.setdefault(key, None) or {**lua_projections.UNSET, 'l': []}
        if self.combines:
            row.setdefault('given', frozenset())
        row.setdefault('broken', 0)
        if type == 'Put':
            for name, kind in self.extras.items():
                if kind != 'text':
                    row[name] = row.get(name, 0) + event.get('n') * EXTRA_KINDS[kind]
                elif event.get('t') is not None or not self.combines:
                    row[name] = event.get('t')
        elif type == 'Break':
            row['broken'] += 1
        elif type == 'Mend':
            row['broken'] = row['broken'] - 1 if self.combines else 0
        rows[key] = row

    def in_order(self, keys):
        return sorted(keys, key=lambda key: [p.encode() if isinstance(p, str) else p for p in key])

    def show_key(self, key):
        shown = list(key)
        if self.mode == 'typed':
            shown[:2] = (
                lua_projections.show_value('date', key[0]),
                serial_fold.hundredths_text(key[1]),
            )
        return shown if len(shown) > 1 else shown[0]

    def show_row(self, key, row):
        shown = {'key': self.show_key(key)}
        for column, kind in self.kinds().items():
            value = row.get(column, None if kind == 'text' else 0)
            if kind == 'decimal(1)':
                value = '%s%d.%d' % ('-' if value < 0 else '', abs(value) // 10, abs(value) % 10)
            elif kind == 'json':
                value = in_order(value)
            elif kind == 'float' and value == int(value):
                value = int(value)  # it has no .0
            shown[column] = lua_projections.show_value(kind, value)
        return shown


def in_order(value):
    """JSON with names in order."""
    if isinstance(value, dict):
        return {name: in_order(value[name]) for name in sorted(value, key=str.encode)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


class Fold:
    """The rows of a definition, event by event: `policy` is that of --on-error, `aside` the positions that are left
    out on record. Under 'stop' it ends in front of the first event that fails, whose position is then `failed`."""

    def __init__(self, definition, policy, aside):
        self.definition, self.policy, self.aside = definition, policy, aside
        self.position, self.rows, self.carried, self.shut = 0, {}, {}, set()
        self.stopped_at = None  # by an event that fails
        self.left_out = []  # positions
        self.broken_ever = set()  # positions
        self.broken = {}  # by key: the position that broke what is expected of the row, until it holds again

    def go_on(self, log, position):
        while self.position < position and self.stopped_at is None:
            self.take(log[self.position])
        self.failed = self.stopped_at if self.position < position else None
        return self

    def take(self, raw):
        definition, position = self.definition, self.position + 1
        if position in self.aside:
            self.left_out.append(position)
            self.position = position
            return
        event = lua_projections.Event(raw, position, raw['version'], definition)
        event.bang = raw['data'].get('bang') or 0
        event.carried = self.carried.setdefault(raw['stream'], {})
        if definition.mode == 'carried' and event.type in ('Put', 'Took'):
            value = event.get('t' if event.type == 'Put' else 's')
            if value is not None:
                event.carried['who'] = value
        calls = []
        for handler in definition.handlers + definition.own:
            if handler.type in ('*', event.type) and not handler.every:
                key = definition.key_of(handler, event)
                if key is not None:
                    calls.append((handler, key))
        if self.fails(event, calls):
            if self.policy == 'stop':
                self.stopped_at = position
                return
            self.left_out.append(position)
            if self.policy == 'quarantine':
                for _, key in calls:
                    self.shut.add(key)
                    self.rows.pop(key, None)
            self.position = position
            return
        self.fold(event, calls)
        self.position = position

    def fails(self, event, calls):
        """`Boom` alone does."""
        if event.type != 'Boom' or not self.definition.fails:
            return False
        open = [handler for handler, key in calls if key not in self.shut]
        if not isinstance(event.bang, int):
            return bool(open) or not calls
        return event.bang > BANG_MAX and any(handler.type == 'Boom' for handler in open)

    def fold(self, event, calls):
        definition, touched = self.definition, {}
        of_handler = dict((id(handler), key) for handler, key in calls)
        for handler in definition.handlers + definition.own:
            if handler.every and handler.type == event.type:
                keys = [key for key in self.rows if key[0] == event.stream]
            else:
                keys = [of_handler[id(handler)]] if id(handler) in of_handler else []
            for key in definition.in_order(keys):
                if key in self.shut:
                    continue
                if key not in touched:
                    touched[key] = self.is_broken(key)
                if handler in definition.own:
                    definition.call_own(self.rows, key, handler.type, event)
                else:
                    definition.call(self.rows, key, handler, event)
        if definition.expects:
            self.note_broken(touched)

    def is_broken(self, key):
        return self.rows.get(key, {}).get('broken', 0) != 0

    def note_broken(self, touched):
        """What a row was broken by, as long as it is."""
        for key, before in touched.items():
            if self.is_broken(key) and not before:
                self.broken[key] = self.position + 1
                self.broken_ever.add(self.position + 1)
            elif not self.is_broken(key):
                self.broken.pop(key, None)

    def printed(self):
        """The lines that scan prints."""
        definition, dump = self.definition, json.JSONEncoder(ensure_ascii=False, separators=(',', ':')).encode
        return [
            dump(definition.show_row(key, self.rows[key])) for key in definition.in_order(self.rows)
        ]


# ---- events ----


class Events:
    """Makes the log's next events. A stream's versions go on."""

    def __init__(self, random, streams):
        self.random, self.streams, self.versions = random, streams, {}

    def make(self, count, bad):
        """`bad`: the share of events that fail or break what is expected, where a definition handles them."""
        made = lua_projections.make_log(self.random.randrange(10**9), self, count, self.streams)
        for event in made:
            if self.random.random() < bad:
                self.spoil(event)
            stream = event['stream']
            event['version'] = self.versions[stream] = self.versions.get(stream, 0) + 1
        return made

    upcasts = True  # they have schemas

    def spoil(self, event):
        event['type'] = self.random.choice(('Break', 'Mend', 'Mend', 'Boom', 'Boom'))
        event.pop('schema', None)
        if event['type'] == 'Boom':
            event['data']['bang'] = self.random.choice((1, BANG_MAX, 9, 'two'))
