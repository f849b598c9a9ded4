"""Events' own evolution: rename, upcast, schemas and evolution in Lua, --evolution for plugins."""

import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

EVOLUTION = """
rename ("ItemPut", "ItemAdded")
upcast ("ItemAdded", 1, { "cents int" }, function (e) e.price = e.cents end)
upcast ("OrderPlaced", 1, { "client.name text" }, function (e)
    e.customer = e["client.name"]:upper()
end)
"""

LOG = (
    event('order-1', 'OrderPlaced', {'client': {'name': 'ann'}}),
    event('order-1', 'ItemPut', {'qty': 2, 'cents': 150}),
    event('order-1', 'ItemAdded', {'qty': 1, 'price': 25}, schema=2),
    event('order-2', 'OrderPlaced', {'customer': 'BO'}, schema=2),
)

ITEMS = """
name "items"
version (1)
columns { "price int", "n int", "last int" }
on ("ItemAdded", { "price int" }, function (row, e)
    row.price, row.n, row.last = row.price + e.price, row.n + 1, e.schema
end)
"""


class Plugins(tool.Case):
    def setUp(self):
        super().setUp()
        self.import_lines(*LOG)
        self.orders = tool.projection('order_summary')
        self.evolution = self.path('evolution.lua', EVOLUTION)

    def evolved(self, *options):
        return self.rebuild(self.orders, options=('--evolution', self.evolution, *options))[0]

    def test_a_plugin_gets_todays_events(self):
        self.refuses(
            tool.REFUSED,
            ['nothing was built'],
            'rebuild',
            self.store,
            self.orders,
        )
        self.evolved()
        rows = [json.loads(row) for row in self.rows('order_summary').splitlines()]
        self.assertEqual(
            [(r['key'], r['customer'], r['items'], r['total'], r['status']) for r in rows],
            [('order-1', 'ANN', 3, 325, 'ItemAdded'), ('order-2', 'BO', 0, 0, 'OrderPlaced')],
        )

    def test_the_evolution_is_kept_with_the_definition(self):
        first = self.evolved()
        os.unlink(self.evolution)
        entry = self.rebuild('order_summary')[0]
        self.assertEqual(entry['digest'], first['digest'])
        self.assertEqual(self.rebuild('order_summary')[0]['generation'], 3)
        self.ok('verify', self.store, '--serial')
        self.gives(
            tool.NOTHING, 'rebuild', self.store, 'order_summary', '--if-changed', '--quiet'
        )

    def test_another_evolution_is_another_definition(self):
        self.evolved()
        self.assertEqual(self.evolved()['generation'], 2)
        for options in ([], ['--evolution', self.path('evolution.lua', EVOLUTION + '-- x')]):
            self.refuses(
                tool.REFUSED,
                ['with other content'],
                'rebuild',
                self.store,
                self.orders,
                *options,
                '--allow-missing',
            )

    def test_a_changed_copy_is_damage(self):
        self.evolved()
        kept = os.path.join(
            self.store, 'generations/order_summary/000001/definition/evolution/evolution.lua'
        )
        with open(kept, 'a', encoding='utf-8') as file:
            file.write('-- x')
        self.refuses(
            tool.DAMAGED, ['kept definition'], 'rebuild', self.store, 'order_summary'
        )
        self.assertEqual(tool.call('verify', self.store).code, tool.DAMAGED)

    def test_check_and_bench_take_it_too(self):
        found = self.ok(
            'check', self.store, self.orders, '--evolution', self.evolution, '--json'
        ).json
        self.assertFalse(found['refused'])
        field = [f for f in found['fields'] if f['path'] == 'customer'][0]
        self.assertEqual((field['events'], field['present']), (2, 2))
        upcast = [f for f in found['fields'] if f['path'] == 'cents'][0]
        self.assertEqual((upcast['type'], upcast['present']), ('ItemAdded of schema 1', 1))
        report = self.ok(
            'bench',
            self.store,
            self.orders,
            '--evolution',
            self.evolution,
            '--workers',
            '0',
            '--runs',
            '1',
            '--json',
            '--quiet',
        ).json
        self.assertEqual(report['projections'][0]['digest'], self.evolved()['digest'])

    def test_it_is_for_plugins_that_are_named_by_path(self):
        self.evolved()
        lua = self.path('items.lua', ITEMS)
        for projection in ('order_summary', lua):
            self.refuses(
                tool.USAGE,
                ['for plugins'],
                'rebuild',
                self.store,
                projection,
                '--evolution',
                self.evolution,
            )
        self.refuses(
            tool.FAILED,
            ['nothing.lua'],
            'rebuild',
            self.store,
            self.orders,
            '--evolution',
            self.path('nothing.lua'),
        )

    def test_a_table_that_an_upcaster_assigns_is_json(self):
        source = (
            'name "p" version (1) columns { "j json", "t text" }\n'
            'on ("A", { "doc json?", "tags json?", "x text?" }, function (row, e)\n'
            '  row.j = { e.doc, e.tags } row.t = e.doc.x or e.x end)\n'
            'upcast ("A", 1, { "x text" }, function (e)\n'
            '  e.doc = { x = e.x, list = { 1, { deep = true } } } e.tags = {}\n'
            '  if e.doc.x == "q" then e.%s = { e.x, 2.5 } end end)\n'
            'upcast ("A", 2, { "doc json" }, function (e) local d = e.doc d.more = 2 e.doc = d end)\n'
        )
        events = [
            {'stream': 'a-1', 'type': 'A', 'data': {'x': 'é'}},
            {'stream': 'a-2', 'type': 'A', 'schema': 2, 'data': {'doc': {'x': 'old'}, 'tags': [1]}},
            {'stream': 'a-3', 'type': 'A', 'data': {'x': 'q'}},
        ]
        made = {'list': [1, {'deep': True}], 'more': 2}
        rows = [
            {'key': 'a-1', 'j': [{**made, 'x': 'é'}, []], 't': 'é'},
            {'key': 'a-2', 'j': [{'more': 2, 'x': 'old'}, [1]], 't': 'old'},
            {'key': 'a-3', 'j': [{**made, 'x': 'q'}, ['q', 2.5]], 't': 'q'},
        ]
        cases = self.path('p.cases.jsonl', json.dumps({'events': events, 'rows': rows}) + '\n')
        self.ok('test', self.path('p.lua', source % 'tags'), cases)
        result = self.gives(tool.FAILED, 'test', self.path('p.lua', source % 'x'), cases)
        self.assertIn('upcast of A 1: field x: an array or object is no text', result.out.decode())

    def test_a_file_of_an_evolution_declares_nothing_else(self):
        for text, words in (
            ('', ['no `rename`, `upcast` or `schemas`']),
            (ITEMS, ['declares no projection']),
            ('rename ("A"', ['evolution.lua:']),
            ('rename ("A", "B") rename ("B", "A")', ['comes back']),
            ('rename ("ItemAdded", "Item")', ['handler of ItemAdded']),
            ('upcast ("A", 0, function (e) end)', ['evolution.lua:1', 'schema']),
            ('upcast ("A", 1, function (e) e.x = os.time() end)', ['evolution.lua:1', '`os`']),
        ):
            path = self.path('evolution.lua', text)
            self.refuses(
                tool.FAILED, words, 'check', self.store, self.orders, '--evolution', path
            )


