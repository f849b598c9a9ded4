"""The walk's reading commands: what they print is what the model's folds are."""

import json

import walk_flips

WAIT = walk_flips.WAIT


class Reads(walk_flips.Flips):
    def as_argument(self, key):
        return key if isinstance(key, str) else json.dumps(key, ensure_ascii=False)

    def some_generation(self, name):
        """And how it is named."""
        r, model = self.random, self.model
        kind = r.randrange(3)
        if kind == 0:
            return model.living(name), [name]
        if kind == 1:
            generation = r.choice(model.followed(name))
            return generation, ['%s@%d' % (name, generation.version)]
        generation = r.choice([g for g in model.of(name) if not g.replaced])
        return generation, [name, '--generation', generation.number]

    def some_key(self, generation):
        """Of a row, or of none: as it is shown, and as it is sorted."""
        keys = list(self.model.fold(generation).rows)
        if not keys or self.random.random() < 0.15:
            return 'nobody' if generation.definition.text_key else ['nobody']
        return generation.definition.show_key(self.random.choice(keys))

    def read(self):
        generation, named = self.some_generation(self.name())
        lines = self.model.fold(generation).printed()
        r = self.random
        kind = r.choice(('get', 'get', 'limit', 'prefix', 'range', 'index'))
        if kind == 'get':
            key = self.some_key(generation)
            if key == ['nobody']:
                return
            found = [line for line in lines if json.loads(line)['key'] == key]
            argv = ['get', self.store, named[0], self.as_argument(key), *named[1:]]
            result = self.run_tool(*argv, codes=(0,) if found else (3,))
            self.same_lines(result.lines, found, argv)
            return
        options, expected = [], lines
        if kind == 'prefix':
            options, expected = self.prefix(generation, lines)
        elif kind == 'range':
            options, expected = self.range(generation, lines)
        elif kind == 'index' and generation.definition.index:
            options = ['--index', generation.definition.index]
            expected = self.by_index(generation.definition, lines)
        if r.random() < 0.4:
            limit = r.randint(1, 9)
            options, expected = options + ['--limit', limit], expected[:limit]
        result = self.run_tool('scan', self.store, *named, *options)
        self.same_lines(result.lines, expected, 'scan %s %s' % (named, options))

    def prefix(self, generation, lines):
        key = self.some_key(generation)
        if isinstance(key, str):
            prefix = key[: self.random.randint(1, len(key))]
            found = [line for line in lines if json.loads(line)['key'].startswith(prefix)]
            return ['--prefix=' + prefix], found
        if key == ['nobody']:
            return [], lines
        key = key[: self.random.randint(1, len(key))]
        found = [line for line in lines if json.loads(line)['key'][: len(key)] == key]
        return ['--prefix=' + self.as_argument(key)], found

    def range(self, generation, lines):
        keys = [json.loads(line)['key'] for line in lines]
        if len(keys) < 2:
            return [], lines
        a, b = sorted(self.random.sample(range(len(keys)), 2))
        options = ['--from=' + self.as_argument(keys[a]), '--to=' + self.as_argument(keys[b])]
        return options, lines[a:b]

    def by_index(self, definition, lines):
        kinds = definition.kinds()

        def order(line):
            row = json.loads(line)
            for column in definition.index.split(','):
                value = row[column]
                if kinds[column].startswith('decimal'):
                    value = int(value.replace('.', ''))
                yield (value is not None, value.encode() if isinstance(value, str) else value)

        return sorted(lines, key=lambda line: list(order(line)))  # which keeps the order of keys

    def as_of(self):
        """Of a live one whose keys begin with the stream; of others refused."""
        model, name = self.model, self.name()
        live = model.living(name)
        position = self.random.randint(1, model.end)
        key = self.some_key(live)
        if key == ['nobody']:
            return
        argv = ['get', self.store, name, self.as_argument(key), '--as-of', position]
        if live.definition.mode not in ('stream', 'every'):
            self.run_tool(*argv, codes=(2,))
            return
        fold = model.fold(live, position)
        if fold.failed:
            self.run_tool(*argv, codes=(0, 1, 3))
            return
        found = [line for line in fold.printed() if json.loads(line)['key'] == key]
        result = self.run_tool(*argv, codes=(0,) if found else (3,))
        self.same_lines(result.lines, found, argv)

    # ---- diff, repair, wait, verify ----

    def diff(self):
        old, new, named = self.pair(self.name())
        if old is None:
            return
        if old.position != new.position and self.random.random() < 0.3:
            if not self.bring_together(old, new, named):
                return
        lines, counts = self.differences(old, new)
        same = not lines and old.definition.kinds() == new.definition.kinds()
        options = self.random.choice((['--rows'], ['--json']))
        options += self.random.choice(([], ['--exit-code']))
        code = 4 if '--exit-code' in options and not same else 0
        result = self.run_tool('diff', self.store, *named, *options, codes=(code,))
        if options[0] == '--rows':
            self.same_lines(result.lines, lines, 'diff %s %s' % (old, new))
            return
        shown = result.json
        self.want({of: shown[of] for of in counts} == counts, counts, shown)
        self.want(shown['same'] == same, shown)
        positions = shown['old']['position'], shown['new']['position']
        self.want(positions == (old.position, new.position), shown)

    def pair(self, name):
        """Two generations to compare, and how they are named."""
        if self.random.random() < 0.6:
            (old, a), (new, b) = self.some_generation(name), self.some_generation(name)
            return old, new, [name, self.as_side(old, a), self.as_side(new, b)]
        live, younger = self.model.living(name), self.model.younger(name)
        if younger:
            return live, younger, [name]
        return self.back_of(name), live, [name]

    def as_side(self, generation, named):
        """@VERSION where it is named so, else its number."""
        version = named[0].partition('@')[2]
        return '@' + version if version else generation.number

    def bring_together(self, old, new, named):
        behind, ahead = sorted((old, new), key=lambda g: g.position)
        failed = self.model.fold(behind, ahead.position).failed
        argv = ['diff', self.store, *named, '--catch-up', '--json', *WAIT]
        self.run_tool(*argv, codes=(1,) if failed else (0,))
        self.caught_up([behind], {} if failed else {behind.key: ahead.position})
        return not failed

    def repair(self):
        """Nothing is wrong."""
        name = self.name()
        live = self.model.living(name)
        key = self.some_key(live)
        options = ['--all']
        if key != ['nobody']:
            options = self.random.choice((options, ['--key', self.as_argument(key)],
                                          ['--prefix', self.as_argument(key)]))  # fmt: skip
        result = self.run_tool('repair', self.store, name, *options, '--json', *WAIT)
        shown = result.json
        self.want(shown['changes'] == [] and shown['position'] == live.position, shown)

    def wait(self):
        model, names = self.model, self.some_names()
        lives = [model.living(name) for name in names]
        lowest = max(1, min(g.position for g in lives))
        position = self.random.choice((model.end, lowest, self.random.randint(1, model.end)))
        behind = [g for g in lives if g.position < position]
        code = 0 if not behind else 4 if any(g.suspended for g in behind) else 75
        options = ('--position', position, '--timeout', '0')
        self.run_tool('wait', self.store, *names, *options, codes=(code,))

    def verify(self):
        self.run_tool('verify', self.store, *self.random.choice(([], ['--serial'])))
