package repo_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

func omittable[T any](v T) graphql.Omittable[*T] { return graphql.OmittableOf(&v) }

func null[T any]() graphql.Omittable[*T] { return graphql.OmittableOf[*T](nil) }

func props(text string) graphql.Omittable[model.Properties] {
	return graphql.OmittableOf(model.Properties(text))
}

func byExternalID(id string) *model.UpsertCustomerInput {
	return &model.UpsertCustomerInput{By: model.CustomerKey{ExternalID: &id}}
}

func byEmail(email string) *model.UpsertCustomerInput {
	return &model.UpsertCustomerInput{By: model.CustomerKey{Email: &email}}
}

// change returns the input after changes.
func change(in *model.UpsertCustomerInput, changes ...func(*model.UpsertCustomerInput)) *model.UpsertCustomerInput {
	for _, c := range changes {
		c(in)
	}
	return in
}

// upsertCustomer is UpsertCustomer, alone or as a batch, whose answer is what the store then has.
func upsertCustomer(t *testing.T, store *repo.Store, policy model.BatchErrorPolicy, in *model.UpsertCustomerInput) *model.UpsertCustomerPayload {
	t.Helper()
	var payload *model.UpsertCustomerPayload
	var err error
	if policy == "" {
		payload, err = store.UpsertCustomer(t.Context(), *in)
	} else {
		var batch *model.UpsertCustomersPayload
		if batch, err = store.UpsertCustomers(t.Context(), []*model.UpsertCustomerInput{in}, policy); err == nil {
			payload = batch.Results[0]
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if payload.Customer != nil {
		stored, err := store.Customer(t.Context(), model.CustomerKey{ID: &payload.Customer.ID})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(stored, payload.Customer); diff != "" {
			t.Errorf("stored and answered differ (-stored +answered)\n%s", diff)
		}
	}
	return payload
}

// upserted is upsertCustomer that must have this outcome.
func upserted(t *testing.T, store *repo.Store, want model.UpsertOutcome, in *model.UpsertCustomerInput) *model.Customer {
	t.Helper()
	payload := upsertCustomer(t, store, "", in)
	if len(payload.UserErrors) > 0 {
		t.Fatalf("%+v", *payload.UserErrors[0])
	}
	if *payload.Outcome != want {
		t.Errorf("the outcome is %s, not %s", *payload.Outcome, want)
	}
	return payload.Customer
}

// policies are the ways to send an input; the first is alone.
var policies = []model.BatchErrorPolicy{"", model.KeepValid, model.RejectAll}

// samples are two values of every property, as sent.
var samples = map[string][2]any{
	"ExternalID":            {new("C-1"), new("c-1")},
	"Email":                 {new("Jane@Doe.com"), new("jane@doe.com")},
	"PhoneNumber":           {new("+14155552671"), new("+4930123456")},
	"FirstName":             {new("Jane"), new("jane")},
	"LastName":              {new("Doe"), new("𝔇oe")},
	"Gender":                {new(model.GenderFemale), new(model.GenderOther)},
	"AccountCreatedAt":      {new(time.Date(2020, 1, 2, 3, 4, 5, 678_000_000, time.UTC)), new(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))},
	"AccountStatus":         {new(model.AccountEnabled), new(model.AccountInvited)},
	"DefaultLanguage":       {new("en"), new("de")},
	"DefaultCurrency":       {new("EUR"), new("VES")},
	"Tags":                  {[]string{"a", "b"}, []string{"a"}},
	"Address":               {&model.AddressInput{City: new("Berlin")}, &model.AddressInput{City: new("Berlin"), Zip: new("10115")}},
	"AcceptsEmailMarketing": {new(true), new(false)},
	"AcceptsSmsMarketing":   {new(false), new(true)},
	"Properties":            {model.Properties(`{"a": 1}`), model.Properties(`{"a": "1"}`)},
}

// properties are the names of the fields of an input that a property can be omitted from: all but by and ifVersion.
func properties() (names []string) {
	for field := range reflect.TypeFor[model.UpsertCustomerInput]().Fields() {
		if strings.HasPrefix(field.Type.Name(), "Omittable[") {
			names = append(names, field.Name)
		}
	}
	return names
}

// setProperty sets a property by name; nil is null.
func setProperty(in *model.UpsertCustomerInput, name string, value any) {
	field := reflect.ValueOf(in).Elem().FieldByName(name)
	of, _ := field.Type().MethodByName("Value")
	v := reflect.Zero(of.Type.Out(0))
	if value != nil {
		v = reflect.ValueOf(value)
	}
	// Omittable has no setter: it reads itself from JSON.
	text, err := json.Marshal(v.Interface())
	if err != nil {
		panic(err)
	}
	switch name {
	case "Properties":
		if value == nil {
			in.Properties = graphql.OmittableOf[model.Properties](nil)
		} else {
			in.Properties = graphql.OmittableOf(value.(model.Properties))
		}
	case "Address":
		address, _ := value.(*model.AddressInput)
		in.Address = graphql.OmittableOf(address)
	default:
		if err := field.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text); err != nil {
			panic(err)
		}
	}
}

