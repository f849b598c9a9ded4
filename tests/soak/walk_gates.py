"""Gates of a rebuild or a swap of the walk: options that are drawn, and whether the model would refuse."""

import fractions
import json


class Gates:
    def __init__(self, walk, definitions, only_given=False, is_set=False):
        """`only_given`: of a swap, which asks nothing of itself but what is expected of rows."""
        self.walk, self.model = walk, walk.model
        self.min_rows, self.max_removed = (0, 1) if only_given else (1, fractions.Fraction(1, 2))
        self.max_changed, self.keys, self.all_pass = None, [], False
        self.asks_held = not only_given
        self.options = []
        r = walk.random
        kind = r.choice(('none', 'none', 'lenient', 'lenient', 'changed', 'removed', 'rows', 'keys'))
        if kind == 'lenient':
            self.min_rows, self.max_removed = 0, 1
            self.options = ['--min-rows', 0, '--max-removed', '100%']
        elif kind == 'changed':
            percent = r.choice((0, 1, 20, 50, 100))
            self.max_changed = fractions.Fraction(percent, 100)
            self.options = ['--max-changed', '%d%%' % percent]
        elif kind == 'removed':
            percent = r.choice((0, 1, 20))
            self.max_removed = fractions.Fraction(percent, 100)
            self.options = ['--max-removed', '%d%%' % percent]
        elif kind == 'rows':
            rows = [self.rows_of(walk.model.living(d.name)) for d in definitions]
            self.min_rows = max(0, r.choice(rows) + r.choice((-1, 0, 1)))
            self.options = ['--min-rows', self.min_rows]
        elif kind == 'keys' and len(definitions) == 1 and not is_set:
            self.draw_keys(definitions[0])

    def rows_of(self, generation):
        return len(self.model.fold(generation).rows)

    def draw_keys(self, definition):
        fold = self.model.fold(self.model.living(definition.name))
        keys = [definition.show_key(key) for key in fold.rows]
        self.keys = self.walk.random.sample(keys, min(3, len(keys)))
        if not self.keys:
            return
        lines = ''.join(self.walk.as_argument(key) + '\n' for key in self.keys)
        self.options = ['--expect-keys', self.walk.path('keys', lines)]

    def refuse(self, generation):
        """Whether a gate does, of a generation that is where it would go live."""
        definition, live = generation.definition, self.model.living(generation.name)
        if self.all_pass:
            return False
        fold = self.model.fold(generation)
        if definition.expects and any(fold.is_broken(key) for key in fold.rows):
            return True
        if self.asks_held and definition in self.model.held[generation.name]:
            return True
        _, counts = self.walk.differences(live, generation)
        before = self.rows_of(live)
        shown = [json.dumps(definition.show_key(key)) for key in fold.rows]
        return (
            len(fold.rows) < self.min_rows
            or counts['removed'] > self.max_removed * before
            or (self.max_changed is not None and counts['changed'] > self.max_changed * before)
            or any(json.dumps(key) not in shown for key in self.keys)
        )
