"""The walk's flips, and what keeps and removes generations."""

import walk_gates
import walk_rebuilds

WAIT = walk_rebuilds.WAIT


class Flips(walk_rebuilds.Rebuilds):
    def caught_up(self, generations, low):
        """Some may have gone on: to where the live ones are at least (`low`, of those that went live), to the log's
        end at most."""
        listed = self.listed()
        self.take_merges(listed)
        for generation in generations:
            position = listed[generation.key]['position']
            least = low.get(generation.key, generation.position)
            self.want(least <= position <= self.model.end, generation, 'is at', position, 'least:', least)
            fold = self.model.fold(generation, position)
            self.want(fold.failed is None, generation, 'is past', fold.failed, 'that fails')
            self.model.move(generation, position)

    def swap(self):
        model, r = self.model, self.random
        names = self.some_names()
        numbered = len(names) == 1 and r.random() < 0.4
        if numbered:
            targets = [r.choice([g for g in model.of(names[0]) if not g.replaced])]
        else:
            targets = [model.younger(name) for name in names]
        argv = [*names, *(('--generation', targets[0].number) if numbered else ())]
        if None in targets:
            self.run_tool('swap', self.store, *argv, *WAIT, codes=(1,))
        else:
            self.flip_forward(targets, argv)

    def flip_forward(self, targets, argv):
        model = self.model
        gates = walk_gates.Gates(self, [g.definition for g in targets], True, argv[0] == '--set')
        if self.random.random() < 0.2:
            gates.options, gates.all_pass = ['--no-gates'], True
        result = self.run_tool('swap', self.store, *argv, *gates.options, *WAIT, codes=(0, 1, 4))
        to_flip = [g for g in targets if g is not model.living(g.name)]
        low = {g.key: max(g.position, model.living(g.name).position) for g in to_flip}
        blocked = [g for g in to_flip if model.fold(g, low[g.key]).failed]
        if blocked or result.code == 1 and self.is_blocked_together(to_flip, low):
            self.want(result.code == 1, [str(g) for g in blocked], result)
            self.caught_up(to_flip, {})
            return
        breaks = any(self.newly_broken(g, low[g.key]) for g in to_flip) and not gates.all_pass
        self.caught_up(to_flip, low if result.code == 0 else {})
        if result.code == 0 or not breaks:
            refused = [g for g in to_flip if gates.refuse(g)]
            self.want(result.code == (4 if refused else 0), [str(g) for g in refused], result)
        self.want(result.code != 1, result)
        if result.code == 0:
            for generation in targets:
                model.flip(generation)

    def is_blocked_together(self, generations, low):
        """Several go to one position: where the furthest of them has to be, or on to the log's end."""
        is_behind = any(g.position < low[g.key] for g in generations)
        fails = any(self.model.fold(g, self.model.end).failed for g in generations)
        return len(generations) > 1 and is_behind and fails

    def newly_broken(self, generation, position):
        fold = self.model.fold(generation, position)
        return any(p > generation.position for p in fold.broken_ever)

    def rollback(self):
        model, r = self.model, self.random
        names = self.some_names()
        numbered = len(names) == 1 and r.random() < 0.4 and model.history[names[0]]
        if numbered:
            targets = [model.generations[names[0], r.choice(model.history[names[0]])]]
        else:
            targets = [self.back_of(name) for name in names]
        argv = [*names, *(('--generation', targets[0].number) if numbered else ())]
        self.flip_back(targets, argv)

    def back_of(self, name):
        history = self.model.history[name]
        return self.model.generations[name, history[-1]] if history else None

    def flip_back(self, targets, argv):
        model = self.model
        catches_up = self.random.random() < 0.5
        argv = ['rollback', self.store, *argv, *(['--catch-up'] if catches_up else []), *WAIT]
        if None in targets:
            self.run_tool(*argv, codes=(1,))
            return
        result = self.run_tool(*argv, codes=(0, 1))
        if catches_up:
            low = {g.key: max(g.position, model.living(g.name).position) for g in targets}
            failed = any(model.fold(g, low[g.key]).failed for g in targets)
            failed = failed or result.code == 1 and self.is_blocked_together(targets, low)
            self.want(result.code == (1 if failed else 0), result)
            self.caught_up(targets, {} if failed else low)
        else:
            failed = False
            self.want(result.code == 0, result)
        if not failed:
            for generation in targets:
                model.flip(generation, back=True)

    def back_and_forward(self):
        """Perhaps a rebuild of what is held comes in between, which does not go live."""
        name = self.name()
        left, back = self.model.living(name), self.back_of(name)
        self.flip_back([back], [name])
        if back is None or self.model.living(name) is left:
            return
        if self.random.random() < 0.5 and left.version >= back.version:
            self.settle()
            self.rebuild([left.definition], [left.definition.path])
        if left.key in self.model.generations and self.model.living(name) is not left:
            self.settle()
            self.flip_forward([left], [name, '--generation', left.number])

    def flip_set(self):
        model, r = self.model, self.random
        set = r.choice([g.set for g in model.generations.values() if not g.replaced])
        members = [g for g in model.generations.values() if g.set == set and not g.replaced]
        argv = ['--set', set]
        if r.random() < 0.6:
            self.flip_forward(members, argv)
        elif all(model.living(g.name) is g for g in members):
            self.flip_back([self.back_of(g.name) for g in members], argv)
        else:
            self.run_tool('rollback', self.store, *argv, *WAIT, codes=(1,))

    # ---- what stays ----

    def collect(self):
        keep = self.random.choice((1, 1, 2, 3))
        names = self.random.choice(([], [self.name()]))
        self.end_following()  # its merges come at any time
        for name in names or self.names:
            self.model.collect(name, keep)
        self.run_tool('gc', self.store, *names, '--keep', keep, *WAIT)

    def retire(self):
        model, name = self.model, self.name()
        kept = sorted(model.colours[name])
        choice = self.random.choice(('colour', 'colour', 'colour', 'live', 'absent'))
        if len(kept) > walk_rebuilds.COLOURS_MAX:
            choice = 'colour'
        if choice == 'colour' and kept:
            generation = model.named(name, self.random.choice(kept))
            self.run_tool('retire', self.store, '%s@%d' % (name, generation.version))
            model.retire(generation)
        elif choice == 'live':
            version = model.living(name).version
            self.run_tool('retire', self.store, '%s@%d' % (name, version), codes=(4,))
        else:
            self.run_tool('retire', self.store, '%s@%d' % (name, 10**6), codes=(1,))

    def pin(self):
        name, r = self.name(), self.random
        generation = r.choice([g for g in self.model.of(name) if not g.replaced])
        argv = [name, '--generation', generation.number]
        if r.random() < 0.4:
            generation = r.choice(self.model.followed(name))
            argv = ['%s@%d' % (name, generation.version)]
        self.run_tool('pin', self.store, *argv)
        generation.pinned = True

    def unpin(self):
        name = self.name()
        result = self.run_tool('unpin', self.store, name, '--json')
        pinned = [g for g in self.model.of(name) if g.pinned]
        self.want(result.json['unpinned'] == len(pinned), result)
        for generation in pinned:
            generation.pinned = False

    # ---- events that are put aside ----

    def skip(self):
        model, name = self.model, self.name()
        suspended = [g.suspended for g in model.followed(name) if g.suspended]
        position = self.random.choice(suspended + [self.random.randint(1, model.end)])
        self.run_tool('skip', self.store, name, position, '--reason', 'drawn')
        model.skips[name].add(position)

    def put_aside_and_resume(self):
        """As who looks after it would do: the event that one is suspended for."""
        model = self.model
        suspended = [g for name in self.names for g in model.followed(name) if g.suspended]
        if suspended:
            generation = self.random.choice(suspended)
            name, position = generation.name, generation.suspended
            self.run_tool('skip', self.store, name, position, '--reason', 'bad')
            model.skips[name].add(position)
            self.run_tool('resume', self.store, name)
            for other in model.followed(name):
                other.suspended = None
            if not self.follower:
                self.follow_once()

    def unskip(self):
        model, name = self.model, self.name()
        position = self.random.randint(1, model.end)
        if model.skips[name] and self.random.random() < 0.8:
            position = self.random.choice(sorted(model.skips[name]))
        code = 0 if position in model.skips[name] else 3
        self.run_tool('unskip', self.store, name, position, codes=(code,))
        model.skips[name].discard(position)

    def resume(self):
        names, model = self.some_names(), self.model
        if self.random.random() < 0.3:
            generation = self.random.choice(model.followed(names[0]))
            self.run_tool('resume', self.store, '%s@%d' % (names[0], generation.version))
            generation.suspended = None
            return
        self.run_tool('resume', self.store, *names)
        for name in names:
            for generation in model.followed(name):
                generation.suspended = None
