#!/bin/sh
# Builds every tests/fuzz/fuzz_*.c with the whole engine, libFuzzer and the address and
# undefined-behaviour sanitizers into a directory:
#     sh tests/fuzz/build.sh OUT        and then       OUT/fuzz_jsonl -max_total_time=60 CORPUS
# Needs clang. Only what changed is built again.
set -eu

out=${1:?usage: build.sh OUT}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all"
# vptr checks need type information that the distribution's simdjson does not export.
flags="-g -O1 -fno-omit-frame-pointer $sanitize -fno-sanitize=vptr -D_GNU_SOURCE
    -I$root/engine -I$root/engine/include
    -I$root/engine/projection $(pkg-config --cflags luajit)"
libraries="-lsimdjson -lxxhash -lzstd -lz -llmdb -lpthread -ldl -lstdc++ -lm $(pkg-config --libs luajit)"
skipped='^$'
skip() {
    skipped="$skipped\\|/$1\.c\$"
}
for feature in sqlite3:SQLITE libpq:POSTGRESQL libcrypto:OPENSSL; do # as meson.build has them
    if pkg-config --exists "${feature%:*}"; then
        flags="$flags -DRF_HAVE_${feature#*:} $(pkg-config --cflags "${feature%:*}")"
        libraries="$libraries $(pkg-config --libs "${feature%:*}")"
        case $feature in
        sqlite3:*) skip source/sqlite_absent ;;
        libcrypto:*) skip source/cipher_absent ;;
        libpq:*) skip source/postgres_absent ;;
        esac
    else
        case $feature in
        libpq:*) skip 'database/postgres\(_copy\)\?' && skip 'source/postgres_[^a].*' ;;
        sqlite3:*) skip 'database/sqlite' && skip 'source/sqlite_\(feed\|rows\)' ;;
        libcrypto:*) skip source/cipher ;;
        esac
    fi
done

mkdir -p "$out/objects"
# As engine/projection/meson.build makes it, which has the order of the chunks.
chunks=$(sed -n '/lua_embed.py/,/]/p' "$root/engine/projection/meson.build" |
    grep -o 'lua_[a-z]*\.lua' | sed "s|^|$root/engine/projection/|")
# shellcheck disable=SC2086  # one word a file
python3 "$root/engine/projection/lua_embed.py" "$out/lua_chunks.c" $chunks
objects=
for source in $(find "$root/engine" -name '*.c' -not -path "$root/engine/cli/*" | grep -v "$skipped" | sort) \
    $(find "$root/engine" -name '*.cpp' | sort) "$out/lua_chunks.c"; do
    object=$out/objects/$(printf '%s' "${source#"$root"/engine/}" | tr / _).o
    objects="$objects $object"
    if [ -e "$object" ] && [ -z "$(find "$root/engine" -newer "$object" \( -name '*.h' -o -name '*.lua' -o -path "$source" \))" ]; then
        continue
    fi
    case $source in
    # shellcheck disable=SC2086  # the flags are words
    *.cpp) clang++ $flags -std=c++17 -fno-exceptions -fsanitize=fuzzer-no-link -c -o "$object" "$source" ;;
    # shellcheck disable=SC2086
    *) clang $flags -std=c17 -fsanitize=fuzzer-no-link -c -o "$object" "$source" ;;
    esac
done
rm -f "$out/engine.a"
# shellcheck disable=SC2086
ar rcs "$out/engine.a" $objects
for target in "$root"/tests/fuzz/fuzz_*.c; do
    name=$(basename "$target" .c)
    # shellcheck disable=SC2086
    clang $flags -std=c17 -fsanitize=fuzzer -o "$out/$name" "$target" "$out/engine.a" \
        $libraries
    echo "$out/$name"
done
