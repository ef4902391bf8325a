package repo_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// mirror is a copy of a table that is kept by reading what changed, in the order of change, from where it left off.
type mirror struct {
	name string
	// page returns the next rows and the place to go on from, nil where nothing is new.
	page   func(ctx context.Context, after *string) (rows map[uuid.UUID]string, end *string, err error)
	stored func() map[uuid.UUID]string

	copied map[uuid.UUID]string
	seen   map[string]bool
	states atomic.Int64 // as many as seen has
	place  *string
}

// sweep reads on until nothing is new.
func (m *mirror) sweep(ctx context.Context) error {
	for {
		rows, end, err := m.page(ctx, m.place)
		if err != nil || end == nil {
			return err
		}
		for id, state := range rows {
			if m.seen[id.String()+state] {
				return fmt.Errorf("%s: %s was repeated as %s", m.name, id, state)
			}
			m.seen[id.String()+state] = true
			m.states.Add(1)
			m.copied[id] = state
		}
		m.place = end
	}
}

const micros = "2006-01-02T15:04:05.000000Z"

// ever is since when a mirror asks for changes.
var ever = &model.DateTimeRange{From: new(time.Unix(0, 0))}

func mirrorOfCustomers(t *testing.T, store *repo.Store, conn *pgx.Conn) *mirror {
	t.Helper()
	order := &model.CustomerOrder{Field: model.CustomersByUpdatedAt, Direction: model.Ascending}
	return &mirror{
		name: "customers", copied: map[uuid.UUID]string{}, seen: map[string]bool{},
		page: func(ctx context.Context, after *string) (map[uuid.UUID]string, *string, error) {
			page, err := store.Customers(ctx, &model.CustomerFilter{UpdatedAt: ever}, order, model.PageArgs{First: new(7), After: after})
			if err != nil {
				return nil, nil, err
			}
			rows := map[uuid.UUID]string{}
			for _, c := range page.Nodes {
				rows[c.ID] = fmt.Sprint(c.Version, " ", c.UpdatedAt.Format(micros))
			}
			return rows, page.PageInfo().EndCursor, nil
		},
		stored: func() map[uuid.UUID]string {
			return states(t, conn, `SELECT id, version || ' ' || to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM customers`)
		},
	}
}

func mirrorOfIdentities(t *testing.T, store *repo.Store, conn *pgx.Conn) *mirror {
	t.Helper()
	order := &model.CustomerIdentityOrder{Field: model.IdentitiesByUpdatedAt, Direction: model.Ascending}
	return &mirror{
		name: "identities", copied: map[uuid.UUID]string{}, seen: map[string]bool{},
		page: func(ctx context.Context, after *string) (map[uuid.UUID]string, *string, error) {
			page, err := store.CustomerIdentities(ctx, &model.CustomerIdentityFilter{UpdatedAt: ever}, order, model.PageArgs{First: new(7), After: after})
			if err != nil {
				return nil, nil, err
			}
			rows := map[uuid.UUID]string{}
			for _, i := range page.Nodes {
				rows[i.ID] = *i.FirstName + " " + i.UpdatedAt.Format(micros)
			}
			return rows, page.PageInfo().EndCursor, nil
		},
		stored: func() map[uuid.UUID]string {
			return states(t, conn, `SELECT id, first_name || ' ' || to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM customer_identities`)
		},
	}
}

func states(t *testing.T, conn *pgx.Conn, query string) map[uuid.UUID]string {
	t.Helper()
	rows, err := conn.Query(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	all := map[uuid.UUID]string{}
	var id uuid.UUID
	var state string
	if _, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error { all[id] = state; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMirror keeps copies of the customers and the identities by reading what changed while clients write in every way
// there is, and some of them hang at a lock after they took their time. At the end the copies are the tables: nothing
// was lost, and nothing was repeated.
func TestMirror(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "mirrored")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writes atomic.Int64
	var writers, readers sync.WaitGroup
	for client := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := mirroredWrite(t.Context(), store, client, n); err != nil {
					t.Error(err)
					return
				}
				writes.Add(1)
			}
		})
	}
	mirrors := []*mirror{mirrorOfCustomers(t, store, connect(t, url)), mirrorOfIdentities(t, store, connect(t, url))}
	for _, m := range mirrors {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := m.sweep(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	holdWriters(t, url, store)
	for _, m := range mirrors { // which move on while nobody is held
		from, deadline := m.states.Load(), time.Now().Add(30*time.Second)
		for m.states.Load() < from+50 {
			if time.Now().After(deadline) || t.Failed() {
				t.Fatalf("the mirror of %s stands still", m.name)
			}
			runtime.Gosched()
		}
	}
	stop()
	writers.Wait()
	readers.Wait()

	deadline := time.Now().Add(20 * time.Second)
	for _, m := range mirrors {
		want := m.stored()
		for {
			if err := m.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			diff := cmp.Diff(want, m.copied)
			if diff == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after %d writes the mirror of %s differs (-stored +mirrored)\n%s", writes.Load(), m.name, diff)
			}
		}
		t.Logf("%s: %d rows, %d states seen, %d writes", m.name, len(want), len(m.seen), writes.Load())
	}
}

