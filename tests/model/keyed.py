"""Random projections with keys of their own over random logs: rows equal a serial fold's, for any
workers, partitions and memory; with a policy for events that fail, also what is left out.

REFOLD_SOAK=1 runs many more seeds.
"""

import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import keyed_projections
import tool

SEEDS = 300 if os.environ.get('REFOLD_SOAK') else 18
WORKERS = (0, 1, 2, 3, 8)
PARTITIONS = (1, 4, 64)


class Keyed(tool.Case):
    def compile(self, projection):
        source = self.path(projection.name + '.c', projection.source())
        path = self.path(projection.name + '.so')
        subprocess.run(
            [
                'cc', '-std=c17', '-O1', '-w', '-fPIC', '-shared', '-fvisibility=hidden',
                '-I', os.path.join(tool.ROOT, 'engine', 'include'), '-o', path, source,
            ],
            check=True,
        )  # fmt: skip
        return path

    def test_every_seed_gives_the_rows_of_the_serial_fold(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                self.store = os.path.join(self.folder, 'seed%d.refold' % seed)
                self.one_seed(seed)

    def one_seed(self, seed):
        projection = keyed_projections.Projection(seed)
        log = keyed_projections.make_log(seed, (30, 400, 5000)[seed % 3], (2, 30, 300)[seed // 3 % 3])
        lines = ''.join(json.dumps(event, ensure_ascii=False) + '\n' for event in log).encode()
        partitions = PARTITIONS[seed % len(PARTITIONS)]
        self.ok(
            'import', self.store, '-', '--quiet', '--partitions', partitions, stdin=lines
        )  # fmt: skip
        rows, keyless, _ = projection.fold(log)
        expected = projection.print_rows(rows)
        path = self.compile(projection)
        digests = set()
        for workers in WORKERS:
            memory = ('1M', '256M')[(seed + workers) % 2]
            entry = self.rebuild(
                path,
                options=(
                    '--workers', workers, '--memory', memory, '--allow-missing', '--min-rows', 0,
                    '--max-removed', '100%',
                ),
            )[0]  # fmt: skip
            digests.add(entry['digest'])
            got = self.rows(projection.name)
            for one, want in zip(got.split(b'\n'), expected.split(b'\n')):
                self.assertEqual(one.decode(), want.decode())
            self.assertEqual(len(got), len(expected))
            self.assertEqual(entry.get('events_without_key', 0), keyless)
        self.assertEqual(len(digests), 1)
        self.ok('verify', self.store, '--serial')
        self.some_gets(projection, rows)

    def test_what_a_policy_leaves_out_is_that_of_the_serial_fold(self):
        left_out = 0
        for seed in range(SEEDS // 2):
            with self.subTest(seed=seed):
                self.store = os.path.join(self.folder, 'policy%d.refold' % seed)
                left_out += self.one_policy_seed(seed)
        self.assertGreater(left_out, 10 * SEEDS)

    def one_policy_seed(self, seed):
        projection = keyed_projections.Projection(seed, fails=True)
        log = keyed_projections.make_log(
            seed, (30, 300, 2000)[seed % 3], (2, 30, 200)[seed // 3 % 3], bad=(0, 0.004, 0.03)[seed % 3]
        )
        lines = ''.join(json.dumps(event, ensure_ascii=False) + '\n' for event in log).encode()
        self.ok(
            'import', self.store, '-', '--quiet', '--partitions', PARTITIONS[seed % 3], stdin=lines
        )  # fmt: skip
        path = self.compile(projection)
        count = 0
        for policy in ('skip', 'quarantine'):
            rows, keyless, left_out = projection.fold(log, policy)
            expected = projection.print_rows(rows).decode().split('\n')
            count += len(left_out)
            digests = set()
            for workers in (0, 2, 5):
                memory = ('1M', '256M')[(seed + workers) % 2]
                entry = self.rebuild(
                    path,
                    options=(
                        '--workers', workers, '--memory', memory, '--allow-missing', '--min-rows', 0,
                        '--max-removed', '100%', '--on-error', policy, '--max-errors', 100000,
                    ),
                )[0]  # fmt: skip
                digests.add(entry['digest'])
                listed = self.ok('quarantine', self.store, projection.name, '--json').json['items']
                self.assertEqual([item['position'] for item in listed], [p for p, _ in left_out])
                for item, (_, reason) in zip(listed, left_out):
                    if reason != 'of a wrong kind':
                        self.assertTrue(item['reason'].startswith(reason), (item, reason))
                    else:
                        self.assertIn(' is ', item['reason'])
                    self.assertEqual(item['stream'], log[item['position'] - 1]['stream'])
                self.assertEqual(self.rows(projection.name).decode().split('\n'), expected)
                self.assertEqual(entry.get('events_without_key', 0), keyless)
            self.assertEqual(len(digests), 1)
            self.ok('verify', self.store, '--serial')
        return count

    def test_what_is_followed_in_pieces_is_what_the_serial_fold_gives(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                projection = keyed_projections.Projection(seed)
                log = keyed_projections.make_log(
                    seed, (60, 400, 3000)[seed % 3], (2, 30, 300)[seed // 3 % 3]
                )
                self.in_pieces(seed, projection, log, 'stop')

    def test_a_policy_leaves_out_the_same_where_it_is_followed_in_pieces(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                projection = keyed_projections.Projection(seed, fails=True)
                log = keyed_projections.make_log(
                    seed, (60, 300, 2000)[seed % 3], (2, 30, 200)[seed // 3 % 3],
                    bad=(0.001, 0.004, 0.03)[seed % 3],
                )  # fmt: skip
                self.in_pieces(seed, projection, log, ('skip', 'quarantine')[seed // 2 % 2])

    def in_pieces(self, seed, projection, log, policy):
        """Each piece is followed, or rebuilt from what is new: rows as those of a serial fold, the digest that of
        a rebuild of all, and of a piece no more is folded than that."""
        self.store = os.path.join(self.folder, '%s%d.refold' % (policy, seed))
        r = random.Random(seed)
        cuts = sorted(r.sample(range(len(log) // 3, len(log)), 5)) + [len(log)]
        options = ('--allow-missing', '--min-rows', 0, '--max-removed', '100%', '--on-error', policy)
        options += () if policy == 'stop' else ('--max-errors', 100000)
        path, begin = self.compile(projection), 0
        for piece, end in enumerate(cuts):
            lines = ''.join(json.dumps(event, ensure_ascii=False) + '\n' for event in log[begin:end])
            self.ok(
                'import', self.store, '-', '--quiet', '--partitions', PARTITIONS[seed % 3],
                stdin=lines.encode(),
            )  # fmt: skip
            workers = ('--workers', r.choice((0, 1, 3)))
            if begin == 0:
                self.rebuild(path, options=options + workers)
            elif r.random() < 0.6:
                self.ok('follow', self.store, '--once', '--quiet', *workers)
            else:
                entry = self.rebuild(projection.name, options=options + workers)[0]
                self.folded_what_is_new(entry, projection, policy, log, end, end - begin)
            rows, _, left_out = projection.fold(log[:end], policy)
            got = self.rows(projection.name).decode().split('\n')
            self.assertEqual(got, projection.print_rows(rows).decode().split('\n'), (piece, end))
            listed = self.ok('quarantine', self.store, projection.name, '--json').json['items']
            self.assertEqual([item['position'] for item in listed], [p for p, _ in left_out])
            begin = end
        listed = self.ok('generations', self.store, projection.name, '--json').json['generations']
        live = [generation for generation in listed if generation['live']]
        full = self.rebuild(projection.name, options=options + ('--full', '--no-swap'))[0]
        self.assertEqual(live[0]['digest'], full['digest'])
        self.ok('verify', self.store, '--serial')

    def folded_what_is_new(self, entry, projection, policy, log, end, count):
        """But for a quarantine that shut any key, from which nothing goes on, and columns that combine: a stored
        zero may be the lack of a least value."""
        shut = policy == 'quarantine' and projection.fold(log[:end], policy)[2]
        if entry.get('reused') and not shut and not projection.combines:
            self.assertLessEqual(entry['folded'], count)

    def some_gets(self, projection, rows):
        for key in list(rows)[:5]:
            shown = projection.show_key(key)
            if len(key) == 1:
                argument = shown if isinstance(shown, str) else json.dumps(shown)
            else:
                argument = json.dumps(shown, ensure_ascii=False)
            got = self.ok('get', self.store, projection.name, '--', argument)
            self.assertEqual(got.json, {'key': shown, **rows[key]})


tool.main(__name__)