class Lua(tool.Case):
    def items(self, text, code=tool.DONE, words=(), **how):
        path = self.path('items.lua', ITEMS + text)
        if code != tool.DONE:
            return self.refuses(code, words, 'rebuild', self.store, path, **how)
        entry = self.rebuild(path, options=('--dev',))[0]
        shutil.rmtree(self.path('again'), ignore_errors=True)
        self.ok('verify', self.store, '--serial')
        rows = [json.loads(row) for row in self.rows('items').splitlines()]
        self.assertEqual(entry['rows'], len(rows))
        return [(row['price'], row['n'], row['last']) for row in rows]

    def test_a_file_beside_the_projection(self):
        self.import_lines(*LOG)
        self.path('shared.lua', EVOLUTION)
        self.assertEqual(self.items('evolution "shared.lua"'), [(175, 2, 2)])
        self.items('evolution "nothing.lua"', tool.FAILED, ['items.lua:', 'nothing'])
        self.items('evolution "shared"', tool.FAILED, ['items.lua:8', 'file beside this one'])

    def test_several_schemas_as_they_are(self):
        self.import_lines(
            event('a-1', 'ItemAdded', {'price': 1}),
            event('a-1', 'ItemAdded', {'price': 2}, schema=2),
        )
        self.items('', tool.REFUSED, ['no upcaster from 1', '`schemas`'])
        self.assertEqual(self.items('schemas ("ItemAdded", 1, 2)'), [(3, 2, 2)])

    def test_a_chain_that_mixes_moves_and_functions(self):
        self.import_lines(
            event('a-1', 'Item', {'eur': '1.50'}),
            event('a-1', 'ItemAdded', {'amount': 2}, schema=2),
            event('a-1', 'ItemAdded', {'cents': 3, 'fee': 4}, schema=3),
            event('a-1', 'ItemAdded', {'price': 5}, schema=4),
        )
        rows = self.items("""
            rename ("Item", "ItemAdded")
            upcast ("ItemAdded", 1, { "eur decimal(2)" }, function (e) e.amount = e.eur / 50 end)
            upcast ("ItemAdded", 2, { "amount int" }, function (e) e.cents = e.amount e.fee = 7 end)
            upcast ("ItemAdded", 3, { "cents int", "fee int" }, function (e)
                e.cents = e.cents + e.fee
                e.price = e.cents
            end)
        """)
        self.assertEqual(rows, [(10 + 9 + 7 + 5, 4, 4)])

    def test_errors_name_upcaster_place_and_event(self):
        self.import_lines(
            event('a-1', 'ItemAdded', {'cents': 1}),
            event('a-7', 'ItemAdded', {'cents': 2}),
        )
        for body, words in (
            ('e.price = nil + e.cents', ['items.lua:8', 'upcast of ItemAdded 1', 'position 1']),
            ('if e.cents == 2 then error "two" end e.price = 1',
             ['two', 'upcast of ItemAdded 1', 'position 2', 'stream a-7', 'type ItemAdded']),
            ('e.price = e.cents / 4', ['upcast of ItemAdded 1', '0.25', 'position 1']),
            ('e.price = {}', ['upcast of itemadded 1: field price: an array or object is no int']),
            ('e.price = string.rep', ['cannot become a function', 'items.lua:8']),
            ('local n = "pri" .. "cy" e.price = 1 e[n] = e.cents', ['computed', 'items.lua:8']),
            ('e.price = e.sents', ['declares no field `sents`', 'cents']),
            ('e.price = e.cents while true do end', ['runs for more than', 'upcast of ItemAdded 1']),
        ):
            self.items(
                'upcast ("ItemAdded", 1, { "cents int" }, function (e) %s end)' % body,
                tool.FAILED,
                words,
            )

    def test_a_constant_that_its_field_cannot_hold_is_refused_before_the_rebuild(self):
        self.import_lines(
            event('a-1', 'ItemAdded', {'cents': 1}),
            event('a-1', 'ItemAdded', {'price': 5}, schema=2),
        )
        path = self.path(
            'items.lua',
            ITEMS + 'upcast ("ItemAdded", 1, { "cents int" }, function (e) e.price = "x" end)',
        )
        words = ['items: upcast of ItemAdded 1: field price: "x" is no int', 'nothing was built']
        for options in ((), ('--on-error', 'skip')):
            self.refuses(
                tool.REFUSED, words, 'rebuild', self.store, path, '--quiet', *options
            )
        found = self.gives(tool.REFUSED, 'check', self.store, path)
        self.assertIn(words[0], found.message)
        # told that it may, each event of that schema fails
        self.rebuild(path, options=('--on-error', 'skip', '--allow-missing'))
        self.assertEqual(json.loads(self.rows('items'))['price'], 5)
        listed = self.ok('quarantine', self.store, 'items', '--json').json['items']
        self.assertEqual([item['position'] for item in listed], [1])

    def test_events_that_fail_are_left_out_where_that_is_asked_for(self):
        self.import_lines(
            *(event('a-1', 'ItemAdded', {'cents': n}) for n in range(1, 7)),
            event('a-1', 'ItemAdded', {'cents': 'x'}),
        )
        path = self.path('items.lua', ITEMS + """
            upcast ("ItemAdded", 1, { "cents int" }, function (e)
                if e.cents == 2 or e.cents == 3 then error "no" end
                e.price = e.cents == 5 and 0.5 or e.cents
            end)
        """)
        entry = self.rebuild(path, options=('--on-error', 'skip'))[0]
        row = json.loads(self.rows('items'))
        self.assertEqual((row['price'], row['n']), (1 + 4 + 6, 3))
        left = self.ok('quarantine', self.store, 'items').out.decode()
        for words in ('upcast of ItemAdded 1', 'no', '0.5', '"x" is no int'):
            self.assertIn(words, left)
        self.assertEqual(self.rebuild('items', options=('--on-error', 'skip'))[0]['digest'],
                         entry['digest'])

    def test_upcasters_see_the_members_of_their_event(self):
        self.import_lines(
            event('a-1', 'Item', {}, time='1970-01-01T00:00:01Z'),
            event('a-1', 'Item', {}, time='1970-01-01T00:00:02Z'),
        )
        rows = self.items("""
            rename ("Item", "ItemAdded")
            upcast ("ItemAdded", 1, function (e)
                e.price = e.time + e.position + e.version * 10 + e.schema * 100 + #e.type * 1000
                if e:has "price" then e.price = e.price + 1 end
            end)
        """)
        self.assertEqual(rows, [(3000000 + 3 + 30 + 200 + 18000 + 2, 2, 2)])

    def test_what_is_not_assigned_stays_as_it_was(self):
        self.import_lines(
            *(event('a-1', 'ItemAdded', {'price': n, 'odd': n % 2 == 1}) for n in range(1, 5))
        )
        rows = self.items("""
            upcast ("ItemAdded", 1, { "odd bool" }, function (e)
                if e.odd then e.price = 100 end
            end)
        """)
        self.assertEqual(rows, [(206, 4, 2)])


class Page(tool.Case):
    def test_the_example_of_the_page_holds(self):
        with open(os.path.join(tool.ROOT, 'docs', 'EVOLUTION.md'), encoding='utf-8') as file:
            found = dict(re.findall(r'runs: (\w+) -->\n```\w+\n(.*?)```', file.read(), re.S))
        self.ok('import', self.store, self.path('events.jsonl', found['events']), '--quiet')
        self.rebuild(self.path('orders.lua', found['projection']))
        self.assertEqual(self.rows('orders').decode(), found['rows'])


tool.main(__name__)
