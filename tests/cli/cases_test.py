"""test: cases of given events and expected rows, those of our own projections among them."""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

PLACED = {'stream': 'order-1', 'type': 'OrderPlaced', 'data': {'customer': 'c-1'}}
ITEM = {'stream': 'order-1', 'type': 'ItemAdded', 'data': {'qty': 2, 'price': 150}}


def case(name, events, rows=None, **members):
    """A case as a line."""
    if rows is not None:
        members['rows'] = rows
    return json.dumps(dict(case=name, events=events, **members)) + '\n'


class Test(tool.Case):
    def setUp(self):
        super().setUp()
        self.orders = tool.projection('order_summary')

    def run_cases(self, code, *cases, options=(), projection=None):
        path = self.path('a.cases.jsonl', ''.join(cases))
        return self.gives(code, 'test', projection or self.orders, path, *options)

    def report(self, code, *cases, **how):
        return self.run_cases(code, *cases, options=('--json',), **how).json

    def differences(self, events, rows, **how):
        found = self.report(tool.FAILED, case('it', events, rows), **how)['cases'][0]
        self.assertFalse(found['passed'])
        return [(d['key'], d['column'], d['expected'], d['got']) for d in found['differences']]

    def test_cases_that_hold(self):
        result = self.run_cases(
            tool.DONE,
            case('one', [PLACED], [{'key': 'order-1', 'customer': 'c-1', 'items': 0}]),
            '\r\n',
            case('two', [PLACED, ITEM], [{'key': 'order-1', 'items': 2, 'total': 300}]),
        )
        self.assertEqual(result.lines[:2], ['ok    one', 'ok    two'])
        self.assertIn('2 cases, all passed', result.lines[2])
        self.assertEqual(result.err, b'')

    def test_a_case_may_go_over_several_lines(self):
        text = json.dumps(json.loads(case('x{"}]', [PLACED, ITEM], [{'key': 'order-1'}])), indent=2)
        found = self.report(tool.DONE, '\n\n', text, text)['cases']
        self.assertEqual([c['line'] for c in found], [3, 3 + text.count('\n')])

    def test_a_plugin_is_tested_with_the_evolution_of_its_events(self):
        old = {'stream': 'order-1', 'type': 'ItemPut', 'data': {'pieces': 2, 'price': 150}}
        evolution = self.path(
            'evolution.lua',
            'rename ("ItemPut", "ItemAdded")\n'
            'upcast ("ItemAdded", 1, { "pieces int" }, function (e) e.qty = e.pieces end)\n',
        )
        holds = case('old', [PLACED, old, {**ITEM, 'schema': 2}], [{'key': 'order-1', 'items': 4}])
        self.run_cases(tool.DONE, holds, options=('--evolution', evolution))
        self.run_cases(tool.FAILED, holds)
        result = self.run_cases(
            tool.FAILED, holds.replace('"old"', '"above"').replace('"schema": 2', '"schema": 3'),
            options=('--evolution', evolution),
        )  # fmt: skip
        self.assertIn('schema 3', result.out.decode())
        path = self.path('a.cases.jsonl', holds)
        twin = os.path.join(tool.ROOT, 'projections', 'order_summary.lua')
        self.refuses(
            tool.USAGE, ['evolution.lua', 'is for plugins'], 'test', twin, path, '--evolution', evolution
        )
        broken = self.path('broken.lua', 'rename ("A"')
        self.refuses(
            tool.FAILED, ['broken.lua:1: '], 'test', self.orders, path, '--evolution', broken
        )

    def test_differences_by_row_and_column(self):
        differences = self.differences(
            [PLACED, ITEM, dict(ITEM, stream='order-2')],
            [{'key': 'order-1', 'items': 3, 'total': 300, 'status': None}, {'key': 'order-9'}],
        )
        self.assertEqual(differences[0], ('order-1', 'items', 3, 2))
        self.assertEqual(differences[1], ('order-1', 'status', None, 'ItemAdded'))
        self.assertEqual(differences[2][:3], ('order-2', None, None))
        self.assertEqual(differences[2][3]['total'], 300)
        self.assertEqual(differences[3], ('order-9', None, {'key': 'order-9'}, None))

    def test_the_text_of_a_failure_names_place_row_and_column(self):
        result = self.run_cases(
            tool.FAILED,
            case('good', [], []),
            case('bad', [PLACED, ITEM], [{'key': 'order-1', 'items': 3}]),
        )
        self.assertEqual(result.lines[1], 'FAIL  bad  (%s:2)' % self.path('a.cases.jsonl'))
        self.assertEqual(
            result.lines[2:5],
            ['      row "order-1", column items', '        expected 3', '        got      2'],
        )
        self.assertIn('2 cases, 1 failed', result.lines[5])
        self.assertIn('1 of 2 cases failed', result.message)

    def test_values_are_compared_as_values(self):
        bank = tool.projection('account_activity')
        events = [
            {
                'stream': 'a',
                'type': 'CashDeposited',
                'time': '2024-07-10T12:00:00Z',
                'data': {'amount': '2', 'balance': '-7.50'},
            }
        ]
        for value in ('2', '2.0', '2.00', 2, 2.0, '2e0'):
            for time in ('2024-07-10T14:00:00+02:00', '2024-07-10 12:00:00.000Z'):
                row = {'key': 'a', 'credited': value, 'first_at': time, 'balance': -7.5}
                self.report(tool.DONE, case('it', events, [row]), projection=bank)
        for column, value, got in (
            ('credited', '2.001', '2.00'),
            ('credited', None, '2.00'),
            ('credited', True, '2.00'),
            ('first_at', '2024-07-10T12:00:01Z', '2024-07-10T12:00:00.000000Z'),
            ('first_at', 'noon', '2024-07-10T12:00:00.000000Z'),
            ('transactions', '1', 1),
            ('transactions', 1.5, 1),
        ):
            found = self.differences(events, [{'key': 'a', column: value}], projection=bank)
            self.assertEqual(found, [('a', column, value, got)])

    def test_a_column_that_is_none(self):
        result = self.run_cases(tool.FAILED, case('it', [PLACED], [{'key': 'order-1', 'itms': 0}]))
        self.assertIn('no such column', result.out.decode())

    def test_each_case_stands_alone(self):
        self.report(tool.DONE, *[case('same', [ITEM], [{'key': 'order-1', 'total': 300}])] * 3)

    def test_versions_and_data_are_optional_and_no_row_is_expected_twice(self):
        events = [{'stream': 'order-1', 'type': 'OrderPlaced'}]
        self.report(tool.DONE, case('it', events, [{'key': 'order-1', 'events': 1}]))
        found = self.differences(events, [{'key': 'order-1'}, {'key': 'order-1'}])
        self.assertEqual(found, [('order-1', None, {'key': 'order-1'}, None)])

    def test_keys_of_several_parts_are_arrays(self):
        stock = tool.compile_plugin(self.path('stock.so'), 'stock.c')
        events = [
            {'stream': 'm', 'type': 'Received', 'data': {'warehouse': 'w', 'size': -3, 'qty': 5}},
            {
                'stream': 'm',
                'type': 'Moved',
                'data': {'warehouse': 'w', 'to': 'v', 'size': -3, 'qty': 2},
            },
        ]
        rows = [{'key': ['w', -3], 'pieces': 3}, {'key': ['v', -3], 'pieces': 2}]
        self.report(tool.DONE, case('it', events, rows), projection=stock)
        rows[1]['key'] = ['v', 3]
        self.assertEqual(
            self.differences(events, rows, projection=stock),
            [
                (['v', -3], None, None, {'key': ['v', -3], 'pieces': 2}),
                (['v', 3], None, {'key': ['v', 3], 'pieces': 2}, None),
            ],
        )

    def test_expected_errors(self):
        wrong = dict(ITEM, data={'qty': 1, 'price': 'much'})
        self.report(
            tool.DONE,
            case('of a handler or field', [PLACED, wrong], error='"much" is no int, at position 2'),
            case('of the events', [PLACED, {'stream': 'a'}], error='event 2: type is missing'),
        )
        found = self.report(
            tool.FAILED,
            case('another one', [wrong], error='overdrawn'),
            case('none', [PLACED], error='overdrawn'),
            case('where rows are expected', [wrong], []),
        )
        reasons = [c['reason'] for c in found['cases']]
        self.assertIn('another one than "overdrawn": order_summary: field price', reasons[0])
        self.assertIn('no error, where one with "overdrawn"', reasons[1])
        self.assertIn('at position 1 (stream order-1, type ItemAdded)', reasons[2])
        for words in ('nothing was', 'refold skip'):
            self.assertNotIn(words, ''.join(reasons))

    def test_fields_and_types_that_no_event_has_are_no_failure(self):
        self.report(
            tool.DONE,
            case('it', [PLACED], [{'key': 'order-1'}]),
            case('none', [{'stream': 'x', 'type': 'Y'}], []),
        )

    def test_only_some(self):
        cases = [case('sales one', [], []), case('two', [], [{'key': 'x'}])]
        found = self.run_cases(tool.DONE, *cases, options=('--only', 'sales', '--json')).json
        self.assertEqual([c['case'] for c in found['cases']], ['sales one'])
        result = self.run_cases(tool.FAILED, *cases, options=('--only', 'nothing'))
        self.assertIn("no case has 'nothing'", result.message)

    def test_quiet_prints_what_failed(self):
        cases = [case('one', [], []), case('two', [], [{'key': 'x'}])]
        result = self.run_cases(tool.FAILED, *cases, options=('--quiet',))
        self.assertNotIn('one', result.out.decode().replace('one too', ''))
        self.assertIn('FAIL  two', result.out.decode())

    def test_files_that_are_refused_as_a_whole(self):
        good = case('good', [], [])
        for text, words in (
            ('', ['no case in it']),
            (good + '[]\n', [':2: no case']),
            (good + '\n{"case":"x","events":[],"rows":[]', [':3: the case', 'no end']),
            (good + '{"case":"x","events":[],"rows":[}]}', [':2:']),
            ('{"case":"x","rows":[]}', [':1: events is missing']),
            ('{"events":{},"rows":[]}', ['events is missing or no array']),
            ('{"events":[1],"rows":[]}', ['events is missing or no array']),
            ('{"events":[]}', ['either rows or error']),
            ('{"events":[],"rows":[],"error":"x"}', ['either rows or error']),
            ('{"events":[],"rows":[{"items":1}]}', ['each with its key']),
            ('{"events":[],"error":""}', ['error is a text']),
            ('{"case":1,"events":[],"rows":[]}', ['case is its name']),
            ('{"events":[],"row":[]}', ['has no row,', 'rows or error']),
            ('{"events":[],"events":[],"rows":[]}', ['events']),
        ):
            with self.subTest(text=text):
                path = self.path('bad.jsonl', text)
                self.refuses(tool.FAILED, words, 'test', self.orders, path)

    def test_usage_and_what_is_not_there(self):
        path = self.path('a.jsonl', case('it', [], []))
        self.refuses(tool.USAGE, ['too few arguments'], 'test', self.orders)
        self.refuses(tool.FAILED, ['nowhere.jsonl'], 'test', self.orders, 'nowhere.jsonl')
        self.refuses(tool.FAILED, ['nowhere.so'], 'test', './nowhere.so', path)

    def test_a_projection_in_the_current_folder_needs_no_slash(self):
        path = self.path('a.jsonl', case('it', [], []))
        here = os.path.dirname(self.orders)
        self.ok('test', 'order_summary.so', path, cwd=here)

    def test_it_leaves_nothing_behind(self):
        path = self.path('a.jsonl', case('it', [PLACED], [{'key': 'order-1'}]))
        process = subprocess.Popen([tool.refold, 'test', self.orders, path], stdout=subprocess.PIPE)
        process.communicate()
        self.assertEqual(process.returncode, tool.DONE)
        for folder in ('/dev/shm', tempfile.gettempdir()):
            self.assertEqual(glob.glob('%s/refold-test-%d-*' % (folder, process.pid)), [])


class OurProjections(tool.Case):
    """Each file projections/…/NAME.cases.jsonl, for the plugin and the Lua file of that name."""

    def test_all_cases_hold(self):
        folder = os.path.join(tool.ROOT, 'projections')
        files = sorted(glob.glob(os.path.join(folder, '**', '*.cases.jsonl'), recursive=True))
        self.assertGreater(len(files), 3)
        for path in files:
            stem = path[: -len('.cases.jsonl')]
            plugin = tool.projection(os.path.basename(stem))
            definitions = [p for p in (stem + '.lua', plugin) if os.path.exists(p)]
            self.assertTrue(definitions, path)
            for definition in definitions:
                with self.subTest(definition=definition):
                    self.ok('test', definition, path)

    def test_each_projection_has_cases(self):
        folder = os.path.join(tool.ROOT, 'projections')
        for path in glob.glob(os.path.join(folder, '**', '*.*'), recursive=True):
            with open(path) as file:
                definition = re.search(r'^name "|\brefold_projection = ', file.read(), re.M)
            if path.endswith(('.c', '.lua')) and definition:
                self.assertTrue(os.path.exists(os.path.splitext(path)[0] + '.cases.jsonl'), path)


tool.main(__name__)
