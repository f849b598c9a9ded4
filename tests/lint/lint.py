"""What a machine can check of the style: layers, lengths, words, and that the README's map is true.

    python3 tests/lint/lint.py [BUILD [SHARED]]      (the arguments are ignored)

Each rule is a function that yields "PATH: what is wrong"; exceptions stand in exceptions.txt, each
with its reason.
"""

import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
ONE_INCLUDER = ('lmdb.h', 'zstd.h', 'zlib.h', 'simdjson.h', 'xxhash.h', 'lua.h', 'libpq-fe.h',
                'sqlite3.h', 'openssl/evp.h')
# Written in pieces, so that this file passes its own rules.
MARKS = re.compile(r'\b(TO' + 'DO|FIX' + 'ME|XX' + r'X)\b')
MACHINE_PATHS = re.compile(r'(?<![\w.$}/])/(wo' + r'rk|ro' + r'ot|ho' + r'me|tmp/wt)/')
TEXT_ENDINGS = ('.c', '.h', '.cpp', '.py', '.sh', '.md', '.build', '.txt', '.mjs', '.lua')
TOP_LEVEL = {
    'engine',
    'projections',
    'bench',
    'fixtures',
    'tests',
    'docs',
    'meson.build', 'meson_options.txt',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
}


def tree():
    """Paths of all files, relative to the top; build directories and dot folders but .ci left out."""
    for folder, folders, files in os.walk(ROOT):
        inside = os.path.relpath(folder, ROOT)
        folders[:] = sorted(
            f
            for f in folders
            if f != '__pycache__'
            and (not f.startswith('.') or f == '.ci')
            and not (inside == '.' and f.startswith('build'))
        )
        for name in sorted(files):
            path = os.path.normpath(os.path.join(inside, name))
            yield path.replace(os.sep, '/')


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


PATHS = list(tree())
SOURCES = [p for p in PATHS if p.endswith(('.c', '.h', '.cpp'))]
TEXTS = [p for p in PATHS if p.endswith(TEXT_ENDINGS) or p in ('engine/LAYERS', '.ci/run')]


def includes(path):
    for match in re.finditer(r'^#include [<"]([^>"]+)[>"]', read(path), re.M):
        yield match.group(1)


def layers():
    allowed = {}
    for line in read('engine/LAYERS').splitlines():
        if line and not line.startswith('#'):
            name, _, below = line.partition(':')
            for layer in below.split():
                if layer not in allowed:
                    yield 'engine/LAYERS: %s names %s, which does not come before it' % (
                        name,
                        layer,
                    )
            allowed[name] = set(below.split())
    for path in SOURCES:
        parts = path.split('/')
        if parts[0] != 'engine':
            continue
        layer = parts[1] if len(parts) > 2 else 'engine'
        if layer == 'include':
            wrong = [
                h for h in includes(path) if '/' in h and not h.startswith(('refold/', 'sys/'))
            ]
        elif layer not in allowed:
            yield '%s: the layer %s is not in engine/LAYERS' % (path, layer)
            continue
        else:
            wrong = [h for h in includes(path) if not may_include(layer, h, allowed)]
        for header in wrong:
            yield '%s: includes %s, which its layer may not' % (path, header)


def may_include(layer, header, allowed):
    folder, slash, _ = header.partition('/')
    if header.startswith('refold/') or folder == layer:
        return True
    if os.path.exists(os.path.join(ROOT, 'engine', header)):
        if not slash:
            return layer == 'engine'
        return folder in allowed[layer]
    return True


def one_includer():
    """A file and its twin for wider instructions (base/wide.h) are one."""
    for header in ONE_INCLUDER:
        found = [p for p in SOURCES if p.startswith('engine/') and header in includes(p)]
        if len({p.replace('_wide.c', '.c') for p in found}) > 1:
            yield '%s: included by %s' % (header, ', '.join(found))


def file_lengths(allowed):
    for path in SOURCES:
        lines = read(path).count('\n')
        # A test's file is as long as its list of cases.
        if lines > FILE_LINES_MAX and not path.startswith('tests/') and not allowed('file', path):
            yield '%s: %d lines' % (path, lines)


def functions(path):
    """Name and number of lines of each function's body: '{' to '}' in the first column."""
    begin, name, head = None, None, ''
    for number, line in enumerate(read(path).splitlines()):
        if line == '{' and head:
            begin = number
            match = re.search(r'(\w+)\s*\(', head)
            name = match.group(1) if match else head
        elif line.startswith('}') and begin is not None:
            yield name, number - begin + 1
            begin = None
        if begin is None:
            if not line or line.startswith(('#', '/*', ' *', '}')):
                head = ''
            elif not line.startswith(' '):
                head = line
            elif head:
                head += line


def function_lengths(allowed):
    for path in SOURCES:
        for name, lines in functions(path):
            if name in ('Test', 'ParameterizedTest', 'ParameterizedTestParameters'):
                continue  # as long as its list of cases
            if lines > FUNCTION_LINES_MAX and not allowed('function', path, name):
                yield '%s: %s has %d lines' % (path, name, lines)


def marks():
    for path in TEXTS:
        for number, line in enumerate(read(path).splitlines(), 1):
            if MARKS.search(line):
                yield '%s:%d: a mark of unfinished work' % (path, number)
            if MACHINE_PATHS.search(line):
                yield '%s:%d: a path of some machine' % (path, number)


def vague_names():
    for path in PATHS:
        if re.search(r'(^|[/_])(utils?|common|misc|helpers?)([._/]|$)', path):
            yield '%s: a name that says nothing' % path


