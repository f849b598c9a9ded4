#!/bin/sh
# A C program that adds events by the library, with the public headers alone: acknowledged when log and read
# models have them. Linked with the library of the build.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/refold-append.XXXXXX")
trap 'rm -rf "$work"' EXIT

if meson introspect --buildoptions "$build" 2>/dev/null | python3 -c "
import json, sys
sys.exit(0 if any(o[\"name\"] == \"b_sanitize\" and o[\"value\"] != \"none\" for o in json.load(sys.stdin)) else 1)"; then
    echo "skipped: a program of its own does not link a sanitizer's build"
    exit 77
fi
cc -std=c17 -Wall -Wextra -Werror -I "$here/../../engine/include" "$here/library/append.c" \
    -L "$build" -lrefold -Wl,-rpath,"$build" -o "$work/append"
cat >"$work/small.lua" <<'END'
name "small" version (1) key "stream" columns { "n int" }
on ("Noted", { "n int?" }, function (row, e)
    if e.n and e.n > 100 then error "too large" end
    row.n = e.n or 0
end)
END
timeout 120 "$work/append" "$work/shop.refold" "$build/projections/case_summary.so" "$work/small.lua" >"$work/told"
sed "s|small: .*/definition/|small: |" "$work/told" >"$work/out"
cat >"$work/expected" <<'END'
added 2, stored already 0, position 2
case-1: 1 events at position 2
added 1, stored already 0, position 3
case-1: 2 events at position 3
added 0, stored already 3, position 3
case-1: 2 events at position 3
added 2, stored already 0, position 5
case-2: 3 events at position 5
case-1: 2 events at position 5
refused with exit code 1: events:2: stream case-1: version 9 after 3 (a gap); nothing was added, the store is at position 6
added 0, stored already 0, position 6
refused with exit code 1: event 2, data: something after the JSON value at byte 3; nothing was added
added 0, stored already 0, position 0
refused with exit code 2: event 2 lacks its stream, type or data; nothing was added
added 0, stored already 0, position 0
added 1, stored already 0, position 7
case-1: 3 events at position 7
refused with exit code 4: small is suspended: small: small.lua:3: too large, at position 9 (stream case-1, type Noted); the others are at position 9; the log has the events, up to position 9
added 1, stored already 0, position 9
case-1: 5 events at position 9
added 0, stored already 1, position 9
refused with exit code 4: small is suspended: small: small.lua:3: too large, at position 9 (stream case-1, type Noted); the others are at position 10; the log has the events, up to position 10
added 1, stored already 0, position 10
case-1: 6 events at position 10
added 1, stored already 0, position 11
merged: 0
merged: 1
bulk-7: 1 events at position 1111
refused with exit code 5: case_summary is at position 1111, not at 1112: another run follows it, this process; the log has the events, up to position 1112
added 1, stored already 0, position 1112
added 0, stored already 1, position 1112
END
diff "$work/expected" "$work/out"
"$build/refold" verify "$work/shop.refold" --serial >/dev/null
