"""Random handlers of combined columns: one that is let through gives the rows of a serial fold.

Handlers are made at random, most of them of statements that combine and some of others, and are run
here as they stand: event by event, on the row as it is, what was stored last being what the event
gives to a column. refold folds them on rows that are unset. A handler whose outcome would differ has
to be refused when its file is loaded, with its line.

REFOLD_SOAK=1 makes many more.
"""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

ROUNDS, HANDLERS = (120, 40) if os.environ.get('REFOLD_SOAK') else (3, 40)
COLUMNS = {
    'n': ('int', 'sum'), 'm': ('int', 'count'), 'low': ('int', 'min'), 'high': ('int', 'max'),
    'at': ('time', 'max'), 'since': ('time', 'min'), 'most': ('text', 'max'),
    'f': ('text', 'first'), 'g': ('int', 'first'), 'l': ('text', 'last'), 'any1': ('bool', 'any'),
    'all1': ('bool', 'all'),
}  # fmt: skip
INFINITE = float('inf')
UNSET = {'n': 0, 'm': 0, 'low': INFINITE, 'high': -INFINITE, 'any1': False, 'all1': True, 'g': 0}


def truth(value):
    return value is not None and value is not False


class Maker:
    """Makes handlers as trees: ('kind', ...). A statement is a list of them in the end."""

    def __init__(self, r):
        self.r = r

    def number(self, depth=0):
        r = self.r
        kind = r.randrange(9 if depth < 2 else 4)
        if kind < 3:
            return ('event', r.choice(('n', 'k')))
        if kind == 3:
            return ('constant', r.randrange(-9, 30))
        if kind < 7:
            return (r.choice('+-*'), self.number(depth + 1), self.number(depth + 1))
        if kind == 7:
            return (r.choice(('math.min', 'math.max')), self.number(depth + 1), self.number(depth + 1))
        return ('or', ('and', self.flag(), self.number(depth + 1)), self.number(depth + 1))

    def flag(self):
        kind = self.r.randrange(4)
        if kind == 0:
            return (self.r.choice(('<', '<=', '>', '>=', '==', '~=')), self.number(1), self.number(1))
        if kind == 1:
            return ('not', ('event', 'b'))
        return ('event', self.r.choice('bc'))

    def wrong(self, column):
        """An expression that a column may not be given, or seldom."""
        row = ('row', self.r.choice((column, column, *COLUMNS)))
        clean = self.of_kind(COLUMNS[column][0])
        return self.r.choice((
            row, clean, ('or', row, clean), ('and', row, clean), ('or', clean, row),
            ('and', clean, row), ('not', row), ('+', row, self.number()), ('-', self.number(), row),
            ('*', row, self.number()), ('+', row, row), ('math.min', row, self.number()),
            ('math.max', row, self.number()), ('or', ('and', self.flag(), row), clean),
        ))  # fmt: skip

    def of_kind(self, kind):
        r = self.r
        if kind == 'int':
            return self.number()
        if kind == 'bool':
            return self.flag()
        if kind == 'time':
            return ('event', 'at')
        texts = (('event', 't'), ('event', 's'), ('constant', 'x%d' % r.randrange(4)))
        return r.choice((*texts, ('or', r.choice(texts), texts[2]),
                         ('or', ('and', self.flag(), texts[0]), texts[2])))  # fmt: skip

    def given(self, column):
        """A statement that gives the column something in one of the forms."""
        r, (kind, how) = self.r, COLUMNS[column]
        row, clean = ('row', column), self.of_kind(kind)
        if column == 'most':
            clean = ('event', 't')
        if how in ('sum', 'count'):
            return ('store', column, r.choice((
                ('+', row, clean), ('+', clean, row), ('-', row, clean),
                ('+', ('or', row, ('constant', 0)), clean), ('-', ('+', row, clean), self.number()),
            )))  # fmt: skip
        if how in ('min', 'max'):
            sign = r.choice(('<', '<=') if how == 'min' else ('>', '>='))
            mirrored = {'<': '>', '<=': '>=', '>': '<', '>=': '<='}[sign]
            test = r.choice(((sign, clean, row), (mirrored, row, clean)))
            if kind != 'int':
                test = ('or', r.choice((('not', row), ('==', row, ('constant', None)))), test)
            if not r.randrange(8):
                test = ('<' if how == 'max' else '>', clean, row)
            given = clean if r.randrange(6) or kind != 'int' else self.number()
            forms = [('store', column, clean), ('if', test, [('store', column, given)], [])]
            if kind == 'int':
                forms.append(('store', column, ('math.' + how, row, clean, self.number())))
            elif kind == 'time':
                forms.append(('store', column, ('math.' + how, ('or', row, clean), clean)))
            return r.choice(forms)
        if how == 'any':
            return ('store', column, r.choice((clean, ('or', row, clean), ('or', clean, row))))
        if how == 'all':
            return ('store', column, r.choice((clean, ('and', row, clean), ('and', clean, row))))
        if column == 'f' and r.randrange(2):
            return r.choice((
                ('store', 'f', ('or', row, clean)), ('if', ('not', row), [('store', 'f', clean)], []),
                ('if', ('==', row, ('constant', None)), [('store', 'f', clean)], []),
            ))  # fmt: skip
        return ('store', column, clean)

    def test(self):
        r = self.r
        if r.randrange(4):
            return self.flag()
        row = ('row', r.choice(list(COLUMNS)))
        return r.choice((
            row, ('not', row), ('==', row, ('constant', None)), ('<', ('event', 'n'), row),
            ('>', row, ('event', 'at')), ('==', row, self.number()), ('and', self.flag(), row),
        ))  # fmt: skip

    def statement(self, depth=0):
        r = self.r
        column = r.choice(list(COLUMNS))
        kind = r.randrange(20)
        if kind < 12:
            return self.given(column)
        if kind < 13:
            return ('store', column, self.wrong(column))
        if kind < 14:
            return ('local', self.wrong(column))
        if depth > 1:
            return ('local', self.number())
        if kind < 16:
            return ('for', r.randrange(1, 4), self.block(depth + 1))
        return ('if', self.test(), self.block(depth + 1), r.choice(([], self.block(depth + 1))))

    def through_a_variable(self):
        """A sum that is read, held while something happens, and then given back."""
        column = self.r.choice('nm')
        return [
            ('local', self.r.choice((('row', column), ('+', ('row', column), self.number())))),
            *([self.given(self.r.choice(('n', 'm', 'low')))] if self.r.randrange(3) else []),
            ('store', column, self.r.choice((('variable',), ('+', ('variable',), self.number())))),
        ]

    def beside_a_store(self):
        """A variable that is set where a column is given something, and then counts."""
        column = self.r.choice(('low', 'high', 'at', 'f'))
        statement = self.given(column)
        more = ('assign', self.number())
        if statement[0] == 'if':
            statement[2].insert(self.r.randrange(2), more)
        return [('local', ('constant', 1)), statement,
                ('store', 'n', ('+', ('row', 'n'), ('variable',)))]  # fmt: skip

    def block(self, depth=0):
        if not self.r.randrange(12):
            return self.beside_a_store()
        if not self.r.randrange(8):
            return self.through_a_variable()
        return [self.statement(depth) for _ in range(self.r.randrange(1, 4))]


