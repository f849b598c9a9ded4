"""export into PostgreSQL: what readers see, what stays, what is refused, and what a kill leaves."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool
from tool import event

SERVER = None


def server():
    """One for all tests: each has a database of its own."""
    global SERVER
    if SERVER is None:
        SERVER = postgres.Server()
        unittest_cleanup.append(SERVER.remove)
    return SERVER


unittest_cleanup = []

KINDS = '''
name "kinds"
version (%(version)d)
key { Put = "id int" }
columns { %(columns)s }
on ("Put", { "n int?", "d decimal(2)?", "f float?", "b bool?", "s text?", "t time?", "j json?" },
  function (row, e)
    %(body)s
  end)
on ("Gone", { }, by { "id int" }, function (row, e) row:delete() end)
'''
COLUMNS = '"n int", "d decimal(2)", "f float", "b bool", "s text", "t time", "day date", "j json"'
BODY = 'row.n, row.d, row.f, row.b, row.s, row.t, row.j = e.n, e.d, e.f, e.b, e.s, e.t, e.j ' \
       'if e.t then row.day = date (e.t) end'


class Published(tool.Case):
    databases = 0

    def setUp(self):
        super().setUp()
        self.server = server()
        Published.databases += 1
        self.database = 'shop%d' % Published.databases
        self.server.sql('CREATE DATABASE %s' % self.database)
        self.url = self.server.url(self.database)

    def sql(self, text):
        return self.server.sql(text, self.database)

    def export(self, *names, options=()):
        return self.ok('export', self.store, *names, self.url, '--quiet', '--json', *options).json[
            'models'
        ]

    def pointer(self, name):
        out = self.sql(
            "SELECT generation, position, digest, rows FROM refold_published.models WHERE name = '%s'" % name
        )
        return out.split('|') if out else None

    def schemas(self):
        return set(
            self.sql("SELECT nspname FROM pg_namespace WHERE nspname ~ '_g[0-9]+(_[0-9]+)?$'").split()
        )

    def orders(self, count, first=0, customer='c'):
        self.import_lines(
            *(
                event('order-%d' % i, 'OrderPlaced', {'customer': customer}, time='2024-07-10T12:00:00Z')
                for i in range(first, first + count)
            )
        )

    def lua(self, version=1, columns=COLUMNS, body=BODY, name='kinds.lua', extra=''):
        text = KINDS % {'version': version, 'columns': columns, 'body': body} + extra
        return self.path(name, text)


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


class Switches(Published):
    """What readers have, over several publications."""

    def setUp(self):
        super().setUp()
        self.orders(5)
        self.rebuild(tool.projection('order_summary'))
        self.export('order_summary')

    def again(self, *options, more=1):
        self.orders(more, first=self.info()['events'])
        self.rebuild('order_summary')
        return self.export('order_summary', options=options)[0]

    def test_grants_dependent_views_and_prepared_statements_stay(self):
        self.sql('CREATE ROLE reader_%s; GRANT SELECT ON order_summary TO reader_%s' % (
            self.database, self.database))  # fmt: skip
        self.sql('CREATE VIEW above AS SELECT count(*) AS n FROM order_summary')
        session = postgres.Session(self, self.server, self.database)
        session.sql('PREPARE q AS SELECT count(*) FROM order_summary')
        self.assertEqual(session.sql('EXECUTE q'), '5')
        self.again('--full')
        self.assertEqual(session.sql('EXECUTE q'), '6')
        self.assertEqual(session.sql('SELECT n FROM above'), '6')
        session.sql('SET ROLE reader_%s' % self.database)
        self.assertEqual(session.sql('SELECT count(*) FROM order_summary'), '6')

    def test_old_schemas_go_and_those_in_use_go_later(self):
        self.again('--full', '--keep', '2')
        self.assertEqual(self.schemas(), {'order_summary_g1', 'order_summary_g2'})
        session = postgres.Session(self, self.server, self.database)
        session.sql('BEGIN; SELECT count(*) FROM order_summary_g1.order_summary')
        self.again('--full', '--keep', '2')
        self.assertIn('order_summary_g1', self.schemas())
        session.sql('COMMIT')
        self.again('--full', '--keep', '1')
        self.assertEqual(self.schemas(), {'order_summary_g4'})

    def test_a_rollback_copies_nothing(self):
        first = self.pointer('order_summary')
        self.again('--full')
        self.ok('rollback', self.store, 'order_summary')
        back = self.export('order_summary')[0]
        self.assertEqual(back['way'], 'shown')
        self.assertEqual(self.pointer('order_summary'), first)
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '5')
        again = self.export('order_summary')[0]
        self.assertEqual(again['way'], 'same')
        forth = self.export('order_summary', options=('--generation', '2'))[0]
        self.assertEqual((forth['way'], forth['generation']), ('shown', 2))

    def test_a_reader_of_the_old_view_is_waited_for_and_holds_nobody_up(self):
        session = postgres.Session(self, self.server, self.database)
        session.sql('BEGIN; SELECT count(*) FROM order_summary')
        self.orders(1, first=50)
        self.rebuild('order_summary')
        process = subprocess.Popen(
            [tool.refold, 'export', self.store, 'order_summary', self.url, '--quiet', '--full']
        )
        time.sleep(1.5)
        self.assertIsNone(process.poll())
        slowest = 0
        for _ in range(3):
            begin = time.monotonic()
            self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '5')
            slowest = max(slowest, time.monotonic() - begin)
        self.assertLess(slowest, 5)
        session.sql('COMMIT')
        self.assertEqual(process.wait(20), 0)
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '6')

    def test_only_changes_are_sent_and_the_pointer_moves_with_them(self):
        self.orders(300, first=100)
        self.rebuild('order_summary')
        self.export('order_summary', options=('--full',))
        before = self.sql('SELECT key, ctid, xmin FROM order_summary_g2.order_summary ORDER BY 1')
        self.import_lines(
            event('order-7', 'OrderPlaced', {'customer': 'new'}, time='2024-07-10T12:00:00Z'),
            event('order-1', 'OrderCancelled', {'reason': 'x'}, time='2024-07-11T12:00:00Z'),
        )
        self.rebuild('order_summary')
        sent = self.export('order_summary', options=('--changes',))[0]
        self.assertEqual(
            (sent['way'], sent['upserted'], sent['deleted'], sent['generation']), ('changed', 2, 0, 3)
        )
        self.assert_rows()
        after = self.sql('SELECT key, ctid, xmin FROM order_summary_g2.order_summary ORDER BY 1')
        self.assertEqual(
            {c.split('|')[0] for c in set(after.splitlines()) - set(before.splitlines())},
            {'order-1', 'order-7'},
        )
        live = self.ok('generations', self.store, 'order_summary', '--json').json
        self.assertIn(self.pointer('order_summary')[2], json.dumps(live))
        self.assertEqual(self.pointer('order_summary')[0::3], ['3', '306'])
        # and back, by deleting
        self.ok('rollback', self.store, 'order_summary')
        back = self.export('order_summary')[0]
        self.assertEqual((back['way'], back['upserted'], back['deleted']), ('changed', 1, 1))
        self.assert_rows()

    def test_a_table_that_somebody_changed_is_loaded_whole(self):
        self.sql("DELETE FROM order_summary_g1.order_summary WHERE key = 'order-1'")
        self.assertEqual(self.again()['way'], 'copied')
        self.assert_rows()

    def test_changes_of_what_the_store_has_no_more_are_refused_when_only_they_are_wanted(self):
        self.orders(1, first=50)
        self.rebuild('order_summary')
        self.ok('gc', self.store, 'order_summary', '--keep', '1')
        self.refuses(
            tool.REFUSED, ['generation 1', 'without --changes', 'nothing was published'],
            'export', self.store, 'order_summary', self.url, '--quiet', '--changes',
        )  # fmt: skip
        self.assertEqual(self.export('order_summary')[0]['way'], 'copied')
        self.assert_rows()

    def test_where_most_differs_all_rows_are_copied(self):
        self.orders(3000, first=100)
        self.rebuild('order_summary')
        self.assertEqual(self.export('order_summary')[0]['way'], 'copied')
        self.import_lines(
            *(event('order-%d' % i, 'OrderPaid', {}, time='2024-07-12T12:00:00Z') for i in range(100, 2100))
        )
        self.rebuild('order_summary')
        self.assertEqual(self.export('order_summary')[0]['way'], 'copied')

    def test_a_reader_that_never_ends_is_waited_for_in_vain(self):
        session = postgres.Session(self, self.server, self.database)
        session.sql('BEGIN; SELECT count(*) FROM order_summary')
        self.orders(1, first=50)
        self.rebuild('order_summary')
        self.refuses(
            tool.UNREACHABLE, ['stood in the way for 2 s', 'what was published stays'],
            'export', self.store, 'order_summary', self.url, '--quiet', '--full', '--wait-readers', '2',
        )  # fmt: skip
        session.sql('COMMIT')
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '5')
        # what was loaded is there
        self.assertEqual(self.export('order_summary', options=('--full',))[0]['way'], 'shown')
        self.assert_rows()

    def test_as_table_only_rows_that_differ_are_written(self):
        self.export('order_summary', options=('--as', 'table'))
        self.assertEqual(
            self.sql("SELECT relkind FROM pg_class WHERE oid = 'public.order_summary'::regclass"), 'r'
        )
        self.sql('CREATE VIEW above AS SELECT count(*) AS n FROM order_summary')
        before = self.sql('SELECT key, ctid, xmin FROM order_summary ORDER BY 1')
        self.orders(2, first=50)
        self.import_lines(event('order-1', 'OrderCancelled', {'reason': 'x'}, time='2024-07-11T12:00:00Z'))
        self.rebuild('order_summary')
        self.export('order_summary', options=('--full',))
        after = self.sql('SELECT key, ctid, xmin FROM order_summary ORDER BY 1')
        self.assertEqual(self.sql('SELECT n FROM above'), '7')
        changed = set(after.splitlines()) - set(before.splitlines())
        self.assertEqual({c.split('|')[0] for c in changed}, {'order-1', 'order-50', 'order-51'})
        self.assertEqual(self.schemas(), set())
        self.assert_rows()

    def assert_rows(self):
        seen = self.sql('SELECT key, customer, status, events FROM order_summary ORDER BY key COLLATE "C"')
        rows = [json.loads(line) for line in self.rows('order_summary').decode().splitlines()]
        self.assertEqual(
            seen.splitlines(),
            ['%s|%s|%s|%s' % (r['key'], r['customer'], r['status'], r['events']) for r in rows],
        )

    def test_from_a_view_to_a_table_and_back_grants_stay(self):
        self.sql('CREATE ROLE r_%s; GRANT SELECT ON order_summary TO r_%s WITH GRANT OPTION;'
                 "COMMENT ON VIEW order_summary IS 'it''s ours'" % (self.database, self.database))
        for form, kind in (('table', 'r'), ('view', 'v')):
            note = self.export('order_summary', options=('--as', form))[0]['note']
            self.assertIn('made anew', note)
            self.assertEqual(
                self.sql(
                    "SELECT relkind, has_table_privilege('r_%s', oid, 'SELECT WITH GRANT OPTION'),"
                    " obj_description(oid) FROM pg_class"
                    " WHERE oid = 'public.order_summary'::regclass" % self.database
                ),
                kind + "|t|it's ours",
            )
            self.assert_rows()


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


class Together(Published):
    """Several read models: all or none, whatever is killed."""

    NAMES = ('order_summary', 'case_summary')

    def setUp(self):
        super().setUp()
        self.orders(4000)
        self.rebuild(*(tool.projection(n) for n in self.NAMES))
        self.export(*self.NAMES)

    def generations(self):
        return self.sql('SELECT generation FROM refold_published.models ORDER BY name').split()

    def counts(self):
        return self.sql(
            'SELECT (SELECT count(*) FROM order_summary), (SELECT count(*) FROM case_summary)'
        )

    def test_one_that_is_refused_publishes_none(self):
        self.orders(10, first=5000)
        self.rebuild(*self.NAMES)
        self.sql('DROP VIEW case_summary; CREATE TABLE case_summary (mine int)')
        self.sql("DELETE FROM refold_published.models WHERE name = 'case_summary'")
        self.refuses(
            tool.REFUSED, ['case_summary', 'a table'],
            'export', self.store, *self.NAMES, self.url, '--quiet',
        )  # fmt: skip
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '4000')

    def test_kill_9_at_random_moments(self):
        self.orders(10, first=5000)
        self.rebuild(*self.NAMES)
        argv = [tool.refold, 'export', self.store, *self.NAMES, self.url, '--quiet', '--full']
        begin = time.monotonic()
        self.assertEqual(subprocess.call(argv + ['--keep', '1'], stdout=subprocess.DEVNULL), 0)
        took = time.monotonic() - begin
        dice = random.Random(7)
        events, killed = 4010, 0
        for _ in range(14):
            self.orders(1, first=10000 + events)
            before = '%d|%d' % (events, events)
            events += 1
            after = '%d|%d' % (events, events)
            self.rebuild(*self.NAMES)
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            time.sleep(dice.uniform(0.1, 1.0) * took)
            process.kill()
            killed += process.wait() != 0
            self.settled()
            self.assertIn(self.counts(), (before, after))
            self.assertEqual(len(set(self.generations())), 1)
            if self.counts() == before and dice.random() < 0.5:
                self.export(*self.NAMES)
                self.assertEqual(self.counts(), after)
            elif self.counts() == before:
                self.export(*self.NAMES)
        self.assertGreater(killed, 3)
        self.export(*self.NAMES, options=('--keep', '1'))
        self.assertEqual(self.counts(), '%d|%d' % (events, events))
        self.assertEqual(len(self.schemas()), 2)
        self.assertEqual(self.sql('SELECT count(*) FROM refold_published.tables'), '2')

    def settled(self):
        """The server has seen that its client went."""
        for _ in range(100):
            if self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refold'"
                        " AND datname = '%s'" % self.database) == '0':  # fmt: skip
                return
            time.sleep(0.05)
        self.fail('a session of a killed export stays')

    def test_a_transaction_sees_one_publication(self):
        """Names are looked up one by one, so the views are locked first; of that nobody notices."""
        stop = threading.Event()
        seen, faults = set(), []

        def read(session):
            while not stop.is_set():
                out = session.sql(
                    'BEGIN; LOCK TABLE order_summary, case_summary IN ACCESS SHARE MODE;'
                    'SELECT (SELECT count(*) FROM order_summary), (SELECT count(*) FROM case_summary),'
                    " (SELECT rows FROM refold_published.models WHERE name = 'order_summary'); COMMIT"
                )
                seen.add(out)
                if len(set(out.split('|'))) != 1:
                    faults.append(out)

        sessions = [postgres.Session(self, self.server, self.database) for _ in range(2)]
        readers = [threading.Thread(target=read, args=(s,)) for s in sessions]
        for reader in readers:
            reader.start()
        try:
            for i in range(4):
                self.orders(1, first=20000 + i)
                self.rebuild(*self.NAMES)
                self.export(*self.NAMES, options=('--full',) if i % 2 else ())
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        self.assertEqual(faults, [])
        self.assertGreater(len(seen), 1)


class Trouble(Published):
    """One clear line, the right exit code, and what was published stays."""

    def setUp(self):
        super().setUp()
        self.orders(2000)
        self.rebuild(tool.projection('order_summary'))

    def refused(self, code, words, url, *options):
        return self.refuses(code, words, 'export', self.store, 'order_summary', url, '--quiet', *options)

    def test_bad_urls(self):
        self.refused(tool.UNREACHABLE, ['no_such_database'], self.server.url('no_such_database'))
        self.refused(tool.UNREACHABLE, ['postgresql'], 'postgresql:///shop?host=/nowhere&user=x')
        self.refused(tool.USAGE, [], 'postgresql://host:port:port/x')
        self.refused(tool.USAGE, ['format'], self.url, '--format', 'csv')
        self.refused(tool.USAGE, ['PostgreSQL'], self.path('o.csv'), '--keep', '3')

    def test_a_password_is_never_shown(self):
        secret = 'S3cr3tCANARY'
        self.server.passwords('carol_%s' % self.database, 'another', self.database)
        url = self.server.url(self.database, user='carol_%s' % self.database, password=secret)
        result = self.refused(tool.UNREACHABLE, [], url)
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


class Crash(tool.Case):
    """A server that dies in the middle, and a full disk under it: a server of its own."""

    def setUp(self):
        super().setUp()
        self.import_lines(
            *(
                event('order-%d' % i, 'OrderPlaced', {'customer': 'c' * 50}, time='2024-07-10T12:00:00Z')
                for i in range(60000)
            )
        )
        self.rebuild(tool.projection('order_summary'))

    def test_a_server_that_dies_is_exit_75_and_the_old_rows_stay(self):
        server = postgres.Server(self, fsync='on', synchronous_commit='on', full_page_writes='on')
        argv = ['export', self.store, 'order_summary', server.url(), '--quiet']
        self.ok(*argv, '--generation', '1')
        self.import_lines(event('order-new', 'OrderPlaced', {'customer': 'c'}))
        self.rebuild('order_summary')
        process = subprocess.Popen(
            [tool.refold, *argv, '--full'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # until it has begun to send rows, or is done
        while process.poll() is None and server.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active'"
        ) == '0':
            time.sleep(0.001)
        server.kill()
        err = process.communicate()[1].decode()
        server.start()
        if process.returncode == 0:
            self.skipTest('it was faster than the kill')
        self.assertEqual(process.returncode, tool.UNREACHABLE, err)
        self.assertEqual(err.count('\n'), 1, err)
        self.assertIn('what was published stays', err)
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60000')
        self.ok(*argv)
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60001')

    def test_a_full_disk_of_the_server_is_one_line(self):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        server = postgres.Server(self)
        disk = os.path.join(server.folder, 'space')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]).returncode:
            self.skipTest('tmpfs cannot be mounted here')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        subprocess.run(['chown', 'nobody', disk], check=True)
        server.sql("CREATE TABLESPACE small LOCATION '%s'" % disk)
        server.sql('CREATE DATABASE tight')
        server.sql('ALTER DATABASE tight SET default_tablespace = small')
        result = self.refuses(
            tool.FAILED, ['what was published stays', 'space'],
            'export', self.store, 'order_summary', server.url('tight'), '--quiet',
        )  # fmt: skip
        self.assertIn('No space left', result.message)
        self.assertEqual(
            server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'order%'", 'tight'), '0'
        )


try:
    tool.main(__name__)
finally:
    for cleanup in unittest_cleanup:
        cleanup()
