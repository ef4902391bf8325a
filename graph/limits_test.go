package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"akin/graph"
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
	for _, test := range []struct{ name, document, message, code string }{
		{
			"too many tokens",
			"{customers(filter:{ids:[" + strings.Repeat(`"x",`, 10_000) + "]}){nodes{id}}}", "more than 10000 tokens", "TOO_MANY_TOKENS",
		},
		{"too many comments", strings.Repeat("#\n", 10_001) + "{__typename}", "more than 10000 tokens", "TOO_MANY_TOKENS"},
		{
			"too many equal fields",
			"{store{" + strings.Repeat("id ", 2_400) + "}}",
			"takes 5760001 steps; at most 50000", "QUERY_TOO_COMPLEX",
		},
		{"too many unknown fields", "{store{" + strings.Repeat("nam ", 2_400) + "}}", "takes 5760001 steps", "QUERY_TOO_COMPLEX"},
		{
			"too many equal fields in a fragment that nothing spreads",
			"{__typename} fragment F on Store{" + strings.Repeat("id ", 300) + "}",
			"takes 90001 steps", "QUERY_TOO_COMPLEX",
		},
		{
			"too many operations that spread a fragment of equal fields",
			operations(200) + "fragment F on Query{store{" + strings.Repeat("id ", 200) + "}}",
			"steps; at most 50000", "QUERY_TOO_COMPLEX",
		},
		{
			"too many spreads",
			"{store{" + strings.Repeat("...F ", 300) + "}} fragment F on Store{id}",
			"takes 90002 steps", "QUERY_TOO_COMPLEX",
		},
		{"too deep", deep(15), "the operation is 18 fields deep; at most 16", "QUERY_TOO_DEEP"},
		{
			"too deep in a fragment",
			"{customers{nodes{...f}}} fragment f on Customer{" + strings.Repeat("identities{nodes{customer{", 5) + "id" + strings.Repeat("}}}", 5) + "}",
			"fields deep; at most 16", "QUERY_TOO_DEEP",
		},
		{"too many aliases", "{store{" + aliases(101) + "}}", "101 aliases; at most 100", "TOO_MANY_ALIASES"},
		{
			"too many aliases in a fragment spread twice",
			"{store{...f} b:store{...f}} fragment f on Store{" + aliases(50) + "}", "101 aliases; at most 100", "TOO_MANY_ALIASES",
		},
		{
			"three nested pages of 100",
			"{customers(first:100){nodes{identities(first:100){nodes{customer{identities(first:100){nodes{id}}}}}}}}",
			"costs 1040302; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"the same read backwards",
			"{customers(last:100){nodes{identities(last:100){nodes{customer{identities(last:100){nodes{id}}}}}}}}",
			"costs 1040302; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"edges and nodes of two levels of 100",
			"{customers(first:100){edges{node{identities(first:100){edges{node{id}} nodes{id}}}}}}", "at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"a count of the store for each of 26 pages",
			"{" + strings.Repeat(`customers(first:1){...f}`, 26) + "} fragment f on CustomerConnection{totalCount}",
			"costs 26052; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"a type introspected 84 times",
			"{" + numbered(`a%d:__type(name:"Query"){name} `, 84) + "}", "costs 25200; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"an introspection with 25 aliases",
			"{__schema{types{" + numbered("a%d:name ", 25) + "}}}", "costs 26001; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{
			"many lists of nodes",
			"{" + strings.Repeat(`nodes(ids:[`+strings.Repeat(`"x" `, 90)+`]){...on Customer{identities(first:100){nodes{id}}}}`, 3) + "}",
			"costs 27810; at most 25000", "QUERY_TOO_COMPLEX",
		},
		{"1 KB of nested fragments", doubled(25), "aliases; at most 100", "TOO_MANY_ALIASES"},
		{"1 KB of nested fragments with lists", nested(11), "fields deep; at most 16", "QUERY_TOO_DEEP"},
		{"all the fragments there may be", doubled(240), "steps; at most 50000", "QUERY_TOO_COMPLEX"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got := a.query(t, test.document, nil)
			t.Logf("%d bytes, answered in %s", len(test.document), time.Since(start))
			got.check(t, http.StatusBadRequest, test.code, test.message)
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

func TestEachLimitIsASetting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		limits         graph.Limits
		within, beyond string
		code, message  string
	}{
		{
			"body",
			graph.Limits{Body: 80},
			`{"query":"{ store { id } }"}`, `{"query":"{ store { id } }","extensions":{"a":"` + strings.Repeat("x", 80) + `"}}`,
			"BODY_TOO_LARGE", "larger than 80 bytes",
		},
		{
			"tokens",
			graph.Limits{Tokens: 6},
			`{"query":"{ store { id } }"}`, `{"query":"{ store { id name } }"}`, "TOO_MANY_TOKENS", "more than 6 tokens",
		},
		{
			"directives",
			graph.Limits{Directives: 1},
			`{"query":"{ store { id @skip(if: false) } }"}`,
			`{"query":"{ store { id @skip(if: false) @include(if: true) } }"}`, "TOO_MANY_DIRECTIVES", "more than 1 directives",
		},
		{
			"root fields",
			graph.Limits{RootFields: 2},
			`{"query":"{ store { id } ...F } fragment F on Query { __typename }"}`,
			`{"query":"{ store { id } ...F ...F } fragment F on Query { __typename }"}`, "TOO_MANY_ROOT_FIELDS", "3 fields at its root",
		},
		{
			"aliases",
			graph.Limits{Aliases: 1},
			`{"query":"{ a: store { id } }"}`, `{"query":"{ a: store { b: id } }"}`, "TOO_MANY_ALIASES", "2 aliases",
		},
		{
			"depth",
			graph.Limits{Depth: 2},
			`{"query":"{ store { id } }"}`, `{"query":"{ customers { nodes { id } } }"}`, "QUERY_TOO_DEEP", "3 fields deep",
		},
		{
			"cost",
			graph.Limits{Cost: 12},
			`{"query":"{ customers(first: 10) { nodes { id } } }"}`,
			`{"query":"{ customers(first: 11) { nodes { id } } }"}`, "QUERY_TOO_COMPLEX", "costs 13",
		},
		{
			"batch",
			graph.Limits{Batch: 1},
			`{"query":"mutation { upsertCustomers(inputs: [{by: {email: \"a@doe.com\"}}]) { createdCount } }"}`,
			`{"query":"mutation { upsertCustomers(inputs: [{by: {email: \"a@doe.com\"}}, {by: {email: \"b@doe.com\"}}]) { createdCount } }"}`,
			"BATCH_TOO_LONG", "2 inputs; at most 1",
		},
		{
			"result",
			graph.Limits{Result: 30},
			`{"query":"{ __typename }"}`, `{"query":"{ __typename a: __typename b: __typename }"}`, "RESULT_TOO_LARGE", "more than 30 bytes",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, func(cfg *graph.Config) { cfg.Limits = test.limits })
			if got := a.send(t, request{body: test.within}); got.status != http.StatusOK || len(got.Errors) > 0 {
				t.Errorf("within: %d %s", got.status, got.body)
			}
			got := a.send(t, request{body: test.beyond})
			if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != test.code || !strings.Contains(got.Errors[0].Message, test.message) {
				t.Errorf("beyond: %d %s", got.status, got.body)
			}
		})
	}
}

