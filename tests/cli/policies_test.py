"""Policies for events that fail: stop, skip, quarantine; events put aside on record; types without
handler. What is left out is the same for any number of workers and any memory, is kept with the
generation, and verify --serial agrees.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

STREAMS, ROUNDS, LIMIT = 300, 12, 120
ANYTHING = ('--max-removed', '100%', '--max-errors', '100000')


def made_events():
    """Interleaved streams; a value now and then is no integer, and sums pass the limit."""
    for i in range(STREAMS * ROUNDS):
        value = i * i % 23
        if i * 31 % 97 == 5:
            value = 'no %d' % i
        elif i * 17 % 401 == 3:
            value = {'deep': i}
        yield ('item-%d' % (i * 101 % STREAMS), value)


def fold(events, policy, put_aside=()):
    """An independent fold of plugins/counting.c: rows by stream and what is left out."""
    rows, left_out, shut = {}, [], set()
    for position, (stream, value) in enumerate(events, 1):
        if stream in shut or position in put_aside:
            continue
        count, total = rows.get(stream, (0, 0))
        if isinstance(value, int) and total + value < LIMIT:
            rows[stream] = (count + 1, total + value)
            continue
        left_out.append((position, stream))
        if policy == 'quarantine':
            shut.add(stream)
    return {stream: rows[stream] for stream in rows if stream not in shut}, left_out


LUA = (
    '''name "counting"
version (1)
key "stream"
columns { "count int", "sum int" }
on ("ItemAdded", { "qty int" }, function (row, e)
  row.count, row.sum = row.count + 1, row.sum + e.qty
end)
on ("ItemAdded", {}, function (row, e)
  if row.sum >= %d then error "the sum is too high for this test" end
end)
'''
    % LIMIT
)


class Policies(tool.Case):
    def setUp(self):
        super().setUp()
        self.events = list(made_events())
        self.import_lines(*(event(s, 'ItemAdded', {'qty': v}) for s, v in self.events))
        self.counting = self.definition()

    def definition(self):
        return self.plugin(FAIL_AT=LIMIT)

    def quarantine(self, *options):
        return self.ok('quarantine', self.store, 'counting', '--json', *options).json

    def folded(self):
        rows = self.ok('scan', self.store, 'counting', '--format', 'csv').out.decode().split('\r\n')
        table = [row.split(',') for row in rows[1:-1]]
        return {key: (int(count), int(total)) for key, count, total in table}

    def listed(self):
        return [(i['position'], i['stream']) for i in self.quarantine()['items']]

    def test_what_is_left_out_is_that_of_a_serial_fold_for_any_workers_and_memory(self):
        for policy in ('skip', 'quarantine'):
            rows, left_out = fold(self.events, policy)
            self.assertGreater(len(left_out), 50)
            digests, lists = set(), set()
            for workers, memory in ((0, '256M'), (1, '1M'), (2, '1M'), (2, '256M'), (8, '256M')):
                with self.subTest(policy=policy, workers=workers, memory=memory):
                    entry = self.rebuild(
                        self.counting,
                        options=('--on-error', policy, '--workers', workers, '--memory', memory)
                        + ANYTHING,
                    )[0]
                    self.assertEqual(
                        (entry['skipped'], entry['quarantined'], entry['on_record']),
                        (len(left_out), 0, 0) if policy == 'skip' else (0, len(left_out), 0),
                    )
                    self.assertEqual(self.folded(), rows)
                    self.assertEqual(self.listed(), left_out)
                    digests.add(entry['digest'])
                    lists.add(str(self.quarantine()['items']))
                    self.ok('verify', self.store, 'counting', '--serial')
            self.assertEqual((len(digests), len(lists)), (1, 1))

    def test_reasons_are_those_of_the_strict_rebuild(self):
        self.rebuild(self.counting, options=('--on-error', 'skip') + ANYTHING)
        reasons = {item['reason'] for item in self.quarantine()['items']}
        self.assertTrue(any('the sum is too high for this test' in reason for reason in reasons))
        self.assertTrue(any('field qty: "no ' in reason and 'is no int' in reason for reason in reasons))
        self.assertTrue(any('an array or object' in reason for reason in reasons))
        self.assertEqual({i['cause'] for i in self.quarantine()['items']}, {'skipped'})
        text = self.ok('quarantine', self.store, 'counting').out.decode()
        self.assertIn('the sum is too high for this test', text)

    def test_more_errors_than_allowed_fail_the_rebuild_the_same_for_any_workers(self):
        messages = set()
        for workers in (0, 1, 2, 8):
            result = self.refuses(
                tool.FAILED,
                ['more than 20', '--max-errors'],
                *('rebuild', self.store, self.counting, '--quiet', '--on-error', 'skip'),
                *('--max-errors', 20, '--workers', workers),
            )
            messages.add(result.message)
        self.assertEqual(len(messages), 1, messages)
        self.refuses(
            tool.FAILED,
            ['40', '--max-errors'],
            *('rebuild', self.store, self.counting, '--quiet', '--on-error', 'quarantine'),
            *('--max-errors', 40),
        )
        self.refuses(
            tool.FAILED,
            ['--max-errors'],
            *('rebuild', self.store, self.counting, '--quiet', '--on-error', 'skip'),
            *('--max-errors', 0),
        )
        self.verifies()

    def test_max_errors_needs_a_policy(self):
        self.refuses(
            tool.USAGE,
            ['--on-error'],
            *('rebuild', self.store, self.counting, '--max-errors', 5),
        )

    def test_what_was_left_out_stays_with_its_generation(self):
        self.rebuild(self.counting, options=('--on-error', 'skip') + ANYTHING)
        first = self.quarantine()['items']
        self.rebuild(self.counting, options=('--on-error', 'quarantine') + ANYTHING)
        self.assertEqual(self.quarantine('--generation', 1)['items'], first)
        self.assertEqual(self.quarantine()['on_error'], 'quarantine')
        status = self.ok('status', self.store, '--json').json['models'][0]
        self.assertEqual(status['left_out'], len(self.quarantine()['items']))
        self.ok('rollback', self.store, 'counting')
        self.assertEqual(self.quarantine()['items'], first)
        self.ok('verify', self.store, '--serial')

    def test_a_damaged_quarantine_is_found(self):
        self.rebuild(self.counting, options=('--on-error', 'skip') + ANYTHING)
        path = os.path.join(self.store, 'generations', 'counting', '000001', 'QUARANTINE')
        content = bytearray(tool.read(path))
        content[len(content) // 2] ^= 1
        self.path(path, bytes(content))
        self.refuses(tool.DAMAGED, ['QUARANTINE', 'damaged'], 'quarantine', self.store, 'counting')
        self.gives(tool.DAMAGED, 'verify', self.store)
        os.unlink(path)
        self.refuses(tool.DAMAGED, ['QUARANTINE', 'missing'], 'quarantine', self.store, 'counting')
        self.gives(tool.DAMAGED, 'verify', self.store)


class LuaPolicies(Policies):
    """The same of a Lua file, whose handlers run a batch at a time."""

    def definition(self):
        return self.path('counting.lua', LUA)

    def test_reasons_name_the_line(self):
        self.rebuild(self.counting, options=('--on-error', 'skip') + ANYTHING)
        self.assertTrue(
            any('counting.lua:9' in item['reason'] for item in self.quarantine()['items'])
        )

    def test_skips_are_obeyed(self):
        _, left_out = fold(self.events, 'skip')
        put_aside = {position for position, _ in left_out}
        for position in sorted(put_aside):
            self.ok('skip', self.store, 'counting', position, '--reason', 'as found')
        rows, none = fold(self.events, 'skip', put_aside)
        self.assertEqual(none, [])
        for workers in (0, 2):
            self.rebuild(self.counting, options=('--workers', workers))
            self.assertEqual(self.folded(), rows)
        self.ok('verify', self.store, 'counting', '--serial')


class Skips(tool.Shop):
    """A shop with two events more that a strict rebuild fails at."""

    def setUp(self):
        super().setUp()
        self.import_lines(
            event('order-1', 'ItemAdded', {'qty': 'two', 'price': 4}),
            event('order-2', 'ItemAdded', {'qty': 2, 'price': 4}),
            event('order-3', 'ItemAdded', {'qty': 2**62, 'price': 4}),
        )

    def fails_at(self, position):
        result = self.gives(tool.FAILED, 'rebuild', self.store, self.orders, '--quiet')
        line = result.message.rstrip('\n')
        self.assertEqual(line.count('\n'), 0)
        self.assertIn('position %d' % position, line)
        command = line[line.rindex('refold skip ') :]
        self.assertTrue(
            command.startswith(
                'refold skip %s order_summary %d --reason ' % (self.store, position)
            ),
            line,
        )
        return command

    def paste(self, command):
        subprocess.run(
            command.replace('refold', tool.refold, 1),
            shell=True,
            check=True,
            stdout=subprocess.PIPE,
        )

    def items(self):
        items = self.ok('quarantine', self.store, 'order_summary', '--json').json['items']
        return [(i['position'], i['cause'], i['pending'], i['withdrawn']) for i in items]

    def test_an_error_line_ends_with_the_command_that_helps(self):
        self.paste(self.fails_at(8))
        self.paste(self.fails_at(10))
        entry = self.rebuild(self.orders)[0]
        self.assertEqual((entry['on_record'], entry['skipped'], entry['quarantined']), (2, 0, 0))
        self.assertEqual((entry['events'], entry['folded']), (8, 1))  # of the three that came since
        self.assertEqual(
            self.items(), [(8, 'on_record', False, False), (10, 'on_record', False, False)]
        )
        self.ok('verify', self.store, '--serial')

    def test_a_path_with_blanks_and_quotes_is_ready_to_paste_too(self):
        odd = self.path("it's a store")
        os.rename(self.store, odd)
        self.store = odd
        line = self.gives(tool.FAILED, 'rebuild', odd, self.orders, '--quiet').message.rstrip('\n')
        self.paste(line[line.rindex('refold skip ') :])
        self.assertEqual(
            self.ok('quarantine', odd, 'order_summary', '--json').json['items'][0]['position'], 8
        )

    def test_skips_are_obeyed_by_rebuilds_of_a_path_of_a_name_and_until_a_position(self):
        self.ok('skip', self.store, 'order_summary', 8, '--reason', 'typed by hand')
        self.ok('skip', self.store, 'order_summary', 10, '--reason', 'too much')
        first = self.rebuild(self.orders)[0]
        again = self.rebuild('order_summary')[0]
        self.assertEqual(first['digest'], again['digest'])
        entry = self.rebuild('order_summary', options=('--no-swap', '--until', '8'))[0]
        self.assertEqual(entry['on_record'], 1)
        self.ok('verify', self.store, '--serial')

    def test_a_skip_is_on_record_before_a_read_model_is_live(self):
        note = self.ok('skip', self.store, 'counting', 3, '--reason', 'early').out.decode()
        self.assertIn('no read model of this name yet', note)
        listed = self.ok('quarantine', self.store, 'counting', '--json').json
        self.assertEqual((listed['generation'], listed['items'][0]['pending']), (0, True))
        self.ok('skip', self.store, 'counting', 8, '--reason', 'a text')
        entry = self.rebuild(self.plugin())[0]
        self.assertEqual((entry['on_record'], entry['rows']), (2, 3))
        self.ok('verify', self.store, 'counting', '--serial')

    def test_quarantine_and_status_show_what_the_next_rebuild_changes(self):
        for position in (8, 10):
            self.ok('skip', self.store, 'order_summary', position, '--reason', 'wrong')
        self.rebuild(self.orders)
        self.ok('unskip', self.store, 'order_summary', 10)
        self.ok('skip', self.store, 'order_summary', 3, '--reason', 'also wrong')
        self.assertEqual(
            self.items(),
            [
                (3, 'on_record', True, False),
                (8, 'on_record', False, False),
                (10, 'on_record', False, True),
            ],
        )
        model = self.ok('status', self.store, '--json').json['models'][0]
        self.assertEqual((model['left_out'], model['pending']), (2, 2))
        self.ok('verify', self.store, '--serial')  # what it obeyed, not what is on record now

    def test_if_changed_notices_a_changed_list(self):
        for position in (8, 10):
            self.ok('skip', self.store, 'order_summary', position, '--reason', 'wrong')
        self.rebuild(self.orders)
        nothing = ('rebuild', self.store, self.orders, '--if-changed', '--quiet')
        self.gives(tool.NOTHING, *nothing)
        self.ok('skip', self.store, 'order_summary', 9, '--reason', 'wrong')
        self.ok(*nothing)
        self.gives(tool.NOTHING, *nothing)
        self.ok('unskip', self.store, 'order_summary', 9)
        self.ok(*nothing)
        self.gives(tool.NOTHING, *nothing)

    def test_if_changed_notices_another_policy_where_something_was_left_out(self):
        self.rebuild(self.orders, options=('--on-error', 'skip'))
        again = ('rebuild', self.store, self.orders, '--if-changed', '--quiet')
        again += ('--max-removed', '100%', '--on-error')
        self.gives(tool.NOTHING, *again, 'skip')
        self.ok(*again, 'quarantine')
        self.gives(tool.NOTHING, *again, 'quarantine')

    def test_a_skip_needs_an_event_and_a_reason(self):
        skip = ('skip', self.store, 'order_summary')
        self.refuses(tool.NOTHING, ['position 99'], *skip, 99, '--reason', 'x')
        self.refuses(tool.USAGE, ['--reason'], *skip, 8)
        self.refuses(tool.USAGE, ['reason'], *skip, 8, '--reason', 'x' * 1001)
        self.refuses(tool.USAGE, ['reason'], *skip, 8, '--reason', 'two\nlines')
        self.refuses(tool.USAGE, ['position'], *skip, 'x', '--reason', 'x')
        self.refuses(tool.USAGE, ['position'], *skip, '0', '--reason', 'x')
        self.refuses(
            tool.USAGE, ['Orders'], 'skip', self.store, 'Orders', 8, '--reason', 'x'
        )
        self.refuses(tool.NOTHING, ['position 8'], 'unskip', self.store, 'order_summary', 8)
        self.refuses(tool.FAILED, ['nowhere'], 'skip', self.path('nowhere'), 'x', 1, '--reason', 'x')

    def test_once_more_changes_the_reason(self):
        self.ok('skip', self.store, 'order_summary', 8, '--reason', 'first')
        self.ok('skip', self.store, 'order_summary', 8, '--reason', 'second')
        items = self.ok('quarantine', self.store, 'order_summary', '--json').json['items']
        self.assertEqual([i['reason'] for i in items], ['second'])
        self.assertEqual((items[0]['stream'], items[0]['type']), ('order-1', 'ItemAdded'))

    def test_a_skipped_event_is_not_the_reason_of_a_quarantine(self):
        self.ok('skip', self.store, 'order_summary', 8, '--reason', 'wrong')
        entry = self.rebuild(self.orders, options=('--on-error', 'quarantine'))[0]
        self.assertEqual((entry['quarantined'], entry['on_record']), (1, 1))
        self.assertEqual(
            [i[:2] for i in self.items()], [(8, 'on_record'), (10, 'quarantined')]
        )
        self.gives(tool.NOTHING, 'get', self.store, 'order_summary', 'order-3')
        self.ok('get', self.store, 'order_summary', 'order-1')
        self.ok('verify', self.store, '--serial')

    def test_a_read_model_that_never_was_has_no_quarantine(self):
        self.refuses(tool.FAILED, ['nobody'], 'quarantine', self.store, 'nobody')
        self.refuses(
            tool.FAILED, ['generation 7'], 'quarantine', self.store, 'order_summary', '--generation', 7
        )

    def test_the_page_on_policies_shows_what_is_printed(self):
        self.ok(
            *('skip', self.store, 'order_summary', 8),
            *('--reason', 'typed by hand, see ticket 512'),
        )
        for _ in range(2):
            self.rebuild(self.orders, options=('--on-error', 'skip'))
        page = tool.read(os.path.join(tool.ROOT, 'docs', 'POLICIES.md')).decode()
        for line in self.ok('quarantine', self.store, 'order_summary').lines:
            self.assertIn('    ' + line + '\n', page)

    def test_bench_obeys_skips(self):
        for position in (8, 10):
            self.ok('skip', self.store, 'order_summary', position, '--reason', 'wrong')
        self.ok('bench', self.store, self.orders, '--workers', '1', '--runs', '1', '--quiet')


class KeyedSkips(tool.Case):
    """Read models whose rows have a key of their own."""

    def setUp(self):
        super().setUp()
        received = [
            event('m-%d' % i, 'Received', {'warehouse': 'w%d' % (i % 3), 'size': i % 5, 'qty': i})
            for i in range(1, 60)
        ]
        received[20] = event('m-21', 'Received', {'warehouse': 'w0', 'size': 'big', 'qty': 1})
        received[40] = event('m-41', 'Received', {'warehouse': 'w1', 'size': 3, 'qty': 'x'})
        moved = event('m-1', 'Moved', {'warehouse': 'w1', 'to': 'w2', 'size': 1, 'qty': 1})
        self.events = received + [moved]
        self.import_lines(*self.events)
        self.stock = tool.compile_plugin(self.path('stock.so'), 'stock.c')

    def test_single_events_are_put_aside(self):
        for position in (21, 41):
            result = self.gives(tool.FAILED, 'rebuild', self.store, self.stock, '--quiet')
            command = 'refold skip %s stock %d --reason ' % (self.store, position)
            self.assertIn(command, result.message)
            self.ok('skip', self.store, 'stock', position, '--reason', 'wrong')
        self.ok('skip', self.store, 'stock', 60, '--reason', 'never happened')
        digests = {
            self.rebuild(self.stock, options=('--workers', workers))[0]['digest']
            for workers in (0, 1, 2, 8)
        }
        self.ok('verify', self.store, '--serial')
        rows = self.rows('stock')
        self.store = self.path('without.refold')
        kept = [e for i, e in enumerate(self.events, 1) if i not in (21, 41, 60)]
        self.import_lines(*kept)
        digests.add(self.rebuild(self.stock)[0]['digest'])
        self.assertEqual((self.rows('stock'), len(digests)), (rows, 1))

    def left_out(self, name='stock'):
        listed = self.ok('quarantine', self.store, name, '--json').json
        return [(i['position'], i['cause'], i['reason']) for i in listed['items']]

    def everywhere(self, path, name, policy):
        """Rebuilds with all workers; gives the rows as a dictionary and what was left out."""
        seen = set()
        for workers in (0, 1, 2, 8):
            self.rebuild(
                path, options=('--on-error', policy, '--workers', workers, '--max-removed', '100%')
            )
            rows = [json.loads(line) for line in self.rows(name).decode().splitlines()]
            seen.add(json.dumps([rows, self.left_out(name)]))
            self.ok('verify', self.store, '--serial')
        self.assertEqual(len(seen), 1)
        return {json.dumps(row.pop('key')): row for row in rows}, self.left_out(name)

    def test_skip_leaves_out_what_put_aside_would(self):
        rows, listed = self.everywhere(self.stock, 'stock', 'skip')
        self.assertEqual([(p, c) for p, c, _ in listed], [(21, 'skipped'), (41, 'skipped')])
        self.assertIn('"big" is no int', listed[0][2])
        self.assertEqual(len(rows), 15)
        self.store = self.path('without.refold')
        self.import_lines(*(e for i, e in enumerate(self.events, 1) if i not in (21, 41)))
        self.rebuild(self.stock)
        wanted = [json.loads(line) for line in self.rows('stock').decode().splitlines()]
        self.assertEqual(rows, {json.dumps(row.pop('key')): row for row in wanted})

    def test_quarantine_leaves_out_the_row_of_the_event_where_its_key_can_be_told(self):
        rows, listed = self.everywhere(self.stock, 'stock', 'quarantine')
        self.assertEqual([(p, c) for p, c, _ in listed], [(21, 'quarantined'), (41, 'quarantined')])
        self.assertNotIn('["w1", 3]', rows)  # the quantity is no number
        self.assertIn('["w0", 1]', rows)  # of position 21 the size itself is none
        self.assertEqual(len(rows), 14)

    def test_an_event_of_two_rows_is_left_out_of_both(self):
        # taking out of a warehouse overflows; what went into the other one must not stay
        low = -(2**63)
        self.store = self.path('two.refold')
        self.import_lines(
            event('m-1', 'Received', {'warehouse': 'a', 'size': 1, 'qty': low}),
            event('m-2', 'Received', {'warehouse': 'b', 'size': 1, 'qty': 5}),
            event('m-3', 'Moved', {'warehouse': 'a', 'to': 'b', 'size': 1, 'qty': 7}),
            event('m-4', 'Moved', {'warehouse': 'b', 'to': 'c', 'size': 1, 'qty': 2}),
        )
        rows, listed = self.everywhere(self.stock, 'stock', 'skip')
        self.assertEqual([(p, r) for p, _, r in listed], [(3, 'pieces beyond 64 bits')])
        self.assertEqual(
            {key: row['pieces'] for key, row in rows.items()},
            {'["a", 1]': low, '["b", 1]': 3, '["c", 1]': 2},
        )
        rows, listed = self.everywhere(self.stock, 'stock', 'quarantine')
        self.assertEqual([p for p, _, _ in listed], [3])
        self.assertEqual({key: row['pieces'] for key, row in rows.items()}, {'["c", 1]': 2})

    def test_lua_rows_are_as_before_the_event_that_fails(self):
        path = self.path('parts.lua', LUA_PARTS)
        self.store = self.path('parts.refold')
        lines = []
        for i in range(3000):
            data = {'part': 'p%d' % (i % 40), 'qty': i % 9}
            if i % 397 == 3:
                data['qty'] = 'nothing'
            lines.append(event('bin-%d' % (i % 70), 'Put', data))
        self.import_lines(*lines)
        for policy in ('skip', 'quarantine'):
            wanted, wrong = fold_parts(lines, policy)
            self.assertGreater(len(wrong), 8)
            rows, listed = self.everywhere(path, 'parts', policy)
            self.assertEqual([p for p, _, _ in listed], wrong)
            self.assertEqual(
                {key: (row['total'], row['seen']) for key, row in rows.items()}, wanted
            )

    def test_one_event_that_fails_alone_in_its_partition(self):
        # Lists and json are guarded without a policy too, as their faults show late.
        lua = self.path(
            'alone.lua',
            'name "alone"\nversion (1)\nkey { "k text" }\ncolumns { "j json", "n int" }\n'
            'on ("Put", { "k text", "n int" }, function (row, e)\n'
            '  if e.n == 7 then error "seven" end\n  row.n = e.n\nend)\n',
        )
        self.store = self.path('alone.refold')
        self.import_lines(event('a', 'Put', {'k': 'x', 'n': 7}), event('b', 'Put', {'k': 'y', 'n': 1}))
        for workers in (0, 2):
            self.refuses(
                tool.FAILED, ['seven', 'position 1'], 'rebuild', self.store, lua, '--quiet', '--workers', workers
            )
        row = self.rebuild(lua, options=('--on-error', 'skip'))[0]
        self.assertEqual((row['rows'], row['skipped']), (1, 1))
        self.assertEqual(self.rows('alone'), b'{"key":"y","j":null,"n":1}\n')

    def test_what_a_failing_event_carries_is_not_carried(self):
        path = self.path('spent.lua', LUA_SPENT)
        self.store = self.path('spent.refold')
        self.import_lines(
            event('o-1', 'Placed', {'customer': 'ann', 'sum': 1}),
            event('o-1', 'Placed', {'customer': 'bob', 'sum': 1000}),
            event('o-1', 'Paid', {'sum': 5}),
            event('o-2', 'Placed', {'customer': 'bob', 'sum': 4}),
            event('o-3', 'Placed', {'customer': 'cyd', 'sum': 2000}),
            event('o-3', 'Paid', {'sum': 6}),
        )
        rows, listed = self.everywhere(path, 'spent', 'skip')
        self.assertEqual([p for p, _, _ in listed], [2, 5, 6])
        self.assertIn('too much', listed[1][2])
        self.assertIn('no key', listed[2][2])
        self.assertEqual({key: row['sum'] for key, row in rows.items()}, {'"ann"': 6, '"bob"': 4})
        rows, listed = self.everywhere(path, 'spent', 'quarantine')
        self.assertEqual([p for p, _, _ in listed], [2, 5, 6])
        self.assertEqual({key: row['sum'] for key, row in rows.items()}, {'"ann"': 6})

    def test_a_combined_row_lacks_exactly_what_was_skipped(self):
        path = self.path('sums.lua', LUA_SUMS)
        rows, listed = self.everywhere(path, 'sums', 'skip')
        self.assertEqual([p for p, _, _ in listed], [21, 30, 41])
        received = [json.loads(e)['data'] for i, e in enumerate(self.events, 1) if i not in (21, 30, 41)]
        wanted = {}
        for data in received[:-1]:
            count, total = wanted.get('"%s"' % data['warehouse'], (0, 0))
            wanted['"%s"' % data['warehouse']] = (count + 1, total + data['qty'])
        self.assertEqual({k: (r['count'], r['total']) for k, r in rows.items()}, wanted)
        rows, listed = self.everywhere(path, 'sums', 'quarantine')
        self.assertEqual([p for p, _, _ in listed], [21, 41])
        self.assertEqual(list(rows), ['"w2"'])

    def test_more_errors_than_allowed_fail_the_rebuild_the_same_for_any_workers(self):
        messages = {
            self.refuses(
                tool.FAILED,
                ['more than 1 events failed', '"x" is no int', 'position 41', 'type Received'],
                *('rebuild', self.store, self.stock, '--quiet', '--on-error', 'skip'),
                *('--max-errors', 1, '--workers', workers),
            ).message
            for workers in (0, 1, 2, 8)
        }
        self.assertEqual(len(messages), 1)


LUA_PARTS = '''name "parts"
version (1)
key "part text"
columns { "total int", "seen list(bin text, qty int)" }
on ("Put", { "qty int" }, function (row, e)
  row.total = row.total + e.qty
  row.seen[#row.seen % 3 + 1] = { bin = e.stream, qty = e.qty }
end)
on ("Put", { "qty int" }, function (row, e)
  if e.qty == 8 and row.total > 293 then error "too many parts" end
end)
'''


def fold_parts(events, policy):
    """An independent fold of LUA_PARTS."""
    rows, wrong, shut = {}, [], set()
    for position, e in enumerate(events, 1):
        e = json.loads(e)
        part, qty = e['data']['part'], e['data']['qty']
        if part in shut:
            continue
        total, seen = rows.get(part, (0, []))
        if isinstance(qty, int) and not (qty == 8 and total + qty > 293):
            seen = list(seen)
            at = len(seen) % 3
            seen[at : at + 1] = [{'bin': e['stream'], 'qty': qty}]
            rows[part] = (total + qty, seen)
            continue
        wrong.append(position)
        if policy == 'quarantine':
            shut.add(part)
    return {'"%s"' % part: rows[part] for part in rows if part not in shut}, wrong


LUA_SPENT = '''name "spent"
version (1)
key "carried.customer text"
carry { customer = { Placed = "customer text" } }
columns { "sum int" }
local function add (row, e)
  row.sum = row.sum + e.sum
  if row.sum > 500 then error "too much" end
end
on ("Placed", { "sum int" }, add)
on ("Paid", { "sum int" }, add)
'''

LUA_SUMS = '''name "sums"
version (1)
key "warehouse text"
combine { count = "count", total = "sum" }
columns { "count int", "total int" }
on ("Received", { "qty int", "size int" }, function (row, e)
  if e.qty == 30 then error "thirty is not possible" end
  row.count = row.count + 1
  row.total = row.total + e.qty
end)
'''


class Unknown(tool.Shop):
    def test_a_type_without_handler_stops_a_projection_of_all_types(self):
        plugin = self.plugin(FLAGS='RF_PROJECTION_ALL_TYPES')
        self.refuses(
            tool.REFUSED,
            ['ItemRemoved', 'position 5', 'no handler', '2 more'],
            *('rebuild', self.store, plugin, '--quiet'),
        )
        self.refuses(
            tool.REFUSED,
            ['ItemRemoved'],
            *('rebuild', self.store, plugin, '--quiet', '--allow-missing'),
        )
        checked = self.gives(tool.REFUSED, 'check', self.store, plugin)
        self.assertIn('OrderPlaced', checked.out.decode())
        self.rebuild(plugin, options=('--unknown', 'ignore'))
        self.assertEqual(self.rows('counting').count(b'\n'), 1)

    def test_a_type_whose_events_are_all_put_aside_stops_nothing(self):
        self.store = self.path('odd.refold')
        self.import_lines(
            event('o-1', 'ItemAdded', {'qty': 1}),
            event('o-1', 'ItemPacked', {}),
            event('o-2', 'ItemPacked', {}),
        )
        plugin = self.plugin(FLAGS='RF_PROJECTION_ALL_TYPES')
        self.ok('skip', self.store, 'counting', 2, '--reason', 'a test of theirs')
        self.refuses(tool.REFUSED, ['ItemPacked'], 'rebuild', self.store, plugin, '--quiet')
        self.ok('skip', self.store, 'counting', 3, '--reason', 'a test of theirs')
        self.ok('check', self.store, plugin)
        self.rebuild(plugin)
        self.ok('unskip', self.store, 'counting', 2)
        self.refuses(tool.REFUSED, ['ItemPacked'], 'rebuild', self.store, plugin, '--quiet')

    def test_later_types_do_not_stop_a_rebuild_up_to_a_position(self):
        self.store = self.path('other.refold')
        self.import_lines(
            event('order-1', 'ItemAdded', {'qty': 1}), event('order-1', 'ItemPacked')
        )
        plugin = self.plugin(FLAGS='RF_PROJECTION_ALL_TYPES')
        self.rebuild(plugin, options=('--no-swap', '--until', '1'))
        self.refuses(
            tool.REFUSED, ['ItemPacked', 'position 2'], 'rebuild', self.store, plugin, '--quiet'
        )

    def test_other_projections_need_no_handler_for_each_type(self):
        self.rebuild(self.plugin())


tool.main(__name__)
