"""Gates of a rebuild and of a swap: each refuses, keeps the generation, and says which it was and how to go on; and
several read models that go live, or back, together."""

import os
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

FIRST = """name "orders"
version (1)
columns { "customer text", "total decimal(2)", "items int" }
on ("Placed", { "customer text" }, function (row, e) row.customer = e.customer end)
on ("Added", { "qty int", "price decimal(2)" }, function (row, e)
    row.items = row.items + e.qty
    row.total = row.total + e.qty * e.price
end)
"""


def version(number, *changes):
    text = FIRST.replace('version (1)', 'version (%d)' % number)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Orders(tool.Case):
    def setUp(self):
        super().setUp()
        events = []
        for i in range(20):
            events.append(event('order-%02d' % i, 'Placed', {'customer': 'c-%d' % i}))
            events.append(event('order-%02d' % i, 'Added', {'qty': i, 'price': 1.5}))
        self.import_lines(*events)
        self.ok('rebuild', self.store, self.path('orders.lua', FIRST), '--quiet')
        self.before = self.ok('scan', self.store, 'orders').out

    def refused(self, words, projection, *options):
        """Refused with the words; what is live is as it was, the new one is sealed, and both commands of
        the message do what they say."""
        result = self.refuses(
            tool.REFUSED, words, 'rebuild', self.store, projection, '--quiet', *options
        )
        self.assertEqual(self.ok('scan', self.store, 'orders').out, self.before)
        listed = self.ok('generations', self.store, 'orders', '--json').json['generations']
        self.assertEqual([g['number'] for g in listed if g['live']], [1])
        kept = listed[-1]['number']
        self.assertIn('generation %d is kept, not live' % kept, result.message)
        look, swap = result.message.strip().split(': refold ')[-2:]
        words = shlex.split(look.split(';')[0])
        self.assertEqual(words, ['diff', self.store, 'orders', '1', str(kept)])
        self.ok(*words)
        swap = shlex.split(swap)
        self.ok(*swap)
        listed = self.ok('generations', self.store, 'orders', '--json').json['generations']
        self.assertEqual([g['number'] for g in listed if g['live']], [kept])
        return result


class Gates(Orders):
    def test_max_changed(self):
        changed = self.path(
            'changed.lua', version(2, ('e.qty * e.price', 'e.qty * e.price + (e.qty == 7 and 1 or 0)'))
        )
        self.refused(
            ['max-changed', '1 of the 20 live rows', '5%', '4%'], changed, '--max-changed', '4%'
        )

    def test_max_changed_passes_at_its_limit(self):
        changed = self.path(
            'changed.lua', version(2, ('e.qty * e.price', 'e.qty * e.price + (e.qty == 7 and 1 or 0)'))
        )
        self.ok('rebuild', self.store, changed, '--quiet', '--max-changed', '5%')

    def test_a_new_column_is_no_change(self):
        wider = self.path('wider.lua', version(2, ('"items int"', '"items int", "paid bool"')))
        self.ok('rebuild', self.store, wider, '--quiet', '--max-changed', '0')

    def test_max_removed(self):
        fewer = self.path(
            'fewer.lua', version(2, ('row.customer = e.customer', 'if e.customer ~= "c-0" then row.customer = e.customer end'),
                                 ('row.items = ', 'if e.qty == 0 then return end row.items = '))
        )
        self.refused(
            ['max-removed', '1 of the 20 live rows', '5%', '0%'], fewer, '--max-removed', '0'
        )

    def test_min_rows(self):
        self.refused(
            ['min-rows', '20 rows', '21'],
            self.path('same.lua', version(2)),
            *('--min-rows', 21),
        )

    def test_expect_keys(self):
        keys = self.path('keys', 'order-03\r\n\norder-99\norder-19\norder-04 \n')
        self.refused(
            ['expect-keys', '2 of 4 keys', '"order-99", "order-04 "'],
            self.path('same.lua', version(2)),
            *('--expect-keys', keys),
        )
        keys = self.path('keys', ''.join('order-%02d\n' % i for i in range(20)))
        self.ok('rebuild', self.store, 'orders', '--quiet', '--expect-keys', keys)

    def test_expect_keys_of_several_parts(self):
        keyed = self.path('keyed.lua', version(1, ('"orders"', '"customers"'), ('columns', 'key { "stream", "type" }\ncolumns')))
        keys = self.path('keys', '["order-03","Placed"]\n["order-03","Sent"]\n')
        result = self.gives(tool.REFUSED, 'rebuild', self.store, keyed, '--quiet', '--expect-keys', keys)
        self.assertIn('1 of 2 keys have no row: ["order-03","Sent"]', result.message)
        self.assertNotIn('refold diff', result.message)
        keys = self.path('keys', '["order-03","Placed"]\norder-03\n')
        result = self.refuses(tool.FAILED, [keys + ':2'], 'rebuild', self.store, keyed, '--quiet', '--expect-keys', keys)

    def test_what_is_no_gate_is_refused_before_anything_is_built(self):
        same = self.path('same.lua', version(2))
        args = ('rebuild', self.store, same, '--quiet')
        self.refuses(tool.FAILED, ['nowhere'], *args, '--expect-keys', self.path('nowhere'))
        self.refuses(tool.FAILED, ['no keys'], *args, '--expect-keys', self.path('empty', '\n'))
        self.refuses(tool.USAGE, ['--no-swap'], *args, '--no-swap', '--max-changed', '1%')
        self.refuses(tool.USAGE, ['--no-swap'], *args, '--no-swap', '--expect-keys', same)
        self.refuses(tool.USAGE, ['101%'], *args, '--max-changed', '101%')
        other = self.path('other.lua', version(1, ('"orders"', '"others"')))
        self.refuses(tool.USAGE, ['one'], *args, other, '--expect-keys', self.path('k', 'order-03\n'))
        listed = self.ok('generations', self.store, '--json').json['generations']
        self.assertEqual(len(listed), 1)


