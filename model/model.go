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

// IsNode marks a Store as a Node.
func (*Store) IsNode() {}
