package graph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"akin/graph"
	"akin/repo"
	"akin/repo/repotest"
)

// api is a running server with one store, as a client sees it.
type api struct {
	url   string
	token string // of scope write
	db    *repo.DB
	log   *logBuffer
}

// newAPI starts a server on a database of its own; adjust may change its configuration.
func newAPI(t *testing.T, adjust ...func(*graph.Config)) *api {
	t.Helper()
	return newAPIAt(t, repotest.URL(t), adjust...)
}

// newAPIAt is newAPI on the database at this address.
func newAPIAt(t *testing.T, address string, adjust ...func(*graph.Config)) *api {
	t.Helper()
	db, err := repo.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	_, token := repotest.NewStore(t, db, "shop")
	a := &api{db: db, token: token, log: &logBuffer{}}
	cfg := graph.Config{DB: db, Log: slog.New(slog.NewJSONHandler(a.log, nil))}
	for _, change := range adjust {
		change(&cfg)
	}
	server := httptest.NewServer(graph.NewHandler(cfg))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// request is what a test sends; its zero values are what most tests want.
type request struct {
	method string            // POST where empty
	path   string            // /graphql where empty
	header map[string]string // beside the token and the JSON content type; an empty value takes a header away
	body   string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code, Field string }
	}
	Data json.RawMessage
}

func (a *api) send(t *testing.T, req request) answer {
	t.Helper()
	method, path := req.method, req.path
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = "/graphql"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, a.url+path, strings.NewReader(req.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/json")
	for name, value := range req.header {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	}
	return got
}

// query sends a document with its variables, and asks for the newer media type.
func (a *api) query(t *testing.T, document string, variables map[string]any) answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	return a.send(t, request{body: string(body), header: map[string]string{"Accept": "application/graphql-response+json"}})
}

// check fails the test unless the answer has this status, and one error with this code and this part of a message.
func (got answer) check(t *testing.T, status int, code, message string) {
	t.Helper()
	if got.status != status {
		t.Errorf("status %d, want %d: %.500s", got.status, status, got.body)
	}
	if len(got.Errors) != 1 {
		t.Fatalf("%d errors, want 1: %.500s", len(got.Errors), got.body)
	}
	if got.Errors[0].Extensions.Code != code || !strings.Contains(got.Errors[0].Message, message) {
		t.Errorf("error %+v, want code %s and a message with %q", got.Errors[0], code, message)
	}
}

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns everything logged so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// line waits for the line with this message and returns it.
func (b *logBuffer) line(t *testing.T, message string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for text := range strings.Lines(b.String()) {
			var line map[string]any
			if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
				return line
			}
		}
	}
	t.Fatalf("no line %q in the log: %s", message, b)
	return nil
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	gone := newAPI(t, func(cfg *graph.Config) { cfg.DB = unreachable(t) })
	for _, test := range []struct {
		name, path string
		api        *api
		status     int
	}{
		{"a running server is healthy", "/healthz", a, http.StatusOK},
		{"a server without its database is healthy", "/healthz", gone, http.StatusOK},
		{"a server with its database is ready", "/readyz", a, http.StatusOK},
		{"a server without its database is not ready", "/readyz", gone, http.StatusServiceUnavailable},
		{"without a playground there is nothing at the root", "/", a, http.StatusNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.api.send(t, request{method: http.MethodGet, path: test.path}); got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
		})
	}
}

