"""Runs SQL in SQLite: as sql.mjs does in DuckDB, a statement a line as a JSON string.

    python3 sql.py DATABASE

A line {"insert": SQL, "csv": FILE} adds the file's rows, in one transaction if one is open. A
process of its own, so that its memory is not taken for that of what is measured beside it.
"""

import json
import sqlite3
import sys
import time


def answer(connection, order):
    start = time.monotonic()
    if isinstance(order, str):
        rows = connection.execute(order).fetchall()
    else:
        with open(order['csv'], encoding='utf-8') as file:
            lines = (line.rstrip('\n').split(',') for line in file)
            values = ([value or None for value in line] for line in lines)
            connection.executemany(order['insert'], values)
        rows = []
    return {'seconds': time.monotonic() - start, 'rows': rows}


def main():
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    for line in sys.stdin:
        try:
            result = answer(connection, json.loads(line))
        except sqlite3.Error as error:
            result = {'error': str(error)}
        print(json.dumps(result), flush=True)


main()
