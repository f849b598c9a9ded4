#!/bin/sh
# Measures refold on the synthetic order log beside DuckDB. See bench/README.md.
#
#   EVENTS=10000000 RUNS=5 WORKERS= REFOLD_BENCH_CACHE=.cache/bench sh bench/run.sh
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
events=${EVENTS:-10000000}
cache=${REFOLD_BENCH_CACHE:-$root/.cache/bench}
mkdir -p "$cache"

build=$cache/build
[ -f "$build/build.ninja" ] || meson setup "$build" "$root" --buildtype=release >/dev/null
ninja -C "$build" >/dev/null

log=$cache/orders-$events.jsonl
if [ ! -f "$log" ]; then
    echo "making $log" >&2
    "$build/bench/orders" "$events" >"$log.tmp" 2>/dev/null
    mv "$log.tmp" "$log"
fi

# The peer is optional: without node or the network there is no ratio, and the report says so.
peer=$cache/duckdb
mkdir -p "$peer"
if [ ! -d "$peer/node_modules/@duckdb/node-api" ] && command -v npm >/dev/null; then
    (cd "$peer" && npm install --no-audit --no-fund @duckdb/node-api@1.5.6-r.1 >/dev/null 2>&1) ||
        true
fi
cp "$root/bench/duckdb_orders.mjs" "$peer/"

exec /usr/bin/python3 "$root/bench/measure.py" "$build" "$log" "$events" "$cache" "$peer"
