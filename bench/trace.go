package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/graph"
	"akin/repo"
)

// statement is what Akin sent to the database: its text, its parameters as literals, and whether PostgreSQL plans it anew
// each time rather than keep it prepared.
type statement struct {
	sql  string
	args []any
	anew bool
}

// tracer runs requests through Akin's own handler in this process and notes the statements that they take: these are what
// pgbench runs as the limit, and what the peers' upserts run.
type tracer struct {
	handler http.Handler
	token   string
	db      *repo.DB

	mu    sync.Mutex
	noted []statement
}

func newTracer(ctx context.Context, url, token string) (*tracer, error) {
	t := &tracer{token: token}
	var err error
	if t.db, err = repo.Open(ctx, url, t); err != nil {
		return nil, err
	}
	t.handler = graph.NewHandler(graph.Config{DB: t.db, Log: slog.New(slog.DiscardHandler)})
	return t, nil
}

// TraceQueryStart notes a statement, unless it is for the token, which is asked for twice a second, or for pgx itself.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "--") || strings.Contains(data.SQL, "api_tokens") {
		return ctx
	}
	noted := statement{sql: data.SQL, args: data.Args}
options:
	for len(noted.args) > 0 { // options of pgx stand in front
		switch option := noted.args[0].(type) {
		case pgx.QueryExecMode:
			noted.anew = option != pgx.QueryExecModeCacheStatement
		case pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
		default:
			break options
		}
		noted.args = noted.args[1:]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noted = append(t.noted, noted)
	return ctx
}

