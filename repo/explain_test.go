package repo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"akin/repo"
)

// explainer has PostgreSQL explain every statement just before it runs, for its own parameters and undone at once, while
// it is on. On a connection of its own, it explains a statement that gets prepared both as planned for its parameters
// and as planned for any, because PostgreSQL may choose either.
type explainer struct {
	t     *testing.T
	on    bool
	own   *pgx.Conn // explains; nil is the connection that runs the statement, with the plans it has kept
	plans []plan
}

// plan is a node of what PostgreSQL did; the root has its cost, how it was planned and its whole text.
type plan struct {
	Node  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Hit   int    `json:"Shared Hit Blocks"`
	Read  int    `json:"Shared Read Blocks"`
	Plans []plan `json:"Plans"`

	mode, sql, text string
	anew            bool // PostgreSQL has prepared the statement, and yet made a plan each time
}

// preparation is what PostgreSQL has of a statement that it has prepared.
type preparation struct {
	Name string
	Kept bool
}

func (e *explainer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !e.on || data.SQL == "begin" || data.SQL == "commit" || data.SQL == "rollback" || strings.HasPrefix(data.SQL, "--") {
		return ctx
	}
	e.on = false // what follows is the explainer's own
	defer func() { e.on = true }()
	if e.own == nil {
		e.explain(ctx, conn, "", data)
		return ctx
	}
	e.explain(ctx, e.own, "force_custom_plan", data)
	if !slices.Contains(data.Args, any(pgx.QueryExecModeCacheDescribe)) { // which are never prepared
		e.explain(ctx, e.own, "force_generic_plan", data)
	}
	return ctx
}

func (*explainer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// explain adds the statement's plan to the plans.
func (e *explainer) explain(ctx context.Context, conn *pgx.Conn, mode string, data pgx.TraceQueryStartData) {
	e.t.Helper()
	p, err := explain(ctx, conn, mode, data.SQL, repo.Parameters(data.Args))
	if err != nil {
		e.t.Errorf("explain %s: %v", data.SQL, err)
		return
	}
	e.plans = append(e.plans, p)
}

// explain runs a statement and undoes it. It is planned as plan_cache_mode says, or, where the mode is empty, as the
// session's prepared statement is.
func explain(ctx context.Context, conn *pgx.Conn, mode, sql string, args []any) (plan, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return plan{}, err
	}
	defer tx.Rollback(ctx)
	name, anew := "explained", false
	if mode == "" {
		prepared, err := pgx.CollectRows(first(tx.Query(ctx,
			"SELECT name, generic_plans > 0 AS kept FROM pg_prepared_statements WHERE statement = $1", sql)), pgx.RowToStructByName[preparation])
		if err != nil {
			return plan{}, err
		}
		mode = "force_custom_plan" // what is not prepared is planned anew each time
		if len(prepared) > 0 {
			name, mode, anew = prepared[0].Name, "auto", !prepared[0].Kept
		}
	}
	if name == "explained" {
		if _, err := conn.PgConn().Exec(ctx, "PREPARE explained AS "+sql).ReadAll(); err != nil {
			return plan{}, err
		}
		defer func() { _, _ = conn.Exec(ctx, "DEALLOCATE explained") }()
	}
	if _, err := tx.Exec(ctx, "SET LOCAL plan_cache_mode = "+mode); err != nil {
		return plan{}, err
	}
	described, err := tx.Prepare(ctx, "", sql)
	if err != nil {
		return plan{}, err
	}
	args, places := slices.Clone(args), make([]string, len(args))
	for i := range args {
		places[i] = fmt.Sprintf("$%d", i+1)
		text, err := conn.TypeMap().Encode(described.ParamOIDs[i], pgtype.TextFormatCode, args[i], nil)
		if err != nil {
			return plan{}, err
		}
		if args[i] = nil; text != nil {
			args[i] = string(text)
		}
	}
	execute := "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE " + name
	if len(places) > 0 {
		execute += " (" + strings.Join(places, ", ") + ")"
	}
	var text string
	if err := tx.QueryRow(ctx, execute, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&text); err != nil {
		return plan{}, err
	}
	var explained []struct{ Plan plan }
	if err := json.Unmarshal([]byte(text), &explained); err != nil {
		return plan{}, err
	}
	p := explained[0].Plan
	p.mode, p.anew, p.sql, p.text = mode, anew, sql, text
	return p, nil
}

// first is for a call whose error the rows tell too.
func first[T any](value T, _ error) T { return value }

// check fails the test where a statement of the call reads more buffers than the bound, or a table from end to end, or is
// prepared in vain.
func (e *explainer) check(name string, bound int, call func() error) {
	e.t.Helper()
	e.on, e.plans = true, nil
	err := call()
	e.on = false
	if err != nil {
		e.t.Errorf("%s: %v", name, err)
	}
	if len(e.plans) == 0 {
		e.t.Errorf("%s: no statement was explained", name)
	}
	for _, p := range e.plans {
		if p.Hit+p.Read > bound || p.wholeTable(false) {
			e.t.Errorf("%s, %s: %d buffers, bound %d, whole table: %t\n%s\n%s",
				name, p.mode, p.Hit+p.Read, bound, p.wholeTable(false), p.sql, p.text)
		}
		if p.anew {
			e.t.Errorf("%s is planned anew each time: %s", name, p.sql)
		}
	}
}

// wholeTable reports whether customers, identities or events were read without an index, and not just up to a limit.
func (p plan) wholeTable(limited bool) bool {
	switch p.Node {
	case "Seq Scan":
		return !limited && slices.Contains([]string{"customers", "customer_identities", "customer_events"}, p.Table)
	case "Limit":
		limited = true
	case "Append", "Subquery Scan":
	default:
		limited = false
	}
	for _, child := range p.Plans {
		if child.wholeTable(limited) {
			return true
		}
	}
	return false
}
