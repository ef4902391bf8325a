package repo

import (
	"context"
	"fmt"
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

// text is what coalesce(column, ”) makes of a column.
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
	scope := fmt.Sprintf("%s customers %s %s", s.id, by.Field, by.Direction)
	page, err := args.Page(scope)
	if err != nil {
		return nil, err
	}
	var customers []*model.Customer
	var p params
	order := customerOrders[by.Field]
	query := s.selectCustomers(&p, filter)
	if filter.Search != nil {
		if err := s.whereFound(ctx, query, &p, *filter.Search); err != nil {
			return nil, err
		}
	}
	if err := order.page(query, &p, by.Direction, page); err != nil {
		return nil, err
	}
	if *by == (model.CustomerOrder{Field: model.CustomersByUpdatedAt, Direction: model.Ascending}) {
		if err := s.whereSettled(ctx, query, &p, filter.UpdatedAt); err != nil {
			return nil, err
		}
	}
	if err := s.scan(ctx, query, p, &customers); err != nil {
		return nil, err
	}
	return &model.CustomerConnection{
		Connection: model.NewConnection(page, customers, func(c *model.Customer) string { return order.place(c).Encode(scope) }),
		Filter:     filter,
	}, nil
}

// CountCustomers returns how many customers meet the filter, which Customers has checked. It reads every one of them.
func (s *Store) CountCustomers(ctx context.Context, filter *model.CustomerFilter) (int, error) {
	var p params
	query := s.selectCustomers(&p, filter)
	if filter.Search != nil {
		query.Where("c.id IN (?)", s.find(&p, *filter.Search))
	}
	return s.count(ctx, query, p)
}

// selectCustomers selects the customers that meet all of the filter but its search.
func (s *Store) selectCustomers(p *params, f *model.CustomerFilter) *bun.SelectQuery {
	query := s.db.NewSelect().Model((*model.Customer)(nil)).Where("c.store_id = ?", p.addHidden(s.id))
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
	if f.Tags != nil {
		p.planAnew = true
		query.Where("c.tags @> ?", p.add(f.Tags))
		if len(f.Tags) > 0 {
			query.Where("c.tags <> '{}'") // as the index has it
		}
	}
	if f.AccountStatus != nil {
		p.planAnew = true
		query.Where("c.account_status = ANY (?)", p.add(f.AccountStatus))
	}
	if f.Platform != nil {
		p.planAnew = true
		query.Where("c.id IN (SELECT i.customer_id FROM customer_identities i WHERE i.store_id = ? AND "+identityPlatform+" = ?)",
			p.add(s.id), p.add(*f.Platform))
	}
	whereCreated(query, p, f.CreatedAt)
	whereUpdated(query, p, f.UpdatedAt)
	return query
}

// Customer returns the customer with this key, nil where there is none, or BAD_USER_INPUT for a key that breaks its
// rule.
func (s *Store) Customer(ctx context.Context, by model.CustomerKey) (*model.Customer, error) {
	by, err := by.Check("by")
	if err != nil {
		return nil, err
	}
	var p params
	query := s.selectCustomers(&p, &model.CustomerFilter{Email: by.Email})
	switch {
	case by.ID != nil:
		query.Where("c.id = ?", p.add(*by.ID))
	case by.ExternalID != nil:
		query.Where("c.external_id = ?", p.add(*by.ExternalID))
	case by.Identity != nil:
		query.Where("c.id = (?)", s.selectIdentities(&p, &model.CustomerIdentityFilter{}).ExcludeColumn("*").Column("customer_id").
			Where("i.platform = ?", p.add(by.Identity.Platform)).
			Where("i.platform_customer_id = ?", p.add(by.Identity.PlatformCustomerID)))
	}
	var customers []*model.Customer
	if err := s.scan(ctx, query, p, &customers); err != nil || len(customers) == 0 {
		return nil, err
	}
	return customers[0], nil
}

// CustomersByID returns the customers with these IDs, those that there are.
func (s *Store) CustomersByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.Customer, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var customers []*model.Customer
	var p params
	if err := s.scan(ctx, s.selectCustomers(&p, &model.CustomerFilter{IDs: ids}), p, &customers); err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*model.Customer, len(customers))
	for _, c := range customers {
		byID[c.ID] = c
	}
	return byID, nil
}

// Nodes returns the objects with these IDs in their order, nil for each that the store does not have. It returns
// BAD_USER_INPUT for more than model.MaxIDs.
func (s *Store) Nodes(ctx context.Context, ids []uuid.UUID) ([]model.Node, error) {
	if err := model.CheckIDs("ids", ids); err != nil {
		return nil, err
	}
	customers, err := s.CustomersByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	identities, err := s.identitiesByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	events, err := s.eventsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	nodes := make([]model.Node, len(ids))
	for i, id := range ids {
		switch {
		case customers[id] != nil:
			nodes[i] = customers[id]
		case identities[id] != nil:
			nodes[i] = identities[id]
		case events[id] != nil:
			nodes[i] = events[id]
		case id == s.id:
			if nodes[i], err = s.Self(ctx); err != nil {
				return nil, err
			}
		}
	}
	return nodes, nil
}
