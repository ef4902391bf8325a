package model

import (
	"encoding/binary"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
)

// NewID returns a UUIDv7 (RFC 9562) and the instant in it, to the millisecond. Whatever takes the one as its ID takes
// the other as its createdAt, so that the order of IDs is the order of creation and needs no index of its own.
func NewID() (uuid.UUID, time.Time) {
	id := uuid.Must(uuid.NewV7()) // fails only where the system's random source does
	return id, timeOf(id)
}

func timeOf(id uuid.UUID) time.Time { return time.Unix(id.Time().UnixTime()).UTC() }

// FirstID returns the least ID of those made at t or later; at or after is told to the millisecond, as IDs tell it.
func FirstID(t time.Time) uuid.UUID {
	const lastMilli = 1<<48 - 1 // RFC 9562 gives 48 bits to the clock
	milli := t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(min(max(milli, 0), lastMilli))<<16)
	return id
}

// MarshalID writes an ID for GraphQL.
func MarshalID(id uuid.UUID) graphql.Marshaler { return graphql.MarshalString(id.String()) }

// UnmarshalID reads an ID from GraphQL; BAD_USER_INPUT where it is not a UUID.
func UnmarshalID(v any) (uuid.UUID, error) {
	if s, ok := v.(string); ok && len(s) == len(uuid.Nil.String()) { // of the forms that Parse takes, the one that is written
		if id, err := uuid.Parse(s); err == nil {
			return id, nil
		}
	}
	return uuid.Nil, BadInput("", "an ID must be a UUID, such as 0190a000-0000-7000-8000-000000000001")
}

// precision is that of the instants that Akin tells, and keeps where a sender names them.
const precision = time.Millisecond

// MarshalDateTime writes an instant for GraphQL: RFC 3339, UTC, three fractional digits.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.MarshalString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// UnmarshalDateTime reads an instant from GraphQL; BAD_USER_INPUT where it is not RFC 3339 with its offset.
func UnmarshalDateTime(v any) (time.Time, error) {
	if s, ok := v.(string); ok {
		if t, ok := ParseInstant(s, time.RFC3339); ok {
			return t, nil
		}
	}
	return time.Time{}, BadInput("", "a DateTime must be an instant in RFC 3339, such as 2026-03-09T14:02:06.000Z")
}

// strict is what time.Parse is not: of two digits where RFC 3339 has two, with a point before the fraction, and with an
// offset of less than a day (https://go.dev/issue/54580).
var strict = regexp.MustCompile(`^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?)?$`)

// ParseInstant reads an instant, in UTC, in one of these layouts of ISO 8601, and reports whether it is one; t and z are
// as good as T and Z.
func ParseInstant(text string, layouts ...string) (time.Time, bool) {
	text = strings.ToUpper(text)
	if !strict.MatchString(text) {
		return time.Time{}, false
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// MarshalInt writes a whole number for GraphQL.
func MarshalInt(i int) graphql.Marshaler { return graphql.MarshalInt(i) }

// UnmarshalInt reads a whole number from GraphQL; BAD_USER_INPUT where it is none. (gqlgen would read the text "5".)
func UnmarshalInt(v any) (int, error) {
	switch v := v.(type) {
	case int64:
		if v >= math.MinInt32 && v <= math.MaxInt32 { // as GraphQL has it
			return int(v), nil
		}
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32 {
			return int(v), nil
		}
	}
	return 0, BadInput("", "an Int must be a whole number of 32 bits")
}
