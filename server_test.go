package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"akin/repo/embedded"
	"akin/repo/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// program is a running main.
type program struct {
	url, token string
	stop       func() int // what SIGTERM does; returns the exit status
}

// start runs main with these arguments on a free port, until the test ends.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startLogging(t, t.Output(), args...)
}

// startLogging is start, with the log going elsewhere.
func startLogging(t *testing.T, log io.Writer, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	read, write := io.Pipe()
	exited := make(chan int, 1)
	go func() {
		exited <- run(ctx, append([]string{"--listen", "127.0.0.1:0"}, args...), nil, write, log)
		write.Close()
	}()
	p := &program{stop: func() int {
		cancel()
		code := <-exited
		exited <- code
		return code
	}}
	t.Cleanup(func() { p.stop() })
	greeting := make([]byte, 4096)
	n, err := read.Read(greeting) // it is written at once
	if err != nil {
		t.Fatalf("akin did not start: exit status %d", p.stop())
	}
	p.url = regexp.MustCompile(`http://\S+`).FindString(string(greeting[:n]))
	p.token = regexp.MustCompile(`akin_\w+`).FindString(string(greeting[:n]))
	return p
}

// dataDir returns a new directory that the user PostgreSQL runs as can reach; what t.TempDir gives root, it cannot.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "akin-main-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// command runs main with these arguments, and returns its exit status and what it wrote.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(t.Context(), args, nil, &out, &log)
	return code, out.String(), log.String()
}

// post sends a GraphQL document, and returns the status and the body of the answer.
func (p *program) post(t *testing.T, token, document string) (int, string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	return send(t, request)
}

func (p *program) get(t *testing.T, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, request)
}

func send(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// within calls try until it succeeds, and fails the test when that takes longer than the limit.
func within(t *testing.T, limit time.Duration, what string, try func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !try(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s took longer than %s", what, limit)
		}
	}
}

func TestEmbeddedModeKeepsDataAndTokenOverARestart(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	first := start(t, "--data-dir", dir)
	const upsert = `mutation { upsertCustomerIdentity(input: {platform: "shopify", platformCustomerId: "7781", email: "jane@doe.com"}) { outcome } }`
	if _, body := first.post(t, first.token, upsert); !strings.Contains(body, `"CREATED"`) {
		t.Fatal(body)
	}
	// A command beside it uses the same PostgreSQL.
	code, stdout, stderr := command(t, "--data-dir", dir, "store", "list")
	if code != 0 || !strings.Contains(stdout, "default") {
		t.Errorf("store list exits with %d: %s%s", code, stdout, stderr)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("akin exits with %d after SIGTERM", code)
	}
	second := start(t, "--data-dir", dir)
	if second.token != first.token {
		t.Error("the development token changed")
	}
	if _, body := second.post(t, second.token, upsert); !strings.Contains(body, `"UNCHANGED"`) {
		t.Error(body)
	}
	status, page := second.get(t, "/")
	built, notBuilt := status == http.StatusOK, status == http.StatusNotFound && strings.Contains(page, "make playground")
	if !strings.Contains(page, "Akin") || !built && !notBuilt {
		t.Errorf("the playground answers %d: %.200s", status, page)
	}
}

