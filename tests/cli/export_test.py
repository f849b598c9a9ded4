"""export into files: what stands in them, that they appear whole, and what is refused."""

import csv
import fcntl
import io
import json
import os
import signal
import sqlite3
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
        os.symlink('nowhere.csv', self.path('link.csv'))
        os.mkdir(self.path('dir.csv'))
        for code, words, operands in (
            (tool.FAILED, ['nothing_such'], ['nothing_such', path]),
            (tool.USAGE, ['one read model'], ['order_summary', 'case_summary', path]),
            (tool.USAGE, ['.csv', '.sqlite', '--format'], ['order_summary', self.path('o.txt')]),
            (tool.USAGE, ['mysql', 'no read models can be published there'], ['order_summary', 'mysql://host/db']),
            (tool.USAGE, ['scan'], ['order_summary', '-']),
            (tool.FAILED, ['directory'], ['order_summary', self.path('dir.csv')]),
            (tool.FAILED, ['link.csv', 'a link to what is not there'], ['order_summary', self.path('link.csv')]),
            (tool.FAILED, ['no regular file'], ['order_summary', self.path('pipe.csv')]),
            (tool.FAILED, ['No such file'], ['order_summary', self.path('no/where.csv')]),
            (tool.FAILED, ['generation 7'], ['order_summary', path, '--generation', 7]),
            (tool.USAGE, ['too few'], ['order_summary']),
            (tool.USAGE, ['--all takes no NAME'], ['order_summary', path, '--all']),
        ):
            self.refuses(code, words, 'export', self.store, *operands)
        self.assertEqual(tool.read(path), b'old')
        self.assertTrue(os.path.islink(self.path('link.csv')))
        self.assertFalse(os.path.exists(self.path('nowhere.csv')))
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


