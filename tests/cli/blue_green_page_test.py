"""docs/BLUE-GREEN.md: its commands, run as they stand there, beside a process that follows."""

import os
import re
import shlex
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

MORE = '{"stream":"order-1","type":"ItemAdded","data":{"qty":4,"price":2.25}}\n'


class Page(tool.Case):
    def blocks(self):
        with open(os.path.join(tool.ROOT, 'docs', 'BLUE-GREEN.md'), encoding='utf-8') as file:
            return re.findall(r'runs: ([\w. -]+) -->\n```\w*\n(.*?)```', file.read(), re.S)

    def run_command(self, words):
        if words[-1] == '&':
            follower = subprocess.Popen(
                [tool.refold, *words[:-1]],
                cwd=self.folder,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self.addCleanup(follower.wait)
            self.addCleanup(os.killpg, follower.pid, signal.SIGKILL)
            return ''
        return self.ok(*words, cwd=self.folder).out.decode()

    def test_every_command_does_what_the_page_says(self):
        printed = {}
        for name, text in self.blocks():
            if name == 'events':
                self.path('events.jsonl', text)
                self.path('more.jsonl', MORE)
            elif name.endswith(('.lua', '.txt')):
                self.path(name, text)
            else:
                commands = text.split('$ refold ')[1:]
                printed[name] = [self.run_command(shlex.split(line)) for line in commands]
            if name == 'back':
                held = self.ok('status', 'shop.refold', '--json', cwd=self.folder).json['models'][0]
                self.assertEqual((held['version'], held['held']), (1, True))
                self.assertEqual([c['name'] for c in held['colours']], ['orders@2'])
        self.assertEqual(
            list(printed),
            [
                *('begin', 'build', 'look', 'diff', 'swap', 'wait', 'both', 'back', 'gates'),
                *('forward', 'retire', 'past', 'repair'),
            ],
            'blocks of the page',
        )
        self.assertIn('"items":2,"total":"3.00"', printed['look'][0])
        with open(os.path.join(tool.ROOT, 'docs', 'BLUE-GREEN.md'), encoding='utf-8') as file:
            self.assertIn('```\n' + printed['diff'][0] + '```', file.read())
        self.assertEqual(printed['diff'][1], '')
        self.assertIn('orders 1 -> 2', printed['swap'][0])
        self.assertIn('"items":6,"total":"12.00"', printed['wait'][2])
        old, new = printed['both'][1:3]
        self.assertEqual(old, '{"key":"order-1","customer":"c-1","total":"12.00"}\n')
        self.assertEqual(new, '{"key":"order-1","customer":"c-1","items":6,"total":"12.00"}\n')
        self.assertIn('0 added, 0 removed, 0 changed, 2 as they were', printed['both'][3])
        self.assertIn('orders@1 ', printed['both'][4])
        self.assertIn('orders 2 -> 1, position 5, 0 events behind', printed['back'][0])
        self.assertIn('orders generation 3', printed['gates'][0])
        self.assertIn('refold retire shop.refold orders@2` ends it', printed['forward'][0])
        self.assertRegex(printed['forward'][1], r' 2 +colour, held ')
        self.assertIn('orders generation 3 stays, pinned', printed['retire'][3])
        # Who follows may hold one of the first two a moment longer: then the second gc takes it.
        removed = [int(re.match(r'(\d+) generations? removed', printed['retire'][i])[1]) for i in (3, 5)]
        self.assertEqual(sum(removed), 3)
        self.assertGreater(removed[1], 0)
        self.assertEqual(
            printed['past'][0], '{"key":"order-1","customer":"c-1","items":2,"total":"3.00"}\n'
        )
        self.assertEqual(printed['past'][2].count('"key"'), 2)
        self.assertEqual(printed['repair'], ['', ''])
        row = self.ok('get', 'shop.refold', 'orders', 'order-1', cwd=self.folder).json
        self.assertEqual((row['items'], row['total']), (6, '12.00'))
        self.ok('verify', 'shop.refold', '--serial', cwd=self.folder)


tool.main(__name__)
