package repo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// The bounds of gathering.
const (
	// connsPerPipeline is how many connections the pool has for each pipeline. Measured with 16 clients and 8 connections, two
	// pipelines answer lookups as fast as one and faster than four.
	connsPerPipeline = 4
	// maxGathered is how many lookups are sent at once: with 4 a connection answers fewer, with 16 no more.
	maxGathered = 8
	// gatherPatience is how long a lookup waits to be sent with others: longer than a pipeline is busy, unless its connection has
	// fallen silent.
	gatherPatience = 20 * time.Millisecond
	// slowLookup is what a lookup takes that waits for a disk. Where that is so, several wait less on a connection each: after
	// slowInARow pipelines that took so long for each of theirs, nothing is gathered for slowRest. (Measured, with both
	// processors busy and nothing waiting for a disk: one pipeline in ten is as slow, and hardly ever five in a row.)
	slowLookup = 500 * time.Microsecond
	slowInARow = 5
	slowRest   = time.Second
)

// lookup is a statement that finds rows by a key, which PostgreSQL answers in less time than it takes to be asked.
type lookup struct {
	ctx   context.Context //nolint:containedctx // whoever waits for it may leave, and the others of its pipeline stay
	query string
	args  []any
	scan  func(pgx.Rows) error
	done  chan error // gets what scan returned, or errAlone
}

// errAlone says that a lookup was not answered with others, and has to be sent alone.
var errAlone = errors.New("not answered with others")

// gathering has the lookups of a pool sent together, in PostgreSQL's pipeline mode, once as many are under way as there are to be
// pipelines: whoever comes then waits for one of these to end, and goes with all that have come meanwhile. Each remains a statement of
// its own, with its store. What is saved is a message, a wake-up and a connection for each (measured with 16 clients: a customer by
// email comes 1.2 times as fast, an identity with its customer 1.3 times); who is alone waits for nobody.
type gathering struct {
	most int // pipelines

	mu      sync.Mutex
	busy    int // pipelines
	waiting []*lookup
	slow    int       // pipelines in a row
	rests   time.Time // until then nothing is gathered
}

// enter finds a lookup's place: it goes alone and leads a pipeline, which it must leave, or waits for others, or neither.
func (g *gathering) enter(ctx context.Context, query string, args []any, scan func(pgx.Rows) error) (leads bool, waits *lookup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Now().Before(g.rests) {
		return false, nil
	}
	if g.busy < g.most {
		g.busy++
		return true, nil
	}
	waits = &lookup{ctx: ctx, query: query, args: args, scan: scan, done: make(chan error, 1)}
	g.waiting = append(g.waiting, waits)
	return false, waits
}

// leave ends a pipeline for which nobody waits, and reports whether it has.
func (g *gathering) leave() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		return false
	}
	g.busy--
	return true
}

// withdraw takes back a lookup that waits, and reports whether it still did.
func (g *gathering) withdraw(l *lookup) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, l)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// take returns the lookups that have waited longest, which no longer wait.
func (g *gathering) take() []*lookup {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGathered)
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// took notes how long a pipeline took for so many lookups, of which a few say little: their time is the network's.
func (g *gathering) took(n int, since time.Time) {
	took := time.Since(since)
	if n < maxGathered/2 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow++
	if took < time.Duration(n)*slowLookup {
		g.slow = 0
	}
	if g.slow == slowInARow {
		g.slow, g.rests = 0, time.Now().Add(slowRest)
	}
}

// readKeyed runs a lookup and has scan read its rows, which it must do to their end unless it fails. scan may be called once more
// after the call, if the context ends.
func (p *pool) readKeyed(ctx context.Context, query string, args []any, scan func(pgx.Rows) error) error {
	leads, waits := p.gathering.enter(ctx, query, args, scan)
	if leads {
		defer func() {
			if !p.gathering.leave() {
				go p.pipeline()
			}
		}()
	}
	if waits != nil {
		if err := p.await(waits); !errors.Is(err, errAlone) {
			return err
		}
	}
	rows, err := p.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scan(rows)
}

// await returns what becomes of a lookup that waits, errAlone where it has to be sent alone.
func (p *pool) await(l *lookup) error {
	select {
	case err := <-l.done:
		return err
	case <-l.ctx.Done():
	case <-time.After(gatherPatience):
		if p.gathering.withdraw(l) {
			return errAlone
		}
		select {
		case err := <-l.done:
			return err
		case <-l.ctx.Done():
		}
	}
	p.gathering.withdraw(l)
	return context.Cause(l.ctx)
}

// pipeline sends lookups for as long as any wait. Where there is no connection for them, or none that answers, they go alone, as they
// would without it: with the rules for those who wait for a connection.
func (p *pool) pipeline() {
	for !p.gathering.leave() {
		ctx, cancel := context.WithTimeout(context.Background(), gatherPatience)
		conn, err := p.Acquire(ctx)
		cancel()
		lookups := p.gathering.take()
		if err == nil {
			p.send(conn.Conn(), lookups)
			conn.Release()
		}
		for _, l := range lookups {
			select {
			case l.done <- errAlone:
			default: // it has been answered
			}
		}
	}
}

// send sends lookups and answers those that PostgreSQL does: it passes over what follows one that fails.
func (p *pool) send(conn *pgx.Conn, lookups []*lookup) {
	defer func() { _ = recover() }() // alone, the lookup whose scan panicked will do so where its request is
	ctx, cancel := context.WithTimeout(context.Background(), p.wait)
	defer cancel()
	defer p.gathering.took(len(lookups), time.Now())
	var batch pgx.Batch
	for _, l := range lookups {
		ended := p.traced(l, conn)
		batch.Queue(l.query, l.args...).Query(func(rows pgx.Rows) error {
			failed := l.scan(rows)
			rows.Close()
			ended(rows)
			if rows.Err() == nil {
				l.done <- failed
			}
			return rows.Err()
		})
	}
	_ = conn.SendBatch(ctx, &batch).Close() // whom its error concerns is not answered
}

// traced has the pool's tracer see a lookup as if it were alone, in its own context.
func (p *pool) traced(l *lookup, conn *pgx.Conn) (ended func(pgx.Rows)) {
	if p.tracer == nil {
		return func(pgx.Rows) {}
	}
	ctx := p.tracer.TraceQueryStart(l.ctx, conn, pgx.TraceQueryStartData{SQL: l.query, Args: l.args})
	return func(rows pgx.Rows) {
		p.tracer.TraceQueryEnd(ctx, conn, pgx.TraceQueryEndData{CommandTag: rows.CommandTag(), Err: rows.Err()})
	}
}

// untraced keeps what is sent together from a tracer, to which pgx would show it without its contexts; see traced.
type untraced struct{ pgx.QueryTracer }

// TraceBatchStart is part of pgx.BatchTracer.
func (untraced) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery is part of pgx.BatchTracer.
func (untraced) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is part of pgx.BatchTracer.
func (untraced) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
