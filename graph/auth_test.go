package graph_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"akin/graph"
	"akin/repo"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	past := time.Now().Add(-time.Minute)
	create := func(name string, scope repo.Scope, expires *time.Time) string {
		t.Helper()
		token, _, err := a.db.CreateToken(t.Context(), "shop", name, scope, expires)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	reading := create("reading", repo.ScopeRead, nil)
	expired := create("expired", repo.ScopeWrite, &past)
	revoked := create("revoked", repo.ScopeWrite, nil)
	if err := a.db.RevokeToken(t.Context(), "shop", "revoked"); err != nil {
		t.Fatal(err)
	}
	other := newAPI(t)
	const query, mutation = `{"query":"{ store { name } }"}`, `{"query":"mutation { __typename }"}`
	const invalid = `Bearer realm="akin", error="invalid_token", error_description=`
	for _, test := range []struct {
		name, authorization, body string
		status                    int
		challenge, code, message  string
	}{
		{"no token", "", query, 401, `Bearer realm="akin"`, "UNAUTHENTICATED", "a token is needed"},
		{"a token without its scheme", a.token, query, 401, invalid, "UNAUTHENTICATED", "must be: Bearer"},
		{"another scheme", "Basic YTpi", query, 401, invalid, "UNAUTHENTICATED", "must be: Bearer"},
		{"a scheme without a token", "Bearer ", query, 401, invalid, "UNAUTHENTICATED", "must be: Bearer"},
		{
			"two tokens in one header",
			"Bearer " + a.token + ", Bearer " + a.token, query, 401, invalid, "UNAUTHENTICATED", "must be: Bearer",
		},
		{
			"a mistyped token",
			"Bearer " + a.token[:20] + "x" + a.token[21:] + "y", query, 401, invalid, "UNAUTHENTICATED", "malformed",
		},
		{"a token of another server", "Bearer " + other.token, query, 401, invalid, "UNAUTHENTICATED", "unknown"},
		{"an expired token", expired, query, 401, invalid, "UNAUTHENTICATED", "expired"},
		{"a revoked token", revoked, query, 401, invalid, "UNAUTHENTICATED", "revoked"},
		{
			"a mutation with a token that may only read", reading, mutation, 403,
			`Bearer realm="akin", error="insufficient_scope", scope="write"`, "FORBIDDEN", "needs a token of scope write",
		},
		{"a query with a token that may only read", reading, query, 200, "", "", ""},
		{"a mutation with a token that may write", "Bearer " + a.token, mutation, 200, "", "", ""},
		{"the scheme in another case", "bEARER " + a.token, query, 200, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, accept := range []string{typeJSON, typeGraphQL} {
				header := map[string]string{"Authorization": test.authorization, "Accept": accept}
				got := a.send(t, request{header: header, body: test.body})
				challenge := got.header.Get("WWW-Authenticate")
				if !strings.HasPrefix(challenge, test.challenge) || (challenge == "") != (test.challenge == "") {
					t.Errorf("challenge %q, want %q", challenge, test.challenge)
				}
				if contentType := got.header.Get("Content-Type"); !strings.HasPrefix(contentType, accept) {
					t.Errorf("content type %q, want %q", contentType, accept)
				}
				if test.status != http.StatusOK {
					got.check(t, test.status, test.code, test.message)
				} else if got.status != http.StatusOK || len(got.Errors) > 0 {
					t.Errorf("status %d: %s", got.status, got.body)
				}
			}
		})
	}
}

func TestTwoAuthorizationHeadersAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/graphql?query={__typename}", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer " + a.token, "Bearer " + a.token}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestTheTokenIsCheckedBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.send(t, request{header: map[string]string{"Authorization": ""}, body: `{"query": nonsense`})
	got.check(t, http.StatusUnauthorized, "UNAUTHENTICATED", "a token is needed")
}

func TestWithoutItsDatabaseAServerIsUnavailable(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.DB = unreachable(t) })
	for _, accept := range []string{typeJSON, typeGraphQL} {
		got := a.send(t, request{header: map[string]string{"Accept": accept}, body: `{"query":"{ store { name } }"}`})
		got.check(t, http.StatusServiceUnavailable, "UNAVAILABLE", "the database cannot be reached")
	}
	if line := a.log.line(t, "unavailable"); line["error"] == nil || line["request_id"] == nil {
		t.Errorf("the log does not say why: %v", line)
	}
}
