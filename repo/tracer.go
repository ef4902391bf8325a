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
)

// Tracer follows the statements of a database from their start to their last row: it counts them into the Effort of
// their context and logs the slow ones. It never tells their values.
type Tracer struct {
	log  *slog.Logger
	slow time.Duration
}

// NewTracer returns a tracer for Open that logs each statement which takes slow or longer; none where slow is 0.
func NewTracer(log *slog.Logger, slow time.Duration) *Tracer {
	return &Tracer{log: log, slow: slow}
}

// running is a statement on its way.
type running struct {
	sql   string
	start time.Time
}

type runningKey struct{}

// TraceQueryStart is part of pgx.QueryTracer.
func (t *Tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	spend(ctx, func(w *Work) { w.RoundTrips++ })
	return context.WithValue(ctx, runningKey{}, &running{sql: data.SQL, start: time.Now()})
}

// TraceQueryEnd is part of pgx.QueryTracer.
func (t *Tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	spend(ctx, func(w *Work) { w.Rows += int(data.CommandTag.RowsAffected()) })
	statement := ctx.Value(runningKey{}).(*running)
	if took := time.Since(statement.start); t.slow > 0 && took >= t.slow {
		t.logSlow(ctx, statement.sql, took, data)
	}
}

// logSlow logs a statement by its fingerprint and its text without values.
func (t *Tracer) logSlow(ctx context.Context, sql string, took time.Duration, data pgx.TraceQueryEndData) {
	text := withoutValues(sql)
	requestID := ""
	if effort, ok := ctx.Value(effortKey{}).(*Effort); ok {
		requestID = effort.requestID
	}
	t.log.LogAttrs(ctx, slog.LevelWarn, "slow statement",
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.String("fingerprint", fingerprint(text)),
		slog.Int64("rows", data.CommandTag.RowsAffected()), slog.String("outcome", outcome(data.Err)),
		slog.String("statement", text[:min(len(text), maxLoggedStatement)]), slog.String("request_id", requestID))
}

// maxLoggedStatement is how many bytes of a statement are logged: enough to know it by.
const maxLoggedStatement = 300

// literals are the values that can stand in a statement's text: strings, and numbers that are no part of a name or a
// parameter. The first group keeps what stands before a number.
var literals = regexp.MustCompile(`'(?:[^']|'')*'|([^\w$.])\d[\d.]*`)

// withoutValues returns a statement on one line with ? in the place of its values. Those of the hot statements are
// parameters; Bun writes those of the cold ones, such as a store's name, into the text.
func withoutValues(sql string) string {
	return literals.ReplaceAllString(strings.Join(strings.Fields(sql), " "), "$1?")
}

// fingerprint names a statement, the same for all its values and on every server: the first 8 bytes of the SHA-256 of its
// text without values, in hex.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// outcome is "ok", the SQLSTATE of a refusal, "canceled" or "failed": an error's text may quote values.
func outcome(err error) string {
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &pgErr):
		return pgErr.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	return "failed"
}
