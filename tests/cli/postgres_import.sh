#!/bin/sh
# Importing from a private PostgreSQL server: presets, queries, marks, waiting, following, errors, secrets.
exec python3 "$(dirname -- "$0")/postgres_import_test.py" "$@"
