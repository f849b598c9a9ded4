"""A guard against slower code that holds on noisy machines: it counts instructions.

    sh tests/guard/instructions.sh BUILD [SHARED]               compares
    sh tests/guard/instructions.sh --record REASON [BUILD]      adds figures that changed

A fixed log of orders is imported, rebuilt and read under callgrind, with 0 workers, so that the
same instructions run each time. Counted is what runs in the tool, the library and the projection.
The libraries of others choose their code by processor, so they are left out; what our code asks
of them more than before is therefore not seen here.

instructions.txt has a line for each figure ever recorded: name, instructions, compiler and
processor, reason. A figure may be TOLERANCE above the last of its name and build; what is above
must be looked into, and either won back or recorded with the reason why it is worth it. The file
only grows: a line that the last commit has must still be there as it was. Where there is no
figure for the compiler and the processor at hand, nothing is compared.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FIGURES = os.path.join(HERE, 'instructions.txt')
NAMES = ('import', 'rebuild', 'get')
TOLERANCE = 0.05
NOTICED = 0.005  # a smaller change is not recorded
REASON_MIN = 15  # characters
EVENTS, GETS = 100_000, 100_000
SKIPPED = 77


class Fault(Exception):
    pass


def call(argv, **how):
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how
    )
    if done.returncode:
        raise Fault('%s: exit %d: %s' % (' '.join(argv), done.returncode, done.stdout[-1000:]))
    return done.stdout


# ---- counting ----


def own_instructions(profile, folder):
    """The self cost of all functions of objects under `folder`, from callgrind's file. The programs
    that measure do not count.
    """
    objects, ours, total, called = {}, False, 0, False
    bench = os.path.join(folder, 'bench') + os.sep
    with open(profile, encoding='utf-8', errors='replace') as file:
        for line in file:
            if line.startswith(('ob=', 'cob=')):
                kind, _, rest = line.rstrip('\n').partition('=')
                number, _, path = rest.partition(' ')
                if path:
                    own = path.startswith(folder + os.sep) and not path.startswith(bench)
                    objects[number] = own
                if kind == 'ob':
                    ours = objects[number]
            elif line.startswith('calls='):
                called = True
            elif re.match(r'[-+*\d]', line):
                # the cost behind a call is that of another function
                if ours and not called:
                    total += int(line.split()[1])
                called = False
    return total


def count(build, work, name, *argv):
    profile = os.path.join(work, name + '.callgrind')
    valgrind = ['valgrind', '-q', '--tool=callgrind', '--callgrind-out-file=' + profile]
    # valgrind has no room for maps of the usual size
    call(valgrind + list(argv), env=dict(os.environ, REFOLD_MAP_BYTES=str(4 << 30)))
    return own_instructions(profile, os.path.realpath(build))


def measure(build, work):
    build = os.path.realpath(build)
    log, store = os.path.join(work, 'orders.jsonl'), os.path.join(work, 'store')
    refold = os.path.join(build, 'refold')
    plugin = os.path.join(build, 'projections', 'order_summary.so')
    with open(log, 'wb') as file:
        generator = [os.path.join(build, 'bench', 'orders'), str(EVENTS)]
        subprocess.run(generator, stdout=file, stderr=subprocess.DEVNULL, check=True)
    in_line = ('--workers', '0', '--quiet')
    return {
        # one commit: others come by the clock
        'import': count(build, work, 'import', refold, 'import', store, log, '--atomic', *in_line),
        'rebuild': count(build, work, 'rebuild', refold, 'rebuild', store, plugin, *in_line),
        'get': count(
            build,
            work,
            'get',
            os.path.join(build, 'bench', 'reader'),
            store,
            'order_summary',
            'gets',
            '1',
            str(GETS),
        ),
    }


def build_of(build):
    """Compiler and processor: with others, other instructions are right."""
    with open(os.path.join(build, 'refold'), 'rb') as file:
        made_by = re.search(rb'(GCC|clang)[^\0]*?(\d+\.\d+)\.\d+\0', file.read())
    if not made_by:
        raise Fault('%s/refold does not say which compiler made it' % build)
    compiler = b'-'.join(made_by.groups()).decode().lower()
    with open('/proc/cpuinfo') as file:
        flags = set(re.findall(r'^flags\s*:(.*)', file.read(), re.M)[0].split())
    wide = 'avx2' if {'avx2', 'bmi2'} <= flags else 'plain'
    return '%s-%s' % (compiler, wide)


# ---- the file ----


def read_lines(text):
    """Name, instructions, build and reason of each line; complains about those of another form."""
    found = []
    for line in text.splitlines():
        if not line or line.startswith('#'):
            continue
        match = re.fullmatch(r'(\S+) +(\d+) +(\S+) +(.*)', line)
        if not match or match.group(1) not in NAMES:
            raise Fault('instructions.txt: not NAME INSTRUCTIONS BUILD REASON: %s' % line)
        if len(match.group(4)) < REASON_MIN:
            raise Fault('instructions.txt: what is the reason? %s' % line)
        found.append((match.group(1), int(match.group(2)), match.group(3), match.group(4)))
    return found


def last_of(lines, build):
    return {name: instructions for name, instructions, of, _ in lines if of == build}


def check_history(text):
    """What the last commit has is still there, in front."""
    git = ['git', '-C', ROOT, 'show', 'HEAD:tests/guard/instructions.txt']
    if not shutil.which('git'):
        return
    done = subprocess.run(git, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode == 0 and read_lines(text)[: len(read_lines(done.stdout))] != read_lines(
        done.stdout
    ):
        raise Fault('instructions.txt: a recorded line was changed; add one, with its reason')


def record(figures, lines, build, reason):
    if len(reason) < REASON_MIN or '\n' in reason:
        raise Fault('a reason is a line of at least %d characters' % REASON_MIN)
    last = last_of(lines, build)
    with open(FIGURES, 'a') as file:
        for name in NAMES:
            before = last.get(name)
            if before and abs(figures[name] - before) <= NOTICED * before:
                print('%-8s %d, as before' % (name, figures[name]))
                continue
            change = ' (%+.1f %%)' % (100.0 * figures[name] / before - 100) if before else ''
            file.write('%-8s %12d  %s  %s\n' % (name, figures[name], build, reason + change))
            print('%-8s %d%s: recorded' % (name, figures[name], change))


def compare(figures, lines, build):
    faults = []
    last = last_of(lines, build)
    for name in NAMES:
        if name not in last:
            print('%-8s %d, never recorded for %s' % (name, figures[name], build))
            continue
        change = figures[name] / last[name] - 1
        print('%-8s %d, %+.1f %% of %d' % (name, figures[name], 100 * change, last[name]))
        if change > TOLERANCE:
            faults.append(
                '%s takes %.1f %% more instructions than recorded: win them back, or\n'
                '    sh tests/guard/instructions.sh --record "why that is worth it"'
                % (name, 100 * change)
            )
        elif change < -TOLERANCE:
            print('%-8s became faster: record it, so that it stays' % '')
    if faults:
        raise Fault('\n'.join(faults))


def skip(why):
    print('skipped: ' + why)
    sys.exit(SKIPPED)


def main():
    arguments = sys.argv[1:]
    reason = None
    if arguments[:1] == ['--record']:
        if len(arguments) < 2:
            sys.exit('usage: instructions.sh --record REASON [BUILD]')
        reason = arguments[1]
        arguments = arguments[2:]
    folder = os.path.abspath(arguments[0] if arguments else os.path.join(ROOT, 'build'))
    with open(FIGURES, encoding='utf-8') as file:
        text = file.read()
    lines = read_lines(text)
    check_history(text)
    if not shutil.which('valgrind'):
        skip('there is no valgrind to count instructions with')
    options = json.loads(call(['meson', 'introspect', '--buildoptions', folder]))
    kinds = {option['name']: option['value'] for option in options}
    if kinds['buildtype'] != 'release' or kinds['b_sanitize'] != 'none':
        skip('instructions are those of a release build')
    build = build_of(folder)
    if reason is None and not last_of(lines, build):
        skip('no figures are recorded for %s' % build)
    with tempfile.TemporaryDirectory(prefix='refold-guard-') as work:
        figures = measure(folder, work)
    if reason is None:
        compare(figures, lines, build)
    else:
        record(figures, lines, build, reason)


try:
    main()
except Fault as fault:
    sys.exit(str(fault))
