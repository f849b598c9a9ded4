"""diff: two generations against what their scans say, columns that differ, and the page."""

import html.parser
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

FIRST = """name "orders"
version (1)
columns { "customer text", "note text", "total decimal(2)", "items int" }
on ("Placed", { "customer text" }, function (row, e) row.customer = e.customer end)
on ("Added", { "qty int", "price decimal(2)" }, function (row, e)
    row.items = row.items + e.qty
    row.total = row.total + e.qty * e.price
end)
on ("Dropped", {}, function (row, e) row:delete() end)
"""
# Other columns, a total with other places, and a rule that moves some rows.
SECOND = """name "orders"
version (2)
columns { "items int", "total decimal(3)", "customer text", "paid bool" }
on ("Placed", { "customer text" }, function (row, e)
    if e.customer == "c-1" then return end
    row.customer = e.customer == "c-2" and "C-2" or e.customer
end)
on ("Added", { "qty int", "price decimal(2)" }, function (row, e)
    row.items = row.items + e.qty
    row.total = row.total + 10 * e.qty * e.price
    if e.qty == 7 then row.total = row.total + 1 end
end)
"""


def same(column, old, new):
    if column == 'total':
        return round(float(old) * 1000) == round(float(new) * 1000)
    return old == new


class Page(html.parser.HTMLParser):
    void = ('meta', 'br')

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.fetched = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.fetched += [v for k, v in attributes if k in ('src', 'href')]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


