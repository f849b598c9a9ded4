"""Files of other systems: CloudEvents as lines and as batches, pages of KurrentDB's Atom feed."""

import base64
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import tool


class Documents(tool.Case):
    preset = None

    def load(self, content, *options):
        path = self.path('events', content)
        return self.ok('import', self.store, path, '--preset', self.preset, '--json',
                       *options).json

    def refused(self, words, content, *options):
        path = self.path('events', content)
        return self.refuses(tool.FAILED, words, 'import', self.store, path, '--preset',
                            self.preset, *options)

    def events(self):
        return [json.loads(line) for line in self.ok('events', self.store).out.splitlines()]


def cloud(**members):
    event = {'specversion': '1.0', 'id': 'e-1', 'source': '/shop', 'type': 'com.shop.placed'}
    event.update(members)
    return event


class CloudEvents(Documents):
    preset = 'cloudevents'

    def test_attributes_become_members(self):
        self.load(json.dumps(cloud(
            subject='order-1', time='2024-07-10T12:00:00.5+02:00', sequence='7',
            datacontenttype='application/json', dataschema='https://shop/order/2', tenant='t1',
            gone=None, flag=True, data={'a': [1, 2.5, 'x']})).replace('2.5,', '2.50,'), '--gaps', 'allow')
        self.assertEqual(self.events(), [{
            'position': 1, 'stream': 'order-1', 'version': 7, 'type': 'com.shop.placed',
            'schema': 1, 'time': '2024-07-10T10:00:00.500000Z', 'data': {'a': [1, 2.5, 'x']},
            'metadata': {'id': 'e-1', 'source': '/shop', 'subject': 'order-1', 'sequence': '7',
                         'datacontenttype': 'application/json',
                         'dataschema': 'https://shop/order/2', 'tenant': 't1', 'flag': True}}])
        self.assertIn(b'2.50', self.ok('events', self.store).out)

    def test_lines_batches_and_indented_text_are_the_same(self):
        events = [cloud(id='e%d' % i, subject='s%d' % (i % 3), sequence=i // 3 + 1,
                        data={'n': i, 'text': '],{"}\\' * (i % 4)}) for i in range(30)]
        batch = json.dumps(events)
        forms = (
            '\n'.join(json.dumps(e) for e in events),
            batch,
            json.dumps(events, indent=3),
            json.dumps(events[:10]) + '\r\n\n' + json.dumps(events[10:], indent=1) + '[]\n',
            '[' + ' ,\n'.join(json.dumps(e, indent=1) for e in events) + ']',
            ' '.join(json.dumps(e) for e in events),
        )
        digests = set()
        for number, form in enumerate(forms):
            self.store = self.path('s%d.refold' % number)
            self.assertEqual(self.load(form)['added'], 30)
            digests.add(json.dumps(self.events()))
            self.assertEqual(self.load(form)['duplicates'], 30)
        self.assertEqual(len(digests), 1)

    def test_data_may_be_anything_and_is_not_parsed_again(self):
        for data in ('{"a":1}', 'text', 7, 1.50, None, True, [], {}, '\n"'):
            self.store = self.path('%s.refold' % abs(hash(str(data))))
            self.load(json.dumps(cloud(subject='s', sequence=1, data=data)))
            self.assertEqual(self.events()[0]['data'], data)
        self.store = self.path('without.refold')
        self.load(json.dumps(cloud()))
        self.assertIsNone(self.events()[0]['data'])
        self.assertEqual(self.events()[0]['stream'], '/shop')

    def test_bytes_are_decoded_where_they_are_json(self):
        packed = base64.b64encode(b'{"a":\n1}').decode()
        for content, data in ((None, {'a': 1}), ('application/json; charset=utf-8', {'a': 1}),
                              ('application/geo+json', {'a': 1}), ('image/png', packed)):
            self.store = self.path('%s.refold' % abs(hash(content)))
            self.load(json.dumps(cloud(data_base64=packed, datacontenttype=content)))
            self.assertEqual(self.events()[0]['data'], data)

    def test_maps_choose_otherwise(self):
        self.load(json.dumps(cloud(subject='x', partitionkey='p-1', version=3, rev=4,
                                   data={'order': 'o-9'})),
                  '--map', 'stream=metadata.partitionkey,version=metadata.rev,schema=metadata.version',
                  '--gaps', 'allow')
        event = self.events()[0]
        self.assertEqual((event['stream'], event['version'], event['schema']), ('p-1', 4, 3))

    def test_what_is_no_cloudevent_is_refused_with_its_line(self):
        good = json.dumps(cloud(subject='s', sequence=1))
        for words, text in (
            (['events:2', 'attribute id'], good + '\n' + json.dumps(cloud(id=''))),
            (['events:3', 'attribute type'], '[\n' + good + ',\n' + json.dumps(cloud(type=5)) + ']'),
            (['specversion is 0.3'], json.dumps(cloud(specversion='0.3'))),
            (['exclude each other'], json.dumps(cloud(data=1, data_base64=''))),
            (['not valid base64'], json.dumps(cloud(data_base64='a=b='))),
            (['not valid JSON, as datacontenttype'],
             json.dumps(cloud(data_base64=base64.b64encode(b'{}{}').decode()))),
            (['time is no string'.replace('time', 'attribute time')], json.dumps(cloud(time=5))),
            (['not an object'], '7'),
            (['not an object'], '[[]]'),
            (['not valid JSON'], '{"a" 1}'),
            (['middle of an array'], '[' + good),
            (['middle of an array'], '[' + good + ','),
            (['comma or a value'], '[' + good + good + ']'),
            (['comma or a value'], '[' + good + ',]'),
            (['comma or a value'], '[,' + good + ']'),
            (['middle of a JSON value'], good + '{"a":"}'),
            (['stands twice'], '{"id":"a","id":"b"}'),
        ):
            self.refused(words, text)
        self.assertFalse(os.path.exists(self.store))

    def counts(self, content, *options):
        done = self.load(content, *options)
        return done['added'], done['duplicates']

    def test_without_sequence_they_are_known_by_source_and_id(self):
        first = [cloud(id='a', subject='s'), cloud(id='b', subject='s'), cloud(id='a', source='/other', subject='s'),
                 cloud(id='c'), cloud(id='d', subject='t', sequence=1)]
        self.assertEqual(self.counts(json.dumps(first)), (5, 0))
        self.assertEqual([(e['stream'], e['version'], e['metadata']['id']) for e in self.events()],
                         [('s', 1, 'a'), ('s', 2, 'b'), ('s', 3, 'a'), ('/shop', 1, 'c'), ('t', 1, 'd')])
        before = self.ok('events', self.store).out
        self.assertNotIn(b'source_position', before)
        self.assertEqual(self.counts('\n'.join(map(json.dumps, first))), (0, 5))
        self.assertEqual(self.ok('events', self.store).out, before)
        # Overlapping, in another order, and one event twice in a file.
        more = [cloud(id='e', subject='s'), first[2], cloud(id='f', subject='s'), first[0], cloud(id='e', subject='s')]
        done = self.load(json.dumps(more))
        self.assertEqual((done['added'], done['duplicates'], done['late']), (2, 3, 0))
        self.assertEqual(self.info()['sources'][0]['mark'], 0)
        self.assertEqual([e['version'] for e in self.events() if e['stream'] == 's'], [1, 2, 3, 4, 5])
        self.ok('verify', self.store)

    def test_another_event_with_the_same_source_and_id_is_refused(self):
        self.load(json.dumps(cloud(subject='s', data=1)))
        for again in (cloud(subject='s', data=2), cloud(subject='s', data=1, time='2024-07-10T12:00:00Z')):
            self.refused(['events:2', 'stream s', 'its id is stored with other content (position 1)'],
                         json.dumps([cloud(id='x'), again]))
        self.refused(['its id is stored with other content (', 'events:2'],
                     json.dumps([cloud(id='y'), cloud(id='z', data=1), cloud(id='z', data=2)]))
        self.assertEqual(self.info()['events'], 1)

    def test_many_are_known_again_whatever_the_files_and_the_order(self):
        events = [cloud(id='e%d' % i, **({'subject': 'order-%d' % (i * 7919 % 1000)} if i % 3 else {}), data={'n': i})
                  for i in range(40000)]
        lines = [json.dumps(e) for e in events]
        self.assertEqual(self.counts('\n'.join(lines[:25000]), '--workers', '2'), (25000, 0))
        shuffled = lines[10000:]
        random.Random(5).shuffle(shuffled)
        self.assertEqual(self.counts('[' + ',\n'.join(shuffled) + ']', '--workers', '0'), (15000, 15000))
        self.assertEqual(self.counts('\n'.join(lines + lines[:100])), (0, 40100))
        stored = self.events()
        self.assertEqual([e['data']['n'] for e in stored[:25000]], list(range(25000)))
        self.assertEqual(sorted(e['data']['n'] for e in stored), list(range(40000)))
        self.ok('verify', self.store)

    def test_a_map_of_version_or_position_comes_before_the_id(self):
        events = [cloud(id='a', subject='s', offset=5, rev=1), cloud(id='b', subject='s', offset=9, rev=2)]
        self.load(json.dumps(events), '--map', 'position=metadata.offset')
        self.assertEqual([e['source_position'] for e in self.events()], [5, 9])
        self.assertEqual(self.counts(json.dumps(events), '--map', 'position=metadata.offset'), (0, 2))
        self.store = self.path('other.refold')
        self.load(json.dumps(events), '--map', 'version=metadata.rev')
        self.refused(['version 2 is stored with other content'],
                     json.dumps(cloud(id='c', subject='s', rev=2)), '--map', 'version=metadata.rev')

    def test_a_batch_may_be_longer_than_any_event_on_one_line(self):
        events = [cloud(id='e%d' % i, subject='s%d' % (i % 7), data={'n': i, 'text': 'x' * 10000}) for i in range(2000)]
        text = json.dumps(events).encode()
        self.assertGreater(len(text), 20_000_000)
        path = self.path('batch.json', text)
        self.assertEqual(self.load(text)['added'], 2000)
        self.assertEqual([event['data']['n'] for event in self.events()], list(range(2000)))
        for source in (self.path('batch.gz', gzip.compress(text, 1)), '--exec=cat %s' % path):
            again = self.ok('import', self.store, source, '--preset', 'cloudevents', '--json').json
            self.assertEqual((again['added'], again['duplicates']), (0, 2000))
        # One event that is too large is still refused, with its line.
        self.refused([':2: ', 'larger'], '[\n' + json.dumps(cloud(data='x' * (17 << 20))) + ']')

    def test_a_program_that_writes_a_batch_slowly_is_read_as_it_writes(self):
        path = self.path('events', '[' + json.dumps(cloud(id='1', subject='a')) + ',')
        process = subprocess.Popen(
            [tool.refold, 'import', self.store, '--preset', 'cloudevents', '--quiet', '--exec',
             'cat %s; sleep 60' % path], stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        end = time.monotonic() + 30
        while tool.call('info', self.store, '--json').out.find(b'"events":1') < 0:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1].decode()
        self.assertEqual(process.returncode, tool.TERMINATED, said)
        self.assertIn('1 event was added', said)

    def test_programs_may_write_them(self):
        self.assertEqual(self.ok('import', self.store, '--preset', 'cloudevents', '--exec',
                                 "printf '%%s' '%s'" % json.dumps([cloud(subject='a')]),
                                 '--json').json['added'], 1)


