"""export into files: what stands in them, that they appear whole, and what is refused."""

import csv
import fcntl
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Files(tool.Shop):
    def left_beside(self):
        return [n for n in os.listdir(self.folder) if n.endswith('.part')]

    def test_csv_and_json_lines_are_what_scan_prints(self):
        odd = 'say "hi", \r\n twice; Юлия \x01'
        self.import_lines(event('order,"4"', 'OrderPlaced', {'customer': odd}))
        self.rebuild('order_summary')
        for name, options in (
            ('o.csv', ('--format', 'csv')),
            ('o.jsonl', ()),
            ('o.NDJSON', ()),
        ):
            self.ok('export', self.store, 'order_summary', self.path(name), '--quiet')
            self.assertEqual(tool.read(self.path(name)), self.rows('order_summary', *options), name)
        table = list(csv.reader(io.StringIO(tool.read(self.path('o.csv')).decode(), newline='')))
        self.assertEqual(table[1][:2], ['order,"4"', odd])
        self.assertEqual(self.left_beside(), [])

    def test_the_report_names_what_was_published(self):
        path = self.path('o.csv')
        report = self.ok('export', self.store, 'order_summary', path, '--json').json
        model = report['models'][0]
        self.assertEqual(
            {k: model[k] for k in ('name', 'generation', 'rows', 'position', 'digest')},
            {
                'name': 'order_summary',
                'generation': self.first['generation'],
                'rows': 3,
                'position': 7,
                'digest': self.first['digest'],
            },
        )
        self.assertEqual(report['bytes'], os.path.getsize(path))
        line = self.ok('export', self.store, 'order_summary', path).lines[0]
        self.assertIn('order_summary generation 1: 3 rows at position 7 published to', line)

    def test_a_generation_can_be_named(self):
        before = self.rows('order_summary')
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.rebuild('order_summary')
        path = self.path('o.jsonl')
        self.ok('export', self.store, 'order_summary', path, '--generation', 1)
        self.assertEqual(tool.read(path), before)
        self.ok('export', self.store, 'order_summary', path)
        self.assertEqual(tool.read(path), self.rows('order_summary'))

    def test_who_has_the_old_file_open_reads_the_old_one(self):
        path = self.path('o.jsonl', b'old\n')
        with open(path, 'rb') as file:
            self.ok('export', self.store, 'order_summary', path)
            self.assertEqual(file.read(), b'old\n')

    def test_permissions_and_links_stay(self):
        path = self.path('real.csv', b'old')
        os.chmod(path, 0o640)
        os.symlink('real.csv', self.path('link.csv'))
        self.ok('export', self.store, 'order_summary', self.path('link.csv'))
        self.assertTrue(os.path.islink(self.path('link.csv')))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertTrue(tool.read(path).startswith(b'key,customer'))

    def test_what_a_killed_run_left_is_written_over(self):
        self.path('.o.csv.part', b'x' * 100000)
        self.ok('export', self.store, 'order_summary', self.path('o.csv'))
        self.assertEqual(self.left_beside(), [])
        self.assertEqual(tool.read(self.path('o.csv')), self.rows('order_summary', '--format', 'csv'))

    def test_two_exports_do_not_meet_in_one_file(self):
        with open(self.path('.o.csv.part'), 'wb') as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            self.refuses(
                tool.LOCKED,
                ['another export', 'o.csv'],
                'export',
                self.store,
                'order_summary',
                self.path('o.csv'),
            )
        self.assertFalse(os.path.exists(self.path('o.csv')))

    def test_what_is_refused_leaves_everything(self):
        path = self.path('o.csv', b'old')
        os.mkfifo(self.path('pipe.csv'))
        os.mkdir(self.path('dir.csv'))
        for code, words, operands in (
            (tool.FAILED, ['nothing_such'], ['nothing_such', path]),
            (tool.USAGE, ['one read model'], ['order_summary', 'case_summary', path]),
            (tool.USAGE, ['.csv', '--format'], ['order_summary', self.path('o.txt')]),
            (tool.USAGE, ['mysql', 'no read models can be published there'], ['order_summary', 'mysql://host/db']),
            (tool.USAGE, ['scan'], ['order_summary', '-']),
            (tool.FAILED, ['directory'], ['order_summary', self.path('dir.csv')]),
            (tool.FAILED, ['no regular file'], ['order_summary', self.path('pipe.csv')]),
            (tool.FAILED, ['No such file'], ['order_summary', self.path('no/where.csv')]),
            (tool.FAILED, ['generation 7'], ['order_summary', path, '--generation', 7]),
            (tool.USAGE, ['too few'], ['order_summary']),
        ):
            self.refuses(code, words, 'export', self.store, *operands)
        self.assertEqual(tool.read(path), b'old')
        self.assertEqual(self.left_beside(), [])

    def test_a_directory_that_may_not_be_written_is_one_clear_line(self):
        if os.geteuid() == 0:
            self.skipTest('root may write everywhere')
        os.mkdir(self.path('shut'), 0o500)
        self.refuses(
            tool.FAILED,
            ['Permission denied', 'nothing was written'],
            'export',
            self.store,
            'order_summary',
            self.path('shut/o.csv'),
        )

    def test_a_full_disk_leaves_the_old_file(self):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        disk = self.path('disk')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).returncode:
            self.skipTest('tmpfs cannot be mounted here')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        self.import_lines(
            *(event('order-%d' % i, 'OrderPlaced', {'customer': 'c'}) for i in range(10, 2000))
        )
        self.rebuild('order_summary')
        for name in ('o.csv', 'o.jsonl'):
            path = os.path.join(disk, name)
            with open(path, 'wb') as file:
                file.write(b'old')
            self.refuses(
                tool.FAILED, ['No space left', name], 'export', self.store, 'order_summary', path
            )
            self.assertEqual(tool.read(path), b'old')
        self.assertEqual(sorted(os.listdir(disk)), ['o.csv', 'o.jsonl'])


