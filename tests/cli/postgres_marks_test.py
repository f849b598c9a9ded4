"""import STORE postgresql://…: where an import goes on, whom it waits for, how it follows."""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool


class Marks(postgres.Case):
    def test_an_import_goes_on_where_the_last_ended(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 1000)
        self.assertEqual(self.imports(), 1000)
        self.messages(1000, 500)
        summary = self.ok('import', self.store, self.url, '--quiet', '--json').json
        self.assertEqual((summary['lines'], summary['added']), (500, 500))
        summary = self.ok('import', self.store, self.url, '--quiet', '--json', '--from-start').json
        self.assertEqual((summary['lines'], summary['added'], summary['duplicates']), (1500, 0, 1500))
        self.assertEqual(self.imports(), 0)

    def test_many_ranges_over_several_connections_keep_the_order(self):
        """Gaps of all sizes in the positions, among them one that is wider than all ranges together."""
        self.sql(postgres.MESSAGES)
        self.sql("""INSERT INTO message_store.messages (global_position, position, stream_name, type, data)
            SELECT n * CASE WHEN n < 30000 THEN 1 ELSE 3 END + CASE WHEN n > 70000 THEN 4000000000000000 ELSE 0 END,
              n / 97, 'order-' || n % 97, 'T', jsonb_build_object('n', n, 'pad', repeat('x', n % 300))
            FROM generate_series(1, 100000) n; ANALYZE message_store.messages""")
        seen = self.connections(lambda: self.assertEqual(self.imports(), 100000))
        self.assertGreater(seen, 1)
        events = self.events()
        self.assertEqual([e['data']['n'] for e in events], list(range(1, 100001)))
        self.assertEqual(self.ok('info', self.store, '--json').json['sources'][0]['cursor'].split()[3],
                         str(100000 * 3 + 4000000000000000))

    def connections(self, action):
        """The most connections of refold that the server saw while `action` ran."""
        watcher = self.server.psql(database=self.database)
        watcher.stdin.write(b"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refold import'"
                            b" \\watch 0.01\n")
        watcher.stdin.flush()
        action()
        watcher.terminate()
        out = watcher.communicate()[0].decode()
        return max(int(line) for line in out.split() if line.isdigit())

    def test_a_server_without_room_is_read_over_fewer_connections(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 70000)
        self.sql('ANALYZE message_store.messages; CREATE ROLE lonely LOGIN CONNECTION LIMIT 1;'
                 'GRANT USAGE ON SCHEMA message_store TO lonely; GRANT SELECT ON message_store.messages TO lonely')
        self.addCleanup(self.server.sql, 'DROP ROLE lonely')
        self.assertEqual(self.imports(url=self.server.url(self.database, 'lonely')), 70000)
        self.sql('DROP OWNED BY lonely')

    def test_a_table_without_an_index_is_read_too(self):
        self.sql('CREATE TABLE "It\'s ""odd""" (LIKE nothing)'.replace('(LIKE nothing)', """(global_position bigint,
            position bigint, time timestamp, stream_name text, type text, data jsonb, metadata jsonb)"""))
        self.sql("""INSERT INTO "It's ""odd""\" SELECT n, n, now(), 's', 'T', '{}' FROM generate_series(50000, 1, -1) n""")
        self.assertEqual(self.imports('--preset', 'messagedb', '--table', 'It\'s "odd"'), 50000)
        self.assertEqual([e[0] for e in self.brief()], list(range(1, 50001)))

    def test_another_database_is_not_gone_on_with(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 10)
        self.imports()
        self.server.sql('CREATE DATABASE another TEMPLATE "%s"' % self.database)
        self.addCleanup(self.server.sql, 'DROP DATABASE another')
        self.refuses(tool.USAGE, ['another', '--source', '--from-start'], 'import', self.store,
                     self.server.url('another'))
        self.assertEqual(self.imports('--from-start', url=self.server.url('another')), 0)

    def test_a_table_that_grows_during_the_import_is_read_to_where_it_was(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 60000)
        writer = self.server.psql(database=self.database)
        writer.stdin.write(b"""DO $$ BEGIN FOR i IN 60000..200000 LOOP
            INSERT INTO message_store.messages (position, stream_name, type, data)
            VALUES (i / 7, 'order-' || i % 7, 'T', jsonb_build_object('n', i)); COMMIT; END LOOP; END $$;\n""")
        writer.stdin.flush()
        total = 0
        for _ in range(4):
            total += self.imports('--wait-writers', '20')
        self.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'")
        writer.communicate()
        total += self.imports()
        self.assertEqual(total, int(self.sql('SELECT count(*) FROM message_store.messages')))
        self.assertGreater(total, 60000)
        self.assertEqual([e['data']['n'] for e in self.events()], list(range(total)))


