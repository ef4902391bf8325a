package repo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"akin/model"
)

const customerColumns = `store_id, id, external_id, email, email_normalized, phone_number, first_name, last_name, gender,
        account_created_at, account_status, default_language, default_currency, tags, address,
        accepts_email_marketing, accepts_sms_marketing, properties, version, created_at, updated_at`

// upsertCustomersSQL creates or updates the customers that a set of changes names.
//
// found and taken read the keys as the statement's snapshot has them, and verdict decides by them. What has become wrong
// since then ends in no row (see change_customer and change_customers in the migrations) or in a failed statement (a key
// taken meanwhile), and the caller runs it again. What a change leaves alone stays as the row has it when it is written, so
// that of two changes at once neither is lost. An import that brings a customer's ID has it both as by_id and as new_id.
// Locks are taken in one order: inserts, sorted by key, then updates, sorted by ID. $1 is the store.
var upsertCustomersSQL = overInput(`change jsonb, on_create jsonb, by_id uuid, by_external_id text, by_email text, by_platform text,
    by_their_id text, if_version integer, must_exist boolean, new_id uuid, new_time timestamptz`, `
found AS MATERIALIZED (
    SELECT position, known AS customer FROM input CROSS JOIN LATERAL (
        SELECT c AS known FROM customers c WHERE store_id = (SELECT $1::uuid) AND id = by_id
        UNION ALL
        SELECT c FROM customers c WHERE store_id = (SELECT $1::uuid) AND external_id = by_external_id
        UNION ALL
        SELECT c FROM customers c WHERE store_id = (SELECT $1::uuid) AND email_normalized = by_email
        UNION ALL
        SELECT c FROM customer_identities i JOIN customers c ON c.store_id = (SELECT $1::uuid) AND c.id = i.customer_id
        WHERE i.store_id = (SELECT $1::uuid) AND platform = by_platform AND platform_customer_id = by_their_id
        LIMIT 1
    ) AS candidate
), taken AS MATERIALIZED (
    SELECT DISTINCT ON (input.position) input.position, field, id
    FROM input LEFT JOIN found ON found.position = input.position CROSS JOIN LATERAL (
        SELECT 'externalId' AS field, id FROM customers WHERE store_id = (SELECT $1::uuid) AND external_id = change ->> 'external_id'
        UNION ALL
        SELECT 'email', id FROM customers WHERE store_id = (SELECT $1::uuid) AND email_normalized = change ->> 'email_normalized'
    ) AS holder
    WHERE id IS DISTINCT FROM (found.customer).id
    ORDER BY input.position, field DESC
), verdict AS MATERIALIZED (
    SELECT input.*, customer, changed, field, taken.id AS conflicting_id, CASE
        WHEN (customer).id IS NULL AND must_exist THEN 'NOT_FOUND'
        WHEN (customer).id IN (SELECT (earlier.customer).id FROM found AS earlier WHERE earlier.position < input.position)
            THEN 'DUPLICATE_IN_BATCH' -- whose version, and keys, are not to be what they are now
        WHEN if_version <> (customer).version THEN 'VERSION_CONFLICT'
        WHEN taken.id IS NOT NULL THEN 'TAKEN'
        WHEN octet_length((changed).properties::text) > 16384
            OR (SELECT count(*) FROM jsonb_object_keys((changed).properties)) > 100 THEN 'TOO_LONG'
    END AS fault
    FROM input LEFT JOIN found ON found.position = input.position LEFT JOIN taken ON taken.position = input.position
    CROSS JOIN LATERAL (SELECT customer_changed(customer, CASE WHEN (customer).id IS NULL
        THEN on_create || jsonb_strip_nulls(change) ELSE change END) AS changed OFFSET 0) AS computed_once
), ins AS (
    INSERT INTO customers (`+customerColumns+`)
    SELECT $1, new_id, external_id, email, email_normalized, phone_number, first_name, last_name, gender,
        account_created_at, account_status, default_language, default_currency, coalesce(tags, '{}'), address,
        accepts_email_marketing, accepts_sms_marketing, coalesce(properties, '{}'), 1, new_time, greatest(statement_timestamp(), new_time)
    FROM verdict CROSS JOIN LATERAL (SELECT (changed).*) AS row
    WHERE fault IS NULL AND (customer).id IS NULL
    ORDER BY email_normalized COLLATE "C", external_id COLLATE "C"
    RETURNING `+customerColumns+`
)
SELECT position, 'CREATED' AS outcome, NULL AS fault, NULL AS field, NULL::uuid AS conflicting_id, ins.*
FROM ins JOIN verdict ON new_id = ins.id
UNION ALL
SELECT position, CASE WHEN fault IS NULL THEN 'UNCHANGED' END, fault, field, conflicting_id, `+customerColumns+`
FROM verdict CROSS JOIN LATERAL (SELECT (customer).*) AS row
WHERE fault IS NOT NULL OR (customer).id IS NOT NULL AND customer IS NOT DISTINCT FROM changed
UNION ALL
SELECT position, 'UPDATED', NULL, NULL, NULL, updated.*
FROM `).ending(`verdict CROSS JOIN LATERAL (
    SELECT `+customerColumns+` FROM change_customer($1, (customer).id, change, if_version)
) AS updated WHERE fault IS NULL AND (customer).id IS NOT NULL AND customer IS DISTINCT FROM changed`, `(
    SELECT array_agg((customer).id) AS ids, array_agg(change) AS changes, array_agg(if_version) AS if_versions FROM verdict
    WHERE fault IS NULL AND (customer).id IS NOT NULL AND customer IS DISTINCT FROM changed
) AS due CROSS JOIN LATERAL (
    SELECT `+customerColumns+` FROM change_customers($1, ids, changes, if_versions) WHERE ids IS NOT NULL
) AS updated JOIN verdict ON (customer).id = updated.id AND fault IS NULL`)

