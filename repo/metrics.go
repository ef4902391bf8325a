package repo

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// newCounters returns counters by the value of a label, which are all there from the start, so that a rate sees the first.
func newCounters(name, help, label string, values ...string) *prometheus.CounterVec {
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	for _, value := range values {
		counters.WithLabelValues(value)
	}
	return counters
}

func newRefusals() *prometheus.CounterVec {
	return newCounters("akin_token_refusals_total", "Tokens that were refused, by reason: malformed, unknown, expired, revoked.",
		"reason", "malformed", "unknown", "expired", "revoked")
}

func newReplicaRequests() *prometheus.CounterVec {
	return newCounters("akin_replica_requests_total",
		"Requests that were to read from the replica, by outcome: served, or behind (and read from the primary). Failed are "+
			"reads of those served that the replica failed (and that were read again at the primary).",
		"outcome", "served", "behind", "failed")
}

// Register adds the metrics of the pool of connections, of turns, of merges, of refused tokens and of the replica to a registry;
// once, or it panics.
func (db *DB) Register(registry prometheus.Registerer) {
	registry.MustRegister(db.refusals, db.turns.waited, db.merger.merges)
	if db.replica != nil {
		registry.MustRegister(db.replica.requests)
	}
	auto := promauto.With(registry)
	gauge := func(name, help string, labels prometheus.Labels, read func(*pgxpool.Stat) int32) {
		auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(read(db.pool.Stat())) })
	}
	counter := func(name, help string, read func(*pgxpool.Stat) float64) {
		auto.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return read(db.pool.Stat()) })
	}
	const connections, help = "akin_pool_connections", "Connections to the database, by state: used, idle, connecting."
	gauge(connections, help, prometheus.Labels{"state": "used"}, (*pgxpool.Stat).AcquiredConns)
	gauge(connections, help, prometheus.Labels{"state": "idle"}, (*pgxpool.Stat).IdleConns)
	gauge(connections, help, prometheus.Labels{"state": "connecting"}, (*pgxpool.Stat).ConstructingConns)
	gauge("akin_pool_max_connections", "The most connections that the pool opens.", nil, (*pgxpool.Stat).MaxConns)
	counter("akin_pool_acquires_total", "Times that a connection was taken from the pool.",
		func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) })
	counter("akin_pool_waits_total", "Times that a connection was taken after waiting for one to be free or opened.",
		func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) })
	counter("akin_pool_wait_seconds_total", "Time spent waiting for a connection to be free or opened.",
		func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() })
	counter("akin_pool_canceled_acquires_total", "Times that a request ended before it had a connection.",
		func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) })
	counter("akin_pool_connects_total", "Connections opened.",
		func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) })
}
