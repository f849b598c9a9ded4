#!/bin/sh
# What bench/ measures with still works: every target that needs no rival, over a few events.
#
#   sh tests/guard/bench.sh BUILD [SHARED]
#
# The figures mean nothing here and are not looked at.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
build=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/refold-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export EVENTS=8000 RUNS=1 WORKERS=2 REFOLD_SHARED="${2:-$work}"

measure() {
    /usr/bin/python3 "$root/bench/targets.py" "$build" "$work" "$@"
}

measure 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 micro >"$work/out"
for word in order_summary price_rises 'slowest refresh and get' 'gets a second' parsing seal; do
    grep -q "$word" "$work/out" || {
        echo "the report does not say: $word"
        cat "$work/out"
        exit 1
    }
done
measure table | grep -q '^| 12 |'
