"""Databases as another event-sourcing library wrote them, imported from its own file: our rows equal that
library's own state of every aggregate, its upcasters written in Lua.

Orders have schemas 1 to 3 of Placed (the customer's name is split, then a channel is added) and 1 and 2 of
ItemAdded (price becomes unit_price, with a currency). Cargos hold values of the application's own types,
which stay objects; pages name their users by UUIDs.
"""

import datetime
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

WORKERS = (0, 2)
# The sets' own, published with them.
CIPHER_KEY = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='

ORDERS = """
name "orders"
version (1)
columns { "first text", "last text", "channel text", "total decimal(2)", "items text",
    "carrier text", "created time", "modified time", "events int" }

on ("shop:Order.Placed", { "first text", "last text", "channel text", "timestamp time" },
    function (row, e)
    row.first, row.last, row.channel, row.created = e.first, e.last, e.channel, e.timestamp
end)
on ("shop:Order.ItemAdded", { "sku text", "qty int", "unit_price decimal(2)", "currency text" },
    function (row, e)
    row.total = row.total + e.qty * e.unit_price
    row.items = (row.items or "") .. ("%s %d %d %s;"):format(e.sku, e.qty, e.unit_price, e.currency)
end)
on ("shop:Order.Shipped", { "carrier text" }, function (row, e) row.carrier = e.carrier end)
on ("*", {}, function (row, e)
    if row.created then row.modified, row.events = e.time, e.version end
end)

upcast ("shop:Order.Placed", 1, { "customer text" }, function (e)
    local blank = e.customer:find(" ", 1, true)
    e.first, e.last = e.customer:sub(1, blank - 1), e.customer:sub(blank + 1)
end)
upcast ("shop:Order.Placed", 2, { "channel text?" }, function (e)
    e.channel = e.channel or "web"
end)
upcast ("shop:Order.ItemAdded", 1, { "price decimal(2)" }, function (e)
    e.unit_price = e.price
    e.currency = "EUR"
end)
"""

ACCOUNTS = """
name "accounts"
version (1)
columns { "full_name text", "email_address text", "balance decimal(2)", "overdraft_limit decimal(2)",
    "is_closed bool", "created time", "modified time", "events int" }

local account = "eventsourcing.examples.bankaccounts.domainmodel:BankAccount."
on (account .. "Opened", { "full_name text", "email_address text", "timestamp time" },
    function (row, e)
    row.full_name, row.email_address, row.created = e.full_name, e.email_address, e.timestamp
end)
on (account .. "Credited", { "amount decimal(2)" }, function (row, e)
    row.balance = row.balance + e.amount
end)
on (account .. "Debited", { "amount decimal(2)" }, function (row, e)
    row.balance = row.balance - e.amount
end)
on (account .. "OverdraftLimitSet", { "overdraft_limit decimal(2)" }, function (row, e)
    row.overdraft_limit = e.overdraft_limit
end)
on (account .. "Closed", {}, function (row, e) row.is_closed = true end)
on ("*", {}, function (row, e)
    if row.created then row.modified, row.events = e.time, e.version end
end)
"""

OTHERS = """
name "others"
version (1)
columns { "kind text", "name text", "list text", "created time", "modified time", "events int" }

local examples = "eventsourcing.examples."
local function add (row, text) row.list = row.list and row.list .. "|" .. text or text end

on (examples .. "aggregate1.domainmodel:Dog.Registered", { "name text" }, function (row, e)
    row.kind, row.name = "Dog", e.name
end)
on (examples .. "aggregate1.domainmodel:Dog.TrickAdded", { "trick text" }, function (row, e)
    add(row, e.trick)
end)
local page = examples .. "contentmanagement.domainmodel:Page."
on (page .. "Created", { "title text", "slug text", "user_id text" }, function (row, e)
    row.kind, row.name, row.list = "Page", e.title, e.slug .. "|" .. e.user_id
end)
on (page .. "TitleUpdated", { "title text", "user_id text" }, function (row, e)
    row.name, row.list = e.title, row.list:match("^[^|]*") .. "|" .. e.user_id
end)
on (page .. "SlugUpdated", { "slug text", "user_id text" }, function (row, e)
    row.list = e.slug .. "|" .. e.user_id
end)
on (page .. "BodyUpdated", { "user_id text" }, function (row, e)
    row.list = row.list:match("^[^|]*") .. "|" .. e.user_id
end)
on (examples .. "contentmanagement.domainmodel:Index.Created", { "slug text", "ref text" },
    function (row, e)
    row.kind, row.name, row.list = "Index", e.slug, e.ref
end)
on (examples .. "contentmanagement.domainmodel:Index.RefChanged", { "ref text?" },
    function (row, e)
    row.list = e.ref
end)
on (examples .. "contentmanagement.domainmodel:PageLogged", { "page_id text" }, function (row, e)
    row.kind = "PageLog"
    add(row, e.page_id)
end)
local cargo = examples .. "cargoshipping.domainmodel:Cargo."
on (cargo .. "BookingStarted", { "origin._data_ text", "destination._data_ text",
    "arrival_deadline time" }, function (row, e)
    row.kind, row.name = "Cargo", e["origin._data_"] .. " " .. e["destination._data_"]
    row.list = ("%d"):format(e.arrival_deadline)
end)
on (cargo .. "DestinationChanged", { "destination._data_ text" }, function (row, e)
    row.name = row.name:match("^[^ ]*") .. " " .. e["destination._data_"]
end)
on (cargo .. "HandlingEventRegistered", {}, function (row, e) end)
on (cargo .. "RouteAssigned", {}, function (row, e) end)
on ("*", {}, function (row, e)
    if row.kind then
        row.created = row.created or e.time
        row.modified, row.events = e.time, e.version
    end
end)
"""


