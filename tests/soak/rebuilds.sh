#!/bin/sh
# Rebuilds beside four writers, four readers and a follower: see soak_rebuilds.c. A few; with SOAK=full 1,000, in
# ten stores one after the other. SOAK_SEED repeats a run's events and choices.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
seed=${SOAK_SEED:-1}
work=$(mktemp -d "${TMPDIR:-/tmp}/refold-soak.XXXXXX")
trap 'rm -rf "$work"' EXIT
export TMPDIR="$work"
if [ "${SOAK:-}" != full ]; then
    "$build/tests/soak/soak_rebuilds" "$seed" 8
    exit
fi
for piece in 0 1 2 3 4 5 6 7 8 9; do
    "$build/tests/soak/soak_rebuilds" $((seed + piece)) 100
done