func TestADatabaseOfOnesOwn(t *testing.T) {
	t.Parallel()
	database := []string{"--database-url", repotest.URL(t)}
	akin := func(args ...string) []string { return append(database, args...) }

	if code, _, stderr := command(t, akin("migrate")...); code != 0 {
		t.Fatalf("migrate exits with %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, akin("store", "create", "My shop")...); code != 0 {
		t.Fatalf("store create exits with %d: %s", code, stderr)
	}
	create := func(args ...string) string {
		code, stdout, stderr := command(t, akin(append([]string{"token", "create", "--store", "My shop"}, args...)...)...)
		if code != 0 || !regexp.MustCompile(`^akin_\w{33}\n$`).MatchString(stdout) {
			t.Fatalf("token create exits with %d: %q %s", code, stdout, stderr)
		}
		return strings.TrimSpace(stdout)
	}
	reader, writer := create("--scope", "read", "--expires", "90d"), create("--name", "backend")

	p := start(t, database...)
	if p.token != "" {
		t.Error("there is a development token")
	}
	if status, _ := p.get(t, "/"); status != http.StatusNotFound {
		t.Errorf("/ answers %d, want 404: the playground was not asked for", status)
	}
	const mutation = `mutation { upsertCustomerIdentity(input: {platform: "a", platformCustomerId: "1", email: "a@example.com"}) { outcome } }`
	if status, body := p.post(t, reader, mutation); status != http.StatusForbidden {
		t.Errorf("a mutation with a token that may read answers %d: %s", status, body)
	}
	if status, body := p.post(t, writer, mutation); status != http.StatusOK || !strings.Contains(body, "CREATED") {
		t.Errorf("a mutation answers %d: %s", status, body)
	}
	code, rotated, stderr := command(t, akin("token", "rotate", "--store", "My shop", "--name", "backend 2", "--grace", "7d", "backend")...)
	if code != 0 {
		t.Fatalf("token rotate exits with %d: %s", code, stderr)
	}
	for name, token := range map[string]string{"old": writer, "new": strings.TrimSpace(rotated)} {
		if status, body := p.post(t, token, mutation); status != http.StatusOK || !strings.Contains(body, "UNCHANGED") {
			t.Errorf("a mutation with the %s token answers %d: %s", name, status, body)
		}
	}
	if code, _, stderr := command(t, akin("token", "revoke", "--store", "My shop", "backend")...); code != 0 {
		t.Fatalf("token revoke exits with %d: %s", code, stderr)
	}
	within(t, time.Second, "seeing the revocation", func() bool {
		status, _ := p.post(t, writer, `{ store { name } }`)
		return status == http.StatusUnauthorized
	})
	_, stdout, _ := command(t, akin("token", "list", "--store", "My shop")...)
	if !regexp.MustCompile(`backend +write( +\d{4}-\S+){4}\n`).MatchString(stdout) || strings.Contains(stdout, "akin_") {
		t.Errorf("token list shows\n%s", stdout)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	database := repotest.URL(t)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, test := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an unknown flag", []string{"--nonsense"}, 2, "unknown flag --nonsense"},
		{"an unknown command", []string{"nonsense"}, 2, "nonsense"},
		{"a lifetime that is none", []string{"token", "create", "--store", "x", "--expires", "soon"}, 2, `"soon" is not a lifetime`},
		{"a scope that is none", []string{"token", "create", "--store", "x", "--scope", "all"}, 2, "--scope must be one of"},
		{"a URL that is none", []string{"--database-url", "nonsense", "migrate"}, 1, "database"},
		{"a limit that cannot be", []string{"--max-batch", "251"}, 2, "--max-batch must be 1 to 250"},
		{"a bucket smaller than the dearest operation", []string{"--rate-restore", "1", "--rate-capacity", "5"}, 2, "a bucket must hold 25000"},
		{"a timeout longer than a shutdown waits", []string{"--timeout", "31s"}, 2, "--timeout must be 1ms to 30s"},
		{"no address to listen at", []string{"--listen", ""}, 2, "--listen must be an address"},
		{"an origin with a path", []string{"--origins", "https://a.example,https://b.example/"}, 2, `"https://b.example/" is not`},
		{"an origin without a scheme", []string{"--origins", "a.example"}, 2, `"a.example" is not`},
		{"a time below zero", []string{"--slow-statement=-1s", "migrate"}, 2, "--slow-statement must be 0 or more"},
		{"batches without a limit", []string{"import", "--concurrency=-1", "x.csv"}, 2, "--concurrency must be 1 or more; it is -1"},
		{"no batches at all", []string{"import", "--concurrency", "0", "x.csv"}, 2, "--concurrency must be 1 or more; it is 0"},
		{"a format that is none", []string{"export", "--kind", "events", "--format", "xml"}, 2, `must be one of "ndjson","csv" but got "xml"`},
		{"a store that is not there", []string{"--database-url", database, "token", "create", "--store", "x"}, 1, `store "x" does not exist`},
		{"an address in use", []string{"--database-url", database, "--listen", taken.Addr().String()}, 1, "AKIN_LISTEN or --listen names another"},
		{"a database that is not there", []string{"--database-url", "postgres://127.0.0.1:1/akin", "migrate"}, 1, "cannot be reached"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, test.args...)
			if code != test.code || !strings.Contains(stderr, test.want) {
				t.Errorf("exits with %d, want %d and %q:\n%s%s", code, test.code, test.want, stdout, stderr)
			}
		})
	}
}

