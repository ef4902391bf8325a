package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"akin/graph"
	"akin/repo"
	"akin/repo/repotest"
)

// statementCounter counts what is sent to the database. It leaves out the look-up of the token, which happens at most
// twice a second for each.
type statementCounter struct{ n atomic.Int64 }

func (c *statementCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(data.SQL, "api_tokens") {
		c.n.Add(1)
	}
	return ctx
}

func (*statementCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// must sends a document and decodes its data into dest; any error fails the test.
func (a *api) must(t *testing.T, dest any, document string, variables map[string]any) {
	t.Helper()
	got := a.query(t, document, variables)
	if len(got.Errors) > 0 || got.status != 200 {
		t.Fatalf("status %d: %.500s", got.status, got.body)
	}
	if dest != nil {
		if err := json.Unmarshal(got.Data, dest); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRoundTrips holds the number of statements that an operation sends, however many objects it answers with.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	var statements statementCounter
	db, err := repo.Open(t.Context(), repotest.URL(t), &statements)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := newAPI(t, func(cfg *graph.Config) { cfg.DB = db })
	_, a.token = repotest.NewStore(t, db, "counted")
	const batch = `mutation ($inputs: [UpsertCustomerIdentityInput!]!) { upsertCustomerIdentities(inputs: $inputs) { createdCount } }`
	var inputs []map[string]any
	for i := range 200 {
		inputs = append(inputs, map[string]any{
			"platform": []string{"woocommerce", "shopify"}[i%2], "platformCustomerId": fmt.Sprint(i),
			"email": fmt.Sprintf("shopper%d@example.com", i/3),
		})
	}
	var created struct {
		UpsertCustomerIdentities struct{ CreatedCount int }
	}
	a.must(t, &created, batch, map[string]any{"inputs": inputs})
	if n := created.UpsertCustomerIdentities.CreatedCount; n != 200 {
		t.Fatalf("created %d identities, want 200", n)
	}
	var page struct {
		Customers struct {
			Nodes []struct {
				ID         string
				Identities struct{ Nodes []struct{ ID string } }
			}
		}
	}
	a.must(t, &page, `{ customers(first: 50) { nodes { id identities { nodes { id } } } } }`, nil)
	var ids []string
	for _, c := range page.Customers.Nodes {
		ids = append(ids, c.ID, c.Identities.Nodes[0].ID)
	}

	const customers = `mutation ($inputs: [UpsertCustomerInput!]!) { upsertCustomers(inputs: $inputs) {
		createdCount results { customer { identities { nodes { id } } events { nodes { id } } } } } }`
	const events = `mutation ($inputs: [UpsertCustomerEventInput!]!) { upsertCustomerEvents(inputs: $inputs) {
		createdCount results { customerEvent { customer { email } } } } }`
	var customerInputs, eventInputs []map[string]any
	for i := range 100 {
		by := map[string]any{"email": fmt.Sprintf("shopper%d@example.com", i)} // two thirds of them known
		customerInputs = append(customerInputs, map[string]any{"by": by, "lastName": "Doe"})
		eventInputs = append(eventInputs, map[string]any{"customer": by, "source": "shop", "type": "t", "eventId": fmt.Sprint(i%90, i/90)})
	}

	for _, test := range []struct {
		name, query string
		variables   map[string]any
		want        int64
	}{
		{"a page of 50 customers", `{ customers(first: 50) { nodes { id email } pageInfo { endCursor } } }`, nil, 1},
		{"a page of 50 customers with identities", `{ customers(first: 50) { nodes { id identities(first: 10) { nodes { id } } } } }`, nil, 2},
		{"the same with totalCount", `{ customers(first: 50) { totalCount nodes { id identities(first: 10) { nodes { id } } } } }`, nil, 3},
		{
			"the same with the count of each customer's identities",
			`{ customers(first: 50) { totalCount nodes { id identities(first: 10) { totalCount nodes { id } } } } }`, nil, 4,
		},
		{
			"three levels, the third the same lists as the first, so that nothing is read twice",
			`{ customers(first: 20) { nodes { identities { nodes { customer { identities { nodes { id } } } } } } } }`, nil, 2,
		},
		{
			"three levels, the third other lists than the first",
			`{ customers(first: 20) { nodes { identities { nodes { customer { identities(platform: "shopify") { nodes { id } } } } } } } }`, nil, 3,
		},
		{
			"three levels from the other side",
			`{ customerIdentities(first: 20) { nodes { customer { identities { totalCount nodes { customer { email } } } } } } }`, nil, 4,
		},
		{
			"lists below nodes, edges, aliases and fragments, each of its own",
			`{ customers(first: 20) { nodes { a: identities(first: 1) { nodes { id } } ...more } edges { node { identities(first: 2) { nodes { id } } } } } }
			fragment more on Customer { b: identities(platform: "shopify") { nodes { id } } again: identities(first: 1) { edges { cursor } } }`, nil, 4,
		},
		{"a page of 50 identities with customers", `{ customerIdentities(first: 50) { nodes { id customer { id email } } } }`, nil, 2},
		{"a search for what nobody has", `{ customers(filter: {search: "shopper@"}) { nodes { identities { nodes { id } } } } }`, nil, 3},
		{ // one more than if the walk met nobody, for the size of the table, which tells whether to walk on
			"a search for what one of the newest has, with identities",
			`{ customers(filter: {search: "shopper7@"}) { nodes { identities { nodes { id } } } } }`, nil, 5,
		},
		{
			"the same among those of a range, which may be few",
			`{ customers(filter: {search: "shopper7@", createdAt: {from: "2020-01-01T00:00:00Z"}}) { nodes { identities { nodes { id } } } } }`, nil, 4,
		},
		{"a customer by email with identities", `{ customer(by: {email: "shopper7@example.com"}) { identities { nodes { id } } } }`, nil, 2},
		{
			"a customer by identity",
			`{ customer(by: {identity: {platform: "woocommerce", platformCustomerId: "2"}}) { id } }`, nil, 1,
		},
		{"100 nodes of two of three types", `query ($ids: [ID!]!) { nodes(ids: $ids) { id } }`, map[string]any{"ids": ids}, 2},
		{
			"an identity with its customer",
			`{ customerIdentity(by: {platformIdentity: {platform: "shopify", platformCustomerId: "1"}}) { a: customer { id } b: customer { email } } }`, nil, 1,
		},
		{
			"an identity with its customer's identities and their customer",
			`{ customerIdentity(by: {platformIdentity: {platform: "shopify", platformCustomerId: "1"}}) {
				customer { email identities { nodes { customer { firstName } } } } } }`, nil, 2,
		},
		{"the store", `{ store { name } }`, nil, 1},
		{
			"an upsert that creates both",
			`mutation { upsertCustomerIdentity(input: {platform: "x", platformCustomerId: "1", email: "new@example.com"}) { outcome } }`, nil, 1,
		},
		{
			"an upsert that changes nothing",
			`mutation { upsertCustomerIdentity(input: {platform: "x", platformCustomerId: "1", email: "new@example.com"}) { outcome } }`, nil, 1,
		},
		{
			"an upsert that updates",
			`mutation { upsertCustomerIdentity(input: {platform: "x", platformCustomerId: "1", email: "other@example.com"}) { outcome } }`, nil, 1,
		},
		{
			"an upsert that links, with its customer and the customer's identities",
			`mutation { upsertCustomerIdentity(input: {platform: "x", platformCustomerId: "2", email: "new@example.com"}) {
				customerLink customerIdentity { customer { identities { nodes { id } } } } } }`, nil, 3,
		},
		{
			"an upsert with the ID of its customer",
			`mutation { upsertCustomerIdentity(input: {platform: "x", platformCustomerId: "2", email: "new@example.com"}) {
				customerIdentity { customer { __typename id } } } }`, nil, 1,
		},
		{
			"a page of 50 identities with their customers, of which one asks for no more than the ID",
			`{ customerIdentities(first: 50) { nodes { a: customer { id } b: customer { id email } c: customer { ...i } } } }
			fragment i on Node { id }`, nil, 2,
		},
		{"a batch of 200", batch, map[string]any{"inputs": inputs}, 1},
		{
			"a batch of 200 with the IDs of their customers",
			`mutation ($inputs: [UpsertCustomerIdentityInput!]!) { upsertCustomerIdentities(inputs: $inputs) { results { customerIdentity { customer { id } } } } }`,
			map[string]any{"inputs": inputs},
			1,
		},
		{
			"an upsert that creates a customer",
			`mutation { upsertCustomer(input: {by: {externalId: "C-1"}, email: "c1@example.com"}) { outcome customer { id } } }`, nil, 1,
		},
		{
			"an upsert that changes nothing of a customer",
			`mutation { upsertCustomer(input: {by: {externalId: "C-1"}, email: "c1@example.com"}) { outcome customer { id } } }`, nil, 1,
		},
		{
			"an upsert that updates a customer",
			`mutation { upsertCustomer(input: {by: {email: "c1@example.com"}, firstName: "New", ifVersion: 1}) { outcome customer { id } } }`, nil, 1,
		},
		{
			"an upsert that finds a key taken",
			`mutation { upsertCustomer(input: {by: {externalId: "C-1"}, email: "shopper1@example.com"}) { userErrors { conflictingId } } }`, nil, 1,
		},
		{
			"an upsert of a customer with its identities and events",
			`mutation { upsertCustomer(input: {by: {email: "shopper1@example.com"}, firstName: "New"}) {
				customer { identities { nodes { customer { email } } } events { nodes { customer { email } } } } } }`, nil, 3,
		},
		{"a batch of customers with their identities and events", customers, map[string]any{"inputs": customerInputs}, 3},
		{
			"an event",
			`mutation { upsertCustomerEvent(input: {customer: {externalId: "C-1"}, source: "s", type: "t", eventId: "1"}) { outcome } }`, nil, 1,
		},
		{
			"the same event",
			`mutation { upsertCustomerEvent(input: {customer: {externalId: "C-1"}, source: "s", type: "t", eventId: "1"}) { outcome } }`, nil, 1,
		},
		{
			"a replaced event with its customer, and the customer's events and identities",
			`mutation { upsertCustomerEvent(input: {customer: {externalId: "C-1"}, source: "s", type: "u", eventId: "1"}) {
				outcome customerEvent { customer { events { nodes { customer { email } } } identities { nodes { id } } } } } }`, nil, 4,
		},
		{"a batch of events with their customers", events, map[string]any{"inputs": eventInputs}, 2},
		{"a page of 50 customers with identities and events", `{ customers(first: 50) { nodes { id identities { nodes { id } } events { nodes { id } } } } }`, nil, 3},
		{
			"the same with two types of events, below nodes and edges",
			`{ customers(first: 50) { nodes { a: events(type: "t") { nodes { id } } } edges { node { b: events(type: "u") { edges { node { customer { id } } } } a: events(type: "t") { nodes { id } } } } } }`, nil, 3,
		},
	} {
		before := statements.n.Load()
		a.must(t, nil, test.query, test.variables)
		if got := statements.n.Load() - before; got != test.want {
			t.Errorf("%s took %d statements, want %d", test.name, got, test.want)
		}
	}
}

// TestACustomerOfWhomOnlyTheIDIsAskedIsTheSame asks for one customer in several ways at once, some of which need no more
// than its ID, in either order.
func TestACustomerOfWhomOnlyTheIDIsAskedIsTheSame(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	type customer struct {
		Typename, ID, Email string
		Identities          struct {
			Nodes []struct{ Customer struct{ ID string } }
		}
	}
	const id, all = `%s: customer { typename: __typename id } `, `%s: customer { typename: __typename id email identities { nodes { customer { id } } } } `
	for _, selection := range []string{fmt.Sprintf(id+all, "bare", "whole"), fmt.Sprintf(all+id, "whole", "bare")} {
		var got struct {
			UpsertCustomerIdentity struct {
				CustomerIdentity struct{ Bare, Whole customer }
			}
		}
		a.must(t, &got, `mutation { upsertCustomerIdentity(input: {platform: "shop", platformCustomerId: "1", email: "jane@doe.com"}) {
			customerIdentity { `+selection+`} } }`, nil)
		bare, whole := got.UpsertCustomerIdentity.CustomerIdentity.Bare, got.UpsertCustomerIdentity.CustomerIdentity.Whole
		if bare.Typename != "Customer" || bare.ID == "" || bare.ID != whole.ID || whole.Email != "jane@doe.com" ||
			len(whole.Identities.Nodes) != 1 || whole.Identities.Nodes[0].Customer.ID != bare.ID {
			t.Errorf("%+v", got)
		}
	}
}