// property returns a property of a customer; nil where it has none.
func property(c *model.Customer, name string) any {
	v := reflect.ValueOf(c).Elem().FieldByName(name)
	if v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 || name == "Properties" && string(c.Properties) == "{}" {
		return nil
	}
	return v.Interface()
}

// TestEveryPropertyOfACustomer takes each property that the input has through its life, and sees to it that no other is
// touched.
func TestEveryPropertyOfACustomer(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	names := properties()
	if len(names) != len(samples) {
		t.Fatalf("the input has the properties %v", names)
	}
	ignored := cmpopts.IgnoreFields(model.Customer{}, "Version", "UpdatedAt", "EmailNormalized")
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := repotest.NewStore(t, db, fmt.Sprint("store ", i))
			everything := byExternalID("C-1")
			for _, name := range names {
				setProperty(everything, name, samples[name][0])
			}
			before := upserted(t, store, "CREATED", everything)
			for _, name := range names {
				if diff := cmp.Diff(samples[name][0], property(before, name)); diff != "" {
					t.Errorf("%s at the creation (-sent +stored)\n%s", name, diff)
				}
			}
			step := func(what string, value, want any, outcome model.UpsertOutcome) {
				t.Helper()
				in := &model.UpsertCustomerInput{By: model.CustomerKey{ID: &before.ID}, IfVersion: &before.Version}
				if what != "omitted" {
					setProperty(in, name, value)
				}
				after := upserted(t, store, outcome, in)
				if diff := cmp.Diff(want, property(after, name)); diff != "" {
					t.Errorf("%s (-want +got)\n%s", what, diff)
				}
				if written := outcome == model.OutcomeUpdated; (after.Version == before.Version+1) != written || after.UpdatedAt.After(before.UpdatedAt) != written {
					t.Errorf("%s: version %d of %v became %d of %v", what, before.Version, before.UpdatedAt, after.Version, after.UpdatedAt)
				}
				others := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == name }, cmp.Ignore())
				if diff := cmp.Diff(before, after, ignored, others); diff != "" {
					t.Errorf("%s touched others (-before +after)\n%s", what, diff)
				}
				before = after
			}
			first, second := samples[name][0], samples[name][1]
			step("omitted", nil, first, model.OutcomeUnchanged)
			step("the same again", first, first, model.OutcomeUnchanged)
			step("another", second, second, model.OutcomeUpdated)
			step("omitted", nil, second, model.OutcomeUnchanged)
			step("null", nil, nil, model.OutcomeUpdated)
			step("null again", nil, nil, model.OutcomeUnchanged)
			step("set again", first, first, model.OutcomeUpdated)
			if before.Version != 4 {
				t.Errorf("after three writes the version is %d", before.Version)
			}
		})
	}
}

