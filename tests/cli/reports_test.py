"""info, types, status: what they count, and that --json is one JSON object."""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Reports(tool.Shop):
    def test_info(self):
        info = self.info()
        self.assertEqual(
            (info['events'], info['streams'], info['partitions'], info['position']), (7, 3, 64, 7)
        )
        self.assertGreater(info['segments'], 0)
        self.assertGreater(info['bytes'], 0)
        self.assertIn('7', self.ok('info', self.store).out.decode())

    def test_types(self):
        found = self.ok('types', self.store, '--json').json
        counts = {entry['type']: entry['events'] for entry in found['types']}
        self.assertEqual(
            counts, {'OrderPlaced': 3, 'ItemAdded': 2, 'ItemRemoved': 1, 'OrderCancelled': 1}
        )
        text = self.ok('types', self.store).out.decode()
        for name in counts:
            self.assertIn(name, text)
        self.assertIn('qty', text)

    def test_types_tell_schemas_and_kinds_apart(self):
        self.import_lines(
            event('a-1', 'T', {'x': 1, 'y': {'z': 'a'}}),
            event('a-1', 'T', {'x': 'text', 'y': {}}),
            event('a-1', 'T', {'x': 1.5}, schema=2),
        )
        found = [
            e for e in self.ok('types', self.store, '--json').json['types'] if e['type'] == 'T'
        ]
        self.assertEqual(sorted((e['schema'], e['events']) for e in found), [(1, 2), (2, 1)])
        paths = {field['path'] for e in found for field in e['fields']}
        self.assertIn('y.z', paths)

    def test_status(self):
        self.import_lines(
            event('order-9', 'OrderPlaced', {'customer': 'c-9'}, time='2024-07-10T12:01:06Z')
        )
        found = self.ok('status', self.store, '--json').json
        self.assertEqual(found['position'], 8)
        model = found['models'][0]
        self.assertEqual(
            (
                model['name'],
                model['version'],
                model['generation'],
                model['position'],
                model['lag'],
                model['rows'],
            ),
            ('order_summary', self.first['version'], 1, 7, 1, 3),
        )
        self.assertIn('order_summary', self.ok('status', self.store).out.decode())

    def watch(self, *options, terminal=None):
        process = subprocess.Popen(
            [tool.refold, 'status', self.store, '--watch', '1', *options],
            stdout=terminal or subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(process.wait)
        return process

    def test_status_that_is_watched_tells_what_changes_until_it_is_interrupted(self):
        process = self.watch('--json')
        self.assertEqual(json.loads(process.stdout.readline())['position'], 7)
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        told = [json.loads(process.stdout.readline())['position'] for _ in range(3)]
        self.assertEqual(told[-1], 8)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), tool.INTERRUPTED)
        process.stdout.close()

    def test_status_that_is_watched_is_blocks_in_a_pipe_and_drawn_over_on_a_terminal(self):
        process = self.watch()
        first = [process.stdout.readline() for _ in range(4)]
        self.assertIn(b'position 7', first[0])
        self.assertEqual(first[3], b'\n')
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), tool.TERMINATED)
        process.stdout.close()
        ours, theirs = os.openpty()
        process = self.watch(terminal=theirs)
        shown = b''
        while shown.count(b'\033[H\033[2J') < 2:
            shown += os.read(ours, 4096)
        self.assertIn(b'position 7', shown)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), tool.INTERRUPTED)
        os.close(ours)
        os.close(theirs)

    def test_reports_of_an_empty_store(self):
        self.store = os.path.join(self.folder, 'empty.refold')
        self.ok('import', self.store, '-', '--quiet', stdin=b'')
        info = self.info()
        self.assertEqual((info['events'], info['streams'], info['position']), (0, 0, 0))
        self.assertEqual(self.ok('types', self.store, '--json').json['types'], [])
        self.assertEqual(self.ok('status', self.store, '--json').json['models'], [])
        self.assertEqual(self.ok('events', self.store).out, b'')

    def test_json_is_one_object_on_one_stream(self):
        for command in (
            ('info', self.store),
            ('types', self.store),
            ('status', self.store),
            ('verify', self.store),
            ('generations', self.store),
            ('check', self.store, self.orders),
            ('gc', self.store, '--keep', '3'),
            ('rebuild', self.store, self.orders, '--quiet'),
            ('rollback', self.store, 'order_summary'),
            ('swap', self.store, 'order_summary'),
            ('import', self.store, '/dev/null', '--quiet'),
        ):
            with self.subTest(command=command):
                self.assertIsInstance(json.loads(self.ok(*command, '--json').out), dict)

    def test_strange_names_keep_json_valid(self):
        self.import_lines(event('q"\\\n', 'T"\\\t\x01', {'k"\\\n': 1}, **{'extra"\\': 1}))
        self.assertIn(
            'T"\\\t\x01', [e['type'] for e in self.ok('types', self.store, '--json').json['types']]
        )
        self.assertIsInstance(
            self.ok(
                'import',
                self.store,
                '-',
                '--json',
                '--quiet',
                stdin=tool.lines(event('a', 'T', **{'extra"\\\n': 1})),
            ).json,
            dict,
        )


tool.main(__name__)
