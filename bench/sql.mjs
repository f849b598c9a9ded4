// Runs SQL in DuckDB: a statement a line as a JSON string on standard input, and for each one line
// {"seconds": ..., "rows": [[...]]} on standard output.
//
//     node sql.mjs DATABASE THREADS
//
// Needs @duckdb/node-api beside it.
import { DuckDBInstance } from '@duckdb/node-api';
import { createInterface } from 'node:readline';

const [file, threads] = process.argv.slice(2);
const connection = await (await DuckDBInstance.create(file, { threads })).connect();

for await (const line of createInterface({ input: process.stdin })) {
  const start = performance.now();
  let answer;
  try {
    const reader = await connection.runAndReadAll(JSON.parse(line));
    const seconds = (performance.now() - start) / 1000;
    const plain = (value) => (typeof value === 'string' ? value : Number(value));
    const rows = reader.getRows().map((row) => row.map(plain));
    answer = { seconds, rows };
  } catch (error) {
    answer = { error: String(error.message) };
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
