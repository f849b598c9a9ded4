"""bench: its figures, its page, and that it changes nothing in the store."""

import html.parser
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool
from tool import event

VOID = ('meta', 'br', 'hr', 'img', 'input', 'link')
SHARES = ('decode', 'fold', 'emit', 'write', 'seal', 'idle')


class Page(html.parser.HTMLParser):
    """Elements are closed in the order in which they were opened; remembers attributes and text."""

    def __init__(self, content):
        super().__init__()
        self.open, self.faults, self.attributes, self.tags, self.text = [], [], [], [], ''
        self.feed(content)
        self.close()
        if self.open:
            self.faults.append('never closed: %s' % self.open)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or '') for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or '') for name, value in attributes]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append('</%s> at %s' % (tag, self.getpos()))

    def handle_data(self, data):
        self.text += data


def listing(store):
    """Every path of live/ and generations/ with its size; of files also their bytes."""
    found = {}
    for part in ('live', 'generations'):
        for folder, folders, files in os.walk(os.path.join(store, part)):
            for name in folders + files:
                path = os.path.join(folder, name)
                content = None
                # lock.mdb holds which readers there were
                if name in files and name != 'lock.mdb':
                    with open(path, 'rb') as file:
                        content = file.read()
                found[os.path.relpath(path, store)] = (os.path.getsize(path), content)
    return found


class Bench(tool.Shop):
    def bench(self, *options):
        return self.ok('bench', self.store, self.orders, '--json', '--quiet', *options).json

    def test_figures_of_each_number_of_workers(self):
        report = self.bench('--workers', '0,1,2', '--runs', '3')
        self.assertEqual((report['position'], report['events'], report['runs']), (7, 7, 3))
        self.assertEqual((report['warm_up_runs'], report['baseline_workers']), (1, 1))
        self.assertEqual([c['workers'] for c in report['cases']], [0, 1, 2])
        self.assertGreater(report['machine']['processors'], 0)
        self.assertIn(report['refold'], self.ok('--version').out.decode())
        self.assertGreater(report['payload_bytes'], 100)
        for case in report['cases']:
            self.assertEqual((len(case['seconds']), len(case['floor_seconds'])), (3, 3))
            self.assertEqual(case['median'], sorted(case['seconds'])[1])
            self.assertEqual(case['floor'], sorted(case['floor_seconds'])[1])
            self.assertEqual(
                (case['fastest'], case['slowest']), (min(case['seconds']), max(case['seconds']))
            )
            self.assertGreater(case['fastest'], 0)
            self.assertAlmostEqual(
                case['events_per_second'] * case['median'], 7, delta=7 * 1e-6 / case['median'] + 1e-3
            )
            self.assertAlmostEqual(
                case['floor_ratio'],
                case['median'] / case['floor'],
                delta=0.01 * case['floor_ratio'] + 1e-3,
            )
            self.assertGreater(case['bytes_decoded'], 0)
            self.assertEqual(sorted(case['shares']), sorted(SHARES))
            self.assertTrue(all(0 <= share <= 1 for share in case['shares'].values()), case)
            self.assertAlmostEqual(sum(case['shares'].values()), 1, delta=0.02)
            if case['memory_peak'] is not None:
                self.assertTrue(1 << 20 < case['memory_peak'] < 1 << 32, case['memory_peak'])
        self.assertEqual(report['cases'][1]['speedup'], 1)

    def test_replays_give_what_a_rebuild_gives(self):
        report = self.bench('--runs', '1', '--workers', '3,0')
        self.assertEqual([case['workers'] for case in report['cases']], [0, 3])
        entry = report['projections'][0]
        for name in ('name', 'version', 'rows', 'events', 'digest', 'bytes'):
            if name in self.first:
                self.assertEqual(entry[name], self.first[name], name)
        rebuilt = self.ok('rebuild', self.store, self.orders, '--json', '--quiet').json
        self.assertEqual(report['bytes_decoded'], rebuilt['bytes_decoded'])
        self.assertEqual(report['bytes_written'], rebuilt['projections'][0]['bytes'])

    def test_nothing_in_the_store_changes(self):
        before = listing(self.store)
        for projection in (self.orders, 'order_summary', self.plugin(CONTENT='other')):
            self.ok('bench', self.store, projection, '--quiet', '--runs', '2')
            self.assertEqual(listing(self.store), before)
        self.assertEqual(self.rebuild(self.orders)[0]['generation'], 2)
        self.verifies()

    def test_one_run_is_its_own_median(self):
        case = self.bench('--runs', '1', '--workers', '1')['cases'][0]
        self.assertEqual([case['median']], case['seconds'])
        self.assertEqual((case['fastest'], case['slowest']), (case['median'], case['median']))

    def test_by_default_up_to_the_processors(self):
        report = self.bench('--runs', '1')
        workers = [case['workers'] for case in report['cases']]
        self.assertEqual(workers[:2], [0, 1])
        self.assertEqual(workers[-1], report['machine']['processors'])
        self.assertEqual(workers, sorted(set(workers)))

    def test_several_projections_share_a_replay(self):
        report = self.ok(
            'bench', self.store, self.orders, self.plugin(), '--json', '--quiet', '--runs', '1'
        ).json
        self.assertEqual(
            [p['name'] for p in report['projections']], ['order_summary', 'counting']
        )
        self.assertEqual(report['bytes_written'], sum(p['bytes'] for p in report['projections']))

    def test_text_for_people(self):
        result = self.ok('bench', self.store, self.orders, '--runs', '2', '--workers', '0,2')
        text = result.out.decode()
        for word in ('order_summary', 'median', 'floor', 'decode', 'warm-up', 'not counted'):
            self.assertIn(word, text)
        self.assertLessEqual(max(map(len, text.splitlines()[4:])), 110)

    def test_fields_without_a_column_are_read_from_payloads(self):
        wide = {'k%d' % i: i for i in range(100)}
        self.import_lines(*(event('s-%d' % i, 'ItemAdded', {'qty': 1, 'm': wide}) for i in range(5)))
        plugin = self.plugin(FIELD='m.k7', OPTIONAL=1)
        report = self.ok(
            'bench', self.store, plugin, '--json', '--quiet', '--runs', '1', '--workers', '0,2'
        ).json
        self.assertEqual(self.rebuild(plugin)[0]['digest'], report['projections'][0]['digest'])

    def test_the_fixture_log(self):
        self.store = self.path('git.refold')
        log = tool.fixture('git-redis.events')
        self.ok('import', self.store, log, '--quiet')
        tree = tool.projection('file_tree')
        report = self.ok(
            'bench', self.store, tree, '--json', '--quiet', '--runs', '2', '--workers', '0,2'
        ).json
        self.assertEqual(report['events'], 25235)
        self.assertGreater(report['bytes_written'], 10000)
        self.assertEqual(os.listdir(os.path.join(self.store, 'generations')), [])
        entry = self.rebuild(tree)[0]
        self.assertEqual(entry['digest'], report['projections'][0]['digest'])


