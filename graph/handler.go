// Package graph translates between GraphQL over HTTP and package repo: the handler, its limits and errors, the
// authentication, and the resolvers, each of which parses its arguments, calls one method of repo and returns.
package graph

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
	LogRate    int           // lines of the access log a second for requests that go well; for all of them where zero
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
// database does not answer) and the playground. Each request is logged in one line, up to Config.LogRate.
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
	return observe(newAccessLog(cfg.Log, cfg.LogRate), mux)
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
