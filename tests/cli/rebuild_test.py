"""rebuild: what it reports, its checks and gates, versions of definitions, several projections at
once.
"""

import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event, lines

ZONE_TABLE = '/usr/share/zoneinfo/tzdata.zi'
SHIM = '''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return real(strcmp(path, "%s") == 0 ? "%s" : path, flags, mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
'''


class Rebuild(tool.Shop):
    def live(self, name='order_summary'):
        """Number of the live generation, seen through its rows' report."""
        return self.model(name)['generation']

    def model(self, name):
        return [
            model
            for model in self.ok('status', self.store, '--json').json['models']
            if model['name'] == name
        ][0]

    def test_reports_as_documented(self):
        report = self.ok(
            'rebuild', self.store, self.orders, '--json', '--quiet', '--workers', '2'
        ).json
        self.assertEqual((report['position'], report['workers']), (7, 2))
        self.assertGreaterEqual(report['seconds'], 0)
        self.assertGreater(report['bytes_decoded'], 0)
        entry = report['projections'][0]
        self.assertEqual(
            {
                name: entry[name]
                for name in ('name', 'version', 'generation', 'rows', 'events', 'live')
            },
            {
                'name': 'order_summary',
                'version': self.first['version'],
                'generation': 2,
                'rows': 3,
                'events': 7,
                'live': True,
            },
        )
        self.assertEqual(entry['digest'], self.first['digest'])
        self.assertEqual(len(entry['digest']), 32)

    def test_decodes_only_the_columns_that_are_named(self):
        self.import_lines(
            *(
                event('big-%d' % i, 'Blob', {'text': os.urandom(500).hex(), 'qty': i})
                for i in range(300)
            )
        )
        few = self.ok('rebuild', self.store, self.plugin(), '--json', '--quiet').json[
            'bytes_decoded'
        ]
        self.assertLess(few, 30000)

    def test_rebuilds_by_name_and_all(self):
        self.rebuild(self.plugin())
        self.assertEqual([e['generation'] for e in self.rebuild('order_summary')], [2])
        self.assertEqual(
            sorted((e['name'], e['generation']) for e in self.rebuild('--all')),
            [('counting', 2), ('order_summary', 3)],
        )

    def test_a_rebuild_by_name_runs_the_kept_definition(self):
        plugin = self.plugin()
        self.rebuild(plugin)
        os.unlink(plugin)
        self.assertEqual(self.rebuild('counting')[0]['rows'], 1)

    def test_no_swap_leaves_the_live_generation(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        entry = self.rebuild(self.orders, options=('--no-swap',))[0]
        self.assertEqual((entry['generation'], entry['live'], entry['rows']), (2, False, 4))
        self.assertEqual(self.live(), 1)
        self.assertEqual(self.rows('order_summary').count(b'\n'), 3)
        self.ok('swap', self.store, 'order_summary')
        self.assertEqual((self.live(), self.rows('order_summary').count(b'\n')), (2, 4))

    def test_until_a_position(self):
        entry = self.rebuild(self.orders, options=('--no-swap', '--until', '3'))[0]
        self.assertEqual((entry['rows'], entry['events'], entry['live']), (2, 3, False))
        row = self.ok(
            'get', self.store, 'order_summary', 'order-1', '--generation', entry['generation']
        ).json
        self.assertEqual((row['items'], row['events']), (2, 2))

    def test_until_a_time_is_the_longest_prefix_without_a_later_event(self):
        self.import_lines(
            event('order-9', 'OrderPlaced', {'customer': 'c-9'}, time='2024-07-10T12:00:00Z')
        )
        report = self.ok(
            'rebuild',
            self.store,
            self.orders,
            '--json',
            '--quiet',
            '--no-swap',
            '--until',
            '2024-07-10T12:00:03.25Z',
        ).json
        self.assertEqual((report['position'], report['projections'][0]['events']), (4, 4))
        text = self.ok(
            *('rebuild', self.store, self.orders, '--quiet', '--no-swap'),
            *('--until', '2024-07-10T12:00:03.25Z'),
        ).out.decode()
        self.assertIn('sealed at position 4, not live', text)

    def test_full_is_accepted(self):
        self.assertEqual(self.rebuild(self.orders, options=('--full',))[0]['rows'], 3)

    def test_if_changed_is_exit_3_when_nothing_is_new(self):
        self.gives(tool.NOTHING, 'rebuild', self.store, self.orders, '--if-changed', '--quiet')
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(self.rebuild(self.orders, options=('--if-changed',))[0]['rows'], 4)

    def test_if_changed_checks_nothing_again_that_is_live(self):
        empty = self.path('empty.refold')
        changed = ('rebuild', empty, '--all', '--if-changed', '--quiet')
        self.ok('import', empty, '-', '--quiet')
        self.refuses(tool.FAILED, ['no read model is live yet'], *changed)
        deploys = ('rebuild', empty, self.orders, '--if-changed', '--quiet')
        self.refuses(tool.REFUSED, ['the log has no events', 'nothing was built'], *deploys)
        self.ok(*deploys, '--allow-missing', '--min-rows', '0')
        self.refuses(tool.NOTHING, ['the log has no events yet'], *changed)
        self.refuses(tool.NOTHING, ['the log has no events yet'], *deploys)
        self.ok('import', empty, '-', '--quiet', stdin=lines(event('x-1', 'Other')))
        self.refuses(tool.REFUSED, ['no event of type'], *changed)
        self.ok(*changed, '--allow-missing', '--min-rows', '0')
        self.refuses(tool.NOTHING, ['nothing changed', 'position 1'], *changed)

    @unittest.skipUnless(os.path.exists(ZONE_TABLE), 'there is no ' + ZONE_TABLE)
    def test_if_changed_notices_another_table_of_time_zones_where_it_is_used(self):
        rules = self.path('tzdata.zi', '# version 2099a\nZ Europe/Berlin 1 - CET\n')
        shim = self.path('shim.so')
        subprocess.run(
            ['cc', '-shared', '-fPIC', '-o', shim, self.path('shim.c', SHIM % (ZONE_TABLE, rules))],
            check=True,
        )
        head = 'name "days" version (1) columns { "on date" }\non ("OrderPlaced", {}, function (row, e) '
        days = self.path('days.lua', head + 'row.on = date(e.time, "Europe/Berlin") end)')
        plain = self.path('plain.lua', head.replace('days', 'plain') + 'row.on = nil end)')
        again = ('--if-changed', '--quiet')
        sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'
        other = {'LD_PRELOAD': shim, 'ASAN_OPTIONS': sanitizer}
        for path, uses in ((days, True), (plain, False)):
            first = self.rebuild(path)[0]['generation']
            self.gives(tool.NOTHING, 'rebuild', self.store, path, *again)
            changed = self.gives(
                tool.DONE if uses else tool.NOTHING,
                *('rebuild', self.store, path, *again, '--json'), env=other,
            )  # fmt: skip
            if uses:  # the version stays: another table is no other definition
                self.assertEqual(changed.json['projections'][0]['generation'], first + 1)
                self.gives(tool.NOTHING, 'rebuild', self.store, path, *again, env=other)
                self.ok('rebuild', self.store, path, *again)

    def test_a_small_memory_budget_gives_the_same_rows(self):
        self.import_lines(
            *(
                event('order-%d' % i, 'OrderPlaced', {'customer': 'customer %d' % i})
                for i in range(100, 20000)
            )
        )
        digest = self.rebuild(self.orders)[0]['digest']
        self.assertEqual(
            self.rebuild(self.orders, options=('--memory', '16M'))[0]['digest'], digest
        )


class Checks(tool.Shop):
    def test_types_that_never_occurred_are_refused_and_can_be_allowed(self):
        accounts = tool.projection('account_activity')
        result = self.refuses(
            tool.REFUSED, ['account_activity'], 'rebuild', self.store, accounts, '--quiet'
        )
        self.assertNotIn(b'events/s', result.out, 'nothing was built, so there is no rate')
        self.refuses(
            tool.REFUSED,
            ['account_activity', '0 rows', '--min-rows 0'],
            *('rebuild', self.store, accounts, '--allow-missing', '--quiet'),
        )
        entry = self.rebuild(accounts, options=('--allow-missing', '--min-rows', 0))[0]
        self.assertEqual((entry['rows'], entry['live']), (0, True))

    def test_an_empty_log_is_refused(self):
        self.store = os.path.join(self.folder, 'empty.refold')
        self.ok('import', self.store, '-', '--quiet', stdin=b'')
        self.refuses(tool.REFUSED, [], 'rebuild', self.store, self.orders, '--quiet')


class Failures(tool.Shop):
    def test_a_failure_says_what_still_serves(self):
        failing = self.plugin('failing.so', FAIL_AT=3, VERSION=2)
        call = ('rebuild', self.store, failing, '--quiet')
        self.refuses(tool.FAILED, ['at position', 'nothing was built'], *call)
        self.rebuild(self.plugin())
        self.refuses(tool.FAILED, ['at position', 'generation 2 stays live'], *call)
        call = ('rebuild', self.store, failing, 'order_summary', '--quiet')
        self.refuses(tool.FAILED, ['at position', 'what was live is live'], *call)


class Versions(tool.Shop):
    def setUp(self):
        super().setUp()
        self.rebuild(self.plugin(VERSION=2))

    def refused(self, plugin, *words):
        self.refuses(tool.REFUSED, ['counting', *words], 'rebuild', self.store, plugin, '--quiet')

    def test_a_lower_version_is_refused(self):
        plugin = self.plugin('low.so', VERSION=1)
        self.refused(plugin, '1', '2')
        self.assertEqual(self.rebuild(plugin, options=('--dev',))[0]['version'], 1)

    def test_the_same_version_with_other_content_is_refused(self):
        plugin = self.plugin('other.so', VERSION=2, CONTENT='second')
        self.refused(plugin, 'version 2')
        self.assertTrue(self.rebuild(plugin, options=('--dev',))[0]['live'])

    def test_the_same_content_from_another_path_is_fine(self):
        copy = self.path('elsewhere.so')
        shutil.copy(self.path('counting.so'), copy)
        self.assertTrue(self.rebuild(copy)[0]['live'])

    def test_a_higher_version_is_fine(self):
        self.assertEqual(self.rebuild(self.plugin('next.so', VERSION=3))[0]['version'], 3)

    def test_a_rollback_holds_the_definition_that_it_left(self):
        three = self.plugin('next.so', VERSION=3)
        self.rebuild(three)
        self.ok('rollback', self.store, 'counting')
        result = self.gives(tool.REFUSED, 'rebuild', self.store, three, '--quiet')
        self.assertIn('counting', result.message)
        self.ok('swap', self.store, 'counting')
        self.assertTrue(self.rebuild(three)[0]['live'])


class Gates(tool.Case):
    def setUp(self):
        super().setUp()
        blob = '%040x'
        self.import_lines(
            *(
                event(
                    'file%d' % i,
                    'FileAdded',
                    {'mode': '100644', 'blob': blob % i, 'added': 1, 'deleted': 0},
                )
                for i in range(10)
            )
        )
        self.tree = tool.projection('file_tree')
        self.assertEqual(self.rebuild(self.tree)[0]['rows'], 10)

    def delete(self, *numbers):
        self.import_lines(
            *(event('file%d' % i, 'FileDeleted', {'old': '%040x' % i}) for i in numbers)
        )

    def test_over_half_of_the_rows_removed_is_refused(self):
        self.delete(0, 1, 2, 3, 4, 5)
        self.refuses(tool.REFUSED, ['file_tree'], 'rebuild', self.store, self.tree, '--quiet')
        self.assertEqual(self.rows('file_tree').count(b'\n'), 10)
        self.assertTrue(self.rebuild(self.tree, options=('--max-removed', '100%'))[0]['live'])
        self.assertEqual(self.rows('file_tree').count(b'\n'), 4)

    def test_a_refused_generation_is_kept_and_swap_can_take_it(self):
        self.delete(0, 1, 2, 3, 4, 5)
        self.gives(tool.REFUSED, 'rebuild', self.store, self.tree, '--quiet')
        self.assertEqual(self.rows('file_tree', '--generation', '2').count(b'\n'), 4)
        self.ok('swap', self.store, 'file_tree', '--generation', '2')
        self.assertEqual(self.rows('file_tree').count(b'\n'), 4)

    def test_half_of_the_rows_removed_passes(self):
        self.delete(0, 1, 2, 3, 4)
        self.assertTrue(self.rebuild(self.tree)[0]['live'])

    def test_a_limit_of_the_user_holds(self):
        self.delete(0, 1)
        self.refuses(
            tool.REFUSED,
            ['file_tree'],
            'rebuild',
            self.store,
            self.tree,
            '--quiet',
            '--max-removed',
            '10%',
        )
        self.refuses(
            tool.REFUSED,
            ['file_tree'],
            'rebuild',
            self.store,
            self.tree,
            '--quiet',
            '--min-rows',
            '9',
        )
        self.assertTrue(
            self.rebuild(self.tree, options=('--min-rows', '8', '--max-removed', '20%'))[0]['live']
        )

    def test_no_rows_at_all_is_refused(self):
        self.delete(*range(10))
        self.refuses(
            tool.REFUSED,
            ['file_tree'],
            'rebuild',
            self.store,
            self.tree,
            '--quiet',
            '--max-removed',
            '100%',
        )
        self.assertTrue(
            self.rebuild(self.tree, options=('--max-removed', '100%', '--min-rows', '0'))[0]['live']
        )
        self.assertEqual(self.rows('file_tree'), b'')


class Several(tool.Shop):
    def numbers(self):
        return {
            model['name']: model['generation']
            for model in self.ok('status', self.store, '--json').json['models']
        }

    def test_several_projections_swap_together(self):
        entries = self.rebuild(self.orders, self.plugin(), tool.projection('case_summary'))
        self.assertEqual(
            [(e['name'], e['rows'], e['live']) for e in entries],
            [('order_summary', 3, True), ('counting', 1, True), ('case_summary', 3, True)],
        )

    def test_one_that_is_refused_holds_back_all(self):
        self.rebuild(self.plugin())
        before = self.numbers()
        self.refuses(
            tool.REFUSED,
            ['counting'],
            'rebuild',
            self.store,
            self.orders,
            self.plugin('other.so', CONTENT='second'),
            '--quiet',
        )
        self.assertEqual(self.numbers(), before)

    def test_one_whose_handler_fails_holds_back_all(self):
        before = self.numbers()
        self.refuses(
            tool.FAILED,
            ['position 4'],
            'rebuild',
            self.store,
            self.orders,
            self.plugin(FAIL_AT=3),
            '--quiet',
        )
        self.assertEqual(self.numbers(), before)

    def test_one_whose_gate_refuses_holds_back_all_unless_independent(self):
        self.import_lines(
            *(
                event(
                    'f%d' % i,
                    'FileAdded',
                    {'mode': '1', 'blob': '%040x' % i, 'added': 1, 'deleted': 0},
                )
                for i in range(10)
            )
        )
        tree = tool.projection('file_tree')
        self.rebuild(tree, self.orders)
        self.import_lines(
            *(event('f%d' % i, 'FileDeleted', {'old': '%040x' % i}) for i in range(9)),
            event('order-9', 'OrderPlaced', {'customer': 'c-9'})
        )
        self.gives(tool.REFUSED, 'rebuild', self.store, tree, self.orders, '--quiet')
        self.assertEqual(self.rows('order_summary').count(b'\n'), 3)
        self.gives(
            tool.REFUSED, 'rebuild', self.store, tree, self.orders, '--quiet', '--independent'
        )
        self.assertEqual(
            (self.rows('order_summary').count(b'\n'), self.rows('file_tree').count(b'\n')), (4, 10)
        )

    def test_the_same_projection_twice_is_refused(self):
        result = tool.call('rebuild', self.store, self.orders, self.orders, '--quiet')
        self.assertIn(result.code, (tool.FAILED, tool.USAGE), str(result))
        self.assertEqual(result.message.count('\n'), 1)


tool.main(__name__)
