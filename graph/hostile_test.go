package graph_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"akin/graph"
	"akin/repo/repotest"
)

// hostile is a request that wants to cost more than it should, and the code that it is refused with.
type hostile struct {
	name, body, code string

	header  string // the content's encoding
	chunked bool   // without its length
}

// document returns the body of a request for this document.
func document(text string) string {
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// numbered joins n texts, each with its number.
func numbered(format string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

func around(before, inner, after string, n int) string {
	return strings.Repeat(before, n) + inner + strings.Repeat(after, n)
}

// withVariable returns the body of a request with a JSON value in its variables.
func withVariable(value string) string {
	return `{"query":"{ __typename }","variables":{"a":` + value + `}}`
}

const (
	unread      = "GRAPHQL_PARSE_FAILED"
	invalid     = "GRAPHQL_VALIDATION_FAILED"
	complicated = "QUERY_TOO_COMPLEX"
)

func hostileSet() []hostile {
	const megabyte = 1<<20 - 200
	long := strings.Repeat("x", megabyte)
	return []hostile{
		{name: "5,000 equal fields", body: document("{store{" + strings.Repeat("id ", 5_000) + "}}"), code: complicated},
		{name: "2,000 equal sub-selections", body: document("{" + strings.Repeat("store{id}", 2_000) + "}"), code: complicated},
		{name: "20,000 directives", body: document("{store{id " + strings.Repeat("@a", 20_000) + "}}"), code: "TOO_MANY_DIRECTIVES"},
		{name: "20,000 tokens", body: document("{nodes(ids:[" + strings.Repeat("1,", 20_000) + "]){id}}"), code: "TOO_MANY_TOKENS"},
		{name: "1 KB of nested fragments", body: document(doubled(25)), code: "TOO_MANY_ALIASES"},
		{name: "1 KB of nested fragments in lists", body: document(nested(11)), code: "QUERY_TOO_DEEP"},
		{
			name: "circular introspection",
			body: document("{__schema{types{...F}}} fragment F on __Type{ofType{...F} fields{type{...F}}}"), code: invalid,
		},
		{
			name: "deep introspection",
			body: document("{__schema{types{" + around("fields{type{", "name", "}}", 9) + "}}}"), code: invalid,
		},
		{
			name: "introspection deeper than sense",
			body: document("{__schema{types{" + around("ofType{", "name", "}", 2_400) + "}}}"), code: unread,
		},
		{
			name: "26 introspections",
			body: document("{" + numbered("a%d:__schema{types{name}} ", 26) + "}"), code: complicated,
		},
		{
			name: "99 introspections of a type",
			body: document("{" + numbered(`a%d:__type(name:"Query"){...F} `, 99) + "} fragment F on __Type{kind name description " +
				"fields{name description args{name type{name ofType{name ofType{name}}}} type{name ofType{name ofType{name}}}}}"), code: complicated,
		},
		{
			name: "an introspection with 98 aliases",
			body: document("{__schema{types{" + numbered("a%d:fields{type{fields{isDeprecated}}} ", 98) + "}}}"), code: complicated,
		},
		{name: "101 aliases", body: document("{store{" + numbered("a%d:id ", 101) + "}}"), code: "TOO_MANY_ALIASES"},
		{name: "101 fields at the root", body: document("{" + strings.Repeat("__typename ", 101) + "}"), code: "TOO_MANY_ROOT_FIELDS"},
		{name: "a body of 10 MB", body: withVariable(`"` + strings.Repeat("x", 10<<20) + `"`), code: "BODY_TOO_LARGE"},
		{name: "one that does not say so", body: withVariable(`"` + strings.Repeat("x", 10<<20) + `"`), code: "BODY_TOO_LARGE", chunked: true},
		{name: "a compressed body", body: document("{__typename}"), header: "gzip", code: "BAD_USER_INPUT"},
		{name: "deep JSON", body: withVariable(around("[", "", "]", megabyte/2)), code: "BODY_TOO_LARGE"},
		{name: "JSON as deep as it may be long", body: withVariable(around("[", "", "]", 49_000)), code: "BAD_USER_INPUT"},
		{name: "deep objects", body: withVariable(around(`{"a":`, "1", "}", megabyte/6)), code: "BODY_TOO_LARGE"},
		{name: "a number beyond any", body: withVariable("1e999999999"), code: "BAD_USER_INPUT"},
		{name: "a number of 1 MB", body: withVariable(strings.Repeat("9", megabyte)), code: "BAD_USER_INPUT"},
		{name: "an integer of 1 MB in the document", body: document("{customers(first:" + strings.Repeat("9", megabyte) + "){nodes{id}}}"), code: complicated},
		{name: "half a million numbers", body: withVariable("[" + strings.Repeat("1,", megabyte/2) + "1]"), code: "BODY_TOO_LARGE"},
		{name: "a third of a million objects", body: withVariable("[" + strings.Repeat("{},", megabyte/3) + "1]"), code: "BODY_TOO_LARGE"},
		{name: "JSON that breaks off", body: withVariable("[" + strings.Repeat("1,", 49_000)), code: "BAD_USER_INPUT"},
		{name: "a field's name of 1 MB", body: document("{store{" + long + "}}"), code: complicated},
		{name: "an argument's name of 1 MB", body: document("{customers(" + long + ":1){nodes{id}}}"), code: complicated},
		{name: "a type's name of 1 MB", body: document("{node(id:1){...on " + long + "{id}}}"), code: complicated},
		{name: "a text of 1 MB for an enum", body: document(`{customers(orderBy:{field:"` + long + `"}){nodes{id}}}`), code: complicated},
		{name: "a text of 32 KB for an enum", body: document(`{customers(orderBy:{field:"` + long[:32_000] + `"}){nodes{id}}}`), code: invalid},
		{name: "a text of 1 MB without an end", body: document(`{customers(orderBy:{field:"` + long), code: complicated},
		{name: "1 MB of comment", body: document("#" + long), code: complicated},
		{name: "1 MB of space", body: document(strings.Repeat(" ", megabyte)), code: complicated},
		{name: "an operation's name of 1 MB", body: `{"query":"{__typename}","operationName":"` + long + `"}`, code: complicated},
		{name: "9,900 unknown fields", body: document("{store{" + numbered("nam%d ", 9_900) + "}}"), code: complicated},
		{name: "2,400 unknown fields", body: document("{store{" + numbered("nam%d ", 2_400) + "}}"), code: invalid},
		{name: "500 long unknown fields", body: document("{store{" + numbered(long[:240]+"%d ", 500) + "}}"), code: invalid},
		{name: "500 long unknown arguments", body: document("{customers(" + numbered(long[:240]+"%d:1 ", 500) + "){nodes{id}}}"), code: invalid},
		{name: "3 texts of 32 KB for enums", body: document("{" + strings.Repeat(`customers(orderBy:{field:"`+long[:32_000]+`"}){nodes{id}}`, 3) + "}"), code: invalid},
		{name: "3,000 unknown arguments", body: document("{customers(" + numbered("firs%d:1 ", 3_000) + "){nodes{id}}}"), code: invalid},
		{name: "150 unknown types", body: document("{node(id:1){" + numbered("...on Custome%d{a}", 150) + "}}"), code: invalid},
		{name: "1,400 fragments", body: document("{__typename}" + numbered(" fragment F%d on Store{id}", 1_400)), code: complicated},
		{name: "240 unused fragments", body: document("{__typename}" + numbered(" fragment F%d on Store{id}", 240)), code: invalid},
		{name: "2,400 variables", body: document("query(" + numbered("$a%d:Int ", 2_400) + "){__typename}"), code: complicated},
		{name: "500 unused variables", body: document("query(" + numbered("$a%d:Int ", 500) + "){__typename}"), code: invalid},
		{name: "1,900 operations", body: document(numbered("query Q%d{__typename}", 1_900)), code: complicated},
		{name: "250 operations", body: document(numbered("query Q%d{__typename}", 250)), code: invalid},
		{name: "a list nested 4,900 times", body: document("{nodes(ids:" + around("[", "", "]", 4_900) + "){id}}"), code: unread},
		{name: "an object nested 2,400 times", body: document("{customer(by:" + around("{id:", "1", "}", 2_400) + "){id}}"), code: unread},
		{name: "a selection nested 3,300 times", body: document(around("{a", "", "}", 3_300)), code: unread},
		{name: "a selection nested 900 times", body: document(around("{a", "", "}", 900)), code: complicated},
		{name: "the largest document that is read", body: document("{__typename" + strings.Repeat("#"+strings.Repeat("x", 100)+"\n", 1_250)), code: unread},
		{name: "a batch of 300", body: document("mutation{upsertCustomers(inputs:[" + strings.Repeat(`{by:{email:"a@doe.com"}},`, 300) + "]){createdCount}}"), code: "BATCH_TOO_LONG"},
	}
}

// hostileHandler returns a handler without a network, and the header that lets a request in.
func hostileHandler(t testing.TB) (handler http.Handler, authorization string) {
	t.Helper()
	db := repotest.New(t)
	_, token := repotest.NewStore(t, db, "shop")
	return graph.NewHandler(graph.Config{DB: db, Log: slog.New(slog.DiscardHandler)}), "Bearer " + token
}

func (h hostile) send(handler http.Handler, authorization string) *httptest.ResponseRecorder {
	var body io.Reader = strings.NewReader(h.body)
	if h.chunked {
		body = io.MultiReader(body)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", body)
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Content-Type", typeJSON)
	if h.header != "" {
		r.Header.Set("Content-Encoding", h.header)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// mostMemory is what a hostile request may take, in bytes. The race detector takes some more.
var mostMemory uint64 = 10 << 20

// TestHostileRequestsAreRefusedForLittle holds each to 10 MB of memory, all that it takes taken together. BenchmarkHostile
// tells the time.
func TestHostileRequestsAreRefusedForLittle(t *testing.T) { //nolint:paralleltest // the memory is that of the process
	handler, authorization := hostileHandler(t)
	for _, test := range hostileSet() {
		t.Run(test.name, func(t *testing.T) {
			var w *httptest.ResponseRecorder
			taken := allocated(func() { w = test.send(handler, authorization) })
			var got answer
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v in %.300s", err, w.Body)
			}
			if len(got.Errors) == 0 || got.Errors[0].Extensions.Code != test.code || got.Data != nil {
				t.Errorf("want %s: %d %.300s", test.code, w.Code, w.Body)
			}
			if w.Body.Len() > 10_000 {
				t.Errorf("the refusal has %d bytes", w.Body.Len())
			}
			if taken > mostMemory {
				t.Errorf("it takes %.1f MB", float64(taken)/(1<<20))
			}
		})
	}
}

// allocated returns how many bytes do takes, all that it takes taken together.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestALargeAnswerIsNotWrittenToItsEnd asks for the same long properties under 90 names: 24 MB of 300 KB of rows.
func TestALargeAnswerIsNotWrittenToItsEnd(t *testing.T) { //nolint:paralleltest // the memory is that of the process
	a := newAPI(t, func(cfg *graph.Config) { cfg.Limits.Result = 200_000 })
	var inputs []map[string]any
	for i := range 20 {
		inputs = append(inputs, map[string]any{
			"by": map[string]any{"email": fmt.Sprint(i, "@doe.com")}, "properties": map[string]any{"long": strings.Repeat("x", 14_000)},
		})
	}
	a.must(t, nil, `mutation ($inputs: [UpsertCustomerInput!]!) { upsertCustomers(inputs: $inputs) { createdCount } }`, map[string]any{"inputs": inputs})
	many := numbered("a%d:properties ", 90)
	for name, document := range map[string]string{
		"nodes": "{customers(first:20){nodes{" + many + "}}}",
		"edges": "{customers(first:20){edges{node{" + many + "}}}}",
		"nodes with an error, which gqlgen would write": `{customers(first:20){nodes{identities(after:"x"){totalCount} ` + many + "}}}",
		"many roots": "{" + strings.ReplaceAll(numbered("a%d:customers(first:20){nodes{...f}} ", 40), "...f", "properties") + "}",
	} {
		t.Run(name, func(t *testing.T) {
			var got answer
			taken := allocated(func() { got = a.query(t, document, nil) })
			if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "RESULT_TOO_LARGE" || got.Data != nil {
				t.Errorf("%d %.300s", got.status, got.body)
			}
			if taken > mostMemory {
				t.Errorf("it takes %.1f MB", float64(taken)/(1<<20))
			}
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	handler, authorization := hostileHandler(b)
	for _, test := range hostileSet() {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				test.send(handler, authorization)
			}
		})
	}
}
