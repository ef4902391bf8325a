package graph

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"akin/model"
	"akin/repo"
)

// saneRequestID is what is taken for a request ID of the client's, unless it is a secret: safe in a header, a log and a
// message.
var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// isSecret reports whether a request ID is, or has in it, a token that was sent in the wrong place, or is a phone number.
// It may have long numbers in it, as UUIDs do.
func isSecret(requestID string) bool {
	return strings.Contains(requestID, "akin_") || model.Redact(requestID) == model.Redacted
}

// requestRecord is what becomes known of a request on its way, for the log.
type requestRecord struct {
	id        string
	storeID   string
	token     string // its name
	kind      string // of the operation
	rootField string // of the schema, or severalFields
	operation string // its name
	cost      int    // of the operation
	shown     repo.Columns
	code      string // of the first error
	paid      *payment
	effort    *repo.Effort
	answer    *countingWriter
	causes    sync.Map
}

// meets reports whether the request meets this cause of an error for the first time: one that stands behind a batch
// meets every field that waited for it.
func (r *requestRecord) meets(cause error) bool {
	if cause == nil {
		return false
	}
	_, met := r.causes.LoadOrStore(cause.Error(), true)
	return !met
}

type requestRecordKey struct{}

func recordFrom(ctx context.Context) *requestRecord {
	return ctx.Value(requestRecordKey{}).(*requestRecord)
}

// observe gives each request an ID, its client's own where that is sane, and logs it in one line.
func observe(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		record := &requestRecord{id: r.Header.Get(requestIDHeader)}
		if !saneRequestID.MatchString(record.id) || isSecret(record.id) {
			record.id = rand.Text()
		}
		w.Header().Set(requestIDHeader, record.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx, effort := repo.WithEffort(r.Context(), record.id)
		record.effort = effort
		r = r.WithContext(context.WithValue(ctx, requestRecordKey{}, record))
		out := &countingWriter{ResponseWriter: w}
		record.answer = out
		defer func() {
			done := effort.Done()
			logLine(r.Context(), log, "request",
				slog.String("method", method(r)), slog.String("path", route(r)), slog.Int("status", out.status),
				slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000), slog.Int("bytes", out.bytes),
				slog.String("kind", record.kind), slog.String("operation", record.operation), slog.Int("cost", record.cost),
				slog.Int("rows", done.Rows), slog.Int("round_trips", done.RoundTrips), slog.Int("retries", done.Retries),
				slog.String("code", record.code), slog.String("store_id", record.storeID),
				slog.String("token", record.token), slog.String("request_id", record.id))
		}()
		next.ServeHTTP(out, r)
	})
}

// logLine is LogAttrs at the level of information, without its search for the place in the code, which nobody is shown.
func logLine(ctx context.Context, log *slog.Logger, message string, attrs ...slog.Attr) {
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, message, 0)
	line.AddAttrs(attrs...)
	_ = log.Handler().Handle(ctx, line) // as LogAttrs does
}

// route returns the pattern that serves the request's path, empty where none does: a path itself is whatever a client
// sends.
func route(r *http.Request) string {
	_, path, found := strings.Cut(r.Pattern, " ")
	if !found {
		path = r.Pattern
	}
	return path
}

// method returns the request's method where HTTP has it, or else "other".
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return "other"
}

// countingWriter remembers the status and the length of an answer.
type countingWriter struct {
	http.ResponseWriter
	status, bytes int
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
