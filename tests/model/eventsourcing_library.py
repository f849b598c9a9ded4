"""A round trip with the Python library eventsourcing itself: it writes into a SQLite file or a private PostgreSQL
server, refold imports it while more is written, and rows equal the library's own aggregates.

The library is used where it is: in the interpreter that REFOLD_EVENTSOURCING_PYTHON names, or in the one
that runs this. With REFOLD_PYPI=1 the newest from PyPI is installed into a throw-away environment, with what
its cipher and PostgreSQL need. Otherwise the test says that it was skipped.
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

CIPHER_KEY = 'MDEyMzQ1Njc4OWFiY2RlZg=='

SHOP = '''
import gzip
import json
import sys
from datetime import datetime, timezone
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Compressor, JSONTranscoder, Transcoding


class GzipCompressor(Compressor):
    def compress(self, data):
        return gzip.compress(data)

    def decompress(self, data):
        return gzip.decompress(data)


class Order(Aggregate):
    @event("Placed")
    def __init__(self, customer, placed_at):
        self.customer = customer
        self.placed_at = placed_at
        self.total = Decimal("0.00")
        self.lines = []

    @event("LineAdded")
    def add(self, sku, qty, price):
        self.total += qty * price
        self.lines.append(sku)

    @event("Shipped")
    def ship(self, note):
        self.note = note


class Customer(Aggregate):
    @event("Joined")
    def __init__(self, name):
        self.name = name


class Shop(Application):
    snapshotting_intervals = {Order: 3}


def write(app, first, count):
    ids = []
    for n in range(first, first + count):
        customer = Customer("Čeněk \\\\ \\"%d\\"" % n)
        order = Order(customer.id, datetime(2024, 2, 5, 0, 2, n % 60, n, tzinfo=timezone.utc))
        app.save(customer, order)
        for line in range(n % 5):
            order.add("sku-%d" % line, line + 1, Decimal("12345678901.10") + n)
            app.save(order)
        if n % 3 == 0:
            order.ship("na\\nve\\u2028 \\U0001f600")
            app.save(order)
        ids.append(order.id)
    return ids


app = Shop()
known = [UUID(text) for text in json.loads(sys.argv[3])]
known += write(app, int(sys.argv[1]), int(sys.argv[2]))
rows = {}
for id in known:
    order = app.repository.get(id)
    rows[id.hex] = {
        "customer": order.customer.hex, "placed_at": order.placed_at.isoformat(),
        "total": str(order.total), "lines": "|".join(order.lines) or None,
        "note": getattr(order, "note", None), "events": order.version,
    }
notifications = [(n.id, n.originator_id.hex, n.originator_version, n.topic)
                 for n in app.recorder.select_notifications(start=1, limit=100000)]
print(json.dumps({"rows": rows, "notifications": notifications}))
'''

PROJECTION = '''
name "orders"
version (1)
columns { "customer text", "placed_at time", "total decimal(2)", "lines text", "note text", "events int" }

on ("shop:Order.Placed", { "customer text", "placed_at time" }, function (row, e)
    row.customer, row.placed_at = e.customer, e.placed_at
end)
on ("shop:Order.LineAdded", { "sku text", "qty int", "price decimal(2)" }, function (row, e)
    row.total = row.total + e.price * e.qty
    row.lines = row.lines and row.lines .. "|" .. e.sku or e.sku
end)
on ("shop:Order.Shipped", { "note text" }, function (row, e) row.note = e.note end)
on ("*", {}, function (row, e)
    if row.customer then row.events = e.version end
end)
'''


def has_library(python):
    return subprocess.run([python, '-c', 'import eventsourcing.sqlite'], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def find_python(folder):
    """An interpreter with the library, or None."""
    for python in (os.environ.get('REFOLD_EVENTSOURCING_PYTHON'), sys.executable):
        if python and has_library(python):
            return python
    if os.environ.get('REFOLD_PYPI') != '1':
        return None
    home = os.path.join(folder, 'environment')
    python = os.path.join(home, 'bin', 'python')
    quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
    for command in ([sys.executable, '-m', 'venv', home],
                    [python, '-m', 'pip', 'install', 'eventsourcing', 'pycryptodome', 'cryptography', 'psycopg[binary,pool]']):
        if subprocess.run(command, **quiet).returncode != 0:
            return None
    return python if has_library(python) else None


class Library(tool.Case):
    def setUp(self):
        super().setUp()
        self.python = find_python(self.folder)
        if not self.python:
            self.skipTest('the library eventsourcing is not there; REFOLD_PYPI=1 installs it')
        self.path('shop.py', SHOP)

    def writes(self, first, count, known, **environment):
        """The library writes orders FIRST and on, and says what all that it knows are."""
        done = subprocess.run(
            [self.python, '-c', 'import shop', str(first), str(count), json.dumps(known)],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, **environment))
        if b'No module named' in done.stderr or b'ModuleNotFound' in done.stderr:
            self.skipTest(done.stderr.decode().splitlines()[-1])
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def equals(self, said, store):
        events = [json.loads(line) for line in self.ok('events', store).out.splitlines()]
        self.assertEqual([[e['source_position'], e['stream'], e['version'], e['type']]
                          for e in events], said['notifications'])
        self.ok('rebuild', store, self.path('orders.lua', PROJECTION), '--unknown', 'ignore', '--quiet')
        got = {}
        for line in self.ok('scan', store, 'orders').out.splitlines():
            row = json.loads(line)
            row['placed_at'] = row['placed_at'].replace('Z', '+00:00')
            got[row.pop('key')] = row
        for row in said['rows'].values():
            if '.' not in row['placed_at']:
                row['placed_at'] = row['placed_at'].replace('+00:00', '.000000+00:00')
        self.assertEqual(got, said['rows'])
        self.ok('verify', store, '--serial')

    def round_trip(self, name, url, options, **environment):
        store = self.path(name + '.refold')
        said = self.writes(0, 40, [], **environment)
        self.ok('import', store, url, *options, env=environment)
        self.equals(said, store)
        said = self.writes(40, 25, list(said['rows']), **environment)
        again = self.ok('import', store, url, '--json', *options, env=environment).json
        self.assertEqual(again['duplicates'], 0)
        self.equals(said, store)
        return said

    def sqlite(self, name, *options, **environment):
        database = self.path(name + '.db')
        self.round_trip(name, 'sqlite:' + database, options, PERSISTENCE_MODULE='eventsourcing.sqlite',
                        SQLITE_DBNAME=database, **environment)

    def postgres_environment(self):
        if not hasattr(self, 'server'):
            self.server = postgres.Server(self)
        return {'PERSISTENCE_MODULE': 'eventsourcing.postgres', 'POSTGRES_HOST': self.server.folder,
                'POSTGRES_PORT': '5432', 'POSTGRES_USER': postgres.SUPERUSER, 'POSTGRES_PASSWORD': 'none'}

    def postgres(self, name, *options, **environment):
        environment = {**self.postgres_environment(), 'POSTGRES_DBNAME': name, **environment}
        self.server.sql('CREATE DATABASE "%s"' % name)
        self.server.sql('CREATE SCHEMA IF NOT EXISTS "%s"' % environment.get('POSTGRES_SCHEMA', 'public'), name)
        said = self.round_trip(name, self.server.url(name), ('--preset', 'eventsourcing', *options), **environment)
        return said, environment

    def test_plain(self):
        self.sqlite('plain')

    def test_compressed(self):
        self.sqlite('zlib', COMPRESSOR_TOPIC='eventsourcing.compressor:ZlibCompressor')
        self.sqlite('gzip', '--decompress', 'gzip', COMPRESSOR_TOPIC='shop:GzipCompressor')

    def test_encrypted(self):
        self.sqlite('aes', '--cipher-key-env', 'CIPHER_KEY', CIPHER_KEY=CIPHER_KEY,
                    CIPHER_TOPIC='eventsourcing.cipher:AESCipher')
        self.sqlite('both', '--cipher-key-env', 'CIPHER_KEY', CIPHER_KEY=CIPHER_KEY,
                    CIPHER_TOPIC='eventsourcing.cipher:AESCipher',
                    COMPRESSOR_TOPIC='eventsourcing.compressor:ZlibCompressor')

    def test_encrypted_by_its_other_cipher(self):
        self.sqlite('other', '--cipher-key-env', 'CIPHER_KEY', CIPHER_KEY=CIPHER_KEY,
                    CIPHER_TOPIC='eventsourcing.cryptography:AESCipher')

    def test_postgres(self):
        self.postgres('plain')
        self.postgres('zlib', COMPRESSOR_TOPIC='eventsourcing.compressor:ZlibCompressor')

    def test_postgres_encrypted(self):
        self.postgres('aes', '--cipher-key-env', 'CIPHER_KEY', CIPHER_KEY=CIPHER_KEY,
                      CIPHER_TOPIC='eventsourcing.cipher:AESCipher')

    def test_postgres_written_by_the_librarys_functions_in_a_schema_of_its_own(self):
        self.postgres('functions', '--table', 'sales.shop_events', POSTGRES_SCHEMA='sales',
                      POSTGRES_ENABLE_DB_FUNCTIONS='yes')

    def test_postgres_is_followed_while_the_library_writes(self):
        said, environment = self.postgres('followed')
        store = self.path('followed.refold')
        process = subprocess.Popen(
            [tool.refold, 'import', store, self.server.url('followed'), '--preset', 'eventsourcing', '--follow', '--quiet'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        for first in (65, 75):
            said = self.writes(first, 10, list(said['rows']), **environment)
            end = time.monotonic() + 20
            while self.ok('info', store, '--json').json['events'] < len(said['notifications']):
                self.assertIsNone(process.poll())
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)
        self.equals(said, store)


tool.main(__name__)
