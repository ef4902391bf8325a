package transfer

import (
	"context"

	"akin/model"
	"akin/repo"
)

var identityColumns = []string{"platform", "platformCustomerId", "email", "firstName", "lastName"}

// identities are upserted by platform and platformCustomerId. A name that is empty in CSV, or null in NDJSON, keeps what
// is known, and one that is an empty string in NDJSON clears it.
var identities = named(&kind{
	wrapper:  "customer_identity",
	columns:  identityColumns,
	exported: identityColumns,
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
			return identityRecord{&i.Platform, i.PlatformCustomerID, i.Email, i.FirstName, i.LastName}
		})
		return all, next, nil
	},
})

// identityRecord is an identity as an export shows it.
type identityRecord struct {
	Platform           *string `json:"platform"`
	PlatformCustomerID *string `json:"platformCustomerId"`
	Email              *string `json:"email"`
	FirstName          *string `json:"firstName"`
	LastName           *string `json:"lastName"`
}

// customerEmail claims the customer with a normalised email, whom the identities of a batch may share.
type customerEmail string

func checkIdentity(v values) (any, claims, []string) {
	r := reader{values: v}
	input := &model.UpsertCustomerIdentityInput{
		Platform: r.required("platform"), PlatformCustomerID: r.required("platformCustomerId"), Email: r.required("email"),
		FirstName: r.text("firstName").Value(), LastName: r.text("lastName").Value(),
	}
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	identity, faults := input.Check()
	r.check(faults)
	if r.faults != nil {
		return nil, claims{}, r.faults
	}
	return input, claims{own: []any{identity.Key()}, shared: []any{customerEmail(*identity.EmailNormalized)}}, nil
}
