"""A round trip with emmett-sqlite itself, from npm: it appends to streams, refold imports while more is appended, and
events are those that the library reads.

REFOLD_EMMETT_MODULES names the folder of modules (node_modules) that has @event-driven-io/emmett-sqlite. Its
version 0.42.4 asks for an emmett that the registry has not; "overrides" in a package.json give it 0.42.0:

    {"dependencies": {"@event-driven-io/emmett-sqlite": "0.42.4"}, "overrides": {"@event-driven-io/emmett": "0.42.0"}}
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool

MODULES = os.environ.get('REFOLD_EMMETT_MODULES', '')
PACKAGE = os.path.join(MODULES, '@event-driven-io', 'emmett-sqlite')

WRITE = r"""
import { getSQLiteEventStore } from '@event-driven-io/emmett-sqlite'
const [fileName, first, count] = process.argv.slice(2)
const store = getSQLiteEventStore({ fileName, schema: { autoMigration: 'CreateOrUpdate' } })
for (let n = Number(first); n < Number(first) + Number(count); n++) {
  const data = { sku: `sku-${n}`, price: 12.5, at: new Date(n * 1000), note: 'žluťoučký "\\ \u2028' }
  const events = [{ type: 'ItemAdded', data, metadata: { by: `u-${n % 3}` } }]
  if (n % 4 === 0) events.push({ type: 'Checked', data: {} })
  await store.appendToStream(`cart-${n % 5}`, events)
}
const said = []
for (let n = 0; n < 5; n++) {
  const { events } = await store.readStream(`cart-${n}`)
  for (const { type, data, metadata } of events)
    said.push([Number(metadata.globalPosition), `cart-${n}`, Number(metadata.streamPosition), type, data, metadata.by ?? null])
}
console.log(JSON.stringify(said))
"""


class Emmett(tool.Case):
    def setUp(self):
        super().setUp()
        if not MODULES or not os.path.isdir(PACKAGE) or not shutil.which('node'):
            self.skipTest('emmett-sqlite is not there; REFOLD_EMMETT_MODULES names a folder with it')
        os.symlink(MODULES, self.path('node_modules'))
        self.path('write.mjs', WRITE)
        self.database = self.path('shop.db')

    def writes(self, first, count):
        """What the library reads of all streams when it has written more."""
        done = subprocess.run(['node', self.path('write.mjs'), self.database, str(first), str(count)],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return sorted(json.loads(done.stdout))

    def imported(self):
        events = [json.loads(line) for line in self.ok('events', self.store).lines]
        self.assertEqual({event['schema'] for event in events}, {1})
        return [[e['source_position'], e['stream'], e['version'], e['type'], e['data'], e['metadata'].get('by')]
                for e in events]

    def test_events_are_those_that_it_reads(self):
        for first in (0, 40, 80):
            said = self.writes(first, 40)
            self.ok('import', self.store, 'sqlite:' + self.database)
            self.assertEqual(self.imported(), said)

    def test_it_is_followed_while_it_writes(self):
        self.writes(0, 5)
        process = subprocess.Popen([tool.refold, 'import', self.store, 'sqlite:' + self.database, '--follow', '--quiet'],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(process.stdout.close)
        for first in (5, 25):
            said = self.writes(first, 20)
            end = time.monotonic() + 30
            while not os.path.exists(os.path.join(self.store, 'FORMAT')) or self.info()['events'] < len(said):
                self.assertIsNone(process.poll())
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.wait_for(process, 10), tool.TERMINATED)
        self.assertEqual(self.imported(), said)


tool.main(__name__)
