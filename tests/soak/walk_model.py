"""What a store has to be after each operation of the walk: which generations there are, at which position, which of
them is live, a colour, held, pinned, and what each was built of; written from DESIGN.md and docs/BLUE-GREEN.md."""

import collections
import json

import walk_definitions


class Generation:
    def __init__(self, name, number, definition, policy, aside, position, set):
        self.name, self.number, self.definition = name, number, definition
        self.policy, self.aside, self.position, self.set = policy, frozenset(aside), position, set
        self.pinned, self.suspended, self.age = False, None, number
        self.replaced = None  # by a merge: the generation that has its place

    @property
    def version(self):
        return self.definition.version

    @property
    def key(self):
        return self.name, self.number

    def __str__(self):
        return '%s generation %d (version %d, %s)' % (*self.key, self.version, self.policy)


class Model:
    def __init__(self):
        self.log = []
        self.generations, self.live, self.highest = {}, {}, collections.Counter()
        self.history = collections.defaultdict(list)  # that were live before, newest last
        self.held = collections.defaultdict(list)  # definitions
        self.colours = collections.defaultdict(dict)  # version: number
        self.skips = collections.defaultdict(set)  # on record
        self.folds = collections.OrderedDict()
        self.set = 0

    # ---- rows ----

    def fold_of(self, definition, policy, aside, position):
        """A fold that is at the position, or in front of the event that fails."""
        aside = frozenset(p for p in aside if p <= position)
        key = (definition.name, definition.version, policy, aside)
        fold = self.folds.pop(key, None)
        if not fold or fold.position > position:
            fold = walk_definitions.Fold(definition, policy, aside)
        self.folds[key] = fold
        if len(self.folds) > 60:
            self.folds.popitem(last=False)
        return fold.go_on(self.log, position)

    def aside_at(self, generation, position):
        """What a generation that goes on to the position leaves out."""
        return generation.aside | {
            p for p in self.skips[generation.name] if generation.position < p <= position
        }

    def fold(self, generation, position=None):
        position = generation.position if position is None else position
        aside = self.aside_at(generation, position)
        return self.fold_of(generation.definition, generation.policy, aside, position)

    def move(self, generation, position):
        generation.aside = self.aside_at(generation, position)
        generation.position = position

    @property
    def end(self):
        return len(self.log)

    def prefix_until(self, time):
        """Events of the longest prefix without a later one."""
        for position, event in enumerate(self.log):
            moment = event.get('time')
            if moment is not None and moment > time:
                return position
        return self.end

    # ---- which generations ----

    def of(self, name):
        return [g for g in self.generations.values() if g.name == name]

    def living(self, name):
        return self.generations.get((name, self.live.get(name)))

    def followed(self, name, version=None):
        """The live one and the colours."""
        numbers = [self.live[name], *self.colours[name].values()]
        found = [self.generations[name, number] for number in numbers]
        return [g for g in found if version in (None, g.version)]

    def named(self, name, version):
        """NAME@VERSION; None where no such version is kept."""
        found = self.followed(name, version)
        return found[0] if found else None

    def younger(self, name):
        """What swap takes."""
        live = self.living(name)
        found = [g for g in self.of(name) if not g.replaced and g.age > live.age]
        return max(found, key=lambda g: g.age) if found else None

    def add(self, name, number, *of):
        self.highest[name] = number
        made = self.generations[name, number] = Generation(name, number, *of)
        return made

    def flip(self, generation, back=False):
        name, left = generation.name, self.living(generation.name)
        held, history = self.held[name], self.history[name]
        if generation.definition in held and (back or left is not generation):
            held.remove(generation.definition)
        elif generation.definition in held:
            held.remove(generation.definition)
        if left is generation:
            return
        if back:
            del history[history.index(generation.number) :]
            if left.definition is not generation.definition:
                if left.definition in held:
                    held.remove(left.definition)
                held.append(left.definition)
        else:
            if left:
                if left.number in history:
                    history.remove(left.number)
                history.append(left.number)
            if generation.number in history:
                history.remove(generation.number)
        self.colours[name].pop(generation.version, None)
        if left and left.version != generation.version:
            self.colours[name][left.version] = left.number
        self.live[name] = generation.number

    def replace(self, old, number):
        """A merge made generation `number` of it."""
        name = old.name
        new = Generation(name, number, old.definition, old.policy, old.aside, old.position, old.set)
        new.pinned, new.suspended, new.age = old.pinned, old.suspended, old.age
        self.generations[name, number] = new
        self.highest[name] = max(self.highest[name], number)
        old.replaced, old.pinned = new, False
        if self.live[name] == old.number:
            self.live[name] = number
        for version, colour in self.colours[name].items():
            if colour == old.number:
                self.colours[name][version] = number
        self.history[name] = [number if n == old.number else n for n in self.history[name]]
        return new

    def is_uncounted(self, generation):
        return generation.pinned or generation.number in self.colours[generation.name].values()

    def collect(self, name, keep, held=()):
        """gc: kept are the live one, what a rollback would go to, and then the newest; and what somebody holds."""
        history = self.history[name]
        back = history[-1] if history and keep > 1 else None
        first = (self.live[name], back)
        counted = [g for g in self.of(name) if not g.replaced]
        counted = [g for g in counted if g.number == self.live[name] or not self.is_uncounted(g)]
        counted.sort(key=lambda g: (first.index(g.number) if g.number in first else 2, -g.age))
        for generation in self.of(name):
            if generation.key not in held and (
                generation.replaced
                or generation not in counted[:keep]
                and generation.number not in first
                and not self.is_uncounted(generation)
            ):
                del self.generations[generation.key]
                if generation.number in history:
                    history.remove(generation.number)

    def retire(self, generation):
        del self.colours[generation.name][generation.version]
        generation.suspended = None


