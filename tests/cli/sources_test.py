"""Imports from databases in SQLite and from programs: what is read, from where a later import goes on,
what following does, and every refusal with its words. Databases are made here, in the forms that the
libraries' own have.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

RECORDER = """CREATE TABLE stored_events (originator_id TEXT, originator_version INTEGER, topic TEXT,
state BLOB, PRIMARY KEY (originator_id, originator_version))"""
EMMETT = """CREATE TABLE emt_messages(stream_id TEXT NOT NULL, stream_position BIGINT NOT NULL,
partition TEXT NOT NULL DEFAULT 'global', message_kind CHAR(1) NOT NULL DEFAULT 'E',
message_data JSONB NOT NULL, message_metadata JSONB NOT NULL, message_schema_version TEXT NOT NULL,
message_type TEXT NOT NULL, message_id TEXT NOT NULL, is_archived BOOLEAN NOT NULL DEFAULT FALSE,
global_position INTEGER PRIMARY KEY, created DATETIME DEFAULT CURRENT_TIMESTAMP,
UNIQUE (stream_id, stream_position, partition, is_archived))"""
FOLLOW_SECONDS = 20


class Sources(tool.Case):
    def database(self, *statements, name='shop.db'):
        path = self.path(name)
        with sqlite3.connect(path) as db:
            for statement in statements:
                db.execute(statement)
        db.close()
        return path

    def recorder(self, count=3, name='shop.db', mode='WAL'):
        path = self.database('PRAGMA journal_mode=%s' % mode, RECORDER, name=name)
        self.record(path, *[('a%d' % (i % 2), i // 2 + 1) for i in range(count)])
        return path

    def record(self, path, *keys):
        with sqlite3.connect(path) as db:
            db.executemany(
                'INSERT INTO stored_events VALUES (?, ?, ?, ?)',
                [(name, version, 'shop:T', b'{"n":%d}' % version) for name, version in keys],
            )
        db.close()

    def load(self, url, *options, **how):
        return self.ok('import', self.store, url, '--json', *options, **how).json

    def events(self):
        return [json.loads(line) for line in self.ok('events', self.store).out.splitlines()]

    def source(self):
        return self.info()['sources'][0]


class Sqlite(Sources):
    def test_rows_of_a_recorder_become_events(self):
        path = self.database(RECORDER)
        with sqlite3.connect(path) as db:
            db.execute('INSERT INTO stored_events VALUES (?, ?, ?, ?)', (
                'ff' * 16, 1, 'shop:Order.Placed',
                b'{"timestamp":{"_type_":"datetime_iso","_data_":"2024-02-05T00:02:10+00:00"},'
                b'"total":{"_type_":"decimal_str","_data_":"9.90"},"class_version":3}'))
        db.close()
        self.assertEqual(self.load('sqlite:' + path)['added'], 1)
        self.assertEqual(self.events(), [{
            'position': 1, 'source_position': 1, 'stream': 'ff' * 16, 'version': 1,
            'type': 'shop:Order.Placed', 'schema': 3, 'time': '2024-02-05T00:02:10Z',
            'data': {'timestamp': '2024-02-05T00:02:10+00:00', 'total': '9.90',
                     'class_version': 3}}])
        self.verifies()

    def test_a_later_import_goes_on_where_the_last_one_ended(self):
        path = self.recorder(3)
        self.assertEqual(self.load('sqlite:' + path)['added'], 3)
        self.record(path, ('b', 1), ('b', 2))
        again = self.load('sqlite:' + path)
        self.assertEqual((again['added'], again['duplicates'], again['lines']), (2, 0, 2))
        self.assertEqual(self.load('sqlite:' + path)['lines'], 0)
        self.assertEqual(self.source()['mark'], 5)
        self.assertTrue(self.source()['cursor'].startswith('sqlite eventsourcing stored_events 5 '))
        whole = self.load('sqlite:' + path, '--from-start')
        self.assertEqual((whole['added'], whole['duplicates']), (0, 5))
        self.verifies()

    def test_another_database_is_refused_where_it_would_go_on_in_the_wrong_place(self):
        first = self.recorder(3)
        self.load('sqlite:' + first)
        other = self.database(RECORDER, name='other.db')
        self.record(other, ('x', 1), ('x', 2), ('x', 3), ('x', 4))
        self.refuses(tool.FAILED, ['other.db', 'position 3', 'another one now', '--source'],
                     'import', self.store, 'sqlite:' + other)
        short = self.database(RECORDER, name='short.db')
        self.refuses(tool.FAILED, ['short.db', 'position 3', 'not there', '--from-start'],
                     'import', self.store, 'sqlite:' + short)
        emmett = self.database(EMMETT, name='emmett.db')
        self.refuses(tool.USAGE, ['emmett.db', 'something else', '--source'],
                     'import', self.store, 'sqlite:' + emmett)
        self.assertEqual(self.load('sqlite:' + other, '--source', 'other')['added'], 4)

    def test_a_database_whose_last_events_were_replaced_is_not_gone_on_with(self):
        path = self.recorder(4)
        self.load('sqlite:' + path)
        with sqlite3.connect(path) as db:
            db.execute('DELETE FROM stored_events WHERE rowid > 2')
        db.close()
        self.record(path, ('new', 1), ('new', 2), ('new', 3))
        self.refuses(tool.FAILED, ['position 4'], 'import', self.store, 'sqlite:' + path)
        self.assertEqual(self.load('sqlite:' + path, '--from-start')['added'], 3)

    def test_a_table_without_rowid_is_read_whole_each_time(self):
        path = self.database(RECORDER + ' WITHOUT ROWID')
        self.record(path, ('b', 1), ('a', 1))
        self.assertEqual(self.load('sqlite:' + path)['added'], 2)
        self.record(path, ('a', 2))
        again = self.load('sqlite:' + path)
        self.assertEqual((again['added'], again['duplicates']), (1, 2))
        self.refuses(tool.USAGE, ['no position', '--follow'],
                     'import', self.store, 'sqlite:' + path, '--follow')

    def test_emmett(self):
        path = self.database(EMMETT)
        rows = [
            # the library's "schema version" is the version that it expected
            ('c-1', 1, 'E', '{"sku":"a","at":"2024-01-02T03:04:05.678Z"}', '{"user":7}', '0',
             'Added', 0, '2024-07-10 12:00:00'),
            ('c-1', 2, 'E', '{ "sku" :\n "b" }', '{}', '2', 'Added', 0, None),
            ('c-1', 1, 'E', '{"sku":"old"}', '{}', '1', 'Added', 1, None),
            ('c-2', 1, 'C', '{}', '{}', '1', 'Command', 0, None),
        ]
        with sqlite3.connect(path) as db:
            db.executemany(
                'INSERT INTO emt_messages (stream_id, stream_position, message_kind, message_data, '
                'message_metadata, message_schema_version, message_type, is_archived, created, '
                "message_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'x')", rows)
        db.close()
        self.assertEqual(self.load('sqlite:' + path)['added'], 2)
        first, second = self.events()
        self.assertEqual(
            (first['stream'], first['version'], first['type'], first['time'], first['metadata']),
            ('c-1', 1, 'Added', '2024-07-10T12:00:00Z', {'user': 7}))
        self.assertEqual((first['schema'], second['schema'], second['time'], second['data']),
                         (1, 1, None, {'sku': 'b'}))

    def test_a_query_names_its_columns(self):
        path = self.database(
            'CREATE TABLE audit (id INTEGER PRIMARY KEY, account INTEGER, n INTEGER, what TEXT, '
            'at TEXT, body TEXT, packed BLOB)',
            "INSERT INTO audit VALUES (10, 7, 1, 'Opened', '2024-07-10T12:00:00+02:00', "
            "'{\"a\":[1,2]}', NULL), (12, 7, 2, 'Closed', NULL, NULL, x'7b7d')")
        query = ('SELECT id AS position, account AS stream, n AS version, what AS type, at AS time, '
                 'coalesce(body, packed) AS data FROM audit -- all of them')
        self.assertEqual(self.load('sqlite:' + path, '--query', query)['added'], 2)
        first, second = self.events()
        self.assertEqual((first['stream'], first['source_position'], first['time'], first['data']),
                         ('7', 10, '2024-07-10T10:00:00Z', {'a': [1, 2]}))
        self.assertEqual((second['version'], second['data']), (2, {}))
        with sqlite3.connect(path) as db:
            db.execute("INSERT INTO audit VALUES (13, 8, 1, 'Opened', NULL, '{}', NULL)")
        db.close()
        self.assertEqual(self.load('sqlite:' + path, '--query', query + '\n;')['lines'], 1)

    def test_a_query_that_cannot_be_right_is_refused(self):
        path = self.database("CREATE TABLE t (p, s, d)", "INSERT INTO t VALUES (1, 'a', '{}'), "
                             "(2, 'a', '{}'), (2, 'b', '{}')")
        part = "SELECT %s, 'T' AS type FROM t"
        for query, words in (
            ('SELECT p AS position FROM t', ['no column is called stream']),
            (part % 's AS stream', ['no column is called data']),
            (part % 's AS stream, d AS data, p AS seq', ['column seq is no member']),
            (part % 's AS stream, d AS data, d AS data', ['data stands twice']),
            ('SELECT x FROM t', ['no such column: x']),
            ('SELEC', ['syntax error']),
            ('-- none', ['no statement']),
            ('DELETE FROM t', ['not authorized']),
            ("ATTACH '/nonexistent' AS x", ['not authorized']),
            (part % 's AS stream, d AS data' + '; SELECT 1', ['more than one statement']),
            (part % 's AS stream, d AS data' + ') --', ['syntax error']),
        ):
            self.refuses(tool.USAGE, words, 'import', self.store, 'sqlite:' + path, '--query', query)
        good = part % 's AS stream, d AS data, p AS position'
        self.refuses(tool.FAILED, ['position 2 stands twice'], 'import', self.store,
                     'sqlite:' + path, '--query', good)
        self.refuses(tool.FAILED, ['position of a row is NULL'], 'import', self.store, 'sqlite:' + path,
                     '--query', part % 's AS stream, d AS data, NULL AS position')
        self.refuses(tool.FAILED, ['data is not valid JSON'], 'import', self.store,
                     'sqlite:' + path, '--query',
                     part % "s AS stream, '{},\"stream\":\"x\"' AS data, p AS position")
        self.assertFalse(os.path.exists(self.store))

    def test_equal_positions_are_found_also_between_two_pages(self):
        """A read transaction ends after a block of text: the rows around such an end."""
        path = self.database('PRAGMA journal_mode=DELETE', 'CREATE TABLE t (p INTEGER, s TEXT, d)')
        query = "SELECT p AS position, s AS stream, 'T' AS type, d AS data FROM t"
        body = '{"x":"%s"}' % ('y' * 200_000)
        for same in range(1, 7):
            with sqlite3.connect(path) as db:
                db.execute('DELETE FROM t')
                db.executemany('INSERT INTO t VALUES (?, ?, ?)', [
                    (i if i != same + 1 else same, 's%d' % i, body) for i in range(1, 9)])
            db.close()
            self.refuses(tool.FAILED, ['position %d stands twice' % same], 'import',
                         self.path('s%d.refold' % same), 'sqlite:' + path, '--query', query)

    def test_what_is_wrong_with_a_source_is_said_in_one_line(self):
        path = self.recorder(1)
        plain = self.path('plain.db', 'no database at all, but long enough')
        odd = self.database('CREATE TABLE orders (id)', 'CREATE TABLE customers (id)', name='odd.db')
        wrong = self.database('CREATE TABLE stored_events (id, state)', name='wrong.db')
        view = self.database('CREATE VIEW stored_events AS SELECT 1 AS a', name='view.db')
        for code, words, arguments in (
            (tool.FAILED, ['absent.db', 'no such file'], ['sqlite:' + self.path('absent.db')]),
            (tool.FAILED, ['is no file'], ['sqlite:' + self.folder]),
            (tool.FAILED, ['no sqlite database'], ['sqlite:' + plain]),
            (tool.FAILED, ['neither stored_events', 'customers, orders'], ['sqlite:' + odd]),
            (tool.FAILED, ['no table emt_messages', 'stored_events'],
             ['sqlite:' + path, '--preset', 'emmett']),
            (tool.FAILED, ['has not the columns', 'originator_id'], ['sqlite:' + wrong]),
            (tool.FAILED, ['is a view'], ['sqlite:' + view]),
            (tool.FAILED, ['no table nothing'],
             ['sqlite:' + path, '--preset', 'eventsourcing', '--table', 'nothing']),
            (tool.USAGE, ['--table needs --preset'], ['sqlite:' + path, '--table', 'x']),
            (tool.USAGE, ["no preset 'marten' for SQLite", 'eventsourcing, emmett'],
             ['sqlite:' + path, '--preset', 'marten']),
            (tool.USAGE, ['instead of a preset'],
             ['sqlite:' + path, '--preset', 'emmett', '--query', 'SELECT 1']),
            (tool.USAGE, ['--decompress'], ['sqlite:' + path, '--decompress', 'lzma']),
            (tool.USAGE, ['no variable REFOLD_NO_KEY'],
             ['sqlite:' + path, '--cipher-key-env', 'REFOLD_NO_KEY']),
            (tool.USAGE, ['--follow', '--atomic'], ['sqlite:' + path, '--follow', '--atomic']),
            (tool.USAGE, ['--follow takes one source'],
             ['sqlite:' + path, 'sqlite:' + odd, '--follow']),
            (tool.USAGE, ['--from-start is for databases'], [self.path('x'), '--from-start']),
            (tool.USAGE, ['mysql://', 'no source'], ['mysql://user:S3cr3tCANARY@host/db']),
        ):
            result = self.refuses(code, words, 'import', self.store, *arguments)
            self.assertNotIn('CANARY', result.message)
            self.assertFalse(os.path.exists(self.store), arguments)
        self.assertEqual(self.load('sqlite:' + path)['added'], 1)
        # A store that was there stays.
        self.refuses(tool.FAILED, ['absent.db', 'nothing was added', 'position 1'],
                     'import', self.store, 'sqlite:' + self.path('absent.db'))
        self.assertEqual(self.info()['events'], 1)

    def test_a_url_without_a_path_is_refused(self):
        self.refuses(tool.USAGE, ['sqlite:PATH'], 'import', self.store, 'sqlite:')
        self.assertFalse(os.path.exists(self.store))

    def test_a_database_without_events_makes_a_store(self):
        path = self.database(RECORDER)
        self.assertEqual(self.load('sqlite:' + path)['added'], 0)
        self.record(path, ('a', 1))
        self.assertEqual(self.load('sqlite:' + path)['added'], 1)

    def test_a_row_that_is_refused_is_named_by_its_position(self):
        path = self.recorder(2)
        with sqlite3.connect(path) as db:
            db.execute("INSERT INTO stored_events VALUES ('c', 1, 'T', 'pickled')")
        db.close()
        self.refuses(tool.FAILED, ['stored_events, position 3', 'no JSON object', 'nothing was added'],
                     'import', self.store, 'sqlite:' + path, '--workers', '1')
        with sqlite3.connect(path) as db:
            db.execute("UPDATE stored_events SET state = '{\"a\":1e999999}', topic = ''")
        db.close()
        self.refuses(tool.FAILED, ['stored_events, position 1', 'type is empty', 'nothing was added'],
                     'import', self.path('other.refold'), 'sqlite:' + path)

    def test_an_encrypted_recorder_needs_its_key(self):
        path = self.database(RECORDER)
        with sqlite3.connect(path) as db:
            db.execute('INSERT INTO stored_events VALUES (?, 1, ?, ?)', ('a', 'T', b'\x93' * 60))
        db.close()
        self.refuses(tool.FAILED, ['position 1', '--cipher-key-env'],
                     'import', self.store, 'sqlite:' + path)
        self.refuses(tool.FAILED, ['position 1', 'cannot be decrypted'],
                     'import', self.store, 'sqlite:' + path, '--cipher-key-env', 'KEY_OF_SHOP',
                     env={'KEY_OF_SHOP': 'MDEyMzQ1Njc4OWFiY2RlZg=='})
        self.refuses(tool.USAGE, ['KEY_OF_SHOP is no key'],
                     'import', self.store, 'sqlite:' + path, '--cipher-key-env', 'KEY_OF_SHOP',
                     env={'KEY_OF_SHOP': 'hunter2'})

    def test_a_locked_database_is_waited_for(self):
        path = self.recorder(2, mode='DELETE')
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute('BEGIN EXCLUSIVE')
        timer = threading.Timer(1, lambda: db.execute('COMMIT'))
        timer.start()
        self.assertEqual(self.load('sqlite:' + path)['added'], 2)
        timer.join()
        db.close()

    def test_a_file_on_a_medium_that_cannot_be_written_is_read(self):
        path = self.recorder(2)
        os.chmod(path, 0o444)
        self.assertEqual(self.load('sqlite:' + path)['added'], 2)

    def test_damaged_files_never_crash_it_and_never_add_half_an_event(self):
        path = self.recorder(60, mode='DELETE')
        with sqlite3.connect(path) as db:
            db.execute('CREATE TABLE other AS SELECT * FROM stored_events')
        db.close()
        content = tool.read(path)
        chance = random.Random(5)
        seen = set()
        for number in range(200):
            damaged = bytearray(content)
            for _ in range(chance.choice((1, 3, 30))):
                at = chance.randrange(16, len(damaged)) if number % 2 else chance.randrange(16, 9000)
                damaged[at % len(damaged)] = chance.randrange(256)
            if number % 20 == 19:
                del damaged[chance.randrange(len(damaged)):]
            bad = self.path('bad.db', bytes(damaged))
            store = self.path('bad%d.refold' % (number % 8))
            result = tool.call('import', store, 'sqlite:' + bad, '--source', 's%d' % number,
                               '--partitions', '1', '--quiet')
            self.assertIn(result.code, (tool.DONE, tool.FAILED, tool.USAGE), str(result))
            if result.code != tool.DONE:
                self.assertEqual(result.message.count('\n'), 1, str(result))
            seen.add(result.code)
        self.assertIn(tool.FAILED, seen)
        for number in range(8):
            self.ok('verify', self.path('bad%d.refold' % number))


class Killed(Sources):
    def test_an_import_that_was_killed_anywhere_is_gone_on_with(self):
        """The cursor is in the commit that has the events: nothing is missing, nothing is there twice."""
        path = self.database('PRAGMA journal_mode=WAL', RECORDER)
        count = 40_000
        with sqlite3.connect(path) as db:
            db.executemany('INSERT INTO stored_events VALUES (?, ?, ?, ?)', (
                ('s%d' % (i % 700), i // 700 + 1, 'T', b'{"text":"%d"}' % (i * i)) for i in range(count)))
        db.close()
        chance = random.Random(11)
        for _ in range(12):
            process = subprocess.Popen([tool.refold, 'import', self.store, 'sqlite:' + path, '--quiet'],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.02, 0.6))
            process.kill()
            process.wait()
        self.load('sqlite:' + path)
        again = self.load('sqlite:' + path, '--from-start')
        self.assertEqual((again['added'], again['duplicates']), (0, count))
        self.assertEqual(self.info()['events'], count)
        self.verifies()


class Following(Sources):
    def follow(self, *arguments):
        process = subprocess.Popen(
            [tool.refold, 'import', self.store, *arguments, '--follow', '--quiet'],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def position(self):
        result = tool.call('info', self.store, '--json')
        return result.json['position'] if result.code == tool.DONE else 0

    def until(self, position):
        end = time.monotonic() + FOLLOW_SECONDS
        while self.position() < position:
            self.assertLess(time.monotonic(), end, 'at %d of %d' % (self.position(), position))
            time.sleep(0.05)

    def ends(self, process, number, code):
        began = time.monotonic()
        process.send_signal(number)
        self.assertEqual(tool.wait_for(process, 10), code)
        self.assertLess(time.monotonic() - began, 10)
        message = process.stderr.read().decode()
        self.assertEqual(message.count('\n'), 1, message)
        self.assertIn('interrupted', message)
        process.stdout.close()
        process.stderr.close()

    def test_a_database_is_followed_until_a_signal(self):
        for mode, number, code in (('WAL', signal.SIGTERM, tool.TERMINATED),
                                   ('DELETE', signal.SIGINT, tool.INTERRUPTED)):
            self.store = self.path(mode + '.refold')
            path = self.recorder(2, name=mode + '.db', mode=mode)
            process = self.follow('sqlite:' + path)
            self.until(2)
            for version in range(1, 4):
                self.record(path, ('later', version))
                self.until(2 + version)
            self.ends(process, number, code)
            self.verifies()
            self.assertEqual(self.load('sqlite:' + path)['lines'], 0)

    def test_no_event_is_missed_while_eight_writers_write(self):
        path = self.database('PRAGMA journal_mode=WAL', RECORDER)
        process = self.follow('sqlite:' + path)
        writers, each = 8, 250

        def write(number):
            db = sqlite3.connect(path, timeout=60, isolation_level=None)
            name, version = uuid.uuid4().hex, 0
            chance = random.Random(number)
            while version < each:
                count = min(chance.randrange(1, 4), each - version)
                db.execute('BEGIN IMMEDIATE')
                for _ in range(count):
                    version += 1
                    db.execute('INSERT INTO stored_events VALUES (?, ?, ?, ?)',
                               (name, version, 'T', b'{"v":%d}' % version))
                if chance.random() < 0.1:
                    db.execute('ROLLBACK')
                    version -= count
                else:
                    db.execute('COMMIT')
            db.close()

        threads = [threading.Thread(target=write, args=(i,)) for i in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.until(writers * each)
        self.ends(process, signal.SIGTERM, tool.TERMINATED)
        db = sqlite3.connect(path)
        due = db.execute('SELECT rowid, originator_id, originator_version FROM stored_events '
                         'ORDER BY rowid').fetchall()
        db.close()
        self.assertEqual(
            [(e['source_position'], e['stream'], e['version']) for e in self.events()], due)
        self.verifies()

    def test_a_file_that_is_replaced_ends_it(self):
        path = self.recorder(2)
        process = self.follow('sqlite:' + path)
        self.until(2)
        os.replace(self.recorder(3, name='new.db'), path)
        self.assertEqual(tool.wait_for(process, 10), tool.FAILED)
        self.assertIn('replaced by another file', process.stderr.read().decode())
        process.stdout.close()
        process.stderr.close()

    def test_a_program_is_run_again_from_the_mark(self):
        counter = self.path('counter')
        command = ('n=$((REFOLD_MARK + 1)); echo x >> %s; test $n -gt 2 || echo '
                   '"{\\"stream\\":\\"a\\",\\"type\\":\\"T\\",\\"position\\":$n,'
                   '\\"version\\":$n,\\"data\\":{}}"' % counter)
        process = self.follow('--exec', command)
        self.until(2)
        self.ends(process, signal.SIGTERM, tool.TERMINATED)
        self.assertGreaterEqual(len(tool.read(counter)), 4)
        self.assertEqual([e['version'] for e in self.events()], [1, 2])


    def lines(self, name, first, count):
        return self.path(name, ''.join('{"stream":"%s","version":%d,"type":"T","data":{}}\n' % (name, n)
                                       for n in range(first, first + count)))

    def others_go_in_between(self, process, write):
        """`write` adds so many events to what is followed, which has 2."""
        self.until(2)
        for turn in range(3):
            # No --wait-lock: the lock is free while nothing comes, but for moments.
            added = self.ok('import', self.store, self.lines('file', 5 * turn + 1, 5), '--source', 'file', '--json',
                            '--wait-lock', '5').json['added']
            self.assertEqual(added, 5)
            write(turn)
            self.until(2 + 6 * (turn + 1))
        # One that holds it is waited for.
        other = subprocess.Popen([tool.refold, 'import', self.store, '-', '--source', 'slow', '--quiet'],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdin.write(b'{"stream":"slow","version":1,"type":"T","data":{}}\n')
        other.stdin.flush()
        self.until(21)
        write(3)
        time.sleep(0.7)
        self.assertIsNone(process.poll())
        self.assertEqual(self.position(), 21)
        other.stdin.close()
        other.stdout.read()
        other.stdout.close()
        self.assertEqual(other.wait(), 0)
        self.until(22)
        self.assertEqual(self.position(), 22)

    def test_another_import_goes_in_between_while_a_database_is_followed(self):
        path = self.recorder(2)
        process = self.follow('sqlite:' + path)
        self.others_go_in_between(process, lambda turn: self.record(path, ('later', turn + 1)))
        # Of the same source, too: what both read is there once.
        for turn in range(4, 8):
            self.record(path, ('later', turn + 1))
            self.load('sqlite:' + path, '--wait-lock', '5')
        self.until(26)
        self.record(path, ('later', 9))
        self.until(27)
        self.ends(process, signal.SIGTERM, tool.TERMINATED)
        self.assertEqual([e['version'] for e in self.events() if e['stream'] == 'later'], list(range(1, 10)))
        self.assertEqual(self.load('sqlite:' + path)['added'], 0)
        self.verifies()

    def test_another_import_goes_in_between_while_a_program_is_followed(self):
        source = self.path('source', '{"stream":"p","position":1,"type":"T","data":{}}\n'
                                     '{"stream":"p","position":2,"type":"T","data":{}}\n')
        process = self.follow('--exec', 'cat "%s"' % source)

        def write(turn):
            with open(source, 'a') as file:
                file.write('{"stream":"p","position":%d,"type":"T","data":{}}\n' % (turn + 3))
        self.others_go_in_between(process, write)
        self.ends(process, signal.SIGTERM, tool.TERMINATED)
        self.assertEqual([e['source_position'] for e in self.events() if e['stream'] == 'p'], list(range(1, 7)))
        self.verifies()

    def test_a_signal_ends_one_that_waits_for_another_import(self):
        path = self.recorder(2)
        process = self.follow('sqlite:' + path)
        self.until(2)
        other = subprocess.Popen([tool.refold, 'import', self.store, '-', '--quiet', '--wait-lock', '5'],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdin.write(b'{"stream":"slow","version":1,"type":"T","data":{}}\n')
        other.stdin.flush()
        self.until(3)
        self.record(path, ('later', 1))
        time.sleep(0.5)
        self.ends(process, signal.SIGTERM, tool.TERMINATED)
        other.communicate()
        self.assertEqual(other.returncode, 0)
        self.assertEqual(self.load('sqlite:' + path)['added'], 1)


class Exec(Sources):
    LINE = '{"stream":"a","type":"T","version":%d,"data":{}}'

    def program(self, *lines, after=''):
        return 'cat <<"END"\n%s\nEND\n%s' % ('\n'.join(lines), after)

    def test_a_programs_lines_are_events(self):
        command = self.program(self.LINE % 1, self.LINE % 2)
        self.assertEqual(self.ok('import', self.store, '--exec', command, '--json').json['added'], 2)

    def test_a_program_that_fails_adds_nothing(self):
        for after, code, words in (
            ('exit 3', tool.FAILED, ['exit code 3', 'nothing was added']),
            ('exit 75', tool.UNREACHABLE, ['could not reach', '75']),
            ('kill -9 $$', tool.FAILED, ['signal 9', 'nothing was added']),
            ('no-such-program-S3cr3tCANARY 2>/dev/null', tool.FAILED, ['exit code 127']),
        ):
            result = self.refuses(code, ['--exec'] + words, 'import', self.store, '--exec',
                                  self.program(self.LINE % 1, after=after))
            self.assertNotIn('CANARY', result.message)
            self.assertFalse(os.path.exists(self.store))

    def test_what_it_writes_to_standard_error_is_seen(self):
        result = self.ok('import', self.store, '--exec', 'echo counting >&2')
        self.assertIn('counting', result.message)

    def test_a_line_that_is_refused_ends_it_and_the_program(self):
        began = time.monotonic()
        self.refuses(tool.FAILED, ['--exec:2', 'not valid JSON'], 'import', self.store, '--exec',
                     self.program(self.LINE % 1, '{', after='exec sleep 60'))
        self.assertLess(time.monotonic() - began, 30)

    def test_an_interrupt_ends_the_program_and_what_it_began(self):
        marker = self.path('alive')
        command = 'trap "" TERM; while :; do date > %s; sleep 0.1; done' % marker
        process = subprocess.Popen([tool.refold, 'import', self.store, '--exec', command],
                                   stderr=subprocess.PIPE, start_new_session=True)
        while not os.path.exists(marker):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)
        process.stderr.close()
        os.unlink(marker)
        time.sleep(0.5)
        self.assertFalse(os.path.exists(marker))

    def test_the_program_has_none_of_our_files_open(self):
        self.ok('import', self.store, '--exec',
                'ls -l /proc/$$/fd > %s' % self.path('open'))
        self.assertNotIn('.mdb', tool.read(self.path('open')).decode())


tool.main(__name__)
