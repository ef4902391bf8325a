package repo

import (
	"context"
	"time"

	"github.com/google/uuid"

	"akin/model"
)

// identityColumns are what an upsert writes and returns. With * a server would fail under a newer one's migration.
const identityColumns = `store_id, id, customer_id, platform, platform_customer_id, email, email_normalized,
        first_name, last_name, created_at, updated_at`

// upsertIdentitySQL creates or updates one identity.
//
// PostgreSQL shows every part of the statement one snapshot. What another write commits meanwhile must therefore end in
// no row or in a failed statement, which the caller runs again, and never in a customer without the identity it was
// created for: ins is a plain INSERT, so that it undoes new where the identity has turned up. (ON CONFLICT DO UPDATE on
// both tables, and SELECT before INSERT, each left an orphan in nearly every race.)
//
// $1 store, $2 platform, $3 its ID of the customer, $4 email, $5 normalised, $6 first and $7 last name (null keeps, an
// empty one clears), $8 ID and $9 time of a new identity, $10 ID and $11 time of a new customer.
const upsertIdentitySQL = `
WITH cur AS (
    SELECT ` + identityColumns + `,
        CASE WHEN email = $4 AND ($6::text IS NULL OR coalesce(first_name, '') = $6)
            AND ($7::text IS NULL OR coalesce(last_name, '') = $7) THEN 'UNCHANGED' END AS outcome
    FROM customer_identities
    WHERE store_id = $1 AND platform = $2 AND platform_customer_id = $3
), upd AS (
    UPDATE customer_identities
    SET email = $4, email_normalized = $5, updated_at = greatest(statement_timestamp(), updated_at + interval '1 microsecond'),
        first_name = CASE WHEN $6::text IS NULL THEN first_name ELSE nullif($6, '') END,
        last_name = CASE WHEN $7::text IS NULL THEN last_name ELSE nullif($7, '') END
    WHERE store_id = $1 AND platform = $2 AND platform_customer_id = $3
        AND NOT (email = $4 AND ($6::text IS NULL OR coalesce(first_name, '') = $6)
            AND ($7::text IS NULL OR coalesce(last_name, '') = $7))
    RETURNING ` + identityColumns + `, 'UPDATED' AS outcome
), new AS (
    INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at)
    SELECT $1, $10, $4, $5, nullif($6, ''), nullif($7, ''), $11, greatest(statement_timestamp(), $11)
    WHERE NOT EXISTS (SELECT FROM cur)
    ON CONFLICT (store_id, email_normalized) DO NOTHING
    RETURNING id
), cus AS (
    SELECT id FROM new
    UNION ALL
    SELECT id FROM customers WHERE store_id = $1 AND email_normalized = $5 AND NOT EXISTS (SELECT FROM cur)
    LIMIT 1
), ins AS (
    INSERT INTO customer_identities (` + identityColumns + `)
    SELECT $1, $8, cus.id, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), $9, greatest(statement_timestamp(), $9) FROM cus
    RETURNING ` + identityColumns + `, 'CREATED' AS outcome
)
SELECT * FROM upd UNION ALL SELECT * FROM cur WHERE outcome IS NOT NULL UNION ALL SELECT * FROM ins`

