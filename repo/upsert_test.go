package repo_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// upsertOne is UpsertCustomerIdentity of an input without fault.
func upsertOne(t *testing.T, store *repo.Store, in *model.UpsertCustomerIdentityInput) *model.UpsertCustomerIdentityPayload {
	t.Helper()
	payload, err := store.UpsertCustomerIdentity(t.Context(), *in)
	if err != nil {
		t.Fatal(err)
	}
	if len(payload.UserErrors) > 0 {
		t.Fatalf("%+v: %+v", in, payload.UserErrors[0])
	}
	return payload
}

// named is input with names; nil keeps one.
func named(id, email string, first, last *string) *model.UpsertCustomerIdentityInput {
	in := input(id, email)
	in.FirstName, in.LastName = first, last
	return in
}

// account is what the upsert's rules decide about an identity and its customer, nil for null.
type account struct {
	Platform, ID, Email         string
	First, Last                 *string
	CustomerEmail               string
	CustomerFirst, CustomerLast *string
	Outcome                     model.UpsertOutcome
	Link                        model.CustomerLink
}

func TestUpsertCustomerIdentity(t *testing.T) {
	t.Parallel()
	jane := named("1", "Jane@Doe.com", new("Jane"), new("Doe"))
	known := account{
		Platform: "shopify", ID: "1", Email: "Jane@Doe.com", First: new("Jane"), Last: new("Doe"),
		CustomerEmail: "Jane@Doe.com", CustomerFirst: new("Jane"), CustomerLast: new("Doe"),
	}
	// with is jane's account after a change.
	with := func(outcome model.UpsertOutcome, link model.CustomerLink, change func(*account)) account {
		a := known
		a.Outcome, a.Link = outcome, link
		change(&a)
		return a
	}
	same := func(*account) {}
	cases := []struct {
		name   string
		before []*model.UpsertCustomerIdentityInput
		input  *model.UpsertCustomerIdentityInput
		want   account
	}{
		{"an unknown identity with an unknown email makes a customer", nil, jane, with("CREATED", "CREATED", same)},
		{
			"an unknown identity with the email of a customer is linked to it and leaves it alone",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("2", "Jane@Doe.com", new("J."), nil),
			with("CREATED", "MATCHED_BY_EMAIL", func(a *account) { a.ID, a.First, a.Last = "2", new("J."), nil }),
		},
		{
			"another spelling of the email finds the same customer and is kept as it was sent",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("2", " jANE@dOE.COM. ", nil, nil),
			with("CREATED", "MATCHED_BY_EMAIL", func(a *account) { a.ID, a.Email, a.First, a.Last = "2", " jANE@dOE.COM. ", nil, nil }),
		},
		{
			"the same ID on another platform is another identity",
			[]*model.UpsertCustomerIdentityInput{jane},
			&model.UpsertCustomerIdentityInput{Platform: "magento", PlatformCustomerID: "1", Email: "Jane@Doe.com"},
			with("CREATED", "MATCHED_BY_EMAIL", func(a *account) { a.Platform, a.First, a.Last = "magento", nil, nil }),
		},
		{
			"an ID in another case is another identity",
			[]*model.UpsertCustomerIdentityInput{named("abc", "Jane@Doe.com", new("Jane"), new("Doe"))},
			named("ABC", "Jane@Doe.com", nil, nil),
			with("CREATED", "MATCHED_BY_EMAIL", func(a *account) { a.ID, a.First, a.Last = "ABC", nil, nil }),
		},
		{
			"a platform in upper case is the same platform",
			[]*model.UpsertCustomerIdentityInput{jane},
			&model.UpsertCustomerIdentityInput{Platform: "SHOPIFY", PlatformCustomerID: "1", Email: "Jane@Doe.com"},
			with("UNCHANGED", "KEPT", same),
		},
		{"a known identity with nothing new is unchanged", []*model.UpsertCustomerIdentityInput{jane}, jane, with("UNCHANGED", "KEPT", same)},
		{
			"names left out keep what is known",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("1", "Jane@Doe.com", nil, nil), with("UNCHANGED", "KEPT", same),
		},
		{
			"a new first name alone is taken, and the customer keeps its own",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("1", "Jane@Doe.com", new("Janet"), nil),
			with("UPDATED", "KEPT", func(a *account) { a.First = new("Janet") }),
		},
		{
			"an empty name clears it, and the customer keeps its own",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("1", "Jane@Doe.com", nil, new("")),
			with("UPDATED", "KEPT", func(a *account) { a.Last = nil }),
		},
		{
			"an empty name where none is known is nothing new",
			[]*model.UpsertCustomerIdentityInput{jane, named("1", "Jane@Doe.com", new(""), new(""))},
			named("1", "Jane@Doe.com", new(""), new("")),
			with("UNCHANGED", "KEPT", func(a *account) { a.First, a.Last = nil, nil }),
		},
		{
			"a name where none was known is new",
			[]*model.UpsertCustomerIdentityInput{jane, named("1", "Jane@Doe.com", new(""), nil)},
			named("1", "Jane@Doe.com", new("Jane"), nil),
			with("UPDATED", "KEPT", same),
		},
		{
			"empty names of a new customer are none",
			nil, named("1", "Jane@Doe.com", new(""), new("")),
			with("CREATED", "CREATED", func(a *account) { a.First, a.Last, a.CustomerFirst, a.CustomerLast = nil, nil, nil, nil }),
		},
		{
			"a new email is taken, and the customer and the link are left alone even if another customer has it",
			[]*model.UpsertCustomerIdentityInput{jane, input("9", "other@doe.com")},
			named("1", "other@doe.com", nil, nil),
			with("UPDATED", "KEPT", func(a *account) { a.Email = "other@doe.com" }),
		},
		{
			"another spelling of a known identity's email is new",
			[]*model.UpsertCustomerIdentityInput{jane},
			named("1", "jane@doe.com", nil, nil),
			with("UPDATED", "KEPT", func(a *account) { a.Email = "jane@doe.com" }),
		},
		{
			"a name in another script and of the greatest length is kept to the letter",
			nil, named("1", "Jane@Doe.com", new("🧑‍🚀 \u200fשרה"), new(strings.Repeat("𝔇", 255))),
			with("CREATED", "CREATED", func(a *account) {
				a.First, a.CustomerFirst = new("🧑‍🚀 \u200fשרה"), new("🧑‍🚀 \u200fשרה")
				a.Last, a.CustomerLast = new(strings.Repeat("𝔇", 255)), new(strings.Repeat("𝔇", 255))
			}),
		},
	}
	db := repotest.New(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, batch := range []bool{false, true} {
				store, _ := repotest.NewStore(t, db, uuid.NewString())
				for _, in := range c.before {
					upsertOne(t, store, in)
				}
				var payload *model.UpsertCustomerIdentityPayload
				if batch {
					payload = upsertBatch(t, store, model.KeepValid, c.input).Results[0]
				} else {
					payload = upsertOne(t, store, c.input)
				}
				if diff := cmp.Diff(c.want, accountOf(t, store, payload)); diff != "" {
					t.Errorf("in a batch: %t (-want +got)\n%s", batch, diff)
				}
				checkStored(t, store, payload.CustomerIdentity)
			}
		})
	}
}

