package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
	"golang.org/x/sync/singleflight"

	"akin/model"
)

// connectTimeout bounds an attempt to connect where the URL has no connect_timeout, so that a request learns within a
// second that the database is gone.
const connectTimeout = 800 * time.Millisecond

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

// pool is pgx's pool with a bounded wait, for a connection and for a database that is silent.
type pool struct {
	*pgxpool.Pool

	wait   time.Duration
	pulse  *pgxpool.Pool
	asking singleflight.Group
}

// openPool returns the pool for a PostgreSQL URL or keyword string; it connects when first used.
func openPool(ctx context.Context, url string, tracer pgx.QueryTracer) (*pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err) // pgx leaves the password out
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	wait, err := takeMaxWait(config)
	if err != nil {
		return nil, err
	}
	if config.PingTimeout == 0 { // of a connection that was idle, before it is used
		config.PingTimeout = wait / 2
	}
	verifyServer(&config.ConnConfig.Config)
	config.ConnConfig.Tracer = tracer
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerTypes(conn)
		return nil
	}
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pulse, err := pulse(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return &pool{Pool: conns, wait: wait, pulse: pulse}, nil
}

// registerTypes has a connection take and give UUIDs and times as Akin has them.
func registerTypes(conn *pgx.Conn) {
	pgxuuid.Register(conn.TypeMap())
	conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid") // for a mode in which PostgreSQL is not asked
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
}

// verifyServer has connections that must be encrypted go to the host that the URL names, by its certificate. With
// sslmode=require and no sslrootcert, pgx takes any certificate, as libpq does, and so anybody's in between.
func verifyServer(config *pgconn.Config) {
	plain := func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil } // sslmode=prefer, among others
	if config.TLSConfig == nil || slices.ContainsFunc(config.Fallbacks, plain) {
		return
	}
	for _, f := range append(slices.Clip(config.Fallbacks), &pgconn.FallbackConfig{Host: config.Host, TLSConfig: config.TLSConfig}) {
		if f.TLSConfig.InsecureSkipVerify && f.TLSConfig.VerifyPeerCertificate == nil {
			f.TLSConfig.InsecureSkipVerify, f.TLSConfig.ServerName = false, f.Host
		}
	}
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

// Close waits for what is running and closes every connection.
func (p *pool) Close() {
	p.Pool.Close()
	p.pulse.Close()
}

// watched is what is known of a request that is watched.
type watched struct {
	most  int
	left  atomic.Int64 // of the bytes that it may read
	queue queue

	decide    sync.Once
	atPrimary atomic.Bool
}

// queue is how long a request has waited for connections, for which its parts may wait at the same time.
type queue struct {
	turn  sync.Mutex
	parts int
	since time.Time // when the first of these parts came
	spent time.Duration
}

// enter has a part of the request wait, and returns for how long the request had waited before.
func (q *queue) enter() time.Duration {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.parts++
	if q.parts == 1 {
		q.since = time.Now()
	}
	return q.spent + time.Since(q.since)
}

func (q *queue) leave() {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.parts--
	if q.parts == 0 {
		q.spent += time.Since(q.since)
	}
}

type watchedKey struct{}

// watchedBy returns what a watched context carries, nil for another.
func watchedBy(ctx context.Context) *watched {
	w, _ := ctx.Value(watchedKey{}).(*watched)
	return w
}

// Watch returns a context for a request, which bounds what is done in it by the time that the database's URL sets, and the
// rows that it reads by so many bytes. What has waited for connections for so long, all in all, ends as UNAVAILABLE, so that
// a pool in which all are busy is not queued for without end; and the context ends with UNAVAILABLE for its cause when the
// database has been silent for so long. A statement may take longer than that as long as the database answers others. What
// reads more ends as RESULT_TOO_LARGE: a customer, or an event, may have as much of its own as a thousand others. Commands
// do without: they can wait, and read page by page.
func (db *DB) Watch(ctx context.Context, most int) (context.Context, context.CancelFunc) {
	w := &watched{most: most}
	w.left.Store(int64(most))
	return db.pool.watch(context.WithValue(ctx, watchedKey{}, w))
}

// watch returns a context that ends with UNAVAILABLE when the database is silent.
func (p *pool) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	silence := p.wait / 3 // before the database is asked; the rest is for its answer
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if ctx.Err() != nil {
			return
		}
		if err := p.alive(p.wait - silence); err != nil {
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
func (p *pool) alive(within time.Duration) error {
	_, err, _ := p.asking.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		err := p.pulse.Ping(ctx)
		var answer *pgconn.PgError
		if errors.As(err, &answer) {
			return nil, nil
		}
		return nil, err
	})
	return err
}

var errWaited = errors.New("the wait for a connection is over")

// bounded calls get, which waits for a connection of the pool, with a bound if the context is watched. Whether all are busy
// or the database is silent, the question tells that is being asked by then.
func bounded[T any](ctx context.Context, p *pool, get func(context.Context) (T, error)) (T, error) {
	w := watchedBy(ctx)
	if w == nil {
		return get(ctx)
	}
	moment := p.wait / 9 // for a connection that is free, and for an answer to whoever asks
	waiting, cancel := context.WithTimeoutCause(ctx, max(p.wait-w.queue.enter(), moment), errWaited)
	defer cancel()
	conn, err := get(waiting)
	w.queue.leave()
	if err == nil || !errors.Is(context.Cause(waiting), errWaited) {
		return conn, err
	}
	if silent := p.alive(moment); silent != nil {
		return conn, unavailable(silent)
	}
	return conn, &model.Error{
		Code: model.CodeUnavailable, Message: "the database is too busy at present; try again",
		Cause: fmt.Errorf("no connection within %s: %w", p.wait, err),
	}
}

// Query runs a statement on a connection that goes back to the pool when the rows are closed.
func (p *pool) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	conn, err := bounded(ctx, p, p.Acquire)
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
	conn, err := bounded(ctx, p, p.Acquire)
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

	pool *pool
}

// Connect is part of driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	return bounded(ctx, c.pool, c.Connector.Connect)
}

// openSQL is stdlib.OpenDBFromPool with a bounded wait.
func (p *pool) openSQL() *sql.DB {
	db := sql.OpenDB(connector{Connector: stdlib.GetPoolConnector(p.Pool), pool: p})
	db.SetMaxIdleConns(0) // the pool keeps them
	return db
}

// metered has the rows of its statements count against what a watched request may read.
type metered struct{ querier }

// Query is part of querier.
func (m metered) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	rows, err := m.querier.Query(ctx, query, args...)
	if w := watchedBy(ctx); err == nil && w != nil {
		rows = &meteredRows{Rows: rows, of: w}
	}
	return rows, err
}

type meteredRows struct {
	pgx.Rows

	of     *watched
	beyond bool
}

// Next is part of pgx.Rows.
func (r *meteredRows) Next() bool {
	if r.beyond || !r.Rows.Next() {
		return false
	}
	var size int64
	for _, value := range r.RawValues() {
		size += int64(len(value))
	}
	r.beyond = r.of.left.Add(-size) < 0
	return !r.beyond
}

// Err is part of pgx.Rows.
func (r *meteredRows) Err() error {
	if r.beyond {
		return &model.Error{
			Code:    model.CodeResultTooLarge,
			Message: fmt.Sprintf("the rows that are read have more than %d bytes", r.of.most),
		}
	}
	return r.Rows.Err()
}
