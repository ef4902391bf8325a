package graph_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"akin/graph"
	"akin/repo"
	"akin/repo/repotest"
)

// held is a table that nobody else can read until it is let go.
type held struct {
	conn *sql.Conn
	let  func()
}

// hold holds the customers of the database at this address.
func hold(t *testing.T, address string) *held {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tx, err := conn.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	let := func() { _ = tx.Rollback() }
	t.Cleanup(let)
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE customers`); err != nil {
		t.Fatal(err)
	}
	watching, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &held{conn: watching, let: let}
}

// waits waits until so many statements wait for the table.
func (h *held) waits(t *testing.T, statements int) {
	t.Helper()
	var n int
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		err := h.conn.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n == statements {
			return
		}
	}
	t.Fatalf("%d statements wait for the table, want %d", n, statements)
}

const readCustomers = `{"query":"{ customers(first: 1) { nodes { id } } }"}`

// TestAClientThatHangsUpEndsItsStatement does so for a query, a mutation and a batch; their statements would else wait
// as long as the table is held.
func TestAClientThatHangsUpEndsItsStatement(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a query":    readCustomers,
		"a mutation": `{"query":"mutation { upsertCustomerIdentity(input: {platform: \"p\", platformCustomerId: \"1\", email: \"a@doe.com\"}) { outcome } }"}`,
		"a batch":    `{"query":"mutation { upsertCustomerIdentities(inputs: [{platform: \"p\", platformCustomerId: \"1\", email: \"a@doe.com\"}, {platform: \"p\", platformCustomerId: \"2\", email: \"b@doe.com\"}]) { createdCount } }"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := repotest.URL(t)
			a, h := newAPIAt(t, address), hold(t, address)
			ctx, hangUp := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				r, _ := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/graphql", strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+a.token)
				r.Header.Set("Content-Type", "application/json")
				response, err := http.DefaultClient.Do(r)
				if err == nil {
					response.Body.Close()
				}
				ended <- err
			}()
			h.waits(t, 1)
			began := time.Now()
			hangUp()
			h.waits(t, 0)
			t.Logf("the statement ended after %s", time.Since(began))
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the request: %v", err)
			}
		})
	}
}

func TestARequestPastItsTimeEndsItsStatement(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	a := newAPIAt(t, address, func(cfg *graph.Config) { cfg.Timeout = 500 * time.Millisecond })
	h := hold(t, address)
	got := a.send(t, request{body: readCustomers})
	began := time.Now()
	h.waits(t, 0)
	t.Logf("the statement ended %s after the answer", time.Since(began))
	got.check(t, http.StatusServiceUnavailable, "TIMED_OUT", "took longer than 500ms")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
}

