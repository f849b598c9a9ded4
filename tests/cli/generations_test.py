"""generations, swap, rollback, gc: which generation is live, what is kept, and what the flips
print.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Generations(tool.Shop):
    def add(self, number):
        self.import_lines(event('order-%d' % number, 'OrderPlaced', {'customer': 'c-%d' % number}))

    def list(self, name='order_summary'):
        return self.ok('generations', self.store, name, '--json').json['generations']

    def numbers(self):
        return [g['number'] for g in self.list()]

    def live(self):
        return [g['number'] for g in self.list() if g['live']]

    def grow(self, count):
        """So many more generations, each with one more row and live."""
        for i in range(count):
            self.add(100 + i)
            self.rebuild('order_summary', options=('--keep', '50'))

    def test_lists_what_is_there(self):
        self.grow(2)
        found = self.list()
        self.assertEqual(
            [(g['number'], g['rows'], g['live'], g['position']) for g in found],
            [(1, 3, False, 7), (2, 4, False, 8), (3, 5, True, 9)],
        )
        text = self.ok('generations', self.store).out.decode()
        self.assertIn('order_summary', text)

    def test_rollback_flips_at_once_and_says_what_became_of_what(self):
        self.grow(2)
        result = self.ok('rollback', self.store, 'order_summary')
        self.assertIn('order_summary 3 -> 2, position 8, 1 event', result.out.decode())
        self.assertEqual((self.live(), self.rows('order_summary').count(b'\n')), ([2], 4))
        result = self.ok('rollback', self.store, 'order_summary')
        self.assertIn('order_summary 2 -> 1, position 7, 2 events behind', result.out.decode())
        self.assertEqual((self.live(), self.rows('order_summary').count(b'\n')), ([1], 3))
        self.verifies()

    def test_a_definition_that_a_rollback_left_is_held_until_swap_names_it(self):
        second = self.plugin('second.so', VERSION=2)
        self.rebuild(self.plugin())
        self.rebuild(second)
        self.ok('rollback', self.store, 'counting')
        result = self.refuses(
            tool.REFUSED, ['generation 3', 'rollback'], 'rebuild', self.store, second, '--quiet'
        )
        self.assertIn('generation 1, 1 row; added 0, removed 0', result.out.decode())
        held = self.ok('status', self.store, '--json').json['models'][0]
        self.assertEqual((held['name'], held['generation'], held['held']), ('counting', 1, True))
        self.ok('swap', self.store, 'counting')
        self.assertTrue(self.rebuild(second)[0]['live'])

    def test_the_line_of_a_held_generation_ends_with_the_command_that_takes_it(self):
        second = self.plugin('second.so', VERSION=2)
        self.rebuild(self.plugin())
        self.rebuild(second)
        self.ok('rollback', self.store, 'counting')
        line = self.refuses(
            tool.REFUSED, ['a rollback left'], 'rebuild', self.store, second, '--quiet'
        ).message
        command = line.split('to take it all the same: refold ')[1].split()
        self.assertEqual(command, ['swap', self.store, 'counting', '--generation', '3'])
        self.ok(*command)
        self.assertEqual(self.status()['generation'], 3)

    def status(self):
        return self.ok('status', self.store, '--json').json['models'][0]

    def test_a_read_model_is_held_until_a_definition_newer_than_the_one_left_is_live(self):
        self.rebuild(self.plugin())
        self.rebuild(self.plugin('second.so', VERSION=2))
        self.ok('rollback', self.store, 'counting')
        self.assertTrue(self.status()['held'])
        self.rebuild(self.plugin('third.so', VERSION=3))
        now = self.status()
        self.assertEqual((now['version'], now['held']), (3, False))
        self.assertEqual([(c['name'], c['held']) for c in now['colours']], [('counting@1', False), ('counting@2', True)])
        self.assertNotIn('held', self.ok('status', self.store).out.decode())
        self.ok('rollback', self.store, 'counting')
        self.assertTrue(self.status()['held'])

    def test_rollback_without_an_earlier_one_is_refused(self):
        result = tool.call('rollback', self.store, 'order_summary')
        self.assertEqual(result.code, tool.FAILED, str(result))
        self.assertEqual(result.message.count('\n'), 1)
        self.assertEqual(self.live(), [1])

    def test_swap_takes_the_newest_that_is_younger(self):
        self.grow(2)
        self.ok('rollback', self.store, 'order_summary', '--generation', '1')
        result = self.ok('swap', self.store, 'order_summary')
        self.assertIn('order_summary 1 -> 3', result.out.decode())
        self.assertEqual(self.live(), [3])

    def test_swap_and_rollback_take_a_number(self):
        self.grow(3)
        self.ok('rollback', self.store, 'order_summary', '--generation', '2')
        self.assertEqual(self.live(), [2])
        self.ok('swap', self.store, 'order_summary', '--generation', '4')
        self.assertEqual(self.live(), [4])

    def test_swap_with_nothing_younger_is_refused(self):
        result = tool.call('swap', self.store, 'order_summary')
        self.assertIn(result.code, (tool.FAILED, tool.NOTHING), str(result))
        self.assertEqual(self.live(), [1])

    def test_several_names_flip_together_or_not_at_all(self):
        self.rebuild(self.plugin())
        self.grow(1)
        self.gives(tool.FAILED, 'rollback', self.store, 'order_summary', 'counting')
        self.assertEqual(self.live(), [2])
        self.rebuild('counting')
        self.ok('rollback', self.store, 'order_summary', 'counting')
        self.assertEqual(self.live(), [1])
        self.assertEqual([g['number'] for g in self.list('counting') if g['live']], [1])

    def test_a_rebuild_keeps_three(self):
        for i in range(5):
            self.add(200 + i)
            self.rebuild('order_summary')
        self.assertEqual(self.numbers(), [4, 5, 6])
        self.assertEqual(
            sorted(os.listdir(os.path.join(self.store, 'generations', 'order_summary'))),
            ['000004', '000005', '000006'],
        )

    def test_keep_1_leaves_the_live_one(self):
        self.add(9)
        self.rebuild('order_summary', options=('--keep', '1'))
        self.assertEqual((self.numbers(), self.live()), ([2], [2]))

    def test_gc_tells_what_it_frees_and_not_what_other_generations_share(self):
        lines = [event('order-%d' % i, 'ItemAdded', {'qty': 1, 'price': 7}) for i in range(100, 1200)]
        self.import_lines(*lines)
        self.rebuild('order_summary')
        for i in range(2):
            self.import_lines(event('order-%d' % (100 + i), 'ItemAdded', {'qty': 1, 'price': 7}))
            self.assertTrue(self.rebuild('order_summary')[0]['reused'])
        size = self.list()[-1]['bytes']
        self.assertGreater(size, 20000)
        for keep in 2, 1:
            shared = self.ok('gc', self.store, '--keep', keep, '--json').json
            self.assertEqual(shared['removed'], 1)
            self.assertLess(shared['bytes'], 20000)
        self.ok('rebuild', self.store, 'order_summary', '--full', '--quiet')
        last = self.ok('gc', self.store, '--keep', 1, '--json').json
        self.assertGreater(last['bytes'], 20000)

    def test_gc_removes_old_ones_and_never_the_live_one(self):
        self.grow(5)
        self.ok('rollback', self.store, 'order_summary', '--generation', '2')
        self.ok('gc', self.store, 'order_summary', '--keep', '2')
        self.assertIn(2, self.numbers())
        self.assertEqual((len(self.numbers()), self.live()), (2, [2]))
        self.assertEqual(self.rows('order_summary').count(b'\n'), 4)
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), [2])
        self.verifies()

    def spares(self):
        folder = os.path.join(self.store, 'generations', '.spare', 'order_summary')
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def test_files_of_a_generation_that_went_are_written_over(self):
        for i in range(2):
            self.add(100 + i)
            self.rebuild('order_summary', options=('--full',))
        self.assertEqual(self.spares(), [])
        for i in range(4):
            self.add(200 + i)
            self.rebuild('order_summary', options=('--full',))
            self.assertEqual(self.spares(), ['base-00.mdb'])
            self.assertEqual(self.numbers(), [i + 2, i + 3, i + 4])
            self.assertEqual(self.rows('order_summary').count(b'\n'), 6 + i)
            self.verifies()
        # the one before reads as it was
        self.ok('rollback', self.store, 'order_summary')
        self.assertEqual(self.rows('order_summary').count(b'\n'), 8)
        self.ok('gc', self.store, 'order_summary', '--keep', '2')
        self.assertEqual(self.spares(), [])
        self.verifies()

    def test_a_spare_file_that_has_another_name_is_not_written_over(self):
        for i in range(2):
            self.add(100 + i)
            self.rebuild('order_summary', options=('--full',))
        kept = os.path.join(self.folder, 'kept.mdb')
        base = os.path.join(self.store, 'generations', 'order_summary', '000001', 'base-00.mdb')
        os.link(base, kept)
        with open(kept, 'rb') as file:
            before = file.read()
        for i in range(3):
            self.add(200 + i)
            self.rebuild('order_summary', options=('--full',))
        with open(kept, 'rb') as file:
            self.assertEqual(file.read(), before)

    def test_numbers_are_never_used_again(self):
        self.grow(2)
        self.ok('rollback', self.store, 'order_summary', '--generation', '1')
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), [1])
        self.assertEqual(self.rebuild('order_summary')[0]['generation'], 4)

    def test_leftovers_are_removed(self):
        self.grow(2)
        self.ok('gc', self.store, '--keep', '1')
        folder = os.path.join(self.store, 'generations', 'order_summary', '000002')
        os.makedirs(os.path.join(folder, 'definition'))
        with open(os.path.join(folder, 'base-00.mdb'), 'w') as file:
            file.write('half a file')
        self.ok('gc', self.store, '--keep', '3')
        self.assertFalse(os.path.exists(folder))
        self.assertEqual(self.live(), [3])
        self.verifies()

    def test_a_rollback_over_what_gc_removed_is_refused(self):
        self.grow(2)
        self.ok('gc', self.store, '--keep', '1')
        self.gives(tool.FAILED, 'rollback', self.store, 'order_summary')
        self.assertEqual(self.live(), [3])


tool.main(__name__)