class Older(postgres.Case):
    """A database that was restored from an older copy draws positions again that count as read."""

    def setUp(self):
        super().setUp()
        self.sql(postgres.MESSAGES)
        self.messages(0, 8)
        self.server.sql('CREATE DATABASE older TEMPLATE "%s"' % self.database)
        self.addCleanup(self.server.sql, 'DROP DATABASE IF EXISTS older')
        self.messages(8, 2)
        self.assertEqual(self.imports(), 10)

    def restore(self):
        self.server.sql('DROP DATABASE "%s"' % self.database)
        self.server.sql('ALTER DATABASE older RENAME TO "%s"' % self.database)

    def is_refused(self, *words):
        self.refuses(tool.FAILED, ['position 10', 'older copy', '--from-start', *words], 'import', self.store, self.url)
        self.refuses(tool.FAILED, ['position 10'], 'import', self.store, self.url, '--follow')

    def test_it_is_not_gone_on_with_before_it_has_come_to_the_mark(self):
        self.restore()
        self.is_refused('not there any more')
        self.assertEqual(self.imports('--from-start'), 0)
        self.message('other', 0)
        self.assertEqual(self.imports(), 1)

    def test_it_is_not_gone_on_with_where_it_was_written_past_the_mark(self):
        self.restore()
        self.sql("INSERT INTO message_store.messages (position, stream_name, type, data) "
                 "SELECT n, 'other', 'T', '{}' FROM generate_series(0, 4) n")
        self.is_refused('another one now')
        # Positions 9 and 10 would have been missed.
        self.assertEqual(self.imports('--from-start'), 5)
        self.assertEqual(self.imports(), 0)

    def test_it_is_not_gone_on_with_where_the_mark_is_a_hole_now(self):
        self.restore()
        self.sql("SELECT setval('message_store.messages_global_position_seq', 10)")
        self.message('other', 0)
        self.is_refused('not there any more')
        self.assertEqual(self.imports('--from-start'), 1)

    def test_the_same_event_written_anew_is_told_by_its_time(self):
        self.restore()
        self.messages(8, 5)
        self.is_refused('another one now')

    def test_masked_payloads_and_earlier_rows_that_go_are_no_matter(self):
        self.sql("UPDATE message_store.messages SET data = '{}', metadata = '{\"masked\": true}';"
                 "DELETE FROM message_store.messages WHERE global_position < 10")
        self.messages(10, 3)
        self.assertEqual(self.imports(), 3)
        self.assertEqual(self.imports(), 0)


class OlderQuery(postgres.Case):
    def test_the_row_of_a_query_is_looked_at_too(self):
        self.sql('CREATE TABLE f (no int, s text, kind text, seen bool); '
                 "INSERT INTO f SELECT n, 's', 'T', false FROM generate_series(1, 5) n")
        query = ('--query', "SELECT *, '{}'::json AS data FROM f", '--map', 'position=no,stream=s,type=kind')
        self.assertEqual(self.imports(*query), 5)
        self.sql("UPDATE f SET seen = true; INSERT INTO f VALUES (6, 's', 'T', false)")
        self.assertEqual(self.imports(*query), 1)
        self.sql("UPDATE f SET kind = 'U' WHERE no = 6; INSERT INTO f VALUES (7, 's', 'T', false)")
        self.refuses(tool.FAILED, ['query', 'position 6', 'another one now'], 'import', self.store, self.url, *query)

    def test_of_several_rows_at_a_position_one_has_to_be_the_one(self):
        self.sql("CREATE TABLE f AS SELECT 1 AS position, 's-' || n AS stream, 'T' AS type, '{}'::json AS data "
                 'FROM generate_series(1, 3) n')
        query = ('--query', 'SELECT * FROM f')
        self.assertEqual(self.imports(*query), 3)
        self.assertEqual(self.imports(*query), 0)
        self.sql("DELETE FROM f; INSERT INTO f VALUES (1, 's-4', 'T', '{}'), (2, 's-5', 'T', '{}')")
        self.refuses(tool.FAILED, ['another one now'], 'import', self.store, self.url, *query)


