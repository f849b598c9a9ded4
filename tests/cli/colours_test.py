"""Versions of a read model side by side: NAME@VERSION, what gc leaves alone, retire, pin and unpin."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

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

    def test_the_commands_that_are_named_are_a_shells(self):
        self.ok('pin', self.store, 'orders', '--generation', 2)
        store = os.path.join(self.folder, "it's a store")
        os.rename(self.store, store)
        said = self.ok('gc', store).out.decode()
        commands = [shlex.split(line.split('`')[1]) for line in said.splitlines() if '`' in line]
        self.assertEqual(
            commands,
            [
                ['refold', 'retire', store, 'orders@3'],
                ['refold', 'unpin', store, 'orders', '--generation', '2'],
            ],
        )
        for command in commands:
            self.ok(*command[1:])
        self.assertNotIn('stays', self.ok('gc', store).out.decode())

    def test_a_seventeenth_version_is_refused_before_anything_is_built(self):
        for version in range(5, 20):
            self.deploy(version)
        self.assertEqual(len(self.marks('colour')), 16)
        path = self.path('orders.lua', ORDERS % (20, 20))
        words = ['16 versions', 'nothing was built', 'refold retire', 'orders@3 ends the oldest']
        self.refuses(tool.REFUSED, words, 'rebuild', self.store, path, '--quiet')
        self.assertEqual(self.numbers()[-1], 17)
        self.ok('rebuild', self.store, 'orders', '--quiet')  # the live version stays the one it is
        built = self.ok('rebuild', self.store, path, '--quiet', '--no-swap', '--json').json['projections'][0]
        words = ['16 versions', 'generation %d is kept, not live' % built['generation'], 'then swap']
        self.refuses(tool.REFUSED, words, 'swap', self.store, 'orders')
        self.assertEqual(self.model()['version'], 19)
        self.ok('retire', self.store, 'orders@3')
        self.ok('swap', self.store, 'orders')
        self.assertEqual((self.model()['version'], len(self.marks('colour'))), (20, 16))

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

    def get(self, name, key):
        return self.ok('get', self.store, name, key).json['items']

    def test_a_version_is_read_by_its_name(self):
        self.assertEqual(self.get('orders', 'order-2'), 8)
        self.assertEqual(self.get('orders@4', 'order-2'), 8)
        self.assertEqual(self.get('orders@3', 'order-2'), 6)
        rows = self.ok('scan', self.store, 'orders@3', '--from', 'order-2').out
        self.assertEqual([json.loads(line)['items'] for line in rows.splitlines()], [6, 9])
        self.ok('rollback', self.store, 'orders')
        self.assertEqual((self.get('orders', 'order-2'), self.get('orders@4', 'order-2')), (6, 8))

    def test_a_version_that_is_not_kept_is_a_failure_that_names_those_that_are(self):
        self.deploy(5, options=('--no-swap',))
        self.path('keys.txt', '')
        for argv in (
            ('get', self.store, 'orders@%s', 'order-1'),
            ('scan', self.store, 'orders@%s'),
            ('diff', self.store, 'orders@%s'),
            ('diff', self.store, 'orders', '@4', '@%s'),
            ('verify', self.store, 'orders@%s'),
            ('wait', self.store, 'orders@%s'),
            ('resume', self.store, 'orders@%s'),
            ('follow', self.store, 'orders@%s', '--once'),
            ('export', self.store, 'orders@%s', self.path('orders.csv')),
            ('quarantine', self.store, 'orders@%s'),
            ('retire', self.store, 'orders@%s'),
            ('pin', self.store, 'orders@%s'),
        ):
            with self.subTest(argv=argv):
                self.refuses(
                    tool.FAILED,
                    ['orders@5', '@4 (live), @3'],
                    *(a.replace('%s', '5') for a in argv)
                )
                self.refuses(tool.USAGE, ['version'], *(a.replace('%s', '03') for a in argv))

    def test_a_flip_takes_names_without_versions_and_says_so(self):
        for command in ('swap', 'rollback'):
            self.refuses(tool.USAGE, ['orders@3', 'without a version'], command, self.store, 'orders@3')

    def test_a_version_and_a_number_exclude_each_other(self):
        for argv in (('get', self.store, 'orders@3', 'order-1'), ('scan', self.store, 'orders@3')):
            self.refuses(tool.USAGE, ['either'], *argv, '--generation', '1')
        self.refuses(tool.USAGE, ['either'], 'diff', self.store, 'orders@3', '1', '2')

    def test_versions_are_compared(self):
        for argv in (('orders@3',), ('orders', '@3', '@4'), ('orders', '1', '@4')):
            said = self.ok('diff', self.store, *argv, '--json').json
            self.assertEqual(
                (said['old']['generation'], said['new']['generation'], said['changed']), (1, 2, 3)
            )
        said = self.ok('diff', self.store, 'orders@4', '--json').json
        self.assertEqual(said['new']['generation'], 2, 'as without a version')

    def test_a_version_is_verified_by_itself(self):
        self.assertEqual(self.ok('verify', self.store, 'orders@3', '--json').json['generations'], 1)
        self.assertEqual(self.ok('verify', self.store, 'orders', '--json').json['generations'], 2)

    def test_a_version_is_exported(self):
        path = self.path('orders.csv')
        self.ok('export', self.store, 'orders@3', path)
        self.assertIn(b'order-2,6', tool.read(path))

    def test_generations_of_one_version(self):
        self.assertEqual([g['number'] for g in self.list('orders@4')], [2])
        self.refuses(tool.FAILED, ['orders@9'], 'generations', self.store, 'orders@9')

    def test_gc_leaves_a_retired_version_to_the_process_that_reads_it(self):
        self.import_lines(
            *(event('order-%05d' % n, 'ItemAdded', {'qty': 1}) for n in range(12000)),
            options=('--apply',)
        )
        scan = subprocess.Popen(
            [tool.refold, 'scan', self.store, 'orders@3'], stdout=subprocess.PIPE
        )
        first = scan.stdout.readline()  # what follows does not fit into the pipe: it waits, and holds
        held, live = self.marks('colour'), self.marks('live')
        self.ok('retire', self.store, 'orders@3')
        said = self.ok('gc', self.store, '--keep', '1').out.decode()
        self.assertIn('1 kept because a reader holds it', said)
        self.assertEqual(self.numbers(), sorted(held + live))
        rows = [json.loads(line) for line in [first, *scan.stdout]]
        scan.stdout.close()
        self.assertEqual(scan.wait(), 0)
        self.assertEqual((len(rows), rows[3]['items']), (12003, 3))
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(self.numbers(), live)

    # ---- kept current ----

    def follow(self, *names, options=()):
        process = subprocess.Popen(
            [tool.refold, 'follow', self.store, *names, *options],
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said = process.stderr.read().decode() if not process.stderr.closed else ''
        process.stderr.close()
        return said

    def says(self, process, words):
        """Until the process has said so."""
        guard = threading.Timer(20, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        said = ''
        for line in process.stderr:
            said += line.decode()
            if words in said:
                break
        guard.cancel()
        self.assertIn(words, said)

    def check(self):
        """Everything that serves has the rows of a serial fold with its own definition."""
        self.ok('verify', self.store, '--serial')

    def lag(self, *, of_colours=False):
        model = self.model()
        return [c['lag'] for c in model['colours']] if of_colours else model['lag']

    def test_both_versions_are_kept_current_and_each_with_its_definition(self):
        self.follow()
        self.add(4, 5)
        self.ok('wait', self.store, 'orders', 'orders@3', '--timeout', '20')
        self.assertEqual((self.get('orders', 'order-4'), self.get('orders@3', 'order-4')), (16, 12))
        model = self.model()
        self.assertEqual(model['position'], model['colours'][0]['position'])
        self.check()

    def test_apply_keeps_colours_current(self):
        self.add(4, options=('--apply',))
        self.assertEqual((self.get('orders', 'order-4'), self.get('orders@3', 'order-4')), (16, 12))
        self.check()

    def test_a_rollback_within_the_overlap_needs_no_catch_up(self):
        self.follow()
        self.add(4)
        self.ok('wait', self.store, 'orders', 'orders@3', '--timeout', '20')
        said = self.ok('rollback', self.store, 'orders').out.decode()
        self.assertIn('orders 2 -> 1, position 4, 0 events behind', said)
        self.add(5)
        self.ok('wait', self.store, 'orders', 'orders@4', '--timeout', '20')
        self.assertEqual((self.get('orders', 'order-5'), self.get('orders@4', 'order-5')), (15, 20))
        said = self.ok('swap', self.store, 'orders').out.decode()
        self.assertIn('orders 1 -> 2, position 5, 0 events behind', said)
        self.check()

    def test_one_version_is_followed_alone(self):
        self.add(4)
        self.ok('follow', self.store, 'orders@3', '--once')
        self.assertEqual((self.lag(), self.lag(of_colours=True)), (1, [0]))
        self.ok('follow', self.store, 'orders@4', '--once')
        self.assertEqual(self.lag(), 0)
        alone = self.follow('orders@3')
        self.add(5)
        self.ok('wait', self.store, 'orders@3', '--timeout', '20')
        self.assertEqual(self.lag(), 1)
        self.add(6, options=('--apply',))
        self.assertEqual(self.lag(), 0, 'who follows one version holds nobody else up')
        self.refuses(tool.LOCKED, ['follow'], 'follow', self.store, 'orders@3', '--once')
        self.ok('follow', self.store, '--once')
        self.ok('retire', self.store, 'orders@3')
        self.add(7)
        self.says(alone, 'orders@3: is not kept beside the live one any more')
        self.check()

    def test_a_retired_version_is_followed_no_more(self):
        self.follow()
        self.add(4)
        self.ok('wait', self.store, 'orders', 'orders@3', '--timeout', '20')
        self.ok('retire', self.store, 'orders@3')
        self.add(5)
        self.ok('wait', self.store, 'orders', '--timeout', '20')
        listed = {g['number']: g['position'] for g in self.list()}
        self.assertEqual(listed, {1: 4, 2: 5})
        self.check()

    def test_a_colour_that_fails_is_suspended_and_the_live_one_goes_on(self):
        strict = ORDERS % (5, 5)
        self.rebuild(self.path('orders.lua', strict.replace('function (row, e)', 'function (row, e) if e.qty > 100 then error "too many" end')))
        self.deploy(6)
        self.add(4)
        self.import_lines(event('order-1', 'ItemAdded', {'qty': 500}), options=('--apply',))
        bad = self.info()['position']
        model = self.model()
        kept = {c['version']: c for c in model['colours']}
        self.assertEqual((model['lag'], model['suspended']), (0, None))
        self.assertEqual((kept[3]['lag'], kept[4]['lag']), (0, 0))
        self.assertEqual((kept[5]['position'], kept[5]['suspended_at']), (bad - 1, bad))
        self.assertIn('too many', self.ok('status', self.store).out.decode())
        self.ok('wait', self.store)
        self.refuses(tool.REFUSED, ['orders@5', 'too many'], 'wait', self.store, 'orders@5')
        self.ok('resume', self.store, 'orders@5')
        self.refuses(
            tool.REFUSED, ['suspended'], 'follow', self.store, 'orders@5', '--once', '--quiet'
        )
        self.ok('skip', self.store, 'orders', bad, '--reason', 'a typo')
        self.ok('resume', self.store, 'orders')
        self.ok('follow', self.store, '--once')
        self.assertEqual(self.lag(of_colours=True), [0, 0, 0])
        self.assertEqual(self.get('orders@5', 'order-4'), 20)
        self.check()

    def test_versions_stay_right_whatever_is_killed_and_swapped(self):
        number = 100
        for turn in range(8):
            follower = self.follow()
            for _ in range(turn % 3 + 1):
                number += 1
                self.add(number)
            self.ok(('rollback', 'swap')[turn % 2], self.store, 'orders')
            time.sleep(0.03 * turn)
            self.end(follower)
        self.ok('follow', self.store, '--once')
        self.assertEqual(self.lag(of_colours=True), [0])
        self.assertEqual(self.get('orders@3', 'order-101'), 303)
        self.check()


tool.main(__name__)
