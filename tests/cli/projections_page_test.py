"""docs/PROJECTIONS.md: its files load, and its cases hold, as they stand there."""

import os
import re
import shlex
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
        self.assertEqual(
            sorted(names), ['carried', 'every row', 'evolving', 'expecting', 'first', 'keyed', 'lists']
        )
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

    def test_scans_of_the_index_print_what_the_page_shows(self):
        blocks = self.blocks()
        self.ok('import', self.store, '-', '--quiet', stdin=blocks['indexed events'].encode())
        self.rebuild(self.path('orders.lua', blocks['indexed']))
        scans = blocks['indexed scans'].split('$ refold ')[1:]
        self.assertEqual(len(scans), 2)
        for scan in scans:
            command, rows = scan.split('\n', 1)
            command = [self.store if word == 'shop.refold' else word for word in shlex.split(command)]
            self.assertEqual(self.ok(*command).out.decode(), rows)

    def test_the_first_projection_of_the_readme_makes_rows(self):
        with open(os.path.join(tool.ROOT, 'README.md'), encoding='utf-8') as file:
            sources = re.findall(r'```lua\n(.*?)```', file.read(), re.S)
        self.assertEqual(len(sources), 1)
        projection = self.path('readme.lua', sources[0])
        cases = self.path('readme.cases.jsonl', self.blocks()['first cases'].split('\n{"case"')[0])
        self.ok('test', projection, cases)

    def test_the_page_names_all_examples(self):
        folder = os.path.join(tool.ROOT, 'projections', 'examples')
        with open(os.path.join(tool.ROOT, 'docs', 'PROJECTIONS.md'), encoding='utf-8') as file:
            named = re.findall(r'^\| `(\w+\.lua)`', file.read(), re.M)
        self.assertEqual(sorted(named), sorted(f for f in os.listdir(folder) if f.endswith('.lua')))

    def test_every_lua_file_of_the_page_is_run(self):
        with open(os.path.join(tool.ROOT, 'docs', 'PROJECTIONS.md'), encoding='utf-8') as file:
            self.assertEqual(file.read().count('```lua'), 9)


tool.main(__name__)
