package repo_test

import (
	"fmt"
	"runtime"
	"testing"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

func benchInput(id, email int, name string) *model.UpsertCustomerIdentityInput {
	return &model.UpsertCustomerIdentityInput{
		Platform: "woocommerce", PlatformCustomerID: fmt.Sprintf("cust_%d", id), Email: fmt.Sprintf("user%d@example.com", email),
		FirstName: &name, LastName: new("Doe"),
	}
}

// BenchmarkAuthenticate is a token that was seen a moment ago.
func BenchmarkAuthenticate(b *testing.B) {
	db := repotest.New(b)
	_, token := repotest.NewStore(b, db, "shop")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCustomers is a page of 50 customers, and the pages of their identities.
func BenchmarkCustomers(b *testing.B) {
	store, _ := repotest.NewStore(b, repotest.New(b), "shop")
	inputs := make([]*model.UpsertCustomerIdentityInput, 200)
	for i := range inputs {
		inputs[i] = benchInput(i, i/2, "Jane")
	}
	if _, err := store.UpsertCustomerIdentities(b.Context(), inputs, model.RejectAll); err != nil {
		b.Fatal(err)
	}
	args := model.PageArgs{First: new(50)}
	firstPage := model.IdentityPage{Page: model.Page{Size: model.DefaultPage}}
	b.ReportAllocs()
	for b.Loop() {
		customers, err := store.Customers(b.Context(), nil, nil, args)
		if err != nil || len(customers.Nodes) != 50 {
			b.Fatal(len(customers.Nodes), err)
		}
		ids, _, _ := read(customers.Connection, customerID)
		if identities, err := store.IdentityPages(b.Context(), ids, firstPage); err != nil || len(identities) != 50 {
			b.Fatal(len(identities), err)
		}
	}
}

// BenchmarkLookUp is a customer by email, of one client and of 16 at once.
func BenchmarkLookUp(b *testing.B) {
	store, _ := repotest.NewStore(b, repotest.New(b), "shop")
	if _, err := store.UpsertCustomerIdentity(b.Context(), *benchInput(1, 1, "Jane")); err != nil {
		b.Fatal(err)
	}
	lookUp := func(b *testing.B) {
		b.Helper()
		if customer, err := store.Customer(b.Context(), model.CustomerKey{Email: new("user1@example.com")}); err != nil || customer == nil {
			b.Error(customer, err)
		}
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lookUp(b)
		}
	})
	b.Run("16 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				lookUp(b)
			}
		})
	})
}

// BenchmarkUpsert is one identity, with what it may come to, and batches of 100.
func BenchmarkUpsert(b *testing.B) {
	store, _ := repotest.NewStore(b, repotest.New(b), "shop")
	n := 0
	one := func(name string, want model.UpsertOutcome, input func() *model.UpsertCustomerIdentityInput) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n++
				payload, err := store.UpsertCustomerIdentity(b.Context(), *input())
				if err != nil || payload.Outcome == nil || *payload.Outcome != want {
					b.Fatal(payload, err)
				}
			}
		})
	}
	many := func(name string, input func(i int) *model.UpsertCustomerIdentityInput) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			inputs := make([]*model.UpsertCustomerIdentityInput, 100)
			for b.Loop() {
				n += 100
				for i := range inputs {
					inputs[i] = input(i)
				}
				batch, err := store.UpsertCustomerIdentities(b.Context(), inputs, model.KeepValid)
				if err != nil || *batch.Results[99].Outcome == model.OutcomeUnchanged {
					b.Fatal(batch, err)
				}
			}
		})
	}
	one("create both", model.OutcomeCreated, func() *model.UpsertCustomerIdentityInput { return benchInput(n, n, "Jane") })
	one("link", model.OutcomeCreated, func() *model.UpsertCustomerIdentityInput { return benchInput(n, 1, "Jane") })
	one("update", model.OutcomeUpdated, func() *model.UpsertCustomerIdentityInput { return benchInput(1, 1, fmt.Sprint("Jane ", n)) })
	one("nothing new", model.OutcomeUnchanged, func() *model.UpsertCustomerIdentityInput { return benchInput(2, 2, "Jane") })
	many("batch of 100 new", func(i int) *model.UpsertCustomerIdentityInput { return benchInput(n+i, n+i, "Jane") })
	many("batch of 100 updates", func(i int) *model.UpsertCustomerIdentityInput {
		return benchInput(10_000_000+i, i, fmt.Sprint("Jane ", n))
	})
}

// BenchmarkUpsertCustomer is one customer that is updated, and batches of 100.
func BenchmarkUpsertCustomer(b *testing.B) {
	benchSizes(b, "updated", (*model.UpsertCustomersPayload).UpdatedCount, func(store *repo.Store, n int, inputs []*model.UpsertCustomerInput) (*model.UpsertCustomersPayload, error) {
		for i := range inputs {
			inputs[i] = byExternalID(fmt.Sprint("C-", i))
			inputs[i].FirstName = omittable(fmt.Sprint("Jane ", n))
		}
		return store.UpsertCustomers(b.Context(), inputs, model.KeepValid)
	})
}

// BenchmarkUpsertEvent is one event that is recorded, and batches of 100.
func BenchmarkUpsertEvent(b *testing.B) {
	benchSizes(b, "recorded", (*model.UpsertCustomerEventsPayload).CreatedCount, func(store *repo.Store, n int, inputs []*model.UpsertCustomerEventInput) (*model.UpsertCustomerEventsPayload, error) {
		if n == 0 {
			_, err := store.UpsertCustomer(b.Context(), *byExternalID("C-1"))
			if err != nil {
				b.Fatal(err)
			}
		}
		for i := range inputs {
			inputs[i] = &model.UpsertCustomerEventInput{
				Customer: model.CustomerKey{ExternalID: new("C-1")}, Source: "shop", Type: "viewed", EventID: fmt.Sprint(n, "-", i),
				Properties: model.Properties(`{"sku":"A-1"}`),
			}
		}
		return store.UpsertCustomerEvents(b.Context(), inputs, model.KeepValid)
	})
}

// benchSizes measures upserts of one input and of 100, each of which must be done. n counts them, from one that comes before
// what is measured.
func benchSizes[I any, P model.UpsertPayload](
	b *testing.B, what string, done func(*model.Batch[P]) int, upsert func(store *repo.Store, n int, inputs []*I) (*model.Batch[P], error),
) {
	b.Helper()
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d %s", size, what), func(b *testing.B) {
			store, _ := repotest.NewStore(b, repotest.New(b), "shop")
			inputs := make([]*I, size)
			if _, err := upsert(store, 0, inputs); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				batch, err := upsert(store, n, inputs)
				if err != nil || done(batch) < size {
					b.Fatal(batch, err)
				}
			}
		})
	}
}
