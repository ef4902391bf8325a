package torture_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"akin/repo/embedded"
)

// TestReadsFromAReplica has two servers read from a streaming replica, which falls behind and dies while clients write at
// one server and read at the other. Nobody may miss a write that was acknowledged, and nobody may notice.
func TestReadsFromAReplica(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, map[string]string{"wal_level": "replica", "max_wal_senders": "4"})
	replica := p.replicate(t)
	var akins []*akin
	for range 2 {
		a := newAkin(t, p.url)
		a.metrics = freeAddress(t)
		a.args = append(a.args, "--database-replica-url", replica.url, "--metrics-listen", a.metrics)
		a.start(t)
		akins = append(akins, a)
	}
	for _, a := range akins {
		a.ready(t)
	}
	l := newLoad(akins, newToken(t, p.url, "shop"))
	stop := l.run(12)
	t.Cleanup(stop)
	goesOn := func(what string) {
		t.Helper()
		writes, reads := l.writes.Load(), l.reads.Load()
		within(t, time.Minute, what, func() error {
			if l.writes.Load() < writes+longer[int64](150, 3_000) || l.reads.Load() < reads+longer[int64](50, 1_000) {
				return errors.New("too little is answered")
			}
			return nil
		})
	}
	serves := func(what string) {
		t.Helper()
		for _, a := range akins {
			before := a.fromReplica(t, "served")
			within(t, time.Minute, what, func() error {
				if now := a.fromReplica(t, "served"); now < before+20 {
					return fmt.Errorf("the replica served %d requests, and %d before", now, before)
				}
				return nil
			})
		}
	}
	for range longer(1, 5) {
		goesOn("reading from the replica")
		serves("reading from the replica")
		readsOwnWrites(t, akins[0], l.token)
		behind := akins[0].fromReplica(t, "behind")
		if err := replica.do(t.Context(), "SELECT pg_wal_replay_pause()"); err != nil {
			t.Fatal(err)
		}
		goesOn("reading beside a replica that is behind")
		if now := akins[0].fromReplica(t, "behind"); now == behind {
			t.Error("no request read from the primary while the replica was behind")
		}
		if err := replica.do(t.Context(), "SELECT pg_wal_replay_resume()"); err != nil {
			t.Fatal(err)
		}
		serves("reading from a replica that has caught up")
		replica.kill(t)
		goesOn("reading beside a dead replica")
		serves("reading from a replica that is back")
	}
	stop()
	l.verify(t, p)
	if n := l.refused.Load(); n > 0 {
		t.Errorf("%d requests were refused, though the primary never failed", n)
	}
	l.report(t)
}

// readsOwnWrites has requests that write, read, write again and read again.
func readsOwnWrites(t *testing.T, a *akin, token string) {
	t.Helper()
	const document = `mutation ($one: UpsertCustomerIdentityInput!, $two: UpsertCustomerIdentityInput!) {
		one: upsertCustomerIdentity(input: $one) { customerIdentity { customer { identities { totalCount } } } }
		two: upsertCustomerIdentity(input: $two) { customerIdentity { customer { identities { totalCount } } } } }`
	type written struct {
		CustomerIdentity struct {
			Customer struct{ Identities struct{ TotalCount int } }
		}
	}
	for range 50 {
		name := "own-" + rand.Text()
		identity := func(id string) map[string]any {
			return map[string]any{"platform": platform, "platformCustomerId": id, "email": name + "@example.com"}
		}
		data, err := ask[struct{ One, Two written }](t.Context(), a, token, document,
			map[string]any{"one": identity(name), "two": identity(name + "-2")})
		if err != nil {
			t.Fatal(err)
		}
		one, two := data.One.CustomerIdentity.Customer.Identities.TotalCount, data.Two.CustomerIdentity.Customer.Identities.TotalCount
		if one != 1 || two != 2 {
			t.Fatalf("a request that wrote 1 identity and then another counts %d, and then %d", one, two)
		}
	}
}

// replicate makes a streaming replica of the server, and starts it.
func (p *postgres) replicate(t *testing.T) *postgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "akin-torture-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sockets := filepath.Dir(p.socket(t))
	owner := ownerOf(t, sockets)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, int(owner.Uid), int(owner.Gid))); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(one[string](t, p, "SELECT setting FROM pg_config WHERE name = 'BINDIR'"), "pg_basebackup")
	backup := exec.CommandContext(t.Context(), program, "--host", sockets, "--username", "akin", "--checkpoint", "fast",
		"--write-recovery-conf", "--pgdata", filepath.Join(dir, "postgres"))
	backup.Env, backup.Dir = bare(), dir
	asOwner(backup, owner)
	if output, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, output)
	}
	server, err := embedded.Start(t.Context(), embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &postgres{dir: dir, url: server.URL()}
}

// fromReplica returns how many requests were to read from the replica with this outcome.
func (a *akin) fromReplica(t *testing.T, outcome string) int {
	t.Helper()
	response, err := http.Get("http://" + a.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`akin_replica_requests_total\{outcome="` + outcome + `"\} (\d+)`).FindSubmatch(body)
	if found == nil {
		t.Fatalf("the metrics do not tell how many requests were %s", outcome)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
