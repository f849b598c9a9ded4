"""get and scan: rows as DESIGN writes them, ranges, CSV, and the exit codes."""

import csv
import io
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Read(tool.Shop):
    def keys(self, *options):
        return [
            json.loads(line)['key']
            for line in self.ok('scan', self.store, 'order_summary', *options).lines
        ]

    def test_get_gives_the_row_as_documented(self):
        self.assertEqual(self.ok('get', self.store, 'order_summary', 'order-1').out, self.ROW)

    def test_get_of_no_such_row_is_exit_3(self):
        result = self.gives(tool.NOTHING, 'get', self.store, 'order_summary', 'order-99')
        self.assertEqual(result.out, b'')

    def test_scan_gives_rows_in_key_order(self):
        self.assertEqual(self.keys(), ['order-1', 'order-2', 'order-3'])

    def test_a_generation_can_be_named(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.rebuild('order_summary')
        self.assertEqual(self.keys(), ['order-1', 'order-2', 'order-3', 'order-9'])
        self.assertEqual(
            self.keys('--generation', self.first['generation']), ['order-1', 'order-2', 'order-3']
        )
        self.gives(
            tool.NOTHING,
            'get',
            self.store,
            'order_summary',
            'order-9',
            '--generation',
            self.first['generation'],
        )

    def test_unset_columns_are_null(self):
        self.import_lines(event('order-4', 'ItemAdded', {'qty': 1, 'price': 5}))
        self.rebuild('order_summary')
        row = self.ok('get', self.store, 'order_summary', 'order-4').json
        self.assertEqual(
            (row['customer'], row['placed_at'], row['last_at'], row['total']), (None, None, None, 5)
        )

    def test_csv_has_a_header_and_quotes_what_needs_it(self):
        odd = 'say "hi", \n twice; Юлия'
        self.import_lines(event('order,"4"', 'OrderPlaced', {'customer': odd}))
        self.rebuild('order_summary')
        out = self.ok('scan', self.store, 'order_summary', '--format', 'csv').out.decode('utf-8')
        table = list(csv.reader(io.StringIO(out, newline='')))
        self.assertEqual(
            table[0],
            ['key', 'customer', 'status', 'items', 'total', 'placed_at', 'last_at', 'events'],
        )
        self.assertEqual(table[1], ['order,"4"', odd, 'OrderPlaced', '0', '0', '', '', '1'])
        self.assertEqual(
            table[2],
            [
                'order-1',
                'c-1',
                'ItemRemoved',
                '2',
                '249',
                '2024-07-10T12:00:00.000000Z',
                '2024-07-10T12:00:04.000000Z',
                '4',
            ],
        )
        self.assertEqual(len(table), 5)


class Ranges(tool.Case):
    """Against Python's own ordering of bytes, over many keys in many partitions and blocks."""

    def setUp(self):
        super().setUp()
        self.names = sorted(
            {
                '%s-%d' % (head, i * i % 977)
                for head in ('a', 'ab', 'b', 'Ž', 'z\x7f', '')
                for i in range(700)
            },
            key=lambda name: name.encode('utf-8'),
        )
        self.import_lines(*(event(name, 'Noted', {}) for name in self.names))
        self.rebuild(tool.projection('case_summary'))

    def keys(self, *options):
        return [
            json.loads(line)['key']
            for line in self.ok('scan', self.store, 'case_summary', *options).lines
        ]

    def test_scan_without_limits_gives_all(self):
        self.assertEqual(self.keys(), self.names)

    def test_prefix(self):
        for prefix in ('a', 'ab-', 'ab-1', 'Ž', 'z', 'nothing', '-9'):
            self.assertEqual(
                self.keys('--prefix=' + prefix),
                [n for n in self.names if n.startswith(prefix)],
                prefix,
            )

    def test_from_is_inclusive_and_to_exclusive(self):
        low, high = self.names[100], self.names[900]
        self.assertEqual(self.keys('--from=' + low, '--to=' + high), self.names[100:900])
        self.assertEqual(self.keys('--from=' + low), self.names[100:])
        self.assertEqual(self.keys('--to=' + high), self.names[:900])
        self.assertEqual(self.keys('--from=' + high, '--to=' + low), [])

    def test_from_between_two_keys(self):
        self.assertEqual(
            self.keys('--from=ab-50x'), [n for n in self.names if n.encode() >= b'ab-50x']
        )

    def test_prefix_and_range_together(self):
        self.assertEqual(
            self.keys('--prefix=ab', '--from=ab-3', '--to=ab-5'),
            [n for n in self.names if n.startswith('ab') and b'ab-3' <= n.encode() < b'ab-5'],
        )

    def test_limit(self):
        self.assertEqual(self.keys('--limit', '7'), self.names[:7])
        self.assertEqual(
            self.keys('--from=b', '--limit', '3'), [n for n in self.names if n.encode() >= b'b'][:3]
        )
        self.assertEqual(self.keys('--limit', '100000'), self.names)

    def test_get_finds_every_key(self):
        for name in self.names[::97]:
            self.assertEqual(
                self.ok('get', self.store, 'case_summary', '--', name).json['key'], name
            )


tool.main(__name__)
