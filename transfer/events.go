package transfer

import (
	"context"
	"time"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
)

var eventColumns = []string{
	"customer.id", "customer.externalId", "customer.email", "customer.identity.platform", "customer.identity.platformCustomerId",
	"source", "type", "eventId", "occurredAt", "properties",
}

// events are upserted by source and eventId. The customer is named by the first of its keys that a row has.
var events = named(&kind{
	wrapper:  "customer_event",
	columns:  eventColumns,
	exported: []string{"customer.externalId", "customer.email", "source", "type", "eventId", "occurredAt", "properties"},
	names: map[string]string{
		"externalId": "customer.externalId", "external_id": "customer.externalId", "email": "customer.email",
	},
	groups:   []string{"customer", "customer.identity"},
	required: [][]string{{"source"}, {"type"}, {"eventId"}, append([]string{"customer"}, eventColumns[:4]...)},
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
			customer := customerKeys{of[e.CustomerID].ExternalID, of[e.CustomerID].Email}
			return eventRecord{customer, e.Source, e.Type, e.EventID, e.OccurredAt.UTC(), e.Properties}
		})
		return all, next, nil
	},
})

// eventRecord is an event as an export shows it.
type eventRecord struct {
	Customer   customerKeys     `json:"customer"`
	Source     string           `json:"source"`
	Type       string           `json:"type"`
	EventID    string           `json:"eventId"`
	OccurredAt time.Time        `json:"occurredAt"`
	Properties model.Properties `json:"properties"`
}

type customerKeys struct {
	ExternalID *string `json:"externalId"`
	Email      *string `json:"email"`
}

func checkEvent(v values) (any, claims, []string) {
	r := reader{values: v}
	input := &model.UpsertCustomerEventInput{
		Source: r.required("source"), Type: r.required("type"), EventID: r.required("eventId"),
		OccurredAt: r.instant("occurredAt").Value(), Properties: r.properties().Value(),
	}
	input.Customer = customerKey(r.id("customer.id"), r.text("customer.externalId").Value(), r.text("customer.email").Value())
	platform := r.required("customer.identity.platform")
	if input.Customer == (model.CustomerKey{}) && platform != "" {
		input.Customer.Identity = &model.PlatformIdentityKey{
			Platform: platform, PlatformCustomerID: r.required("customer.identity.platformCustomerId"),
		}
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
	return input, claims{own: []any{checked.Key()}}, nil
}
