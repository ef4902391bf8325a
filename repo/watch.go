package repo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"akin/model"
)

// watched is what is known of a request that is watched.
type watched struct {
	most  int
	left  atomic.Int64 // of the bytes that it may read
	queue queue

	decide    sync.Once
	decided   atomic.Bool // whether to read from the replica, or about to be
	atPrimary atomic.Bool
}

// queue is how long a request has waited for connections, for which its parts may wait at the same time.
type queue struct {
	turn  sync.Mutex
	parts int
	since time.Time // when the first of these parts came
	spent time.Duration
}

// enter has a part of the request wait, and returns for how long the request had waited before.
func (q *queue) enter() time.Duration {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.parts++
	if q.parts == 1 {
		q.since = time.Now()
	}
	return q.spent + time.Since(q.since)
}

func (q *queue) leave() {
	q.turn.Lock()
	defer q.turn.Unlock()
	q.parts--
	if q.parts == 0 {
		q.spent += time.Since(q.since)
	}
}

type watchedKey struct{}

// watchedBy returns what a watched context carries, nil for another.
func watchedBy(ctx context.Context) *watched {
	w, _ := ctx.Value(watchedKey{}).(*watched)
	return w
}

// Watch returns a context that bounds what one request may take of the database. It may wait for connections for
// pool_max_wait in all; what waits longer fails with UNAVAILABLE, so that a busy pool is not queued for without end. Where the
// database answers nobody for as long, the context ends with UNAVAILABLE as its cause; a slow statement is no such silence while
// others are answered. What reads more than most bytes of rows fails with RESULT_TOO_LARGE, for one row can be as long as a
// thousand others. Commands need none of this: they can wait, and they read page by page.
func (db *DB) Watch(ctx context.Context, most int) (context.Context, context.CancelFunc) {
	w := &watched{most: most}
	w.left.Store(int64(most))
	return db.pool.watch(context.WithValue(ctx, watchedKey{}, w))
}

// watch returns a context that ends with UNAVAILABLE when the database is silent.
func (p *pool) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	silence := p.wait / 3 // before the database is asked; the rest is for its answer
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if ctx.Err() != nil {
			return
		}
		if err := p.alive(p.wait - silence); err != nil {
			end(unavailable(err))
			return
		}
		timer.Reset(silence)
	})
	timer.Reset(silence)
	return ctx, func() {
		timer.Stop()
		end(nil)
	}
}

// questionTime is how long the database has at least to answer the question whether it does, a connection to ask on
// included. It is longer than anybody waits for the answer: to give the question up would give the connection up, and
// where the database is slow, that of each next question would not be there in time either.
const questionTime = 2 * time.Second

var errSilent = errors.New("the database does not answer")

// alive returns an error unless the database says anything within the time, be it that it has no room. Whoever asks
// before there is an answer shares it.
func (p *pool) alive(within time.Duration) error {
	answer := p.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), max(questionTime, p.wait))
		defer cancel()
		err := p.pulse.Ping(ctx)
		if _, ok := errors.AsType[*pgconn.PgError](err); ok {
			return nil, nil
		}
		return nil, err
	})
	select {
	case said := <-answer:
		return said.Err
	case <-time.After(within):
		return errSilent
	}
}

var errWaited = errors.New("the wait for a connection is over")

// bounded calls get, which waits for a connection of the pool. In a watched context it waits no longer than is left of the
// request's wait; then the database is asked whether it answers, which tells one that is busy from one that is silent.
func bounded[T any](ctx context.Context, p *pool, get func(context.Context) (T, error)) (T, error) {
	w := watchedBy(ctx)
	if w == nil {
		return get(ctx)
	}
	moment := p.wait / 9 // for that question, and the least that get has for a connection that is free
	waiting, cancel := context.WithTimeoutCause(ctx, max(p.wait-moment-w.queue.enter(), moment), errWaited)
	defer cancel()
	conn, err := get(waiting)
	w.queue.leave()
	if err == nil || !errors.Is(context.Cause(waiting), errWaited) {
		return conn, err
	}
	if silent := p.alive(moment); silent != nil {
		return conn, unavailable(silent)
	}
	return conn, &model.Error{
		Code: model.CodeUnavailable, Message: "the database is too busy at present; try again",
		Cause: fmt.Errorf("no connection, or no turn for one, within %s: %w", p.wait, err),
	}
}
