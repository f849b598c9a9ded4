"""Random projections, each as a Lua file and as a serial fold in Python.

A projection is drawn from a seed as trees of expressions and statements. `source` writes them as Lua;
`fold` runs the same trees over the events, one by one in the order of the log, with rows as dictionaries
and numbers, texts, lists and documents as Python has them. Only values that both languages hold alike
are made: integers below 2^53, texts that are cut where they are plain ASCII, tables with texts as keys.
"""

import datetime
import fractions
import json
import random

import serial_fold

EPOCH = datetime.date(1970, 1, 1)
COLUMNS = {
    'i': 'int', 'k': 'int', 'd': 'decimal(2)', 'f': 'float', 'b': 'bool', 't': 'text', 'u': 'text',
    'a': 'time', 'o': 'date', 'j': 'json', 'l': 'list(k text, v int, d decimal(2))',
}  # fmt: skip
UNSET = {
    'i': 0, 'k': 0, 'd': 0, 'f': 0, 'b': False, 't': None, 'u': None, 'a': None, 'o': None, 'j': None,
}  # fmt: skip
COMBINED = {
    'i': 'sum', 'k': 'count', 'd': 'sum', 'f': 'max', 'b': 'any', 't': 'first', 'u': 'last',
    'a': 'max', 'o': 'min',
}  # fmt: skip
FIELDS = {
    'n': 'int', 'q': 'int', 'p': 'decimal(2)', 'w': 'float', 'yes': 'bool', 't': 'text', 's': 'text',
    'at': 'time', 'on': 'date', 'j': 'json', 'full': 'text', 'count': 'int',
}  # fmt: skip
ZERO = {'int': 0, 'decimal(2)': 0, 'float': 0, 'bool': False}
TYPES = ('Put', 'Moved', 'Took', 'Closed')
SCHEMAS = {'Moved': 3}  # the current one of types that have several
MODULO = 1000003


# ---- values of events ----


def typed(name, value):
    """What a handler gets of a payload's value."""
    kind = FIELDS[name]
    if value is None:
        return ZERO.get(kind)
    if kind == 'decimal(2)':
        return serial_fold.hundredths(value)
    if kind == 'time':
        return serial_fold.time_us(value)
    if kind == 'date':
        return (datetime.date.fromisoformat(value) - EPOCH).days
    return value


class Event:
    """An event in today's form."""

    def __init__(self, raw, position, version, projection):
        self.stream, self.position, self.version = raw['stream'], position, version
        self.type = projection.renames.get(raw['type'], raw['type'])
        self.time = serial_fold.time_us(raw.get('time'))
        self.values = {name: typed(name, raw['data'].get(name)) for name in FIELDS}
        self.present = {name for name in FIELDS if raw['data'].get(name) is not None}
        self.schema = raw.get('schema', 1)
        self.carried = {}
        if self.type in SCHEMAS and projection.upcasts:
            for schema in range(self.schema, SCHEMAS[self.type]):
                self.upcast(projection.upcasts[schema])
            self.schema = SCHEMAS[self.type]

    def upcast(self, sets):
        for name, tree in sets:  # later ones see what earlier ones assigned
            value = Run(None, None, self).value(tree)
            self.values[name] = typed(name, None) if value is None else value
            self.present.discard(name)
            if value is not None:
                self.present.add(name)

    def get(self, name):
        if name in FIELDS:
            return self.values[name]
        return getattr(self, name)


# ---- trees ----


