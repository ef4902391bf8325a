// Package playground serves GraphiQL, with its assets embedded in the binary, as the page at "/".
//
// The page asks no host but the server it came from, and runs under a Content-Security-Policy without
// 'unsafe-inline' and 'unsafe-eval'. `make playground` builds the assets into dist; a binary built
// without them still runs, and says so in place of the page.
package playground

import (
	"bytes"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

var (
	// dist holds a .gitignore too, so that the pattern matches before the first build.
	//
	//go:embed all:dist
	dist embed.FS

	//go:embed tabs
	tabFiles embed.FS

	//go:embed page.html
	pageText string

	page = template.Must(template.New("page").Parse(pageText))
)

const notBuilt = `The playground is not built.

Run ` + "`make playground`" + `, then start Akin again. The API is at /graphql all the same.
`

// contentSecurityPolicy takes the nonce of one answer. The stylesheet carries its fonts as data: URLs, and
// GraphiQL's dialogs add one style element at run time, which the nonce admits.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-%s'; " +
	"connect-src 'self'; img-src 'self' data:; font-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// contentTypes are those of the files a build leaves. The mime package asks the machine it runs on, where
// .js can be anything, and a browser told not to sniff would then refuse the script.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
}

// Tab is an operation the page opens with, ready to run. The tabs build on one another: in order, each
// succeeds on an empty store.
type Tab struct {
	Query string `json:"query"`
	// Variables is a JSON object, or empty where the operation takes none.
	Variables string `json:"variables,omitempty"`
}

// Tabs returns the tabs in the order the page shows them.
func Tabs() []Tab {
	queries, err := fs.Glob(tabFiles, "tabs/*.graphql")
	if err != nil {
		panic(err) // only a malformed pattern can fail
	}
	tabs := make([]Tab, len(queries))
	for i, name := range queries {
		query, err := tabFiles.ReadFile(name)
		if err != nil {
			panic(err) // embedded: it was there a moment ago
		}
		variables, err := tabFiles.ReadFile(strings.TrimSuffix(name, ".graphql") + ".json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			panic(err)
		}
		tabs[i] = Tab{Query: strings.TrimSpace(string(query)), Variables: strings.TrimSpace(string(variables))}
	}
	return tabs
}

// Built reports whether this binary carries the assets that `make playground` builds.
func Built() bool {
	_, _, ok := entry(dist)
	return ok
}

// Handler serves the page at "/" and its assets below "/playground/", and answers 404 to anything else.
// To a browser on this machine the page comes with token filled into the headers of every request it sends;
// to any other, or where token is empty, it shows in its place how to get one. Without assets, "/" answers
// 404 with the command that builds them.
func Handler(token string) http.Handler {
	return handler(dist, token)
}

func handler(assets fs.FS, token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /playground/{name}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, assets, r.PathValue("name"))
	})
	script, style, ok := entry(assets)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !ok:
			http.Error(w, notBuilt, http.StatusNotFound)
		case local(r):
			servePage(w, script, style, token)
		default:
			servePage(w, script, style, "")
		}
	})
	return mux
}

// local reports whether r comes from this machine and names it by an address of its own. The name counts
// because a site can point its own at 127.0.0.1 (DNS rebinding) and have a browser here read the page to it. A proxy on
// this machine, which may be asked by anybody, is known by what proxies add, or by an HTTP that no browser speaks: nginx, as
// it comes, adds nothing, and has long spoken HTTP/1.0.
func local(r *http.Request) bool {
	proxied := func(name string) bool { return r.Header.Get(name) != "" }
	if !r.ProtoAtLeast(1, 1) || slices.ContainsFunc([]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"}, proxied) {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// entry finds the names a build gave to its one script and one stylesheet.
func entry(assets fs.FS) (script, style string, ok bool) {
	scripts, _ := fs.Glob(assets, "dist/main-*.js")
	styles, _ := fs.Glob(assets, "dist/main-*.css")
	if len(scripts) != 1 || len(styles) != 1 {
		return "", "", false
	}
	return path.Base(scripts[0]), path.Base(styles[0]), true
}

func servePage(w http.ResponseWriter, script, style, token string) {
	type config struct {
		Token string `json:"token"`
		Tabs  []Tab  `json:"tabs"`
	}
	nonce := rand.Text()
	var body bytes.Buffer
	err := page.Execute(&body, struct {
		Script, Style, Nonce string
		Config               config
	}{script, style, nonce, config{token, Tabs()}})
	if err != nil {
		http.Error(w, "the playground's page failed", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", fmt.Sprintf(contentSecurityPolicy, nonce))
	header.Set("Cache-Control", "no-store") // the page carries the token
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body.Bytes())
}

func serveAsset(w http.ResponseWriter, r *http.Request, assets fs.FS, name string) {
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "public, max-age=31536000, immutable") // the name carries a hash of the contents
	header.Set("Vary", "Accept-Encoding")
	header.Set("X-Content-Type-Options", "nosniff")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		name += ".gz"
	}
	http.ServeFileFS(w, r, assets, path.Join("dist", name))
}