def top_level():
    for path in PATHS:
        top = path.split('/')[0]
        if top not in TOP_LEVEL and not top.startswith('.'):
            yield '%s: does not belong at the top' % top


def every_source_is_built():
    listed = set()
    for path in PATHS:
        if path.endswith('meson.build'):
            folder = os.path.dirname(path)
            for name in re.findall(r"'([\w./-]+\.(?:c|cpp))'", read(path)):
                listed.add(os.path.normpath(os.path.join(folder, name)))
    for path in SOURCES:
        if path.startswith('engine/') and not path.endswith('.h') and path not in listed:
            yield '%s: no meson.build names it' % path


def public_functions_are_marked():
    for path in PATHS:
        if path.startswith('engine/include/refold/') and not path.endswith('/projection.h'):
            for line in read(path).splitlines():
                if re.match(r'[a-z][\w ]*[ *]rf_\w+\(', line) and not line.startswith('typedef'):
                    yield '%s: not RF_API: %s' % (path, line)


def files_begin_with_their_idea():
    for path in SOURCES:
        has_header = os.path.exists(os.path.join(ROOT, os.path.splitext(path)[0] + '.h'))
        if path.startswith('engine/') and not path.startswith('engine/cli/') and not has_header:
            if not read(path).lstrip().startswith(('/*', '//')):
                yield '%s: does not begin with a comment' % path


def readme_map():
    """Every path in backquotes of the README that looks like one of the tree exists."""
    for page in ('README.md', 'docs/ARCHITECTURE.md'):
        for name in re.findall(r'`([\w./{},*-]+)`', read(page)):
            top = name.split('/')[0]
            if '/' not in name or top not in TOP_LEVEL or '*' in name:
                continue
            braces = re.match(r'(.*)\{(.*)\}(.*)', name)
            names = (
                [name]
                if not braces
                else [braces.group(1) + n + braces.group(3) for n in braces.group(2).split(',')]
            )
            for each in names:
                if not os.path.exists(os.path.join(ROOT, each)):
                    yield '%s: names %s, which is not there' % (page, each)


def function_below(text, at):
    """The first function that begins behind `at`."""
    found = re.search(r'^[a-z][\w ]*[ *](\w+)\(', text[at:], re.M)
    return found.group(1) if found else None


def steps_of_the_model():
    """The steps that swap.pml lists, those that it takes, and those that the engine's comments name are the same,
    each at its function."""
    head, _, body = read('tests/model/swap.pml').partition('*/')
    listed = {
        (step, function, path)
        for step, function, path in re.findall(r'^ \*   (\w+) +(\w+) +(engine/\S+)$', head, re.M)
    }
    in_code = set()
    for path in SOURCES:
        text = read(path) if path.startswith('engine/') else ''
        for match in re.finditer(r'Step `(\w+)` of\s+(?:\* )?tests/model/swap\.pml', text):
            in_code.add((match.group(1), function_below(text, match.end()), path))
    for step, function, path in sorted(listed ^ in_code):
        where = 'is not said by the code' if (step, function, path) in listed else 'is not listed'
        yield 'tests/model/swap.pml: step %s, %s of %s, %s' % (step, function, path, where)
    taken = set(re.findall(r'/\* (\w+)(?:: | \*/)', body))
    for step in sorted({step for step, _, _ in listed} ^ taken):
        yield 'tests/model/swap.pml: step %s is listed and not taken, or the other way round' % step
    if not listed:
        yield 'tests/model/swap.pml: no steps are listed'


class Exceptions:
    """Lines of exceptions.txt: `file PATH REASON` or `function PATH NAME REASON`."""

    def __init__(self):
        self.reasons = {}
        for line in read('tests/lint/exceptions.txt').splitlines():
            if line and not line.startswith('#'):
                words = line.split(None, 3 if line.startswith('function') else 2)
                self.reasons[tuple(words[:-1])] = words[-1]

    def __call__(self, *what):
        return what in self.reasons

    def stale(self, kind):
        """A file may become short and long again; one that is gone needs no exception."""
        for what in self.reasons:
            if what[0] == kind and what[1] not in PATHS:
                yield 'tests/lint/exceptions.txt: %s is not there' % what[1]


class Lint(unittest.TestCase):
    def none(self, faults):
        faults = list(faults)
        self.assertFalse(faults, '\n  ' + '\n  '.join(faults))

    def test_includes_go_down_the_layers(self):
        self.none(layers())

    def test_one_file_knows_each_foreign_library(self):
        self.none(one_includer())

    def test_files_are_short_or_have_a_reason(self):
        allowed = Exceptions()
        self.none(list(file_lengths(allowed)) + list(allowed.stale('file')))

    def test_functions_are_short_or_have_a_reason(self):
        allowed = Exceptions()
        self.none(list(function_lengths(allowed)) + list(allowed.stale('function')))

    def test_no_marks_of_unfinished_work_and_no_paths_of_a_machine(self):
        self.none(marks())

    def test_no_vague_names(self):
        self.none(vague_names())

    def test_the_top_holds_what_it_should(self):
        self.none(top_level())

    def test_every_source_is_built(self):
        self.none(every_source_is_built())

    def test_public_functions_are_marked(self):
        self.none(public_functions_are_marked())

    def test_files_begin_with_their_idea(self):
        self.none(files_begin_with_their_idea())

    def test_the_steps_of_the_model_are_those_of_the_code(self):
        self.none(steps_of_the_model())

    def test_pages_name_only_paths_that_exist(self):
        self.none(readme_map())


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
