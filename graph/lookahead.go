package graph

import (
	"context"
	"maps"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
	"akin/repo"
)

// loadAhead is field middleware that reads, as soon as a root field has its rows, all that its selection asks for below
// them: one statement for each list of the selection, however many rows it has and however deep it lies. A data loader
// would need a timer to know when it has been asked for everything, and under load it would be wrong.
func loadAhead(ctx context.Context, next graphql.Resolver) (any, error) {
	result, err := next(ctx)
	field := graphql.GetFieldContext(ctx)
	if err != nil || field.Object != "Query" && field.Object != "Mutation" {
		return result, err
	}
	l := lookahead{ctx: ctx, store: storeFrom(ctx), customers: map[uuid.UUID]*model.Customer{}}
	return result, l.root(field.Field.Selections, result)
}

// lookahead is the reading for one root field.
type lookahead struct {
	ctx       context.Context //nolint:containedctx // it lives for one call
	store     *repo.Store
	customers map[uuid.UUID]*model.Customer // all that the answer shows, so that none is read twice
}

func (l *lookahead) root(selections ast.SelectionSet, result any) error {
	switch result := result.(type) {
	case *model.CustomerConnection:
		return l.customerPage(selections, result)
	case *model.CustomerIdentityConnection:
		return l.identityPages(selections, result)
	case *model.UpsertCustomerIdentityPayload:
		return l.payloads(selections, result)
	case *model.UpsertCustomerIdentitiesPayload:
		for _, field := range l.fields(selections, "UpsertCustomerIdentitiesPayload") {
			if field.Name != "results" {
				continue
			}
			if err := l.payloads(field.Selections, result.Results...); err != nil {
				return err
			}
		}
	case []model.Node:
		return l.nodes(selections, result...)
	case model.Node:
		return l.nodes(selections, result)
	}
	return nil
}

