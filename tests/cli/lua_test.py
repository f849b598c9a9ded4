"""Lua projections: folded as their C twins, kept with the generation, and refused in one line."""

import json
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

    def keyed(self, source):
        """Rows of a keyed projection, which are the same for any workers and little memory."""
        self.models = getattr(self, 'models', 0) + 1
        name = 'keyed%d' % self.models
        path = self.lua("name '%s' version (1) %s" % (name, source))
        self.rebuild(path)
        rows = self.rows(name)
        for options in (('--workers', 0), ('--workers', 3), ('--memory', '1M')):
            self.rebuild(path, options=('--full', *options))
            self.assertEqual(self.rows(name), rows)
        self.ok('verify', self.store, '--serial')
        return [json.loads(row) for row in rows.splitlines()]

    def test_rows_by_a_field_a_carried_one_and_a_computed_key(self):
        self.import_lines(
            event('o-1', 'Placed', {'who': 'ann'}, time='2024-07-10T23:00:00Z'),
            event('o-1', 'Sold', {'sku': 'x-1', 'n': 2}, time='2024-07-10T23:00:00Z'),
            event('o-2', 'Placed', {'who': 'bob'}, time='2024-07-11T09:00:00Z'),
            event('o-2', 'Sold', {'sku': 'x-2', 'n': 3}, time='2024-07-11T09:00:00Z'),
            event('o-2', 'Sold', {'sku': 'x-1', 'n': 4}, time='2024-07-11T09:00:00Z'),
        )
        rows = self.keyed(
            "key 'sku text' columns { 'n int', 'last text' }\n"
            "on ('Sold', { 'n int' }, function (row, e) row.n = row.n + e.n row.last = 'n' .. e.n end)"
        )
        self.assertEqual(
            rows, [{'key': 'x-1', 'n': 6, 'last': 'n4'}, {'key': 'x-2', 'n': 3, 'last': 'n3'}]
        )
        rows = self.keyed(
            "key 'carried.who text' columns { 'n int', 'name text' } "
            "carry { who = { Placed = 'who text' } }\n"
            "on ('Sold', { 'n int' }, function (row, e) row.n = row.n + e.n row.name = e.carried.who end)"
        )
        self.assertEqual(
            rows, [{'key': 'ann', 'n': 2, 'name': 'ann'}, {'key': 'bob', 'n': 7, 'name': 'bob'}]
        )
        rows = self.keyed(
            "key { 'day date', 'group text' } columns { 'n int', 'sum int' } "
            "combine { n = 'count', sum = 'sum' }\n"
            "on ('Sold', { 'n int' }, by ({ 'sku text' }, function (e)\n"
            "  return date(e.time, 'Europe/Berlin'), e.sku:sub(1, 1) end), function (row, e)\n"
            "  row.n, row.sum = row.n + 1, row.sum + e.n end)"
        )
        self.assertEqual(rows, [{'key': ['2024-07-11', 'x'], 'n': 3, 'sum': 9}])

    def test_each_type_goes_by_its_own_key_and_row_key_tells_it(self):
        self.import_lines(
            event('o-1', 'Sold', {'sku': 'x-1', 'n': 2}),
            event('x-1', 'Made', {'sku': 'none', 'n': 3}),
            event('o-2', 'Lost', {'id': 'x-1', 'n': 4}),
        )
        rows = self.keyed(
            "key { Sold = 'sku text', Made = 'stream', Lost = 'id text' } "
            "columns { 'n int', 'keys text' }\n"
            "local function f(row, e) row.n = row.n + e.n\n"
            "  row.keys = (row.keys or '') .. e.type .. ' ' .. row.key .. ' ' end\n"
            "on ('Sold', { 'n int' }, f) on ('Made', { 'n int' }, f) on ('Lost', { 'n int' }, f)"
        )
        self.assertEqual(
            rows, [{'key': 'x-1', 'n': 9, 'keys': 'Sold x-1 Made x-1 Lost x-1 '}]
        )
        rows = self.keyed(
            "key { 'n int', 'stream' } columns { 'keys text' }\n"
            "on ('Sold', function (row, e) row.keys = row.key[1] .. ' ' .. row.key[2] end)"
        )
        self.assertEqual(rows, [{'key': [2, 'o-1'], 'keys': '2 o-1'}])

    def test_row_key_tells_what_was_computed(self):
        self.import_lines(
            event('o-1', 'Placed', {'who': 'ann'}),
            event('o-1', 'Sold', {'sku': 'x-1', 'n': 2}, time='2024-07-10T23:00:00Z'),
            event('o-1', 'Sold', {'sku': 'y-1', 'n': 9007199254740991}, time='2024-07-10T20:00:00Z'),
            event('o-1', 'Made', {'sku': 'x-1'}),
        )
        rows = self.keyed(
            "key 's text' columns { 'keys text' }\n"
            "local first = by ({ 'sku text' }, function (e) return e.sku:sub(1, 1) end)\n"
            "local function f(row, e) row.keys = (row.keys or '') .. row.key .. e.position end\n"
            "on ('Sold', {}, first, f) on ('Made', {}, first, f)"
        )
        self.assertEqual(rows, [{'key': 'x', 'keys': 'x9x11'}, {'key': 'y', 'keys': 'y10'}])
        rows = self.keyed(
            "key { 'day date', 'who text', 'large bool', 'n int' } columns { 't text', 'd date' }\n"
            "carry { who = { Placed = 'who text' } }\n"
            "on ('Sold', { 'sku text as n' }, by ({ 'n int' }, function (e)\n"
            "  return date(e.time, 'Europe/Berlin'), e.carried.who, e.n > 9, e.n + 0LL end),\n"
            "  function (row, e)\n"
            "    local key = row.key  row.d = key[1]\n"
            "    row.t = ('%s %s %s %d'):format(e.n, key[2], tostring(key[3]), key[4]) end)"
        )
        self.assertEqual(
            rows,
            [
                {
                    'key': ['2024-07-10', 'ann', True, 9007199254740991],
                    't': 'y-1 ann true 9007199254740991',
                    'd': '2024-07-10',
                },
                {'key': ['2024-07-11', 'ann', False, 2], 't': 'x-1 ann false 2', 'd': '2024-07-11'},
            ],
        )
        rows = self.keyed(
            "key 'large bool' columns { 't text' }\n"
            "on ('Sold', by ({ 'n int' }, function (e) return e.n > 9 end), function (row, e)\n"
            "  row.t = tostring(row.key) end)"
        )
        self.assertEqual(rows, [{'key': False, 't': 'false'}, {'key': True, 't': 'true'}])

    def test_least_and_greatest_begin_beyond_all_numbers(self):
        self.import_lines(
            *(event('o-%d' % i, 'Sold', {'sku': 'x', 'n': n}) for i, n in enumerate((5, -3, 4)))
        )
        for body in (
            'row.low, row.high = math.min(row.low, e.n), math.max(row.high, e.n)',
            'if e.n < row.low then row.low = e.n end if e.n > row.high then row.high = e.n end',
        ):
            rows = self.keyed(
                "key 'sku text' columns { 'low int', 'high int', 'untouched int', 'first int' }\n"
                "combine { low = 'min', high = 'max', untouched = 'min', first = 'first' }\n"
                "on ('Sold', { 'n int' }, function (row, e) %s row.first = e.n end)" % body
            )
            self.assertEqual(
                rows, [{'key': 'x', 'low': -3, 'high': 5, 'untouched': 0, 'first': 5}]
            )

    def test_what_a_combined_column_was_is_not_known_to_a_handler(self):
        known = 'column n is combined, what it was is not known here; write row.n = row.n + ...'
        written = 'column n is combined; write row.n = row.n + ...'
        for body, words in (
            ('row.n = row.n * 2 + 1', known),
            ('row.n = e.qty - row.n', known),
            ('row.n = row.n + row.n', known),
            ('row.n = -row.n', known),
            ('if row.n > 5 then row.n = row.n + 1 end', known),
            ('if row.n == 0 then row.n = row.n + 1 end', known),
            ('row.t = "x" .. row.n', known),
            ('row.n = e.qty', written),
            ('row.n = nil', written),
            ('row.n = row.m + 1', written),
            ('if row.t ~= "x" then row.m = row.m + 1 end', 'column t is combined, what was last'),
            ('if not row.exists then row.m = row.m + 1 end', 'row.exists is not known where'),
        ):
            with self.subTest(body=body):
                path = self.small(
                    body, "'n int', 'm int', 't text'",
                    before="key 'sku text' combine { n = 'sum', m = 'count', t = 'last' }",
                )  # fmt: skip
                self.refused(tool.FAILED, ['p.lua:3: ' + words], path)

    def test_sums_take_numbers_from_either_side_and_through_functions(self):
        self.import_lines(*(event('o-%d' % i, 'Sold', {'sku': 'x', 'n': i}) for i in range(1, 4)))
        rows = self.keyed(
            "key 'sku text' columns { 'n int', 'm int', 'k int', 'd decimal(2)' }\n"
            "combine { n = 'sum', m = 'count', k = 'sum', d = 'sum' }\n"
            "local function add(row, e) row.n = row.n + e.n row.n = 1 + row.n end\n"
            "on ('Sold', { 'n int' }, function (row, e)\n"
            "  local unused = row.k + 100\n"
            "  row.k, row.m = row.k - e.n, row.m + 1\n"
            "  for i = 1, e.n do row.d = row.d + 150 - 50 end add(row, e) end)"
        )
        self.assertEqual(rows, [{'key': 'x', 'n': 9, 'm': 3, 'k': -6, 'd': '6.00'}])

    def test_every_row_of_a_stream(self):
        self.import_lines(
            event('o-1', 'Sold', {'sku': 'x-1', 'n': 2}),
            event('o-1', 'Sold', {'sku': 'x-2', 'n': 3}),
            event('o-2', 'Sold', {'sku': 'x-1', 'n': 4}),
            event('o-1', 'Voided', {}),
            event('o-1', 'Sold', {'sku': 'x-1', 'n': 5}),
        )
        rows = self.keyed(
            "key { 'stream', 'sku text' } columns { 'n int', 'void bool' }\n"
            "on ('Sold', { 'n int' }, function (row, e) row.n = row.n + e.n end)\n"
            "on ('Voided', {}, every_row, function (row, e) row.void = true end)"
        )
        self.assertEqual(
            [(r['key'], r['n'], r['void']) for r in rows],
            [(['o-1', 'x-1'], 7, True), (['o-1', 'x-2'], 3, True), (['o-2', 'x-1'], 4, False)],
        )

    def test_a_key_that_cannot_be_is_told_with_its_line(self):
        path = self.lua(
            "name 'p' version (1)\nkey 'price json'\ncolumns { 'n int' }\n"
            "on ('ItemAdded', {}, function (row, e) row.n = 1 end)"
        )
        self.refused(tool.FAILED, ['p.lua:2: a key has a part of kind json'], path)

    def test_the_type_of_a_row_is_a_word_of_lua(self):
        self.rebuild(self.small("row.t = type(row) .. type(e) .. type({})"))
        self.assertIn(b'"userdatauserdatatable"', self.rows('small'))

    def test_a_keyed_handler_that_fails_names_line_and_event(self):
        path = self.lua(
            "name 'p' version (1) key 'qty int' columns { 'n int' }\n"
            "on ('ItemAdded', {}, function (row, e) row.n = 0.5 end)"
        )
        self.refused(tool.FAILED, ['p: ', 'p.lua:2: column n', 'position', 'order-1'], path)

    def test_a_computed_key_of_more_values_than_parts_is_refused(self):
        path = self.lua(
            "name 'p' version (1) key { 'k text' } columns { 'n int' }\n"
            "on ('ItemAdded', {}, by ({}, function (e) return 'a', 'b' end), function () end)"
        )
        self.refused(tool.FAILED, ["the key's function gives more than 1 value", 'order-1'], path)

    def test_a_handler_that_only_puts_into_a_list_makes_a_row(self):
        self.import_lines(event('l-1', 'Put', {'n': 1}), event('l-1', 'Put', {'n': 2}))
        path = self.lua(
            "name 'p' version (1) columns { 'l list(n int)', 'there bool' }\n"
            "on ('Put', { 'n int' }, function (row, e)\n"
            "    if row.exists then row.there = true end row.l[#row.l + 1] = { n = e.n } end)"
        )
        self.rebuild(path)
        (row,) = self.rows('p').splitlines()
        self.assertEqual(json.loads(row)['l'], [{'n': 1}, {'n': 2}])
        self.assertTrue(json.loads(row)['there'])

    def test_a_length_is_what_it_is_whichever_way_a_list_got_its_elements(self):
        """Compiled code of some LuaJITs remembers a length, and misses what was added by another name."""
        path = self.lua(
            "name 'ways' version (1) columns { 'j json' }\n"
            "on ('Put', { 'v int', 'k text' }, function (row, e)\n"
            "    row.j = row.j or { items = {} }\n"
            "    local items = row.j.items\n"
            "    items[#items + 1] = e.v\n"
            "    row.j[e.k] = e.v\n"
            "    row.j.items[#items + 1] = e.v\n"
            "    row.j.items[#items + 1] = e.v\n"
            "end)\n"
        )
        made = [event('s-%d' % (i % 300), 'Put', {'v': i, 'k': 'k%d' % (i % 3)}) for i in range(6000)]
        self.import_lines(*made)
        for workers in (0, 0, 2):
            self.rebuild(path, options=('--full', '--workers', workers))
            rows = [json.loads(line) for line in self.rows('ways').splitlines()]
            self.assertEqual(len(rows), 300)
            for row in rows:
                first = int(row['key'][2:])
                self.assertEqual(
                    row['j']['items'], [i for i in range(first, 6000, 300) for _ in range(3)]
                )

    def test_lengths_in_any_place_of_an_expression(self):
        path = self.small("local n = 1\nrow.n = #e.qty")
        self.refused(tool.FAILED, ['p.lua:4', 'length of a number value'], path)
        path = self.small(
            "local a, text = { { 1, 2, 3 }, x = { 'ab' } }, 'four' -- #text\n"
            "assert(#a[1] == 3 and#a.x[1] == 2 and -#text == -4 and 2^#a[1] == 8 and not (#text > 4))\n"
            "assert(#text .. #[[#]] == '41' and #'#' + #text:sub(2) * 2 == 7 and #{ #a, #a } == 2)\n"
            "row.n = row.n + #e.sku",
            columns="'n int'",
        )
        text = open(path, encoding='utf-8').read().replace("'price int'", "'sku text'")
        self.rebuild(self.lua(text))
        self.assertEqual(self.rows('small'), b'{"key":"order-1","n":2}\n')
        combined = "name 'small' version (2) key 'sku text' columns { 'n int' } combine { n = 'sum' }\n"
        combined += "on ('ItemAdded', { 'sku text' }, function (row, e) row.n = row.n + 3 * #e.sku end)\n"
        self.rebuild(self.lua(combined), options=('--max-removed', '100%'))
        self.assertIn(b'"n":3}\n', self.rows('small'))

    def test_the_event_that_spoilt_a_list_in_place_is_the_one_left_out(self):
        self.import_lines(*(event('l-1', 'Put', {'n': n}) for n in (1, 2, 3, 2, 4)))
        path = self.lua(
            "name 'p' version (1) columns { 'l list(n int)' }\n"
            "on ('Put', { 'n int' }, function (row, e)\n"
            "    row.l[#row.l + 1] = e.n == 2 and 'no table' or { n = e.n } end)"
        )
        self.rebuild(path, options=('--on-error', 'skip'))
        (row,) = self.rows('p').splitlines()
        self.assertEqual([line['n'] for line in json.loads(row)['l']], [1, 3, 4])
        self.ok('verify', self.store, '--serial')

    def test_a_list_that_is_spoilt_in_place_is_told_of_its_event_and_handler(self):
        self.import_lines(*(event('l-%d' % (n % 3), 'Put', {'n': n}) for n in range(1, 40)))
        for key in ('', "key 'category' "):
            path = self.lua(
                "name 'p' version (1) " + key + "columns { 'l list(n int)' }\n"
                "on ('Put', { 'n int' }, function (row, e)\n"
                "    row.l[#row.l + 1] = { n = e.n } end)\n"
                "on ('Put', { 'n int' }, function (row, e)\n"
                "    if e.n == 17 then row.l[1].n = 'seventeen' end end)\n"
                "on ('Put', {}, function (row, e) row.l[#row.l].n = row.l[#row.l].n end)\n"
            )
            position = 17 + len(self.EVENTS)
            for workers in (0, 2):
                self.refused(
                    tool.FAILED,
                    ['p.lua:4: ', 'seventeen', 'position %d' % position, 'l-2', 'Put'],
                    path, '--workers', workers,
                )  # fmt: skip

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

    def test_files_and_authors(self):
        self.check('git-redis', ['file_tree', 'case_summary', 'authors'])

    def test_cases(self):
        self.check('sepsis', ['case_summary'])


tool.main(__name__)
