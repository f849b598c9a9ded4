"""docs/PROJECTIONS.md: its files load, and its cases hold, as they stand there."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool


class Page(tool.Case):
    def blocks(self):
        with open(os.path.join(tool.ROOT, 'docs', 'PROJECTIONS.md'), encoding='utf-8') as file:
            found = re.findall(r'runs: ([a-z ]+) -->\n```\w+\n(.*?)```', file.read(), re.S)
        return dict(found)

    def test_every_file_of_the_page_passes_its_cases(self):
        blocks = self.blocks()
        names = [name for name in blocks if name + ' cases' in blocks]
        self.assertEqual(sorted(names), ['carried', 'first', 'keyed', 'lists'])
        for name in names:
            projection = self.path(name + '.lua', blocks[name])
            cases = self.path(name + '.cases.jsonl', blocks[name + ' cases'])
            self.assertIn('all passed', self.ok('test', projection, cases).out.decode())

    def test_what_the_page_says_is_refused_is_refused(self):
        source = self.blocks()['refused']
        projection = self.path('refused.lua', source)
        cases = self.path('refused.cases.jsonl', '{"case":"none","events":[],"rows":[]}\n')
        reason = source.rsplit('-- ', 1)[1].strip()
        self.refuses(tool.FAILED, ['refused.lua:5: ' + reason], 'test', projection, cases)

    def test_every_lua_file_of_the_page_is_run(self):
        with open(os.path.join(tool.ROOT, 'docs', 'PROJECTIONS.md'), encoding='utf-8') as file:
            self.assertEqual(file.read().count('```lua'), 5)


tool.main(__name__)
