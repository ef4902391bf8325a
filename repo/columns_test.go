package repo_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// TestNothingElseIsRead reads customers and events for an answer that shows their IDs, by the ways to read one and several.
func TestNothingElseIsRead(t *testing.T) {
	t.Parallel()
	recorded := &recorder{}
	store, _ := repotest.NewStore(t, open(t, repotest.URL(t), recorded), "store")
	jane := upserted(t, store, model.OutcomeCreated, change(byExternalID("jane"), func(in *model.UpsertCustomerInput) {
		in.Email, in.FirstName, in.Tags, in.Properties = omittable("jane@doe.com"), omittable("Jane"), graphql.OmittableOf([]string{"vip"}), props(`{"score": 7}`)
	}))
	event := model.UpsertCustomerEventInput{Customer: model.CustomerKey{ID: &jane.ID}, Source: "s", Type: "t", EventID: "1", Properties: model.Properties(`{"n": 1}`)}
	if _, err := store.UpsertCustomerEvent(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	narrow := store.Showing(repo.Columns{reflect.TypeFor[model.Customer](): {"id", "first_name"}})
	customers := func(filter *model.CustomerFilter) func(context.Context) (*model.Customer, error) {
		return func(ctx context.Context) (*model.Customer, error) {
			page, err := narrow.Customers(ctx, filter, nil, model.PageArgs{})
			if err != nil {
				return nil, err
			}
			return page.Nodes[0], nil
		}
	}
	for name, read := range map[string]func(context.Context) (*model.Customer, error){
		"by email": func(ctx context.Context) (*model.Customer, error) {
			return narrow.Customer(ctx, model.CustomerKey{Email: new("jane@doe.com")})
		},
		"by IDs": func(ctx context.Context) (*model.Customer, error) {
			found, err := narrow.CustomersByID(ctx, []uuid.UUID{jane.ID, uuid.Max})
			return found[jane.ID], err
		},
		"a page":    customers(nil),
		"a search":  customers(&model.CustomerFilter{Search: new("jane@doe")}),
		"with tags": customers(&model.CustomerFilter{Tags: []string{"vip"}}),
	} {
		recorded.take()
		got, err := read(t.Context())
		if err != nil {
			t.Fatal(name, err)
		}
		if want := (model.Customer{ID: jane.ID, FirstName: jane.FirstName, EmailNormalized: jane.EmailNormalized, UpdatedAt: jane.UpdatedAt}); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, want %+v", name, *got, want)
		}
		for _, s := range recorded.take() {
			if strings.Contains(s.sql, "properties") || strings.Contains(s.sql, "address") {
				t.Errorf("%s: %s", name, s.sql)
			}
		}
	}
	page, err := narrow.EventPage(jane.ID, nil, model.PageArgs{})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := narrow.EventPages(t.Context(), []uuid.UUID{jane.ID}, page)
	if err != nil {
		t.Fatal(err)
	}
	if got := pages[jane.ID].Nodes[0]; got.Properties != nil || got.Source != "" || got.CustomerID != jane.ID {
		t.Errorf("an event: %+v", *got)
	}
}