class Shares(tool.Case):
    """Shares of a hundred rows, met exactly: 29% of 100 is 28.999999999999996 to a processor."""

    def setUp(self):
        super().setUp()
        self.import_lines(*[event('order-%02d' % i, 'Added', {'qty': i, 'price': 1}) for i in range(100)])
        self.ok('rebuild', self.store, self.path('orders.lua', FIRST), '--quiet', '--allow-missing')

    def rebuild_with(self, code, number, condition, *options):
        other = self.path('other.lua', version(number, ('row.items = ', condition)))
        args = ('rebuild', self.store, other, '--quiet', '--allow-missing', *options)
        return self.gives(code, *args)

    def test_a_share_that_is_met_exactly_passes_and_one_row_more_does_not(self):
        for number, percent in enumerate((7, 29, 57), 2):
            fewer = 'if e.qty < %d then return end row.items = ' % percent
            more = 'if e.qty <= %d then return end row.items = ' % percent
            limit = ('--no-swap', '--max-removed', '%d%%' % percent)
            self.rebuild_with(tool.DONE, number, fewer, '--no-swap')
            self.ok('swap', self.store, 'orders', *limit[1:])
            self.ok('rollback', self.store, 'orders')
            self.rebuild_with(tool.DONE, number + 100, more, '--no-swap')
            self.refuses(
                tool.REFUSED,
                ['%d of the 100' % (percent + 1), '%d%%) are gone' % (percent + 1), '%d%% may be' % percent],
                *('swap', self.store, 'orders', *limit[1:])
            )
            self.ok('retire', self.store, 'orders@%d' % number)

    def test_parts_of_a_percent_and_of_a_row(self):
        fewer = 'if e.qty < 1 then return end row.items = '
        result = self.rebuild_with(tool.REFUSED, 2, fewer, '--max-removed', '0.5%')
        self.assertIn('1 of the 100 live rows (1%) are gone, and 0.5% may be', result.message)
        self.rebuild_with(tool.REFUSED, 3, fewer, '--max-removed', '0.009')
        self.rebuild_with(tool.DONE, 4, fewer, '--max-removed', '0.01')

    def test_what_is_no_share_is_refused(self):
        for text in ('1', '1.0', '2', '-1%', '100.01%', '%', '1%%', '1 %', 'half', '', 'nan', '0x1%p', '1e999'):
            args = ('rebuild', self.store, 'orders', '--quiet', '--max-changed', text)
            self.refuses(tool.USAGE, ['--max-changed'], *args)
        self.refuses(tool.USAGE, ['1% or 100%?'], 'swap', self.store, 'orders', '--max-removed', '1')
        for text in ('0', '0%', '.5', '100%', '1e-2', '0.0'):
            self.ok('rebuild', self.store, 'orders', '--quiet', '--max-changed', text)


