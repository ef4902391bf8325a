package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"akin/repo/repotest"
)

// written collects all that a program writes.
type written struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// watched is a program whose log and metrics a test reads.
type watched struct {
	program
	database string
	metrics  string // the URL
	log      *written
}

// watch runs main with a database, a store and a token of its own, and its metrics on another port.
func watch(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{database: repotest.URL(t), log: &written{}}
	if code, _, stderr := command(t, "--database-url", w.database, "store", "create", "shop"); code != 0 {
		t.Fatal(stderr)
	}
	_, token, _ := command(t, "--database-url", w.database, "token", "create", "--store", "shop", "--name", "watched")
	w.token = strings.TrimSpace(token)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	exited := make(chan int, 1)
	go func() {
		exited <- run(ctx, append([]string{
			"--database-url", w.database, "--log-format", "json", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		}, args...), nil, w.log, w.log)
	}()
	w.stop = func() int {
		cancel()
		code := <-exited
		exited <- code
		return code
	}
	t.Cleanup(func() { w.stop() })
	within(t, 30*time.Second, "starting", func() bool {
		w.url = regexp.MustCompile(`http://\S+`).FindString(w.log.String())
		if found := regexp.MustCompile(`"serving metrics","address":"([^"]+)"`).FindStringSubmatch(w.log.String()); found != nil {
			w.metrics = "http://" + found[1] + "/metrics"
		}
		return w.url != "" && w.metrics != ""
	})
	return w
}

// scrape returns what /metrics shows.
func (w *watched) scrape(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.metrics, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, body := send(t, request)
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", status, body)
	}
	return body
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := watch(t, "--origins", "https://admin.example")
	const upsert = `mutation Upsert { upsertCustomerIdentity(input: {platform: "shopify", platformCustomerId: "1", email: %q}) { outcome userErrors { code } } }`
	for _, email := range []string{"jane@doe.com", "jane@doe.com", "nonsense"} {
		if status, body := w.post(t, w.token, fmt.Sprintf(upsert, email)); status != http.StatusOK {
			t.Fatal(body)
		}
	}
	w.post(t, w.token, `query NameOfAClient { customers(first: 10) { nodes { identities { nodes { id } } } } }`)
	w.post(t, w.token, `{ store { name } ...F } fragment F on Query { store { id } }`)
	w.post(t, w.token, `{ nonsense }`)
	w.post(t, w.token, `{ customers(first: 1000) { nodes { id } } }`)
	w.post(t, "akin_typo", `{ store { name } }`)
	w.get(t, "/healthz") // which is not counted
	preflight, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.url+"/graphql", nil)
	if err != nil {
		t.Fatal(err)
	}
	preflight.Header.Set("Origin", "https://admin.example")
	preflight.Header.Set("Access-Control-Request-Method", http.MethodPost)
	if status, body := send(t, preflight); status != http.StatusNoContent { // nor is a browser's question whether it may ask
		t.Errorf("a preflight: %d %s", status, body)
	}
	if status, _ := w.get(t, "/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics beside the API answers %d, want 404", status)
	}
	var metrics string
	for _, want := range []string{
		`akin_requests_total{field="upsertCustomerIdentity",kind="mutation",outcome="OK"} 3`,
		`akin_requests_total{field="customers",kind="query",outcome="OK"} 1`,
		`akin_requests_total{field="customers",kind="query",outcome="BAD_USER_INPUT"} 1`,
		`akin_requests_total{field="several",kind="query",outcome="OK"} 1`,
		`akin_requests_total{field="none",kind="none",outcome="UNAUTHENTICATED"} 1`,
		`akin_request_duration_seconds_count{kind="mutation"} 3`,
		`akin_requests_in_flight 0`,
		`akin_upserts_total{kind="identity",outcome="CREATED"} 1`,
		`akin_upserts_total{kind="identity",outcome="UNCHANGED"} 1`,
		`akin_upserts_total{kind="identity",outcome="INVALID"} 1`,
		`akin_token_refusals_total{reason="malformed"} 1`,
		`akin_token_refusals_total{reason="revoked"} 0`,
		`akin_pool_connections{state="used"} 0`,
		fmt.Sprint("akin_pool_max_connections ", max(8, runtime.NumCPU())),
		`akin_retries_total 0`,
		`akin_turn_wait_seconds_total 0`,
		`akin_index_merges_total{outcome="failed"} 0`,
	} {
		within(t, 10*time.Second, want, func() bool {
			metrics = w.scrape(t)
			return strings.Contains(metrics, "\n"+want+"\n")
		})
	}
	for _, pattern := range []string{
		`GRAPHQL_VALIDATION_FAILED"} 1`, `akin_pool_connects_total [1-9]`, `akin_rows_total [1-9]`,
		`akin_request_round_trips_sum\{kind="mutation"\} [2-9]`, `go_goroutines [1-9]`, `process_open_fds [1-9]`,
	} {
		if !regexp.MustCompile(pattern).MatchString(metrics) {
			t.Errorf("no %s in\n%s", pattern, metrics)
		}
	}
	if strings.Contains(metrics, `field="none",kind="none",outcome="OK"`) {
		t.Error("what is no request to GraphQL is counted")
	}
	if strings.Contains(metrics, "NameOfAClient") || strings.Contains(metrics, "shop") {
		t.Error("the metrics have labels of a client's")
	}
}

func TestWithoutAnAddressThereAreNoMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, "--database-url", repotest.URL(t))
	if status, _ := p.get(t, "/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics answers %d, want 404", status)
	}
}

func TestTheLogHasWhatIsOfItsLevel(t *testing.T) {
	t.Parallel()
	for level, requests := range map[string]int{"info": 2, "warn": 0} {
		var log written
		p := startLogging(t, &log, "--database-url", repotest.URL(t), "--log-level", level, "--slow-statement", "1ns")
		p.get(t, "/healthz")
		p.get(t, "/healthz")
		p.stop()
		if n := strings.Count(log.String(), "msg=request"); n != requests {
			t.Errorf("%s: %d requests are logged, want %d", level, n, requests)
		}
		if !strings.Contains(log.String(), `level=WARN msg="slow statement"`) {
			t.Errorf("%s: no warning is logged", level)
		}
	}
	if code, _, stderr := command(t, "--log-rate=-1"); code != 2 || !strings.Contains(stderr, "--log-rate must be 0 to") {
		t.Errorf("a rate that is none exits with %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, "--log-level", "loud", "store", "list"); code != 2 || !strings.Contains(stderr, "--log-level") {
		t.Errorf("a level that is none exits with %d: %s", code, stderr)
	}
}

// collector is an OpenTelemetry collector that keeps what it is sent.
type collector struct {
	*httptest.Server

	raw   written
	mu    sync.Mutex
	spans []*tracepb.Span
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent coltracepb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		_, _ = c.raw.Write(body)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func attributes(span *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, attribute := range span.Attributes {
		value := attribute.Value
		all[attribute.Key] = value.GetStringValue()
		if _, isInt := value.Value.(*commonpb.AnyValue_IntValue); isInt {
			all[attribute.Key] = fmt.Sprint(value.GetIntValue())
		}
	}
	return all
}

func TestTracesLeadFromTheClientToTheDatabase(t *testing.T) {
	t.Parallel()
	traces := newCollector(t)
	w := watch(t, "--otlp-endpoint", traces.URL)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/graphql",
		strings.NewReader(`{"query": "query Page { customers(first: 5) { nodes { identities { nodes { id } } } } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+w.token)
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if status, body := send(t, request); status != http.StatusOK {
		t.Fatal(body)
	}
	w.get(t, "/readyz") // which is no request to trace
	w.stop()
	var server *tracepb.Span
	statements := 0
	for _, span := range traces.spans {
		if id := hex.EncodeToString(span.TraceId); id != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("span %s is of trace %s", span.Name, id)
		}
		if span.Kind == tracepb.Span_SPAN_KIND_SERVER {
			server = span
		}
	}
	if server == nil || hex.EncodeToString(server.ParentSpanId) != "b7ad6b7169203331" {
		t.Fatalf("no span below the client's: %v", traces.spans)
	}
	for _, span := range traces.spans {
		if span == server {
			continue
		}
		statements++
		about := attributes(span)
		if !bytes.Equal(span.ParentSpanId, server.SpanId) || about["db.system.name"] != "postgresql" ||
			!strings.HasPrefix(about["db.query.text"], "SELECT") || about["akin.fingerprint"] == "" {
			t.Errorf("the statement's span is %v", span)
		}
	}
	about := attributes(server)
	want := map[string]string{
		"graphql.operation.type": "query", "graphql.operation.name": "Page", "http.response.status_code": "200", "akin.token": "watched",
	}
	for key, value := range want {
		if about[key] != value {
			t.Errorf("%s is %q, want %q", key, about[key], value)
		}
	}
	if statements != 2 || about["akin.round_trips"] != "2" { // the token and an empty page, which has no identities
		t.Errorf("%d spans of statements, %s round trips", statements, about["akin.round_trips"])
	}
}

// Values that must never be written.
const (
	secretEmail = "tell.nobody@secret-shopper.example"
	secretPhone = "+442079460958"
)

// phoneForms are other forms in which Akin takes a phone number.
var phoneForms = []string{
	"+44 20 7946 0958", "+44 / 20 / 79 46 09 58", "＋442079460958", "+٤٤٢٠٧٩٤٦٠٩٥٨", "+1-800-FLOWERS",
}

// TestNoSecretIsWritten sends a token, an email and a phone number wherever the schema has a place for a text, through
// every operation, sound and broken, wherever else a client may write what it likes, and with statements that fail; then it
// looks for them in the log, with every statement in it, in the metrics, in the traces and in what the answers say of
// errors. (An alias is no such place: the path of an error has to have it, and only its client reads that.)
func TestNoSecretIsWritten(t *testing.T) {
	t.Parallel()
	traces := newCollector(t)
	w := watch(t, "--slow-statement", "1ns", "--otlp-endpoint", traces.URL)
	leaks := regexp.MustCompile(`(?i)tell\.nobody|secret-shopper|2079460958|20.7946.0958|79 46 09 58|٧٩٤٦|flowers|8003569377|` +
		regexp.QuoteMeta(w.token[5:]) + `|` + regexp.QuoteMeta(w.token[5:len(w.token)-6]))
	answers, requestID := 0, w.token
	ask := func(query, token, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/graphql"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("User-Agent", "robot of "+secretEmail)
		request.Header.Set("X-Forwarded-For", secretPhone)
		request.Header.Set("X-Request-Id", requestID)
		request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		request.Header.Set("Tracestate", "seller="+secretEmail)
		_, answer := send(t, request)
		answers++
		if leak := leaks.FindString(errorsOf(answer)); leak != "" {
			t.Errorf("the errors tell %q: %.600s\nof %.600s", leak, answer, body)
		}
	}
	everything := func() {
		for _, secret := range append([]string{secretEmail, secretPhone, w.token}, phoneForms...) {
			for _, body := range everyOperation(t, secret) {
				ask("", w.token, body)
			}
			ask("?query={__typename}&secret="+url.QueryEscape(secret), w.token, `{"query": "{ store { name } }"}`)
			ask("/"+url.PathEscape(secret), w.token, `{}`)
			ask("", w.token, `{"query": `+secret)
			ask("", w.token, `{"query": "{ customer(by: {email: `+secret+`}) { id } }"}`)
			ask("", w.token, `{"query": "query Q($first: Int) { customers(first: $first) { nodes { id } } }", "variables": {"first": "`+secret+`"}}`)
			ask("", secret, `{"query": "{ store { name } }"}`)
		}
		ask("", w.token[:20]+"x"+w.token[20:], `{"query": "{ store { name } }"}`)
		for _, requestID = range []string{secretPhone, secretPhone[1:], "020-7946-0958", "x-" + w.token} {
			for _, name := range []string{w.token, "By_" + w.token, "_" + secretPhone[1:], "By_44_20_7946_0958", "by020_7946_0958"} {
				ask("", w.token, `{"query": "query `+name+` { store { name } }"}`)
				ask("", w.token, `{"query": "query `+name+` { store { name } } query B { store { id } }", "operationName": "`+name+`"}`)
				ask("", w.token, `{"query": "query A { store { name } } query B { store { id } }", "operationName": "`+name+`"}`)
				ask("", w.token, `{"query": "{ `+name+` }"}`)
				ask("", w.token, `{"query": "{ store { ...`+name+` @`+name+`(`+name+`: $`+name+`) } }"}`)
				ask("", w.token, `{"query": "query ($`+name+`: Int) { customers(first: $`+name+`) { nodes { id } } }", "variables": {"`+name+`": "x"}}`)
			}
		}
	}
	everything()

	// A statement that PostgreSQL refuses with the value in its message.
	conn, err := pgx.Connect(t.Context(), w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, table := range []string{"customers", "customer_identities"} {
		if _, err := conn.Exec(t.Context(), `CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'cannot take %', NEW; END $$;
			CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON `+table+` FOR EACH ROW EXECUTE FUNCTION tell()`); err != nil {
			t.Fatal(err)
		}
	}
	ask("", w.token, `{"query": "mutation { upsertCustomerIdentity(input: {platform: \"x\", platformCustomerId: \"9\", email: \"`+
		strings.Replace(secretEmail, "tell", "Tell", 1)+`\"}) { outcome } }"}`)
	ask("", w.token, `{"query": "mutation { upsertCustomer(input: {by: {externalId: \"9\"}, phoneNumber: \"`+secretPhone+`\"}) { outcome } }"}`)
	if log := w.log.String(); !strings.Contains(log, "cannot take") {
		t.Fatalf("no statement failed: %.2000s", log)
	}
	metrics := w.scrape(t)
	if leak := leaks.FindString(metrics); leak != "" {
		t.Errorf("the metrics tell %q", leak)
	}
	if code := w.stop(); code != 0 {
		t.Errorf("akin exits with %d", code)
	}
	if leak := leaks.FindString(traces.raw.String()); leak != "" || len(traces.spans) <= answers {
		t.Errorf("%d answers have %d spans, which tell %q", answers, len(traces.spans), leak)
	}
	lines := 0
	for line := range strings.Lines(w.log.String()) {
		lines++
		if leak := leaks.FindString(line); leak != "" {
			t.Errorf("the log tells %q: %s", leak, line)
		}
	}
	if slow := strings.Count(w.log.String(), `"slow statement"`); lines < answers+slow || slow < 50 {
		t.Errorf("%d answers, %d lines, %d statements", answers, lines, slow)
	}
}

// errorsOf returns the errors of an answer, user errors among them, without the data that was asked for.
func errorsOf(answer string) string {
	var decoded any
	if json.Unmarshal([]byte(answer), &decoded) != nil {
		return answer
	}
	var found []any
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				if key == "errors" || key == "userErrors" {
					found = append(found, inner)
				} else {
					walk(inner)
				}
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		}
	}
	walk(decoded)
	text, _ := json.Marshal(found)
	return string(text)
}

// everyOperation returns bodies of requests for every root field of the schema with the secret in each argument that can
// hold a text: in all at once and in one at a time, and as the wrong type of the others.
func everyOperation(t *testing.T, secret string) []string {
	t.Helper()
	source, err := os.ReadFile("schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: string(source)})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for kind, root := range map[string]*ast.Definition{"query": schema.Query, "mutation": schema.Mutation} {
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") || len(field.Arguments) == 0 {
				continue
			}
			selection := "__typename"
			if payload := schema.Types[field.Type.Name()]; kind == "mutation" {
				selection = "results { outcome userErrors { message field code } }"
				if payload.Fields.ForName("results") == nil {
					selection = "outcome userErrors { message field code }"
				}
			}
			for _, variables := range arguments(schema, field.Arguments, secret) {
				var declared, passed []string
				for _, argument := range field.Arguments {
					declared = append(declared, "$"+argument.Name+": "+argument.Type.String())
					passed = append(passed, argument.Name+": $"+argument.Name)
				}
				body, err := json.Marshal(map[string]any{
					"query": fmt.Sprintf("%s (%s) { %s(%s) { %s } }", kind,
						strings.Join(declared, ", "), field.Name, strings.Join(passed, ", "), selection),
					"variables": variables,
				})
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, string(body))
			}
		}
	}
	if len(bodies) < 50 {
		t.Fatalf("only %d operations", len(bodies))
	}
	return bodies
}

