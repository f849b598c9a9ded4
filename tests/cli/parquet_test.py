"""export into Parquet files: what DuckDB reads there is what scan prints, and files appear whole.

DuckDB's library is the one that REFOLD_DUCKDB_LIBRARY names, or that bench/run.sh has installed. It writes and, called
from here, reads.
"""

import ctypes
import decimal
import glob
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


def find_library():
    cache = os.environ.get('REFOLD_BENCH_CACHE', os.path.join(tool.ROOT, '.cache', 'bench'))
    for path in (
        os.environ.get('REFOLD_DUCKDB_LIBRARY', ''),
        *glob.glob(os.path.join(cache, 'duckdb', 'node_modules', '@duckdb', '*', 'libduckdb.so')),
    ):
        if os.path.exists(path):
            return path
    return None


LIBRARY = find_library()


class Result(ctypes.Structure):
    _fields_ = [('inside', ctypes.c_uint64 * 16)]


class Duck:
    """One connection to a database in memory; values come as text."""

    def __init__(self):
        self.lib = ctypes.CDLL(LIBRARY)
        self.db, self.con = ctypes.c_void_p(), ctypes.c_void_p()
        assert self.lib.duckdb_open(None, ctypes.byref(self.db)) == 0
        assert self.lib.duckdb_connect(self.db, ctypes.byref(self.con)) == 0
        self.lib.duckdb_result_error.restype = ctypes.c_char_p
        self.lib.duckdb_value_varchar.restype = ctypes.c_void_p
        for name in ('column_count', 'row_count'):
            getattr(self.lib, 'duckdb_' + name).restype = ctypes.c_uint64

    def close(self):
        self.lib.duckdb_disconnect(ctypes.byref(self.con))
        self.lib.duckdb_close(ctypes.byref(self.db))

    def value(self, result, row, column):
        at = self.lib.duckdb_value_varchar(ctypes.byref(result), ctypes.c_uint64(column), ctypes.c_uint64(row))
        if not at:
            return None
        text = ctypes.string_at(at).decode()
        self.lib.duckdb_free(ctypes.c_void_p(at))
        return text

    def ask(self, sql):
        result = Result()
        if self.lib.duckdb_query(self.con, sql.encode(), ctypes.byref(result)) != 0:
            raise AssertionError(self.lib.duckdb_result_error(ctypes.byref(result)).decode())
        columns = range(self.lib.duckdb_column_count(ctypes.byref(result)))
        rows = range(self.lib.duckdb_row_count(ctypes.byref(result)))
        out = [tuple(self.value(result, r, c) for c in columns) for r in rows]
        self.lib.duckdb_destroy_result(ctypes.byref(result))
        return out


