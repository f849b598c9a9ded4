"""export into PostgreSQL: what readers see when another generation is published, and what is sent for it."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool
from published import Published
from tool import event


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
        self.rebuild('order_summary', options=('--full',))  # a base of its own
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


tool.main(__name__)
