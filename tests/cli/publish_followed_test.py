"""export of read models that are followed: they move on between two exports, and only what differs is sent."""

import json
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from published import Published
from tool import event


class Followed(Published):
    def setUp(self):
        super().setUp()
        self.import_lines(*(event('s-%d' % i, 'Put', {'id': i, 'n': 0, 's': 'x'}) for i in range(2000)))
        self.definition = self.lua(1, '"n int", "s text"', 'row.n, row.s = e.n, e.s')
        self.rebuild(self.definition)
        self.export('kinds')

    def apply(self, *events):
        self.import_lines(*events, options=('--apply',))

    def scanned(self):
        return {r['key']: r for r in map(json.loads, self.rows('kinds').splitlines())}

    def publishes(self, before, way='changed', **how):
        """Exports, and demands that what was sent is the difference of `before` and now, and nothing else."""
        now = self.scanned()
        sent = self.export('kinds', **how)[0]
        upserted = sum(1 for k, r in now.items() if before.get(k) != r)
        deleted = sum(1 for k in before if k not in now)
        self.assertEqual((sent['way'], sent['upserted'], sent['deleted']), (way, upserted, deleted))
        self.assert_rows(now)
        return now

    def assert_rows(self, now):
        table = self.sql('SELECT json_agg(k ORDER BY key) FROM kinds k')
        self.assertEqual({r['key']: r for r in json.loads(table)}, now)
        live = self.ok('status', self.store, '--json').json['models'][0]
        generation, position, digest, rows = self.pointer('kinds')
        self.assertEqual((int(generation), int(position)), (live['generation'], live['position']))
        self.assertEqual(int(rows), len(now))
        self.assertIn(digest, self.ok('generations', self.store, 'kinds', '--json').out.decode())

    def test_only_rows_that_changed_since_are_sent(self):
        before = self.scanned()
        self.apply(
            event('s-7', 'Put', {'id': 7, 'n': 1, 's': 'new'}),
            event('s-8', 'Gone', {'id': 8}),
            event('s-9000', 'Put', {'id': 9000, 'n': 1, 's': 'new'}),
            event('s-9001', 'Put', {'id': 9001, 'n': 1, 's': 'new'}),
        )
        between = self.publishes(before)
        self.apply(
            event('s-9', 'Put', {'id': 9, 'n': 2, 's': 'y'}),
            # as the base has it, and as it never was there
            event('s-7', 'Put', {'id': 7, 'n': 0, 's': 'x'}),
            event('s-9000', 'Gone', {'id': 9000}),
            # written, and yet the same
            event('s-9001', 'Put', {'id': 9001, 'n': 1, 's': 'new'}),
            event('s-10', 'Put', {'id': 10, 'n': 0, 's': 'x'}),
        )
        after = self.publishes(between, options=('--changes',))
        self.assertEqual(sum(between.get(k) != after.get(k) for k in {**between, **after}), 3)
        self.apply(event('s-11', 'Put', {'id': 11, 'n': 0, 's': 'x'}))
        self.assertEqual(self.export('kinds')[0]['way'], 'same')
        self.assert_rows(after)

    def test_any_changes_between_any_publications(self):
        dice = random.Random(5)
        published = self.scanned()
        for step in range(14):
            events = []
            for _ in range(dice.choice((0, 1, 5, 40))):
                i = dice.choice((dice.randrange(60), dice.randrange(1990, 2030)))
                if dice.random() < 0.3:
                    events.append(event('s-%d' % i, 'Gone', {'id': i}))
                else:
                    events.append(event('s-%d' % i, 'Put', {'id': i, 'n': dice.randrange(2), 's': 'x'}))
            if step in (4, 9):  # folds only what is new, and takes the delta with it
                self.import_lines(event('s-%d' % step, 'Gone', {'id': step}), *events)
                self.assertTrue(self.rebuild('kinds')[0]['reused'])
            else:
                self.apply(*events)
            if dice.random() < 0.6:
                now = self.scanned()
                published = self.publishes(published, 'same' if now == published else 'changed')
        self.publishes(published, 'same' if self.scanned() == published else 'changed')

    def test_after_a_rebuild_of_all_and_without_the_old_generation(self):
        before = self.scanned()
        self.apply(event('s-7', 'Put', {'id': 7, 'n': 1, 's': 'new'}))
        before = self.publishes(before)
        self.apply(event('s-8', 'Gone', {'id': 8}))
        self.rebuild('kinds', options=('--full',))
        before = self.publishes(before)
        # the published one moved on, and is gone: nothing tells what its base was
        self.apply(event('s-9', 'Gone', {'id': 9}))
        self.export('kinds')
        self.apply(event('s-10', 'Gone', {'id': 10}))
        self.rebuild('kinds', options=('--full',))
        self.ok('gc', self.store, 'kinds', '--keep', '1')
        self.refuses(
            tool.REFUSED, ['without --changes', 'nothing was published'],
            'export', self.store, 'kinds', self.url, '--quiet', '--changes',
        )  # fmt: skip
        self.assertEqual(self.export('kinds')[0]['way'], 'copied')
        self.assert_rows(self.scanned())
        # its base is the one of what is live
        before = self.scanned()
        self.apply(event('s-11', 'Gone', {'id': 11}))
        before = self.publishes(before)
        self.import_lines(event('s-12', 'Gone', {'id': 12}))
        self.assertTrue(self.rebuild('kinds')[0]['reused'])
        self.ok('gc', self.store, 'kinds', '--keep', '1')
        self.publishes(before)

    def test_a_table_is_kept_current_too(self):
        before = self.scanned()
        self.export('kinds', options=('--as', 'table'))
        self.apply(event('s-7', 'Put', {'id': 7, 'n': 1, 's': 'new'}), event('s-8', 'Gone', {'id': 8}))
        before = self.publishes(before)
        self.apply(event('s-9', 'Gone', {'id': 9}))
        self.publishes(before)

    def test_a_note_that_does_not_hold_and_a_table_that_is_not_what_it_says(self):
        before = self.scanned()
        self.apply(event('s-7', 'Put', {'id': 7, 'n': 1, 's': 'new'}))
        before = self.publishes(before)
        for spoil in (
            "note = NULL",
            "note = ''",
            "note = '\\x00'",
            "note = set_byte(note, 12, 255 - get_byte(note, 12))",
            "note = substr(note, 1, length(note) - 1)",
        ):
            self.apply(event('s-7', 'Put', {'id': 7, 'n': 1, 's': spoil}))
            self.sql('UPDATE refold_published.models SET %s' % spoil)
            self.assertEqual(self.export('kinds')[0]['way'], 'copied', spoil)
            self.assert_rows(self.scanned())
        schema = self.sql('SELECT data_schema FROM refold_published.models')
        self.sql('DELETE FROM "%s".kinds WHERE key = 3' % schema)
        self.apply(event('s-4', 'Gone', {'id': 4}))
        self.assertEqual(self.export('kinds')[0]['way'], 'copied')
        self.assert_rows(self.scanned())
        # the next one knows what that one copied
        before = self.scanned()
        self.apply(event('s-5', 'Gone', {'id': 5}))
        self.publishes(before)

    def test_a_database_that_was_published_to_before_there_were_notes(self):
        self.apply(event('s-7', 'Put', {'id': 7, 'n': 1, 's': 'new'}))
        self.export('kinds')
        self.sql('ALTER TABLE refold_published.models DROP COLUMN note')
        self.apply(event('s-7', 'Put', {'id': 7, 'n': 2, 's': 'new'}))
        self.assertEqual(self.export('kinds')[0]['way'], 'copied')
        before = self.scanned()
        self.apply(event('s-8', 'Gone', {'id': 8}))
        self.publishes(before)

    def test_exports_while_events_are_applied_are_each_of_one_position(self):
        done = threading.Event()
        faults = []

        def send():
            try:
                for i in range(60):
                    self.apply(*(event('t-%d-%d' % (i, k), 'Put', {'id': 10000 + 10 * i + k, 'n': i}) for k in range(10)))
            except BaseException as fault:
                faults.append(fault)
            done.set()

        sender = threading.Thread(target=send)
        sender.start()
        ways = []
        while not done.is_set() or len(ways) < 2:
            full = ('--full',) if len(ways) % 4 == 0 else ()
            sent = self.export('kinds', options=full)[0]
            ways.append(sent['way'])
            # events come ten at a time, so each position has all of its ten
            count, position = self.sql(
                'SELECT (SELECT count(*) FROM kinds), (SELECT position FROM refold_published.models)'
            ).split('|')
            self.assertEqual(int(count), int(position))
            self.assertEqual(sent['rows'], int(count))
        sender.join()
        self.assertEqual(faults, [])
        self.assertLessEqual({w for i, w in enumerate(ways) if i % 4}, {'changed', 'same'})
        self.export('kinds')
        self.assert_rows(self.scanned())


tool.main(__name__)
