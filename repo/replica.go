package repo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"akin/model"
)

// replica is a streaming replica of the database. A request reads there once it has all that anybody was told of before
// the request came, so that no client misses its own writes, whichever server took them; else, and once the request has
// written, at the primary.
type replica struct {
	pool, primary *pool
	requests      *prometheus.CounterVec

	asking singleflight.Group
	turn   sync.Mutex
	rests  atomic.Int64 // until then, in Unix nanoseconds, nothing is read there
}

const (
	// replicaPatience is how long a request waits for the replica to have all: more than it is behind where all is well.
	replicaPatience = 20 * time.Millisecond
	// replicaRest is how long a replica is left alone that was behind for longer, or failed.
	replicaRest = time.Second
)

// selectPosition asks the primary for what the replica must have: all that is flushed, and where a commit is not flushed
// before it is acknowledged, all.
const selectPosition = `
SELECT system_identifier, CASE current_setting('synchronous_commit')
    WHEN 'off' THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_flush_lsn() END::text
FROM pg_control_system()`

// selectReplayed asks whether a server is a replica of the primary with this identifier, and has replayed up to a position.
const selectReplayed = `
SELECT pg_is_in_recovery() AND system_identifier = $1::bigint AND pg_last_wal_replay_lsn() >= $2::text::pg_lsn
FROM pg_control_system()`

// ReadFrom has requests that are watched, and have not written, read from the streaming replica at this URL, which is as
// that of Open. It must be called before the first Store. While the replica is behind or away, they read from the primary:
// it takes load from that, and does not stand in for it. After a failover the URLs must name the servers anew.
func (db *DB) ReadFrom(ctx context.Context, url string) error {
	conns, err := openPool(ctx, url, db.pool.tracer)
	if err != nil {
		return fmt.Errorf("the replica: %w", err)
	}
	conns.wait /= 4 // there is still the primary to wait for
	db.replica = &replica{pool: conns, primary: db.pool, requests: newReplicaRequests()}
	db.turns = newTurns(db.pool, conns)
	return nil
}

func (r *replica) close() {
	if r != nil {
		r.pool.Close()
	}
}

// read calls do with where the request is to read; again with the primary where the replica fails it.
func (r *replica) read(ctx context.Context, primary *pool, do func(context.Context, *pool) error) error {
	w := watchedBy(ctx)
	if r == nil || w == nil || !w.atReplica(ctx, r) {
		return do(ctx, primary)
	}
	at, end := r.pool.watch(ctx)
	err := do(at, r.pool)
	end()
	known, ok := errors.AsType[*model.Error](err)
	if err == nil || ctx.Err() != nil || ok && known.Code == model.CodeResultTooLarge {
		return err
	}
	r.leave()
	r.requests.WithLabelValues("failed").Inc()
	w.atPrimary.Store(true)
	return do(ctx, primary)
}

func (r *replica) leave() { r.rests.Store(time.Now().Add(replicaRest).UnixNano()) }

// caughtUp reports whether the replica has all that was acknowledged before the call. Whoever calls while others are being
// answered waits for the next answer, which serves all of them.
func (r *replica) caughtUp(ctx context.Context) bool {
	if time.Now().UnixNano() < r.rests.Load() {
		return false
	}
	answer := r.asking.DoChan("", func() (any, error) {
		r.turn.Lock()
		defer r.turn.Unlock()
		r.asking.Forget("") // whoever comes from here on may know of more
		err := r.catchUp()
		if err != nil {
			r.leave()
		}
		return nil, err
	})
	select {
	case result := <-answer:
		return result.Err == nil
	case <-time.After(r.pool.wait):
		r.leave()
	case <-ctx.Done():
	}
	return false
}

// catchUp waits until the replica has what the primary has now. Both are asked on the connections that are apart for such
// questions, and have to answer by questionTime, for its reason.
func (r *replica) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), questionTime)
	defer cancel()
	var system int64
	var position string
	if err := r.primary.pulse.QueryRow(ctx, selectPosition).Scan(&system, &position); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		var replayed bool
		if err := r.pool.pulse.QueryRow(ctx, selectReplayed, system, position).Scan(&replayed); err != nil || replayed {
			return err
		}
		if time.Since(began) > replicaPatience {
			return errors.New("the replica is behind")
		}
	}
}

// atReplica decides once where a request reads, so that its parts are not of different times more than they must be.
func (w *watched) atReplica(ctx context.Context, r *replica) bool {
	if w.atPrimary.Load() {
		return false
	}
	w.decide.Do(func() {
		w.decided.Store(true)
		if r.caughtUp(ctx) {
			r.requests.WithLabelValues("served").Inc()
			return
		}
		r.requests.WithLabelValues("behind").Inc()
		w.atPrimary.Store(true)
	})
	return !w.atPrimary.Load()
}

// usePrimary has a request read from the primary from now on, to which it is about to write, and returns it.
func (s *Store) usePrimary(ctx context.Context) *pool {
	if w := watchedBy(ctx); w != nil {
		w.atPrimary.Store(true)
	}
	return s.pool
}
