"""get --as-of, rebuild --until and repair: rows as they were, and rows that are made right again."""

import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

BY_CUSTOMER = '''name "customers" version (1) key { OrderPlaced = "customer text" }
columns { "orders int" }
on ("OrderPlaced", {}, function (row, e) row.orders = row.orders + 1 end)
'''


class AsOf(tool.Shop):
    def items(self, moment, code=tool.DONE):
        result = self.gives(code, 'get', self.store, 'order_summary', 'order-1', '--as-of', moment)
        return result.json['items'] if code == tool.DONE else result

    def test_a_row_is_given_as_it_was_at_each_position(self):
        self.assertEqual([self.items(at) for at in range(1, 8)], [0, 0, 2, 3, 2, 2, 2])
        self.assertEqual(
            self.ok('get', self.store, 'order_summary', 'order-1', '--as-of', 7).out, self.ROW
        )

    def test_a_time_means_the_longest_prefix_without_a_later_event(self):
        self.assertEqual(self.items('2024-07-10T12:00:03Z'), 2)
        self.assertEqual(self.items('2024-07-10T14:00:03.25+02:00'), 3)
        self.items('2024-07-10T11:59:59Z', tool.NOTHING)

    def test_before_its_first_event_there_is_no_row(self):
        at = ('get', self.store, 'order_summary', 'order-3', '--as-of')
        self.refuses(tool.NOTHING, ['order-3', 'position 5'], *at, 5)
        self.ok(*at, 6)
        self.refuses(tool.NOTHING, ['order-77'], 'get', self.store, 'order_summary', 'order-77', '--as-of', 7)

    def test_all_rows_as_they_were_are_a_generation_of_their_own(self):
        """The world as it was: nothing that is live changes."""
        report = self.rebuild('order_summary', options=('--until', '4', '--no-swap'))[0]
        self.assertEqual((report['position'], report['live']), (4, False))
        past = ('--generation', report['generation'])
        rows = [json.loads(line) for line in self.ok('scan', self.store, 'order_summary', *past).lines]
        self.assertEqual([row['key'] for row in rows], ['order-1', 'order-2'])
        for row in rows:
            found = self.ok('get', self.store, 'order_summary', row['key'], *past).json
            self.assertEqual(found, row)
            found = self.ok('get', self.store, 'order_summary', row['key'], '--as-of', 4).json
            self.assertEqual(found, row)
        self.assertEqual(self.ok('get', self.store, 'order_summary', 'order-1').out, self.ROW)
        report = self.rebuild('order_summary', options=('--until', '2024-07-10T12:00:01Z', '--no-swap'))
        self.assertEqual(report[0]['position'], 2)
        status = self.ok('status', self.store, '--json').json['models'][0]
        self.assertEqual((status['generation'], status['position']), (self.first['generation'], 7))

    def test_what_the_log_does_not_have_is_refused(self):
        at = ('get', self.store, 'order_summary', 'order-1', '--as-of')
        self.refuses(tool.USAGE, ['ends at position 7', '8'], *at, 8)
        self.refuses(tool.USAGE, ['--as-of', 'yesterday'], *at, 'yesterday')

    def test_rows_of_other_keys_are_refused_with_the_way_to_go(self):
        self.rebuild(self.path('customers.lua', BY_CUSTOMER))
        self.refuses(
            tool.USAGE,
            ['customers', 'neither are nor begin with the stream', 'other streams', 'rebuild --until'],
            *('get', self.store, 'customers', 'c-1', '--as-of', 3)
        )

    def test_what_a_stream_carries_and_combines_is_as_it_was(self):
        """Of plugins, with what a rebuild up to there gives."""
        events = []
        for i in range(60):
            data = {'customer': 'c-%d' % (i % 7)} if i % 5 == 0 else {'qty': i * 7 % 11 - 3}
            events.append(event('o-%d' % (i * i % 8), 'OrderPlaced' if i % 5 == 0 else 'ItemAdded', data))
        self.import_lines(*events)
        for name, combines in (('carried', 0), ('combined', 1)):
            path = tool.compile_plugin(self.path(name + '.so'), 'streams.c', NAME=name, COMBINES=combines)
            self.rebuild(path)
            rows = 0
            for at in (8, 9, 20, 37, 52, 67):
                past = self.rebuild(name, options=('--until', str(at), '--no-swap'))[0]['generation']
                for key in ('o-%d' % i for i in range(9)):
                    get = ('get', self.store, name, key)
                    was, built = tool.call(*get, '--as-of', at), tool.call(*get, '--generation', past)
                    self.assertEqual((was.code, was.out), (built.code, built.out), (name, key, at))
                    rows += was.code == tool.DONE
            self.assertGreater(rows, 12)

    def test_events_after_the_checkpoint_count_and_the_kept_definition_folds_them(self):
        self.import_lines(event('order-1', 'ItemAdded', {'sku': 'c', 'qty': 5, 'price': 1}))
        self.assertEqual(self.items(8), 7)
        self.assertEqual(self.ok('get', self.store, 'order_summary', 'order-1').out, self.ROW)
        other = self.ok(
            *('get', self.store, 'order_summary', 'order-1', '--as-of', 8),
            *('--generation', self.first['generation'])
        )
        self.assertEqual(other.json['items'], 7)


