package graph_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"akin/graph"
)

const (
	typeJSON    = "application/json"
	typeGraphQL = "application/graphql-response+json"
)

func TestRequestsThatAreNotGraphQLOverHTTP(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const sound = `{"query":"{ __typename }"}`
	long := `{"query":"{ __typename }","variables":{"text":"` + strings.Repeat("x", 10<<20) + `"}}`
	for _, test := range []struct {
		name    string
		send    request
		status  int
		message string
	}{
		{"another method", request{method: http.MethodPut, body: sound}, 405, "the method must be GET or POST"},
		{
			"an Accept header that takes neither type",
			request{header: map[string]string{"Accept": "text/html"}, body: sound},
			406, "the Accept header takes neither",
		},
		{
			"an Accept header that refuses both",
			request{header: map[string]string{"Accept": "application/*;q=0"}, body: sound},
			406, "the Accept header takes neither",
		},
		{
			"no content type",
			request{header: map[string]string{"Content-Type": ""}, body: sound},
			415, "must be application/json",
		},
		{
			"what a form of a web page can send",
			request{header: map[string]string{"Content-Type": "text/plain"}, body: sound},
			415, "must be application/json",
		},
		{
			"what a form sends by itself",
			request{header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "query={__typename}"},
			415, "must be application/json",
		},
		{
			"what a form sends with files",
			request{header: map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, body: "--x--"},
			415, "must be application/json",
		},
		{
			"another charset",
			request{header: map[string]string{"Content-Type": "application/json; charset=latin1"}, body: sound},
			415, "in UTF-8",
		},
		{
			"a compressed body",
			request{header: map[string]string{"Content-Encoding": "gzip"}, body: sound},
			415, "must not be compressed",
		},
		{"an empty body", request{}, 400, "the body is empty"},
		{"malformed JSON", request{body: `{"query": secret}`}, 400, "the body is not JSON: error at byte 11"},
		{"JSON that breaks off", request{body: `{"query":"{ __typ`}, 400, "the body is not JSON: it breaks off after byte 17"},
		{"JSON with a comma too many", request{body: `{"query":"{ __typename }",}`}, 400, "the body is not JSON"},
		{"something after the JSON", request{body: sound + `{}`}, 400, "something follows it"},
		{
			"a number out of range",
			request{body: `{"query":"{ __typename }","variables":{"a":1e999}}`},
			400, "a number out of range",
		},
		{
			"broken UTF-8",
			request{body: "{\"query\":\"{ __typename }\",\"variables\":{\"a\":\"\xff\"}}"},
			400, "the body must be UTF-8",
		},
		{
			"JSON nested beyond reason",
			request{body: strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)},
			400, "the body is not JSON",
		},
		{"a list of requests", request{body: "[" + sound + "]"}, 400, "a list of several is not supported"},
		{"a string for a body", request{body: `"{ __typename }"`}, 400, "the body must be a JSON object"},
		{"no query", request{body: `{"qeury":"{ __typename }"}`}, 400, "the parameter query is missing"},
		{"a query in another case", request{body: `{"Query":"{ __typename }"}`}, 400, "the parameter query is missing"},
		{"a query that is no string", request{body: `{"query":7}`}, 400, "the parameter query must be a string"},
		{
			"an operation name that is no string",
			request{body: `{"query":"{ __typename }","operationName":[]}`},
			400, "the parameter operationName must be a string",
		},
		{
			"variables that are no object",
			request{body: `{"query":"{ __typename }","variables":"{}"}`},
			400, "the parameter variables must be an object",
		},
		{
			"extensions that are no object",
			request{body: `{"query":"{ __typename }","extensions":true}`},
			400, "the parameter extensions must be an object",
		},
		{"a body with a string of 10 MB", request{body: long}, 413, "the body is larger than 1048576 bytes"},
		{
			"a query string that is malformed",
			request{method: http.MethodGet, path: "/graphql?query=%zz"},
			400, "the query string of the URL is malformed",
		},
		{
			"a parameter given twice in the URL",
			request{method: http.MethodGet, path: "/graphql?query=a&query=b"},
			400, "a parameter of the URL is given more than once",
		},
		{
			"variables in the URL that are not JSON",
			request{method: http.MethodGet, path: "/graphql?query={__typename}&variables={"},
			400, "the parameter variables is not JSON",
		},
		{
			"variables in the URL that are no object",
			request{method: http.MethodGet, path: "/graphql?query={__typename}&variables=[]"},
			400, "the parameter variables must be an object",
		},
		{"a URL without a query", request{method: http.MethodGet}, 400, "the parameter query is missing"},
		{
			"a mutation in a URL",
			request{method: http.MethodGet, path: "/graphql?query=" + url.QueryEscape("mutation { __typename }")},
			405, "must be sent with POST",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := a.send(t, test.send)
			code := "BAD_USER_INPUT"
			if test.status == http.StatusRequestEntityTooLarge {
				code = "BODY_TOO_LARGE"
			}
			got.check(t, test.status, code, test.message)
			if got.Data != nil || strings.Contains(got.body, "secret") {
				t.Errorf("the answer has data, or shows what was sent: %.500s", got.body)
			}
			if contentType := got.header.Get("Content-Type"); contentType != typeJSON+"; charset=utf-8" {
				t.Errorf("content type %q", contentType)
			}
		})
	}
}

