#!/bin/sh
# Measures `search` and what it costs a create: on a database of its own at a PostgreSQL that nobody else uses.
#
#	PGHOST=/run/postgresql PGUSER=postgres bench/search.sh [customers, 1000000] [seconds a run, 10]
#
# It makes the databases akin_search and akin_plain, the second without the columns and indexes of `search`, and drops
# them. Then it prints the median of 11 searches a fragment, the server's planning and execution together, and the
# creates a second of 8 clients in turns. It needs psql and pgbench of PostgreSQL 15 or later.
set -eu
customers=${1:-1000000}
seconds=${2:-10}
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -r "$tmp"; for db in akin_search akin_plain; do psql -qXd postgres -c "DROP DATABASE IF EXISTS $db"; done' EXIT
sql() { db=$1; shift; psql -qXAt -v ON_ERROR_STOP=1 -d "$db" "$@"; }

sql postgres -c "CREATE DATABASE akin_search"
grep -hv '^-- +goose' "$here"/../repo/migrations/0000[12]*.sql >"$tmp/schema.sql"
sql akin_search -f "$tmp/schema.sql"
sql akin_search -v n="$customers" -f "$here/search-seed.sql"
sql postgres -c "CREATE DATABASE akin_plain TEMPLATE akin_search"
for table in customers customer_identities; do
	sql akin_plain -c "ALTER TABLE $table DROP search_key, DROP search_text"
done
sql akin_plain -c "VACUUM (FULL, ANALYZE)"

# The statement that `customers(first: 50, filter: {search: …})` runs, as a test's tracer shows it, with less to select.
cat >"$tmp/search.sql" <<'SQL'
PREPARE search (uuid, text) AS
SELECT c.id FROM customers c WHERE c.store_id = (SELECT $1) AND c.id IN (
    (SELECT c.id FROM customers c WHERE c.store_id = (SELECT $1)
        AND c.search_key LIKE '%' || search_key(search_fold($2)) || '%' AND strpos(c.search_text, search_fold($2)) > 0
        ORDER BY c.id DESC LIMIT 51)
    UNION
    (SELECT c.id FROM customers c WHERE c.store_id = (SELECT $1) AND c.id IN (
        SELECT i.customer_id FROM customer_identities i WHERE i.store_id = (SELECT $1)
        AND i.search_key LIKE '%' || search_key(search_fold($2)) || '%' AND strpos(i.search_text, search_fold($2)) > 0)
        ORDER BY c.id DESC LIMIT 51))
ORDER BY c.id DESC LIMIT 51;
SET plan_cache_mode = force_custom_plan;
SQL
echo "fragment	median ms"
for fragment in gmail smith jane. Иван taylorf corp123 ERP-2809 700001 19055 uterj 7e7d1 +1234 王小 zzzzzz; do
	for _ in 1 2 3 4 5 6 7 8 9 10 11; do
		echo "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY) EXECUTE search ('00000000-0000-7000-8000-000000000000', '$fragment');"
	done >"$tmp/runs.sql"
	sql akin_search -f "$tmp/search.sql" -f "$tmp/runs.sql" |
		awk '/^Planning Time/ {p = $3} /^Execution Time/ {print p + $3}' | sort -n | sed -n 6p | sed "s/^/$fragment	/"
done

echo "creates a second	plain	with search"
for _ in 1 2 3 4 5; do
	for db in akin_plain akin_search; do
		pgbench -n -M prepared -c 8 -j 2 -T "$seconds" -f "$here/search-create.sql" "$db" 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p'
	done | paste - - | sed 's/^/	/'
done
