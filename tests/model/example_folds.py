"""Made logs for projections/examples/, and what their rows must be.

A class for each example, named like it: `make` draws a log, `fold` gives its rows by key, computed
the slow and obvious way, event by event with exact decimals, from what the example promises and
not from its code. Names are awkward, times have offsets, types occur that nobody handles.
"""

import datetime
import decimal
import json
import zoneinfo

from made_logs import NAMES, TEXTS
from serial_fold import time_text, time_us

CENT = decimal.Decimal('0.01')
SKUS = ('tea', 'cup', 'Юлия', 'q"q', '😀', 'back\\slash')


def cents(r, below=100000):
    return decimal.Decimal(r.randrange(below)) * CENT


def shown(r, amount):
    """A decimal as events have it: a text, with zeros more or less, or a number."""
    if r.randrange(4) == 0:
        return float(amount)
    return r.choice(('%.2f', '%.3f', '%.2f000')) % amount


def money(amount):
    return '%.2f' % amount


class Made:
    """Draws the events of a log from `r`."""

    def __init__(self, r, events):
        self.r, self.log = r, []
        self.clock = datetime.datetime(2024, 3, 29, tzinfo=datetime.timezone.utc)
        while len(self.log) < events:
            self.step()
            if r.randrange(20) == 0:
                self.add(r.choice(SKUS) + '-x', 'NobodyHandlesThis', sku=1)

    def time(self):
        self.clock += datetime.timedelta(seconds=self.r.randrange(-3000, 9000))
        zone = datetime.timezone(datetime.timedelta(minutes=self.r.choice((0, 0, 120, -690, 345))))
        return self.clock.astimezone(zone).isoformat()

    def add(self, stream, type, **data):
        event = {'stream': stream, 'type': type, 'time': self.time(), 'data': data}
        self.log.append(event)
        return event


class OrderWithLines:
    class Make(Made):
        def step(self):
            r = self.r
            stream, sku = 'order-%d' % r.randrange(1 + r.randrange(40)), r.choice(SKUS)
            kind = r.randrange(20)
            if kind < 3:
                self.add(stream, 'OrderPlaced', customer=r.choice(TEXTS))
            elif kind < 15:
                price = shown(r, cents(r))
                self.add(stream, 'ItemAdded', sku=sku, qty=r.randrange(-3, 50), price=price)
            elif kind < 18:
                self.add(stream, 'ItemRemoved', sku=sku)
            else:
                self.add(stream, r.choice(('OrderShipped', 'OrderShipped', 'OrderCancelled')))

    def fold(self, log):
        orders = {}
        for event in log:
            key, type, data = event['stream'], event['type'], event['data']
            if type == 'OrderCancelled':
                orders.pop(key, None)
            elif type == 'OrderPlaced':
                order = self.order(orders, key)
                order.update(customer=data['customer'], status='placed')
                order['placed_at'] = time_text(time_us(event['time']))
            elif type == 'OrderShipped':
                self.order(orders, key)['status'] = 'shipped'
            elif type == 'ItemAdded':
                lines = self.order(orders, key)['lines']
                qty = data['qty'] + (lines[data['sku']][0] if data['sku'] in lines else 0)
                lines[data['sku']] = (qty, decimal.Decimal(str(data['price'])))
            elif type == 'ItemRemoved' and key in orders:
                orders[key]['lines'].pop(data['sku'], None)
        return {key: self.show(order) for key, order in orders.items()}

    def order(self, orders, key):
        empty = {'customer': None, 'status': None, 'placed_at': None, 'total': None, 'lines': {}}
        return orders.setdefault(key, empty)

    def show(self, order):
        lines = [
            {'sku': sku, 'qty': qty, 'price': money(price)}
            for sku, (qty, price) in order['lines'].items()
        ]
        total = sum(qty * price for qty, price in order['lines'].values())
        return {**order, 'total': money(total), 'lines': lines}


