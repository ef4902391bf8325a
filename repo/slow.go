package repo

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// logSlow logs a statement by its fingerprint, its text without values and the hash of its plan.
func (t *Tracer) logSlow(ctx context.Context, sql, plan string, took time.Duration, data pgx.TraceQueryEndData) {
	text := withoutValues(sql)
	requestID := ""
	if effort, ok := ctx.Value(effortKey{}).(*Effort); ok {
		requestID = effort.requestID
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, "slow statement",
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("fingerprint", fingerprint(text)),
		slog.String("plan", plan), slog.Int64("rows", data.CommandTag.RowsAffected()), slog.String("outcome", outcome(data.Err)),
		slog.String("statement", shown(text)), slog.String("request_id", requestID))
}

// explainTimeout bounds the asking for a plan, the connection that it takes included. Who asks for the plan of a
// statement on a locked table waits for the lock as well.
const explainTimeout = 2 * time.Second

// planner asks PostgreSQL how it plans statements, for one at a time: when all are slow, the database has no time for
// more. It has a connection of its own each time, for the statement's may be cut off and the pool's are needed. What is
// slow is rare, by definition: a pool of 10 has at most 20 in a second that take half of one.
type planner struct {
	busy sync.Mutex
	work sync.WaitGroup
}

// explainable are the statements that EXPLAIN takes, as far as we have them.
var explainable = regexp.MustCompile(`^(?i)\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE)\s`)

// explain calls tell with the hash of the statement's plan: at once and with none where it cannot be had, or else in the
// background.
func (p *planner) explain(ctx context.Context, config *pgx.ConnConfig, sql string, args []any, tell func(plan string)) {
	if !explainable.MatchString(sql) || !p.busy.TryLock() {
		tell("")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainTimeout)
	p.work.Go(func() {
		defer p.busy.Unlock()
		defer cancel()
		plan, err := planHash(ctx, config, sql, args)
		if err != nil { // its text may quote values
			plan = ""
		}
		tell(plan)
	})
}

// planNode is what makes two plans the same: how is read what, and in which order. Costs, estimates and conditions,
// which have values in them, are left out.
type planNode struct {
	Node      string     `json:"Node Type"`
	Operation string     `json:"Operation"`
	Join      string     `json:"Join Type"`
	Strategy  string     `json:"Strategy"`
	Role      string     `json:"Parent Relationship"`
	Table     string     `json:"Relation Name"`
	Index     string     `json:"Index Name"`
	Direction string     `json:"Scan Direction"`
	Plans     []planNode `json:"Plans"`
}

// planHash returns the hash of the plan that PostgreSQL now makes for the statement with these values. (A session that
// has prepared it may meanwhile use one for any values, which no other session can see.) EXPLAIN without ANALYZE runs
// nothing, and the mode, which PgBouncer takes too, sends one statement at most, whatever is in the text.
func planHash(ctx context.Context, config *pgx.ConnConfig, sql string, args []any) (string, error) {
	config.Tracer = nil
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	registerTypes(conn)
	var text []byte
	args = append([]any{pgx.QueryExecModeCacheDescribe}, parameters(args)...)
	if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+sql, args...).Scan(&text); err != nil {
		return "", err
	}
	var explained []struct{ Plan planNode }
	if err := json.Unmarshal(text, &explained); err != nil {
		return "", err
	}
	shape, err := json.Marshal(explained)
	return fingerprint(string(shape)), err
}

// parameters returns the arguments of a statement without the options that pgx lets stand before them.
func parameters(args []any) []any {
	for i, arg := range args {
		switch arg.(type) {
		case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		default:
			return args[i:]
		}
	}
	return nil
}
