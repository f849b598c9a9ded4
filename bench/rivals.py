"""The rivals: databases that fold the same events into the same read model with SQL.

Each is set as its users would for this work (README.md has the settings and why). Each rebuild
ends with a result that survives a loss of power, as refold's does. A rival has

    prepare()      import and cluster, kept between runs; says nothing where all is there
    ways           names of what a rebuild can start from
    rebuild(way)   seconds, inside the running database
    sums()         over the rows of the last result, to be compared
    close()

or is not there: `open_rival` gives None and says why.
"""

import json
import os
import pwd
import re
import shutil
import subprocess
import sys

from measure import ROOT, say

SUMS = ('rows', 'total', 'items', 'events', 'cancelled')
SUMS_SQL = (
    'select count(*), sum(total), sum(items), sum(events),'
    " sum(case status when 'OrderCancelled' then 1 else 0 end) from order_summary"
)
PAYLOAD = {
    'customer': 'text',
    'currency': 'text',
    'channel': 'text',
    'sku': 'text',
    'qty': 'int',
    'price': 'bigint',
    'method': 'text',
    'amount': 'bigint',
    'carrier': 'text',
    'reason': 'text',
}
COLUMNS = {
    'position': 'bigint',
    'stream': 'text',
    'version': 'int',
    'time': 'bigint',
    'type': 'text',
    **PAYLOAD,
}
TYPES = ('OrderPlaced', 'ItemAdded', 'ItemRemoved', 'OrderPaid', 'OrderShipped', 'OrderCancelled')
FOLD = """select stream, max(customer) customer, %s,
  sum(case type when 'ItemAdded' then qty * price when 'ItemRemoved' then -qty * price else 0 end)
    total,
  sum(case type when 'ItemAdded' then qty when 'ItemRemoved' then -qty else 0 end) items,
  min(time) placed_at, max(time) last_at, count(*) events
  from %s group by stream"""
# The type of the last event, where there is no arg_max: version and a number of the type in one
# integer, taken apart afterwards.
LAST = 'max(version * 8 + case type %s end) last' % ' '.join(
    "when '%s' then %d" % (name, number) for number, name in enumerate(TYPES)
)
FROM_LAST = """select stream, customer, case last & 7 %s end status, total, items, placed_at,
  last_at, events from (%%s) folded""" % ' '.join(
    "when %d then '%s'" % (number, name) for number, name in enumerate(TYPES)
)

# Read models with keys of their own, from DuckDB's table: the columns that are compared, and ways to
# say the fold, of which the quickest counts.
SALES = "sum(case type when 'ItemAdded' then qty * price when 'ItemRemoved' then -qty * price end)"
KEYED = {
    'sku_sales': dict(
        columns=('revenue', 'items', 'lines'),
        folds={
            'one group by': """select sku, %s revenue,
  sum(case type when 'ItemAdded' then qty else -qty end) items, count(*) lines from ev
  where type in ('ItemAdded', 'ItemRemoved') group by sku"""
            % SALES,
        },
    ),
    'customer_revenue': dict(
        columns=('orders', 'revenue'),
        folds={
            'group by of a group by': """select customer, sum(orders) orders, sum(revenue) revenue from (
  select max(customer) customer, count(customer) orders, coalesce(%s, 0) revenue from ev
  where type in ('OrderPlaced', 'ItemAdded', 'ItemRemoved') group by stream) group by customer"""
            % SALES,
            'join': """select placed.customer, count(*) orders, coalesce(sum(revenue), 0) revenue
  from (select stream, customer from ev where type = 'OrderPlaced') placed left join (
  select stream, %s revenue from ev where type in ('ItemAdded', 'ItemRemoved') group by stream) sold
  using (stream) group by placed.customer"""
            % SALES,
        },
    ),
    'price_rises': dict(
        columns=('rises', 'last_price', 'sales'),
        folds={
            'lag': """select sku, count(*) filter (price > earlier) rises,
  arg_max(price, position) last_price, count(*) sales from (select sku, position, price,
  lag(price) over (partition by sku order by position) earlier from ev where type = 'ItemAdded')
  group by sku""",
        },
    ),
}


def fold_packed(source):
    return FROM_LAST % (FOLD % (LAST, source))


