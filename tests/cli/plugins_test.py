"""Plugins that cannot be loaded, or whose handlers fail: refused in one line, and the live read
model stays.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Plugins(tool.Shop):
    def refused(self, code, words, plugin, *options):
        before = self.rows('order_summary'), self.ok('generations', self.store).out
        self.refuses(code, words, 'rebuild', self.store, plugin, '--quiet', *options)
        self.assertEqual(
            (self.rows('order_summary'), self.ok('generations', self.store).out), before
        )
        self.verifies()

    def test_a_good_plugin_folds(self):
        entry = self.rebuild(self.plugin())[0]
        self.assertEqual(
            (entry['name'], entry['version'], entry['rows'], entry['events']), ('counting', 1, 1, 2)
        )
        self.assertEqual(self.rows('counting'), b'{"key":"order-1","count":2,"sum":3}\n')

    def test_text_that_a_handler_makes_is_utf8(self):
        good = tool.compile_plugin(self.path('made.so'), 'made.c', BYTES='\\xc3\\xa9')
        bad = tool.compile_plugin(self.path('bad.so'), 'made.c', BYTES='abcdefgh\\xff')
        self.refused(tool.FAILED, ['made', 'order-', 'UTF-8'], bad)
        self.rebuild(good)
        row = self.ok('scan', self.store, 'made', '--limit', 1).json
        self.assertEqual((row['made'], row['share']), ('\u00e9', None))
        csv = self.ok('scan', self.store, 'made', '--limit', 1, '--format', 'csv').out
        self.assertEqual(csv.decode().split('\r\n')[1], '%s,\u00e9,' % row['key'])

    def test_another_abi(self):
        self.refused(tool.FAILED, ['abi', '99', 'counting.so'], self.plugin(ABI=99))

    def test_another_magic(self):
        self.refused(tool.FAILED, ['counting.so'], self.plugin(MAGIC='RF_PROJECTION_MAGIC+1'))

    def test_no_symbol(self):
        source = self.path('empty.c', 'int nothing_here;\n')
        subprocess.run(['cc', '-shared', '-fPIC', '-o', self.path('empty.so'), source], check=True)
        self.refused(tool.FAILED, ['empty.so', 'refold_projection'], self.path('empty.so'))

    def test_no_shared_object(self):
        self.refused(tool.FAILED, ['text.so'], self.path('text.so', 'not a shared object\n'))
        self.refused(tool.FAILED, ['none.so'], self.path('none.so', b''))
        self.refused(tool.FAILED, ['cut.so'], self.path('cut.so', tool.read(self.orders)[:1000]))
        self.refused(tool.FAILED, ['missing.so'], self.path('missing.so'))
        self.refused(tool.FAILED, [self.folder], self.folder + '/')

    def test_bad_names_versions_and_keys(self):
        for macros, word in (
            ({'NAME': 'Counting'}, 'Counting'),
            ({'NAME': ''}, 'name'),
            ({'NAME': '../x'}, '../x'),
            ({'NAME': 'n' * 64}, 'name'),
            ({'VERSION': 0}, 'version'),
            ({'KEY': 'customer'}, 'key'),
        ):
            with self.subTest(macros=macros):
                self.refused(tool.FAILED, [word], self.plugin(**macros))

    def test_a_handler_that_fails_names_the_event(self):
        plugin = self.plugin(FAIL_AT=3)
        self.refused(
            tool.FAILED,
            ['the sum is too high for this test', 'position 4', 'order-1', 'ItemAdded'],
            plugin,
        )

    def test_the_lowest_failing_event_of_a_run_is_the_same_for_any_workers(self):
        self.import_lines(
            *(event('order-%d' % i, 'ItemAdded', {'qty': 9, 'price': 1}) for i in range(10, 90))
        )
        plugin, messages = self.plugin(FAIL_AT=9), set()
        for workers in (0, 1, 2, 8):
            result = self.refuses(
                tool.FAILED,
                ['too high'],
                'rebuild',
                self.store,
                plugin,
                '--quiet',
                '--workers',
                workers,
            )
            messages.add(result.message)
        self.assertEqual(len(messages), 1, messages)

    def test_a_sum_beyond_64_bits_names_the_event(self):
        self.import_lines(event('order-1', 'ItemAdded', {'qty': 2**62, 'price': 4}))
        self.refused(tool.FAILED, ['position 8', 'order-1', 'ItemAdded'], self.orders)

    def test_a_field_of_the_wrong_kind_names_the_event(self):
        self.import_lines(event('order-1', 'ItemAdded', {'qty': 'two', 'price': 4}))
        self.refused(tool.FAILED, ['position 8', 'order-1', 'ItemAdded', 'qty'], self.orders)

    def test_a_type_that_never_occurred_is_refused_with_the_nearest_name(self):
        self.refused(tool.REFUSED, ['ItemAddd', 'ItemAdded'], self.plugin(TYPE='ItemAddd'))

    def test_a_field_that_never_occurred_is_refused_with_the_nearest_name(self):
        self.refused(tool.REFUSED, ['quty', 'qty'], self.plugin(FIELD='quty'))

    def test_an_optional_field_that_never_occurred_is_fine(self):
        self.rebuild(self.plugin(FIELD='weight', OPTIONAL=1))
        self.assertEqual(self.rows('counting'), b'{"key":"order-1","count":2,"sum":0}\n')

    def test_allow_missing_lets_a_field_be_missing(self):
        self.rebuild(self.plugin(FIELD='quty'), options=('--allow-missing',))
        self.assertEqual(self.rows('counting'), b'{"key":"order-1","count":2,"sum":0}\n')

    def test_a_star_handler_gets_every_type(self):
        self.rebuild(self.plugin(TYPE='*'))
        self.assertEqual(self.rows('counting').count(b'\n'), 3)


tool.main(__name__)
