"""Kills that are aimed: the shim of the fault tests makes a command die at one of its calls that change files,
which a kill at a random moment hits seldom: between two of them lie some microseconds.

How many such calls a kind of command makes is learned from those that ended before theirs came.
"""

import collections
import os
import subprocess

import tool

WRITES = 'pwrite,write,writev,pwritev'
SYNCS = 'fsync,fdatasync'
NAMES = 'mkdir,link,rename,unlink,rmdir'
ALL = ','.join((WRITES, SYNCS, NAMES, 'ftruncate,posix_fallocate'))
CALLS = (ALL, WRITES, SYNCS, NAMES)
OF_A_MOVE = (ALL, WRITES, SYNCS)  # it changes no names
FIRST_GUESS = 10


class Aim:
    def __init__(self, case, random):
        self.case, self.random = case, random
        self.usual = collections.defaultdict(lambda: FIRST_GUESS)  # by kind of command and calls
        self.aimed = []  # since what was counted was learned: kind and calls, and where their number will stand
        self.keep, self.shim = case.path('kept'), case.path('shim.so')
        os.mkdir(self.keep)
        source = os.path.join(tool.HERE, 'fault', 'shim.c')
        flags = '-std=gnu17 -D_GNU_SOURCE -O1 -shared -fPIC -o'.split()
        subprocess.run(['cc', *flags, self.shim, source, '-ldl'], check=True)

    def environment(self, calls, number, mode):
        return {
            # Named so by the loader of the sanitizers, which wants to come first.
            'ASAN_OPTIONS': 'verify_asan_link_order=0',
            'FAULT_AT': str(number),
            'FAULT_CALLS': calls,
            'FAULT_MODE': mode,
            'LD_PRELOAD': self.shim,
            'UNSYNCED_KEEP': self.keep,
        }

    def at_a_call(self, kind, mode):
        """What to add to the environment of a command of this kind, which dies before one of its calls, or
        ('die') right behind it; 'lose': with all lost that was not synced."""
        what = (kind, self.random.choice(CALLS))
        beyond = 1.8 if mode == 'lose' else 1.2
        number = 1 + int(self.random.random() * beyond * self.usual[what])
        count = self.case.path('calls%d' % len(self.aimed))
        self.aimed.append((what, count))
        return dict(self.environment(what[1], number, mode), FAULT_COUNT=count)

    def at_some_call(self):
        """For one that runs on and on: nobody knows how many calls it will make."""
        number = int(2 ** (7 * self.random.random()))
        return self.environment(self.random.choice(OF_A_MOVE), number, self.mode())

    def mode(self):
        return self.random.choice(('kill', 'die'))

    def learn(self):
        """When all have ended: the number of calls of each that came to its end."""
        for what, count in self.aimed:
            if os.path.exists(count):
                with open(count, encoding='ascii') as file:
                    self.usual[what] = int(file.read())
                os.remove(count)
        self.aimed = []
