"""Real logs: what refold makes of them equals what others say, and the naive serial fold, for any
number of workers.

The others are git's own listing (file_tree), sums by SQL over the bank's table (account_activity)
and a process-mining library (case_summary). The harness was tried on planted faults: one count of
a row raised by one, one row left out, and one event left out of the import each fail it.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import serial_fold
import tool

WORKERS = (1, 2, 8)


def tsv(path):
    lines = tool.read(path).decode('utf-8').splitlines()
    names = lines[0].split('\t')
    return [dict(zip(names, line.split('\t'))) for line in lines[1:]]


def local_ms(event):
    """Wall clock of an event's time as if it were UTC, in milliseconds: what the process-mining
    oracle holds.
    """
    time = event['time']
    wall = time[:-1] if time.endswith('Z') else time[:-6]
    return serial_fold.time_us(wall + 'Z') // 1000


class Oracle(tool.Case):
    def fold(self, log, name):
        """Imports, rebuilds with each number of workers, compares with the model; gives events
        and printed rows.
        """
        raw = tool.read(log)
        events = serial_fold.parse(raw)
        expected = serial_fold.print_rows(serial_fold.fold_events(name, events))
        summary = self.ok('import', self.store, log, '--quiet', '--json').json
        self.assertEqual(summary['added'], len(events))
        self.assertEqual(self.info()['events'], len(events))
        self.assertEqual(self.info()['streams'], len({event['stream'] for event in events}))
        digests = set()
        for workers in WORKERS:
            entry = self.rebuild(tool.projection(name), options=('--workers', workers))[0]
            digests.add(entry['digest'])
            rows = self.rows(name)
            self.assertEqual(entry['rows'], rows.count(b'\n'))
            if rows != expected:
                self.first_difference(rows, expected)
        self.assertEqual(len(digests), 1, digests)
        self.verifies()
        return events, [json.loads(row) for row in expected.splitlines()]

    def first_difference(self, rows, expected):
        for got, want in zip(rows.split(b'\n'), expected.split(b'\n')):
            self.assertEqual(got, want)
        self.assertEqual(rows.count(b'\n'), expected.count(b'\n'))

    def shared_log(self, name):
        path = tool.shared_file(name + '.events.jsonl.zst')
        if not path:
            self.skipTest('no shared data with %s' % name)
        return path

    def git(self, log, oracle):
        rows = self.fold(log, 'file_tree')[1]
        listing = tsv(oracle)
        self.assertEqual(len(rows), len(listing))
        for row, file in zip(rows, sorted(listing, key=lambda file: file['path'].encode('utf-8'))):
            lines = 'binary' if row['binary'] else str(row['lines'])
            self.assertEqual(
                (row['key'], row['mode'], row['blob'], lines),
                (file['path'], file['mode'], file['blob'], file['lines']),
            )

    def cases(self, name):
        events, rows = self.fold(self.shared_log(name), 'case_summary')
        first, last = {}, {}
        for event in events:
            first.setdefault(event['stream'], event)
            last[event['stream']] = event
        oracle = {
            case['stream']: case
            for case in serial_fold.parse(
                tool.read(tool.shared_file(name + '.cases.oracle.jsonl.zst'))
            )
        }
        self.assertEqual(len(rows), len(oracle))
        for row in rows:
            key, case = row['key'], oracle[row['key']]
            self.assertEqual(
                (row['events'], row['first'], row['last']),
                (case['events'], case['first'], case['last']),
            )
            for event, column, wall in (
                (first[key], 'started_at', 'start_local_ms'),
                (last[key], 'ended_at', 'end_local_ms'),
            ):
                self.assertEqual(local_ms(event), case[wall], key)
                self.assertEqual(
                    serial_fold.time_us(row[column]), serial_fold.time_us(event['time']), key
                )

    def test_file_tree_of_redis_is_what_git_lists(self):
        self.git(tool.fixture('git-redis.events'), tool.fixture('git-redis.oracle'))

    def test_file_tree_of_git_is_what_git_lists(self):
        self.git(self.shared_log('git-git'), tool.shared_file('git-git.oracle.tsv.zst'))

    def authors(self, log, oracle):
        """Folded from all files' streams by author; git counted the commits."""
        self.ok('import', self.store, log, '--quiet')
        listing = {row['author']: int(row['commits']) for row in tsv(oracle)}
        digests = set()
        for workers in WORKERS:
            digests.add(
                self.rebuild(tool.projection('authors'), options=('--workers', workers))[0]['digest']
            )
            rows = [json.loads(row) for row in self.rows('authors').splitlines()]
            got = {row['key']: row['commits'] for row in rows}
            # whoever has no commit in the log has no row
            self.assertEqual(got, {author: n for author, n in listing.items() if n})
        lua = os.path.join(tool.ROOT, 'projections', 'authors.lua')
        digests.add(self.rebuild(lua, options=('--dev', '--workers', 2))[0]['digest'])
        self.assertEqual(len(digests), 1, digests)
        self.ok('verify', self.store, '--serial')

    def test_authors_of_redis_have_the_commits_that_git_counts(self):
        self.authors(
            self.shared_log('git-redis'), tool.shared_file('git-redis.authors.oracle.tsv.zst')
        )

    def test_authors_of_git_have_the_commits_that_git_counts(self):
        self.authors(self.shared_log('git-git'), tool.shared_file('git-git.authors.oracle.tsv.zst'))

    def test_account_activity_has_the_sums_of_the_bank(self):
        rows = self.fold(self.shared_log('berka'), 'account_activity')[1]
        oracle = {
            account['stream']: account for account in tsv(tool.shared_file('berka.oracle.tsv.zst'))
        }
        self.assertEqual(len(rows), len(oracle))
        for row in rows:
            account = oracle[row['key']]
            got = [row['transactions']] + [
                serial_fold.hundredths(row[name])
                for name in ('credited', 'debited', 'lowest', 'highest')
            ]
            got += [row[name][2:10].replace('-', '') for name in ('first_at', 'last_at')]
            want = [
                int(account[name])
                for name in (
                    'transactions',
                    'credited_hellers',
                    'debited_hellers',
                    'min_balance',
                    'max_balance',
                )
            ]
            want += [account['first_day'], account['last_day']]
            self.assertEqual(got, want, row['key'])

    def test_case_summary_of_receipt_is_that_of_process_mining(self):
        self.cases('receipt')

    def test_case_summary_of_sepsis_is_that_of_process_mining(self):
        self.cases('sepsis')

    def test_case_summary_of_bpic2013closed_is_that_of_process_mining(self):
        self.cases('bpic2013closed')


tool.main(__name__)
