"""info, types, status: what they count, and that --json is one JSON object."""

import json
import os
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
