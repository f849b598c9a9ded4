#!/bin/sh
# Importing from a private PostgreSQL server: where it goes on, whom it waits for, how it follows.
exec python3 "$(dirname -- "$0")/postgres_marks_test.py" "$@"
