package graph

import (
	"cmp"
	"context"
	"maps"
	"slices"

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
		return l.identityPages(selections, func() (err error) {
			result.TotalCount, err = l.store.CountCustomerIdentities(l.ctx, result.Filter)
			return err
		}, result)
	case *model.UpsertCustomerIdentityPayload:
		return l.payload(selections, "CustomerIdentity", result)
	case *model.UpsertCustomerPayload:
		return l.payload(selections, "Customer", result)
	case *model.UpsertCustomerEventPayload:
		return l.payload(selections, "CustomerEvent", result)
	case *model.UpsertCustomerIdentitiesPayload:
		return batch(l, selections, "CustomerIdentities", "CustomerIdentity", result.Results)
	case *model.UpsertCustomersPayload:
		return batch(l, selections, "Customers", "Customer", result.Results)
	case *model.UpsertCustomerEventsPayload:
		return batch(l, selections, "CustomerEvents", "CustomerEvent", result.Results)
	case *model.CustomerIdentity:
		if result != nil && result.Customer != nil { // which was read with it
			l.customers[result.CustomerID] = result.Customer
		}
		return l.nodes(selections, result)
	case []model.Node:
		return l.nodes(selections, result...)
	case model.Node:
		return l.nodes(selections, result)
	}
	return nil
}

// batch reads for the results of the payload of a batch, such as UpsertCustomersPayload.
func batch[P model.UpsertPayload](l *lookahead, selections ast.SelectionSet, objects, object string, results []P) error {
	for _, field := range l.fields(selections, "Upsert"+objects+"Payload") {
		if field.Name != "results" {
			continue
		}
		payloads := make([]model.UpsertPayload, len(results))
		for i, result := range results {
			payloads[i] = result
		}
		if err := l.payload(field.Selections, object, payloads...); err != nil {
			return err
		}
	}
	return nil
}

