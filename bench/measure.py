"""How the bench measures: processes, logs and stores that are kept between runs, the machine.

A figure of refold is that of a whole process as a user starts it: wall clock from start to exit,
processor time, peak memory and bytes written from the kernel's account of that child. A sync comes
before each, so that none pays for the writes of the one before.
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OWN_KIB_MAX = 48 << 10
# What each kind of log is made with; see orders.c.
KINDS = {
    'orders': [],
    'rare': ['--rare'],
    'wide': ['--remark', '1024'],
    'single': ['--single'],
    'skewed': ['--skewed'],
}


def say(text):
    print('%s  %s' % (time.strftime('%H:%M:%S'), text), file=sys.stderr, flush=True)


class Run:
    """One process and what it took."""

    def __init__(self, argv, stdin=None, may_fail=False, preload=None):
        """`preload`: for LD_PRELOAD."""
        # A child's peak begins as that of whom it was forked from.
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > OWN_KIB_MAX:
            sys.exit('the bench itself has grown too large to measure the memory of others')
        os.sync()
        start = time.monotonic()
        child = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, env=preload and {**os.environ, 'LD_PRELOAD': preload}
        )
        self.out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        self.seconds = time.monotonic() - start
        child.stdout.close()
        self.code = child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss * 1024
        self.written = usage.ru_oublock * 512
        if self.code and not may_fail:
            sys.exit('failed with exit %d: %s' % (self.code, ' '.join(argv)))

    @property
    def json(self):
        return json.loads(self.out)


class Figures:
    """Several measurements of one thing."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.best, self.worst = min(self.values), max(self.values)

    def __str__(self):
        digits = 3 if self.median >= 0.1 else 4
        if len(self.values) == 1:
            return '%.*f s' % (digits, self.median)
        return '%.*f s (%.*f to %.*f)' % (
            digits,
            self.median,
            digits,
            self.best,
            digits,
            self.worst,
        )


def disk_bytes(path):
    """Bytes that the files under `path` take on disk."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names)
    return total


def megabytes(size):
    return '%s MB' % format(round(size / 1e6), ',')


class Bench:
    """A build, a folder for what is kept, and how much is measured."""

    def __init__(self, build, cache):
        self.build, self.cache = build, cache
        self.events = int(os.environ.get('EVENTS', '10000000'))
        self.runs = int(os.environ.get('RUNS', '5'))
        self.workers = int(os.environ.get('WORKERS') or len(os.sched_getaffinity(0)))
        self.refold = os.path.join(build, 'refold')
        with open(self.refold, 'rb') as file:
            self.stamp = hashlib.sha1(file.read()).hexdigest()[:12]

    def plugin(self, name):
        for folder in ('projections', 'bench/projections'):
            path = os.path.join(self.build, folder, name + '.so')
            if os.path.exists(path):
                return path
        sys.exit('%s was not built' % name)

    def path(self, *parts):
        return os.path.join(self.cache, *parts)

    def generator(self, kind, events):
        return [os.path.join(self.build, 'bench', 'orders'), str(events), *KINDS[kind]]

    def log(self, kind='orders', events=None, csv=False):
        """The file of a log; made where it is not there yet."""
        events = events or self.events
        path = self.path('%s-%d.%s' % (kind, events, 'csv' if csv else 'jsonl'))
        if not os.path.exists(path):
            say('writing %s' % os.path.basename(path))
            argv = self.generator(kind, events) + (['--csv'] if csv else [])
            with open(path + '.tmp', 'wb') as file:
                subprocess.run(argv, stdout=file, stderr=subprocess.DEVNULL, check=True)
            os.rename(path + '.tmp', path)
        return path

    def fresh(self, name):
        """Path of a store that is not there."""
        path = self.path(name + '.refold')
        shutil.rmtree(path, ignore_errors=True)
        return path

    def store(self, kind='orders', events=None):
        """A store that this build has imported a log into, whole and without read models."""
        events = events or self.events
        path = self.path('%s-%d.refold' % (kind, events))
        stamp = path + '.stamp'
        if os.path.exists(stamp):
            with open(stamp) as file:
                if file.read() == self.stamp:
                    return path
            os.unlink(stamp)
        shutil.rmtree(path, ignore_errors=True)
        say('importing %d events, %s' % (events, kind))
        with subprocess.Popen(
            self.generator(kind, events), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as source:
            Run([self.refold, 'import', path, '-', '--quiet', '--json'], stdin=source.stdout)
        with open(stamp, 'w') as file:
            file.write(self.stamp)
        return path

    def imports(self, store, *arguments):
        return Run([self.refold, 'import', store, *arguments, '--quiet', '--json'])

    def rebuild(self, store, *projections, workers=None, options=(), preload=None):
        """One rebuild, durable and swapped in when it returns."""
        return Run(
            [
                self.refold,
                'rebuild',
                store,
                *map(self.plugin, projections),
                '--workers',
                str(self.workers if workers is None else workers),
                '--json',
                '--quiet',
                *options,
            ],
            preload=preload,
        )

    def rebuilds(self, store, *projections, **how):
        """A rebuild that is not counted, then as many as there are runs."""
        self.rebuild(store, *projections, **how)
        return [self.rebuild(store, *projections, **how) for _ in range(self.runs)]

    def replay(self, store, *projections, workers):
        """`refold bench`, without the live read models."""
        return Run(
            [
                self.refold,
                'bench',
                store,
                *map(self.plugin, projections),
                '--workers',
                workers,
                '--runs',
                str(self.runs),
                '--json',
                '--quiet',
            ]
        ).json

    def reader(self, *arguments):
        return Run([os.path.join(self.build, 'bench', 'reader'), *map(str, arguments)]).json

    def machine(self):
        model = 'unknown processor'
        with open('/proc/cpuinfo') as file:
            for line in file:
                if line.startswith('model name'):
                    model = line.split(':', 1)[1].strip()
                    break
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
        kind = subprocess.run(
            ['stat', '-f', '-c', '%T', self.cache], stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        return '%s, %d cores, %.0f GB, Linux %s, %s' % (
            model,
            len(os.sched_getaffinity(0)),
            memory / 1e9,
            platform.release(),
            kind,
        )


def commit():
    git = ['git', '-C', ROOT, 'describe', '--always', '--dirty']
    try:
        return subprocess.run(
            git, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'not a git checkout'
