package embedded_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"akin/repo/embedded"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("a restart keeps the data", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		first := start(t, dir)
		remember(t, first.URL(), "kept")
		stop(t, first)
		if running(dir) {
			t.Error("PostgreSQL runs on after the only server stopped")
		}
		second := start(t, dir)
		if got := recall(t, second.URL()); got != "kept" {
			t.Errorf("after a restart the table holds %q, want %q", got, "kept")
		}
		if first.URL() != second.URL() {
			t.Errorf("the URL changed from %s to %s", first.URL(), second.URL())
		}
	})

	t.Run("settings apply, UTC and the socket alone are given", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		settings := maps.Clone(quick)
		settings["max_connections"] = "17"
		settings["application_name"] = `it's a \ "name"`
		settings["listen_addresses"] = "*" // not to be had
		server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: settings})
		if err != nil {
			t.Fatal(err)
		}
		stopAtEnd(t, server)
		for name, want := range map[string]string{
			"max_connections": "17", "listen_addresses": "", "TimeZone": "UTC", "fsync": "off",
			"server_encoding": "UTF8", "unix_socket_permissions": "0700",
			"application_name": `it's a \ "name"`,
		} {
			if got := query(t, server.URL(), "SELECT setting FROM pg_settings WHERE name = $1", name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		const database = "SELECT datname || ' ' || current_user || ' ' || datcollate FROM pg_database WHERE datname = current_database()"
		if got := query(t, server.URL(), database); got != "akin akin C" {
			t.Errorf("database, user and collation are %q, want akin akin C", got)
		}
	})

	for name, base := range map[string]string{
		"a path with spaces and quotes":         `it's "my" $HOME data`,
		"a path too long for a socket":          strings.Repeat("long", 30),
		"a path whose parents are yet to exist": "a/b/c",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(tempDir(t), base)
			server := start(t, dir)
			remember(t, server.URL(), "reached")
			stop(t, server)
			if got := recall(t, start(t, dir).URL()); got != "reached" {
				t.Errorf("the table holds %q", got)
			}
		})
	}

	t.Run("psql takes the URL", func(t *testing.T) {
		t.Parallel()
		psql, err := exec.LookPath("psql")
		if err != nil {
			t.Skip("psql is not installed")
		}
		server := start(t, filepath.Join(tempDir(t), "with space + plus"))
		output, err := exec.Command(psql, "-XAt", "-c", "SELECT 40 + 2", server.URL()).CombinedOutput()
		if err != nil || strings.TrimSpace(string(output)) != "42" {
			t.Errorf("psql says %s (%v)", output, err)
		}
	})

	t.Run("a second Stop does nothing", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		first, second := start(t, dir), start(t, dir)
		stop(t, first)
		stop(t, first)
		if got := query(t, second.URL(), "SELECT 1::text"); got != "1" {
			t.Error("the other server lost its PostgreSQL")
		}
	})

	t.Run("as an ordinary user", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		ordinary := ordinaryUser(t)
		give(t, dir, ordinary)
		for range 2 { // a first start and a restart
			p := startProgram(t, dir, ordinary)
			if got := query(t, p.url, "SELECT 1::text"); got != "1" {
				t.Errorf("got %q", got)
			}
			info, err := os.Stat(filepath.Join(dir, "postgres"))
			if err != nil {
				t.Fatal(err)
			}
			if uid := info.Sys().(*syscall.Stat_t).Uid; ordinary != nil && uid != ordinary.Uid {
				t.Errorf("the cluster belongs to %d, want %d", uid, ordinary.Uid)
			}
			p.leave(t)
			if running(dir) {
				t.Error("PostgreSQL runs on")
			}
		}
	})
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("HOME", "/home/somebody")
	plain := "/home/somebody/.local/share/akin"
	if runtime.GOOS == "darwin" {
		plain = "/home/somebody/Library/Application Support/akin"
	}
	for xdg, want := range map[string]string{"": plain, "relative": plain, "/data": "/data/akin"} {
		t.Setenv("XDG_DATA_HOME", xdg)
		if os.Geteuid() == 0 {
			want = "/var/lib/akin"
		}
		got, err := embedded.DefaultDir()
		if err != nil || got != want {
			t.Errorf("with XDG_DATA_HOME=%q it is %q, %v; want %q", xdg, got, err, want)
		}
	}
}

