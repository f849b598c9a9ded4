"""Versions of a read model in PostgreSQL and SQLite: NAME_v3 beside NAME, moved together, dropped when retired."""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from published import Published
from tool import event

ORDERS = """
name "orders" version (%d) key "stream"
columns { "%s int" }
on ("ItemAdded", { "qty int" }, function (row, e) row.%s = row.%s + e.qty * %d end)
"""


class Versions(Published):
    def setUp(self):
        super().setUp()
        self.add(1, 2)
        self.deploy(3)

    def add(self, *numbers):
        lines = (event('order-%d' % n, 'ItemAdded', {'qty': n}) for n in numbers)
        self.import_lines(*lines, options=('--apply',))

    def deploy(self, version, column='items'):
        text = ORDERS % (version, column, column, column, version)
        return self.rebuild(self.path('orders.lua', text))[0]

    def publish(self, *options):
        return {m['name']: m['way'] for m in self.export('orders', options=options)}

    def rows(self, view, column='items'):
        return self.sql('SELECT string_agg(%s::text, \' \' ORDER BY key) FROM %s' % (column, view))

    def views(self):
        found = self.sql("SELECT relname FROM pg_class WHERE relkind = 'v' AND relname ~ '^orders' ORDER BY 1")
        return found.split()

    def test_a_read_model_of_one_version_is_published_as_before(self):
        self.assertEqual(list(self.publish()), ['orders'])
        self.assertEqual(self.views(), ['orders'])
        self.assertEqual(self.schemas(), {'orders_g1'})

    def test_each_version_has_its_view_and_the_public_one_shows_the_live_one(self):
        self.publish()
        self.deploy(4, 'pieces')
        self.publish()
        self.assertEqual(self.views(), ['orders', 'orders_v3', 'orders_v4'])
        self.assertEqual(self.rows('orders', 'pieces'), '4 8')
        self.assertEqual(self.rows('orders_v4', 'pieces'), '4 8')
        self.assertEqual(self.rows('orders_v3'), '3 6')
        listed = self.sql('SELECT name, version, version_of FROM refold_published.models ORDER BY name')
        self.assertEqual(
            listed.split('\n'), ['orders|4|', 'orders_v3|3|orders', 'orders_v4|4|orders']
        )

    def test_both_move_with_what_is_followed(self):
        self.deploy(4)
        self.publish()
        self.add(3)
        self.assertEqual(
            self.publish(), {'orders': 'changed', 'orders@4': 'changed', 'orders@3': 'changed'}
        )
        self.assertEqual((self.rows('orders'), self.rows('orders_v3')), ('4 8 12', '3 6 9'))
        self.assertEqual(self.rows('orders_v4'), '4 8 12')
        self.assertEqual(set(self.publish().values()), {'same'})

    def test_a_rollback_moves_the_public_view_and_copies_nothing(self):
        self.deploy(4)
        self.publish()
        before = self.schemas()
        self.ok('rollback', self.store, 'orders')
        self.assertEqual(
            self.publish(), {'orders': 'shown', 'orders@3': 'same', 'orders@4': 'same'}
        )
        self.assertEqual(self.schemas(), before)
        self.assertEqual((self.rows('orders'), self.rows('orders_v4')), ('3 6', '4 8'))
        self.add(3)
        self.publish()
        self.assertEqual((self.rows('orders'), self.rows('orders_v4')), ('3 6 9', '4 8 12'))

    def test_what_is_retired_is_dropped_by_the_next_publication(self):
        self.deploy(4)
        self.publish()
        self.ok('retire', self.store, 'orders@3')
        self.assertEqual(self.views(), ['orders', 'orders_v3', 'orders_v4'])
        self.publish()
        self.assertEqual(self.views(), ['orders', 'orders_v4'], 'programs may say orders_v4')
        self.assertEqual(self.schemas(), {'orders_v4_g2'})
        self.add(3)
        self.publish()
        self.assertEqual((self.rows('orders'), self.rows('orders_v4')), ('4 8 12', '4 8 12'))
        self.deploy(5)
        self.publish()
        self.assertEqual(self.views(), ['orders', 'orders_v4', 'orders_v5'])
        self.assertEqual((self.rows('orders'), self.rows('orders_v4')), ('5 10 15', '4 8 12'))

    def test_what_stands_under_another_view_is_left_until_it_does_not(self):
        self.deploy(4)
        self.publish()
        self.sql('CREATE VIEW mine AS SELECT items FROM orders_v3')
        self.ok('retire', self.store, 'orders@3')
        self.publish()
        self.assertIn('orders_v3', self.views())
        self.sql('DROP VIEW mine')
        self.publish()
        self.assertNotIn('orders_v3', self.views())

    def test_grants_stay_with_each_view(self):
        self.sql('CREATE ROLE reader_of_%s' % self.database)
        self.deploy(4)
        self.publish()
        self.sql('GRANT SELECT ON orders, orders_v3 TO reader_of_%s' % self.database)
        self.deploy(5)
        self.add(3)
        self.publish()
        for view, granted in (('orders', 't'), ('orders_v3', 't'), ('orders_v5', 'f')):
            asked = "SELECT has_table_privilege('reader_of_%s', '%s', 'SELECT')"
            self.assertEqual(self.sql(asked % (self.database, view)), granted, view)

    def test_a_version_is_published_by_its_name(self):
        self.deploy(4)
        names = [m['name'] for m in self.export('orders@3')]
        self.assertEqual((names, self.views()), (['orders@3'], ['orders_v3']))
        self.assertEqual(self.rows('orders_v3'), '3 6')
        path = self.path('orders.sqlite')
        self.ok('export', self.store, 'orders', 'orders@3', path)
        with sqlite3.connect(path) as db:
            self.assertEqual(db.execute('SELECT items FROM orders_v3 ORDER BY key').fetchall(), [(3,), (6,)])
            self.assertEqual(db.execute('SELECT items FROM orders ORDER BY key').fetchall(), [(4,), (8,)])
            self.assertEqual(
                db.execute('SELECT name, version FROM refold_published ORDER BY 1').fetchall(),
                [('orders', 4), ('orders_v3', 3)],
            )
        self.refuses(tool.USAGE, ['twice'], 'export', self.store, 'orders', 'orders', self.url)

    def test_as_a_table_there_are_no_versions(self):
        self.deploy(4)
        self.publish()
        self.assertEqual(list(self.publish('--as', 'table')), ['orders'])
        self.assertEqual((self.views(), self.rows('orders')), ([], '4 8'))
        self.assertEqual(list(self.publish('--as', 'view')), ['orders', 'orders@4', 'orders@3'])
        self.assertEqual((self.rows('orders'), self.rows('orders_v3')), ('4 8', '3 6'))

    def test_a_name_that_is_another_read_models_is_left_alone(self):
        other = (ORDERS % (1, 'n', 'n', 'n', 7)).replace('"orders"', '"orders_v3"')
        self.rebuild(self.path('other.lua', other))
        self.deploy(4)
        self.export('orders', 'orders_v3')
        self.assertEqual(self.rows('orders_v3', 'n'), '7 14')
        self.ok('retire', self.store, 'orders@3')
        self.export('orders')
        self.assertEqual(self.rows('orders_v3', 'n'), '7 14')

    def test_rebuild_publishes_versions_too(self):
        text = ORDERS % (4, 'items', 'items', 'items', 4)
        self.ok(
            'rebuild', self.store, self.path('orders.lua', text), '--quiet', '--publish', self.url
        )
        self.assertEqual(self.views(), ['orders', 'orders_v3', 'orders_v4'])


tool.main(__name__)