// upsertIdentitiesSQL is upsertIdentitySQL for a set of inputs with different keys, with the same answers as if they came one by one in
// their order.
//
// Concurrent sets must not deadlock, so each takes its locks in one order: the customers it creates, the identities it
// creates, the identities it updates, each sorted by key. (Unsorted, 75 % of concurrent batches died.) The updates are
// last, and so is upd in the final SELECT, which decides, because who inserts an identity that another set has created
// meanwhile and a third one is updating waits for the third, and holds the customers it created. The LATERALs keep the
// plan to the indexes when a table has no statistics yet, and the store is hidden from the planner as addHidden does.
//
// on_customer is of imports: a new identity's customer, where the store has it. $1 is the store.
//
// A batch of one is written by this too, for imports send such batches. upsertIdentitySQL, which knows of no on_customer, takes 15 to
// 25 % less time (measured).
var upsertIdentitiesSQL = overInput(`on_platform text, their_id text, new_email text, new_normalized text, new_first text, new_last text,
    identity_id uuid, identity_time timestamptz, new_customer_id uuid, customer_time timestamptz,
    on_customer uuid`, `
cur AS MATERIALIZED (
    SELECT known.*, position,
        CASE WHEN email = new_email AND (new_first IS NULL OR coalesce(first_name, '') = new_first)
            AND (new_last IS NULL OR coalesce(last_name, '') = new_last) THEN 'UNCHANGED' END AS outcome
    FROM input CROSS JOIN LATERAL (
        SELECT `+identityColumns+` FROM customer_identities
        WHERE store_id = (SELECT $1::uuid) AND platform = on_platform AND platform_customer_id = their_id LIMIT 1
    ) AS known
), locked AS MATERIALIZED (
    SELECT locked.id AS locked_id FROM (SELECT id FROM cur WHERE outcome IS NULL ORDER BY platform, platform_customer_id) AS due
    CROSS JOIN LATERAL (
        SELECT id FROM customer_identities WHERE store_id = (SELECT $1::uuid) AND id = due.id LIMIT 1 FOR NO KEY UPDATE
    ) AS locked
), upd AS (
    UPDATE customer_identities
    SET email = new_email, email_normalized = new_normalized, updated_at = greatest(statement_timestamp(), updated_at + interval '1 microsecond'),
        first_name = CASE WHEN new_first IS NULL THEN first_name ELSE nullif(new_first, '') END,
        last_name = CASE WHEN new_last IS NULL THEN last_name ELSE nullif(new_last, '') END
    FROM input
    WHERE store_id = (SELECT $1::uuid) AND id = ANY (ARRAY(SELECT locked_id FROM locked))
        AND platform = on_platform AND platform_customer_id = their_id
        AND NOT (email = new_email AND (new_first IS NULL OR coalesce(first_name, '') = new_first)
            AND (new_last IS NULL OR coalesce(last_name, '') = new_last))
    RETURNING `+identityColumns+`, 'UPDATED' AS outcome
), unknown AS MATERIALIZED (
    SELECT *, (SELECT id FROM customers WHERE store_id = (SELECT $1::uuid) AND id = on_customer) AS given_customer
    FROM input WHERE position <> ALL (ARRAY(SELECT position FROM cur))
), new AS (
    INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at)
    SELECT $1, new_customer_id, new_email, new_normalized, nullif(new_first, ''), nullif(new_last, ''), customer_time,
        greatest(statement_timestamp(), customer_time)
    FROM (
        SELECT DISTINCT ON (new_normalized COLLATE "C") * FROM unknown WHERE given_customer IS NULL
        ORDER BY new_normalized COLLATE "C", position
    ) AS earliest
    ORDER BY new_normalized COLLATE "C"
    ON CONFLICT (store_id, email_normalized) DO NOTHING
    RETURNING id, email_normalized
), cus AS (
    SELECT id, email_normalized FROM new
    UNION ALL
    SELECT known.id, new_normalized
    FROM (SELECT DISTINCT new_normalized FROM unknown) AS wanted CROSS JOIN LATERAL (
        SELECT id FROM customers WHERE store_id = (SELECT $1::uuid) AND email_normalized = new_normalized LIMIT 1
    ) AS known
), ins AS (
    INSERT INTO customer_identities (`+identityColumns+`)
    SELECT $1, identity_id, coalesce(given_customer, cus.id), on_platform, their_id, new_email, new_normalized,
        nullif(new_first, ''), nullif(new_last, ''), identity_time, greatest(statement_timestamp(), identity_time)
    FROM unknown LEFT JOIN cus ON cus.email_normalized = new_normalized
    WHERE coalesce(given_customer, cus.id) IS NOT NULL
    ORDER BY on_platform COLLATE "C", their_id COLLATE "C"
    RETURNING `+identityColumns+`, 'CREATED' AS outcome
)
SELECT * FROM ins
UNION ALL SELECT `+identityColumns+`, outcome FROM cur WHERE outcome IS NOT NULL
UNION ALL SELECT * FROM upd`)

// wantedIdentity is what an input asks for, with the IDs and the times of what may have to be created.
type wantedIdentity struct {
	model.CustomerIdentity

	newCustomer model.Customer
	origin      model.Origin
}

func (s *Store) identityKind() kind[model.UpsertCustomerIdentityInput, wantedIdentity, *model.UpsertCustomerIdentityPayload] {
	return kind[model.UpsertCustomerIdentityInput, wantedIdentity, *model.UpsertCustomerIdentityPayload]{
		payload:  func() *model.UpsertCustomerIdentityPayload { return &model.UpsertCustomerIdentityPayload{} },
		searched: true,
		check: func(input *model.UpsertCustomerIdentityInput, path ...string) (*wantedIdentity, []any, []*model.UserError) {
			checked, faults := input.Check(path...)
			if faults != nil {
				return nil, nil, faults
			}
			wanted := &wantedIdentity{CustomerIdentity: *checked}
			wanted.ID, wanted.CreatedAt = input.Origin.NewID()
			wanted.origin = input.Origin
			wanted.newCustomer.ID, wanted.newCustomer.CreatedAt = model.NewID()
			return wanted, []any{wanted.Key()}, nil
		},
		write: s.upsertIdentities,
	}
}

// upsertedIdentity is a row that an upsert answers with.
type upsertedIdentity struct {
	model.CustomerIdentity `bun:",extend"`

	Outcome model.UpsertOutcome `bun:"outcome"`
}

