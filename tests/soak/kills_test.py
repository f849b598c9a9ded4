"""kill -9 of everything at once: an import, following and a command on the generations run beside each other, and
one of them, or all, are killed: at a random moment, or at one of the calls with which it changes files. In one round
of five the power is cut instead: all are killed, and of a command that runs alone what was not synced is lost with it.

The store is looked at from outside after each kill. The log is a prefix of a known one, and has what was
acknowledged. Every generation, live, colour or neither, has exactly the rows of the serial fold, by the
definition of its version, of the events up to its position. What a command reported done is so; what was pinned
or is a colour stays. And verify finds nothing, every tenth time with --serial. Rows are deleted and made again, one read model has a key of another field and
one a key that is carried.

    kills.sh BUILD                 30 kills; SOAK=full: 1,000. SOAK_SEED=N chooses what is run and killed, and
                                   SOAK_KILLS=N how many. Cut power is not counted.
"""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import aim
import tool

KILLS = int(os.environ.get('SOAK_KILLS', '1000' if os.environ.get('SOAK') == 'full' else '30'))
SEED = int(os.environ.get('SOAK_SEED', '1'))
FRESH = 50  # kills after which a new store is begun, so that checks stay fast
CHUNK = 40  # events of one import
CHUNKS_MAX = 8  # imports one after the other, of a round: each is a commit, and one of who follows
NAMES = ('counts', 'groups', 'owners')

DEFINITIONS = {
    'counts': """
name "counts" version (%(version)d) key "stream"
columns { "n int", "total int", "last text" }
index "last"
on ("Step", { "n int", "group text" }, function (row, e)
    row.n, row.total, row.last = row.n + 1, row.total + e.n * %(version)d, e.group
end)
on ("Closed", {}, function (row, e) row:delete() end)
""",
    'groups': """
name "groups" version (%(version)d) key { Step = "group text" }
columns { "n int", "total int" }
combine { n = "sum", total = "sum" }
on ("Step", { "n int" }, function (row, e)
    row.n = row.n + 1
    row.total = row.total + e.n * %(version)d
end)
""",
    'owners': """
name "owners" version (%(version)d) key "carried.owner text" no_key "ignore"
carry { owner = { Named = "owner text" } }
columns { "n int", "total int" }
on ("Step", { "n int" }, function (row, e)
    row.n, row.total = row.n + 1, row.total + e.n * %(version)d
end)
""",
}


def make_log(count):
    made, versions = [], collections.Counter()
    for i in range(count):
        stream = 'case-%d' % (i * 7919 % 97 * (i % 3 + 1))
        versions[stream] += 1
        type = 'Closed' if i % 17 == 16 else 'Named' if i % 7 == 3 else 'Step'
        data = {'n': i, 'group': 'g-%d' % (i * i % 23), 'owner': 'o-%d' % (i % 11)}
        made.append({'stream': stream, 'type': type, 'version': versions[stream], 'data': data})
    return made


class Fold:
    """The rows of one read model and version, event by event; asked for rising positions it goes on."""

    def __init__(self, name, version, log):
        self.name, self.version, self.log = name, version, log
        self.begin()

    def begin(self):
        self.position, self.rows, self.carried = 0, {}, {}

    def take(self, event):
        type, data, stream = event['type'], event['data'], event['stream']
        if type == 'Named':
            self.carried[stream] = data['owner']
        if type == 'Closed' and self.name == 'counts':
            self.rows.pop(stream, None)
        key = {'counts': stream, 'groups': data['group'], 'owners': self.carried.get(stream)}
        key = key[self.name]
        if type != 'Step' or key is None:
            return
        row = self.rows.setdefault(key, {'n': 0, 'total': 0})
        row['n'] += 1
        row['total'] += data['n'] * self.version
        if self.name == 'counts':
            row['last'] = data['group']

    def printed(self, position):
        """The bytes that scan prints at the position."""
        if position < self.position:
            self.begin()
        while self.position < position:
            self.take(self.log[self.position])
            self.position += 1
        dump = json.JSONEncoder(separators=(',', ':')).encode
        return ''.join(
            dump({'key': key, **self.rows[key]}) + '\n' for key in sorted(self.rows)
        ).encode()


