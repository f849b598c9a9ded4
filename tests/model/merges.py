"""Rebuilds that fold only what is new, into a delta or by a merge into a new base, give what folding everything
gives: rows, digest and indexes, after any number of them, whatever was deleted, and followed in between. Where rows
do not tell what the next event needs (lows: a 0 that may be the lack of a value), such rebuilds fold everything.

Logs are made at random; keys are streams, or not; rows go and come again, some are large.
"""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

CARTS = """
name "carts" version (1) key "stream"
columns { "n int", "owner text", "skus list(sku text, n int)", "note text" }
index "owner"
index { "n", "owner" }
on ("Put", { "owner text", "sku text", "n int", "note text" }, function (row, e)
    row.n, row.owner, row.note = row.n + e.n, e.owner, e.note
    row.skus[#row.skus + 1] = { sku = e.sku, n = e.n }
end)
on ("Left", { "owner text" }, function (row, e) row:delete() end)
"""
OWNERS = """
name "owners" version (1) key { Put = "owner text", Left = "owner text" }
columns { "n int", "last text" }
index "n"
on ("Put", { "sku text", "n int" }, function (row, e) row.n, row.last = row.n + e.n, e.sku end)
on ("Left", {}, function (row, e) row:delete() end)
"""
SKUS = """
name "skus" version (1) key { Put = "sku text" }
columns { "n int", "most int", "last text" } combine { n = "sum", most = "max", last = "last" }
on ("Put", { "n int", "owner text" }, function (row, e)
    row.n = row.n + e.n
    row.most = math.max (row.most, e.n)
    row.last = e.owner
end)
"""
LOWS = """
name "lows" version (1) key { Put = "sku text" }
columns { "n int", "low int", "high int", "one int" }
combine { n = "sum", low = "min", high = "max", one = "first" }
on ("Put", { "n int" }, function (row, e)
    row.n = row.n + e.n
    row.low, row.high = math.min (row.low, e.n), math.max (row.high, e.n - 8)
    row.one = e.n
end)
"""
NAMES = ('carts', 'owners', 'skus')
SEEDS = range(20) if os.environ.get('REFOLD_SOAK') else (1,)


class Merges(tool.Case):
    def chunk(self, count, streams):
        """Of random carts; a few events are large, so that rows have blocks of their own."""
        made = []
        for _ in range(count):
            cart = self.random.randrange(streams)
            owner = 'o-%d' % (cart * 7 % (streams // 2 + 1))
            if self.random.random() < 0.12:
                made.append(event('cart-%d' % cart, 'Left', {'owner': owner}))
                continue
            sku = 's-%d' % self.random.randrange(streams * 2)
            note = 'x' * 3000 if self.random.random() < 0.005 else ''
            data = {'owner': owner, 'sku': sku, 'n': self.random.randrange(9), 'note': note}
            made.append(event('cart-%d' % cart, 'Put', data))
        return made

    def live(self, name):
        listed = self.ok('generations', self.store, name, '--json').json['generations']
        return [g for g in listed if g['live']][0]

    def check(self, name):
        """Against a generation in which everything was folded."""
        live = self.live(name)
        options = ('--no-swap', '--full', '--until', str(live['position']))
        full = self.rebuild(name, options=options)[0]
        self.assertEqual((live['digest'], live['rows']), (full['digest'], full['rows']), name)
        indexes = {'carts': (('owner',), ('n', 'owner')), 'owners': (('n',),)}.get(name, ())
        for index in [()] + [('--index', ','.join(columns)) for columns in indexes]:
            rows = self.ok('scan', self.store, name, *index).out
            self.assertEqual(
                rows,
                self.ok('scan', self.store, name, *index, '--generation', full['generation']).out,
                (name, index),
            )

    def run_with(self, seed):
        self.random = random.Random(seed)
        self.store = os.path.join(self.folder, 's%d' % seed)
        self.import_lines(*self.chunk(9000, 4000), options=('--partitions', 8))
        self.rebuild(*[self.path(name + '.lua', globals()[name.upper()]) for name in (*NAMES, 'lows')])
        ways = {name: set() for name in NAMES}
        for count in (300, 2600, 40, 3500, 4200, 100):
            self.import_lines(*self.chunk(count, self.random.choice((4000, 5000, 1200))))
            if count in (2600, 40):  # it merges by itself after 2600
                self.ok('follow', self.store, '--once', '--quiet')
                self.import_lines(*self.chunk(30, 4000))
            for name in NAMES:
                built = self.rebuild(name, options=('--workers', self.random.choice((0, 2, 3))))[0]
                self.assertTrue(built['reused'], (name, count))
                ways[name].add(built['merged'])
                self.check(name)
            report = self.ok('rebuild', self.store, 'lows', '--json', '--quiet').json
            self.assertGreater(report['timings']['discarded'], 0)
            self.assertLess(report['timings']['discarded'], report['seconds'])
            built = report['projections'][0]
            self.assertEqual(
                (built['reused'], built['merged'], built['folded'], self.live('lows')['delta_rows']),
                (False, False, built['events'], 0),
            )
            self.check('lows')
        for name in NAMES:
            self.assertEqual(ways[name], {False, True}, 'both ways were gone')
        self.ok('verify', self.store, '--serial')

    def test_random_logs(self):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                self.run_with(seed)

    def test_followed_rows_that_do_not_tell_what_the_next_event_needs_are_merged(self):
        self.random = random.Random(3)
        self.import_lines(*self.chunk(9000, 4000), options=('--partitions', 8))
        first = self.rebuild(self.path('lows.lua', LOWS))[0]
        numbers, largest = {first['generation']}, 0
        for _ in range(12):
            self.import_lines(*self.chunk(400, 4000))
            self.ok('follow', self.store, '--once', '--quiet')
            live = self.live('lows')
            numbers.add(live['number'])
            largest = max(largest, live['delta_rows'])
        self.assertGreaterEqual(len(numbers), 4, 'it was merged again and again')
        self.assertGreater(largest, 0, 'or it was never in a delta')
        self.assertLessEqual(largest, max(1000, live['rows'] // 10))
        self.check('lows')
        self.ok('verify', self.store, '--serial')

    def test_what_is_followed_moves_on_while_a_merge_goes_on_beside(self):
        self.random = random.Random(5)
        self.import_lines(*self.chunk(9000, 4000), options=('--partitions', 8))
        self.rebuild(*[self.path(name + '.lua', globals()[name.upper()]) for name in NAMES])
        told = self.path('told', '')
        with open(told, 'w') as out:
            following = subprocess.Popen(
                [tool.refold, 'follow', self.store],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            merged, until = 0, time.monotonic() + 120
            while merged < 5 and time.monotonic() < until:
                self.import_lines(*self.chunk(150, 4000))
                merged = tool.read(told).count(b' were merged: generation ')
            self.assertGreaterEqual(merged, 5, tool.read(told))
            self.ok('wait', self.store, '--timeout', '60')
        finally:
            following.send_signal(signal.SIGINT)
            self.assertEqual(tool.wait_for(following, 60), 130)
        self.assertNotIn(b'not merged', tool.read(told))
        self.ok('follow', self.store, '--once', '--quiet')
        for name in NAMES:
            self.check(name)
            listed = self.ok('generations', self.store, name, '--json').json['generations']
            self.assertFalse([g for g in listed if g.get('replaced_by') == g['number']], listed)
        self.ok('verify', self.store, '--serial')


tool.main(__name__)
