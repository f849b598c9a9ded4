"""docs/READING.md: its programs read a store as the tool does, before and after a swap, as they stand there."""

import atexit
import functools
import glob
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

ORDERS = 500
OPEN = """name "open_orders"
version (1)
columns { "customer text" }
on ("OrderPlaced", { "customer text" }, function (row, e) row.customer = e.customer end)
on ("OrderCancelled", {}, function (row, e) row:delete() end)
"""
NONE = 'order-none'
WANTED = ['order-2', NONE, 'order-1*']
# Node's class, asked as a server asks it.
ANSWERS = """
const model = new ReadModel(process.argv[2], process.argv[3])
require('readline')
  .createInterface({ input: process.stdin })
  .on('line', key => {
    for (const row of key.endsWith('*') ? model.scan(key.slice(0, -1)) : [model.get(key)])
      console.log(JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? Number(value) : value)))
  })
  .on('close', () => model.close())
"""


@functools.cache
def find_modules():
    """A folder with Node's modules lmdb, in LMDB's own data format, and msgpackr; or None."""
    modules = os.environ.get('NODE_PATH', '')
    if not modules and os.environ.get('REFOLD_NPM') == '1' and shutil.which('npm'):
        home = tempfile.mkdtemp(prefix='refold-test-')
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        modules = os.path.join(home, 'node_modules')
        with open(os.path.join(tool.ROOT, 'docs', 'READING.md'), encoding='utf-8') as file:
            install = re.search(r'runs: npm -->\n```\w+\n(.*?)```', file.read(), re.S).group(1)
        node = os.path.dirname(os.path.dirname(os.path.realpath(shutil.which('node'))))
        with open(os.path.join(home, 'package.json'), 'w', encoding='utf-8') as file:
            file.write('{"private": true}')
        # The headers that Node came with, where they are: node-gyp would fetch them.
        own = {'npm_config_nodedir': node} if os.path.isdir(os.path.join(node, 'include', 'node')) else {}
        subprocess.run(['sh', '-c', install], cwd=home, env={**os.environ, **own}, capture_output=True, check=False)
    return modules if glob.glob(os.path.join(modules, 'lmdb', 'build', 'Release', 'lmdb.node')) else None


def is_sanitized():
    options = subprocess.run(
        ['meson', 'introspect', '--buildoptions', tool.build], capture_output=True, check=True
    )
    found = {option['name']: option['value'] for option in json.loads(options.stdout)}
    return found['b_sanitize'] != 'none'


def order(number, kind, **data):
    return tool.event('order-%d' % number, kind, data)