// answer fills in the payload of an input for which, had it needed a customer, one with this ID was to be created.
func (u *upsertedIdentity) answer(payload *model.UpsertCustomerIdentityPayload, proposed uuid.UUID) {
	link := model.LinkKept
	switch {
	case u.Outcome == model.OutcomeCreated && u.CustomerID == proposed:
		link = model.LinkCreated
	case u.Outcome == model.OutcomeCreated:
		link = model.LinkMatchedByEmail
	}
	payload.Upsert = model.Upsert{Outcome: &u.Outcome}
	payload.CustomerIdentity, payload.CustomerLink = &u.CustomerIdentity, &link
}

// UpsertCustomerIdentity creates or updates the identity that the input names, in one round trip unless it loses a
// race. A new identity is linked to the store's customer with the same normalised email, or else to a customer created
// from the input; the customer of an existing one is never changed. Faults of the input come as user errors, and then
// nothing is written. It returns UNAVAILABLE where the database cannot be reached; the same input can be sent again.
func (s *Store) UpsertCustomerIdentity(ctx context.Context, input model.UpsertCustomerIdentityInput) (*model.UpsertCustomerIdentityPayload, error) {
	kind := s.identityKind()
	kind.write = s.upsertIdentity
	return upsertAlone(ctx, s, &input, kind)
}

// UpsertCustomerIdentities does for each input what UpsertCustomerIdentity does, as upsertBatch says.
func (s *Store) UpsertCustomerIdentities(
	ctx context.Context, inputs []*model.UpsertCustomerIdentityInput, policy model.BatchErrorPolicy,
) (*model.UpsertCustomerIdentitiesPayload, error) {
	return upsertBatch(ctx, s, inputs, policy, s.identityKind())
}

type identityRequest = request[wantedIdentity, *model.UpsertCustomerIdentityPayload]

// upsertIdentity runs upsertIdentitySQL for the only request.
func (s *Store) upsertIdentity(ctx context.Context, q querier, requests []*identityRequest) ([]*identityRequest, error) {
	w := requests[0].wanted
	var rows []*upsertedIdentity
	err := scanRows(ctx, s.db, q, upsertIdentitySQL, []any{
		s.id, w.Platform, w.PlatformCustomerID, w.Email, w.EmailNormalized, w.FirstName, w.LastName,
		w.ID, w.CreatedAt, w.newCustomer.ID, w.newCustomer.CreatedAt,
	}, &rows)
	if err != nil {
		return requests, err
	}
	if len(rows) == 0 {
		return requests, errLostRace
	}
	rows[0].answer(requests[0].answer, w.newCustomer.ID)
	return nil, nil
}

// upsertIdentities runs upsertIdentitiesSQL for the requests.
func (s *Store) upsertIdentities(ctx context.Context, q querier, requests []*identityRequest) ([]*identityRequest, error) {
	requests, err := refuseTakenIDs(ctx, s, requests, func(w *wantedIdentity) model.Origin { return w.origin },
		func(w *wantedIdentity, node model.Node) bool {
			identity, ok := node.(*model.CustomerIdentity)
			return ok && identity.Key() == w.Key()
		})
	if err != nil || len(requests) == 0 {
		return requests, err
	}
	n := len(requests)
	// IDs as plain arrays: pgx would turn each uuid.UUID into a text and back (measured: 15 to 25 % of our CPU time).
	var (
		platforms, theirIDs, emails, normalized = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		firstNames, lastNames                   = make([]*string, n), make([]*string, n)
		ids, customerIDs                        = make([][16]byte, n), make([][16]byte, n)
		givenCustomers                          = make([]*uuid.UUID, n)
		times, customerTimes                    = make([]time.Time, n), make([]time.Time, n)
		byKey, answered                         = make(map[model.PlatformIdentityKey]int, n), make([]bool, n)
	)
	for i, r := range requests {
		w := r.wanted
		byKey[w.Key()] = i
		platforms[i], theirIDs[i], emails[i], normalized[i] = w.Platform, *w.PlatformCustomerID, *w.Email, *w.EmailNormalized
		firstNames[i], lastNames[i] = w.FirstName, w.LastName
		ids[i], times[i] = w.ID, w.CreatedAt
		customerIDs[i], customerTimes[i] = w.newCustomer.ID, w.newCustomer.CreatedAt
		givenCustomers[i] = w.origin.CustomerID
	}
	var rows []*upsertedIdentity
	err = s.write(ctx, q, upsertIdentitiesSQL, []any{
		platforms, theirIDs, emails, normalized, firstNames, lastNames, ids, times, customerIDs, customerTimes, givenCustomers,
	}, &rows)
	if err != nil {
		return requests, err
	}
	for _, row := range rows {
		i := byKey[row.Key()]
		row.answer(requests[i].answer, requests[i].wanted.newCustomer.ID)
		answered[i] = true
	}
	return unanswered(requests, answered)
}
