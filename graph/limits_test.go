package graph_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// nested returns a document in which each of n fragments spreads the next one twice, in lists of 100.
func nested(n int) string {
	var document strings.Builder
	document.WriteString("{customers{nodes{...f0}}}")
	for i := range n {
		fmt.Fprintf(&document, "fragment f%d on Customer{a:identities{nodes{customer{...f%d}}} b:identities{nodes{customer{...f%d}}}}", i, i+1, i+1)
	}
	fmt.Fprintf(&document, "fragment f%d on Customer{id}", n)
	return document.String()
}

// doubled returns the same without any list, so that nothing but the number of fields is great.
func doubled(n int) string {
	var document strings.Builder
	document.WriteString("{store{...f0}}")
	for i := range n {
		fmt.Fprintf(&document, "fragment f%d on Store{...f%d ...f%d}", i, i+1, i+1)
	}
	fmt.Fprintf(&document, "fragment f%d on Store{a:id}", n)
	return document.String()
}

func deep(n int) string {
	document := "id"
	for range n / 3 {
		document = "identities(first:1){nodes{customer{" + document + "}}}"
	}
	return "{customers(first:1){nodes{" + document + "}}}"
}

func TestDocumentsBeyondALimitAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	aliases := func(n int) string {
		var fields strings.Builder
		for i := range n {
			fmt.Fprintf(&fields, "a%d:name ", i)
		}
		return fields.String()
	}
	operations := func(n int) string {
		var document strings.Builder
		for i := range n {
			fmt.Fprintf(&document, "query Q%d{...F}", i)
		}
		return document.String()
	}
	for _, test := range []struct{ name, document, message string }{
		{
			"too many tokens",
			"{customers(filter:{ids:[" + strings.Repeat(`"x",`, 10_000) + "]}){nodes{id}}}", "more than 10000 tokens",
		},
		{"too many comments", strings.Repeat("#\n", 10_001) + "{__typename}", "more than 10000 tokens"},
		{
			"too many equal fields",
			"{store{" + strings.Repeat("id ", 9_000) + "}}",
			"takes 81000001 steps; at most 50000",
		},
		{"too many unknown fields", "{store{" + strings.Repeat("nam ", 9_000) + "}}", "takes 81000001 steps"},
		{
			"too many equal fields in a fragment that nothing spreads",
			"{__typename} fragment F on Store{" + strings.Repeat("id ", 300) + "}",
			"takes 90001 steps",
		},
		{
			"too many operations that spread a fragment of equal fields",
			operations(300) + "fragment F on Query{store{" + strings.Repeat("id ", 200) + "}}",
			"steps; at most 50000",
		},
		{
			"too many spreads",
			"{store{" + strings.Repeat("...F ", 300) + "}} fragment F on Store{id}",
			"takes 90002 steps",
		},
		{"too deep", deep(15), "the operation is 18 fields deep; at most 16"},
		{
			"too deep in a fragment",
			"{customers{nodes{...f}}} fragment f on Customer{" + strings.Repeat("identities{nodes{customer{", 5) + "id" + strings.Repeat("}}}", 5) + "}",
			"fields deep; at most 16",
		},
		{"too many aliases", "{store{" + aliases(101) + "}}", "101 aliases; at most 100"},
		{
			"too many aliases in a fragment spread twice",
			"{store{...f} b:store{...f}} fragment f on Store{" + aliases(50) + "}", "101 aliases; at most 100",
		},
		{
			"three nested pages of 100",
			"{customers(first:100){nodes{identities(first:100){nodes{customer{identities(first:100){nodes{id}}}}}}}}",
			"costs 1040302; at most 25000",
		},
		{
			"the same read backwards",
			"{customers(last:100){nodes{identities(last:100){nodes{customer{identities(last:100){nodes{id}}}}}}}}",
			"costs 1040302; at most 25000",
		},
		{
			"edges and nodes of two levels of 100",
			"{customers(first:100){edges{node{identities(first:100){edges{node{id}} nodes{id}}}}}}", "at most 25000",
		},
		{
			"a count of the store for each of 26 pages",
			"{" + strings.Repeat(`customers(first:1){...f}`, 26) + "} fragment f on CustomerConnection{totalCount}",
			"costs 26052; at most 25000",
		},
		{
			"many lists of nodes",
			"{" + strings.Repeat(`nodes(ids:[`+strings.Repeat(`"x" `, 90)+`]){...on Customer{identities(first:100){nodes{id}}}}`, 3) + "}",
			"costs 27810; at most 25000",
		},
		{"1 KB of nested fragments", doubled(25), "aliases; at most 100"},
		{"1 KB of nested fragments with lists", nested(11), "fields deep; at most 16"},
		{"all the fragments there may be", doubled(300), "steps; at most 50000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got := a.query(t, test.document, nil)
			t.Logf("%d bytes, answered in %s", len(test.document), time.Since(start))
			got.check(t, http.StatusBadRequest, "QUERY_TOO_COMPLEX", test.message)
		})
	}
}

func TestTheCostOfPagesComesFromTheVariables(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const document = `query ($n: Int, $ids: [ID!]!) {
		customers(first: $n) { nodes { identities(first: $n) { nodes { customer { identities(first: $n) { nodes { id } } } } } } }
		nodes(ids: $ids) { id }
	}`
	id := "0190a000-0000-7000-8000-000000000001"
	for _, test := range []struct {
		name      string
		variables map[string]any
		cost      string // empty where it is low enough
	}{
		{"pages of 10", map[string]any{"n": 10, "ids": []string{id}}, ""},
		{"pages of 100", map[string]any{"n": 100, "ids": []string{id}}, "costs 1040303"},
		{"no length, which is 20", map[string]any{"ids": []string{id, id}}, ""},
		{"null, which is 20", map[string]any{"n": nil, "ids": []string{id}}, ""},
		{"a list of IDs", map[string]any{"n": 100, "ids": []string{id, id, id}}, "costs 1040305"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := a.query(t, document, test.variables)
			if test.cost != "" {
				got.check(t, http.StatusBadRequest, "QUERY_TOO_COMPLEX", test.cost)
			} else if got.status != http.StatusOK || len(got.Errors) > 0 {
				t.Errorf("status %d: %s", got.status, got.body)
			}
		})
	}
}

func TestDocumentsWithinTheLimitsRun(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	introspection, err := os.ReadFile("testdata/introspection.graphql")
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]string, 250)
	for i := range batch {
		batch[i] = fmt.Sprintf(`{platform:"shopify",platformCustomerId:"%d",email:"p%d@doe.com",firstName:"Jane",lastName:"Doe"}`, i, i)
	}
	for name, document := range map[string]string{
		"the introspection of GraphiQL with all its options": string(introspection),

		"two nested pages of 100": "{customers(first:100){nodes{identities(first:100){nodes{id}}}}}",

		"two nested pages of 100 with their edges": "{customers(first:100){edges{cursor node{" +
			"identities(first:100){edges{cursor node{id}} pageInfo{endCursor}}}}}}",

		"16 levels": deep(12),

		"a fragment spread often": "{store{" + strings.Repeat("...f ", 100) + "}} fragment f on Store{id}",

		"a batch of 250 as literals": "mutation{upsertCustomerIdentities(inputs:[" + strings.Join(batch, ",") +
			"]){results{outcome customerIdentity{id customer{id}} userErrors{code}}}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := a.query(t, document, nil)
			if got.status != http.StatusOK || len(got.Errors) > 0 {
				t.Errorf("status %d: %.500s", got.status, got.body)
			}
		})
	}
}
