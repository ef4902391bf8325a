package playground_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"akin/graph/playground"
)

const script = "console.log('playground')"

// built is what a build leaves in dist, in small.
var built = fstest.MapFS{
	"dist/.gitignore":         {Data: []byte("*\n")},
	"dist/main-ABC123.js":     {Data: []byte(script)},
	"dist/main-ABC123.js.gz":  {Data: gzipped(script)},
	"dist/main-DEF456.css":    {Data: []byte("body {}")},
	"dist/main-DEF456.css.gz": {Data: gzipped("body {}")},
}

func gzipped(text string) []byte {
	var out strings.Builder
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return []byte(out.String())
}

// get asks as a browser on this machine does.
func get(assets fs.FS, token, path, acceptEncoding string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	request.Host = "127.0.0.1:8080"
	request.RemoteAddr = "127.0.0.1:40000"
	request.Header.Set("Accept-Encoding", acceptEncoding)
	recorder := httptest.NewRecorder()
	playground.NewHandler(assets, token).ServeHTTP(recorder, request)
	return recorder
}

func TestEveryTabIsValidAgainstTheSchema(t *testing.T) {
	t.Parallel()
	sdl, err := os.ReadFile("../../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(sdl)})
	if err != nil {
		t.Fatal(err)
	}
	tabs := playground.Tabs()
	if len(tabs) != 4 {
		t.Fatalf("%d tabs, want 4", len(tabs))
	}
	for _, tab := range tabs {
		if !strings.HasPrefix(tab.Query, "# ") {
			t.Errorf("the tab does not begin with a comment that says what it shows:\n%s", tab.Query)
		}
		document, err := gqlparser.LoadQueryWithRules(schema, tab.Query, rules.NewDefaultRules())
		if err != nil {
			t.Errorf("%v in\n%s", err, tab.Query)
			continue
		}
		variables := map[string]any{}
		if tab.Variables != "" {
			if err := json.Unmarshal([]byte(tab.Variables), &variables); err != nil {
				t.Errorf("%v in\n%s", err, tab.Variables)
			}
		}
		if _, err := validator.VariableValues(schema, document.Operations[0], variables); err != nil {
			t.Errorf("%v in\n%s", err, tab.Variables)
		}
	}
}

// config reads back what the page tells its script.
func config(t *testing.T, page string) (token string, tabs []playground.Tab) {
	t.Helper()
	match := regexp.MustCompile(`(?s)<script type="application/json" id="config">(.*?)</script>`).FindStringSubmatch(page)
	if match == nil {
		t.Fatalf("no configuration in the page:\n%s", page)
	}
	var config struct {
		Token string
		Tabs  []playground.Tab
	}
	if err := json.Unmarshal([]byte(match[1]), &config); err != nil {
		t.Fatal(err)
	}
	return config.Token, config.Tabs
}

func TestThePageCarriesTheTokenAsData(t *testing.T) {
	t.Parallel()
	const want = `akin_"</script><script>alert(1)</script>`
	page := get(built, want, "/", "").Body.String()
	if strings.Contains(page, "<script>alert") {
		t.Errorf("the token became markup:\n%s", page)
	}
	token, tabs := config(t, page)
	if token != want {
		t.Errorf("token %q, want %q", token, want)
	}
	if diff := cmp.Diff(playground.Tabs(), tabs); diff != "" {
		t.Errorf("tabs (-want +got):\n%s", diff)
	}
}

func TestTheTokenIsForThisMachine(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		peer, host string
		given      bool
	}{
		"by address":                           {"127.0.0.1:40000", "127.0.0.1:8080", true},
		"by address of version 6":              {"[::1]:40000", "[::1]:8080", true},
		"by name":                              {"127.0.0.1:40000", "localhost:8080", true},
		"by name, without a port":              {"127.0.0.1:40000", "localhost", true},
		"from a socket of both versions":       {"[::ffff:127.0.0.1]:40000", "127.0.0.1:8080", true},
		"not by a name that points here":       {"127.0.0.1:40000", "rebound.example:8080", false},
		"not by a name that begins as ours":    {"127.0.0.1:40000", "localhost.example", false},
		"not from another machine":             {"192.0.2.7:40000", "192.0.2.1:8080", false},
		"not from another that pretends to be": {"192.0.2.7:40000", "localhost:8080", false},
		"not without a host":                   {"127.0.0.1:40000", "", false},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			request.RemoteAddr, request.Host = test.peer, test.host
			recorder := httptest.NewRecorder()
			playground.NewHandler(built, "akin_secret").ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK {
				t.Fatalf("status %d, want 200", recorder.Code)
			}
			if token, _ := config(t, recorder.Body.String()); (token == "akin_secret") != test.given {
				t.Errorf("token %q; want it given: %t", token, test.given)
			}
		})
	}
}

