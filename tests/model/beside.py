"""Several imports, rebuilds, flips, collections and readers beside each other, as processes.

Whatever interleaves, each scan must print exactly the serial fold of a prefix of the log: the sum of
its events column says of which. In the end every event of every importer is there once, and a
stream's events stand in the order in which they were sent.
"""

import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import serial_fold
import tool
from tool import event, lines

IMPORTERS, CHUNKS, CHUNK, STREAMS, SCANNERS = 3, 12, 150, 17, 2


class Beside(tool.Case):
    def setUp(self):
        super().setUp()
        self.plugin = tool.projection('case_summary')
        self.import_lines(event('first', 'Step', {'n': -1}))
        self.rebuild(self.plugin)
        self.faults, self.scans, self.running = [], set(), True

    def call(self, codes, *argv, **how):
        result = tool.call(*argv, **how)
        if result.code not in codes:
            self.faults.append(str(result))
        return result

    def importer(self, number):
        for chunk in range(CHUNKS):
            made = [
                event(
                    'w%d-%d' % (number, i % STREAMS), 'Step%d' % (i % 5), {'n': chunk * CHUNK + i}
                )
                for i in range(CHUNK)
            ]
            options = ('--quiet', '--wait-lock', '120')
            self.call((0,), 'import', self.store, '-', *options, stdin=lines(*made))

    def rebuilder(self):
        commands = (
            ('rebuild', self.store, self.plugin, '--quiet'),
            ('rebuild', self.store, '--all'),
        )
        commands += (('rollback', self.store, 'case_summary'), ('swap', self.store, 'case_summary'))
        commands += (('gc', self.store, '--keep', '2'),)
        turn = 0
        while self.running:
            self.call((0, 1, 3), *commands[turn % len(commands)])
            turn += 1

    def scanner(self):
        while self.running:
            self.scans.add(self.call((0,), 'scan', self.store, 'case_summary').out)

    def test_every_scan_is_a_fold_of_a_prefix(self):
        importers = [threading.Thread(target=self.importer, args=(i,)) for i in range(IMPORTERS)]
        others = [threading.Thread(target=self.rebuilder)]
        others += [threading.Thread(target=self.scanner) for _ in range(SCANNERS)]
        for thread in importers + others:
            thread.start()
        for thread in importers:
            thread.join()
        self.running = False
        for thread in others:
            thread.join()
        self.assertEqual(self.faults, [])
        events = serial_fold.parse(self.ok('events', self.store).out)
        self.assertEqual(len(events), 1 + IMPORTERS * CHUNKS * CHUNK)
        self.assertEqual([e['position'] for e in events], list(range(1, len(events) + 1)))
        for number in range(IMPORTERS):
            sent = [e['data']['n'] for e in events if e['stream'].startswith('w%d-' % number)]
            self.assertEqual(sent, list(range(CHUNKS * CHUNK)))
        for out in self.scans:
            position = sum(json.loads(row)['events'] for row in out.splitlines())
            fold = serial_fold.fold_events('case_summary', events[:position])
            self.assertEqual(out, serial_fold.print_rows(fold), position)
        self.assertGreater(len(self.scans), 2, 'nothing happened beside the scans')
        self.rebuild(self.plugin)
        fold = serial_fold.fold_events('case_summary', events)
        self.assertEqual(self.rows('case_summary'), serial_fold.print_rows(fold))
        self.verifies()


tool.main(__name__)
