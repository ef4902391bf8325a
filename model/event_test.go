package model

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source, eventType string
		want                    []string
	}{
		{"64 characters", strings.Repeat("a", 64), "a_" + strings.Repeat("9", 62), []string{}},
		{"65 characters", strings.Repeat("a", 65), strings.Repeat("a", 65), []string{"TOO_LONG source", "TOO_LONG type"}},
		{"nothing", "", "", []string{"BLANK source", "BLANK type"}},
		{"space", " ", "\t", []string{"BLANK source", "BLANK type"}},
		{"upper case and a leading digit", "Quiz", "1st", []string{"INVALID source", "INVALID type"}},
		{"a line break at the end", "quiz\n", "é", []string{"INVALID source", "INVALID type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := UpsertCustomerEventInput{Customer: CustomerKey{ExternalID: new("C-1")}, Source: c.source, Type: c.eventType, EventID: "e1"}
			_, found := in.Check()
			if diff := cmp.Diff(c.want, faults(found)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
