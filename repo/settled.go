package repo

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"akin/model"
)

// A list of what changed since an instant, in the ascending order of updatedAt, is what a mirror is kept by: it reads on
// from the last row that it has seen, and never comes back. So the list must not show a row while a write may still
// commit an earlier updatedAt. Therefore every write takes updatedAt from PostgreSQL's clock, when its statement begins,
// and the list ends where the oldest transaction that was at work a moment ago began. (With the time taken in Go and no
// such end, a mirror of 40 customers under 4 writers lost most of the last changes.)
//
// That moment must lie before the snapshot that the list is read in. A write that commits between the two is neither in
// the snapshot nor at work any more, and if it had waited for a lock it would be lost: so the end cannot be asked for
// in the statement that reads the list, and is remembered instead.

// settling is the time that a write may need from taking its time to where pg_stat_activity shows that it is at work:
// microseconds, unless the process is kept from running in between.
const settling = "1 second"

// remembered is how long an answer of settled is used again, so that a mirror's pages take one round trip each.
const remembered = time.Second

// selectSettled asks for the instant before which no row will be updated any more. Whatever has a transaction open in
// the database holds it back, whether it writes or not: nothing tells what it will do. Transactions of other roles than
// Akin's are seen only by a role with pg_read_all_stats.
const selectSettled = `
SELECT least(min(xact_start), clock_timestamp() - interval '` + settling + `')
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`

// settledAt is an answer to selectSettled, and when it was asked for.
type settledAt struct{ before, asked time.Time }

// settled returns an instant before which no row will be updated any more, at most a little more than two seconds ago
// unless a transaction has been open for longer. What it once returned stays true.
func (s *Store) settled(ctx context.Context) (time.Time, error) {
	if last := s.lastSettled.Load(); last != nil && time.Since(last.asked) < remembered {
		return last.before, nil
	}
	asked := time.Now()
	var before []time.Time
	if err := scanRows(ctx, s.db, s.pool, selectSettled, nil, &before); err != nil {
		return time.Time{}, err
	}
	s.lastSettled.Store(&settledAt{before[0], asked})
	return before[0], nil
}

// whereSettled narrows a query in the ascending order of updatedAt to what a mirror may read, where it is a mirror's: one
// that asks for what changed since an instant.
func (s *Store) whereSettled(ctx context.Context, query *bun.SelectQuery, p *params, updated *model.DateTimeRange) error {
	if updated == nil || updated.From == nil {
		return nil
	}
	before, err := s.settled(ctx)
	if err != nil {
		return err
	}
	if w := watchedBy(ctx); w != nil && w.decided.Load() {
		w.atPrimary.Store(true) // what the replica was known to have by then may lack what is settled by now
	}
	query.Where("?TableAlias.updated_at < ?", p.add(before))
	return nil
}

type lastSettled = atomic.Pointer[settledAt]
