package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"akin/graph"
	"akin/repo/repotest"
)

// BenchmarkOperation sends the operations that clients send most to the handler, on a store of 1,000 customers with one
// or two identities each, with writeRows and without. It is all that a request costs but the network, PostgreSQL's share
// included.
func BenchmarkOperation(b *testing.B) {
	db := repotest.New(b)
	_, token := repotest.NewStore(b, db, "shop")
	post := func(b *testing.B, handler http.Handler, body []byte) *httptest.ResponseRecorder {
		b.Helper()
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	cfg := graph.Config{DB: db, Log: slog.New(slog.DiscardHandler)}
	for i := range 6 {
		post(b, graph.NewHandler(cfg), batch(250*i, 250, "Jane"))
	}
	sent := 0
	for _, operation := range operations {
		for name, handler := range map[string]http.Handler{"rows": graph.NewHandler(cfg), "gqlgen": graph.NewStockHandler(cfg)} {
			b.Run(operation.name+"/by="+name, func(b *testing.B) {
				b.ReportAllocs()
				before := cpuTime(b)
				defer func() { b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op") }()
				for b.Loop() {
					sent++
					if w := post(b, handler, operation.body(sent)); bytes.HasPrefix(w.Body.Bytes(), []byte(`{"errors"`)) {
						b.Fatal(w.Body)
					}
				}
			})
		}
	}
}

// cpuTime returns how long this process has worked, its garbage collector included and PostgreSQL not.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// operations are the bodies to send, by how many have been sent before.
var operations = []struct {
	name string
	body func(n int) []byte
}{
	{"page_of_50_with_identities_as_nodes", always(`query ($first: Int) { customers(first: $first) { nodes { id email firstName lastName createdAt updatedAt
		identities(first: 10) { nodes { id platform platformCustomerId email firstName lastName createdAt updatedAt } } }
		pageInfo { hasNextPage endCursor } } }`, map[string]any{"first": 50})},
	{"page_of_50_with_identities_as_edges", always(`query ($first: Int) { customers(first: $first) { edges { cursor node { id email firstName lastName createdAt updatedAt
		identities(first: 10) { edges { cursor node { id platform platformCustomerId email firstName lastName createdAt updatedAt } } } } }
		pageInfo { hasNextPage endCursor } } }`, map[string]any{"first": 50})},
	{"identity_with_customer", always(`query ($by: CustomerIdentityKey!) { customerIdentity(by: $by) { id platform platformCustomerId email firstName lastName
		createdAt updatedAt customer { id email firstName lastName createdAt updatedAt } } }`,
		map[string]any{"by": map[string]any{"platformIdentity": map[string]any{"platform": "woocommerce", "platformCustomerId": "cust_500"}}})},
	{"customer_by_email", always(`query ($by: CustomerKey!) { customer(by: $by) { id email firstName lastName createdAt updatedAt } }`,
		map[string]any{"by": map[string]any{"email": "shopper500@example.com"}})},
	{"upsert_that_updates", func(n int) []byte { return upsert(fmt.Sprintf("Jane %d", n)) }},
	{"upsert_that_changes_nothing", func(int) []byte { return upsert("Jane") }},
	{"batch_of_100_updates", func(n int) []byte { return batch(0, 100, fmt.Sprintf("Joan %d", n)) }},
}

func always(query string, variables any) func(int) []byte {
	body := encode(query, variables)
	return func(int) []byte { return body }
}

func upsert(firstName string) []byte {
	return encode(`mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) {
		customerIdentity { id platform platformCustomerId email firstName lastName createdAt updatedAt }
		outcome customerLink userErrors { code message field } } }`,
		map[string]any{"input": map[string]any{
			"platform": "woocommerce", "platformCustomerId": "cust_500", "email": "shopper500@example.com", "firstName": firstName, "lastName": "Doe",
		}})
}

func encode(query string, variables any) []byte {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // maps of texts
	}
	return body
}

// batch writes identities from this number on; every third customer has two.
func batch(from, count int, firstName string) []byte {
	inputs := make([]map[string]any, count)
	for i := range inputs {
		n := from + i
		inputs[i] = map[string]any{
			"platform": []string{"woocommerce", "shopify"}[n%2], "platformCustomerId": fmt.Sprintf("cust_%d", n),
			"email": fmt.Sprintf("shopper%d@example.com", n-n%3/2), "firstName": firstName, "lastName": "Doe",
		}
	}
	return encode(`mutation ($inputs: [UpsertCustomerIdentityInput!]!) { upsertCustomerIdentities(inputs: $inputs) {
		createdCount updatedCount results { outcome customerLink customerIdentity { id updatedAt } userErrors { code message field } } } }`,
		map[string]any{"inputs": inputs})
}
