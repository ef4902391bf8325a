package graph_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"akin/graph"
	"akin/repo/repotest"
)

// FuzzRequest sends bodies and queries that are anything. None gets a 5xx, every answer is JSON, and a refusal has a code
// and shows no value of the request.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"query": "{ store { name } }"}`,
		`{"query": "query Q($n: Int) { customers(first: $n) { nodes { id } } }", "variables": {"n": 2}, "operationName": "Q"}`,
		`{"query": "mutation ($i: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $i) { outcome userErrors { message } } }", "variables": {"i": {"platform": "shopify", "platformCustomerId": "7781", "email": "jane@doe.com"}}}`,
		`{"query": "mutation ($i: UpsertCustomerInput!) { upsertCustomer(input: $i) { outcome } }", "variables": {"i": {"by": {"externalId": "1"}, "properties": {"a": 1e400}, "tags": [null]}}}`,
		`{"query": "{ node(id: \"0190a000-0000-7000-8000-000000000001\") { id ... on Customer { email } } }", "extensions": {}}`,
		`{"query": "fragment F on Query { ...F } { ...F }"}`,
		`[{"query": "{ store { name } }"}]`, `{"query": 1}`, `{"query": "{"}`, `{"variables": []}`, `{`, ``, `null`, "\xff", `{"query":"\ud800"}`, `{"query":"{a}"} {}`,
		strings.Repeat(`[`, 5000), `{"query": "{ customers(after: \"\u0000\") { totalCount } }"}`,
	} {
		f.Add(seed, "application/json")
	}
	for _, seed := range quoting {
		f.Add(quotingBody(f, seed.document, seed.variables), "application/json")
		if !strings.HasPrefix(seed.variables, `"`) {
			f.Add(seed.document, seed.variables)
		}
	}
	f.Add("{}", "text/plain; charset=")
	f.Add("query={store{name}}", "application/x-www-form-urlencoded")
	db := repotest.New(f)
	_, token := repotest.NewStore(f, db, "shop")
	log := &logBuffer{}
	handler := graph.NewHandler(graph.Config{DB: db, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))})
	f.Fuzz(func(t *testing.T, body, contentType string) {
		post := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(body))
		post.Header.Set("Content-Type", contentType)
		get := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql", http.NoBody)
		get.URL.RawQuery = url.Values{"query": {body}, "variables": {contentType}}.Encode()
		raw := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql", http.NoBody)
		raw.URL.RawQuery = body
		for _, request := range []*http.Request{post, get, raw} {
			values := valuesOf(request, body)
			request.Header.Set("Authorization", "Bearer "+token)
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			var got answer
			if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil || recorder.Code >= 500 {
				t.Errorf("%d, %v: %s to %s %q", recorder.Code, err, recorder.Body, request.Method, body)
			}
			for _, e := range got.Errors {
				if code := e.Extensions.Code; code == "" || code == "INTERNAL" || code == "UNAVAILABLE" {
					t.Errorf("%s to %s %q", recorder.Body, request.Method, body)
				}
				for _, value := range values {
					if strings.Contains(e.Message, value) {
						t.Errorf("%q is told by %q, to %s %q", value, e.Message, request.Method, body)
					}
				}
			}
			if recorder.Code == http.StatusOK && got.Data == nil && got.Errors == nil {
				t.Errorf("an answer without data and errors to %s %q", request.Method, body)
			}
		}
	})
}

// valuesOf returns what the errors of a request must not show; body is that of a POST.
func valuesOf(r *http.Request, body string) []string {
	if r.Method == http.MethodPost {
		params, _ := decode(body).(map[string]any)
		document, _ := params["query"].(string)
		operationName, _ := params["operationName"].(string)
		return sent(document, operationName, params["variables"])
	}
	texts := r.URL.Query()
	return sent(texts.Get("query"), texts.Get("operationName"), decode(texts.Get("variables")))
}

// decode returns the value of a JSON text, or the text itself where it is none.
func decode(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return text
	}
	return value
}
