package repo

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// PostgreSQL puts what is written into indexes of type GIN, those of the search and of tags, later: each has a list of what is yet to be
// merged into it, and a write that makes it longer than gin_pending_list_limit merges it before its statement ends (measured, with
// 4 MB: among upserts of 12 ms, one in some thousands took a second). So a server merges what it has written before the lists are
// so long, while no request waits. bench/README.md has what came of it.

// pendingLimit is how long the lists may be before a write of Akin's merges them.
const pendingLimit = "8MB"

// mergeEvery is how many rows a server writes at most between two merges; they make some 5 MB of each list. Several servers count
// each for themselves, so the first merge is due anywhere up to there, and others up to mergeSpread rows earlier: else those that
// began together would all wait while the lists grow. (Every 3,000 rows, updates came at 0.9 of the rate that they had every
// 10,000, measured; but each search reads the lists from end to end.)
const (
	mergeEvery  = 6000
	mergeSpread = 2000
)

// mergeTimeout bounds a merge, which takes a second at most unless it waits for another, such as autovacuum's.
const mergeTimeout = 30 * time.Second

// mergedIndexes are all of type GIN. Each is merged in a transaction of its own, for an open one holds back the lists of mirrors: see
// settled.
var mergedIndexes = []string{"customers_search_idx", "customer_identities_search_idx", "customers_tags_idx"}

// merger merges what a server has written into mergedIndexes.
type merger struct {
	config  *pgx.ConnConfig // of the primary
	written atomic.Int64    // rows since the last merge began
	running sync.Mutex      // held by a merge
	closing context.Context
	close   context.CancelFunc
	merges  *prometheus.CounterVec // by outcome
}

func newMerger(p *pool) *merger {
	m := &merger{config: p.Config().ConnConfig, merges: newCounters("akin_index_merges_total",
		"Merges of what this server wrote into the indexes of the search and of tags, by outcome: done, failed.",
		"outcome", "done", "failed")}
	m.config.Tracer = nil                    // a merge is no slow statement of a request's
	m.written.Store(rand.Int64N(mergeEvery)) //nolint:gosec // nothing is secret about it
	m.closing, m.close = context.WithCancel(context.Background())
	return m
}

// wrote counts rows that were written, and has them merged when it is time for that, beside whoever wrote them.
func (m *merger) wrote(rows int) {
	if m.written.Add(int64(rows)) < mergeEvery || !m.running.TryLock() {
		return
	}
	if m.closing.Err() != nil {
		m.running.Unlock()
		return
	}
	m.written.Store(rand.Int64N(mergeSpread)) //nolint:gosec // as above
	go func() {
		defer m.running.Unlock()
		outcome := "done"
		if m.merge() != nil {
			outcome = "failed"
		}
		m.merges.WithLabelValues(outcome).Inc()
	}()
}

// merge merges, on a connection of its own, so that none is missing from the pool. Where it fails, as for a role that does not own
// the tables, the writes do it, as they would without.
func (m *merger) merge() error {
	ctx, cancel := context.WithTimeout(m.closing, mergeTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, m.config)
	if err != nil {
		return err
	}
	defer func() {
		conn.Close(ctx)
		<-conn.PgConn().CleanupDone() // where the context ended before the merge, PostgreSQL is told to end it too
	}()
	for _, index := range mergedIndexes {
		if _, err := conn.Exec(ctx, "SELECT gin_clean_pending_list('"+index+"')"); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the merge that is under way, and has none begin from now on.
func (m *merger) stop() {
	m.close()
	m.await()
}

// await returns when no merge is under way.
func (m *merger) await() {
	m.running.Lock()
	m.running.Unlock() //nolint:gocritic,staticcheck // a merge holds it, and nothing is to be done after
}
