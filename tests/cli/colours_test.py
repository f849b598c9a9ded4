"""Versions of a read model side by side: NAME@VERSION, what gc leaves alone, retire, pin and unpin."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

ORDERS = """
name "orders" version (%d) key "stream"
columns { "items int" }
on ("ItemAdded", { "qty int" }, function (row, e) row.items = row.items + e.qty * %d end)
"""


class Colours(tool.Case):
    def setUp(self):
        super().setUp()
        self.add(1, 2, 3)
        self.deploy(3)
        self.deploy(4)

    def add(self, *numbers, options=()):
        self.import_lines(
            *(event('order-%d' % n, 'ItemAdded', {'qty': n}) for n in numbers), options=options
        )

    def deploy(self, version, factor=None, options=()):
        path = self.path('orders.lua', ORDERS % (version, factor or version))
        return self.rebuild(path, options=options)[0]

    def list(self, name='orders'):
        return self.ok('generations', self.store, name, '--json').json['generations']

    def marks(self, mark):
        return [g['number'] for g in self.list() if g[mark]]

    def numbers(self):
        return [g['number'] for g in self.list()]

    def model(self):
        return self.ok('status', self.store, '--json').json['models'][0]

    def test_a_version_that_a_swap_left_is_shown_and_stays(self):
        self.assertEqual((self.marks('live'), self.marks('colour')), ([2], [1]))
        self.assertIn('colour', self.ok('generations', self.store).out.decode())
        kept = self.model()['colours']
        self.assertEqual(
            [(c['name'], c['version'], c['generation'], c['lag']) for c in kept],
            [('orders@3', 3, 1, 0)],
        )
        self.assertIn('orders@3', self.ok('status', self.store).out.decode())
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), [1, 2])

    def test_gc_and_rebuild_name_what_takes_disk_and_how_it_ends(self):
        ends = '`refold retire %s orders@3` ends it' % self.store
        self.assertIn(ends, self.ok('gc', self.store).out.decode())
        path = self.path('orders.lua', ORDERS % (5, 5))
        said = self.ok('rebuild', self.store, path, '--quiet').out.decode()
        self.assertIn(ends, said)
        self.assertIn('orders@4` ends it', said)
        kept = self.ok('gc', self.store, '--json').json['kept']
        self.assertEqual([(k['version'], k['generation'], k['colour']) for k in kept], [(3, 1, True), (4, 2, True)])
        self.assertGreater(kept[0]['bytes'], 4096)

    def test_retire_ends_a_version_and_gc_takes_it(self):
        said = self.ok('retire', self.store, 'orders@3').out.decode()
        self.assertIn('orders@3 is retired: generation 1', said)
        self.assertEqual(self.marks('colour'), [])
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), [2])
        self.verifies()

    def test_what_cannot_be_retired_is_refused(self):
        self.refuses(tool.REFUSED, ['live', 'swap'], 'retire', self.store, 'orders@4')
        self.refuses(tool.FAILED, ['@4 (live), @3'], 'retire', self.store, 'orders@7')
        self.refuses(tool.FAILED, ['no such read model'], 'retire', self.store, 'nothing@7')
        self.refuses(tool.USAGE, ['NAME@VERSION'], 'retire', self.store, 'orders')
        self.refuses(tool.USAGE, ['version'], 'retire', self.store, 'orders@x')
        self.assertEqual(self.marks('colour'), [1])

    def test_a_rollback_within_the_overlap_changes_places(self):
        self.ok('rollback', self.store, 'orders')
        self.assertEqual((self.marks('live'), self.marks('colour')), ([1], [2]))
        self.assertTrue(self.model()['colours'][0]['held'])
        self.ok('swap', self.store, 'orders')
        self.assertEqual((self.marks('live'), self.marks('colour')), ([2], [1]))

    def test_an_old_version_that_is_built_again_replaces_nothing_until_it_is_live(self):
        self.deploy(3, factor=7, options=('--dev', '--no-swap'))
        self.assertEqual(self.marks('colour'), [1])
        self.ok('swap', self.store, 'orders')
        self.assertEqual((self.marks('live'), self.marks('colour')), ([3], [2]))

    def test_keep_does_not_count_them(self):
        for number in range(10, 14):
            self.add(number)
            self.rebuild('orders', options=('--keep', '2', '--full'))
        self.assertEqual(self.numbers(), [1, 5, 6])

    def test_pinned_ones_stay_until_they_are_unpinned(self):
        said = self.ok('pin', self.store, 'orders').out.decode()
        self.assertIn('orders generation 2 is pinned', said)
        for number in range(10, 13):
            self.add(number)
            self.rebuild('orders', options=('--keep', '1', '--full'))
        self.assertEqual((self.numbers(), self.marks('pinned')), ([1, 2, 5], [2]))
        said = self.ok('gc', self.store, '--keep', '1').out.decode()
        self.assertIn('`refold unpin %s orders --generation 2` ends it' % self.store, said)
        self.assertEqual(self.ok('pin', self.store, 'orders@3', '--json').json['generation'], 1)
        self.assertEqual(self.ok('unpin', self.store, 'orders', '--json').json['unpinned'], 2)
        self.assertEqual(self.ok('unpin', self.store, 'orders', '--json').json['unpinned'], 0)
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), [1, 5])
        self.refuses(tool.FAILED, ['generation 9'], 'pin', self.store, 'orders', '--generation', '9')
        self.refuses(tool.FAILED, ['nothing'], 'unpin', self.store, 'nothing')
        self.refuses(
            tool.USAGE, ['either'], 'pin', self.store, 'orders@3', '--generation', '1'
        )

    def test_generations_of_one_version(self):
        self.assertEqual([g['number'] for g in self.list('orders@4')], [2])
        self.refuses(tool.FAILED, ['orders@9'], 'generations', self.store, 'orders@9')


tool.main(__name__)
