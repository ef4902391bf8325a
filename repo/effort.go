package repo

import (
	"context"
	"maps"
	"sync"

	"akin/model"
)

// Effort is what the database was made to do for one request. Many goroutines may add to it.
type Effort struct {
	requestID string

	mu   sync.Mutex
	done Work
}

// Work is a sum of what was done.
type Work struct {
	RoundTrips int // statements sent, BEGIN and COMMIT among them; not what pgx sends to prepare one
	Rows       int // read and written, as PostgreSQL's command tags tell
	Retries    int // of statements and transactions that lost a race
	Upserts    map[UpsertLabels]int
}

// UpsertLabels are a kind of upsert, "identity", "customer" or "event", and what came of it: a model.UpsertOutcome or, for an
// input that its sender has to mend, the code of its first model.UserError.
type UpsertLabels struct{ Kind, Outcome string }

type effortKey struct{}

// WithEffort returns a context whose statements count into the effort that it also returns. requestID is what the log
// of slow statements calls the request. Statements are seen where the database was opened with a Tracer.
func WithEffort(ctx context.Context, requestID string) (context.Context, *Effort) {
	effort := &Effort{requestID: requestID}
	return context.WithValue(ctx, effortKey{}, effort), effort
}

// Done returns what was done so far.
func (e *Effort) Done() Work {
	e.mu.Lock()
	defer e.mu.Unlock()
	done := e.done
	done.Upserts = maps.Clone(done.Upserts)
	return done
}

// spend changes the effort that ctx carries, if it carries one.
func spend(ctx context.Context, change func(*Work)) {
	effort, ok := ctx.Value(effortKey{}).(*Effort)
	if !ok {
		return
	}
	effort.mu.Lock()
	defer effort.mu.Unlock()
	change(&effort.done)
}

// countUpserts counts what came of upserts that were answered.
func countUpserts[P model.UpsertPayload](ctx context.Context, payloads ...P) {
	spend(ctx, func(w *Work) {
		if w.Upserts == nil {
			w.Upserts = map[UpsertLabels]int{}
		}
		for _, payload := range payloads {
			counted := UpsertLabels{Kind: "identity"}
			switch any(payload).(type) {
			case *model.UpsertCustomerPayload:
				counted.Kind = "customer"
			case *model.UpsertCustomerEventPayload:
				counted.Kind = "event"
			}
			switch result := payload.Result(); {
			case len(result.UserErrors) > 0:
				counted.Outcome = string(result.UserErrors[0].Code)
			case result.Outcome != nil:
				counted.Outcome = string(*result.Outcome)
			}
			w.Upserts[counted]++
		}
	})
}
