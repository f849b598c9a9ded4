"""check: says what a rebuild would read and trip over, and changes nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Check(tool.Shop):
    def test_a_good_projection(self):
        before = self.ok('generations', self.store).out
        result = self.ok('check', self.store, self.orders)
        self.assertIn('ItemAdded', result.out.decode())
        found = self.ok('check', self.store, self.orders, '--json').json
        self.assertEqual((found['position'], found['events']), (7, 7))
        self.assertFalse(found['refused'])
        self.assertEqual(self.ok('generations', self.store).out, before)

    def test_fields_are_counted(self):
        self.import_lines(event('order-1', 'ItemAdded', {'price': 1}))
        found = self.ok('check', self.store, self.plugin(), '--json').json
        field = [f for f in found['fields'] if f['path'] == 'qty'][0]
        self.assertEqual((field['type'], field['events'], field['present']), ('ItemAdded', 3, 2))

    def test_what_is_not_counted_is_not_said_to_be_missing(self):
        wide = dict({'m%d' % i: i for i in range(70)}, qty=2)
        self.import_lines(event('order-1', 'ItemAdded', wide))
        found = self.ok('check', self.store, self.plugin(), '--json').json
        field = [f for f in found['fields'] if f['path'] == 'qty'][0]
        self.assertIsNone(field['present'])
        self.assertEqual(len([f for f in found['findings'] if 'than are counted' in f['text']]), 1)

    def test_what_a_rebuild_would_refuse_is_named_with_the_nearest_name(self):
        result = tool.call('check', self.store, self.plugin(FIELD='quty'))
        self.assertEqual(result.code, tool.REFUSED, str(result))
        text = result.out.decode() + result.message
        self.assertIn('quty', text)
        self.assertIn('qty', text.replace('quty', ''))

    def test_by_the_name_of_a_live_projection(self):
        self.ok('check', self.store, 'order_summary')

    def test_kinds_and_shares_are_shown(self):
        self.import_lines(
            event('order-1', 'ItemAdded', {'qty': 'two'}),
            event('order-1', 'ItemAdded', {'qty': None}),
            event('order-1', 'ItemAdded', {}),
        )
        found = self.gives(tool.DONE, 'check', self.store, self.plugin(), '--json').json
        field = [f for f in found['fields'] if f['path'] == 'qty'][0]
        kinds = {kind: count for kind, count in field['kinds'].items() if count}
        self.assertEqual((field['present'], kinds), (3, {'int': 2, 'text': 1, 'null': 1}))
        text = self.ok('check', self.store, self.plugin()).out.decode()
        self.assertIn('60%', text)
        self.assertIn('int 2, text 1, null 1', text)

    def test_values_that_stop_a_rebuild_are_found(self):
        self.import_lines(
            event('order-1', 'ItemAdded', {'qty': 'two'}), event('order-1', 'ItemAdded', {'qty': 3})
        )
        findings = self.ok('check', self.store, self.plugin(), '--json').json['findings']
        texts = ' | '.join(f['text'] for f in findings)
        self.assertIn('1 of 4 values of the field qty', texts)
        self.assertIn('the first at position 8: field qty: "two" is no int', texts)
        self.assertFalse(any(f['refuses'] for f in findings))
        self.ok('skip', self.store, 'counting', 8, '--reason', 'x')
        findings = self.ok('check', self.store, self.plugin(), '--json').json['findings']
        self.assertNotIn('position 8', ' | '.join(f['text'] for f in findings))

    def test_strict_refuses_notes_too(self):
        self.ok('check', self.store, self.plugin(), '--strict')
        self.import_lines(event('order-1', 'ItemAdded', {}))
        self.ok('check', self.store, self.plugin())
        result = self.gives(tool.REFUSED, 'check', self.store, self.plugin(), '--strict')
        self.assertIn('note: ', result.out.decode())
        self.assertIn('lack the field qty', result.message)

    def test_bytes_are_those_that_a_rebuild_reads(self):
        self.import_lines(
            *(
                event('order-%d' % (i % 500), 'ItemAdded', {'qty': i % 7, 'note': 'n%d' % i})
                for i in range(20000)
            )
        )
        plugin = self.plugin()
        found = self.ok('check', self.store, plugin, '--json').json
        self.assertGreater(found['estimated_seconds'], 0)
        self.assertGreater(found['workers'], 0)
        self.assertLess(found['estimated_seconds'], 10)
        report = self.ok('rebuild', self.store, plugin, '--json', '--quiet').json
        read = report['bytes_decoded']
        self.assertLess(abs(found['bytes_to_read'] - read), read / 4)

    def test_keyed_and_lua_projections_are_looked_at_too(self):
        self.import_lines(event('m-1', 'Received', {'warehouse': 'w', 'size': 1, 'qty': 5}))
        self.import_lines(event('m-1', 'Moved', {'warehouse': 'w', 'to': 'v', 'size': 1, 'qty': 1}))
        stock = tool.compile_plugin(self.path('stock.so'), 'stock.c')
        self.assertGreater(self.ok('check', self.store, stock, '--json').json['bytes_to_read'], 0)
        lua = self.path('named.lua', LUA)
        self.assertGreater(self.ok('check', self.store, lua, '--json').json['bytes_to_read'], 0)

    def test_an_empty_log_is_refused(self):
        self.store = self.path('empty.refold')
        self.ok('import', self.store, '-', '--quiet', stdin=b'')
        self.gives(tool.REFUSED, 'check', self.store, self.orders)


LUA = '''name "named"
version (1)
key "stream"
columns { "who text", "pieces int" }
on ("ItemAdded", { "qty int" }, function (row, e)
  row.who, row.pieces = e.stream, row.pieces + e.qty
end)
'''

class Told(tool.Shop):
    def test_a_refusal_is_told_once(self):
        path = self.path(
            'p.lua',
            'name "p" version (1) columns { "n int" }\n'
            'on ("Nothing", {}, function (row, e) row.n = 1 end)\n'
            'on ("Nobody", {}, function (row, e) row.n = 1 end)\n',
        )
        for command in (('check',), ('rebuild', '--quiet'), ('rebuild',)):
            result = self.gives(tool.REFUSED, command[0], self.store, path, *command[1:])
            both = result.out.decode() + result.message
            for type in ('Nothing', 'Nobody'):
                self.assertEqual(both.count('no event of type %s ' % type), 1, both)
            self.assertIn('no event of type Nothing ', result.message)


tool.main(__name__)
