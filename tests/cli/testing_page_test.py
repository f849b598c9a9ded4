"""docs/TESTING.md: its cases run as they stand there."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool


class Page(tool.Case):
    def test_the_cases_of_the_page_hold(self):
        with open(os.path.join(tool.ROOT, 'docs', 'TESTING.md'), encoding='utf-8') as file:
            found = re.findall(r'runs: cases -->\n```json\n(.*?)```', file.read(), re.S)
        self.assertEqual(len(found), 1)
        path = self.path('page.cases.jsonl', found[0])
        result = self.ok('test', tool.projection('order_summary'), path)
        self.assertIn('2 cases, all passed', result.out.decode())


tool.main(__name__)