// faultsOf tells each fault of a payload in a line, with the name of the customer in the way.
func faultsOf(payload *model.UpsertCustomerPayload, names map[uuid.UUID]string) string {
	lines := []string{}
	for _, e := range payload.UserErrors {
		line := fmt.Sprint(e.Code, " ", strings.Join(slices.DeleteFunc(slices.Clone(e.Field), func(s string) bool {
			return s == "input" || s == "inputs" || s == "0"
		}), "."))
		if e.ConflictingID != nil {
			line += " " + names[*e.ConflictingID]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

// TestUpsertCustomer holds the upsert to its table: Jane has both keys and an identity, Bob has an email and Eve an
// externalId.
func TestUpsertCustomer(t *testing.T) {
	t.Parallel()
	nobody := uuid.MustParse("00000000-0000-7000-8000-000000000000")
	identity := func(id string) *model.UpsertCustomerInput {
		return &model.UpsertCustomerInput{By: model.CustomerKey{Identity: &model.PlatformIdentityKey{Platform: "Shopify", PlatformCustomerID: id}}}
	}
	setEmail := func(email string) func(*model.UpsertCustomerInput) {
		return func(in *model.UpsertCustomerInput) { in.Email = omittable(email) }
	}
	setID := func(id string) func(*model.UpsertCustomerInput) {
		return func(in *model.UpsertCustomerInput) { in.ExternalID = omittable(id) }
	}
	setName := func(in *model.UpsertCustomerInput) { in.FirstName = omittable("New") }
	version := func(n int) func(*model.UpsertCustomerInput) {
		return func(in *model.UpsertCustomerInput) { in.IfVersion = &n }
	}
	clearEmail := func(in *model.UpsertCustomerInput) { in.Email = null[string]() }
	clearID := func(in *model.UpsertCustomerInput) { in.ExternalID = null[string]() }
	for _, c := range []struct {
		name  string
		input func(jane *model.Customer) *model.UpsertCustomerInput
		want  string // outcome, externalId, email and first name, or the faults
	}{
		{"an externalId that nobody has makes a customer", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("N"), setName) }, "CREATED N - New"},
		{"an email that nobody has makes a customer, spelled as it was sent", func(*model.Customer) *model.UpsertCustomerInput { return byEmail("New@Example.com") }, "CREATED - New@Example.com -"},
		{"a new customer takes the other key too", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("N"), setEmail("n@example.com"))
		}, "CREATED N n@example.com -"},
		{"a new customer takes the key of the change before that of by", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("N"), setID("M")) }, "CREATED M - -"},
		{"null has nothing to clear in a new customer", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byEmail("n@example.com"), clearID)
		}, "CREATED - n@example.com -"},
		{"an email of nobody that is to be cleared", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byEmail("n@example.com"), clearEmail, setID("N"))
		}, "NOT_FOUND by"},
		{"an externalId of nobody that is to be cleared", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("N"), clearID, setEmail("n@example.com"))
		}, "NOT_FOUND by"},
		{"an externalId is compared byte for byte", func(*model.Customer) *model.UpsertCustomerInput { return byExternalID("JANE") }, "CREATED JANE - -"},
		{"by externalId", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("jane"), setName) }, "UPDATED jane Jane@Doe.com New"},
		{"by email in any spelling, which it keeps", func(*model.Customer) *model.UpsertCustomerInput { return change(byEmail(" JANE@DOE.com."), setName) }, "UPDATED jane Jane@Doe.com New"},
		{"by ID", func(jane *model.Customer) *model.UpsertCustomerInput {
			return change(&model.UpsertCustomerInput{By: model.CustomerKey{ID: &jane.ID}}, setName)
		}, "UPDATED jane Jane@Doe.com New"},
		{"by identity, its platform in any case", func(*model.Customer) *model.UpsertCustomerInput { return change(identity("1"), setName) }, "UPDATED jane Jane@Doe.com New"},
		{"an ID of nobody", func(*model.Customer) *model.UpsertCustomerInput {
			return change(&model.UpsertCustomerInput{By: model.CustomerKey{ID: &nobody}}, setName)
		}, "NOT_FOUND by"},
		{"an identity of nobody", func(*model.Customer) *model.UpsertCustomerInput { return change(identity("2"), setID("N")) }, "NOT_FOUND by"},
		{"a version of nobody", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("N"), version(1)) }, "NOT_FOUND by"},
		{"the version that it has", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setName, version(1))
		}, "UPDATED jane Jane@Doe.com New"},
		{"another version", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setName, version(2))
		}, "VERSION_CONFLICT ifVersion"},
		{"another version, though nothing is new", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("jane"), version(0)) }, "VERSION_CONFLICT ifVersion"},
		{"another version and a key of another customer", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setID("eve"), version(2))
		}, "VERSION_CONFLICT ifVersion"},
		{"nothing at all", func(*model.Customer) *model.UpsertCustomerInput { return byExternalID("jane") }, "UNCHANGED jane Jane@Doe.com Jane"},
		{"the keys that it has", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setID("jane"), setEmail("Jane@Doe.com"))
		}, "UNCHANGED jane Jane@Doe.com Jane"},
		{"its own email in another spelling", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setEmail("jane@doe.com"))
		}, "UPDATED jane jane@doe.com Jane"},
		{"new keys", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setID("j"), setEmail("j@doe.com"))
		}, "UPDATED j j@doe.com Jane"},
		{"no keys", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), clearID, clearEmail)
		}, "UPDATED - - Jane"},
		{"another's email", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setEmail("BOB@example.com"))
		}, "TAKEN email bob"},
		{"another's externalId", func(*model.Customer) *model.UpsertCustomerInput { return change(byExternalID("jane"), setID("eve")) }, "TAKEN externalId eve"},
		{"two keys of two others", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("jane"), setID("eve"), setEmail("bob@example.com"))
		}, "TAKEN externalId eve"},
		{"another's email for a new customer", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byExternalID("N"), setEmail("bob@example.com"))
		}, "TAKEN email bob"},
		{"another's externalId for a new customer", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byEmail("n@example.com"), setID("eve"))
		}, "TAKEN externalId eve"},
		{"its other key, found by the one", func(*model.Customer) *model.UpsertCustomerInput {
			return change(byEmail("jane@doe.com"), setID("jane"))
		}, "UNCHANGED jane Jane@Doe.com Jane"},
		{"two keys in by", func(*model.Customer) *model.UpsertCustomerInput {
			return &model.UpsertCustomerInput{By: model.CustomerKey{ExternalID: new("a"), Email: new("a@b.cd")}}
		}, "INVALID by"},
		{"no key in by", func(*model.Customer) *model.UpsertCustomerInput { return &model.UpsertCustomerInput{} }, "INVALID by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			db, conn := open(t, url, nil), connect(t, url)
			for _, policy := range policies {
				store, _ := repotest.NewStore(t, db, uuid.NewString())
				jane := upserted(t, store, "CREATED", change(byExternalID("jane"), setEmail("Jane@Doe.com"), func(in *model.UpsertCustomerInput) {
					in.FirstName = omittable("Jane")
				}))
				bob, eve := upserted(t, store, "CREATED", byEmail("bob@example.com")), upserted(t, store, "CREATED", byExternalID("eve"))
				upsertOne(t, store, input("1", "jane@doe.com"))
				names := map[uuid.UUID]string{jane.ID: "jane", bob.ID: "bob", eve.ID: "eve"}
				const content = `SELECT string_agg(c::text, ',' ORDER BY id) FROM customers AS c`
				before := one[string](t, conn, content)
				payload := upsertCustomer(t, store, policy, c.input(jane))
				got := faultsOf(payload, names)
				if got == "" {
					is := func(s *string) string {
						if s == nil {
							return "-"
						}
						return *s
					}
					got = fmt.Sprint(*payload.Outcome, " ", is(payload.Customer.ExternalID), " ", is(payload.Customer.Email), " ", is(payload.Customer.FirstName))
				} else if payload.Customer != nil || payload.Outcome != nil {
					t.Errorf("a fault comes with %+v", payload)
				}
				if got != c.want {
					t.Errorf("policy %q: %s, not %s", policy, got, c.want)
				}
				written := payload.Outcome != nil && *payload.Outcome != model.OutcomeUnchanged
				if after := one[string](t, conn, content); (after != before) != written {
					t.Errorf("policy %q: before\n%s\nafter\n%s", policy, before, after)
				}
			}
		})
	}
}

