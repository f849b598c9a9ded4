#!/bin/sh
# All tests: lint, unit, stress, model, cli, fault, soak, guard, then the sanitizers' builds and a short
# fuzz.
#
#   sh tests/run.sh              (README.md in this folder tells what each kind is)
#
# Installs what is missing, builds in build/, build-asan/, build-tsan/ and build-fuzz/, and ends
# with the line "N passed, N failed". REFOLD_SHARED names a directory of shared data; by default it
# is ../shared beside the tree, where there is one. JOBS tests run at a time (one a processor).
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$root/fixtures/setup.sh"

# One test, in a process of its own: run.sh --job NUMBER, called by run_jobs below.
run_job() {
    line=$(sed -n "$1p" "$WORK/jobs")
    name=${line%%	*}
    command=${line#*	}
    log=$WORK/log.$1
    report=$WORK/report.$1
    rm -f "$report".* # of the same number among the jobs before
    # A sanitizer that finds something inside a Criterion test does not change its exit code:
    # the report file is the finding.
    export ASAN_OPTIONS="log_path=$report:detect_leaks=1:abort_on_error=0"
    export LSAN_OPTIONS="log_path=$report"
    export UBSAN_OPTIONS="log_path=$report:print_stacktrace=1"
    export TSAN_OPTIONS="log_path=$report:second_deadlock_stack=1:suppressions=$root/tests/stress/thread.supp"
    code=0
    begin=$(date +%s)
    (cd "$WORK" && timeout 900 sh -c "$command") >"$log" 2>&1 </dev/null || code=$?
    seconds=$(($(date +%s) - begin))
    result=passed
    if [ "$code" -eq 77 ]; then
        result=skipped
    elif [ "$code" -ne 0 ]; then
        result=failed
    fi
    for found in "$report".*; do
        if [ -e "$found" ]; then
            result=failed
            head -n 40 "$found" >>"$log"
        fi
    done
    # One write, so that tests that end together do not mix their lines.
    {
        printf '%-7s %s (%s s)\n' "$result" "$name" "$seconds"
        [ "$result" != failed ] || tail -n 60 "$log" | sed 's/^/    /'
        [ "$result" = failed ] || sed -n 's/^skipped: /        skipped: /p' "$log"
    } >"$WORK/text.$1"
    cat "$WORK/text.$1"
    echo "$result" >>"$WORK/results"
}

if [ "${1:-}" = --job ]; then
    run_job "$2"
    exit 0
fi

jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
shared=${REFOLD_SHARED:-$root/../shared}
[ -d "$shared/data" ] || shared=
WORK=$(mktemp -d "${TMPDIR:-/tmp}/refold-tests.XXXXXX")
export WORK
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$WORK/jobs"
: >"$WORK/results"

# Adds a test to those that the next run_jobs runs.
add() {
    printf '%s\t%s\n' "$1" "$2" >>"$WORK/jobs"
}

# Adds the scripts of tests/KIND for a build directory.
add_scripts() {
    for script in "$root/tests/$1"/*.sh; do
        [ -e "$script" ] || continue
        add "$1/$(basename "$script" .sh)$3" "sh '$script' '$2' '$shared'"
    done
}

# Adds the programs that a build directory's meson knows under a suite.
add_programs() {
    meson introspect --tests "$2" | python3 -c '
import json, sys
for test in json.load(sys.stdin):
    if any(suite.split(":")[-1] == sys.argv[1] for suite in test["suite"]):
        command = " ".join("\x27%s\x27" % word for word in test["cmd"])
        print("%s/%s%s\t%s" % (sys.argv[1], test["name"], sys.argv[2], command))
' "$1" "$3" >>"$WORK/jobs"
}

run_jobs() {
    count=$(wc -l <"$WORK/jobs")
    [ "$count" -gt 0 ] || return 0
    seq 1 "$count" | xargs -P "$jobs" -n 1 sh "$root/tests/run.sh" --job
    : >"$WORK/jobs"
}

build() {
    echo "building $1 ..."
    build_in "$root/$1" "$2"
}

install_packages "command valgrind valgrind"
# What a few tests use; they are skipped where it cannot be had.
(install_packages "file /usr/lib/postgresql/15/bin/initdb postgresql-15" \
    "file /usr/lib/python3/dist-packages/lmdb python3-lmdb" \
    "file /usr/lib/python3/dist-packages/msgpack python3-msgpack" "command jq jq" "command spin spin") ||
    echo "PostgreSQL, LMDB for Python, jq or spin cannot be installed: what needs them is skipped"
[ -n "$shared" ] || echo "no shared data: tests on other logs than the fixtures are skipped"

build build "--buildtype=release -Dwerror=true"
add_scripts lint "$root/build" ""
add_programs unit "$root/build" ""
add_programs stress "$root/build" ""
add_scripts stress "$root/build" ""
add_scripts model "$root/build" ""
add_scripts cli "$root/build" ""
add_scripts fault "$root/build" ""
add_scripts soak "$root/build" ""
add_scripts guard "$root/build" ""
run_jobs

build build-asan "--buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false
    -Dc_args=-fno-sanitize-recover=all -Dcpp_args=-fno-sanitize=vptr"
add_programs unit "$root/build-asan" " (address, undefined)"
add_scripts cli "$root/build-asan" " (address, undefined)"
run_jobs

build build-tsan "--buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false"
add_programs stress "$root/build-tsan" " (thread)"
add_scripts stress "$root/build-tsan" " (thread)"
run_jobs

if command -v clang >/dev/null 2>&1; then
    echo "building build-fuzz ..."
    if ! sh "$root/tests/fuzz/build.sh" "$root/build-fuzz" >"$WORK/fuzz" 2>"$WORK/fuzz.log"; then
        echo "failed  the build of the fuzz targets"
        tail -n 20 "$WORK/fuzz.log" | sed 's/^/    /'
        echo failed >>"$WORK/results"
    fi
    while read -r target; do
        mkdir -p "$target.corpus"
        seeds=$root/tests/fuzz/seeds/$(basename "$target")
        [ -d "$seeds" ] && cp "$seeds"/* "$target.corpus"
        add "fuzz/$(basename "$target")" \
            "'$target' -max_total_time=${FUZZ_SECONDS:-20} -artifact_prefix='$target.' '$target.corpus'"
    done <"$WORK/fuzz"
    run_jobs
else
    echo "no clang: the fuzz targets are skipped"
fi

passed=$(grep -c passed "$WORK/results" || true)
failed=$(grep -c failed "$WORK/results" || true)
skipped=$(grep -c skipped "$WORK/results" || true)
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