def moment(text):
    """What a row prints of the time that the library printed."""
    at = datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc)
    return at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def microseconds(text):
    at = datetime.datetime.fromisoformat(text)
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // (
        datetime.timedelta(microseconds=1)
    )


def cents(text):
    return int(text.replace('.', ''))


def order_row(entry):
    state = entry['state']
    items = ['%s %d %d %s;' % (i['sku'], i['qty'], cents(i['unit_price']), i['currency'])
             for i in state['items']]
    return {
        'first': state['first'], 'last': state['last'], 'channel': state['channel'],
        'total': state['total'], 'items': ''.join(items) or None, 'carrier': state['shipped_by'],
    }


def account_row(entry):
    names = ('full_name', 'email_address', 'balance', 'overdraft_limit', 'is_closed')
    return {name: entry['state'][name] for name in names}


def other_row(entry):
    kind, state = entry['kind'], entry.get('state')
    if kind == 'Dog':
        name, listed = state['name'], '|'.join(state['tricks']) or None
    elif kind == 'Page':
        name, listed = state['title'], '%s|%s' % (state['slug'], state['modified_by'])
    elif kind == 'Index':
        name, listed = state['slug'], state['ref']
    elif kind == 'PageLog':
        name, listed = None, '|'.join(entry['pages'])
    else:
        name = '%s %s' % (state['_origin'], state['_destination'])
        listed = str(microseconds(state['_arrival_deadline']))
    return {'kind': kind, 'name': name, 'list': listed}


def expected_rows(path, kinds, row_of):
    """By key; the times and the version that the library has of the aggregate added."""
    rows = {}
    for line in tool.read(path).decode('utf-8').splitlines():
        entry = json.loads(line)
        if entry['kind'] not in kinds:
            continue
        row = row_of(entry)
        if 'version' in entry:
            row['created'] = moment(entry['state']['_created_on'])
            row['modified'] = moment(entry['state']['_modified_on'])
            row['events'] = entry['version']
        rows[entry['stream']] = row
    return rows


PROJECTIONS = {
    'orders': (ORDERS, ('Order',), order_row),
    'accounts': (ACCOUNTS, ('BankAccount',), account_row),
    'others': (OTHERS, ('Dog', 'Page', 'Index', 'PageLog', 'Cargo'), other_row),
}


class Stores(tool.Case):
    def database(self, name):
        packed = tool.shared_file('%s.sqlite.zst' % name)
        if packed is None:
            self.skipTest('no shared data')
        return self.path('%s.sqlite' % name, tool.read(packed))

    def equals_the_library(self, name):
        oracle = tool.shared_file('%s.oracle.jsonl.zst' % name)
        for model, (source, kinds, row_of) in PROJECTIONS.items():
            expected = expected_rows(oracle, kinds, row_of)
            self.assertGreater(len(expected), 50)
            for workers in WORKERS:
                self.rebuild(self.path(model + '.lua', source),
                             options=('--workers', workers, '--dev', '--unknown', 'ignore'))
                got = {}
                for line in self.rows(model).splitlines():
                    row = json.loads(line)
                    key = row.pop('key')
                    if 'created' not in expected[key]:
                        del row['created'], row['modified'], row['events']
                    got[key] = row
                self.assertEqual(got, expected)
        self.ok('verify', self.store, '--serial')

    def test_eventsourcing_sqlite_compressed(self):
        path = self.database('es-zlib')
        self.ok('import', self.store, 'sqlite:' + path, '--preset', 'eventsourcing', '--quiet')
        self.equals_the_library('es-zlib')

    def test_eventsourcing_sqlite_encrypted(self):
        path = self.database('es-aes')
        self.ok('import', self.store, 'sqlite:' + path, '--cipher-key-env', 'SHOP_KEY', '--quiet',
                env=dict(os.environ, SHOP_KEY=CIPHER_KEY))
        self.equals_the_library('es-aes')


tool.main(__name__)
