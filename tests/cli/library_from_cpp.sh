#!/bin/sh
# librefold as others use it: installed, called from C++ (library.sh does it from C), and
# offering nothing of its inside.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
if [ ! -f "$build/librefold.so" ] ||
    meson introspect --buildoptions "$build" | grep -q '"name": "b_sanitize", "value": "[^n]'; then
    echo "skipped: a library with a sanitizer inside cannot be loaded by a program without"
    exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/refold-library.XXXXXX")
trap 'rm -rf "$work"' EXIT
DESTDIR=$work/installed meson install -C "$build" --no-rebuild --quiet >/dev/null

pc=$(find "$work/installed" -name refold.pc)
[ -n "$pc" ] || { echo "no refold.pc was installed" >&2; exit 1; }
export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$work/installed"
flags=$(pkg-config --cflags --libs refold)
LD_LIBRARY_PATH=$(dirname "$(dirname "$pc")")
export LD_LIBRARY_PATH

# shellcheck disable=SC2086 # the flags are words
c++ -std=c++17 -Wall -Wextra -Werror -o "$work/program" "$here/library/program.cc" $flags
found=$("$work/program" "$work/redis.refold" "$root/fixtures/git-redis.events.jsonl.zst" \
    "$build/projections/file_tree.so")
[ "$found" = "25235 events, 1623 rows" ] || { echo "$found" >&2; exit 1; }

# Nothing of the inside is offered.
if nm -D --defined-only "$LD_LIBRARY_PATH/librefold.so" | grep -E ' [TDBR] rf_(kv|buf|log|pool|segment)_'; then
    echo "symbols of the inside are exported" >&2
    exit 1
fi
