package transfer

import (
	"context"
	"time"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
)

var eventColumns = []string{
	"id", "customer.id", "customer.externalId", "customer.email", "customer.identity.platform", "customer.identity.platformCustomerId",
	"source", "type", "eventId", "occurredAt", "properties",
}

// events are upserted by source and eventId; one that is new has the row's id. The customer is the one with the row's
// customer.id where the store has it, or else the one named by the first of the other keys that the row has.
var events = named(&kind{
	wrapper:  "customer_event",
	columns:  eventColumns,
	exported: []string{"id", "customer.id", "customer.externalId", "customer.email", "source", "type", "eventId", "occurredAt", "properties"},
	names: map[string]string{
		"customerId": "customer.id", "customer_id": "customer.id",
		"externalId": "customer.externalId", "external_id": "customer.externalId", "email": "customer.email",
	},
	groups:   []string{"customer", "customer.identity"},
	required: [][]string{{"source"}, {"type"}, {"eventId"}, append([]string{"customer"}, eventColumns[1:5]...)},
	check:    checkEvent,
	write:    writer((*repo.Store).UpsertCustomerEvents),
	count:    func(ctx context.Context, store *repo.Store) (int, error) { return store.CountEvents(ctx) },
	page: func(ctx context.Context, store *repo.Store, after *string) ([]any, *string, error) {
		page, err := store.Events(ctx, pageAfter(after))
		if err != nil {
			return nil, nil, err
		}
		ids := make([]uuid.UUID, len(page.Nodes))
		for i, event := range page.Nodes {
			ids[i] = event.CustomerID
		}
		of, err := store.CustomersByID(ctx, ids)
		if err != nil {
			return nil, nil, err
		}
		all, next := records(*page, func(e *model.CustomerEvent) any {
			customer := customerKeys{e.CustomerID, of[e.CustomerID].ExternalID, of[e.CustomerID].Email}
			return eventRecord{e.ID, customer, e.Source, e.Type, e.EventID, e.OccurredAt.UTC(), e.Properties}
		})
		return all, next, nil
	},
})

// eventRecord is an event as an export shows it.
type eventRecord struct {
	ID         uuid.UUID        `json:"id"`
	Customer   customerKeys     `json:"customer"`
	Source     string           `json:"source"`
	Type       string           `json:"type"`
	EventID    string           `json:"eventId"`
	OccurredAt time.Time        `json:"occurredAt"`
	Properties model.Properties `json:"properties"`
}

type customerKeys struct {
	ID         uuid.UUID `json:"id"`
	ExternalID *string   `json:"externalId,omitempty"`
	Email      *string   `json:"email,omitempty"`
}

func checkEvent(v values) (any, claims, []string) {
	r := reader{values: v}
	input := &model.UpsertCustomerEventInput{
		Source: r.textOrEmpty("source"), Type: r.textOrEmpty("type"), EventID: r.textOrEmpty("eventId"),
		OccurredAt: r.instant("occurredAt").Value(), Properties: r.properties().Value(),
		Origin: model.Origin{ID: r.id("id"), CustomerID: r.id("customer.id")},
	}
	input.Customer = customerKey(r.text("customer.externalId").Value(), r.text("customer.email").Value(), nil)
	platform := r.textOrEmpty("customer.identity.platform")
	if input.Customer == (model.CustomerKey{}) && platform != "" {
		input.Customer.Identity = &model.PlatformIdentityKey{
			Platform: platform, PlatformCustomerID: r.textOrEmpty("customer.identity.platformCustomerId"),
		}
	}
	if input.Customer == (model.CustomerKey{}) {
		input.Customer.ID = input.Origin.CustomerID
	}
	if input.Customer == (model.CustomerKey{}) {
		r.faults = append(r.faults, "the row does not name its customer: by externalId, email, id or identity")
	}
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	checked, faults := input.Check()
	r.check(faults)
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	return input, claims{own: ownClaims(checked.Key(), input.Origin)}, nil
}
