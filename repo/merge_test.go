package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// unmerged merges the indexes of the search, and tells how many pages there were to merge.
const unmerged = `SELECT gin_clean_pending_list('customers_search_idx') + gin_clean_pending_list('customer_identities_search_idx')`

// TestWritesAreMergedInTheBackground writes as many rows as a server writes between two merges.
func TestWritesAreMergedInTheBackground(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t) + "&connect_timeout=30"
	db, conn := open(t, url, nil), connect(t, url)
	store, _ := repotest.NewStore(t, db, "store")
	writeRows(t, store, 23*model.MaxBatch)
	upsertOne(t, store, input("1", "1@doe.com")) // which changes nothing
	var events []*model.UpsertCustomerEventInput // in which nobody searches
	for i := range model.MaxBatch {
		events = append(events, &model.UpsertCustomerEventInput{
			Customer: model.CustomerKey{Email: new("1@doe.com")}, Source: "app", EventID: fmt.Sprint(i), Type: "seen",
		})
	}
	seen, err := store.UpsertCustomerEvents(t.Context(), events, model.RejectAll)
	if err != nil || seen.CreatedCount() != len(events) {
		t.Fatal(seen, err)
	}
	awaitMerge(t, db, 0, 0)
	writeRows(t, store, 24*model.MaxBatch) // of which a part is new
	awaitMerge(t, db, 1, 0)
	if n := one[int](t, conn, unmerged); n != 0 {
		t.Errorf("there are %d pages left to merge", n)
	}
}

// TestWritesDoWithoutMerges has the database refuse the connection for the merge.
func TestWritesDoWithoutMerges(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db, conn := open(t, url+"&pool_max_conns=1", nil), connect(t, url)
	store, _ := repotest.NewStore(t, db, "store")
	run(t, conn, fmt.Sprintf(`ALTER DATABASE %s CONNECTION LIMIT 2`, one[string](t, conn, `SELECT quote_ident(current_database())`)))
	writeRows(t, store, 24*model.MaxBatch)
	awaitMerge(t, db, 0, 1)
	if n := one[int](t, conn, `SELECT count(*) FROM customer_identities`); n != 24*model.MaxBatch {
		t.Errorf("there are %d identities", n)
	}
}

// TestCloseEndsAMerge closes the database when a merge has begun.
func TestCloseEndsAMerge(t *testing.T) {
	t.Parallel()
	db, err := repo.Open(t.Context(), repotest.URL(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	store, _ := repotest.NewStore(t, db, "store")
	writeRows(t, store, 24*model.MaxBatch)
	if err := db.Close(); err != nil { // that nothing goes on is seen when all tests have ended
		t.Error(err)
	}
}

// writeRows upserts so many identities with customers of their own.
func writeRows(t *testing.T, store *repo.Store, n int) {
	t.Helper()
	var inputs []*model.UpsertCustomerIdentityInput
	for i := range n {
		inputs = append(inputs, input(fmt.Sprint(i), fmt.Sprintf("%d@doe.com", i)))
		if len(inputs) == model.MaxBatch {
			upsertBatch(t, store, model.RejectAll, inputs...)
			inputs = nil
		}
	}
}

// awaitMerge waits for a merge that is under way, and fails unless so many were done and have failed.
func awaitMerge(t *testing.T, db *repo.DB, done, failed int) {
	t.Helper()
	db.AwaitMerge()
	registry := prometheus.NewRegistry()
	db.Register(registry)
	const name = "akin_index_merges_total"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
		# HELP %[1]s Merges of what this server wrote into the indexes of the search, by outcome: done, failed.
		# TYPE %[1]s counter
		%[1]s{outcome="done"} %[2]d
		%[1]s{outcome="failed"} %[3]d
	`, name, done, failed)), name); err != nil {
		t.Error(err)
	}
}
