// Command bench measures Akin beside its peers, PostGraphile, Mercurius and Apollo Server, beside pgbench with the statements
// that Akin runs, which is as fast as PostgreSQL lets it be, and beside a server that does nothing but run them. `make bench` runs
// it; README.md says what is fair about it and what is not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config is what the command line says.
type config struct {
	akin        string
	quick       bool
	size        int64
	rounds      int
	duration    time.Duration // of a measurement
	warm        time.Duration // of each operation on each server, before the first round
	samples     int
	importRows  int
	connections []int
	operations  *regexp.Regexp
	servers     *regexp.Regexp
	out         string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := do(ctx, os.Args[1:], log); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// do does what the command line says.
func do(ctx context.Context, args []string, log *slog.Logger) error {
	if len(args) == 1 && args[0] == bareCommand {
		return serveBare(ctx)
	}
	c, err := parse(args)
	if err != nil {
		return err
	}
	return run(ctx, c, log)
}

func parse(args []string) (*config, error) {
	c := &config{connections: []int{1, 16, 64}}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.StringVar(&c.akin, "akin", "./akin", "Akin's program")
	flags.Int64Var(&c.size, "size", 200_000, "how many customers; half as many identities again")
	flags.BoolVar(&c.quick, "quick", false, "every measurement with 16 connections, once and for a moment; flags given besides win")
	flags.IntVar(&c.rounds, "rounds", 5, "how often everything is measured")
	flags.DurationVar(&c.duration, "duration", 5*time.Second, "of a measurement; pgbench takes whole seconds")
	flags.DurationVar(&c.warm, "warm", 2*time.Second, "for each operation on each server before the first round")
	flags.IntVar(&c.samples, "samples", 512, "how many pages and identities are asked for; at most 512")
	flags.IntVar(&c.importRows, "rows", 60_000, "how many rows are imported at once")
	flags.StringVar(&c.out, "out", "bench/out", "the directory for what is found")
	flags.Func("connections", "how many at once (default 1,16,64)", func(list string) error {
		c.connections = nil
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return errors.New("must be numbers above 0")
			}
			c.connections = append(c.connections, n)
		}
		return nil
	})
	operations := flags.String("operations", "", "only those whose name this regular expression matches")
	servers := flags.String("servers", "", "only these besides Akin and pgbench")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if c.quick {
		c.connections = []int{16}
		c.rounds, c.duration, c.warm, c.samples, c.importRows = 1, time.Second, 200*time.Millisecond, 128, 10_000
		if err := flags.Parse(args); err != nil { // what is given besides wins
			return nil, err
		}
	}
	if c.size < 10_000 || c.rounds < 1 || c.duration < 100*time.Millisecond || c.importRows < 1 || c.samples < 1 || c.samples > 128*variants {
		return nil, errors.New("the flags ask for less than can be measured, or for more samples than pgbench can take")
	}
	var err error
	if c.operations, err = regexp.Compile(*operations); err != nil {
		return nil, err
	}
	c.servers, err = regexp.Compile(*servers)
	return c, err
}

// bench is a run.
type bench struct {
	*config
	log      *slog.Logger
	programs *programs
	db       *database
	samples  []*sample
	ops      []operation
	limits   []*limit // of ops
	servers  []*server
	requests map[*server][][]request // to each server, of ops; none where it does not answer

	dir string // for what the run needs and nobody after it
}

func run(ctx context.Context, c *config, log *slog.Logger) (err error) {
	b := &bench{config: c, log: log, requests: map[*server][][]request{}}
	if b.programs, err = find(c.akin); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "akin-bench-"); err != nil {
		return err
	}
	defer func() {
		if err == nil { // else the servers' logs in it are wanted
			err = os.RemoveAll(b.dir)
		}
	}()
	postgres, err := startPostgres(ctx, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, postgres.Stop(context.WithoutCancel(ctx))) }()
	if b.db, err = openDatabase(ctx, postgres.URL(), b.programs.akin, c.size, log); err != nil {
		return err
	}
	defer b.db.conn.Close(context.WithoutCancel(ctx))
	defer func() {
		for _, s := range b.servers {
			s.stop()
		}
	}()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	result, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if b.operations.MatchString(importName) { // last, for it makes the tables longer
		if err := b.measureImports(ctx, result); err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	return result.write(c.out)
}

// prepare starts the servers and readies the requests to each, and what pgbench runs.
func (b *bench) prepare(ctx context.Context) error {
	token, err := b.token(ctx)
	if err != nil {
		return err
	}
	if b.samples, err = b.db.samples(ctx, b.config.samples); err != nil {
		return err
	}
	for _, op := range operations(b.db.customers) {
		if b.operations.MatchString(op.name) {
			b.ops = append(b.ops, op)
		}
	}
	statements := filepath.Join(b.dir, "statements.json")
	env := []string{
		"DATABASE_URL=" + b.db.url, "STORE=" + storeID, "STATEMENTS=" + statements, "SCHEMA=" + mustAbs("schema.graphqls"),
	}
	for _, s := range servers() {
		if s.flavour != akin && !b.config.servers.MatchString(s.name) {
			continue
		}
		if s.flavour == akin {
			s.header = "Authorization: Bearer " + token + "\r\n"
			// It waits for a connection as long as its peers do, instead of refusing after 900 ms.
			env := append(env, "DATABASE_URL="+b.db.url+"&pool_max_wait=1m&pool_max_conns="+strconv.Itoa(poolSize))
			err = b.start(ctx, s, env)
			if err == nil {
				err = b.trace(ctx, token, s, statements)
			}
		} else {
			err = b.start(ctx, s, env)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.compare(ctx)
}

func mustAbs(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		panic(err) // there is no working directory
	}
	return path
}

func (b *bench) token(ctx context.Context) (string, error) {
	create := exec.CommandContext(ctx, b.programs.akin, "token", "create", "--store", "store 1", "--name", "bench", "--database-url", b.db.url)
	create.Stderr = os.Stderr
	token, err := create.Output()
	if err != nil {
		return "", fmt.Errorf("akin token create: %w", err)
	}
	return strings.TrimSpace(string(token)), nil
}

func (b *bench) start(ctx context.Context, s *server, env []string) error {
	b.servers = append(b.servers, s)
	if err := s.start(ctx, b.programs, env, b.dir); err != nil {
		return err
	}
	return s.findCursors(ctx, b.samples)
}

// trace has Akin tell what it does to the database: for pgbench, and for the peers' upserts, whose functions it makes.
func (b *bench) trace(ctx context.Context, token string, s *server, path string) error {
	t, err := newTracer(ctx, b.db.url, token)
	if err != nil {
		return err
	}
	defer t.db.Close()
	for i := range b.ops {
		l, _, err := t.trace(ctx, b.db.conn, &b.ops[i], s, b.samples, b.dir)
		if err != nil {
			return err
		}
		b.limits = append(b.limits, l)
	}
	upserts, err := t.upserts(ctx, b.db.conn, s, b.dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(upserts)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
