#!/bin/sh
exec /usr/bin/python3 "${0%.sh}_test.py" "$@"
