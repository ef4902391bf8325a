package repo

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// turnsPerConnection is how many requests may be taken apart and executed at the same time for each connection of the pools:
// one that the database works for, and one that Akin does. Many more at once are no faster, and each holds memory, a batch ten
// times that of its body.
const turnsPerConnection = 2

func newTurns(pools ...*pool) *semaphore.Weighted {
	var conns int64
	for _, p := range pools {
		conns += int64(p.Config().MaxConns)
	}
	return semaphore.NewWeighted(turnsPerConnection * conns)
}

// Admit waits for the request's turn to be taken apart and executed, as long as Watch has it wait for connections, in the
// order of those that come. Whoever calls must call leave when that is done, and not admit a second request before. It returns
// UNAVAILABLE where there is no turn in that time, and the context's error where that ends before.
func (db *DB) Admit(ctx context.Context) (leave func(), err error) {
	leave = func() { db.turns.Release(1) }
	if db.turns.TryAcquire(1) {
		return leave, nil
	}
	began := time.Now()
	_, err = bounded(ctx, db.pool, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, db.turns.Acquire(ctx, 1)
	})
	db.turnWait.Add(time.Since(began).Seconds())
	if err != nil {
		return nil, asModelError(err)
	}
	return leave, nil
}

func newTurnWait() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "akin_turn_wait_seconds_total", Help: "Time that requests waited for their turn to be executed.",
	})
}
