package embedded_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"akin/repo/embedded"
)

func TestCrash(t *testing.T) {
	t.Parallel()

	t.Run("a killed PostgreSQL comes back while it is served", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		server := start(t, dir)
		remember(t, server.URL(), "kept")
		for range 3 {
			killed := killPostmaster(t, dir)
			eventually(t, "PostgreSQL answers again", func() bool {
				got, err := tryQuery(t.Context(), server.URL(), "SELECT said FROM memory")
				return err == nil && got == "kept"
			})
			if postmaster(dir) == killed {
				t.Error("the postmaster was not replaced")
			}
		}
	})

	t.Run("a killed PostgreSQL comes back once, whoever serves it", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		first, second := startProgram(t, dir, nil), start(t, dir)
		killPostmaster(t, dir)
		eventually(t, "PostgreSQL answers both", func() bool {
			_, a := tryQuery(t.Context(), first.url, "SELECT 1::text")
			_, b := tryQuery(t.Context(), second.URL(), "SELECT 1::text")
			return a == nil && b == nil
		})
		first.leave(t)
		if got := query(t, second.URL(), "SELECT 1::text"); got != "1" {
			t.Error("the first to leave stopped what the second uses")
		}
		stop(t, second)
		if running(dir) {
			t.Error("PostgreSQL runs on")
		}
	})

	t.Run("what is left of a killed PostgreSQL delays its return only until it ends", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		server := start(t, dir)
		conn, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		busy := conn.PgConn().PID()
		// Computing, a backend does not notice that the postmaster is gone; nor
		// that its client is, but for client_connection_check_interval.
		ended := make(chan error, 1)
		go func() {
			_, err := conn.Exec(t.Context(), "SELECT count(*) FROM generate_series(1, 1e12)")
			ended <- err
		}()
		eventually(t, "the statement runs", func() bool {
			state, err := tryQuery(t.Context(), server.URL(), "SELECT state FROM pg_stat_activity WHERE pid = $1", busy)
			return err == nil && state == "active"
		})
		killPostmaster(t, dir)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := embedded.Start(ctx, embedded.Config{Dir: dir}); err == nil {
			t.Fatal("a second PostgreSQL started beside a process of the first")
		}
		if err := conn.PgConn().Conn().Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("the statement ended by itself")
		}
		eventually(t, "PostgreSQL answers again", func() bool {
			_, err := tryQuery(t.Context(), server.URL(), "SELECT 1::text")
			return err == nil
		})
	})

	for name, pid := range map[string]func(stranger int) string{
		"a pid file that names a process long gone":      func(int) string { return "" },
		"a pid file that names a stranger's process":     func(stranger int) string { return fmt.Sprint(stranger) },
		"a pid file that names this very process":        func(int) string { return fmt.Sprint(os.Getpid()) },
		"a pid file that was cut off by a power failure": func(int) string { return "cut" },
	} {
		t.Run(name+" does not stop a start", func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			p := startProgram(t, dir, nil)
			remember(t, p.url, "kept")
			p.kill(t)
			killPostmaster(t, dir)
			stale := filepath.Join(dir, "postgres", "postmaster.pid")
			switch pid := pid(stranger(t, dir)); pid {
			case "":
			case "cut":
				write(t, stale, "")
			default:
				content, err := os.ReadFile(stale)
				if err != nil {
					t.Fatal(err)
				}
				_, rest, _ := strings.Cut(string(content), "\n")
				write(t, stale, pid+"\n"+rest)
				write(t, filepath.Join(dir, "run", ".s.PGSQL.5432.lock"), pid+"\n"+rest)
			}
			if got := recall(t, start(t, dir).URL()); got != "kept" {
				t.Errorf("the table holds %q", got)
			}
		})
	}
}