class Absent(Exception):
    """A rival that cannot be had here, with the reason."""


def remove(*paths):
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


class Served:
    """A database inside a process that takes SQL line by line."""

    def open(self, *argv):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, order):
        """Seconds and rows."""
        self.process.stdin.write(json.dumps(order) + '\n')
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if 'error' in answer:
            sys.exit('%s: %s' % (self.name, answer['error']))
        return answer['seconds'], answer['rows']

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


class DuckDB(Served):
    name = 'DuckDB'
    ways = ('table', 'table, unordered', 'clustered', 'clustered, unordered')

    def __init__(self, bench, events):
        self.bench, self.events, self.process = bench, events, None
        self.folder = bench.path('duckdb')
        if not shutil.which('node'):
            raise Absent('node is not here')
        if not os.path.isdir(os.path.join(self.folder, 'node_modules', '@duckdb', 'node-api')):
            raise Absent('the npm package @duckdb/node-api is not here')
        shutil.copy(os.path.join(ROOT, 'bench', 'sql.mjs'), self.folder)
        self.file = os.path.join(self.folder, 'orders-%d.duckdb' % events)

    def open_file(self, file):
        script = os.path.join(self.folder, 'sql.mjs')
        self.open('node', script, file, str(self.bench.workers))
        self.version = self.run('select version()')[1][0][0]

    def json_source(self, data):
        columns = dict(position='BIGINT', stream='VARCHAR', version='INT', time='BIGINT')
        columns.update(type='VARCHAR', data=data)
        return "read_json('%s', format='newline_delimited', columns={%s})" % (
            self.bench.log(events=self.events),
            ', '.join("%s: '%s'" % pair for pair in columns.items()),
        )

    def import_typed(self, table):
        """Seconds until the scalars of the envelope and of all payloads are durable."""
        struct = ', '.join('%s %s' % pair for pair in PAYLOAD.items())
        members = ', '.join('data.%s as %s' % (name, name) for name in PAYLOAD)
        seconds = self.run(
            'create or replace table %s as select position, stream, version, time, type, %s from %s'
            % (table, members, self.json_source('STRUCT(%s)' % struct))
        )[0]
        return seconds + self.run('checkpoint')[0]

    def prepare(self):
        # Renamed when it is whole: after an interrupted bench this begins again.
        if not os.path.exists(self.file):
            making = self.file + '.making'
            remove(making, making + '.wal')
            say('DuckDB: importing and clustering %d events' % self.events)
            self.open_file(making)
            self.import_typed('ev')
            self.run('create table clustered as select * from ev order by stream, version')
            self.run('checkpoint')
            self.close()
            os.rename(making, self.file)
        self.open_file(self.file)

    def rebuild(self, way):
        source, _, unordered = way.partition(', ')
        self.run('set preserve_insertion_order = %s' % ('false' if unordered else 'true'))
        fold = FOLD % ('arg_max(type, version) status', 'ev' if source == 'table' else source)
        seconds = self.run('create or replace table order_summary as ' + fold)[0]
        return seconds + self.run('checkpoint')[0]

    def sums(self):
        return tuple(self.run(SUMS_SQL)[1][0])

    def rebuild_keyed(self, name, fold, unordered):
        self.run('set preserve_insertion_order = %s' % ('false' if unordered else 'true'))
        sql = KEYED[name]['folds'][fold]
        seconds = self.run('create or replace table %s as %s' % (name, sql))[0]
        return seconds + self.run('checkpoint')[0]

    def sums_keyed(self, name):
        """Rows, sums of the columns, and the sum of the first two multiplied: that tells columns
        whose values are right but in other rows.
        """
        columns = KEYED[name]['columns']
        sums = ', '.join('sum(%s)' % column for column in columns)
        products = 'sum(%s::hugeint * %s)' % columns[:2]
        return tuple(self.run('select count(*), %s, %s from %s' % (sums, products, name))[1][0])

    def import_fresh(self):
        """Seconds of a typed import into a fresh database, in any order, which is quicker."""
        file = os.path.join(self.folder, 'fresh.duckdb')
        remove(file, file + '.wal')
        self.open_file(file)
        self.run('set preserve_insertion_order = false')
        seconds = self.import_typed('ev')
        self.close()
        remove(file, file + '.wal')
        return seconds

    def parquet_bytes(self):
        """Size of the log as zstd Parquet, the payload as the text that it is."""
        file = os.path.join(self.folder, 'orders-%d.parquet' % self.events)
        if not os.path.exists(file):
            say('DuckDB: writing Parquet')
            self.open_file(':memory:')
            self.run(
                'copy (select position, stream, version, time, type, data::varchar as data from %s)'
                " to '%s.making' (format parquet, compression zstd)"
                % (self.json_source('JSON'), file)
            )
            self.close()
            os.rename(file + '.making', file)
        return os.path.getsize(file)


