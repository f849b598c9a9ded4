"""Measures refold against its targets and its rivals, and prints a table; called by run.sh.

    python3 targets.py BUILD CACHE [NAME]…

NAME is one of 1 to 19, 21 to 23, rivals, micro, prepare; or table, which prints what is known.

A target is a function that yields rows: what was measured, the figure, what it is compared with,
the ratio, and whether that is enough. Refold and a rival take turns within one run. Figures stay in
CACHE/targets-EVENTS.json, each with commit and time, so that rows may be measured one by one.
"""

import getpass
import glob
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import rivals
from measure import Bench, Figures, Run, commit, disk_bytes, megabytes, say

KNOWN_SUMS = {10_000_000: (1_494_755, 128_432_691_953, 12_718_244, 10_000_000)}
SMALL = ('key_customers', 'large_payments', 'bulk_items')
FULL = ('order_summary', 'order_contents', 'order_payment', 'order_timeline')
MEGABYTE = 1_000_000


def row(measure, measured, rival='', ratio='', target='', met=None):
    return dict(
        measure=measure,
        measured=str(measured),
        rival=str(rival),
        ratio=ratio if isinstance(ratio, str) else '%.2f' % ratio,
        target=target,
        verdict='' if met is None else 'met' if met else 'not met',
    )


def seconds_of(runs):
    return Figures(run.seconds for run in runs)