func TestRootServesTheClusterOfAnother(t *testing.T) {
	t.Parallel()
	ordinary := ordinaryUser(t)
	if ordinary == nil {
		t.Skip("only root can")
	}
	dir := tempDir(t)
	give(t, dir, ordinary)
	first := startProgram(t, dir, ordinary)
	remember(t, first.url, "kept")
	first.leave(t)
	for _, who := range []*syscall.Credential{nil, ordinary} {
		p := startProgram(t, dir, who)
		if got := recall(t, p.url); got != "kept" {
			t.Errorf("the table holds %q", got)
		}
		p.leave(t)
	}
}

func TestSharing(t *testing.T) {
	t.Parallel()

	t.Run("the last process to leave stops PostgreSQL", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		first := startProgram(t, dir, nil)
		second := startProgram(t, dir, nil)
		before := query(t, first.url, "SELECT pg_postmaster_start_time()::text")
		first.leave(t)
		if after := query(t, second.url, "SELECT pg_postmaster_start_time()::text"); after != before {
			t.Errorf("PostgreSQL was restarted: %s, then %s", before, after)
		}
		second.leave(t)
		if running(dir) {
			t.Error("PostgreSQL runs on after the last process left")
		}
	})

	t.Run("a killed process leaves a cluster that the next one joins and stops", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		first := startProgram(t, dir, nil)
		remember(t, first.url, "kept")
		before := query(t, first.url, "SELECT pg_postmaster_start_time()::text")
		first.kill(t)
		second := start(t, dir)
		if after := query(t, second.URL(), "SELECT pg_postmaster_start_time()::text"); after != before {
			t.Errorf("PostgreSQL was restarted: %s, then %s", before, after)
		}
		if got := recall(t, second.URL()); got != "kept" {
			t.Errorf("the table holds %q", got)
		}
		stop(t, second)
		if running(dir) {
			t.Error("PostgreSQL runs on: the killed process still counts")
		}
	})

	t.Run("many that start and stop at once share one cluster", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		for range 3 { // the first round runs initdb, too
			var everyoneIn, done sync.WaitGroup
			everyoneIn.Add(8)
			starts := make([]string, 8)
			for i := range starts {
				done.Go(func() {
					var url string
					var leave func()
					if i%2 == 0 {
						p := startProgram(t, dir, nil)
						url, leave = p.url, func() { p.leave(t) }
					} else {
						server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
						if err != nil {
							t.Error(err)
							everyoneIn.Done()
							return
						}
						url, leave = server.URL(), func() { stop(t, server) }
					}
					everyoneIn.Done()
					everyoneIn.Wait()
					starts[i] = query(t, url, "SELECT pg_postmaster_start_time()::text")
					leave()
				})
			}
			done.Wait()
			for _, began := range starts {
				if began != starts[0] {
					t.Errorf("several PostgreSQLs ran: %v", starts)
				}
			}
			if running(dir) {
				t.Error("PostgreSQL runs on after everybody left")
			}
		}
	})

	t.Run("starts and stops in disorder never meet a PostgreSQL that is gone", func(t *testing.T) {
		t.Parallel()
		dir := tempDir(t)
		var done sync.WaitGroup
		for range 4 {
			done.Go(func() {
				for range 5 {
					server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Settings: quick})
					if err != nil {
						t.Error(err)
						return
					}
					if got := query(t, server.URL(), "SELECT 1::text"); got != "1" {
						t.Errorf("got %q", got)
					}
					stop(t, server)
				}
			})
		}
		done.Wait()
		if running(dir) {
			t.Error("PostgreSQL runs on after everybody left")
		}
	})
}