// wantedCustomer is what an input asks for, with the ID and the time of the customer that may have to be created.
type wantedCustomer struct {
	model.CustomerChange

	id   uuid.UUID
	time time.Time
}

type customerRequest = request[wantedCustomer, *model.UpsertCustomerPayload]

func (s *Store) customerKind() kind[model.UpsertCustomerInput, wantedCustomer, *model.UpsertCustomerPayload] {
	return kind[model.UpsertCustomerInput, wantedCustomer, *model.UpsertCustomerPayload]{
		payload:  func() *model.UpsertCustomerPayload { return &model.UpsertCustomerPayload{} },
		searched: true,
		check: func(input *model.UpsertCustomerInput, path ...string) (*wantedCustomer, []any, []*model.UserError) {
			change, faults := input.Check(path...)
			if faults != nil {
				return nil, nil, faults
			}
			wanted := &wantedCustomer{CustomerChange: *change}
			wanted.id, wanted.time = input.Origin.NewID()
			return wanted, change.Keys(), nil
		},
		write: s.upsertCustomers,
	}
}

// UpsertCustomer creates or updates the customer that the input names, in one round trip unless it loses a race. An
// externalId or an email that nobody has makes a new customer. Faults of the input come as user errors, and then nothing
// is written; among them are NOT_FOUND, TAKEN and VERSION_CONFLICT. It returns UNAVAILABLE where the database cannot be
// reached.
func (s *Store) UpsertCustomer(ctx context.Context, input model.UpsertCustomerInput) (*model.UpsertCustomerPayload, error) {
	return upsertAlone(ctx, s, &input, s.customerKind())
}

// UpsertCustomers does for each input what UpsertCustomer does, as upsertBatch says.
func (s *Store) UpsertCustomers(
	ctx context.Context, inputs []*model.UpsertCustomerInput, policy model.BatchErrorPolicy,
) (*model.UpsertCustomersPayload, error) {
	return upsertBatch(ctx, s, inputs, policy, s.customerKind())
}

// upsertedCustomer is a row that an upsert answers with.
type upsertedCustomer struct {
	model.Customer `bun:",extend"`

	Position      int                  `bun:"position"`
	Outcome       *model.UpsertOutcome `bun:"outcome"`
	Fault         *string              `bun:"fault"`
	Field         *string              `bun:"field"`
	ConflictingID *uuid.UUID           `bun:"conflicting_id"`
}