class Refusals(tool.Shop):
    def refused(self, code, words, *options):
        before = listing(self.store)
        self.refuses(code, words, 'bench', self.store, *options, '--quiet')
        self.assertEqual(listing(self.store), before)

    def test_bad_options(self):
        for workers in ('x', '1,x', '-1', '1,,2', '1,1', '257', '99999999999', ''):
            with self.subTest(workers=workers):
                self.refused(tool.USAGE, ['workers'], self.orders, '--workers', workers)
        for runs in ('0', 'x', '1001'):
            with self.subTest(runs=runs):
                self.refused(tool.USAGE, ['runs'], self.orders, '--runs', runs)
        self.refused(tool.USAGE, ['too few'])

    def test_what_does_not_exist(self):
        self.refused(tool.FAILED, ['nosuch'], 'nosuch')
        self.refuses(tool.FAILED, [], 'bench', self.path('none'), self.orders, '--quiet')

    def test_what_a_rebuild_would_refuse(self):
        accounts = tool.projection('account_activity')
        self.refused(tool.REFUSED, ['account_activity'], accounts)
        self.ok(
            'bench', self.store, accounts, '--allow-missing', '--quiet', '--runs', '1'
        )

    def test_a_handler_that_fails(self):
        self.refused(tool.FAILED, ['position 4'], self.plugin(FAIL_AT=3))

    def test_a_projection_that_is_not_deterministic(self):
        restless = self.plugin(RESTLESS=1)
        self.refused(tool.FAILED, ['counting', 'deterministic'], restless, '--workers', '0')

    def test_not_beside_a_rebuild(self):
        with open(os.path.join(self.store, 'LOCK'), 'rb') as file:
            holder = subprocess.Popen(
                ['flock', '-x', str(file.fileno())], pass_fds=[file.fileno()]
            )
            self.assertEqual(holder.wait(60), 0)
            self.refused(tool.LOCKED, ['another'], self.orders)

    def test_what_a_killed_bench_left_goes_with_the_next_run(self):
        scratch = os.path.join(self.store, 'generations', '.scratch')
        for remove in (
            ('bench', self.store, self.orders, '--quiet', '--runs', '1'),
            ('gc', self.store),
            ('rebuild', self.store, self.orders, '--quiet'),
        ):
            with self.subTest(remove=remove[0]):
                os.makedirs(os.path.join(scratch, 'order_summary', 'definition'))
                self.ok(*remove)
                self.assertFalse(os.path.exists(scratch))

    def test_an_interrupted_bench_leaves_nothing(self):
        self.import_lines(
            *(event('order-%d' % i, 'OrderPlaced', {'customer': 'c'}) for i in range(100, 20000))
        )
        before = listing(self.store)
        bench = subprocess.Popen(
            [tool.refold, 'bench', self.store, self.orders, '--runs', '1000', '--quiet']
            + ['--html', self.path('page.html')],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        scratch = os.path.join(self.store, 'generations', '.scratch')
        for _ in range(3000):
            if os.path.exists(scratch):
                break
            time.sleep(0.01)
        bench.send_signal(signal.SIGINT)
        self.assertEqual(tool.wait_for(bench, 30), tool.INTERRUPTED)
        out, message = bench.communicate()
        self.assertEqual((out, message.count(b'\n')), (b'', 1))
        self.assertEqual(listing(self.store), before)
        self.assertEqual([n for n in os.listdir(self.folder) if n.startswith('page')], [])


class Html(tool.Shop):
    def page(self, *options):
        path = self.path('page.html')
        self.ok(
            'bench', self.store, self.orders, '--quiet', '--runs', '2', '--html', path, *options
        )
        with open(path, encoding='utf-8') as file:
            return file.read()

    def test_is_whole_and_refers_to_nothing(self):
        content = self.page('--workers', '0,1,2')
        self.assertTrue(content.startswith('<!DOCTYPE html>'))
        page = Page(content)
        self.assertEqual(page.faults, [])
        self.assertEqual(page.tags.count('svg'), 3)
        for word in ('order_summary', 'warm-up', 'floor', 'refold bench store.refold'):
            self.assertIn(word, page.text)
        self.assertNotIn(self.folder, content)
        for tag in ('script', 'link', 'img', 'iframe', 'object', 'embed', 'base'):
            self.assertNotIn(tag, page.tags)
        for tag, name, value in page.attributes:
            self.assertNotIn(name, ('src', 'href', 'srcset', 'xlink:href', 'action'), tag)
            self.assertFalse(name.startswith('on'), (tag, name))
            self.assertNotIn('//', value)
        for word in ('http', '@import', 'url('):
            self.assertNotIn(word, content)
        self.assertIn('prefers-color-scheme', content)
        for number in ('nan', 'inf"', 'inf '):
            self.assertNotIn(number, ' '.join(v for _, _, v in page.attributes))

    def test_many_numbers_of_workers_and_one(self):
        for workers in (','.join(map(str, range(20))), '3'):
            self.assertEqual(Page(self.page('--workers', workers)).faults, [])

    def test_a_name_that_looks_like_markup_is_text(self):
        store = self.path('a<b>&"c.refold')
        os.rename(self.store, store)
        self.store = store
        page = Page(self.page('--workers', '1'))
        self.assertEqual(page.faults, [])
        self.assertIn('a<b>&"c.refold', page.text)
        self.assertNotIn('b', page.tags[page.tags.index('dl') :])

    def test_beside_json(self):
        path = self.path('page.html')
        report = self.ok(
            'bench', self.store, self.orders, '--json', '--quiet', '--runs', '1', '--html', path
        ).json
        with open(path, encoding='utf-8') as file:
            self.assertIn(report['projections'][0]['digest'], file.read())

    def test_a_path_that_cannot_be_written_fails_before_anything_is_measured(self):
        for path in (self.folder, os.path.join(self.folder, 'none', 'page.html'), '/dev/null'):
            with self.subTest(path=path):
                self.refuses(
                    tool.FAILED,
                    ['nothing was measured'],
                    'bench',
                    self.store,
                    self.orders,
                    '--html',
                    path,
                )

    def test_a_failed_bench_leaves_the_page_that_was_there(self):
        path = self.path('page.html', 'before')
        self.gives(
            tool.FAILED, 'bench', self.store, self.plugin(FAIL_AT=3), '--quiet', '--html', path
        )
        with open(path) as file:
            self.assertEqual(file.read(), 'before')
        self.assertFalse(os.path.exists(path + '.tmp'))


tool.main(__name__)
