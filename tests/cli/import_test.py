"""import: what it accepts, how it counts, and what the options change."""

import gzip
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

A, B, C = (
    event('s-%d' % i, 'Noted', {'n': i}, time='2024-07-10T12:00:0%dZ' % i) for i in (1, 2, 3)
)


def zstd(content):
    return subprocess.run(['zstd', '-qc'], input=content, stdout=subprocess.PIPE, check=True).stdout


class Import(tool.Case):
    def summary(self, *argv, **how):
        return self.ok('import', self.store, *argv, '--json', '--quiet', **how).json

    def events(self, *options):
        return [json.loads(line) for line in self.ok('events', self.store, *options).lines]

    def numbers(self):
        return [e['data']['n'] for e in self.events()]

    def test_takes_a_file(self):
        counts = self.summary(self.path('a.jsonl', lines(A, B)))
        self.assertEqual(
            (
                counts['added'],
                counts['duplicates'],
                counts['late'],
                counts['streams'],
                counts['position'],
            ),
            (2, 0, 0, 2, 2),
        )

    def test_takes_several_files_in_their_order(self):
        self.summary(self.path('b.jsonl', lines(B)), self.path('a.jsonl', lines(A, C)))
        self.assertEqual(self.numbers(), [2, 1, 3])

    def test_takes_standard_input(self):
        self.assertEqual(self.summary('-', stdin=lines(A, B, C))['added'], 3)

    def test_takes_zstd_and_gzip_by_their_first_bytes(self):
        self.summary(
            self.path('a.jsonl.zst', zstd(lines(A))),
            self.path('b.gz', gzip.compress(lines(B))),
            self.path('c.jsonl', zstd(lines(C))),
        )
        self.assertEqual(self.numbers(), [1, 2, 3])

    def test_takes_zstd_from_standard_input(self):
        self.assertEqual(self.summary('-', stdin=zstd(lines(A, B)))['added'], 2)

    def test_takes_several_frames_in_one_file(self):
        self.summary(self.path('a.zst', zstd(lines(A)) + zstd(lines(B))))
        self.summary(
            self.path(
                'c.gz',
                gzip.compress(lines(C)) + gzip.compress(lines(event('s-4', 'Noted', {'n': 4}))),
            )
        )
        self.assertEqual(self.numbers(), [1, 2, 3, 4])

    def test_takes_crlf_blank_lines_and_no_last_newline(self):
        text = '\r\n' + A + '\r\n\r\n\n' + B + '\n   \n' + C
        self.assertEqual(self.summary(self.path('a.jsonl', text))['added'], 3)

    def test_an_empty_file_adds_nothing(self):
        counts = self.summary(self.path('empty.jsonl', b''), self.path('blank.jsonl', b'\n\r\n\n'))
        self.assertEqual((counts['added'], counts['position']), (0, 0))

    def test_line_numbers_count_blank_lines_and_crlf(self):
        path = self.path('a.jsonl', A + '\r\n\r\n' + B + '\n{"stream":\n')
        self.refuses(tool.FAILED, ['a.jsonl:4'], 'import', self.store, path, '--quiet')

    def test_equal_events_are_ignored_and_counted(self):
        versioned = [event('s-1', 'Noted', {'n': i}, version=i) for i in range(5)]
        self.summary('-', stdin=lines(*versioned[:3]))
        counts = self.summary('-', stdin=lines(*versioned))
        self.assertEqual((counts['added'], counts['duplicates'], counts['position']), (2, 3, 5))
        self.assertEqual(self.numbers(), [0, 1, 2, 3, 4])

    def test_an_equal_event_within_one_file_is_ignored_too(self):
        one = event('s-1', 'Noted', {'n': 1}, version=0)
        counts = self.summary('-', stdin=lines(one, one, one))
        self.assertEqual((counts['added'], counts['duplicates']), (1, 2))

    def test_an_event_without_version_is_known_by_its_source_position(self):
        events = [event('s-1', 'Noted', {'n': i}, position=i) for i in (1, 2, 3)]
        self.summary('-', stdin=lines(*events))
        counts = self.summary('-', stdin=lines(*events))
        self.assertEqual((counts['added'], counts['duplicates']), (0, 3))

    def test_an_event_without_version_and_position_is_always_new(self):
        self.summary('-', stdin=lines(A, A))
        self.assertEqual([e['version'] for e in self.events()], [1, 2])

    def test_a_stream_without_versions_begins_at_1_and_with_versions_where_they_begin(self):
        self.summary(
            '-',
            stdin=lines(
                event('a-1', 'T'),
                event('b-1', 'T', version=0),
                event('b-1', 'T'),
                event('c-1', 'T', version=1),
                event('c-1', 'T'),
            ),
        )
        self.assertEqual(
            [(e['stream'], e['version']) for e in self.events()],
            [('a-1', 1), ('b-1', 0), ('b-1', 1), ('c-1', 1), ('c-1', 2)],
        )

    def test_gaps_allow_records_holes(self):
        events = lines(
            event('a-1', 'T', {'n': 5}, version=5), event('a-1', 'T', {'n': 9}, version=9)
        )
        self.refuses(tool.FAILED, [':1', 'a-1'], 'import', self.store, '-', '--quiet', stdin=events)
        self.summary('-', '--gaps', 'allow', stdin=events)
        self.assertEqual([e['version'] for e in self.events()], [5, 9])

    def test_a_late_event_is_appended_and_counted(self):
        self.summary(
            '-',
            stdin=lines(
                event('a-1', 'T', {'n': 1}, position=1, version=1),
                event('b-1', 'T', {'n': 3}, position=3, version=1),
            ),
        )
        counts = self.summary('-', stdin=lines(event('c-1', 'T', {'n': 2}, position=2, version=1)))
        self.assertEqual((counts['added'], counts['late'], counts['position']), (1, 1, 3))
        self.assertEqual(
            [(e['position'], e['source_position']) for e in self.events()], [(1, 1), (2, 3), (3, 2)]
        )

    def test_sources_have_positions_of_their_own(self):
        self.summary('-', '--source', 'shop', stdin=lines(event('a-1', 'T', position=100)))
        counts = self.summary('-', '--source', 'crm', stdin=lines(event('b-1', 'T', position=1)))
        self.assertEqual((counts['added'], counts['late']), (1, 0))

    def test_map_renames_members_and_copies_payload_paths(self):
        line = json.dumps(
            {'id': 7, 'aggregate': 'a-1', 'kind': 'T', 'body': {'class_version': 2, 'x': 1}}
        )
        self.summary(
            '-',
            '--map',
            'position=id,stream=aggregate,type=kind,data=body,schema=data.class_version',
            stdin=lines(line, json.dumps({'aggregate': 'a-1', 'kind': 'T', 'body': {'x': 2}})),
        )
        first, second = self.events()
        self.assertEqual(
            (first['stream'], first['type'], first['schema'], first['source_position']),
            ('a-1', 'T', 2, 7),
        )
        self.assertEqual(first['data'], {'class_version': 2, 'x': 1})
        self.assertEqual((second.get('schema', 1), second['data']), (1, {'x': 2}))

    def test_members_that_are_not_used_are_counted_and_named(self):
        events = lines(event('a-1', 'T', tenant='x'), event('a-1', 'T', tenant='y', trace=1))
        result = self.ok('import', self.store, '-', stdin=events)
        self.assertIn('tenant', result.out.decode() + result.message)
        self.assertIn('trace', result.out.decode() + result.message)

    def test_time_units(self):
        for unit, value in (
            ('s', 1720612800),
            ('ms', 1720612800123),
            ('us', 1720612800123456),
            ('ns', 1720612800123456789),
        ):
            self.store = os.path.join(self.folder, unit + '.refold')
            self.summary('-', '--time-unit', unit, stdin=lines(event('a-1', 'T', time=value)))
            fraction = {'s': '', 'ms': '.123000'}.get(unit, '.123456')
            self.assertEqual(self.events()[0]['time'], '2024-07-10T12:00:00%sZ' % fraction, unit)

    def test_times_without_offset_need_a_time_zone(self):
        events = lines(
            event('a-1', 'T', time='2024-07-10T12:00:00'),
            event('a-1', 'T', time='2024-01-10T12:00:00'),
        )
        self.refuses(tool.FAILED, [':1'], 'import', self.store, '-', '--quiet', stdin=events)
        for zone, summer, winter in (
            ('+02:00', '10', '10'),
            ('Z', '12', '12'),
            ('Europe/Prague', '10', '11'),
        ):
            self.store = os.path.join(self.folder, zone.replace('/', '-') + '.refold')
            self.summary('-', '--time-zone', zone, stdin=events)
            self.assertEqual(
                [e['time'] for e in self.events()],
                ['2024-07-10T%s:00:00Z' % summer, '2024-01-10T%s:00:00Z' % winter],
            )

    def test_a_time_with_offset_ignores_the_time_zone(self):
        self.summary(
            '-',
            '--time-zone',
            '+02:00',
            stdin=lines(event('a-1', 'T', time='2024-07-10T12:00:00-01:00')),
        )
        self.assertEqual(self.events()[0]['time'], '2024-07-10T13:00:00Z')

    def test_a_missing_time_stays_missing(self):
        self.summary('-', stdin=lines(event('a-1', 'T'), event('a-1', 'T', time=None)))
        self.assertEqual([e.get('time') for e in self.events()], [None, None])

    def test_atomic_adds_all_files_or_none(self):
        good, bad = self.path('good.jsonl', lines(A, B)), self.path('bad.jsonl', lines(C) + b'{\n')
        self.refuses(
            tool.FAILED, ['bad.jsonl:2'], 'import', self.store, good, bad, '--atomic', '--quiet'
        )
        if os.path.exists(self.store):
            self.assertEqual(self.info()['events'], 0)
        self.assertEqual(self.summary(good, '--atomic')['added'], 2)

    def test_after_a_refused_line_the_store_has_a_prefix_and_goes_on(self):
        events = [event('s-%d' % (i % 7), 'T', {'n': i}, version=i // 7) for i in range(50)]
        self.summary('-', stdin=lines(*events[:10]))
        self.refuses(
            tool.FAILED,
            [':31'],
            'import',
            self.store,
            '-',
            '--quiet',
            stdin=lines(*events[:30]) + b'broken\n' + lines(*events[30:]),
        )
        numbers = self.numbers()
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertLessEqual(len(numbers), 30)
        self.summary('-', stdin=lines(*events))
        self.assertEqual(self.numbers(), list(range(50)))
        self.verifies()

    def test_the_longest_names_and_deep_nesting_fit(self):
        deep = '{"x":' * 62 + '1' + '}' * 62
        self.summary(
            '-',
            stdin=lines(event('s' * 480, 't' * 255), '{"stream":"a","type":"T","data":%s}' % deep),
        )
        self.assertEqual([len(e['stream']) for e in self.events()], [480, 1])

    def test_an_event_of_15_mib_fits_and_comes_back(self):
        big = 'x' * (15 << 20)
        self.summary(
            '-',
            stdin=lines(
                event('a-1', 'T', {'n': 1}),
                event('b-1', 'T', {'text': big}),
                event('a-1', 'T', {'n': 2}),
            ),
        )
        self.assertEqual(self.events()[1]['data'], {'text': big})

    def test_partitions_are_chosen_when_the_store_is_made(self):
        for count in (1, 256, 1024):
            self.store = os.path.join(self.folder, 'p%d' % count)
            self.summary('-', '--partitions', count, stdin=lines(A))
            self.assertEqual(self.info()['partitions'], count)
        self.store = os.path.join(self.folder, 'default')
        self.summary('-', stdin=lines(A))
        self.assertEqual(self.info()['partitions'], 64)
        for count in ('0', '3', '2048', '-1', 'x'):
            self.refuses(
                tool.USAGE,
                [],
                'import',
                os.path.join(self.folder, 'no'),
                '-',
                '--partitions',
                count,
                stdin=lines(A),
            )
        self.assertFalse(os.path.exists(os.path.join(self.folder, 'no')))

    def test_an_empty_directory_becomes_a_store(self):
        os.mkdir(self.store)
        self.assertEqual(self.summary('-', stdin=lines(A))['added'], 1)

    def wait_for_open(self, process, name):
        """Until the process has a file of that name open."""
        folder = '/proc/%d/fd/' % process.pid
        while not any(link.endswith('/' + name) for link in map(os.readlink, self.paths_in(folder))):
            self.assertIsNone(process.poll())
            time.sleep(0.01)

    def paths_in(self, folder):
        return [path for path in (folder + fd for fd in os.listdir(folder)) if os.path.lexists(path)]

    def test_a_first_import_that_fails_leaves_no_store(self):
        good, bad = self.path('a.jsonl', lines(A)), self.path('bad.jsonl', lines(B) + b'{')
        for argv in (
            [bad],
            [good, bad],
            [bad, '--atomic'],
            [self.path('c.json', b'{"specversion":"1.0"}'), '--preset', 'cloudevents'],
            [good, '--map', 'version=data.n', '--map', 'stream=data.n'],
            ['--exec', 'cat %s; exit 3' % good],
            ['--exec', 'cat %s' % bad],
        ):
            result = self.gives(tool.FAILED, 'import', self.store, *argv, '--partitions', '8', '--quiet')
            self.assertTrue(result.message.endswith('nothing was added, and no store was made\n'), result)
            self.assertFalse(os.path.exists(self.store), result)
        self.gives(tool.FAILED, 'import', self.store, '-', '--quiet', stdin=b'x')
        self.gives(tool.UNREACHABLE, 'import', self.store, '--exec', 'exit 75', '--quiet')
        self.assertFalse(os.path.exists(self.store))
        self.assertEqual(self.summary(good, '--partitions', '16')['added'], 1)

    def test_an_empty_directory_is_empty_again_after_a_first_import_that_failed(self):
        os.mkdir(self.store)
        self.gives(tool.FAILED, 'import', self.store, '-', '--quiet', stdin=b'x')
        self.assertEqual(os.listdir(self.store), [])

    def test_a_store_that_has_anything_stays_whatever_fails(self):
        self.summary(self.path('empty.jsonl', b''))
        bad = self.path('bad.jsonl', b'{')
        result = self.gives(tool.FAILED, 'import', self.store, bad, '--quiet')
        self.assertIn('the store is at position 0', result.message)
        self.summary(self.path('a.jsonl', lines(A)))
        result = self.gives(tool.FAILED, 'import', self.store, bad, '--quiet')
        self.assertIn('the store is at position 1', result.message)
        self.assertEqual(self.numbers(), [1])

    def test_an_import_that_waited_for_a_first_one_that_failed_says_so(self):
        first = subprocess.Popen(
            [tool.refold, 'import', self.store, '-', '--quiet'], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.wait_for_open(first, 'IMPORT')
        second = subprocess.Popen(
            [tool.refold, 'import', self.store, self.path('a.jsonl', lines(A)), '--wait-lock', '60', '--quiet'],
            stderr=subprocess.PIPE,
        )
        self.wait_for_open(second, 'IMPORT')
        self.assertEqual(first.communicate(b'x')[1].count(b'no store was made'), 1)
        message = second.communicate()[1].decode()
        self.assertEqual(second.returncode, tool.FAILED, message)
        self.assertIn('was removed while it was open; nothing was changed', message)
        self.assertFalse(os.path.exists(self.store))

    def test_quiet_prints_nothing_on_standard_error(self):
        self.assertEqual(self.ok('import', self.store, '-', '--quiet', stdin=lines(A)).err, b'')


tool.main(__name__)