def lua(tree):
    """An expression as Lua."""
    kind = tree[0]
    if kind in ('event', 'row'):
        return '%s.%s' % ('e' if kind == 'event' else 'row', tree[1])
    if kind == 'variable':
        return 'v'
    if kind == 'constant':
        return 'nil' if tree[1] is None else '"%s"' % tree[1] if isinstance(tree[1], str) else (
            '(%d)' % tree[1])  # fmt: skip
    if kind == 'not':
        return '(not %s)' % lua(tree[1])
    if kind.startswith('math'):
        return '%s(%s)' % (kind, ', '.join(map(lua, tree[1:])))
    return '(%s %s %s)' % (lua(tree[1]), kind, lua(tree[2]))


def lua_block(block):
    lines = []
    for tree in block:
        if tree[0] == 'store':
            value = lua(tree[2])
            lines.append('row.%s = %s' % (tree[1], value))
        elif tree[0] == 'assign':
            lines.append('v = %s' % lua(tree[1]))
        elif tree[0] == 'local':
            lines.append('local v = %s' % lua(tree[1]))
        elif tree[0] == 'for':
            lines += ['for i = 1, %d do' % tree[1], *lua_block(tree[2]), 'end']
        else:
            test = lua(tree[1])
            lines += ['if %s then' % test, *lua_block(tree[2])]
            lines += ['else', *lua_block(tree[3]), 'end'] if tree[3] else ['end']
    return lines


class Run:
    """A handler on the row as it is."""

    def __init__(self, row, event):
        self.row, self.event, self.given, self.variable = dict(row), event, {}, None

    def value(self, tree):
        kind = tree[0]
        if kind in ('event', 'row'):
            return (self.event if kind == 'event' else self.row).get(tree[1])
        if kind == 'variable':
            return self.variable
        if kind == 'constant':
            return tree[1]
        if kind == 'not':
            return not truth(self.value(tree[1]))
        if kind == 'and':
            first = self.value(tree[1])
            return self.value(tree[2]) if truth(first) else first
        if kind == 'or':
            first = self.value(tree[1])
            return first if truth(first) else self.value(tree[2])
        return self.operate(kind, [self.value(part) for part in tree[1:]])

    def operate(self, kind, values):
        if kind == 'math.min':
            return min(values)
        if kind == 'math.max':
            return max(values)
        a, b = values
        if kind in '+-*':
            return a + b if kind == '+' else a - b if kind == '-' else a * b
        return {
            '==': lambda: a == b and type(a) is type(b), '<': lambda: a < b, '<=': lambda: a <= b,
            '~=': lambda: not (a == b and type(a) is type(b)), '>': lambda: a > b, '>=': lambda: a >= b,
        }[kind]()  # fmt: skip

    def local(self, tree):
        try:
            self.variable = self.value(tree)
        except TypeError:  # of a value that nobody reads: refold need not make it either
            self.variable = None

    def run(self, block):
        for tree in block:
            if tree[0] == 'store':
                self.row[tree[1]] = self.given[tree[1]] = self.value(tree[2])
            elif tree[0] in ('local', 'assign'):
                self.local(tree[1])
            elif tree[0] == 'for':
                for _ in range(tree[1]):
                    self.run(tree[2])
            elif tree[0] == 'if':
                self.run(tree[2] if truth(self.value(tree[1])) else tree[3])


