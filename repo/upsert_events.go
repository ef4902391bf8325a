package repo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"akin/model"
)

const eventColumns = `store_id, id, customer_id, source, type, event_id, occurred_at, properties, created_at, updated_at`

// upsertEventsSQL records a set of events with different keys, or replaces those that are known. It is right under races
// as upsertIdentitiesSQL is: a plain INSERT, and updates that look again at the row they change. $1 is the store.
var upsertEventsSQL = overInput(`by_id uuid, by_external_id text, by_email text, by_platform text, by_their_id text, of_source text,
    new_type text, of_event text, new_occurred timestamptz, new_properties jsonb, new_id uuid,
    new_time timestamptz`, `
who AS MATERIALIZED (
    SELECT position, who FROM input CROSS JOIN LATERAL (
        SELECT id AS who FROM customers WHERE store_id = (SELECT $1::uuid) AND id = by_id
        UNION ALL
        SELECT id FROM customers WHERE store_id = (SELECT $1::uuid) AND external_id = by_external_id
        UNION ALL
        SELECT id FROM customers WHERE store_id = (SELECT $1::uuid) AND email_normalized = by_email
        UNION ALL
        SELECT customer_id FROM customer_identities
        WHERE store_id = (SELECT $1::uuid) AND platform = by_platform AND platform_customer_id = by_their_id
        LIMIT 1
    ) AS candidate
    WHERE octet_length(new_properties::text) <= 16384
), cur AS MATERIALIZED (
    SELECT known.*, position, CASE WHEN customer_id = who AND type = new_type AND properties = new_properties
        AND occurred_at = coalesce(new_occurred, occurred_at) THEN 'UNCHANGED' END AS outcome
    FROM input JOIN who USING (position) CROSS JOIN LATERAL (
        SELECT `+eventColumns+` FROM customer_events
        WHERE store_id = (SELECT $1::uuid) AND source = of_source AND event_id = of_event LIMIT 1
    ) AS known
), ins AS (
    INSERT INTO customer_events (`+eventColumns+`)
    SELECT $1, new_id, who, of_source, new_type, of_event, coalesce(new_occurred, date_trunc('milliseconds', statement_timestamp())), new_properties,
        new_time, greatest(statement_timestamp(), new_time)
    FROM input JOIN who USING (position)
    WHERE position <> ALL (ARRAY(SELECT position FROM cur))
    ORDER BY of_source COLLATE "C", of_event COLLATE "C"
    RETURNING `+eventColumns+`, 'CREATED' AS outcome
), locked AS MATERIALIZED (
    SELECT locked.id FROM (SELECT id FROM cur WHERE outcome IS NULL ORDER BY source, event_id) AS due
    CROSS JOIN LATERAL (
        SELECT id FROM customer_events WHERE store_id = (SELECT $1::uuid) AND id = due.id LIMIT 1 FOR NO KEY UPDATE
    ) AS locked
), upd AS (
    UPDATE customer_events
    SET customer_id = who, type = new_type, occurred_at = coalesce(new_occurred, occurred_at), properties = new_properties,
        updated_at = greatest(statement_timestamp(), updated_at + interval '1 microsecond')
    FROM input JOIN who USING (position)
    WHERE store_id = (SELECT $1::uuid) AND id = ANY (ARRAY(SELECT id FROM locked)) AND source = of_source AND event_id = of_event
        AND NOT (customer_id = who AND type = new_type AND properties = new_properties
            AND occurred_at = coalesce(new_occurred, occurred_at))
    RETURNING `+eventColumns+`, 'UPDATED' AS outcome
)
SELECT * FROM ins
UNION ALL SELECT `+eventColumns+`, outcome FROM cur WHERE outcome IS NOT NULL
UNION ALL SELECT $1, NULL, NULL, of_source, new_type, of_event, NULL, NULL, NULL, NULL,
        CASE WHEN octet_length(new_properties::text) > 16384 THEN 'TOO_LONG' ELSE 'NOT_FOUND' END
    FROM input WHERE position <> ALL (ARRAY(SELECT position FROM who))
UNION ALL SELECT * FROM upd`)

// wantedEvent is what an input asks for, with the ID and the time of an event that is new.
type wantedEvent struct {
	model.UpsertCustomerEventInput

	id   uuid.UUID
	time time.Time
}

type eventRequest = request[wantedEvent, *model.UpsertCustomerEventPayload]

