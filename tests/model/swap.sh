#!/bin/sh
# Swap, catch-up, follow, merges, colours and gc as a model for spin, which goes through every order of their
# steps, with two of the processes left out. As it stands nothing goes wrong; with each planted bug
# something does, so the model can fail.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v spin >/dev/null 2>&1 || {
    echo "skipped: spin is not installed"
    exit 77
}
work=$(mktemp -d "${TMPDIR:-/tmp}/refold-spin.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# Prints how many errors the search found, with what is defined: it ends with the first.
errors() {
    spin "$@" -a "$here/swap.pml" >spin.log 2>&1 || { cat spin.log; exit 1; }
    cc -O2 -w -DSAFETY -DHC4 -DMEMLIM=2000 -o pan pan.c
    ./pan -m100000 -n >pan.log 2>&1
    if grep -q 'max search depth too small\|out of memory' pan.log; then
        cat pan.log
        exit 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

for without in "-DNO_OPERATOR -DNO_MERGE" "-DNO_OPERATOR -DNO_READER" "-DNO_GC -DNO_MERGE" "-DNO_GC -DNO_READER" \
    "-DNO_READER -DNO_MERGE"; do
    # shellcheck disable=SC2086
    found=$(errors $without)
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' pan.log)
    [ "$found" = 0 ] || { cat pan.log; exit 1; }
    [ "$states" -gt 100000 ] || { echo "only $states states: steps cannot be reached"; exit 1; }
    echo "$without: $states states, no error"
done
for bug in $(sed -n 's/^#ifn*def \(BUG_[A-Z]*\)$/\1/p' "$here/swap.pml" | sort -u); do
    found=$(errors "-D$bug" -DNO_OPERATOR)
    [ "$found" = 1 ] || found=$(errors "-D$bug" -DNO_GC)
    [ "$found" = 1 ] || { echo "$bug was not found"; exit 1; }
    echo "$bug: found"
done
