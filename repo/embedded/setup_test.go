package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"akin/repo/embedded"
)

// patience is how long a condition may take to come true on a busy machine.
const patience = 60 * time.Second

// quick are settings for data that nobody will miss.
var quick = map[string]string{"fsync": "off", "shared_buffers": "16MB"}

// A process started with this variable set is not the test, but a program that
// uses the directory it names until its standard input ends.
const asProgram = "EMBEDDED_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asProgram); dir != "" {
		if err := program(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func program(dir string) error {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{Dir: dir, Settings: quick})
	if err != nil {
		return err
	}
	fmt.Println(server.URL())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return server.Stop(ctx)
}

// start starts a server that is stopped when the test ends.
func start(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server)
	return server
}

func stopAtEnd(t *testing.T, server *embedded.Server) {
	t.Helper()
	t.Cleanup(func() { stop(t, server) })
}

func stop(t *testing.T, server *embedded.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// query returns the text in the one column of the one row that sql yields.
func query(t *testing.T, url, sql string, args ...any) string {
	t.Helper()
	got, err := tryQuery(t.Context(), url, sql, args...)
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return got
}

func tryQuery(ctx context.Context, url, sql string, args ...any) (got string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&got)
	return got, err
}

func remember(t *testing.T, url, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE memory AS SELECT $1::text AS said", text); err != nil {
		t.Fatal(err)
	}
}

func recall(t *testing.T, url string) string {
	t.Helper()
	return query(t, url, "SELECT said FROM memory")
}

// tempDir is a directory that the user PostgreSQL runs as can enter, unlike that
// of t.TempDir for root.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "akin-embedded-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// postmaster is the process number in the file that PostgreSQL keeps while it
// runs, or 0.
func postmaster(dir string) int {
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}

func running(dir string) bool {
	pid := postmaster(dir)
	return pid != 0 && syscall.Kill(pid, 0) == nil
}

// ordinaryUser is somebody other than root to run a program as, nil if the test
// is not run by root.
func ordinaryUser(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func give(t *testing.T, path string, who *syscall.Credential) {
	t.Helper()
	if who == nil {
		return
	}
	if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
}

// process is another process that uses a directory.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *strings.Builder
	url    string
}

// startProgram runs program in another process, and waits until it is served.
func startProgram(t *testing.T, dir string, as *syscall.Credential) *process {
	t.Helper()
	p, err := tryProgram(t, dir, as)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryProgram(t *testing.T, dir string, as *syscall.Credential) (*process, error) {
	t.Helper()
	p := &process{cmd: exec.Command(executable(t, as)), stderr: &strings.Builder{}}
	p.cmd.Dir = "/"
	p.cmd.Env = append(os.Environ(), asProgram+"="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.url, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%w: %s", errors.Join(err, p.cmd.Wait()), p.stderr)
	}
	p.url = strings.TrimSpace(p.url)
	t.Cleanup(func() { _ = p.stdin.Close() }) // an end to it even if the test failed
	return p, nil
}

func (p *process) leave(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.stdin.Close(), p.cmd.Wait()); err != nil {
		t.Errorf("%v: %s", err, p.stderr)
	}
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it says that it was killed
}

// executable is this test's, where the user can reach it: go test builds in a
// directory that nobody else enters.
func executable(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as == nil {
		return self
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	reachable := filepath.Join(tempDir(t), "program")
	if err := os.WriteFile(reachable, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return reachable
}

// eventually fails the test unless the condition comes true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not come true that %s", what)
		}
	}
}
