package repo_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// pooled returns what a counter of the pool counts.
func pooled(t *testing.T, db *repo.DB, name string) (n float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	db.Register(registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("no counter", name)
	return 0
}

// lookUpTogether makes a lookup so often for each of 16 clients.
func lookUpTogether(t *testing.T, times int, lookUp func() error) {
	t.Helper()
	together(t, 16, func(int) error {
		for range times {
			if err := lookUp(); err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitCompany makes lookups until some have shared a connection.
func awaitCompany(t *testing.T, db *repo.DB, lookUp func() error) {
	t.Helper()
	const times, rounds, acquires = 20, 100, "akin_pool_acquires_total"
	before := pooled(t, db, acquires)
	for round := range rounds {
		lookUpTogether(t, times, lookUp)
		if made := 16 * times * (round + 1); t.Failed() || pooled(t, db, acquires)-before < float64(made) {
			return
		}
	}
	t.Error("each lookup had a connection of its own")
}

// TestLookupsAreSentTogether has many requests of two stores look for customers and identities, which have the same keys in
// both, and for some that nobody has. Each gets what it asked for.
func TestLookupsAreSentTogether(t *testing.T) {
	t.Parallel()
	const customers = 20
	db := open(t, repotest.URL(t)+"&pool_max_conns=4", nil)
	stores := make([]*repo.Store, 2)
	known := make([][]*model.CustomerIdentity, len(stores))
	for i, name := range []string{"one", "other"} {
		stores[i], _ = repotest.NewStore(t, db, name)
		for n := range customers {
			known[i] = append(known[i], upsertOne(t, stores[i], input(fmt.Sprint(n), fmt.Sprintf("user%d@doe.com", n))).CustomerIdentity)
		}
	}
	awaitCompany(t, db, func() error {
		s, n := rand.IntN(len(stores)), rand.IntN(customers)
		store, want := stores[s], known[s][n]
		switch rand.IntN(4) {
		case 0:
			got, err := store.Customer(t.Context(), model.CustomerKey{Email: want.Email})
			if err != nil || got == nil || got.ID != want.CustomerID {
				return fmt.Errorf("by email: %+v, %w; want %s", got, err, want.CustomerID)
			}
		case 1:
			key := want.Key()
			got, err := store.CustomerIdentity(t.Context(), model.CustomerIdentityKey{PlatformIdentity: &key})
			if err != nil || !reflect.DeepEqual(got, want) {
				return fmt.Errorf("by platform: %+v, %w; want %+v", got, err, want)
			}
		case 2:
			other := known[1-s][n]
			got, err := store.CustomerIdentity(t.Context(), model.CustomerIdentityKey{ID: &other.ID})
			if err != nil || got != nil {
				return fmt.Errorf("the other store's: %+v, %w", got, err)
			}
		default:
			got, err := store.Customer(t.Context(), model.CustomerKey{ExternalID: new("nobody")})
			if err != nil || got != nil {
				return fmt.Errorf("nobody: %+v, %w", got, err)
			}
		}
		return nil
	})
}

// TestALookupFailsAlone has lookups of one customer fail when PostgreSQL has begun with them. That fails no other that is sent with
// them, and costs no connection. The tracer sees the end of each that it sees begin.
func TestALookupFailsAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			seen := &balance{}
			db := open(t, url+"&pool_max_conns=4&default_query_exec_mode="+mode, seen)
			store, _ := repotest.NewStore(t, db, "store")
			well := upsertOne(t, store, input("1", "well@doe.com")).CustomerIdentity
			upsertOne(t, store, input("2", "badly@doe.com"))
			run(t, connect(t, url), `
CREATE FUNCTION fail(email text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN IF email = 'badly@doe.com' THEN RAISE EXCEPTION 'so it does'; END IF; RETURN true; END $$;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY failing ON customers USING (fail(email));`)
			lookUp := func() error {
				if rand.IntN(8) == 0 {
					if _, err := store.Customer(t.Context(), model.CustomerKey{Email: new("badly@doe.com")}); err == nil || code(err) != "" {
						return fmt.Errorf("the error is %w", err)
					}
					return nil
				}
				got, err := store.Customer(t.Context(), model.CustomerKey{Email: well.Email})
				if err != nil || got == nil || got.ID != well.CustomerID {
					return fmt.Errorf("%+v, %w", got, err)
				}
				return nil
			}
			lookUpTogether(t, 10, lookUp)
			const connects = "akin_pool_connects_total"
			before := pooled(t, db, connects)
			awaitCompany(t, db, lookUp)
			lookUpTogether(t, 20, lookUp)
			if n := pooled(t, db, connects) - before; n > 0 {
				t.Errorf("%v connections were lost", n)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if seen.begun.Load() != seen.ended.Load() {
				t.Errorf("%d statements began, %d ended", seen.begun.Load(), seen.ended.Load())
			}
		})
	}
}

// TestAPanicIsItsRequestsOwn has the rows of some lookups panic where they are read, among those of others.
func TestAPanicIsItsRequestsOwn(t *testing.T) {
	t.Parallel()
	db := open(t, repotest.URL(t)+"&pool_max_conns=4", nil)
	awaitCompany(t, db, func() (err error) {
		n, panics, got := rand.Int32(), rand.IntN(8) == 0, int32(0)
		defer func() {
			if value := recover(); value != nil && !panics {
				err = fmt.Errorf("another's panic: %v", value)
			}
		}()
		err = db.ReadKeyed(t.Context(), "SELECT $1::int", []any{n}, func(rows pgx.Rows) error {
			for rows.Next() {
				if panics {
					panic(n)
				}
				if err := rows.Scan(&got); err != nil {
					return err
				}
			}
			return rows.Err()
		})
		if panics || err != nil || got != n {
			return fmt.Errorf("%d, %w; want %d, or a panic: %t", got, err, n, panics)
		}
		return nil
	})
}

// TestLookupsGiveWayToAMigration has one lock both tables of lookups, while some of a pipeline have read one of them and wait for the
// other.
func TestLookupsGiveWayToAMigration(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db := open(t, url+"&pool_max_conns=4&pool_max_wait=5s", nil)
	store, _ := repotest.NewStore(t, db, "store")
	jane := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	locker := connect(t, url)
	var done atomic.Bool
	together(t, 17, func(client int) error {
		if client == 0 {
			defer done.Store(true)
			for range 30 {
				if _, err := locker.Exec(t.Context(), "BEGIN; LOCK TABLE customers; LOCK TABLE customer_identities; COMMIT"); err != nil {
					return err
				}
			}
			return nil
		}
		for !done.Load() {
			_, err := store.CustomerIdentity(t.Context(), model.CustomerIdentityKey{ID: &jane.ID})
			_, errOfCustomer := store.Customer(t.Context(), model.CustomerKey{ID: &jane.CustomerID})
			if err := errors.Join(err, errOfCustomer); err != nil {
				return err
			}
		}
		return nil
	})
}

// balance is a tracer that counts the statements that it sees begin and end.
type balance struct{ begun, ended atomic.Int64 }

func (b *balance) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	b.begun.Add(1)
	return ctx
}

func (b *balance) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { b.ended.Add(1) }

// TestWhoWaitsForAPipelineMayLeave has lookups wait for a lock, and for others that wait for it, and leaves them.
func TestWhoWaitsForAPipelineMayLeave(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db := open(t, url+"&pool_max_conns=4", nil)
	store, _ := repotest.NewStore(t, db, "store")
	jane := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	locker, watcher := connect(t, url), connect(t, url)
	for range 3 {
		run(t, locker, "BEGIN")
		run(t, locker, "LOCK TABLE customers")
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			lookUpTogether(t, 1, func() error {
				if _, err := store.Customer(ctx, model.CustomerKey{ID: &jane.CustomerID}); err == nil {
					return errors.New("a lookup did not wait for the lock")
				}
				return nil
			})
		}()
		awaitLocks(t, watcher, 4) // the first of a pipeline, and those that no longer wait for it
		leave()
		<-left
		run(t, locker, "COMMIT")
		awaitCompany(t, db, func() error {
			got, err := store.Customer(t.Context(), model.CustomerKey{ID: &jane.CustomerID})
			if err != nil || got == nil {
				return fmt.Errorf("%+v, %w", got, err)
			}
			return nil
		})
	}
}
