package repo_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// TestUnavailable asks databases that cannot be reached, each in its way.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	_, token := repotest.NewStore(t, repotest.New(t), "store")
	for name, url := range map[string]string{
		"no socket":                    "host=" + filepath.Join(t.TempDir(), "none") + " user=akin dbname=akin",
		"a closed port":                "postgres://akin@" + closedPort(t) + "/akin",
		"a server that never answers":  "postgres://akin@" + silentServer(t) + "/akin?sslmode=disable",
		"one that never speaks of TLS": "postgres://akin@" + silentServer(t) + "/akin",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, url, nil)
			store := db.Store(uuid.New())
			for what, call := range map[string]func(context.Context) error{
				"a ping":  db.Ping,
				"a token": func(ctx context.Context) error { _, err := db.Authenticate(ctx, token); return err },
				"a read":  func(ctx context.Context) error { _, err := store.Self(ctx); return err },
				"a page": func(ctx context.Context) error {
					_, err := store.Customers(ctx, nil, nil, model.PageArgs{})
					return err
				},
				"a write": func(ctx context.Context) error {
					_, err := store.UpsertCustomerIdentity(ctx, *input("1", "jane@doe.com"))
					return err
				},
				"a batch": func(ctx context.Context) error {
					_, err := store.UpsertCustomerIdentities(ctx, []*model.UpsertCustomerIdentityInput{input("1", "jane@doe.com")}, model.RejectAll)
					return err
				},
				"the stores":  func(ctx context.Context) error { _, err := db.Stores(ctx); return err },
				"a migration": func(ctx context.Context) error { return db.Migrate(ctx, quiet) },
			} {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					if err := call(context.Background()); code(err) != model.CodeUnavailable {
						t.Errorf("the error is %v", err)
					}
				})
			}
		})
	}
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// silentServer returns the address of a server that takes what it is sent and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// TestLostConnections has the server end every session between two calls: it may show once as UNAVAILABLE, never as an
// error of Akin's, and then mends by itself.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	conn := connect(t, url)
	for name, call := range calls(upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity) {
		run(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`)
		for err := call(t.Context(), store); err != nil; err = call(t.Context(), store) {
			if code(err) != model.CodeUnavailable {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestTheLongestWaitForAConnectionIsPartOfTheURL(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]string{"no time": "soon", "a time without a unit": "900", "no time at all": "0s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := repo.Open(t.Context(), repotest.URL(t)+"&pool_max_wait="+wait, nil)
			if err == nil {
				_ = db.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), "pool_max_wait of the database's URL must be a time") {
				t.Error(err)
			}
		})
	}
}
