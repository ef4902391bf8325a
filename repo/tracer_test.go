package repo_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"akin/repo"
)

// statement is what went to the database: its text, its parameters, and whether it is planned anew each time.
type statement struct {
	sql  string
	args []any
	anew bool
}

// recorder keeps every statement that it sees start.
type recorder struct {
	mu         sync.Mutex
	statements []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "--") { // pgx asks an idle connection whether it lives
		return ctx
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = append(r.statements, statement{
		data.SQL, repo.Parameters(data.Args), slices.Contains(data.Args, any(pgx.QueryExecModeCacheDescribe)),
	})
	return ctx
}

func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns what was recorded since the last take.
func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.statements
	r.statements = nil
	return taken
}
