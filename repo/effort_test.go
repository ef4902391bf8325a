package repo_test

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

func TestEffort(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db := open(t, url, repo.NewTracer(slog.New(slog.DiscardHandler), 0, nil))
	store, _ := repotest.NewStore(t, db, "store")
	input := model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: "1", Email: "jane@doe.com"}
	ctx, effort := repo.WithEffort(t.Context(), "req-1")
	for range 2 {
		if _, err := store.UpsertCustomerIdentity(ctx, input); err != nil {
			t.Fatal(err)
		}
	}
	faulty := model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: "2", Email: "none"}
	if _, err := store.UpsertCustomerIdentities(ctx, []*model.UpsertCustomerIdentityInput{&faulty, &input}, model.RejectAll); err != nil {
		t.Fatal(err)
	}
	if _, err := store.UpsertCustomers(ctx, []*model.UpsertCustomerInput{{By: model.CustomerKey{Email: &input.Email}}}, model.KeepValid); err != nil {
		t.Fatal(err)
	}
	want := repo.Work{RoundTrips: 6, Rows: 4, Upserts: map[repo.UpsertLabels]int{
		{Kind: "identity", Outcome: "CREATED"}: 1, {Kind: "identity", Outcome: "UNCHANGED"}: 1,
		{Kind: "identity", Outcome: "INVALID"}: 1, {Kind: "identity", Outcome: "BATCH_REJECTED"}: 1,
		{Kind: "customer", Outcome: "UNCHANGED"}: 1,
	}}
	if diff := cmp.Diff(want, effort.Done()); diff != "" {
		t.Errorf("the effort differs (-want +got):\n%s", diff)
	}
}

// TestEffortCountsRetries has an upsert wait for another write of the same identity, and so lose the race.
func TestEffortCountsRetries(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	db := open(t, url, repo.NewTracer(slog.New(slog.DiscardHandler), 0, nil))
	store, _ := repotest.NewStore(t, db, "store")
	conn := connect(t, url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const insert = `WITH c AS (
			INSERT INTO customers (store_id, id, email, email_normalized, created_at, updated_at)
			VALUES ($1, gen_random_uuid(), 'jane@doe.com', 'jane@doe.com', now(), now()) RETURNING id)
		INSERT INTO customer_identities (store_id, id, customer_id, platform, platform_customer_id, email, email_normalized, created_at, updated_at)
		SELECT $1, gen_random_uuid(), c.id, 'shopify', '1', 'jane@doe.com', 'jane@doe.com', now(), now() FROM c`
	if _, err := tx.Exec(t.Context(), insert, store.ID()); err != nil {
		t.Fatal(err)
	}
	ctx, effort := repo.WithEffort(t.Context(), "req-1")
	failed := make(chan error, 1)
	go func() {
		_, err := store.UpsertCustomerIdentity(ctx, model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: "1", Email: "jane@doe.com"})
		failed <- err
	}()
	awaitLocks(t, connect(t, url), 1)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if done := effort.Done(); done.Retries != 1 || done.RoundTrips != 2 {
		t.Errorf("%d retries in %d round trips, want 1 in 2", done.Retries, done.RoundTrips)
	}
}
