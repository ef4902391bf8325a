package graph

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"

	"akin/repo/repotest"
)

// TestWhatIsShownIsRead sends random queries to two handlers, one of which reads whole rows, and compares the answers.
func TestWhatIsShownIsRead(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	_, token := repotest.NewStore(t, db, "shop")
	cfg := Config{DB: db, Log: slog.New(slog.DiscardHandler)}
	seen := &writtenFields{fields: map[string]bool{}}
	whole := client{t, newHandler(cfg, readWhole, writeRows, loadAhead), token}
	shown := client{t, newHandler(cfg, seen.watch, writeRows, loadAhead), token}
	pool := fill(whole)
	whole.awaitSettled()
	for seed := uint64(0); seed < 1_000 && !t.Failed(); seed++ {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 2)), pool: pool}
		document := g.operation(false)
		if diff := cmp.Diff(whole.send(document, g.variables, 0), shown.send(document, g.variables, 0)); diff != "" {
			t.Errorf("seed %d: %s\n%v\n(-whole rows +what is shown):\n%s", seed, document, g.variables, diff)
		}
	}
	for field := range columns {
		if name := columns[field].model.Name() + "." + field.Name; !seen.fields[name] {
			t.Errorf("%s has never been shown", name)
		}
	}
}

// readWhole has what is read have all columns, whatever the answer shows.
func readWhole(ctx context.Context, next graphql.Resolver) (any, error) {
	return next(withStore(ctx, storeFrom(ctx).Showing(nil)))
}
