package graph

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
)

// metrics are those of the requests to /graphql. Their labels have values of ours alone, never a client's: an operation
// is told by its kind and its root field, since its name is whatever a client calls it.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	roundTrips *prometheus.HistogramVec
	rows       prometheus.Counter
	retries    prometheus.Counter
	upserts    *prometheus.CounterVec
}

// outcomeCanceled is the outcome of a request whose client did not wait for the answer.
const outcomeCanceled = "CANCELED"

// severalFields is the root field of an operation that has not just one.
const severalFields = "several"

// rootField returns the name of an operation's only field.
func rootField(operation *ast.OperationDefinition) string {
	if len(operation.SelectionSet) == 1 {
		if field, ok := operation.SelectionSet[0].(*ast.Field); ok {
			return field.Name
		}
	}
	return severalFields
}

// newMetrics registers the metrics.
func newMetrics(registry prometheus.Registerer) *metrics {
	auto := promauto.With(registry)
	kind := []string{"kind"}
	return &metrics{
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "akin_requests_total",
			Help: "GraphQL requests, by kind (query, mutation, none where it was refused before that was known), root field " +
				"(several where there is not just one) and outcome: OK, the code of the first error, or CANCELED where the client went away.",
		}, []string{"kind", "field", "outcome"}),
		duration: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "akin_request_duration_seconds", Help: "How long GraphQL requests took, by kind.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, kind),
		inFlight: auto.NewGauge(prometheus.GaugeOpts{
			Name: "akin_requests_in_flight", Help: "GraphQL requests being answered.",
		}),
		roundTrips: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "akin_request_round_trips", Help: "Statements that a GraphQL request sent to the database, by kind.",
			Buckets: []float64{0, 1, 2, 3, 4, 6, 8, 12, 16, 32},
		}, kind),
		rows: auto.NewCounter(prometheus.CounterOpts{
			Name: "akin_rows_total", Help: "Rows that GraphQL requests read or wrote.",
		}),
		retries: auto.NewCounter(prometheus.CounterOpts{
			Name: "akin_retries_total", Help: "Statements and transactions run again because they lost a race.",
		}),
		upserts: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "akin_upserts_total",
			Help: "Upserted inputs, by kind (identity, customer, event) and outcome: CREATED, UPDATED, UNCHANGED, or the code " +
				"of the input's first user error.",
		}, []string{"kind", "outcome"}),
	}
}

// observe counts a request to /graphql that has been answered.
func (m *metrics) observe(ctx context.Context, record *requestRecord, took time.Duration) {
	kind, field, outcome := cmp.Or(record.kind, "none"), cmp.Or(record.rootField, "none"), record.code
	switch {
	case record.answer.status == 0: // it panicked
		outcome = string(model.CodeInternal)
	case outcome == "":
		outcome = "OK"
	case ctx.Err() != nil && outcome == string(model.CodeUnavailable):
		outcome = outcomeCanceled
	}
	m.requests.WithLabelValues(kind, field, outcome).Inc()
	m.duration.WithLabelValues(kind).Observe(took.Seconds())
	done := record.effort.Done()
	m.roundTrips.WithLabelValues(kind).Observe(float64(done.RoundTrips))
	m.rows.Add(float64(done.Rows))
	m.retries.Add(float64(done.Retries))
	for upsert, n := range done.Upserts {
		m.upserts.WithLabelValues(upsert.Kind, upsert.Outcome).Add(float64(n))
	}
}

// counted counts the requests that next answers, where there is a registry to count them for.
func counted(registry prometheus.Registerer, next http.Handler) http.Handler {
	if registry == nil {
		return next
	}
	m := newMetrics(registry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		m.inFlight.Inc()
		defer func() {
			m.inFlight.Dec()
			m.observe(r.Context(), recordFrom(r.Context()), time.Since(start))
		}()
		next.ServeHTTP(w, r)
	})
}
