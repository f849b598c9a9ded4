"""Waits: whom a command waits for is said, no longer than it was told to, and a signal ends it at once.
"""

import ctypes
import ctypes.util
import fcntl
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

SOON = 2.5  # seconds, far below the eight that a signal waits for an orderly end


class Writer:
    """A process that is stopped within a write transaction of an LMDB environment."""

    PROGRAM = '''
import ctypes, os, signal, sys
lmdb, env, txn = ctypes.CDLL(sys.argv[1]), ctypes.c_void_p(), ctypes.c_void_p()
lmdb.mdb_env_create(ctypes.byref(env))
lmdb.mdb_env_set_mapsize(env, ctypes.c_size_t(1 << 40))
lmdb.mdb_env_set_maxreaders(env, 1022)
assert lmdb.mdb_env_open(env, sys.argv[2].encode(), 0, 0o600) == 0
assert lmdb.mdb_txn_begin(env, None, 0, ctypes.byref(txn)) == 0
print("writes", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
'''

    def __init__(self, test, path):
        lmdb = ctypes.util.find_library('lmdb')
        if not lmdb:
            test.skipTest('there is no liblmdb for Python to load')
        self.process = subprocess.Popen([sys.executable, '-c', self.PROGRAM, lmdb, path], stdout=subprocess.PIPE)
        test.addCleanup(self.process.stdout.close)
        test.addCleanup(self.process.wait)
        test.addCleanup(self.process.kill)
        test.assertEqual(self.process.stdout.readline(), b'writes\n')
        self.stopped(test)

    def stopped(self, test):
        deadline = time.monotonic() + 20
        while b') T ' not in tool.read('/proc/%d/stat' % self.process.pid):
            test.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)


