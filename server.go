// Command akin keeps a store's customers and the identities they have on each ecommerce platform, and answers for them
// through GraphQL.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel/trace"

	"akin/graph"
	"akin/graph/playground"
	"akin/model"
	"akin/repo"
	"akin/repo/embedded"
)

// What a connection may take. writeTimeout is longer than any request may take (see serveCommand.Validate). readTimeout may be
// shorter than one: it ends when the request is read, and graph gives a body the time of its request.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	shutdownTimeout   = 30 * time.Second // for requests in flight, after SIGTERM
)

// goodbyeTime is how long after SIGTERM requests still come in, each told that its connection closes. To close one that
// is kept for the next request loses the request that is on its way: http.Server.Shutdown alone lost some under load.
const goodbyeTime = 250 * time.Millisecond

// defaultStore is the store that the embedded mode begins with.
const defaultStore = "default"

// cli is the command line; each flag has its twin in the environment.
type cli struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" placeholder:"URL" help:"A PostgreSQL 14 or later. Without one, Akin runs its own."`
	DataDir     string `env:"AKIN_DATA_DIR" placeholder:"DIR" help:"Where Akin's own PostgreSQL keeps its data. Default: the user's data directory."`
	LogFormat   string `env:"AKIN_LOG_FORMAT" enum:"text,json" default:"text" help:"text or json."`

	LogLevel      slog.Level    `env:"AKIN_LOG_LEVEL" default:"info" help:"The lowest level that is logged: info, with the requests, warn or error."`
	SlowStatement time.Duration `env:"AKIN_SLOW_STATEMENT" default:"500ms" help:"Log SQL statements that take this long or longer, without their values; 0 for none (${default})."`

	Serve   serveCommand   `cmd:"" default:"withargs" help:"Serve the API; the default."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's tables up to date, and nothing else."`
	Store   struct {
		Create storeCreateCommand `cmd:"" help:"Create a store."`
		List   storeListCommand   `cmd:"" help:"List the stores."`
	} `cmd:"" help:"Manage stores."`
	Token struct {
		Create tokenCreateCommand `cmd:"" help:"Create a token and print it, the only time that it can be seen."`
		Rotate tokenRotateCommand `cmd:"" help:"Create a token in the place of another, which goes on being valid for a while, and print it."`
		List   tokenListCommand   `cmd:"" help:"List a store's tokens, with when each was last used, to the minute."`
		Revoke tokenRevokeCommand `cmd:"" help:"Revoke a token; every server sees it within a second."`
	} `cmd:"" help:"Manage the tokens of a store."`
	Import importCommand `cmd:"" help:"Import identities, customers or events from a CSV or NDJSON file."`
	Export exportCommand `cmd:"" help:"Export identities, customers or events to a CSV or NDJSON file that can be imported."`

	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
	spans    trace.TracerProvider // nil where nothing is traced
}

func main() {
	keepHeapFloor()
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored, and so it stays
		signals = append(signals, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE) // a write fails instead, and Akin's own PostgreSQL is stopped as after any failure
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Validate holds the flags of all commands to their rules.
func (c *cli) Validate() error {
	if c.SlowStatement < 0 {
		return fmt.Errorf("--slow-statement must be 0 or more; it is %s", c.SlowStatement)
	}
	return nil
}

// run is the whole program; it returns its exit status: 0, 1 for a failure, 2 for a misuse of the command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &cli{in: stdin, out: stdout, err: stderr}
	exit := -1
	parser := kong.Must(c, kong.Name("akin"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }),
		kong.Description("One customer, every platform."), kong.UsageOnError())
	command, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "akin: %v\n", err)
		return 2
	}
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: redact}
	if c.LogFormat == "json" {
		c.log = slog.New(slog.NewJSONHandler(stderr, options))
	} else {
		c.log = slog.New(slog.NewTextHandler(stderr, options))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(c); err != nil {
		fmt.Fprintf(stderr, "akin: %v\n", explain(err))
		return 1
	}
	return 0
}

// explain shows an operator what an API's caller must not see: why the database cannot be reached.
func explain(err error) error {
	if known, ok := errors.AsType[*model.Error](err); ok && known.Code == model.CodeUnavailable && known.Cause != nil {
		return fmt.Errorf("%w: %w", err, known.Cause)
	}
	return err
}

// database is an open, migrated database and, in the embedded mode, the PostgreSQL below it.
type database struct {
	*repo.DB
	server *embedded.Server // nil where DATABASE_URL names another
	dir    string           // of the embedded mode
}