// TestTheDatabaseGoneAndBack stops the PostgreSQL under a running Akin.
func TestTheDatabaseGoneAndBack(t *testing.T) {
	t.Parallel()
	config := embedded.Config{Dir: dataDir(t)}
	database, err := embedded.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	url := database.URL()
	if code, _, stderr := command(t, "--database-url", url, "store", "create", "shop"); code != 0 {
		t.Fatal(stderr)
	}
	_, token, _ := command(t, "--database-url", url, "token", "create", "--store", "shop")
	token = strings.TrimSpace(token)
	p := start(t, "--database-url", url)
	const query = `{ customers { totalCount } }`
	if status, body := p.post(t, token, query); status != http.StatusOK {
		t.Fatalf("%d: %s", status, body)
	}

	if err := database.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Until the token has left the cache, the query fails; then the look-up of the token does.
	within(t, 5*time.Second, "asking for the token", func() bool {
		began := time.Now()
		status, body := p.post(t, token, query)
		if status != http.StatusServiceUnavailable || !strings.Contains(body, `"UNAVAILABLE"`) || time.Since(began) > time.Second {
			t.Errorf("a query answers %d after %s: %s", status, time.Since(began), body)
		}
		return !strings.Contains(body, `"data"`)
	})
	if status, _ := p.get(t, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d, want 503", status)
	}
	if status, _ := p.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d, want 200", status)
	}

	if database, err = embedded.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	defer func() {
		p.stop()
		if err := database.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	within(t, 5*time.Second, "recovery", func() bool {
		ready, _ := p.get(t, "/readyz")
		status, _ := p.post(t, token, query)
		return ready == http.StatusOK && status == http.StatusOK
	})
}

// TestStoppingLetsARequestInFlightFinish sends half a request, stops the server, and sends the other half.
func TestStoppingLetsARequestInFlightFinish(t *testing.T) {
	t.Parallel()
	p := start(t, "--data-dir", dataDir(t))
	body, half := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/graphql", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+p.token)
	request.Header.Set("Expect", "100-continue") // the server asks for the body when its handler reads it
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	answered := make(chan error, 1)
	go func() {
		response, err := client.Do(request)
		if err == nil {
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = errors.New(response.Status)
			}
		}
		answered <- err
	}()
	if _, err := half.Write([]byte(`{"query": "{ store`)); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- p.stop() }()
	within(t, 5*time.Second, "closing the listener", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if _, err := half.Write([]byte(` { name } }"}`)); err != nil {
		t.Fatal(err)
	}
	half.Close()
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("akin exits with %d", code)
	}
}

// TestStoppingUnderLoadLosesNoRequest stops a server that many clients ask over connections that they keep. A new
// connection may be refused or reset, as those are that the kernel took but the server did not; one that the server
// answered must go on until an answer says that it closes.
func TestStoppingUnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	p := start(t, "--data-dir", dataDir(t))
	const body = `{"query":"{ store { name } }"}`
	message := fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: akin\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", p.token, len(body), body)
	var answered atomic.Int64
	var clients errgroup.Group
	for range 8 {
		clients.Go(func() error {
			for { // a connection after the other, until none is let in
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.url, "http://"))
				if err != nil {
					return nil //nolint:nilerr // it is over
				}
				first, err := askUntilClosed(conn, message, &answered)
				if first && err != nil {
					return nil //nolint:nilerr // it is over
				}
				if err != nil {
					return err
				}
			}
		})
	}
	within(t, 10*time.Second, "a hundred answers", func() bool { return answered.Load() > 100 })
	if code := p.stop(); code != 0 {
		t.Errorf("akin exits with %d", code)
	}
	if err := clients.Wait(); err != nil {
		t.Errorf("after %d answers: %v", answered.Load(), err)
	}
}

// askUntilClosed sends the message over the connection again and again until an answer says that it closes. first says
// that an error met the first message.
func askUntilClosed(conn net.Conn, message string, answered *atomic.Int64) (first bool, err error) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for first = true; ; first = false {
		if _, err := io.WriteString(conn, message); err != nil {
			return first, err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return first, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return false, fmt.Errorf("%s: %w", response.Status, err)
		}
		answered.Add(1)
		if response.Close {
			return false, nil
		}
	}
}
