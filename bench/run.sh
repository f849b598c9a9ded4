#!/bin/sh
# Measures refold against its targets, its floor and its rivals. See bench/README.md.
#
#   sh bench/run.sh [TARGET]…
#   EVENTS=10000000 RUNS=5 WORKERS= INSTALL=yes REFOLD_BENCH_CACHE=.cache/bench sh bench/run.sh
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cache=${REFOLD_BENCH_CACHE:-$root/.cache/bench}
mkdir -p "$cache"
. "$root/fixtures/setup.sh"

install=${INSTALL:-yes}
[ "$install" != yes ] || install_packages >&2
build=$cache/build
build_in "$build" "--buildtype=release" refold benches

# The rivals are optional: what cannot be had is skipped, and the report says so. SQLite comes with
# Python.
if [ "$install" = yes ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    set_up=
    command -v npm >/dev/null 2>&1 || set_up="nodejs npm"
    [ -n "$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null)" ] || set_up="$set_up postgresql"
    if [ -n "$set_up" ]; then
        echo "installing for the rivals: $set_up" >&2
        # shellcheck disable=SC2086 # one word a package
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq -y --no-install-recommends $set_up; } >"$cache/apt.log" 2>&1 ||
            echo "that failed; see $cache/apt.log" >&2
    fi
fi
duckdb=$cache/duckdb
mkdir -p "$duckdb"
if [ "$install" = yes ] && [ ! -d "$duckdb/node_modules/@duckdb/node-api" ] &&
    command -v npm >/dev/null 2>&1; then
    (cd "$duckdb" && npm install --no-audit --no-fund @duckdb/node-api@1.5.6-r.1 >npm.log 2>&1) ||
        echo "DuckDB could not be installed; see $duckdb/npm.log" >&2
fi

exec /usr/bin/python3 "$root/bench/targets.py" "$build" "$cache" "$@"
