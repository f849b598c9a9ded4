"""verify: exit 0 for a whole store, exit 6 for flipped bytes wherever they are read; and
--serial.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event


class Verify(tool.Shop):
    def setUp(self):
        super().setUp()
        self.import_lines(
            *(
                event('order-%d' % i, 'OrderPlaced', {'customer': 'customer number %d' % i})
                for i in range(100, 3000)
            )
        )
        self.rebuild(self.orders)

    def generation(self, *path):
        return os.path.join(self.store, 'generations', 'order_summary', '000002', *path)

    def flip(self, path, at):
        with open(path, 'r+b') as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x20]))

    def damaged(self, *words):
        result = self.gives(tool.DAMAGED, 'verify', self.store)
        for word in words:
            self.assertIn(word, result.message + result.out.decode('utf-8', 'replace'))

    def test_a_whole_store_is_fine(self):
        self.ok('verify', self.store)
        self.ok('verify', self.store, 'order_summary')
        self.ok('verify', self.store, '--serial')
        found = self.ok('verify', self.store, '--json').json
        self.assertEqual(found['damages'], 0)

    def test_rows_are_those_of_base_and_delta(self):
        counted = self.ok('verify', self.store, 'order_summary', '--json').json['rows']
        self.import_lines(
            event('order-100', 'OrderPlaced', {'customer': 'again'}),
            *(event('order-new-%d' % i, 'OrderPlaced', {'customer': 'c'}) for i in range(3)),
            options=('--apply',)
        )
        self.assertEqual(
            self.ok('verify', self.store, 'order_summary', '--json').json['rows'], counted + 3
        )

    def test_flipped_row_bytes_are_found_by_verify_get_and_scan(self):
        path = self.generation('base-00.mdb')
        content = tool.read(path)
        at = content.rindex(b'customer number 1234')
        self.flip(path, at + 3)
        self.damaged('order_summary')
        self.refuses(
            tool.DAMAGED, ['order_summary'], 'get', self.store, 'order_summary', 'order-1234'
        )
        result = self.gives(tool.DAMAGED, 'scan', self.store, 'order_summary')
        self.assertNotIn(b'number 1234"', result.out)
        self.gives(tool.DAMAGED, 'verify', self.store, 'order_summary')

    def test_a_rebuild_heals_a_damaged_generation(self):
        path = self.generation('base-00.mdb')
        self.flip(path, tool.read(path).rindex(b'customer number 1234'))
        self.rebuild(self.orders)
        self.assertEqual(
            self.ok('get', self.store, 'order_summary', 'order-1234').json['customer'],
            'customer number 1234',
        )

    def test_flipped_bytes_of_a_segment_stop_a_rebuild(self):
        path = os.path.join(self.store, 'log', 'data.mdb')
        pages, damaged = tool.used_pages(path), 0
        before = self.rows('order_summary')
        for page in pages[:: max(1, len(pages) // 30)]:
            at = page + 1000
            self.flip(path, at)
            if tool.call('verify', self.store).code == tool.DAMAGED:
                damaged += 1
            rebuilt = tool.call('rebuild', self.store, self.orders, '--quiet')
            self.assertIn(rebuilt.code, (tool.DONE, tool.DAMAGED), str(rebuilt))
            self.assertEqual(self.rows('order_summary'), before)
            self.flip(path, at)
        self.assertGreater(damaged, 5)

    def test_a_missing_file_is_found(self):
        os.unlink(self.generation('base-00.mdb'))
        self.damaged('base-00.mdb')
        self.refuses(tool.DAMAGED, ['base-00.mdb'], 'scan', self.store, 'order_summary')

    def test_a_shorter_file_is_found(self):
        path = self.generation('base-00.mdb')
        os.truncate(path, os.path.getsize(path) - 4096)
        self.damaged('base-00.mdb')
        self.refuses(tool.DAMAGED, ['base-00.mdb'], 'get', self.store, 'order_summary', 'order-1')

    def test_a_flipped_manifest_is_found(self):
        path = self.generation('MANIFEST')
        self.flip(path, os.path.getsize(path) // 2)
        self.damaged('MANIFEST')
        self.refuses(tool.DAMAGED, ['MANIFEST'], 'get', self.store, 'order_summary', 'order-1')

    def test_a_log_that_went_back_behind_its_head_is_refused(self):
        path = os.path.join(self.store, 'log', 'data.mdb')
        old = tool.read(path)
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        with open(path, 'wb') as file:
            file.write(old)
        for command in (('info', self.store), ('rebuild', self.store, self.orders, '--quiet')):
            self.refuses(tool.DAMAGED, ['log'], *command)

    def test_a_catalog_that_went_back_behind_current_is_refused(self):
        path = os.path.join(self.store, 'live', 'data.mdb')
        old = tool.read(path)
        self.rebuild(self.orders)
        with open(path, 'wb') as file:
            file.write(old)
        self.refuses(tool.DAMAGED, [], 'scan', self.store, 'order_summary')


tool.main(__name__)