func TestAClearedKeyIsFree(t *testing.T) {
	t.Parallel()
	store, _ := repotest.NewStore(t, repotest.New(t), "store")
	jane := upserted(t, store, "CREATED", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) { in.Email = omittable("jane@doe.com") }))
	upserted(t, store, "UPDATED", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) { in.Email = null[string]() }))
	other := upserted(t, store, "CREATED", byEmail("jane@doe.com"))
	upserted(t, store, "UPDATED", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) { in.ExternalID = null[string]() }))
	third := upserted(t, store, "CREATED", byExternalID("jane"))
	if jane.ID == other.ID || third.ID == jane.ID || third.ID == other.ID {
		t.Errorf("%s, %s and %s", jane.ID, other.ID, third.ID)
	}
}

// TestCustomerProperties merges into {"kept": 1, "gone": 2}.
func TestCustomerProperties(t *testing.T) {
	t.Parallel()
	keys := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(`"k%03d":%d`, i, i))
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	for _, c := range []struct{ name, change, want string }{
		{"a key is added", `{"new": true}`, `{"new": true, "gone": 2, "kept": 1}`},
		{"a key is replaced, whatever it was", `{"gone": "2"}`, `{"gone": "2", "kept": 1}`},
		{"null removes a key", `{"gone": null}`, `{"kept": 1}`},
		{"null removes nothing where nothing is", `{"none": null}`, "UNCHANGED"},
		{"nothing changes nothing", `{}`, "UNCHANGED"},
		{"another spelling of a number is the same", `{"kept": 1e0}`, "UNCHANGED"},
		{"a number loses its exponent", `{"gone": 1e2}`, `{"gone": 100, "kept": 1}`},
		{"a number keeps the digits behind its point", `{"gone": 0.10}`, `{"gone": 0.10, "kept": 1}`},
		{"a number has more digits than a double", `{"gone": 12345678901234567890}`, `{"gone": 12345678901234567890, "kept": 1}`},
		{"text is kept to the letter", `{"gone": "<&>\u2028 𝔇"}`, "{\"gone\": \"<&>\u2028 𝔇\", \"kept\": 1}"},
		{"100 keys come together", strings.Replace(keys(99), "}", `,"gone":null}`, 1), strings.NewReplacer(":", ": ", ",", ", ", "{", `{"kept": 1, `).Replace(keys(99))},
		{"101 keys come together", keys(99), "TOO_LONG properties"},
		{"101 keys at once", keys(101), "TOO_LONG properties"},
		{"16 KiB come together", `{"big":"` + strings.Repeat("x", 16384-len(`{"big": "", "gone": 2, "kept": 1}`)) + `"}`, "UPDATED"},
		{"16 KiB and a byte come together", `{"big":"` + strings.Repeat("x", 16385-len(`{"big": "", "gone": 2, "kept": 1}`)) + `"}`, "TOO_LONG properties"},
		{"many bytes of few letters", `{"big":"` + strings.Repeat("𝔇", 5000) + `"}`, "TOO_LONG properties"},
		{"a number that is short to write and long to keep", strings.ReplaceAll(keys(90), ",", "e300,"), "TOO_LONG properties"},
		{"a number that is too small to keep", `{"gone": 1e-20000}`, "INVALID properties"},
		{"a number that is too large to keep", `{"gone": 1e400}`, "INVALID properties"},
		{"a zero of more digits than can be kept", `{"gone": 0e-20000}`, "INVALID properties"},
		{"a number of more digits than can be kept", `{"gone": 0.` + strings.Repeat("1", 16300) + `e-300}`, "TOO_LONG properties"},
		{"a number too small to keep whose key comes again", `{"gone": 1e-20000, "gone": 3}`, "INVALID properties"},
		{"NUL whose key comes again", `{"gone": "\u0000", "gone": 3}`, "INVALID properties"},
		{"the least number and the longest", `{"gone": 5e-324, "kept": 0.` + strings.Repeat("1", 1022) + `}`, "UPDATED"},
		{"an object in it", `{"a": {}}`, "INVALID properties"},
		{"a list in it", `{"a": []}`, "INVALID properties"},
		{"a key in camel case", `{"aB": 1}`, "INVALID properties"},
		{"NUL", `{"a": "\u0000"}`, "INVALID properties"},
		{"no object", `[]`, "INVALID properties"},
		{"a null of JSON", `null`, "INVALID properties"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store, _ := repotest.NewStore(t, repotest.New(t), "store")
			first := upserted(t, store, "CREATED", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) {
				in.Properties = props(`{"kept": 1, "gone": 2, "none": null}`)
			}))
			if string(first.Properties) != `{"gone": 2, "kept": 1}` {
				t.Errorf("it begins with %s", first.Properties)
			}
			payload := upsertCustomer(t, store, "", change(byExternalID("jane"), func(in *model.UpsertCustomerInput) { in.Properties = props(c.change) }))
			got := faultsOf(payload, nil)
			switch {
			case got != "":
			case *payload.Outcome == model.OutcomeUnchanged || strings.HasPrefix(c.want, "U"):
				got = string(*payload.Outcome)
			default:
				got = string(payload.Customer.Properties)
			}
			if diff := cmp.Diff(members(c.want), members(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// members returns the members of a flat object, whose order PostgreSQL chooses.
func members(object string) []string {
	all := strings.Split(strings.Trim(object, "{}"), ", ")
	slices.Sort(all)
	return all
}

// TestOneIDInTwoStores changes customers of two stores that have the same ID, as an import can give it.
func TestOneIDInTwoStores(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	id, _ := model.NewID()
	var stores []*repo.Store
	for _, name := range []string{"a", "b"} {
		store, _ := repotest.NewStore(t, db, name)
		of := byExternalID("C-" + name)
		of.FirstName, of.Origin.ID = omittable(name), &id
		batch, err := store.UpsertCustomers(t.Context(), []*model.UpsertCustomerInput{of, byExternalID("other")}, model.RejectAll)
		if err != nil || batch.CreatedCount() != 2 {
			t.Fatal(batch, err)
		}
		stores = append(stores, store)
	}
	for i, name := range []string{"b", "a"} { // not in the order of their rows
		for _, others := range [][]*model.UpsertCustomerInput{nil, {byExternalID("other")}} { // alone and in a set
			change := &model.UpsertCustomerInput{By: model.CustomerKey{ID: &id}, LastName: omittable(fmt.Sprint("Doe ", len(others)))}
			batch, err := stores[1-i].UpsertCustomers(t.Context(), append([]*model.UpsertCustomerInput{change}, others...), model.RejectAll)
			if err != nil || batch.UpdatedCount() != 1 {
				t.Fatal(batch, err)
			}
			got := batch.Results[0].Customer
			if *got.ExternalID != "C-"+name || *got.FirstName != name || got.Version != 2+len(others) {
				t.Errorf("%s with %d others: %+v", name, len(others), got)
			}
		}
	}
}
