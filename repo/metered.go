package repo

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"akin/model"
)

// metered has the rows of its statements count against what a watched request may read.
type metered struct{ querier }

// Query is part of querier.
func (m metered) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	rows, err := m.querier.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return meter(ctx, rows), nil
}

// meter has rows count against what a watched request may read.
func meter(ctx context.Context, rows pgx.Rows) pgx.Rows {
	if w := watchedBy(ctx); w != nil {
		return &meteredRows{Rows: rows, of: w}
	}
	return rows
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
