package model

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// CustomerIdentity is a customer's account on one ecommerce platform, unique in its store by platform and
// platformCustomerId.
type CustomerIdentity struct {
	bun.BaseModel `bun:"table:customer_identities,alias:i"`

	StoreID            uuid.UUID `bun:"store_id,pk"`
	ID                 uuid.UUID `bun:"id,pk"`
	CustomerID         uuid.UUID `bun:"customer_id"`
	Platform           string    `bun:"platform"`
	PlatformCustomerID *string   `bun:"platform_customer_id"`
	// Email is kept as it was sent and may differ from the customer's; EmailNormalized is what is compared.
	Email           *string   `bun:"email"`
	EmailNormalized *string   `bun:"email_normalized"`
	FirstName       *string   `bun:"first_name"`
	LastName        *string   `bun:"last_name"`
	CreatedAt       time.Time `bun:"created_at"`
	UpdatedAt       time.Time `bun:"updated_at"`

	// Customer is set where an answer shows it.
	Customer *Customer `bun:"-"`
}

// IsNode marks a CustomerIdentity as a Node.
func (*CustomerIdentity) IsNode() {}

// Key returns what identifies the account on its platform.
func (i *CustomerIdentity) Key() PlatformIdentityKey {
	return PlatformIdentityKey{i.Platform, *i.PlatformCustomerID}
}

// UpsertCustomerIdentityInput is a customer's record on one platform, as that platform knows it.
type UpsertCustomerIdentityInput struct {
	Platform           string
	PlatformCustomerID string
	Email              string
	// FirstName and LastName keep what is known where nil, and clear it where empty.
	FirstName *string
	LastName  *string
	Origin    Origin
}

// Check returns the identity that the input asks for, with its platform and its email in normalised form, or else
// every fault of the input. path is where the input stands in the arguments; it begins each fault's Field.
//
// In the identity, a nil name is one to keep and an empty name one to clear.
func (in UpsertCustomerIdentityInput) Check(path ...string) (*CustomerIdentity, []*UserError) {
	c := checker{path: path}
	platform, f := normalizePlatform(in.Platform)
	c.fault(f, "platform")
	c.fault(checkRequired(in.PlatformCustomerID, MaxPlatformCustomerID), "platformCustomerId")
	email, f := normalizeEmail(in.Email)
	c.fault(f, "email")
	c.fault(checkName(in.FirstName), "firstName")
	c.fault(checkName(in.LastName), "lastName")
	c.fault(in.Origin.check(), "id")
	if c.faults != nil {
		return nil, c.faults
	}
	return &CustomerIdentity{
		Platform: platform, PlatformCustomerID: &in.PlatformCustomerID,
		Email: &in.Email, EmailNormalized: &email,
		FirstName: in.FirstName, LastName: in.LastName,
	}, nil
}

// UpsertCustomerIdentityPayload says what became of one input: the identity, or the input's faults.
type UpsertCustomerIdentityPayload struct {
	Upsert

	CustomerIdentity *CustomerIdentity
	CustomerLink     *CustomerLink
}

// Node returns the identity.
func (p *UpsertCustomerIdentityPayload) Node() Node { return p.CustomerIdentity }

// UpsertCustomerIdentitiesPayload says what became of each input of a batch.
type UpsertCustomerIdentitiesPayload = Batch[*UpsertCustomerIdentityPayload]