class Expectations(Orders):
    def expecting(self, *texts):
        clauses = ''.join('expect ("%s")\n' % text for text in texts)
        return self.path('orders.lua', version(2, ('on ("Placed"', clauses + 'on ("Placed"')))

    def test_rows_that_break_one_are_named_with_file_and_line(self):
        path = self.expecting('items >= 0', 'total < 21.00 and customer ~= nil')
        self.refused(
            [path + ':5', 'total < 21.00', 'does not hold for 6 of 20 rows', '"order-14", "order-15"'],
            path,
        )

    def test_what_holds_passes_and_is_asked_of_rows_that_came_meanwhile_too(self):
        path = self.expecting('total >= 0', "total == items * 1.5", "customer > 'c'")
        self.assertTrue(self.rebuild(path)[0]['live'])
        self.import_lines(event('order-05', 'Added', {'qty': 1, 'price': 9}))
        self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        # The definition that is kept has its expectations with it.
        self.refuses(
            tool.REFUSED,
            ['orders.lua:5', '1 of 20', '"order-05"'],
            *('rebuild', self.store, 'orders', '--quiet'),
        )

    def test_the_same_is_told_for_any_number_of_workers(self):
        path = self.expecting('total < 10')
        told = set()
        for workers in (0, 1, 2, 5):
            result = self.gives(tool.REFUSED, 'rebuild', self.store, path, '--quiet', '--workers', workers)
            told.add(result.message.split('; generation')[0])
        self.assertEqual(len(told), 1)

    def test_what_is_no_expectation_is_refused_with_its_line(self):
        for text, word in (('totl >= 0', 'totl'), ('total', 'true or false'), ('total = 1', '==')):
            path = self.expecting(text)
            result = self.gives(tool.FAILED, 'rebuild', self.store, path, '--quiet')
            self.assertIn(path + ':4', result.message)
            self.assertIn(word, result.message)

    def test_cases_meet_them_too(self):
        path = self.expecting('total >= 0')
        good = (
            '{"case":"a total","events":[%s],"rows":[{"key":"order-1","total":"3.00"}]}\n'
            '{"case":"below zero","events":[%s],"error":"orders.lua:4: expect"}\n'
        ) % (
            event('order-1', 'Added', {'qty': 2, 'price': 1.5}),
            event('order-1', 'Added', {'qty': -2, 'price': 1.5}),
        )
        self.ok('test', path, self.path('good.jsonl', good))
        bad = '{"case":"below zero","events":[%s],"rows":[]}\n' % event(
            'order-1', 'Added', {'qty': -2, 'price': 1.5}
        )
        result = self.gives(tool.FAILED, 'test', path, self.path('bad.jsonl', bad))
        self.assertIn('does not hold for 1 of 1 row of orders: "order-1"', result.out.decode())
        self.assertNotIn(b'is kept', result.out)


