"""export into PostgreSQL: several read models change together, whatever is killed; servers that die or are full."""

import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool
from published import Published
from tool import event


class Together(Published):
    """Several read models: all or none, whatever is killed."""

    NAMES = ('order_summary', 'case_summary')

    def setUp(self):
        super().setUp()
        self.orders(4000)
        self.rebuild(*(tool.projection(n) for n in self.NAMES))
        self.export(*self.NAMES)

    def generations(self):
        return self.sql('SELECT generation FROM refold_published.models ORDER BY name').split()

    def counts(self):
        return self.sql(
            'SELECT (SELECT count(*) FROM order_summary), (SELECT count(*) FROM case_summary)'
        )

    def test_one_that_is_refused_publishes_none(self):
        self.orders(10, first=5000)
        self.rebuild(*self.NAMES)
        self.sql('DROP VIEW case_summary; CREATE TABLE case_summary (mine int)')
        self.sql("DELETE FROM refold_published.models WHERE name = 'case_summary'")
        self.refuses(
            tool.REFUSED, ['case_summary', 'a table'],
            'export', self.store, *self.NAMES, self.url, '--quiet',
        )  # fmt: skip
        self.assertEqual(self.sql('SELECT count(*) FROM order_summary'), '4000')

    def test_kill_9_at_random_moments(self):
        self.orders(10, first=5000)
        self.rebuild(*self.NAMES)
        argv = [tool.refold, 'export', self.store, *self.NAMES, self.url, '--quiet', '--full']
        begin = time.monotonic()
        self.assertEqual(subprocess.call(argv + ['--keep', '1'], stdout=subprocess.DEVNULL), 0)
        took = time.monotonic() - begin
        dice = random.Random(7)
        events, killed = 4010, 0
        for _ in range(14):
            self.orders(1, first=10000 + events)
            before = '%d|%d' % (events, events)
            events += 1
            after = '%d|%d' % (events, events)
            self.rebuild(*self.NAMES)
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            time.sleep(dice.uniform(0.1, 1.0) * took)
            process.kill()
            killed += process.wait() != 0
            self.settled()
            self.assertIn(self.counts(), (before, after))
            self.assertEqual(len(set(self.generations())), 1)
            if self.counts() == before and dice.random() < 0.5:
                self.export(*self.NAMES)
                self.assertEqual(self.counts(), after)
            elif self.counts() == before:
                self.export(*self.NAMES)
        self.assertGreater(killed, 3)
        self.export(*self.NAMES, options=('--keep', '1'))
        self.assertEqual(self.counts(), '%d|%d' % (events, events))
        self.assertEqual(len(self.schemas()), 2)
        self.assertEqual(self.sql('SELECT count(*) FROM refold_published.tables'), '2')

    def settled(self):
        """The server has seen that its client went."""
        for _ in range(100):
            if self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'refold'"
                        " AND datname = '%s'" % self.database) == '0':  # fmt: skip
                return
            time.sleep(0.05)
        self.fail('a session of a killed export stays')

    def test_a_transaction_sees_one_publication(self):
        """Names are looked up one by one, so the views are locked first; of that nobody notices."""
        stop = threading.Event()
        seen, faults = set(), []

        def read(session):
            while not stop.is_set():
                out = session.sql(
                    'BEGIN; LOCK TABLE order_summary, case_summary IN ACCESS SHARE MODE;'
                    'SELECT (SELECT count(*) FROM order_summary), (SELECT count(*) FROM case_summary),'
                    " (SELECT rows FROM refold_published.models WHERE name = 'order_summary'); COMMIT"
                )
                seen.add(out)
                if len(set(out.split('|'))) != 1:
                    faults.append(out)

        sessions = [postgres.Session(self, self.server, self.database) for _ in range(2)]
        readers = [threading.Thread(target=read, args=(s,)) for s in sessions]
        for reader in readers:
            reader.start()
        try:
            for i in range(4):
                self.orders(1, first=20000 + i)
                self.rebuild(*self.NAMES)
                self.export(*self.NAMES, options=('--full',) if i % 2 else ())
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        self.assertEqual(faults, [])
        self.assertGreater(len(seen), 1)