func TestTheAllowHeaderSaysWhatIsAllowed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.send(t, request{method: http.MethodDelete})
	if allow := got.header.Get("Allow"); allow != "GET, POST" {
		t.Errorf("another method: Allow is %q", allow)
	}
	got = a.send(t, request{method: http.MethodGet, path: "/graphql?query=" + url.QueryEscape("mutation { __typename }")})
	if allow := got.header.Get("Allow"); allow != "POST" {
		t.Errorf("a mutation over GET: Allow is %q", allow)
	}
}

func TestTheAnswersMediaTypeIsNegotiated(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for accept, want := range map[string]string{
		"":                                  typeJSON,
		"*/*":                               typeJSON,
		"application/*":                     typeJSON,
		"application/json":                  typeJSON,
		"application/json; charset=utf-8":   typeJSON,
		"application/graphql-response+json": typeGraphQL,
		"application/graphql-response+json, application/json;q=0.9":             typeGraphQL,
		"application/json, application/graphql-response+json":                   typeGraphQL,
		"application/graphql-response+json;q=0.5, application/json":             typeJSON,
		"application/graphql-response+json, */*;q=0.1":                          typeGraphQL,
		"text/html, application/json;q=0, */*;q=0.8":                            typeGraphQL,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8":       typeJSON,
		"multipart/mixed, text/event-stream, application/graphql-response+json": typeGraphQL,
		"nonsense, application/json":                                            typeJSON,
	} {
		t.Run("for "+accept, func(t *testing.T) {
			t.Parallel()
			got := a.send(t, request{header: map[string]string{"Accept": accept}, body: `{"query":"{ __typename }"}`})
			if contentType := got.header.Get("Content-Type"); got.status != http.StatusOK || contentType != want+"; charset=utf-8" {
				t.Errorf("status %d, content type %q, want %q", got.status, contentType, want)
			}
			if want := `{"data":{"__typename":"Query"}}`; strings.TrimSpace(got.body) != want {
				t.Errorf("body %s, want %s", got.body, want)
			}
		})
	}
}

func TestTheStatusOfARefusedDocumentDependsOnTheMediaType(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, test := range []struct{ name, body, code, message string }{
		{"a document that does not parse", `{"query":"{"}`, "GRAPHQL_PARSE_FAILED", "Expected Name"},
		{"an unknown field", `{"query":"{ customer { id } nonsense }"}`, "GRAPHQL_VALIDATION_FAILED", ""},
		{
			"an unknown operation",
			`{"query":"query A { __typename }","operationName":"B"}`, "GRAPHQL_VALIDATION_FAILED", "no operation of the name that operationName gives",
		},
		{
			"several operations and no name",
			`{"query":"query A { __typename } query B { __typename }"}`, "GRAPHQL_VALIDATION_FAILED", "operationName must name one",
		},
		{
			"a document without an operation",
			`{"query":"fragment F on Store { id }"}`, "GRAPHQL_VALIDATION_FAILED", "no operation provided",
		},
		{
			"a variable of another type",
			`{"query":"query ($id: ID!) { node(id: $id) { id } }","variables":{"id":null}}`, "BAD_USER_INPUT", "$id: cannot be null",
		},
		{
			"a document that is too complex",
			`{"query":"{` + strings.Repeat("store{id}", 600) + `}"}`, "QUERY_TOO_COMPLEX", "steps",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for accept, status := range map[string]int{typeJSON: http.StatusOK, typeGraphQL: http.StatusBadRequest} {
				got := a.send(t, request{header: map[string]string{"Accept": accept}, body: test.body})
				if got.status != status || got.Data != nil || len(got.Errors) == 0 {
					t.Fatalf("%s: status %d, want %d: %s", accept, got.status, status, got.body)
				}
				if e := got.Errors[0]; e.Extensions.Code != test.code || !strings.Contains(e.Message, test.message) || e.Path != nil {
					t.Errorf("%s: %+v, want code %s and a message with %q", accept, e, test.code, test.message)
				}
			}
		})
	}
}

func TestQueriesInAURL(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	parameters := url.Values{ // a colon in a string is no key
		"query":         {"query A { __typename } query B($id: ID!) { node(id: $id) { id } }"},
		"operationName": {"B"},
		"variables":     {`{"id":"0190a000-0000-7000-8000-000000000001"}`},
		"extensions":    {`{"any":"th:ing \" : \\","b":[{"c":{}},{"c":1.5}]}`},
	}
	got := a.send(t, request{method: http.MethodGet, path: "/graphql?" + parameters.Encode()})
	if got.status != http.StatusOK || string(got.Data) != `{"node":null}` {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

// begin opens a connection and sends the beginning of a request with a body of 100 bytes: most of its header, and the rest.
func (a *api) begin(t *testing.T, rest string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: akin\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: 100\r\n%s", a.token, rest)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestABodyThatDoesNotArrive(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(cfg *graph.Config) { cfg.Timeout = 200 * time.Millisecond })
	for _, test := range []struct {
		name    string
		hangUp  bool
		status  int
		code    string
		message string
	}{
		{"a body that takes too long", false, http.StatusRequestTimeout, "BODY_TIMED_OUT", "the body took too long to arrive"},
		{"a body that breaks off", true, http.StatusBadRequest, badInput, "the body broke off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn := a.begin(t, "\r\n{\"query\":")
			if test.hangUp {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			got := answer{status: response.StatusCode, body: string(body)}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			got.check(t, test.status, test.code, test.message)
		})
	}
}
