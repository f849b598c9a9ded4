"""Every call that changes a file fails once: the store opens after it, old or new state whole, and a
failure has a message.

shim.c counts the calls of a command and lets one of them fail (no space, input/output error once
or from then on, a short write) or kills the process there, before or right behind it. Behind it, beside another
process that has the store open: to LMDB's readers a commit whose process dies before it says so in the lock
file shows with the next write only, and until then the old state does. Or the power is cut there, or right behind the
command's end: what it had not synced by then is taken back. Afterwards, without faults: the store
verifies; its log is a prefix and holds what exit 0 acknowledged; the live rows are those of the
position that it names; the same command then succeeds. A failed command is not silent, and one
that exits 0 has done its work. By default a sample of the points that fits into a minute or so;
REFOLD_SOAK=1 takes all. Validated by hand: an exit code forced to 0, a message that is thrown
away, and a commit whose failure is ignored are each reported; of the cuts of power, that the log, base files, or
what is replaced by renaming are not synced.
"""

import errno
import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import story
import tool
from tool import event, lines

WRITES = 'pwrite,write,writev,pwritev'
SYNCS = 'fsync,fdatasync,msync'
SIZES = 'ftruncate,ftruncate64,posix_fallocate,posix_fallocate64,fallocate,fallocate64'
NAMES = 'mkdir,mkdirat,link,rename,renameat,unlink,unlinkat,rmdir'
OTHERS = 'open,mmap,copy_file_range,sendfile'
ALL = ','.join((WRITES, SYNCS, SIZES, NAMES, OTHERS))
FAULTS = (
    (WRITES, 'once', errno.ENOSPC),
    (WRITES, 'stick', errno.EIO),
    (WRITES, 'short', 0),
    (SYNCS, 'once', errno.EIO),
    (SYNCS, 'stick', errno.EIO),
    (SIZES, 'once', errno.ENOSPC),
    (NAMES, 'once', errno.ENOSPC),
    (NAMES, 'stick', errno.EROFS),
    ('open', 'once', errno.EMFILE),
    ('open', 'stick', errno.EACCES),
    ('mmap', 'once', errno.ENOMEM),
    ('copy_file_range,sendfile', 'once', errno.EIO),
    (ALL, 'kill', 0),
    (WRITES, 'die', 0),
    (ALL, 'lose', 0),
)
TINY = 'name "tiny" version (%d) columns { "n int" } on ("*", function (row, e) row.n = row.n + %d end)\n'
DIES = ('kill', 'die', 'lose')
GOES_ONCE = ('rollback', 'retire')  # what it did cannot be done again
POINTS = 1 << 30 if os.environ.get('REFOLD_SOAK') else 9  # of each command and fault


