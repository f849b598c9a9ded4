"""import STORE postgresql://…: what each preset makes of its store's tables, where an import goes on,
whom it waits for, and what it says when something is wrong.

Stores whose databases were not at hand have the tables that their documentation gives.
"""

import json
import os
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

CANARY = 'S3cr3tCANARY'

MARTEN = """
CREATE SEQUENCE {schema}.mt_events_sequence;
CREATE TABLE {schema}.mt_events (
  seq_id bigint NOT NULL PRIMARY KEY, id uuid NOT NULL DEFAULT gen_random_uuid(), stream_id {stream} NOT NULL,
  version bigint NOT NULL, data jsonb NOT NULL, bdata bytea NULL, type varchar(500) NOT NULL,
  timestamp timestamptz NOT NULL DEFAULT now(), tenant_id varchar DEFAULT '*DEFAULT*',
  mt_dotnet_type varchar NULL, correlation_id varchar NULL, causation_id varchar NULL, headers jsonb NULL,
  user_name varchar NULL, is_skipped boolean NULL, is_archived boolean DEFAULT FALSE);
CREATE UNIQUE INDEX pk_mt_events_stream_and_version ON {schema}.mt_events (tenant_id, stream_id, version);
"""

EMMETT = """
CREATE SEQUENCE emt_global_message_position;
CREATE TABLE emt_messages (
  stream_position BIGINT NOT NULL, global_position BIGINT DEFAULT nextval('emt_global_message_position'),
  transaction_id XID8 NOT NULL, created TIMESTAMPTZ NOT NULL DEFAULT now(),
  is_archived BOOLEAN NOT NULL DEFAULT FALSE, message_kind VARCHAR(1) NOT NULL DEFAULT 'E',
  stream_id TEXT NOT NULL, partition TEXT NOT NULL DEFAULT 'emt:default',
  message_schema_version TEXT NOT NULL, message_id TEXT NOT NULL, message_type TEXT NOT NULL,
  message_data JSONB NOT NULL, message_metadata JSONB NOT NULL,
  PRIMARY KEY (stream_id, stream_position, partition, is_archived)) PARTITION BY LIST (partition);
CREATE TABLE emt_messages_emt_default PARTITION OF emt_messages FOR VALUES IN ('emt:default')
  PARTITION BY LIST (is_archived);
CREATE TABLE emt_messages_emt_default_active PARTITION OF emt_messages_emt_default FOR VALUES IN (FALSE);
CREATE TABLE emt_messages_emt_default_archived PARTITION OF emt_messages_emt_default FOR VALUES IN (TRUE);
CREATE TABLE emt_messages_other PARTITION OF emt_messages FOR VALUES IN ('other');
"""
EMMETT_EVENT = """INSERT INTO emt_messages (stream_position, transaction_id, stream_id, message_schema_version,
  message_id, message_type, message_data, message_metadata%s) VALUES (%%d, pg_current_xact_id(), '%%s', '%%s',
  gen_random_uuid(), '%%s', '%%s', '%%s'%s)"""


RAILS = """
CREATE TABLE event_store_events (
  id bigserial PRIMARY KEY, event_id uuid NOT NULL UNIQUE, event_type varchar NOT NULL, metadata {kind},
  data {kind} NOT NULL, created_at timestamp(6) NOT NULL, valid_at timestamp(6));
CREATE TABLE event_store_events_in_streams (
  id bigserial PRIMARY KEY, stream varchar NOT NULL, position integer,
  event_id uuid NOT NULL REFERENCES event_store_events (event_id), created_at timestamp(6) NOT NULL);
CREATE INDEX ON event_store_events_in_streams (event_id);
CREATE UNIQUE INDEX ON event_store_events_in_streams (stream, position);
CREATE UNIQUE INDEX ON event_store_events_in_streams (stream, event_id);
"""

