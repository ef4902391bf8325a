package repo_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"akin/repo"
)

// open returns the database at the URL, seen by the tracer and closed after the test.
func open(t testing.TB, url string, tracer pgx.QueryTracer) *repo.DB {
	t.Helper()
	db, err := repo.Open(t.Context(), url, tracer)
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

// connect returns a connection past Akin to the database at the URL, closed after the test.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// one returns the one value that the query gives.
func one[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(context.Background(), query, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// run runs a statement.
func run(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// awaitLocks waits until so many connections to the database wait for locks.
func awaitLocks(t *testing.T, watcher *pgx.Conn, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); one[int](t, watcher,
		`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) < n; {
		if time.Now().After(deadline) {
			t.Fatal("too few wait for a lock")
		}
	}
}
