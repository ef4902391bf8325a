package repo

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"akin/model"
)

func customerID(c *model.Customer) uuid.UUID { return c.ID }

var customerOrders = map[model.CustomerOrderField]order[model.Customer]{
	model.CustomersByCreatedAt: byID(customerID),
	model.CustomersByUpdatedAt: byTime("c.updated_at", customerID, func(c *model.Customer) time.Time { return c.UpdatedAt }),
	model.CustomersByEmail: byText("coalesce(c.email_normalized, '')", customerID,
		func(c *model.Customer) string { return text(c.EmailNormalized) }),
	model.CustomersByLastName: byText("coalesce(c.last_name, '')", customerID,
		func(c *model.Customer) string { return text(c.LastName) }),
}

// text is a column as the orders have it: null comes first, as an empty text.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Customers returns a page of the customers that meet the filter; a nil filter is met by all, and a nil order is newest
// first. It returns BAD_USER_INPUT for an argument that breaks its rule.
func (s *Store) Customers(
	ctx context.Context, filter *model.CustomerFilter, by *model.CustomerOrder, args model.PageArgs,
) (*model.CustomerConnection, error) {
	filter, err := filter.Check()
	if err != nil {
		return nil, err
	}
	if by == nil {
		by = &model.CustomerOrder{Field: model.CustomersByCreatedAt, Direction: model.Descending}
	}
	order, rest := customerOrders[by.Field], *filter
	rest.Search, rest.Tags = nil, nil
	seek := filter.Search != nil || len(filter.Tags) > 0 && reflect.ValueOf(rest).IsZero()
	if !seek {
		rest.Tags = filter.Tags // PostgreSQL knows better how tags and other conditions go together
	}
	l := list[model.Customer]{
		name: fmt.Sprintf("customers %s %s", by.Field, by.Direction), order: order, direction: by.Direction,
		query: func(p *params, page model.Page) *bun.SelectQuery {
			return s.selectCustomers(p, &rest, func(identities *bun.SelectQuery) {
				order.within(identities, p, "i.customer_id", by.Direction, page)
			})
		},
	}
	if *by == (model.CustomerOrder{Field: model.CustomersByUpdatedAt, Direction: model.Ascending}) {
		l.changed = filter.UpdatedAt
	}
	if seek {
		l.seek = func(ctx context.Context, page model.Page) ([]*model.Customer, error) {
			return s.seek(ctx, l, filter, &rest, page)
		}
	}
	page, err := l.page(ctx, s, args)
	if err != nil {
		return nil, err
	}
	return &model.CustomerConnection{Connection: page, Filter: filter}, nil
}

// CountCustomers returns how many customers meet the filter, which Customers has checked. It reads every one of them.
func (s *Store) CountCustomers(ctx context.Context, filter *model.CustomerFilter) (int, error) {
	var p params
	query := s.selectCustomers(&p, filter, nil)
	if filter.Search != nil {
		needle, err := s.sample(ctx, *filter.Search)
		if err != nil {
			return 0, err
		}
		query.Where("c.id = ANY (ARRAY(?))", s.find(&p, needle))
	}
	return s.count(ctx, query, p)
}