func accountOf(t *testing.T, store *repo.Store, payload *model.UpsertCustomerIdentityPayload) account {
	t.Helper()
	i := payload.CustomerIdentity
	customer, err := store.Customer(t.Context(), model.CustomerKey{ID: &i.CustomerID})
	if err != nil {
		t.Fatal(err)
	}
	return account{
		Platform: i.Platform, ID: *i.PlatformCustomerID, Email: *i.Email, First: i.FirstName, Last: i.LastName,
		CustomerEmail: *customer.Email, CustomerFirst: customer.FirstName, CustomerLast: customer.LastName,
		Outcome: *payload.Outcome, Link: *payload.CustomerLink,
	}
}

// checkStored fails the test unless the store holds exactly the identity that was answered.
func checkStored(t *testing.T, store *repo.Store, answered *model.CustomerIdentity) {
	t.Helper()
	found, err := store.CustomerIdentity(t.Context(), model.CustomerIdentityKey{ID: &answered.ID})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, answered); diff != "" {
		t.Errorf("stored and answered differ (-stored +answered)\n%s", diff)
	}
}

func TestUnchangedUpsertWritesNothing(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	conn := connect(t, url)
	before := upsertOne(t, store, named("1", "jane@doe.com", new("Jane"), nil)).CustomerIdentity
	// Where each row lies, who wrote it and who locked it.
	const versions = `SELECT string_agg(concat_ws(' ', ctid, xmin, xmax), ',' ORDER BY ctid)
		FROM (SELECT ctid, xmin, xmax FROM customers UNION ALL SELECT ctid, xmin, xmax FROM customer_identities) AS rows`
	written := one[string](t, conn, versions)

	same := named("1", "jane@doe.com", new("Jane"), new(""))
	for _, payload := range []*model.UpsertCustomerIdentityPayload{
		upsertOne(t, store, same),
		upsertBatch(t, store, model.KeepValid, same).Results[0],
		upsertBatch(t, store, model.RejectAll, same).Results[0],
	} {
		if *payload.Outcome != model.OutcomeUnchanged {
			t.Errorf("the outcome is %s", *payload.Outcome)
		}
		if diff := cmp.Diff(before, payload.CustomerIdentity); diff != "" {
			t.Errorf("the identity changed (-before +after)\n%s", diff)
		}
	}
	if now := one[string](t, conn, versions); now != written {
		t.Errorf("the rows were %s and are %s", written, now)
	}
}

