package repo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo/repotest"
)

// storePolicies are row-level security as it would be a second wall between the stores: whoever has not set akin.store sees
// nothing. FORCE holds the owner of the tables to it too, which Akin is.
const storePolicies = `
DO $$ DECLARE t text; BEGIN
    FOREACH t IN ARRAY '{customers,customer_identities,customer_events}'::text[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY store ON %s USING (store_id = (SELECT current_setting(''akin.store'', true)::uuid))', t);
    END LOOP;
END $$`

// BenchmarkPolicies replays Akin's own statements in a store of 100,000 customers among 200,000, without policies and with
// them, in turn, and tells the median of each round's ratio to the time without: "policies" is where the setting was made
// with the connection, which no pool of several stores can do; "pipelined" is where each statement brings it along in the
// same round trip; "transaction" is where a transaction of their own does, as a pool in transaction mode asks for. It
// fails where the answers differ.
func BenchmarkPolicies(b *testing.B) {
	open, guarded := repotest.URL(b), repotest.URL(b)
	for _, at := range []string{open, guarded} {
		conn := connect(b, at)
		seed(b, conn, 200_000, true)
		if at == guarded {
			run(b, conn, storePolicies)
		}
		run(b, conn, "ANALYZE")
	}
	fixed := guarded + "&akin.store=" + largeStore.String()
	ways := []struct {
		name string
		on   *replayer
		run  func(r *replayer, ctx context.Context, s statement) (int, error)
	}{
		{"none", newReplayer(b, open), (*replayer).alone},
		{"policies", newReplayer(b, fixed), (*replayer).alone},
		{"pipelined", newReplayer(b, guarded), (*replayer).pipelined},
		{"transaction", newReplayer(b, guarded), (*replayer).inTransaction},
	}
	for _, operation := range policyOperations(b, open) {
		b.Run(operation.name, func(b *testing.B) {
			rounds := 0
			round := func() (took []float64) {
				took, rows := make([]float64, len(ways)), make([]int, len(ways))
				rounds++
				for i := range ways {
					i = (i + rounds) % len(ways) // each is the first as often
					began := time.Now()
					for _, s := range operation.statements(rounds*len(ways) + i) {
						found, err := ways[i].run(ways[i].on, b.Context(), s)
						if err != nil {
							b.Fatalf("%s: %v", ways[i].name, err)
						}
						rows[i] += found
					}
					took[i] = float64(time.Since(began).Nanoseconds()) / 1000
				}
				if slices.Min(rows) != slices.Max(rows) || rows[0] == 0 {
					b.Fatalf("the ways find %d rows", rows)
				}
				return took
			}
			for range 8 { // PostgreSQL keeps a plan after five
				round()
			}
			none, ratios := []float64{}, make([][]float64, len(ways))
			for b.Loop() {
				took := round()
				none = append(none, took[0])
				for i := range ways {
					ratios[i] = append(ratios[i], took[i]/took[0])
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(none), "none-µs")
			for i, way := range ways[1:] {
				b.ReportMetric(median(ratios[i+1]), way.name)
			}
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// policyOperation is an operation of Akin's, whose nth run may differ in a value.
type policyOperation struct {
	name       string
	statements func(n int) []statement
}

// policyOperations records what Akin does for a few operations.
func policyOperations(b *testing.B, url string) []policyOperation {
	b.Helper()
	var r recorder
	store := open(b, url, &r).Store(largeStore)
	record := func(call func(ctx context.Context) error) []statement {
		b.Helper()
		r.take()
		if err := call(b.Context()); err != nil {
			b.Fatal(err)
		}
		return r.take()
	}
	page, err := store.Customers(b.Context(), nil, nil, model.PageArgs{First: new(50)})
	if err != nil {
		b.Fatal(err)
	}
	ids, _, _ := read(page.Connection, customerID)
	firstPage := model.IdentityPage{Page: model.Page{Size: model.DefaultPage}}
	same := func(name string, call func(ctx context.Context) error) policyOperation {
		statements := record(call)
		return policyOperation{name, func(int) []statement { return statements }}
	}
	list := func(name string, filter *model.CustomerFilter) policyOperation {
		return same(name, func(ctx context.Context) error {
			_, err := store.Customers(ctx, filter, nil, model.PageArgs{First: new(50)})
			return err
		})
	}
	change := record(func(ctx context.Context) error {
		_, err := store.UpsertCustomerIdentity(ctx, *input("cust_2", "changed@example.com"))
		return err
	})
	return []policyOperation{
		list("page of 50 customers", nil),
		same("identities of 50 customers", func(ctx context.Context) error {
			_, err := store.IdentityPages(ctx, ids, firstPage)
			return err
		}),
		same("customer by email", func(ctx context.Context) error {
			_, err := store.Customer(ctx, model.CustomerKey{Email: page.Nodes[7].Email})
			return err
		}),
		{"upsert: update", func(n int) []statement {
			args := slices.Clone(change[0].args)
			args[5] = fmt.Sprint("Jane ", n) // the first name
			return []statement{{change[0].sql, args, change[0].anew}}
		}},
		list("customers by a tag", &model.CustomerFilter{Tags: []string{"rare"}}),
		list("search for a few", &model.CustomerFilter{Search: new("deadb")}),
	}
}

// replayer runs recorded statements on a connection, planned as Akin has them planned.
type replayer struct {
	prepared, anew *pgx.Conn
}

func newReplayer(b *testing.B, url string) *replayer {
	b.Helper()
	return &replayer{connect(b, url), connect(b, url+"&default_query_exec_mode=cache_describe")}
}

func (r *replayer) conn(s statement) *pgx.Conn {
	if s.anew {
		return r.anew
	}
	return r.prepared
}

// count reads the rows as Akin does, and counts them.
func count(rows pgx.Rows, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func (r *replayer) alone(ctx context.Context, s statement) (int, error) {
	return count(r.conn(s).Query(ctx, s.sql, s.args...))
}

const setStore = "SELECT set_config('akin.store', $1, true)"

// pipelined sends both statements before one Sync, which makes them one transaction.
func (r *replayer) pipelined(ctx context.Context, s statement) (int, error) {
	batch := &pgx.Batch{}
	batch.Queue(setStore, largeStore.String())
	batch.Queue(s.sql, s.args...)
	results := r.conn(s).SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		return 0, errors.Join(err, results.Close())
	}
	n, err := count(results.Query())
	return n, errors.Join(err, results.Close())
}

func (r *replayer) inTransaction(ctx context.Context, s statement) (n int, err error) {
	err = pgx.BeginFunc(ctx, r.conn(s), func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setStore, largeStore.String()); err != nil {
			return err
		}
		n, err = count(tx.Query(ctx, s.sql, s.args...))
		return err
	})
	return n, err
}
