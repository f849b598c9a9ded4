"""How tests run the tool: a build, its shared data, throw-away stores, and what each call gave.

A test script is called with the build directory and, where there is one, the directory of shared
data. It ends with

    tool.main(__name__)

which runs every unittest.TestCase of the file: exit 0 when all passed (or some were skipped,
which is said), 77 when nothing could run here, else 1. Nothing but Python's standard library is
used, so that the tests see refold only from outside: its command line, its exit codes and its
bytes.
"""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SKIPPED = 77

build = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(ROOT, 'build')
shared = os.path.abspath(sys.argv[2]) if sys.argv[2:] and sys.argv[2] else ''
refold = os.path.join(build, 'refold')

DONE, FAILED, USAGE, NOTHING, REFUSED, LOCKED, DAMAGED, UNREACHABLE = 0, 1, 2, 3, 4, 5, 6, 75
INTERRUPTED, TERMINATED = 130, 143
SECONDS_MAX = 300


def projection(name):
    """The plugin that the build made of projections/NAME.c."""
    return os.path.join(build, 'projections', name + '.so')


def compile_plugin(path, source='counting.c', **macros):
    """Builds tests/cli/plugins/SOURCE into `path`; macros are given without their prefix:
    VERSION=2, NAME='x'.
    """
    defines = []
    for name, value in macros.items():
        text = (
            '"%s"' % value if isinstance(value, str) and not value.startswith('RF_') else str(value)
        )
        defines.append('-DCOUNTING_%s=%s' % (name, text))
    subprocess.run(
        [
            'cc',
            '-std=c17',
            '-O1',
            '-Wall',
            '-Wextra',
            '-Werror',
            '-fPIC',
            '-shared',
            '-fvisibility=hidden',
            '-I',
            os.path.join(ROOT, 'engine', 'include'),
            *defines,
            '-o',
            path,
            os.path.join(ROOT, 'tests', 'cli', 'plugins', source),
        ],
        check=True,
    )
    return path


class Result:
    """What one call of the tool gave."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def __str__(self):
        return '%s\nexit %s\nstdout: %r\nstderr: %r' % (
            ' '.join(map(str, self.argv)),
            self.code,
            self.out[-2000:],
            self.err[-2000:],
        )

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.decode('utf-8').split('\n')[:-1]

    @property
    def message(self):
        return self.err.decode('utf-8', 'replace')


def call(*argv, stdin=b'', env=None, cwd=None, seconds=SECONDS_MAX):
    """Runs `refold ARGV…` and waits. Never raises for what the tool did: that is the test's to
    judge.
    """
    full = [refold] + [str(a) for a in argv]
    environment = dict(os.environ, LC_ALL='C.UTF-8', **(env or {}))
    feed = {'input': stdin} if isinstance(stdin, bytes) else {'stdin': stdin}
    done = subprocess.run(
        full,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=cwd,
        timeout=seconds,
        **feed
    )
    return Result(full, done.returncode, done.stdout, done.stderr)


def shared_file(name):
    """The path of a file of shared data, or None."""
    path = os.path.join(shared, 'data', name) if shared else ''
    return path if path and os.path.exists(path) else None


def fixture(stem):
    """The path of a fixture by the beginning of its name."""
    folder = os.path.join(ROOT, 'fixtures')
    for name in sorted(os.listdir(folder)):
        if name.startswith(stem):
            return os.path.join(folder, name)
    raise FileNotFoundError('fixtures/%s…' % stem)


def read(path):
    """The bytes of a file, decompressed by its ending."""
    if path.endswith('.zst'):
        return subprocess.run(['zstd', '-dcq', path], stdout=subprocess.PIPE, check=True).stdout
    if path.endswith('.gz'):
        with gzip.open(path) as file:
            return file.read()
    with open(path, 'rb') as file:
        return file.read()


def copy_store(source, target):
    """Copies a store; its files have holes and keep them."""
    subprocess.run(['cp', '-a', '--sparse=always', source, target], check=True)


def used_pages(path):
    """Offsets of the pages of a file that hold anything: files are made longer than they need to be."""
    content, page = read(path), 4096
    return [at for at in range(0, len(content), page) if content[at : at + page].strip(b'\0')]


def make_orders(generator, events, path):
    """Writes the synthetic order log with so many events."""
    with open(path, 'wb') as file:
        subprocess.run([generator, str(events)], stdout=file, stderr=subprocess.DEVNULL, check=True)


def event(stream, type, data=None, **members):
    """One event as a line of JSON, without its newline."""
    return json.dumps(
        {'stream': stream, 'type': type, 'data': {} if data is None else data, **members},
        ensure_ascii=False,
        separators=(',', ':'),
    )


def lines(*events):
    """Lines as bytes, each ended by a newline."""
    return ''.join(e + '\n' for e in events).encode('utf-8')


class Case(unittest.TestCase):
    """A test with a folder of its own, `self.folder`, and in it a path for a store, `self.store`."""

    maxDiff = 4000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='refold-test-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.store = os.path.join(self.folder, 'store.refold')

    def path(self, name, content=None):
        """A path in the test's folder; with `content` the file is written."""
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, 'wb') as file:
                file.write(content if isinstance(content, bytes) else content.encode('utf-8'))
        return path

    def ok(self, *argv, **how):
        """Runs the tool and demands exit 0."""
        return self.gives(DONE, *argv, **how)

    def gives(self, code, *argv, **how):
        result = call(*argv, **how)
        self.assertEqual(result.code, code, '\n' + str(result))
        return result

    def refuses(self, code, words, *argv, **how):
        """Demands the exit code, an empty or whole stdout, and exactly one line on stderr that
        has all `words`.
        """
        result = self.gives(code, *argv, **how)
        self.assertEqual(result.message.count('\n'), 1, 'one line: %s' % result)
        self.assertTrue(result.message.endswith('\n'), str(result))
        for word in words:
            self.assertIn(str(word).lower(), result.message.lower(), str(result))
        return result

    def plugin(self, file='counting.so', **macros):
        """A plugin made for this test (see plugins/counting.c)."""
        return compile_plugin(self.path(file), **macros)

    def import_lines(self, *events, options=()):
        return self.ok('import', self.store, '-', '--quiet', *options, stdin=lines(*events))

    def rebuild(self, *projections, options=()):
        """Rebuilds and gives the entries of `projections` in the report."""
        result = self.ok('rebuild', self.store, *projections, '--json', '--quiet', *options)
        return result.json['projections']

    def info(self):
        return self.ok('info', self.store, '--json').json

    def rows(self, name, *options):
        return self.ok('scan', self.store, name, *options).out

    def verifies(self):
        self.ok('verify', self.store)


