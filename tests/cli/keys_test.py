"""Read models whose keys are tuples: how they are printed, got and scanned; events without key."""

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


tool.main(__name__)