// selectCustomers selects the customers that meet all of the filter but its search. Where it asks for a platform, narrow
// may narrow the identities there to those of customers that may be on the page: a walk through all of them
// would cost the length of the store.
func (s *Store) selectCustomers(p *params, f *model.CustomerFilter, narrow func(identities *bun.SelectQuery)) *bun.SelectQuery {
	query := selectRows[model.Customer](s).Where("c.store_id = ?", p.addHidden(s.id))
	if f.IDs != nil {
		query.Where("c.id = ANY (?)", p.add(f.IDs))
	}
	if f.ExternalIDs != nil {
		query.Where("c.external_id = ANY (?)", p.add(f.ExternalIDs))
	}
	if f.Email != nil {
		query.Where("c.email_normalized = ?", p.add(*f.Email))
	}
	if f.PhoneNumber != nil {
		query.Where("c.phone_number = ?", p.add(*f.PhoneNumber))
	}
	if len(f.Tags) > 0 {
		whereTags(query, p, f.Tags)
	}
	if f.AccountStatus != nil {
		p.planAnew = true
		query.Where("c.account_status = ANY (?)", p.add(f.AccountStatus))
	}
	if f.Platform != nil {
		p.planAnew = true
		identities := s.selectIdentities(p, &model.CustomerIdentityFilter{Platform: f.Platform}).
			ExcludeColumn("*").Column("i.customer_id")
		if f.CreatedAt != nil && f.CreatedAt.From != nil {
			identities.Where("i.customer_id >= ?", p.add(model.FirstID(*f.CreatedAt.From)))
		}
		if f.CreatedAt != nil && f.CreatedAt.To != nil {
			identities.Where("i.customer_id < ?", p.add(model.FirstID(*f.CreatedAt.To)))
		}
		if narrow != nil {
			narrow(identities)
		}
		query.Where("c.id IN (?)", identities)
	}
	whereCreated(query, p, f.CreatedAt)
	whereUpdated(query, p, f.UpdatedAt)
	return query
}

// whereTags narrows a query to customers that have all of the tags. The second condition is the index's.
func whereTags(query *bun.SelectQuery, p *params, tags []string) {
	p.planAnew = true
	query.Where("c.tags @> ?", p.add(tags)).Where("c.tags <> '{}'")
}

// Customer returns the customer with this key, nil where there is none, or BAD_USER_INPUT for a key that breaks its
// rule.
func (s *Store) Customer(ctx context.Context, by model.CustomerKey) (*model.Customer, error) {
	by, err := by.Check("by")
	if err != nil {
		return nil, err
	}
	switch {
	case by.Email != nil:
		return oneWhere[model.Customer](ctx, s, `email_normalized = $2`, *by.Email)
	case by.ExternalID != nil:
		return oneWhere[model.Customer](ctx, s, `external_id = $2`, *by.ExternalID)
	case by.Identity != nil:
		return oneWhere[model.Customer](ctx, s, `id = (SELECT customer_id FROM customer_identities
			WHERE store_id = (SELECT $1::uuid) AND platform = $2 AND platform_customer_id = $3)`,
			by.Identity.Platform, by.Identity.PlatformCustomerID)
	}
	return oneWhere[model.Customer](ctx, s, `id = $2`, *by.ID)
}

// CustomersByID returns the customers with these IDs, those that there are.
func (s *Store) CustomersByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.Customer, error) {
	return withIDs(ctx, s, ids, customerID)
}

// Nodes returns the objects with these IDs in their order, nil for each that the store does not have. It returns
// BAD_USER_INPUT for more than model.MaxListed.
func (s *Store) Nodes(ctx context.Context, ids []uuid.UUID) ([]model.Node, error) {
	if err := model.CheckIDs("ids", ids); err != nil {
		return nil, err
	}
	byID, err := s.nodesByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	nodes := make([]model.Node, len(ids))
	for i, id := range ids {
		nodes[i] = byID[id]
	}
	return nodes, nil
}

// nodesByID returns the objects with these IDs, those that there are.
func (s *Store) nodesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]model.Node, error) {
	nodes := make(map[uuid.UUID]model.Node, len(ids))
	if slices.Contains(ids, s.id) {
		self, err := s.Self(ctx)
		if err != nil {
			return nil, err
		}
		nodes[s.id] = self
	}
	if err := addNodes(ctx, nodes, ids, s.CustomersByID); err != nil {
		return nil, err
	}
	if err := addNodes(ctx, nodes, ids, s.identitiesByID); err != nil {
		return nil, err
	}
	if err := addNodes(ctx, nodes, ids, s.eventsByID); err != nil {
		return nil, err
	}
	return nodes, nil
}

// addNodes has find look for those of the IDs that are not among the nodes yet.
func addNodes[N model.Node](
	ctx context.Context, nodes map[uuid.UUID]model.Node, ids []uuid.UUID,
	find func(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]N, error),
) error {
	unknown := slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool { return nodes[id] != nil })
	found, err := find(ctx, unknown)
	for id, node := range found {
		nodes[id] = node
	}
	return err
}
