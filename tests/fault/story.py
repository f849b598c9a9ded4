"""A known log, and what each state of a store must show: shared by the fault tests.

The log is one long list of events; a store holds a prefix of it, because imports take the next
ones in order. So whatever was killed or failed, three questions can be answered from outside: is
the log a prefix, and not shorter than what was acknowledged; are the live rows exactly the serial
fold of the prefix at the position that the store names; and does the next command work.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'model'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import serial_fold
import tool

NAME = 'case_summary'


def make_log(count):
    """Events whose streams interleave, each numbered by its place."""
    return [
        {
            'stream': 'case-%d' % (i * 7919 % 211),
            'type': 'Step%d' % (i % 13),
            'version': version,
            'time': 1700000000000 + i * 1000,
            'data': {'n': i, 'text': 'note %d' % (i * i % 1009)},
        }
        for i, version in zip(range(count), versions(count))
    ]


def versions(count):
    last = {}
    for i in range(count):
        stream = i * 7919 % 211
        last[stream] = last.get(stream, 0) + 1
        yield last[stream]


class Story:
    """A store that lives through faults, and what was acknowledged."""

    def __init__(self, case, store, log):
        self.case, self.store, self.log = case, store, log
        self.lines = [(json.dumps(event, separators=(',', ':')) + '\n').encode() for event in log]
        self.folded = {}

    def rows_at(self, position):
        """What scan must print of the first `position` events."""
        if position not in self.folded:
            if len(self.folded) > 64:
                self.folded.clear()
            self.folded[position] = serial_fold.print_rows(
                serial_fold.fold_events(NAME, self.log[:position])
            )
        return self.folded[position]

    def chunk(self, begin, end):
        return b''.join(self.lines[begin:end])

    def check(self, acknowledged, generation_min=0, context=''):
        """Looks at the store from outside; gives events and the live generation."""
        case = self.case
        info = tool.call('info', self.store, '--json', seconds=30)
        case.assertEqual(info.code, 0, '%s\n%s' % (context, info))
        events = info.json['events']
        case.assertGreaterEqual(events, acknowledged, 'acknowledged events are lost: ' + context)
        numbers = [
            json.loads(line)['data']['n']
            for line in tool.call('events', self.store).out.splitlines()
        ]
        case.assertEqual(numbers, list(range(events)), context)
        status = tool.call('status', self.store, '--json')
        case.assertEqual(status.code, 0, '%s\n%s' % (context, status))
        models = [model for model in status.json['models'] if model['name'] == NAME]
        generation = models[0]['generation'] if models else 0
        case.assertGreaterEqual(
            generation, generation_min, 'a swap that was reported done is gone: ' + context
        )
        if generation:
            rows = tool.call('scan', self.store, NAME)
            case.assertEqual(rows.code, 0, '%s\n%s' % (context, rows))
            case.assertEqual(
                rows.out,
                self.rows_at(models[0]['position']),
                'not the rows of its position: ' + context,
            )
        verify = tool.call('verify', self.store)
        case.assertEqual(verify.code, 0, '%s\n%s' % (context, verify))
        return events, generation
