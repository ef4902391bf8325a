package repo

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"akin/model"
)

// identityColumns are spelled out in every statement: with * a server would fail under a newer one's migration.
const identityColumns = `store_id, id, customer_id, platform, platform_customer_id, email, email_normalized,
        first_name, last_name, created_at, updated_at`

// upsertOne creates or updates one identity.
//
// PostgreSQL shows every part of the statement one snapshot. What another write commits meanwhile must therefore end in
// no row or in a failed statement, which the caller runs again, and never in a customer without the identity it was
// created for: ins is a plain INSERT, so that it undoes new where the identity has turned up. (ON CONFLICT DO UPDATE on
// both tables, and SELECT before INSERT, each left an orphan in nearly every race.)
//
// $1 store, $2 platform, $3 its ID of the customer, $4 email, $5 normalised, $6 first and $7 last name (null keeps, an
// empty one clears), $8 ID and $9 time of a new identity, $10 ID and $11 time of a new customer, $12 now.
const upsertOne = `
WITH cur AS (
    SELECT ` + identityColumns + `,
        CASE WHEN email = $4 AND ($6::text IS NULL OR coalesce(first_name, '') = $6)
            AND ($7::text IS NULL OR coalesce(last_name, '') = $7) THEN 'UNCHANGED' END AS outcome
    FROM customer_identities
    WHERE store_id = $1 AND platform = $2 AND platform_customer_id = $3
), upd AS (
    UPDATE customer_identities
    SET email = $4, email_normalized = $5, updated_at = greatest($12, updated_at + interval '1 microsecond'),
        first_name = CASE WHEN $6::text IS NULL THEN first_name ELSE nullif($6, '') END,
        last_name = CASE WHEN $7::text IS NULL THEN last_name ELSE nullif($7, '') END
    WHERE store_id = $1 AND platform = $2 AND platform_customer_id = $3
        AND NOT (email = $4 AND ($6::text IS NULL OR coalesce(first_name, '') = $6)
            AND ($7::text IS NULL OR coalesce(last_name, '') = $7))
    RETURNING ` + identityColumns + `, 'UPDATED' AS outcome
), new AS (
    INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at)
    SELECT $1, $10, $4, $5, nullif($6, ''), nullif($7, ''), $11, $11
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
    SELECT $1, $8, cus.id, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), $9, $9 FROM cus
    RETURNING ` + identityColumns + `, 'CREATED' AS outcome
)
SELECT * FROM upd UNION ALL SELECT * FROM cur WHERE outcome IS NOT NULL UNION ALL SELECT * FROM ins`

// upsertMany is upsertOne for a set of inputs with different keys, with the same answers as if they came one by one in
// their order.
//
// Concurrent sets must not deadlock, so each takes its locks in one order: the customers it creates, the identities it
// creates, the identities it updates, each sorted by key. (Unsorted, 75 % of concurrent batches died.) The updates are
// last, and so is upd in the final SELECT, which decides, because who inserts an identity that another set has created
// meanwhile and a third one is updating waits for the third, and holds the customers it created. The LATERALs keep the
// plan to the indexes when a table has no statistics yet, and the store is hidden from the planner as addHidden does.
//
// $1 store, $2 to $11 the columns of input as arrays, $12 now.
const upsertMany = `
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::uuid[], $9::timestamptz[], $10::uuid[], $11::timestamptz[])
    WITH ORDINALITY AS input (on_platform, their_id, new_email, new_normalized, new_first, new_last,
        identity_id, identity_time, new_customer_id, customer_time, position)
), cur AS MATERIALIZED (
    SELECT known.*, position,
        CASE WHEN email = new_email AND (new_first IS NULL OR coalesce(first_name, '') = new_first)
            AND (new_last IS NULL OR coalesce(last_name, '') = new_last) THEN 'UNCHANGED' END AS outcome
    FROM input CROSS JOIN LATERAL (
        SELECT ` + identityColumns + ` FROM customer_identities
        WHERE store_id = (SELECT $1::uuid) AND platform = on_platform AND platform_customer_id = their_id LIMIT 1
    ) AS known
), locked AS MATERIALIZED (
    SELECT id AS locked_id FROM customer_identities
    WHERE store_id = (SELECT $1::uuid) AND id = ANY (ARRAY(SELECT id FROM cur WHERE outcome IS NULL))
    ORDER BY platform, platform_customer_id
    FOR NO KEY UPDATE
), upd AS (
    UPDATE customer_identities
    SET email = new_email, email_normalized = new_normalized, updated_at = greatest($12, updated_at + interval '1 microsecond'),
        first_name = CASE WHEN new_first IS NULL THEN first_name ELSE nullif(new_first, '') END,
        last_name = CASE WHEN new_last IS NULL THEN last_name ELSE nullif(new_last, '') END
    FROM input
    WHERE store_id = (SELECT $1::uuid) AND id = ANY (ARRAY(SELECT locked_id FROM locked))
        AND platform = on_platform AND platform_customer_id = their_id
        AND NOT (email = new_email AND (new_first IS NULL OR coalesce(first_name, '') = new_first)
            AND (new_last IS NULL OR coalesce(last_name, '') = new_last))
    RETURNING ` + identityColumns + `, 'UPDATED' AS outcome
), unknown AS MATERIALIZED (
    SELECT * FROM input WHERE position <> ALL (ARRAY(SELECT position FROM cur))
), new AS (
    INSERT INTO customers (store_id, id, email, email_normalized, first_name, last_name, created_at, updated_at)
    SELECT $1, new_customer_id, new_email, new_normalized, nullif(new_first, ''), nullif(new_last, ''), customer_time, customer_time
    FROM (SELECT DISTINCT ON (new_normalized COLLATE "C") * FROM unknown ORDER BY new_normalized COLLATE "C", position) AS earliest
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
    INSERT INTO customer_identities (` + identityColumns + `)
    SELECT $1, identity_id, cus.id, on_platform, their_id, new_email, new_normalized,
        nullif(new_first, ''), nullif(new_last, ''), identity_time, identity_time
    FROM unknown JOIN cus ON cus.email_normalized = new_normalized
    ORDER BY on_platform COLLATE "C", their_id COLLATE "C"
    RETURNING ` + identityColumns + `, 'CREATED' AS outcome
)
SELECT * FROM ins
UNION ALL SELECT ` + identityColumns + `, outcome FROM cur WHERE outcome IS NOT NULL
UNION ALL SELECT * FROM upd`

