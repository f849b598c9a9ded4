"""A random walk without kills: commands on generations, one after the other, beside a log that grows and a follower
that comes and goes.

What each has to print, its exit code, and what is there afterwards, is told by a model: which generations there are
(walk_model.py), and the rows of each, folded serially outside of the store (walk_definitions.py). All of them are
looked at after each command (walk_checks.py): flags, positions, rows, digests, status.

    walk.sh BUILD                  some seconds; SOAK=full: many seeds. SOAK_SEED=N chooses definitions, events and
                                   commands, SOAK_STEPS=N how many commands;
                                   SOAK_KEEP=FOLDER keeps a store for which it failed.
"""

import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
import walk_definitions
import walk_model
import walk_reads

FULL = os.environ.get('SOAK') == 'full'
SEED = int(os.environ.get('SOAK_SEED', '12'))
SEEDS = int(os.environ.get('SOAK_SEEDS', '40' if FULL else '1'))
KEEP = os.environ.get('SOAK_KEEP')
STEPS = int(os.environ.get('SOAK_STEPS', '150' if FULL else '60'))


class Walk(walk_reads.Reads):
    OPERATIONS = (
        ('grow',) * 6 + ('grow_and_apply',) * 2 + ('follow_once',) * 3 + ('toggle_following',) * 3
        + ('deploy',) * 4 + ('rebuild_by_name',) * 5 + ('rebuild_until',) + ('rebuild_if_changed',)
        + ('swap',) * 3 + ('rollback',) * 3 + ('flip_set',) * 2 + ('collect',) + ('pin', 'unpin', 'retire')
        + ('skip',) * 2 + ('unskip',) + ('resume',) * 2 + ('put_aside_and_resume',) * 3
        + ('back_and_forward',) * 3 + ('diff',) * 3 + ('read',) * 3 + ('as_of',) * 2 + ('repair',) * 2 + ('wait',) + ('verify',)
    )  # fmt: skip

    def begin(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        r = self.random
        self.store = self.path('store%d.refold' % seed)
        self.model, self.digests, self.history = walk_model.Model(), {}, ['seed %d' % seed]
        self.follower, self.definitions = None, {}
        modes = ['stream'] + r.sample(walk_definitions.MODES[1:], 3)
        self.modes = {'by_' + mode: mode for mode in modes}
        self.names = sorted(self.modes)
        size = r.choice((10, 40, 40, 400))  # streams; many make rows enough for merges
        self.events = walk_definitions.Events(r, size)
        self.is_large = size == 400
        self.chunk = 4 * size if self.is_large else 60
        self.bad = r.choice((0, 0.01, 0.05))
        self.import_events(self.chunk * 2, ('--partitions', str(r.choice((1, 2, 8)))))
        for name in self.names:
            self.deploy_first(name)
        self.look()

    def one_step(self):
        operation = self.random.choice(self.OPERATIONS)
        self.history.append('')
        getattr(self, operation)()
        self.settle()
        if self.is_large and self.follower:  # it merges at any time
            self.end_following()
            self.look()
            self.start_following(self.following)
        else:
            self.look()
        self.done[operation] = self.done.get(operation, 0) + 1

    def test_every_command_leaves_what_the_model_says(self):
        self.done = {}
        for seed in range(SEED, SEED + SEEDS):
            print('seed %d' % seed)
            self.begin(seed)
            try:
                for _ in range(STEPS):
                    self.one_step()
                self.end_following()
                self.ok('verify', self.store, '--serial')
            except BaseException:
                if KEEP:
                    tool.copy_store(self.folder, KEEP)
                raise
            finally:
                self.end_following()
            subprocess.run(['rm', '-r', self.store], check=True)
        print(', '.join('%s %d' % pair for pair in sorted(self.done.items())))


tool.main(__name__)
