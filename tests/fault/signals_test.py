"""SIGINT and SIGTERM: exit 130 and 143 within 10 s, one line at most, nothing half-visible, and
the next command works.
"""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import story
import tool
from tool import event

CODES = ((signal.SIGINT, tool.INTERRUPTED), (signal.SIGTERM, tool.TERMINATED))


class Signals(tool.Case):
    def setUp(self):
        super().setUp()
        self.log = story.make_log(4000)
        self.place = story.Story(self, self.store, self.log)

    def interrupted(self, child, number, code):
        start = time.monotonic()
        child.send_signal(number)
        got = tool.wait_for(child, 30)
        message = child.stderr.read().decode()
        child.stderr.close()
        self.assertEqual(got, code, message)
        self.assertLess(time.monotonic() - start, 10)
        self.assertLessEqual(message.count('\n'), 1, message)

    def start(self, *argv):
        return subprocess.Popen(
            [tool.refold, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def test_an_import_that_waits_for_its_input(self):
        for number, code in CODES:
            with self.subTest(code=code):
                self.store = self.place.store = os.path.join(self.folder, '%d.refold' % code)
                self.ok('import', self.store, '-', '--quiet', stdin=self.place.chunk(0, 1000))
                child = self.start('import', self.store, '-', '--quiet')
                child.stdin.write(self.place.chunk(1000, 3000))
                child.stdin.flush()
                time.sleep(0.5)
                self.interrupted(child, number, code)
                child.stdin.close()
                events, _ = self.place.check(1000, 0, 'after signal %d' % number)
                self.ok('import', self.store, '-', '--quiet', stdin=self.place.chunk(0, 4000))
                self.assertEqual(self.place.check(4000)[0], 4000)

    def test_an_atomic_import_leaves_nothing(self):
        self.ok('import', self.store, '-', '--quiet', stdin=self.place.chunk(0, 1000))
        child = self.start('import', self.store, '-', '--quiet', '--atomic')
        child.stdin.write(self.place.chunk(1000, 3000))
        child.stdin.flush()
        time.sleep(0.5)
        self.interrupted(child, signal.SIGINT, tool.INTERRUPTED)
        child.stdin.close()
        self.assertEqual(self.place.check(1000)[0], 1000)

    def test_a_rebuild(self):
        """With a plugin that takes its time."""
        self.import_lines(
            *(event('order-%d' % (i % 500), 'ItemAdded', {'qty': 1}) for i in range(20000))
        )
        self.rebuild(self.plugin())
        before = self.rows('counting')
        slow = self.plugin('slow.so', VERSION=2, SPIN=1000000)
        for workers in (0, 2):
            for number, code in CODES:
                with self.subTest(code=code, workers=workers):
                    child = self.start(
                        'rebuild', self.store, slow, '--quiet', '--workers', str(workers)
                    )
                    time.sleep(0.7)
                    self.interrupted(child, number, code)
                    child.stdin.close()
                    self.assertEqual(self.rows('counting'), before)
                    self.verifies()
        self.assertEqual(self.rebuild('counting')[0]['version'], 1)
        found = os.listdir(os.path.join(self.store, 'generations', 'counting'))
        self.ok('gc', self.store, '--keep', '5')
        self.assertEqual(
            len(os.listdir(os.path.join(self.store, 'generations', 'counting'))), 2, found
        )

    def test_a_rebuild_in_an_endless_loop_of_a_lua_file(self):
        self.import_lines(event('order-1', 'ItemAdded', {'qty': 1}))
        head = 'name "p" version (1) %s columns { "n int" }\n'
        handler = 'on ("ItemAdded", { "qty int" }, function (row, e) %s row.n = e.qty end)\n'
        upcast = 'upcast ("ItemAdded", 1, function (e) %s e.qty = 2 end)\n'
        loop = 'while true do end'
        for key in ('', 'key "category"'):
            for source in (handler % loop, handler % '' + upcast % loop):
                path = self.path('p.lua', head % key + source)
                for number, code in CODES[:1] if key else CODES:
                    with self.subTest(source=source, key=key, code=code):
                        child = self.start('rebuild', self.store, path, '--quiet')
                        time.sleep(1)
                        self.interrupted(child, number, code)
                        child.stdin.close()
                        self.assertFalse(self.ok('status', self.store, '--json').json['models'])


tool.main(__name__)
