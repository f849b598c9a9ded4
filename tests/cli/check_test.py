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


tool.main(__name__)
