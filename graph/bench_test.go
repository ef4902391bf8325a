package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"akin/graph"
	"akin/model"
	"akin/repo/repotest"
)

// bench is a handler without a network, and a store with 200 customers and 300 identities in it.
type bench struct {
	handler http.Handler
	token   string
}

func newBench(b *testing.B) *bench {
	b.Helper()
	db := repotest.New(b)
	store, token := repotest.NewStore(b, db, "shop")
	fill := func(platform string, from int) {
		var inputs []*model.UpsertCustomerIdentityInput
		for i := from; i < 200; i++ {
			inputs = append(inputs, &model.UpsertCustomerIdentityInput{
				Platform: platform, PlatformCustomerID: fmt.Sprintf("cust_%d", i), Email: fmt.Sprintf("user%d@example.com", i),
				FirstName: new("Jane"), LastName: new("Doe"),
			})
		}
		if _, err := store.UpsertCustomerIdentities(b.Context(), inputs, model.RejectAll); err != nil {
			b.Fatal(err)
		}
	}
	fill("woocommerce", 0)
	fill("shopify", 100)
	return &bench{handler: graph.NewHandler(graph.Config{DB: db, Log: slog.New(slog.DiscardHandler)}), token: token}
}

// run measures a request; variables may give other ones for the n-th time. wanted is how often a text must be in an answer.
func (h *bench) run(b *testing.B, document string, variables func(n int) map[string]any, text string, wanted int) {
	b.Helper()
	b.ReportAllocs()
	n, size := 0, 0
	for b.Loop() {
		n++
		body, err := json.Marshal(map[string]any{"query": document, "variables": variables(n)})
		if err != nil {
			b.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+h.token)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		answer := w.Body.Bytes()
		if bytes.Contains(answer, []byte(`"errors":`)) || bytes.Count(answer, []byte(text)) != wanted {
			b.Fatalf("want %d of %s: %.500s", wanted, text, answer)
		}
		size = len(answer)
	}
	b.ReportMetric(float64(size), "answer-B")
}

func none(int) map[string]any { return nil }

// BenchmarkAuth is a request that does nothing but show a token.
func BenchmarkAuth(b *testing.B) {
	newBench(b).run(b, `{ __typename }`, none, `"Query"`, 1)
}

// BenchmarkOne is a request for a single row.
func BenchmarkOne(b *testing.B) {
	const customer = `id email firstName lastName createdAt updatedAt`
	h := newBench(b)
	b.Run("customer by email", func(b *testing.B) {
		h.run(b, `query ($email: String!) { customer(by: { email: $email }) { `+customer+` } }`,
			func(n int) map[string]any { return map[string]any{"email": fmt.Sprintf("user%d@example.com", n%200)} }, `"firstName"`, 1)
	})
	b.Run("identity and customer", func(b *testing.B) {
		h.run(b, `query ($id: String!) { customerIdentity(by: { platformIdentity: { platform: "woocommerce", platformCustomerId: $id } }) {
			id platform platformCustomerId email firstName lastName createdAt updatedAt customer { `+customer+` } } }`,
			func(n int) map[string]any { return map[string]any{"id": fmt.Sprintf("cust_%d", n%200)} }, `"firstName"`, 2)
	})
}

// BenchmarkPage is a page of 50 customers with their identities.
func BenchmarkPage(b *testing.B) {
	const customer = `id email firstName lastName createdAt updatedAt
		identities { nodes { id platform platformCustomerId email firstName lastName createdAt updatedAt } }`
	h := newBench(b)
	b.Run("edges", func(b *testing.B) {
		h.run(b, `{ customers(first: 50) { edges { cursor node { `+customer+` } } pageInfo { hasNextPage endCursor } } }`, none, `"platform"`, 100)
	})
	b.Run("nodes", func(b *testing.B) {
		h.run(b, `{ customers(first: 50) { nodes { `+customer+` } pageInfo { hasNextPage endCursor } } }`, none, `"platform"`, 100)
	})
}

// BenchmarkEncode is an answer that is long for what it takes to read it: each of 100 rows under five names.
func BenchmarkEncode(b *testing.B) {
	const fields = `id email firstName lastName createdAt updatedAt version tags properties`
	newBench(b).run(b, `{ customers(first: 100) { a: nodes { `+fields+` } b: nodes { `+fields+` } c: nodes { `+fields+` }
		d: nodes { `+fields+` } e: nodes { `+fields+` } } }`, none, `"version"`, 500)
}

// BenchmarkDecode is a batch of 100 inputs that are read and checked, and none of which can be written.
func BenchmarkDecode(b *testing.B) {
	inputs := make([]map[string]any, 100)
	for i := range inputs {
		inputs[i] = map[string]any{
			"platform": "woocommerce", "platformCustomerId": fmt.Sprintf("cust_%d", i), "email": fmt.Sprintf("user%d at example.com", i),
			"firstName": "Jane", "lastName": "Doe",
		}
	}
	newBench(b).run(b, `mutation ($inputs: [UpsertCustomerIdentityInput!]!) { upsertCustomerIdentities(inputs: $inputs) { failedCount } }`,
		func(int) map[string]any { return map[string]any{"inputs": inputs} }, `"failedCount":100`, 1)
}

// BenchmarkUpsert is an upsert with what it may come to.
func BenchmarkUpsert(b *testing.B) {
	const document = `mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { outcome
		customerIdentity { id platform platformCustomerId email firstName lastName createdAt updatedAt } userErrors { message } } }`
	input := func(id int, email int, name string) map[string]any {
		return map[string]any{"input": map[string]any{
			"platform": "woocommerce", "platformCustomerId": fmt.Sprintf("cust_%d", id), "email": fmt.Sprintf("user%d@example.com", email),
			"firstName": name, "lastName": "Doe",
		}}
	}
	h := newBench(b)
	created := 1000
	b.Run("create both", func(b *testing.B) {
		h.run(b, document, func(int) map[string]any { created++; return input(created, created, "Jane") }, `"CREATED"`, 1)
	})
	b.Run("link", func(b *testing.B) {
		h.run(b, document, func(int) map[string]any { created++; return input(created, 1, "Jane") }, `"CREATED"`, 1)
	})
	b.Run("update", func(b *testing.B) {
		h.run(b, document, func(int) map[string]any { created++; return input(0, 0, fmt.Sprint("Jane ", created)) }, `"UPDATED"`, 1)
	})
	b.Run("nothing new", func(b *testing.B) {
		h.run(b, document, func(int) map[string]any { return input(2, 2, "Jane") }, `"UNCHANGED"`, 1)
	})
}
