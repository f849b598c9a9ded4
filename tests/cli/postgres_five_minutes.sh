#!/bin/sh
# Runs the lines of the README's "Your own table in five minutes" against a private PostgreSQL server,
# with texts that are hard to carry, a transaction that commits late, and the way back.
set -eu
build=$(CDPATH='' cd -- "$1" && pwd)
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

work=$(python3 "$root/tests/postgres.py" start) || exit $?
writer=
finish() {
    [ -z "$writer" ] || kill "$writer" 2>/dev/null || true
    python3 "$root/tests/postgres.py" stop "$work" || true
}
trap finish EXIT
trap 'exit 1' INT TERM
mkdir "$work/shop"
cd "$work"

DATABASE_URL=$(python3 "$root/tests/postgres.py" url "$work")
export DATABASE_URL
export PATH="$build:$PATH" PGOPTIONS="-c client_min_messages=warning"
export TZ=Asia/Kathmandu # an offset of 5:45, to be seen through
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }
fail() {
    echo "$1" >&2
    exit 1
}
# The fenced block after the README's comment that names it.
readme_block() {
    awk -v mark="runs$2: $1 -->" '
        index($0, mark) { found = 1; next }
        found == 1 && /^```/ { found = 2; next }
        found == 2 && /^```/ { exit }
        found == 2' "$root/README.md"
}
readme_run() {
    readme_block "$1" "" >"$work/$1.sh"
    [ -s "$work/$1.sh" ] || fail "the README has no block '$1'"
    (cd "$work/shop" && sh -e "$work/$1.sh")
}
expect() {
    [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"
}

awk '/^CREATE TABLE events/ { on = 1 } on; on && /;$/ { exit }' "$root/README.md" | sql -f -
ln -s "$build" "$work/shop/build"

sql <<'SQL'
INSERT INTO events (stream, version, type, created_at, data)
SELECT 'order-' || n, 1, 'OrderPlaced', timestamptz '2024-07-10 12:00:00+00' + n * interval '1 second',
       jsonb_build_object('customer', CASE n % 5
           WHEN 0 THEN E'say "hi"\\ there' WHEN 1 THEN E'two\nlines\tand a tab'
           WHEN 2 THEN 'Юлия, 東京' WHEN 3 THEN '' ELSE E'\x01\x02\x1f' END)
FROM generate_series(1, 500) n;
INSERT INTO events (stream, version, type, created_at, data)
SELECT 'order-' || n, 2, 'ItemAdded', timestamptz '2024-07-11 12:00:00.25+00', '{"qty": 2, "price": 150}'
FROM generate_series(1, 500) n;
SQL
readme_run import
events() { refold info shop/shop.refold --json | sed 's/.*"events":\([0-9]*\),"streams.*/\1/'; }
expect "events imported" "$(events)" 1000

# What came in is what the table holds: each event's data, compared by the server.
refold events shop/shop.refold >"$work/events.jsonl"
sql -c "CREATE TABLE seen (line jsonb)"
sql -c "COPY seen FROM STDIN WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')" <"$work/events.jsonl"
expect "events that differ" "$(sql -c "
    SELECT count(*) FROM events e FULL JOIN seen s ON (s.line->>'source_position')::bigint = e.id
    WHERE s.line IS NULL OR e.id IS NULL OR s.line->'data' <> e.data OR s.line->>'stream' <> e.stream
       OR (s.line->>'time')::timestamptz <> e.created_at")" 0

# A transaction that commits after a later id was fetched.
mkfifo "$work/late"
sql <"$work/late" >/dev/null &
writer=$!
exec 3>"$work/late"
echo "BEGIN; INSERT INTO events (stream, version, type, created_at, data)
      VALUES ('order-1', 3, 'OrderPaid', now(), '{}');" >&3
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(sql -c "SELECT last_value FROM events_id_seq")" -lt 1001 ] || break
    sleep 0.2
done
sql -c "INSERT INTO events (stream, version, type, created_at, data)
        VALUES ('order-2', 3, 'OrderPaid', now(), '{}')"
readme_run import >"$work/fetch.out" 2>&1 &
importer=$!
sleep 1
kill -0 "$importer" 2>/dev/null || fail "the import did not wait: $(cat "$work/fetch.out")"
expect "events while one is not committed" "$(events)" 1000
echo "COMMIT;" >&3
exec 3>&-
wait "$writer"
writer=
wait "$importer" || fail "$(cat "$work/fetch.out")"
expect "events after the late commit" "$(events)" 1002

# The text format doubles backslashes: refused, and named.
sql -c "COPY (SELECT jsonb_build_object('stream', 'x', 'type', 'T', 'data', data) FROM events ORDER BY id)
        TO STDOUT" >"$work/text.jsonl"
if refold import shop/shop.refold "$work/text.jsonl" --atomic 2>"$work/err"; then
    fail "doubled backslashes were accepted"
fi
grep -qi backslash "$work/err" || fail "the message does not name backslashes: $(cat "$work/err")"

readme_run rebuild
readme_run rebuild # replaces the rows
readme_block query " as SQL" | sql -f - >"$work/query.out"
expect "orders by status" "$(cat "$work/query.out")" "ItemAdded|498|149400
OrderPaid|2|600"
expect "rows, sum, orders without a text" "$(sql -F ' ' -c "
    SELECT count(*), sum(total), count(*) FILTER (WHERE customer = ''),
           count(*) FILTER (WHERE customer IS NULL) FROM order_summary")" "500 150000 100 0"
expect "customers that differ" "$(sql -c "
    SELECT count(*) FROM order_summary o JOIN events e ON e.stream = o.key AND e.version = 1
    WHERE o.customer IS DISTINCT FROM e.data->>'customer' OR o.placed_at <> e.created_at")" 0
echo "the README's lines work"
