#!/bin/sh
# A day of following, compressed: see soak_day.c. Some hundred commits; with SOAK=full 300,000 (SOAK_COMMITS=N: as many).
# In memory where there is a file system for that, so that commits do not wait for a disk. SOAK_SEED repeats a
# run's events.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
commits=400
[ "${SOAK:-}" != full ] || commits=300000
folder=${TMPDIR:-/tmp}
if [ -z "${TMPDIR:-}" ] && [ -d /dev/shm ] && [ -w /dev/shm ]; then
    folder=/dev/shm
fi
work=$(mktemp -d "$folder/refold-soak.XXXXXX")
trap 'rm -rf "$work"' EXIT
TMPDIR=$work "$build/tests/soak/soak_day" "${SOAK_SEED:-1}" "${SOAK_COMMITS:-$commits}"