// arguments returns variables for a field: sound ones, and for each place in them the same with the secret there.
func arguments(schema *ast.Schema, list ast.ArgumentDefinitionList, secret string) []map[string]any {
	var all []map[string]any
	places := 0
	for at := -1; at < places || at < 0; at++ {
		n := 0
		variables := map[string]any{}
		for _, argument := range list {
			switch argument.Name {
			case "last", "after", "before": // not beside first
				if at < 0 || at%2 == 0 {
					continue
				}
			}
			variables[argument.Name] = sample(schema, argument.Name, argument.Type, secret, at, &n)
		}
		places = n
		all = append(all, variables)
	}
	return all
}

// sample returns a sound value of a type, or the secret in its place where that is the place that at counts to.
func sample(schema *ast.Schema, name string, kind *ast.Type, secret string, at int, n *int) any {
	if kind.Elem != nil {
		return []any{sample(schema, name, kind.Elem, secret, at, n)}
	}
	definition := schema.Types[kind.Name()]
	if definition.Kind == ast.InputObject {
		object := map[string]any{}
		oneOf := definition.Directives.ForName("oneOf") != nil
		for i, field := range definition.Fields {
			if oneOf && i != max(at, 0)%len(definition.Fields) {
				continue
			}
			object[field.Name] = sample(schema, field.Name, field.Type, secret, at, n)
		}
		return object
	}
	*n++
	if *n-1 == at {
		return secret
	}
	switch {
	case definition.Kind == ast.Enum:
		return definition.EnumValues[0].Name
	case strings.Contains(strings.ToLower(name), "email") && definition.Name == "String":
		return secretEmail
	case strings.Contains(strings.ToLower(name), "phone"):
		return secretPhone
	}
	switch definition.Name {
	case "ID":
		return "019cd2f5-6d1f-7a3c-9a41-2f6f5f0f1c55"
	case "Int":
		return 1
	case "Boolean":
		return true
	case "DateTime":
		return "2026-01-01T00:00:00Z"
	case "Properties":
		return map[string]any{"email": secretEmail, secret: secret}
	}
	if known, ok := map[string]any{"countryCode": "DE", "defaultLanguage": "en", "defaultCurrency": "EUR"}[name]; ok {
		return known
	}
	return "sample"
}
