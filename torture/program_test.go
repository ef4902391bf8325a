package torture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"akin/repo/embedded"
)

// patience is how long a client waits for an answer: well over requestTimeout, so that a client that runs out of it has
// found a request that hangs.
const (
	requestTimeout = 2 * time.Second
	patience       = 15 * time.Second
)

// postgres is a PostgreSQL that a test may do anything to.
type postgres struct {
	dir string
	url string
	// small is whether its files lie on a file system of their own, which can be filled.
	small bool
}

// startPostgres starts one, on a small file system of its own where this user may mount one.
func startPostgres(t *testing.T, settings map[string]string) *postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "akin-torture-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user than root
		t.Fatal(err)
	}
	p := &postgres{dir: dir}
	size := longer("size=256m", "size=2g")
	if exec.Command("mount", "-t", "tmpfs", "-o", "mode=755,"+size, "akin-torture", dir).Run() == nil {
		p.small = true
		t.Cleanup(func() {
			if output, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, output)
			}
		})
	}
	server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	p.url = server.URL()
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// socket returns the path of its socket.
func (p *postgres) socket(t *testing.T) string {
	t.Helper()
	parsed, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(parsed.Query().Get("host"), ".s.PGSQL."+parsed.Query().Get("port"))
}

// do runs a statement past Akin and the proxy.
func (p *postgres) do(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// one returns the one value of a query, read past the indexes, whose promises are among those that are checked.
func one[V any](t *testing.T, p *postgres, query string, args ...any) (value V) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url+"&enable_indexscan=off&enable_indexonlyscan=off&enable_bitmapscan=off")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// kill ends the whole server with SIGKILL, so that it has to recover.
func (p *postgres) kill(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err != nil || pid < 2 {
		t.Fatalf("the server's process number is %q", line)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killBackend ends one of the server's processes with SIGKILL, upon which the server ends the others and recovers.
func (p *postgres) killBackend(t *testing.T) {
	t.Helper()
	pid := one[int](t, p, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// akin is a running program. It can be killed and started again at the same address.
type akin struct {
	address string
	metrics string // where it serves them, if it does
	args    []string
	log     *logFile
	command *exec.Cmd
}

// logFile collects what the program writes, but for the line that it writes for each request.
type logFile struct {
	mu   sync.Mutex
	text bytes.Buffer
	rest []byte // of a line whose end has not come yet
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if !bytes.Contains(line, []byte(`"level":"INFO","msg":"request"`)) {
			l.text.Write(append(line, '\n'))
		}
		l.rest = bytes.Clone(rest)
	}
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bare is the environment of the programs: nothing of it sets an option.
func bare() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "GOTRACEBACK=all"}
}

// startAkin starts the program on this database, without waiting until it is ready, and stops it after the test: SIGTERM has to end it well, and nothing
// it has logged may be a fault of its own.
func startAkin(t *testing.T, database string) *akin {
	t.Helper()
	a := newAkin(t, database)
	a.start(t)
	return a
}

func newAkin(t *testing.T, database string) *akin {
	t.Helper()
	address := freeAddress(t)
	a := &akin{address: address, log: &logFile{}, args: []string{
		"--database-url", database, "--listen", address, "--log-format", "json", "--timeout", requestTimeout.String(),
	}}
	t.Cleanup(func() { a.check(t) })
	return a
}

func (a *akin) start(t *testing.T) {
	t.Helper()
	a.command = exec.Command(binary, a.args...)
	a.command.Env = bare()
	a.command.Stderr = a.log
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
}

func (a *akin) ready(t *testing.T) {
	t.Helper()
	within(t, time.Minute, "starting", func() error {
		response, err := http.Get("http://" + a.address + "/readyz")
		if err != nil {
			log := a.log.String()
			return fmt.Errorf("%w; the log's end: %s", err, log[max(0, len(log)-500):])
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// kill ends the program with SIGKILL.
func (a *akin) kill(t *testing.T) {
	t.Helper()
	if err := a.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.command.Wait() // says that it was killed
	a.command = nil
}

func (a *akin) check(t *testing.T) {
	t.Helper()
	if a.command != nil {
		if err := a.command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := a.command.Wait(); err != nil {
			t.Errorf("akin ends with %v", err)
		}
	}
	log := a.log.String()
	if fault := regexp.MustCompile(`(?m)^.*("level":"ERROR"|DATA RACE|panic|fatal error).*$(\n.*){0,15}`).FindString(log); fault != "" {
		t.Errorf("the log has:\n%s", fault)
	}
	if t.Failed() {
		t.Logf("the log's end:\n%s", log[max(0, len(log)-1500):])
	}
}

// lastPort is the one that freeAddress tried last. It is below those that systems hand out by themselves, lest somebody's
// connection be given that of a server which is dead for a while.
var lastPort atomic.Int64

func init() { lastPort.Store(20_000 + rand.Int64N(10_000)) }

// freeAddress returns an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(lastPort.Add(1), 10))
		listener, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil {
			err = listener.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return address
	}
}

// ownerOf returns the owner of a directory of PostgreSQL's, as which its programs are run where we are root: they refuse
// root.
func ownerOf(t *testing.T, dir string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}

func asOwner(command *exec.Cmd, owner *syscall.Stat_t) {
	if os.Getuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
}

// command runs a command of the program, and returns what it writes.
func command(t *testing.T, database string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append([]string{"--database-url", database}, args...)...)
	c.Env = bare()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		t.Fatalf("akin %v: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(output))
}

// newToken creates a store and returns a token that may write to it.
func newToken(t *testing.T, database, store string) string {
	t.Helper()
	command(t, database, "store", "create", store)
	return command(t, database, "token", "create", "--store", store)
}

// client is one that does not give up before the program does.
var client = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
}

// post sends a GraphQL request, and returns the status and the body of the answer.
func (a *akin) post(ctx context.Context, token, document string, variables map[string]any) (int, []byte, error) {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return 0, nil, err
	}
	return a.send(ctx, token, body)
}

func (a *akin) send(ctx context.Context, token string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(response.Body)
	return response.StatusCode, answered, err
}

// ask sends a request and decodes the data of its answer; any error in it is one.
func ask[D any](ctx context.Context, a *akin, token, document string, variables map[string]any) (data D, err error) {
	status, body, err := a.post(ctx, token, document, variables)
	if err != nil {
		return data, err
	}
	var response struct {
		Data   D
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return data, &wrongAnswerError{fmt.Sprintf("%d with a body that is not JSON: %v: %.200s", status, err, body)}
	}
	if len(response.Errors) == 0 && status == http.StatusOK {
		return response.Data, nil
	}
	if len(response.Errors) > 0 {
		switch response.Errors[0].Extensions.Code {
		case "UNAVAILABLE", "TIMED_OUT":
			return data, errUnavailable
		}
	}
	return data, &wrongAnswerError{fmt.Sprintf("%d: %.500s", status, body)}
}

// errUnavailable is Akin's word for a database that fails it, or takes too long; any other refusal in these tests is a fault of Akin's.
var errUnavailable = errors.New("UNAVAILABLE")

type wrongAnswerError struct{ text string }

func (w *wrongAnswerError) Error() string { return "akin answers " + w.text }
