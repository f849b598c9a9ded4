"""The walk's log, who follows, and rebuilds: each operation chooses a command, runs it, demands the exit code and what
is printed, and tells the model."""

import json
import os
import signal
import subprocess
import time

import tool
import walk_checks
import walk_definitions
import walk_gates

WAIT = ('--wait-lock', '60')  # who follows merges at times
LENIENT = ('--allow-missing', '--min-rows', '0', '--max-removed', '100%')
COLOURS_MAX = 6  # then versions are retired, so that all stays fast


class Rebuilds(walk_checks.Checks):
    def run_tool(self, *argv, codes=(0,), **how):
        """Runs it; notes it in the history. The codes are those that may be."""
        argv = [str(a) for a in argv]
        result = tool.call(*argv, **how)
        shown = ' '.join(argv[:1] + argv[2:])
        self.history.append('%s: exit %d %s' % (shown, result.code, result.message.strip()[:300]))
        self.want(result.code in codes, 'exit', result.code, 'instead of', codes, result)
        if result.code not in (0, 3):
            self.want(result.message.count('\n') == 1, 'one line:', result)
        return result

    def some_names(self):
        return self.random.sample(self.names, self.random.choice((1, 1, 1, 2, len(self.names))))

    def name(self):
        return self.random.choice(self.names)

    # ---- the log, and who follows ----

    def import_events(self, count, options=(), codes=(0,)):
        made = self.events.make(count, self.bad if self.model.log else 0)
        lines = ''.join(json.dumps(e, ensure_ascii=False) + '\n' for e in made).encode()
        result = self.run_tool(
            'import', self.store, '-', '--quiet', *options, stdin=lines, codes=codes
        )
        self.model.log += made
        return result

    def count(self):
        return self.random.choice((1, 3, 10, self.chunk // 4, self.chunk))

    def grow(self):
        self.import_events(self.count())

    def grow_and_apply(self):
        result = self.import_events(self.count(), ('--apply', *WAIT), codes=(0, 4))
        names = self.names
        self.judge_followed([g for name in names for g in self.model.followed(name)])
        suspended = any(self.model.living(name).suspended for name in names)
        self.want(result.code == (4 if suspended else 0), result)

    def follow_once(self):
        self.end_following()
        names = self.random.choice(([], [], self.some_names()))
        followed, meant = [], []
        if names and self.random.random() < 0.5:
            generation = self.random.choice(self.model.followed(names[0]))
            names = ['%s@%d' % (generation.name, generation.version)]
            followed = meant = [generation]
        else:
            for name in names or self.names:
                followed += self.model.followed(name)
                meant.append(self.model.living(name))
        result = self.run_tool('follow', self.store, *names, '--once', '--quiet', codes=(0, 4))
        self.judge_followed(followed)
        suspended = any((g.replaced or g).suspended for g in meant)
        self.want(result.code == (4 if suspended else 0), result)

    def toggle_following(self):
        if self.follower:
            self.end_following()
            return
        self.start_following(self.random.choice((self.names, self.names, self.some_names())))

    def start_following(self, following):
        self.following = following
        names = [] if self.following is self.names else self.following
        argv = [tool.refold, 'follow', self.store, *names, '--quiet', *WAIT]
        self.follower = subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True)
        self.history.append('follow %s &' % ' '.join(names))

    def end_following(self):
        follower, self.follower = self.follower, None
        if follower:
            follower.send_signal(signal.SIGINT)
            code = tool.wait_for(follower, 60)
            self.history.append('follow ended: %s' % code)
            # It may not have come to catching the signal.
            self.want(code in (tool.INTERRUPTED, -signal.SIGINT), follower.stderr.read())
            follower.stderr.close()

    def settle(self):
        """Who follows is where the log is."""
        if not self.follower:
            return
        followed = [g for name in self.following for g in self.model.followed(name)]
        deadline = time.monotonic() + 60
        while True:
            self.want(self.follower.poll() is None, 'who follows ended')
            status = {k: v for k, v in self.served().items() if k[0] in self.following}
            if all(s['lag'] == 0 or 'suspended_at' in s for s in status.values()):
                break
            self.want(time.monotonic() < deadline, 'who follows does not come to the end:', status)
            time.sleep(0.002)
        self.judge_followed(followed)

    # ---- rebuilds ----

    def new_definition(self, name):
        version = 1 + max([d.version for d in self.definitions.get(name, ())] or [0])
        seed = self.random.randrange(10**9)
        made = walk_definitions.Definition(name, version, self.modes[name], seed)
        made.path = self.path('%s-%d-%d.lua' % (name, self.seed, version), made.source())
        self.definitions.setdefault(name, []).append(made)
        return made

    def deploy_first(self, name):
        definition = self.new_definition(name)
        self.run_tool('rebuild', self.store, definition.path, '--quiet', *LENIENT)
        self.model.flip(*self.take_built([definition], 'stop', self.model.end))

    def take_built(self, definitions, policy, position):
        """The model's generations of a rebuild; their numbers and their set are the store's to say."""
        model, listed = self.model, self.listed()
        self.take_merges(listed, collected=True)
        made = []
        for definition in definitions:
            name = definition.name
            new = [key for key in listed if key[0] == name and key not in model.generations]
            self.want(len(new) == 1, 'new generations of', name, new)
            number, set = new[0][1], listed[new[0]]['set']
            self.want(number > model.highest[name], 'the number', number, 'was given before')
            aside = {p for p in model.skips[name] if p <= position}
            made.append(model.add(name, number, definition, policy, aside, position, set))
        sets = {g.set for g in made}
        self.want(len(sets) == 1 and min(sets) > model.set, 'sets', sets, 'after', model.set)
        model.set = max(sets)
        return made

    def fails(self, definitions, policy, position):
        """Whether an event does, of those up to the position."""
        model = self.model
        return any(
            model.fold_of(d, policy, model.skips[d.name], position).failed for d in definitions
        )

    def policy(self):
        policy = self.random.choice(('stop', 'stop', 'skip', 'quarantine'))
        return policy, ('--on-error', policy, '--max-errors', '100000') if policy != 'stop' else ()

    def how_to_build(self):
        """Options that change no row."""
        r = self.random
        options = ['--workers', r.choice((0, 1, 2, 3)), '--memory', r.choice(('1M', '256M'))]
        return options + r.choice(([], [], ['--full'])) + ['--allow-missing', '--quiet', *WAIT]

    def rebuild(self, definitions, operands):
        """With a swap, or without."""
        r, model, end = self.random, self.model, self.model.end
        if self.is_large:
            self.end_following()  # its merges come at any time
        policy, options = self.policy()
        keep = r.choice((1, 2, 3, 3))
        together = len(definitions) == 1 or r.random() < 0.7
        swaps = r.random() < 0.75
        gates = walk_gates.Gates(self, definitions) if swaps else None
        argv = ['rebuild', self.store, *operands, *self.how_to_build(), *options]
        argv += [] if together else ['--independent']
        argv += [*gates.options, '--keep', keep] if swaps else ['--no-swap']
        result = self.run_tool(*argv, codes=(0, 1, 4))
        if self.fails(definitions, policy, end):
            self.want(result.code == 1, 'an event fails, and', result)
            return
        made = self.take_built(definitions, policy, end)
        refused = [g for g in made if swaps and gates.refuse(g)]
        self.want(result.code == (4 if refused else 0), [str(g) for g in refused], result)
        if not swaps or refused and together:
            return
        for generation in made:
            if generation not in refused:
                model.flip(generation)
        if not refused:
            # Who follows may still have open what was live.
            held = self.listed() if self.follower else ()
            for generation in made:
                model.collect(generation.name, keep, held)

    def deploy(self):
        """A changed definition, or an older one once more."""
        if any(len(self.model.colours[name]) > COLOURS_MAX for name in self.names):
            return self.retire()
        names = self.some_names()
        if self.random.random() < 0.75:
            definitions = [self.new_definition(name) for name in names]
        else:
            definitions = [self.random.choice(self.definitions[name]) for name in names]
        paths = [definition.path for definition in definitions]
        if any(d.version < self.model.living(d.name).version for d in definitions):
            self.run_tool('rebuild', self.store, *paths, '--allow-missing', '--quiet', codes=(4,))
            return None
        return self.rebuild(definitions, paths)

    def rebuild_by_name(self):
        names = self.some_names()
        operands = names if len(names) < len(self.names) else ['--all']
        if operands == ['--all']:
            names = self.names
        self.rebuild([self.model.living(name).definition for name in names], operands)

    def rebuild_until(self):
        r, model = self.random, self.model
        position = until = r.randint(1, model.end)
        if r.random() < 0.4:
            times = [e['time'] for e in model.log[:position] if 'time' in e]
            until = max(times) if times else position
            position = model.prefix_until(until) if times else position
        policy, options = self.policy()
        definition = model.living(self.name()).definition
        argv = ['rebuild', self.store, definition.name, '--no-swap', '--until', until]
        result = self.run_tool(*argv, *self.how_to_build(), *options, codes=(0, 1))
        failed = self.fails([definition], policy, position)
        self.want(result.code == (1 if failed else 0), result)
        if not failed:
            self.take_built([definition], policy, position)

    def rebuild_if_changed(self):
        names, model = self.some_names(), self.model
        policy, options = self.policy()
        lives = [model.living(name) for name in names]
        same = all(
            g.position == model.end
            and g.aside == model.skips[g.name]
            and (g.policy == policy or g.aside == set(model.fold(g).left_out))
            for g in lives
        )
        if same:
            argv = ['rebuild', self.store, *names, '--if-changed', '--quiet', *options, *WAIT]
            self.run_tool(*argv, codes=(3,))
        else:
            self.rebuild([g.definition for g in lives], [*names, '--if-changed'])