// open opens and migrates the database that the flags name.
func (c *cli) open(ctx context.Context) (_ *database, err error) {
	d := &database{dir: c.DataDir}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	url := c.DatabaseURL
	if url == "" {
		if d.dir == "" {
			if d.dir, err = embedded.DefaultDir(); err != nil {
				return nil, err
			}
		}
		if d.server, err = embedded.Start(ctx, embedded.Config{Dir: d.dir, Log: c.log}); err != nil {
			return nil, err
		}
		url = d.server.URL()
	}
	if d.DB, err = repo.Open(ctx, url, repo.NewTracer(c.log, c.SlowStatement, c.spans)); err != nil {
		return nil, err
	}
	return d, d.Migrate(ctx, c.log)
}

func (d *database) close() error {
	var err error
	if d.DB != nil {
		err = d.DB.Close()
	}
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, d.server.Stop(ctx))
	}
	return err
}

// with opens the database for the time of a command.
func (c *cli) with(ctx context.Context, do func(*database) error) error {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.close())
}

type serveCommand struct {
	Replica string `name:"database-replica-url" env:"DATABASE_REPLICA_URL" placeholder:"URL" help:"A streaming replica of the database, for requests that only read to read from, once it has all that they may know of. Default: none."`

	Listen     string        `env:"AKIN_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen (${default})."`
	Origins    []string      `env:"AKIN_ORIGINS" placeholder:"ORIGIN" help:"Origins whose pages may call the API, such as https://admin.example. Default: none, and localhost's with Akin's own PostgreSQL."`
	Playground *bool         `env:"AKIN_PLAYGROUND" negatable:"" help:"Serve the playground at /. Default: only with Akin's own PostgreSQL."`
	Metrics    string        `name:"metrics-listen" env:"AKIN_METRICS_LISTEN" placeholder:"HOST:PORT" help:"Where to serve Prometheus /metrics, apart from the API. Default: nowhere."`
	Traces     string        `name:"otlp-endpoint" env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"Where to send traces, by OTLP over HTTP, such as http://localhost:4318. Default: nowhere."`
	LogRate    int           `env:"AKIN_LOG_RATE" default:"1000" placeholder:"LINES" help:"Of the requests that go well, how many are logged each second; 0 for all (${default})."`
	Timeout    time.Duration `env:"AKIN_TIMEOUT" default:"10s" help:"The longest that a request may take, with the arrival of its body (${default})."`

	Introspection bool `env:"AKIN_INTROSPECTION" negatable:"" default:"true" help:"Answer __schema and __type; the playground needs it."`
	Suggestions   bool `env:"AKIN_SUGGESTIONS" negatable:"" default:"true" help:"Suggest a known name for one that is not."`

	Limits    graph.Limits    `embed:"" prefix:"max-" envprefix:"AKIN_MAX_"`
	RateLimit graph.RateLimit `embed:"" prefix:"rate-" envprefix:"AKIN_RATE_"`
}

// Validate holds the flags to their rules.
func (s *serveCommand) Validate() error {
	if s.Timeout < time.Millisecond || s.Timeout > shutdownTimeout {
		return fmt.Errorf("--timeout must be 1ms to %s; it is %s", shutdownTimeout, s.Timeout)
	}
	if s.Listen == "" { // which would be every address, and any port
		return errors.New("--listen must be an address, such as 127.0.0.1:8080; it is empty")
	}
	if s.LogRate < 0 || s.LogRate > math.MaxInt32 {
		return fmt.Errorf("--log-rate must be 0 to %d; it is %d", math.MaxInt32, s.LogRate)
	}
	for _, origin := range s.Origins {
		if !isOrigin.MatchString(origin) {
			return fmt.Errorf("--origins must be such as https://admin.example, with nothing behind the host or its port, or *; %q is not", origin)
		}
	}
	return errors.Join(s.Limits.Verify(), s.RateLimit.Verify(s.Limits))
}

// isOrigin knows what a browser calls an origin; a host, or a port, may have a * in it.
var isOrigin = regexp.MustCompile(`^(\*|[a-z][a-z0-9+.-]*://[^/?#\s]+)$`)