class Followed(Orders):
    """Expectations while a read model is followed: the event that breaks one suspends it, the others go on."""

    def setUp(self):
        super().setUp()
        self.path_of = self.path('kept.lua', version(2, ('on ("Placed"', 'expect ("total >= 0")\non ("Placed"')))
        self.ok('rebuild', self.store, self.path_of, '--quiet')
        other = self.path('others.lua', version(1, ('"orders"', '"others"')))
        self.ok('rebuild', self.store, other, '--quiet')

    def status(self):
        models = self.ok('status', self.store, '--json').json['models']
        return {model['name']: model for model in models}

    def events(self, breaking):
        """Ten events, of which one breaks what is expected; the next puts it right."""
        events = [event('order-%02d' % i, 'Added', {'qty': 1, 'price': 1}) for i in range(8)]
        events.insert(breaking, event('order-19', 'Added', {'qty': -1, 'price': 100}))
        events.append(event('order-18', 'Added', {'qty': -1, 'price': 500}))
        return events

    def test_the_event_that_breaks_one_suspends_the_read_model_in_front_of_it(self):
        for breaking in (0, 3, 8):
            with self.subTest(breaking=breaking):
                self.tearDown()
                self.setUp()
                self.import_lines(*self.events(breaking))
                result = self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
                self.assertIn('orders is suspended', result.message)
                status = self.status()
                at = 41 + breaking
                self.assertEqual(status['others']['position'], 50)
                self.assertIsNone(status['others']['suspended'])
                self.assertEqual(status['orders']['position'], at - 1)
                self.assertEqual(status['orders']['suspended_at'], at)
                for word in ('kept.lua:4', 'total >= 0', '"order-19"', 'position %d' % at, 'Added'):
                    self.assertIn(word, status['orders']['suspended'])

    def test_skip_and_resume_go_on_to_the_next_that_breaks(self):
        self.import_lines(*self.events(3))
        self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        self.ok('resume', self.store, 'orders')
        self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        self.assertEqual(self.status()['orders']['suspended_at'], 44)
        self.ok('skip', self.store, 'orders', '44', '--reason', 'a refund by mistake')
        self.ok('resume', self.store, 'orders')
        self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        self.assertEqual(self.status()['orders']['suspended_at'], 50)
        self.ok('skip', self.store, 'orders', '50', '--reason', 'another')
        self.ok('resume', self.store, 'orders')
        self.ok('follow', self.store, '--once', '--quiet')
        self.assertEqual(self.status()['orders']['position'], 50)
        self.ok('verify', self.store, '--serial')

    def test_import_apply_asks_too(self):
        result = self.gives(
            tool.REFUSED,
            *('import', self.store, '-', '--quiet', '--apply'),
            stdin=tool.lines(*self.events(3))
        )
        self.assertIn('orders is suspended', result.message)
        self.assertEqual(self.status()['others']['position'], 50)

    def test_what_was_taken_with_a_row_that_breaks_it_goes_on(self):
        strict = version(3, ('on ("Placed"', 'expect ("total < 21.00")\non ("Placed"'))
        self.ok('rebuild', self.store, self.path('strict.lua', strict), '--no-swap', '--quiet')
        self.ok('swap', self.store, 'orders', '--no-gates')
        self.import_lines(event('order-19', 'Added', {'qty': 1, 'price': 1}))
        self.ok('follow', self.store, '--once', '--quiet')
        self.import_lines(event('order-13', 'Added', {'qty': 1, 'price': 1.5}))
        self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        self.assertIn('"order-13"', self.status()['orders']['suspended'])


