"""Fields wherever they stand: in a column or beyond its caps, a fold reads the same values.

The log keeps columns for most fields; objects with many names (maps keyed by ids), types with more
fields than a segment has columns, and deep nesting get none, and are read from the payload. A
small plugin sums one field, and each sum is compared with one made here from the same events.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import serial_fold
import tool
from tool import event


def value_at(made, path):
    """The value that a path names: of metadata, or of data with its members split at dots."""
    value = made
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


class Columns(tool.Case):
    def sums(self, log, path):
        expected = {}
        for made in log:
            count, total = expected.get(made['stream'], (0, 0))
            expected[made['stream']] = count + 1, total + (value_at(made, path) or 0)
        return serial_fold.print_rows(
            {key: {'count': count, 'sum': total} for key, (count, total) in expected.items()}
        )

    def check(self, log, fields):
        """`fields`: what a plugin names, and the same as members of the event."""
        lines = [
            event(
                **{name: value for name, value in made.items() if name != 'data'}, data=made['data']
            )
            for made in log
        ]
        self.import_lines(*lines[: len(lines) // 3])
        self.import_lines(*lines[len(lines) // 3 :])
        plugins = []
        for i, (field, _) in enumerate(fields):
            escaped = field.replace('"', '\\"')
            plugins.append(
                self.plugin('p%d.so' % i, NAME='p%d' % i, TYPE='T', FIELD=escaped, OPTIONAL=1)
            )
        for workers in (0, 2):
            self.rebuild(*plugins, options=('--workers', workers))
            for i, (field, path) in enumerate(fields):
                self.assertEqual(self.rows('p%d' % i), self.sums(log, path), field)
        self.verifies()

    def make(self, count, data):
        r = random.Random(count)
        return [
            {'stream': 's-%d' % r.randrange(40), 'type': 'T', 'data': data(r, i)}
            for i in range(count)
        ]

    def test_an_object_keyed_by_ids(self):
        log = self.make(
            900,
            lambda r, i: {
                'a': i,
                'm': {'k%d' % r.randrange(300): r.randrange(99) for _ in '1234567'},
            },
        )
        self.check(
            log,
            [('m.k%d' % i, ('data', 'm', 'k%d' % i)) for i in (0, 7, 299)] + [('a', ('data', 'a'))],
        )

    def test_more_fields_than_columns(self):
        log = self.make(60, lambda r, _: {'f%d' % i: r.randrange(1 << 40) for i in range(400)})
        self.check(log, [('f%d' % i, ('data', 'f%d' % i)) for i in (0, 63, 64, 255, 256, 399)])

    def test_deep_nesting(self):
        def nest(r, _):
            value = {}
            for depth in range(14, 0, -1):
                value = {'d': value, 'n': r.randrange(1000)}
            return value

        depths = (0, 3, 6, 7, 8, 9, 13)
        self.check(
            self.make(200, nest),
            [('d.' * d + 'n', ('data',) + ('d',) * d + ('n',)) for d in depths],
        )

    def test_fields_that_come_and_go_or_are_null(self):
        choices = ({}, {'n': None}, {'n': 5}, {'n': -(1 << 52)}, {'n': (1 << 52) - 1}, {'n': 0})
        log = self.make(500, lambda r, i: dict(choices[i % 3 if i > 60 else r.randrange(6)], x=i))
        self.check(log, [('n', ('data', 'n')), ('x', ('data', 'x')), ('never', ('data', 'never'))])

    def test_metadata_and_quoted_names(self):
        log = self.make(
            300, lambda r, i: {'a.b': i, 'c d': {'e.f': 2 * i}, 'a': {'b': 3 * i}, 'Ж': i}
        )
        for i, made in enumerate(log):
            if i % 3:
                made['metadata'] = {'n': i, 'who': {'id': i * i}}
        self.check(
            log,
            [
                ('metadata.n', ('metadata', 'n')),
                ('metadata.who.id', ('metadata', 'who', 'id')),
                ('"a.b"', ('data', 'a.b')),
                ('"c d"."e.f"', ('data', 'c d', 'e.f')),
                ('a.b', ('data', 'a', 'b')),
                ('Ж', ('data', 'Ж')),
            ],
        )

    def test_extreme_integers(self):
        values = (
            0,
            1,
            -1,
            (1 << 62) - 1,
            -(1 << 62),
            255,
            256,
            65535,
            1 << 31,
            1 << 53,
            (1 << 53) + 1,
        )
        for span in (1, 2, 3, len(values)):
            self.store = os.path.join(self.folder, 'span%d.refold' % span)
            log = [
                {'stream': 's-%d' % i, 'type': 'T', 'data': {'n': values[i % span]}}
                for i in range(400)
            ]
            self.check(log, [('n', ('data', 'n'))])


tool.main(__name__)
