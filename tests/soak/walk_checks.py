"""What the walk looks at after each operation: the whole store from outside, beside the model."""

import json

import tool
import walk_model

FLAGS = ('live', 'held', 'colour', 'pinned', 'version', 'position', 'set')


class Checks(tool.Case):
    def listed(self):
        """Generations by name and number; those of a merge that has not ended are none yet."""
        found = self.ok('generations', self.store, '--json').json['generations']
        return {
            (g['name'], g['number']): g for g in found if g.get('replaced_by') != g['number']
        }

    def served(self):
        """What status shows, of live ones and colours, by name and number."""
        self.status = self.ok('status', self.store, '--json').json
        models = self.status['models']
        return {
            (m['name'].split('@')[0], m['generation']): m
            for model in models
            for m in (model, *model['colours'])
        }

    def moment(self):
        """Both, with no merge between the two."""
        while True:
            served, listed = self.served(), self.listed()
            if all(key in listed and not listed[key].get('replaced_by') for key in served):
                return listed, served

    def fail_with(self, what):
        self.fail('%s\n%s' % (what, '\n'.join(self.history)))

    def want(self, condition, *what):
        if not condition:
            self.fail_with(' '.join(map(str, what)))

    # ---- what moved on ----

    def take_merges(self, listed, collected=False):
        """A merge of who follows made a generation of a new number. The old one goes with the next gc, which may
        have been."""
        model = self.model
        for key, generation in sorted(model.generations.items()):
            if not generation.replaced and key in listed and listed[key].get('replaced_by'):
                model.replace(generation, listed[key]['replaced_by'])
            elif not generation.replaced and key not in listed and not collected:
                same = [
                    new[1]
                    for new, g in listed.items()
                    if new[0] == key[0]
                    and new not in model.generations
                    and (g['version'], g['set']) == (generation.version, generation.set)
                ]
                self.want(len(same) == 1, generation, 'is gone, and there are', sorted(listed))
                model.replace(generation, same[0])
        for key in [key for key, g in model.generations.items() if g.replaced and key not in listed]:
            del model.generations[key]

    def judge_followed(self, followed):
        """All that were followed are where the log is, or suspended in front of an event that they cannot take."""
        listed, served = self.moment()
        self.take_merges(listed)
        for generation in followed:
            while generation.replaced:
                generation = generation.replaced
            self.want(generation.key in served, generation, 'is not served', sorted(listed), sorted(served))
            self.judge_one(generation, served[generation.key])

    def judge_one(self, generation, status):
        model, end = self.model, self.model.end
        position, suspended = status['position'], status.get('suspended_at')
        if generation.suspended:
            self.want(suspended == generation.suspended, generation, 'is suspended no more')
            self.want(position == generation.position, generation, 'went on, suspended')
            return
        if suspended is None:
            self.want(position == end, generation, 'is at', position, 'of', end)
            self.judge_passed(generation, position)
        else:
            self.want(position == suspended - 1, generation, 'is at', position, 'not before', suspended)
            self.judge_passed(generation, position)
            self.want(self.cannot_take(generation, suspended), generation, 'is suspended in vain:', status)
            generation.suspended = suspended
        model.move(generation, position)

    def judge_passed(self, generation, position):
        """Nothing between where it was and the position was to stop it."""
        fold = self.model.fold(generation, position)
        self.want(fold.failed is None, generation, 'is past', fold.failed, 'that fails')
        if position > generation.position:
            newly = [p for p in fold.broken.values() if p > generation.position]
            self.want(not newly, generation, 'passed what breaks a row:', newly)

    def cannot_take(self, generation, position):
        fold = self.model.fold(generation, position)
        return fold.failed == position or position in fold.broken.values()

    # ---- all of it ----

    def look(self):
        model, (listed, served) = self.model, self.moment()
        self.take_merges(listed)
        self.want(sorted(listed) == sorted(model.generations), 'generations:', sorted(listed),
                  'expected:', sorted(model.generations))  # fmt: skip
        for key, generation in model.generations.items():
            if generation.replaced:
                continue
            expected = {
                'live': model.live[generation.name] == generation.number,
                'held': generation.definition in model.held[generation.name],
                'colour': generation.number in model.colours[generation.name].values(),
                'pinned': generation.pinned,
                'version': generation.version,
                'position': generation.position,
                'set': generation.set,
            }
            shown = {flag: listed[key][flag] for flag in FLAGS}
            self.want(shown == expected, generation, 'is', shown, 'expected:', expected)
            self.look_at_rows(generation, listed[key])
        self.look_at_status(served)

    def look_at_rows(self, generation, listed):
        rows = self.ok(
            'scan', self.store, generation.name, '--generation', str(generation.number)
        ).lines
        fold = self.model.fold(generation)
        self.want(fold.failed is None, generation, 'has event', fold.failed, 'that fails')
        self.same_lines(rows, fold.printed(), generation)
        self.want(listed['rows'] == len(rows), generation, 'says rows:', listed['rows'])
        # Kinds belong to it: a row is its values, not their names.
        what = json.dumps([list(generation.definition.kinds().values()), rows])
        digest = self.digests.setdefault(what, listed['digest'])
        self.want(listed['digest'] == digest, generation, 'digest of the same rows:', digest, listed)

    def same_lines(self, got, expected, what):
        if got == expected:
            return
        for i in range(max(len(got), len(expected))):
            pair = [lines[i] if i < len(lines) else None for lines in (got, expected)]
            if pair[0] != pair[1]:
                self.fail_with('%s: line %d is\n%s\nexpected:\n%s' % (what, i + 1, *pair))

    def look_at_status(self, served):
        model = self.model
        self.want(self.status['position'] == model.end, 'status: position', self.status['position'])
        self.want(
            sorted(served) == sorted(g.key for name in model.live for g in model.followed(name)),
            'status shows', sorted(served),
        )  # fmt: skip
        for key, status in served.items():
            generation = model.generations[key]
            fold = model.fold(generation)
            is_live = model.live[generation.name] == generation.number
            held = model.held[generation.name]
            expected = {
                'version': generation.version,
                'position': generation.position,
                'lag': model.end - generation.position,
                'rows': len(fold.rows),
                'held': any(d.version > generation.version for d in held)
                if is_live
                else generation.definition in held,
                'left_out': len(fold.left_out),
            }
            shown = {member: status[member] for member in expected}
            self.want(shown == expected, 'status of', generation, 'is', shown, 'expected:', expected)
            self.want(status.get('suspended_at') == generation.suspended, generation, status)

    def differences(self, old, new):
        """By the model."""
        return walk_model.differences(
            (old.definition, new.definition),
            self.model.fold(old).printed(),
            self.model.fold(new).printed(),
        )
