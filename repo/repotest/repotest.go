// Package repotest gives each test a database of its own, on a PostgreSQL that the tests start themselves.
package repotest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that pgtestdb asks for by name
	"github.com/peterldowns/pgtestdb"
	"github.com/peterldowns/pgtestdb/migrators/common"
	"go.uber.org/goleak"

	"akin/repo"
	"akin/repo/embedded"
)

// server is the PostgreSQL of this test binary and of those that run beside it.
var server *embedded.Server

// Main runs a package's tests with a PostgreSQL started for them, which stops with the last package that uses it. Every
// package that calls New or URL has it as its TestMain.
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	server, err = embedded.Start(ctx, embedded.Config{
		Dir: filepath.Join(os.TempDir(), "akin-test-"+strconv.Itoa(os.Getuid())),
		// What the tests write may be lost with the machine, and many databases are open at once.
		Settings: map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "500"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(server.Stop(ctx), leaks(code)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// leaks returns an error that shows the goroutines which outlived the tests, unless one failed: it may have left its own.
func leaks(code int) error {
	if code != 0 {
		return nil
	}
	http.DefaultClient.CloseIdleConnections() // as good as the tests' own
	return goleak.Find(IgnoreProxy()...)
}

// URL returns the address of a new database with Akin's tables and nothing in them, cloned from a template. It is
// dropped after the test, or kept where the test failed: the test's log has its address.
func URL(t testing.TB) string {
	t.Helper()
	base, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	query := base.Query()
	user := query.Get("user")
	query.Del("user") // pgtestdb puts one in front of the host
	return pgtestdb.Custom(t, pgtestdb.Config{
		DriverName: "pgx", User: user, Database: strings.TrimPrefix(base.Path, "/"), Options: query.Encode(),
		ForceTerminateConnections: true,
	}, migrator{}).URL()
}

// New returns a database as URL does, open until the test ends. On a busy machine it is waited for patiently.
func New(t testing.TB) *repo.DB {
	t.Helper()
	db, err := repo.Open(t.Context(), URL(t)+"&pool_max_wait=30s&connect_timeout=30", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// NewStore creates a store of this name with a token that may write, and returns both.
func NewStore(t testing.TB, db *repo.DB, name string) (store *repo.Store, token string) {
	t.Helper()
	created, err := db.CreateStore(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err = db.CreateToken(t.Context(), name, "test", repo.ScopeWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	return db.Store(created.ID), token
}

// migrator makes the template: once for each state of the migrations.
type migrator struct{}

func (migrator) Hash() (string, error) {
	return common.HashDirs(repo.Migrations, "*.sql", "migrations")
}

func (migrator) Migrate(ctx context.Context, _ *sql.DB, config pgtestdb.Config) error {
	db, err := repo.Open(ctx, config.URL(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx, slog.New(slog.DiscardHandler))
}
