"""Databases as other libraries wrote them, restored into a private PostgreSQL server and imported from there:
our rows equal what those libraries, or SQL in that server, say of every stream.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import stores
import tool

CARTS = """
name "carts"
version (1)
columns { "status text", "items json", "cents int", "discounts json", "client text", "events int" }

on ("ShoppingCartOpened", { "client text" }, function (row, e)
    row.status, row.client, row.items, row.discounts = "open", e.client, {}, {}
end)
on ("ProductItemAdded", { "productId text", "quantity int", "unitPrice decimal(2)" }, function (row, e)
    row.items[e.productId] = (row.items[e.productId] or 0) + e.quantity
    row.cents = row.cents + e.quantity * e.unitPrice
end)
on ("DiscountApplied", { "couponId text" }, function (row, e)
    row.discounts[#row.discounts + 1] = e.couponId
end)
on ("ShoppingCartConfirmed", {}, function (row, e) row.status = "confirmed" end)
on ("ShoppingCartCancelled", {}, function (row, e) row.status = "cancelled" end)
on ("*", {}, function (row, e) row.events = e.version end)
"""

ACCOUNTS = """
name "accounts"
version (1)
columns { "stream_version int", "messages int", "balance decimal(2)", "closed bool" }

on ("Credited", { "amount decimal(2)" }, function (row, e) row.balance = row.balance + e.amount end)
on ("Debited", { "amount decimal(2)" }, function (row, e) row.balance = row.balance - e.amount end)
on ("Closed", {}, function (row, e) row.closed = true end)
on ("*", {}, function (row, e)
    row.stream_version, row.messages = e.version, row.messages + 1
end)
"""


class PostgresStores(postgres.Case):
    equals_the_library = stores.Stores.equals_the_library

    def restore(self, name, before=''):
        """Restores a dump; what it needs of its server comes before."""
        packed = tool.shared_file(name + '.sql.zst')
        if packed is None:
            self.skipTest('no shared data')
        # pg_dump writes commands of psql that older ones do not know
        lines = [line for line in tool.read(packed).split(b'\n')
                 if not line.startswith((b'\\restrict', b'\\unrestrict'))]
        self.sql(before.encode() + b'\n'.join(lines))

    def same_events(self, name, *left_out):
        """All that was imported is what the set's own export of the store has."""
        log = tool.shared_file(name + '.events.jsonl.zst')
        got = {(e['stream'], e['version']): e for e in self.events()}
        wanted = [json.loads(line) for line in tool.read(log).decode('utf-8').splitlines()]
        self.assertEqual(len(got), len(wanted))
        for event in wanted:
            mine = got[event['stream'], event['version']]
            for member in ('type', 'data', 'metadata'):
                self.assertEqual(mine.get(member), event.get(member), event)
            self.assertEqual(stores.moment(mine['time'].replace('Z', '+00:00')),
                             stores.moment(event['time'].replace('Z', '+00:00')))
            self.assertEqual(mine['source_position'], event['position'])

    def imported(self, preset):
        summary = self.ok('import', self.store, self.url, '--preset', preset, '--quiet', '--json').json
        self.assertEqual(summary['duplicates'], 0)
        self.assertEqual(self.imports(), 0)
        self.assertEqual(self.imports('--from-start'), 0)
        return summary['added']

    def rows_of(self, name, source):
        """By key, the same for each number of workers."""
        digests = set()
        for workers in stores.WORKERS:
            digests.add(self.rebuild(self.path(name + '.lua', source),
                                     options=('--workers', workers, '--dev', '--unknown', 'ignore'))[0]['digest'])
        self.assertEqual(len(digests), 1)
        self.ok('verify', self.store, '--serial')
        rows = [json.loads(line) for line in self.rows(name).splitlines()]
        return {row.pop('key'): row for row in rows}

    def test_eventsourcing(self):
        self.restore('es-pg')
        self.assertEqual(self.imported('eventsourcing'), 9141)
        self.equals_the_library('es-pg')

    def test_emmett(self):
        self.restore('emmett-pg')
        self.assertEqual(self.imported('emmett'), 4433)
        self.same_events('emmett')
        expected = {}
        for line in tool.read(tool.shared_file('emmett.oracle.jsonl.zst')).splitlines():
            entry = json.loads(line)
            expected[entry['stream']] = dict(entry['state'], events=entry['version'])
        got = self.rows_of('carts', CARTS)
        for row in got.values():
            row['discounts'], row['items'] = row['discounts'] or [], row['items'] or {}
        self.assertEqual(got.keys(), expected.keys())
        for key in expected:
            self.assertEqual(got[key], expected[key])

    def test_messagedb(self):
        self.restore('messagedb-messages', """CREATE ROLE message_store; CREATE SCHEMA message_store;
            CREATE FUNCTION message_store.category(varchar) RETURNS varchar IMMUTABLE LANGUAGE sql
            AS $$ SELECT split_part($1, '-', 1) $$;""")
        self.assertEqual(self.imported('messagedb'), 6552)
        self.same_events('messagedb')
        lines = tool.read(tool.shared_file('messagedb.oracle.tsv.zst')).decode('utf-8').splitlines()
        expected = {}
        for line in lines[1:]:
            stream, version, messages, balance, closed = line.split('\t')
            expected[stream] = {'stream_version': int(version), 'messages': int(messages), 'balance': balance,
                                'closed': closed == 'True'}
        self.assertEqual(self.rows_of('accounts', ACCOUNTS), expected)


tool.main(__name__)