class Kills(tool.Case):
    """A run that is killed at any moment leaves the old file or the new one."""

    ROWS = 60000

    def setUp(self):
        super().setUp()
        self.import_lines(
            *(event('s-%d' % i, 'Noted', {'n': i}, time='2024-07-10T12:00:00Z') for i in range(self.ROWS))
        )
        self.rebuild(tool.projection('case_summary'))

    def start(self, path, *options):
        return subprocess.Popen(
            [tool.refold, 'export', self.store, 'case_summary', path, '--quiet', *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def test_kill_9_at_any_moment(self):
        path = self.path('o.jsonl', b'old')
        new = self.rows('case_summary')
        begin = time.monotonic()
        self.assertEqual(self.start(self.path('first.jsonl')).wait(), 0)
        took = time.monotonic() - begin
        killed = 0
        for i in range(12):
            process = self.start(path)
            time.sleep(took * (i + 1) / 14)
            process.kill()
            process.communicate()
            killed += process.returncode != 0
            self.assertIn(tool.read(path), (b'old', new))
        self.assertGreater(killed, 3)
        self.ok('export', self.store, 'case_summary', path, '--quiet')
        self.assertEqual(tool.read(path), new)
        self.assertEqual([n for n in os.listdir(self.folder) if n.endswith('.part')], [])

    def test_sigterm_is_143_and_removes_what_was_written(self):
        path = self.path('o.jsonl', b'old')
        interrupted = 0
        for i in range(8):
            process = self.start(path)
            time.sleep(0.004 * (i + 1))
            process.send_signal(signal.SIGTERM)
            err = process.communicate()[1].decode()
            if process.returncode == 0:
                continue
            self.assertIn(process.returncode, (tool.TERMINATED, -signal.SIGTERM), err)
            interrupted += process.returncode == tool.TERMINATED
            self.assertEqual(tool.read(path), b'old')
            self.assertEqual([n for n in os.listdir(self.folder) if n.endswith('.part')], [])
        self.assertGreater(interrupted, 0)


tool.main(__name__)
