"""Stores that cannot be written: on a read-only file system they are read, where others may write to them they are not,
and what would write says so in one line.
"""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

NOBODY = 65534
AS_NOBODY = {'user': NOBODY, 'group': NOBODY, 'extra_groups': []} if os.getuid() == 0 else {}

# A file system of its own with a copy of the store, read-only as a whole; or the store, seen through a read-only mount.
SNAPSHOT = 'mount -t tmpfs none "$0" && cp -a --sparse=always "$1" "$0/store.refold" && mount -o remount,ro "$0"'
VIEW = 'mkdir -p "$0/store.refold" && mount --bind "$1" "$0/store.refold" && mount -o remount,bind,ro "$0/store.refold"'
NEW = 'mount -t tmpfs none "$0" && mount -o remount,ro "$0"'


def has_namespaces():
    try:
        return subprocess.run(['unshare', '-rm', 'mount', '-t', 'tmpfs', 'none', '/mnt'], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


class Mounted(tool.Shop):
    def setUp(self):
        if not has_namespaces():
            self.skipTest('unprivileged user and mount namespaces are not allowed here')
        super().setUp()
        self.place = self.path('mounted')
        os.mkdir(self.place)
        self.there = os.path.join(self.place, 'store.refold')

    def call(self, mounting, command, *argv, stdin=b''):
        script = '{ %s; } >&2 || exit 99; shift; exec "$@"' % mounting
        done = subprocess.run(
            ['unshare', '-rm', 'sh', '-c', script, self.place, self.store, tool.refold, command, self.there, *argv],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
        self.assertNotEqual(done.returncode, 99, done.stderr)
        return tool.Result([command, *argv], done.returncode, done.stdout, done.stderr)

    def test_all_that_reads_reads_a_snapshot(self):
        self.rebuild(self.orders, options=('--full',))
        self.import_lines(event('order-1', 'OrderPaid'))
        self.ok('follow', self.store, '--once')
        for command in (
            ('info',),
            ('types',),
            ('status',),
            ('generations',),
            ('get', 'order_summary', 'order-1'),
            ('scan', 'order_summary'),
            ('events',),
            ('diff', 'order_summary', '1', '2'),
            ('quarantine', 'order_summary'),
            ('check', self.orders),
            ('wait',),
            ('verify',),
        ):
            with self.subTest(command=command):
                expected = tool.call(command[0], self.store, *command[1:])
                result = self.call(SNAPSHOT, *command)
                self.assertEqual((result.code, result.message.replace(self.there, self.store)),
                                 (expected.code, expected.message), str(result))
                if command[0] != 'status':  # that tells how long ago
                    self.assertEqual(result.out.replace(self.there.encode(), self.store.encode()), expected.out)

    def test_rows_of_a_snapshot_are_exported_to_a_file(self):
        for name in ('rows.jsonl', 'rows.csv'):
            path = self.path(name)
            result = self.call(SNAPSHOT, 'export', 'order_summary', path, '--quiet')
            self.assertEqual(result.code, tool.DONE, str(result))
            self.assertIn(b'order-3', tool.read(path))

    def test_what_would_write_says_so_and_changes_nothing(self):
        self.rebuild(self.orders, options=('--full',))
        for command in (
            ('import', '-'),
            ('import', '-', '--apply'),
            ('rebuild', '--all', '--full'),
            ('rebuild', self.orders),
            ('rollback', 'order_summary'),
            ('swap', 'order_summary', '--generation', '1'),
            ('gc', '--keep', '1'),
            ('follow', '--once'),
            ('repair', 'order_summary', '--all'),
            ('pin', 'order_summary'),
            ('resume', 'order_summary'),
            ('skip', 'order_summary', '1', '--reason', 'none'),
            ('bench', self.orders),
        ):
            with self.subTest(command=command):
                result = self.call(SNAPSHOT, *command, stdin=lines(event('x-1', 'T')))
                self.assertEqual(result.code, tool.FAILED, str(result))
                self.assertEqual(result.message.count('\n'), 1, str(result))
                self.assertIn('read-only file system; nothing was changed', result.message)

    def test_no_store_is_made_on_a_read_only_file_system(self):
        result = self.call(NEW, 'import', '-', stdin=lines(event('x-1', 'T')))
        self.assertEqual(result.code, tool.FAILED, str(result))
        self.assertIn('Read-only file system', result.message)

    def test_what_others_may_write_to_is_not_read_through_a_read_only_mount(self):
        for command in (('info',), ('get', 'order_summary', 'order-1'), ('verify',), ('import', '-')):
            with self.subTest(command=command):
                result = self.call(VIEW, *command)
                self.assertEqual(result.code, tool.FAILED, str(result))
                self.assertEqual(result.message.count('\n'), 1, str(result))
                self.assertIn('others may write', result.message)
                self.assertIn('lock.mdb', result.message)
                self.assertEqual(result.out, b'')


@unittest.skipIf(os.getuid() == 0 and sys.version_info < (3, 9), 'this Python starts no process of another user')
class Forbidden(tool.Shop):
    """A user who may not write."""

    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        if AS_NOBODY:
            self.owned()
        self.addCleanup(subprocess.run, ['chmod', '-R', 'u+w', self.store], check=True)
        if self.call('info').code != tool.DONE:
            self.skipTest('another user cannot run %s' % tool.refold)

    def owned(self):
        for folder, _, files in os.walk(self.store):
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                os.chown(path, NOBODY, NOBODY)

    def call(self, command, *argv, stdin=b''):
        try:
            done = subprocess.run([tool.refold, command, self.store, *argv], input=stdin, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=60, **AS_NOBODY)
        except PermissionError:
            self.skipTest('another user cannot run %s' % tool.refold)
        return tool.Result([command, *argv], done.returncode, done.stdout, done.stderr)

    def forbid(self):
        subprocess.run(['chmod', '-R', 'a-w', self.store], check=True)

    def test_without_the_right_to_write_a_store_is_not_read(self):
        self.forbid()
        for command in (('info',), ('get', 'order_summary', 'order-1'), ('import', '-')):
            with self.subTest(command=command):
                result = self.call(*command)
                self.assertEqual(result.code, tool.FAILED, str(result))
                self.assertEqual(result.message.count('\n'), 1, str(result))
                self.assertIn('lock.mdb: this user may not write it', result.message)

    def test_the_right_to_write_the_list_of_readers_is_enough_to_read(self):
        self.forbid()
        for part in ('log', 'live'):
            os.chmod(os.path.join(self.store, part, 'lock.mdb'), 0o600)
        for command in (('info',), ('get', 'order_summary', 'order-1'), ('scan', 'order_summary'), ('verify',)):
            with self.subTest(command=command):
                self.assertEqual(self.call(*command).code, tool.DONE)
        for command in (('import', '-'), ('pin', 'order_summary'), ('rebuild', '--all', '--full'), ('gc',)):
            with self.subTest(command=command):
                result = self.call(*command, stdin=lines(event('x-1', 'T')))
                self.assertEqual(result.code, tool.FAILED, str(result))
                self.assertIn('nothing was changed', result.message)

    def test_who_may_only_read_is_seen_by_who_writes(self):
        self.forbid()
        for part in ('log', 'live'):
            os.chmod(os.path.join(self.store, part, 'lock.mdb'), 0o600)
        waits = subprocess.Popen([tool.refold, 'wait', self.store, '--position', '8', '--timeout', '60'],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **AS_NOBODY)
        self.addCleanup(waits.wait)
        self.addCleanup(waits.kill)
        subprocess.run(['chmod', '-R', 'u+w', self.store], check=True)
        self.import_lines(event('order-9', 'OrderPlaced'), options=('--apply',))
        self.assertEqual(tool.wait_for(waits, 60), tool.DONE)


tool.main(__name__)
