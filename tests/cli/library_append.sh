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
"$work/append" "$work/shop.refold" "$build/projections/case_summary.so" >"$work/out"
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
END
diff "$work/expected" "$work/out"
"$build/refold" verify "$work/shop.refold" --serial >/dev/null
