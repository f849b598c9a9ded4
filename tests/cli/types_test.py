"""types: the data dictionary equals one that is made from the events with other code, for any number of
workers, schemas, kinds and imports.
"""

import datetime
import decimal
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


def random_value(pick, kind):
    return {
        'int': lambda: pick.randrange(-(10**6), 10**6),
        'number': lambda: float('%.3f' % pick.uniform(-50, 50)),
        'bool': lambda: pick.random() < 0.5,
        'few': lambda: pick.choice(('red', 'green', 'blue', 'a longer colour ' * 6)),
        'many': lambda: 'text %d' % pick.randrange(10**9),
        'time': lambda: '2024-%02d-%02dT%02d:00:00Z'
        % (pick.randrange(1, 13), pick.randrange(1, 28), pick.randrange(24)),
        'date': lambda: '19%02d-%02d-01' % (pick.randrange(100), pick.randrange(1, 13)),
        'null': lambda: None,
        'array': lambda: [1],
    }[kind]()


def random_events(seed, count):
    pick = random.Random(seed)
    fields = {
        ('A', 1): {'n': ['int'], 'sub.x': ['number', 'int'], 'colour': ['few']},
        ('A', 2): {'n': ['int', 'many'], 'when': ['time'], 'colour': ['few', 'null']},
        ('B', 1): {'on': ['date'], 'ok': ['bool'], 'id': ['many'], 'list': ['array', 'int']},
        ('C', 3): {'mixed': ['time', 'date'], 'w': ['time', 'many'], 'n': ['int', 'null']},
    }
    for _ in range(count):
        type, schema = pick.choice(sorted(fields))
        data = {}
        for path, kinds in fields[type, schema].items():
            if pick.random() < 0.2:
                continue
            value = random_value(pick, pick.choice(kinds))
            if path == 'sub.x':
                data.setdefault('sub', {})['x'] = value
            else:
                data[path] = value
        yield 'stream-%d' % pick.randrange(400), type, schema, data


def flat(data):
    for name, value in data.items():
        yield name, value
        if isinstance(value, dict):
            for inner, deep in flat(value):
                yield name + '.' + inner, deep


def as_time(text):
    try:
        return datetime.datetime.strptime(text, '%Y-%m-%dT%H:%M:%SZ')
    except ValueError:
        return None


def as_date(text):
    try:
        return datetime.datetime.strptime(text, '%Y-%m-%d')
    except ValueError:
        return None


def cut(text):
    return {'text': text[:60], 'cut': len(text) > 60}