class Balance:
    CURRENCIES = ('EUR', 'USD', 'GBP', 'XAU')

    class Make(Made):
        def step(self):
            r = self.r
            account, stream = r.choice(NAMES[: r.randrange(1, 18)]), 'bank-%d' % r.randrange(9)
            currency, amount = r.choice(Balance.CURRENCIES), shown(r, cents(r))
            rate = r.choice(('0.0125', '0.05', '0', '0.0001', 0.33))
            kind = r.randrange(9)
            if kind < 4:
                self.add(stream, 'Deposited', account=account, currency=currency, amount=amount)
            elif kind < 7:
                data = {'account': account, 'currency': currency, 'amount': amount}
                if r.randrange(3):
                    data['fee_rate'] = rate
                self.add(stream, 'Withdrawn', **data)
            else:
                self.add(
                    stream, 'Exchanged', account=account, sold_currency=currency, sold=amount,
                    bought_currency=r.choice(Balance.CURRENCIES), bought=shown(r, cents(r)),
                    fee_rate=rate,
                )  # fmt: skip

    def fold(self, log):
        rows = {}
        for event in log:
            data, time = event['data'], time_text(time_us(event['time']))
            for currency, amount, rate in self.entries(event['type'], data):
                fee = (abs(amount) * rate).quantize(CENT, decimal.ROUND_HALF_UP)
                row = rows.setdefault((data['account'], currency), [0, 0, 0, None])
                row[0] += amount - fee
                row[1] += fee
                row[2:] = row[2] + 1, time
        return {
            key: {'balance': money(a), 'fees': money(b), 'entries': n, 'last_at': time}
            for key, (a, b, n, time) in rows.items()
        }

    def entries(self, type, data):
        exact = {
            name: decimal.Decimal(str(data.get(name, 0)))
            for name in ('amount', 'sold', 'bought', 'fee_rate')
        }
        if type == 'Deposited':
            yield data['currency'], exact['amount'], 0
        elif type == 'Withdrawn':
            yield data['currency'], -exact['amount'], exact['fee_rate']
        elif type == 'Exchanged':
            yield data['sold_currency'], -exact['sold'], exact['fee_rate']
            yield data['bought_currency'], exact['bought'], 0


class Customer360:
    class Make(Made):
        def __init__(self, r, events):
            self.orders, self.tickets = [], []
            super().__init__(r, events)

        def step(self):
            r = self.r
            customer, kind = 'customer-' + r.choice(NAMES), r.randrange(12)
            if kind < 2:
                email = r.choice(TEXTS)
                self.add(customer, ('CustomerRegistered', 'EmailChanged')[kind], email=email)
                if kind == 1 and all(
                    e['type'] != 'CustomerRegistered' for e in self.log if e['stream'] == customer
                ):
                    self.log.pop()
            elif kind < 4 or not self.orders:
                # Now and then an order is placed again, for somebody else.
                stream = 'order-%d' % r.randrange(1 + len(self.orders))
                self.orders.append(stream)
                self.add(stream, 'OrderPlaced', customer_id=customer)
            elif kind < 8:
                type = r.choice(('OrderPaid', 'OrderPaid', 'OrderRefunded'))
                self.add(r.choice(self.orders), type, amount=shown(r, cents(r)))
            elif kind < 10 or not self.tickets:
                self.tickets.append('ticket-%d' % len(self.tickets))
                self.add(self.tickets[-1], 'TicketOpened', opened_by={'id': customer, 'x': 1})
            else:
                self.add(r.choice(self.tickets), 'TicketClosed')

    def fold(self, log):
        rows, whose = {}, {}
        for event in log:
            stream, type, data = event['stream'], event['type'], event['data']
            if type == 'NobodyHandlesThis':
                continue
            if type == 'CustomerRegistered':
                whose[stream] = stream
            elif type == 'OrderPlaced':
                whose[stream] = data['customer_id']
            elif type == 'TicketOpened':
                whose[stream] = data['opened_by']['id']
            row = rows.setdefault(
                whose[stream], {'email': None, 'orders': 0, 'spent': 0, 'tickets': 0, 'last': None}
            )
            row['email'] = data.get('email', row['email'])
            row['orders'] += type == 'OrderPlaced'
            row['tickets'] += (type == 'TicketOpened') - (type == 'TicketClosed')
            sign = {'OrderPaid': 1, 'OrderRefunded': -1}.get(type, 0)
            row['spent'] += sign * decimal.Decimal(str(data.get('amount', 0)))
            if not sign and type != 'TicketClosed':
                at = time_us(event['time'])
                row['last'] = at if row['last'] is None else max(at, row['last'])
        return {
            key: {
                'email': row['email'],
                'orders': row['orders'],
                'spent': money(row['spent']),
                'open_tickets': row['tickets'],
                'last_contact_at': time_text(row['last']),
            }
            for key, row in rows.items()
        }


