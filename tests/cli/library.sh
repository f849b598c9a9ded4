#!/bin/sh
# librefold as a user of it has it: installed, found by pkg-config, linked by a C program that
# imports, rebuilds, reads, rolls back and swaps with the public headers alone.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/refold-library.XXXXXX")
trap 'rm -rf "$work"' EXIT

if meson introspect --buildoptions "$build" 2>/dev/null | python3 -c "
import json, sys
sys.exit(0 if any(o[\"name\"] == \"b_sanitize\" and o[\"value\"] != \"none\" for o in json.load(sys.stdin)) else 1)"; then
    echo "skipped: a sanitizer's build is not for installing"
    exit 77
fi
DESTDIR=$work meson install -C "$build" --no-rebuild >"$work/install.log"
pc=$(find "$work" -name refold.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR=
flags() {
    pkg-config --define-variable=prefix="$work$prefix" "$@" refold
}
cc -std=c17 -Wall -Wextra -Werror $(flags --cflags) "$here/library/shop.c" \
    $(flags --libs) -o "$work/shop"
LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")")
export LD_LIBRARY_PATH
projections=$(dirname "$(find "$work$prefix" -name case_summary.so)")
"$work/shop" "$work/shop.refold" "$projections/case_summary.so" >"$work/out"
cat >"$work/expected" <<'END'
imported 3 events
order-1: 2 events, OrderPlaced to OrderPaid
order-2: 1 events, OrderPlaced to OrderPlaced
rolled back to generation 1
swapped to generation 2
no row: order-3
END
diff "$work/expected" "$work/out"
"$work$prefix/bin/refold" verify "$work/shop.refold" --serial >/dev/null
