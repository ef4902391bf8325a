package torture_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// unknown stands in a record for what no answer has told yet, because the write's answer was lost on its way.
const unknown = "?"

// record is what Akin keeps under one key, as its answers show it; the zero value is a key that nobody has written.
type record struct {
	Exists   bool
	ID       string
	Customer string // of an identity or event: its customer's ID
	Email    string // of an identity
	Type     string // of an event
	Name     string // of an event: in its properties
	Version  int    // of a customer
	Updated  string
}

// call is one operation on one key.
type call struct {
	Key   string
	Write bool
	Email string // what a write asks for
	Type  string
	Name  string
}

// answer is what came back of a call. A write whose answer was lost has Known unset: it may have been done, at any time
// after it was sent, or not at all.
type answer struct {
	Known   bool
	Outcome string // of a write
	Record  record
}

// history is what the clients of a run saw; a nil one keeps nothing.
type history struct {
	began time.Time

	mu    sync.Mutex
	calls []porcupine.Operation
}

func newHistory() *history { return &history{began: time.Now()} }

// now returns the time of the run's own clock, which never goes back.
func (h *history) now() int64 {
	if h == nil {
		return 0
	}
	return int64(time.Since(h.began))
}

// add records a call that was sent at this time and has come back now.
func (h *history) add(client int, sent int64, c call, a answer) {
	if h == nil {
		return
	}
	returned := h.now()
	if !a.Known {
		if !c.Write {
			return // a read that failed says nothing
		}
		returned = int64(1) << 62 // it may still be done
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, porcupine.Operation{ClientId: client, Input: c, Call: sent, Output: a, Return: returned})
}

// model says what Akin promises of one key: a read shows the last write, an outcome tells what the write did, the IDs
// stay, the version rises by one with each change and updatedAt moves only with one.
var model = porcupine.Model{
	Partition: byKey,
	Init:      func() any { return record{} },
	Step: func(state, input, output any) (bool, any) {
		was, in, out := state.(record), input.(call), output.(answer)
		if !in.Write {
			return was.shownAs(out.Record)
		}
		next, outcome := was.written(in)
		if !out.Known {
			return true, next
		}
		if out.Outcome != outcome || outcome == "UPDATED" && was.Updated != unknown && out.Record.Updated < was.Updated {
			return false, nil
		}
		return next.shownAs(out.Record)
	},
}

func byKey(calls []porcupine.Operation) [][]porcupine.Operation {
	keys := map[string][]porcupine.Operation{}
	for _, c := range calls {
		key := c.Input.(call).Key
		keys[key] = append(keys[key], c)
	}
	parts := make([][]porcupine.Operation, 0, len(keys))
	for _, part := range keys {
		parts = append(parts, part)
	}
	return parts
}

// written returns the record after a write, and the outcome that the write must have.
func (r record) written(in call) (next record, outcome string) {
	if r.Exists && r.Email == in.Email && r.Type == in.Type && r.Name == in.Name {
		return r, "UNCHANGED"
	}
	next, outcome = r, "UPDATED"
	if !r.Exists {
		next, outcome = record{Exists: true, ID: unknown, Customer: unknown}, "CREATED"
	}
	next.Email, next.Type, next.Name, next.Version, next.Updated = in.Email, in.Type, in.Name, next.Version+1, unknown
	return next, outcome
}

// shownAs reports whether an answer may show the record so, and returns it with what the answer tells of it.
func (r record) shownAs(seen record) (bool, any) {
	for _, field := range []struct{ known, seen *string }{
		{&r.ID, &seen.ID}, {&r.Customer, &seen.Customer}, {&r.Updated, &seen.Updated},
	} {
		if *field.known == unknown {
			*field.known = *field.seen
		}
	}
	if seen.Version == 0 { // only a customer has one
		seen.Version = r.Version
	}
	return r == seen, r
}

// faults returns what of the history cannot have happened one call after the other: a text for each key.
func (h *history) faults(limit time.Duration) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var faults []string
	deadline := time.Now().Add(limit)
	for _, part := range byKey(h.calls) {
		switch porcupine.CheckOperationsTimeout(model, part, max(time.Until(deadline), time.Millisecond)) {
		case porcupine.Illegal:
			faults = append(faults, "this is not linearizable:\n"+told(part))
		case porcupine.Unknown:
			faults = append(faults, fmt.Sprintf("whether this is linearizable took longer than %s to find out:\n%s", limit, told(part)))
		case porcupine.Ok:
		}
	}
	return faults
}

