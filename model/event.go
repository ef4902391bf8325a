package model

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// MaxEventID is the longest ID of an event, in code points.
const MaxEventID = 255

// CustomerEvent is something a customer did, reported by another system; unique in its store by source and eventId.
type CustomerEvent struct {
	bun.BaseModel `bun:"table:customer_events,alias:e"`

	StoreID    uuid.UUID  `bun:"store_id,pk"`
	ID         uuid.UUID  `bun:"id,pk"`
	CustomerID uuid.UUID  `bun:"customer_id"`
	Source     string     `bun:"source"`
	Type       string     `bun:"type"`
	EventID    string     `bun:"event_id"`
	OccurredAt time.Time  `bun:"occurred_at"`
	Properties Properties `bun:"properties,type:jsonb"`
	CreatedAt  time.Time  `bun:"created_at"`
	UpdatedAt  time.Time  `bun:"updated_at"`

	// Customer is set where an answer shows it.
	Customer *Customer `bun:"-"`
}

// IsNode marks a CustomerEvent as a Node.
func (*CustomerEvent) IsNode() {}

// UpsertCustomerEventInput is something a customer did, as another system reports it.
type UpsertCustomerEventInput struct {
	Customer   CustomerKey
	Source     string
	Type       string
	EventID    string
	OccurredAt *time.Time
	Properties Properties
	Origin     Origin
}

// EventKey identifies an event in its store.
type EventKey struct{ Source, EventID string }

// Key returns what identifies the event.
func (in UpsertCustomerEventInput) Key() EventKey { return EventKey{in.Source, in.EventID} }

// Check returns the input with its key normalised and its properties at least empty, or else every fault of the input.
// path is where the input stands in the arguments; it begins each fault's Field.
func (in UpsertCustomerEventInput) Check(path ...string) (*UpsertCustomerEventInput, []*UserError) {
	c := checker{path: path}
	in.Customer = c.key("customer", in.Customer)
	c.fault(in.Origin.check(), "id")
	c.fault(checkSnakeCase(in.Source), "source")
	c.fault(checkSnakeCase(in.Type), "type")
	c.fault(checkRequired(in.EventID, MaxEventID), "eventId")
	if in.OccurredAt != nil {
		occurred, f := normalizeTime(*in.OccurredAt)
		c.fault(f, "occurredAt")
		in.OccurredAt = &occurred
	}
	if in.Properties == nil {
		in.Properties = Properties("{}")
	}
	c.fault(in.Properties.check(false), "properties")
	if c.faults != nil {
		return nil, c.faults
	}
	return &in, nil
}

// UpsertCustomerEventPayload says what became of one input: the event, or the input's faults.
type UpsertCustomerEventPayload struct {
	Upsert

	CustomerEvent *CustomerEvent
}

// Node returns the event.
func (p *UpsertCustomerEventPayload) Node() Node { return p.CustomerEvent }

// UpsertCustomerEventsPayload says what became of each input of a batch.
type UpsertCustomerEventsPayload = Batch[*UpsertCustomerEventPayload]

// CheckEventType checks a type of events: BAD_USER_INPUT where it is none.
func CheckEventType(field, eventType string) error {
	if f := checkSnakeCase(eventType); f != nil {
		return f.badInput(field)
	}
	return nil
}

// CustomerEventEdge is an event and its place in a list.
type CustomerEventEdge = Edge[CustomerEvent]

// CustomerEventConnection is a page of events.
type CustomerEventConnection = Connection[CustomerEvent]

// EventPage names a page of a customer's events, all or those of one type. Pages can be compared with ==.
type EventPage struct {
	Type string // empty for all
	Page Page
}
