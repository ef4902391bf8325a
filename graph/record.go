package graph

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

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

// requestRecord is what becomes known of a request on its way, for what comes after and for the log.
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

// observe gives each request an ID, its client's own where that is sane, and logs it.
func observe(log *accessLog, next http.Handler) http.Handler {
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
		record.answer = &countingWriter{ResponseWriter: w}
		defer func() { log.write(r, record, time.Since(start)) }()
		next.ServeHTTP(record.answer, r)
	})
}

// slowRequest is the duration from which on a request is logged whatever the rate.
const slowRequest = 500 * time.Millisecond

// accessLog has a line for each request that fails or is slow, and for as many of the others as its rate allows: a line
// takes some 14 % of the CPU of a small request (measured), and thousands of them a second fill a disk.
type accessLog struct {
	log      *slog.Logger
	rate     *rate.Limiter
	unlogged atomic.Int64 // requests without a line since the last one that has one
}

// newAccessLog returns a log of at most perSecond requests a second that go well, with bursts of as many; 0 logs all.
func newAccessLog(log *slog.Logger, perSecond int) *accessLog {
	limit := rate.Limit(perSecond)
	if perSecond == 0 {
		limit = rate.Inf
	}
	return &accessLog{log: log, rate: rate.NewLimiter(limit, perSecond)}
}

// write logs a request that took this long, in one line, or counts it.
func (a *accessLog) write(r *http.Request, record *requestRecord, took time.Duration) {
	ctx, answer := r.Context(), record.answer
	if !a.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	panicked := answer.status == 0
	goesWell := !panicked && answer.status < http.StatusBadRequest && record.code == "" && took < slowRequest
	if goesWell && !a.rate.Allow() {
		a.unlogged.Add(1)
		return
	}
	done := record.effort.Done()
	a.log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", method(r)), slog.String("path", route(r)), slog.Int("status", answer.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int("bytes", answer.bytes),
		slog.String("kind", record.kind), slog.String("operation", record.operation), slog.Int("cost", record.cost),
		slog.Int("rows", done.Rows), slog.Int("round_trips", done.RoundTrips), slog.Int("retries", done.Retries),
		slog.String("code", record.code), slog.String("store_id", record.storeID),
		slog.String("token", record.token), slog.String("request_id", record.id),
		slog.Int64("unlogged", a.unlogged.Swap(0)))
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
