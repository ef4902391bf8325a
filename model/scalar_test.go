package model

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestNewIDsAreInOrderAndTellTheTime(t *testing.T) {
	t.Parallel()
	last, _ := NewID()
	for range 10_000 {
		before := time.Now()
		id, created := NewID()
		if bytes.Compare(id[:], last[:]) <= 0 || id.Version() != 7 {
			t.Fatalf("%v follows %v", id, last)
		}
		// The generator may run ahead of the clock by a few milliseconds, to keep the order.
		if created.Before(before.Truncate(time.Millisecond)) || created.After(before.Add(time.Minute)) || created.Nanosecond()%1e6 != 0 || created.Location() != time.UTC {
			t.Fatalf("%v was created at %v, not %v", id, created, before)
		}
		if first, next := FirstID(created), FirstID(created.Add(1)); bytes.Compare(first[:], id[:]) > 0 || bytes.Compare(next[:], id[:]) <= 0 {
			t.Fatalf("%v of %v is not between %v and %v", id, created, first, next)
		}
		last = id
	}
}

func TestFirstID(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 9, 14, 2, 6, 123_000_000, time.UTC)
	const of123, of124 = "019cd2e7-b3ab-0000-0000-000000000000", "019cd2e7-b3ac-0000-0000-000000000000"
	for _, c := range []struct {
		t    time.Time
		want string
	}{
		{at, of123},
		{at.In(time.FixedZone("", 5*3600)), of123},
		{at.Add(-1), of123},
		{at.Add(-time.Millisecond + 1), of123},
		{at.Add(1), of124},
		{at.Add(time.Millisecond), of124},
		{time.Unix(0, 0), "00000000-0000-0000-0000-000000000000"},
		{time.Unix(0, 1), "00000000-0001-0000-0000-000000000000"},
		{time.Time{}, "00000000-0000-0000-0000-000000000000"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "e677d21f-dc00-0000-0000-000000000000"},
		{time.Date(100_000, 1, 1, 0, 0, 0, 0, time.UTC), "ffffffff-ffff-0000-0000-000000000000"},
	} {
		got := FirstID(c.t).String()
		if got != c.want {
			t.Errorf("the first ID of %v is %s, not %s", c.t, got, c.want)
		}
	}
}

// TestParseInstant holds the forms of an import to what a DateTime is held to.
func TestParseInstant(t *testing.T) {
	t.Parallel()
	layouts := []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", time.DateOnly}
	for text, want := range map[string]string{ // empty for what is refused
		"2026-03-09T14:02:06.5Z":    "2026-03-09T14:02:06.5Z",
		"2026-03-09t14:02:06+0530":  "2026-03-09T08:32:06Z",
		"2026-03-09T14:02:06.5":     "2026-03-09T14:02:06.5Z",
		"2026-03-09":                "2026-03-09T00:00:00Z",
		"2026-03-09T14:02:06+2400":  "",
		"2026-03-09T14:02:06+23:60": "",
		"2026-03-09T14:02:06,5":     "",
		"2026-03-09T4:02:06":        "",
		"2026-03-09T":               "",
		"2026-3-9":                  "",
	} {
		got, ok := ParseInstant(text, layouts...)
		if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is read as %v, %v", text, got, ok)
		}
	}
	if got, ok := ParseInstant("2026-03-09", time.RFC3339); ok {
		t.Errorf("a date alone is read as %v", got)
	}
}

func TestScalars(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // what is written for what is read; nothing for what is refused
		"2026-03-09T14:02:06Z":             "2026-03-09T14:02:06.000Z",
		"2026-03-09T14:02:06.1234567Z":     "2026-03-09T14:02:06.123Z",
		"2026-03-09T14:02:06.999999+05:30": "2026-03-09T08:32:06.999Z",
		"0000-01-01T00:00:00Z":             "0000-01-01T00:00:00.000Z",
		"2026-03-09T14:02:06":              "",
		"2026-03-09":                       "",
		"2026-02-30T00:00:00Z":             "",
		"2026-03-09T24:00:00Z":             "",
		"2026-03-09t14:02:06.5z":           "2026-03-09T14:02:06.500Z",
		"2026-03-09t14:02:06+23:59":        "2026-03-08T14:03:06.000Z",
		"2026-03-09T14:02:06-00:00":        "2026-03-09T14:02:06.000Z",
		"2026-03-09T14:02:06+24:00":        "",
		"2026-03-09T14:02:06+23:60":        "",
		"2026-03-09T14:02:06-0530":         "",
		"2026-03-09T14:02:06,5Z":           "",
		"2026-03-09T14:02:06.Z":            "",
		"2026-03-09T4:02:06Z":              "",
		"2026-03-09 14:02:06Z":             "",
		"":                                 "",
	} {
		got, err := UnmarshalDateTime(text)
		var written strings.Builder
		MarshalDateTime(got).MarshalGQL(&written)
		if (err == nil) != (want != "") || err == nil && written.String() != `"`+want+`"` {
			t.Errorf("%q became %s, %v", text, written.String(), err)
		}
	}
	for text, ok := range map[string]bool{
		"01a20222-d8e7-7b3e-bf36-d8e1808d5c52": true, "01A20222-D8E7-7B3E-BF36-D8E1808D5C52": true,
		"01a20222-d8e7-7b3e-bf36-d8e1808d5c5": false, "": false, "1": false,
		"{01a20222-d8e7-7b3e-bf36-d8e1808d5c52}": false, "urn:uuid:01a20222-d8e7-7b3e-bf36-d8e1808d5c52": false,
		"01a20222d8e77b3ebf36d8e1808d5c52": false, "01a20222-d8e7-7b3e-bf36xd8e1808d5c52": false,
	} {
		if _, err := UnmarshalID(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, value := range []any{nil, 1, true, []string{"a"}} {
		if _, err := UnmarshalID(value); err == nil {
			t.Errorf("%v is an ID", value)
		}
		if _, err := UnmarshalDateTime(value); err == nil {
			t.Errorf("%v is a DateTime", value)
		}
	}
}
