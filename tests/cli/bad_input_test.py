"""Bad input: each kind gives one clear line with file and line, the right exit code, and changes
nothing.
"""

import gzip
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

FIRST = event('a-1', 'T', {'n': 1}, version=0)


class BadLine(tool.Case):
    """The line stands second, after a good one that is in the store already; the store must stay
    as it was.
    """

    def setUp(self):
        super().setUp()
        self.import_lines(FIRST, event('a-1', 'T', {'n': 2}, version=1))

    def refused(self, line, *words, options=()):
        before = self.info(), self.ok('events', self.store).out
        line = line.encode('utf-8') if isinstance(line, str) else line
        path = self.path(
            'bad.jsonl', FIRST.encode() + b'\n' + line + b'\n' + lines(event('z-1', 'T'))
        )
        self.refuses(
            tool.FAILED, ['bad.jsonl:2', *words], 'import', self.store, path, '--quiet', *options
        )
        self.assertEqual((self.info(), self.ok('events', self.store).out), before)
        self.verifies()

    def test_broken_json(self):
        for line in (
            '{',
            '{"stream":"b-1","type":"T","data":{}',
            '{"stream":"b-1",,}',
            'plain text',
            '[1,2',
            '"',
            '{]',
            "{'stream':'b-1','type':'T','data':{}}",
            '{"stream":"b-1","type":"T","data":{}} x',
            '{"stream":"b-1","type":"T","data":{}}{"stream":"b-2","type":"T","data":{}}',
            '{"stream":"b-1","type":"T","data":{"a":01}}',
            '{"stream":"b-1","type":"T","data":{"a":1.}}',
            '{"stream":"b-1","type":"T","data":{"a":+1}}',
            '{"stream":"b-1","type":"T","data":{"a":NaN}}',
            '{"stream":"b-1","type":"T","data":{"a":tru}}',
            '{"stream":"b-1","type":"T","data":{"a":"\\x"}}',
            '{"stream":"b-1","type":"T","data":{"a":1,}}',
            '{"stream":"b-1","type":"T","data":{"a" 1}}',
        ):
            with self.subTest(line=line):
                self.refused(line)

    def test_values_that_are_no_object(self):
        for line in (
            '[]',
            '17',
            '"text"',
            'null',
            'true',
            '[{"stream":"b-1","type":"T","data":{}}]',
        ):
            with self.subTest(line=line):
                self.refused(line)

    def test_wrong_kinds(self):
        for member, value in (
            ('stream', 7),
            ('stream', None),
            ('type', 7),
            ('type', ['T']),
            ('version', 'x'),
            ('version', 1.5),
            ('version', -1),
            ('version', True),
            ('schema', 'x'),
            ('schema', 1.5),
            ('position', 'x'),
            ('position', -1),
            ('position', {}),
            ('time', True),
            ('time', {}),
            ('time', 'yesterday'),
            ('time', '2024-13-01T00:00:00Z'),
            ('time', '2024-02-30T00:00:00Z'),
            ('time', '2024-01-01T25:00:00Z'),
        ):
            with self.subTest(member=member, value=value):
                parts = {'stream': 'b-1', 'type': 'T', member: value}
                self.refused(event(parts.pop('stream'), parts.pop('type'), **parts), member)

    def test_times_outside_1900_to_2200(self):
        for time in (
            -2208988800001,
            7289654400000,
            '1899-12-31T23:59:59Z',
            '2201-01-01T00:00:00Z',
            1 << 62,
        ):
            with self.subTest(time=time):
                self.refused(event('b-1', 'T', time=time), 'time')

    def test_missing_members(self):
        for line, member in (
            ('{"type":"T","data":{}}', 'stream'),
            ('{"stream":"b-1","data":{}}', 'type'),
            ('{"stream":"b-1","type":"T"}', 'data'),
            ('{}', 'missing'),
        ):
            with self.subTest(line=line):
                self.refused(line, member)

    def test_bad_utf8(self):
        for bytes_ in (
            b'\xff',
            b'\xc3',
            b'\xc0\x80',
            b'\xed\xa0\x80',
            b'\xf5\x80\x80\x80',
            b'\xe2\x82',
        ):
            for line in (
                b'{"stream":"b-' + bytes_ + b'","type":"T","data":{}}',
                b'{"stream":"b-1","type":"' + bytes_ + b'","data":{}}',
                b'{"stream":"b-1","type":"T","data":{"a":"' + bytes_ + b'"}}',
                b'{"stream":"b-1","type":"T","data":{"' + bytes_ + b'":1}}',
            ):
                with self.subTest(line=line):
                    self.refused(line)

    def test_lone_surrogates(self):
        for text in ('\\ud800', '\\udc00', '\\ud800x', '\\ud800\\u0041'):
            with self.subTest(text=text):
                self.refused('{"stream":"b-1","type":"T","data":{"a":"%s"}}' % text)

    def test_nul(self):
        self.refused(b'{"stream":"b-1","type":"T","data":{"a":"\x00"}}')
        self.refused(b'{"stream":"b-1",\x00"type":"T","data":{}}')
        self.refused('{"stream":"b\\u0000","type":"T","data":{}}', 'stream')
        self.refused('{"stream":"b-1","type":"\\u0000","data":{}}', 'type')

    def test_control_characters_inside_text(self):
        self.refused(b'{"stream":"b-1","type":"T","data":{"a":"\x01"}}')
        self.refused(b'{"stream":"b-1","type":"T","data":{"a":"\t"}}')

    def test_another_event_of_the_same_version(self):
        for other in (
            event('a-1', 'T', {'n': 3}, version=1),
            event('a-1', 'U', {'n': 2}, version=1),
            event('a-1', 'T', {'n': 2}, version=1, time='2024-01-01T00:00:00Z'),
            event('a-1', 'T', {'n': 2}, version=1, schema=2),
            event('a-1', 'T', {'n': 2}, version=1, metadata={'by': 'x'}),
        ):
            with self.subTest(other=other):
                self.refused(other, 'a-1', '1')

    def test_a_version_gap(self):
        self.refused(event('a-1', 'T', version=5), 'a-1', '5')
        self.refused(event('b-1', 'T', version=2), 'b-1', '2')

    def test_names_that_are_too_long_or_empty(self):
        self.refused(event('s' * 481, 'T'), '480')
        self.refused(event('é' * 241, 'T'), '480')
        self.refused(event('b-1', 't' * 256), '255')
        self.refused(event('', 'T'), 'stream')
        self.refused(event('b-1', ''), 'type')

    def test_a_line_of_17_mib(self):
        self.refused(event('b-1', 'T', {'text': 'x' * (17 << 20)}), '16')

    def test_nesting_beyond_the_limit(self):
        for depth in (65, 1000, 100000):
            for open_, close in (('{"x":', '}'), ('[', ']')):
                nested = '{"y":' + open_ * (depth - 1) + '1' + close * (depth - 1) + '}'
                self.refused('{"stream":"b-1","type":"T","data":%s}' % nested)

    def test_numbers_beyond_64_bits(self):
        for number in ('9223372036854775808', '-9223372036854775809', '1' + '0' * 400):
            with self.subTest(number=number):
                self.refused('{"stream":"b-1","type":"T","version":%s,"data":{}}' % number)
                self.refused('{"stream":"b-1","type":"T","data":{"a":%s}}' % number)
                self.refused('{"stream":"b-1","type":"T","time":%s,"data":{}}' % number)

    def test_a_time_without_offset(self):
        self.refused(event('b-1', 'T', time='2024-07-10T12:00:00'), 'time')


