package transfer

import (
	"context"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
)

var identityColumns = []string{"id", "customer.id", "platform", "platformCustomerId", "email", "firstName", "lastName"}

// identities are upserted by platform and platformCustomerId. A name that is empty in CSV, or null in NDJSON, keeps what
// is known, and one that is an empty string in NDJSON clears it. One that is new has the row's id, and is its customer's
// where the store has that one; of one that is known neither changes.
var identities = named(&kind{
	wrapper:  "customer_identity",
	columns:  identityColumns,
	exported: identityColumns,
	names:    map[string]string{"customerId": "customer.id", "customer_id": "customer.id"},
	groups:   []string{"customer"},
	required: [][]string{{"platform"}, {"platformCustomerId"}, {"email"}},
	check:    checkIdentity,
	write:    writer((*repo.Store).UpsertCustomerIdentities),
	count: func(ctx context.Context, store *repo.Store) (int, error) {
		return store.CountCustomerIdentities(ctx, &model.CustomerIdentityFilter{})
	},
	page: func(ctx context.Context, store *repo.Store, after *string) ([]any, *string, error) {
		oldest := &model.CustomerIdentityOrder{Field: model.IdentitiesByCreatedAt, Direction: model.Ascending}
		page, err := store.CustomerIdentities(ctx, nil, oldest, pageAfter(after))
		if err != nil {
			return nil, nil, err
		}
		all, next := records(page.Connection, func(i *model.CustomerIdentity) any {
			return identityRecord{i.ID, customerID{i.CustomerID}, &i.Platform, i.PlatformCustomerID, i.Email, i.FirstName, i.LastName}
		})
		return all, next, nil
	},
})

// identityRecord is an identity as an export shows it.
type identityRecord struct {
	ID                 uuid.UUID  `json:"id"`
	Customer           customerID `json:"customer"`
	Platform           *string    `json:"platform"`
	PlatformCustomerID *string    `json:"platformCustomerId"`
	Email              *string    `json:"email"`
	FirstName          *string    `json:"firstName,omitempty"`
	LastName           *string    `json:"lastName,omitempty"`
}

type customerID struct {
	ID uuid.UUID `json:"id"`
}

// customerEmail claims the customer with a normalised email, whom the identities of a batch may share.
type customerEmail string

func checkIdentity(v values) (any, claims, []string) {
	r := reader{values: v}
	input := &model.UpsertCustomerIdentityInput{
		Platform: r.textOrEmpty("platform"), PlatformCustomerID: r.textOrEmpty("platformCustomerId"), Email: r.textOrEmpty("email"),
		FirstName: r.text("firstName").Value(), LastName: r.text("lastName").Value(),
		Origin: model.Origin{ID: r.id("id"), CustomerID: r.id("customer.id")},
	}
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	identity, faults := input.Check()
	r.check(faults)
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	return input, claims{own: ownClaims(identity.Key(), input.Origin), shared: []any{customerEmail(*identity.EmailNormalized)}}, nil
}
