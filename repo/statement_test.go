package repo_test

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// calls has a call of every exported method of a Store that asks the database.
func calls(i *model.CustomerIdentity) map[string]func(context.Context, *repo.Store) error {
	from := &model.DateTimeRange{From: &i.CreatedAt, To: &i.UpdatedAt}
	customers := &model.CustomerFilter{
		IDs: []uuid.UUID{i.CustomerID}, Email: i.Email, Platform: &i.Platform, CreatedAt: from, UpdatedAt: from,
		ExternalIDs: []string{"C-1"}, PhoneNumber: new("+14155552671"), Tags: []string{"a"}, AccountStatus: []model.AccountStatus{model.AccountEnabled},
	}
	mirrored := &model.CustomerOrder{Field: model.CustomersByUpdatedAt, Direction: model.Ascending}
	mirroredIdentities := &model.CustomerIdentityOrder{Field: model.IdentitiesByUpdatedAt, Direction: model.Ascending}
	changes := []*model.UpsertCustomerInput{byExternalID("C-1"), byEmail("jane@doe.com"), {By: model.CustomerKey{ID: &i.CustomerID}}}
	events := []*model.UpsertCustomerEventInput{
		{Customer: model.CustomerKey{ID: &i.CustomerID}, Source: "shop", Type: "viewed", EventID: "1"},
		{Customer: model.CustomerKey{Email: i.Email}, Source: "shop", Type: "viewed", EventID: "2"},
	}
	identities := &model.CustomerIdentityFilter{
		Platform: &i.Platform, Email: i.Email, CustomerID: &i.CustomerID, CreatedAt: from, UpdatedAt: from,
	}
	key := &model.PlatformIdentityKey{Platform: i.Platform, PlatformCustomerID: *i.PlatformCustomerID}
	batch := []*model.UpsertCustomerIdentityInput{input("1", "jane@doe.com"), input(uuid.NewString(), "new@doe.com")}
	return map[string]func(context.Context, *repo.Store) error{
		"Self": func(ctx context.Context, s *repo.Store) error { _, err := s.Self(ctx); return err },
		"Customer": func(ctx context.Context, s *repo.Store) error {
			for _, by := range []model.CustomerKey{{ID: &i.CustomerID}, {ExternalID: new("C-1")}, {Email: i.Email}, {Identity: key}} {
				if _, err := s.Customer(ctx, by); err != nil {
					return err
				}
			}
			return nil
		},
		"CustomerIdentity": func(ctx context.Context, s *repo.Store) error {
			withCustomer := s.Showing(repo.Columns{reflect.TypeFor[model.Customer](): {"email"}})
			for _, by := range []model.CustomerIdentityKey{{ID: &i.ID}, {PlatformIdentity: key}} {
				for _, s := range []*repo.Store{s, withCustomer} {
					if _, err := s.CustomerIdentity(ctx, by); err != nil {
						return err
					}
				}
			}
			return nil
		},
		"Customers": func(ctx context.Context, s *repo.Store) error {
			for _, filter := range []*model.CustomerFilter{nil, customers} {
				for _, by := range []*model.CustomerOrder{nil, mirrored} {
					if _, err := s.Customers(ctx, filter, by, model.PageArgs{}); err != nil {
						return err
					}
				}
			}
			return nil
		},
		"CustomerIdentities": func(ctx context.Context, s *repo.Store) error {
			for _, filter := range []*model.CustomerIdentityFilter{nil, identities} {
				for _, by := range []*model.CustomerIdentityOrder{nil, mirroredIdentities} {
					if _, err := s.CustomerIdentities(ctx, filter, by, model.PageArgs{}); err != nil {
						return err
					}
				}
			}
			return nil
		},
		"CountCustomers": func(ctx context.Context, s *repo.Store) error { _, err := s.CountCustomers(ctx, customers); return err },
		"CountCustomerIdentities": func(ctx context.Context, s *repo.Store) error {
			_, err := s.CountCustomerIdentities(ctx, identities)
			return err
		},
		"CustomersByID": func(ctx context.Context, s *repo.Store) error {
			_, err := s.CustomersByID(ctx, []uuid.UUID{i.CustomerID})
			return err
		},
		"Nodes": func(ctx context.Context, s *repo.Store) error {
			_, err := s.Nodes(ctx, []uuid.UUID{i.ID, i.CustomerID, s.ID()})
			return err
		},
		"IdentityPages": func(ctx context.Context, s *repo.Store) error {
			page, err := s.IdentityPage(i.CustomerID, &i.Platform, model.PageArgs{})
			if err == nil {
				_, err = s.IdentityPages(ctx, []uuid.UUID{i.CustomerID}, page)
			}
			return err
		},
		"IdentityCounts": func(ctx context.Context, s *repo.Store) error {
			_, err := s.IdentityCounts(ctx, []uuid.UUID{i.CustomerID}, i.Platform)
			return err
		},
		"Events":      func(ctx context.Context, s *repo.Store) error { _, err := s.Events(ctx, model.PageArgs{}); return err },
		"CountEvents": func(ctx context.Context, s *repo.Store) error { _, err := s.CountEvents(ctx); return err },
		"EventPages": func(ctx context.Context, s *repo.Store) error {
			for _, of := range []*string{nil, new("viewed")} {
				page, err := s.EventPage(i.CustomerID, of, model.PageArgs{})
				if err != nil {
					return err
				}
				if _, err = s.EventPages(ctx, []uuid.UUID{i.CustomerID}, page); err != nil {
					return err
				}
			}
			return nil
		},
		"UpsertCustomer": func(ctx context.Context, s *repo.Store) error {
			change := byExternalID("C-2")
			change.FirstName = omittable(uuid.NewString())
			_, err := s.UpsertCustomer(ctx, *change)
			return err
		},
		"UpsertCustomers": func(ctx context.Context, s *repo.Store) error {
			for _, policy := range []model.BatchErrorPolicy{model.KeepValid, model.RejectAll} {
				if _, err := s.UpsertCustomers(ctx, changes, policy); err != nil {
					return err
				}
			}
			return nil
		},
		"UpsertCustomerEvent": func(ctx context.Context, s *repo.Store) error {
			event := *events[0]
			event.OccurredAt = new(time.Now())
			_, err := s.UpsertCustomerEvent(ctx, event)
			return err
		},
		"UpsertCustomerEvents": func(ctx context.Context, s *repo.Store) error {
			for _, policy := range []model.BatchErrorPolicy{model.KeepValid, model.RejectAll} {
				if _, err := s.UpsertCustomerEvents(ctx, events, policy); err != nil {
					return err
				}
			}
			return nil
		},
		"UpsertCustomerIdentity": func(ctx context.Context, s *repo.Store) error {
			_, err := s.UpsertCustomerIdentity(ctx, *batch[0])
			return err
		},
		"UpsertCustomerIdentities": func(ctx context.Context, s *repo.Store) error {
			for _, policy := range []model.BatchErrorPolicy{model.KeepValid, model.RejectAll} {
				for _, inputs := range [][]*model.UpsertCustomerIdentityInput{batch, batch[:1]} {
					if _, err := s.UpsertCustomerIdentities(ctx, inputs, policy); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// silent are the methods of a Store that ask the database nothing.
var silent = []string{"ID", "Showing", "IdentityPage", "EventPage"}

func TestEveryStatementOfAStoreNamesIt(t *testing.T) {
	t.Parallel()
	recorded := &recorder{}
	store, _ := repotest.NewStore(t, open(t, repotest.URL(t), recorded), "store")
	i := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	known := calls(i)
	for method := range reflect.TypeFor[*repo.Store]().Methods() {
		call, ok := known[method.Name]
		if !ok {
			if !slices.Contains(silent, method.Name) {
				t.Errorf("%s is not called by this test", method.Name)
			}
			continue
		}
		recorded.take()
		if err := call(t.Context(), store); err != nil {
			t.Errorf("%s: %v", method.Name, err)
		}
		statements := recorded.take()
		if len(statements) == 0 {
			t.Errorf("%s asked nothing", method.Name)
		}
		for _, s := range statements {
			if s.sql == "begin" || s.sql == "commit" || s.sql == "rollback" {
				continue
			}
			if strings.Contains(s.sql, "FROM pg_stat_activity") && len(s.args) == 0 { // what is settled is so for every store
				continue
			}
			if len(s.args) == 0 || s.args[0] != store.ID() {
				t.Errorf("%s: the store is not the first parameter of %s", method.Name, s.sql)
			}
			checkTables(t, method.Name, s.sql)
		}
	}
}

// wall is a condition on the store, or the store in a new row.
var wall = regexp.MustCompile(`(store_id|s\.id) = (\(SELECT )?\$|SELECT \$1,`)

// checkTables fails the test unless a statement compares the store, or writes it, once for each table that it names.
func checkTables(t *testing.T, method, sql string) {
	t.Helper()
	sql = strings.Join(strings.Fields(strings.ReplaceAll(sql, `"`, "")), " ")
	tables, walls := 0, len(wall.FindAllString(sql, -1))
	for _, clause := range []string{"FROM ", "UPDATE ", "INTO ", "JOIN "} {
		for _, table := range []string{"customers", "customer_identities", "customer_events", "stores", "api_tokens"} {
			tables += strings.Count(sql+" ", clause+table+" ")
		}
	}
	if tables == 0 || walls < tables {
		t.Errorf("%s: %d tables and %d conditions on the store in %s", method, tables, walls, sql)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	recorded := &recorder{}
	store, _ := repotest.NewStore(t, open(t, repotest.URL(t), recorded), "store")
	ctx := t.Context()
	upsert := func(in *model.UpsertCustomerIdentityInput, want model.UpsertOutcome) func() error {
		return func() error {
			payload, err := store.UpsertCustomerIdentity(ctx, *in)
			if err == nil && *payload.Outcome != want {
				t.Errorf("the outcome is %s, not %s", *payload.Outcome, want)
			}
			return err
		}
	}
	var set []*model.UpsertCustomerIdentityInput
	for range model.MaxBatch {
		set = append(set, input(uuid.NewString(), uuid.NewString()+"@doe.com"))
	}
	batch := func(policy model.BatchErrorPolicy) func() error {
		return func() error { _, err := store.UpsertCustomerIdentities(ctx, set, policy); return err }
	}
	upsertC := func(in *model.UpsertCustomerInput, want model.UpsertOutcome) func() error {
		return func() error {
			payload, err := store.UpsertCustomer(ctx, *in)
			if err == nil && *payload.Outcome != want {
				t.Errorf("the outcome is %s, not %s", *payload.Outcome, want)
			}
			return err
		}
	}
	var customers []*model.UpsertCustomerInput
	for range model.MaxBatch {
		customers = append(customers, byExternalID(uuid.NewString()))
	}
	batchC := func(policy model.BatchErrorPolicy) func() error {
		return func() error { _, err := store.UpsertCustomers(ctx, customers, policy); return err }
	}
	event := func(eventType string, want model.UpsertOutcome) func() error {
		return func() error {
			payload, err := store.UpsertCustomerEvent(ctx, model.UpsertCustomerEventInput{
				Customer: model.CustomerKey{ExternalID: new("C-1")}, Source: "shop", Type: eventType, EventID: "1",
			})
			if err == nil && *payload.Outcome != want {
				t.Errorf("the outcome is %s, not %s", *payload.Outcome, want)
			}
			return err
		}
	}
	changed := func() error {
		_, err := store.Customers(ctx, &model.CustomerFilter{UpdatedAt: ever},
			&model.CustomerOrder{Field: model.CustomersByUpdatedAt, Direction: model.Ascending}, model.PageArgs{})
		return err
	}
	var page *model.CustomerConnection
	for _, c := range []struct {
		name string
		call func() error
		want int
	}{
		{"an identity with an unknown email", upsert(input("1", "jane@doe.com"), "CREATED"), 1},
		{"an identity with a known email", upsert(input("2", "jane@doe.com"), "CREATED"), 1},
		{"a known identity with something new", upsert(input("1", "janet@doe.com"), "UPDATED"), 1},
		{"a known identity with nothing new", upsert(input("1", "janet@doe.com"), "UNCHANGED"), 1},
		{"a full batch", batch(model.KeepValid), 1},
		{"a full batch, all or nothing", batch(model.RejectAll), 3},
		{"a new customer", upsertC(byExternalID("C-1"), "CREATED"), 1},
		{"a known customer with something new", upsertC(marked(byExternalID("C-1"), 1), "UPDATED"), 1},
		{"a known customer with nothing new", upsertC(byExternalID("C-1"), "UNCHANGED"), 1},
		{"a full batch of customers", batchC(model.KeepValid), 1},
		{"a full batch of customers, all or nothing", batchC(model.RejectAll), 3},
		{"an event", event("viewed", "CREATED"), 1},
		{"a known event with something new", event("bought", "UPDATED"), 1},
		{"a known event with nothing new", event("bought", "UNCHANGED"), 1},
		{"a page of what changed, with the question of what is settled", changed, 2},
		{"a faulty input", func() error {
			_, err := store.UpsertCustomerIdentity(ctx, model.UpsertCustomerIdentityInput{})
			return err
		}, 0},
		{"a page of customers", func() (err error) {
			page, err = store.Customers(ctx, &model.CustomerFilter{Platform: new("shopify")}, nil, model.PageArgs{First: new(50)})
			return err
		}, 1},
		{"the identities of a page of customers", func() error {
			ids, _, _ := read(page.Connection, customerID)
			got, err := store.IdentityPages(ctx, ids, model.IdentityPage{Page: model.Page{Size: model.DefaultPage}})
			if len(got) != 50 {
				t.Errorf("%d pages", len(got))
			}
			return err
		}, 1},
		{"a page of identities", func() error {
			_, err := store.CustomerIdentities(ctx, nil, nil, model.PageArgs{})
			return err
		}, 1},
		{"a customer by its ID alone", func() error {
			_, err := store.Nodes(ctx, []uuid.UUID{page.Nodes[0].ID})
			return err
		}, 1},
		{"an object that nobody has", func() error {
			_, err := store.Nodes(ctx, []uuid.UUID{uuid.New()})
			return err
		}, 3},
		{"a customer by an identity", func() error {
			_, err := store.Customer(ctx, model.CustomerKey{Identity: &model.PlatformIdentityKey{Platform: "shopify", PlatformCustomerID: "1"}})
			return err
		}, 1},
	} {
		recorded.take()
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := recorded.take(); len(got) != c.want {
			t.Errorf("%s took %d round trips, not %d: %v", c.name, len(got), c.want, got)
		}
	}
}

// TestEveryModeOfStatements has pgx run every statement in each of its ways, some of which leave PostgreSQL to guess the
// types of the parameters.
func TestEveryModeOfStatements(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t) + "&default_query_exec_mode=" + mode
			store, _ := repotest.NewStore(t, open(t, url, nil), "store")
			all := calls(upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity)
			all["Search"] = func(ctx context.Context, s *repo.Store) error {
				page, err := s.Customers(ctx, &model.CustomerFilter{Search: new("jane")}, nil, model.PageArgs{})
				if err == nil && len(page.Nodes) != 1 {
					err = fmt.Errorf("the search finds %d customers", len(page.Nodes))
				}
				return err
			}
			for name, call := range all {
				if err := call(t.Context(), store); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}