AXON = """
CREATE SEQUENCE domain_event_entry_seq START WITH 1 INCREMENT BY {increment};
CREATE TABLE domain_event_entry (
  global_index bigint NOT NULL PRIMARY KEY, event_identifier varchar(255) NOT NULL UNIQUE, meta_data {kind},
  payload {kind} NOT NULL, payload_revision varchar(255), payload_type varchar(255) NOT NULL,
  time_stamp varchar(255) NOT NULL, aggregate_identifier varchar(255) NOT NULL,
  sequence_number bigint NOT NULL, type varchar(255), UNIQUE (aggregate_identifier, sequence_number));
"""


class Presets(postgres.Case):
    def test_messagedb(self):
        self.sql(postgres.MESSAGES)
        self.message('account-1', 0, 'Opened', """'{"name": "Č \\"x\\" \\\\ y"}'""", """'{"by": 1}'""")
        self.message('account-1', 1, 'Closed', 'NULL')
        self.sql("UPDATE message_store.messages SET time = '2024-07-10 12:00:00.25'")
        self.assertEqual(self.imports('--preset', 'messagedb'), 2)
        first, second = self.events()
        self.assertEqual(first, {
            'position': 1, 'source_position': 1, 'stream': 'account-1', 'version': 0, 'type': 'Opened', 'schema': 1,
            'time': '2024-07-10T12:00:00.250000Z', 'data': {'name': 'Č "x" \\ y'}, 'metadata': {'by': 1}})
        self.assertIsNone(second['data'])
        self.assertNotIn('metadata', second)

    def test_eventsourcing(self):
        self.sql(postgres.EVENTSOURCING.format(name='bank_events', kind='uuid'))
        state = ('{"timestamp":{"_type_":"datetime_iso","_data_":"2024-02-05T00:02:10.5+00:00"},"class_version":2,'
                 '"total":{"_type_":"decimal_str","_data_":"12.50"}}').encode()
        for version, stored in ((1, state), (2, zlib.compress(state))):
            self.sql("INSERT INTO bank_events VALUES ('0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', %d, 'bank:Account.Opened', "
                     "'\\x%s')" % (version, stored.hex()))
        self.assertEqual(self.imports('--preset', 'eventsourcing'), 2)
        first, second = self.events()
        self.assertEqual(first, {
            'position': 1, 'source_position': 1, 'stream': '0190a7c26b1d7cc49f5e3d2c1b0a9f8e', 'version': 1,
            'type': 'bank:Account.Opened', 'schema': 2, 'time': '2024-02-05T00:02:10.500000Z', 'data': second['data']})
        self.assertEqual(second['data']['total'], '12.50')
        self.sql("INSERT INTO bank_events VALUES ('0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', 3, 'T', '\\x00')")
        self.refuses(tool.FAILED, ['bank_events', 'position 3'], 'import', self.store, self.url)
        self.sql("UPDATE bank_events SET originator_version = 9 WHERE notification_id = 2")
        self.refuses(tool.FAILED, ['position 2', 'another one now'], 'import', self.store, self.url)
        # A second application in the same database.
        self.sql(postgres.EVENTSOURCING.format(name='shop_events', kind='text'))
        self.sql("INSERT INTO shop_events VALUES ('order-1', 1, 'shop:Order.Placed', '\\x%s')" % state.hex())
        self.refuses(tool.FAILED, ['bank_events', 'shop_events', '--table'], 'import', self.store, self.url)
        self.assertEqual(self.imports('--preset', 'eventsourcing', '--table', 'shop_events', '--source', 'shop'), 1)
        self.refuses(tool.USAGE, ['--table needs --preset'], 'import', self.store, self.url, '--table', 'shop_events')
        self.assertEqual(self.events('--stream', 'order-1')[0]['type'], 'shop:Order.Placed')

    def test_marten_with_uuids(self):
        self.sql(MARTEN.format(schema='public', stream='uuid'))
        stream = '0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e'
        self.sql("""INSERT INTO mt_events (seq_id, stream_id, version, data, type, timestamp, headers, correlation_id,
              is_archived, is_skipped)
            VALUES (3, '{0}', 1, '{{"Amount": 12.50}}', 'deposited', '2024-07-10 14:00:00+02', '{{"k": [1]}}', 'c-1',
                false, NULL),
              (7, '{0}', 2, '{{}}', 'closed', '2024-07-10 12:00:01Z', NULL, NULL, NULL, true),
              (8, gen_random_uuid(), 1, '{{}}', 'closed', '2024-07-10 12:00:01Z', NULL, NULL, true, NULL)""".format(stream))
        self.assertEqual(self.imports('--preset', 'marten'), 2)
        self.assertEqual(self.events(), [
            {'position': 1, 'source_position': 3, 'stream': stream, 'version': 1, 'type': 'deposited', 'schema': 1,
             'time': '2024-07-10T12:00:00Z', 'data': {'Amount': 12.5},
             'metadata': {'headers': {'k': [1]}, 'correlation_id': 'c-1'}},
            {'position': 2, 'source_position': 7, 'stream': stream, 'version': 2, 'type': 'closed', 'schema': 1,
             'time': '2024-07-10T12:00:01Z', 'data': {}, 'metadata': {'skipped': True}}])
        # What Marten does to an event later does not make it another one.
        self.sql("UPDATE mt_events SET is_skipped = false, is_archived = true, headers = '{}', data = '{\"masked\": 1}' "
                 'WHERE seq_id = 7')
        self.assertEqual(self.imports('--preset', 'marten'), 0)
        self.sql('UPDATE mt_events SET version = 3 WHERE seq_id = 7')
        self.refuses(tool.FAILED, ['position 7', 'another one now'], 'import', self.store, self.url)

    def test_marten_with_names_and_tenants_in_a_schema_of_its_own(self):
        self.sql('CREATE SCHEMA "Ev ents"' + ';' + MARTEN.format(schema='"Ev ents"', stream='varchar'))
        self.sql("""INSERT INTO "Ev ents".mt_events (seq_id, stream_id, version, data, type, tenant_id)
            VALUES (1, 'order-1', 1, '{}', 'placed', '*DEFAULT*'), (2, 'order-1', 1, '{}', 'placed', 'north'),
              (3, 'order-1', 2, '{}', 'paid', 'north')""")
        self.assertEqual(self.imports(), 3)
        self.assertEqual(self.brief(), [(1, 'order-1', 1, 'placed'), (2, 'north/order-1', 1, 'placed'),
                                        (3, 'north/order-1', 2, 'paid')])

    def test_emmett_in_the_order_of_transactions(self):
        self.sql(EMMETT)
        event = EMMETT_EVENT % ('', '')
        early, late = self.session(), self.session()
        early.sql('BEGIN; SELECT pg_current_xact_id()')
        late.sql('BEGIN;' + event % (1, 'cart-2', '1', 'Opened', '{}', '{}'))
        early.sql(event % (1, 'cart-1', '2', 'Opened', '{"n": 1}', '{"user": "u"}'))
        late.sql('COMMIT')
        # What runs has a lower id than what is visible.
        self.refuses(tool.UNREACHABLE, ['waited', 'transaction', 'nothing is skipped'], 'import', self.store,
                     self.url, '--wait-writers', '1')
        early.sql('COMMIT')
        self.assertEqual(self.imports('--preset', 'emmett'), 2)
        self.assertEqual(self.brief(), [(2, 'cart-1', 1, 'Opened'), (1, 'cart-2', 1, 'Opened')])
        self.assertEqual([e['schema'] for e in self.events()], [2, 1])
        self.assertEqual(self.events()[0]['metadata'], {'user': 'u'})
        self.sql(event % (2, 'cart-1', '1', 'Closed', '{}', '{}'))
        self.assertEqual(self.imports('--preset', 'emmett'), 1)
        self.assertEqual(self.imports('--preset', 'emmett', '--from-start'), 0)
        # The row that was read last became another one.
        self.sql("UPDATE emt_messages SET stream_id = 'cart-3' WHERE global_position = 3;"
                 + event % (2, 'cart-2', '1', 'Closed', '{}', '{}'))
        self.refuses(tool.FAILED, ['position 3', 'another one now', '--from-start'], 'import', self.store, self.url)

    def test_emmett_with_partitions_and_archived_streams(self):
        """A stream may begin anew when the one of its name was archived; commands are no events."""
        self.sql(EMMETT)
        self.sql((EMMETT_EVENT % (', is_archived', ', true')) % (1, 'a', '1', 'Old', '{}', '{}'))
        self.sql((EMMETT_EVENT % (', message_kind', ", 'C'")) % (1, 'c', '1', 'Command', '{}', '{}'))
        self.sql((EMMETT_EVENT % ('', '')) % (1, 'a', '1', 'New', '{}', '{}'))
        self.sql((EMMETT_EVENT % (', partition', ", 'other'")) % (1, 'a', '1', 'T', '{}', '{}'))
        self.assertEqual(self.imports(), 2)
        self.assertEqual(self.brief(), [(3, 'a', 1, 'New'), (4, 'other/a', 1, 'T')])

    def test_emmett_restored_into_another_server(self):
        """Its transactions' ids are those of the old server: the position alone is the order."""
        self.sql(EMMETT)
        event = EMMETT_EVENT % ('', '')
        self.sql(event % (1, 'a', '1', 'T', '{}', '{}') + "; UPDATE emt_messages SET transaction_id = '99999999999'")
        self.assertEqual(self.imports(), 1)
        self.sql(event % (2, 'a', '1', 'T', '{}', '{}'))
        self.assertEqual(self.imports(), 1)
        self.assertEqual(self.imports(), 0)

    def test_emmett_restored_between_two_imports_is_not_gone_on_with(self):
        self.sql(EMMETT)
        event = EMMETT_EVENT % ('', '')
        self.sql(event % (1, 'a', '1', 'T', '{}', '{}'))
        self.assertEqual(self.imports(), 1)
        self.sql("UPDATE emt_messages SET transaction_id = '99999999999';" + event % (2, 'a', '1', 'T', '{}', '{}'))
        self.refuses(tool.USAGE, ['restored', '--from-start'], 'import', self.store, self.url)
        self.assertEqual(self.imports('--from-start'), 1)

    def test_railseventstore(self):
        for kind, cast in (('jsonb', ''), ('bytea', '')):
            self.sql('DROP TABLE IF EXISTS event_store_events_in_streams, event_store_events;' +
                     RAILS.format(kind=kind))
            self.sql("""INSERT INTO event_store_events (event_id, event_type, metadata, data, created_at, valid_at)
                SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'OrderPlaced', '{"user": 5}',
                  '{"n": 1}', '2024-07-10 12:00:00', CASE n WHEN 2 THEN timestamp '2024-01-01 00:00:00' END
                FROM generate_series(1, 3) n;
              INSERT INTO event_store_events_in_streams (stream, position, event_id, created_at)
              VALUES ('Order$1', 0, '00000000-0000-0000-0000-000000000001', now()),
                ('Order$1', 1, '00000000-0000-0000-0000-000000000002', now()),
                ('linked', 0, '00000000-0000-0000-0000-000000000001', now())""")
            self.store = self.path(kind + '.refold')
            self.assertEqual(self.imports('--preset', 'railseventstore'), 3)
            self.assertEqual(self.brief(), [(1, 'Order$1', 1, 'OrderPlaced'), (2, 'Order$1', 2, 'OrderPlaced'),
                                            (3, '00000000-0000-0000-0000-000000000003', 1, 'OrderPlaced')])
            self.assertEqual(self.events()[0]['metadata'], {'user': 5})
            self.assertEqual(self.events()[1]['metadata'],
                             {'user': 5, 'valid_at': '2024-01-01T00:00:00.000000Z'})
            self.assertEqual(self.events()[0]['data'], {'n': 1})
            self.assertEqual(self.imports('--preset', 'railseventstore', '--from-start'), 0)

    def axon(self, kind, values, increment=1):
        self.sql('DROP TABLE IF EXISTS domain_event_entry; DROP SEQUENCE IF EXISTS domain_event_entry_seq;' +
                 AXON.format(kind=kind, increment=increment))
        self.sql("""INSERT INTO domain_event_entry (global_index, event_identifier, meta_data, payload, payload_revision,
              payload_type, time_stamp, aggregate_identifier, sequence_number, type) VALUES """ + values)

    def test_axon_with_json(self):
        as_bytes = """(1, 'e1', '{"trace": "t"}', '{"id": "a", "n": 1}', NULL, 'shop.OrderPlaced',
            '2024-07-10T12:00:00.123Z', 'a', 0, 'Order'), (2, 'e2', NULL, '{}', '3', 'shop.OrderPaid',
            '2024-07-10T12:00:01Z', 'a', 1, 'Order'), (3, 'e3', NULL, '{}', '1.0', 'shop.OrderPaid',
            '2024-07-10T12:00:02Z', 'b', 0, 'Order')"""
        as_objects = as_bytes.replace("""'{"trace": "t"}', '{"id": "a", "n": 1}'""",
                                      """lo_from_bytea(0, '{"trace": "t"}'), lo_from_bytea(0, '{"id": "a", "n": 1}')"""
                                      ).replace("NULL, '{}'", "NULL, lo_from_bytea(0, '{}')")
        for kind, values in (('bytea', as_bytes), ('oid', as_objects)):
            self.axon(kind, values)
            self.store = self.path(kind + '.refold')
            self.assertEqual(self.imports('--preset', 'axon'), 3)
            first, second, third = self.events()
            self.assertEqual((first['stream'], first['version'], first['time']),
                             ('a', 0, '2024-07-10T12:00:00.123000Z'))
            self.assertEqual((first['data'], first['metadata']), ({'id': 'a', 'n': 1}, {'trace': 't'}))
            self.assertEqual((second['schema'], second.get('metadata')), (3, None))
            self.assertEqual((third['schema'], third['metadata']), (1, {'revision': '1.0'}))

    def test_axon_with_xml_is_refused(self):
        self.axon('bytea', "(9, 'e', NULL, '<x/>', NULL, 'T', '2024-07-10T12:00:00Z', 'a', 0, 'O')")
        self.refuses(tool.FAILED, ['position 9', 'XML', 'nothing was added'], 'import', self.store, self.url)

    def test_positions_drawn_in_blocks_are_read_anew_each_time(self):
        """Two writers with blocks of 50: a later event has a lower position than one imported before."""
        row = "(%d, 'e%d', NULL, '{}', NULL, 'T', '2024-07-10T12:00:00Z', '%s', %d, 'O')"
        self.axon('bytea', row % (51, 51, 'b', 0), increment=50)
        self.assertEqual(self.imports(), 1)
        self.sql("INSERT INTO domain_event_entry (global_index, event_identifier, meta_data, payload, payload_revision,"
                 "payload_type, time_stamp, aggregate_identifier, sequence_number, type) VALUES " + row % (2, 2, 'a', 0))
        self.assertEqual(self.imports(), 1)
        self.refuses(tool.USAGE, ['--follow', 'blocks'], 'import', self.store, self.url, '--follow')

    def test_the_preset_is_known_by_its_tables(self):
        self.refuses(tool.USAGE, ['--query', '--preset'], 'import', self.store, self.url)
        self.sql(postgres.MESSAGES)
        self.message('a', 0)
        self.assertEqual(self.imports(), 1)
        self.sql(MARTEN.format(schema='public', stream='uuid'))
        self.refuses(tool.USAGE, ['messagedb', 'marten', '--preset'], 'import', self.store, self.url)