class Sqlite(tool.Shop):
    """A finished file: typed, indexed, with its pointers, put in place at once."""

    def setUp(self):
        super().setUp()
        self.file = self.path('models.sqlite')

    def export(self, *names, options=()):
        return self.ok('export', self.store, *names, self.file, '--quiet', '--json', *options).json

    def ask(self, text, path=None):
        db = sqlite3.connect('file:%s?mode=ro' % (path or self.file), uri=True)
        try:
            return db.execute(text).fetchall()
        finally:
            db.close()

    def test_rows_keys_and_pointer(self):
        report = self.export('order_summary')
        self.assertEqual(report['bytes'], os.path.getsize(self.file))
        db = sqlite3.connect(self.file)
        db.row_factory = sqlite3.Row
        seen = [dict(r) for r in db.execute('SELECT * FROM order_summary ORDER BY key')]
        db.close()
        rows = [json.loads(line) for line in self.rows('order_summary').decode().splitlines()]
        self.assertEqual(seen, rows)
        self.assertEqual(
            self.ask('SELECT name, generation, version, position, digest, rows FROM refold_published'),
            [('order_summary', 1, 1, 7, self.first['digest'], 3)],
        )
        self.assertEqual(self.ask('PRAGMA integrity_check'), [('ok',)])
        self.assertEqual(self.ask('PRAGMA journal_mode'), [('delete',)])
        plan = self.ask("EXPLAIN QUERY PLAN SELECT * FROM order_summary WHERE key = 'order-1'")
        self.assertIn('USING PRIMARY KEY', str(plan))

    def test_every_kind_tuple_keys_and_indexes(self):
        self.store = self.path('kinds.refold')
        self.import_lines(
            event('a', 'Put', {'k': {'x': 'w'}, 'id': 7, 'd': '12.50', 'f': 0.5, 'b': True, 's': 'ü',
                               't': '2024-07-10T12:00:00.25Z', 'j': {'a': [1]}}),
            event('b', 'Put', {'k': {'x': 'v'}, 'id': -7}),
        )  # fmt: skip
        self.rebuild(
            self.path(
                'kinds.lua',
                'name "kinds"\nversion (1)\nkey { "k.x text", "id int" }\nindex { "s", "id" }\n'
                'columns { "id int", "d decimal(2)", "f float", "b bool", "s text", "t time", "j json", "day date" }\n'
                'on ("Put", { "k.x text", "id int", "d decimal(2)?", "f float?", "b bool?", "s text?",'
                ' "t time?", "j json?" }, function (row, e)\n'
                '  row.id, row.d, row.f, row.b, row.s, row.t, row.j = e.id, e.d, e.f, e.b, e.s, e.t, e.j\n'
                '  if e.t then row.day = date (e.t) end\nend)\n',
            )
        )
        self.export('kinds')
        self.assertEqual(
            self.ask('SELECT * FROM kinds ORDER BY k_x'),
            [
                ('v', -7, -7, 0, 0.0, 0, None, None, None, None),
                ('w', 7, 7, 12.5, 0.5, 1, 'ü', '2024-07-10T12:00:00.250000Z', '{"a":[1]}', '2024-07-10'),
            ],
        )
        types = [(r[1], r[2]) for r in self.ask('PRAGMA table_info(kinds)')]
        self.assertEqual(
            types[:7],
            [('k_x', 'TEXT'), ('key_id', 'INTEGER'), ('id', 'INTEGER'), ('d', 'NUMERIC'), ('f', 'REAL'),
             ('b', 'BOOLEAN'), ('s', 'TEXT')],
        )  # fmt: skip
        plan = self.ask("EXPLAIN QUERY PLAN SELECT * FROM kinds WHERE s = 'ü' AND id = 7")
        self.assertIn('kinds_index_1 (s=? AND id=?)', str(plan))
        self.assertTrue(self.ask("SELECT stat FROM sqlite_stat1 WHERE tbl = 'kinds'"))

    def test_decimals_are_exact_or_refused_or_texts(self):
        self.store = self.path('money.refold')
        self.import_lines(*(event('m-%d' % i, 'Put', {'d': d}) for i, d in enumerate(
            ('0.01', '-9999999999999.99', '9999999999999.99', '0.10', '1234567890123.45'))))  # fmt: skip
        lua = self.path(
            'money.lua',
            'name "money"\nversion (1)\ncolumns { "d decimal(2)" }\n'
            'on ("Put", { "d decimal(2)" }, function (row, e) row.d = e.d end)\n',
        )
        self.rebuild(lua)
        self.export('money')
        self.assertEqual(
            [r[0] for r in self.ask("SELECT printf('%.2f', d) FROM money ORDER BY key")],
            ['0.01', '-9999999999999.99', '9999999999999.99', '0.10', '1234567890123.45'],
        )
        before = tool.read(self.file)
        self.import_lines(event('m-9', 'Put', {'d': '10000000000000.00'}))
        self.rebuild('money')
        self.refuses(
            tool.FAILED, ['money', 'column d', '15 digits', '--decimals text'],
            'export', self.store, 'money', self.file, '--quiet',
        )  # fmt: skip
        self.assertEqual(tool.read(self.file), before)
        self.export('money', options=('--decimals', 'text'))
        self.assertEqual(
            self.ask("SELECT d FROM money WHERE key IN ('m-9', 'm-3') ORDER BY key"),
            [('0.10',), ('10000000000000.00',)],
        )

    def test_several_read_models_are_of_one_publication(self):
        self.rebuild(tool.projection('case_summary'))
        self.export('--all')
        self.assertEqual(len(self.ask('SELECT * FROM refold_published')), 2)
        self.refuses(
            tool.REFUSED, ['case_summary', '--replace'],
            'export', self.store, 'order_summary', self.file, '--quiet',
        )  # fmt: skip
        self.assertEqual(len(self.ask('SELECT * FROM refold_published')), 2)
        self.export('order_summary', options=('--replace',))
        self.assertEqual(len(self.ask('SELECT * FROM refold_published')), 1)

    def test_an_open_handle_sees_the_old_rows_and_a_new_one_the_new(self):
        self.export('order_summary')
        old = sqlite3.connect('file:%s?mode=ro' % self.file, uri=True)
        self.addCleanup(old.close)
        count = 'SELECT count(*), (SELECT generation FROM refold_published) FROM order_summary'
        self.assertEqual(old.execute(count).fetchall(), [(3, 1)])
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.rebuild('order_summary')
        self.export('order_summary')
        self.assertEqual(old.execute(count).fetchall(), [(3, 1)])
        self.assertEqual(self.ask(count), [(4, 2)])
        self.assertEqual(old.execute('PRAGMA integrity_check').fetchall(), [('ok',)])

    def test_what_is_somebody_elses_is_not_replaced(self):
        db = sqlite3.connect(self.file)
        db.execute('CREATE TABLE mine (n)')
        db.commit()
        db.close()
        before = tool.read(self.file)
        argv = ('export', self.store, 'order_summary', self.file, '--quiet')
        self.refuses(tool.REFUSED, ['refold did not write', '--replace'], *argv)
        self.path('models.sqlite', b'no database at all')
        self.refuses(tool.REFUSED, ['refold did not write'], *argv)
        with open(self.file, 'wb') as file:
            file.write(before)
        for end in ('-wal', '-journal'):
            self.path('models.sqlite' + end, b'x')
            self.refuses(tool.REFUSED, [end, 'writes to the database'], *argv, '--replace')
            os.remove(self.file + end)
        self.assertEqual(tool.read(self.file), before)
        self.ok(*argv, '--replace')
        self.assertEqual(len(self.ask('SELECT * FROM order_summary')), 3)

    def test_names_by_which_it_is_known_and_names_that_are_kept(self):
        for name in ('a.db', 'b.sqlite3', 'c.SQLITE'):
            self.ok('export', self.store, 'order_summary', self.path(name), '--quiet')
            self.assertEqual(len(self.ask('SELECT * FROM order_summary', self.path(name))), 3)
        for target in ('sqlite:' + self.path('d'), self.path('e')):
            options = () if target.startswith('sqlite:') else ('--format', 'sqlite')
            self.ok('export', self.store, 'order_summary', target, '--quiet', *options)
        self.assertEqual(len(self.ask('SELECT * FROM order_summary', self.path('d'))), 3)
        self.assertEqual(len(self.ask('SELECT * FROM order_summary', self.path('e'))), 3)
        for name in ('sqlite_x', 'refold_published'):
            self.rebuild(
                self.path(
                    'p.lua',
                    'name "%s"\nversion (1)\ncolumns { "a text" }\n'
                    'on ("OrderPlaced", {}, function (row, e) row.a = "x" end)\n' % name,
                )
            )
            self.refuses(tool.FAILED, [name, 'keeps'], 'export', self.store, name, self.file, '--quiet')
        self.rebuild(
            self.path(
                'p.lua',
                'name "order"\nversion (1)\nkey { "stream", \'"a; b" text\' }\ncolumns { "group text" }\n'
                'no_key "ignore"\n'
                'on ("OrderPlaced", { \'"a; b" text as x\' }, function (row, e) row.group = e.x end)\n',
            ),
            options=('--allow-missing', '--min-rows', '0'),
        )
        self.export('order')
        self.assertEqual(self.ask('SELECT "group", a__b FROM "order"'), [])

    def test_a_full_disk_leaves_the_old_file(self):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        disk = self.path('disk')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk]).returncode:
            self.skipTest('tmpfs cannot be mounted here')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        self.file = os.path.join(disk, 'm.sqlite')
        self.export('order_summary')
        before = tool.read(self.file)
        self.import_lines(
            *(event('order-%d' % i, 'OrderPlaced', {'customer': 'c'}) for i in range(10, 4000))
        )
        self.rebuild('order_summary')
        self.refuses(
            tool.FAILED, ['No space left', 'm.sqlite'],
            'export', self.store, 'order_summary', self.file, '--quiet',
        )  # fmt: skip
        self.assertEqual(tool.read(self.file), before)
        self.assertEqual(os.listdir(disk), ['m.sqlite'])


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
        for i in range(200):
            if interrupted == 3:
                break
            process = self.start(path)
            # until it writes: then the signal finds it at work
            while process.poll() is None and not os.path.exists(self.path('.o.jsonl.part')):
                time.sleep(0.0005)
            time.sleep(0.001 * (i % 8))
            process.send_signal(signal.SIGTERM)
            err = process.communicate()[1].decode()
            if process.returncode == 0:
                self.path('o.jsonl', b'old')
                continue
            self.assertEqual(process.returncode, tool.TERMINATED, err)
            interrupted += 1
            self.assertEqual(tool.read(path), b'old')
            self.assertEqual([n for n in os.listdir(self.folder) if n.endswith('.part')], [])
        self.assertEqual(interrupted, 3)


tool.main(__name__)
