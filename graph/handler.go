// Package graph translates between GraphQL over HTTP and package repo: the handler, its limits and errors, the
// authentication, and the resolvers, each of which parses its arguments, calls one method of repo and returns.
package graph

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/trace"

	"akin/graph/generated"
	"akin/model"
	"akin/repo"
)

// defaultTimeout is how long a request may take where Config says nothing.
const defaultTimeout = 10 * time.Second

// readyTimeout bounds the question whether the database answers, so that whoever asks learns within a second that it is
// gone.
const readyTimeout = 900 * time.Millisecond

// Config is what NewHandler needs.
type Config struct {
	DB         *repo.DB
	Log        *slog.Logger
	Playground http.Handler  // serves every path but ours; nil for none
	Origins    []string      // may read answers from a browser (CORS), such as "https://shop.example"; "*" for all
	Timeout    time.Duration // of one request; defaultTimeout where zero
	Limits     Limits        // DefaultLimits where zero
	RateLimit  RateLimit     // none where zero
	// NoIntrospection refuses __schema and __type; NoSuggestions leaves "Did you mean" out of the errors, and the names that
	// a variable may have in the place of one that is not known.
	NoIntrospection, NoSuggestions bool
	// Metrics is where the requests are counted; nil for nowhere. Rows and round trips are known where DB was opened with
	// a repo.Tracer.
	Metrics prometheus.Registerer
	// Spans is where a span for each request to /graphql goes; nil for nowhere.
	Spans trace.TracerProvider
}

// NewHandler returns the whole of Akin's HTTP: /graphql, /healthz (200 while the process runs), /readyz (503 while the
// database does not answer) and the playground. Each request is logged in one line.
func NewHandler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/graphql", allowOrigins(cfg.Origins, counted(cfg.Metrics, traced(cfg.Spans, newEndpoint(cfg)))))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := cfg.DB.Ping(ctx); err != nil {
			w.Header().Set(retryAfterHeader, "1")
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	if cfg.Playground != nil {
		mux.Handle("/", cfg.Playground)
	}
	return observe(cfg.Log, mux)
}

// schema is the promise of schema.graphqls. gqlgen adds @defer, which only a transport that streams can keep. gqlparser
// has @deprecated stand at definitions of directives, as a draft of GraphQL does: clients that know the published
// specification, such as Python's, then refuse the whole schema.
var schema = func() *ast.Schema {
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	delete(schema.Directives, "defer")
	deprecated := schema.Directives["deprecated"]
	deprecated.Locations = slices.DeleteFunc(deprecated.Locations, func(at ast.DirectiveLocation) bool { return at == "DIRECTIVE_DEFINITION" })
	return schema
}()

func newEndpoint(cfg Config) *endpoint {
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	bounds := cfg.Limits.withDefaults()
	return &endpoint{
		db: cfg.DB, exec: newExecutor(cfg, writeRows, loadAhead), timeout: timeout, limits: bounds,
		buckets: newBuckets(cfg.RateLimit, bounds.Cost), crowd: crowd{most: bounds.Concurrent, count: map[uuid.UUID]int{}},
		timedOut: &model.Error{Code: model.CodeTimedOut, Message: fmt.Sprintf("the request took longer than %s", timeout)},
	}
}

// newExecutor returns gqlgen's executor of the schema; the first of the middleware is the outermost.
func newExecutor(cfg Config, around ...graphql.FieldMiddleware) *executor.Executor {
	exec := executor.New(generated.NewExecutableSchema(generated.Config{Schema: schema, Resolvers: &Resolver{}}))
	documents := newDocumentCache()
	exec.SetQueryCache(documents)
	exec.Use(&limits{Limits: cfg.Limits.withDefaults(), documents: documents, noIntrospection: cfg.NoIntrospection})
	exec.Use(values{names: !cfg.NoSuggestions})
	exec.SetErrorPresenter(presenter{log: cfg.Log, noSuggestions: cfg.NoSuggestions}.present)
	exec.SetRecoverFunc(recovered)
	for _, middleware := range around {
		exec.AroundFields(middleware)
	}
	return exec
}

func allowOrigins(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 { // which package cors takes for all
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", requestIDHeader},
		ExposedHeaders: []string{
			"WWW-Authenticate", requestIDHeader, retryAfterHeader, rateLimitHeader, rateLimitPolicyHeader,
		},
		MaxAge: 7200, // seconds; Chromium keeps an answer no longer
	}).Handler(next)
}

const (
	requestIDHeader  = "X-Request-Id"
	retryAfterHeader = "Retry-After" // in seconds

	rateLimitHeader       = "RateLimit"
	rateLimitPolicyHeader = "RateLimit-Policy"
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
