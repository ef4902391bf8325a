// Package model holds the words of Akin: stores, customers, their identities and events, what an upsert asks for and answers,
// pages and cursors, and the errors that a caller sees. A type here is at once the row that package repo keeps and the
// object that GraphQL shows; a second type exists only where the two differ.
package model

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Node is an object that can be fetched again by its ID.
type Node interface{ IsNode() }

// Store is a merchant's store: the boundary that no query and no mutation crosses.
type Store struct {
	bun.BaseModel `bun:"table:stores,alias:s"`

	ID        uuid.UUID `bun:"id,pk"`
	Name      string    `bun:"name"`
	CreatedAt time.Time `bun:"created_at"`
}

// Customer is a person as the store knows them: one record, an identity for each platform account.
type Customer struct {
	bun.BaseModel `bun:"table:customers,alias:c"`

	StoreID uuid.UUID `bun:"store_id,pk"`
	ID      uuid.UUID `bun:"id,pk"`
	// Email is kept as it was sent; EmailNormalized is the form that two spellings of one address share (normalizeEmail).
	Email                 *string        `bun:"email"`
	EmailNormalized       *string        `bun:"email_normalized"`
	ExternalID            *string        `bun:"external_id"`
	PhoneNumber           *string        `bun:"phone_number"`
	FirstName             *string        `bun:"first_name"`
	LastName              *string        `bun:"last_name"`
	Gender                *Gender        `bun:"gender"`
	AccountCreatedAt      *time.Time     `bun:"account_created_at"`
	AccountStatus         *AccountStatus `bun:"account_status"`
	DefaultLanguage       *string        `bun:"default_language"`
	DefaultCurrency       *string        `bun:"default_currency"`
	Tags                  []string       `bun:"tags,array"`
	Address               *Address       `bun:"address,type:jsonb"`
	AcceptsEmailMarketing *bool          `bun:"accepts_email_marketing"`
	AcceptsSmsMarketing   *bool          `bun:"accepts_sms_marketing"`
	Properties            Properties     `bun:"properties,type:jsonb"`
	Version               int            `bun:"version"`
	CreatedAt             time.Time      `bun:"created_at"`
	UpdatedAt             time.Time      `bun:"updated_at"`

	// IdentityPages are the pages of the customer's identities that an answer shows.
	IdentityPages Pages[IdentityPage, CustomerIdentityConnection] `bun:"-"`
	// EventPages are the pages of the customer's events that an answer shows.
	EventPages Pages[EventPage, CustomerEventConnection] `bun:"-"`
}

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

// IsNode marks a Store as a Node.
func (*Store) IsNode() {}

// IsNode marks a Customer as a Node.
func (*Customer) IsNode() {}

// IsNode marks a CustomerIdentity as a Node.
func (*CustomerIdentity) IsNode() {}

// Key returns what identifies the account on its platform.
func (i *CustomerIdentity) Key() PlatformIdentityKey {
	return PlatformIdentityKey{i.Platform, *i.PlatformCustomerID}
}