class Maker:
    def __init__(self, r, projection, fields=None, columns=COLUMNS):
        self.r, self.projection, self.columns = r, projection, columns
        self.fields = fields or [name for name in FIELDS if name not in ('full', 'count')]

    def field(self, kind):
        names = [name for name in self.fields if FIELDS[name] == kind]
        return ('event', self.r.choice(names)) if names else None

    def int(self, depth=0):
        r = self.r
        kind = r.randrange(14 if depth < 2 else 6)
        if kind < 2:
            return ('row', r.choice('ik'))
        if kind < 4:
            return self.field('int')
        if kind == 4:
            return ('number', r.randrange(-20, 100))
        if kind == 5:
            return ('event', r.choice(('version', 'position', 'schema')))
        if kind < 10:
            if r.randrange(5) == 0:
                return ('*', self.int(depth + 1), ('number', r.randrange(-5, 9)))
            return (r.choice('+-'), self.int(depth + 1), self.int(depth + 1))
        if kind == 10:
            return ('%', self.int(depth + 1), ('number', r.randrange(1, 50)))
        if kind == 11:
            return ('muldiv', self.int(2), self.int(2), ('number', r.choice((-7, 3, 4, 8, 10))))
        if kind == 12:
            return ('length',)
        part, field = r.choice(('year', 'month', 'day', 'hour')), 'at'
        if r.randrange(2) and part != 'hour':
            field = 'on'
        return ('or', ('and', ('has', field), (part, ('event', field))), ('number', 0))

    def decimal(self, depth=0):
        kind = self.r.randrange(5 if depth < 2 else 2)
        if kind == 0:
            return ('row', 'd')
        if kind == 1:
            return self.field('decimal(2)')
        if kind == 2:
            return ('muldiv', self.field('decimal(2)'), ('number', self.r.randrange(200)), ('number', 100))
        if kind == 3:
            return ('*', self.field('decimal(2)'), ('%', self.int(2), ('number', 9)))
        return ('+', self.decimal(depth + 1), self.decimal(depth + 1))

    def float(self, depth=0):
        return self.r.choice((self.field('float'), ('number', self.r.randrange(9) / 4), ('row', 'f')))

    def bool(self, depth=0):
        r = self.r
        kind = r.randrange(8 if depth < 2 else 3)
        if kind == 0:
            return self.field('bool')
        if kind == 1:
            return ('row', 'b')
        if kind == 2:
            return ('has', r.choice(self.fields))
        if kind == 3:
            return ('not', self.bool(depth + 1))
        if kind == 4:
            return (r.choice(('<', '<=', '==', '~=')), self.int(1), self.int(1))
        if kind == 5:
            return (r.choice(('==', '~=')), self.text(1), self.text(1))
        if kind == 6:
            return ('exists',)
        return (r.choice(('and', 'or')), self.bool(depth + 1), self.bool(depth + 1))

    def text(self, depth=0):
        """One that may be nil where depth is 0."""
        r = self.r
        kind = r.randrange(8)
        if kind == 0:
            return ('row', r.choice('tu'))
        if kind < 3:
            return ('event', r.choice([name for name in self.fields if FIELDS[name] == 'text']))
        if kind == 3:
            return ('event', r.choice(('type', 'stream', 'category')))
        if kind == 4:
            if self.projection.text_key and r.randrange(2):
                return ('key',)
            if self.projection.mode == 'carried' and r.randrange(2):
                return ('carried',)
            return ('constant', r.choice(('', 'x', 'web', 'Ünï')))
        if depth > 1:
            return ('constant', 'deep')
        if kind == 5:
            return ('join', self.whole_text(depth + 1), self.whole_text(depth + 1))
        if kind == 6:
            return ('sub', ('or', ('event', 't'), ('constant', 'none')), r.randrange(1, 4))
        return ('tostring', self.int(1))

    def whole_text(self, depth=0):
        return ('or', self.text(depth), ('constant', '?'))

    def time(self, depth=0):
        return self.r.choice((('event', 'at'), ('event', 'time'), ('row', 'a')))

    def date(self, depth=0):
        r = self.r
        if r.randrange(3) == 0:
            return ('and', ('has', 'at'), ('date', ('event', 'at'))) if r.randrange(2) else ('row', 'o')
        return ('event', 'on')

    def of_column(self, column):
        kind = COLUMNS[column].split('(')[0]
        if kind == 'date':
            tree = self.date()
            return tree if tree[0] != 'and' else ('or', tree, ('row', 'o'))
        tree = getattr(self, kind)()
        if kind in ('int', 'decimal'):
            return ('%', tree, ('number', MODULO))
        return ('not', ('not', tree)) if kind == 'bool' else tree

    def statement(self, depth=0):
        r = self.r
        kind = r.randrange(20)
        if kind < 9 or depth > 1 and kind > 15:
            column = r.choice([c for c in self.columns if c not in 'jl'])
            return ('store', column, self.of_column(column))
        if kind == 9:
            return ('copy', *r.choice((('t', 't'), ('u', 's'), ('a', 'at'), ('o', 'on'), ('t', 's'))))
        if kind == 10:
            return ('document', r.choice('xyz'), r.choice((self.int(1), self.whole_text(1), ('constant', None))))
        if kind == 11:
            return r.choice((('store', 'j', ('event', 'j')), ('store', 'j', ('constant', None))))
        if kind < 14:
            return ('append', self.text(), ('%', self.int(1), ('number', MODULO)),
                    ('%', self.decimal(1), ('number', MODULO)))  # fmt: skip
        if kind == 14:
            return ('lines', ('%', self.int(2), ('number', 99)))
        if kind == 15:
            return r.choice((('remove',), ('delete',), ('remove',)))
        if kind == 16:
            return ('for', r.randrange(1, 4), self.block(depth + 1))
        return ('if', self.bool(), self.block(depth + 1), r.choice(([], self.block(depth + 1))))

    def block(self, depth=0):
        return [self.statement(depth) for _ in range(self.r.randrange(1, 4))]

    def combined(self):
        """A handler of columns that combine."""
        r, block = self.r, []
        without = Maker(r, self.projection, self.fields)
        for column in r.sample(sorted(self.columns), r.randrange(1, len(self.columns))):
            row, how = ('row', column), self.columns[column]
            value = None
            while value is None or 'row' in json.dumps(value) or 'exists' in json.dumps(value) or (
                'length' in json.dumps(value)):  # fmt: skip
                value = without.of_column(column)
            if how in ('sum', 'count'):
                value = (r.choice('+-') if how == 'sum' else '+', row, value)
            elif how == 'max' and column == 'f':
                value = ('math.max', row, value)
            elif how == 'first' and r.randrange(2):
                value = ('or', row, value)
            statement = ('store', column, value)
            block.append(('if', ('has', 'n'), [statement], []) if r.randrange(4) == 0 else statement)
        return block


