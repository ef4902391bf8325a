package repo

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// turnsPerConnection is how many small requests may be taken apart and executed at the same time for each connection of the pools:
// one that the database works for, and one that Akin does. Many more at once are no faster, and each holds memory, a batch ten
// times that of its body.
const turnsPerConnection = 2

// largeBody is the size from which a body makes a request large, in bytes: that of a batch of some forty inputs, for which the
// database works as long as for a hundred look-ups, or ten upserts. The large ones have turns of their own, one for every second
// connection to the primary, so that the small ones do not wait behind them. Measured with 8 connections on two processors, and 16
// clients who send batches: 8 others find a customer by email thirty times as often, an upsert of theirs comes ten times as often, and
// the batches at 0.7 of their rate; alone, the batches come at 1.1 times the rate, with a 99th percentile of 0.6 to 0.8.
const largeBody = 8 << 10

// turns are what requests wait for before they are taken apart.
type turns struct {
	small, large *semaphore.Weighted
	waited       prometheus.Counter
}

// newTurns returns the turns for the pools, of which the first is the primary's.
func newTurns(pools ...*pool) *turns {
	var conns int64
	for _, p := range pools {
		conns += int64(p.Config().MaxConns)
	}
	return &turns{
		small: semaphore.NewWeighted(turnsPerConnection * conns),
		large: semaphore.NewWeighted(max(1, int64(pools[0].Config().MaxConns)/2)),
		waited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "akin_turn_wait_seconds_total", Help: "Time that requests waited for their turn to be executed.",
		}),
	}
}

// Admit waits for the turn of a request with a body of so many bytes to be taken apart and executed, as long as Watch has it
// wait for connections, in the order of those that come, of the large ones or of the small. Whoever calls must call leave when that is
// done, and not admit a second request before. It returns UNAVAILABLE where there is no turn in that time, and the context's error where
// that ends before.
func (db *DB) Admit(ctx context.Context, size int) (leave func(), err error) {
	row := db.turns.small
	if size >= largeBody {
		row = db.turns.large
	}
	leave = func() { row.Release(1) }
	if row.TryAcquire(1) {
		return leave, nil
	}
	began := time.Now()
	_, err = bounded(ctx, db.pool, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, row.Acquire(ctx, 1)
	})
	db.turns.waited.Add(time.Since(began).Seconds())
	if err != nil {
		return nil, asModelError(err)
	}
	return leave, nil
}
