"""Read models whose keys are tuples: how they are printed, got and scanned; events without key."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Keys(tool.Case):
    def setUp(self):
        super().setUp()
        self.import_lines(
            event('m-1', 'Received', {'warehouse': 'w2', 'size': 9, 'qty': 5}),
            event('m-2', 'Received', {'warehouse': 'w1', 'size': -3, 'qty': 7}),
            event('m-3', 'Received', {'warehouse': 'w1', 'size': 40, 'qty': 1}),
            event('m-1', 'Moved', {'warehouse': 'w2', 'to': 'w1', 'size': 9, 'qty': 2}),
            event('m-4', 'Moved', {'warehouse': 'w1', 'to': 'w10', 'size': 40, 'qty': 1}),
        )
        self.stock = tool.compile_plugin(self.path('stock.so'), 'stock.c')

    ROWS = (
        '{"key":["w1",-3],"pieces":7}',
        '{"key":["w1",9],"pieces":2}',
        '{"key":["w1",40],"pieces":0}',
        '{"key":["w10",40],"pieces":1}',
        '{"key":["w2",9],"pieces":3}',
    )

    def scan(self, *options):
        return tuple(self.ok('scan', self.store, 'stock', *options).lines)

    def test_rows_come_in_the_order_of_their_values(self):
        self.rebuild(self.stock)
        self.assertEqual(self.scan(), self.ROWS)
        self.verifies()
        self.ok('verify', self.store, '--serial')

    def test_prefixes_and_ranges_are_tuples_of_fewer_elements(self):
        self.rebuild(self.stock)
        self.assertEqual(self.scan('--prefix', '["w1"]'), self.ROWS[:3])
        self.assertEqual(self.scan('--prefix', 'w1'), self.ROWS[:4])
        self.assertEqual(self.scan('--from', '["w1",9]'), self.ROWS[1:])
        self.assertEqual(self.scan('--from', '["w1",9]', '--to', '["w2"]'), self.ROWS[1:4])
        self.assertEqual(self.scan('--to', '["w1",40]'), self.ROWS[:2])

    def test_a_row_is_got_by_its_array(self):
        self.rebuild(self.stock)
        self.assertEqual(self.ok('get', self.store, 'stock', '["w1", -3]').lines, [self.ROWS[0]])
        self.refuses(tool.NOTHING, ['no row ["w1",-4]'], 'get', self.store, 'stock', '["w1",-4]')
        self.refuses(tool.USAGE, ['2 parts'], 'get', self.store, 'stock', '["w1"]')
        self.refuses(tool.USAGE, ['array'], 'get', self.store, 'stock', 'w1')
        self.refuses(tool.USAGE, ['size', 'integer'], 'get', self.store, 'stock', '["w1","x"]')

    def test_csv_has_the_array_in_one_field(self):
        self.rebuild(self.stock)
        lines = self.ok('scan', self.store, 'stock', '--format', 'csv').out.split(b'\r\n')
        self.assertEqual(lines[:2], [b'key,pieces', b'"[""w1"",-3]",7'])

    def test_events_without_key_are_refused_before_anything_is_folded(self):
        self.import_lines(event('m-9', 'Received', {'warehouse': 'w1', 'qty': 1}))
        self.refuses(
            tool.REFUSED, ['size', '1 of 4', 'key'], 'rebuild', self.store, self.stock, '--quiet'
        )
        self.refuses(
            tool.FAILED,
            ['size is unset', 'position 6', 'stream m-9', 'type Received'],
            'rebuild',
            self.store,
            self.stock,
            '--quiet',
            '--allow-missing',
        )

    def test_events_without_key_are_left_out_where_the_projection_says_so(self):
        self.import_lines(event('m-9', 'Received', {'warehouse': 'w1', 'qty': 1}))
        path = tool.compile_plugin(
            self.path('stock.so'), 'stock.c', FLAGS='RF_PROJECTION_NO_KEY_IGNORE'
        )
        entry = self.rebuild(path)[0]
        self.assertEqual((entry['events'], entry['events_without_key']), (6, 1))
        self.assertEqual(self.scan(), self.ROWS)

    def test_it_is_rebuilt_beside_one_that_is_keyed_by_stream(self):
        entries = self.rebuild(tool.projection('case_summary'), self.stock)
        self.assertEqual([entry['rows'] for entry in entries], [4, 5])
        self.assertEqual(self.scan(), self.ROWS)


class ComputedKeys(tool.Case):
    """Keys that a Lua function computes, of many events at a time."""

    EVENTS = 700
    WRONG = (251, 252, 390, 700)  # positions: no key can be computed for them

    def setUp(self):
        super().setUp()
        self.import_lines(
            *(
                event(
                    's-%d' % (n % 3),
                    'Sold',
                    {'sku': 'x%d' % (n % 7), 'n': 0 if n in self.WRONG else n},
                )
                for n in range(1, self.EVENTS + 1)
            )
        )

    def projection(self, combines):
        text = [
            'name "sold"',
            'version (%d)' % (2 if combines else 1),
            'key { "sku text", "group int" }',
            'columns { "sum int", "events int" }',
            'combine { sum = "sum", events = "count" }' if combines else '',
            'on ("Sold", { "n int" }, by ({ "sku text", "n int" }, function (e)',
            '    if e.n == 0 then error ("no group of " .. e.sku) end',
            '    return e.sku, e.n % 10',
            'end), function (row, e)',
            '    row.sum = row.sum + e.n',
            '    row.events = row.events + 1',
            'end)',
        ]
        return self.path('sold.lua', '\n'.join(text).encode())

    def expected(self):
        rows = {}
        for n in range(1, self.EVENTS + 1):
            if n not in self.WRONG:
                row = rows.setdefault(('x%d' % (n % 7), n % 10), [0, 0])
                row[0] += n
                row[1] += 1
        return [{'key': list(key), 'sum': s, 'events': c} for key, (s, c) in sorted(rows.items())]

    def test_the_first_event_without_one_ends_the_rebuild_with_its_line(self):
        for combines in (False, True):
            for workers in '0', '2':
                with self.subTest(combines=combines, workers=workers):
                    self.refuses(
                        tool.FAILED,
                        ['sold.lua:7: no group of x6', 'position 251', 'stream s-2', 'type Sold'],
                        *('rebuild', self.store, self.projection(combines), '--quiet'),
                        *('--workers', workers),
                    )

    def test_a_policy_leaves_out_those_events_and_no_others(self):
        for combines in (False, True):
            for workers in '0', '2':
                with self.subTest(combines=combines, workers=workers):
                    options = ('--on-error', 'skip', '--workers', workers)
                    entry = self.rebuild(self.projection(combines), options=options)[0]
                    self.assertEqual(entry['skipped'], len(self.WRONG))
                    rows = [json.loads(line) for line in self.rows('sold').splitlines()]
                    self.assertEqual(rows, self.expected())
                    listed = self.ok('quarantine', self.store, 'sold', '--json').json['items']
                    self.assertEqual([item['position'] for item in listed], list(self.WRONG))
        self.ok('verify', self.store, '--serial')


tool.main(__name__)