// TestTheTokenIsNotForAProxy asks as a proxy on this machine does, behind which anybody may be.
func TestTheTokenIsNotForAProxy(t *testing.T) {
	t.Parallel()
	for title, change := range map[string]func(*http.Request){
		"that speaks HTTP/1.0": func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 1, 0 },
		"that says for whom":   func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.7") },
		"that says who it is":  func(r *http.Request) { r.Header.Set("Via", "1.1 proxy") },
	} {
		request := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		request.RemoteAddr, request.Host = "127.0.0.1:40000", "127.0.0.1:8080"
		change(request)
		recorder := httptest.NewRecorder()
		playground.NewHandler(built, "akin_secret").ServeHTTP(recorder, request)
		if token, _ := config(t, recorder.Body.String()); recorder.Code != http.StatusOK || token != "" {
			t.Errorf("a proxy %s gets %d and token %q", title, recorder.Code, token)
		}
	}
}

func TestThePageIsLockedDown(t *testing.T) {
	t.Parallel()
	first, second := get(built, "", "/", ""), get(built, "", "/", "")
	policy := first.Header().Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`'nonce-([A-Z2-7]{26})'`).FindString(policy)
	want := "default-src 'none'; script-src 'self'; style-src 'self' " + nonce + "; connect-src 'self'; " +
		"img-src 'self' data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if nonce == "" || policy != want {
		t.Errorf("policy\n%s\nwant\n%s", policy, want)
	}
	if policy == second.Header().Get("Content-Security-Policy") {
		t.Errorf("two answers share the nonce of %q", policy)
	}
	if attribute := `nonce="` + strings.Trim(strings.TrimPrefix(nonce, "'nonce-"), "'") + `"`; !strings.Contains(first.Body.String(), attribute) {
		t.Errorf("no %s in the page", attribute)
	}
	for name, want := range map[string]string{
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
	} {
		if got := first.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAssetsAreServed(t *testing.T) {
	t.Parallel()
	const name = "/playground/main-ABC123.js"
	tests := map[string]struct {
		acceptEncoding, encoding, body string
	}{
		"as gzip to who accepts it":  {"gzip, br", "gzip", string(gzipped(script))},
		"as they are to who doesn't": {"", "", script},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			response := get(built, "", name, test.acceptEncoding)
			if body := response.Body.String(); response.Code != http.StatusOK || body != test.body {
				t.Errorf("status %d, body %q; want 200 and %q", response.Code, body, test.body)
			}
			for name, want := range map[string]string{
				"Cache-Control":          "public, max-age=31536000, immutable",
				"Content-Encoding":       test.encoding,
				"Content-Type":           "text/javascript; charset=utf-8",
				"Vary":                   "Accept-Encoding",
				"X-Content-Type-Options": "nosniff",
			} {
				if got := response.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestAnythingElseIsNotFound(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/index.html", "/playground/", "/playground/main-GONE.js", "/playground/.gitignore",
		"/playground/main-ABC123.js.gz", "/playground/..%2Fplayground.go", "/playground/%2e%2e/main-ABC123.js",
	} {
		response := get(built, "", path, "gzip")
		if response.Code != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, response.Code)
		}
		if got := response.Header().Get("Cache-Control"); got != "" {
			t.Errorf("%s: Cache-Control %q: the absence would be remembered", path, got)
		}
	}
}

func TestWithoutAssetsThePageSaysHowToGetThem(t *testing.T) {
	t.Parallel()
	response := get(fstest.MapFS{"dist/.gitignore": built["dist/.gitignore"]}, "akin_secret", "/", "")
	if response.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", response.Code)
	}
	if body := response.Body.String(); !strings.Contains(body, "`make playground`") || strings.Contains(body, "akin_secret") {
		t.Errorf("body %q", body)
	}
}
