"""Random logs: rows and digests equal the naive serial fold's, whatever the seed, workers and
partitions.

REFOLD_SOAK=1 runs many more seeds.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import made_logs
import serial_fold
import tool

SEEDS = 300 if os.environ.get('REFOLD_SOAK') else 12


class RandomLogs(tool.Case):
    def test_every_seed_gives_the_rows_of_the_serial_fold(self):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                self.store = os.path.join(self.folder, 'seed%d.refold' % seed)
                self.one_seed(seed)

    def one_seed(self, seed):
        log = made_logs.make(
            seed, events=(5, 200, 3000)[seed % 3], streams=(3, 40, 400)[seed // 3 % 3]
        )
        partitions, workers = (1, 16, 64, 256)[seed % 4], (0, 1, 2, 3, 8)[seed % 5]
        self.ok(
            'import',
            self.store,
            '-',
            '--quiet',
            '--partitions',
            partitions,
            stdin=made_logs.to_lines(log, seed),
        )
        names = sorted(serial_fold.PROJECTIONS)
        self.rebuild(
            *[tool.projection(name) for name in names],
            options=('--workers', workers, '--allow-missing', '--min-rows', 0)
        )
        for name in names:
            expected = serial_fold.print_rows(serial_fold.fold_events(name, log))
            for got, want in zip(self.rows(name).split(b'\n'), expected.split(b'\n')):
                self.assertEqual(got.decode('utf-8'), want.decode('utf-8'), name)
            self.assertEqual(len(self.rows(name)), len(expected), name)
        self.verifies()


tool.main(__name__)
