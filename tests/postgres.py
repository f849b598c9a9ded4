"""A private PostgreSQL server for tests: made, started and removed by them, reached through a socket.

In Python:

    server = postgres.Server(self)         # a skip where PostgreSQL is not installed
    server.sql('CREATE TABLE t (n int)')
    server.url()                           # postgresql:///postgres?host=…&user=refold

In a shell script:

    work=$(python3 "$root/tests/postgres.py" start)    # exit 77 where PostgreSQL is not installed
    python3 "$root/tests/postgres.py" url "$work"
    python3 "$root/tests/postgres.py" stop "$work"     # and removes $work

A server refuses to run as root: then it runs as nobody. It keeps nothing on the disk in earnest
(fsync is off) and listens to no port.
"""

import atexit
import glob
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import tool

SUPERUSER = 'refold'
OPTIONS = {
    'listen_addresses': '',
    'fsync': 'off',
    'full_page_writes': 'off',
    'max_connections': '40',
    'shared_buffers': '32MB',
    'log_min_messages': 'warning',
}


def find(name):
    """The path of one of the server's programs, or None."""
    for path in [shutil.which(name)] + sorted(glob.glob('/usr/lib/postgresql/*/bin/' + name))[::-1]:
        if path and os.access(path, os.X_OK):
            return path
    return None


def is_installed():
    return bool(find('initdb') and find('psql'))


def as_server(*argv):
    return ['runuser', '-u', 'nobody', '--', *argv] if os.getuid() == 0 else list(argv)


