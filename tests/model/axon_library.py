"""A round trip with the Java library Axon Framework itself: its aggregates take commands and store their events in
a private PostgreSQL server through its JDBC engine, refold imports them while more is written, and rows equal the
aggregates that Axon sources from its store.

REFOLD_AXON_JARS names a folder with the jars of Axon Framework 4 (axon-configuration and what it needs), Jackson
(databind and datatype-jsr310) and PostgreSQL's JDBC driver, as `mvn dependency:copy-dependencies` makes one. Without it, or
without a JDK, the test says that it was skipped.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timedelta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import postgres
import tool

SHOP = '''
package shop;

import static org.axonframework.modelling.command.AggregateLifecycle.apply;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.axonframework.commandhandling.CommandHandler;
import org.axonframework.common.jdbc.DataSourceConnectionProvider;
import org.axonframework.common.transaction.NoTransactionManager;
import org.axonframework.config.Configuration;
import org.axonframework.config.DefaultConfigurer;
import org.axonframework.eventsourcing.EventSourcingHandler;
import org.axonframework.eventsourcing.eventstore.jdbc.JdbcEventStorageEngine;
import org.axonframework.eventsourcing.eventstore.jdbc.PostgresEventTableFactory;
import org.axonframework.messaging.unitofwork.DefaultUnitOfWork;
import org.axonframework.modelling.command.AggregateIdentifier;
import org.axonframework.modelling.command.Repository;
import org.axonframework.modelling.command.TargetAggregateIdentifier;
import org.axonframework.serialization.Revision;
import org.axonframework.serialization.json.JacksonSerializer;
import org.postgresql.ds.PGSimpleDataSource;

public class Shop {
    record Place(@TargetAggregateIdentifier String id, String customer) {}
    record Add(@TargetAggregateIdentifier String id, String sku, int qty, BigDecimal price) {}
    record Ship(@TargetAggregateIdentifier String id, String note) {}

    public record Placed(String id, String customer) {}
    @Revision("2")
    public record LineAdded(String id, String sku, int qty, BigDecimal price) {}
    public record Shipped(String id, String note) {}

    public static class Order {
        @AggregateIdentifier String id;
        String customer, note;
        BigDecimal total = new BigDecimal("0.00");
        List<String> lines = new ArrayList<>();
        int events;

        public Order() {}
        @CommandHandler public Order(Place c) { apply(new Placed(c.id(), c.customer())); }
        @CommandHandler public void add(Add c) { apply(new LineAdded(c.id(), c.sku(), c.qty(), c.price())); }
        @CommandHandler public void ship(Ship c) { apply(new Shipped(c.id(), c.note())); }
        @EventSourcingHandler void on(Placed e) { id = e.id(); customer = e.customer(); events++; }
        @EventSourcingHandler void on(LineAdded e) {
            total = total.add(e.price().multiply(new BigDecimal(e.qty())));
            lines.add(e.sku());
            events++;
        }
        @EventSourcingHandler void on(Shipped e) { note = e.note(); events++; }
    }

    public static void main(String[] args) throws Exception {
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setURL(args[0]);
        JacksonSerializer json = JacksonSerializer.defaultSerializer();
        JdbcEventStorageEngine engine = JdbcEventStorageEngine.builder()
            .snapshotSerializer(json).eventSerializer(json)
            .connectionProvider(new DataSourceConnectionProvider(source))
            .transactionManager(NoTransactionManager.INSTANCE).build();
        int first = Integer.parseInt(args[1]), count = Integer.parseInt(args[2]);
        if (first == 0)
            engine.createSchema(PostgresEventTableFactory.INSTANCE);
        Configuration shop = DefaultConfigurer.defaultConfiguration()
            .configureSerializer(c -> json).configureEventSerializer(c -> json)
            .configureEmbeddedEventStore(c -> engine).configureAggregate(Order.class).buildConfiguration();
        shop.start();
        for (int n = first; n < first + count; n++) {
            String id = "order-" + n;
            shop.commandGateway().sendAndWait(new Place(id, "\\u010cen\\u011bk \\"" + n + "\\" \\\\"));
            for (int line = 0; line < n % 4; line++)
                shop.commandGateway().sendAndWait(new Add(id, "sku-" + line, line + 1,
                    new BigDecimal("12345678901.10").add(new BigDecimal(n))));
            if (n % 3 == 0)
                shop.commandGateway().sendAndWait(new Ship(id, "na\\u00efve\\n\\u2028 \\ud83d\\ude00"));
        }
        Map<String, Object> rows = new LinkedHashMap<>();
        Repository<Order> orders = shop.repository(Order.class);
        for (int n = 0; n < first + count; n++) {
            String id = "order-" + n;
            DefaultUnitOfWork<?> work = DefaultUnitOfWork.startAndGet(null);
            Map<String, Object> row = new LinkedHashMap<>();
            orders.load(id).execute(o -> {
                row.put("customer", o.customer);
                row.put("note", o.note);
                row.put("total", o.total.toPlainString());
                row.put("lines", o.lines.isEmpty() ? null : String.join("|", o.lines));
                row.put("events", o.events);
            });
            work.rollback();
            rows.put(id, row);
        }
        List<Object> events = new ArrayList<>();
        for (int n = 0; n < first + count; n++)
            shop.eventStore().readEvents("order-" + n).asStream().forEach(e -> events.add(List.of(
                e.getAggregateIdentifier(), e.getSequenceNumber(), e.getPayloadType().getName(),
                e.getTimestamp().toEpochMilli(), e.getMetaData().keySet().stream().sorted().toList())));
        System.out.println(new ObjectMapper().writeValueAsString(Map.of("rows", rows, "events", events)));
        shop.shutdown();
        System.exit(0);
    }
}
'''

PROJECTION = '''
name "orders"
version (1)
columns { "customer text", "note text", "total decimal(2)", "lines text", "events int" }

on ("shop.Shop$Placed", { "customer text" }, function (row, e) row.customer = e.customer end)
on ("shop.Shop$LineAdded", { "sku text", "qty int", "price decimal(2)" }, function (row, e)
    row.total = row.total + e.price * e.qty
    row.lines = row.lines and row.lines .. "|" .. e.sku or e.sku
end)
on ("shop.Shop$Shipped", { "note text" }, function (row, e) row.note = e.note end)
on ("*", {}, function (row, e) row.events = e.version + 1 end)
'''


class Axon(tool.Case):
    def setUp(self):
        super().setUp()
        self.jars = os.environ.get('REFOLD_AXON_JARS')
        if not self.jars:
            self.skipTest('REFOLD_AXON_JARS names no folder with Axon Framework')
        if not shutil.which('javac'):
            self.skipTest('there is no JDK')
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = str(free.getsockname()[1])
        # what libpq takes for its own default: JDBC has no sockets of the file system
        before = os.environ.get('PGPORT')
        self.addCleanup(lambda: os.environ.pop('PGPORT') if before is None else os.environ.update(PGPORT=before))
        os.environ['PGPORT'] = self.port
        self.server = postgres.Server(self, listen_addresses='127.0.0.1', port=self.port)
        self.path('Shop.java', SHOP)
        self.run_java('javac', '-encoding', 'UTF-8', '-parameters', '-d', self.path('classes'), self.path('Shop.java'))

    def run_java(self, program, *arguments):
        classes = os.pathsep.join((os.path.join(self.jars, '*'), self.path('classes')))
        done = subprocess.run([program, '-cp', classes, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def writes(self, first, count):
        """Axon writes orders FIRST and on, and says what all of them are."""
        url = 'jdbc:postgresql://127.0.0.1:%s/postgres?user=%s' % (self.port, postgres.SUPERUSER)
        return json.loads(self.run_java('java', 'shop.Shop', url, str(first), str(count)).splitlines()[-1])

    def equals(self, said):
        events = [json.loads(line) for line in self.ok('events', self.store).out.splitlines()]
        epoch = datetime.fromisoformat('1970-01-01T00:00:00+00:00')
        got = [[e['stream'], e['version'], e['type'],
                (datetime.fromisoformat(e['time'].replace('Z', '+00:00')) - epoch) // timedelta(milliseconds=1),
                sorted(e.get('metadata', {}))] for e in events]
        self.assertEqual(sorted(got), sorted(said['events']))
        self.assertEqual({e['schema'] for e in events if e['type'].endswith('LineAdded')}, {2})
        self.ok('rebuild', self.store, self.path('orders.lua', PROJECTION), '--quiet')
        rows = [json.loads(line) for line in self.ok('scan', self.store, 'orders').out.splitlines()]
        self.assertEqual({row.pop('key'): row for row in rows}, said['rows'])
        self.ok('verify', self.store, '--serial')

    def test_its_aggregates_are_our_rows(self):
        said = self.writes(0, 20)
        self.ok('import', self.store, self.server.url(), '--preset', 'axon')
        self.equals(said)
        before = len(said['events'])
        said = self.writes(20, 9)
        again = self.ok('import', self.store, self.server.url(), '--json').json
        self.assertEqual((again['added'], again['duplicates']), (len(said['events']) - before, 0))
        self.equals(said)


tool.main(__name__)
