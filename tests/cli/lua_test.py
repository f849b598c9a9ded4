"""Lua projections: folded as their C twins, kept with the generation, and refused in one line."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

TWINS = 'account_activity', 'case_summary', 'file_tree', 'order_summary'


def twin(name):
    return os.path.join(tool.ROOT, 'projections', name + '.lua')


class Lua(tool.Shop):
    def lua(self, source, name='p.lua'):
        return self.path(name, source)

    def small(self, handler, columns="'n int', 't text'", version=1, name='p.lua', before=''):
        """A projection whose handler of ItemAdded has the fields qty and price, at line 3."""
        return self.lua(
            "name 'small' version (%d) columns { %s } %s\n"
            "on ('ItemAdded', { 'qty int', 'price int' }, function (row, e)\n%s end)\n"
            % (version, columns, before, handler),
            name,
        )

    def refused(self, code, words, path, *options):
        before = self.ok('generations', self.store).out
        self.refuses(code, words, 'rebuild', self.store, path, '--quiet', *options)
        self.assertEqual(self.ok('generations', self.store).out, before)
        self.verifies()

    def test_a_lua_file_folds_and_its_copy_is_what_a_name_means(self):
        path = self.small('row.n = row.n + e.qty * e.price')
        entry = self.rebuild(path)[0]
        self.assertEqual((entry['name'], entry['rows']), ('small', 1))
        rows = self.rows('small')
        os.remove(path)
        again = self.rebuild('small', options=('--full',))[0]
        self.assertEqual((again['digest'], self.rows('small')), (entry['digest'], rows))
        self.ok('verify', self.store, '--serial')

    def test_a_required_file_is_kept_with_the_generation(self):
        other = self.lua('return { twice = function (n) return 2 * n end }', 'other.lua')
        path = self.small(
            'row.n = row.n + other.twice(e.qty)', before="local other = require 'other'"
        )
        entry = self.rebuild(path)[0]
        os.remove(other)
        self.assertEqual(self.rebuild('small', options=('--full',))[0]['digest'], entry['digest'])
        self.lua('return { twice = function (n) return 3 * n end }', 'other.lua')
        self.refused(tool.REFUSED, ['small', 'version'], path)

    def test_a_kept_definition_that_was_changed_is_damage(self):
        self.rebuild(self.small('row.n = 1'))
        kept = os.path.join(self.store, 'generations', 'small', '000001', 'definition')
        with open(os.path.join(kept, 'more.lua'), 'w', encoding='ascii') as file:
            file.write('return 1')
        self.refuses(tool.DAMAGED, ['definition'], 'rebuild', self.store, 'small', '--quiet')

    def test_a_refusal_names_file_and_line(self):
        self.refused(tool.FAILED, ['p.lua:3: `total` would be assigned'], self.small('total = 1'))
        self.refused(tool.FAILED, ['p.lua:3: `os` is not known'], self.small('row.n = os.time()'))
        self.refused(tool.FAILED, ["p.lua:3: '<eof>' expected"], self.small('row.n = 1 end)'))

    def test_a_handler_that_fails_names_line_column_value_and_event(self):
        self.refused(
            tool.FAILED,
            ['small: ', 'p.lua:3: column n (int) cannot hold 2.5', 'position ', 'ItemAdded'],
            self.small('row.n = e.qty * 1.25'),
        )

    def test_the_lowest_failing_event_is_the_same_for_any_workers(self):
        self.import_lines(
            *(event('order-%d' % i, 'ItemAdded', {'qty': 9, 'price': 1}) for i in range(10, 90))
        )
        path, messages = self.small("if e.qty == 9 then error 'nine' end"), set()
        for workers in (0, 1, 2, 8):
            messages.add(
                self.refuses(
                    tool.FAILED,
                    ['nine'],
                    'rebuild',
                    self.store,
                    path,
                    '--quiet',
                    '--workers',
                    workers,
                ).message
            )
        self.assertEqual(len(messages), 1, messages)

    def test_an_endless_loop_and_a_memory_bomb_name_projection_and_event(self):
        self.refused(
            tool.FAILED,
            ['small: ', 'p.lua:3: runs for more than 5 s', 'position', 'order-1'],
            self.small('while true do row.n = row.n + 1 end'),
        )
        self.refused(
            tool.FAILED,
            ['small: ', 'more than 256 MiB', 'position', 'order-1'],
            self.small("local t = {} while true do t[#t + 1] = ('x'):rep(#t) end"),
        )

    def test_a_field_that_never_occurred_is_refused_with_the_nearest_name(self):
        path = self.lua(
            "name 'p' version (1) columns { 'n int' }\n"
            "on ('ItemAdded', { 'quty int' }, function (row, e) row.n = 1 end)"
        )
        self.refused(tool.REFUSED, ['quty', 'qty'], path)

    def test_the_twin_of_order_summary_gives_the_same_rows(self):
        entry = self.rebuild(twin('order_summary'), options=('--no-swap', '--dev'))[0]
        live = self.rebuild(self.orders, options=('--full',))[0]
        self.assertEqual(entry['digest'], live['digest'])


class Twins(tool.Case):
    """Every twin over the shared data that it fits, for several workers and little memory."""

    def check(self, data, names):
        if not tool.shared:
            self.skipTest('no shared data')
        store = self.path('store')
        source = os.path.join(tool.shared, 'data', data + '.events.jsonl.zst')
        self.ok('import', store, source, '--quiet')
        for name in names:
            expected = self.digest(store, tool.projection(name))
            for options in (
                ('--workers', 0),
                ('--workers', 1),
                ('--workers', 2),
                ('--workers', 8),
                ('--memory', '64M'),
            ):
                self.assertEqual(self.digest(store, twin(name), *options), expected, options)

    def digest(self, store, projection, *options):
        given = ('rebuild', store, projection, '--json', '--quiet', '--no-swap', '--dev')
        return self.ok(*given, *options).json['projections'][0]['digest']

    def test_accounts(self):
        self.check('berka', ['account_activity', 'case_summary'])

    def test_files(self):
        self.check('git-redis', ['file_tree', 'case_summary'])

    def test_cases(self):
        self.check('sepsis', ['case_summary'])


tool.main(__name__)