class BadFile(tool.Case):
    def setUp(self):
        super().setUp()
        self.import_lines(event('a-1', 'T', {'n': 1}))
        self.before = self.info()

    def refused(self, words, *argv, code=tool.FAILED, **how):
        self.refuses(code, words, 'import', self.store, *argv, '--quiet', **how)
        self.assertEqual(self.info()['partitions'], self.before['partitions'])
        self.verifies()

    def unchanged(self):
        self.assertEqual(self.info(), self.before)

    def test_a_truncated_zst(self):
        content = lines(*(event('z-%d' % i, 'T', {'n': i * 7919}) for i in range(5000)))
        whole = subprocess.run(
            ['zstd', '-qc'], input=content, stdout=subprocess.PIPE, check=True
        ).stdout
        for size in (5, len(whole) // 2, len(whole) - 1):
            self.refused(['cut.zst'], self.path('cut.zst', whole[:size]), '--atomic')
            self.unchanged()
        self.refused(['cut.zst'], self.path('cut.zst', whole[:-1]))
        events = self.ok('events', self.store).lines
        self.assertEqual(len(events), self.info()['events'])

    def test_a_damaged_zst(self):
        whole = bytearray(
            subprocess.run(
                ['zstd', '-qc', '--check'],
                input=lines(*(event('z-%d' % i, 'T') for i in range(500))),
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        whole[len(whole) // 2] ^= 0x10
        self.refused(['bad.zst'], self.path('bad.zst', bytes(whole)), '--atomic')
        self.unchanged()

    def test_a_truncated_or_damaged_gz(self):
        whole = gzip.compress(lines(*(event('z-%d' % i, 'T') for i in range(500))))
        self.refused(['cut.gz'], self.path('cut.gz', whole[:-9]), '--atomic')
        damaged = bytearray(whole)
        damaged[-6] ^= 1
        self.refused(['bad.gz'], self.path('bad.gz', bytes(damaged)), '--atomic')
        self.unchanged()

    def test_a_directory_instead_of_a_file(self):
        self.refused([self.folder], self.folder)
        self.unchanged()

    def test_no_such_file(self):
        self.refused(['nowhere.jsonl'], os.path.join(self.folder, 'nowhere.jsonl'))
        self.unchanged()

    def test_a_missing_second_file_is_found_before_the_first_is_half_in(self):
        self.refused(
            ['nowhere.jsonl'],
            self.path('good.jsonl', lines(event('b-1', 'T'))),
            os.path.join(self.folder, 'nowhere.jsonl'),
            '--atomic',
        )
        self.unchanged()

    def test_doubled_backslashes_of_copy_are_named(self):
        self.refused(
            ['backslash', 'copy.jsonl:1'],
            self.path(
                'copy.jsonl', b'{"stream":"b-1","type":"T","data":{"a":"say \\\\"hi\\\\""}}\n'
            ),
        )
        self.unchanged()


class BadStore(tool.Case):
    COMMANDS = (
        ('info',),
        ('types',),
        ('status',),
        ('events',),
        ('generations',),
        ('verify',),
        ('gc', '--keep', '3'),
        ('get', 'order_summary', 'x'),
        ('scan', 'order_summary'),
        ('rollback', 'order_summary'),
        ('swap', 'order_summary'),
        ('rebuild', '--all'),
        ('rebuild', 'order_summary'),
    )

    def every_command(self, code, words, store):
        for command, *rest in self.COMMANDS:
            with self.subTest(command=command):
                self.refuses(code, words, command, store, *rest)

    def test_no_such_store(self):
        missing = os.path.join(self.folder, 'missing')
        self.every_command(tool.FAILED, [missing], missing)
        self.assertFalse(os.path.exists(missing))

    def test_a_directory_that_is_no_store(self):
        self.path('somebody.txt', b'hers')
        self.every_command(tool.FAILED, [self.folder], self.folder)
        self.refuses(
            tool.FAILED, [self.folder], 'import', self.folder, '-', stdin=lines(event('a', 'T'))
        )
        self.assertEqual(os.listdir(self.folder), ['somebody.txt'])

    def test_a_file_instead_of_a_store(self):
        path = self.path('file', b'content')
        self.every_command(tool.FAILED, [path], path)
        self.refuses(tool.FAILED, [path], 'import', path, '-', stdin=lines(event('a', 'T')))

    def test_a_store_of_a_newer_format(self):
        self.import_lines(event('a-1', 'T'))
        path = os.path.join(self.store, 'FORMAT')
        with open(path) as file:
            text = file.read()
        self.assertIn('1', text)
        with open(path, 'w') as file:
            file.write(text.replace('1', '2', 1))
        self.every_command(tool.FAILED, ['format'], self.store)
        self.refuses(
            tool.FAILED, ['format'], 'import', self.store, '-', stdin=lines(event('a-1', 'T'))
        )

    def test_a_store_that_cannot_be_made(self):
        for path in (
            '/proc/refold',
            self.path('file', b'') + '/store',
            os.path.join(self.folder, 'no', 'parent'),
        ):
            with self.subTest(path=path):
                self.refuses(tool.FAILED, [path], 'import', path, '-', stdin=lines(event('a', 'T')))


class BadUsage(tool.Shop):
    def test_usage_errors_are_exit_2_and_one_line(self):
        for argv in (
            ('import',),
            ('rebuild', self.store),
            ('scan', self.store),
            ('get', self.store, 'order_summary'),
            ('info',),
            ('frobnicate', self.store),
            ('info', self.store, '--frobnicate'),
            ('import', self.store, '-', '--gaps', 'maybe'),
            ('import', self.store, '-', '--time-unit', 'h'),
            ('import', self.store, '-', '--time-zone', 'Mars/Olympus'),
            ('import', self.store, '-', '--map', 'x'),
            ('import', self.store, '-', '--source'),
            ('rebuild', self.store, self.orders, '--workers', 'many'),
            ('rebuild', self.store, self.orders, '--workers', '-1'),
            ('rebuild', self.store, self.orders, '--memory', 'lots'),
            ('rebuild', self.store, self.orders, '--until', '3'),
            ('rebuild', self.store, self.orders, '--max-removed', '101%'),
            ('rebuild', self.store, self.orders, '--keep', '0'),
            ('scan', self.store, 'order_summary', '--limit', 'x'),
            ('scan', self.store, 'order_summary', '--format', 'xml'),
            ('gc', self.store, '--keep', 'x'),
            ('swap', self.store),
            ('rollback', self.store, 'order_summary', '--generation', 'x'),
        ):
            with self.subTest(argv=argv):
                self.refuses(tool.USAGE, [], *argv)
        self.assertEqual(self.rows('order_summary', '--prefix', 'order-1'), self.ROW)

    def test_no_such_read_model(self):
        for command in (
            ('get', self.store, 'nothing', 'x'),
            ('scan', self.store, 'nothing'),
            ('swap', self.store, 'nothing'),
            ('rollback', self.store, 'nothing'),
            ('rebuild', self.store, 'nothing'),
            ('generations', self.store, 'nothing'),
            ('gc', self.store, 'nothing'),
        ):
            with self.subTest(command=command):
                self.refuses(tool.FAILED, ['nothing'], *command)

    def test_no_such_generation(self):
        for command in (
            ('scan', self.store, 'order_summary', '--generation', '99'),
            ('swap', self.store, 'order_summary', '--generation', '99'),
            ('rollback', self.store, 'order_summary', '--generation', '99'),
        ):
            with self.subTest(command=command):
                self.refuses(tool.FAILED, ['99'], *command)


tool.main(__name__)
