"""export into PostgreSQL: types, names, columns that change, what is refused and what is missing."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool
from published import Published
from tool import event


class Rows(Published):
    def test_every_kind_arrives_as_its_type_and_exact(self):
        rows = [
            {'id': 1, 'n': 9007199254740991, 'd': '90071992547409.91', 'f': 0.1, 'b': True,
             's': 'say "hi"\\ \t\n Юлия, 東京', 't': '2024-07-10T12:00:00.123456Z',
             'j': {'a': [1, 'x"', None], 'b': {}}},
            {'id': -2, 'n': -9007199254740991, 'd': '-90071992547409.91', 'f': -1e300, 'b': False,
             's': '', 't': '1969-12-31T23:59:59.999999Z', 'j': 'text'},
            {'id': 0},
            {'id': 3, 'n': 0, 'd': '0.00', 'f': 0, 's': '\\N', 't': '1999-12-31T23:59:59Z', 'j': [1.50]},
            {'id': 4, 'd': '1.00', 't': '2000-01-01T00:00:00Z', 'j': 7},
            {'id': 5, 'd': '10000.00', 't': '1900-01-01T00:00:00Z'},
            {'id': 6, 'd': '0.01', 't': '2199-12-31T23:59:59.999999Z'},
            {'id': 7, 'd': '-0.10', 'j': False},
            {'id': 8, 'd': '99999999.99'},
            {'id': 9, 'd': '100000000.00'},
        ]  # fmt: skip
        self.import_lines(*(event('s-%d' % r['id'], 'Put', r) for r in rows))
        self.rebuild(self.lua())
        self.export('kinds')
        types = self.sql(
            "SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', '"
            " ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0"
        )
        self.assertEqual(
            types,
            'key bigint, n bigint, d numeric, f double precision, b boolean, s text, '
            't timestamp with time zone, day date, j jsonb',
        )
        seen = [
            json.loads(line)
            for line in self.sql(
                "SELECT json_build_object('key', key, 'n', n, 'd', d::text, 'f', f, 'b', b, 's', s,"
                " 't', to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
                " 'day', day, 'j', j) FROM kinds ORDER BY key"
            ).splitlines()
        ]
        expected = [json.loads(line) for line in self.rows('kinds').decode().splitlines()]
        self.assertEqual(seen, expected)

    def test_the_pointer_is_what_the_store_says(self):
        self.orders(3)
        built = self.rebuild(tool.projection('order_summary'))[0]
        self.export('order_summary')
        self.assertEqual(self.pointer('order_summary'), ['1', '3', built['digest'], '3'])

    def test_keys_of_several_parts_and_indexes(self):
        self.import_lines(
            event('a', 'Moved', {'to': {'place': 'w-1'}, 'n': 7, 'at': '2024-07-10T00:00:00Z'}),
            event('b', 'Moved', {'to': {'place': 'w-2'}, 'n': -7, 'at': '2024-07-10T00:00:00Z'}),
        )
        self.rebuild(
            self.path(
                'stock.lua',
                'name "stock"\nversion (1)\nkey { "to.place text", "n int" }\n'
                'columns { "n int", "seen time" }\nindex { "seen", "n" }\n'
                'on ("Moved", { "to.place text", "n int", "at time" }, function (row, e)\n'
                '  row.n, row.seen = e.n, e.at end)\n',
            )
        )
        self.export('stock')
        self.assertEqual(
            self.sql('SELECT to_place, key_n, n FROM stock ORDER BY 1'), 'w-1|7|7\nw-2|-7|-7'
        )
        indexes = self.sql("SELECT indexdef FROM pg_indexes WHERE schemaname = 'stock_g1'")
        self.assertIn('UNIQUE INDEX stock_pkey ON stock_g1.stock USING btree (to_place, key_n)', indexes)
        self.assertIn('btree (seen, n)', indexes)
        self.assertEqual(
            self.sql("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'stock_g1'"), 't'
        )

    def test_hostile_names_are_quoted_or_refused(self):
        long = 'n' + 'x' * 62
        self.import_lines(event('s-1', 'Put', {'user; DROP': 'x'}))
        columns = '"order text", "user int", "%s text", "select bool"' % ('c' * 63)
        for name in ('table', long):
            self.rebuild(
                self.path(
                    'p.lua',
                    'name "%s"\nversion (1)\nkey { "stream", \'"user; DROP" text\' }\n'
                    'columns { %s }\n'
                    'on ("Put", { \'"user; DROP" text as x\' }, function (row, e) row.order = e.x end)\n'
                    % (name, columns),
                )
            )
            self.export(name)
            self.assertEqual(self.sql('SELECT stream, "order" FROM "%s"' % name), 's-1|x')
        self.rebuild(
            self.path(
                'q.lua',
                'name "q"\nversion (1)\ncolumns { "xmin text" }\n'
                'on ("Put", {}, function (row, e) row.xmin = "a" end)\n',
            )
        )
        self.refuses(tool.FAILED, ['xmin', 'keeps'], 'export', self.store, 'q', self.url)
        self.sql('CREATE SCHEMA "odd "" schema"')
        self.export('table', options=('--schema', 'odd " schema'))
        self.assertEqual(self.sql('SELECT count(*) FROM "odd "" schema"."table"'), '1')
        self.refuses(
            tool.FAILED, ['no schema'], 'export', self.store, 'table', self.url, '--schema', 'nowhere'
        )
        self.refuses(
            tool.FAILED, ['no schema'], 'export', self.store, 'table', self.url, '--schema', 'x' * 64
        )

    def test_values_are_only_data(self):
        bad = "'; DROP TABLE refold_published.models; --"
        self.import_lines(event("order-'; DROP SCHEMA public", 'OrderPlaced', {'customer': bad}))
        self.rebuild(tool.projection('order_summary'))
        self.export('order_summary')
        self.assertEqual(
            self.sql('SELECT key, customer FROM order_summary'), "order-'; DROP SCHEMA public|" + bad
        )


class Changes(Published):
    """Columns that come, go and change."""

    def setUp(self):
        super().setUp()
        self.import_lines(event('s-1', 'Put', {'id': 1, 'n': 2, 's': 'x'}))

    def deploy(self, version, columns, body):
        self.rebuild(self.lua(version, columns, body))

    def columns(self):
        return self.sql(
            "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = 'kinds'::regclass AND attnum > 0"
        )

    def test_a_new_column_comes_last_and_nothing_is_lost(self):
        self.deploy(1, '"s text"', 'row.s = e.s')
        self.export('kinds')
        self.sql('CREATE VIEW above AS SELECT s FROM kinds')
        self.deploy(2, '"n int", "s text"', 'row.n, row.s = e.n, e.s')
        self.assertIsNone(self.export('kinds')[0]['note'])
        self.assertEqual(self.columns(), 'key,s,n')
        self.assertEqual(self.sql('SELECT * FROM kinds'), '1|x|2')
        self.assertEqual(self.sql('SELECT * FROM above'), 'x')

    def test_a_column_that_goes_or_changes_makes_the_view_anew(self):
        self.deploy(1, '"n int", "s text"', 'row.n, row.s = e.n, e.s')
        self.export('kinds')
        self.sql('CREATE ROLE g_%s; GRANT SELECT ON kinds TO g_%s; GRANT UPDATE (n) ON kinds TO g_%s' % (
            (self.database,) * 3))  # fmt: skip
        self.deploy(2, '"s text"', 'row.s = e.s')
        self.assertIn('made anew', self.export('kinds')[0]['note'])
        self.assertEqual(self.columns(), 'key,s')
        self.deploy(3, '"s int"', 'row.s = e.n')
        self.assertIn('made anew', self.export('kinds')[0]['note'])
        self.assertEqual(self.sql('SELECT * FROM kinds'), '1|2')
        self.assertEqual(
            self.sql("SELECT has_table_privilege('g_%s', 'kinds', 'SELECT')" % self.database), 't'
        )

    def test_views_that_stand_on_it_are_named_and_go_only_when_told(self):
        self.deploy(1, '"n int", "s text"', 'row.n, row.s = e.n, e.s')
        self.export('kinds')
        self.sql('CREATE VIEW above AS SELECT s FROM kinds')
        before = self.pointer('kinds')
        self.deploy(2, '"s text"', 'row.s = e.s')
        self.refuses(
            tool.REFUSED,
            ['public.above', 'column n', '--replace', 'nothing was published'],
            'export', self.store, 'kinds', self.url, '--quiet',
        )  # fmt: skip
        self.assertEqual(self.pointer('kinds'), before)
        self.assertEqual(self.sql('SELECT * FROM above'), 'x')
        self.assertIn('public.above', self.export('kinds', options=('--replace',))[0]['note'])
        self.assertEqual(self.sql("SELECT to_regclass('above') IS NULL"), 't')
        self.assertEqual(self.columns(), 'key,s')

    def test_what_refold_did_not_publish_is_not_replaced(self):
        self.deploy(1, '"s text"', 'row.s = e.s')
        self.sql('CREATE TABLE kinds (mine int); INSERT INTO kinds VALUES (7)')
        self.refuses(
            tool.REFUSED, ['public.kinds', 'a table', '--replace'],
            'export', self.store, 'kinds', self.url, '--quiet',
        )  # fmt: skip
        self.assertEqual(self.sql('SELECT mine FROM kinds'), '7')
        self.export('kinds', options=('--replace',))
        self.assertEqual(self.sql('SELECT s FROM kinds'), 'x')
        self.sql('DROP VIEW kinds; CREATE MATERIALIZED VIEW kinds AS SELECT 1')
        self.refuses(
            tool.REFUSED, ['materialized'],
            'export', self.store, 'kinds', self.url, '--quiet', '--replace',
        )  # fmt: skip

    def test_a_view_or_table_that_somebody_dropped_comes_back(self):
        self.deploy(1, '"s text"', 'row.s = e.s')
        self.export('kinds')
        self.sql('DROP VIEW kinds')
        self.assertEqual(self.export('kinds')[0]['way'], 'shown')
        self.sql('DROP SCHEMA kinds_g1 CASCADE')
        self.assertEqual(self.export('kinds')[0]['way'], 'copied')
        self.assertEqual(self.sql('SELECT s FROM kinds'), 'x')


class Trouble(Published):
    """One clear line, the right exit code, and what was published stays."""

    def setUp(self):
        super().setUp()
        self.orders(2000)
        self.rebuild(tool.projection('order_summary'))

    def refused(self, code, words, url, *options):
        return self.refuses(code, words, 'export', self.store, 'order_summary', url, '--quiet', *options)

    def test_bad_urls(self):
        self.refused(tool.FAILED, ['no_such_database', 'does not exist'], self.server.url('no_such_database'))
        self.refused(tool.UNREACHABLE, ['postgresql'], 'postgresql:///shop?host=/nowhere&user=x')
        self.refused(tool.USAGE, [], 'postgresql://host:port:port/x')
        self.refused(tool.USAGE, ['format'], self.url, '--format', 'csv')
        self.refused(tool.USAGE, ['PostgreSQL'], self.path('o.csv'), '--keep', '3')

    def test_a_password_is_never_shown(self):
        secret = 'S3cr3tCANARY'
        self.server.passwords('carol_%s' % self.database, 'another', self.database)
        url = self.server.url(self.database, user='carol_%s' % self.database, password=secret)
        result = self.refused(tool.FAILED, ['password authentication failed'], url)
        self.assertNotIn(secret, result.message)

    def test_missing_permissions_name_what_is_needed(self):
        self.sql('CREATE ROLE weak_%s LOGIN' % self.database)
        url = self.server.url(self.database, user='weak_%s' % self.database)
        self.refused(tool.FAILED, ['permission denied', 'GRANT CREATE ON DATABASE'], url)
        self.assertEqual(self.sql("SELECT to_regclass('refold_published.models') IS NULL"), 't')
        self.sql('GRANT CREATE ON DATABASE %s TO weak_%s' % (self.database, self.database))
        self.refused(tool.FAILED, ['permission denied', 'public', 'what was published stays'], url)
        self.sql('GRANT CREATE ON SCHEMA public TO weak_%s' % self.database)
        self.ok('export', self.store, 'order_summary', url, '--quiet')
        # what it has published is its own
        self.sql(
            'CREATE ROLE late_%(d)s LOGIN; GRANT CREATE ON DATABASE %(d)s TO late_%(d)s;'
            ' GRANT CREATE ON SCHEMA public TO late_%(d)s' % {'d': self.database}
        )
        late = self.server.url(self.database, user='late_%s' % self.database)
        self.refused(tool.FAILED, ['permission denied', 'refold_published', 'another role', 'member of it'], late)
        self.sql(
            'GRANT USAGE ON SCHEMA refold_published TO late_%(d)s;'
            ' GRANT ALL ON ALL TABLES IN SCHEMA refold_published TO late_%(d)s' % {'d': self.database}
        )
        self.import_lines(event('order-late', 'OrderPlaced', {'customer': 'c'}))
        self.rebuild('order_summary')
        for options in ((), ('--full',)):
            self.refused(tool.FAILED, ['another role', 'member of it', 'what was published stays'], late, *options)
        self.sql('GRANT weak_%(d)s TO late_%(d)s' % {'d': self.database})
        self.ok('export', self.store, 'order_summary', late, '--quiet')
        self.assertEqual(
            self.sql('SELECT count(*) FROM order_summary'),
            str(len(self.rows('order_summary').splitlines())),
        )

    def test_another_export_is_exit_5_or_waited_for(self):
        session = postgres.Session(self, self.server, self.database)
        session.sql("SELECT pg_advisory_lock(1919247983, hashtext('public'))")
        self.refused(tool.LOCKED, ['another export'], self.url)
        process = subprocess.Popen(
            [tool.refold, 'export', self.store, 'order_summary', self.url, '--quiet', '--wait-lock'],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        session.sql('SELECT pg_advisory_unlock_all()')
        self.assertEqual(process.wait(20), 0)

    def test_a_text_with_a_zero_byte_is_named(self):
        self.import_lines(event('order-zero', 'OrderPlaced', {'customer': 'a\0b'}))
        built = subprocess.run(
            [tool.refold, 'rebuild', self.store, 'order_summary', '--quiet'], stdout=subprocess.DEVNULL
        )
        self.assertEqual(built.returncode, 0)
        self.refused(tool.FAILED, ['order_summary', 'customer', 'zero byte'], self.url)

    def test_sigterm_ends_a_wait_for_readers(self):
        self.export('order_summary')
        session = postgres.Session(self, self.server, self.database)
        session.sql('BEGIN; SELECT count(*) FROM order_summary')
        self.orders(1, first=9000)
        self.rebuild('order_summary')
        process = subprocess.Popen(
            [tool.refold, 'export', self.store, 'order_summary', self.url, '--quiet', '--full'],
            stderr=subprocess.PIPE,
        )
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=10)[1].decode()
        self.assertEqual(process.returncode, tool.TERMINATED, err)
        self.assertIn('what was published stays', err)
        session.sql('COMMIT')
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '2000')


tool.main(__name__)
