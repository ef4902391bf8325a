package repo

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
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
	// gatherPatience is how long a lookup waits for a pipeline: longer than one is busy, unless something in it waits for a lock,
	// or its connection has fallen silent.
	gatherPatience = 20 * time.Millisecond
	// pipelineTime is how long a pipeline has at most, for its lookups are one transaction: what the first has locked may keep
	// a migration waiting, while the second waits for that. It is less than PostgreSQL waits before it looks for deadlocks.
	pipelineTime = 250 * time.Millisecond
	// A lookup that waits for a disk takes slowLookup or more, and a pipeline for whose messages a network takes as long as that
	// slowPipeline. Several lookups then wait less on a connection each: after slowInARow pipelines of the kind, nothing is
	// gathered for restFactor times as long as the last one took. (Measured, with both processors busy, no disk and no network:
	// one pipeline in ten is as slow, and hardly ever eight in a row.)
	slowLookup   = 500 * time.Microsecond
	slowPipeline = time.Millisecond
	slowInARow   = 8
	restFactor   = 64
)

// lookup is a statement that finds rows by a key, which PostgreSQL answers in less time than it takes to be asked.
type lookup struct {
	ctx   context.Context //nolint:containedctx // whoever waits for it may leave, and the others of its pipeline stay
	query string
	args  []any
	scan  func(pgx.Rows) error

	taken atomic.Bool // by the pipeline that scans its rows, or by who waits for it and no longer does
	done  chan error  // gets what scan returned, or errAlone
}

// take reports whether the lookup is the caller's, to scan its rows or to leave: it is the first one's who asks.
func (l *lookup) take() bool { return l.taken.CompareAndSwap(false, true) }

// answer scans the rows of a lookup, unless nobody waits for them any more. What PostgreSQL or the connection fails goes alone, and so
// does a scan that panics, to do it where its request is.
func (l *lookup) answer(rows pgx.Rows) {
	if !l.take() {
		return
	}
	err := errAlone
	defer func() {
		_ = recover()
		l.done <- err
	}()
	failed := l.scan(rows)
	rows.Close()
	if rows.Err() == nil {
		err = failed
	}
}

// errAlone says that a lookup was not answered with others, and has to be sent alone.
var errAlone = errors.New("not answered with others")

// gathering has the lookups of a pool sent together, in PostgreSQL's pipeline mode, once as many are under way as there are to be
// pipelines: whoever comes then waits for one of these to end, and goes with all that have come meanwhile. Each remains a statement of
// its own, with its store and its snapshot. What is saved is a message, a wake-up and a connection for each (measured with 16 clients
// and the database on the same machine: a customer by email comes 1.2 times as fast, an identity with its customer 1.3 times); who is
// alone waits for nobody.
type gathering struct {
	most int // pipelines

	mu      sync.Mutex
	busy    int       // pipelines
	sent    time.Time // when the last of them sent something
	waiting []*lookup
	slow    int       // of the last pipelines, in a row
	rests   time.Time // until then nothing is gathered
}

// enter finds a lookup's place: it goes alone and leads a pipeline, which it must leave, or waits for others, or neither.
func (g *gathering) enter(ctx context.Context, query string, args []any, scan func(pgx.Rows) error) (leads bool, waits *lookup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(g.rests):
	case g.busy < g.most:
		g.busy++
		g.sent, leads = now, true
	case now.Sub(g.sent) < gatherPatience: // or all are stuck
		waits = &lookup{ctx: ctx, query: query, args: args, scan: scan, done: make(chan error, 1)}
		g.waiting = append(g.waiting, waits)
	}
	return leads, waits
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

// withdraw takes back a lookup, if it still waits.
func (g *gathering) withdraw(l *lookup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(other *lookup) bool { return other == l })
}

// next returns the lookups that have waited longest, which no longer wait.
func (g *gathering) next() []*lookup {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGathered)
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	g.sent = time.Now()
	return taken
}

// took notes how long a pipeline took for so many lookups.
func (g *gathering) took(n int, since time.Time) {
	took := time.Since(since)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow++
	if took < max(slowPipeline, time.Duration(n)*slowLookup) {
		g.slow = 0
	}
	if g.slow == slowInARow {
		g.slow, g.rests = 0, time.Now().Add(restFactor*took)
	}
}

// readKeyed runs a lookup and has scan read its rows, which it must do to their end unless it fails. It may be called again after it
// has failed.
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
	case <-time.After(gatherPatience):
	case <-l.ctx.Done():
	}
	if !l.take() { // its rows are being scanned
		return <-l.done
	}
	p.gathering.withdraw(l)
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return errAlone
}

// pipeline sends lookups for as long as any wait. Where there is no connection for them, or none that answers, they go alone, as they
// would without it: with the rules for those who wait for a connection.
func (p *pool) pipeline() {
	for !p.gathering.leave() {
		ctx, cancel := context.WithTimeout(context.Background(), gatherPatience)
		conn, err := p.Acquire(ctx)
		cancel()
		lookups, answered := p.gathering.next(), 0
		if err == nil {
			answered = p.send(conn.Conn(), lookups)
			conn.Release()
		}
		for _, l := range lookups[answered:] {
			l.done <- errAlone
		}
	}
}

// send sends lookups and returns how many of them it has answered: PostgreSQL passes over what follows one that fails.
func (p *pool) send(conn *pgx.Conn, lookups []*lookup) (answered int) {
	ctx, cancel := context.WithTimeout(context.Background(), pipelineTime)
	defer cancel()
	defer p.gathering.took(len(lookups), time.Now())
	var batch pgx.Batch
	for _, l := range lookups {
		batch.Queue(l.query, l.args...).Query(func(rows pgx.Rows) error {
			defer p.traced(l, conn, rows)()
			if rows.Err() != nil {
				return rows.Err()
			}
			l.answer(rows)
			rows.Close()
			answered++
			return rows.Err()
		})
	}
	_ = conn.SendBatch(ctx, &batch).Close() // whom its error concerns is not answered
	return answered
}

// traced has the pool's tracer see a lookup as if it were alone, in its own context, from when those before it have been answered.
func (p *pool) traced(l *lookup, conn *pgx.Conn, rows pgx.Rows) (ended func()) {
	if p.tracer == nil {
		return func() {}
	}
	ctx := p.tracer.TraceQueryStart(l.ctx, conn, pgx.TraceQueryStartData{SQL: l.query, Args: l.args})
	return func() {
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
