"""Measures import and rebuild of the order log and prints a report; called by run.sh.

Each figure is of a whole process as a user starts it: wall clock from start to exit, processor
time and peak memory from the kernel's account of that child (which counts pages of mapped files
too). refold's rebuild is durable when it returns: base files and MANIFEST fsynced, the catalog
committed. Before each run the machine gets a sync, so that no run pays for the writes of the one
before. The floor is what the same machine needs to write and fsync as many bytes as the
generation has.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

build, log, events, cache, peer = sys.argv[1:]
events = int(events)
runs = int(os.environ.get('RUNS', '5'))
workers = os.environ.get('WORKERS') or str(len(os.sched_getaffinity(0)))
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
refold = os.path.join(build, 'refold')
store = os.path.join(cache, 'orders.refold')
SUMS = ('rows', 'total', 'items', 'events')
KNOWN = {10_000_000: (1_494_755, 128_432_691_953, 12_718_244, 10_000_000)}


def measured(argv):
    """Seconds, processor seconds, peak bytes and output of one process; ends the bench if it
    fails.
    """
    os.sync()
    start = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit('failed with exit %d: %s' % (child.returncode, ' '.join(argv)))
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out


def disk_bytes(path):
    """Bytes that the files under `path` take on disk."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.stat(os.path.join(folder, name)).st_blocks * 512 for name in names)
    return total


def write_floor(size):
    """Seconds to write and fsync `size` bytes into a fresh file: best of three."""
    path, best, chunk = os.path.join(cache, 'floor'), None, os.urandom(1 << 20)
    for _ in range(3):
        os.sync()
        start = time.monotonic()
        with open(path, 'wb', buffering=0) as file:
            for at in range(0, size, len(chunk)):
                file.write(chunk[: size - at])
            os.fsync(file.fileno())
        seconds = time.monotonic() - start
        best = seconds if best is None else min(best, seconds)
        os.unlink(path)
    return best


def machine():
    model = 'unknown processor'
    with open('/proc/cpuinfo') as file:
        for line in file:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    kind = subprocess.run(
        ['stat', '-f', '-c', '%T', cache], stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    return '%s, %d cores, %.0f GB, %s, %s, load %.1f' % (
        model,
        len(os.sched_getaffinity(0)),
        memory / 1e9,
        platform.release(),
        kind,
        os.getloadavg()[0],
    )


def commit():
    git = ['git', '-C', root]
    try:
        name = subprocess.run(
            git + ['describe', '--always', '--dirty'],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        name = 'not a git checkout'
    return name


def spread(values):
    return '%.3f s (%.3f to %.3f, %d runs)' % (
        statistics.median(values),
        min(values),
        max(values),
        len(values),
    )


def rate(seconds, size):
    return '%.2f M events/s, %.0f MB/s of JSON' % (events / seconds / 1e6, size / seconds / 1e6)


def check(name, sums, expected):
    if expected and tuple(sums) != tuple(expected):
        sys.exit('%s: %s are %s, not %s' % (name, ', '.join(SUMS), sums, expected))


def scan_sums():
    """Sums over the rows as a reader gets them."""
    rows = total = items = count = 0
    with subprocess.Popen([refold, 'scan', store, 'order_summary'], stdout=subprocess.PIPE) as scan:
        for line in scan.stdout:
            row = json.loads(line)
            rows, total, items, count = (
                rows + 1,
                total + row['total'],
                items + row['items'],
                count + row['events'],
            )
    if scan.returncode:
        sys.exit('scan failed with exit %d' % scan.returncode)
    return rows, total, items, count


def measure_refold(size):
    shutil.rmtree(store, ignore_errors=True)
    seconds, cpu, peak, _ = measured([refold, 'import', store, log, '--quiet', '--json'])
    log_bytes = disk_bytes(os.path.join(store, 'log'))
    print(
        'import     %.2f s, %s; processor %.2f s, peak memory %.0f MB'
        % (seconds, rate(seconds, size), cpu, peak / 1e6)
    )
    print(
        'log        %.0f MB on disk of %.0f MB JSON (%.1f bytes an event)'
        % (log_bytes / 1e6, size / 1e6, log_bytes / events)
    )
    times, cpus, peaks, reports = [], [], [], []
    plugin = os.path.join(build, 'projections', 'order_summary.so')
    for _ in range(runs):
        one = measured(
            [refold, 'rebuild', store, plugin, '--workers', workers, '--json', '--quiet']
        )
        for values, value in zip((times, cpus, peaks, reports), one):
            values.append(value)
    report = json.loads(reports[-1])
    digests = {json.loads(text)['projections'][0]['digest'] for text in reports}
    if len(digests) != 1:
        sys.exit('rebuilds gave different digests: %s' % digests)
    median = statistics.median(times)
    generation = '%06d' % report['projections'][0]['generation']
    base_bytes = disk_bytes(os.path.join(store, 'generations', 'order_summary', generation))
    print(
        'rebuild    %s, %s; processor %.2f s, peak memory %.0f MB'
        % (spread(times), rate(median, size), statistics.median(cpus), max(peaks) / 1e6)
    )
    print(
        '           %s workers; the tool itself says %.3f s; decoded %.0f MB; base files %.0f MB'
        % (workers, report['seconds'], report.get('bytes_decoded', 0) / 1e6, base_bytes / 1e6)
    )
    floor = write_floor(base_bytes)
    print(
        'floor      %.3f s to write and fsync %.0f MB: rebuild is %.1f x the floor'
        % (floor, base_bytes / 1e6, median / floor)
    )
    return median


def measure_peer():
    if not shutil.which('node') or not os.path.isdir(
        os.path.join(peer, 'node_modules/@duckdb/node-api')
    ):
        print(
            'DuckDB     not measured: node or the npm package @duckdb/node-api is not here, '
            'so no ratio'
        )
        return None
    folder = os.path.join(peer, 'work')
    os.makedirs(folder, exist_ok=True)
    _, _, peak, out = measured(
        ['node', os.path.join(peer, 'duckdb_orders.mjs'), log, folder, workers, str(runs)]
    )
    found = json.loads(out)
    print(
        'DuckDB     %s, import %.1f s, %.0f MB; clustering %.1f s, Parquet %.1f s (not counted); '
        'peak memory %.0f MB'
        % (
            found['version'],
            found['import'],
            found['file_bytes'] / 1e6,
            found['cluster'],
            found['parquet'],
            peak / 1e6,
        )
    )
    for way, seconds in found['ways'].items():
        print('           from %-22s %s' % (way, spread(seconds)))
    shutil.rmtree(folder)
    return found


def main():
    size = os.path.getsize(log)
    print('machine    ' + machine())
    print('commit     ' + commit())
    print('input      %d events, %d bytes of JSON Lines' % (events, size))
    median = measure_refold(size)
    found = measure_peer()
    expected = KNOWN.get(events) or (found and tuple(found[name] for name in SUMS))
    sums = scan_sums()
    check('refold', sums, expected)
    print(
        'sums       %s%s'
        % (
            ', '.join('%s %d' % pair for pair in zip(SUMS, sums)),
            '' if expected else ' (nothing known to compare them with)',
        )
    )
    if found:
        check('DuckDB', [found[name] for name in SUMS], expected)
        best = min(found['ways'], key=lambda way: statistics.median(found['ways'][way]))
        ratio = statistics.median(found['ways'][best]) / median
        print(
            'ratio      rebuild is %.2f x as fast as DuckDB at its best (from %s)' % (ratio, best)
        )


main()
