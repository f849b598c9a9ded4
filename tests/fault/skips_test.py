"""kill -9 while events are put aside and taken back: what was acknowledged is on record, whatever else
was killed is there or not, and the next command works.
"""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

KILLS = 600 if os.environ.get('REFOLD_SOAK') else 60
EVENTS = 200


class SkipsAndKills(tool.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get('REFOLD_SEED', '9')))
        self.import_lines(
            *(event('order-%d' % (i % 9), 'ItemAdded', {'qty': 1}) for i in range(EVENTS))
        )
        self.usual = 0.02

    def run_and_kill(self, argv):
        """Whether the command was acknowledged."""
        start = time.monotonic()
        child = subprocess.Popen(
            [tool.refold, *argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.wait(self.random.random() * self.usual * 1.2)
            self.usual = 0.9 * self.usual + 0.1 * (time.monotonic() - start)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            self.usual *= 1.02
        return child.returncode == 0

    def test_what_was_acknowledged_is_on_record(self):
        sure, unsure, killed = set(), set(), 0
        plugin = self.plugin()
        for _ in range(KILLS):
            position = self.random.randrange(1, EVENTS + 1)
            add = not sure or self.random.random() < 0.7
            if not add:
                position = self.random.choice(sorted(sure))
            argv = ('skip' if add else 'unskip', self.store, 'counting', str(position))
            argv += ('--reason', 'killed or not') if add else ()
            acknowledged = self.run_and_kill(argv)
            killed += not acknowledged
            (sure.add if add and acknowledged else sure.discard)(position)
            (unsure.discard if acknowledged else unsure.add)(position)
            listed = tool.call('quarantine', self.store, 'counting', '--json')
            if listed.code == tool.FAILED and not sure:
                continue
            self.assertEqual(listed.code, 0, listed)
            there = {item['position'] for item in listed.json['items'] if not item['withdrawn']}
            self.assertLessEqual(sure, there, argv)
            self.assertLessEqual(there, sure | unsure, argv)
            sure, unsure = there, set()
        entry = self.rebuild(plugin)[0]
        self.assertEqual((entry['on_record'], entry['events']), (len(sure), EVENTS - len(sure)))
        self.ok('verify', self.store, '--serial')
        print('%d commands, %d of them killed' % (KILLS, killed))


tool.main(__name__)