def describe(values):
    """What a field's entry must say of its values: (position, value) in position order."""
    numbers = [v for _, v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    texts = [v for _, v in values if isinstance(v, str)]
    entry = {'values': None, 'smallest': None, 'largest': None}
    if numbers:
        ordered = sorted(decimal.Decimal(repr(n)) for n in numbers)
        entry['values'] = 'number'
        entry['smallest'], entry['largest'] = (
            '{:f}'.format(n.normalize()) for n in (ordered[0], ordered[-1])
        )
    elif texts and all(as_time(t) for t in texts):
        entry = {'values': 'time', 'smallest': min(texts), 'largest': max(texts)}
    elif texts and all(as_date(t) for t in texts):
        entry = {'values': 'date', 'smallest': min(texts), 'largest': max(texts)}
    examples = []
    for position, value in values:
        if isinstance(value, str) and all(e['text'] != value[:60] for e in examples):
            examples.append({**cut(value), 'position': position})
    entry['examples'] = examples[:3]
    return entry


def dictionary(events):
    found = {}
    for position, (stream, type, schema, data) in enumerate(events, 1):
        entry = found.setdefault((type, schema), {'events': 0, 'streams': set(), 'fields': {}})
        entry['events'] += 1
        entry['streams'].add(stream)
        for path, value in flat(data):
            entry['fields'].setdefault(path, []).append((position, value))
    return found


class Types(tool.Case):
    def types(self, *options):
        return self.ok('types', self.store, '--json', *options).json['types']

    def check(self, events):
        wanted = dictionary(events)
        report = self.types('--workers', '0')
        self.assertEqual(sorted((e['type'], e['schema']) for e in report), sorted(wanted))
        for entry in report:
            want = wanted[entry['type'], entry['schema']]
            self.assertEqual(
                (entry['events'], entry['streams']), (want['events'], len(want['streams']))
            )
            self.assertEqual({f['path'] for f in entry['fields']}, set(want['fields']))
            for field in entry['fields']:
                values = want['fields'][field['path']]
                there = [v for _, v in values if v is not None]
                self.assertEqual(field['present'], len(there))
                self.assertAlmostEqual(field['share'], len(there) / want['events'], 5)
                self.assertFalse(field['partial'])
                self.assertEqual(
                    {k: field[k] for k in ('values', 'smallest', 'largest', 'examples')},
                    describe(values),
                    (entry['type'], entry['schema'], field['path']),
                )
        for workers in (1, 2, 8):
            self.assertEqual(self.types('--workers', workers), report)

    def add(self, events):
        self.import_lines(*(event(s, t, d, schema=v) for s, t, v, d in events))

    def test_equals_one_made_with_other_code(self):
        events = list(random_events(1, 12000))
        self.add(events)
        self.check(events)

    def test_does_not_depend_on_how_the_events_came(self):
        events = list(random_events(2, 3000))
        for begin in range(0, 3000, 500):
            self.add(events[begin : begin + 500])
        self.check(events)

    def test_counts_are_told_without_reading_events(self):
        self.add(random_events(3, 200))
        full, counts = self.types(), self.types('--counts')
        for entry, less in zip(full, counts):
            self.assertNotIn('streams', less)
            for field, few in zip(entry['fields'], less['fields']):
                self.assertEqual({**field, **few}, field)
                self.assertNotIn('smallest', few)

    def test_text_shows_what_matters(self):
        self.add(
            [
                ('s-1', 'T', 1, {'n': 5, 'who': 'ann', 'at': '2024-07-10T12:00:00Z'}),
                ('s-2', 'T', 1, {'n': 7.25, 'who': 'x' * 99}),
                ('s-2', 'T', 2, {}),
            ]
        )
        text = self.ok('types', self.store).out.decode()
        self.assertIn('T: 2 events in 2 streams, positions 1 to 2', text)
        self.assertIn('T schema 2: 1 event in 1 stream', text)
        for words in ('5 to 7.25', '"ann"', 'x..."', '50%', '100%', 'int 1, number 1'):
            self.assertIn(words, text)
        self.assertIn('2024-07-10T12:00:00Z to 2024-07-10T12:00:00Z', text)

    def test_strange_paths_and_values(self):
        events = [
            ('s', 'T', 1, {'a.b': 1, 'a': {'b': 2}, '': 'x', 'q"\\': 'y\u0001', 'é': 'ü' * 70}),
            ('s', 'T', 1, {'big': 1e30, 'deep': {'e': {'f': 'g'}}}),
        ]
        self.add(events)
        fields = {f['path']: f for f in self.types()[0]['fields']}
        self.assertEqual((fields['a.b']['smallest'], fields['"a.b"']['smallest']), ('2', '1'))
        self.assertEqual(fields['é']['examples'][0], {'text': 'ü' * 30, 'cut': True, 'position': 1})
        self.assertEqual(fields['deep.e.f']['examples'][0]['text'], 'g')
        self.assertEqual(float(fields['big']['largest']), 1e30)
        self.ok('types', self.store)

    def test_values_without_column_are_said_to_be_missing(self):
        names = ['n%03d' % i for i in range(400)]
        self.add(
            [('s-%d' % i, 'T', 1, {'keys': {n: i}, 'x': i}) for i, n in enumerate(names)]
            + [('s', 'T', 1, {'p%02d' % p: {'q%02d' % q: 1 for q in range(60)} for p in range(10)})]
        )
        entry = self.types()[0]
        self.assertTrue(entry['capped'])
        fields = {f['path']: f for f in entry['fields']}
        self.assertEqual((fields['x']['smallest'], fields['x']['largest']), ('0', '399'))

    def test_metadata_has_values_too(self):
        self.import_lines(event('s', 'T', {}, metadata={'user': 'u-1', 'n': 3}))
        fields = {f['path']: f for f in self.types()[0]['fields']}
        self.assertEqual(fields['metadata.user']['examples'][0]['text'], 'u-1')
        self.assertEqual(fields['metadata.n']['largest'], '3')

    def test_a_backslash_of_a_value_is_not_taken_for_an_escape(self):
        self.import_lines(event('s', 'T', {'x': 'a\tb \\x09 "q"'}))
        text = self.ok('types', self.store).out.decode()
        self.assertIn(r'"a\x09b \\x09 \"q\""', text)

    def test_an_empty_log_has_no_types(self):
        self.ok('import', self.store, '-', '--quiet', stdin=b'')
        self.assertEqual(self.types(), [])
        self.assertEqual(self.ok('types', self.store).out, b'')


tool.main(__name__)
