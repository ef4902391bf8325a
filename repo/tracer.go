package repo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer follows the statements of a database from their start to their last row: it counts them into the Effort of
// their context, logs the slow ones, and gives each a span below the one in its context. It never tells their values,
// for which otelpgx has no way: it records the text of PostgreSQL's errors.
type Tracer struct {
	log   *slog.Logger
	slow  time.Duration
	spans trace.Tracer
	plans planner
}

// NewTracer returns a tracer for Open that logs each statement which takes slow or longer; none where slow is 0. spans
// is where the spans go; it may be nil.
func NewTracer(log *slog.Logger, slow time.Duration, spans trace.TracerProvider) *Tracer {
	if spans == nil {
		spans = noop.NewTracerProvider()
	}
	return &Tracer{log: log, slow: slow, spans: spans.Tracer("akin/repo")}
}

// running is a statement on its way.
type running struct {
	sql   string
	args  []any
	start time.Time
	span  trace.Span // nil outside of a trace
}

type runningKey struct{}

// TraceQueryStart is part of pgx.QueryTracer.
func (t *Tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	spend(ctx, func(w *Work) { w.RoundTrips++ })
	statement := &running{sql: data.SQL, args: data.Args, start: time.Now()}
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, statement.span = t.spans.Start(ctx, "PostgreSQL", trace.WithSpanKind(trace.SpanKindClient))
	}
	return context.WithValue(ctx, runningKey{}, statement)
}

// TraceQueryEnd is part of pgx.QueryTracer.
func (t *Tracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	spend(ctx, func(w *Work) { w.Rows += int(data.CommandTag.RowsAffected()) })
	statement := ctx.Value(runningKey{}).(*running)
	if statement.span != nil {
		endSpan(statement.span, statement.sql, data)
	}
	if took := time.Since(statement.start); t.slow > 0 && took >= t.slow {
		t.plans.explain(ctx, conn.Config(), statement.sql, statement.args, func(plan string) {
			t.logSlow(ctx, statement.sql, plan, took, data)
		})
	}
}

// endSpan describes a statement as OpenTelemetry's conventions for databases do.
func endSpan(span trace.Span, sql string, data pgx.TraceQueryEndData) {
	text, ended := withoutValues(sql), outcome(data.Err)
	span.SetAttributes(
		attribute.String("db.system.name", "postgresql"), attribute.String("db.query.text", shown(text)),
		attribute.String("akin.fingerprint", fingerprint(text)),
		attribute.Int64("db.response.returned_rows", data.CommandTag.RowsAffected()))
	if data.Err != nil {
		span.SetAttributes(attribute.String("db.response.status_code", ended))
		span.SetStatus(codes.Error, ended)
	}
	span.End()
}

// maxShown is how many bytes of a statement are shown: enough to know it by.
const maxShown = 300

func shown(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxShown)], "")
}

// literals are the values that can stand in a statement's text: strings, and numbers that are no part of a name or a
// parameter. The first group keeps what stands before a number.
var literals = regexp.MustCompile(`'(?:[^']|'')*'|([^\w$.])\d[\d.]*`)

// columnList is a select list of columns alone. Which they are differs with what an answer shows.
var columnList = regexp.MustCompile(`SELECT [\w".*]+(?: AS \w+)?(?:, [\w".*]+(?: AS \w+)?)+ FROM `)

// withoutValues returns a statement on one line with ? in the place of its values, and … in that of a list of columns. The
// values of the hot statements are parameters; Bun writes those of the cold ones, such as a store's name, into the text.
func withoutValues(sql string) string {
	text := literals.ReplaceAllString(strings.Join(strings.Fields(sql), " "), "$1?")
	return columnList.ReplaceAllString(text, "SELECT … FROM ")
}

// fingerprint names a text, such as a statement without its values, by the first 8 bytes of its SHA-256, in hex: the same
// on every server.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// outcome is "ok", the SQLSTATE of a refusal, "canceled" or "failed": an error's text may quote values.
func outcome(err error) string {
	refusal, refused := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return "ok"
	case refused:
		return refusal.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "failed"
}
