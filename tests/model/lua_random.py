"""Random projections in Lua over random logs: rows equal a serial fold's in Python, for any workers,
partitions and memory.

REFOLD_SOAK=1 runs many more seeds.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import lua_projections
import tool

SEEDS = range(200) if os.environ.get('REFOLD_SOAK') else range(12)
WORKERS = (0, 1, 2, 4, 8)
PARTITIONS = (1, 2, 16, 64)


class LuaRandom(tool.Case):
    def test_every_seed_gives_the_rows_of_the_serial_fold(self):
        for seed in SEEDS:
            self.store = os.path.join(self.folder, 'seed%d.refold' % seed)
            projection = lua_projections.Projection(seed)
            with self.subTest(seed=seed, source=projection.source()):
                self.one_seed(seed, projection)

    def one_seed(self, seed, projection):
        log = lua_projections.make_log(
            seed, projection, (20, 300, 3000)[seed % 3], (2, 30, 300)[seed // 3 % 3]
        )
        lines = ''.join(json.dumps(event, ensure_ascii=False) + '\n' for event in log).encode()
        self.ok(
            'import', self.store, '-', '--quiet', '--partitions', PARTITIONS[seed % len(PARTITIONS)],
            stdin=lines,
        )  # fmt: skip
        expected = projection.show(projection.fold(log))
        path = self.path(projection.name + '.lua', projection.source())
        digests = set()
        for workers in WORKERS:
            memory = ('1M', '256M')[(seed + workers) % 2]
            entry = self.rebuild(
                path,
                options=(
                    '--workers', workers, '--memory', memory, '--allow-missing', '--min-rows', 0,
                    '--max-removed', '100%', '--full',
                ),
            )[0]  # fmt: skip
            digests.add(entry['digest'])
            got = [json.loads(line) for line in self.rows(projection.name).splitlines()]
            for one, want in zip(got, expected):
                self.assertEqual(one, want)
            self.assertEqual(len(got), len(expected))
        self.assertEqual(len(digests), 1)
        self.ok('verify', self.store, '--serial')


tool.main(__name__)
