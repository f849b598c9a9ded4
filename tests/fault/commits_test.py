"""A commit is written while an import goes on: what becomes of it is told, and nothing after it is kept
where it failed.

The events come from a pipe in pieces, neither so slowly that the import waits nor so fast that it ends
before its first batch, which is open for a second. Then the disk fails below the commit, a line is
refused behind it, or the process dies in it. Validated by hand: a commit whose failure is not asked for,
and a HEAD that is not raised, each fail it.
"""

import errno
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

PIECE = 120  # events
PIECES = 24
PAUSE_SECONDS = 0.12  # 512 KiB, a block, in two thirds of a second


class Commits(tool.Case):
    def setUp(self):
        super().setUp()
        self.shim = self.path('shim.so')
        source = os.path.join(tool.HERE, 'fault', 'shim.c')
        subprocess.run(
            'cc -std=gnu17 -D_GNU_SOURCE -O1 -shared -fPIC -o'.split()
            + [self.shim, source, '-ldl'],
            check=True,
        )
        self.ok('import', self.store, '-', '--quiet', stdin=lines(event('first', 'Began')))

    def pieces(self):
        for piece in range(PIECES):
            events = range(piece * PIECE, (piece + 1) * PIECE)
            yield lines(*(event('s-%d' % (i % 50), 'Grew', {'n': i, 't': 'x' * 1000}) for i in events))

    def feed(self, last=b'', **settings):
        """What an import of the pieces gives, and of `last`."""
        environment = dict(os.environ, **{name: str(value) for name, value in settings.items()})
        if settings:
            # Named so by the loader of the sanitizers, which wants to come first.
            environment.update(LD_PRELOAD=self.shim, ASAN_OPTIONS='verify_asan_link_order=0')
        child = subprocess.Popen(
            [tool.refold, 'import', self.store, '-', '--quiet'],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        try:
            for piece in self.pieces():
                child.stdin.write(piece)
                child.stdin.flush()
                time.sleep(PAUSE_SECONDS)
            child.stdin.write(last)
            child.stdin.close()
        except BrokenPipeError:
            pass  # it ended before
        message = child.stderr.read().decode()
        child.stderr.close()
        return child.wait(60), message

    def position(self):
        position = self.info()['position']
        self.verifies()
        return position

    def test_a_failed_one_is_the_failure_of_the_import(self):
        for call in ('fdatasync', 'pwrite,writev,pwritev'):
            code, message = self.feed(
                FAULT_CALLS=call, FAULT_MODE='once', FAULT_ERRNO=errno.EIO, FAULT_AT=1
            )
            self.assertEqual(code, tool.FAILED, message)
            self.assertEqual(message.count('\n'), 1, message)
            self.assertIn('nothing was added, the store is at position 1', message)
            self.assertEqual(self.position(), 1, message)
        self.assertEqual(self.feed(), (0, ''))
        self.assertEqual(self.position(), 1 + PIECES * PIECE)

    def test_a_line_that_is_refused_behind_one_leaves_what_it_has(self):
        code, message = self.feed(last=b'{"stream":"bad","type":"T","version":7,"data":{}}\n')
        self.assertEqual(code, tool.FAILED, message)
        self.assertIn('it begins at version 7', message)
        position = self.position()
        self.assertGreater(position, 1, 'a batch is open for a second at most')
        self.assertIn('up to position %d, and none after' % position, message)

    def test_a_death_in_one_leaves_whole_batches(self):
        for at in (1, 2, 3):
            before = self.position()
            code, message = self.feed(
                FAULT_CALLS='fdatasync,fsync,renameat,rename', FAULT_MODE='kill', FAULT_AT=at
            )
            self.assertEqual(code, -9, message)
            self.assertGreaterEqual(self.position(), before)
        before = self.position()
        self.assertEqual(self.feed(), (0, ''))
        self.assertEqual(self.position(), before + PIECES * PIECE)


tool.main(__name__)