// upsertCustomers runs the statement for the requests.
func (s *Store) upsertCustomers(ctx context.Context, q querier, requests []*customerRequest) ([]*customerRequest, error) {
	requests, err := refuseTakenIDs(ctx, s, requests, func(w *wantedCustomer) model.Origin { return w.Origin },
		func(_ *wantedCustomer, node model.Node) bool {
			_, ok := node.(*model.Customer)
			return ok
		})
	if err != nil || len(requests) == 0 {
		return requests, err
	}
	n := len(requests)
	var (
		changes, creations                          = make([]string, n), make([]string, n)
		ids, newIDs                                 = make([]*uuid.UUID, n), make([][16]byte, n)
		externalIDs, emails, platforms, platformIDs = make([]*string, n), make([]*string, n), make([]*string, n), make([]*string, n)
		versions, mustExist                         = make([]*int, n), make([]bool, n)
		times, answered                             = make([]time.Time, n), make([]bool, n)
	)
	for i, r := range requests {
		w := r.wanted
		if changes[i], err = asJSON(w.Columns); err != nil {
			return requests, err
		}
		if creations[i], err = asJSON(w.OnCreate); err != nil {
			return requests, err
		}
		ids[i], externalIDs[i], emails[i] = cmp.Or(w.Origin.ID, w.By.ID), w.By.ExternalID, w.By.Email
		if w.By.Identity != nil {
			platforms[i], platformIDs[i] = &w.By.Identity.Platform, &w.By.Identity.PlatformCustomerID
		}
		versions[i], mustExist[i], newIDs[i], times[i] = w.IfVersion, w.MustExist, w.id, w.time
	}
	var rows []*upsertedCustomer
	err = s.write(ctx, q, upsertCustomersSQL, []any{
		changes, creations, ids, externalIDs, emails, platforms, platformIDs, versions, mustExist, newIDs, times,
	}, &rows)
	if err != nil {
		return requests, err
	}
	for _, row := range rows {
		row.answer(requests[row.Position-1])
		answered[row.Position-1] = true
	}
	return unanswered(requests, answered)
}

func asJSON(columns map[string]any) (string, error) {
	b, err := json.Marshal(columns)
	return string(b), err
}

// answer fills in the payload of the request.
func (u *upsertedCustomer) answer(r *customerRequest) {
	if u.Fault == nil {
		r.answer.Upsert = model.Upsert{Outcome: u.Outcome}
		r.answer.Customer = &u.Customer
		return
	}
	fault := &model.UserError{Code: model.UserErrorCode(*u.Fault), Field: r.path}
	at := func(field string) []string { return append(slices.Clone(r.path), field) }
	switch fault.Code {
	case model.UserErrorNotFound:
		fault.Field, fault.Message = at("by"), "by must be the key of a customer of this store"
		switch by := r.wanted.By; {
		case r.wanted.IfVersion != nil:
			fault.Message += "; with ifVersion none is created"
		case by.ExternalID != nil, by.Email != nil:
			fault.Message += "; none is created with a key that the input clears"
		}
	case model.UserErrorVersionConflict:
		fault.Field = at("ifVersion")
		fault.Message = fmt.Sprintf("ifVersion must be the customer's version, which is %d now", u.Version)
	case model.UserErrorTaken:
		fault.ConflictingID = u.ConflictingID
		fault.Field, fault.Message = at(*u.Field), *u.Field+" must be the customer's alone; another customer has it"
	case model.UserErrorDuplicateInBatch:
		fault.Message = "the customer is that of an earlier input"
	case model.UserErrorTooLong:
		fault.Field = at("properties")
		fault.Message = fmt.Sprintf("properties must come to at most %d keys and %d bytes of JSON as PostgreSQL writes it, with those that are kept",
			model.MaxProperties, model.MaxPropertiesSize)
	}
	r.answer.Upsert, r.answer.Customer = model.Upsert{UserErrors: []*model.UserError{fault}}, nil
}