// TestABusyPoolIsNotQueuedForWithoutEnd holds the only connection, and asks with a token that is known and with one
// that has to be looked up. The server is ready all the same: sent elsewhere, its requests would find no other database.
func TestABusyPoolIsNotQueuedForWithoutEnd(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	a := newAPIAt(t, address+"&pool_max_conns=1&pool_max_wait=2s&connect_timeout=30", func(cfg *graph.Config) { cfg.Timeout = time.Hour })
	other, _, err := a.db.CreateToken(t.Context(), "shop", "other", repo.ScopeRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := hold(t, address)
	first := make(chan answer, 1)
	go func() { first <- a.send(t, request{body: readCustomers}) }()
	h.waits(t, 1)
	for _, token := range []string{a.token, other} {
		began := time.Now()
		got := a.send(t, request{header: map[string]string{"Authorization": "Bearer " + token}, body: readCustomers})
		t.Logf("refused after %s", time.Since(began))
		got.check(t, http.StatusServiceUnavailable, "UNAVAILABLE", "the database is too busy")
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
	}
	if got := a.send(t, request{method: http.MethodGet, path: "/readyz"}); got.status != http.StatusOK {
		t.Errorf("the server is not ready: %d %s", got.status, got.body)
	}
	h.let()
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("the request that had the connection: %d %s", got.status, got.body)
	}
	if got := a.send(t, request{body: readCustomers}); got.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// takeTurns takes every turn that small requests have with a pool of one connection.
func (a *api) takeTurns(t *testing.T) (leave []func()) {
	t.Helper()
	for range 2 {
		one, err := a.db.Admit(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, one)
	}
	return leave
}

const typename = `{"query":"{ __typename }"}`

// TestRequestsTakeTurns asks for what needs no connection while every turn is taken, and then while one is free.
func TestRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	a := newAPIAt(t, repotest.URL(t)+"&pool_max_conns=1&pool_max_wait=2s&connect_timeout=30")
	registry := prometheus.NewRegistry()
	a.db.Register(registry)
	leave := a.takeTurns(t)
	got := a.send(t, request{body: typename})
	got.check(t, http.StatusServiceUnavailable, "UNAVAILABLE", "too busy")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	waiting := make(chan answer, 1)
	go func() { waiting <- a.send(t, request{body: typename}) }()
	leave[0]()
	if got := <-waiting; got.status != http.StatusOK {
		t.Errorf("with a turn that is given back: %d %s", got.status, got.body)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var waited float64
	for _, family := range families {
		if family.GetName() == "akin_turn_wait_seconds_total" {
			waited = family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if waited == 0 {
		t.Error("their wait is not counted")
	}
}

// TestLargeRequestsLeaveRoom sends large and small requests while as many large ones are under way as may be at the same time.
func TestLargeRequestsLeaveRoom(t *testing.T) {
	t.Parallel()
	a := newAPIAt(t, repotest.URL(t)+"&pool_max_conns=4&pool_max_wait=2s&connect_timeout=30")
	large := typename + strings.Repeat(" ", 8<<10-len(typename))
	take := func() (leave func()) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		leave, err := a.db.Admit(ctx, len(large))
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	leave := []func(){take(), take()}
	const waiting = 20 // more than all have turns
	refused := make(chan answer, waiting)
	for range waiting {
		go func() { refused <- a.send(t, request{body: large}) }()
	}
	for left := waiting; left > 0; {
		if got := a.send(t, request{body: large[:len(large)-1]}); got.status != http.StatusOK {
			t.Fatalf("a small one, while %d large ones wait: %d %s", left, got.status, got.body)
		}
		select {
		case got := <-refused:
			got.check(t, http.StatusServiceUnavailable, "UNAVAILABLE", "too busy")
			left--
		default:
		}
	}
	leave[0]()
	if got := a.send(t, request{body: large}); got.status != http.StatusOK {
		t.Errorf("a large one, with a turn that is given back: %d %s", got.status, got.body)
	}
	leave[1]()
	leave = []func(){take(), take()} // which those had given back
	leave[0]()
	leave[1]()
}

// TestATurnIsGivenBack leaves one turn, and sends what ends in every way; a turn that were kept would be missing to what
// comes next.
func TestATurnIsGivenBack(t *testing.T) {
	t.Parallel()
	a := newAPIAt(t, repotest.URL(t)+"&pool_max_conns=1")
	a.takeTurns(t)[0]()
	for _, body := range []string{
		`{`, `{"query":"{"}`, `{"query":"{ nobody }"}`, `{"query":"{ customer(id: \"1\") { id } }"}`, `{"query":"query A { __typename } query B { __typename }"}`,
		`{"query":"mutation { upsertCustomer(input: {by: {externalId: \"\"}}) { outcome } }"}`, typename,
	} {
		if got := a.send(t, request{body: body}); got.status == http.StatusServiceUnavailable {
			t.Fatalf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// TestABodyIsAwaitedWithoutATurn leaves one turn, which must not be that of a request whose body does not come.
func TestABodyIsAwaitedWithoutATurn(t *testing.T) {
	t.Parallel()
	a := newAPIAt(t, repotest.URL(t)+"&pool_max_conns=1", func(cfg *graph.Config) { cfg.Timeout = time.Hour })
	a.takeTurns(t)[0]()
	conn := a.begin(t, "Expect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "100 Continue") { // the body is awaited
		t.Fatalf("%v, %q", err, line)
	}
	if got := a.send(t, request{body: typename}); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestASilentDatabaseIsUnavailable asks through a proxy that stops to pass anything on, with connections open and a
// statement under way, with a token that is known and with one that has to be looked up.
func TestASilentDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	p := repotest.NewProxy(t, address)
	a := newAPIAt(t, p.URL, func(cfg *graph.Config) { cfg.Timeout = time.Hour })
	unknown := map[string]string{"Authorization": "Bearer " + a.otherToken(t)}
	h := hold(t, address)
	underWay := make(chan answer, 1)
	go func() { underWay <- a.send(t, request{body: readCustomers}) }()
	h.waits(t, 1)
	p.Delay(t, time.Hour, time.Hour)
	const query = `{"query":"{ store { name } }"}`
	for _, ask := range []func() answer{
		func() answer { return a.send(t, request{body: query}) },
		func() answer { return a.send(t, request{body: query, header: unknown}) },
		func() answer { return <-underWay },
	} {
		began := time.Now()
		got := ask()
		t.Logf("refused after %s", time.Since(began))
		got.check(t, http.StatusServiceUnavailable, "UNAVAILABLE", "the database cannot be reached")
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
	}
	h.let()
}

// TestASlowStatementIsNotASilentDatabase waits for a statement several times as long as for a silent database.
func TestASlowStatementIsNotASilentDatabase(t *testing.T) {
	t.Parallel()
	address := repotest.URL(t)
	a, h := newAPIAt(t, address+"&pool_max_wait=2s&connect_timeout=30"), hold(t, address)
	slow := make(chan answer, 1)
	go func() { slow <- a.send(t, request{body: readCustomers}) }()
	h.waits(t, 1)
	select {
	case <-time.After(5 * time.Second):
	case got := <-slow:
		t.Fatalf("broken off: %d %s", got.status, got.body)
	}
	h.let()
	if got := <-slow; got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestASlowDatabaseIsNotASilentOne asks through a proxy that holds back what the database says, more at once than there
// are connections: who is refused for that must not make the others' database look silent.
func TestASlowDatabaseIsNotASilentOne(t *testing.T) {
	t.Parallel()
	p := repotest.NewProxy(t, repotest.URL(t))
	a := newAPIAt(t, p.URL+"&pool_max_conns=1", func(cfg *graph.Config) { cfg.Timeout = time.Hour })
	p.Delay(t, 0, 350*time.Millisecond)
	var clients sync.WaitGroup
	var answered atomic.Int64
	for range 4 {
		clients.Go(func() {
			for range 15 {
				if got := a.send(t, request{body: readCustomers}); got.status == http.StatusOK {
					answered.Add(1)
				}
			}
		})
	}
	clients.Wait()
	t.Logf("%d answered", answered.Load())
	if n := answered.Load(); n < 10 {
		t.Errorf("%d of 60 requests are answered", n)
	}
}

// TestHowSlowADatabaseMayBeIsASetting asks through a proxy that holds back what the database says for so long that a request
// takes seconds, and so does the question whether the database answers.
func TestHowSlowADatabaseMayBeIsASetting(t *testing.T) {
	t.Parallel()
	p := repotest.NewProxy(t, repotest.URL(t))
	a := newAPIAt(t, p.URL+"&pool_max_wait=8s&connect_timeout=30", func(cfg *graph.Config) { cfg.Timeout = time.Hour })
	p.Delay(t, 0, 1200*time.Millisecond)
	if got := a.send(t, request{body: readCustomers}); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}
