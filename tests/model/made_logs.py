"""Made logs: random, from a seed, of events for all four projections, with what real logs seldom
have.

Names with quotes, backslashes, blanks, Cyrillic, CJK and surrogate pairs; times with offsets, in
milliseconds, with nanoseconds or none; types that no projection handles; decimals as strings and
as numbers; rows that are deleted and come back. The order of a log may be shuffled in ways that
keep the order of each stream.
"""

import json
import random

NAMES = (
    'a',
    'README',
    'src/a b.c',
    "it's",
    'q"q',
    'back\\slash',
    'dot.dot',
    'Юлия',
    '注文',
    '😀',
    'tab\tkey',
    'brace{}',
    '[x]',
    'ctl\x01',
    'del\x7f',
    'é',
    'e\u0301',
    'long' * 40,
)
TEXTS = (
    '',
    'c-1',
    'Anna "the" Müller',
    'back\\slash',
    'новый',
    'line\nbreak',
    '\u2028',
    '😀',
    'nul-free \x01',
)
EMPTY_BLOB = 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'


class Maker:
    """Makes the events of one stream after another state of its own; `r` is the only source of
    chance.
    """

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.versions, self.files = {}, {}
        self.clock = 1700000000000

    def time(self):
        self.clock += self.r.randrange(-500, 3000)
        second, ms = divmod(self.clock, 1000)
        kind = self.r.randrange(6)
        if kind == 0:
            return {}
        if kind == 1:
            return {'time': self.clock}
        minute, second = divmod(second % 86400, 60)
        text = '2023-11-%02dT%02d:%02d:%02d' % (
            self.r.randrange(1, 31),
            minute // 60,
            minute % 60,
            second,
        )
        fraction = self.r.choice(('', '.%03d' % ms, '.%03d456789' % ms, '.5'))
        return {
            'time': text + fraction + self.r.choice(('Z', '+00:00', '+02:00', '-11:30', '+05:45'))
        }

    def file(self, stream):
        blob = '%040x' % self.r.getrandbits(160) if self.r.randrange(9) else EMPTY_BLOB
        old = self.files.get(stream)
        data = {'mode': self.r.choice(('100644', '100755', '120000'))}
        if old is None:
            type = 'FileAdded'
        else:
            type = self.r.choice(
                ('FileModified',) * 4 + ('FileModeChanged', 'FileTypeChanged', 'FileDeleted')
            )
            data['old'] = old
        if type == 'FileDeleted':
            self.files[stream] = None
            return type, {'old': old, 'added': 0, 'deleted': self.r.randrange(9)}
        if type == 'FileModeChanged' or (old and not self.r.randrange(9)):
            blob = old
        data['blob'] = self.files[stream] = blob
        if self.r.randrange(6):
            data.update(added=self.r.randrange(500), deleted=self.r.randrange(100))
        else:
            data['binary'] = True
        return type, data

    def account(self):
        type = self.r.choice(
            (
                'CashDeposited',
                'TransferReceived',
                'InterestCredited',
                'CashWithdrawn',
                'CardWithdrawn',
                'TransferSent',
            )
        )
        values = []
        for low in (0, -(10**9)):
            cents = self.r.randrange(low, 10 ** self.r.randrange(1, 12))
            text = '%s%d.%02d' % ('-' if cents < 0 else '', abs(cents) // 100, abs(cents) % 100)
            values.append(text + self.r.choice(('', '', '0', '000')))
        return type, {'amount': values[0], 'balance': values[1], 'k_symbol': self.r.choice(TEXTS)}

    def order(self):
        type = self.r.choice(
            (
                'OrderPlaced',
                'ItemAdded',
                'ItemAdded',
                'ItemRemoved',
                'OrderPaid',
                'OrderCancelled',
                'OrderShipped',
                'OrderNoted',
            )
        )
        if type == 'OrderPlaced':
            return type, {'customer': self.r.choice(TEXTS), 'currency': 'EUR'}
        if type in ('ItemAdded', 'ItemRemoved'):
            return type, {
                'sku': self.r.choice(TEXTS),
                'qty': self.r.randrange(-3, 1 << self.r.randrange(1, 31)),
                'price': self.r.randrange(1 << self.r.randrange(1, 24)),
            }
        return type, {'note': self.r.choice(TEXTS), 'more': [1, {'deep': [None, True, 1.5e300]}]}

    def event(self, stream):
        family = len(stream.encode('utf-8')) % 3
        type, data = (self.file(stream), self.account(), self.order())[family]
        made = {'stream': stream, 'type': type, 'data': data, **self.time()}
        version = self.versions.get(stream, 1)
        self.versions[stream] = version + 1
        if self.r.randrange(3):
            made['version'] = version
        if not self.r.randrange(4):
            made['metadata'] = {'user': self.r.choice(TEXTS)}
        return made


def make(seed, events, streams):
    """A log as dictionaries. Streams begin at version 1; some events leave their version out."""
    maker = Maker(seed)
    names = [maker.r.choice(NAMES) + '-%d' % i for i in range(streams)]
    return [maker.event(maker.r.choice(names)) for _ in range(events)]


def to_lines(log, seed=0):
    """Bytes of a log; members stand in random order, some text is escaped beyond need."""
    r, out = random.Random(seed), []
    for event in log:
        members = list(event.items())
        r.shuffle(members)
        out.append(json.dumps(dict(members), ensure_ascii=r.random() < 0.3))
    return ''.join(line + '\n' for line in out).encode('utf-8')


def shuffle(items, stream_of, seed):
    """Another interleaving of the same streams: each keeps its order."""
    r, queues = random.Random(seed), {}
    for item in items:
        queues.setdefault(stream_of(item), []).append(item)
    order = [name for name, queue in queues.items() for _ in queue]
    r.shuffle(order)
    heads = {name: iter(queue) for name, queue in queues.items()}
    return [next(heads[name]) for name in order]