func TestSocketInUse(t *testing.T) {
	t.Parallel()

	listen := func(t *testing.T, dir string) *net.UnixListener {
		t.Helper()
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "run", ".s.PGSQL.5432"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener
	}

	t.Run("by another program", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		stop(t, start(t, dir))
		listener := listen(t, dir)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				_ = conn.Close()
			}
		}()
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
		wantError(t, err, ".s.PGSQL.5432 is in use by something else")
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		start(t, dir)
	})

	t.Run("by another cluster", func(t *testing.T) {
		t.Parallel()
		dir, other := tempDir(t), tempDir(t)
		stop(t, start(t, dir))
		start(t, other)
		if err := os.Rename(filepath.Join(dir, "run"), filepath.Join(dir, "run.old")); err != nil {
			t.Fatal(err)
		}
		// The other's directory in the place of ours, still the owner's own.
		if err := os.Rename(filepath.Join(other, "run"), filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
		wantError(t, err, "in use by another cluster", filepath.Join(other, "postgres"))
		if err := os.Rename(filepath.Join(dir, "run"), filepath.Join(other, "run")); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("by nobody any more", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		stop(t, start(t, dir))
		listener := listen(t, dir)
		listener.SetUnlinkOnClose(false)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		start(t, dir)
	})

	t.Run("in a directory that others can enter", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		stop(t, start(t, dir))
		if err := os.Chmod(filepath.Join(dir, "run"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
		wantError(t, err, filepath.Join(dir, "run"), "nobody else can enter")
	})
}

func TestDataDirectory(t *testing.T) {
	t.Parallel()

	t.Run("that is not writable is named, with the way out", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		ordinary := ordinaryUser(t)
		give(t, dir, ordinary)
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{dir, filepath.Join(dir, "below")} {
			_, err := tryProgram(t, dir, ordinary)
			wantError(t, err, dir+" is not writable", "AKIN_DATA_DIR")
		}
	})

	t.Run("that the user PostgreSQL runs as cannot enter is named, with the way out", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root hands PostgreSQL to another user")
		}
		closed := tempDir(t)
		if err := os.Chmod(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: filepath.Join(closed, "data"), Settings: quick})
		wantError(t, err, "may not enter", filepath.Join(closed, "data"), "AKIN_DATA_DIR")
	})

	for _, name := range []string{"turn.lock", "users.lock", "alive.lock"} {
		t.Run("whose "+name+" is a link that leads out of it", func(t *testing.T) {
			t.Parallel()
			dir, planted := tempDir(t), filepath.Join(tempDir(t), "planted")
			if err := os.Symlink(planted, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
			if err == nil {
				stop(t, server)
			}
			wantError(t, err, dir, name)
			if _, err := os.Lstat(planted); err == nil {
				t.Error("the link was followed")
			}
		})
	}

	t.Run("that is a file, or not given", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(tempDir(t), "file")
		write(t, file, "")
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: file})
		wantError(t, err, file, "not a directory")
		_, err = embedded.Start(t.Context(), embedded.Config{})
		wantError(t, err, "no data directory")
	})

	t.Run("with the cluster of a version that is not installed", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "postgres", "PG_VERSION"), "99\n")
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir})
		wantError(t, err, "made by PostgreSQL 99", "install PostgreSQL 99")
	})

	t.Run("with something else in the cluster's place", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "postgres", "thesis.txt"), "precious")
		_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
		wantError(t, err, filepath.Join(dir, "postgres"), "exists")
		if content, err := os.ReadFile(filepath.Join(dir, "postgres", "thesis.txt")); err != nil || string(content) != "precious" {
			t.Errorf("the file is gone: %v", err)
		}
	})
}

func TestBadSetting(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	_, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: map[string]string{"fsync": "off", "shared_bufers": "1GB"}})
	wantError(t, err, `unrecognized configuration parameter "shared_bufers"`)
	if running(dir) {
		t.Error("something runs")
	}
	start(t, dir) // the mistake mended
}

func TestFirstStartCutShort(t *testing.T) {
	t.Parallel()
	initdbRuns := func(dir string) func() bool {
		return func() bool {
			_, err := os.Stat(filepath.Join(dir, "postgres.new", "base"))
			return err == nil
		}
	}

	t.Run("by its context", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			_, err := embedded.Start(ctx, embedded.Config{Dir: dir, Settings: quick})
			failed <- err
		}()
		eventually(t, "initdb runs", initdbRuns(dir))
		cancel()
		if err := <-failed; err == nil {
			t.Error("Start succeeded with its context gone")
		}
		start(t, dir)
	})

	t.Run("by a kill of the process while initdb goes on", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		cmd := exec.Command(executable(t, nil))
		cmd.Env = append(os.Environ(), asProgram+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "initdb runs", initdbRuns(dir))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it says that it was killed
		start(t, dir)
	})
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

func killPostmaster(t *testing.T, dir string) int {
	t.Helper()
	pid := postmaster(dir)
	if pid == 0 {
		t.Fatal("there is no postmaster to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return pid
}

// stranger is the number of a live process that has nothing to do with the
// cluster but its owner: only such a one misleads PostgreSQL.
func stranger(t *testing.T, dir string) int {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cat") // it waits for its input's end
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
