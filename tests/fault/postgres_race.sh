#!/bin/sh
# Eight writers that commit in any order, and a server that dies: no event is ever skipped.
exec python3 "$(dirname -- "$0")/postgres_race_test.py" "$@"