class Waits(tool.Shop):
    def hold(self, *path):
        file = open(os.path.join(self.store, *path), 'a+')
        self.addCleanup(file.close)
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def start(self, *argv, stdin=subprocess.DEVNULL):
        process = subprocess.Popen([tool.refold, *argv], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   start_new_session=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def a_stopped_follower(self):
        follower = self.start('follow', self.store)
        path = os.path.join(self.store, 'generations', 'order_summary', 'FOLLOW')
        deadline = time.monotonic() + 20
        while not os.path.exists(path) or b':%d ' % os.stat(path).st_ino not in tool.read('/proc/locks'):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        os.kill(follower.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, follower.pid, signal.SIGCONT)
        return follower

    def adds(self, n, *options):
        return ('import', self.store, '-', *options), {'stdin': lines(event('order-new-%d' % n, 'OrderPlaced', {'customer': 'c'}))}

    def test_the_log_does_not_wait_for_a_follower_that_is_stopped(self):
        self.a_stopped_follower()
        argv, how = self.adds(1, '--quiet')
        begun = time.monotonic()
        self.ok(*argv, **how)
        self.assertLess(time.monotonic() - begun, 2)

    def test_who_waits_for_a_follower_that_is_stopped_says_so_and_keeps_to_its_limit(self):
        follower = self.a_stopped_follower()
        argv, how = self.adds(1, '--apply', '--wait-lock', '3')
        result = self.gives(tool.LOCKED, *argv, **how)
        told, end = result.message.splitlines()
        for line in (told, end):
            self.assertIn('process %d (refold follow), which is stopped' % follower.pid, line)
        self.assertIn('order_summary is at position 7, not at 8', end)
        self.assertEqual(self.info()['position'], 8)
        self.assertEqual(self.info()['events'], 8)
        os.kill(follower.pid, signal.SIGCONT)
        self.ok('wait', self.store)
        self.assertIn(b'order-new-1', self.rows('order_summary'))

    def test_quiet_keeps_quiet_but_for_the_end(self):
        follower = self.a_stopped_follower()
        argv, how = self.adds(1, '--apply', '--wait-lock', '3', '--quiet')
        self.refuses(tool.LOCKED, ['process %d' % follower.pid], *argv, **how)

    def test_who_has_a_lock_is_told_after_two_seconds(self):
        self.hold('LOCK')
        result = self.gives(tool.LOCKED, 'rebuild', self.store, self.orders, '--wait-lock', '3')
        told, end = result.message.splitlines()
        for line in (told, end):
            self.assertIn('LOCK is locked by process %d (' % os.getpid(), line)
        self.assertNotIn('stopped', result.message)
        self.assertIn('waiting for 2 s: another rebuild', told)

    def test_who_has_a_lock_is_told_also_where_nobody_waits(self):
        self.hold('log', 'IMPORT')
        self.refuses(tool.LOCKED, ['another import', 'process %d (' % os.getpid()], 'import', self.store, '-', '--quiet')

    def ends_at_once(self, process, number, code):
        time.sleep(0.5)  # so that it waits
        self.assertIsNone(process.poll())
        begun = time.monotonic()
        os.kill(process.pid, number)
        self.assertEqual(tool.wait_for(process, 30), code)
        self.assertLess(time.monotonic() - begun, SOON)
        self.assertIn(b'interrupted', process.stderr.read())

    def test_a_signal_ends_a_wait_for_a_lock_at_once(self):
        held = self.hold('LOCK')
        for number, code, limit in (
            (signal.SIGINT, tool.INTERRUPTED, ()),
            (signal.SIGTERM, tool.TERMINATED, ()),
            (signal.SIGTERM, tool.TERMINATED, ('60',)),
        ):
            with self.subTest(number=number, limit=limit):
                self.ends_at_once(self.start('rebuild', self.store, self.orders, '--wait-lock', *limit), number, code)
        held.close()
        self.verifies()
        self.assertEqual(self.rebuild(self.orders)[0]['generation'], 2)

    def test_a_signal_ends_a_wait_for_who_follows_at_once(self):
        self.a_stopped_follower()
        process = self.start('import', self.store, self.path('a.jsonl', self.adds(1)[1]['stdin']), '--apply')
        self.ends_at_once(process, signal.SIGTERM, tool.TERMINATED)
        self.assertEqual(self.info()['events'], 8)

    def test_who_writes_and_is_stopped_is_named_and_no_longer_waited_for_than_told(self):
        writer = Writer(self, os.path.join(self.store, 'live'))
        begun = time.monotonic()
        result = self.gives(tool.LOCKED, 'rebuild', self.store, self.orders, '--wait-lock', '3')
        self.assertLess(time.monotonic() - begun, 15)
        told, end = result.message.splitlines()
        for line in (told, end):
            self.assertIn('process %d (' % writer.process.pid, line)
            self.assertIn('which is stopped', line)
            self.assertIn(os.path.join(self.store, 'live'), line)
        writer.process.kill()
        writer.process.wait()
        self.verifies()
        self.rebuild(self.orders)
        self.verifies()

    def test_a_signal_ends_a_wait_for_who_writes_at_once(self):
        writer = Writer(self, os.path.join(self.store, 'live'))
        self.ends_at_once(self.start('rebuild', self.store, self.orders), signal.SIGINT, tool.INTERRUPTED)
        writer.process.kill()
        writer.process.wait()
        self.rebuild(self.orders)
        self.verifies()

    def test_a_wait_for_events_that_are_not_there_yet_says_so(self):
        self.refuses(
            tool.UNREACHABLE, ['the log ends at position 7', '9'], 'wait', self.store, '--position', '9', '--timeout', '0.3'
        )
        waits = self.start('wait', self.store, '--position', '8', '--timeout', '60')
        time.sleep(2.7)
        argv, how = self.adds(1, '--apply', '--quiet')
        self.ok(*argv, **how)
        self.assertEqual(tool.wait_for(waits, 30), 0)
        self.assertIn(b'the log ends before position 8', waits.stderr.read())

    def test_a_wait_that_times_out_names_who_follows(self):
        argv, how = self.adds(1, '--quiet')
        self.ok(*argv, **how)
        self.refuses(tool.UNREACHABLE, ['does follow run?'], 'wait', self.store, '--timeout', '0.2')
        follower = self.a_stopped_follower()
        argv, how = self.adds(2, '--quiet')
        self.ok(*argv, **how)
        self.refuses(
            tool.UNREACHABLE,
            ['followed by process %d (refold follow), which is stopped' % follower.pid],
            *('wait', self.store, '--timeout', '0.2')
        )


tool.main(__name__)
