"""A store whose read models are published into a PostgreSQL server: what the tests of export share."""

import atexit

import postgres
import tool
from tool import event

SERVER = None


def server():
    """One for all tests: each has a database of its own."""
    global SERVER
    if SERVER is None:
        SERVER = postgres.Server()
        atexit.register(SERVER.remove)
    return SERVER


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
