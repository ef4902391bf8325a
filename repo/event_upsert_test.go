package repo_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo/repotest"
)

// TestUpsertCustomerEvent holds the upsert to its table: Jane, who has every key, has finished the quiz.
func TestUpsertCustomerEvent(t *testing.T) {
	t.Parallel()
	when := time.Date(2020, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	db := repotest.New(t)
	type edit = func(in *model.UpsertCustomerEventInput)
	by := func(key model.CustomerKey) edit {
		return func(in *model.UpsertCustomerEventInput) { in.Customer = key }
	}
	properties := func(text string) edit {
		return func(in *model.UpsertCustomerEventInput) { in.Properties = model.Properties(text) }
	}
	big := func(size int) string { return `{"big": "` + strings.Repeat("x", size-len(`{"big": ""}`)) + `"}` }
	var longNumbers []string
	for i := range 60 {
		longNumbers = append(longNumbers, fmt.Sprintf(`"k%d":1e300`, i))
	}
	for _, c := range []struct {
		name   string
		change edit
		want   string // outcome, customer, type, seconds later and properties, or the faults
	}{
		{"the same again", func(*model.UpsertCustomerEventInput) {}, `UNCHANGED jane finished 0s {"score": 7}`},
		{"the same by email", by(model.CustomerKey{Email: new(" JANE@doe.com")}), `UNCHANGED jane finished 0s {"score": 7}`},
		{"the same by identity", by(model.CustomerKey{Identity: &model.PlatformIdentityKey{Platform: "Shopify", PlatformCustomerID: "1"}}), `UNCHANGED jane finished 0s {"score": 7}`},
		{"the same without a time", func(in *model.UpsertCustomerEventInput) { in.OccurredAt = nil }, `UNCHANGED jane finished 0s {"score": 7}`},
		{"the same number in other words", properties(`{"score":70e-1}`), `UNCHANGED jane finished 0s {"score": 7}`},
		{"other properties take the place of those", properties(`{"grade":"A"}`), `UPDATED jane finished 0s {"grade": "A"}`},
		{"no properties take the place of those", func(in *model.UpsertCustomerEventInput) { in.Properties = nil }, `UPDATED jane finished 0s {}`},
		{"another time", func(in *model.UpsertCustomerEventInput) { in.OccurredAt = new(when.Add(time.Second)) }, `UPDATED jane finished 1s {"score": 7}`},
		{"a time that differs by less than a millisecond is the same", func(in *model.UpsertCustomerEventInput) { in.OccurredAt = new(when.Add(time.Millisecond - 1)) }, `UNCHANGED jane finished 0s {"score": 7}`},
		{"another type", func(in *model.UpsertCustomerEventInput) { in.Type = "left" }, `UPDATED jane left 0s {"score": 7}`},
		{"another customer", by(model.CustomerKey{ExternalID: new("bob")}), `UPDATED bob finished 0s {"score": 7}`},
		{"another source", func(in *model.UpsertCustomerEventInput) { in.Source = "other" }, `CREATED jane finished 0s {"score": 7}`},
		{"an ID in another case", func(in *model.UpsertCustomerEventInput) { in.EventID = "E1" }, `CREATED jane finished 0s {"score": 7}`},
		{"nobody's event", by(model.CustomerKey{ExternalID: new("nobody")}), "NOT_FOUND customer"},
		{"16 KiB of properties", properties(big(16384)), "UPDATED jane finished 0s " + big(16384)},
		{"16 KiB and a byte", properties(big(16385)), "TOO_LONG properties"},
		{"numbers that are short to write and long to keep", properties("{" + strings.Join(longNumbers, ",") + "}"), "TOO_LONG properties"},
		{"the same of a new event", func(in *model.UpsertCustomerEventInput) {
			in.EventID, in.Properties = "new", model.Properties("{"+strings.Join(longNumbers, ",")+"}")
		}, "TOO_LONG properties"},
		{"a null in the properties", properties(`{"a": null}`), "INVALID properties"},
		{"a time that no calendar has", func(in *model.UpsertCustomerEventInput) { in.OccurredAt = new(when.AddDate(-2020, 0, 0)) }, "INVALID occurredAt"},
		{"a type in camel case", func(in *model.UpsertCustomerEventInput) { in.Type = "quizFinished" }, "INVALID type"},
		{"a long ID", func(in *model.UpsertCustomerEventInput) { in.EventID = strings.Repeat("x", 256) }, "TOO_LONG eventId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range policies {
				store, _ := repotest.NewStore(t, db, uuid.NewString())
				jane := upserted(t, store, "CREATED", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) { in.Email = omittable("jane@doe.com") }))
				bob := upserted(t, store, "CREATED", byExternalID("bob"))
				upsertOne(t, store, input("1", "jane@doe.com"))
				names := map[uuid.UUID]string{jane.ID: "jane", bob.ID: "bob"}
				in := model.UpsertCustomerEventInput{
					Customer: model.CustomerKey{ID: &jane.ID}, Source: "quiz", Type: "finished", EventID: "e1", OccurredAt: &when,
					Properties: model.Properties(`{"score": 7}`),
				}
				before, err := store.UpsertCustomerEvent(t.Context(), in)
				if err != nil || before.CustomerEvent == nil {
					t.Fatal(before, err)
				}
				c.change(&in)
				payloads, err := writeEvents(t.Context(), store, policy, []*model.UpsertCustomerEventInput{&in})
				if err != nil {
					t.Fatal(err)
				}
				got, e := "", payloads[0].CustomerEvent
				for _, fault := range payloads[0].UserErrors {
					got += fmt.Sprint(fault.Code, " ", fault.Field[len(fault.Field)-1])
				}
				if e != nil {
					got = fmt.Sprint(*payloads[0].Outcome, " ", names[e.CustomerID], " ", e.Type, " ", e.OccurredAt.Sub(when), " ", string(e.Properties))
					stored, err := store.Nodes(t.Context(), []uuid.UUID{e.ID})
					if diff := cmp.Diff(stored, []model.Node{e}); err != nil || diff != "" {
						t.Errorf("stored and answered differ (-stored +answered): %v\n%s", err, diff)
					}
					if again := e.ID == before.CustomerEvent.ID; again && e.UpdatedAt.After(before.CustomerEvent.UpdatedAt) != (*payloads[0].Outcome == model.OutcomeUpdated) {
						t.Errorf("%s: updated %v, then %v", *payloads[0].Outcome, before.CustomerEvent.UpdatedAt, e.UpdatedAt)
					}
				}
				if got != c.want {
					t.Errorf("policy %q: %s, not %s", policy, got, c.want)
				}
			}
		})
	}
}