class Page(tool.Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(tool.ROOT, 'docs', 'READING.md'), encoding='utf-8') as file:
            self.blocks = dict(re.findall(r'runs: (\w+) -->\n```\w+\n(.*?)```', file.read(), re.S))
        events = [order(n, 'OrderPlaced', customer='c-%d' % (n % 7)) for n in range(ORDERS)]
        events += [order(n, 'ItemAdded', qty=n, price=10 ** (n % 12)) for n in range(ORDERS)]
        self.import_lines(*events)
        self.rebuild(tool.projection('order_summary'), self.path('open.lua', OPEN))

    def follow(self):
        """Orders that are new and changed, beside the base."""
        self.import_lines(
            *[order(n, 'ItemAdded', qty=1, price=5) for n in range(0, ORDERS, 7)],
            *[order(n, 'OrderPlaced', customer='late') for n in (1000, 1001, 15)],
            *[order(n, 'OrderCancelled') for n in (10, 12, 1001)],
        )
        self.ok('follow', self.store, '--once', '--quiet')

    def versions(self):
        """Another version of open_orders: the first is kept beside it. Rows of each by what names it."""
        self.rebuild(self.path('open.lua', OPEN.replace('(1)', '(2)').replace('= e.customer', '= "two"')))
        self.import_lines(order(2000, 'OrderPlaced', customer='c-9'), order(13, 'OrderCancelled'))
        self.ok('follow', self.store, '--once', '--quiet')
        rows = {
            name: [json.loads(line) for line in self.rows(name).splitlines()]
            for name in ('open_orders', 'open_orders@1', 'open_orders@2')
        }
        self.assertEqual(rows['open_orders'], rows['open_orders@2'])
        self.assertEqual({row['customer'] for row in rows['open_orders']}, {'two'})
        self.assertNotIn('two', {row['customer'] for row in rows['open_orders@1']})
        self.assertIn('order-2000', {row['key'] for row in rows['open_orders@1']})
        return rows

    def change(self):
        """The same in another generation."""
        self.import_lines(
            *[order(n, 'OrderCancelled') for n in range(0, ORDERS, 3)],
            *[order(n, 'OrderPlaced', customer='new') for n in range(ORDERS, ORDERS + 9)],
        )
        self.rebuild('order_summary', options=('--full',))

    def expected(self):
        """Rows for WANTED: times as numbers, as MessagePack has them."""
        rows = {row['key']: row for row in map(json.loads, self.rows('order_summary').splitlines())}
        for row in rows.values():
            for column in ('placed_at', 'last_at'):
                self.assertIsNone(row[column])  # these events have no time
        begins = [rows[key] for key in sorted(rows) if key.startswith('order-1')]
        return [rows['order-2'], None] + begins

    def row(self, key):
        return self.ok('get', self.store, 'order_summary', key).json

    def printed(self, *command, **how):
        done = subprocess.run(command, capture_output=True, check=False, **how)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_the_lines_for_a_shell_run(self):
        if not shutil.which('jq'):
            self.skipTest('jq is not installed')
        folder = os.path.dirname(self.store)
        os.rename(self.store, os.path.join(folder, 'shop.refold'))
        path = tool.build + os.pathsep + os.environ['PATH']
        done = subprocess.run(
            ['sh', '-euc', self.blocks['shell']],
            cwd=folder, env={**os.environ, 'PATH': path}, capture_output=True, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        lines = done.stdout.decode().splitlines()
        self.assertEqual((lines[0], lines[-2:]), ('"c-2"', ['"c-2"', '1']))
        self.assertEqual(len(lines), 1 + 1 + ORDERS + 1 + 1)

    def ask(self, process, line):
        """The rows that a program which answers each line gives for one."""
        lines = [line] + [NONE] * line.endswith('*')  # a key without a row is null
        process.stdin.write(''.join(each + '\n' for each in lines).encode())
        process.stdin.flush()
        answers = [process.stdout.readline()]
        while line.endswith('*') and answers[-1] not in (b'null\n', b''):
            answers.append(process.stdout.readline())
        self.assertNotEqual(answers[-1], b'', process.poll())
        return [json.loads(answer) for answer in answers if answer != b'null\n']

    def started(self, *command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.communicate)
        return process

    def answers_as_the_tool_does(self, *command):
        """A program that goes on reads what the tool reads: beside what `follow` changed, behind a swap, by
        versions; and gc leaves alone what it has open."""
        process = self.started(*command, self.store, 'order_summary')
        before = self.expected()
        self.assertEqual(self.ask(process, 'order-2'), before[:1])
        self.assertEqual(self.ask(process, 'order-1*'), before[2:])
        self.follow()
        self.assertEqual(self.ask(process, 'order-1*'), self.expected()[2:])
        self.assertEqual(self.ask(process, 'order-1000'), [self.row('order-1000')])
        self.assertEqual(self.ask(process, '*'), self.all_rows())
        self.change()
        self.assertNotEqual(self.expected(), before)
        self.assertEqual(self.ask(process, 'order-1*'), self.expected()[2:])
        self.assertEqual(self.ask(process, 'order-3')[0]['status'], 'OrderCancelled')
        self.assertEqual(self.ask(process, '*'), self.all_rows())
        held = self.live()
        for _ in range(3):
            self.rebuild('order_summary', options=('--keep', '1', '--full'))
        self.ok('gc', self.store, 'order_summary', '--keep', '1')
        kept = os.listdir(os.path.join(self.store, 'generations/order_summary'))
        self.assertIn('%06d' % held, kept)
        self.assertNotIn('%06d' % (held + 1), kept)
        self.assertEqual(self.ask(process, '*'), self.all_rows())
        for name, rows in self.versions().items():
            one = self.started(*command, self.store, name)
            self.assertEqual(self.ask(one, '*'), rows, name)
            self.assertEqual(self.ask(one, 'order-2000'), [row for row in rows if row['key'] == 'order-2000'])
            self.assertEqual(self.ask(one, 'order-13'), [])

    def live(self):
        models = self.ok('status', self.store, '--json').json['models']
        return [model['generation'] for model in models if model['name'] == 'order_summary'][0]

    def all_rows(self):
        return [json.loads(line) for line in self.rows('order_summary').splitlines()]

    @unittest.skipIf(is_sanitized(), "a sanitizer's build is not linked with other programs")
    def test_the_program_in_c_reads_what_the_tool_reads_before_and_after_a_swap(self):
        source = self.path('get.c', self.blocks['c'])
        program = self.path('get')
        libraries = [tool.build, '-Wl,-rpath,' + tool.build]
        subprocess.run(
            ['cc', '-std=c17', '-Wall', '-Wextra', '-Werror', '-o', program, source, '-I',
             os.path.join(tool.ROOT, 'engine/include'), '-L' + libraries[0], libraries[1], '-lrefold'], check=True,
        )
        self.answers_as_the_tool_does(program)
        done = subprocess.run([program, self.store, 'none'], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr.count(b'\n')), (tool.FAILED, 1), done.stderr)
        done = subprocess.run([program], capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (tool.USAGE, b'get STORE NAME\n'))

    def test_the_program_in_python_reads_what_the_tool_reads_before_and_after_a_swap(self):
        if not importlib.util.find_spec('lmdb') or not importlib.util.find_spec('msgpack'):
            self.skipTest('python3-lmdb or python3-msgpack is not installed')
        program = self.path('reader.py', self.blocks['python'])
        command = [sys.executable, program, self.store, 'order_summary'] + WANTED
        self.assertEqual(self.printed(*command), self.expected())
        spec = importlib.util.spec_from_file_location('reader', program)
        reader = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(reader)
        model = reader.ReadModel(self.store, 'order_summary')
        before = self.expected()
        self.assertEqual(list(model.scan('order-1')), before[2:])
        self.follow()
        self.assertEqual(model.number, 1)
        self.assertEqual([model.get('order-1000')] + list(model.scan('order-1')),
                         [self.row('order-1000')] + self.expected()[2:])
        self.assertEqual(self.printed(*command), self.expected())
        opened = [json.loads(line) for line in self.rows('open_orders').splitlines()]
        self.assertEqual(len(opened), ORDERS + 1 - 2)
        self.assertEqual(self.printed(*command[:-len(WANTED) - 1], 'open_orders', '*', 'order-10'), opened + [None])
        self.change()
        self.assertNotEqual(self.expected(), before)
        self.assertEqual(list(model.scan('order-1')), self.expected()[2:])
        self.assertEqual(model.get('order-3')['status'], 'OrderCancelled')
        self.assertEqual(len(list(model.scan())), ORDERS + 9 + 2)
        self.assertEqual(self.printed(*command), self.expected())
        for name, rows in self.versions().items():
            self.assertEqual(self.printed(*command[:3], name, '*'), rows, name)
        # What the reader holds, gc leaves alone.
        self.rebuild('order_summary', options=('--keep', '1'))
        self.ok('gc', self.store, 'order_summary', '--keep', '1')
        number = '%06d' % model.number
        self.assertTrue(os.path.exists(os.path.join(self.store, 'generations/order_summary', number)))

    def node(self, command):
        """Node with modules that were built as the page says, or a skip."""
        modules = find_modules()
        if not modules:
            self.skipTest('no lmdb for node that was built as docs/READING.md says: NODE_PATH, or REFOLD_NPM=1')
        return ['env', 'NODE_PATH=' + modules, 'node', command]

    def test_the_program_in_node_reads_what_the_tool_reads_before_and_after_a_swap(self):
        program = self.node(self.path('reader.js', self.blocks['node']))
        command = program + [self.store, 'order_summary'] + WANTED
        self.assertEqual(self.printed(*command), self.expected())
        opened = [json.loads(line) for line in self.rows('open_orders').splitlines()]
        self.assertEqual(self.printed(*command[:-len(WANTED) - 1], 'open_orders', '*', NONE), opened + [None])

    def test_the_class_in_node_follows_swaps_and_honours_the_delta(self):
        of_class = self.blocks['node'].split('\nconst model = ')
        self.assertEqual(len(of_class), 2)
        self.answers_as_the_tool_does(*self.node(self.path('reader.js', of_class[0] + ANSWERS)))


tool.main(__name__)