class Waiting(postgres.Case):
    def setUp(self):
        super().setUp()
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)

    INSERT = ("INSERT INTO message_store.messages (position, stream_name, type, data) "
              "VALUES (1, 'order-%d', 'T', '{}')")

    def test_an_open_transaction_with_an_event_is_waited_for_and_named(self):
        writer = self.session()
        pid = writer.sql('SELECT pg_backend_pid()')
        writer.sql("SET application_name = 'the shop'; BEGIN;" + self.INSERT % 1)
        self.sql(self.INSERT % 2)
        began = time.monotonic()
        self.refuses(tool.UNREACHABLE, ['waited 1 s', pid, 'the shop', 'nothing is skipped', 'nothing was added'],
                     'import', self.store, self.url, '--wait-writers', '1')
        self.assertLess(time.monotonic() - began, 10)
        importing = subprocess.Popen([tool.refold, 'import', self.store, self.url, '--json', '--quiet'],
                                     stdout=subprocess.PIPE)
        time.sleep(0.5)
        self.assertIsNone(importing.poll())
        writer.sql('COMMIT')
        self.assertEqual(json.loads(importing.communicate()[0])['added'], 9)

    def test_who_only_drew_a_position_is_waited_for(self):
        """Such a transaction has no id yet, and a snapshot's xmin does not wait for it."""
        draw = "SELECT nextval('message_store.messages_global_position_seq')"
        self.sql(draw)  # so that the next draws are not logged
        writer = self.session()
        position = writer.sql('BEGIN;' + draw)
        self.assertEqual(writer.sql('SELECT pg_current_xact_id_if_assigned() IS NULL'), 't')
        self.sql(self.INSERT % 2)
        self.refuses(tool.UNREACHABLE, ['nothing is skipped'], 'import', self.store, self.url, '--wait-writers', '1')
        self.refuses(tool.UNREACHABLE, ['nothing is skipped'], 'import', self.store, self.url, '--wait-writers', '1',
                     '--strict')
        writer.sql("INSERT INTO message_store.messages (global_position, position, stream_name, type, data) "
                   "VALUES (%s, 1, 'order-1', 'T', '{}'); COMMIT" % position)
        self.assertEqual(self.imports(), 9)

    def test_a_prepared_transaction_is_waited_for(self):
        self.sql('BEGIN;' + self.INSERT % 1 + "; PREPARE TRANSACTION 'p'")
        self.refuses(tool.UNREACHABLE, ['prepared transaction'], 'import', self.store, self.url, '--wait-writers', '1')
        self.sql("COMMIT PREPARED 'p'")
        self.assertEqual(self.imports(), 8)

    def test_writers_of_other_tables_are_not_waited_for(self):
        self.sql('CREATE TABLE other (id serial)')
        writer = self.session()
        writer.sql('BEGIN; INSERT INTO other DEFAULT VALUES')
        reader = self.session()
        reader.sql('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM message_store.messages')
        self.assertEqual(self.imports('--wait-writers', '1'), 7)

    def test_a_query_waits_for_writers_of_any_table(self):
        self.sql('CREATE TABLE other (id int)')
        writer = self.session()
        writer.sql('BEGIN; INSERT INTO other VALUES (1)')
        query = ('--query', 'SELECT global_position AS position, stream_name AS stream, position AS version, type, data '
                 'FROM message_store.messages')
        self.refuses(tool.UNREACHABLE, ['nothing is skipped'], 'import', self.store, self.url, '--wait-writers', '1', *query)
        writer.sql('COMMIT')
        self.assertEqual(self.imports(*query), 7)
        self.refuses(tool.USAGE, ['--strict'], 'import', self.store, self.url, '--strict', *query)

    def test_strict_keeps_writers_out_for_a_moment(self):
        writer = self.session()
        writer.sql('BEGIN;' + self.INSERT % 1)
        self.refuses(tool.UNREACHABLE, ['--strict', 'lock timeout', 'nothing is skipped'], 'import', self.store, self.url,
                     '--strict', '--wait-writers', '1')
        writer.sql('COMMIT')
        self.assertEqual(self.imports('--strict'), 8)
        self.sql(self.INSERT % 3)  # the lock is gone
        self.sql('CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA message_store TO reader;'
                 'GRANT SELECT ON message_store.messages TO reader')
        self.addCleanup(self.server.sql, 'DROP ROLE reader')
        self.refuses(tool.FAILED, ['permission denied'], 'import', self.store, self.server.url(self.database, 'reader'),
                     '--strict')
        self.assertEqual(self.imports(url=self.server.url(self.database, 'reader')), 1)
        self.sql('DROP OWNED BY reader')

    def test_an_interrupt_ends_the_wait(self):
        writer = self.session()
        writer.sql('BEGIN;' + self.INSERT % 1)
        importing = subprocess.Popen([tool.refold, 'import', self.store, self.url], stderr=subprocess.PIPE,
                                     start_new_session=True)
        time.sleep(0.7)
        importing.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(importing, 10), tool.TERMINATED)
        importing.stderr.close()


