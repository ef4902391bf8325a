package torture_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestThroughPgBouncer runs four servers side by side, which start together on an empty database, through a PgBouncer in
// transaction mode with fewer connections than they have, so that each statement may meet another connection than the one
// before. Before its version 1.21 it knows nothing of prepared statements: hence the mode.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // as Debian has it, outside a user's PATH
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("pgbouncer is not installed: scripts/install.sh pgbouncer")
	}
	p := startPostgres(t, nil)
	url := "postgres://akin@" + startPgBouncer(t, path, p) + "/akin?sslmode=disable&default_query_exec_mode=cache_describe"
	var akins []*akin
	for range 4 {
		akins = append(akins, startAkin(t, url))
	}
	for _, a := range akins {
		a.ready(t)
	}
	l := newLoad(akins, newToken(t, url, "shop"))
	stop := l.run(12)
	t.Cleanup(stop)
	within(t, longer(time.Minute, 10*time.Minute), "writing", func() error {
		if l.writes.Load() < longer[int64](300, 20_000) {
			return errors.New("too few writes are acknowledged")
		}
		return nil
	})
	stop()
	l.verify(t, p)
	if n := l.refused.Load(); n > 0 {
		t.Errorf("%d requests were refused, though nothing failed", n)
	}
	l.report(t)
}

// startPgBouncer starts one in front of the PostgreSQL, as the user that PostgreSQL runs as, since it refuses root.
func startPgBouncer(t *testing.T, path string, p *postgres) (address string) {
	t.Helper()
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	dir := filepath.Dir(p.socket(t))
	config := filepath.Join(p.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
akin = host=%s port=5432 dbname=akin user=akin
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
`, dir, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	bouncer := exec.Command(path, config)
	bouncer.Env = bare()
	log := &logFile{}
	bouncer.Stderr = log
	asOwner(bouncer, ownerOf(t, dir))
	if err := bouncer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bouncer.Process.Signal(syscall.SIGTERM)
		_ = bouncer.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
	within(t, 10*time.Second, "starting PgBouncer", func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return address
}
