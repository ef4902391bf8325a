package repo_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// company is a tracer that knows whether several statements were under way on one connection at once.
type company struct {
	mu       sync.Mutex
	underWay map[*pgx.Conn]int
	kept     bool
}

func (c *company) TraceQueryStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay[conn]++
	c.kept = c.kept || c.underWay[conn] > 1
	return ctx
}

func (c *company) TraceQueryEnd(_ context.Context, conn *pgx.Conn, _ pgx.TraceQueryEndData) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay[conn]--
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

// awaitCompany makes lookups until some are sent together.
func awaitCompany(t *testing.T, seen *company, lookUp func() error) {
	t.Helper()
	seen.kept = false
	for range 100 {
		lookUpTogether(t, 20, lookUp)
		if seen.kept || t.Failed() {
			return
		}
	}
	t.Error("no two lookups were sent together")
}

// TestLookupsAreSentTogether has many requests of two stores look for customers and identities, which have the same keys in
// both, and for some that nobody has. Each gets what it asked for.
func TestLookupsAreSentTogether(t *testing.T) {
	t.Parallel()
	const customers = 20
	seen := &company{underWay: map[*pgx.Conn]int{}}
	db := open(t, repotest.URL(t)+"&pool_max_conns=4", seen)
	stores := make([]*repo.Store, 2)
	known := make([][]*model.CustomerIdentity, len(stores))
	for i, name := range []string{"one", "other"} {
		stores[i], _ = repotest.NewStore(t, db, name)
		for n := range customers {
			known[i] = append(known[i], upsertOne(t, stores[i], input(fmt.Sprint(n), fmt.Sprintf("user%d@doe.com", n))).CustomerIdentity)
		}
	}
	awaitCompany(t, seen, func() error {
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

// TestALookupFailsAlone has half of the lookups fail in the database, and fail no other that is sent with them.
func TestALookupFailsAlone(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db := open(t, url+"&pool_max_conns=4", nil)
	store, _ := repotest.NewStore(t, db, "store")
	jane := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	run(t, connect(t, url), "ALTER TABLE customers DROP COLUMN gender")
	of := reflect.TypeFor[model.Customer]()
	well, badly := store.Showing(repo.Columns{of: {"id"}}), store.Showing(repo.Columns{of: {"id", "gender"}})
	lookUpTogether(t, 50, func() error {
		if rand.IntN(2) == 0 {
			if _, err := badly.Customer(t.Context(), model.CustomerKey{ID: &jane.CustomerID}); err == nil || code(err) != "" {
				return fmt.Errorf("the error is %w", err)
			}
			return nil
		}
		got, err := well.Customer(t.Context(), model.CustomerKey{ID: &jane.CustomerID})
		if err != nil || got == nil {
			return fmt.Errorf("%+v, %w", got, err)
		}
		return nil
	})
}

// TestWhoWaitsForAPipelineMayLeave has lookups wait for a lock, and for others that wait for it, and leaves them.
func TestWhoWaitsForAPipelineMayLeave(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	seen := &company{underWay: map[*pgx.Conn]int{}}
	db := open(t, url+"&pool_max_conns=4", seen)
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
		awaitCompany(t, seen, func() error {
			got, err := store.Customer(t.Context(), model.CustomerKey{ID: &jane.CustomerID})
			if err != nil || got == nil {
				return fmt.Errorf("%+v, %w", got, err)
			}
			return nil
		})
	}
}