class Queries(postgres.Case):
    def test_columns_are_members_and_maps_name_them(self):
        self.sql("""CREATE TABLE facts (no bigserial PRIMARY KEY, subject uuid, kind text, at timestamptz, body json,
            extra numeric, on_day date, flag bool);
          INSERT INTO facts (subject, kind, at, body, extra, on_day, flag) VALUES
            ('0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', 'K', '2024-07-10 12:00:00+00', E'{"a":\\n 1}', 1.50, '2024-01-01', true),
            ('0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', 'K', 'infinity', '{}', 'NaN', NULL, NULL);""")
        query = 'SELECT * FROM facts WHERE no < 2 -- the first'
        maps = ('--map', 'position=no,stream=subject,type=kind,time=at', '--map', 'data=body')
        summary = self.ok('import', self.store, self.url, '--quiet', '--json', '--query', query, *maps).json
        self.assertEqual(summary['members_not_used'], {'extra': 1, 'on_day': 1, 'flag': 1})
        event = self.events()[0]
        self.assertEqual((event['source_position'], event['stream'], event['type'], event['data'], event['time']),
                         (1, '0190a7c2-6b1d-7cc4-9f5e-3d2c1b0a9f8e', 'K', {'a': 1}, '2024-07-10T12:00:00Z'))
        self.refuses(tool.FAILED, ['time', 'infinity'], 'import', self.store, self.url, '--query',
                     'SELECT * FROM facts;', *maps)

    def test_times_without_zone_need_one(self):
        self.sql("CREATE TABLE f (id int, s text, t text, at timestamp, d jsonb);"
                 "INSERT INTO f VALUES (1, 's', 'T', '2024-07-10 12:00:00', '{}')")
        query = ('--query', 'SELECT id AS position, s AS stream, t AS type, at AS time, d AS data FROM f')
        self.refuses(tool.FAILED, ['time'], 'import', self.store, self.url, *query)
        self.imports(*query, '--time-zone', '+02:00')
        self.assertEqual(self.events()[0]['time'], '2024-07-10T10:00:00Z')

    def test_a_query_goes_on_where_it_ended_and_takes_any_order(self):
        self.sql('CREATE TABLE f (id int, s text); INSERT INTO f SELECT n, n FROM generate_series(9, 1, -1) n')
        query = ('--query', "SELECT id AS position, s AS stream, 'T' AS type, '{}'::json AS data FROM f ORDER BY id DESC")
        self.assertEqual(self.imports(*query), 9)
        self.assertEqual([e[0] for e in self.brief()], list(range(1, 10)))
        self.sql('INSERT INTO f VALUES (10, 10)')
        self.assertEqual(self.imports(*query), 1)

    def test_a_query_writes_nothing(self):
        self.sql('CREATE TABLE f (id int); CREATE FUNCTION w() RETURNS int LANGUAGE sql AS $$ INSERT INTO f VALUES (1) RETURNING id $$')
        self.refuses(tool.FAILED, ['read-only'], 'import', self.store, self.url, '--query',
                     "SELECT w() AS position, 's' AS stream, 'T' AS type, '{}'::json AS data")
        self.assertEqual(self.sql('SELECT count(*) FROM f'), '0')

    def test_a_query_without_position_is_refused(self):
        for query, words in (("SELECT 1 AS n", ['position', 'order']), ("SELECT 'x' AS position", ['no position']),
                             ("SELECT 1 AS position, ''::bytea AS b", ['bytea', "'b'"]), ('SELEC', ['syntax']),
                             ('SELECT * FROM absent', ['absent']), ('SELECT 1 AS position) e; DROP TABLE x; --', ['syntax'])):
            self.refuses(tool.FAILED, words, 'import', self.store, self.url, '--query', query)