class SQLite(Served):
    name = 'SQLite'
    ways = ('table', 'clustered')

    def __init__(self, bench, events):
        self.bench, self.events, self.process = bench, events, None
        self.file = bench.path('orders-%d.sqlite' % events)
        self.result = bench.path('result.sqlite')

    def open_file(self, file):
        self.open('/usr/bin/python3', os.path.join(ROOT, 'bench', 'sql.py'), file)
        self.version = self.run('select sqlite_version()')[1][0][0]
        for pragma in (
            'page_size = 16384',
            'journal_mode = off',
            'synchronous = full',
            'locking_mode = exclusive',
            'temp_store = memory',
            'cache_size = -1048576',
            'mmap_size = 17179869184',
            'threads = %d' % self.bench.workers,
        ):
            self.run('pragma ' + pragma)

    def prepare(self):
        if not os.path.exists(self.file):
            making = self.file + '.making'
            remove(making)
            say('SQLite: importing and clustering %d events' % self.events)
            self.open_file(making)
            columns = ', '.join('%s %s' % pair for pair in COLUMNS.items())
            self.run('create table ev (%s)' % columns)
            key = 'primary key (stream, version)'
            self.run('create table clustered (%s, %s) without rowid' % (columns, key))
            self.run('begin')
            insert = 'insert into ev values (%s)' % ', '.join('?' * len(COLUMNS))
            self.run({'insert': insert, 'csv': self.bench.log(events=self.events, csv=True)})
            self.run('insert into clustered select * from ev order by stream, version')
            self.run('commit')
            self.close()
            os.rename(making, self.file)
        self.open_file(self.file)

    def rebuild(self, way):
        # The result in a file of its own: written once, synced once, with nothing to roll back.
        remove(self.result)
        source = 'ev' if way == 'table' else way
        seconds = sum(
            self.run(sql)[0]
            for sql in (
                "attach '%s' as result" % self.result,
                'pragma result.page_size = 16384',
                'pragma result.journal_mode = off',
                'pragma result.synchronous = full',
                'begin',
                'create table result.order_summary as ' + fold_packed(source),
                'commit',
            )
        )
        self.found = self.run(SUMS_SQL)[1][0]
        self.run('detach result')
        return seconds

    def sums(self):
        return tuple(self.found)

    def close(self):
        super().close()
        remove(self.result)


