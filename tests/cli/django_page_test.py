"""docs/DJANGO.md: the whole round against a private PostgreSQL server, as the page has it. The library writes the
events where it is installed (REFOLD_EVENTSOURCING_PYTHON names an interpreter that has it, with psycopg); else the
test writes the rows that the library would.
"""

import json
import os
import re
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

PYTHON = os.environ.get('REFOLD_EVENTSOURCING_PYTHON')
ORDERS = [('ann', [('s-1', 2, '9.95')], True), ('bob', [('s-1', 1, '9.95'), ('s-2', 3, '0.10')], False)]
LATER = [('cid', [('s-3', 5, '2.00')], False)]

# A stand-in for the library: its table, and what it stores (docs of the store: topic, JSON of the event).
TABLE = """
CREATE TABLE IF NOT EXISTS shop_events (originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text,
    state bytea, notification_id bigserial, PRIMARY KEY (originator_id, originator_version));
CREATE UNIQUE INDEX IF NOT EXISTS shop_events_notification_id_idx ON shop_events (notification_id ASC);
"""
WRITER = """
import json, sys
from decimal import Decimal
from shop.domain import Order, Shop
app = Shop()
for customer, items, shipped in json.loads(sys.argv[1]):
    order = Order(customer)
    for sku, qty, price in items:
        order.add(sku, qty, Decimal(price))
    if shipped:
        order.ship()
    app.save(order)
"""


def statements(orders):
    for customer, items, shipped in orders:
        id = uuid.uuid4()
        events = [('Placed', {'originator_topic': 'shop.domain:Order', 'customer': customer})]
        events += [('ItemAdded', {'sku': sku, 'qty': qty, 'price': {'_type_': 'decimal_str', '_data_': price}})
                   for sku, qty, price in items]
        events += [('Shipped', {})] if shipped else []
        for version, (name, state) in enumerate(events, 1):
            at = {'_type_': 'datetime_iso', '_data_': '2024-02-05T00:02:%02d+00:00' % version}
            state = json.dumps({'timestamp': at, **state}, separators=(',', ':'))
            yield ("INSERT INTO shop_events (originator_id, originator_version, topic, state) VALUES "
                   "('%s', %d, 'shop.domain:Order.%s', '%s');" % (id, version, name, state))


class Page(tool.Case):
    def setUp(self):
        super().setUp()
        self.server = postgres.Server(self)
        self.server.sql('CREATE DATABASE shop')
        with open(os.path.join(tool.ROOT, 'docs', 'DJANGO.md'), encoding='utf-8') as file:
            blocks = re.findall(r'runs: ([\w. ]+) -->\n```\w*\n(.*?)```', file.read(), re.S)
        self.blocks = dict(blocks)
        self.assertEqual(len(blocks), len(self.blocks))

    def writes(self, orders):
        if not PYTHON:
            self.server.sql('\n'.join([TABLE, *statements(orders)]), 'shop')
            return
        os.makedirs(self.path('shop'), exist_ok=True)
        self.path('shop/domain.py', self.blocks['domain.py'])
        environment = dict(
            os.environ, PERSISTENCE_MODULE='eventsourcing.postgres', POSTGRES_DBNAME='shop',
            POSTGRES_HOST=self.server.folder, POSTGRES_PORT='5432', POSTGRES_USER=postgres.SUPERUSER,
            POSTGRES_PASSWORD='', PYTHONPATH=self.folder,
        )  # fmt: skip
        subprocess.run([PYTHON, '-c', WRITER, json.dumps(orders)], env=environment, check=True)

    def runs(self, name):
        environment = dict(
            os.environ,
            PATH=tool.build + ':' + os.environ['PATH'],
            EVENTS=self.server.url('shop', user='refold_reader'),
            TARGET=self.server.url('shop', user='refold_publisher'),
        )
        done = subprocess.run(
            ['sh', '-e', '-c', self.blocks[name]], cwd=self.folder, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def sql(self, name):
        return [line for line in self.server.sql(self.blocks[name], 'shop').splitlines() if '|' in line]

    def test_the_whole_round(self):
        self.writes(ORDERS)
        self.server.sql(self.blocks['roles as SQL'], 'shop')
        self.assertIn('shop.domain:Order.Placed', self.runs('import'))
        self.path('order_list.lua', self.blocks['order_list.lua'])
        self.runs('rebuild')
        self.assertEqual(self.sql('query as SQL'), ['ann|shipped|19.90', 'bob|placed|10.25'])
        self.writes(LATER)
        report = self.runs('change')
        self.assertIn('items', report)
        self.assertEqual(self.sql('query as SQL'), ['ann|shipped|19.90', 'bob|placed|10.25'])
        self.runs('swap')
        self.assertEqual(self.sql('items as SQL'), ['ann|2|19.90', 'bob|4|10.25', 'cid|5|10.00'])
        self.runs('back')
        self.assertEqual(
            self.sql('query as SQL'), ['ann|shipped|19.90', 'bob|placed|10.25', 'cid|placed|10.00']
        )

    def test_the_model_reads_the_view(self):
        if not PYTHON or subprocess.run([PYTHON, '-c', 'import django'], stderr=subprocess.DEVNULL).returncode:
            self.skipTest('Django is not there')
        self.writes(ORDERS)
        self.server.sql(self.blocks['roles as SQL'], 'shop')
        self.runs('import')
        self.path('order_list.lua', self.blocks['order_list.lua'])
        self.runs('rebuild')
        self.path('shop/__init__.py', '')
        self.path('shop/models.py', self.blocks['models.py'])
        program = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=['shop'], DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql',
    'NAME': 'shop', 'HOST': %r, 'USER': %r}})
django.setup()
from shop.models import OrderList
print([(o.customer, str(o.total)) for o in OrderList.objects.filter(status='placed')])
""" % (self.server.folder, postgres.SUPERUSER)
        done = subprocess.run([PYTHON, '-c', program], cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(done.stdout.strip(), "[('bob', '10.25')]")


tool.main(__name__)