def scan_sums(bench, store):
    """Sums over the rows as a reader gets them."""
    sums = [0, 0, 0, 0, 0]
    scan = [bench.refold, 'scan', store, 'order_summary']
    with subprocess.Popen(scan, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            one = json.loads(line)
            sums[0] += 1
            sums[1] += one['total']
            sums[2] += one['items']
            sums[3] += one['events']
            sums[4] += one['status'] == 'OrderCancelled'
    if process.returncode:
        sys.exit('scan failed with exit %d' % process.returncode)
    return tuple(sums)


def same_sums(name, sums, expected):
    if tuple(sums)[: len(expected)] != tuple(expected):
        sys.exit('%s: %s are %s, not %s' % (name, ', '.join(rivals.SUMS), sums, expected))


def take_turns(bench, rival, runs):
    """Seconds of refold, and of the rival by way; their sums are the same or the bench ends."""
    store = bench.store(events=rival.events)
    rival.prepare()
    ours, theirs = [], {way: [] for way in rival.ways}
    bench.rebuild(store, 'order_summary')
    for _ in range(runs):
        ours.append(bench.rebuild(store, 'order_summary').seconds)
        for way in rival.ways:
            theirs[way].append(rival.rebuild(way))
    sums = rival.sums()
    same_sums(rival.name, sums, KNOWN_SUMS.get(rival.events, ()))
    same_sums('refold', scan_sums(bench, store), sums)
    rival.close()
    return Figures(ours), {way: Figures(seconds) for way, seconds in theirs.items()}


def best_way(theirs, start):
    return min((way for way in theirs if way.startswith(start)), key=lambda w: theirs[w].best)


# ---- the targets ----


def duckdb(bench, only=None):
    """1, 2: rebuild against DuckDB."""
    rival = rivals.open_rival(rivals.DuckDB, bench)
    if not rival:
        return
    ours, theirs = take_turns(bench, rival, bench.runs)
    for number, start, least, wanted in (('1', 'table', 6, 10), ('2', 'clustered', 3.5, 6)):
        if only in (None, number):
            way = best_way(theirs, start)
            ratio = theirs[way].best / ours.median
            yield number, row(
                'rebuild of order_summary; DuckDB %s from its own %s' % (rival.version, way),
                ours,
                theirs[way],
                ratio,
                'over %g, never under %g' % (wanted, least),
                ratio >= wanted,
            )


def databases(bench):
    """Rebuild against SQLite and PostgreSQL, of a part of the events: no target, but a user's
    question.
    """
    for kind in (rivals.SQLite, rivals.PostgreSQL):
        rival = rivals.open_rival(kind, bench, bench.events // 5)
        if not rival:
            continue
        try:
            ours, theirs = take_turns(bench, rival, min(bench.runs, 2))
        except rivals.Absent as why:
            say('%s is skipped: %s' % (kind.name, why))
            continue
        for start in ('table', 'clustered'):
            way = best_way(theirs, start)
            yield '%s, %s' % (kind.name, start), row(
                'rebuild of order_summary, %s events; %s %s from its own %s'
                % (format(rival.events, ','), rival.name, rival.version, way),
                ours,
                theirs[way],
                theirs[way].best / ours.median,
            )


def floor_and_workers(bench, only=None):
    """3, 4: the floor, and two workers against one."""
    report = bench.replay(bench.store(), 'order_summary', workers='0,1,%d' % max(2, bench.workers))
    case = report['cases'][-1]
    one = report['cases'][1]
    if only in (None, '3'):
        yield '3', row(
            'replay, %d workers, against the floor of as many' % case['workers'],
            Figures(case['seconds']),
            Figures(case['floor_seconds']),
            case['floor_ratio'],
            'at most 1.6',
            case['floor_ratio'] <= 1.6,
        )
    if only in (None, '4'):
        yield '4', row(
            'replay, %d workers against 1' % case['workers'],
            Figures(case['seconds']),
            Figures(one['seconds']),
            case['speedup'],
            'at least 1.8',
            case['speedup'] >= 1.8,
        )
        inline = report['cases'][0]
        yield '4 in line', row(
            'the same, everything in line (0 workers) against 1',
            Figures(inline['seconds']),
            Figures(one['seconds']),
            one['median'] / inline['median'],
        )


def memory(bench):
    """5: peak memory of a rebuild."""
    store = bench.store()
    plain = bench.rebuilds(store, 'order_summary')
    tight = bench.rebuilds(store, 'order_summary', options=['--memory', '64M'])
    peak = max(run.peak for run in plain)
    small = max(run.peak for run in tight)
    slower = seconds_of(tight).median / seconds_of(plain).median
    yield '5', row(
        'peak memory of that rebuild', megabytes(peak), '', '', '256 MB', peak <= 256 * MEGABYTE
    )
    yield '5 --memory 64M', row(
        'time with --memory 64M against without; its peak is %s' % megabytes(small),
        seconds_of(tight),
        seconds_of(plain),
        slower,
        'at most 2',
        slower <= 2,
    )
    twice = bench.store(events=2 * bench.events)
    double = max(run.peak for run in bench.rebuilds(twice, 'order_summary'))
    yield '5 twice', row(
        'peak memory, twice as many events',
        megabytes(double),
        megabytes(peak),
        double / peak,
        'the same',
        double <= 1.1 * peak,
    )


def several(bench):
    """6: several projections in one rebuild."""
    store = bench.store()
    bench.rebuild(store, *SMALL)
    bench.rebuild(store, *FULL)
    alone, with_small, together = [], [], []
    apart = {name: [] for name in FULL}
    for _ in range(bench.runs):
        alone.append(bench.rebuild(store, 'order_summary'))
        with_small.append(bench.rebuild(store, 'order_summary', *SMALL))
        together.append(bench.rebuild(store, *FULL))
        for name in FULL:
            apart[name].append(bench.rebuild(store, name))
    rows = [p['rows'] for p in with_small[-1].json['projections']]
    if sum(rows[1:]) * 10 > rows[0]:
        sys.exit('the small projections write %s rows' % rows)
    ratio = seconds_of(with_small).median / seconds_of(alone).median
    yield '6', row(
        'order_summary and three projections of %s rows together, against it alone'
        % format(sum(rows[1:]), ','),
        seconds_of(with_small),
        seconds_of(alone),
        ratio,
        'at most 2',
        ratio <= 2,
    )
    sum_apart = Figures(
        sum(apart[name][run].seconds for name in FULL) for run in range(bench.runs)
    )
    ratio = sum_apart.median / seconds_of(together).median
    yield '6 full', row(
        'four full tables in one rebuild, against four rebuilds',
        seconds_of(together),
        sum_apart,
        ratio,
        'at least 1.5',
        ratio >= 1.5,
    )


def rare(bench):
    """7: one rare type."""
    store = bench.store('rare')
    bench.rebuild(store, 'order_flags')
    bench.rebuild(store, 'order_summary')
    few, all_types = [], []
    for _ in range(bench.runs):
        few.append(bench.rebuild(store, 'order_flags'))
        all_types.append(bench.rebuild(store, 'order_summary'))
    ratio = seconds_of(all_types).median / seconds_of(few).median
    yield '7', row(
        'one type of 1 % of the events, against order_summary over the same log',
        seconds_of(few),
        seconds_of(all_types),
        ratio,
        'at least 8',
        ratio >= 8,
    )


def wide(bench):
    """8: payload that is not used."""
    events = bench.events // 5
    narrow_store, wide_store = bench.store(events=events), bench.store('wide', events)
    for store in (narrow_store, wide_store):
        bench.rebuild(store, 'order_summary')
    narrow_runs, wide_runs = [], []
    for _ in range(2 * bench.runs):
        narrow_runs.append(bench.rebuild(narrow_store, 'order_summary'))
        wide_runs.append(bench.rebuild(wide_store, 'order_summary'))
    ratio = seconds_of(wide_runs).median / seconds_of(narrow_runs).median
    yield '8', row(
        '%s events with 1 KB of unused payload each, against without' % format(events, ','),
        seconds_of(wide_runs),
        seconds_of(narrow_runs),
        ratio,
        'at most 1.25',
        ratio <= 1.25,
    )


def importing(bench):
    """9: import."""
    log = bench.log()
    rival = rivals.open_rival(rivals.DuckDB, bench)
    first, again, theirs = [], [], []
    for _ in range(min(2, bench.runs)):
        store = bench.fresh('import')
        first.append(bench.imports(store, log))
        again.append(bench.imports(store, log))
        if again[-1].json.get('added'):
            sys.exit('the second import of the same file added events')
        if rival:
            theirs.append(rival.import_fresh())
    ours = seconds_of(first)
    if rival:
        ratio = Figures(theirs).best / ours.median
        yield '9', row(
            'import, all durable; DuckDB: of the typed columns only',
            ours,
            Figures(theirs),
            ratio,
            'at least 3',
            ratio >= 3,
        )
    ratio = seconds_of(again).median / ours.median
    yield '9 again', row(
        'import of the same file again, against the first time',
        seconds_of(again),
        ours,
        ratio,
        'at most 1',
        ratio <= 1,
    )
    for name, runs in (('first', first), ('again', again)):
        peak = max(run.peak for run in runs)
        yield '9 memory ' + name, row(
            'peak memory of this import, ' + ('the first time' if runs is first else name),
            megabytes(peak),
            '',
            '',
            '512 MB',
            peak < 512 * MEGABYTE,
        )
    run = bench.imports(bench.fresh('import'), bench.log('wide', bench.events // 5))
    yield '9 wide', row(
        'peak memory of an import with 1 KB payloads: %s events, %.1f s'
        % (format(bench.events // 5, ','), run.seconds),
        megabytes(run.peak),
        '',
        '',
        '512 MB',
        run.peak < 512 * MEGABYTE,
    )
    bench.fresh('import')


def size(bench):
    """10: bytes on disk."""
    rival = rivals.open_rival(rivals.DuckDB, bench)
    ours = disk_bytes(os.path.join(bench.store(), 'log'))
    if not rival:
        return
    theirs = rival.parquet_bytes()
    yield '10', row(
        'log on disk, payloads included; zstd Parquet with the JSON as text',
        megabytes(ours),
        megabytes(theirs),
        ours / theirs,
        'at most 0.9',
        ours <= 0.9 * theirs,
    )


def swapping(bench):
    """11: swaps, and who reads meanwhile."""
    for number, events, least in (('11 small', 1050, 1000), ('11', bench.events, 1000)):
        store = bench.store(events=events)
        for _ in range(2):
            bench.rebuild(store, 'order_summary', options=['--keep', '3'])
        found = bench.reader(store, 'order_summary', 'swaps', 100)
        if found['rows'] < least:
            sys.exit('too few rows to swap: %d' % found['rows'])
        swap, reader = found['swap'], found['reader']
        yield number, row(
            'swap of %s rows: median of 100, nine of ten under, slowest'
            % format(found['rows'], ','),
            ', '.join('%.1f ms' % (swap[n] * 1e3) for n in ('median', 'nine_of_ten', 'slowest')),
            '',
            '',
            'under 10 ms',
            swap['slowest'] < 0.01,
        )
        for what, name in (('get', 'slowest_get'), ('refresh and get', 'slowest')):
            yield '%s %s' % (number, what), row(
                'the slowest %s of %s meanwhile' % (what, format(reader['gets'], ',')),
                '%.2f ms' % (reader[name] * 1e3),
                '',
                '',
                'under 5 ms',
                reader[name] < 0.005,
            )


def getting(bench):
    """12: gets."""
    store = bench.store()
    bench.rebuild(store, 'order_summary')
    found = bench.reader(store, 'order_summary', 'gets', bench.runs)
    yield '12', row(
        'gets a second, %s rows in random order, one thread' % format(found['rows'], ','),
        '%s (%s to %s)'
        % tuple(
            format(round(found[name]), ',') for name in ('gets_per_second', 'slowest', 'fastest')
        ),
        '',
        '',
        'over 500,000',
        found['gets_per_second'] > 500_000,
    )


def streams(bench):
    """13: a stream an event."""
    order = bench.imports(bench.fresh('import'), bench.log())
    order_each = order.seconds / bench.events
    for part in (8, 1):
        events = 2 * bench.events // part
        log = bench.log('single', events)
        store = bench.fresh('import')
        run = bench.imports(store, log)
        ratio = run.seconds / events / order_each
        held = disk_bytes(os.path.join(store, 'log'))
        os.unlink(log)
        yield '13' if part == 1 else '13 1/%d' % part, row(
            '%s events into as many streams: %.0f bytes written and %.0f kept an event, peak %s'
            % (format(events, ','), run.written / events, held / events, megabytes(run.peak)),
            '%.2f us an event' % (run.seconds / events * 1e6),
            '%.2f us, order log' % (order_each * 1e6),
            ratio,
            'at most 2.5' if part == 1 else '',
            ratio <= 2.5 if part == 1 else None,
        )
    bench.fresh('import')


def skewed(bench):
    """14: one stream with half of the events."""
    even, uneven = bench.store(), bench.store('skewed')
    for store in (even, uneven):
        bench.rebuild(store, 'order_summary')
    runs = {store: [] for store in (even, uneven)}
    alone = []
    for _ in range(bench.runs):
        for store in (even, uneven):
            runs[store].append(bench.rebuild(store, 'order_summary'))
        alone.append(bench.rebuild(uneven, 'order_summary', workers=1))
    ours = seconds_of(runs[uneven])
    yield '14', row(
        'half of the events in one stream, against the even log',
        ours,
        seconds_of(runs[even]),
        ours.median / seconds_of(runs[even]).median,
        'reported',
    )
    yield '14 workers', row(
        'the same log, %d workers against 1' % bench.workers,
        ours,
        seconds_of(alone),
        seconds_of(alone).median / ours.median,
        'reported',
    )


def real(bench):
    """15: real logs."""
    data = os.environ.get('REFOLD_SHARED') or os.path.join(os.path.dirname(rivals.ROOT), 'shared')
    files = sorted(glob.glob(os.path.join(data, 'data', '*.events.jsonl.zst')))
    if not files:
        say('15 is skipped: no shared data in %s' % data)
        return
    store = bench.fresh('real')
    seconds = 0
    for path in files:
        name = os.path.basename(path).split('.')[0]
        options = ['--source', name]
        if name.startswith('es-'):
            options += ['--map', 'schema=data.class_version']
        seconds += bench.imports(store, with_prefix(bench, path, name), *options).seconds
    yield from one_real(bench, '15 all', store, 'all %d sets' % len(files), 'case_summary', seconds)
    git = [path for path in files if os.path.basename(path).startswith('git-git.')]
    if git:
        store = bench.fresh('real')
        run = bench.imports(store, git[0])
        yield from one_real(bench, '15', store, 'git-git', 'file_tree', run.seconds)
    bench.fresh('real')


def with_prefix(bench, path, name):
    """The log with the set's name before each stream: some sets have streams of the same names."""
    made = bench.path('real-%s.jsonl' % name)
    if not os.path.exists(made):
        with open(made + '.tmp', 'wb') as file:
            text = subprocess.Popen(['zstd', '-dqc', path], stdout=subprocess.PIPE)
            change = 's/"stream" *: *"/&%s-/' % name
            subprocess.run(['sed', change], stdin=text.stdout, stdout=file, check=True)
            text.stdout.close()
            if text.wait():
                sys.exit('zstd failed')
        os.rename(made + '.tmp', made)
    return made


def one_real(bench, number, store, what, projection, import_seconds):
    report = bench.replay(store, projection, workers=str(bench.workers))
    case = report['cases'][0]
    yield number, row(
        '%s: %s of %s events, %.1f M events/s; import %.2f s'
        % (
            what,
            projection,
            format(report['events'], ','),
            case['events_per_second'] / 1e6,
            import_seconds,
        ),
        Figures(case['seconds']),
        '%s, floor' % Figures(case['floor_seconds']),
        case['floor_ratio'],
        'reported',
    )


def scan_keyed(bench, store, name):
    """What DuckDB's sums_keyed gives, of the rows as a reader gets them."""
    columns = rivals.KEYED[name]['columns']
    rows, sums, products = 0, [0] * len(columns), 0
    with subprocess.Popen([bench.refold, 'scan', store, name], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            one = json.loads(line)
            rows += 1
            sums = [held + one[column] for held, column in zip(sums, columns)]
            products += one[columns[0]] * one[columns[1]]
    if process.returncode:
        sys.exit('scan failed with exit %d' % process.returncode)
    return (rows, *sums, products)


def keyed(bench, number, name, what, least):
    """16 to 18: read models with keys of their own against DuckDB's own table."""
    rival = rivals.open_rival(rivals.DuckDB, bench)
    store = bench.store()
    ways = []
    if rival:
        rival.prepare()
        ways = [(fold, order) for fold in rivals.KEYED[name]['folds'] for order in (False, True)]
    ours, theirs = [], {way: [] for way in ways}
    bench.rebuild(store, name)
    for _ in range(bench.runs):
        ours.append(bench.rebuild(store, name))
        for way in ways:
            theirs[way].append(rival.rebuild_keyed(name, *way))
    found = scan_keyed(bench, store, name)
    measure = 'rebuild of %s: %s, %s rows; %.2f s of processor time, peak %s' % (
        name,
        what,
        format(found[0], ','),
        Figures(run.cpu for run in ours).median,
        megabytes(max(run.peak for run in ours)),
    )
    if not rival:
        yield number, row(measure, seconds_of(ours))
        return
    expected = rival.sums_keyed(name)
    rival.close()
    if found != expected:
        sys.exit('%s: the sums of refold are %s, of %s %s' % (name, found, rival.name, expected))
    way = min(ways, key=lambda way: Figures(theirs[way]).best)
    ratio = Figures(theirs[way]).best / seconds_of(ours).median
    yield number, row(
        '%s; DuckDB %s from its own table%s, %s'
        % (measure, rival.version, ', unordered' if way[1] else '', way[0]),
        seconds_of(ours),
        Figures(theirs[way]),
        ratio,
        'at least %g' % least,
        ratio >= least,
    )


def messages(bench, server, events):
    """The order log as Message DB has it; made where it is not there yet."""
    if server.run("select count(*) from pg_tables where tablename = 'messages'")[1] == ['1']:
        return
    say('PostgreSQL: a store of %d events' % events)
    text = bench.path('messages-%d.copy' % events)
    with open(bench.log(events=events)) as log, open(text, 'w') as out:
        for line in log:
            event = json.loads(line)
            data = line[line.index('"data":') + 7 : -2].replace('\\', '\\\\')
            time_us = '%d.%03d' % divmod(event['time'], 1000)
            fields = event['position'], event['version'], time_us, event['stream'], event['type']
            out.write('\t'.join((*map(str, fields), data)) + '\n')
    with open(text, 'rb') as file:
        server.run(
            'create schema if not exists message_store',
            'create table message_store.loading (global_position bigint, position bigint, '
            'seconds numeric, stream_name text, type text, data jsonb)',
            'copy message_store.loading from stdin',
            stdin=file,
        )
    os.unlink(text)
    server.run(
        'create table message_store.messages as select global_position, position, '
        "to_timestamp(seconds) at time zone 'utc' as time, stream_name, type, data, null::jsonb as metadata "
        'from message_store.loading order by global_position',
        'alter table message_store.messages add primary key (global_position)',
        'drop table message_store.loading',
        'vacuum analyze message_store.messages',
        'checkpoint',
    )


def import_lines(bench, store, first, count):
    """Lines `first` and on of the order log, into a store."""
    with subprocess.Popen(['tail', '-n', '+%d' % first, bench.log()], stdout=subprocess.PIPE) as log:
        with subprocess.Popen(
            ['head', '-n', str(count)], stdin=log.stdout, stdout=subprocess.PIPE
        ) as some:
            return Run([bench.refold, 'import', store, '-', '--quiet'], stdin=some.stdout)


def incremental(bench):
    """19: a rebuild of the same definition that folds what is new, against one that folds all; 20: following
    a commit of ten events."""
    for number, share, merged, target in (('19', 100, False, 5), ('19 merged', 8, True, None)):
        store = bench.fresh('incremental')
        new = bench.events // share
        import_lines(bench, store, 1, bench.events - new)
        bench.rebuild(store, 'order_summary')
        import_lines(bench, store, bench.events - new + 1, new)
        part, full = [], []
        for _ in range(bench.runs):
            for runs, options in ((part, ()), (full, ('--full',))):
                options += ('--no-swap',)
                runs.append(bench.rebuild(store, 'order_summary', options=options))
                Run([bench.refold, 'gc', store, '--keep', '2'])
        made = [runs[0].json['projections'][0] for runs in (part, full)]
        if (made[0]['digest'], made[0]['merged']) != (made[1]['digest'], merged):
            sys.exit('19: other rows than those of a full rebuild, or another way')
        ratio = seconds_of(full).median / seconds_of(part).median
        cpu = [Figures(run.cpu for run in runs).median for runs in (part, full)]
        yield number, row(
            'rebuild where one event in %d is new%s, against --full; processor time %.3f and %.3f s'
            % (share, ', merged into a new base' if merged else '', *cpu),
            seconds_of(part),
            seconds_of(full),
            ratio,
            'at least %d' % target if target else '',
            ratio >= target if target else None,
        )
    bench.rebuild(store, 'order_summary', options=('--full',))
    runs = []
    for i in range(20):
        import_more(bench, store, i)
        runs.append(Run([bench.refold, 'follow', store, '--once']))
    yield '20', row(
        'follow --once of ten events, whole process, %s rows; processor time %.4f s'
        % (format(made[1]['rows'], ','), Figures(run.cpu for run in runs).median),
        seconds_of(runs),
    )
    shutil.rmtree(store)


def import_more(bench, store, turn):
    """Ten events of streams of their own."""
    lines = b''.join(
        b'{"stream":"order-bench-%d","type":"OrderPlaced","data":{"customer":"c-1","currency":"EUR",'
        b'"channel":"web"}}\n' % (10 * turn + i)
        for i in range(10)
    )
    subprocess.run(
        [bench.refold, 'import', store, '-', '--quiet'], input=lines, check=True, stdout=subprocess.DEVNULL
    )


class Traffic:
    """Imports of 2,000 events one after the other, and a process that follows."""

    def __init__(self, bench, store, first):
        self.lines = itertools.islice(open(bench.log(), 'rb'), first, None)
        self.import_one = [bench.refold, 'import', store, '-', '--quiet']
        self.follower = subprocess.Popen(
            [bench.refold, 'follow', store, '--quiet'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            lines = b''.join(itertools.islice(self.lines, 2000))
            self.ran_out = not lines
            if self.ran_out:
                return
            subprocess.run(self.import_one, input=lines, check=True, stdout=subprocess.DEVNULL)

    def close(self):
        self.over.set()
        self.thread.join()
        self.follower.terminate()
        self.follower.wait()
        if self.ran_out:
            sys.exit('the imports came to the end of the log before what they were to hold up')


def longest_wait(bench, store, work):
    """For the catalog, as a follower waits for it, while some work is done."""
    os.sync()  # or it would wait for what was written before
    hold = subprocess.Popen(
        [os.path.join(bench.build, 'bench', 'hold'), store], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    work()
    out, _ = hold.communicate()
    if hold.returncode:
        sys.exit('hold failed with exit %d' % hold.returncode)
    return json.loads(out)['longest_s']


def rebuild_held(bench, store, models):
    """The longest wait during a rebuild, and what it held the catalog for."""
    path = bench.path('held.json')
    os.environ['HELD_OUT'] = path
    held = os.path.join(bench.build, 'bench', 'held.so')
    wait = longest_wait(
        bench, store, lambda: bench.rebuild(store, *models, options=('--full',), preload=held)
    )
    with open(path) as file:
        found = json.load(file)
    if not found['holds']:
        sys.exit('held.so did not find the lock of the catalog')
    return wait, found


def holding(bench):
    """23: how long a rebuild and its swap hold who follows, beside imports."""
    models = ('order_summary', 'customer_revenue', 'price_rises')
    store = bench.fresh('incremental')
    first = bench.events // 2
    import_lines(bench, store, 1, first)
    bench.rebuild(store, *models)
    traffic = Traffic(bench, store, first)
    try:
        alone = longest_wait(bench, store, lambda: time.sleep(3))
        for name in (*models, 'all three'):
            of = models if name == 'all three' else (name,)
            runs = [rebuild_held(bench, store, of) for _ in range(3)]
            waits = Figures(wait for wait, _ in runs)
            held = max((held for _, held in runs), key=lambda held: held['longest_s'])
            yield '23 ' + name, row(
                "a follower's longest wait during a rebuild and swap of %s, beside imports of 2,000 events and "
                'a process that follows all three; with these alone. The rebuild itself held it for %.3f s at most, '
                'with %.3f s of processor time, %.3f s of writing, and else waiting for a core'
                % (name, held['longest_s'], held['processor_s'], held['files_s']),
                waits,
                Figures([alone]),
                target='under 0.1 s',
                met=waits.worst < 0.1,
            )
    finally:
        traffic.close()
    shutil.rmtree(store)


def importing_a_database(bench):
    """21: import from PostgreSQL, against psql's COPY of the same rows."""
    events = bench.events // 5
    try:
        server = rivals.PostgreSQL(bench, events)
        server.start()
    except rivals.Absent as absent:
        say('PostgreSQL: %s' % absent)
        return
    url = 'postgresql:///postgres?host=%s&user=%s' % (server.folder, server.user or getpass.getuser())
    query = (
        'copy (select global_position, stream_name, position, type, time, data, metadata '
        'from message_store.messages order by global_position) to stdout'
    )
    ours, files, copies = [], [], []
    try:
        messages(bench, server, events)
        with open(os.devnull, 'wb') as nothing:
            for _ in range(bench.runs):
                ours.append(bench.imports(bench.fresh('import'), url))
                files.append(bench.imports(bench.fresh('import'), bench.log(events=events)))
                begun = time.monotonic()
                server.copy_out(query, nothing)
                copies.append(time.monotonic() - begun)
    finally:
        server.close()
    if ours[-1].json['added'] != events:
        sys.exit('the import from PostgreSQL added %d events' % ours[-1].json['added'])
    took = seconds_of(ours)
    yield '21', row(
        'import of %s events from PostgreSQL, %s a second; COPY of the same rows by psql'
        % (format(events, ','), format(round(events / took.median), ',')),
        took,
        Figures(copies),
        Figures(copies).median / took.median,
    )
    yield '21 processor', row(
        'processor time of this import; of the same events from a file',
        Figures(run.cpu for run in ours),
        Figures(run.cpu for run in files),
        Figures(run.cpu for run in files).median / Figures(run.cpu for run in ours).median,
    )
    bench.fresh('import')


def copy_seconds(server):
    """How long the last COPY of an export took, as the server has it: with the time in which rows were waited for."""
    with open(os.path.join(server.folder, 'log')) as log:
        return float(re.findall(r'duration: ([\d.]+) ms  statement: COPY ', log.read())[-1]) / 1000


def publishing(bench):
    """22: a read model into PostgreSQL, against a plain COPY of the same bytes."""
    store = bench.store()
    bench.rebuild(store, 'order_summary')
    try:
        server = rivals.PostgreSQL(bench, 0)
        server.wal_level = 'replica'  # as it comes: neither COPY goes round the WAL
        server.start()
    except rivals.Absent as absent:
        say('PostgreSQL: %s' % absent)
        return
    url = 'postgresql:///postgres?host=%s&user=%s' % (server.folder, server.user or getpass.getuser())
    export = [bench.refold, 'export', store, 'order_summary', url, '--full', '--quiet']
    bytes_file = bench.path('published.copy')
    ours, theirs, own, copies = [], [], [], []
    try:
        server.run('alter database postgres set log_min_duration_statement = 0')
        for _ in range(bench.runs):
            old = server.run(
                "select nspname from pg_namespace where nspname ~ '^(order_summary_g|refold_pub)'"
            )[1]
            server.run(
                'drop view if exists order_summary',
                *('drop schema %s cascade' % schema for schema in old),
                'checkpoint',
            )
            ours.append(Run(export).seconds)
            own.append(copy_seconds(server))
            table = server.run('select data_schema from refold_published.models')[1][0]
            if not copies:
                with open(bytes_file, 'wb') as file:
                    server.copy_out('copy %s.order_summary to stdout (format binary)' % table, file)
            server.run('drop table if exists t', 'create table t (like %s.order_summary)' % table)
            with open(bytes_file, 'rb') as file:
                copies.append(server.run('copy t from stdin (format binary)', stdin=file)[0])
            rest = server.run('alter table t add primary key (key)', 'analyze t')[0]
            theirs.append(copies[-1] + rest)
    finally:
        server.run('alter database postgres reset log_min_duration_statement')
        server.close()
    ours, theirs, own, copies = Figures(ours), Figures(theirs), Figures(own), Figures(copies)
    yield '22', row(
        'order_summary into PostgreSQL, with key and statistics; COPY of the same bytes, then the same',
        ours,
        theirs,
        theirs.median / ours.median,
        'at least 0.8',
        theirs.median >= 0.8 * ours.median,
    )
    yield '22 copy', row(
        'of that the COPY alone, reading the rows included; COPY of the same bytes alone',
        own,
        copies,
        copies.median / own.median,
        'at least 0.8',
        copies.median >= 0.8 * own.median,
    )


def prepare(bench):
    """Logs, stores and databases, so that a later call only measures."""
    for kind, events in (
        ('orders', bench.events),
        ('orders', 2 * bench.events),
        ('orders', bench.events // 5),
        ('wide', bench.events // 5),
        ('rare', bench.events),
        ('skewed', bench.events),
    ):
        bench.store(kind, events)
    bench.log()
    bench.log('wide', bench.events // 5)
    for kind, part in ((rivals.DuckDB, 1), (rivals.SQLite, 5), (rivals.PostgreSQL, 5)):
        rival = rivals.open_rival(kind, bench, bench.events // part)
        try:
            if rival:
                rival.prepare()
                rival.close()
        except rivals.Absent as why:
            say('%s is skipped: %s' % (kind.name, why))
    yield from ()


def stages(bench):
    """Micro-benches, printed as they are."""
    folder = bench.path('micro')
    shutil.rmtree(folder, ignore_errors=True)
    events = bench.events // 20
    say('stages of the engine over %d orders' % events)
    print(
        '%s, commit %s, %d events, %d bytes of JSON Lines'
        % (bench.machine(), commit(), events, os.path.getsize(bench.log(events=events))),
        flush=True,
    )
    argv = [os.path.join(bench.build, 'bench', 'micro'), bench.log(events=events)]
    argv += [bench.plugin('order_summary'), folder, str(bench.runs)]
    subprocess.run(argv, check=True)
    shutil.rmtree(folder)
    yield from ()


TARGETS = {
    'prepare': prepare,
    'micro': stages,
    '1': lambda bench: duckdb(bench, '1'),
    '2': lambda bench: duckdb(bench, '2'),
    '1+2': duckdb,
    'rivals': databases,
    '3': lambda bench: floor_and_workers(bench, '3'),
    '4': lambda bench: floor_and_workers(bench, '4'),
    '3+4': floor_and_workers,
    '5': memory,
    '6': several,
    '7': rare,
    '8': wide,
    '9': importing,
    '10': size,
    '11': swapping,
    '12': getting,
    '13': streams,
    '14': skewed,
    '15': real,
    '16': lambda bench: keyed(bench, '16', 'sku_sales', 'sums by sku', 2.5),
    '17': lambda bench: keyed(bench, '17', 'customer_revenue', 'sums by a carried customer', 4),
    '18': lambda bench: keyed(bench, '18', 'price_rises', 'by sku in the order of the log', 2.5),
    '19': incremental,
    '21': importing_a_database,
    '22': publishing,
    '23': holding,
}
DEFAULT = ('1+2', 'rivals', '3+4') + tuple(str(number) for number in range(5, 20)) + ('21', '22', '23')


# ---- what is known ----


def read_known(path):
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def order_of(name):
    """1, 2, … 18, then the rivals without a target; within one as measured."""
    first = name.split()[0]
    return int(first) if first.isdigit() else 2.5


def print_table(bench, known):
    commits = sorted({one['commit'] for one in known.values()})
    print('%s; %d workers' % (bench.machine(), bench.workers))
    print(
        'commit %s; `EVENTS=%d RUNS=%d sh bench/run.sh`; load before %.1f to %.1f\n'
        % (
            ', '.join(commits),
            bench.events,
            bench.runs,
            min(one['load'] for one in known.values()),
            max(one['load'] for one in known.values()),
        )
    )
    print('| # | measure | refold | compared with | ratio | target | verdict |')
    print('|---|---|---|---|---|---|---|')
    for name in sorted(known, key=order_of):
        one = known[name]['row']
        number = name.split()[0] if name[0].isdigit() else ''
        print(
            '| %s | %s | %s | %s | %s | %s | %s |'
            % (
                number,
                one['measure'],
                one['measured'],
                one['rival'],
                one['ratio'],
                one['target'],
                one['verdict'],
            )
        )


def main():
    build, cache, *names = sys.argv[1:]
    bench = Bench(build, cache)
    path = bench.path('targets-%d.json' % bench.events)
    known = read_known(path)
    if names != ['table']:
        for name in names or DEFAULT:
            if name not in TARGETS:
                sys.exit('%s is none of %s' % (name, ', '.join(TARGETS)))
        measured = {}
        begin = time.monotonic()
        for name in names or DEFAULT:
            load = os.getloadavg()[0]
            for number, one in TARGETS[name](bench):
                say('%s: %s: %s  %s  %s  %s' % (number, *list(one.values())[:4], one['verdict']))
                # what was known of this target goes, also rows that it has no more
                first = number.split()[0]
                known = {n: row for n, row in known.items() if n.split()[0] != first}
                measured[number] = dict(
                    row=one, commit=commit(), load=load, at=time.time()
                )
                with open(path, 'w') as file:
                    json.dump({**known, **measured}, file, indent=1)
        say('took %.0f s' % (time.monotonic() - begin))
        known = measured
    if known:
        print_table(bench, known)


main()
