package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"akin/model"
)

// DefaultMaxWait is how long what is watched waits for a connection, and for a database that is silent, where the URL
// has no pool_max_wait.
const DefaultMaxWait = 900 * time.Millisecond

// maxWaitParam is the parameter of the URL that sets it, beside pgxpool's pool_max_conns and its likes.
const maxWaitParam = "pool_max_wait"

// takeMaxWait takes the parameter out of the configuration: what pgx does not know, it would send to the server.
func takeMaxWait(config *pgxpool.Config) (time.Duration, error) {
	text, given := config.ConnConfig.RuntimeParams[maxWaitParam]
	if !given {
		return DefaultMaxWait, nil
	}
	delete(config.ConnConfig.RuntimeParams, maxWaitParam)
	wait, err := time.ParseDuration(text)
	if err != nil || wait < time.Millisecond {
		return 0, fmt.Errorf("%s of the database's URL must be a time of 1ms or more, such as 900ms", maxWaitParam)
	}
	return wait, nil
}

// pulse is the pool of the one connection on which the database is asked whether it still answers. It is apart, for the
// others are all in use just when that is in doubt, and it is opened when first needed.
func pulse(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.ConnConfig.Tracer = nil
	config.MaxConns, config.MinConns, config.MinIdleConns = 1, 0, 0
	config.MaxConnIdleTime = time.Minute // a firewall may forget a connection, which then looks like a silent database
	return pgxpool.NewWithConfig(ctx, config)
}

type watched struct{}

// Watch returns a context that bounds what is done in it by the time that the database's URL sets. A statement that
// gets no connection within it ends as UNAVAILABLE, so that a pool in which all are busy is not queued for without end;
// and the context ends with UNAVAILABLE for its cause when the database has been silent for so long. A statement may
// take longer than that as long as the database answers others. Commands do without: they can wait.
func (db *DB) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(context.WithValue(ctx, watched{}, true))
	// It is asked after a third, and has half for its answer, so that a silent database is known before the wait for a
	// connection to it is over, which would call it busy.
	silence := db.pool.wait / 3
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if ctx.Err() != nil {
			return
		}
		if err := db.alive(db.pool.wait / 2); err != nil {
			end(unavailable(err))
			return
		}
		timer.Reset(silence)
	})
	timer.Reset(silence)
	return ctx, func() {
		timer.Stop()
		end(nil)
	}
}

// alive returns an error unless the database says anything within the time, be it that it has no room; whoever asks at
// the same time shares the answer.
func (db *DB) alive(within time.Duration) error {
	_, err, _ := db.asking.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		err := db.pulse.Ping(ctx)
		var answer *pgconn.PgError
		if errors.As(err, &answer) {
			return nil, nil
		}
		return nil, err
	})
	return err
}

var errWaited = errors.New("the wait for a connection is over")

// bounded calls get, which waits for a connection of the pool, with a bound if the context is watched.
func bounded[T any](ctx context.Context, wait time.Duration, get func(context.Context) (T, error)) (T, error) {
	if ctx.Value(watched{}) == nil {
		return get(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errWaited)
	defer cancel()
	conn, err := get(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errWaited) {
		err = &model.Error{
			Code: model.CodeUnavailable, Message: "the database is too busy at present; try again",
			Cause: fmt.Errorf("no connection within %s: %w", wait, err),
		}
	}
	return conn, err
}

// pool is pgx's pool with a bounded wait.
type pool struct {
	*pgxpool.Pool

	wait time.Duration
}

// Query runs a statement on a connection that goes back to the pool when the rows are closed.
func (p *pool) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	conn, err := bounded(ctx, p.wait, p.Acquire)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return &pooledRows{rows, conn}, nil
}

// transaction calls do in a transaction, which it commits unless do returns an error.
func (p *pool) transaction(ctx context.Context, do func(tx pgx.Tx) error) error {
	conn, err := bounded(ctx, p.wait, p.Acquire)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, conn, do)
}

type pooledRows struct {
	pgx.Rows

	conn *pgxpool.Conn
}

// Close is part of pgx.Rows.
func (r *pooledRows) Close() {
	r.Rows.Close()
	if r.conn != nil {
		r.conn.Release()
		r.conn = nil
	}
}

// connector is the pool's of database/sql with a bounded wait.
type connector struct {
	driver.Connector

	wait time.Duration
}

// Connect is part of driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	return bounded(ctx, c.wait, c.Connector.Connect)
}

// openSQL is stdlib.OpenDBFromPool with a bounded wait.
func (p *pool) openSQL() *sql.DB {
	db := sql.OpenDB(connector{Connector: stdlib.GetPoolConnector(p.Pool), wait: p.wait})
	db.SetMaxIdleConns(0) // the pool keeps them
	return db
}
