"""Single flipped bits in every kind of file: an answer is the same as before or refused, never
another one, never a crash.

Each flip is made in a copy of a small store; then verify, scan, get, events, rebuild and once
more scan look at it. Flips that nobody's answer depends on (free pages, slack) may pass
unnoticed. Where verify is content, all answers must be the same. 240 flips; REFOLD_SOAK=1 for
10,000. Validated by hand: without the check of the blocks' checksums it reports other answers of
scan and get.
"""

import collections
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import story
import tool

FLIPS = 10000 if os.environ.get('REFOLD_SOAK') else 240
REFUSED = (tool.FAILED, tool.DAMAGED)


class BitRot(tool.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(int(os.environ.get('REFOLD_SEED', '11')))
        self.base = os.path.join(self.folder, 'base')
        self.place = story.Story(self, self.base, story.make_log(3000))
        self.plugin = tool.projection(story.NAME)
        self.ok(
            'import',
            self.base,
            '-',
            '--quiet',
            '--partitions',
            '16',
            stdin=self.place.chunk(0, 2000),
        )
        self.ok('rebuild', self.base, self.plugin, '--quiet')
        self.ok('import', self.base, '-', '--quiet', stdin=self.place.chunk(2000, 3000))
        self.ok('rebuild', self.base, self.plugin, '--quiet')
        self.good = [self.answer(self.base, command) for command in self.commands()]

    def commands(self):
        """What is asked, in order; the answers of the first one and of rebuild are only their
        exit codes.
        """
        return (
            ('verify',),
            ('scan', story.NAME),
            ('get', story.NAME, 'case-7'),
            ('events',),
            ('info', '--json'),
            ('rebuild', story.NAME, '--quiet'),
            ('scan', story.NAME),
        )

    def answer(self, store, command):
        result = tool.call(command[0], store, *command[1:], seconds=60)
        out = b'' if command[0] in ('verify', 'rebuild') else result.out
        if command[0] == 'info' and result.code == 0:
            out = b'%d events' % result.json['events']  # not the bytes on disk: copies differ
        return result.code, out, result

    def targets(self):
        found = []
        for folder, _, names in os.walk(self.base):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.base)
                if name != 'lock.mdb' and os.path.getsize(os.path.join(self.base, path)):
                    found.append(path)
        return sorted(found)

    def flip(self, path):
        """Anywhere in use; a third of the flips goes to the first pages, where LMDB has its roots."""
        size = os.path.getsize(path)
        if self.random.random() < 0.3:
            at = self.random.randrange(min(size, 8192))
        else:
            at = self.random.choice(tool.used_pages(path)) + self.random.randrange(4096)
        at = min(at, size - 1)
        bit = 1 << self.random.randrange(8)
        with open(path, 'r+b') as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ bit]))
        return at, bit

    def test_an_answer_is_the_same_or_refused(self):
        targets, outcomes, wrong = self.targets(), collections.Counter(), []
        self.assertIn('log/data.mdb', targets)
        for i in range(FLIPS):
            target = targets[i % len(targets)]
            shutil.rmtree(self.store, ignore_errors=True)
            tool.copy_store(self.base, self.store)
            at, bit = self.flip(os.path.join(self.store, target))
            verified = None
            for command, (_, expected, _) in zip(self.commands(), self.good):
                code, out, result = self.answer(self.store, command)
                context = '%s byte %d bit %#x: %s' % (target, at, bit, ' '.join(command))
                if command[0] == 'verify':
                    verified = code
                if code == 0 and out == expected:
                    outcomes[target, 'same'] += 1
                elif (
                    code in REFUSED and result.message.count('\n') >= 1 and expected.startswith(out)
                ):
                    outcomes[target, 'refused'] += 1
                    if verified == 0 and command[0] != 'verify':
                        wrong.append(
                            '%s: refused, but verify was content: %s' % (context, result.message)
                        )
                elif code < 0 or code > 128:
                    wrong.append('%s: crashed with %d: %s' % (context, code, result.message))
                elif code == 0:
                    wrong.append('%s: ANOTHER ANSWER (verify said %s)' % (context, verified))
                else:
                    wrong.append('%s: exit %d: %s' % (context, code, result.message))
        for (target, outcome), count in sorted(outcomes.items()):
            print('%-60s %-8s %d' % (target, outcome, count))
        self.assertEqual(
            wrong, [], '%d of %d flips\n%s' % (len(wrong), FLIPS, '\n'.join(wrong[:40]))
        )
        self.assertGreater(
            sum(count for (_, outcome), count in outcomes.items() if outcome == 'refused'),
            FLIPS // 20,
        )


tool.main(__name__)
