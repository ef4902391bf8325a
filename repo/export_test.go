package repo

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Parameters is parameters, for tests that see statements as the Tracer does.
var Parameters = parameters

// ReadKeyed runs a lookup of any statement.
func (db *DB) ReadKeyed(ctx context.Context, query string, args []any, scan func(pgx.Rows) error) error {
	return db.pool.readKeyed(ctx, query, args, scan)
}

// MergeAfter has a merge begin after so many rows.
func (db *DB) MergeAfter(rows int64) { db.merger.written.Store(mergeEvery - rows) }

// AwaitMerge returns when no merge is under way.
func (db *DB) AwaitMerge() { db.merger.await() }