class Diff(tool.Case):
    def two(self, first=FIRST, second=SECOND, count=400, seed=1, partitions=16):
        random.seed(seed)
        self.first, self.second = self.path('first.lua', first), self.path('second.lua', second)
        self.events(count, ('--partitions', partitions))
        self.ok('rebuild', self.store, self.first, '--quiet')
        self.ok('rebuild', self.store, self.second, '--no-swap', '--quiet')

    def events(self, count, options=()):
        lines = []
        for _ in range(count):
            stream = 'order-%d' % random.randrange(120)
            kind = random.random()
            if kind < 0.3:
                data = {'customer': 'c-%d' % random.randrange(4)}
                lines.append(event(stream, 'Placed', data))
            elif kind < 0.9:
                data = {'qty': random.randrange(1, 9), 'price': random.randrange(900) / 100}
                lines.append(event(stream, 'Added', data))
            else:
                lines.append(event(stream, 'Dropped'))
        self.import_lines(*lines, options=options)

    def scan(self, number):
        rows = self.ok('scan', self.store, 'orders', '--generation', number).lines
        return {row['key']: row for row in map(json.loads, rows)}

    def expected(self, old, new):
        changes = []
        for key in sorted(set(old) | set(new), key=lambda k: k.encode()):
            if key not in old:
                op = 'add'
            elif key not in new:
                op = 'remove'
            elif any(
                not same(c, old[key][c], new[key][c]) for c in old[key].keys() & new[key].keys()
            ):
                op = 'change'
            else:
                continue
            changes.append({'op': op, 'key': key, 'old': old.get(key), 'new': new.get(key)})
        return changes

    def check(self, *numbers):
        old, new = self.scan(numbers[0]), self.scan(numbers[1])
        expected = self.expected(old, new)
        told = [json.loads(line) for line in self.ok('diff', self.store, 'orders', *numbers, '--rows').lines]
        self.assertEqual(told, expected)
        for workers in (0, 2):
            report = self.ok('diff', self.store, 'orders', *numbers, '--json', '--workers', workers).json
            for op, word in (('add', 'added'), ('remove', 'removed'), ('change', 'changed')):
                of = [c for c in expected if c['op'] == op]
                self.assertEqual(report[word], len(of), word)
                self.assertEqual(
                    [s['key'] for s in report['samples'][word]], [c['key'] for c in of[:3]]
                )
            for column in report['columns']:
                name = column['name']
                differ = [
                    c
                    for c in expected
                    if c['op'] == 'change'
                    and name in c['old']
                    and name in c['new']
                    and not same(name, c['old'][name], c['new'][name])
                ]
                self.assertEqual(column['changed'], len(differ), name)
                if differ:
                    self.assertEqual(
                        column['example'],
                        {'key': differ[0]['key'], 'old': differ[0]['old'][name], 'new': differ[0]['new'][name]},
                    )
            self.assertEqual(report['unchanged'], len(old) - report['removed'] - report['changed'])
        return report, expected

    def test_rows_columns_and_counts_are_those_of_both_scans(self):
        self.two()
        report, expected = self.check(1, 2)
        self.assertEqual({c['op'] for c in expected}, {'add', 'remove', 'change'})
        kinds = {c['name']: (c['old_kind'], c['new_kind']) for c in report['columns']}
        self.assertEqual(
            kinds,
            {
                'items': ('int', 'int'),
                'total': ('decimal(2)', 'decimal(3)'),
                'customer': ('text', 'text'),
                'paid': (None, 'bool'),
                'note': ('text', None),
            },
        )
        self.assertEqual((report['same'], report['same_columns'], report['same_keys']), (False, False, True))
        _, back = self.check(2, 1)
        self.assertEqual({c['op'] for c in back}, {'add', 'remove', 'change'})

    def test_deltas_are_in_on_both_sides(self):
        for partitions in (1, 64):
            self.store = os.path.join(self.folder, 'store-%d' % partitions)
            self.two(seed=partitions, partitions=partitions)
            self.events(60)
            self.ok('follow', self.store, '--once', '--quiet')
            self.check(1, 2)
            self.ok('diff', self.store, 'orders', '--catch-up')
            report, _ = self.check(1, 2)
            self.assertEqual(report['old']['position'], report['new']['position'])

    def test_without_numbers_it_is_what_swap_or_else_rollback_would_take(self):
        self.two(count=50)
        report = self.ok('diff', self.store, 'orders', '--json').json
        self.assertEqual((report['old']['generation'], report['new']['generation']), (1, 2))
        self.assertTrue(report['old']['live'])
        self.ok('swap', self.store, 'orders')
        report = self.ok('diff', self.store, 'orders', '--json').json
        self.assertEqual((report['old']['generation'], report['new']['generation']), (1, 2))
        self.assertTrue(report['new']['live'])

    def test_different_positions_are_told_and_only_asked_for_is_anything_brought_up(self):
        self.two(count=50)
        self.import_lines(event('order-x', 'Placed', {'customer': 'c-9'}))
        self.ok('follow', self.store, '--once', '--quiet')
        before = self.ok('generations', self.store, '--json').out
        text = self.ok('diff', self.store, 'orders').out.decode()
        self.assertIn('different positions', text)
        self.assertEqual(self.ok('generations', self.store, '--json').out, before)
        text = self.ok('diff', self.store, 'orders', '--catch-up').out.decode()
        self.assertNotIn('different positions', text)
        self.assertIn('order-x', self.scan(2))
        # The live one is the one that is behind.
        self.import_lines(event('order-y', 'Placed', {'customer': 'c-9'}))
        self.ok('rebuild', self.store, self.second, '--no-swap', '--quiet')
        report = self.ok('diff', self.store, 'orders', '--catch-up', '--json').json
        self.assertEqual((report['new']['generation'], report['old']['position']), (3, 52))
        self.assertIn('order-y', self.scan(1))

    def test_the_exit_code_tells_when_it_is_asked_for(self):
        self.two(count=50)
        self.ok('diff', self.store, 'orders')
        self.gives(tool.REFUSED, 'diff', self.store, 'orders', '--exit-code')
        self.ok('diff', self.store, 'orders', 2, 2, '--exit-code')
        # Other columns alone are a difference too, and no changed row.
        third = FIRST.replace('version (1)', 'version (3)').replace('"items int"', '"items int", "more int"')
        self.ok('rebuild', self.store, self.path('third.lua', third), '--no-swap', '--quiet')
        report = self.ok('diff', self.store, 'orders', 1, 3, '--json').json
        self.assertEqual((report['added'], report['removed'], report['changed']), (0, 0, 0))
        self.gives(tool.REFUSED, 'diff', self.store, 'orders', 1, 3, '--exit-code')
        self.assertEqual(self.ok('diff', self.store, 'orders', 1, 3, '--rows').out, b'')

    def test_keys_of_other_parts_make_all_rows_others(self):
        keyed = """name "orders"
version (2)
key { "stream", "customer text" }
columns { "times int" }
on ("Placed", { }, function (row, e) row.times = row.times + 1 end)
"""
        self.two(second=keyed, count=60)
        report = self.ok('diff', self.store, 'orders', '--json').json
        self.assertFalse(report['same_keys'])
        self.assertEqual(report['removed'], report['old']['rows'])
        self.assertEqual(report['added'], report['new']['rows'])
        self.assertIn('keys have other parts', self.ok('diff', self.store, 'orders').out.decode())
        rows = [json.loads(x) for x in self.ok('diff', self.store, 'orders', '--rows').lines]
        self.assertEqual(len(rows), report['removed'] + report['added'])
        self.assertTrue(all(isinstance(r['key'], list) for r in rows if r['op'] == 'add'))

    def test_the_page_is_whole_fetches_nothing_and_escapes_values(self):
        self.two(count=50)
        evil = '<script>alert(1)</script>'
        self.import_lines(event('order-' + evil, 'Placed', {'customer': 'c-2'}))
        self.ok('rebuild', self.store, self.second, '--no-swap', '--quiet')
        page = self.path('page.html')
        self.ok('diff', self.store, 'orders', 1, 3, '--html', page, '--samples', 1000)
        with open(page, encoding='utf-8') as file:
            text = file.read()
        parsed = Page(text)
        self.assertEqual((parsed.open, parsed.fetched), ([], []))
        self.assertNotIn(evil, text)
        self.assertIn(evil, ''.join(parsed.text))
        self.assertEqual(os.listdir(self.folder).count('page.html.tmp'), 0)
        # A table wider than a phone scrolls by itself, not the page.
        self.assertEqual(text.count('<div class="scroll"><table>'), 2)
        self.assertIn('.scroll{overflow-x:auto}', text)

    def test_what_cannot_be_compared_is_refused(self):
        self.two(count=20)
        store = self.store
        self.refuses(tool.FAILED, ['nothing', 'no such read model'], 'diff', store, 'nothing')
        self.refuses(tool.FAILED, ['orders', '9'], 'diff', store, 'orders', 1, 9)
        self.refuses(tool.USAGE, ['both'], 'diff', store, 'orders', 1)
        self.refuses(tool.USAGE, ['x2'], 'diff', store, 'orders', 1, 'x2')
        self.refuses(tool.USAGE, ['exclude'], 'diff', store, 'orders', '--rows', '--html', 'a')
        self.refuses(tool.FAILED, ['nothing was compared'], 'diff', store, 'orders', '--html', self.folder)
        self.ok('swap', store, 'orders')
        self.ok('retire', store, 'orders@1')
        self.ok('gc', store, '--keep', 1)
        self.gives(tool.FAILED, 'diff', store, 'orders')

    def test_a_damaged_block_is_damage(self):
        self.two(count=400)
        folder = os.path.join(self.store, 'generations', 'orders', '000002')
        for name in os.listdir(folder):
            if not name.startswith('base-'):
                continue
            path = os.path.join(folder, name)
            content = bytearray(tool.read(path))
            at = content.find(b'order-')
            content[at] ^= 1
            self.path(os.path.relpath(path, self.folder), bytes(content))
        self.gives(tool.DAMAGED, 'diff', self.store, 'orders')


tool.main(__name__)
