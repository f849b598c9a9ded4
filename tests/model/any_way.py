"""The same events give the same rows and the same digest: for any workers, any partitions, any
way of importing.

Ways: one file, a hundred files in one import, a hundred imports, event by event, and shuffled
interleavings that keep the order of each stream. A digest that took in a position, a segment's
border or a worker's number fails here.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import made_logs
import serial_fold
import tool

WORKERS = (0, 1, 2, 3, 8)
PARTITIONS = (1, 16, 64, 256)
EVENTS_ALONE = 10000 if os.environ.get('REFOLD_SOAK') else 150  # each imported by itself


class AnyWay(tool.Case):
    def new_store(self, name):
        self.store = os.path.join(self.folder, name + '.refold')

    def outcome(self, name, workers=2):
        """Digest and rows of a rebuild of the test's store."""
        entry = self.rebuild(tool.projection(name), options=('--workers', workers))[0]
        return entry['digest'], self.rows(name)

    def redis(self):
        lines = tool.read(tool.fixture('git-redis.events')).splitlines(keepends=True)
        events = serial_fold.parse(b''.join(lines))
        return lines, events, serial_fold.print_rows(serial_fold.fold_events('file_tree', events))

    def test_workers_and_partitions_change_nothing(self):
        lines, _, expected = self.redis()
        outcomes = set()
        for partitions in PARTITIONS:
            self.new_store('p%d' % partitions)
            self.ok(
                'import',
                self.store,
                '-',
                '--quiet',
                '--partitions',
                partitions,
                stdin=b''.join(lines),
            )
            self.assertEqual(self.info()['partitions'], partitions)
            for workers in WORKERS:
                outcomes.add(self.outcome('file_tree', workers))
        self.assertEqual(len({digest for digest, _ in outcomes}), 1)
        self.assertEqual({rows for _, rows in outcomes}, {expected})

    def test_one_file_or_a_hundred_change_nothing(self):
        lines, events, expected = self.redis()
        pieces = [lines[i * len(lines) // 100 : (i + 1) * len(lines) // 100] for i in range(100)]
        files = [
            self.path('piece%02d.jsonl' % i, b''.join(piece)) for i, piece in enumerate(pieces)
        ]
        digests = set()
        for way in ('one import', 'a hundred imports', 'shuffled'):
            self.new_store(way.replace(' ', '-'))
            if way == 'one import':
                self.ok('import', self.store, *files, '--quiet')
            elif way == 'a hundred imports':
                for file in files:
                    self.ok('import', self.store, file, '--quiet')
            else:
                order = made_logs.shuffle(range(len(events)), lambda i: events[i]['stream'], seed=7)
                self.ok(
                    'import', self.store, '-', '--quiet', stdin=b''.join(lines[i] for i in order)
                )
            digest, rows = self.outcome('file_tree')
            digests.add(digest)
            self.assertEqual(rows, expected, way)
        self.assertEqual(len(digests), 1)

    def test_event_by_event_changes_nothing(self):
        log = made_logs.make(99, events=EVENTS_ALONE, streams=EVENTS_ALONE // 16)
        lines = made_logs.to_lines(log).splitlines(keepends=True)
        expected = serial_fold.print_rows(serial_fold.fold_events('case_summary', log))
        digests = set()
        for way in ('one import', 'event by event', 'shuffled'):
            self.new_store(way.replace(' ', '-'))
            if way == 'event by event':
                for line in lines:
                    self.ok('import', self.store, '-', '--quiet', stdin=line)
            elif way == 'shuffled':
                order = made_logs.shuffle(range(len(log)), lambda i: log[i]['stream'], seed=3)
                self.ok(
                    'import', self.store, '-', '--quiet', stdin=b''.join(lines[i] for i in order)
                )
            else:
                self.ok('import', self.store, '-', '--quiet', stdin=b''.join(lines))
            digest, rows = self.outcome('case_summary')
            digests.add(digest)
            self.assertEqual(rows, expected, way)
            self.verifies()
        self.assertEqual(len(digests), 1)

    def test_the_order_log_gives_the_sums_of_its_own_events(self):
        generator = os.path.join(tool.build, 'bench', 'orders')
        if not os.path.exists(generator):
            self.skipTest('no %s' % generator)
        path = os.path.join(self.folder, 'orders.jsonl')
        tool.make_orders(generator, 50000, path)
        events = serial_fold.parse(tool.read(path))
        expected = serial_fold.print_rows(serial_fold.fold_events('order_summary', events))
        outcomes = set()
        for partitions in (16, 64):
            self.new_store('p%d' % partitions)
            self.ok('import', self.store, path, '--quiet', '--partitions', partitions)
            for workers in WORKERS:
                outcomes.add(self.outcome('order_summary', workers))
        self.assertEqual({rows for _, rows in outcomes}, {expected})
        self.assertEqual(len(outcomes), 1)


tool.main(__name__)
