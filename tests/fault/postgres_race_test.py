"""No event is ever skipped: eight writers draw positions and commit later, in any order, while one import after
another, or one that follows, goes on where the last ended. A server that dies in the middle loses nothing.

That the race is one is shown by reading the same table in the way that looks right: from the highest position
that was read before. It misses events.
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

WRITERS, IMPORTS, EVENTS = 8, 6, 2000

# Up to five events a transaction, in streams of the writer's own; a third draws its positions first, and has
# no transaction id yet; some roll back, which leaves gaps.
WRITER = """
DO $$
DECLARE pause double precision; n int := 0; events int; drawn bigint[];
BEGIN
  FOR i IN 1..5000 LOOP
    EXIT WHEN EXISTS (SELECT FROM enough);
    events := 1 + floor(random() * 5);
    pause := random() * random() * 0.03;
    drawn := NULL;
    IF i % 3 = 0 THEN
      drawn := ARRAY (SELECT nextval('{sequence}') FROM generate_series(1, events));
      PERFORM pg_sleep(pause);
    END IF;
    FOR e IN 1..events LOOP
      {insert};
      IF random() < 0.2 THEN PERFORM pg_sleep(pause); END IF;
    END LOOP;
    PERFORM pg_sleep(pause);
    IF random() < 0.1 THEN ROLLBACK; ELSE n := n + events; COMMIT; END IF;
  END LOOP;
END $$;
"""
MESSAGE = """INSERT INTO message_store.messages (global_position, position, stream_name, type, data)
  VALUES (coalesce(drawn[e], nextval('message_store.messages_global_position_seq')), n + e - 1, 'w-{writer}', 'T', '{{}}')"""
EMMETT_DDL = """
CREATE SEQUENCE emt_global_message_position;
CREATE TABLE emt_messages (
  stream_position BIGINT NOT NULL, global_position BIGINT DEFAULT nextval('emt_global_message_position'),
  transaction_id XID8 NOT NULL, created TIMESTAMPTZ NOT NULL DEFAULT now(), stream_id TEXT NOT NULL,
  message_type TEXT NOT NULL, message_data JSONB NOT NULL, PRIMARY KEY (stream_id, stream_position));