def entry(number, stream='order-1', feed=None, position=None, **members):
    made = {
        'eventId': 'fbf4a1a1-b4a3-4dfe-a01f-ec52c34e16e4', 'eventType': 'Placed',
        'eventNumber': number, 'data': '{\n  "n": %d\n}' % number, 'metaData': '', 'streamId': stream,
        'isJson': True, 'isMetaData': False, 'isLinkMetaData': False,
        'positionEventNumber': number if position is None else position,
        'positionStreamId': feed or stream, 'title': '%d@%s' % (number, stream),
        'updated': '2017-12-14T05:09:58.816079Z', 'summary': 'Placed'}
    made.update(members)
    return made


def page(*entries, **members):
    return dict({'title': "Event stream 'x'", 'eTag': '1;2', 'entries': list(entries)}, **members)


class KurrentDb(Documents):
    preset = 'kurrentdb'

    def test_entries_come_oldest_first_whatever_the_order_of_pages(self):
        numbers = list(range(100))
        pages = [page(*[entry(n) for n in reversed(numbers[at:at + 20])])
                 for at in range(0, 100, 20)]
        for number in range(4):
            self.store = self.path('s%d.refold' % number)
            random.Random(number).shuffle(pages)
            text = '\n'.join(json.dumps(p, indent=number or None) for p in pages)
            self.assertEqual(self.load(text)['added'], 100)
            self.assertEqual([e['version'] for e in self.events()], numbers)
            self.assertEqual([e['data']['n'] for e in self.events()], numbers)

    def test_a_page_may_be_longer_than_any_event_on_one_line(self):
        entries = [entry(n, data=json.dumps({'n': n, 'text': 'x' * 10000})) for n in range(2000)]
        self.assertEqual(self.load(json.dumps(page(*reversed(entries))))['added'], 2000)
        self.assertEqual([event['data']['n'] for event in self.events()], list(range(2000)))

    def test_members_of_an_entry(self):
        self.load(json.dumps(page(
            entry(1, data='no json', isJson=False),
            entry(0, metaData='{ "user": "u\\"1" }', data='{"a":\r\n[1.10]}'))))
        first, second = self.events()
        self.assertEqual((first['stream'], first['type'], first['time'], first['metadata']),
                         ('order-1', 'Placed', '2017-12-14T05:09:58.816079Z', {'user': 'u"1'}))
        self.assertIn(b'1.10', self.ok('events', self.store).out)
        self.assertEqual(second['data'], 'no json')
        self.assertNotIn('metadata', second)

    def test_a_feed_of_several_streams_keeps_its_order(self):
        feed = [entry(0, 'a', '$ce-x', 0), entry(0, 'b', '$ce-x', 1), entry(1, 'a', '$ce-x', 2),
                entry(0, '$$a', '$ce-x', 3, eventType='$metadata'), entry(1, 'b', '$ce-x', 4)]
        self.assertEqual(self.load(json.dumps(page(*reversed(feed))))['added'], 4)
        self.assertEqual([(e['stream'], e['version']) for e in self.events()],
                         [('a', 0), ('b', 0), ('a', 1), ('b', 1)])
        every = [entry(2, 'a'), entry(2, 'b'), entry(3, 'a')]
        self.load(json.dumps(page(*reversed(every))))
        self.assertEqual([(e['stream'], e['version']) for e in self.events()[4:]],
                         [('a', 2), ('b', 2), ('a', 3)])

    def test_what_is_no_page_is_refused_with_its_line(self):
        for words, text in (
            (['events:2', 'entries'], json.dumps(page()) + '\n{}'),
            (['entries'], '[]'),
            (['entries'], '{"entries":{}}'),
            (['an entry is no object'], '{"entries":[1]}'),
            (['embed=body', 'text data'], json.dumps(page(entry(0, data=None)))),
            (['embed=body', 'eventType'], '{"entries":[{"title":"0@a"}]}'),
            (['number eventNumber'], json.dumps(page(entry(0, eventNumber='0')))),
            (['0@order-1', 'not valid JSON'], json.dumps(page(entry(0, data='{}{}')))),
            (['0@order-1', 'not valid JSON'], json.dumps(page(entry(0, metaData='{')))),
            (['not valid JSON'], '{"entries":[{"a"}]}'),
            (['middle of a JSON value'], '{"entries":['),
        ):
            self.refused(words, text)
        self.assertFalse(os.path.exists(self.store))

    def test_presets_are_for_what_they_are_for(self):
        path = self.path('x', '{}')
        self.refuses(tool.USAGE, ["no preset 'eventsourcing' for files", 'cloudevents, kurrentdb'],
                     'import', self.store, path, '--preset', 'eventsourcing')


tool.main(__name__)
