"""The windows between two durable steps: what a store is like when the second never happened.

A commit of the log is followed by HEAD, a flip of the catalog by CURRENT, a creation by FORMAT, a
record of gc by the removal of its directory. Here the second step is made impossible (a folder
stands where the witness's temporary file would be) or undone, which is what a full disk or a
crash leaves; then readers, and the next command, are tried.
"""

import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines


class Windows(tool.Shop):
    def in_store(self, *path):
        return os.path.join(self.store, *path)

    def block(self, *path):
        """Makes the next replacement of a file fail; gives the function that lets it be again."""
        folder = self.in_store(*path[:-1], path[-1] + '.tmp')
        os.mkdir(folder)
        return lambda: os.rmdir(folder)

    def more(self, count, first=0):
        return [event('more-%d' % i, 'Noted', {'n': i}) for i in range(first, first + count)]

    def test_head_cannot_be_written_after_the_commit(self):
        release = self.block('log', 'HEAD')
        before, whole = len(self.EVENTS), len(self.EVENTS) + 3
        failed = self.refuses(
            tool.FAILED,
            ['HEAD', '3 events were added', 'position %d' % whole],
            *('import', self.store, '-', '--quiet'),
            stdin=lines(*self.more(3))
        )
        self.assertNotIn('nothing of this batch', failed.message)
        # the message says what is so: the events are there, for readers too
        self.assertEqual(self.info()['position'], whole)
        self.assertEqual(self.rebuild(self.orders, options=['--full'])[0]['events'], before)
        self.verifies()
        self.refuses(tool.FAILED, ['HEAD'], 'import', self.store, '-', '--quiet', stdin=b'')
        release()
        self.import_lines()
        head = tool.read(self.in_store('log', 'HEAD'))
        self.assertIn(b'position %d\n' % whole, head, 'the next import renews the witness')

    def test_current_cannot_be_written_after_the_flip(self):
        release = self.block('live', 'CURRENT')
        words = ['CURRENT', 'the swap is done']
        self.refuses(tool.FAILED, words, 'rebuild', self.store, self.orders, '--quiet')
        live = self.ok('status', self.store, '--json').json
        self.assertEqual(live['models'][0]['generation'], 2)
        self.assertEqual(self.ok('get', self.store, 'order_summary', 'order-1').out, self.ROW)
        self.verifies()
        self.refuses(tool.FAILED, words, 'rollback', self.store, 'order_summary')
        release()
        self.ok('swap', self.store, 'order_summary', '--generation', '2')
        self.assertIn(b'order_summary 2 ', tool.read(self.in_store('live', 'CURRENT')))

    def test_a_store_that_lost_its_format_is_not_made_anew(self):
        format = self.in_store('FORMAT')
        os.rename(format, self.path('kept'))
        self.refuses(
            tool.DAMAGED,
            ['FORMAT', 'nothing was changed'],
            *('import', self.store, '-', '--quiet'),
            stdin=lines(*self.more(1))
        )
        self.refuses(tool.FAILED, [self.store], 'info', self.store)
        os.rename(self.path('kept'), format)
        self.assertEqual(self.info()['events'], len(self.EVENTS))
        self.verifies()

    def test_a_creation_that_was_interrupted_is_completed(self):
        other = self.path('other.refold')
        self.ok('import', other, '-', '--quiet', stdin=b'')
        for lost in (['FORMAT'], ['live', 'generations'], ['log/HEAD'], ['log'], []):
            for part in lost:
                path = os.path.join(other, part)
                (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
            if 'FORMAT' not in lost and os.path.exists(os.path.join(other, 'FORMAT')):
                os.unlink(os.path.join(other, 'FORMAT'))
            with self.subTest(lost=lost):
                self.refuses(tool.FAILED, ['interrupted'], 'info', other)
                self.ok('import', other, '-', '--quiet', stdin=lines(*self.more(0)))
                self.ok('verify', other)

    def test_a_record_gone_and_its_directory_left(self):
        # what a gc that was killed leaves: the next rebuild clears it before it needs the room
        left = self.in_store('generations', 'order_summary', '000001')
        kept = self.path('kept')
        self.rebuild(self.orders)
        subprocess.run(['cp', '-a', left, kept], check=True)
        self.ok('gc', self.store, '--keep', '1')
        shutil.move(kept, left)
        self.assertEqual(self.rebuild(self.orders, options=['--no-swap'])[0]['generation'], 3)
        self.assertFalse(os.path.exists(left), 'leftovers go at the start of a rebuild')
        self.verifies()

    def test_events_of_a_pipe_that_pauses_are_committed(self):
        feed = subprocess.Popen(
            [tool.refold, 'import', self.store, '-', '--quiet'], stdin=subprocess.PIPE
        )
        try:
            feed.stdin.write(lines(*self.more(2)))
            feed.stdin.flush()
            deadline, whole = time.monotonic() + 20, len(self.EVENTS) + 2
            while self.info()['position'] < whole and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertEqual(self.info()['position'], whole, 'a batch is open for a second at most')
        finally:
            feed.stdin.close()
            self.assertEqual(feed.wait(60), 0)

    def test_an_atomic_import_from_a_pipe_that_pauses_waits_for_its_end(self):
        feed = subprocess.Popen(
            [tool.refold, 'import', self.store, '-', '--quiet', '--atomic'], stdin=subprocess.PIPE
        )
        try:
            feed.stdin.write(lines(*self.more(2)))
            feed.stdin.flush()
            time.sleep(2.5)
            self.assertEqual(self.info()['position'], len(self.EVENTS))
        finally:
            feed.stdin.close()
            self.assertEqual(feed.wait(60), 0)
        self.assertEqual(self.info()['position'], len(self.EVENTS) + 2)


tool.main(__name__)
