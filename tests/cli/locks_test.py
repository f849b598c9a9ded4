"""Locks: who waits for whom. A second writer gets exit 5 at once and touches nothing; readers are
never held up.
"""

import fcntl
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines


class Locks(tool.Shop):
    def hold(self, *path, mode=fcntl.LOCK_EX):
        file = open(os.path.join(self.store, *path), 'a+')
        self.addCleanup(file.close)
        fcntl.flock(file, mode)
        return file

    def wait_until_locked(self, *path):
        """Until another process has the lock; looks at the kernel's list, so as not to take it."""
        inode, deadline = os.stat(os.path.join(self.store, *path)).st_ino, time.monotonic() + 60
        while b':%d ' % inode not in tool.read('/proc/locks'):
            self.assertLess(time.monotonic(), deadline, 'nobody took the lock')
            time.sleep(0.02)

    def test_two_imports_at_once(self):
        first = subprocess.Popen(
            [tool.refold, 'import', self.store, '-', '--quiet'], stdin=subprocess.PIPE
        )
        first.stdin.write(lines(event('x-1', 'T')))
        first.stdin.flush()
        self.wait_until_locked('log', 'IMPORT')
        self.refuses(tool.LOCKED, ['import'], 'import', self.store, '-', '--quiet')
        first.stdin.close()
        self.assertEqual(first.wait(60), 0)
        self.import_lines(event('x-2', 'T'))
        self.assertEqual(self.info()['events'], len(self.EVENTS) + 2)

    def test_an_import_goes_on_while_the_store_is_rebuilt(self):
        self.hold('LOCK')
        self.import_lines(event('x-1', 'T'))

    def test_writers_of_generations_meet_at_the_lock(self):
        held = self.hold('LOCK')
        for command in (
            ('rebuild', self.store, self.orders, '--quiet'),
            ('rebuild', self.store, '--all', '--quiet'),
            ('gc', self.store, '--keep', '1'),
        ):
            with self.subTest(command=command):
                self.refuses(tool.LOCKED, ['lock'], *command)
        self.assertEqual(self.rows('order_summary').count(b'\n'), 3)
        held.close()
        self.assertEqual(self.rebuild(self.orders)[0]['generation'], 2)

    def test_flips_meet_at_swap(self):
        self.rebuild(self.orders)
        self.hold('live', 'SWAP')
        self.refuses(tool.LOCKED, ['swap'], 'rollback', self.store, 'order_summary')
        self.assertEqual(self.rows('order_summary').count(b'\n'), 3)

    def test_readers_are_never_held_up(self):
        for path in (('LOCK',), ('live', 'SWAP'), ('log', 'IMPORT')):
            self.hold(*path)
        for command in (
            ('info', self.store),
            ('types', self.store),
            ('status', self.store),
            ('events', self.store),
            ('generations', self.store),
            ('get', self.store, 'order_summary', 'order-1'),
            ('scan', self.store, 'order_summary'),
            ('verify', self.store),
        ):
            with self.subTest(command=command):
                self.ok(*command)

    def test_wait_lock_waits(self):
        held = self.hold('LOCK')
        threading.Timer(1.0, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        start = time.monotonic()
        self.rebuild(self.orders, options=('--wait-lock', '30'))
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_wait_lock_gives_up(self):
        self.hold('LOCK')
        start = time.monotonic()
        self.refuses(
            tool.LOCKED, ['lock'], 'rebuild', self.store, self.orders, '--quiet', '--wait-lock', '1'
        )
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_gc_skips_a_generation_that_a_reader_holds(self):
        for _ in range(3):
            self.rebuild(self.orders, options=('--keep', '50'))
        self.hold('generations', 'order_summary', '000002', 'MANIFEST', mode=fcntl.LOCK_SH)
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(
            sorted(os.listdir(os.path.join(self.store, 'generations', 'order_summary'))),
            ['000002', '000004'],
        )
        self.assertEqual(self.rows('order_summary', '--generation', '2').count(b'\n'), 3)

    def test_a_reader_that_scans_keeps_its_generation_to_the_end(self):
        self.import_lines(
            *(event('order-x%d' % i, 'OrderPlaced', {'customer': 'c'}) for i in range(30000))
        )
        self.rebuild(self.orders)
        scan = subprocess.Popen(
            [tool.refold, 'scan', self.store, 'order_summary'], stdout=subprocess.PIPE
        )
        first = scan.stdout.readline()
        for _ in range(3):
            self.rebuild(self.orders, options=('--keep', '1'))
        rest = scan.stdout.read()
        self.assertEqual(scan.wait(60), 0)
        self.assertEqual((first + rest).count(b'\n'), 30003)

    def test_two_names_of_one_directory_are_one_store(self):
        link = os.path.join(self.folder, 'link')
        os.symlink(self.store, link)
        self.hold('LOCK')
        self.refuses(tool.LOCKED, ['lock'], 'rebuild', link, self.orders, '--quiet')


tool.main(__name__)