class Repair(tool.Case):
    def setUp(self):
        super().setUp()
        self.import_lines(*(event('a-%d' % (i % 9), 'ItemAdded', {'qty': i % 4}) for i in range(40)))
        self.name = 'counting'

    def build(self, mood=None, **macros):
        """A plugin whose rows depend on the environment: with MOOD=bad they are wrong."""
        path = self.plugin(MOODY=1, **macros)
        env = {'MOOD': mood} if mood else {}
        self.ok('rebuild', self.store, path, '--quiet', env=env)

    def repair(self, *options):
        result = self.ok('repair', self.store, self.name, '--quiet', *options)
        return [json.loads(line) for line in result.lines]

    def test_rows_that_a_handler_got_wrong_are_made_right_and_told(self):
        self.build('bad')
        self.gives(tool.DAMAGED, 'verify', self.store, '--serial')
        before = self.ok('get', self.store, self.name, 'a-3').json
        told = self.repair('--key', 'a-3')
        after = self.ok('get', self.store, self.name, 'a-3').json
        self.assertEqual(told, [{'op': 'change', 'key': 'a-3', 'old': before, 'new': after}])
        self.assertLess(after['count'], before['count'])
        self.gives(tool.DAMAGED, 'verify', self.store, '--serial')
        told = self.repair('--prefix', 'a-')
        self.assertEqual([change['key'] for change in told], ['a-%d' % i for i in range(9) if i != 3])
        self.ok('verify', self.store, '--serial')
        self.assertEqual(self.repair('--all'), [])

    def test_the_position_stays_and_follow_goes_on(self):
        self.build('bad')
        self.import_lines(event('a-3', 'ItemAdded', {'qty': 1}))
        report = self.ok('repair', self.store, self.name, '--all', '--json').json
        self.assertEqual((report['position'], report['rows'], report['changed']), (40, 9, 9))
        self.assertEqual(report['dry_run'], False)
        self.assertEqual(len(report['changes']), 9)
        self.ok('follow', self.store, '--once', '--quiet')
        self.ok('verify', self.store, '--serial')

    def test_a_follower_that_runs_is_not_in_the_way(self):
        self.build('bad')
        follower = subprocess.Popen(
            [tool.refold, 'follow', self.store, '--quiet'], stderr=subprocess.DEVNULL
        )
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        for i in range(5):
            self.import_lines(event('a-%d' % i, 'ItemAdded', {'qty': 1}))
            self.repair('--all')
        self.ok('wait', self.store, '--timeout', '20')
        follower.send_signal(signal.SIGINT)
        self.assertEqual(follower.wait(20), tool.INTERRUPTED)
        self.ok('verify', self.store, '--serial')

    def test_a_dry_run_tells_the_same_and_changes_nothing(self):
        self.build('bad')
        rows = self.rows(self.name)
        would = self.repair('--all', '--dry-run')
        self.assertEqual(self.rows(self.name), rows)
        self.assertEqual(self.repair('--all'), would)
        self.assertNotEqual(self.rows(self.name), rows)

    def test_rows_of_other_keys_are_compared_alone(self):
        """A plugin that is made elsewhere by the same definition, for rows that no stream has."""
        self.name = 'customers'
        self.import_lines(*(event('o-%d' % i, 'OrderPlaced', {'customer': 'c-%d' % (i % 3)}) for i in range(9)))
        self.rebuild(self.path('customers.lua', BY_CUSTOMER))
        self.assertEqual(self.repair('--all'), [])
        self.damage(b'c-1')
        self.gives(tool.DAMAGED, 'get', self.store, self.name, 'c-1')
        told = self.repair('--key', 'c-1')
        self.assertEqual(told[0]['new'], {'key': 'c-1', 'orders': 3})
        self.assertIs(told[0]['damaged'], True)
        self.assertEqual(self.ok('get', self.store, self.name, 'c-1').json['orders'], 3)

    def test_a_key_may_be_the_empty_text(self):
        self.name = 'customers'
        self.import_lines(*(event('o-%d' % i, 'OrderPlaced', {'customer': 'c-1' if i else ''}) for i in range(4)))
        self.rebuild(self.path('customers.lua', BY_CUSTOMER))
        self.assertEqual(self.ok('get', self.store, self.name, '').json, {'key': '', 'orders': 1})
        report = self.ok('repair', self.store, self.name, '--key', '', '--json').json
        self.assertEqual(report['rows'], 1)
        self.assertEqual(len(self.ok('scan', self.store, self.name, '--from', '').lines), 2)
        # Whoever means all rows says so.
        self.refuses(tool.USAGE, ['--prefix needs a value'], 'repair', self.store, self.name, '--prefix', '')

    def damage(self, key):
        path = os.path.join(self.store, 'generations', self.name, '000001', 'base-00.mdb')
        content = bytearray(tool.read(path))
        at = content.rindex(key)
        content[at + len(key) - 1] ^= 1
        with open(path, 'r+b') as file:
            file.write(content)

    def test_a_row_whose_block_is_damaged_is_served_again(self):
        self.build()
        rows = {key: self.ok('get', self.store, self.name, key).out for key in ('a-1', 'a-2')}
        self.damage(b'a-1')
        self.gives(tool.DAMAGED, 'get', self.store, self.name, 'a-1')
        result = self.ok('repair', self.store, self.name, '--key', 'a-1')
        self.assertIn('damaged blocks', result.message)
        self.assertIn('rebuild --full', result.message)
        self.assertEqual(result.json['damaged'], True)
        self.assertIsNone(result.json['old'])
        self.assertEqual(self.ok('get', self.store, self.name, 'a-1').out, rows['a-1'])
        self.gives(tool.DAMAGED, 'verify', self.store, '--serial')
        self.ok('rebuild', self.store, self.name, '--full', '--keep', '1', '--quiet')
        self.ok('verify', self.store, '--serial')
        self.assertEqual(self.ok('get', self.store, self.name, 'a-1').out, rows['a-1'])

    def test_a_row_that_is_damaged_in_the_delta_is_made_right(self):
        self.build()
        self.import_lines(event('a-distinct-stream', 'ItemAdded', {'qty': 7}))
        self.ok('follow', self.store, '--once', '--quiet')
        row = self.ok('get', self.store, self.name, 'a-distinct-stream').out
        path = os.path.join(self.store, 'live', 'data.mdb')
        content = bytearray(tool.read(path))
        at, flips = content.find(b'a-distinct-stream'), 0
        while at >= 0:  # the row stands behind its key
            content[at + len(b'a-distinct-stream') + 2] ^= 4
            at, flips = content.find(b'a-distinct-stream', at + 1), flips + 1
        self.assertGreater(flips, 0)
        with open(path, 'r+b') as file:
            file.write(content)
        self.gives(tool.DAMAGED, 'get', self.store, self.name, 'a-distinct-stream')
        told = self.repair('--key', 'a-distinct-stream')
        self.assertIs(told[0]['damaged'], True)
        self.assertEqual(self.ok('get', self.store, self.name, 'a-distinct-stream').out, row)
        self.ok('verify', self.store, '--serial')

    def test_what_is_to_be_repaired_must_be_said_and_be_there(self):
        self.build()
        repair = ('repair', self.store, self.name)
        self.refuses(tool.USAGE, ['--key', '--prefix', '--all'], *repair)
        self.refuses(tool.USAGE, ['--key', '--prefix'], *repair, '--key', 'a-1', '--prefix', 'a')
        self.refuses(tool.FAILED, ['nobody'], 'repair', self.store, 'nobody', '--all')
        self.assertEqual(self.repair('--key', 'no-such-stream'), [])
        self.name = 'customers'
        self.import_lines(event('o-1', 'OrderPlaced', {'customer': 'c'}))
        text = BY_CUSTOMER.replace('"customer text"', '{ "customer text", "stream" }')
        self.rebuild(self.path('customers.lua', text))
        self.refuses(tool.USAGE, ['customers'], 'repair', self.store, 'customers', '--key', 'c')
        self.assertEqual(self.repair('--key', '["c","o-1"]'), [])
        self.assertEqual(self.repair('--prefix', '["c"]'), [])

    def test_it_waits_for_the_lock_or_is_refused(self):
        self.build()
        holder = subprocess.Popen(
            ['flock', os.path.join(self.store, 'LOCK'), 'sleep', '60'], start_new_session=True
        )
        self.addCleanup(holder.wait)
        self.addCleanup(os.killpg, holder.pid, signal.SIGKILL)
        while tool.call('gc', self.store).code != tool.LOCKED:
            pass
        repair = ('repair', self.store, self.name, '--all')
        self.gives(tool.LOCKED, *repair)
        self.gives(tool.LOCKED, *repair, '--wait-lock', '1')
        self.ok(*repair, '--dry-run')


tool.main(__name__)
