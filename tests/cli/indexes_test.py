"""Indexes: rows in the order of other columns, null first, numbers by value."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

ORDERS = '''
name "orders"
version (1)
key "stream"
columns { "customer text", "debt int", "price decimal(2)", "paid bool", "at time" }
index "customer"
index "debt"
index { "paid", "at" }
index { "price", "customer" }

on ("Placed", { "customer text?", "debt int?", "price decimal(2)?", "paid bool?" }, function (row, e)
  row.customer, row.debt, row.price, row.paid, row.at = e.customer, e.debt, e.price, e.paid, e.time
end)
on ("Gone", {}, function (row, e) row:delete() end)
'''


class Indexes(tool.Case):
    def setUp(self):
        super().setUp()
        self.import_lines(
            event('o-1', 'Placed', {'customer': 'c-17', 'debt': -5, 'price': '1.50'}, time='2024-01-02T00:00:00Z'),
            event('o-2', 'Placed', {'customer': 'c-2', 'debt': 40, 'price': '-3.00', 'paid': True}),
            event('o-3', 'Placed', {'debt': -700}, time='2024-01-01T00:00:00Z'),
            event('o-4', 'Placed', {'customer': 'c-170', 'debt': 0, 'price': '10.00', 'paid': True}, time='1969-01-01T00:00:00Z'),
            event('o-5', 'Placed', {'customer': 'c-17', 'debt': 300}),
            event('o-6', 'Placed', {'customer': '', 'debt': 1}),
            event('o-7', 'Placed', {'customer': 'c-1'}),
            event('o-7', 'Gone', {}),
            options=('--partitions', 4),
        )  # fmt: skip
        self.path('orders.lua', ORDERS)
        self.entry = self.rebuild(self.path('orders.lua'))[0]

    def keys(self, *options):
        result = self.ok('scan', self.store, 'orders', *options)
        return ' '.join(line[10 : line.index('"', 10)] for line in result.lines)

    def test_rows_come_in_the_order_of_the_columns(self):
        self.assertEqual(self.keys('--index', 'customer'), '3 6 1 5 4 2')
        self.assertEqual(self.keys('--index', 'debt'), '3 1 4 6 2 5')
        self.assertEqual(self.keys('--index', 'paid,at'), '5 6 3 1 2 4')
        self.assertEqual(self.keys('--index', 'price,customer'), '2 3 6 5 1 4')
        self.verifies()

    def test_prefixes_and_ranges_are_of_its_columns(self):
        self.assertEqual(self.keys('--index', 'customer', '--prefix', 'c-17'), '1 5 4')
        self.assertEqual(self.keys('--index', 'customer', '--from', 'c-17', '--to', 'c-170'), '1 5')
        self.assertEqual(self.keys('--index', 'debt', '--from=-5', '--to', '40'), '1 4 6')
        self.assertEqual(self.keys('--index', 'paid,at', '--prefix', '[true]'), '2 4')
        self.assertEqual(self.keys('--index', 'paid,at', '--prefix', '[true,null]'), '2')
        self.assertEqual(self.keys('--index', 'customer', '--limit', 2), '3 6')

    def test_rows_are_whole(self):
        row = self.ok('scan', self.store, 'orders', '--index', 'customer', '--prefix', 'c-2').lines
        self.assertEqual(row, self.ok('get', self.store, 'orders', 'o-2').lines)

    def test_an_index_that_is_not_there_is_named(self):
        self.refuses(
            tool.FAILED, ['no index of status'], 'scan', self.store, 'orders', '--index', 'status'
        )
        self.refuses(
            tool.USAGE, ['debt', 'integer'], 'scan', self.store, 'orders', '--index', 'debt',
            '--from', 'x',
        )  # fmt: skip

    def test_it_is_swapped_with_the_rows(self):
        self.import_lines(event('o-8', 'Placed', {'customer': 'a'}))
        self.assertEqual(self.keys('--index', 'customer', '--prefix', 'a'), '')
        again = self.rebuild('orders')[0]
        self.assertEqual(self.keys('--index', 'customer', '--prefix', 'a'), '8')
        self.assertEqual(again['rows'], self.entry['rows'] + 1)
        self.ok('verify', self.store, '--serial')

    def test_damage_is_found(self):
        folder = os.path.join(self.store, 'generations', 'orders', '000001')
        path = os.path.join(folder, 'index-00.mdb')
        content = bytearray(tool.read(path))
        at = content.index(b'c-170')
        content[at + 4] ^= 1
        with open(path, 'wb') as file:
            file.write(content)
        self.gives(tool.DAMAGED, 'verify', self.store)
        self.gives(tool.DAMAGED, 'scan', self.store, 'orders', '--index', 'customer')


tool.main(__name__)