// told writes the calls on one key in words, the last ones if they are many.
func told(calls []porcupine.Operation) string {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, c := range calls[max(0, len(calls)-40):] {
		fmt.Fprintf(&b, "  client %d at %s", c.ClientId, time.Duration(c.Call))
		if out := c.Output.(answer); out.Known {
			fmt.Fprintf(&b, " to %s: %+v: %+v\n", time.Duration(c.Return), c.Input, out)
		} else {
			fmt.Fprintf(&b, ": %+v: no answer\n", c.Input)
		}
	}
	return b.String()
}

// TestTheCheckerSees holds the checker to histories that are known to be sound or not.
func TestTheCheckerSees(t *testing.T) {
	t.Parallel()
	write := func(name, outcome, updated string) step {
		return step{call{Key: "k", Write: true, Name: name}, answer{
			Known: true, Outcome: outcome, Record: record{Exists: true, ID: "i", Customer: "c", Name: name, Updated: updated},
		}}
	}
	read := func(name, updated string) step {
		return step{call{Key: "k"}, answer{
			Known: true, Record: record{Exists: name != "", ID: "i", Customer: "c", Name: name, Updated: updated},
		}}
	}
	nothing := step{call{Key: "k"}, answer{Known: true}}
	lost := func(name string) step { return step{call{Key: "k", Write: true, Name: name}, answer{}} }
	version := func(s step, version int) step { s.answer.Record.Version = version; return s }
	typed := func(s step, kind string) step {
		if s.call.Write {
			s.call.Type = kind
		}
		s.answer.Record.Type = kind
		return s
	}
	otherCustomer := read("a", "1")
	otherCustomer.answer.Record.Customer = "another"
	for _, test := range []struct {
		name  string
		sound bool
		steps []step
	}{
		{"what was written is read", true, []step{write("a", "CREATED", "1"), read("a", "1"), write("b", "UPDATED", "2"), read("b", "2")}},
		{"an acknowledged write that is gone", false, []step{write("a", "CREATED", "1"), write("b", "UPDATED", "2"), read("a", "1")}},
		{"a key that is gone", false, []step{write("a", "CREATED", "1"), nothing}},
		{"a key created twice", false, []step{write("a", "CREATED", "1"), write("b", "CREATED", "2")}},
		{"a write done twice", false, []step{write("a", "UNCHANGED", "1")}},
		{"updatedAt that moves without a change", false, []step{write("a", "CREATED", "1"), write("a", "UNCHANGED", "2")}},
		{"updatedAt that stays without a change", true, []step{write("a", "CREATED", "1"), write("a", "UNCHANGED", "1")}},
		{"updatedAt that goes back", false, []step{write("a", "CREATED", "2"), write("b", "UPDATED", "1")}},
		{"an identity that changes its customer", false, []step{write("a", "CREATED", "1"), otherCustomer}},
		{"a version for each change", true, []step{version(write("a", "CREATED", "1"), 1), version(write("b", "UPDATED", "2"), 2)}},
		{"a version left out", false, []step{version(write("a", "CREATED", "1"), 1), version(write("b", "UPDATED", "2"), 3)}},
		{"an event that is replaced", true, []step{typed(write("a", "CREATED", "1"), "t"), typed(write("a", "UPDATED", "2"), "u"), typed(read("a", "2"), "u")}},
		{"an event that is lost", false, []step{typed(write("a", "CREATED", "1"), "t"), nothing}},
		{"an event that is not replaced", false, []step{typed(write("a", "CREATED", "1"), "t"), typed(write("a", "UPDATED", "2"), "u"), typed(read("a", "2"), "t")}},
		{"an event of another type", false, []step{typed(write("a", "CREATED", "1"), "t"), typed(read("a", "1"), "u")}},
		{"an event of other properties", false, []step{typed(write("a", "CREATED", "1"), "t"), typed(read("b", "1"), "t")}},
		{"a lost answer to a write that was done", true, []step{lost("a"), read("a", "1"), write("a", "UNCHANGED", "1")}},
		{"a lost answer to a write that was not done", true, []step{lost("a"), nothing, write("b", "CREATED", "2")}},
		{"a lost answer to a write that was done late", true, []step{lost("a"), nothing, write("b", "CREATED", "2"), read("a", "3")}},
		{"a lost answer to a write that was undone", false, []step{lost("a"), read("a", "1"), nothing}},
		{"a write that nobody sent", false, []step{write("a", "CREATED", "1"), read("b", "1")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			for i, s := range test.steps {
				h.add(i, h.now(), s.call, s.answer)
			}
			if faults := h.faults(10 * time.Second); (len(faults) == 0) != test.sound {
				t.Errorf("sound is %t, want %t: %v", !test.sound, test.sound, faults)
			}
		})
	}
}

// step is a call and its answer in a history made by hand.
type step struct {
	call   call
	answer answer
}
