package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"akin/repo"
	"akin/repo/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// tracedUpserts makes a store in the database at the URL, and what a tracer's upserts makes there.
func tracedUpserts(t *testing.T, url string) (*repo.Store, map[string]string) {
	t.Helper()
	db, err := repo.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, token := repotest.NewStore(t, db, "shop")
	tracer, err := newTracer(t.Context(), url, token)
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.db.Close()
	upserts, err := tracer.upserts(t.Context(), connect(t, url), &server{flavour: akin}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store, upserts
}

// TestPeersKnowAkinsUpserts calls PostGraphile's functions. Mercurius and Apollo give the statements the same parameters, in
// peers/server.mjs.
func TestPeersKnowAkinsUpserts(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := tracedUpserts(t, url)
	conn := connect(t, url)
	rows, err := conn.Query(t.Context(), `
		SELECT outcome || ' ' || customer_link FROM upsert_customer_identity($1, 'shopify', '1', 'Jane@Doe.com', 'Jane')
		UNION ALL
		SELECT outcome || ' ' || customer_link FROM upsert_customer_identities($1, ARRAY[
			('woocommerce', '2', 'john@doe.com', NULL, NULL), ('woocommerce', '3', 'Jane@Doe.com', NULL, NULL)]::customer_identity_input[])`,
		store.ID())
	if err != nil {
		t.Fatal(err)
	}
	told, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if want := []string{"CREATED CREATED", "CREATED CREATED", "CREATED MATCHED_BY_EMAIL"}; err != nil || !slices.Equal(told, want) {
		t.Errorf("got %q, %v, want %q", told, err, want)
	}
}

// TestTheBareServerAnswersWhatIsWanted asks it for every operation that it knows, of the customer that the first creates.
func TestTheBareServerAnswersWhatIsWanted(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, upserts := tracedUpserts(t, url)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	handler := &bareServer{pool: pool, store: store.ID().String(), upsert: upserts["one"]}

	const key = firstNewKey
	known := []string{
		"upsert: create both", "upsert: nothing new", "upsert: update", "upsert: link", "customer by email", "identity + customer",
	}
	ops := operations(10)
	for i := range ops {
		if op := &ops[i]; (&server{flavour: bare}).answers(op) != slices.Contains(known, op.name) {
			t.Errorf("it answers %s, or does not", op.name)
		}
	}
	for _, name := range known {
		op := ops[slices.IndexFunc(ops, func(op operation) bool { return op.name == name })]
		want := op.want
		if op.sampled {
			want = []count{{`"id":`, 2}}
		}
		text, err := op.body(bare, &sample{key: key}, "")
		if err != nil {
			t.Fatal(err)
		}
		body, err := newTemplate(text, op.draws)
		if err != nil {
			t.Fatal(err)
		}
		values := make([]int64, len(op.draws))
		for i := range values {
			values[i] = key + int64(i) // what comes second is new
		}
		body.fill(body.text, values)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body.text)))
		if err := (&request{want: want}).check(answer.Body.Bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestImportsAreStaged stages what an import writes of some rows, and of one.
func TestImportsAreStaged(t *testing.T) {
	t.Parallel()
	for rows, want := range map[string]int{"shopify,1,jane@doe.com\nshopify,2,john@doe.com\nshopify,3,no email\n": 2, "shopify,1,jane@doe.com\n": 1} {
		url := repotest.URL(t)
		b := &bench{db: &database{url: url, conn: connect(t, url)}}
		file, staged := filepath.Join(t.TempDir(), "rows.csv"), filepath.Join(t.TempDir(), "staged.csv")
		if err := os.WriteFile(file, []byte("platform,platform_customer_id,email\n"+rows), 0o600); err != nil {
			t.Fatal(err)
		}
		statements, err := b.traceImport(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.stage(t.Context(), statements, staged); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(staged); err != nil || bytes.Count(text, []byte("\n")) != want {
			t.Errorf("%d rows are to be staged, not %q, %v", want, text, err)
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestEveryRequestIsFilledWithNumbersOfItsVariables(t *testing.T) {
	t.Parallel()
	for _, op := range operations(100_000) {
		if op.sampled {
			continue
		}
		for _, flavour := range []string{akin, postgraphile} {
			text, err := op.body(flavour, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			filled, err := newTemplate(text, op.draws)
			if err != nil {
				t.Fatal(err)
			}
			values := filled.draw(rand.New(rand.NewPCG(1, 2)), nil)
			for i, v := range op.draws {
				last := values[i] + int64(max(op.rows, 1)-1)*v.step
				if values[i] < v.low || v.name == "k" && last > firstKey+100_000 {
					t.Errorf("%s: %s is %d to %d, want customers", op.name, v.name, values[i], last)
				}
			}
			filled.fill(filled.text, values)
			if got := string(filled.text); strings.Contains(got, "@k") || strings.Contains(got, "@r") || strings.Contains(got, "000000000000") {
				t.Errorf("%s for %s has a hole left: %s", op.name, flavour, got)
			}
		}
	}
}

func TestAnAnswerOtherThanTheOneWantedIsAFailure(t *testing.T) {
	t.Parallel()
	r := request{want: []count{{`"outcome":"CREATED"`, 2}}}
	for answer, ok := range map[string]bool{
		`{"data":{"results":[{"outcome":"CREATED"},{"outcome":"CREATED"}]}}`:                             true,
		`{"data":{"results":[{"outcome":"CREATED"}]}}`:                                                   false,
		`{"data":{"results":[{"outcome":"CREATED"},{"outcome":"UPDATED"}]}}`:                             false,
		`{"errors":[{"message":"no"}],"data":{"results":[{"outcome":"CREATED"},{"outcome":"CREATED"}]}}`: false,
		`{"data":{"results":[{"outcome":"CREATED"},{"outcome":"CREATED"},{"outcome":"CREATED"}]}}`:       false,
		`{"data":{"results":[{"outcome":null,"userErrors":[{"code":"BLANK"}]},{"outcome":"CREATED"}]}}`:  false,
		`{"data":null}`: false,
	} {
		if err := r.check([]byte(answer)); (err == nil) != ok {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	r := &result{}
	for round, rates := range [][4]float64{{1000, 500, 100, 625}, {100, 60, 20, 75}, {10, 4, 1, 8}} {
		for i, server := range []string{pgbench, akin, "apollo-1", bare} {
			r.Measurements = append(r.Measurements, measurement{
				Round: round + 1, Operation: "page", Connections: 16, Server: server, PerSecond: rates[i],
			})
		}
	}
	for _, row := range r.rows(16) {
		if row.server == akin && (row.ofLimit != 0.5 || row.ofPeer != 4 || row.ofBare != 0.8 || row.perSecond != 60 || row.peer != "apollo-1") {
			t.Errorf("got %+v, want medians 0.5 of pgbench, 0.8 of the bare server and 4 times apollo-1", row)
		}
	}
}

func TestAPercentileIsOfTheSortedLatencies(t *testing.T) {
	t.Parallel()
	o := &outcome{}
	for i := range 101 {
		o.latencies = append(o.latencies, time.Duration(i))
	}
	if o.percentile(0.5) != 50 || o.percentile(0.99) != 99 {
		t.Errorf("p50 %d, p99 %d", o.percentile(0.5), o.percentile(0.99))
	}
}