class Command:
    """One that runs, and what it said when it ended."""

    def __init__(self, what, argv, program=tool.refold, env=None):
        self.what, self.argv, self.begun = what, argv, time.monotonic()
        self.code, self.killed = None, False
        self.process = subprocess.Popen(
            [program, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=dict(os.environ, **(env or {})),
        )

    def runs(self):
        return self.process.poll() is None

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(60)

    def end(self):
        out, err = self.process.communicate(timeout=120)
        self.out, self.err = out, err.decode('utf-8', 'replace')
        self.code = self.process.returncode
        # 137: a shell whose command was killed
        self.killed = self.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
        self.seconds = time.monotonic() - self.begun

    @property
    def done(self):
        return self.code == 0

    def __str__(self):
        end = 'killed' if self.killed else 'exit %s %s' % (self.code, (self.err or '').strip())
        what = ' '.join(self.argv[:1] + self.argv[2:])
        return '%s: %s' % (self.what if self.what in ('import', 'apply') else what, end)


class Kills(tool.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.usual = collections.defaultdict(lambda: 0.1)
        self.killed, self.how = collections.Counter(), collections.Counter()
        self.aim = aim.Aim(self, self.random)
        self.follower = None
        self.history = collections.deque(maxlen=12)

    def tearDown(self):
        self.kill_follower()
        super().tearDown()

    def kill_follower(self):
        """It may have died before."""
        follower, self.follower = self.follower, None
        if follower:
            follower.kill()
            follower.end()
        return follower

    # ---- the store's begin ----

    def begin(self, number):
        self.store = self.path('store%d.refold' % number)
        self.acknowledged, self.version = 0, 0
        self.folds = {}
        # Of commands that were killed: what they did may show with the next write only.
        self.may_retire, self.may_unpin, self.may_go_back = set(), set(), False
        self.checked = 0
        self.ok('import', self.store, *self.next_chunks(8), '--partitions', '8', '--quiet')
        self.acknowledged = 8 * CHUNK
        self.ok('rebuild', self.store, *self.definitions(), '--quiet')
        self.ok('rebuild', self.store, *self.definitions(), '--quiet')
        self.look('at the begin')

    def next_chunks(self, count):
        paths = []
        for i in range(count):
            first = self.acknowledged + i * CHUNK
            lines = (
                json.dumps(event, separators=(',', ':')) + '\n'
                for event in self.log[first : first + CHUNK]
            )
            paths.append(self.path('chunk%d.jsonl' % i, ''.join(lines)))
        return paths

    def definitions(self):
        self.version += 1
        return [
            self.path(name + '.lua', DEFINITIONS[name] % {'version': self.version})
            for name in NAMES
        ]

    # ---- what is run ----

    def some_names(self):
        return self.random.sample(NAMES, self.random.choice((1, 1, 2, 3)))

    def on_generations(self, aimed=None):
        """A command that changes generations, or None. `aimed`: how it is to die."""
        store, names = self.store, self.some_names()
        name = names[0]
        kinds = ('rebuild', 'rebuild', 'by name', 'no swap', 'swap', 'rollback', 'rollback')
        kind = self.random.choice(kinds + ('gc', 'repair', 'pin', 'unpin', 'none', 'none'))
        colours = [g for g in self.known.values() if g['colour']]
        if len(colours) > 4:
            kind = 'retire'
        colour = self.random.choice(colours) if colours else None
        generation = self.random.choice([g for g in self.known.values() if g['name'] == name])
        self.retires, self.unpins = None, None
        if kind == 'retire':
            self.retires = (colour['name'], colour['version'])
        if kind == 'unpin':
            self.unpins = name
        argv = {
            'rebuild': lambda: ['rebuild', store, *self.definitions(), '--quiet', '--keep', '2'],
            'by name': lambda: ['rebuild', store, *names, '--quiet'],
            'no swap': lambda: ['rebuild', store, *names, '--quiet', '--no-swap'],
            'swap': lambda: ['swap', store, *names],
            'rollback': lambda: ['rollback', store, *names]
            + self.random.choice(([], ['--catch-up'])),
            'gc': lambda: ['gc', store, '--keep', '1'],
            'repair': lambda: ['repair', store, name, '--prefix', self.random.choice('cgo')],
            'pin': lambda: ['pin', store, name, '--generation', str(generation['number'])],
            'unpin': lambda: ['unpin', store, name],
            'retire': lambda: ['retire', store, '%s@%d' % self.retires],
        }
        if kind not in argv:
            return None
        return Command(kind, argv[kind](), env=aimed and self.aim.at_a_call(kind, aimed))

    def on_log(self, aimed=None):
        """Imports, one after the other; it prints the number of each that was done. `aimed`: how one of them is
        to die."""
        kind = self.random.choice(('import', 'import', 'apply', 'none'))
        count = self.random.randint(1, CHUNKS_MAX)
        if kind == 'none' or self.acknowledged + count * CHUNK > len(self.log):
            return None
        options = '--apply --wait-lock 20' if kind == 'apply' else ''
        preload = 'env ' + ' '.join(
            '%s=%s' % pair for pair in (self.aim.at_a_call(kind, aimed) if aimed else {}).items()
        )
        script = (
            'n=0; for i in "$@"; do n=$((n + 1)); with=; [ $n != %d ] || with="%s"; '
            '$with "%s" import "%s" "$i" --quiet %s >&2 || exit; echo "$i"; done'
        ) % (self.random.randint(1, count), preload, tool.refold, self.store, options)
        return Command(kind, ['-c', script, 'sh', *self.next_chunks(count)], '/bin/sh')

    def keep_following(self):
        """Who dies at a call of its own may do so whenever it comes to it."""
        if self.follower and not self.follower.runs():
            self.note_ends([self.kill_follower()], 'at a call')
        if not self.follower and self.random.random() < 0.8:
            aimed = self.aim.at_some_call() if self.random.random() < 0.5 else None
            self.follower = Command('follow', ['follow', self.store, '--quiet'], env=aimed)

    def note_ends(self, commands, how):
        for command in commands:
            if command.code is None:
                command.end()
            self.killed[command.what] += command.killed
            self.how[how] += command.killed
            if command.what == 'follow':  # an apply may have come before
                self.assertTrue(command.killed or command.code == tool.LOCKED, 'it ended: %s' % command)
            if not command.killed:
                self.usual[command.what] = 0.7 * self.usual[command.what] + 0.3 * command.seconds

    def end_at_a_moment(self, running):
        """Kills one of them, or all."""
        victims = running + [self.follower] if self.follower else running
        may_be = running if running and self.random.random() < 0.75 else victims
        victim = self.random.choice(may_be)
        all_at_once = self.random.random() < 0.2
        time.sleep(self.random.random() * 1.1 * max(self.usual[c.what] for c in running + [victim]))
        for command in victims if all_at_once else [victim]:
            command.kill()

    def end_at_a_call(self, running, victims):
        """They die by themselves, if they come to the call; perhaps all others with them."""
        for victim in victims:
            victim.process.wait(120)
        if self.random.random() < 0.2:
            for command in running + [self.follower] if self.follower else running:
                command.kill()

    def one_round(self, number):
        how = self.random.choice(('at a moment',) * 7 + ('at a call',) * 9 + ('power',) * 4)
        if how == 'power':
            running = self.cut_power()
        else:
            self.keep_following()
            roles = [self.on_log, self.on_generations]
            aimed = self.random.choice(([0], [1], [0, 1])) if how == 'at a call' else []
            commands = [role(self.aim.mode() if i in aimed else None) for i, role in enumerate(roles)]
            running = [c for c in commands if c]
            if not running and not self.follower:
                return
            if not aimed:
                self.end_at_a_moment(running)
            else:
                self.end_at_a_call(running, [commands[i] for i in aimed if commands[i]])
            for command in running:
                command.end()
            if self.follower and not self.follower.runs():
                running.append(self.kill_follower())
            self.note_ends(running, how)
        self.aim.learn()
        context = 'seed %d, round %d, %s: %s' % (SEED, number, how, '; '.join(map(str, running)))
        self.history.append(context)
        self.judge(running, '\n'.join(self.history))

    def cut_power(self):
        """Of a command that is alone, what was not synced is lost: at a call, or behind its end."""
        follower = self.kill_follower()
        if follower:
            self.note_ends([follower], 'at a moment')
        role = self.random.choice((self.on_log,) * 2 + (self.on_generations,) * 2 + (self.once,))
        command = role('lose')
        if not command:
            return [follower] if follower else []
        command.end()
        self.how['power cut in it' if command.killed else 'power cut behind it'] += 1
        return [follower, command] if follower else [command]

    def once(self, aimed):
        argv = ['follow', self.store, '--once', '--quiet']
        return Command('once', argv, env=self.aim.at_a_call('once', aimed))

    # ---- what has to be so afterwards ----

    @staticmethod
    def colours(generations):
        """Versions that can be asked for, of those generations."""
        return {(g['name'], g['version']) for g in generations if g['colour'] or g['live']}

    @staticmethod
    def pinned(generations):
        return {(g['name'], g['version']) for g in generations if g['pinned']}

    def judge_kept(self, before, by_what, context):
        """Colours end by retire alone, and what is pinned stays."""
        colours, pinned = self.colours(before.values()), self.pinned(before.values())
        after = self.known.values()
        colours -= self.may_retire
        pinned = {p for p in pinned if p[0] not in self.may_unpin}
        if 'retire' in by_what:
            colours.discard(self.retires)
            if by_what['retire'].killed:
                self.may_retire.add(self.retires)
            if by_what['retire'].done:
                self.assertNotIn(self.retires, self.colours(after), context)
        if 'unpin' in by_what:
            pinned = {p for p in pinned if p[0] != self.unpins}
            if by_what['unpin'].killed:
                self.may_unpin.add(self.unpins)
            if by_what['unpin'].done:
                self.assertNotIn(self.unpins, {p[0] for p in self.pinned(after)}, context)
        self.assertLessEqual(colours, self.colours(after), 'a colour is gone\n' + context)
        self.assertLessEqual(pinned, self.pinned(after), 'a pin is gone\n' + context)
        for name in NAMES:
            versions = [g['version'] for g in after if g['name'] == name and g['colour']]
            self.assertEqual(len(versions), len(set(versions)), 'colours of a version\n' + context)

    def judge(self, running, context):
        before, known = self.live, self.known
        for command in running:
            self.assertTrue(command.killed or command.code in (0, 1, 3, 4, 5), context)
            self.assertTrue(command.killed or command.done or command.err, context)
        by_what = {command.what: command for command in running}
        for what in ('import', 'apply'):
            if what in by_what:
                self.acknowledged += CHUNK * len(by_what[what].out.splitlines())
        begun = time.monotonic()
        self.look(context)
        self.assertLess(time.monotonic() - begun, 120, context)
        self.judge_kept(known, by_what, context)
        goes_back = 'rollback' in by_what or self.may_go_back
        if 'rollback' in by_what:
            self.may_go_back = by_what['rollback'].killed
        elif any(by_what[what].done for what in ('swap', 'rebuild', 'by name') if what in by_what):
            self.may_go_back = False
        for name in NAMES:
            if not goes_back:
                self.assertGreaterEqual(
                    self.live[name]['position'], before[name]['position'], context
                )
            if 'rebuild' in by_what and by_what['rebuild'].done:
                self.assertEqual(self.live[name]['version'], self.version, context)
            applied = [by_what[what] for what in ('apply', 'once') if what in by_what]
            if any(command.done for command in applied) and not goes_back:
                self.assertGreaterEqual(self.live[name]['position'], self.acknowledged, context)

    def look(self, context):
        """At all of the store. What was imported beyond what was acknowledged is taken note of."""
        info = tool.call('info', self.store, '--json', seconds=60)
        self.assertEqual(info.code, 0, '%s\n%s' % (context, info))
        events = info.json['events']
        self.assertGreaterEqual(events, self.acknowledged, 'acknowledged events are lost\n' + context)
        listed = self.ok('events', self.store, '--from', str(self.checked + 1))
        numbers = [json.loads(line)['data']['n'] for line in listed.out.splitlines()]
        # A commit whose process died right behind it may show between the two.
        self.assertGreaterEqual(self.checked + len(numbers), events, context)
        events = self.checked + len(numbers)
        self.assertEqual(numbers, list(range(self.checked, events)), context)
        self.acknowledged = self.checked = events
        self.look_at_rows(context)
        serial = ['--serial'] if len(self.history) and self.random.random() < 0.1 else []
        verify = tool.call('verify', self.store, *serial)
        self.assertEqual(verify.code, 0, '%s\n%s' % (context, verify))

    def generations(self):
        found = self.ok('generations', self.store, '--json').json['generations']
        return {(g['name'], g['number']): g for g in found}

    def look_at_rows(self, context):
        """Rows may move on while they are read here: then they are read again."""
        due, deadline = self.generations(), time.monotonic() + 60
        while due:
            for key in sorted(due, key=lambda key: due[key]['position']):
                which = [key[0], '--generation', str(key[1])]
                if due[key]['colour']:
                    which = ['%s@%d' % (key[0], due[key]['version'])]
                due[key]['rows_read'] = tool.call('scan', self.store, *which)
            after = self.generations()
            for key, generation in list(due.items()):
                # What a killed retire did may show meanwhile, too.
                same = ('position', 'colour')
                if key not in after or all(after[key][of] == generation[of] for of in same):
                    del due[key]
                    if key in after:
                        self.compare(generation, context)
                else:
                    due[key] = after[key]
            self.assertLess(time.monotonic(), deadline, context)
        self.known = after
        self.live = {g['name']: g for g in after.values() if g['live']}
        self.assertEqual(sorted(self.live), sorted(NAMES), context)

    def compare(self, generation, context):
        name, version = generation['name'], generation['version']
        fold = self.folds.setdefault((name, version), Fold(name, version, self.log))
        read = generation['rows_read']
        self.assertEqual(read.code, 0, '%s\n%s' % (context, read))
        self.assertEqual(
            read.out.decode(),
            fold.printed(generation['position']).decode(),
            '%s generation %d, version %d, is not at its position %d\n%s'
            % (name, generation['number'], version, generation['position'], context),
        )

    def test_nothing_acknowledged_is_lost_and_rows_are_those_of_their_position(self):
        print('seed %d' % SEED)
        self.log = make_log(CHUNK * CHUNKS_MAX * FRESH // 2)
        store, rounds = 0, 0
        while sum(self.killed.values()) < KILLS:
            if rounds % FRESH == 0:
                self.end_store()
                self.begin(store)
                store += 1
            self.one_round(rounds)
            rounds += 1
            self.assertLess(rounds, 20 * KILLS + 100, 'too few are killed: %s' % self.killed)
        self.end_store()
        for what in self.killed, self.how:
            told = ', '.join('%s %d' % pair for pair in sorted(what.items()))
            print('%d rounds, %d killed: %s' % (rounds, sum(self.killed.values()), told))

    def end_store(self):
        """After all of it the store works as if nothing had been."""
        self.kill_follower()
        if not os.path.exists(self.store):
            return
        # A commit whose process died right behind it shows when nobody has the log open any more.
        self.look('before the end of a store\n' + '\n'.join(self.history))
        self.ok('rebuild', self.store, *self.definitions(), '--quiet')
        self.ok('follow', self.store, '--once')
        for generation in self.generations().values():
            if generation['live'] or generation['colour']:
                self.assertEqual(generation['position'], self.acknowledged, generation)
        for name in NAMES:
            self.ok('unpin', self.store, name)
        for colour in [g for g in self.generations().values() if g['colour']]:
            self.ok('retire', self.store, '%(name)s@%(version)d' % colour)
        self.ok('gc', self.store, '--keep', '1')
        self.assertEqual(len(self.generations()), len(NAMES))
        self.look('at the end of a store\n' + '\n'.join(self.history))
        for name in NAMES:
            self.assertEqual(self.live[name]['position'], self.acknowledged)
        self.ok('verify', self.store, '--serial')
        subprocess.run(['rm', '-r', self.store], check=True)


tool.main(__name__)