func (l *lookahead) payloads(selections ast.SelectionSet, payloads ...*model.UpsertCustomerIdentityPayload) error {
	var identities []*model.CustomerIdentity
	for _, payload := range payloads {
		if payload.CustomerIdentity != nil {
			identities = append(identities, payload.CustomerIdentity)
		}
	}
	for _, field := range l.fields(selections, "UpsertCustomerIdentityPayload") {
		if field.Name == "customerIdentity" {
			if err := l.identityRows(field.Selections, identities); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lookahead) nodes(selections ast.SelectionSet, nodes ...model.Node) error {
	var customers []*model.Customer
	var identities []*model.CustomerIdentity
	for _, node := range nodes {
		switch node := node.(type) {
		case *model.Customer:
			if node != nil {
				customers = append(customers, node)
			}
		case *model.CustomerIdentity:
			if node != nil {
				identities = append(identities, node)
			}
		}
	}
	if err := l.customerRows(selections, customers); err != nil {
		return err
	}
	return l.identityRows(selections, identities)
}

func (l *lookahead) customerPage(selections ast.SelectionSet, page *model.CustomerConnection) (err error) {
	rows, counted := l.connection(selections, "Customer")
	if counted {
		if page.TotalCount, err = l.store.CountCustomers(l.ctx, page.Filter); err != nil {
			return err
		}
	}
	for _, selections := range rows {
		if err := l.customerRows(selections, page.Nodes); err != nil {
			return err
		}
	}
	return nil
}

func (l *lookahead) identityPages(selections ast.SelectionSet, pages ...*model.CustomerIdentityConnection) error {
	rows, counted := l.connection(selections, "CustomerIdentity")
	if counted {
		if err := l.countIdentities(pages); err != nil {
			return err
		}
	}
	var identities []*model.CustomerIdentity
	for _, page := range pages {
		identities = append(identities, page.Nodes...)
	}
	for _, selections := range rows {
		if err := l.identityRows(selections, identities); err != nil {
			return err
		}
	}
	return nil
}

// countIdentities fills in totalCount: of one page of the store's identities, or of pages of many customers'.
func (l *lookahead) countIdentities(pages []*model.CustomerIdentityConnection) (err error) {
	var lists []model.IdentityList
	for _, page := range pages {
		if page.List == nil {
			page.TotalCount, err = l.store.CountCustomerIdentities(l.ctx, page.Filter)
			return err
		}
		lists = append(lists, *page.List)
	}
	counts, err := l.store.IdentityCounts(l.ctx, lists)
	for _, page := range pages {
		page.TotalCount = counts[*page.List]
	}
	return err
}

// customerRows reads the pages of identities that the selection asks of these customers.
func (l *lookahead) customerRows(selections ast.SelectionSet, customers []*model.Customer) error {
	for _, customer := range customers {
		l.customers[customer.ID] = customer
	}
	for _, field := range l.fields(selections, "Customer") {
		if field.Name != "identities" {
			continue
		}
		pages, err := l.identitiesOf(customers, field)
		if err != nil {
			return err
		}
		if err := l.identityPages(field.Selections, pages...); err != nil {
			return err
		}
	}
	return nil
}

// identitiesOf returns the page of each customer's identities that the field asks for, and reads those that no other
// field has asked for yet. A customer for whom the arguments are wrong has none: the resolver says so in its place.
func (l *lookahead) identitiesOf(customers []*model.Customer, field graphql.CollectedField) ([]*model.CustomerIdentityConnection, error) {
	platform, args := identityArguments(field.ArgumentMap(graphql.GetOperationContext(l.ctx).Variables))
	var wanted, missing []model.IdentityPage
	for _, customer := range customers {
		page, err := l.store.IdentityPage(customer.ID, platform, args)
		if err != nil {
			continue
		}
		wanted = append(wanted, page)
		if customer.IdentityPages[page] == nil {
			missing = append(missing, page)
		}
	}
	read, err := l.store.IdentityPages(l.ctx, missing)
	if err != nil {
		return nil, err
	}
	pages := make([]*model.CustomerIdentityConnection, len(wanted))
	for i, page := range wanted {
		customer := l.customers[page.CustomerID]
		if customer.IdentityPages[page] == nil {
			customer.KeepIdentityPage(page, read[page])
		}
		pages[i] = customer.IdentityPages[page]
	}
	return pages, nil
}

// identityRows reads the customers of these identities, and what the selection asks of them.
func (l *lookahead) identityRows(selections ast.SelectionSet, identities []*model.CustomerIdentity) error {
	for _, field := range l.fields(selections, "CustomerIdentity") {
		if field.Name != "customer" {
			continue
		}
		customers, err := l.customersOf(identities)
		if err != nil {
			return err
		}
		if err := l.customerRows(field.Selections, customers); err != nil {
			return err
		}
	}
	return nil
}

// customersOf gives each identity its customer, and returns the customers, each once.
func (l *lookahead) customersOf(identities []*model.CustomerIdentity) ([]*model.Customer, error) {
	ids := map[uuid.UUID]bool{} // and whether the customer is yet to be read
	for _, identity := range identities {
		ids[identity.CustomerID] = l.customers[identity.CustomerID] == nil
	}
	var missing []uuid.UUID
	for id, unread := range ids {
		if unread {
			missing = append(missing, id)
		}
	}
	read, err := l.store.CustomersByID(l.ctx, missing)
	if err != nil {
		return nil, err
	}
	maps.Copy(l.customers, read)
	for _, identity := range identities {
		identity.Customer = l.customers[identity.CustomerID]
	}
	customers := make([]*model.Customer, 0, len(ids))
	for id := range ids {
		customers = append(customers, l.customers[id])
	}
	return customers, nil
}

// connection returns the selections of a connection's objects, below nodes and below edges, and whether it asks for
// totalCount.
func (l *lookahead) connection(selections ast.SelectionSet, object string) (rows []ast.SelectionSet, counted bool) {
	for _, field := range l.fields(selections, object+"Connection") {
		switch field.Name {
		case "totalCount":
			counted = true
		case "nodes":
			rows = append(rows, field.Selections)
		case "edges":
			for _, edge := range l.fields(field.Selections, object+"Edge") {
				if edge.Name == "node" {
					rows = append(rows, edge.Selections)
				}
			}
		}
	}
	return rows, counted
}

// fields returns what a selection asks of an object: through fragments, and without what @skip and @include leave out.
func (l *lookahead) fields(selections ast.SelectionSet, object string) []graphql.CollectedField {
	return graphql.CollectFields(graphql.GetOperationContext(l.ctx), selections, []string{object, "Node"})
}

// identityArguments reads the arguments of Customer.identities. Validation has seen to their types; what it cannot see
// to, the resolver meets again.
func identityArguments(values map[string]any) (platform *string, args model.PageArgs) {
	return argument(values, "platform", graphql.UnmarshalString), model.PageArgs{
		First:  argument(values, "first", model.UnmarshalInt),
		After:  argument(values, "after", graphql.UnmarshalString),
		Last:   argument(values, "last", model.UnmarshalInt),
		Before: argument(values, "before", graphql.UnmarshalString),
	}
}

func argument[T any](values map[string]any, name string, read func(any) (T, error)) *T {
	if values[name] == nil {
		return nil
	}
	value, err := read(values[name])
	if err != nil {
		return nil
	}
	return &value
}