func (s *Store) eventKind() kind[model.UpsertCustomerEventInput, wantedEvent, *model.UpsertCustomerEventPayload] {
	return kind[model.UpsertCustomerEventInput, wantedEvent, *model.UpsertCustomerEventPayload]{
		payload: func() *model.UpsertCustomerEventPayload { return &model.UpsertCustomerEventPayload{} },
		check: func(input *model.UpsertCustomerEventInput, path ...string) (*wantedEvent, []any, []*model.UserError) {
			checked, faults := input.Check(path...)
			if faults != nil {
				return nil, nil, faults
			}
			wanted := &wantedEvent{UpsertCustomerEventInput: *checked}
			wanted.id, wanted.time = input.Origin.NewID()
			return wanted, []any{wanted.Key()}, nil
		},
		write: s.upsertEvents,
	}
}

// UpsertCustomerEvent records an event, or replaces the one with the same source and eventId, in one round trip unless
// it loses a race. Faults of the input come as user errors, NOT_FOUND for an unknown customer among them, and then
// nothing is written. It returns UNAVAILABLE where the database cannot be reached.
func (s *Store) UpsertCustomerEvent(ctx context.Context, input model.UpsertCustomerEventInput) (*model.UpsertCustomerEventPayload, error) {
	return upsertAlone(ctx, s, &input, s.eventKind())
}

// UpsertCustomerEvents does for each input what UpsertCustomerEvent does, as upsertBatch says.
func (s *Store) UpsertCustomerEvents(
	ctx context.Context, inputs []*model.UpsertCustomerEventInput, policy model.BatchErrorPolicy,
) (*model.UpsertCustomerEventsPayload, error) {
	return upsertBatch(ctx, s, inputs, policy, s.eventKind())
}

// upsertedEvent is a row that an upsert answers with.
type upsertedEvent struct {
	model.CustomerEvent `bun:",extend"`

	Outcome string `bun:"outcome"` // or the fault
}

// upsertEvents runs the statement for the requests.
func (s *Store) upsertEvents(ctx context.Context, q querier, requests []*eventRequest) ([]*eventRequest, error) {
	requests, err := refuseTakenIDs(ctx, s, requests, func(w *wantedEvent) model.Origin { return w.Origin },
		func(w *wantedEvent, node model.Node) bool {
			event, ok := node.(*model.CustomerEvent)
			return ok && model.EventKey{Source: event.Source, EventID: event.EventID} == w.Key()
		})
	if err != nil || len(requests) == 0 {
		return requests, err
	}
	n := len(requests)
	var (
		ids, newIDs                                 = make([]*uuid.UUID, n), make([][16]byte, n)
		externalIDs, emails, platforms, platformIDs = make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
		sources, types, eventIDs, properties        = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		occurred, times                             = make([]*time.Time, n), make([]time.Time, n)
		byKey, answered                             = make(map[model.EventKey]int, n), make([]bool, n)
	)
	for i, r := range requests {
		w := r.wanted
		byKey[w.Key()] = i
		ids[i], externalIDs[i], emails[i] = cmp.Or(w.Origin.CustomerID, w.Customer.ID), w.Customer.ExternalID, w.Customer.Email
		if w.Customer.Identity != nil {
			platforms[i], platformIDs[i] = &w.Customer.Identity.Platform, &w.Customer.Identity.PlatformCustomerID
		}
		sources[i], types[i], eventIDs[i], properties[i] = w.Source, w.Type, w.EventID, string(w.Properties)
		occurred[i], newIDs[i], times[i] = w.OccurredAt, w.id, w.time
	}
	var rows []*upsertedEvent
	err = s.write(ctx, q, upsertEventsSQL, []any{
		ids, externalIDs, emails, platforms, platformIDs, sources, types, eventIDs, occurred, properties, newIDs, times,
	}, &rows)
	if err != nil {
		return requests, err
	}
	for _, row := range rows {
		i := byKey[model.EventKey{Source: row.Source, EventID: row.EventID}]
		row.answer(requests[i])
		answered[i] = true
	}
	return unanswered(requests, answered)
}

// answer fills in the payload of the request; a row without an ID is for an input that has a fault.
func (u *upsertedEvent) answer(r *eventRequest) {
	if u.ID != uuid.Nil {
		outcome := model.UpsertOutcome(u.Outcome)
		r.answer.Upsert, r.answer.CustomerEvent = model.Upsert{Outcome: &outcome}, &u.CustomerEvent
		return
	}
	fault := &model.UserError{Code: model.UserErrorCode(u.Outcome)}
	if fault.Code == model.UserErrorTooLong {
		fault.Field = append(slices.Clone(r.path), "properties")
		fault.Message = fmt.Sprintf("properties must have at most %d bytes of JSON as PostgreSQL writes it", model.MaxPropertiesSize)
	} else {
		fault.Field = append(slices.Clone(r.path), "customer")
		fault.Message = "customer must be the key of a customer of this store"
	}
	r.answer.Upsert, r.answer.CustomerEvent = model.Upsert{UserErrors: []*model.UserError{fault}}, nil
}