class DailyRevenue:
    ZONES = {
        'DE': 'Europe/Berlin',
        'GB': 'Europe/London',
        'IN': 'Asia/Kolkata',
        'US': 'America/New_York',
        'FR': 'UTC',
        '😀': 'UTC',
    }

    class Make(Made):
        def step(self):
            r = self.r
            if r.randrange(4) or not self.log or self.log[-1]['type'] != 'SaleMade':
                country = r.choice(sorted(DailyRevenue.ZONES))
                amount = shown(r, cents(r))
                self.add('sale-%d' % len(self.log), 'SaleMade', country=country, amount=amount)
                return
            sale = self.log[-1 - r.randrange(min(len(self.log), 200))]
            if sale['type'] == 'SaleMade':
                by = r.choice((1, -1)) * cents(r, 5000)
                self.add(
                    sale['stream'], 'SaleCorrected', country=sale['data']['country'],
                    sold_at=sale['time'], difference=shown(r, by),
                )  # fmt: skip

    def fold(self, log):
        rows = {}
        for event in log:
            data = event['data']
            if event['type'] == 'NobodyHandlesThis':
                continue
            corrects = event['type'] == 'SaleCorrected'
            when = datetime.datetime.fromisoformat(data['sold_at'] if corrects else event['time'])
            zone = zoneinfo.ZoneInfo(self.ZONES[data['country']])
            key = when.astimezone(zone).date().isoformat(), data['country']
            row = rows.setdefault(key, [0, 0, 0, None])
            row[0] += decimal.Decimal(str(data['difference' if corrects else 'amount']))
            row[2 if corrects else 1] += 1
            if corrects:
                at = time_us(event['time'])
                row[3] = at if row[3] is None else max(at, row[3])
        return {
            key: {
                'revenue': money(revenue),
                'sales': sales,
                'corrections': corrections,
                'last_correction_at': time_text(at),
            }
            for key, (revenue, sales, corrections, at) in rows.items()
        }


class Stock:
    class Make(Made):
        def step(self):
            r = self.r
            names = NAMES[: r.randrange(1, 9)]
            warehouse, to, sku = r.choice(names), r.choice(names), r.choice(SKUS)
            own, move = 'warehouse-' + warehouse, 'move-%d' % r.randrange(100)
            kind, qty = r.randrange(10), r.randrange(1, 30)
            if kind < 5:
                type = r.choice(('Received', 'Picked'))
                self.add(own, type, warehouse=warehouse, sku=sku, qty=qty)
            elif kind < 6:
                self.add(own, 'Counted', warehouse=warehouse, sku=sku, pieces=qty - 1)
            elif kind < 8:
                self.add(move, 'MoveSent', **{'from': warehouse}, to=to, sku=sku, qty=qty)
            else:
                self.add(move, 'MoveArrived', to=to, sku=sku, qty=qty)

    def fold(self, log):
        rows = {}
        for event in log:
            type, data, time = event['type'], event['data'], event['time']
            if type == 'NobodyHandlesThis':
                continue
            here, there = ((data.get(name), data['sku']) for name in ('warehouse', 'to'))
            qty = data.get('qty')
            if type == 'Received':
                self.put(rows, here, time, qty)
            elif type == 'Picked':
                self.put(rows, here, time, -qty)
            elif type == 'Counted':
                row = self.row(rows, here)
                self.put(rows, here, time, data['pieces'] - row['pieces'])
            elif type == 'MoveSent':
                self.put(rows, (data['from'], data['sku']), time, -qty)
                self.row(rows, there)['on_the_way'] += qty
            else:
                self.row(rows, there)['on_the_way'] -= qty
                self.put(rows, there, time, qty)
        return rows

    def row(self, rows, key):
        return rows.setdefault(key, {'pieces': 0, 'on_the_way': 0, 'short_since': None})

    def put(self, rows, key, time, qty):
        row = self.row(rows, key)
        row['pieces'] += qty
        if row['pieces'] >= 0:
            row['short_since'] = None
        elif row['short_since'] is None:
            row['short_since'] = time_text(time_us(time))


