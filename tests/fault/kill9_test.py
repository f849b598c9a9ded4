"""kill -9 at random moments of import, rebuild, follow, rollback, swap and gc: nothing acknowledged lost,
nothing half-visible.

A process group is killed after a random part of the time that the command usually takes. What it
had acknowledged (its exit code 0, kept outside the store) must be there, the live rows must be
the serial fold of the position that the store names, and the next command must start at once. 100
kills; REFOLD_SOAK=1 for 1,000. Validated by hand: an import that drops its last event, a row that
is altered and a store that is rewritten in place each fail it.
"""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import story
import tool

KILLS = 1000 if os.environ.get('REFOLD_SOAK') else 100
FRESH = 20  # kills after which a new store is begun, so that its size stays small
CHUNK = 2500


class Kill9(tool.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get('REFOLD_SEED', '9')))
        self.usual = {}
        self.killed = 0

    def run_and_kill(self, command, feed, kill):
        """Exit code of the command, None if it was killed before it ended."""
        argv = [tool.refold, command, self.store] + self.arguments(command)
        start = time.monotonic()
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if kill:
            delay = self.random.random() * self.usual.get(command, 0.05) * 1.1
            timer = subprocess.Popen(['sleep', '%.4f' % delay])
        writer = subprocess.Popen(['cat', feed], stdout=child.stdin) if feed else None
        child.stdin.close()
        if kill:
            timer.wait()
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        out, err = child.stdout.read(), child.stderr.read()
        code = child.wait()
        child.stdout.close()
        child.stderr.close()
        if writer:
            writer.wait()
        if not kill:
            self.usual[command] = time.monotonic() - start
        if code == -signal.SIGKILL:
            self.killed += 1
            return None
        self.assertIn(code, (0, 1, 3), '%s: %s %s' % (argv, code, err))
        self.assertTrue(code == 0 or err, '%s failed without a word' % argv)
        return code

    def arguments(self, command):
        return {
            'import': ['-', '--quiet'],
            'rebuild': [tool.projection(story.NAME), '--quiet'],
            'follow': [story.NAME, '--once', '--quiet'],
            'gc': ['--keep', '2'],
        }.get(command, [story.NAME])

    def one_store(self, log, kills):
        place = story.Story(self, self.store, log)
        events, generation = 0, 0
        feed = self.path('chunk')
        for kill in range(-4, kills):
            # The first commands of a store run undisturbed and give the usual times.
            order = ('import', 'rebuild', 'rebuild', 'rollback')
            command = (
                order[kill + 4]
                if kill < 0
                else self.random.choice(
                    (
                        'import',
                        'import',
                        'import',
                        'rebuild',
                        'rebuild',
                        'rebuild',
                        'follow',
                        'follow',
                        'rollback',
                        'swap',
                        'gc',
                    )
                )
            )
            if command == 'import':
                self.path('chunk', place.chunk(events, events + CHUNK))
            wanted = min(len(log), events + CHUNK)
            code = self.run_and_kill(command, feed if command == 'import' else None, kill >= 0)
            acknowledged = wanted if command == 'import' and code == 0 else events
            flips = command in ('rollback', 'swap')
            least = (
                0 if flips else generation + 1 if command == 'rebuild' and code == 0 else generation
            )
            start = time.monotonic()
            context = '%s, kill %d, exit %s' % (command, kill, code)
            events, generation = place.check(acknowledged, least, context)
            self.assertLess(time.monotonic() - start, 20, context)
        # After all of it the store works as if nothing had been.
        self.ok('rebuild', self.store, tool.projection(story.NAME), '--quiet')
        place.check(events, 1, 'at the end')

    def test_nothing_acknowledged_is_lost_and_nothing_is_half_visible(self):
        log = story.make_log(CHUNK * FRESH)
        for i in range(0, KILLS, FRESH):
            self.store = os.path.join(self.folder, 'store%d.refold' % i)
            self.one_store(log, min(FRESH, KILLS - i))
        print('kill -9: %d commands, %d of them killed before they ended' % (KILLS, self.killed))
        self.assertGreater(self.killed, KILLS // 4, 'too few were killed for this to mean anything')


tool.main(__name__)