class Crash(tool.Case):
    """A server that dies in the middle, and a full disk under it: a server of its own."""

    def setUp(self):
        super().setUp()
        self.import_lines(
            *(
                event('order-%d' % i, 'OrderPlaced', {'customer': 'c' * 50}, time='2024-07-10T12:00:00Z')
                for i in range(60000)
            )
        )
        self.rebuild(tool.projection('order_summary'))

    def test_a_server_that_dies_is_exit_75_and_the_old_rows_stay(self):
        server = postgres.Server(self, fsync='on', synchronous_commit='on', full_page_writes='on')
        argv = ['export', self.store, 'order_summary', server.url(), '--quiet']
        self.ok(*argv, '--generation', '1')
        self.import_lines(event('order-new', 'OrderPlaced', {'customer': 'c'}))
        self.rebuild('order_summary')
        process = subprocess.Popen(
            [tool.refold, *argv, '--full'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        # until it has begun to send rows, or is done
        while process.poll() is None and server.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active'"
        ) == '0':
            time.sleep(0.001)
        server.kill()
        err = process.communicate()[1].decode()
        server.start()
        if process.returncode == 0:
            self.skipTest('it was faster than the kill')
        self.assertEqual(process.returncode, tool.UNREACHABLE, err)
        self.assertEqual(err.count('\n'), 1, err)
        self.assertIn('what was published stays', err)
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60000')
        self.ok(*argv)
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60001')

    def test_a_server_that_dies_between_copy_and_switch_has_copied_for_the_next_run(self):
        server = postgres.Server(self, fsync='on', synchronous_commit='on', full_page_writes='on')
        argv = ['export', self.store, 'order_summary', server.url(), '--quiet']
        self.ok(*argv)
        self.import_lines(event('order-new', 'OrderPlaced', {'customer': 'c'}))
        self.rebuild('order_summary')
        reader = postgres.Session(self, server)
        reader.sql('BEGIN; SELECT count(*) FROM order_summary')  # the switch waits for it
        process = subprocess.Popen(
            [tool.refold, *argv, '--full'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while process.poll() is None and server.sql('SELECT count(*) FROM refold_published.tables') == '1':
            time.sleep(0.01)
        server.kill()
        err = process.communicate()[1].decode()
        server.start()
        self.assertEqual(process.returncode, tool.UNREACHABLE, err)
        self.assertEqual(err.count('\n'), 1, err)
        self.assertIn('what was published stays', err)
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60000')
        self.assertEqual(server.sql('SELECT generation FROM refold_published.models'), '1')
        sent = self.ok(*argv, '--json').json['models'][0]
        self.assertEqual((sent['way'], sent['generation']), ('shown', 2))
        self.assertEqual(server.sql('SELECT count(*) FROM order_summary'), '60001')
        self.assertEqual(server.sql('SELECT count(*) FROM refold_published.tables'), '2')

    def test_a_full_disk_of_the_server_is_one_line(self):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        server = postgres.Server(self)
        disk = os.path.join(server.folder, 'space')
        os.mkdir(disk)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]).returncode:
            self.skipTest('tmpfs cannot be mounted here')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        subprocess.run(['chown', 'nobody', disk], check=True)
        server.sql("CREATE TABLESPACE small LOCATION '%s'" % disk)
        server.sql('CREATE DATABASE tight')
        server.sql('ALTER DATABASE tight SET default_tablespace = small')
        result = self.refuses(
            tool.FAILED, ['what was published stays', 'space'],
            'export', self.store, 'order_summary', server.url('tight'), '--quiet',
        )  # fmt: skip
        self.assertIn('No space left', result.message)
        self.assertEqual(
            server.sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'order%'", 'tight'), '0'
        )


tool.main(__name__)
