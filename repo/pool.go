package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
	"golang.org/x/sync/singleflight"
)

// leastMaxConns is how many connections the pool may have where the URL has no pool_max_conns, or as many as there are
// processors if they are more. With pgx's own 4, two processors created 0.9 as many customers (measured, with 16 clients): they
// wait for commits, and a database on another machine is waited for longer.
const leastMaxConns = 8

// connectTimeout bounds an attempt to connect where the URL has no connect_timeout. What is watched waits for less.
const connectTimeout = 2 * time.Second

// defaultMaxWait is how long what is watched waits for a connection, and for a database that is silent, where the URL
// has no pool_max_wait.
const defaultMaxWait = 900 * time.Millisecond

// maxWaitParam is the parameter of the URL that sets it, beside pgxpool's pool_max_conns and its likes.
const maxWaitParam = "pool_max_wait"

// takeMaxWait takes the parameter out of the configuration: what pgx does not know, it would send to the server.
func takeMaxWait(config *pgxpool.Config) (time.Duration, error) {
	text, given := config.ConnConfig.RuntimeParams[maxWaitParam]
	if !given {
		return defaultMaxWait, nil
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

	wait      time.Duration
	pulse     *pgxpool.Pool
	asking    singleflight.Group
	gathering gathering
	tracer    pgx.QueryTracer // nil where nobody follows the statements
}

// openPool returns the pool for a PostgreSQL URL or keyword string; it connects when first used.
func openPool(ctx context.Context, url string, tracer pgx.QueryTracer) (*pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err) // pgx leaves the password out
	}
	if !hasMaxConns(url) {
		config.MaxConns = max(config.MaxConns, leastMaxConns)
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
	if tracer != nil {
		config.ConnConfig.Tracer = untraced{tracer}
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		registerTypes(conn)
		return suit(ctx, conn)
	}
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	pulse, err := pulse(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return &pool{
		Pool: conns, wait: wait, pulse: pulse, tracer: tracer,
		gathering: gathering{most: max(1, int(config.MaxConns)/connsPerPipeline)},
	}, nil
}

// hasMaxConns reports whether a URL that pgxpool can read has a pool_max_conns, which pgxpool does not tell.
func hasMaxConns(url string) bool {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return false
	}
	_, given := config.RuntimeParams["pool_max_conns"]
	return given
}

// registerTypes has a connection take and give UUIDs and times as Akin has them.
func registerTypes(conn *pgx.Conn) {
	pgxuuid.Register(conn.TypeMap())
	conn.TypeMap().RegisterDefaultPgType([]uuid.UUID{}, "_uuid") // for a mode in which PostgreSQL is not asked, like the next
	conn.TypeMap().RegisterDefaultPgType([16]byte{}, "uuid")
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
}

// suit has PostgreSQL run plans as they are, and leave merges of the search's indexes to the merger. It compiles plans that it takes for
// dear, which for statements of some milliseconds takes longer than to run them: 120 ms for a batch of 250 new customers, in tables not
// analyzed yet. These are no parameters of the connection, which PgBouncer would refuse.
func suit(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.PgConn().Exec(ctx, "SET jit = off; SET gin_pending_list_limit = '"+pendingLimit+"'").ReadAll()
	return err
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
	config.ConnConfig.Tracer, config.AfterConnect = nil, nil
	config.MaxConns, config.MinConns, config.MinIdleConns = 1, 0, 0
	config.MaxConnIdleTime = time.Minute // a firewall may forget a connection, which then looks like a silent database
	return pgxpool.NewWithConfig(ctx, config)
}

// Close waits for what is running and closes every connection.
func (p *pool) Close() {
	p.Pool.Close()
	p.pulse.Close()
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
