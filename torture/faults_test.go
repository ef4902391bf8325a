package torture_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"akin/repo/repotest"
)

// recovery is how soon Akin serves again once the database does.
const recovery = 5 * time.Second

// world is two Akins on one PostgreSQL, through a proxy, under load.
type world struct {
	postgres *postgres
	proxy    *repotest.Proxy
	akins    []*akin
	load     *load
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{postgres: startPostgres(t, map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"})}
	w.proxy = repotest.NewProxy(t, w.postgres.url)
	url := w.proxy.URL + "&pool_max_conns=6"
	token := newToken(t, url, "shop")
	w.akins = []*akin{startAkin(t, url), startAkin(t, url)}
	for _, a := range w.akins {
		a.ready(t)
	}
	w.load = newLoad(w.akins, token)
	return w
}

// TestNothingAcknowledgedIsLost writes and reads at two servers while one fault after another strikes, and then holds the
// history and the database to what Akin promises.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.load.run(12)
	t.Cleanup(stop)
	rounds := longer(1, 5)
	for range rounds {
		for _, fault := range []struct {
			name   string
			strike func(*testing.T, *world)
		}{
			{"both servers are killed", killBoth},
			{"one of two servers dies", killOne},
			{"PostgreSQL is killed", func(t *testing.T, w *world) { t.Helper(); w.postgres.kill(t) }},
			{"a process of PostgreSQL's is killed", func(t *testing.T, w *world) { t.Helper(); w.postgres.killBackend(t) }},
			{"connections are cut", cutConnections},
			{"every connection of the pools waits", exhaustPools},
			{"each statement takes 300 ms longer", slowDatabase},
			{"the database hangs", hangDatabase},
			{"the database is read-only", readOnly},
			{"the disk is full", fillDisk},
		} {
			t.Run(fault.name, func(t *testing.T) {
				w.acks(t, 20)
				fault.strike(t, w)
				w.recovers(t)
			})
		}
	}
	stop()
	w.load.verify(t, w.postgres)
	w.load.report(t)
	w.notices(t)
}

// notices holds the checker to harm that is done behind Akin's back, for one that finds nothing wrong with a sound database
// may not be looking.
func (w *world) notices(t *testing.T) {
	t.Helper()
	lost := one[string](t, w.postgres, `SELECT min(event_id) FROM customer_events`)
	changed := one[string](t, w.postgres, `SELECT max(event_id) FROM customer_events`)
	harms := []struct{ statement, want string }{
		{`UPDATE customer_identities SET first_name = 'before' WHERE id =
			(SELECT id FROM customer_identities WHERE platform = 'torture' LIMIT 1)`, "Key:identity-"},
		{`UPDATE customers SET updated_at = updated_at + interval '1 second' WHERE id =
			(SELECT id FROM customers WHERE starts_with(external_id, 'customer-') LIMIT 1)`, "Key:customer-"},
		{`DELETE FROM customer_events WHERE event_id = '` + lost + `'`, "Key:" + lost + " "},
		{`UPDATE customer_events SET properties = '{"name": "before"}' WHERE event_id = '` + changed + `'`, "Key:" + changed + " "},
		{`DELETE FROM customer_identities WHERE platform = 'set' AND platform_customer_id LIKE '%-1'`, "whole or not at all"},
		{`SELECT`, "customers without the identity they were created for"}, // those of the identities just deleted
	}
	for _, harm := range harms {
		if err := w.postgres.do(t.Context(), harm.statement); err != nil {
			t.Fatal(err)
		}
	}
	w.load.faults = nil
	w.load.verify(t, w.postgres)
	faults := strings.Join(w.load.faults, "\n")
	for _, harm := range harms {
		if !strings.Contains(faults, harm.want) {
			t.Errorf("the checker does not say %q: %s", harm.want, faults)
		}
	}
}

// acks waits until as many more writes are acknowledged.
func (w *world) acks(t *testing.T, n int64) {
	t.Helper()
	before := w.load.writes.Load()
	within(t, time.Minute, "writing", func() error {
		if w.load.writes.Load() < before+n {
			return errors.New("too few writes are acknowledged")
		}
		return nil
	})
}

// refuses waits until as many more requests are refused or lost.
func (w *world) refuses(t *testing.T, n int64) {
	t.Helper()
	before := w.load.refused.Load()
	within(t, time.Minute, "refusing", func() error {
		if w.load.refused.Load() < before+n {
			return errors.New("too few requests are refused")
		}
		return nil
	})
}

// recovers waits for the database, and then gives both servers the same time to acknowledge a write.
func (w *world) recovers(t *testing.T) {
	t.Helper()
	database := within(t, time.Minute, "PostgreSQL's return", func() error {
		return w.postgres.do(t.Context(), "CREATE TEMP TABLE probe ()")
	})
	var probes sync.WaitGroup
	for i, a := range w.akins {
		probes.Go(func() {
			took, err := until(recovery, func() error {
				const document = `mutation { upsertCustomer(input: {by: {externalId: "probe"}, firstName: "probe"}) { outcome } }`
				_, err := ask[struct{}](t.Context(), a, w.load.token, document, nil)
				return err
			})
			if err != nil {
				t.Errorf("serving again: server %d: %v", i+1, err)
			}
			t.Logf("PostgreSQL served after %s, server %d after %s more", database.Round(time.Millisecond), i+1, took.Round(time.Millisecond))
		})
	}
	probes.Wait()
}

func killBoth(t *testing.T, w *world) {
	t.Helper()
	for _, a := range w.akins {
		a.kill(t)
	}
	w.refuses(t, 10)
	for _, a := range w.akins {
		a.start(t)
	}
	for _, a := range w.akins {
		a.ready(t)
	}
}

func killOne(t *testing.T, w *world) {
	t.Helper()
	w.akins[1].kill(t)
	w.acks(t, 50)
	w.akins[1].start(t)
	w.akins[1].ready(t)
}

func cutConnections(t *testing.T, w *world) {
	t.Helper()
	for range longer(15, 100) {
		w.proxy.Shut()
		w.proxy.Open(t)
		w.acks(t, 5)
	}
}

func exhaustPools(t *testing.T, w *world) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.postgres.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `BEGIN; LOCK TABLE customers IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, longer[int64](12, 100))
}

func slowDatabase(t *testing.T, w *world) {
	t.Helper()
	defer w.proxy.Delay(t, 300*time.Millisecond, 0)()
	w.acks(t, longer[int64](50, 500))
}

func hangDatabase(t *testing.T, w *world) {
	t.Helper()
	defer w.proxy.Delay(t, time.Hour, time.Hour)()
	w.refuses(t, longer[int64](12, 100))
}

func readOnly(t *testing.T, w *world) {
	t.Helper()
	set := func(value string) {
		for _, statement := range []string{"ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()"} {
			if err := w.postgres.do(context.Background(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("on")
	defer set("off")
	w.refuses(t, 20)
	reads := w.load.reads.Load()
	within(t, time.Minute, "reading", func() error {
		if w.load.reads.Load() < reads+20 {
			return errors.New("too few reads are answered")
		}
		return nil
	})
}

// fillDisk leaves no byte free, and has PostgreSQL need more of them.
func fillDisk(t *testing.T, w *world) {
	t.Helper()
	if !w.postgres.small {
		t.Skip("this user may not mount a small file system to fill")
	}
	ballast := filepath.Join(w.postgres.dir, "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(ballast)
	defer file.Close()
	for block := make([]byte, 1<<16); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	defer func() {
		_ = os.Remove(ballast)
		within(t, time.Minute, "making room", func() error { return w.postgres.do(context.Background(), "DROP TABLE IF EXISTS ballast") })
	}()
	within(t, time.Minute, "filling the disk", func() error {
		err := w.postgres.do(t.Context(), `CREATE TABLE IF NOT EXISTS ballast (text text);
			INSERT INTO ballast SELECT repeat(md5(i::text), 50) FROM generate_series(1, 20000) i`)
		if err == nil {
			return errors.New("there is room yet")
		}
		t.Log(err)
		return nil
	})
	w.refuses(t, 10)
}