// mirroredWrite is the n-th write of a client: alone or in a batch of either policy, of customers or of identities.
func mirroredWrite(ctx context.Context, store *repo.Store, client, n int) error {
	name := fmt.Sprintf("%d-%d", client, n)
	var customers []*model.UpsertCustomerInput
	var identities []*model.UpsertCustomerIdentityInput
	for i := range 1 + n%3 {
		key := fmt.Sprint(n/40*20 + (n+i*7)%40) // a mirror sees what has rested for a while, so no key is written for ever
		customer := byExternalID("C-" + key)
		customer.FirstName = omittable(name)
		customers = append(customers, customer)
		identities = append(identities, named(key, key+"@example.com", &name, nil))
	}
	policy := []model.BatchErrorPolicy{model.KeepValid, model.RejectAll}[n/2%2]
	var err error
	switch n % 4 {
	case 0:
		_, err = store.UpsertCustomer(ctx, *customers[0])
	case 1:
		_, err = store.UpsertCustomers(ctx, customers, policy)
	case 2:
		_, err = store.UpsertCustomerIdentity(ctx, *identities[0])
	case 3:
		_, err = store.UpsertCustomerIdentities(ctx, identities, policy)
	}
	return err
}

// holdWriters has a single write and a batch of each kind wait for locks, for longer than a mirror keeps away from the
// present, while the others go on.
func holdWriters(t *testing.T, url string, store *repo.Store) {
	t.Helper()
	ctx := context.Background()
	conn := connect(t, url)
	name := "at first"
	held := byExternalID("held")
	held.FirstName = omittable(name)
	other := byExternalID("held too")
	other.FirstName = omittable(name)
	single, many := named("held", "held@example.com", &name, nil), named("held too", "held@example.com", &name, nil)
	write := []func() error{
		func() error { _, err := store.UpsertCustomer(ctx, *held); return err },
		func() error {
			_, err := store.UpsertCustomers(ctx, []*model.UpsertCustomerInput{other, byExternalID(name)}, model.RejectAll)
			return err
		},
		func() error { _, err := store.UpsertCustomerIdentity(ctx, *single); return err },
		func() error {
			_, err := store.UpsertCustomerIdentities(ctx, []*model.UpsertCustomerIdentityInput{many, named(name, "x@example.com", &name, nil)}, model.RejectAll)
			return err
		},
	}
	for _, w := range write {
		if err := w(); err != nil {
			t.Fatal(err)
		}
	}
	name = "at last"
	held.FirstName, other.FirstName = omittable(name), omittable(name)
	run(t, conn, `BEGIN`)
	run(t, conn, `SELECT FROM customers WHERE external_id LIKE 'held%' FOR NO KEY UPDATE`)
	run(t, conn, `SELECT FROM customer_identities WHERE platform_customer_id LIKE 'held%' FOR NO KEY UPDATE`)
	var waiting sync.WaitGroup
	for _, w := range write {
		waiting.Go(func() {
			if err := w(); err != nil {
				t.Error(err)
			}
		})
	}
	watch := connect(t, url)
	deadline := time.Now().Add(20 * time.Second)
	for one[int](t, watch, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1500 milliseconds'`) < len(write) {
		if time.Now().After(deadline) {
			t.Fatal("the writers do not wait for their locks")
		}
	}
	run(t, conn, `COMMIT`)
	waiting.Wait()
}
