"""The naive serial fold: what the rows of the four projections must be, computed the slow and
obvious way.

Events are taken one by one, in the order of the log, into one dictionary of rows; nothing is
partitioned, decoded by column, or sorted before the end. It was written from the description of
the read models, not from their C code, and shares nothing with refold but the two formats that
stand in the documents: the event's and the row's.

    serial_fold.py PROJECTION < EVENTS.jsonl > ROWS.jsonl
"""

import datetime
import decimal
import json
import re
import sys

EMPTY_BLOB = 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
TIME = re.compile(
    r'(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))$'
)
MICROSECOND = datetime.timedelta(microseconds=1)


def time_us(value):
    """Microseconds since 1970 of an event's time: milliseconds, or RFC 3339 with offset, cut off
    at microseconds.
    """
    if value is None:
        return None
    if isinstance(value, int):
        return value * 1000
    year, month, day, hour, minute, second, fraction, _, sign, off_hour, off_minute = TIME.match(
        value
    ).groups()
    moment = datetime.datetime(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second),
        tzinfo=datetime.timezone.utc,
    )
    us = (moment - EPOCH) // MICROSECOND + int((fraction or '0')[:6].ljust(6, '0'))
    if sign:
        offset = (int(off_hour) * 60 + int(off_minute)) * 60 * 1000000
        us += -offset if sign == '+' else offset
    return us


def time_text(us):
    if us is None:
        return None
    return (EPOCH + us * MICROSECOND).strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def hundredths(value):
    """An exact count of 0.01 of a decimal that is a JSON string or number."""
    count = decimal.Decimal(str(value)) * 100
    if count != count.to_integral_value():
        raise ValueError('%s has more than two decimals' % value)
    return int(count)


def hundredths_text(count):
    return '%s%d.%02d' % ('-' if count < 0 else '', abs(count) // 100, abs(count) % 100)


class FileTree:
    """Path -> mode, blob, lines. Lines are unknown from the first binary change to the next
    FileAdded.
    """

    def fold(self, row, event):
        data, type = event['data'], event['type']
        if type == 'FileDeleted':
            return None
        if type not in ('FileAdded', 'FileModified', 'FileModeChanged', 'FileTypeChanged'):
            return row
        if row is None or type == 'FileAdded':
            row = {'mode': None, 'blob': None, 'lines': 0, 'binary': False}
        row['mode'], row['blob'] = data['mode'], data['blob']
        if type != 'FileAdded' and data.get('old') == data['blob']:
            return row
        if data.get('binary'):
            row['binary'] = not (type == 'FileAdded' and data['blob'] == EMPTY_BLOB)
        if row['binary']:
            row['lines'] = 0
        else:
            row['lines'] += data.get('added', 0) - data.get('deleted', 0)
        return row

    def show(self, row):
        return row


class AccountActivity:
    CREDITS = ('CashDeposited', 'TransferReceived', 'InterestCredited')
    DEBITS = ('CashWithdrawn', 'CardWithdrawn', 'TransferSent')

    def fold(self, row, event):
        if event['type'] not in self.CREDITS + self.DEBITS:
            return row
        amount, balance = hundredths(event['data']['amount']), hundredths(event['data']['balance'])
        time = time_us(event.get('time'))
        if row is None:
            row = {
                'transactions': 0,
                'credited': 0,
                'debited': 0,
                'balance': 0,
                'lowest': balance,
                'highest': balance,
                'first_at': time,
                'last_at': None,
            }
        row['transactions'] += 1
        row['credited' if event['type'] in self.CREDITS else 'debited'] += amount
        row['balance'] = balance
        row['lowest'], row['highest'] = min(row['lowest'], balance), max(row['highest'], balance)
        row['last_at'] = time
        return row

    def show(self, row):
        money = ('credited', 'debited', 'balance', 'lowest', 'highest')
        return {
            name: (
                hundredths_text(value)
                if name in money
                else time_text(value) if name.endswith('_at') else value
            )
            for name, value in row.items()
        }


class CaseSummary:
    def fold(self, row, event):
        time = time_us(event.get('time'))
        if row is None:
            row = {
                'events': 0,
                'first': event['type'],
                'last': None,
                'started_at': time,
                'ended_at': None,
            }
        row['events'] += 1
        row['last'], row['ended_at'] = event['type'], time
        return row

    def show(self, row):
        return {
            name: time_text(value) if name.endswith('_at') else value for name, value in row.items()
        }


class OrderSummary:
    TYPES = (
        'OrderPlaced',
        'ItemAdded',
        'ItemRemoved',
        'OrderPaid',
        'OrderCancelled',
        'OrderShipped',
    )

    def fold(self, row, event):
        data, type, time = event['data'], event['type'], time_us(event.get('time'))
        if type not in self.TYPES:
            return row
        if row is None:
            row = {
                'customer': None,
                'status': None,
                'items': 0,
                'total': 0,
                'placed_at': time,
                'last_at': None,
                'events': 0,
            }
        if type == 'OrderPlaced':
            row['customer'] = data['customer']
        sign = {'ItemAdded': 1, 'ItemRemoved': -1}.get(type, 0)
        if sign:
            row['items'] += sign * data['qty']
            row['total'] += sign * data['qty'] * data['price']
        row['status'], row['last_at'] = type, time
        row['events'] += 1
        return row

    def show(self, row):
        return {
            name: time_text(value) if name.endswith('_at') else value for name, value in row.items()
        }


PROJECTIONS = {
    'file_tree': FileTree,
    'account_activity': AccountActivity,
    'case_summary': CaseSummary,
    'order_summary': OrderSummary,
}


def fold_events(name, events):
    """Rows by key, as they are printed, of events (dictionaries) in the order of the log."""
    projection, rows = PROJECTIONS[name](), {}
    for event in events:
        row = projection.fold(rows.get(event['stream']), event)
        if row is None:
            rows.pop(event['stream'], None)
        else:
            rows[event['stream']] = row
    return {key: projection.show(row) for key, row in rows.items()}


def parse(jsonl):
    return [json.loads(line) for line in jsonl.split(b'\n') if line.strip()]


def print_rows(rows):
    """The bytes that `refold scan` prints: keys in byte order."""
    dump = json.JSONEncoder(ensure_ascii=False, separators=(',', ':')).encode
    return b''.join(
        (dump({'key': key, **rows[key]}) + '\n').encode('utf-8')
        for key in sorted(rows, key=lambda key: key.encode('utf-8'))
    )


if __name__ == '__main__':
    sys.stdout.buffer.write(print_rows(fold_events(sys.argv[1], parse(sys.stdin.buffer.read()))))