func TestAnAnswerTooLargeSaysWhatIsWritten(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.Limits.Result = 50 })
	const upsert = `mutation { upsertCustomer(input: {by: {email: "a@doe.com"}}) { outcome customer { id email } } }`
	a.query(t, upsert, nil).check(t, http.StatusBadRequest, "RESULT_TOO_LARGE", "what the mutation wrote is written")
	if got := a.query(t, "{ customers { totalCount } }", nil); string(got.Data) != `{"customers":{"totalCount":1}}` {
		t.Errorf("%s", got.body)
	}
}

// TestAnAnswerIsNotMadeOfMoreThanItMayBe asks for the IDs of events with long properties, and for the properties of
// others, of whom there is none: the answer would be short, but what it is made of is not.
func TestAnAnswerIsNotMadeOfMoreThanItMayBe(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.Limits.Result = 10_000 })
	const upsert = `mutation ($inputs: [UpsertCustomerEventInput!]!) { upsertCustomerEvents(inputs: $inputs) { createdCount } }`
	a.must(t, nil, `mutation { upsertCustomer(input: {by: {email: "a@doe.com"}}) { outcome } }`, nil)
	for i := range 2 {
		var inputs []map[string]any
		for j := range 40 {
			inputs = append(inputs, map[string]any{
				"customer": map[string]any{"email": "a@doe.com"}, "source": "shop", "type": "t", "eventId": fmt.Sprint(i, j),
				"properties": map[string]any{"long": strings.Repeat("x", 15_000)},
			})
		}
		a.must(t, nil, upsert, map[string]any{"inputs": inputs})
	}
	const events = `query ($n: Int!) { customer(by: {email: "a@doe.com"}) { events(first: $n) { nodes { id } } none: events(type: "other") { nodes { properties } } } }`
	a.must(t, nil, events, map[string]any{"n": 60})
	got := a.query(t, events, map[string]any{"n": 80})
	got.check(t, http.StatusBadRequest, "RESULT_TOO_LARGE", "the rows that it is made of more than 1048576: ask for less")
	a.must(t, nil, events, map[string]any{"n": 10}) // the connection is none the worse for it
}

func TestLimitsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]graph.Limits{
		"--max-depth must be 1 to": {Depth: -1}, "--max-root-fields must be 1 to": {RootFields: 1 << 40}, "--max-batch must be 1 to 250": {Batch: 251},
	} {
		if err := limits.Verify(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
	if err := graph.DefaultLimits.Verify(); err != nil {
		t.Error(err)
	}
}

func TestIntrospectionCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.NoIntrospection = true })
	for _, document := range []string{
		"{ __schema { types { name } } }", `{ __type(name: "Customer") { name } }`, `query { ...F } fragment F on Query { a: __schema { types { name } } }`,
	} {
		a.query(t, document, nil).check(t, http.StatusBadRequest, "GRAPHQL_VALIDATION_FAILED", "introspection is turned off")
	}
	if got := a.query(t, "{ __typename store { __typename } }", nil); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestSuggestionsCanBeTurnedOff makes each of the validator's rules suggest something.
func TestSuggestionsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	with, without := newAPI(t), newAPI(t, func(cfg *graph.Config) { cfg.NoSuggestions = true })
	for _, document := range []string{
		"{ store { nam } }",
		`{ node(id: "1") { email } }`,
		"{ customers(firs: 1) { nodes { id } } }",
		"{ store { id @include(iff: true) } }",
		"{ customers(orderBy: {field: EMAI}) { nodes { id } } }",
		`{ customers(orderBy: {field: "EMAIL"}) { nodes { id } } }`,
		"{ customers(orderBy: {field: EMAIL, directio: ASC}) { nodes { id } } }",
	} {
		const suggestion = "Did you mean"
		if got := with.query(t, document, nil); !strings.Contains(got.body, suggestion) {
			t.Errorf("%s suggests nothing: %s", document, got.body)
		}
		if got := without.query(t, document, nil); strings.Contains(got.body, suggestion) || len(got.Errors) == 0 || len(got.Errors[0].Message) < 10 {
			t.Errorf("%s: %s", document, got.body)
		}
	}
}

func TestNamesForVariablesCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.NoSuggestions = true })
	for _, test := range []struct {
		document  string
		variables map[string]any
		message   string
	}{
		{"query ($by: CustomerKey!) { customer(by: $by) { id } }", map[string]any{"by": map[string]any{"x": 1}}, "$by: unknown field of CustomerKey"},
		{
			"query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { nodes { id } } }",
			map[string]any{"f": "x"},
			"$f: must be a CustomerOrderField",
		},
		{
			"query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { nodes { id } } }",
			map[string]any{"f": "email"},
			"$f must be a CustomerOrderField",
		},
	} {
		got := a.query(t, test.document, test.variables)
		got.check(t, http.StatusBadRequest, badInput, test.message)
		if got.Errors[0].Message != test.message {
			t.Errorf("%q, want %q", got.Errors[0].Message, test.message)
		}
	}
}

// TestAWholeFloatCostsWhatItAsksFor sends the length of a page as some clients write whole numbers.
func TestAWholeFloatCostsWhatItAsksFor(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const nested = `query ($f: Int) { customers(first: $f) { nodes { identities(first: 100) { nodes { customer { identities(first: 5) { nodes { id } } } } } } } }`
	a.must(t, nil, nested, map[string]any{"f": json.RawMessage("5.0")})
	a.query(t, nested, map[string]any{"f": json.RawMessage("100.0")}).check(t, http.StatusBadRequest, "QUERY_TOO_COMPLEX", "costs 90302")
}
