"""events: gives back each event exactly, data and metadata byte for byte, in position order; and
chooses among them.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'model'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import made_logs
import tool
from tool import event, lines

PAYLOADS = (
    '{}',
    '{ }',
    '{"a":1}',
    '{ "a" : 1 , "b":[ 1,2 , 3 ] }',
    '{"a":1.0,"b":1.00,"c":1e5,"d":1E+5,"e":-0,"f":-0.0,"g":1e400}',
    '{"a":0.1000000000000000055511151231257827,"b":123456789012345.678901234567890}',
    '{"a":9223372036854775807,"b":-9223372036854775808}',
    '{"a":"\\u00e9","b":"é","c":"e\u0301","d":"\\ud83d\\ude00","e":"😀","f":"\\/","g":"/"}',
    '{"a":"\\b\\f\\n\\r\\t\\"\\\\","b":"\\u0000\\u001f\\u007f"}',
    '{"\\u0061":1,"b\\"c":2,"":3," ":4,"a.b":5}',
    '{"a":null,"b":true,"c":false,"d":[],"e":{},"f":[[[{"x":[null]}]]]}',
    '{"Ключ":"значение","注文":"東京"}',
    '{\t"a"\t:\t1\t}',
    '{"a":1,"a":2}',
    '{"x":"%s"}' % ('long text ' * 50000),
)


class Events(tool.Case):
    def test_data_and_metadata_come_back_byte_for_byte(self):
        events = []
        for i, payload in enumerate(PAYLOADS):
            metadata = PAYLOADS[-1 - i]
            events.append(
                '{"metadata":%s,"type":"T%d","stream":"s-%d","data":%s}'
                % (metadata, i % 3, i % 4, payload)
            )
        self.import_lines(*events)
        out = self.ok('events', self.store).out.splitlines()
        self.assertEqual(len(out), len(PAYLOADS))
        for i, (line, payload) in enumerate(zip(out, PAYLOADS)):
            metadata = PAYLOADS[-1 - i]
            self.assertIn(b'"data":' + payload.encode('utf-8') + b',"metadata":', line)
            self.assertTrue(
                line.endswith(b'"metadata":' + metadata.encode('utf-8') + b'}'), line[-200:]
            )
            self.assertEqual(json.loads(line)['position'], i + 1)

    def test_all_members_of_an_event(self):
        self.import_lines(
            event(
                'order-1',
                'ItemAdded',
                {'qty': 2},
                position=7,
                version=0,
                schema=3,
                time='2024-07-10T14:00:00+02:00',
                metadata={'by': 'x'},
            )
        )
        self.assertEqual(
            json.loads(self.ok('events', self.store).out),
            {
                'position': 1,
                'source_position': 7,
                'stream': 'order-1',
                'version': 0,
                'type': 'ItemAdded',
                'schema': 3,
                'time': '2024-07-10T12:00:00Z',
                'data': {'qty': 2},
                'metadata': {'by': 'x'},
            },
        )

    def test_names_with_all_kinds_of_characters_come_back(self):
        names = [name + '-%d' % i for i, name in enumerate(made_logs.NAMES)]
        self.import_lines(*(event(name, name, {'n': i}) for i, name in enumerate(names)))
        got = [json.loads(line) for line in self.ok('events', self.store).out.splitlines()]
        self.assertEqual(
            [(e['stream'], e['type'], e['data']['n']) for e in got],
            [(name, name, i) for i, name in enumerate(names)],
        )
        for i, name in enumerate(names):
            found = self.ok('events', self.store, '--stream', name).out.splitlines()
            self.assertEqual([json.loads(line)['data']['n'] for line in found], [i], name)

    def test_what_events_prints_can_be_imported_again(self):
        log = made_logs.make(5, events=2000, streams=50)
        self.ok('import', self.store, '-', '--quiet', stdin=made_logs.to_lines(log))
        printed = self.ok('events', self.store).out
        digest = self.rebuild(tool.projection('case_summary'))[0]['digest']
        self.store = os.path.join(self.folder, 'copy.refold')
        self.ok('import', self.store, '-', '--quiet', stdin=printed)
        self.assertEqual(self.rebuild(tool.projection('case_summary'))[0]['digest'], digest)
        again = [json.loads(line) for line in self.ok('events', self.store).lines]
        self.assertTrue(all(e.pop('source_position') == e['position'] for e in again))
        self.assertEqual(again, [json.loads(line) for line in printed.splitlines()])

    def test_small_and_large_segments_give_the_same_events(self):
        log = [
            event('s-%d' % (i % 11), 'T%d' % (i % 5), {'n': i, 'text': 'x' * (i % 97)})
            for i in range(400)
        ]
        self.import_lines(*log)
        whole = self.ok('events', self.store).out
        self.store = os.path.join(self.folder, 'pieces.refold')
        for i in range(0, 400, 20):
            self.import_lines(*log[i : i + 20])
        self.assertEqual(self.ok('events', self.store).out, whole)


class Choice(tool.Shop):
    def positions(self, *options):
        return [
            json.loads(line)['position'] for line in self.ok('events', self.store, *options).lines
        ]

    def test_by_stream_type_and_position(self):
        self.assertEqual(self.positions(), [1, 2, 3, 4, 5, 6, 7])
        self.assertEqual(self.positions('--stream', 'order-1'), [1, 3, 4, 5])
        self.assertEqual(self.positions('--type', 'ItemAdded'), [3, 4])
        self.assertEqual(self.positions('--stream', 'order-1', '--type', 'ItemAdded'), [3, 4])
        self.assertEqual(self.positions('--position', '5'), [5])

    def test_by_range_of_positions_inclusive(self):
        self.assertEqual(self.positions('--from', '3', '--until', '5'), [3, 4, 5])
        self.assertEqual(self.positions('--from', '6'), [6, 7])
        self.assertEqual(self.positions('--until', '2'), [1, 2])
        self.assertEqual(self.positions('--from', '8'), [])

    def test_by_range_of_times_inclusive(self):
        self.assertEqual(self.positions('--from', '2024-07-10T12:00:04Z'), [5, 6, 7])
        self.assertEqual(
            self.positions(
                '--from', '2024-07-10T14:00:02+02:00', '--until', '2024-07-10T12:00:03.25Z'
            ),
            [3, 4],
        )

    def test_what_does_not_exist_gives_no_lines(self):
        self.assertEqual(self.positions('--stream', 'order-99'), [])
        self.assertEqual(self.positions('--type', 'Unheard'), [])


tool.main(__name__)
