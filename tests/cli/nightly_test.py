"""rebuild --publish --metrics: what a night does, and every command of docs/NIGHTLY.md."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool
from tool import event

PAGE = os.path.join(tool.ROOT, 'docs', 'NIGHTLY.md')


def block(name):
    """The fenced block of the page behind the comment that names it."""
    with open(PAGE, encoding='utf-8') as file:
        found = re.findall(r'runs: %s -->\n```\w*\n(.*?)```' % name, file.read(), re.S)
    assert len(found) == 1, name
    return found[0]


class Night(tool.Shop):
    def setUp(self):
        super().setUp()
        self.metrics = self.path('shop.prom')
        self.target = self.path('orders.jsonl')

    def night(self, *options, target=None):
        return tool.call(
            'rebuild', self.store, '--all', '--if-changed', '--publish', target or self.target,
            '--metrics', self.metrics, '--summary', '--quiet', *options,
        )  # fmt: skip

    def gauge(self, name, model=None):
        for line in tool.read(self.metrics).decode().splitlines():
            labels = 'store="%s"' % self.store + (',model="%s"' % model if model else '')
            if line.startswith('%s{%s} ' % (name, labels)):
                return float(line.rsplit(' ', 1)[1])
        return None

    def test_new_events_are_folded_published_and_measured(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        result = self.night()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(len(result.lines), 1)
        self.assertIn('order_summary generation 2 live, 4 rows (+1 -0); published to', result.lines[0])
        self.assertEqual(tool.read(self.target), self.rows('order_summary'))
        self.assertEqual(self.gauge('refold_last_exit_code'), 0)
        self.assertAlmostEqual(self.gauge('refold_last_success_timestamp_seconds'), time.time(), delta=60)
        self.assertLess(self.gauge('refold_last_duration_seconds'), 60)
        for name, value in (
            ('model_generation', 2), ('model_position', 8), ('model_lag_events', 0), ('model_rows', 4),
            ('gate_rows_before', 3), ('gate_rows_added', 1), ('gate_rows_removed', 0), ('gate_refused', 0),
            ('published_generation', 2), ('published_position', 8),
        ):  # fmt: skip
            self.assertEqual(self.gauge('refold_' + name, 'order_summary'), value, name)
        self.assertEqual(self.gauge('refold_log_position'), 8)
        self.assertEqual(self.gauge('refold_rebuild_events'), 8)

    def test_metrics_are_what_a_collector_reads(self):
        self.night()
        seen = set()
        for line in tool.read(self.metrics).decode().splitlines():
            if line.startswith('#'):
                seen.add(line.split()[2])
                self.assertRegex(line, r'^# (HELP|TYPE) refold_[a-z_]+ ')
                continue
            match = re.match(r'^(refold_[a-z_]+)\{store="[^"\n]*"(,model="[a-z0-9_]+")?\} [-+0-9.e]+$', line)
            self.assertTrue(match, line)
            self.assertIn(match.group(1), seen)

    def test_a_file_that_is_not_there_is_published_also_when_nothing_changed(self):
        result = self.night()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(tool.read(self.target), self.rows('order_summary'))

    def test_a_refusal_publishes_nothing_and_keeps_the_time_of_success(self):
        self.night()
        before, success = tool.read(self.target), self.gauge('refold_last_success_timestamp_seconds')
        self.import_lines(*(event('order-%d' % i, 'OrderPlaced', {'customer': 'x'}) for i in range(20, 30)))
        result = self.night('--min-rows', '100')
        self.assertEqual(result.code, tool.REFUSED, str(result))
        self.assertEqual(tool.read(self.target), before)
        self.assertEqual(self.gauge('refold_last_exit_code'), tool.REFUSED)
        self.assertEqual(self.gauge('refold_last_success_timestamp_seconds'), success)
        self.assertEqual(self.gauge('refold_gate_refused', 'order_summary'), 1)
        self.assertEqual(self.gauge('refold_model_generation', 'order_summary'), 1)

    def test_wrong_targets_are_told_before_the_rebuild(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(self.night(target=self.path('o.txt')).code, tool.USAGE)
        self.assertEqual(self.night(target='mysql://h/d').code, tool.USAGE)
        self.rebuild(tool.projection('case_summary'))
        self.assertEqual(self.night().code, tool.USAGE)
        live = self.ok('status', self.store, '--json').json['models']
        self.assertEqual([m['generation'] for m in live], [1, 1])

    def test_what_cannot_be_published_is_live_and_said_so(self):
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        url = 'postgresql:///shop?host=/nowhere&user=x&password=S3cr3tCANARY'
        result = self.night(target=url)
        self.assertEqual(result.code, tool.UNREACHABLE, str(result))
        self.assertEqual(result.message.count('\n'), 1, str(result))
        self.assertIn('order_summary is live in the store and not published', result.message)
        self.assertNotIn('S3cr3tCANARY', result.message + result.out.decode())
        self.assertEqual(self.gauge('refold_last_exit_code'), tool.UNREACHABLE)
        self.assertEqual(self.gauge('refold_model_generation', 'order_summary'), 2)
        self.assertIsNone(self.gauge('refold_published_generation', 'order_summary'))
        self.assertNotIn(b'S3cr3tCANARY', tool.read(self.metrics))

    def test_a_metrics_file_that_cannot_be_written_is_a_failure(self):
        self.metrics = self.path('no/where.prom')
        result = self.night()
        self.assertEqual(result.code, tool.FAILED)
        self.assertIn('where.prom', result.message)

    def test_a_store_that_is_not_there_is_measured_too(self):
        self.store = self.path('nothing.refold')
        self.assertEqual(self.night().code, tool.FAILED)
        self.assertEqual(self.gauge('refold_last_exit_code'), tool.FAILED)

    def test_a_rollback_on_friday_survives_saturday(self):
        lua = self.path('o.lua', (
            'name "placed"\nversion (1)\ncolumns { "n int" }\n'
            'on ("OrderPlaced", {}, function (row, e) row.n = 1 end)\n'))  # fmt: skip
        self.store = self.path('friday.refold')
        self.import_lines(event('order-1', 'OrderPlaced', {'customer': 'c'}))
        self.rebuild(lua)
        second = self.path('o2.lua', tool.read(lua).replace(b'(1)', b'(2)').replace(b'row.n = 1', b'row.n = 2'))
        self.rebuild(second)
        self.ok('rollback', self.store, 'placed')
        self.import_lines(event('order-2', 'OrderPlaced', {'customer': 'c'}))
        self.assertEqual(self.night().code, 0)
        self.assertEqual(
            tool.read(self.target), b'{"key":"order-1","n":1}\n{"key":"order-2","n":1}\n'
        )
        self.gives(tool.REFUSED, 'rebuild', self.store, second, '--quiet')


class IntoADatabase(tool.Shop):
    def setUp(self):
        super().setUp()
        self.server = postgres.Server(self)
        self.url = self.server.url()
        self.metrics = self.path('shop.prom')

    def night(self, *options):
        return tool.call('rebuild', self.store, '--all', '--if-changed', '--publish', self.url, '--quiet',
                         '--summary', '--metrics', self.metrics, *options)  # fmt: skip

    def gauges(self, kind, model):
        """Generation and position as the metrics have them."""
        text = tool.read(self.metrics).decode()
        found = re.findall(r'^refold_%s_(\w+)\{store="[^"]*",model="%s"\} (\d+)$' % (kind, model), text, re.M)
        return dict(found)['generation'] + '|' + dict(found)['position']

    def pointer(self, model):
        return self.server.sql("SELECT generation, position FROM refold_published.models WHERE name = '%s'" % model)

    def test_a_rollback_is_published_and_measured_by_the_next_night(self):
        lua = (
            'name "placed"\nversion (%d)\ncolumns { "n int" }\n'
            'on ("OrderPlaced", {}, function (row, e) row.n = %d end)\n'
        )
        for version in (1, 2):
            self.rebuild(self.path('placed.lua', lua % (version, version)))
            self.assertEqual(self.night().code, 0)
            self.assertEqual(self.gauges('published', 'placed'), '%d|7' % version)
        self.ok('rollback', self.store, 'placed')
        self.assertEqual(self.night().code, 0)  # only publishes: no event and no definition is new
        for said in (self.gauges('published', 'placed'), self.gauges('model', 'placed'), self.pointer('placed')):
            self.assertEqual(said, '1|7')
        self.assertEqual(self.server.sql('SELECT DISTINCT n FROM placed'), '1')
        self.assertEqual(self.night().code, tool.NOTHING)
        self.assertEqual(self.gauges('published', 'placed'), '1|7')
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(self.night().code, 0)
        self.assertEqual(self.gauges('published', 'placed'), '3|8')
        self.assertEqual(self.server.sql('SELECT DISTINCT n FROM placed'), '1')

    def test_what_was_published_is_measured_though_a_night_could_not_publish(self):
        self.assertEqual(self.night().code, 0)
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.server.stop()
        self.assertEqual(self.night().code, tool.UNREACHABLE)
        self.server.start()
        self.assertEqual(self.gauges('published', 'order_summary'), '1|7')
        self.assertEqual(self.gauges('model', 'order_summary'), '2|8')
        self.assertEqual(self.pointer('order_summary'), '1|7')
        self.assertEqual(self.night().code, 0)
        self.assertEqual(self.gauges('published', 'order_summary'), '2|8')

    def test_a_run_makes_up_for_one_that_could_not_publish(self):
        self.assertEqual(self.night().code, 0)
        self.assertEqual(self.night().code, tool.NOTHING)
        self.server.stop()
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(self.night().code, tool.UNREACHABLE)
        self.server.start()
        self.assertEqual(self.server.sql('SELECT count(*) FROM order_summary'), '3')
        result = self.night()
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual(self.server.sql('SELECT count(*) FROM order_summary'), '4')
        self.assertEqual(self.night().code, tool.NOTHING)

    def test_a_definition_by_its_path_is_published_too_when_nothing_changed(self):
        def deploy(*options):
            return tool.call('rebuild', self.store, tool.projection('order_summary'), '--if-changed', '--publish',
                             self.url, '--quiet', '--summary', *options)  # fmt: skip

        self.assertEqual(deploy().code, 0)
        self.assertEqual(deploy().code, tool.NOTHING)
        self.server.stop()
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(deploy().code, tool.UNREACHABLE)
        self.assertEqual(deploy().code, tool.UNREACHABLE)
        self.server.start()
        self.assertEqual(self.server.sql('SELECT count(*) FROM order_summary'), '3')
        result = deploy()
        self.assertEqual(result.code, 0, str(result))
        self.assertIn('generation 2: 4 rows', result.out.decode())
        self.assertEqual(self.server.sql('SELECT count(*) FROM order_summary'), '4')
        self.assertEqual(deploy().code, tool.NOTHING)

    def test_the_schema_and_the_form_can_be_named(self):
        self.server.sql('CREATE SCHEMA reports')
        self.assertEqual(self.night('--schema', 'reports', '--as', 'table').code, 0)
        self.assertEqual(
            self.server.sql("SELECT relkind FROM pg_class WHERE oid = 'reports.order_summary'::regclass"), 'r'
        )
        self.assertEqual(self.night('--schema', 'reports').code, tool.NOTHING)
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        self.assertEqual(self.night('--schema', 'reports').code, 0)
        self.assertEqual(self.server.sql('SELECT count(*) FROM reports.order_summary'), '4')
        self.assertEqual(self.night('--schema', 'nowhere').code, tool.FAILED)
        self.refuses(
            tool.USAGE, ['--publish'], 'rebuild', self.store, '--all', '--schema', 'reports'
        )
        self.refuses(
            tool.USAGE, ['is a file'], 'rebuild', self.store, '--all', '--as', 'view', '--publish', self.path('o.csv')
        )

    def test_sigterm_while_publishing_ends_within_ten_seconds(self):
        self.assertEqual(self.night().code, 0)
        session = postgres.Session(self, self.server)
        session.sql('BEGIN; LOCK TABLE refold_published.models')
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        metrics = self.path('m.prom')
        process = subprocess.Popen(
            [tool.refold, 'rebuild', self.store, '--all', '--publish', self.url, '--metrics', metrics],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        time.sleep(1.5)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=20)[1].decode()
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(process.returncode, tool.TERMINATED, err)
        self.assertIn('not published', err)
        self.assertIn('refold_last_exit_code{store="%s"} 143' % self.store, tool.read(metrics).decode())
        session.sql('ROLLBACK')
        self.assertEqual(self.server.sql('SELECT count(*) FROM order_summary'), '3')

    def test_it_shows_that_it_lives_while_it_waits_for_the_database(self):
        self.assertEqual(self.night().code, 0)
        session = postgres.Session(self, self.server)
        session.sql('BEGIN; LOCK TABLE refold_published.models')
        self.import_lines(event('order-9', 'OrderPlaced', {'customer': 'c-9'}))
        process = subprocess.Popen(
            [tool.refold, 'rebuild', self.store, '--all', '--publish', self.url, '--summary'],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        begin = time.monotonic()
        self.assertRegex(process.stderr.readline().decode(), r'^refold: export: \d+ rows')
        self.assertGreater(time.monotonic() - begin, 25)
        session.sql('ROLLBACK')
        self.assertEqual(process.communicate(timeout=20)[1], b'')
        self.assertEqual(process.returncode, 0)

    def test_a_password_in_an_option_is_hidden_from_ps(self):
        secret = 'S3cr3tCANARY'
        self.server.passwords('dora', secret)
        self.server.sql('GRANT CREATE ON DATABASE postgres TO dora; GRANT CREATE ON SCHEMA public TO dora')
        holder = postgres.Session(self, self.server)
        holder.sql("SELECT pg_advisory_lock(1919247983, hashtext('public'))")
        url = self.server.url(user='dora', password=secret)
        process = subprocess.Popen(
            [tool.refold, 'rebuild', self.store, '--all', '--publish', url, '--wait-lock'],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        time.sleep(1)
        with open('/proc/%d/cmdline' % process.pid, 'rb') as file:
            line = file.read()
        self.assertIn(b'--publish', line)
        self.assertNotIn(secret.encode(), line)
        holder.sql('SELECT pg_advisory_unlock_all()')
        out = process.communicate(timeout=30)[0]
        self.assertEqual(process.returncode, 0, out)
        self.assertNotIn(secret.encode(), out)
        for folder, _, names in os.walk(self.store):
            for name in names:
                self.assertNotIn(secret.encode(), tool.read(os.path.join(folder, name)), name)


class Page(tool.Shop):
    """Every block of docs/NIGHTLY.md."""

    def setUp(self):
        super().setUp()
        os.rename(self.store, self.path('shop.refold'))
        self.store = self.path('shop.refold')
        self.path('events.jsonl', tool.lines(event('order-7', 'OrderPlaced', {'customer': 'c'})))

    def sh(self, text, code=0):
        environment = dict(os.environ, EVENTS=self.path('events.jsonl'), TARGET=self.path('o.csv'), PATH=tool.build + ':' + os.environ['PATH'])
        done = subprocess.run(['sh', '-e', '-c', text], cwd=self.folder, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        self.assertEqual(done.returncode, code, done.stdout.decode())
        return done.stdout.decode()

    def test_the_night_of_the_page(self):
        self.sh(block('import'))
        self.assertIn('order_summary generation 2 live, 4 rows', self.sh(block('night')))
        self.assertEqual(tool.read(self.path('o.csv')), self.rows('order_summary', '--format', 'csv'))

    def test_cron_is_content_with_nothing_new_and_not_with_a_failure(self):
        line = block('cron').strip().split(' ', 5)
        self.assertEqual(line[:5], ['0', '2', '*', '*', '*'])
        self.assertIn('1 event added', self.sh(line[5]))
        self.sh(line[5])
        self.sh(line[5].replace('"$EVENTS"', 'absent.jsonl'), code=1)
        self.sh(line[5].replace('refold rebuild shop.refold', 'refold rebuild other.refold'), code=1)

    def test_the_cron_jobs_command(self):
        text = re.search(r'args:\n\s+- >-\n(.*?)\n\s+env:', block('cronjob'), re.S).group(1)
        command = ' '.join(text.split()).replace('/store/', self.folder + '/')
        self.assertRegex(self.sh(command), '(?s)1 event added.*generation 2 live, 4 rows')
        self.sh(command)
        self.sh(command.replace('"$EVENTS"', "--exec 'exit 75'"), code=75)
        self.sh(command.replace('rebuild ' + self.folder + '/shop', 'rebuild ' + self.folder + '/other'), code=1)

    def test_systemd_takes_the_units(self):
        service = block('service').replace('/usr/local/bin/refold', tool.refold)
        commands = re.findall(r'^Exec\w+=(.*)$', service, re.M)
        self.assertEqual(len(commands), 2)
        for command in commands:
            command = command.replace('/var/lib/refold', self.folder)
            command = command.replace('/var/lib/prometheus/node-exporter', self.folder)
            self.sh(command.replace('postgresql://shop@db/shop', self.path('o.csv')))
        if not shutil.which('systemd-analyze'):
            self.skipTest('no systemd-analyze: the commands of the unit ran')
        self.path('refold-shop.service', service.replace('User=refold', 'User=root'))
        self.path('refold-shop.timer', block('timer'))
        done = subprocess.run(
            ['systemd-analyze', 'verify', '--man=no', self.path('refold-shop.service'), self.path('refold-shop.timer')],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        words = [word for word in done.stdout.decode().splitlines() if 'refold-shop' in word]
        self.assertEqual((done.returncode, words), (0, []), done.stdout.decode())


tool.main(__name__)