def fold(block, log):
    rows, seen = {}, {}
    for event in log:
        row = rows.setdefault(event['stream'], dict(UNSET))
        run = Run(row, event['data'])
        run.run(block)
        for name, value in run.given.items():
            how = COLUMNS[name][1]
            if value is None:
                continue
            old = row.get(name)
            if how in ('min', 'max'):
                row[name] = value if old is None else min(old, value) if how == 'min' else max(old, value)
            elif how in ('any', 'all'):
                row[name] = old or truth(value) if how == 'any' else old and truth(value)
            elif how != 'first' or name not in seen.setdefault(event['stream'], set()):
                row[name] = value
                seen.setdefault(event['stream'], set()).add(name)
    return rows


def show(rows, shown_time):
    out = []
    for key in sorted(rows):
        row = {name: rows[key].get(name) for name in COLUMNS}
        for name, (kind, _) in COLUMNS.items():
            if kind == 'int' and abs(row[name]) == INFINITE:
                row[name] = 0
            elif kind == 'time' and row[name] is not None:
                row[name] = shown_time(row[name])
        out.append({'key': key, **row})
    return out


def time_of(us):
    return '2024-07-10T%02d:%02d:%02d.%06dZ' % (
        us // 3600000000, us // 60000000 % 60, us // 1000000 % 60, us % 1000000)  # fmt: skip


class Combined(tool.Case):
    def make_log(self, r):
        log = []
        for _ in range(r.choice((3, 60, 400))):
            data = {
                'n': r.randrange(-5, 20), 'k': r.randrange(4), 'b': r.random() < 0.5,
                'c': r.random() < 0.8, 'at': r.randrange(86400000000),
                't': 't%d' % r.randrange(30),
            }  # fmt: skip
            if r.randrange(3):
                data['s'] = r.choice(('', 'a', 'b'))
            log.append({'stream': 's-%d' % r.randrange(9), 'type': 'A', 'data': data})
        return log

    def source(self, name, block):
        return '\n'.join((
            "name '%s' version (1) columns { %s } combine { %s } on ('A', { 'n int', 'k int', "
            "'b bool', 'c bool', 'at time', 't text', 's text?' }, function (row, e)"
            % (
                name, ', '.join("'%s %s'" % (c, COLUMNS[c][0]) for c in COLUMNS),
                ', '.join("%s = '%s'" % (c, COLUMNS[c][1]) for c in COLUMNS),
            ),
            *lua_block(block), 'end)', '',
        ))  # fmt: skip

    def test_what_is_let_through_gives_the_rows_of_a_serial_fold(self):
        refused = taken = 0
        none = self.path('none.jsonl', '{"case":"none","events":[],"rows":[]}\n')
        for seed in range(ROUNDS):
            r = random.Random(seed)
            self.store = self.path('seed%d.refold' % seed)
            log = self.make_log(r)
            lines = [
                json.dumps({**event, 'data': {**event['data'], 'at': time_of(event['data']['at'])}})
                for event in log
            ]
            self.ok(
                'import', self.store, '-', '--quiet', '--partitions', r.choice((1, 4, 64)),
                stdin=('\n'.join(lines) + '\n').encode(),
            )  # fmt: skip
            blocks = {}
            for number in range(HANDLERS):
                block = [('store', 'm', ('+', ('row', 'm'), ('constant', 1)))]
                block += Maker(r).block()
                name = 'p%d' % number
                path = self.path(name + '.lua', self.source(name, block))
                result = tool.call('test', path, none)
                if result.code == tool.DONE:
                    blocks[path] = block
                else:
                    refused += 1
                    self.assertRegex(result.message, r'p%d\.lua:\d+: ' % number)
                    self.assertRegex(result.message, 'combine|is known')
            taken += len(blocks)
            self.compare(seed, log, blocks)
        print('%d handlers let through, %d refused' % (taken, refused))
        self.assertGreater(taken, ROUNDS * HANDLERS // 4)
        self.assertGreater(refused, ROUNDS * HANDLERS // 8)

    def compare(self, seed, log, blocks):
        for number, (path, block) in enumerate(blocks.items()):
            with self.subTest(seed=seed, handler='\n'.join(lua_block(block))):
                name = os.path.basename(path)[:-4]
                workers = (0, 1, 2, 4, 8)[number % 5]
                self.rebuild(path, options=('--workers', workers, '--allow-missing'))
                got = [json.loads(line) for line in self.rows(name).splitlines()]
                self.assertEqual(got, show(fold(block, log), time_of))


tool.main(__name__)