// payload reads for the objects of payloads, such as UpsertCustomerPayload.
func (l *lookahead) payload(selections ast.SelectionSet, object string, payloads ...model.UpsertPayload) error {
	nodes := make([]model.Node, len(payloads))
	for i, payload := range payloads {
		nodes[i] = payload.Node()
	}
	for _, field := range l.fields(selections, "Upsert"+object+"Payload") {
		if len(field.Selections) > 0 && field.Name != "userErrors" {
			if err := l.nodes(field.Selections, nodes...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lookahead) nodes(selections ast.SelectionSet, nodes ...model.Node) error {
	var customers []*model.Customer
	var identities []*model.CustomerIdentity
	var events []*model.CustomerEvent
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
		case *model.CustomerEvent:
			if node != nil {
				events = append(events, node)
			}
		}
	}
	if err := l.customerRows(selections, customers); err != nil {
		return err
	}
	if err := l.identityRows(selections, identities); err != nil {
		return err
	}
	return l.eventRows(selections, events)
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

// identityPages reads what the selection asks below pages of identities; count fills in their totalCount.
func (l *lookahead) identityPages(selections ast.SelectionSet, count func() error, pages ...*model.CustomerIdentityConnection) error {
	rows, counted := l.connection(selections, "CustomerIdentity")
	if counted {
		if err := count(); err != nil {
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

// customerRows reads the pages of identities and events that the selection asks of these customers.
func (l *lookahead) customerRows(selections ast.SelectionSet, customers []*model.Customer) error {
	if len(customers) == 0 {
		return nil
	}
	for _, customer := range customers {
		l.customers[customer.ID] = customer
	}
	for _, field := range l.fields(selections, "Customer") {
		switch field.Name {
		case "identities":
			if err := l.identitiesOf(customers, field); err != nil {
				return err
			}
		case "events":
			if err := l.eventsOf(customers, field); err != nil {
				return err
			}
		}
	}
	return nil
}

// identitiesOf reads the page of each customer's identities that the field asks for, and what it asks below them.
func (l *lookahead) identitiesOf(customers []*model.Customer, field graphql.CollectedField) error {
	platform, args, err := listArguments(argumentsOf(l.ctx, field), "platform")
	if err != nil {
		return nil //nolint:nilerr // the resolver says so in its place
	}
	page, pages, err := pagesOf(l, customers, l.store.IdentityPages,
		func(c *model.Customer) (model.IdentityPage, error) { return l.store.IdentityPage(c.ID, platform, args) },
		func(c *model.Customer) *model.Pages[model.IdentityPage, model.CustomerIdentityConnection] {
			return &c.IdentityPages
		})
	if err != nil {
		return err
	}
	count := func() error {
		counts, err := l.store.IdentityCounts(l.ctx, slices.Collect(maps.Keys(pages)), page.Platform)
		for id, page := range pages {
			page.TotalCount = counts[id]
		}
		return err
	}
	return l.identityPages(field.Selections, count, slices.Collect(maps.Values(pages))...)
}

// eventsOf reads the page of each customer's events that the field asks for, and what it asks below them.
func (l *lookahead) eventsOf(customers []*model.Customer, field graphql.CollectedField) error {
	eventType, args, err := listArguments(argumentsOf(l.ctx, field), "type")
	if err != nil {
		return nil //nolint:nilerr // the resolver says so in its place
	}
	_, pages, err := pagesOf(l, customers, l.store.EventPages,
		func(c *model.Customer) (model.EventPage, error) { return l.store.EventPage(c.ID, eventType, args) },
		func(c *model.Customer) *model.Pages[model.EventPage, model.CustomerEventConnection] {
			return &c.EventPages
		})
	if err != nil {
		return err
	}
	rows, _ := l.connection(field.Selections, "CustomerEvent")
	var events []*model.CustomerEvent
	for _, page := range pages {
		events = append(events, page.Nodes...)
	}
	for _, selections := range rows {
		if err := l.eventRows(selections, events); err != nil {
			return err
		}
	}
	return nil
}

// pagesOf gives each customer the page that check makes of a field's arguments, and reads those that no other field has asked
// for yet; kept is where a customer keeps its pages. It returns the pages by customer. For whom the arguments are wrong there
// is none: the resolver says so in its place.
func pagesOf[K comparable, C any](
	l *lookahead, customers []*model.Customer, read func(context.Context, []uuid.UUID, K) (map[uuid.UUID]*C, error),
	check func(*model.Customer) (K, error), kept func(*model.Customer) *model.Pages[K, C],
) (page K, pages map[uuid.UUID]*C, err error) {
	pages = make(map[uuid.UUID]*C, len(customers))
	var missing []uuid.UUID
	for _, customer := range customers {
		if _, seen := pages[customer.ID]; seen {
			continue
		}
		checked, err := check(customer)
		if err != nil {
			continue
		}
		page = checked // which is the same for all: a cursor is right for one customer alone
		if pages[customer.ID] = kept(customer).Get(page); pages[customer.ID] == nil {
			missing = append(missing, customer.ID)
		}
	}
	found, err := read(l.ctx, missing, page)
	if err != nil {
		return page, nil, err
	}
	maps.Copy(pages, found)
	for _, customer := range customers {
		if found := pages[customer.ID]; found != nil && kept(customer).Get(page) == nil {
			kept(customer).Add(page, found)
		}
	}
	return page, pages, nil
}

// identityRows reads the customers of these identities, and what the selection asks of them.
func (l *lookahead) identityRows(selections ast.SelectionSet, identities []*model.CustomerIdentity) error {
	return owners(l, selections, "CustomerIdentity", identities,
		func(i *model.CustomerIdentity) (uuid.UUID, **model.Customer) { return i.CustomerID, &i.Customer })
}

// eventRows reads the customers of these events, and what the selection asks of them.
func (l *lookahead) eventRows(selections ast.SelectionSet, events []*model.CustomerEvent) error {
	return owners(l, selections, "CustomerEvent", events,
		func(e *model.CustomerEvent) (uuid.UUID, **model.Customer) { return e.CustomerID, &e.Customer })
}

// owners gives each row of an object its customer where the selection asks for it, and reads on below the customers;
// owner tells the customer's ID and where to put the customer.
func owners[T any](
	l *lookahead, selections ast.SelectionSet, object string, rows []*T, owner func(*T) (uuid.UUID, **model.Customer),
) error {
	if len(rows) == 0 {
		return nil
	}
	for _, field := range l.fields(selections, object) {
		if field.Name != "customer" {
			continue
		}
		if l.knownByID(field.Selections) {
			for _, row := range rows {
				if id, customer := owner(row); *customer == nil {
					*customer = &model.Customer{ID: id}
				}
			}
			continue
		}
		ids := map[uuid.UUID]bool{} // and whether the customer is yet to be read
		for _, row := range rows {
			id, _ := owner(row)
			ids[id] = l.customers[id] == nil
		}
		missing := slices.DeleteFunc(slices.Collect(maps.Keys(ids)), func(id uuid.UUID) bool { return !ids[id] })
		read, err := l.store.CustomersByID(l.ctx, missing)
		if err != nil {
			return err
		}
		maps.Copy(l.customers, read)
		for _, row := range rows {
			id, customer := owner(row)
			*customer = l.customers[id]
		}
		customers := make([]*model.Customer, 0, len(ids))
		for id := range ids {
			customers = append(customers, l.customers[id])
		}
		if err := l.customerRows(field.Selections, customers); err != nil {
			return err
		}
	}
	return nil
}

// knownByID reports whether a selection asks for no more of a customer than the ID, which each of its rows has too. That is
// what a synchronization asks for after an upsert, and it takes no statement.
func (l *lookahead) knownByID(selections ast.SelectionSet) bool {
	return !slices.ContainsFunc(l.fields(selections, "Customer"), func(field graphql.CollectedField) bool {
		return field.Name != "id" && field.Name != "__typename"
	})
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

// fields returns what a selection asks of an object.
func (l *lookahead) fields(selections ast.SelectionSet, object string) []graphql.CollectedField {
	return collectFields(l.ctx, selections, object)
}

// collectFields returns what a selection asks of an object: through fragments, and without what @skip and @include leave
// out.
func collectFields(ctx context.Context, selections ast.SelectionSet, object string) []graphql.CollectedField {
	return graphql.CollectFields(graphql.GetOperationContext(ctx), selections, []string{object, "Node"})
}

func argumentsOf(ctx context.Context, field graphql.CollectedField) map[string]any {
	return field.ArgumentMap(graphql.GetOperationContext(ctx).Variables)
}

// listArguments returns the arguments of a list of a customer: its condition, which has a name of its own, and its page.
// Validation has seen to most of what can be wrong with their types.
func listArguments(values map[string]any, condition string) (*string, model.PageArgs, error) {
	of, errOf := argument(values, condition, graphql.UnmarshalString)
	first, errFirst := argument(values, "first", model.UnmarshalInt)
	after, errAfter := argument(values, "after", graphql.UnmarshalString)
	last, errLast := argument(values, "last", model.UnmarshalInt)
	before, errBefore := argument(values, "before", graphql.UnmarshalString)
	return of, model.PageArgs{First: first, After: after, Last: last, Before: before}, cmp.Or(errOf, errFirst, errAfter, errLast, errBefore)
}

func argument[T any](values map[string]any, name string, read func(any) (T, error)) (*T, error) {
	if values[name] == nil {
		return nil, nil
	}
	value, err := read(values[name])
	return &value, err
}