class Shop(Case):
    """A test whose store has a small log of orders and, live, generation 1 of order_summary."""

    EVENTS = (
        event('order-1', 'OrderPlaced', {'customer': 'c-1'}, time='2024-07-10T12:00:00Z'),
        event('order-2', 'OrderPlaced', {'customer': 'c-2'}, time='2024-07-10T12:00:01Z'),
        event(
            'order-1',
            'ItemAdded',
            {'sku': 'a', 'qty': 2, 'price': 150},
            time='2024-07-10T12:00:02Z',
        ),
        event(
            'order-1',
            'ItemAdded',
            {'sku': 'b', 'qty': 1, 'price': 99},
            time='2024-07-10T12:00:03.25Z',
        ),
        event(
            'order-1',
            'ItemRemoved',
            {'sku': 'a', 'qty': 1, 'price': 150},
            time='2024-07-10T12:00:04Z',
        ),
        event('order-3', 'OrderPlaced', {'customer': 'c-3'}, time='2024-07-10T12:00:05Z'),
        event('order-2', 'OrderCancelled', {'reason': 'changed mind'}, time='2024-07-10T12:00:06Z'),
    )
    ROW = (
        b'{"key":"order-1","customer":"c-1","status":"ItemRemoved","items":2,"total":249,'
        b'"placed_at":"2024-07-10T12:00:00.000000Z","last_at":"2024-07-10T12:00:04.000000Z",'
        b'"events":4}\n'
    )

    def setUp(self):
        super().setUp()
        self.import_lines(*self.EVENTS)
        self.orders = projection('order_summary')
        self.first = self.rebuild(self.orders)[0]


def wait_for(process, seconds):
    """The exit code of a Popen, or None if it still runs after `seconds`; then it is killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def skip_all(reason):
    print('skipped: ' + reason)
    sys.exit(SKIPPED)


def main(module):
    """Runs the tests of the script `module` and exits."""
    if module != '__main__':
        return
    if not os.access(refold, os.X_OK):
        print('no %s: build first' % refold)
        sys.exit(1)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
    outcome = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(suite)
    for test, reason in outcome.skipped:
        print('skipped: %s: %s' % (test.id().split('.')[-1], reason))
    if not outcome.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if outcome.testsRun == len(outcome.skipped) else 0)
