package model

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// MaxBatch is the most inputs that one batch takes.
const MaxBatch = 250

// UpsertOutcome says what an upsert did to the object it names.
type UpsertOutcome string

// The outcomes of an upsert.
const (
	OutcomeCreated   UpsertOutcome = "CREATED"
	OutcomeUpdated   UpsertOutcome = "UPDATED"
	OutcomeUnchanged UpsertOutcome = "UNCHANGED"
)

// CustomerLink says how an identity came to its customer.
type CustomerLink string

// The ways an identity comes to its customer.
const (
	LinkMatchedByEmail CustomerLink = "MATCHED_BY_EMAIL"
	LinkCreated        CustomerLink = "CREATED"
	LinkKept           CustomerLink = "KEPT"
)

// BatchErrorPolicy says what a failing input does to the other inputs of its batch.
type BatchErrorPolicy string

// The policies of a batch.
const (
	KeepValid BatchErrorPolicy = "KEEP_VALID"
	RejectAll BatchErrorPolicy = "REJECT_ALL"
)

// Origin is where an import finds an object: in the store that it was exported from. The inputs of the API have none.
type Origin struct {
	// ID is the object's, which it gets here too if it is new, and with it its createdAt; nil gives it an ID of its own.
	ID *uuid.UUID
	// CustomerID is the customer's, to whom an identity that is new belongs here too, and an event. Where it is nil, or
	// nobody in the store has it, what the input itself says of the customer holds.
	CustomerID *uuid.UUID
}

// NewID returns the ID and the createdAt of an object of this origin that is new.
func (o Origin) NewID() (uuid.UUID, time.Time) {
	if o.ID == nil {
		return NewID()
	}
	return *o.ID, timeOf(*o.ID)
}

// check holds the ID to what NewID makes, by a clock that is at most a minute ahead of ours: any other would be out of its
// place in the order of creation.
func (o Origin) check() *fault {
	if o.ID == nil || o.ID.Version() == 7 && o.ID.Variant() == uuid.RFC4122 && timeOf(*o.ID).Before(time.Now().Add(time.Minute)) {
		return nil
	}
	return &fault{UserErrorInvalid, "must be an ID that Akin gave: a UUID of version 7 whose time has come"}
}

// Upsert is what the payload of every upsert says: what was done, or the input's faults.
type Upsert struct {
	Outcome    *UpsertOutcome
	UserErrors []*UserError
}

// Result returns the part that all payloads have.
func (u *Upsert) Result() *Upsert { return u }

// UpsertPayload is the payload of an upsert.
type UpsertPayload interface {
	Result() *Upsert
	Node() Node // the object; a nil pointer where there is none
}

// Batch says what became of each input of a batch, in the order of the inputs.
type Batch[P UpsertPayload] struct {
	Results []P
}

// CreatedCount returns how many objects were created.
func (b *Batch[P]) CreatedCount() int { return b.count(OutcomeCreated) }

// UpdatedCount returns how many objects were updated.
func (b *Batch[P]) UpdatedCount() int { return b.count(OutcomeUpdated) }

// UnchangedCount returns how many objects had nothing new.
func (b *Batch[P]) UnchangedCount() int { return b.count(OutcomeUnchanged) }

// FailedCount returns how many inputs have user errors.
func (b *Batch[P]) FailedCount() int {
	return len(b.Results) - b.CreatedCount() - b.UpdatedCount() - b.UnchangedCount()
}

func (b *Batch[P]) count(outcome UpsertOutcome) int {
	n := 0
	for _, payload := range b.Results {
		if result := payload.Result(); result.Outcome != nil && *result.Outcome == outcome {
			n++
		}
	}
	return n
}

// CheckBatch checks the number of inputs of a batch: BAD_USER_INPUT unless 1 to MaxBatch.
func CheckBatch(n int) error {
	if n < 1 || n > MaxBatch {
		return BadInput("inputs", fmt.Sprintf("must be 1 to %d; there are %d", MaxBatch, n))
	}
	return nil
}