func TestUpsertTimes(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	created := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	// updatedAt is by PostgreSQL's clock, createdAt by Akin's.
	if created.UpdatedAt.Before(created.CreatedAt) || created.CreatedAt.Location().String() != "UTC" {
		t.Errorf("created %v, updated %v", created.CreatedAt, created.UpdatedAt)
	}
	updated := upsertOne(t, store, input("1", "janet@doe.com")).CustomerIdentity
	if !updated.CreatedAt.Equal(created.CreatedAt) || !updated.UpdatedAt.After(created.UpdatedAt) {
		t.Errorf("%v became %v", created, updated)
	}
	// A write whose clock is behind the last one's must not set the time back.
	if _, err := connect(t, url).Exec(t.Context(), `UPDATE customer_identities SET updated_at = '2999-01-01Z'`); err != nil {
		t.Fatal(err)
	}
	last := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	if got := last.UpdatedAt.Format("2006-01-02T15:04:05.000000Z"); got != "2999-01-01T00:00:00.000001Z" {
		t.Errorf("updatedAt is %s", got)
	}
}

func TestUpsertReportsEveryFaultAndWritesNothing(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	payload, err := store.UpsertCustomerIdentity(t.Context(), model.UpsertCustomerIdentityInput{
		Platform: "shop!", PlatformCustomerID: " ", Email: "jane", FirstName: new("a\x00b"), LastName: new(strings.Repeat("x", 256)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range payload.UserErrors {
		got = append(got, string(e.Code)+" "+strings.Join(e.Field, "."))
	}
	want := []string{
		"INVALID input.platform", "BLANK input.platformCustomerId", "INVALID input.email", "INVALID input.firstName",
		"TOO_LONG input.lastName",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if payload.CustomerIdentity != nil || payload.Outcome != nil || payload.CustomerLink != nil {
		t.Errorf("a faulty input was answered with %+v", payload)
	}
	if n := one[int](t, connect(t, url), `SELECT count(*) FROM customers`); n != 0 {
		t.Errorf("there are %d customers", n)
	}
}
