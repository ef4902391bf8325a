package repo

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"akin/model"
)

func eventID(e *model.CustomerEvent) uuid.UUID { return e.ID }

// eventOrder is the order of a customer's events.
var eventOrder = byTime("e.occurred_at", eventID, func(e *model.CustomerEvent) time.Time { return e.OccurredAt })

// EventPage checks the arguments of Customer.events. It returns BAD_USER_INPUT for one that breaks its rule.
func (s *Store) EventPage(customerID uuid.UUID, eventType *string, args model.PageArgs) (page model.EventPage, err error) {
	if eventType != nil {
		if err := model.CheckEventType("type", *eventType); err != nil {
			return page, err
		}
		page.Type = *eventType
	}
	page.Page, err = s.pageOf(customerID, eventsOf, args)
	return page, err
}

const eventsOf = "events"

// EventPages returns this page of the events of each of these customers, who must differ, newest event first.
func (s *Store) EventPages(
	ctx context.Context, customers []uuid.UUID, page model.EventPage,
) (map[uuid.UUID]*model.CustomerEventConnection, error) {
	var p params
	each := selectRows[model.CustomerEvent](s).Where("e.store_id = ?", p.add(s.id)).Where("e.customer_id = customer.id")
	if page.Type != "" {
		each.Where("e.type = ?", p.add(page.Type))
	}
	if err := eventOrder.page(each, &p, model.Descending, page.Page); err != nil {
		return nil, err
	}
	cursor := func(e *model.CustomerEvent) string {
		return eventOrder.place(e).Encode(s.scopeOf(e.CustomerID, eventsOf))
	}
	return pagesOf(ctx, s, each, p, customers, func(e *model.CustomerEvent) uuid.UUID { return e.CustomerID },
		func(events []*model.CustomerEvent) *model.CustomerEventConnection {
			connection := model.NewConnection(page.Page, events, cursor)
			return &connection
		})
}

// Events returns a page of all the store's events, in the order in which Akin first heard of them. It returns
// BAD_USER_INPUT for an argument that breaks its rule.
func (s *Store) Events(ctx context.Context, args model.PageArgs) (*model.CustomerEventConnection, error) {
	l := list[model.CustomerEvent]{
		name: "events", order: byID(eventID), direction: model.Ascending,
		query: func(p *params, _ model.Page) *bun.SelectQuery { return s.selectEvents(p) },
	}
	page, err := l.page(ctx, s, args)
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// CountEvents returns how many events the store has. It reads every one of them.
func (s *Store) CountEvents(ctx context.Context) (int, error) {
	var p params
	return s.count(ctx, s.selectEvents(&p), p)
}

func (s *Store) selectEvents(p *params) *bun.SelectQuery {
	return selectRows[model.CustomerEvent](s).Where("e.store_id = ?", p.addHidden(s.id))
}

func (s *Store) eventsByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*model.CustomerEvent, error) {
	return withIDs(ctx, s, ids, eventID)
}
