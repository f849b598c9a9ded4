"""Events of several schemas, written by another event-sourcing library that upcasts them itself: our
rows equal that library's own state of each order, for any number of workers, whether upcasters are
moves to the engine or functions.

Placed has schemas 1 to 3 (the customer's name is split, then a channel is added), ItemAdded 1 and 2
(price becomes unit_price, with a currency).
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

WORKERS = (0, 1, 2, 8)

PROJECTION = """
name "orders"
version (1)
columns { "first text", "last text", "channel text", "total decimal(2)", "lines int",
    "pieces int", "items text", "carrier text" }

on ("shop:Order.Placed", { "first text", "last text", "channel text" }, function (row, e)
    row.first, row.last, row.channel = e.first, e.last, e.channel
end)
on ("shop:Order.ItemAdded", { "sku text", "qty int", "unit_price._data_ decimal(2) as price",
    "currency text" }, function (row, e)
    row.lines, row.pieces = row.lines + 1, row.pieces + e.qty
    row.total = row.total + e.qty * e.price
    row.items = (row.items or "") .. ("%s %d %d %s;"):format(e.sku, e.qty, e.price, e.currency)
end)
on ("shop:Order.Shipped", { "carrier text" }, function (row, e) row.carrier = e.carrier end)
"""

SPLIT = """
upcast ("shop:Order.Placed", 1, { "customer text" }, function (e)
    local blank = e.customer:find(" ", 1, true)
    e.first, e.last = e.customer:sub(1, blank - 1), e.customer:sub(blank + 1)
end)
"""

MOVES = """
upcast ("shop:Order.Placed", 2, { "channel text?" }, function (e)
    e.channel = e.channel or "web"
end)
upcast ("shop:Order.ItemAdded", 1, { "price._data_ decimal(2)" }, function (e)
    e["unit_price._data_"] = e["price._data_"]
    e.currency = "EUR"
end)
"""

# The same, such that all are functions to the engine.
FUNCTIONS = """
upcast ("shop:Order.Placed", 2, { "channel text?" }, function (e)
    if not e.channel then e.channel = "web" end
end)
local function euro (e) e.currency = "EUR" end
upcast ("shop:Order.ItemAdded", 1, { "price._data_ decimal(2)" }, function (e)
    e["unit_price._data_"] = e["price._data_"]
    euro (e)
end)
"""


def expected_rows(path):
    rows = []
    for line in tool.read(path).decode('utf-8').splitlines():
        entry = json.loads(line)
        if entry['kind'] != 'Order':
            continue
        state = entry['state']
        rows.append({
            'key': entry['stream'],
            'first': state['first'],
            'last': state['last'],
            'channel': state['channel'],
            'total': state['total'],
            'lines': len(state['items']),
            'pieces': sum(item['qty'] for item in state['items']),
            'items': ''.join(
                '%s %d %s %s;'
                % (item['sku'], item['qty'], item['unit_price'].replace('.', '').lstrip('0'),
                   item['currency'])
                for item in state['items']
            ) or None,
            'carrier': state['shipped_by'],
        })
    return sorted(rows, key=lambda row: row['key'])


class Upcasts(tool.Case):
    def agrees(self, name):
        log = tool.shared_file('%s.events.jsonl.zst' % name)
        if log is None:
            self.skipTest('no shared data')
        expected = expected_rows(tool.shared_file('%s.oracle.jsonl.zst' % name))
        self.assertGreater(len(expected), 50)
        self.ok('import', self.store, log, '--map', 'schema=data.class_version', '--quiet')
        schemas = {(t['type'], t['schema']) for t in self.types()}
        self.assertIn(('shop:Order.Placed', 3), schemas)
        self.refuses(tool.REFUSED, ['schema', 'no upcaster'], 'rebuild', self.store,
                     self.path('bare.lua', PROJECTION))
        digests = set()
        for number, evolution in enumerate((SPLIT + MOVES, SPLIT + FUNCTIONS)):
            path = self.path('orders%d.lua' % number, PROJECTION + evolution)
            for workers in WORKERS:
                entry = self.rebuild(path, options=('--workers', workers, '--dev'))[0]
                digests.add(entry['digest'])
            got = [json.loads(row) for row in self.rows('orders').splitlines()]
            self.assertEqual(got, expected)
        self.assertEqual(len(digests), 1, digests)
        self.ok('verify', self.store, '--serial')

    def types(self):
        return self.ok('types', self.store, '--json').json['types']

    def test_es_zlib(self):
        self.agrees('es-zlib')

    def test_es_aes(self):
        self.agrees('es-aes')

    def test_es_pg(self):
        self.agrees('es-pg')


tool.main(__name__)