class Faults(postgres.Case):
    def no_store(self):
        self.assertFalse(os.path.exists(self.store))

    def test_a_wrong_preset_says_what_is_missing(self):
        self.refuses(tool.FAILED, ['messages', 'messagedb', '--table'], 'import', self.store, self.url, '--preset', 'messagedb')
        self.refuses(tool.FAILED, ['originator_id', 'eventsourcing'], 'import', self.store, self.url, '--preset', 'eventsourcing')
        self.refuses(tool.USAGE, ['nonsense', 'marten'], 'import', self.store, self.url, '--preset', 'nonsense')
        self.refuses(tool.FAILED, ["'absent'"], 'import', self.store, self.url, '--preset', 'marten', '--table', 'absent')
        self.sql('CREATE TABLE mt_events (seq_id bigint, data jsonb)')
        self.refuses(tool.FAILED, ['mt_events', 'stream_id', 'marten'], 'import', self.store, self.url, '--preset', 'marten')
        self.sql('CREATE SCHEMA a; CREATE TABLE a.emt_messages (); CREATE SCHEMA b; CREATE TABLE b.emt_messages ()')
        self.refuses(tool.FAILED, ['a.emt_messages', 'b.emt_messages', '--table'], 'import', self.store, self.url, '--preset', 'emmett')
        self.no_store()

    def test_a_missing_permission_is_said(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        self.server.sql('CREATE ROLE nobody_special LOGIN')
        self.addCleanup(self.server.sql, 'DROP ROLE nobody_special')
        url = self.server.url(self.database, 'nobody_special')
        self.refuses(tool.FAILED, ['permission denied', 'message_store'], 'import', self.store, url, '--preset', 'messagedb')
        self.sql('GRANT USAGE ON SCHEMA message_store TO nobody_special')
        self.refuses(tool.FAILED, ['permission denied', 'messages', 'nothing was added'], 'import', self.store, url,
                     '--preset', 'messagedb')
        self.no_store()
        self.sql('GRANT SELECT ON message_store.messages TO nobody_special')
        self.assertEqual(self.imports(url=url), 7)
        # Rows that a policy hides are not left out silently.
        self.sql('ALTER TABLE message_store.messages ENABLE ROW LEVEL SECURITY;'
                 'CREATE POLICY p ON message_store.messages USING (global_position < 3)')
        self.refuses(tool.FAILED, ['row-level security', 'messages'], 'import', self.store, url)
        self.sql('DROP OWNED BY nobody_special')

    def test_a_bad_url_is_refused_before_anything(self):
        for url, code, words in (
            ('postgresql://u:pa@ss@host/db', tool.USAGE, ['%40']),
            ('postgresql://host/db?nonsense=1', tool.USAGE, ['makes no sense']),
            (self.server.url('absent_database'), tool.FAILED, ['absent_database', 'does not exist']),
            (self.server.url(user='absent_role'), tool.FAILED, ['role "absent_role" does not exist; no']),
            ('postgresql:///x?host=/nowhere', tool.UNREACHABLE, ['/nowhere/x', 'no connection']),
            ('service=absent_service', tool.USAGE, ['service']),
        ):
            self.refuses(code, words, 'import', self.store, url, '--preset', 'marten')
            self.no_store()

    def test_a_server_that_takes_nobody_now_may_do_so_later(self):
        self.sql('CREATE ROLE narrow LOGIN CONNECTION LIMIT 0')
        self.refuses(tool.UNREACHABLE, ['too many connections for role', 'no store was made'], 'import', self.store,
                     self.server.url(self.database, 'narrow'))
        self.sql('CREATE ROLE banned LOGIN; REVOKE CONNECT ON DATABASE %s FROM PUBLIC' % self.database)
        self.refuses(tool.FAILED, ['permission denied for database', 'no store was made'], 'import', self.store,
                     self.server.url(self.database, 'banned'))

    def test_a_payload_that_is_refused_is_named_by_its_position(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        self.message('', 0)
        self.refuses(tool.FAILED, ['messages, position 8', 'stream', 'nothing was added'], 'import', self.store, self.url,
                     '--atomic')

    def test_a_wait_in_vain_makes_no_store(self):
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        writer = self.session()
        writer.sql("BEGIN; INSERT INTO message_store.messages (position, stream_name, type, data) VALUES (1, 's', 'T', '{}')")
        self.refuses(tool.UNREACHABLE, ['waited 1 s', 'no store was made'], 'import', self.store, self.url,
                     '--wait-writers', '1')
        self.no_store()
        writer.sql('ROLLBACK')
        self.assertEqual(self.imports(), 7)


class Secrets(postgres.Case):
    def setUp(self):
        super().setUp()
        self.sql(postgres.MESSAGES)
        self.messages(0, 7)
        self.user = 'canary_%d' % os.getpid()
        self.server.passwords(self.user, CANARY)
        self.sql('GRANT USAGE ON SCHEMA message_store TO %s; GRANT SELECT ON message_store.messages TO %s'
                 % (self.user, self.user))

    def tearDown(self):
        self.sql('DROP OWNED BY %s; DROP ROLE %s' % (self.user, self.user))

    def no_canary(self, *texts):
        for text in texts:
            self.assertNotIn(CANARY.encode(), text)
        for folder, _, names in os.walk(self.store):
            for name in names:
                self.assertNotIn(CANARY.encode(), tool.read(os.path.join(folder, name)), name)

    def test_a_password_is_nowhere(self):
        url = self.server.url(self.database, self.user, CANARY)
        result = self.ok('import', self.store, url)
        self.no_canary(result.out, result.err, self.ok('info', self.store, '--json').out)
        for bad in (url.replace(CANARY, CANARY + '1'), url.replace('/%s?' % self.database, '/absent?'),
                    url.replace(self.user, 'who'), url + '&x=1', url.replace(CANARY, CANARY + '@'),
                    url.replace('@/', '@host:x/')):
            result = tool.call('import', self.store, bad)
            self.assertNotEqual(result.code, 0)
            if bad.count(CANARY) == 1:
                self.no_canary(result.out, result.err)
        result = self.refuses(tool.FAILED, ['password authentication failed', self.user], 'import', self.store,
                              url.replace(CANARY, CANARY + '1'))
        self.assertNotIn('28P01', result.message)
        self.assertNotIn('LOCATION', result.message)
        result = tool.call('import', self.store, '--map', 'x', url)
        self.assertEqual(result.code, tool.USAGE)
        self.no_canary(result.out, result.err)
        result = tool.call('swap', self.store, url)
        self.no_canary(result.out, result.err)

    def test_a_password_is_not_in_the_list_of_processes(self):
        writer = self.session()
        writer.sql("BEGIN; INSERT INTO message_store.messages (position, stream_name, type) VALUES (1, 'order-1', 'T')")
        url = self.server.url(self.database, self.user, CANARY)
        process = subprocess.Popen([tool.refold, 'import', self.store, url, '--quiet', '--json'], stdout=subprocess.PIPE)
        for _ in range(100):
            if self.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '%s'" % self.user) == '1':
                break
            time.sleep(0.05)
        with open('/proc/%d/cmdline' % process.pid, 'rb') as file:
            line = file.read()
        writer.sql('COMMIT')
        self.assertGreaterEqual(json.loads(process.communicate()[0])['added'], 7)
        self.assertIn(b'postgresql://' + self.user.encode(), line)
        self.no_canary(line)

    def test_passfile_and_service_file(self):
        passfile = self.path('pgpass', '*:*:*:%s:%s\n' % (self.user, CANARY))
        os.chmod(passfile, 0o600)
        service = self.path('services', '[shop]\nhost=%s\nuser=%s\ndbname=%s\n'
                            % (self.server.folder, self.user, self.database))
        self.assertEqual(self.imports(url=self.server.url(self.database, self.user), env={'PGPASSFILE': passfile}), 7)
        env = {'PGPASSFILE': passfile, 'PGSERVICEFILE': service}
        self.assertEqual(self.imports(url='service=shop', env=env), 0)
        self.assertEqual(self.imports(url='postgresql:///?service=shop', env=env), 0)
        self.no_canary()
        empty = self.path('empty', '')
        os.chmod(empty, 0o600)
        self.refuses(tool.FAILED, ['no password'], 'import', self.store, self.server.url(self.database, self.user),
                     env={'PGPASSFILE': empty})


tool.main(__name__)
