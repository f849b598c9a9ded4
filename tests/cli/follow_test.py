"""follow, wait, resume, import --apply: live read models that are kept current as events arrive, across
swaps and kills, and what becomes of one that fails.
"""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

COUNTS = """
name "counts" version (1) key "stream"
columns { "n int", "last text" }
on ("*", function (row, e) row.n, row.last = row.n + 1, e.type end)
"""
OWNERS = """
name "owners" version (%d) key { OrderPlaced = "customer text" }
columns { "orders int" }
on ("OrderPlaced", {}, function (row, e) row.orders = row.orders + %d end)
"""
STRICT = """
name "strict" version (1) key "stream"
columns { "n int" }
on ("ItemAdded", { "qty int" }, function (row, e)
    if e.qty > 100 then error "too many" end
    row.n = row.n + e.qty
end)
"""


class Follow(tool.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(3)
        self.sent = 0
        self.processes = []
        self.send(40)

    def tearDown(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        super().tearDown()

    def events(self, count):
        made = []
        for _ in range(count):
            self.sent += 1
            order = 'order-%d' % self.random.randrange(1 + self.sent // 4)
            if self.random.random() < 0.3:
                made.append(event(order, 'OrderPlaced', {'customer': 'c-%d' % (self.sent % 7)}))
            else:
                made.append(event(order, 'ItemAdded', {'qty': self.sent % 9, 'price': 5}))
        return made

    def send(self, count, *options):
        self.import_lines(*self.events(count), options=options)

    def lua(self, name, text):
        return self.path(name + '.lua', text)

    def start(self, *names, options=()):
        process = subprocess.Popen(
            [tool.refold, 'follow', self.store, *names, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def until_followed(self):
        """Until the process that was started has taken its lock: an event that came is folded then."""
        self.send(1)
        self.ok('wait', self.store, '--timeout', '20')

    def position(self):
        return self.info()['position']

    def status(self, name):
        models = self.ok('status', self.store, '--json').json['models']
        return [m for m in models if m['name'] == name][0]

    def check(self, *names):
        """The rows are those of a full rebuild at the same position, and all is whole."""
        for name in names:
            live = self.status(name)
            digest = [
                g['digest']
                for g in self.ok('generations', self.store, name, '--json').json['generations']
                if g['live']
            ][0]
            built = self.rebuild(
                name, options=('--no-swap', '--until', str(live['position']), '--full')
            )[0]
            self.assertEqual((digest, live['rows']), (built['digest'], built['rows']), name)
        self.ok('verify', self.store, '--serial')

    def test_rows_follow_what_is_imported(self):
        self.rebuild(self.lua('counts', COUNTS), self.lua('owners', OWNERS % (1, 1)))
        self.start()
        for _ in range(5):
            self.send(20)
            self.ok('wait', self.store, '--timeout', '20')
            self.assertEqual(self.status('counts')['lag'], 0)
            self.assertEqual(self.status('owners')['position'], self.position())
        self.check('counts', 'owners')

    def test_once_ends_where_the_log_was(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.send(30)
        self.assertEqual(self.status('counts')['lag'], 30)
        self.ok('follow', self.store, '--once')
        self.assertEqual(self.status('counts')['lag'], 0)
        self.check('counts')

    def test_apply_acknowledges_what_the_read_models_have(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.send(30, '--apply')
        self.assertEqual(self.status('counts')['lag'], 0)
        self.start('counts')
        self.until_followed()
        self.send(30, '--apply')
        self.assertEqual(self.status('counts')['lag'], 0)
        self.check('counts')
        self.refuses(tool.USAGE, ['--apply'], 'import', self.store, '-', '--apply', '--follow')

    def test_a_rebuild_folds_only_what_is_new_where_that_is_little(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.send(400)
        self.assertFalse(self.rebuild('counts')[0]['reused'], 'ten times as many events are new')
        for full in ((), ('--full',), ()):
            self.send(1)
            built = self.rebuild('counts', options=full)[0]
            self.assertEqual(built['reused'], not full)
            self.assertEqual(built['events'], self.position(), 'all that made the rows')
            self.assertEqual(built['folded'], self.position() if full else 1)
            self.assertEqual((built['position'], built['live']), (self.position(), True))
            self.check('counts')
        self.ok('gc', self.store, '--keep', '1')
        self.check('counts')
        self.gives(tool.NOTHING, 'rebuild', self.store, 'counts', '--if-changed', '--quiet')

    def many(self, streams, begin, end):
        """Events of many orders, so that their rows are past a merge's least."""
        made = [event('order-%d' % (i % streams), 'ItemAdded', {'qty': i % 9}) for i in range(begin, end)]
        self.import_lines(*made)

    def listed(self, name):
        listed = self.ok('generations', self.store, name, '--json').json['generations']
        return {g['number']: g for g in listed}

    def test_a_delta_that_grew_large_is_merged_and_the_new_base_takes_the_place(self):
        self.many(3000, 0, 3000)
        self.rebuild(self.lua('counts', COUNTS))
        self.many(3000, 0, 900)
        self.ok('follow', self.store, '--once')
        self.assertEqual(list(self.listed('counts')), [1], 'a delta of 900 rows stays one')
        self.many(3000, 900, 1200)
        out = self.ok('follow', self.store, '--once')
        self.assertIn('generation 1 were merged: generation 2 has its place', out.err.decode())
        self.assertEqual([(n, g['live']) for n, g in self.listed('counts').items()], [(2, True)])
        self.check('counts')

    def test_a_merge_leaves_history_readers_and_pins_as_they_are(self):
        self.many(3000, 0, 3000)
        self.rebuild(self.lua('counts', COUNTS))
        self.rebuild(self.lua('counts', COUNTS.replace('(1)', '(2)')))
        self.ok('pin', self.store, 'counts')
        manifest = os.path.join(self.store, 'generations', 'counts', '000002', 'MANIFEST')
        with open(manifest) as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)  # as a reader holds it
            self.many(3000, 0, 2000)
            self.ok('follow', self.store, 'counts', '--once', '--quiet')
            listed = self.listed('counts')
            self.assertEqual(sorted(listed), [2, 3, 4], 'the version that is kept was merged too')
            live = listed[2]['replaced_by']
            kept = 7 - live
            self.assertEqual([n for n in listed if listed[n]['live']], [live])
            self.assertEqual([n for n in listed if listed[n]['colour']], [kept])
            self.assertEqual([n for n in listed if listed[n]['pinned']], [live])
            self.refuses(
                tool.FAILED, ['generation %d has the place of 2' % live],
                'swap', self.store, 'counts', '--generation', '2',
            )  # fmt: skip
            self.assertIn('replaced by %d' % live, self.ok('generations', self.store).out.decode())
        self.ok('gc', self.store, '--keep', '5')
        self.assertEqual(sorted(self.listed('counts')), [3, 4])
        self.ok('rollback', self.store, 'counts')
        self.assertEqual([n for n, g in self.listed('counts').items() if g['live']], [kept])
        self.ok('swap', self.store, 'counts', '--generation', live)
        self.assertEqual([n for n, g in self.listed('counts').items() if g['live']], [live])
        self.ok('verify', self.store, '--serial')

    def test_a_merge_waits_while_a_rebuild_has_the_lock(self):
        self.many(3000, 0, 3000)
        self.rebuild(self.lua('counts', COUNTS))
        with open(os.path.join(self.store, 'LOCK')) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.many(3000, 0, 2000)
            self.ok('follow', self.store, '--once')
            self.assertEqual(list(self.listed('counts')), [1])
            self.assertEqual(self.status('counts')['lag'], 0)
        self.ok('follow', self.store, '--once')
        self.assertEqual(list(self.listed('counts')), [2])

    def test_a_rebuild_that_meets_a_merge_waits_for_its_end(self):
        self.many(300, 0, 300)
        counts = self.lua('counts', COUNTS)
        self.rebuild(counts)
        with open(os.path.join(self.store, 'LOCK')) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refuses(tool.LOCKED, ['lock'], 'rebuild', self.store, counts, '--full')
            with open(os.path.join(self.store, 'live', 'MERGE'), 'w') as merge:
                fcntl.flock(merge, fcntl.LOCK_EX)
                waits = [
                    subprocess.Popen([tool.refold, *command], stdout=subprocess.DEVNULL, start_new_session=True)
                    for command in (
                        ('rebuild', self.store, counts, '--full', '--quiet'),
                        ('gc', self.store, '--keep', '1'),
                    )
                ]
                self.processes += waits
                time.sleep(0.5)
                self.assertEqual([process.poll() for process in waits], [None, None])
        self.assertEqual([tool.wait_for(process, 20) for process in waits], [0, 0])
        self.assertEqual([n for n, g in self.listed('counts').items() if g['live']], [2])

    def test_a_swap_and_a_rollback_are_followed_with_their_own_definitions(self):
        self.rebuild(self.lua('owners', OWNERS % (1, 1)))
        follower = self.start()
        self.send(50)
        second = self.lua('owners', OWNERS % (2, 10))
        built = self.rebuild(second)[0]
        self.assertGreaterEqual(built['position'], self.status('owners')['position'] - 50)
        self.send(50)
        self.ok('wait', self.store, '--timeout', '20')
        self.check('owners')
        self.ok('rollback', self.store, 'owners')
        self.ok('wait', self.store, '--timeout', '20')
        self.send(50)
        self.ok('wait', self.store, '--timeout', '20')
        self.assertEqual(self.status('owners')['version'], 1)
        self.check('owners')
        os.killpg(follower.pid, signal.SIGTERM)
        self.assertEqual(tool.wait_for(follower, 10), tool.TERMINATED)
        self.assertIn(b'is live now', follower.stderr.read())

    def test_one_that_fails_is_suspended_where_it_is_and_the_others_go_on(self):
        self.rebuild(self.lua('counts', COUNTS), self.lua('strict', STRICT))
        self.start()
        self.send(10)
        self.import_lines(event('order-1', 'ItemAdded', {'qty': 500, 'price': 5}))
        bad = self.position()
        self.send(10)
        self.ok('wait', self.store, 'counts', '--timeout', '20')
        self.refuses(tool.REFUSED, ['suspended', 'too many'], 'wait', self.store, '--timeout', '20')
        strict = self.status('strict')
        self.assertEqual(
            (strict['position'], strict['suspended_at']), (bad - 1, bad), strict['suspended']
        )
        self.assertIsNone(self.status('counts')['suspended'])
        self.assertIn('too many', self.ok('status', self.store).out.decode())
        self.ok('resume', self.store, 'strict')
        self.refuses(tool.REFUSED, ['suspended'], 'wait', self.store, 'strict', '--timeout', '20')
        self.assertEqual(self.status('strict')['suspended_at'], bad, 'the event still fails')
        self.ok('skip', self.store, 'strict', bad, '--reason', 'a typo')
        self.ok('resume', self.store, 'strict')
        self.ok('wait', self.store, '--timeout', '20')
        self.assertEqual(self.status('strict')['lag'], 0)
        self.check('counts', 'strict')

    def test_it_stands_in_front_of_the_first_event_that_fails_whichever_a_fold_meets_first(self):
        """A value of a wrong kind is met before any handler is called."""
        strict = STRICT.replace('columns', 'expect ("n < 60") columns')
        self.rebuild(self.path('strict.lua', strict), options=('--max-removed', '100%'))
        bad = {'breaks': 99, 'fails': 500, 'is of a wrong kind': 'many'}
        for order in (('breaks', 'fails', 'is of a wrong kind'), ('fails', 'breaks', 'is of a wrong kind')):
            first = self.info()['position'] + 3
            made = [event('fresh-%d' % (first + i), 'ItemAdded', {'qty': 1}) for i in range(14)]
            for i, what in zip((2, 5, 11), order):
                made[i] = event('bad-%d' % (first + i), 'ItemAdded', {'qty': bad[what]})
            self.import_lines(*made)
            for position in (first, first + 3, first + 9):
                self.ok('resume', self.store, 'strict')
                self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
                status = self.ok('status', self.store, '--json').json['models'][0]
                self.assertEqual(
                    (status['suspended_at'], status['position']), (position, position - 1), order
                )
                self.ok('skip', self.store, 'strict', str(position), '--reason', 'bad')
            self.ok('resume', self.store, 'strict')
            self.ok('follow', self.store, '--once', '--quiet')
        self.ok('verify', self.store, '--serial')

    def test_a_row_that_is_too_long_for_an_index_suspends_it_in_front_of_the_event(self):
        noted = (
            'name "%s" version (1) columns { "note text" } index "note"\n'
            'on ("Noted", { "note text" }, function (row, e) row.note = e.note end)\n'
        )
        text = {'stop': 'noted', 'skip': 'noted_skip', 'quarantine': 'noted_quarantine'}
        notes = [event('o-%d' % (i % 9), 'Noted', {'note': 'n%d' % i}) for i in range(120)]
        self.import_lines(*notes[:60])
        for policy, name in text.items():
            self.rebuild(self.lua(name, noted % name), options=('--on-error', policy))
        first = self.position()
        notes[97] = event('o-long', 'Noted', {'note': 'x' * 480})
        self.import_lines(*notes[60:])
        result = self.gives(tool.REFUSED, 'follow', self.store, '--once', '--quiet')
        self.assertIn('noted is suspended', result.message)
        for name in text.values():
            model = self.status(name)
            bad = first + 38
            self.assertEqual((model['position'], model['suspended_at']), (bad - 1, bad))
            for word in ('the row of o-long ', 'the index of note', '480 bytes at most', 'stay as they were',
                         'position %d' % bad, 'stream o-long', 'type Noted'):
                self.assertIn(word, model['suspended'])
            # a rebuild up to there names the row and the index too, whatever its policy
            self.refuses(tool.FAILED, ['the row of o-long ', 'the index of note'],
                         'rebuild', self.store, name, '--full', '--no-swap', '--until', bad, '--quiet')
            self.ok('skip', self.store, name, bad, '--reason', 'a novel')
            self.ok('resume', self.store, name)
        self.ok('follow', self.store, '--once', '--quiet')
        self.check(*text.values())

    def apply(self, code, *events, options=()):
        return self.gives(
            code, 'import', self.store, '-', '--apply', *options, stdin=tool.lines(*events)
        )

    def test_apply_tells_what_was_added_and_which_read_model_cannot_have_it(self):
        bad = event('order-1', 'ItemAdded', {'qty': 500, 'price': 5})
        self.rebuild(self.lua('counts', COUNTS), self.lua('strict', STRICT))
        result = self.apply(tool.REFUSED, bad)
        at = self.position()
        self.assertIn(b'1 event added', result.out)
        self.assertEqual(result.message.count('\n'), 1)
        for word in ('strict is suspended', 'too many', 'position %d' % at, 'stream order-1',
                     'the others are at position %d' % at):
            self.assertIn(word, result.message)
        # until it is resumed each call says so, and the others have the events
        result = self.apply(tool.REFUSED, *self.events(3), options=('--json',))
        self.assertEqual(result.json['added'], 3)
        self.assertEqual(result.json['position'], at + 3)
        self.assertIn('too many', result.message)
        self.assertEqual(self.status('counts')['lag'], 0)
        self.assertEqual(self.status('strict')['position'], at - 1)
        self.ok('skip', self.store, 'strict', at, '--reason', 'a typo')
        self.ok('resume', self.store, 'strict')
        self.apply(tool.DONE, *self.events(1))
        self.assertEqual(self.status('strict')['lag'], 0)
        self.check('counts', 'strict')

    def test_apply_is_done_where_a_policy_leaves_the_event_out(self):
        for policy in 'skip', 'quarantine':
            strict = self.lua(policy, STRICT.replace('strict', policy))
            self.rebuild(strict, options=('--on-error', policy))
        self.apply(tool.DONE, event('order-1', 'ItemAdded', {'qty': 500, 'price': 5}))
        self.apply(tool.DONE, event('order-1', 'ItemAdded', {'qty': 1, 'price': 5}))
        for policy in 'skip', 'quarantine':
            self.assertEqual((self.status(policy)['lag'], self.status(policy)['left_out']), (0, 1))
        self.ok('verify', self.store, '--serial')

    def test_a_wait_that_takes_too_long_is_exit_75(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.send(1)
        words = ['counts is at position %d, not at %d' % (self.position() - 1, self.position())]
        self.refuses(tool.UNREACHABLE, words, 'wait', self.store, '--timeout', '0.1')
        self.refuses(tool.FAILED, ['nobody'], 'wait', self.store, 'nobody')

    def test_one_run_follows_a_read_model(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.start()
        self.until_followed()
        self.refuses(tool.LOCKED, ['follow'], 'follow', self.store, 'counts', '--once')
        self.refuses(tool.FAILED, ['nobody'], 'follow', self.store, 'nobody')

    def test_what_a_killed_follower_left_is_done_by_who_waited_for_it(self):
        self.rebuild(self.lua('counts', COUNTS))
        follower = self.start()
        self.until_followed()
        os.killpg(follower.pid, signal.SIGSTOP)
        before = self.position()
        events = self.path('more.jsonl', tool.lines(*self.events(10)))
        waiting = subprocess.Popen(
            [tool.refold, 'import', self.store, events, '--apply', '--quiet'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(waiting)
        while self.position() == before:
            time.sleep(0.01)
        time.sleep(0.1)
        self.assertIsNone(waiting.poll(), 'the events are not applied')
        os.killpg(follower.pid, signal.SIGKILL)
        self.assertEqual(tool.wait_for(waiting, 20), tool.DONE)
        self.assertEqual(self.status('counts')['lag'], 0)
        self.check('counts')

    def test_what_another_run_lets_go_of_is_followed(self):
        self.rebuild(self.lua('counts', COUNTS))
        self.rebuild(self.lua('owners', OWNERS % (1, 1)), options=('--no-swap',))
        self.start()
        self.until_followed()
        with open(os.path.join(self.store, 'generations', 'owners', 'FOLLOW'), 'a+') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.ok('swap', self.store, 'owners')
            self.send(10)
            self.ok('wait', self.store, 'counts', '--timeout', '20')
            self.assertGreater(self.status('owners')['lag'], 0)
        self.ok('wait', self.store, '--timeout', '20')
        self.check('counts', 'owners')

    def test_every_event_counts_once_whatever_is_killed(self):
        self.rebuild(self.lua('counts', COUNTS), self.lua('owners', OWNERS % (1, 1)))
        for _ in range(15):
            follower = self.start()
            for _ in range(self.random.randrange(4)):
                self.send(10)
            time.sleep(self.random.random() * 0.15)
            os.killpg(follower.pid, signal.SIGKILL)
            follower.wait()
            self.assertEqual(self.status('counts')['position'], self.status('owners')['position'])
        self.ok('follow', self.store, '--once')
        self.check('counts', 'owners')


tool.main(__name__)
