package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// url names everything that PG* variables of the environment could change.
func (c *cluster) url(database string) string {
	query := url.Values{"host": {c.socketDir}, "port": {port}, "user": {"akin"}, "sslmode": {"disable"}}
	// libpq does not read + as a space.
	return "postgres:///" + database + "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}

// connect returns a connection to the database "postgres" of this cluster, in
// which the database "akin" exists.
func (c *cluster) connect(ctx context.Context) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(c.url("postgres"))
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = 2 * time.Second
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, conn); err != nil {
		_ = conn.Close(ctx) // the first error is the one to tell
		return nil, err
	}
	return conn, nil
}

// errOtherCluster means that the PostgreSQL at the socket serves other data.
var errOtherCluster = errors.New("the socket is in use by another cluster")

func (c *cluster) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, `SELECT current_setting('data_directory'),
		(SELECT count(*) FROM pg_database WHERE datname = 'akin')`).ReadAll()
	if err != nil {
		return err
	}
	row := results[0].Rows[0]
	ours, err := os.Stat(c.data())
	if err != nil {
		return err
	}
	if theirs, err := os.Stat(string(row[0])); err != nil || !os.SameFile(ours, theirs) {
		return fmt.Errorf("%w, %s", errOtherCluster, row[0])
	}
	if string(row[1]) == "0" {
		_, err = conn.Exec(ctx, "CREATE DATABASE akin").ReadAll()
	}
	return err
}

// temporary says that a PostgreSQL is there and will talk later: it starts,
// recovers or shuts down (class 57 of its error codes), or has no room (53).
func temporary(err error) bool {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(refusal.Code, "57") || strings.HasPrefix(refusal.Code, "53"))
}

// final says that a PostgreSQL answered, and that asking again is no use.
func final(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, errOtherCluster) || answered && !temporary(err)
}

// listening says whether anybody does at the socket; its file may be stale.
func (c *cluster) listening(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", c.socket())
	if err == nil {
		conn.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist)
}
