package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"akin/graph"
	"akin/graph/playground"
	"akin/repo"
)

// Where the page keeps what a person sees. CodeMirror draws only the lines in view, so its editors are
// asked for their text.
const (
	executeButton = `.graphiql-execute-button`
	queryEditor   = `document.querySelector('.graphiql-query-editor .CodeMirror')?.CodeMirror`
	headersEditor = `document.querySelector('[aria-label="Headers"] .graphiql-editor:not(.hidden) .CodeMirror')?.CodeMirror`
	response      = `document.querySelector('.result-window .CodeMirror')?.CodeMirror.getValue()`
	tabTitles     = `[...document.querySelectorAll('.graphiql-tab-button')].map(tab => tab.textContent)`
	query         = queryEditor + `?.getValue()`
	headers       = headersEditor + `?.getValue()`
	typeInto      = `(%s.setValue(%q), true)`
)

// TestThePlaygroundInABrowser opens the playground as a developer does: the page loads from no other host, its tabs run
// against the API, and a server started anew finds the browser ready.
func TestThePlaygroundInABrowser(t *testing.T) {
	t.Parallel()
	if !playground.Built() {
		t.Skip("the playground is not built: run `make playground`")
	}
	page := browser(t)
	var token atomic.Value
	a := newAPI(t, func(cfg *graph.Config) {
		cfg.Playground = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			playground.Handler(token.Load().(string)).ServeHTTP(w, r)
		})
	})
	token.Store(a.token)
	second, _, err := a.db.CreateToken(t.Context(), "shop", "second", repo.ScopeWrite, nil)
	if err != nil {
		t.Fatal(err)
	}

	page.do(t, chromedp.Navigate(a.url))
	if got, want := until[string](t, page, query), playground.Tabs()[0].Query; got != want {
		t.Errorf("the editor shows\n%s\nwant\n%s", got, want)
	}
	if got := until[string](t, page, headers); !strings.Contains(got, "Bearer "+a.token) {
		t.Errorf("headers %s, want the token %s", got, a.token)
	}
	if got := until[string](t, page, `document.title`); got != "Akin" {
		t.Errorf("title %q, want Akin", got)
	}
	tabs := []string{"UpsertIdentity", "UpsertBatch", "CustomersWithIdentities", "CustomersPage"}
	if diff := cmp.Diff(tabs, until[[]string](t, page, tabTitles)); diff != "" {
		t.Errorf("tabs (-want +got):\n%s", diff)
	}

	until[string](t, page, queryEditor+`?.operationName`) // GraphiQL reads it from the text in a while
	page.do(t, chromedp.Click(executeButton, chromedp.NodeVisible))
	if got := until[string](t, page, response); !strings.Contains(got, `"outcome": "CREATED"`) {
		t.Errorf("the first tab is answered with %s", got)
	}

	// The dialog adds a style element at run time, which the policy has to admit.
	page.do(t, chromedp.Click(`[aria-label="Open settings dialog"]`, chromedp.NodeVisible))
	until[bool](t, page, `getComputedStyle(document.body).overflowY === 'hidden'`)

	// A server started anew has a new token. The browser keeps what was typed as a query, never a token.
	until[bool](t, page, fmt.Sprintf(typeInto, headersEditor, `{"Authorization": "Bearer akin_typed"}`))
	until[bool](t, page, fmt.Sprintf(typeInto, queryEditor, "query UpsertIdentity { typed }"))
	until[bool](t, page, `['query', 'tabState'].every(key => localStorage.getItem('akin:graphiql:' + key)?.includes('{ typed }'))`)
	token.Store(second)
	page.do(t, chromedp.Reload())
	if got := until[string](t, page, query); got != "query UpsertIdentity { typed }" {
		t.Errorf("the editor shows %s after a reload, want what was typed", got)
	}
	if got := until[string](t, page, headers); !strings.Contains(got, "Bearer "+second) {
		t.Errorf("headers %s after a restart, want the token %s", got, second)
	}
	if diff := cmp.Diff(tabs, until[[]string](t, page, tabTitles)); diff != "" {
		t.Errorf("tabs after a reload (-want +got):\n%s", diff)
	}
	page.checkQuiet(t, a.url)
}

// tab is a browser's page, with every request it made and everything its console showed; violations of
// the Content-Security-Policy are among the latter.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
	console  []string
}

// browser starts a Chromium of the test's own, with an empty profile. The test is skipped where none is
// installed.
func browser(t *testing.T) *tab {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on PATH (looked for chromium, chromium-browser and google-chrome)")
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // root cannot have one, and the page is ours
		chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.WindowSize(1400, 900),
	)...)
	t.Cleanup(stop)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("stop Chromium: %v", err)
		}
	})

	page := &tab{ctx: ctx}
	if err := chromedp.Listen(ctx, page.note); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return page
}

// do runs steps, and ends the test at the first that fails.
func (p *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		t.Fatalf("%v\nthe console shows:\n%s", err, p.shown())
	}
}

// until waits for a JavaScript expression to become true in the page, looking at every frame, and returns
// its value. chromedp's own Poll builds its predicate with new Function, which the page's policy forbids.
func until[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](`new Promise(resolve => {
		const look = () => {
			const value = `+expression+`;
			value ? resolve(value) : requestAnimationFrame(look);
		};
		look();
	})`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v\nthe console shows:\n%s", expression, err, p.shown())
	}
	return value
}

// checkQuiet fails the test if the page asked any host but base's, or if its console is not empty. A data:
// URL asks no host.
func (p *tab) checkQuiet(t *testing.T, base string) {
	t.Helper()
	if shown := p.shown(); shown != "" {
		t.Errorf("the console shows:\n%s", shown)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) == 0 {
		t.Error("no request was seen: the check of hosts checked nothing")
	}
	for _, request := range p.requests {
		if !strings.HasPrefix(request, base+"/") && !strings.HasPrefix(request, "data:") {
			t.Errorf("the page asked another host: %s", request)
		}
	}
}

func (p *tab) shown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.console, "\n")
}

func (p *tab) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, event.Request.URL)
	case *log.EventEntryAdded:
		p.console = append(p.console, fmt.Sprintf("%s: %s %s", event.Entry.Level, event.Entry.Text, event.Entry.URL))
	case *runtime.EventExceptionThrown:
		p.console = append(p.console, fmt.Sprintf("exception: %+v", event.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		for _, argument := range event.Args {
			p.console = append(p.console, fmt.Sprintf("%s: %s %s", event.Type, argument.Value, argument.Description))
		}
	}
}

// TestPlaygroundTabs runs every tab, in order, on an empty store.
func TestPlaygroundTabs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, tab := range playground.Tabs() {
		var variables map[string]any
		if tab.Variables != "" {
			if err := json.Unmarshal([]byte(tab.Variables), &variables); err != nil {
				t.Fatal(err)
			}
		}
		a.must(t, nil, tab.Query, variables)
	}
}
