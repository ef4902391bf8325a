package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

func TestSlowStatementsAreLoggedWithoutTheirValues(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	var log lockedBuffer
	slow := open(t, url, repo.NewTracer(slog.New(slog.NewJSONHandler(&log, nil)), time.Nanosecond, nil))
	ctx, _ := repo.WithEffort(t.Context(), "req-1")
	for _, name := range []string{"first's shop", "second 'shop'"} { // Bun writes these names into the statement
		if _, err := slow.CreateStore(ctx, name); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.FindStore(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := slow.Close(); err != nil { // some lines wait for their plan
		t.Fatal(err)
	}
	prints := map[string]int{}
	for line := range strings.Lines(log.String()) {
		var entry struct {
			Msg, Level, Statement, Fingerprint, Outcome string
			Rows                                        int
			Duration                                    float64 `json:"duration_ms"`
			RequestID                                   string  `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Msg != "slow statement" || entry.Level != "WARN" || entry.RequestID != "req-1" || entry.Rows != 1 ||
			entry.Duration <= 0 || entry.Outcome != "ok" || !strings.Contains(entry.Statement, "?") {
			t.Errorf("logged %s", line)
		}
		if strings.Contains(line, "shop") || regexp.MustCompile(`20\d\d-\d\d`).MatchString(entry.Statement) {
			t.Errorf("the log tells a value: %s", line)
		}
		prints[entry.Fingerprint]++
	}
	if len(prints) != 2 {
		t.Errorf("two statements with two values each have the fingerprints %v", prints)
	}
	var none lockedBuffer
	quick := open(t, url, repo.NewTracer(slog.New(slog.NewJSONHandler(&none, nil)), time.Hour, nil))
	if _, err := quick.Stores(t.Context()); err != nil || none.String() != "" {
		t.Errorf("%v; a quick statement is logged: %s", err, none.String())
	}
}

// TestSlowStatementsAreLoggedWithTheirPlan asks for a customer by its email, in several ways that PostgreSQL may go.
func TestAFingerprintIsOfAnyColumns(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	url := repotest.URL(t)
	made, _ := repotest.NewStore(t, open(t, url, nil), "store")
	db := open(t, url, repo.NewTracer(slog.New(slog.NewJSONHandler(&log, nil)), time.Nanosecond, nil))
	store := db.Store(made.ID())
	customer := reflect.TypeFor[model.Customer]()
	for _, s := range []*repo.Store{
		store, store.Showing(repo.Columns{}), // without the customer of an identity, and with it:
		store.Showing(repo.Columns{customer: {"first_name"}}), store.Showing(repo.Columns{customer: {"email", "tags"}}),
	} {
		key := &model.PlatformIdentityKey{Platform: "shopify", PlatformCustomerID: "1"}
		if _, err := s.CustomerIdentity(t.Context(), model.CustomerIdentityKey{PlatformIdentity: key}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Customer(t.Context(), model.CustomerKey{Email: new("jane@doe.com")}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Customers(t.Context(), nil, nil, model.PageArgs{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil { // some lines wait for their plan
		t.Fatal(err)
	}
	counts := map[string]int{}
	for text := range strings.Lines(log.String()) {
		var line struct{ Msg, Fingerprint, Statement string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "slow statement" {
			counts[line.Fingerprint]++
			if !strings.HasPrefix(line.Statement, "SELECT … FROM ") {
				t.Errorf("the statement is %s", line.Statement)
			}
		}
	}
	if want := []int{2, 2, 4, 4}; !slices.Equal(slices.Sorted(maps.Values(counts)), want) {
		t.Errorf("fingerprints and their numbers %v, want %v", counts, want)
	}
}

func TestSlowStatementsAreLoggedWithTheirPlan(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	conn := connect(t, url)
	seed(t, conn, 2_000, true)
	run(t, conn, "ANALYZE")
	byEmail := func(email string) string {
		t.Helper()
		return loggedPlan(t, url, func(store *repo.Store) error {
			_, err := store.Customer(t.Context(), model.CustomerKey{Email: &email})
			return err
		})
	}
	plan := byEmail("jane@doe.com")
	if other := byEmail("john@doe.com"); plan == "" || other != plan {
		t.Errorf("the plan %q is %q for another value", plan, other)
	}
	byID := loggedPlan(t, url, func(store *repo.Store) error {
		_, err := store.Customer(t.Context(), model.CustomerKey{ID: &largeStore})
		return err
	})
	run(t, conn, "ALTER TABLE customers DROP CONSTRAINT customers_email_key")
	without := byEmail("jane@doe.com")
	if byID == "" || byID == plan || without == "" || without == plan || without == byID {
		t.Errorf("the plan by email is %q, by ID %q, and %q by email without its index", plan, byID, without)
	}
}

// TestStatementsCutOffAreLoggedWithTheirPlan has an upsert wait for another's lock until it is broken off.
func TestStatementsCutOffAreLoggedWithTheirPlan(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	conn := connect(t, url)
	run(t, conn, "INSERT INTO stores VALUES ($1, 'shop', now())", largeStore)
	upsertOne(t, open(t, url, nil).Store(largeStore), input("1", "jane@doe.com"))
	run(t, conn, "BEGIN")
	run(t, conn, "SELECT FROM customer_identities FOR UPDATE")
	watcher := connect(t, url)
	plan := loggedPlan(t, url, func(store *repo.Store) error {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := store.UpsertCustomerIdentity(ctx, *input("1", "john@doe.com"))
			ended <- err
		}()
		awaitLocks(t, watcher, 1)
		cancel()
		if <-ended == nil {
			return errors.New("the upsert did not wait")
		}
		return nil
	})
	if plan == "" {
		t.Error("the statement has no plan")
	}
}

// loggedPlan makes a call of one statement, to which all are slow, and returns the plan that is logged.
func loggedPlan(t *testing.T, url string, call func(*repo.Store) error) string {
	t.Helper()
	var log lockedBuffer
	db, err := repo.Open(t.Context(), url, repo.NewTracer(slog.New(slog.NewJSONHandler(&log, nil)), time.Nanosecond, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(call(db.Store(largeStore)), db.Close()); err != nil {
		t.Fatal(err)
	}
	var entry struct{ Plan string }
	if err := json.Unmarshal([]byte(log.String()), &entry); err != nil || strings.Contains(log.String(), "doe.com") {
		t.Fatalf("%v: logged %s", err, log.String())
	}
	return entry.Plan
}

// lockedBuffer is a buffer that many goroutines write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