class Faults(tool.Case):
    FIRST, SECOND = 150, 300

    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get('REFOLD_SEED', '4')))
        self.shim = self.path('shim.so')
        subprocess.run(
            [
                'cc',
                '-std=gnu17',
                '-D_GNU_SOURCE',
                '-O1',
                '-shared',
                '-fPIC',
                '-o',
                self.shim,
                os.path.join(tool.HERE, 'fault', 'shim.c'),
                '-ldl',
            ],
            check=True,
        )
        self.preload = {
            'LD_PRELOAD': self.shim,
            # Named so by the loader of the sanitizers, which wants to come first.
            'ASAN_OPTIONS': 'verify_asan_link_order=0',
            'UNSYNCED_KEEP': self.path('kept'),
        }
        os.mkdir(self.path('kept'))
        self.log = story.make_log(self.SECOND)
        self.base = os.path.join(self.folder, 'base')
        self.place = story.Story(self, self.base, self.log)
        self.plugin = tool.projection(story.NAME)
        self.ok(
            'import', self.base, '-', '--quiet', '--partitions', '4', stdin=self.place.chunk(0, 100)
        )
        self.ok('rebuild', self.base, self.plugin, '--quiet')
        self.ok('import', self.base, '-', '--quiet', stdin=self.place.chunk(100, self.FIRST))
        self.ok('rebuild', self.base, self.plugin, '--quiet')

    def copy(self):
        shutil.rmtree(self.store, ignore_errors=True)
        tool.copy_store(self.base, self.store)

    def run_with(self, argv, stdin, **settings):
        environment = dict(self.preload, **{name: str(value) for name, value in settings.items()})
        return tool.call(*argv, stdin=stdin, env=environment, seconds=60)

    def points(self, argv, stdin, calls, mode):
        """Numbers of the calls to try: all, or the first and last and some between. Power is cut behind the
        last, too."""
        self.copy()
        count_file = self.path('count')
        result = self.run_with(argv, stdin, FAULT_CALLS=calls, FAULT_COUNT=count_file)
        self.assertEqual(result.code, 0, str(result))
        count = int(tool.read(count_file))
        count += mode == 'lose'
        if count <= POINTS:
            return count, range(1, count + 1)
        inner = self.random.sample(range(2, count), POINTS - 2)
        return count, sorted({1, count, *inner})

    def enumerate(self, command, done, stdin=b'', options=()):
        """Tries one command; `done(events, generation)` says whether a state is what exit 0
        promises.
        """
        argv, tried = (command, self.store, *options), 0
        for calls, mode, code in FAULTS:
            count, points = self.points(argv, stdin, calls, mode)
            for at in points:
                context = '%s: %s %s errno %d at call %d of %d' % (
                    command,
                    calls,
                    mode,
                    code,
                    at,
                    count,
                )
                with self.subTest(context):
                    self.one_point(
                        argv,
                        stdin,
                        done,
                        context,
                        FAULT_CALLS=calls,
                        FAULT_MODE=mode,
                        FAULT_ERRNO=code,
                        FAULT_AT=at,
                    )
                tried += 1
        print('%s: %d points' % (command, tried))

    def one_point(self, argv, stdin, done, context, **settings):
        self.copy()
        place = story.Story(self, self.store, self.log)
        place.folded = self.place.folded
        beside = self.hold_open() if settings['FAULT_MODE'] == 'die' else None
        try:
            self.try_point(place, argv, stdin, done, context, settings)
        finally:
            if beside:
                beside.kill()
                beside.wait()

    def hold_open(self):
        """A process that reads and has the store open, until it is killed."""
        beside = subprocess.Popen(
            [tool.refold, 'wait', self.store, '--position', '1000000', '--timeout', '300'],
            stderr=subprocess.DEVNULL,
        )
        locks = os.path.join(self.store, 'live', 'lock.mdb')
        while locks not in self.maps(beside.pid):
            self.assertIsNone(beside.poll())
        return beside

    def maps(self, pid):
        with open('/proc/%d/maps' % pid) as maps:
            return maps.read()

    def try_point(self, place, argv, stdin, done, context, settings):
        result = self.run_with(argv, stdin, **settings)
        context = '%s\n%s' % (context, result)
        if settings['FAULT_MODE'] in DIES:
            self.assertIn(result.code, (0, -9), context)
        else:
            self.assertIn(result.code, (0, tool.FAILED, tool.DAMAGED), context)
            if result.code:
                self.assertEqual(result.message.count('\n'), 1, 'a failure is one line: ' + context)
        events, generation = place.check(self.FIRST, 1, context)
        if result.code == 0:
            self.assertTrue(done(events, generation), 'exit 0, and it is not done: ' + context)
        again = tool.call(*argv, stdin=stdin)
        self.assertIn(
            again.code,
            (0, 1) if argv[0] in GOES_ONCE else (0,),
            'does not work again: %s\n%s' % (context, again),
        )
        events, generation = place.check(self.FIRST, 1, context + '\nand again')
        if argv[0] != 'rollback':
            self.assertTrue(done(events, generation), context)

    def test_import(self):
        self.enumerate(
            'import',
            lambda events, _: events == self.SECOND,
            options=('-', '--quiet'),
            stdin=self.place.chunk(0, self.SECOND),
        )

    def test_import_that_merges_small_segments(self):
        self.FIRST, self.base = 31, os.path.join(self.folder, 'small')
        for i in range(self.FIRST):
            self.ok(
                *('import', self.base, '-', '--quiet', '--partitions', '1'),
                stdin=self.place.chunk(i, i + 1)
            )
        self.ok('rebuild', self.base, self.plugin, '--quiet')
        segments = self.ok('info', self.base, '--json').json['segments']
        self.assertEqual(segments, self.FIRST, 'one more import makes them few')
        self.enumerate(
            'import',
            lambda events, _: events == 33,
            options=('-', '--quiet'),
            stdin=self.place.chunk(0, 33),
        )
        self.assertLess(self.ok('info', self.store, '--json').json['segments'], 4)

    def test_rebuild(self):
        self.enumerate(
            'rebuild',
            lambda _, generation: generation >= 3,
            options=(self.plugin, '--quiet', '--workers', '2'),
        )

    def test_rebuild_that_removes_old_generations(self):
        self.enumerate(
            'rebuild',
            lambda _, generation: generation >= 3,
            options=(self.plugin, '--quiet', '--keep', '1', '--workers', '0'),
        )

    def test_rebuild_whose_rows_leave_memory(self):
        self.enumerate(
            'rebuild',
            lambda _, generation: generation >= 3,
            options=(self.plugin, '--quiet', '--memory', '1M', '--workers', '256'),
        )

    def test_rebuild_that_writes_over_old_files(self):
        for _ in range(3):
            self.ok('rebuild', self.base, self.plugin, '--quiet')
        spares = os.path.join(self.base, 'generations', '.spare', story.NAME)
        self.assertEqual(os.listdir(spares), ['base-00.mdb'])
        self.enumerate(
            'rebuild',
            lambda _, generation: generation >= 6,
            options=(self.plugin, '--quiet', '--workers', '0'),
        )

    def test_rollback(self):
        self.enumerate('rollback', lambda _, generation: generation == 1, options=(story.NAME,))

    def colours(self):
        """Two versions of a read model of its own, of which one is kept beside the live one."""
        for version in (1, 2):
            self.path('tiny.lua', TINY % (version, version))
            self.ok('rebuild', self.base, self.path('tiny.lua'), '--quiet')

    def marks(self, member):
        listed = self.ok('generations', self.store, 'tiny', '--json').json['generations']
        return [g['number'] for g in listed if g[member]]

    def test_retire(self):
        self.colours()
        self.enumerate('retire', lambda *_: self.marks('colour') == [], options=('tiny@1',))

    def test_pin(self):
        self.colours()
        self.enumerate(
            'pin',
            lambda *_: self.marks('pinned') == [1],
            options=('tiny', '--generation', '1'),
        )

    def test_a_rollback_to_a_version_that_is_kept(self):
        self.colours()
        self.enumerate(
            'rollback',
            lambda *_: (self.marks('live'), self.marks('colour')) == ([1], [2]),
            options=('tiny',),
        )

    def test_repair(self):
        """All rows that were wrong are right, or none: the move is one transaction."""
        self.base = os.path.join(self.folder, 'wrong')
        plugin = tool.compile_plugin(self.path('moody.so'), MOODY=1, TYPE='Step1', FIELD='n')
        self.ok('import', self.base, '-', '--quiet', '--partitions', '4', stdin=self.place.chunk(0, 200))
        self.ok('rebuild', self.base, plugin, '--quiet', '--allow-missing', env={'MOOD': 'bad'})
        argv = ('repair', self.store, 'counting', '--all', '--quiet')
        self.copy()
        wrong = self.rows('counting')
        self.ok(*argv)
        right = self.rows('counting')
        self.assertNotEqual(wrong, right)
        for calls, mode, code in FAULTS:
            for at in self.points(argv, b'', calls, mode)[1]:
                with self.subTest('%s %s errno %d at call %d' % (calls, mode, code, at)):
                    self.copy()
                    result = self.run_with(
                        argv, b'', FAULT_CALLS=calls, FAULT_MODE=mode, FAULT_ERRNO=code, FAULT_AT=at
                    )
                    self.assertIn(result.code, (0, tool.FAILED, tool.DAMAGED, -9), str(result))
                    self.verifies()
                    rows = self.rows('counting')
                    self.assertIn(rows, (wrong, right), str(result))
                    self.assertTrue(result.code or rows == right, 'exit 0, and it is not done')
                    self.ok(*argv)
                    self.assertEqual(self.rows('counting'), right)
                    self.ok('verify', self.store, '--serial')

    def test_follow_that_merges(self):
        """The rows are those of before or of the end; whatever fails, one generation serves them."""
        self.base = os.path.join(self.folder, 'large')

        def steps(begin, end):
            made = [event('case-%d' % (i % 2400), 'Step%d' % (i % 3), {'n': i}) for i in range(begin, end)]
            return lines(*made)

        self.ok('import', self.base, '-', '--quiet', '--partitions', '4', stdin=steps(0, 2400))
        self.ok('rebuild', self.base, self.plugin, '--quiet')
        argv = ('follow', self.store, '--once', '--quiet', '--workers', '0')
        self.copy()
        before = self.rows(story.NAME)
        self.ok('import', self.base, '-', '--quiet', stdin=steps(2400, 3700))
        self.copy()
        self.ok(*argv)
        after = self.rows(story.NAME)
        for calls, mode, code in FAULTS:
            for at in self.points(argv, b'', calls, mode)[1]:
                with self.subTest('%s %s errno %d at call %d' % (calls, mode, code, at)):
                    self.copy()
                    result = self.run_with(
                        argv, b'', FAULT_CALLS=calls, FAULT_MODE=mode, FAULT_ERRNO=code, FAULT_AT=at
                    )
                    self.assertIn(result.code, (0, tool.FAILED, tool.DAMAGED, -9), str(result))
                    self.verifies()
                    rows = self.rows(story.NAME)
                    self.assertIn(rows, (before, after), str(result))
                    self.assertTrue(result.code or rows == after, 'exit 0, and it is not done')
                    self.ok(*argv)
                    self.assertEqual(self.rows(story.NAME), after)
                    self.assertGreater(self.live_number(), 1, 'the next run merges')
                    self.ok('gc', self.store, '--keep', '1')
                    self.verifies()

    def live_number(self):
        listed = self.ok('generations', self.store, '--json').json['generations']
        live = [g['number'] for g in listed if g['live']]
        self.assertEqual(len(live), 1)
        self.assertTrue(all('replaced_by' not in g for g in listed if g['live']))
        return live[0]

    def test_gc(self):
        self.enumerate('gc', lambda _, generation: generation == 2, options=('--keep', '1'))

    def test_who_follows_sees_what_a_process_committed_that_died_then(self):
        argv, stdin = ('import', self.store, '-', '--quiet'), self.place.chunk(0, self.SECOND)
        count, _ = self.points(argv, stdin, WRITES, 'die')
        committed = []
        for at in range(1, count + 1):
            if committed.count(True) == 2:
                break
            self.copy()
            follower = subprocess.Popen([tool.refold, 'follow', self.store, '--quiet'])
            try:
                locks = os.path.join(self.store, 'log', 'lock.mdb')
                while locks not in self.maps(follower.pid):
                    self.assertIsNone(follower.poll())
                died = self.run_with(
                    argv, stdin, FAULT_CALLS=WRITES, FAULT_MODE='die', FAULT_AT=at
                )
                self.assertEqual(died.code, -9)
                wait = ('wait', self.store, '--position', str(self.SECOND), '--timeout', '3')
                seen = tool.call(*wait).code == 0
                self.ok(*argv, stdin=self.place.chunk(0, 1))
                committed.append(self.ok('info', self.store, '--json').json['events'] == self.SECOND)
                self.assertEqual(seen, committed[-1], 'call %d of %d' % (at, count))
            finally:
                follower.kill()
                follower.wait()
        self.assertEqual(sorted(set(committed)), [False, True], 'it is about both')

    def test_a_new_store(self):
        """A store that never came to be: the same import makes it, or says why not."""
        stdin, argv = self.place.chunk(0, self.FIRST), (
            'import',
            self.store,
            '-',
            '--quiet',
            '--partitions',
            '4',
        )
        self.base = os.path.join(self.folder, 'nothing')
        for calls, mode, code in FAULTS:
            shutil.rmtree(self.store, ignore_errors=True)
            count_file = self.path('count')
            self.assertEqual(
                self.run_with(argv, stdin, FAULT_CALLS=calls, FAULT_COUNT=count_file).code, 0
            )
            count = int(tool.read(count_file)) + (mode == 'lose')
            for at in sorted(self.random.sample(range(1, count + 1), min(count, POINTS))):
                context = 'new store: %s %s errno %d at call %d of %d' % (
                    calls,
                    mode,
                    code,
                    at,
                    count,
                )
                with self.subTest(context):
                    shutil.rmtree(self.store, ignore_errors=True)
                    result = self.run_with(
                        argv,
                        stdin,
                        FAULT_CALLS=calls,
                        FAULT_MODE=mode,
                        FAULT_ERRNO=code,
                        FAULT_AT=at,
                    )
                    context += '\n%s' % result
                    self.assertIn(
                        result.code,
                        (0, -9) if mode in DIES else (0, tool.FAILED, tool.DAMAGED),
                        context,
                    )
                    if result.code > 0:
                        self.assertEqual(result.message.count('\n'), 1, context)
                    if result.code == 0:
                        position = self.ok('info', self.store, '--json').json['position']
                        self.assertEqual(position, self.FIRST, context)
                    again = tool.call(*argv, stdin=stdin)
                    self.assertEqual(
                        again.code, 0, 'cannot be made any more: %s\n%s' % (context, again)
                    )
                    place = story.Story(self, self.store, self.log)
                    self.assertEqual(place.check(self.FIRST, 0, context)[0], self.FIRST)


tool.main(__name__)