# ---- comparing ----


def is_number(kind):
    return kind == 'int' or kind.startswith('decimal')


def is_changed(kinds, old, new):
    """Whether two rows of one key differ, of columns that both have; `kinds`: of the old and the new."""
    for column, kind in kinds[0].items():
        other = kinds[1].get(column)
        if other is None:
            continue
        a, b = old[column], new[column]
        if kind != other and is_number(kind) and is_number(other):
            a, b = tenths(a), tenths(b)
        if a != b or (kind != other and not (is_number(kind) and is_number(other))):
            return True
    return False


def tenths(value):
    """Of an int, or a decimal(1) as it is shown."""
    return value * 10 if isinstance(value, int) else int(value.replace('.', ''))


def differences(definitions, old, new):
    """Lines of `diff --rows` between the lines of two scans, and how many are added, removed, changed and as they
    were."""
    dump = json.JSONEncoder(ensure_ascii=False, separators=(',', ':')).encode
    kinds = [definition.kinds() for definition in definitions]
    rows = [{dump(json.loads(line)['key']): json.loads(line) for line in lines} for lines in (old, new)]
    keys = sorted(set(rows[0]) | set(rows[1]), key=lambda key: order_of(definitions[0], json.loads(key)))
    counts, lines = {'added': 0, 'removed': 0, 'changed': 0, 'unchanged': 0}, []
    for key in keys:
        a, b = rows[0].get(key), rows[1].get(key)
        if a and b and not is_changed(kinds, a, b):
            counts['unchanged'] += 1
            continue
        op = 'add' if not a else 'remove' if not b else 'change'
        counts[{'add': 'added', 'remove': 'removed', 'change': 'changed'}[op]] += 1
        lines.append(dump({'op': op, 'key': json.loads(key), 'old': a, 'new': b}))
    return lines, counts


def order_of(definition, key):
    """Of keys as they are shown."""
    parts = key if isinstance(key, list) else [key]
    if definition.mode == 'typed':
        parts = [parts[0], int(parts[1].replace('.', '')), parts[2]]
    return [p.encode() if isinstance(p, str) else p for p in parts]