# ---- as Lua ----


def lua(tree):
    kind = tree[0]
    if kind in ('event', 'row'):
        return '%s.%s' % ('e' if kind == 'event' else 'row', tree[1])
    if kind == 'number':
        return '(%s)' % tree[1]
    if kind == 'constant':
        return 'nil' if tree[1] is None else '"%s"' % tree[1]
    if kind == 'has':
        return 'e:has "%s"' % tree[1]
    if kind in ('exists', 'length', 'key', 'carried'):
        return {'exists': 'row.exists', 'length': '#row.l', 'key': 'row.key',
                'carried': 'e.carried.who'}[kind]  # fmt: skip
    if kind == 'not':
        return '(not %s)' % lua(tree[1])
    if kind == 'sub':
        return '(%s):sub(1, %d)' % (lua(tree[1]), tree[2])
    if kind == 'object':
        return '{ made = %s, list = { 1, { by = %s } } }' % (lua(tree[1]), lua(tree[2]))
    if kind == 'tostring':
        return 'tostring(%s + 0)' % lua(tree[1])  # there is a -0
    if tree[1:] == (('event', 'on'),):
        return '%s(e.on, "days")' % kind
    if kind in ('year', 'month', 'day', 'hour', 'date', 'muldiv', 'math.max', 'join'):
        return '%s(%s)' % (kind, ', '.join(map(lua, tree[1:])))
    return '(%s %s %s)' % (lua(tree[1]), kind, lua(tree[2]))