CREATE INDEX ON emt_messages (transaction_id, global_position);
"""
EMMETT = """INSERT INTO emt_messages (global_position, stream_position, transaction_id, stream_id, message_type, message_data)
  VALUES (coalesce(drawn[e], nextval('emt_global_message_position')), n + e, pg_current_xact_id(), 'w-{writer}', 'T', '{{}}')"""


class Race(postgres.Case):
    def write(self, insert, sequence):
        """Starts the writers."""
        self.sql('CREATE TABLE enough ()')
        writers = []
        for writer in range(WRITERS):
            process = self.server.psql('-c', WRITER.format(
                sequence=sequence, insert=insert.format(writer=writer)),
                database=self.database)
            writers.append(process)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.stdin.close)
        return writers

    def stop(self, writers):
        self.sql('INSERT INTO enough DEFAULT VALUES')
        for writer in writers:
            self.assertEqual(writer.wait(), 0, writer.stdout.read())

    def count(self, table):
        return int(self.sql('SELECT count(*) FROM %s' % table))

    def nothing_is_missed(self, table, position):
        stored = sorted(int(line) for line in self.sql('SELECT %s FROM %s' % (position, table)).split())
        self.assertGreater(len(stored), EVENTS)
        self.assertEqual(sorted(event['source_position'] for event in self.events()), stored)

    def naive(self, table, position, seen):
        """What the obvious way reads now: all above the highest position read before."""
        rows = self.sql('SELECT %s FROM %s WHERE %s > %d' % (position, table, position, max(seen, default=0)))
        seen.update(int(line) for line in rows.split())

    def race(self, table, position, insert, sequence, *options):
        writers = self.write(insert, sequence)
        imports, seen = 0, set()
        while imports < IMPORTS or self.count(table) < EVENTS:
            self.imports(*options)
            imports += 1
            self.naive(table, position, seen)
        self.stop(writers)
        self.imports(*options)
        self.naive(table, position, seen)
        self.nothing_is_missed(table, position)
        missed = self.count(table) - len(seen)
        self.assertGreater(missed, 0, 'the race was none: the naive way missed nothing')

    def test_imports_beside_eight_writers(self):
        self.sql(postgres.MESSAGES)
        self.race('message_store.messages', 'global_position', MESSAGE, 'message_store.messages_global_position_seq')

    def test_strict_imports_beside_eight_writers(self):
        self.sql(postgres.MESSAGES)
        self.race('message_store.messages', 'global_position', MESSAGE, 'message_store.messages_global_position_seq',
                  '--strict')

    def test_imports_in_the_order_of_transactions(self):
        self.sql(EMMETT_DDL)
        self.race('emt_messages', 'global_position', EMMETT, 'emt_global_message_position')

    def test_queries_beside_eight_writers(self):
        self.sql(postgres.MESSAGES)
        self.race('message_store.messages', 'global_position', MESSAGE, 'message_store.messages_global_position_seq',
                  '--query', 'SELECT global_position AS position, stream_name AS stream, position AS version, type, data '
                  'FROM message_store.messages')

    def follow(self):
        process = subprocess.Popen(
            [tool.refold, 'import', self.store, self.url, '--follow', '--quiet'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        self.addCleanup(process.stdout.close)
        return process

    def follows_to(self, process, count):
        for _ in range(300):
            if os.path.exists(os.path.join(self.store, 'FORMAT')) and self.info()['events'] >= count:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)

    def test_following_eight_writers(self):
        self.sql(postgres.MESSAGES)
        process = self.follow()
        writers = self.write(MESSAGE, 'message_store.messages_global_position_seq')
        while self.count('message_store.messages') < EVENTS:
            time.sleep(0.1)
        self.stop(writers)
        self.follows_to(process, self.count('message_store.messages'))
        self.nothing_is_missed('message_store.messages', 'global_position')


class Death(postgres.Case):
    COUNT = 100000

    def setUp(self):
        super().setUp()
        self.sql(postgres.MESSAGES)
        self.sql("INSERT INTO message_store.messages (position, stream_name, type, data) "
                 "SELECT n / 97, 'order-' || n %% 97, 'T', jsonb_build_object('n', n, 'pad', repeat('x', 200)) "
                 'FROM generate_series(0, %d) n; ANALYZE message_store.messages; CHECKPOINT' % (self.COUNT - 1))

    def dies(self, how, after):
        """Starts an import and ends the server in the middle; the message of the import."""
        process = subprocess.Popen([tool.refold, 'import', self.store, self.url, '--quiet'],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(after)
        how()
        said = process.communicate()[0].decode()
        self.server.start()
        return process.returncode, said

    def test_a_server_that_dies_in_the_middle_loses_nothing(self):
        died = 0
        for how, after in ((lambda: self.server.stop('immediate'), 0.15), (self.server.kill, 0.1),
                           (lambda: self.server.stop('fast'), 0.2), (lambda: self.server.stop('immediate'), 0.05)):
            code, said = self.dies(how, after)
            if code == tool.DONE:
                continue
            died += 1
            self.assertEqual(code, tool.UNREACHABLE, said)
            self.assertEqual(said.count('\n'), 1, said)
            self.assertIn(' added', said)
            self.assertEqual('no store was made' in said, not os.path.exists(self.store), said)
            if os.path.exists(self.store):
                self.verifies()
        self.assertGreater(died, 0, 'no import was met in the middle')
        self.imports()
        self.assertEqual([e['data']['n'] for e in self.events()], list(range(self.COUNT)))
        self.verifies()

    def test_a_connection_that_is_ended_in_the_middle(self):
        """One of several, by an administrator: the import ends as if the server had died."""
        process = subprocess.Popen([tool.refold, 'import', self.store, self.url, '--quiet'],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(200):
            if int(self.sql("SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
                            "WHERE application_name = 'refold import' AND query LIKE 'COPY%' LIMIT 1) p")):
                break
        said = process.communicate()[0].decode()
        self.assertIn(process.returncode, (tool.UNREACHABLE, tool.DONE), said)
        if process.returncode == tool.UNREACHABLE:
            self.assertEqual(said.count('\n'), 1, said)
            self.assertIn('connection', said)
        self.imports()
        self.assertEqual(self.info()['events'], self.COUNT)


tool.main(__name__)