class PostgreSQL:
    """A server of its own, started here and stopped at the end."""

    name = 'PostgreSQL'
    ways = ('table', 'table, one process', 'clustered', 'clustered, one process')

    def __init__(self, bench, events):
        self.bench, self.events = bench, events
        folders = sorted(
            os.path.join('/usr/lib/postgresql', name, 'bin')
            for name in (
                os.listdir('/usr/lib/postgresql') if os.path.isdir('/usr/lib/postgresql') else ()
            )
        )
        found = [f for f in folders if os.path.exists(os.path.join(f, 'postgres'))]
        if not found:
            raise Absent('no server is installed (Debian package postgresql)')
        self.bin = found[-1]
        # A server refuses to run as root.
        self.user = 'postgres' if os.geteuid() == 0 else None
        self.folder = bench.path('postgres-%d' % events)
        self.running = False
        self.wal_level = 'minimal'  # what is copied into a table of the same transaction goes round the WAL

    def call(self, program, *arguments, **how):
        return subprocess.run(
            [os.path.join(self.bin, program), *arguments],
            user=self.user,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd='/',
            **how
        )

    def must(self, done):
        if done.returncode:
            self.close()
            sys.exit('PostgreSQL: %s' % (done.stderr or done.stdout).strip()[-500:])
        return done.stdout

    def settings(self):
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 20
        cores = self.bench.workers
        return {
            'listen_addresses': '',
            'unix_socket_directories': self.folder,
            'shared_buffers': '%dMB' % (memory // 4),
            'effective_cache_size': '%dMB' % (memory // 2),
            'work_mem': '%dMB' % (memory // 16),
            'maintenance_work_mem': '%dMB' % (memory // 16),
            'max_worker_processes': cores + 4,
            'max_parallel_workers': cores,
            'max_parallel_workers_per_gather': cores,
            'min_parallel_table_scan_size': 0,
            'parallel_setup_cost': 0,
            'parallel_tuple_cost': 0.001,
            'wal_level': self.wal_level,
            'max_wal_senders': 0,
            'max_wal_size': '16GB',
            'checkpoint_timeout': '1h',
            'autovacuum': 'off',
            'jit': os.environ.get('PG_JIT', 'off'),
        }

    def start(self):
        made = not os.path.isdir(self.folder)
        if made:
            os.makedirs(self.folder, mode=0o700)
            if self.user:
                owner = pwd.getpwnam(self.user)
                os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            done = self.call('initdb', '-D', self.folder, '--locale=C', '-E', 'UTF8', '-A', 'trust')
            if done.returncode:
                shutil.rmtree(self.folder)
                raise Absent(done.stderr.strip().splitlines()[-1])
        options = ' '.join("-c %s='%s'" % pair for pair in self.settings().items())
        self.must(
            self.call(
                'pg_ctl', '-D', self.folder, '-w', '-l', os.path.join(self.folder, 'log'),
                '-o', options, 'start',
            )
        )
        self.running = True

    def run(self, *statements, stdin=None):
        """Seconds of all statements, as psql tells them, and what they print."""
        commands = [word for one in ('\\timing on', *statements) for word in ('-c', one)]
        out = self.must(
            self.call(
                'psql', '-X', '-qAt', '-v', 'ON_ERROR_STOP=1', '-h', self.folder, '-d', 'postgres',
                *commands, stdin=stdin,
            )
        )
        seconds = sum(float(ms) for ms in re.findall(r'^Time: ([\d.]+) ms', out, re.M)) / 1000
        return seconds, re.sub(r'^Time: .*\n?', '', out, flags=re.M).split()

    def prepare(self):
        self.start()
        self.version = self.run('show server_version')[1][0]
        if self.run("select count(*) from pg_tables where tablename = 'clustered'")[1] == ['1']:
            return
        say('PostgreSQL: importing and clustering %d events' % self.events)
        columns = ', '.join('%s %s' % pair for pair in COLUMNS.items())
        with open(self.bench.log(events=self.events, csv=True), 'rb') as file:
            self.run(
                'drop table if exists ev',
                'create unlogged table ev (%s)' % columns,
                'copy ev from stdin (format csv)',
                stdin=file,
            )
        self.run(
            'create unlogged table making as select * from ev order by stream, version',
            'create index on making (stream)',
            'vacuum analyze ev',
            'vacuum analyze making',
            'alter table making rename to clustered',
            'checkpoint',
        )

    def copy_out(self, statement, file):
        self.must(
            subprocess.run(
                ['psql', '-X', '-qAt', '-h', self.folder, '-d', 'postgres', '-c', statement],
                user=self.user, stdout=file, stderr=subprocess.PIPE, text=True, cwd='/',
            )
        )

    def rebuild(self, way):
        source, _, alone = way.partition(', ')
        fold = fold_packed('ev' if source == 'table' else source)
        self.run('drop table if exists order_summary', 'checkpoint')
        return self.run(
            'set max_parallel_workers_per_gather = %d' % (0 if alone else self.bench.workers),
            'create table order_summary as ' + fold,
        )[0]

    def sums(self):
        return tuple(int(value) for value in self.run(SUMS_SQL)[1][0].split('|'))

    def close(self):
        if self.running:
            self.running = False
            self.call('pg_ctl', '-D', self.folder, '-m', 'fast', '-w', 'stop')


def open_rival(kind, bench, events=None):
    """A rival, or None, which is said."""
    try:
        return kind(bench, events or bench.events)
    except Absent as why:
        say('%s is skipped: %s' % (kind.name, why))
        return None
