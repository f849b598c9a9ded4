"""projections/examples/ over made logs: every row as a plain fold of its own has it, for any number
of workers and partitions.
"""

import glob
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import example_folds
import made_logs
import tool

FOLDER = os.path.join(tool.ROOT, 'projections', 'examples')
SEEDS = 100 if os.environ.get('REFOLD_SOAK') else 4
WORKERS = (0, 1, 2, 8)


class Examples(tool.Case):
    def test_each_example_has_a_fold_of_its_own(self):
        names = {os.path.basename(path)[: -len('.lua')] for path in glob.glob(FOLDER + '/*.lua')}
        self.assertEqual(names, set(example_folds.EXAMPLES))

    def check(self, name):
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                self.store = self.path('seed%d.refold' % seed)
                self.one_seed(name, seed)

    def one_seed(self, name, seed):
        example, events = example_folds.EXAMPLES[name](), (40, 300, 6000)[seed % 3]
        log = example.Make(random.Random('%s %d' % (name, seed)), events).log
        partitions = (1, 4, 64)[seed % 3]
        self.ok(
            'import', self.store, '-', '--quiet', '--partitions', partitions,
            stdin=made_logs.to_lines(log, seed),
        )  # fmt: skip
        expected, digests = example_folds.print_rows(example.fold(log)), set()
        self.assertGreater(expected.count(b'\n'), 4)
        for workers in WORKERS:
            memory = ('1M', '256M')[(seed + workers) % 2]
            entry = self.rebuild(
                os.path.join(FOLDER, name + '.lua'),
                options=('--full', '--workers', workers, '--memory', memory, '--allow-missing'),
            )[0]
            digests.add(entry['digest'])
            got = self.rows(name)
            for row, wanted in zip(got.split(b'\n'), expected.split(b'\n')):
                self.assertEqual(row.decode(), wanted.decode())
            self.assertEqual(len(got), len(expected))
        self.assertEqual(len(digests), 1)
        self.ok('verify', self.store, '--serial')


def test_of(name):
    return lambda self: self.check(name)


for example_name in example_folds.EXAMPLES:
    setattr(Examples, 'test_' + example_name, test_of(example_name))


tool.main(__name__)
