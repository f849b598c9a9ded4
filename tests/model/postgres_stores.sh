#!/bin/sh
# Stores of others, restored into a private PostgreSQL server and imported from there, against their oracles.
exec python3 "$(dirname -- "$0")/postgres_stores.py" "$@"