class Parquet(tool.Shop):
    def setUp(self):
        super().setUp()
        self.duck = Duck()
        self.addCleanup(self.duck.close)
        self.file = self.path('m.parquet')
        self.env = {'REFOLD_DUCKDB_LIBRARY': LIBRARY}

    def export(self, name, *options, path=None):
        return self.ok('export', self.store, name, path or self.file, '--quiet', '--json', *options, env=self.env).json

    def ask(self, sql, path=None):
        return self.duck.ask(sql.replace('$', "'%s'" % (path or self.file).replace("'", "''")))

    def types(self):
        return [r[:2] for r in self.ask('DESCRIBE SELECT * FROM $')]

    def test_rows_and_facts_are_those_of_the_generation(self):
        report = self.export('order_summary')
        self.assertEqual(report['bytes'], os.path.getsize(self.file))
        rows = self.ask(
            'SELECT key, customer, status, items, total, epoch_us(placed_at), epoch_us(last_at), events FROM $'
        )
        seen = [json.loads(line) for line in self.rows('order_summary').decode().splitlines()]
        self.assertEqual([r[0] for r in rows], [r['key'] for r in seen])
        self.assertEqual(rows[0], ('order-1', 'c-1', 'ItemRemoved', '2', '249', '1720612800000000', '1720612804000000', '4'))
        facts = dict(self.ask('SELECT key::VARCHAR, value::VARCHAR FROM parquet_kv_metadata($)'))
        self.assertEqual(
            facts,
            {
                'refold_name': 'order_summary',
                'refold_generation': '1',
                'refold_version': '1',
                'refold_position': '7',
                'refold_rows': '3',
                'refold_digest': self.first['digest'],
            },
        )
        self.assertEqual(self.ask('SELECT DISTINCT compression FROM parquet_metadata($)'), [('ZSTD',)])

    def test_every_kind_tuple_keys_and_nulls(self):
        self.store = self.path('kinds.refold')
        self.import_lines(
            event('a', 'Put', {'k': {'x': 'w'}, 'id': 7, 'd': '12.50', 'f': 0.1, 'b': True, 's': 'ü \u0000 "x"',
                               't': '2024-07-10T12:00:00.25Z', 'j': {'a': [1]}}),
            event('b', 'Put', {'k': {'x': 'v'}, 'id': -7}),
            event('c', 'Put', {'k': {'x': 'v'}, 'id': -8, 't': '1700-01-01T00:00:00Z'}),
            event('d', 'Put', {'k': {'x': 'v'}, 'id': 9, 't': '2255-01-01T00:00:00.000001Z'}),
        )  # fmt: skip
        self.rebuild(
            self.path(
                'kinds.lua',
                'name "kinds"\nversion (1)\nkey { "k.x text", "id int" }\n'
                'columns { "id int", "d decimal(2)", "f float", "b bool", "s text", "t time", "j json", "day date",'
                ' "l list(n int)" }\n'
                'on ("Put", { "k.x text", "id int", "d decimal(2)?", "f float?", "b bool?", "s text?",'
                ' "t time?", "j json?" }, function (row, e)\n'
                '  row.id, row.d, row.f, row.b, row.s, row.t, row.j = e.id, e.d, e.f, e.b, e.s, e.t, e.j\n'
                '  if e.b then row.l[1] = { n = 1 } end\n'
                '  if e.t then row.day = date (e.t) end\nend)\n',
            )
        )
        self.export('kinds')
        self.assertEqual(
            self.types(),
            [('k_x', 'VARCHAR'), ('key_id', 'BIGINT'), ('id', 'BIGINT'), ('d', 'DECIMAL(19,2)'), ('f', 'DOUBLE'),
             ('b', 'BOOLEAN'), ('s', 'VARCHAR'), ('t', 'TIMESTAMP WITH TIME ZONE'), ('j', 'JSON'), ('day', 'DATE'),
             ('l', 'JSON')],
        )  # fmt: skip
        seen = [json.loads(line) for line in self.rows('kinds').decode().splitlines()]
        self.assertEqual(len(seen), 4)
        got = self.ask(
            "SELECT k_x, key_id, id, d, f, b, s = 'ü ' || chr(0) || ' \"x\"', epoch_us(t), j::VARCHAR, day, l::VARCHAR FROM $"
        )
        self.assertEqual(
            got,
            [
                ('v', '-8', '-8', '0.00', '0.0', 'false', None, '-8520336000000000', None, '1700-01-01', '[]'),
                ('v', '-7', '-7', '0.00', '0.0', 'false', None, None, None, None, '[]'),
                ('v', '9', '9', '0.00', '0.0', 'false', None, '8993721600000001', None, '2255-01-01', '[]'),
                ('w', '7', '7', '12.50', '0.1', 'true', 'true', '1720612800250000', '{"a":[1]}', '2024-07-10',
                 '[{"n":1}]'),
            ],
        )  # fmt: skip

    def test_decimals_of_64_bits_are_exact(self):
        self.store = self.path('sums.refold')
        most = 2**53 - 1
        self.import_lines(
            *(event('s', 'Paid', {'k': 'up' if i < 1024 else 'down', 'n': most if i < 1024 else -most})
              for i in range(2048))
        )  # fmt: skip
        self.rebuild(
            self.path(
                'sums.lua',
                'name "sums"\nversion (1)\nkey "k text"\ncolumns { "a int", "b decimal(2)", "c decimal(18)" }\n'
                'combine { a = "sum", b = "sum", c = "sum" }\n'
                'on ("Paid", { "k text", "n int" }, function (row, e)\n'
                '  row.a, row.b, row.c = row.a + e.n, row.b + e.n, row.c + e.n\nend)\n',
            )
        )
        self.export('sums')
        total = decimal.Decimal(1024 * most)
        self.assertEqual(
            [tuple(map(decimal.Decimal, r)) for r in self.ask('SELECT a, b, c FROM $')],
            [(s * total, s * total / 100, s * total.scaleb(-18)) for s in (-1, 1)],
        )

    def test_more_rows_than_a_group_keep_their_order(self):
        count = 130000
        self.import_lines(
            *(event('s-%d' % i, 'Noted', {'n': i}, time='2024-07-10T12:00:00Z') for i in range(count))
        )
        self.rebuild(tool.projection('case_summary'))
        self.export('case_summary')
        self.assertGreater(int(self.ask('SELECT max(row_group_id) FROM parquet_metadata($)')[0][0]), 0)
        self.assertEqual(
            self.ask(
                'SELECT count(*), count(DISTINCT key), count(*) FILTER (key <= before) FROM'
                ' (SELECT key, lag(key) OVER (ORDER BY file_row_number) AS before'
                ' FROM read_parquet($, file_row_number = true))'
            ),
            [(str(count + 3),) * 2 + ('0',)],
        )

    def test_wide_rows_do_not_stay_in_memory(self):
        with open(tool.refold, 'rb') as file:
            if b'__asan_' in file.read():
                self.skipTest("a sanitizer's memory has no such limit")
        self.store, count, size = self.path('wide.refold'), 3200, 100000
        for part in range(4):
            self.import_lines(
                *(event('w-%d-%d' % (part, i), 'Put', {'s': '%08d' % i * (size // 8)}) for i in range(count // 4))
            )
        self.rebuild(
            self.path(
                'wide.lua',
                'name "wide"\nversion (1)\ncolumns { "s text" }\n'
                'on ("Put", { "s text" }, function (row, e) row.s = e.s end)\n',
            )
        )
        # What is written to; the store's pages, which are mapped, do not count.
        limit = count * size * 3 // 4
        subprocess.run(
            [tool.refold, 'export', self.store, 'wide', self.file, '--quiet', '--json'],
            env=dict(os.environ, **self.env),
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            check=True,
        )
        self.assertEqual(self.ask('SELECT count(*), min(length(s)) FROM $'), [(str(count), str(size))])

    def test_names_of_files_and_columns_are_only_names(self):
        name = "it's {i} \"x\" *.parquet"
        self.export('order_summary', path=self.path(name))
        self.assertTrue(os.path.exists(self.path(name)))
        os.mkdir(self.path('~'))
        for target in ('~/o.parquet', 'plain', 'http:', "o'clock.PARQUET"):
            self.ok('export', self.store, 'order_summary', target, '--quiet', '--format', 'parquet',
                    env=self.env, cwd=self.folder)  # fmt: skip
            self.assertEqual(self.ask('SELECT count(*) FROM read_parquet($)', self.path(target)), [('3',)], target)
        self.rebuild(
            self.path(
                'p.lua',
                'name "select"\nversion (1)\ncolumns { "order text", "group text" }\n'
                'on ("OrderPlaced", {}, function (row, e) row.order, row.group = "x", "y" end)\n',
            )
        )
        self.export('select')
        self.assertEqual(self.ask('SELECT DISTINCT "order", "group" FROM $'), [('x', 'y')])

    def test_without_the_library_nothing_is_touched(self):
        path = self.path('o.parquet', b'old')
        argv = ('order_summary', path)
        for library, words in (
            (self.path('no.so'), ['no.so', 'cannot open']),
            (tool.projection('order_summary'), ['duckdb_create_config']),
        ):
            self.refuses(
                tool.USAGE, ["DuckDB's library", 'REFOLD_DUCKDB_LIBRARY', *words],
                'export', self.store, *argv, env={'REFOLD_DUCKDB_LIBRARY': library},
            )  # fmt: skip
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.refuses(
            tool.USAGE, ["DuckDB's library"], 'rebuild', self.store, 'order_summary', '--publish', path,
            env={'REFOLD_DUCKDB_LIBRARY': self.path('no.so')},
        )  # fmt: skip
        self.assertEqual(self.ok('status', self.store, '--json').json['models'][0]['generation'], 1)
        self.assertEqual(tool.read(path), b'old')
        self.refuses(
            tool.USAGE, ['one read model'], 'export', self.store, 'order_summary', 'case_summary', path, env=self.env
        )

    def test_the_page(self):
        with open(os.path.join(tool.ROOT, 'docs', 'PUBLISHING.md'), encoding='utf-8') as file:
            page = file.read()
        command, facts = (
            re.findall(r'runs: %s -->\n```\w*\n(.*?)```' % name, page, re.S)[0]
            for name in ('parquet', 'facts as SQL of DuckDB')
        )
        os.rename(self.store, self.path('shop.refold'))
        environment = dict(os.environ, PATH=tool.build + ':' + os.environ['PATH'], **self.env)
        subprocess.run(
            ['sh', '-e', '-c', command], cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, check=True
        )
        first, second = (
            self.duck.ask(sql.replace('orders.parquet', self.path('orders.parquet')))
            for sql in facts.split(';') if sql.strip()
        )  # fmt: skip
        self.assertEqual(dict(first)['refold_position'], '7')
        self.assertEqual(sum(int(r[1]) for r in second), 3)

    def test_a_rebuild_publishes_it(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.ok('rebuild', self.store, 'order_summary', '--publish', self.file, '--quiet', env=self.env)
        self.assertEqual(self.ask('SELECT count(*) FROM $'), [('4',)])

    def test_a_full_disk_leaves_the_old_file(self):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        disk = self.path('disk')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).returncode:
            self.skipTest('tmpfs cannot be mounted here')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        path = os.path.join(disk, 'o.parquet')
        self.export('order_summary', path=path)
        before = tool.read(path)
        self.import_lines(
            *(event('order-%d' % i, 'OrderPlaced', {'customer': os.urandom(20).hex()}) for i in range(10, 4000))
        )
        self.rebuild('order_summary')
        self.refuses(
            tool.FAILED, ['No space left', 'o.parquet'],
            'export', self.store, 'order_summary', path, '--quiet', env=self.env,
        )  # fmt: skip
        self.assertEqual(tool.read(path), before)
        self.assertEqual(os.listdir(disk), ['o.parquet'])

    def test_a_run_that_is_ended_anywhere_leaves_the_old_file(self):
        self.import_lines(
            *(event('s-%d' % i, 'Noted', {'n': i}, time='2024-07-10T12:00:00Z') for i in range(60000))
        )
        self.rebuild(tool.projection('case_summary'))
        begin = time.monotonic()
        self.export('case_summary')
        took = time.monotonic() - begin
        new = tool.read(self.file)
        ended = {signal.SIGKILL: 0, signal.SIGTERM: 0}
        for i in range(16):
            how = signal.SIGTERM if i % 2 else signal.SIGKILL
            self.path('m.parquet', b'old')
            process = subprocess.Popen(
                [tool.refold, 'export', self.store, 'case_summary', self.file, '--quiet'],
                env=dict(os.environ, **self.env),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(took * (i + 1) / 18)
            process.send_signal(how)
            code = process.wait()
            ended[how] += code != 0
            self.assertIn(code, (0, -signal.SIGKILL, tool.TERMINATED))
            self.assertIn(tool.read(self.file), (b'old', new))
        self.assertGreater(min(ended.values()), 1, ended)
        self.export('case_summary')
        self.assertEqual(tool.read(self.file), new)
        self.assertEqual([n for n in os.listdir(self.folder) if n.endswith('.part')], [])


if not LIBRARY:
    tool.skip_all("no DuckDB library: REFOLD_DUCKDB_LIBRARY names none (npm's @duckdb/node-bindings-linux-x64 has one)")
tool.main(__name__)