// unreachable returns a database that is not there.
func unreachable(t *testing.T) *repo.DB {
	t.Helper()
	db, err := repo.Open(t.Context(), "postgres://127.0.0.1:1/none", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestThePlaygroundServesEveryOtherPath(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) {
		cfg.Playground = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "page "+r.URL.Path)
		})
	})
	for _, path := range []string{"/", "/assets/main.js"} {
		if got := a.send(t, request{method: http.MethodGet, path: path}); got.body != "page "+path {
			t.Errorf("%s answers %q", path, got.body)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	closed := newAPI(t)
	open := newAPI(t, func(cfg *graph.Config) { cfg.Origins = []string{"https://shop.example"} })
	for _, test := range []struct {
		name   string
		api    *api
		origin string
		want   string
	}{
		{"a configured origin may read", open, "https://shop.example", "https://shop.example"},
		{"another origin may not", open, "https://evil.example", ""},
		{"none may where none is configured", closed, "https://shop.example", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			preflight := map[string]string{
				"Origin": test.origin, "Authorization": "",
				"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type",
			}
			got := test.api.send(t, request{method: http.MethodOptions, header: preflight})
			if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != test.want {
				t.Errorf("the preflight allows %q, want %q", allowed, test.want)
			}
			got = test.api.send(t, request{header: map[string]string{"Origin": test.origin}, body: `{"query":"{store{name}}"}`})
			if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != test.want || got.status != http.StatusOK {
				t.Errorf("the answer %d allows %q, want %q", got.status, allowed, test.want)
			}
		})
	}
	t.Run("a preflight needs no token and a refusal can be read", func(t *testing.T) {
		t.Parallel()
		got := open.send(t, request{
			header: map[string]string{"Origin": "https://shop.example", "Authorization": ""}, body: `{"query":"{store{name}}"}`,
		})
		if got.status != http.StatusUnauthorized || got.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("status %d, headers %v", got.status, got.header)
		}
		if exposed := got.header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "X-Request-Id") {
			t.Errorf("exposes %q", exposed)
		}
	})
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, test := range []struct {
		name, sent string
		kept       bool
	}{
		{"a sane one of the client's is kept", "7f3a/req-1", true},
		{"one with a space is replaced", "a b", false},
		{"one that is too long is replaced", strings.Repeat("a", 129), false},
		{"a missing one is made", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := a.send(t, request{header: map[string]string{"X-Request-Id": test.sent}, body: `{"query":"{store{name}}"}`})
			id := got.header.Get("X-Request-Id")
			if id == "" || (id == test.sent) != test.kept {
				t.Errorf("sent %q, came back %q", test.sent, id)
			}
		})
	}
}

func TestTheAccessLogNamesTheRequestAndNoSecret(t *testing.T) {
	t.Parallel()
	db, err := repo.Open(t.Context(), repotest.URL(t), repo.NewTracer(slog.New(slog.DiscardHandler), 0, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := newAPI(t, func(cfg *graph.Config) { cfg.DB = db })
	_, a.token = repotest.NewStore(t, db, "logged")
	got := a.send(t, request{
		header: map[string]string{"X-Request-Id": "req-1"},
		body:   `{"query":"query Who($email: String!) { customer(by: {email: $email}) { id } }","variables":{"email":"secret@doe.com"}}`,
	})
	if got.status != http.StatusOK {
		t.Fatal(got.body)
	}
	line := a.log.line(t, "request")
	for key, want := range map[string]any{
		"method": "POST", "path": "/graphql", "status": 200.0, "bytes": float64(len(got.body)), "operation": "Who",
		"kind": "query", "cost": 1.0, "rows": 1.0, "round_trips": 2.0, "retries": 0.0, // one of them for the token
		"code": "", "token": "test", "request_id": "req-1", "level": "INFO",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{"duration_ms", "store_id"} {
		if line[key] == nil || line[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	if log := a.log.String(); strings.Contains(log, a.token) || strings.Contains(log, "secret@") {
		t.Errorf("the log tells too much: %s", log)
	}
}

func TestTheLogsRateIsOfWhatGoesWell(t *testing.T) {
	t.Parallel()
	const well = 20
	a := newAPI(t)
	var log logBuffer
	handler := graph.NewHandler(graph.Config{DB: a.db, Log: slog.New(slog.NewJSONHandler(&log, nil)), LogRate: 1})
	send := func(path, token, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		if body == "" {
			r.Method = http.MethodGet
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range well {
		send("/healthz", "", "")
	}
	send("/graphql", a.token, `{"query":"{customers(after: \"x\") {nodes {id}}}"}`) // is answered with 200 and an error
	for range well {
		send("/graphql", "akin_none", `{"query":"{store {id}}"}`)
	}
	lines, unlogged := map[string]int{}, 0
	for text := range strings.Lines(log.String()) {
		var line struct {
			Msg, Code string
			Unlogged  int
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Msg == "request" {
			lines[line.Code]++
			unlogged += line.Unlogged
		}
	}
	if lines["BAD_USER_INPUT"] != 1 || lines["UNAUTHENTICATED"] != well {
		t.Errorf("%v are logged, want all that failed", lines)
	}
	if lines[""] == 0 || lines[""] == well || lines[""]+unlogged != well {
		t.Errorf("%d lines are of what went well, and %d are told to be left out of %d", lines[""], unlogged, well)
	}
}

func TestARequestThatTakesTooLongIsUnavailable(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.Timeout = time.Nanosecond })
	for _, accept := range []string{"application/json", "application/graphql-response+json"} {
		got := a.send(t, request{header: map[string]string{"Accept": accept}, body: `{"query":"{store{name}}"}`})
		got.check(t, http.StatusServiceUnavailable, "TIMED_OUT", "took longer than 1ns")
	}
}