class Server:
    """A server in a folder of its own. `case` is the unittest.TestCase or class whose end is its end."""

    def __init__(self, case=None, folder=None, **options):
        if not is_installed():
            raise unittest.SkipTest('PostgreSQL is not installed')
        if folder:
            self.folder = folder
            return
        # short: a socket's path has at most 107 bytes
        self.folder = tempfile.mkdtemp(prefix='refold-pg.', dir='/tmp')
        if case is not None:
            (case.addClassCleanup if isinstance(case, type) else case.addCleanup)(self.remove)
        try:
            if os.getuid() == 0:
                os.chown(self.folder, pwd.getpwnam('nobody').pw_uid, -1)
            os.chmod(self.folder, 0o755)
            self.initdb()
            with open(os.path.join(self.data, 'postgresql.auto.conf'), 'a') as file:
                for name, value in {**OPTIONS, **options}.items():
                    file.write("%s = '%s'\n" % (name, value))
                file.write("unix_socket_directories = '%s'\n" % self.folder)
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def data(self):
        return os.path.join(self.folder, 'data')

    def initdb(self):
        self.run(find('initdb'), '-D', self.data, '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8',
                 '-U', SUPERUSER, '--no-sync')

    def run(self, *argv):
        done = subprocess.run(as_server(*argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError('%s: %s' % (argv[0], done.stdout.decode('utf-8', 'replace')))

    def start(self):
        # the server's own output goes to a file: it would keep a pipe open
        self.run('sh', '-c', '"$0" -D "$1" -w -l "$1/log" start >"$1/start.out" 2>&1 || '
                 '{ cat "$1/start.out" "$1/log"; exit 1; }', find('pg_ctl'), self.data)

    def stop(self, mode='fast'):
        self.run(find('pg_ctl'), '-D', self.data, '-m', mode, '-w', 'stop')

    def pid(self):
        with open(os.path.join(self.data, 'postmaster.pid')) as file:
            return int(file.readline())

    def kill(self):
        """As if the machine had lost its power: no farewell to anybody."""
        pid = self.pid()
        os.kill(pid, signal.SIGQUIT)
        for _ in range(200):
            if not os.path.exists(os.path.join(self.data, 'postmaster.pid')):
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)

    def remove(self):
        try:
            if os.path.exists(os.path.join(self.data, 'postmaster.pid')):
                self.stop('immediate')
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database='postgres', user=SUPERUSER, password=None, **parameters):
        who = urllib.parse.quote(user, safe='')
        if password is not None:
            who += ':' + urllib.parse.quote(password, safe='')
        parameters = {'host': self.folder, **parameters}
        return 'postgresql://%s@/%s?%s' % (
            who, urllib.parse.quote(database, safe=''), urllib.parse.urlencode(parameters, safe='/'))

    def log(self):
        with open(os.path.join(self.data, 'log'), errors='replace') as file:
            return file.read()

    def psql(self, *argv, database='postgres', **how):
        """A psql session as a Popen: for what has to stand open."""
        return subprocess.Popen(
            [find('psql'), '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', self.url(database), *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)

    def sql(self, text, database='postgres'):
        """Runs statements and gives what psql printed: a row a line, columns with | between."""
        process = self.psql('-f', '-', database=database)
        out, _ = process.communicate(text.encode('utf-8') if isinstance(text, str) else text)
        if process.returncode != 0:
            raise RuntimeError('psql: %s' % out.decode('utf-8', 'replace')[-2000:])
        return out.decode('utf-8').rstrip('\n')

    def passwords(self, user, password, database='postgres'):
        """A role that has to give a password."""
        self.sql("CREATE ROLE %s LOGIN PASSWORD '%s'" % (user, password), database)
        path = os.path.join(self.data, 'pg_hba.conf')
        with open(path) as file:
            rest = file.read()
        with open(path, 'w') as file:
            file.write('local all %s scram-sha-256\n%s' % (user, rest))
        self.sql('SELECT pg_reload_conf()', database)


class Session:
    """A psql that stays open between statements: to hold transactions open."""

    def __init__(self, case, server, database='postgres'):
        self.process = server.psql(database=database)
        case.addCleanup(self.close)

    def sql(self, text):
        """Runs statements and waits until they are done."""
        self.process.stdin.write((text.rstrip(';') + ';\n\\echo done\n').encode('utf-8'))
        self.process.stdin.flush()
        lines = []
        for line in iter(self.process.stdout.readline, b''):
            if line == b'done\n':
                return b''.join(lines).decode('utf-8').rstrip('\n')
            lines.append(line)
        raise RuntimeError('psql ended: %s' % b''.join(lines).decode('utf-8', 'replace'))

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


MESSAGES = """
CREATE SCHEMA IF NOT EXISTS message_store;
CREATE TABLE message_store.messages (
  global_position bigserial NOT NULL PRIMARY KEY,
  position bigint NOT NULL,
  time TIMESTAMP WITHOUT TIME ZONE DEFAULT (now() AT TIME ZONE 'utc') NOT NULL,
  stream_name text NOT NULL, type text NOT NULL, data jsonb, metadata jsonb,
  id UUID NOT NULL DEFAULT gen_random_uuid());
CREATE UNIQUE INDEX messages_stream ON message_store.messages (stream_name, position);
"""
EVENTSOURCING = """
CREATE TABLE {name} (originator_id {kind} NOT NULL, originator_version bigint NOT NULL, topic text, state bytea,
  notification_id bigserial, PRIMARY KEY (originator_id, originator_version));
CREATE UNIQUE INDEX ON {name} (notification_id ASC);
"""


class Case(tool.Case):
    """A test with a database of its own on a server of the script's, `self.server`, and `self.url`."""

    server = None

    def setUp(self):
        super().setUp()
        if Case.server is None:
            Case.server = Server(max_prepared_transactions='5')
            atexit.register(Case.server.remove)
        self.database = self.id().split('.')[-1][:60]
        self.server.sql('CREATE DATABASE "%s"' % self.database)
        self.url = self.server.url(self.database)

    def sql(self, text):
        return self.server.sql(text, self.database)

    def session(self):
        return Session(self, self.server, self.database)

    def imports(self, *options, url=None, **how):
        """Imports and gives how many were added."""
        return self.ok('import', self.store, url or self.url, '--quiet', '--json', *options,
                       **how).json['added']

    def events(self, *options):
        return [json.loads(line) for line in self.ok('events', self.store, *options).lines]

    def brief(self):
        return [(e['source_position'], e['stream'], e['version'], e['type']) for e in self.events()]

    def message(self, stream, position, type='T', data="'{}'", metadata='NULL'):
        self.sql("INSERT INTO message_store.messages (position, stream_name, type, data, metadata) "
                 "VALUES (%d, '%s', '%s', %s, %s)" % (position, stream, type, data, metadata))

    def messages(self, first, count):
        self.sql("INSERT INTO message_store.messages (position, stream_name, type, data) "
                 "SELECT n / 7, 'order-' || n %% 7, 'T', jsonb_build_object('n', n) "
                 "FROM generate_series(%d, %d) n" % (first, first + count - 1))


def main(argv):
    if len(argv) == 1 and argv[0] == 'start':
        if not is_installed():
            print('skipped: PostgreSQL is not installed', file=sys.stderr)
            return tool.SKIPPED
        print(Server().folder)
    elif len(argv) == 2 and argv[0] == 'url':
        print(Server(folder=argv[1]).url())
    elif len(argv) == 2 and argv[0] == 'stop':
        Server(folder=argv[1]).remove()
    else:
        print('usage: postgres.py start | url FOLDER | stop FOLDER', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