def lua_block(block):
    lines = []
    for tree in block:
        kind = tree[0]
        if kind == 'store':
            lines.append('row.%s = %s' % (tree[1], lua(tree[2])))
        elif kind == 'copy':
            lines.append('row.%s = e.%s' % (tree[1], tree[2]))
        elif kind == 'document':
            lines += ['row.j = row.j or { first = 1 }', 'row.j.%s = %s' % (tree[1], lua(tree[2]))]
            if tree[2][0] in '+-*%':
                lines[-1] += ' + 0'
        elif kind == 'append':
            lines.append('row.l[#row.l + 1] = { k = %s, v = %s, d = %s }' % tuple(map(lua, tree[1:])))
        elif kind == 'lines':
            lines.append('for _, line in ipairs(row.l) do line.v = (line.v + %s) %% %d end' % (
                lua(tree[1]), MODULO))  # fmt: skip
        elif kind == 'remove':
            lines.append('table.remove(row.l, 1)')
        elif kind == 'delete':
            lines.append('row:delete()')
        elif kind == 'for':
            lines += ['for i = 1, %d do' % tree[1], *lua_block(tree[2]), 'end']
        else:
            lines += ['if %s then' % lua(tree[1]), *lua_block(tree[2])]
            lines += ['else', *lua_block(tree[3]), 'end'] if tree[3] else ['end']
    return lines


# ---- as Python ----


def truth(value):
    return value is not None and value is not False