// upserted is a row that an upsert answers with.
type upserted struct {
	model.CustomerIdentity `bun:",extend"`

	Outcome model.UpsertOutcome `bun:"outcome"`
}

// UpsertCustomerIdentity creates or updates the identity that the input names, in one round trip unless it loses a
// race. A new identity is linked to the store's customer with the same normalised email, or else to a customer created
// from the input; the customer of an existing one is never changed. Faults of the input come as user errors, and then
// nothing is written. It returns UNAVAILABLE where the database cannot be reached; the same input can be sent again.
func (s *Store) UpsertCustomerIdentity(ctx context.Context, input model.UpsertCustomerIdentityInput) (*model.UpsertCustomerIdentityPayload, error) {
	wanted, faults := input.Check("input")
	if faults != nil {
		return &model.UpsertCustomerIdentityPayload{UserErrors: faults}, nil
	}
	identityID, identityTime := model.NewID()
	customerID, customerTime := model.NewID()
	var rows []*upserted
	err := withRetries(ctx, func(ctx context.Context) error {
		err := scanRows(ctx, s.db, s.db.DB, upsertOne, []any{
			s.id, wanted.Platform, wanted.PlatformCustomerID, wanted.Email, wanted.EmailNormalized,
			wanted.FirstName, wanted.LastName, identityID, identityTime, customerID, customerTime, time.Now().UTC(),
		}, &rows)
		if err == nil && len(rows) == 0 {
			return errLostRace
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows[0].payload(customerID), nil
}

// payload answers an input for which, had it needed a customer, one with this ID was to be created.
func (u *upserted) payload(proposed uuid.UUID) *model.UpsertCustomerIdentityPayload {
	link := model.LinkKept
	switch {
	case u.Outcome == model.OutcomeCreated && u.CustomerID == proposed:
		link = model.LinkCreated
	case u.Outcome == model.OutcomeCreated:
		link = model.LinkMatchedByEmail
	}
	return &model.UpsertCustomerIdentityPayload{CustomerIdentity: &u.CustomerIdentity, Outcome: &u.Outcome, CustomerLink: &link}
}

// request is an input of a batch that is to be written, and the place of its answer.
type request struct {
	wanted   *model.CustomerIdentity // with the ID and the time that a new one gets
	customer model.Customer          // the ID and the time of the customer that may have to be created
	answer   *model.UpsertCustomerIdentityPayload
}

// UpsertCustomerIdentities does what UpsertCustomerIdentity does for each input, in one statement for all, and answers
// each in its place. An input with the key of an earlier one is DUPLICATE_IN_BATCH. Under RejectAll one faulty input
// makes the sound ones BATCH_REJECTED, and either all is written or nothing. Under KeepValid what was written stays
// written when an error is returned; the same inputs can be sent again. It returns BAD_USER_INPUT unless there are 1 to
// model.MaxBatch inputs, and UNAVAILABLE where the database cannot be reached.
func (s *Store) UpsertCustomerIdentities(
	ctx context.Context, inputs []*model.UpsertCustomerIdentityInput, policy model.BatchErrorPolicy,
) (*model.UpsertCustomerIdentitiesPayload, error) {
	if err := model.CheckBatch(len(inputs)); err != nil {
		return nil, err
	}
	payload := &model.UpsertCustomerIdentitiesPayload{Results: make([]*model.UpsertCustomerIdentityPayload, len(inputs))}
	pending := checkBatch(inputs, payload.Results)
	if policy == model.RejectAll && len(pending) < len(inputs) {
		rejectBatch(payload.Results)
		return payload, nil
	}
	err := withRetries(ctx, func(ctx context.Context) (err error) {
		if policy == model.RejectAll {
			return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				_, err := s.upsertSet(ctx, tx.Tx, pending)
				return err
			})
		}
		pending, err = s.upsertSet(ctx, s.db.DB, pending)
		return err
	})
	if err != nil {
		return nil, err
	}
	return payload, nil
}

// checkBatch gives every input its place in results, with its faults if it has any, and returns the others' requests.
func checkBatch(inputs []*model.UpsertCustomerIdentityInput, results []*model.UpsertCustomerIdentityPayload) []*request {
	first := make(map[model.PlatformIdentityKey]int, len(inputs))
	pending := make([]*request, 0, len(inputs))
	for i, input := range inputs {
		path := []string{"inputs", strconv.Itoa(i)}
		wanted, faults := input.Check(path...)
		results[i] = &model.UpsertCustomerIdentityPayload{UserErrors: faults}
		if faults != nil {
			continue
		}
		if earlier, ok := first[wanted.Key()]; ok {
			results[i].UserErrors = []*model.UserError{{
				Code: model.UserErrorDuplicateInBatch, Field: path,
				Message: "the platform and platformCustomerId are those of inputs[" + strconv.Itoa(earlier) + "]",
			}}
			continue
		}
		first[wanted.Key()] = i
		r := &request{wanted: wanted, answer: results[i]}
		wanted.ID, wanted.CreatedAt = model.NewID()
		r.customer.ID, r.customer.CreatedAt = model.NewID()
		pending = append(pending, r)
	}
	return pending
}

// rejectBatch tells every sound input of a batch that another was faulty.
func rejectBatch(results []*model.UpsertCustomerIdentityPayload) {
	for i, result := range results {
		if len(result.UserErrors) == 0 {
			result.UserErrors = []*model.UserError{{
				Code: model.UserErrorBatchRejected, Field: []string{"inputs", strconv.Itoa(i)},
				Message: "nothing was written, because another input of the batch has errors",
			}}
		}
	}
}

// upsertSet runs upsertMany and answers the requests. Those that it could not answer it returns with errLostRace; on
// any other error it returns them all.
func (s *Store) upsertSet(ctx context.Context, q querier, requests []*request) ([]*request, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	n := len(requests)
	// IDs as plain arrays: pgx would turn each uuid.UUID into a text and back (measured: 15 to 25 % of our CPU time).
	var (
		platforms, theirIDs, emails, normalized = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		firstNames, lastNames                   = make([]*string, n), make([]*string, n)
		ids, customerIDs                        = make([][16]byte, n), make([][16]byte, n)
		times, customerTimes                    = make([]time.Time, n), make([]time.Time, n)
		byKey                                   = make(map[model.PlatformIdentityKey]*request, n)
	)
	for i, r := range requests {
		byKey[r.wanted.Key()] = r
		platforms[i], theirIDs[i] = r.wanted.Platform, *r.wanted.PlatformCustomerID
		emails[i], normalized[i] = *r.wanted.Email, *r.wanted.EmailNormalized
		firstNames[i], lastNames[i] = r.wanted.FirstName, r.wanted.LastName
		ids[i], times[i] = r.wanted.ID, r.wanted.CreatedAt
		customerIDs[i], customerTimes[i] = r.customer.ID, r.customer.CreatedAt
	}
	var rows []*upserted
	err := scanRows(ctx, s.db, q, upsertMany, []any{
		// Planned anew each time, for the tables as they are: a plan kept from when they were empty would read them whole.
		pgx.QueryExecModeCacheDescribe,
		s.id, platforms, theirIDs, emails, normalized, firstNames, lastNames, ids, times, customerIDs, customerTimes,
		time.Now().UTC(),
	}, &rows)
	if err != nil {
		return requests, err
	}
	for _, row := range rows {
		key := row.Key()
		r := byKey[key]
		*r.answer = *row.payload(r.customer.ID)
		delete(byKey, key)
	}
	if len(byKey) == 0 {
		return nil, nil
	}
	return slices.DeleteFunc(slices.Clone(requests), func(r *request) bool {
		return byKey[r.wanted.Key()] == nil
	}), errLostRace
}
