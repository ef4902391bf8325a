package repo_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The instants of a seeded table: customer n was created n*seedStep milliseconds after seedStart.
const (
	seedStart = 1_700_000_000_000 // ms since 1970
	seedStep  = 977
)

// largeStore has half of the seeded customers: all of those with an even number.
var largeStore = uuid.MustParse("00000000-0000-7000-8000-000000000000")

// seed writes n customers and 1.5 n identities over 10 stores. In the large store half of the identities are on
// "woocommerce", 10 on "rare" and the others on "shopify"; in the other stores "rare" is as common as the others. A third
// of the customers have an external ID, a quarter a phone number, two thirds a status and tags, 20 of them rare ones. To
// rebuild indexes is faster, and makes PostgreSQL forget the plans that it has kept.
func seed(t testing.TB, conn *pgx.Conn, n int, rebuild bool) {
	t.Helper()
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	var remake []string
	if rebuild {
		remake = rebuilt(t, tx)
	}
	for _, statement := range remake {
		drop, _, _ := strings.Cut(statement, "; ")
		exec(drop)
	}
	exec(`CREATE FUNCTION pg_temp.v7(milli bigint, kind int, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
		$$ SELECT (lpad(to_hex(milli), 12, '0') || '7000' || to_hex(8 + kind) || lpad(to_hex(n), 15, '0'))::uuid $$`)
	exec(`CREATE FUNCTION pg_temp.store(c bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
		$$ SELECT ('00000000-0000-7000-8000-' || lpad((CASE WHEN c % 2 = 0 THEN 0 ELSE 1 + c / 2 % 9 END)::text, 12, '0'))::uuid $$`)
	exec(`INSERT INTO stores SELECT pg_temp.store(c), 'store ' || c, now() FROM (SELECT 2 UNION ALL SELECT generate_series(1, 17, 2)) AS each (c)
		ON CONFLICT DO NOTHING`)
	exec(`INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at,
			external_id, phone_number, account_status, tags)
		SELECT pg_temp.store(n), pg_temp.v7(milli, 0, n), md5(n::text) || '@Example.com', md5(n::text) || '@example.com', 'First',
			CASE WHEN n % 10 < 8 THEN 'Last ' || hashint8(n) % 5000 END, to_timestamp(milli / 1000.0),
			to_timestamp(milli / 1000.0) + abs(hashint8(n * 7) % 100000) * interval '1 second',
			CASE WHEN n % 3 = 0 THEN 'ERP-' || n END, CASE WHEN n % 4 = 0 THEN '+1415' || 1000000 + n END,
			CASE WHEN n % ($1 / 20) = 0 THEN 'DECLINED' WHEN hashint8(n * 5) % 5 = 0 THEN 'DISABLED' WHEN n % 3 < 2 THEN 'ENABLED' END,
			CASE WHEN n % ($1 / 20) = 0 THEN '{newsletter,rare}' WHEN n % 3 < 2 THEN ARRAY['newsletter', 'tag ' || abs(hashint8(n * 3) % 50)] ELSE '{}' END
		FROM (SELECT n, $2::bigint + n * $3::bigint AS milli FROM generate_series(1, $1::bigint) AS n) AS each`, n, seedStart, seedStep)
	exec(`INSERT INTO customer_identities
		SELECT pg_temp.store(c), pg_temp.v7(milli + n % 2, 1, n), pg_temp.v7(milli, 0, c),
			CASE WHEN c % 2 = 1 THEN (ARRAY['rare', 'shopify', 'woocommerce'])[1 + n % 3]
				WHEN n > $1 THEN 'woocommerce' WHEN c % ($1 / 10) = 0 THEN 'rare' ELSE 'shopify' END,
			'cust_' || n, md5(c::text) || '@Example.com', md5(c::text) || '@example.com', 'First', 'Last', to_timestamp(milli / 1000.0),
			to_timestamp(milli / 1000.0) + abs(hashint8(n * 7) % 100000) * interval '1 second'
		FROM (SELECT n, c, $2::bigint + c * $3::bigint AS milli
			FROM generate_series(1, $1::bigint) AS c, LATERAL (SELECT c UNION ALL SELECT $1 + c / 2 WHERE c % 2 = 0) AS each (n)) AS each`,
		n, seedStart, seedStep)
	for _, statement := range remake {
		_, create, _ := strings.Cut(statement, "; ")
		exec(create)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// rebuilt returns a statement that drops, and after "; " one that makes again, whatever on the seeded tables is cheaper
// to make at the end.
func rebuilt(t testing.TB, tx pgx.Tx) []string {
	t.Helper()
	statements, err := pgx.CollectRows(first(tx.Query(context.Background(), `
		SELECT format('DROP INDEX %s; %s', indexname, indexdef)
		FROM pg_indexes WHERE tablename LIKE 'customer%' AND indexname LIKE '%_idx'
		UNION ALL
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %s; ALTER TABLE %1$s ADD CONSTRAINT %2$s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE conrelid IN ('customers'::regclass, 'customer_identities'::regclass) AND contype = 'f'`)), pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return statements
}