def same(a, b):
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def part_of(kind, value, field):
    day = EPOCH + datetime.timedelta(days=value if field == 'on' else value // 86400000000)
    if kind == 'date':
        return (day - EPOCH).days
    return value // 3600000000 % 24 if kind == 'hour' else getattr(day, kind)


class Run:
    """A handler's call. `row` is None where there is none."""

    def __init__(self, row, key, event):
        self.exists, self.key, self.event = row is not None, key, event
        self.row = row if row is not None else {**UNSET, 'l': []}

    def value(self, tree):
        kind = tree[0]
        if kind == 'event':
            return self.event.get(tree[1]) if tree[1] != 'category' else self.event.stream.split('-')[0]
        if kind == 'row':
            return self.row[tree[1]]
        if kind in ('number', 'constant'):
            return tree[1]
        if kind == 'has':
            return tree[1] in self.event.present
        if kind == 'exists':
            self.settle()
            return self.exists
        if kind == 'length':
            return len(self.row['l'])
        if kind == 'and':
            first = self.value(tree[1])
            return self.value(tree[2]) if truth(first) else first
        if kind == 'or':
            first = self.value(tree[1])
            return first if truth(first) else self.value(tree[2])
        if kind == 'sub':
            return self.value(tree[1])[: tree[2]]
        if kind == 'key':
            return self.key[0]
        if kind == 'carried':
            return self.event.carried.get('who')
        return self.operate(tree, [self.value(part) for part in tree[1:]])

    def operate(self, tree, values):
        kind, a, b = tree[0], values[0], values[1] if len(values) > 1 else None
        if kind in ('year', 'month', 'day', 'hour', 'date'):
            return part_of(kind, a, tree[1][1])
        if kind == 'muldiv':
            return round(fractions.Fraction(a * b, values[2]))
        return {
            '+': lambda: a + b, '-': lambda: a - b, '*': lambda: a * b, '%': lambda: a % b,
            '<': lambda: a < b, '<=': lambda: a <= b, '==': lambda: same(a, b),
            '~=': lambda: not same(a, b),
            'join': lambda: 'long' if len((a + b).encode()) > 60 else a + b, 'not': lambda: not truth(a),
            'object': lambda: {'made': a, 'list': [1, [] if b is None else {'by': b}]},
            'tostring': lambda: str(a), 'math.max': lambda: max(a, b),
        }[kind]()  # fmt: skip

    def settle(self):
        """A list that was changed in place is a write."""
        self.exists = self.exists or len(self.row['l']) > 0

    def store(self, column, value):
        self.row[column] = UNSET[column] if value is None else value
        self.exists = True

    def run(self, block):
        for tree in block:
            kind = tree[0]
            if kind in ('store', 'copy'):
                self.store(tree[1], self.value(tree[2] if kind == 'store' else ('event', tree[2])))
            elif kind == 'document':
                self.store('j', dict(self.row['j'] or {'first': 1}))
                value = self.value(tree[2])
                self.row['j'].pop(tree[1], None)
                if value is not None:
                    self.row['j'][tree[1]] = value
            elif kind == 'append':
                names = dict(zip('kvd', (self.value(part) for part in tree[1:])))
                self.row['l'] = self.row['l'] + [names]
            elif kind == 'lines':
                more = self.value(tree[1])
                self.row['l'] = [{**line, 'v': (line['v'] + more) % MODULO} for line in self.row['l']]
            elif kind == 'remove':
                self.row['l'] = self.row['l'][1:]
            elif kind == 'delete':
                self.row, self.exists = {**UNSET, 'l': []}, False
            elif kind == 'for':
                for _ in range(tree[1]):
                    self.run(tree[2])
            else:
                self.run(tree[2] if truth(self.value(tree[1])) else tree[3])
        return self

    def combine(self, block):
        """The same where columns combine: what the row was has a part in sums alone."""
        for tree in block:
            if tree[0] == 'if':
                self.combine(tree[2] if truth(self.value(tree[1])) else tree[3])
                continue
            _, column, value = tree
            how, old = COMBINED[column], self.row[column]
            self.exists = True
            if len(value) == 3 and value[1] == ('row', column):
                given = self.value(value[2])
            else:
                given = self.value(value)
            if how in ('sum', 'count'):
                self.row[column] += given if value[0] == '+' else -given
            elif given is not None and column not in self.row['given']:
                self.row[column] = given
            elif given is not None and how != 'first':
                self.row[column] = {
                    'max': lambda: max(old, given), 'min': lambda: min(old, given),
                    'last': lambda: given, 'any': lambda: old or given,
                }[how]()  # fmt: skip
            if given is not None:
                self.row['given'] = self.row['given'] | {column}


class Handler:
    def __init__(self, type, block, key=None, every=False):
        self.type, self.block, self.key, self.every = type, block, key, every


KEYS = {  # by mode: the key as Lua, and its parts: names of fields, or of the event
    'stream': (None, ('stream',)),
    'field': ('"t text"', ('t',)),
    'tuple': ('{ "t text", "q int" }', ('t', 'q')),
    'typed': ('{ "on date", "p decimal(2)", "stream" }', ('on', 'p', 'stream')),
    'carried': ('"carried.who text"', ('carried',)),
    'types': ('{ Put = "t text", Moved = "s text", Took = "stream", Closed = "t text" }', None),
    'computed': ('{ "name text", "rest int" }', None),
    'every': ('{ "stream", "q int" }', ('stream', 'q')),
}
OF_TYPES = {'Put': ('t',), 'Moved': ('s',), 'Took': ('stream',), 'Closed': ('t',)}
COMPUTED = (
    'by ({ "t text", "n int" }, function (e)\n'
    '    if not e.t then return end return e.t:sub(1, 2), e.n % 3 end)'
)
OTHER = ('by { "s text" }', ('s',))  # one handler's own, where the key is one text


class Projection:
    def __init__(self, seed):
        self.random = r = random.Random(seed)
        self.mode = r.choice(('stream',) * 5 + tuple(KEYS)[1:])
        self.combines = self.mode not in ('stream', 'every') and r.random() < 0.4
        self.text_key = self.mode in ('stream', 'field', 'carried', 'types')
        self.name = 'lua_%d' % seed
        self.renames = {'OldPut': 'Put'} if r.random() < 0.5 else {}
        self.upcasts = self.make_upcasts() if r.random() < 0.5 else {}
        self.columns = dict(COMBINED) if self.combines else dict(COLUMNS)
        self.handlers = self.make_handlers()

    # ---- what is drawn ----

    def make_upcasts(self):
        maker, upcasts = Maker(self.random, self, columns={}), {}
        moves = [
            ('n', ('event', 'count')), ('s', ('or', ('event', 's'), ('constant', 'web'))),
            ('q', ('number', 7)), ('t', ('event', 'full')), ('at', ('constant', None)),
        ]  # fmt: skip
        functions = [
            ('t', ('sub', ('or', ('event', 'full'), ('constant', 'none')), 3)),
            ('n', ('+', ('event', 'n'), ('number', 100))), ('yes', ('not', ('event', 'yes'))),
            ('p', ('+', ('event', 'p'), ('*', ('event', 'q'), ('number', 10)))),
            ('s', ('join', ('or', ('event', 's'), ('constant', '?')), ('event', 'type'))),
            ('j', ('object', ('+', ('event', 'n'), ('number', 100)), ('event', 'full'))),
        ]  # fmt: skip
        for schema in range(1, SCHEMAS['Moved']):
            from_list = moves if maker.r.random() < 0.5 else moves + functions * 2
            upcasts[schema] = maker.r.sample(from_list, maker.r.randrange(1, 4))
        return upcasts

    def make_handlers(self):
        r, handlers = self.random, []
        types = r.sample(TYPES, r.randrange(1, 4))
        if r.random() < 0.3 and self.mode != 'types':
            types.append('*')
        if r.random() < 0.3:
            types.append(types[0])
        for type in types:
            maker = Maker(r, self, columns=self.columns)
            block = maker.combined() if self.combines else maker.block()
            handlers.append(Handler(type, block, COMPUTED if self.mode == 'computed' else None))
        if self.mode in ('field', 'carried') and r.random() < 0.5:
            handlers[-1].key = OTHER[0]
        if self.mode == 'every' and 'Closed' not in types:
            self.text_key = False
            maker = Maker(r, self, columns=self.columns)
            handlers.append(Handler('Closed', maker.block(), every=True))
        return handlers

    # ---- as Lua ----

    def source(self):
        lines = ["name '%s'" % self.name, 'version (1)']
        if KEYS[self.mode][0]:
            lines += ['key ' + KEYS[self.mode][0], 'no_key "ignore"']
        if self.mode == 'carried':
            lines.append('carry { who = { Put = "t text", Took = "s text" } }')
        lines.append('columns { %s }' % ', '.join('"%s %s"' % (c, COLUMNS[c]) for c in self.columns))
        if self.combines:
            lines.append('combine { %s }' % ', '.join('%s = "%s"' % c for c in self.columns.items()))
        lines.append('local function join(a, b) if #a + #b > 60 then return "long" end return a .. b end')
        fields = ', '.join('"%s %s?"' % (f, FIELDS[f]) for f in FIELDS if f not in ('full', 'count'))
        for handler in self.handlers:
            third = 'every_row, ' if handler.every else handler.key + ', ' if handler.key else ''
            lines.append('on ("%s", { %s }, %sfunction (row, e)' % (handler.type, fields, third))
            lines += ['    ' + line for line in lua_block(handler.block)] + ['end)']
        lines += ['rename ("%s", "%s")' % pair for pair in self.renames.items()]
        fields = ', '.join('"%s %s?"' % (f, FIELDS[f]) for f in FIELDS if f not in ('j', 'w', 'on'))
        for schema, sets in self.upcasts.items():
            lines.append('upcast ("Moved", %d, { %s }, function (e)' % (schema, fields))
            lines += ['    e.%s = %s' % (name, lua(tree)) for name, tree in sets] + ['end)']
        return '\n'.join(lines) + '\n'

    # ---- as a serial fold ----

    def key_of(self, handler, event):
        """The key of the handler's row; None where a part is missing."""
        if handler.key == COMPUTED:
            return (event.get('t')[:2], event.get('n') % 3) if event.get('t') is not None else None
        parts = OTHER[1] if handler.key else KEYS[self.mode][1] or OF_TYPES[handler.type]
        values = []
        for part in parts:
            if part == 'stream':
                values.append(event.stream)
            elif part == 'carried':
                values.append(event.carried.get('who'))
            else:
                values.append(event.get(part) if part in event.present else None)
        return None if None in values else tuple(values)

    def fold(self, log):
        """Rows by key."""
        rows, versions, carried = {}, {}, {}
        for position, raw in enumerate(log, 1):
            versions[raw['stream']] = versions.get(raw['stream'], 0) + 1
            event = Event(raw, position, versions[raw['stream']], self)
            event.carried = carried.setdefault(raw['stream'], {})
            if self.mode == 'carried' and event.type in ('Put', 'Took'):
                value = event.get('t' if event.type == 'Put' else 's')
                if value is not None:
                    event.carried['who'] = value
            for handler in self.handlers:
                if handler.type not in ('*', event.type):
                    continue
                keys = [self.key_of(handler, event)]
                if handler.every:
                    keys = sorted(key for key in rows if key[0] == event.stream)
                for key in keys:
                    if key is not None:
                        self.call(rows, key, handler, event)
        return rows

    def call(self, rows, key, handler, event):
        run = Run(rows.get(key), key, event)
        if self.combines:
            run.row.setdefault('given', frozenset())
            run.combine(handler.block)
        else:
            run.run(handler.block)
            run.settle()
        rows.pop(key, None)
        if run.exists:
            rows[key] = run.row

    def show(self, rows):
        """Rows as `scan` prints them, in order."""
        out = []
        for key in sorted(rows, key=lambda key: [p.encode() if isinstance(p, str) else p for p in key]):
            row = {c: show_value(COLUMNS[c], rows[key][c]) for c in self.columns}
            shown = list(key)
            if self.mode == 'typed':
                shown[:2] = show_value('date', key[0]), serial_fold.hundredths_text(key[1])
            out.append({'key': shown if len(shown) > 1 else shown[0], **row})
        return out


def show_value(kind, value):
    if value is None:
        return None
    if kind == 'decimal(2)':
        return serial_fold.hundredths_text(value)
    if kind == 'time':
        return serial_fold.time_text(value)
    if kind == 'date':
        return (EPOCH + datetime.timedelta(days=value)).isoformat()
    if kind.startswith('list'):
        return [{**line, 'd': serial_fold.hundredths_text(line['d'])} for line in value]
    return value


# ---- logs ----


def make_log(seed, projection, events, streams):
    r, log = random.Random(seed + 1000), []
    for _ in range(events):
        data = {
            'n': r.randrange(-30, 100), 'q': r.randrange(6),
            'p': r.choice(('%.2f', '%.2f00')) % (r.randrange(-500, 99999) / 100),
            'w': r.randrange(40) / 4, 'yes': r.random() < 0.5, 't': r.choice(('ann', 'bob', 'c', 'dora')),
            's': r.choice(('é', '注文', 'plain', 'q"q')), 'at': made_time(r), 'on': made_time(r)[:10],
            'j': {'a': r.randrange(9), 'b': [1, None, {'c': 2}], 'ü': 'x'}, 'full': 'Full %d' % r.randrange(4),
            'count': r.randrange(1000),
        }  # fmt: skip
        for name in list(data):
            chance = r.randrange(9)
            if chance == 0:
                data[name] = None
            if chance in (1, 2) or name == 'j' and data[name] is None:
                del data[name]
        event = {'stream': 'stream-%d' % r.randrange(streams), 'data': data}
        event['type'] = r.choice(TYPES + TYPES + ('OldPut', 'Nobody'))
        if r.randrange(4):
            event['time'] = made_time(r)
        if event['type'] in SCHEMAS and projection.upcasts:
            event['schema'] = r.randrange(1, SCHEMAS[event['type']] + 1)
        log.append(event)
    return log


def made_time(r):
    return '20%02d-%02d-%02dT%02d:%02d:%02d.%03dZ' % (
        r.randrange(20, 26), r.randrange(1, 13), r.randrange(1, 29), r.randrange(24),
        r.randrange(60), r.randrange(60), r.randrange(1000))  # fmt: skip
