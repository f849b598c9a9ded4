"""--help of every command, usage errors, and a standard output that cannot take what is written."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

COMMANDS = (
    'import',
    'info',
    'types',
    'status',
    'events',
    'check',
    'rebuild',
    'swap',
    'rollback',
    'generations',
    'gc',
    'get',
    'scan',
    'verify',
    'bench',
    'test',
    'skip',
    'unskip',
    'quarantine',
    'follow',
    'wait',
    'resume',
    'diff',
    'repair',
    'retire',
    'pin',
    'unpin',
)
OPTIONS = {
    'import': (
        '--map',
        '--source',
        '--gaps',
        '--atomic',
        '--time-unit',
        '--time-zone',
        '--partitions',
        '--json',
        '--quiet',
    ),
    'events': ('--stream', '--type', '--position', '--from', '--until'),
    'check': ('--strict', '--json'),
    'types': ('--counts', '--workers', '--json'),
    'rebuild': (
        '--workers',
        '--memory',
        '--until',
        '--no-swap',
        '--full',
        '--keep',
        '--all',
        '--allow-missing',
        '--dev',
        '--min-rows',
        '--max-removed',
        '--max-changed',
        '--expect-keys',
        '--independent',
        '--on-error',
        '--max-errors',
        '--unknown',
        '--json',
    ),
    'status': ('--watch', '--json'),
    'swap': ('--generation', '--set', '--max-changed', '--expect-keys', '--no-gates'),
    'skip': ('--reason', '--json'),
    'unskip': ('--json',),
    'quarantine': ('--generation', '--json'),
    'rollback': ('--generation', '--set', '--catch-up'),
    'follow': ('--once', '--workers', '--quiet'),
    'wait': ('--position', '--timeout'),
    'resume': (),
    'repair': ('--key', '--prefix', '--all', '--dry-run', '--wait-lock', '--json'),
    'diff': ('--rows', '--samples', '--html', '--exit-code', '--catch-up', '--json'),
    'gc': ('--keep', '--json'),
    'retire': ('--json',),
    'pin': ('--generation', '--json'),
    'unpin': ('--generation', '--json'),
    'scan': ('--prefix', '--from', '--to', '--limit', '--generation', '--format'),
    'get': ('--generation', '--as-of'),
    'verify': ('--serial', '--json'),
    'test': ('--only', '--quiet', '--json'),
    'bench': ('--workers', '--runs', '--memory', '--html', '--json', '--quiet'),
}


class Help(tool.Shop):
    def test_every_command_has_help_that_names_its_options(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                result = self.ok(command, '--help')
                self.assertEqual(result.err, b'')
                text = result.out.decode()
                self.assertIn('refold ' + command, text)
                for option in OPTIONS.get(command, ()):
                    self.assertIn(option, text)
                self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_help_of_the_tool_names_every_command(self):
        for argv in (('--help',), ('help',)):
            text = self.ok(*argv).out.decode()
            for command in COMMANDS:
                self.assertIn(command, text)

    def test_version(self):
        self.assertIn('refold', self.ok('--version').out.decode())

    def test_no_command_is_a_usage_error(self):
        result = self.gives(tool.USAGE)
        self.assertNotEqual(result.err, b'')
        self.assertEqual(result.out, b'')

    def test_an_unknown_command_names_the_nearest(self):
        self.refuses(tool.USAGE, ['rebuild'], 'rebild', self.store)

    def test_a_full_standard_output_is_a_failure(self):
        for command in (
            ('info', self.store),
            ('types', self.store),
            ('status', self.store),
            ('events', self.store),
            ('generations', self.store),
            ('get', self.store, 'order_summary', 'order-1'),
            ('scan', self.store, 'order_summary'),
            ('scan', self.store, 'order_summary', '--format', 'csv'),
            ('--help',),
            ('scan', '--help'),
            ('rebuild', self.store, self.orders, '--json', '--quiet'),
        ):
            with self.subTest(command=command), open('/dev/full', 'wb') as full:
                done = subprocess.run([tool.refold, *command], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, tool.FAILED, done)
                self.assertEqual(done.stderr.count(b'\n'), 1, done)

    def test_a_closed_pipe_ends_quietly(self):
        scan = subprocess.Popen(
            [tool.refold, 'scan', self.store, 'order_summary'],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        scan.stdout.close()
        message = scan.stderr.read()
        scan.stderr.close()
        self.assertNotEqual(scan.wait(60), 0)
        self.assertLessEqual(message.count(b'\n'), 1)


tool.main(__name__)