// Run serves until ctx is done, then lets the requests in flight finish.
func (s *serveCommand) Run(ctx context.Context, c *cli) error {
	flush, err := s.startTracing(ctx, c)
	if err != nil {
		return err
	}
	defer flush()
	return c.with(ctx, func(db *database) error {
		if s.Replica != "" {
			if err := db.ReadFrom(ctx, s.Replica); err != nil {
				return err
			}
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
		if err != nil {
			return fmt.Errorf("%w; AKIN_LISTEN or --listen names another address", err)
		}
		defer listener.Close()
		registry, stop, err := s.serveMetrics(ctx, c, db)
		if err != nil {
			return err
		}
		defer stop()
		config, err := s.config(ctx, c, db, listener.Addr())
		if err != nil {
			return err
		}
		config.Metrics = registry
		return serve(ctx, listener, config)
	})
}

// config settles what depends on the mode, and greets the developer in the embedded one.
func (s *serveCommand) config(ctx context.Context, c *cli, db *database, address net.Addr) (graph.Config, error) {
	config := graph.Config{
		DB: db.DB, Log: c.log, LogRate: s.LogRate, Origins: s.Origins, Timeout: s.Timeout, Limits: s.Limits, RateLimit: s.RateLimit,
		NoIntrospection: !s.Introspection, NoSuggestions: !s.Suggestions, Spans: c.spans,
	}
	token, withPlayground := "", false
	if db.server != nil {
		var err error
		if token, err = db.developmentToken(ctx); err != nil {
			return config, err
		}
		withPlayground = true
		if config.Origins == nil {
			config.Origins = []string{"http://localhost:*", "http://127.0.0.1:*"}
		}
	}
	if s.Playground != nil {
		withPlayground = *s.Playground
	}
	if withPlayground {
		config.Playground = playground.Handler(token)
	}
	greet(c.out, address, token, withPlayground)
	return config, nil
}

func greet(out io.Writer, listening net.Addr, token string, withPlayground bool) {
	var b strings.Builder
	address := listening.String()
	if host, port, _ := net.SplitHostPort(address); net.ParseIP(host).IsUnspecified() { // which no browser can open
		address = net.JoinHostPort("localhost", port)
	}
	fmt.Fprintf(&b, "Akin listens on http://%s\n\n  API         http://%s/graphql\n", address, address)
	if withPlayground {
		fmt.Fprintf(&b, "  Playground  http://%s/\n", address)
	}
	if token != "" {
		fmt.Fprintf(&b, "  Token       %s\n", token)
	}
	if withPlayground && !playground.Built() {
		b.WriteString("\nThe playground is not built: run `make playground`, then start again.\n")
	}
	fmt.Fprintln(out, b.String())
}

// newServer returns a server whose connections are bounded, and that logs what goes wrong with them.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serve answers requests until ctx is done.
func serve(ctx context.Context, listener net.Listener, config graph.Config) error {
	handler := graph.NewHandler(config)
	var stopping atomic.Bool
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	}), config.Log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	config.Log.InfoContext(ctx, "stopping; requests in flight finish first")
	stopping.Store(true)
	time.Sleep(goodbyeTime)
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return server.Shutdown(deadline)
}

// developmentToken returns a token that may write to the default store, creating both where they are missing. It keeps
// the token beside the data, which whoever can read it can read anyway, so that a restart does not change it.
func (d *database) developmentToken(ctx context.Context) (string, error) {
	const file = "development-token"
	dir, err := os.OpenRoot(d.dir) // which PostgreSQL's user owns: no link of theirs leads us out of it
	if err != nil {
		return "", err
	}
	defer dir.Close()
	kept, err := dir.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	_, err = d.Authenticate(ctx, string(kept))
	if refused, ok := errors.AsType[*model.Error](err); !ok || refused.Code != model.CodeUnauthenticated {
		return string(kept), err
	}
	if err := d.ensureStore(ctx, defaultStore); err != nil {
		return "", err
	}
	name := "development " + time.Now().UTC().Format(time.RFC3339Nano)
	token, _, err := d.CreateToken(ctx, defaultStore, name, repo.ScopeWrite, nil)
	if err != nil {
		return "", err
	}
	return token, dir.WriteFile(file, []byte(token), 0o600)
}

// ensureStore creates the store unless it exists; another process may be doing the same.
func (d *database) ensureStore(ctx context.Context, name string) error {
	if _, err := d.FindStore(ctx, name); err == nil {
		return nil
	}
	_, err := d.CreateStore(ctx, name)
	if _, found := d.FindStore(ctx, name); found == nil {
		return nil
	}
	return err
}