class Following(postgres.Case):
    def follow(self, *options):
        process = subprocess.Popen([tool.refold, 'import', self.store, self.url, '--follow', '--quiet', *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.addCleanup(process.stdout.close)
        return process

    def reaches(self, process, count, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if process.poll() is not None:
                self.fail('it ended: %s' % process.stdout.read())
            if os.path.exists(os.path.join(self.store, 'FORMAT')):
                result = tool.call('info', self.store, '--json')
                if result.code == 0 and result.json['events'] >= count:
                    self.assertEqual(result.json['events'], count)
                    return
            time.sleep(0.05)
        self.fail('%d events were not reached in %d s' % (count, seconds))

    def test_what_comes_later_is_taken_until_it_is_interrupted(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        process = self.follow()
        self.reaches(process, 7)
        for n in range(1, 4):
            self.messages(7 * n, 7)
            self.reaches(process, 7 * n + 7)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)
        self.assertEqual(self.imports(), 0)

    def test_where_the_store_notifies_it_looks_at_once(self):
        self.sql(postgres.EVENTSOURCING.format(name='shop_events', kind='uuid'))
        self.sql('ALTER DATABASE "%s" SET log_statement = \'all\'' % self.database)
        self.addCleanup(self.sql, 'ALTER DATABASE "%s" RESET log_statement' % self.database)
        process = self.follow()
        self.reaches(process, 0)
        writer = self.session()

        def looks():
            return self.server.log().count('max(e."notification_id")')

        time.sleep(3)  # by now it looks once a second
        quiet = looks()
        for _ in range(40):
            writer.sql('NOTIFY shop_events')
            time.sleep(0.05)
        self.assertGreater(looks() - quiet, 8)
        writer.sql("INSERT INTO shop_events VALUES ('0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', 1, 'T', '{}'); NOTIFY shop_events")
        self.reaches(process, 1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)

    def test_another_import_goes_in_between(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        process = self.follow()
        self.reaches(process, 7)
        for turn in range(1, 4):
            lines = ''.join('{"stream":"file","version":%d,"type":"T","data":{}}\n' % n for n in (2 * turn - 1, 2 * turn))
            self.ok('import', self.store, self.path('file', lines), '--source', 'file', '--quiet', '--wait-lock', '5')
            self.messages(7 * turn, 7)
            self.imports('--wait-lock', '5')  # of what is followed, too
            self.reaches(process, 9 * turn + 7)
        self.messages(28, 7)
        self.reaches(process, 41)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)
        self.assertEqual(self.imports(), 0)
        self.ok('verify', self.store)

    def test_a_server_that_was_away_is_found_again(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        process = self.follow()
        self.reaches(process, 7)
        self.server.sql('CHECKPOINT')  # the server does not fsync: else it may come back older
        self.server.stop('immediate')
        time.sleep(1)
        self.server.start()
        self.messages(7, 7)
        self.reaches(process, 14)
        process.send_signal(signal.SIGINT)
        self.assertEqual(tool.wait_for(process, 10), tool.INTERRUPTED)

    def test_a_server_that_comes_back_older_ends_it(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        process = self.follow()
        self.reaches(process, 7)
        keeper = self.session()
        # Locked before the import has to connect again: it may look only when the table is another one.
        keeper.sql("SET application_name = 'keeper'; BEGIN; LOCK message_store.messages")
        self.server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'refold import'")
        keeper.sql("DELETE FROM message_store.messages WHERE global_position = 7;"
                   "INSERT INTO message_store.messages (global_position, position, stream_name, type, data) "
                   "VALUES (7, 0, 'other', 'T', '{}'), (8, 1, 'other', 'T', '{}'); COMMIT")
        self.assertEqual(tool.wait_for(process, 20), tool.FAILED)
        said = process.stdout.read().decode()
        self.assertIn('position 7', said)
        self.assertIn('another one now', said)

    def test_a_server_that_stays_away_ends_it(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        process = self.follow('--wait-writers', '2')
        self.reaches(process, 7)
        self.server.stop('immediate')
        self.assertEqual(tool.wait_for(process, 20), tool.UNREACHABLE)
        self.server.start()
        said = process.stdout.read().decode()
        self.assertIn('no connection', said)
        self.assertIn('7 events were added', said)
        self.assertEqual(said.count('\n'), 1)


tool.main(__name__)
