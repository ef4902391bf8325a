// Package repo is the truth of Akin: all SQL, the transactions, the migrations and the tokens. A DB is a whole database;
// whatever belongs to one store hangs on a Store, which carries the store's ID into every statement.
package repo

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"golang.org/x/sync/singleflight"
)

// DB is a database of Akin's.
type DB struct {
	bun     *bun.DB
	pool    *pool
	replica *replica // nil where there is none
	tokens  *lru.Cache[tokenHash, cachedToken]
	lookUps singleflight.Group // of tokens

	turns      *turns
	refusals   *prometheus.CounterVec           // of tokens, by reason
	uses       *lru.Cache[uuid.UUID, time.Time] // of tokens, when last written down
	background sync.WaitGroup                   // what is written down beside the requests

	merger      *merger
	lastSettled lastSettled
}

// Open returns the database at a PostgreSQL URL or keyword string, as pgx reads them, pool settings included, and
// pool_max_wait beside them, which Watch explains; it connects when first used. tracer sees every statement; it may be
// nil.
func Open(ctx context.Context, url string, tracer pgx.QueryTracer) (*DB, error) {
	conns, err := openPool(ctx, url, tracer)
	if err != nil {
		return nil, err
	}
	tokens, err := lru.New[tokenHash, cachedToken](tokenCacheSize)
	if err != nil {
		return nil, fmt.Errorf("make the cache of tokens: %w", err)
	}
	uses, err := lru.New[uuid.UUID, time.Time](tokenCacheSize)
	if err != nil {
		return nil, fmt.Errorf("make the cache of uses: %w", err)
	}
	return &DB{
		bun: bun.NewDB(conns.openSQL(), pgdialect.New()), pool: conns, tokens: tokens, refusals: newRefusals(), uses: uses,
		turns: newTurns(conns), merger: newMerger(conns),
	}, nil
}

// Close waits for what is running and closes every connection.
func (db *DB) Close() error {
	db.background.Wait()
	err := db.bun.Close()
	db.pool.Close()
	db.merger.stop()
	db.replica.close()
	if tracer, ok := db.pool.tracer.(*Tracer); ok {
		tracer.plans.work.Wait()
	}
	return err
}

// Ping returns UNAVAILABLE unless the database answers. It asks on a connection apart from the pool's: that all of those are
// busy does not mean that the database is gone.
func (db *DB) Ping(ctx context.Context) error {
	return asModelError(db.pool.pulse.Ping(ctx))
}

// Store returns the part of the database that belongs to the store with this ID.
func (db *DB) Store(id uuid.UUID) *Store {
	return &Store{db: db.bun, pool: db.pool, replica: db.replica, id: id, merger: db.merger, lastSettled: &db.lastSettled}
}

// Store is one store's part of the database; nothing that it does reaches another store's.
type Store struct {
	db      *bun.DB
	pool    *pool
	replica *replica // nil where there is none
	id      uuid.UUID
	shown   Columns // of the rows that are read; nil for all

	merger      *merger // these are the database's
	lastSettled *lastSettled
}

// ID returns the store's ID.
func (s *Store) ID() uuid.UUID { return s.id }

// params collects the values of a statement and hands out their $n, so that Bun composes the text and pgx prepares it
// once for all values (measured: 2 to 2.7 times as fast as values in the text).
type params struct {
	values []any
	// planAnew has PostgreSQL plan the statement for these values alone: the plan that suits a platform of half the
	// store's customers reads every one of them to find the few of another platform (400,000 buffers against 100).
	planAnew bool
}

func (p *params) add(value any) bun.Safe {
	p.values = append(p.values, value)
	return bun.Safe("$" + strconv.Itoa(len(p.values)))
}

// addHidden is add for a value that the planner must not see. It takes a store that its statistics do not have yet, such
// as one just imported, for empty; every index is then as good to it as the right one, and a row is looked up by reading
// the store (17,000 buffers for one of 18,000 customers). Blind, it takes the store for the whole table: the migrations
// set n_distinct so.
func (p *params) addHidden(value uuid.UUID) bun.Safe {
	return "(SELECT " + p.add(value) + "::uuid)"
}

// each returns the relation of some IDs. One alone is no array: PostgreSQL takes a plan for arrays of any length for dear,
// and would plan the statement anew each time (measured: 4 times as long for the identities of a customer).
func (p *params) each(ids []uuid.UUID) bun.Safe {
	if len(ids) == 1 {
		return p.addHidden(ids[0])
	}
	return "unnest(" + p.add(ids) + "::uuid[])"
}

// among returns the end of the condition that something is one of some IDs; see each.
func (p *params) among(ids []uuid.UUID) bun.Safe {
	if len(ids) == 1 {
		return "= " + p.add(ids[0])
	}
	return "= ANY (" + p.add(ids) + ")"
}

// args returns what pgx is to send with the statement.
func (p *params) args() []any {
	if p.planAnew {
		return append([]any{pgx.QueryExecModeCacheDescribe}, p.values...)
	}
	return p.values
}

// scan runs the query with its parameters and reads the rows into dest, as read does.
func (s *Store) scan(ctx context.Context, query *bun.SelectQuery, p params, dest ...any) error {
	return s.read(ctx, query.String(), p.args(), dest...)
}

// read runs a statement that writes nothing and reads its rows into dest, a pointer to a slice or to a slice each column.
// It asks the replica where that has all that the request may have seen.
func (s *Store) read(ctx context.Context, query string, args []any, dest ...any) error {
	return s.replica.read(ctx, s.pool, func(ctx context.Context, p *pool) error {
		return scanRows(ctx, s.db, metered{p}, query, args, dest...)
	})
}

// readKeyed is read for a statement that finds rows by a key, which may be sent with those of other requests: see gathering.
func readKeyed[T any](ctx context.Context, s *Store, query string, args []any) (rows []*T, err error) {
	err = s.replica.read(ctx, s.pool, func(ctx context.Context, p *pool) error {
		return asModelError(p.readKeyed(ctx, query, args, func(r pgx.Rows) error { return readRows(s.db, meter(ctx, r), &rows) }))
	})
	return rows, err
}

// count returns how many rows the query would give.
func (s *Store) count(ctx context.Context, query *bun.SelectQuery, p params) (int, error) {
	var counts []int
	err := s.scan(ctx, query.ExcludeColumn("*").ColumnExpr("count(*)"), p, &counts)
	if err != nil {
		return 0, err
	}
	return counts[0], nil
}
