package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// unmerged merges the indexes, and tells how many pages there were to merge.
const unmerged = `SELECT sum(gin_clean_pending_list(indexrelid))
	FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam WHERE amname = 'gin'`

// TestWritesAreMergedInTheBackground writes as many rows as there are to be before the next merge.
func TestWritesAreMergedInTheBackground(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t) + "&connect_timeout=30"
	db, conn := open(t, url, nil), connect(t, url)
	store, _ := repotest.NewStore(t, db, "store")
	db.MergeAfter(4)
	vip := change(byExternalID("1"), func(in *model.UpsertCustomerInput) { in.Tags = graphql.OmittableOf([]string{"vip"}) })
	upserted(t, store, model.OutcomeCreated, vip)
	upserted(t, store, model.OutcomeUnchanged, vip)
	event := model.UpsertCustomerEventInput{Customer: model.CustomerKey{ExternalID: new("1")}, Source: "app", EventID: "1", Type: "seen"}
	if _, err := store.UpsertCustomerEvent(t.Context(), event); err != nil { // in which nobody searches
		t.Fatal(err)
	}
	upsertBatch(t, store, model.RejectAll, input("2", "2@doe.com"), input("3", "3@doe.com"))
	awaitMerge(t, db, 0, 0)
	upsertOne(t, store, input("4", "4@doe.com"))
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
	db.MergeAfter(1)
	upsertOne(t, store, input("1", "1@doe.com"))
	awaitMerge(t, db, 0, 1)
	if n := one[int](t, conn, unmerged); n == 0 {
		t.Error("there is nothing left to merge")
	}
}

// TestCloseEndsAMerge closes the database when a merge has begun, and once more.
func TestCloseEndsAMerge(t *testing.T) {
	t.Parallel()
	db := open(t, repotest.URL(t), nil)
	store, _ := repotest.NewStore(t, db, "store")
	db.MergeAfter(1)
	upsertOne(t, store, input("1", "1@doe.com"))
	if err := db.Close(); err != nil { // that nothing goes on is seen when all tests have ended
		t.Error(err)
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
		# HELP %[1]s Merges of what this server wrote into the indexes of the search and of tags, by outcome: done, failed.
		# TYPE %[1]s counter
		%[1]s{outcome="done"} %[2]d
		%[1]s{outcome="failed"} %[3]d
	`, name, done, failed)), name); err != nil {
		t.Error(err)
	}
}