class Swaps(Orders):
    """What is built with --no-swap meets its gates when swap takes it."""

    def build(self, *changes):
        path = self.path('new.lua', version(2, *changes))
        self.ok('rebuild', self.store, path, '--no-swap', '--quiet')

    def live(self):
        models = self.ok('status', self.store, '--json').json['models']
        return {model['name']: model['generation'] for model in models}

    def swap(self, *options):
        return ('swap', self.store, 'orders', *options)

    def test_half_of_the_rows_gone_is_refused_where_that_is_asked(self):
        self.build(
            ('function (row, e) row.customer', 'function (row, e) if e.customer > "c-12" then return end row.customer'),
            ('function (row, e)\n    row.items', 'function (row, e)\n    if not row.exists then return end row.items'),
        )
        half = self.swap('--max-removed', '50%')
        result = self.refuses(tool.REFUSED, ['max-removed', '20 live rows', 'kept'], *half)
        self.assertIn('swap %s orders --generation 2 --no-gates' % self.store, result.message)
        self.assertEqual(self.live(), {'orders': 1})
        self.refuses(tool.REFUSED, ['min-rows'], *self.swap('--max-removed', '100%', '--min-rows', '30'))
        self.ok(*self.swap())
        self.assertEqual(self.live(), {'orders': 2})

    def test_max_changed_and_keys_are_gates_of_a_swap_too(self):
        self.build(('e.qty * e.price', 'e.qty * e.price + (e.qty == 7 and 1 or 0)'))
        self.refuses(tool.REFUSED, ['max-changed', '1 of the 20'], *self.swap('--max-changed', '4%'))
        keys = self.path('keys', 'order-03\norder-77\n')
        self.refuses(tool.REFUSED, ['expect-keys', 'order-77'], *self.swap('--expect-keys', keys))
        self.refuses(tool.USAGE, ['--no-gates'], *self.swap('--no-gates', '--min-rows', '1'))
        self.assertEqual(self.live(), {'orders': 1})
        self.ok(*self.swap('--max-changed', '5%'))
        self.assertEqual(self.live(), {'orders': 2})

    def test_both_are_at_one_position_when_they_are_compared(self):
        self.build()
        self.import_lines(event('order-05', 'Added', {'qty': 1, 'price': 9}))
        self.ok('follow', self.store, '--once', '--quiet')
        self.ok(*self.swap('--max-changed', '0', '--max-removed', '0'))
        self.assertEqual(self.ok('get', self.store, 'orders', 'order-05').json['items'], 6)

    def test_expectations_are_asked_and_no_gates_takes_it_all_the_same(self):
        self.build(('on ("Placed"', 'expect ("total < 21.00")\non ("Placed"'))
        self.refuses(tool.REFUSED, ['total < 21.00', '6 of 20 rows', 'kept'], *self.swap())
        self.assertEqual(self.live(), {'orders': 1})
        self.ok(*self.swap('--no-gates'))
        self.assertEqual(self.live(), {'orders': 2})

    def test_a_rollback_asks_none(self):
        self.build(('on ("Placed"', 'expect ("total >= 0")\non ("Placed"'))
        self.ok(*self.swap())
        self.import_lines(event('order-05', 'Added', {'qty': -9, 'price': 9}))
        self.ok('rollback', self.store, 'orders')
        self.assertEqual(self.live(), {'orders': 1})

    def test_of_several_names_one_that_is_refused_keeps_all(self):
        other = self.path('others.lua', version(1, ('"orders"', '"others"')))
        self.ok('rebuild', self.store, other, '--quiet')
        self.build()
        strict = version(2, ('"orders"', '"others"'), ('on ("Placed"', 'expect ("total < 5")\non ("Placed"'))
        self.ok('rebuild', self.store, self.path('others-2.lua', strict), '--no-swap', '--quiet')
        both = ('swap', self.store, 'orders', 'others')
        self.refuses(tool.REFUSED, ['others', 'total < 5'], *both)
        self.assertEqual(self.live(), {'orders': 1, 'others': 1})
        self.ok(*both, '--no-gates')
        self.assertEqual(self.live(), {'orders': 2, 'others': 2})
        self.ok('rollback', self.store, 'orders', 'others')
        self.assertEqual(self.live(), {'orders': 1, 'others': 1})


