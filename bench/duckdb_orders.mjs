// The peer: DuckDB folds the same events into the same read model with SQL, into a durable table.
//
//     node duckdb_orders.mjs EVENTS.jsonl FOLDER THREADS RUNS
//
// Needs @duckdb/node-api beside it. It may choose its best way: from its own table as imported,
// from one clustered by stream, or from zstd Parquet; with and without keeping the order of
// insertion. Each rebuild ends with a checkpoint, so that it is as durable as refold's. Prints one
// JSON object: seconds of the import, of each rebuild by way, and the sums that results are
// compared by. What it takes to cluster or to write Parquet is told, but not counted.
import { DuckDBInstance } from '@duckdb/node-api';
import { rmSync, statSync } from 'node:fs';

const [events, folder, threads = '2', runs = '3'] = process.argv.slice(2);
const file = `${folder}/orders.duckdb`;
const parquet = `${folder}/orders.parquet`;
for (const old of [file, `${file}.wal`, parquet]) rmSync(old, { force: true });

const connection = await (await DuckDBInstance.create(file, { threads })).connect();
const seconds = async (sql) => {
  const start = performance.now();
  await connection.run(sql);
  return (performance.now() - start) / 1000;
};

const payload = {
  customer: 'VARCHAR', currency: 'VARCHAR', channel: 'VARCHAR', sku: 'VARCHAR', qty: 'INT',
  price: 'BIGINT', method: 'VARCHAR', amount: 'BIGINT', carrier: 'VARCHAR', reason: 'VARCHAR',
};
const struct = Object.entries(payload).map(([name, type]) => `${name} ${type}`).join(', ');
const json = `read_json('${events}', format='newline_delimited', columns={position: 'BIGINT',
  stream: 'VARCHAR', version: 'INT', time: 'BIGINT', type: 'VARCHAR', data: 'STRUCT(${struct})'})`;
const members = Object.keys(payload).map((name) => `data.${name} as ${name}`).join(', ');

const rebuild = (source) => `create or replace table order_summary as
  select stream, max(customer) customer, arg_max(type, version) status,
         sum(case type when 'ItemAdded' then qty * price
                       when 'ItemRemoved' then -qty * price else 0 end) total,
         sum(case type when 'ItemAdded' then qty when 'ItemRemoved' then -qty else 0 end) items,
         min(time) placed_at, max(time) last_at, count(*) events
  from ${source} group by stream`;

const version = (await connection.runAndReadAll('select version()')).getRows()[0][0];
const out = { version, threads: Number(threads), ways: {} };
out.import = await seconds(
  `create table ev as select position, stream, version, time, type, ${members} from ${json}`);
out.import += await seconds('checkpoint');
out.file_bytes = statSync(file).size;
out.cluster = await seconds('create table clustered as select * from ev order by stream, version');
out.parquet = await seconds(`copy ev to '${parquet}' (format parquet, compression zstd)`);
await connection.run('checkpoint');
for (const ordered of ['true', 'false']) {
  await connection.run(`set preserve_insertion_order = ${ordered}`);
  const sources = [['table', 'ev'], ['clustered', 'clustered'], ['parquet', `'${parquet}'`]];
  for (const [name, source] of sources) {
    const way = ordered === 'true' ? name : `${name}, unordered`;
    out.ways[way] = [];
    for (let i = 0; i < Number(runs); i++)
      out.ways[way].push(await seconds(`${rebuild(source)}; checkpoint`));
  }
}
const sums = await connection.runAndReadAll(
  'select count(*), sum(total), sum(items), sum(events) from order_summary');
[out.rows, out.total, out.items, out.events] = sums.getRows()[0].map(Number);
console.log(JSON.stringify(out));
