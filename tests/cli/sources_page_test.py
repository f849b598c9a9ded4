"""docs/SOURCES.md: its commands run as they stand there, and print what stands there. A line "..." stands for
what differs from run to run.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

RECORDER = """CREATE TABLE stored_events (originator_id TEXT, originator_version INTEGER, topic TEXT,
state BLOB, PRIMARY KEY (originator_id, originator_version))"""
STREAM = '8b3f1c52a4de4a0f9d0c3a7e51f2b604'
# What the library's AESCipher made of {} with the key on the page.
SEALED = bytes.fromhex('215720328de3c70e2080dd45e3a686bf0e5b86fe75093fa2da5df67798d0')


def entry(number, type, data, metadata, updated):
    return {'eventId': 'x', 'eventType': type, 'eventNumber': number, 'data': data,
            'metaData': metadata, 'streamId': 'order-7', 'isJson': True,
            'positionEventNumber': number, 'positionStreamId': 'order-7', 'updated': updated}


class Page(tool.Case):
    def blocks(self):
        with open(os.path.join(tool.ROOT, 'docs', 'SOURCES.md'), encoding='utf-8') as file:
            return dict(re.findall(r'<!-- runs: (\w+) -->\n```console\n(.*?)```', file.read(), re.S))

    def recorder(self, name, rows):
        with sqlite3.connect(self.path(name)) as db:
            db.execute(RECORDER)
            db.executemany('INSERT INTO stored_events VALUES (?, ?, ?, ?)', rows)
        db.close()

    def runs(self, name):
        """Each command of the block in one shell; what it prints is compared line by line."""
        parts = re.split(r'^\$ ', self.blocks()[name], flags=re.M)[1:]
        self.assertGreater(len(parts), 0)
        bin_folder = self.path('bin')
        os.makedirs(bin_folder, exist_ok=True)
        os.symlink(tool.refold, os.path.join(bin_folder, 'refold'))
        environment = dict(os.environ, LC_ALL='C.UTF-8',
                           PATH=bin_folder + os.pathsep + os.environ['PATH'])
        exported = ''
        for part in parts:
            command, _, due = part.partition('\n')
            if command.startswith('export '):
                exported += command + '\n'
                continue
            done = subprocess.run(['sh', '-c', exported + command], cwd=self.folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
            pattern = ''.join('.*\n' if line == '...' else re.escape(line) + '\n'
                              for line in due.splitlines())
            self.assertRegex(done.stdout.decode(), '^' + pattern + r'\Z', command)

    def test_sqlite(self):
        placed = (b'{"timestamp":{"_type_":"datetime_iso","_data_":"2024-02-05T00:02:10+00:00"},'
                  b'"customer":"Olga","total":{"_type_":"decimal_str","_data_":"19.90"},'
                  b'"class_version":2}')
        self.recorder('shop.db', [
            (STREAM, 1, 'shop:Order.Placed', zlib.compress(placed)),
            (STREAM, 2, 'shop:Order.Shipped', zlib.compress(b'{}')),
            ('ff' * 16, 1, 'shop:Cart.Opened', zlib.compress(b'{}'))])
        self.runs('sqlite')

    def test_cipher(self):
        self.recorder('secret.db', [(STREAM, 1, 'shop:Order.Placed', SEALED)])
        self.runs('cipher')

    def test_query(self):
        with sqlite3.connect(self.path('audit.db')) as db:
            db.execute('CREATE TABLE audit (id INTEGER PRIMARY KEY, account INTEGER, action TEXT, '
                       'at TEXT, body TEXT)')
            db.execute("INSERT INTO audit VALUES (1, 7, 'Opened', '2024-07-10T12:00:00Z', '{}'), "
                       "(2, 8, 'Opened', NULL, '{\"by\":1}')")
        db.close()
        self.runs('query')

    def test_exec(self):
        text = self.blocks()['exec'].split('$ cat fetch.sh\n')[1].split('$ refold')[0]
        self.path('fetch.sh', text)
        self.path('events.txt', '1 cart-1 Opened\n2 cart-1 Closed\n')
        self.runs('exec')

    def test_cloudevents(self):
        text = self.blocks()['cloudevents'].split('$ cat batch.json\n')[1].split('$ refold')[0]
        self.path('batch.json', text)
        self.runs('cloudevents')

    def test_kurrentdb(self):
        page = {'title': "Event stream 'order-7'", 'entries': [
            entry(1, 'Paid', '{}', '', '2017-12-14T05:10:02Z'),
            entry(0, 'Placed', '{\n"total": 19.90\n}', '{"user":7}',
                  '2017-12-14T05:09:58.816079Z')]}
        self.path('pages.json', json.dumps(page))
        self.runs('kurrentdb')


class PostgresPage(postgres.Case):
    blocks, runs = Page.blocks, Page.runs

    def test_postgres(self):
        self.server.sql('CREATE DATABASE shop')
        self.database = 'shop'
        self.sql(postgres.MESSAGES)
        for stream, position in (('order-1', 0), ('order-2', 0), ('order-1', 1)):
            self.message(stream, position)
        self.sql("""CREATE TABLE facts (no serial, subject text, kind text, body jsonb);
            INSERT INTO facts (subject, kind, body) VALUES ('a-1', 'K', '{}'), ('a-1', 'K', '{}')""")
        os.environ['DATABASE_URL'] = self.server.url('shop')
        self.addCleanup(os.environ.pop, 'DATABASE_URL')
        self.runs('postgres')


tool.main(__name__)
