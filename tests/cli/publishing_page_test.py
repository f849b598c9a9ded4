"""docs/PUBLISHING.md: its commands and its SQL run as they stand there."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

PAGE = os.path.join(tool.ROOT, 'docs', 'PUBLISHING.md')


def block(name):
    with open(PAGE, encoding='utf-8') as file:
        found = re.findall(r'runs: %s -->\n```\w*\n(.*?)```' % name, file.read(), re.S)
    assert len(found) == 1, name
    return found[0]


class Page(tool.Shop):
    def test_the_page(self):
        server = postgres.Server(self)
        server.sql('CREATE DATABASE shop')
        server.sql(block('grants as SQL'), 'shop')
        self.rebuild(tool.projection('case_summary'))
        os.rename(self.store, self.path('shop.refold'))
        environment = dict(
            os.environ,
            DATABASE_URL=server.url('shop', user='publisher'),
            PATH=tool.build + ':' + os.environ['PATH'],
        )
        subprocess.run(
            ['sh', '-e', '-c', block('export')], cwd=self.folder, env=environment,
            stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        self.ok('export', self.path('shop.refold'), 'case_summary', environment['DATABASE_URL'])
        pointers = server.sql(block('pointer as SQL'), 'shop').splitlines()
        self.assertEqual({p.split('|')[0] for p in pointers}, {'order_summary', 'case_summary'})
        self.assertEqual(server.sql(block('together as SQL'), 'shop'), '7\n3')
        import sqlite3

        db = sqlite3.connect('file:%s?mode=ro' % self.path('read-models.sqlite'), uri=True)
        first, second = [s for s in block('sqlite as SQL').split(';') if s.strip()]
        self.assertEqual({r[0] for r in db.execute(first)}, {'order_summary', 'case_summary'})
        self.assertEqual(sum(r[1] for r in db.execute(second)), 3)
        self.assertEqual(tool.read(self.path('orders.csv')).count(b'\r\n'), 4)


tool.main(__name__)
