"""A full disk: import and rebuild fail with exit 1 and one line, readers go on, no SIGBUS; with
space again all works.

On a small tmpfs or ext4 of its own, which takes root; skipped otherwise. A filler file leaves
some pages, and fewer with each round, so that the disk ends at many places of the way. Forty
readers at a time look at the full disk, because a sparse table of readers would need new pages
just then.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import story
import tool

SIZE = 24 << 20
PAGES_FREE = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
READERS = 40


class FullDisk(tool.Case):
    def mount(self, kind):
        if os.geteuid() != 0:
            self.skipTest('mounting takes root')
        self.disk = os.path.join(self.folder, 'disk')
        os.mkdir(self.disk)
        if kind == 'tmpfs':
            command = ['mount', '-t', 'tmpfs', '-o', 'size=%d' % SIZE, 'tmpfs', self.disk]
        else:
            image = self.path('image')
            with open(image, 'wb') as file:
                file.truncate(SIZE)
            if subprocess.run(
                ['mkfs.ext4', '-q', '-m', '0', image], stderr=subprocess.DEVNULL
            ).returncode:
                self.skipTest('no mkfs.ext4')
            command = ['mount', '-o', 'loop', image, self.disk]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            self.skipTest('%s cannot be mounted here' % kind)
        self.addCleanup(subprocess.run, ['umount', '-l', self.disk])
        self.store = os.path.join(self.disk, 'store.refold')
        self.filler = os.path.join(self.disk, 'filler')

    def fill(self, pages_free):
        """Takes all space but so many pages."""
        with open(self.filler, 'wb', buffering=0) as file:
            block = b'\xff' * 4096
            try:
                while True:
                    file.write(block * 64)
            except OSError:
                pass
            try:
                while True:
                    file.write(block)
            except OSError:
                pass
            file.truncate(max(0, file.tell() - pages_free * 4096) // 4096 * 4096)

    def fails_clearly(self, result):
        if result.code == 0:
            return
        self.assertEqual(result.code, tool.FAILED, str(result))
        self.assertEqual(result.message.count('\n'), 1, str(result))
        self.assertIn('No space left', result.message)

    def serves(self, place, generation_rows):
        readers = [
            subprocess.Popen(
                [tool.refold, 'scan', self.store, story.NAME],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(READERS)
        ]
        for reader in readers:
            out, err = reader.communicate()
            self.assertEqual(reader.returncode, 0, err)
            self.assertIn(out, generation_rows)

    def story(self, kind):
        self.mount(kind)
        log = story.make_log(30000)
        place = story.Story(self, self.store, log)
        self.ok('import', self.store, '-', '--quiet', stdin=place.chunk(0, 1000))
        self.ok('rebuild', self.store, tool.projection(story.NAME), '--quiet')
        failed = 0
        for pages in PAGES_FREE:
            with self.subTest(pages=pages):
                events = self.info()['events']
                self.fill(pages)
                rebuilt = tool.call('rebuild', self.store, tool.projection(story.NAME), '--quiet')
                self.fails_clearly(rebuilt)
                imported = tool.call(
                    'import', self.store, '-', '--quiet', stdin=place.chunk(events, events + 2000)
                )
                self.fails_clearly(imported)
                failed += (rebuilt.code != 0) + (imported.code != 0)
                self.serves(
                    place, [place.rows_at(p) for p in {1000, events, self.info()['events']}]
                )
                os.unlink(self.filler)
                after, _ = place.check(
                    events + (2000 if imported.code == 0 else 0), 1, '%s, %d pages' % (kind, pages)
                )
                self.ok(
                    'rebuild', self.store, tool.projection(story.NAME), '--quiet', '--keep', '1'
                )
                place.check(after, 1, '%s, %d pages, with space again' % (kind, pages))
        self.assertGreater(
            failed, len(PAGES_FREE) // 2, 'the disk was not full when it should have been'
        )

    def test_tmpfs(self):
        self.story('tmpfs')

    def test_ext4(self):
        self.story('ext4')


tool.main(__name__)