// TraceQueryEnd is for pgx.QueryTracer.
func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// send returns Akin's answer to a request body and the statements that it took.
func (t *tracer) send(ctx context.Context, body string) (string, []statement, error) {
	t.noted = nil
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+t.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"errors":`) {
		return "", nil, fmt.Errorf("akin answers %d: %s", w.Code, w.Body)
	}
	return w.Body.String(), t.noted, nil
}

// limit is an operation as pgbench runs it.
type limit struct {
	scripts []string // files
}

// variants is how many samples are in a script: pgbench takes at most 128 scripts.
const variants = 4

// trace sends the operation to Akin, once for each sample or with one draw, and writes what it does to the database as
// scripts for pgbench. It notes how many IDs the answer for each sample has.
func (t *tracer) trace(ctx context.Context, conn *pgx.Conn, op *operation, s *server, samples []*sample, dir string) (*limit, []statement, error) {
	w := &scriptWriter{ctx: ctx, conn: conn, op: op, names: map[string]string{}}
	if !op.sampled {
		samples = []*sample{nil}
	}
	var last []statement
	var bodies []string
	for _, one := range samples {
		cursor := ""
		if one != nil {
			cursor = s.cursors[one.id]
		}
		text, err := op.body(s.flavour, one, cursor)
		if err != nil {
			return nil, nil, err
		}
		request, err := newTemplate(text, op.draws)
		if err != nil {
			return nil, nil, err
		}
		values := w.example()
		request.fill(request.text, values)
		answer, statements, err := t.send(ctx, string(request.text))
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", op.name, err)
		}
		if one != nil {
			one.ids[op.name] = strings.Count(answer, `"id":`)
		}
		body, err := w.transaction(statements, request, values)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", op.name, err)
		}
		last, bodies = statements, append(bodies, body)
	}
	l := &limit{}
	for some := range slices.Chunk(bodies, variants) {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.sql", fileName(op.name), len(l.scripts)))
		if err := os.WriteFile(path, []byte(w.script(some)), 0o600); err != nil {
			return nil, nil, err
		}
		l.scripts = append(l.scripts, path)
	}
	return l, last, nil
}

// upserts returns the statements that the peers' upserts run, by the names that they know them by, and makes those functions
// of them that PostGraphile needs.
func (t *tracer) upserts(ctx context.Context, conn *pgx.Conn, s *server, dir string) (map[string]string, error) {
	upserts := map[string]string{}
	for _, op := range operations(10) { // these two ask nothing of a customer that is there
		name, ok := map[string]string{"upsert: create both": "one", "batch of 100 new": "many"}[op.name]
		if !ok {
			continue
		}
		_, statements, err := t.trace(ctx, conn, &op, s, nil, dir)
		if err != nil {
			return nil, err
		}
		upserts[name] = statements[0].sql
	}
	_, err := conn.Exec(ctx, strings.NewReplacer("@one@", upserts["one"], "@many@", upserts["many"]).Replace(functionsSQL))
	return upserts, err
}

var notInFileName = regexp.MustCompile(`[^a-z0-9]+`)

func fileName(name string) string { return notInFileName.ReplaceAllString(strings.ToLower(name), "-") }

// scriptWriter turns statements into a script for pgbench. A statement that Akin keeps prepared is prepared once for each
// connection, with Akin's own text, and executed with literals; one that is planned anew is sent with literals in its
// text. (pgbench's own prepared mode knows no arrays, and one mode for all statements.)
type scriptWriter struct {
	ctx   context.Context
	conn  *pgx.Conn
	op    *operation
	names map[string]string // of prepared statements, by text

	prepares, sets strings.Builder
	set            map[string]bool
}

// example draws values whose digits are in no other number.
func (w *scriptWriter) example() []int64 {
	values := make([]int64, len(w.op.draws))
	for i, v := range w.op.draws {
		values[i] = v.low + v.count/3 + int64(i)
	}
	return values
}

var parameter = regexp.MustCompile(`\$\d+`)

// transaction returns the statements with pgbench's variables in place of the values that were drawn, and of the IDs that
// Akin made.
func (w *scriptWriter) transaction(statements []statement, request *template, values []int64) (string, error) {
	var out strings.Builder
	for _, s := range statements {
		described, err := w.conn.Prepare(w.ctx, s.sql, s.sql)
		if err != nil {
			return "", err
		}
		literals := make([]string, len(s.args))
		for i, arg := range s.args {
			if literals[i], err = w.literal(described.ParamOIDs[i], arg, s.anew); err != nil {
				return "", fmt.Errorf("parameter %d of %s: %w", i+1, s.sql, err)
			}
		}
		if s.anew {
			text := parameter.ReplaceAllStringFunc(s.sql, func(name string) string {
				n, _ := strconv.Atoi(name[1:]) // digits by the pattern
				return literals[n-1]
			})
			out.WriteString(text + ";\n")
			continue
		}
		name, known := w.names[s.sql]
		if !known {
			name = "s" + strconv.Itoa(len(w.names))
			w.names[s.sql] = name
			fmt.Fprintf(&w.prepares, "PREPARE %s AS %s;\n", name, s.sql)
		}
		execute := "EXECUTE " + name
		if len(literals) > 0 {
			execute += " (" + strings.Join(literals, ", ") + ")"
		}
		out.WriteString(execute + ";\n")
	}
	return w.vary(out.String(), request, values), nil
}

// literal returns an argument as PostgreSQL reads it, cast to its type where the statement does not tell it.
func (w *scriptWriter) literal(oid uint32, arg any, cast bool) (string, error) {
	text, err := w.conn.TypeMap().Encode(oid, pgx.TextFormatCode, arg, nil)
	if err != nil {
		return "", err
	}
	literal := "NULL"
	if text != nil {
		literal = "'" + strings.ReplaceAll(string(text), "'", "''") + "'"
	}
	if cast {
		kind, ok := w.conn.TypeMap().TypeForOID(oid)
		if !ok {
			return "", fmt.Errorf("unknown type %d", oid)
		}
		literal += "::" + strings.Replace(kind.Name, "_", "", 1) + strings.Repeat("[]", strings.Count(kind.Name, "_"))
	}
	return literal, nil
}

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// vary puts variables into a transaction: a drawn number's digits become the number, and an ID of today, which Akin made
// for this request, becomes one of the time of the script's run.
func (w *scriptWriter) vary(text string, request *template, values []int64) string {
	w.set = map[string]bool{}
	w.sets.Reset()
	for i, v := range w.op.draws {
		fmt.Fprintf(&w.sets, "\\set %s random(%d, %d)\n", v.name, v.low, v.low+v.count-1)
		text = strings.ReplaceAll(text, strconv.FormatInt(values[i], 10), ":"+v.name)
	}
	for _, h := range request.holes {
		v := w.op.draws[h.variable]
		name := fmt.Sprintf("%s_%d", v.name, h.add)
		if h.add != 0 && !w.set[name] {
			w.set[name] = true
			fmt.Fprintf(&w.sets, "\\set %s :%s + %d\n", name, v.name, h.add)
			text = strings.ReplaceAll(text, strconv.FormatInt(values[h.variable]+h.add, 10), ":"+name)
		}
	}
	made := 0
	text = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		seconds, _ := uuid.MustParse(id).Time().UnixTime()
		if time.Since(time.Unix(seconds, 0)) > time.Hour {
			return id
		}
		made++
		return fmt.Sprintf(":stamp-7:u-8%03d-:v", made)
	})
	if made > 0 {
		w.sets.WriteString("\\set u random(100, 999)\n\\set v random(100000000000, 999999999999)\n")
	}
	return text
}

// script returns a script that runs one of the transactions.
func (w *scriptWriter) script(transactions []string) string {
	var out strings.Builder
	if w.prepares.Len() > 0 {
		fmt.Fprintf(&out, "\\if :ready\n\\else\n%s\\set ready 1\n\\endif\n", w.prepares.String())
	}
	out.WriteString(w.sets.String())
	if len(transactions) == 1 {
		return out.String() + transactions[0]
	}
	fmt.Fprintf(&out, "\\set sample random(0, %d)\n", len(transactions)-1)
	for i, text := range transactions {
		fmt.Fprintf(&out, "\\%s :sample = %d\n%s", map[bool]string{true: "if", false: "elif"}[i == 0], i, text)
	}
	return out.String() + "\\endif\n"
}