class ProductSearch:
    class Make(Made):
        def __init__(self, r, events):
            self.listed = set()
            super().__init__(r, events)

        def step(self):
            r = self.r
            stream = 'product-%d' % r.randrange(1 + r.randrange(30))
            kind = r.randrange(12)
            if stream not in self.listed or kind == 0:
                self.listed.add(stream)
                data = {'title': r.choice(TEXTS), 'brand': r.choice(('Uji', 'ÉCLAIR "x"', '注文'))}
                if r.randrange(3):
                    data['tags'] = [r.choice(SKUS) for _ in range(r.randrange(4))]
                self.add(stream, 'ProductListed', **data)
            elif kind < 3:
                self.add(stream, 'ProductRenamed', title=r.choice(TEXTS))
            elif kind < 7:
                self.add(stream, 'TagAdded', tag=r.choice(SKUS))
            elif kind < 11:
                self.add(stream, 'Reviewed', stars=r.randrange(1, 6))
            else:
                self.listed.remove(stream)
                self.add(stream, 'ProductDelisted')

    def fold(self, log):
        rows = {}
        for event in log:
            key, type, data = event['stream'], event['type'], event['data']
            if type == 'NobodyHandlesThis':
                continue
            if type == 'ProductDelisted':
                del rows[key]
                continue
            if type == 'ProductListed':
                rows[key] = {
                    'brand': data['brand'],
                    'reviews': {'count': 0, 'stars': 0},
                    'tags': list(data.get('tags', ())),
                    'title': data['title'],
                    'updated_at': None,
                }
            row = rows[key]
            if type == 'Reviewed':
                row['reviews']['count'] += 1
                row['reviews']['stars'] += data['stars']
                continue
            if type == 'TagAdded' and data['tag'] in row['tags']:
                continue
            if type == 'TagAdded':
                row['tags'].append(data['tag'])
                row['tags'].sort(key=lambda tag: tag.encode())
            row['title'] = data.get('title', row['title'])
            row['updated_at'] = time_text(time_us(event['time']))
        return {key: self.show(row) for key, row in rows.items()}

    def show(self, row):
        at = row.pop('updated_at')
        text = ' '.join([row['title'], row['brand'], *row['tags']])
        words = ''.join(c.lower() if c.isascii() else c for c in text)
        return {'document': row, 'words': words, 'updated_at': at}


EXAMPLES = {
    'order_with_lines': OrderWithLines,
    'balance': Balance,
    'customer_360': Customer360,
    'daily_revenue': DailyRevenue,
    'stock': Stock,
    'product_search': ProductSearch,
}


def print_rows(rows):
    """The bytes that `refold scan` prints: keys in the order of their parts, texts by bytes."""

    def order(key):
        return [part.encode() for part in ((key,) if isinstance(key, str) else key)]

    dump = json.JSONEncoder(ensure_ascii=False, separators=(',', ':')).encode
    return ''.join(dump({'key': key, **rows[key]}) + '\n' for key in sorted(rows, key=order)).encode()