class Sets(Orders):
    """The read models of one rebuild go live together, and back together."""

    def rebuild_both(self, number, *options):
        paths = [
            self.path('%s-%d.lua' % (name, number), version(number, ('"orders"', '"%s"' % name)))
            for name in ('orders', 'others')
        ]
        return self.ok('rebuild', self.store, *paths, '--json', '--quiet', *options).json

    def live(self):
        models = self.ok('status', self.store, '--json').json['models']
        return {model['name']: model['generation'] for model in models}

    def test_a_set_goes_live_and_back_in_one_command(self):
        self.rebuild_both(2)
        # One of the two is deployed by itself in between: the sets' generations are other numbers.
        self.ok('rebuild', self.store, self.path('x.lua', version(3)), '--quiet')
        before = self.live()
        report = self.rebuild_both(4, '--no-swap')
        self.assertEqual(self.live(), before)
        listed = self.ok('generations', self.store, '--json').json['generations']
        of_set = {g['name']: g['number'] for g in listed if g['set'] == report['set']}
        self.assertEqual(of_set, {p['name']: p['generation'] for p in report['projections']})
        flips = self.ok('swap', self.store, '--set', report['set'], '--json').json['flips']
        self.assertEqual({f['name']: f['to'] for f in flips}, of_set)
        self.assertEqual({f['name']: f['from'] for f in flips}, before)
        self.assertEqual(self.live(), of_set)
        back = self.ok('rollback', self.store, '--set', report['set'])
        self.assertIn('orders %d -> %d' % (of_set['orders'], before['orders']), back.out.decode())
        self.assertEqual(self.live(), before)
        # It is not live any more, and the rest is as it was.
        self.refuses(
            tool.FAILED, ['set %d' % report['set'], 'not live'], 'rollback', self.store, '--set', report['set']
        )
        self.assertEqual(self.live(), before)
        self.ok('swap', self.store, '--set', report['set'])
        self.assertEqual(self.live(), of_set)
        self.ok('verify', self.store)

    def test_a_rebuild_that_reuses_the_base_is_a_set_too(self):
        self.rebuild_both(2)
        self.import_lines(event('order-05', 'Added', {'qty': 1, 'price': 9}))
        report = self.ok('rebuild', self.store, '--all', '--no-swap', '--json', '--quiet').json
        self.assertEqual([p['reused'] for p in report['projections']], [True, True])
        self.ok('swap', self.store, '--set', report['set'])
        self.assertEqual(self.live(), {p['name']: p['generation'] for p in report['projections']})

    def test_gates_are_asked_of_all(self):
        self.rebuild_both(2)
        before = self.live()
        report = self.rebuild_both(3, '--no-swap')
        swap = ('swap', self.store, '--set', report['set'])
        self.refuses(tool.REFUSED, ['min-rows'], *swap, '--min-rows', '21')
        self.assertEqual(self.live(), before)
        self.ok(*swap, '--min-rows', '20')

    def takes_all(self, result):
        """The command at the end of the line makes all of the set live, not only what was refused."""
        command = shlex.split(result.message.split(' all the same: refold ')[1])
        self.assertEqual(command[:3], ['swap', self.store, '--set'])
        self.ok(*command)
        listed = self.ok('generations', self.store, '--json').json['generations']
        self.assertEqual({g['set'] for g in listed if g['live']}, {int(command[3])})

    def test_the_command_of_a_refusal_takes_what_was_to_go_live_together(self):
        self.rebuild_both(2)
        paths = [
            self.path('orders-3.lua', version(3)),
            self.path('others-3.lua', version(3, ('"orders"', '"others"'), ('on ("Placed"', 'expect ("total < 5")\non ("Placed"'))),
        ]
        rebuild = ('rebuild', self.store, *paths, '--quiet')
        self.takes_all(self.refuses(tool.REFUSED, ['others', 'total < 5'], *rebuild))
        alone = self.refuses(tool.REFUSED, ['total < 5'], *rebuild, '--independent', '--full').message
        self.assertIn('refold swap %s others --generation' % self.store, alone)
        self.ok('rollback', self.store, 'orders', 'others')
        self.ok('swap', self.store, 'orders')
        self.ok('rollback', self.store, 'orders')
        report = self.rebuild_both(4, '--no-swap')
        self.takes_all(self.refuses(tool.REFUSED, ['min-rows'], 'swap', self.store, '--set', report['set'], '--min-rows', 21))

    def test_the_command_takes_all_of_a_set_of_which_one_is_held(self):
        for number in 2, 3:
            self.rebuild_both(number)
        self.ok('rollback', self.store, 'others')
        paths = [self.path('orders-4.lua', version(4)), os.path.join(self.folder, 'others-3.lua')]
        self.takes_all(self.refuses(tool.REFUSED, ['a rollback left'], 'rebuild', self.store, *paths, '--quiet'))

    def test_what_is_no_set_is_refused(self):
        self.refuses(tool.FAILED, ['set 77'], 'swap', self.store, '--set', 77)
        self.refuses(tool.FAILED, ['set 77'], 'rollback', self.store, '--set', 77)
        self.refuses(tool.USAGE, ['--set', 'NAME'], 'swap', self.store, 'orders', '--set', 1)
        self.refuses(tool.USAGE, ['NAME'], 'swap', self.store)
        self.refuses(tool.USAGE, ['NAME'], 'rollback', self.store)
        self.refuses(tool.USAGE, ['one NAME'], 'swap', self.store, '--set', 1, '--generation', 1)


tool.main(__name__)
