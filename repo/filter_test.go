package repo_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// span reports whether t is in the range.
func span(r *model.DateTimeRange, t time.Time) bool {
	return r == nil || (r.From == nil || !t.Before(*r.From)) && (r.To == nil || t.Before(*r.To))
}

func TestCustomerFilters(t *testing.T) {
	t.Parallel()
	store, customers, identities := fill(t, repotest.URL(t), 90)
	on := map[uuid.UUID]map[string]bool{}
	searched := map[uuid.UUID][]string{}
	for _, c := range customers {
		searched[c.ID] = []string{deref(c.Email), deref(c.FirstName), deref(c.LastName), deref(c.PhoneNumber), deref(c.ExternalID)}
	}
	for _, i := range identities {
		searched[i.CustomerID] = append(searched[i.CustomerID], *i.Email, *i.PlatformCustomerID)
		if on[i.CustomerID] == nil {
			on[i.CustomerID] = map[string]bool{}
		}
		on[i.CustomerID][i.Platform] = true
	}
	newest, middle, oldest := customers[0], customers[45], customers[89]
	some := []uuid.UUID{middle.ID, oldest.ID, uuid.New(), identities[0].ID, middle.ID}
	updated := middle.UpdatedAt
	withID := customers[slices.IndexFunc(customers, func(c *model.Customer) bool { return c.ExternalID != nil })]
	withPhone := customers[slices.IndexFunc(customers, func(c *model.Customer) bool { return c.PhoneNumber != nil })]
	filters := map[string]*model.CustomerFilter{
		"nothing asked":               {},
		"no IDs":                      {IDs: []uuid.UUID{}},
		"some IDs":                    {IDs: some},
		"an email in any spelling":    {Email: new(" CUSTOMER7@Example.com.")},
		"an unknown email":            {Email: new("nobody@example.com")},
		"a platform in any spelling":  {Platform: new("SHOPIFY")},
		"an unknown platform":         {Platform: new("absent")},
		"created from":                {CreatedAt: &model.DateTimeRange{From: &middle.CreatedAt}},
		"created up to":               {CreatedAt: &model.DateTimeRange{To: &middle.CreatedAt}},
		"created between":             {CreatedAt: &model.DateTimeRange{From: &oldest.CreatedAt, To: &newest.CreatedAt}},
		"created in an open range":    {CreatedAt: &model.DateTimeRange{}},
		"created in an empty range":   {CreatedAt: &model.DateTimeRange{From: &newest.CreatedAt, To: &oldest.CreatedAt}},
		"updated from":                {UpdatedAt: &model.DateTimeRange{From: &updated}},
		"updated up to":               {UpdatedAt: &model.DateTimeRange{To: &updated}},
		"updated at one microsecond":  {UpdatedAt: &model.DateTimeRange{From: &updated, To: new(updated.Add(time.Microsecond))}},
		"updated after a nanosecond":  {UpdatedAt: &model.DateTimeRange{From: new(updated.Add(1))}},
		"updated before a nanosecond": {UpdatedAt: &model.DateTimeRange{To: new(updated.Add(1))}},
		"all at once": {
			IDs: []uuid.UUID{newest.ID, middle.ID, oldest.ID}, Email: middle.Email, Platform: new(anyOf(on[middle.ID])),
			CreatedAt: &model.DateTimeRange{From: &oldest.CreatedAt}, UpdatedAt: &model.DateTimeRange{From: &updated},
		},
		"no external IDs":                      {ExternalIDs: []string{}},
		"some external IDs":                    {ExternalIDs: []string{*withID.ExternalID, "unknown"}},
		"a phone number in any notation":       {PhoneNumber: new(" " + (*withPhone.PhoneNumber)[:2] + " (" + (*withPhone.PhoneNumber)[2:5] + ") " + (*withPhone.PhoneNumber)[5:])},
		"no tags":                              {Tags: []string{}},
		"a tag":                                {Tags: []string{"a"}},
		"two tags":                             {Tags: []string{"c, d", " b "}},
		"two tags that nobody has":             {Tags: []string{"a", "c, d"}},
		"no account status":                    {AccountStatus: []model.AccountStatus{}},
		"an account status":                    {AccountStatus: []model.AccountStatus{model.AccountInvited}},
		"two account statuses":                 {AccountStatus: []model.AccountStatus{model.AccountEnabled, model.AccountDisabled}},
		"a tag, updated from":                  {Tags: []string{"b"}, UpdatedAt: &model.DateTimeRange{From: &updated}},
		"a fragment of emails":                 {Search: new("OMER1")},
		"a fragment of an external ID":         {Search: new("e-" + withID.ID.String()[:30])},
		"a fragment that all identities have":  {Search: new("example.COM")},
		"a fragment that nobody has":           {Search: new("nobody")},
		"a fragment, a platform and a status":  {Search: new("customer"), Platform: new("magento"), AccountStatus: []model.AccountStatus{model.AccountEnabled}},
		"a fragment of a name outside ASCII":   {Search: new("ärz")},
		"a fragment, created and updated from": {Search: new("@exam"), CreatedAt: &model.DateTimeRange{From: &middle.CreatedAt}, UpdatedAt: &model.DateTimeRange{From: &updated}},
		"a platform and a range":               {Platform: new("magento"), CreatedAt: &model.DateTimeRange{From: &middle.CreatedAt}, UpdatedAt: &model.DateTimeRange{To: &updated}},
	}
	for name, f := range filters {
		t.Run(name, func(t *testing.T) {
			keep := func(c *model.Customer) bool {
				return (f.IDs == nil || slices.Contains(f.IDs, c.ID)) &&
					(f.Email == nil || deref(c.EmailNormalized) == strings.Trim(strings.ToLower(*f.Email), " .")) &&
					(f.ExternalIDs == nil || slices.Contains(f.ExternalIDs, deref(c.ExternalID)) && c.ExternalID != nil) &&
					(f.PhoneNumber == nil || deref(c.PhoneNumber) == *withPhone.PhoneNumber) &&
					!slices.ContainsFunc(f.Tags, func(tag string) bool { return !slices.Contains(c.Tags, strings.TrimSpace(tag)) }) &&
					(f.AccountStatus == nil || c.AccountStatus != nil && slices.Contains(f.AccountStatus, *c.AccountStatus)) &&
					(f.Search == nil || slices.ContainsFunc(searched[c.ID], func(text string) bool {
						return strings.Contains(strings.ToLower(text), strings.ToLower(*f.Search))
					})) &&
					(f.Platform == nil || on[c.ID][strings.ToLower(*f.Platform)]) &&
					span(f.CreatedAt, c.CreatedAt) && span(f.UpdatedAt, c.UpdatedAt)
			}
			for field, value := range customerValues {
				by := &model.CustomerOrder{Field: field, Direction: model.Descending}
				want := sorted(customers, keep, customerID, value, model.Descending)
				l := customerList(t.Context(), store, f, by, want)
				if ids, _, _, err := l.page(model.PageArgs{First: new(100)}); err != nil || !slices.Equal(ids, want) {
					t.Errorf("%s: got %v, %v, want %v", l.name, ids, err, want)
				}
				page, err := store.Customers(t.Context(), f, by, model.PageArgs{First: new(1)})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := store.CountCustomers(t.Context(), page.Filter); err != nil || n != len(want) {
					t.Errorf("counted %d of %d, %v", n, len(want), err)
				}
			}
		})
	}
}

// TestSearch looks for fragments of two customers, one of them with all that is searched, in one store of two.
func TestSearch(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	store, _ := repotest.NewStore(t, db, "store")
	other, _ := repotest.NewStore(t, db, "other")
	in := change(byExternalID(`ERP-100%_\7`), func(in *model.UpsertCustomerInput) {
		in.Email, in.PhoneNumber = omittable("Zoe@Bücher.example"), omittable("+1 (415) 555-2671")
		in.FirstName, in.LastName = omittable("Zoe\u0308 王小明"), omittable("ÄRGER-ΟΔΟΣ Иванов")
	})
	jane := upserted(t, store, model.OutcomeCreated, in)
	upsertOne(t, store, input("gid://Shopify/7", "zoe@bücher.EXAMPLE"))
	upsertOne(t, store, input("gid://Shopify/7", "moved+1@elsewhere.example"))
	john := upsertOne(t, store, named("8", "john@doe.com", new("John"), nil)).CustomerIdentity
	upsertOne(t, other, named("9", "john@doe.com", new("John"), nil))
	for fragment, want := range map[string][]uuid.UUID{
		"exa":                    {jane.ID},
		"ZOE@":                   {jane.ID},
		"@büCHER":                {jane.ID},
		"bu\u0308ch":             {jane.ID},
		"5552671":                {jane.ID},
		"+14":                    {jane.ID},
		"zoë":                    {jane.ID},
		"王小明":                    {jane.ID},
		"小明王":                    nil,
		"ärger-":                 {jane.ID},
		"Ärger-οδος":             {jane.ID},
		"ΙΒΑ":                    nil,
		"иван":                   {jane.ID},
		"p-100%_\\7":             {jane.ID},
		"100%":                   {jane.ID},
		"1_0":                    nil,
		"p-1%7":                  nil,
		"qerp":                   nil,
		"pz100":                  nil,
		"://sh":                  {jane.ID},
		"moved+1@":               {jane.ID},
		"  elsewhere  ":          {jane.ID},
		"john@doe.com":           {john.CustomerID},
		"JOHN":                   {john.CustomerID},
		"com\u00a0john":          nil, // in two fields
		"o@d":                    nil,
		strings.Repeat("x", 100): nil,
	} {
		page, err := store.Customers(t.Context(), &model.CustomerFilter{Search: &fragment}, nil, model.PageArgs{})
		if err != nil {
			t.Errorf("%q: %v", fragment, err)
			continue
		}
		if ids, _, _ := read(page.Connection, customerID); !slices.Equal(ids, want) {
			t.Errorf("%q finds %v, want %v", fragment, ids, want)
		}
		if n, err := store.CountCustomers(t.Context(), page.Filter); err != nil || n != len(want) {
			t.Errorf("%q: counted %d of %d, %v", fragment, n, len(want), err)
		}
	}
	for _, fragment := range []string{"", "ab", " ab ", "e\u0308a", "a\x00bc", "a\nbc", "---", "a--", "\xff\xff\xff", strings.Repeat("x", 101)} {
		_, err := store.Customers(t.Context(), &model.CustomerFilter{Search: &fragment}, nil, model.PageArgs{})
		if refused, ok := errors.AsType[*model.Error](err); !ok || refused.Code != model.CodeBadUserInput || refused.Field != "filter.search" {
			t.Errorf("%q: %v", fragment, err)
		}
	}
	upserted(t, store, model.OutcomeUpdated, change(byExternalID(`ERP-100%_\7`), func(in *model.UpsertCustomerInput) {
		in.FirstName = null[string]()
	}))
	for fragment, want := range map[string]int{"zoë": 0, "王小明": 0, "иванов": 1, "zoe@": 1} {
		page, err := store.Customers(t.Context(), &model.CustomerFilter{Search: &fragment}, nil, model.PageArgs{})
		if err != nil || len(page.Nodes) != want {
			t.Errorf("after a change %q finds %+v, %v", fragment, page, err)
		}
	}
}

func anyOf(set map[string]bool) (member string) {
	for member = range set {
		break
	}
	return member
}

func TestIdentityFilters(t *testing.T) {
	t.Parallel()
	store, customers, identities := fill(t, repotest.URL(t), 40)
	middle := identities[len(identities)/2]
	filters := map[string]*model.CustomerIdentityFilter{
		"nothing asked":              {},
		"an email in any spelling":   {Email: new(strings.ToUpper(*middle.Email))},
		"a platform in any spelling": {Platform: new("Magento")},
		"an unknown platform":        {Platform: new("absent")},
		"a customer":                 {CustomerID: &customers[3].ID},
		"an unknown customer":        {CustomerID: &identities[0].ID},
		"created from":               {CreatedAt: &model.DateTimeRange{From: &middle.CreatedAt}},
		"created up to":              {CreatedAt: &model.DateTimeRange{To: &middle.CreatedAt}},
		"updated from":               {UpdatedAt: &model.DateTimeRange{From: &middle.UpdatedAt}},
		"all at once": {
			Email: middle.Email, Platform: &middle.Platform, CustomerID: &middle.CustomerID,
			CreatedAt: &model.DateTimeRange{From: &middle.CreatedAt}, UpdatedAt: &model.DateTimeRange{To: new(middle.UpdatedAt.Add(1))},
		},
	}
	for name, f := range filters {
		t.Run(name, func(t *testing.T) {
			keep := func(i *model.CustomerIdentity) bool {
				return (f.Email == nil || *i.EmailNormalized == strings.ToLower(*f.Email)) &&
					(f.Platform == nil || i.Platform == strings.ToLower(*f.Platform)) &&
					(f.CustomerID == nil || i.CustomerID == *f.CustomerID) &&
					span(f.CreatedAt, i.CreatedAt) && span(f.UpdatedAt, i.UpdatedAt)
			}
			for field, value := range identityValues {
				by := &model.CustomerIdentityOrder{Field: field, Direction: model.Ascending}
				want := sorted(identities, keep, identityID, value, model.Ascending)
				l := identityList(t.Context(), store, f, by, want)
				if ids, _, _, err := l.page(model.PageArgs{First: new(100)}); err != nil || !slices.Equal(ids, want) {
					t.Errorf("%s: got %v, %v, want %v", l.name, ids, err, want)
				}
				page, err := store.CustomerIdentities(t.Context(), f, by, model.PageArgs{First: new(1)})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := store.CountCustomerIdentities(t.Context(), page.Filter); err != nil || n != len(want) {
					t.Errorf("counted %d of %d, %v", n, len(want), err)
				}
			}
		})
	}
}

// TestCreatedAtBoundaries puts the ends of a range around a customer's createdAt, which is told to the millisecond.
func TestCreatedAtBoundaries(t *testing.T) {
	t.Parallel()
	store, _ := repotest.NewStore(t, repotest.New(t), "store")
	at := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity.CreatedAt
	if at.Nanosecond()%int(time.Millisecond) != 0 {
		t.Fatalf("createdAt is %v", at)
	}
	for _, offset := range []time.Duration{-time.Hour, -time.Millisecond, -time.Microsecond, -1, 0, 1, 500, time.Microsecond, time.Millisecond - 1, time.Millisecond, time.Hour} {
		end := at.Add(offset)
		for _, c := range []struct {
			in   model.DateTimeRange
			want bool
		}{
			{model.DateTimeRange{From: &end}, !at.Before(end)},
			{model.DateTimeRange{To: &end}, at.Before(end)},
			{model.DateTimeRange{From: new(at.Add(-time.Minute)), To: &end}, at.Before(end) && offset > -time.Minute},
		} {
			customers, err := store.Customers(t.Context(), &model.CustomerFilter{CreatedAt: &c.in}, nil, model.PageArgs{})
			if err != nil {
				t.Fatal(err)
			}
			identities, err := store.CustomerIdentities(t.Context(), &model.CustomerIdentityFilter{CreatedAt: &c.in}, nil, model.PageArgs{})
			if err != nil {
				t.Fatal(err)
			}
			if len(customers.Nodes) == 1 != c.want || len(identities.Nodes) == 1 != c.want {
				t.Errorf("created at %v: in %v: %d customers and %d identities", at, c.in, len(customers.Nodes), len(identities.Nodes))
			}
		}
	}
	for _, year := range []int{0, 1, 1969, 9999} {
		far := time.Date(year, 1, 1, 0, 0, 0, 1, time.UTC)
		page, err := store.Customers(t.Context(), &model.CustomerFilter{
			CreatedAt: &model.DateTimeRange{From: &far}, UpdatedAt: &model.DateTimeRange{From: &far},
		}, nil, model.PageArgs{})
		if err != nil || len(page.Nodes) == 1 != (year < 2000) {
			t.Errorf("from the year %d: %+v, %v", year, page, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	store, _ := repotest.NewStore(t, db, "store")
	other, _ := repotest.NewStore(t, db, "other")
	i := upsertOne(t, store, input("1", "Jane@Doe.com")).CustomerIdentity
	identity := func(platform, id string) *model.PlatformIdentityKey {
		return &model.PlatformIdentityKey{Platform: platform, PlatformCustomerID: id}
	}
	for name, c := range map[string]struct {
		by   model.CustomerKey
		want bool
	}{
		"its ID":                          {model.CustomerKey{ID: &i.CustomerID}, true},
		"its email in any spelling":       {model.CustomerKey{Email: new("JANE@doe.com ")}, true},
		"an identity":                     {model.CustomerKey{Identity: identity("Shopify", "1")}, true},
		"the ID of its identity":          {model.CustomerKey{ID: &i.ID}, false},
		"an unknown ID":                   {model.CustomerKey{ID: new(uuid.New())}, false},
		"an unknown email":                {model.CustomerKey{Email: new("nobody@doe.com")}, false},
		"an unknown identity":             {model.CustomerKey{Identity: identity("shopify", "2")}, false},
		"an identity of another platform": {model.CustomerKey{Identity: identity("magento", "1")}, false},
	} {
		got, err := store.Customer(t.Context(), c.by)
		if err != nil || (got != nil && got.ID == i.CustomerID) != c.want || got != nil != c.want {
			t.Errorf("by %s: %+v, %v", name, got, err)
		}
		if got, err := other.Customer(t.Context(), c.by); got != nil || err != nil {
			t.Errorf("by %s, from another store: %+v, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct {
		by   model.CustomerIdentityKey
		want bool
	}{
		"its ID":                 {model.CustomerIdentityKey{ID: &i.ID}, true},
		"its platform identity":  {model.CustomerIdentityKey{PlatformIdentity: identity("SHOPIFY", "1")}, true},
		"the ID of its customer": {model.CustomerIdentityKey{ID: &i.CustomerID}, false},
		"an unknown one":         {model.CustomerIdentityKey{PlatformIdentity: identity("shopify", "11")}, false},
	} {
		got, err := store.CustomerIdentity(t.Context(), c.by)
		if err != nil || got != nil != c.want {
			t.Errorf("by %s: %+v, %v", name, got, err)
		}
		if got, err := other.CustomerIdentity(t.Context(), c.by); got != nil || err != nil {
			t.Errorf("by %s, from another store: %+v, %v", name, got, err)
		}
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	store, _ := repotest.NewStore(t, db, "store")
	other, _ := repotest.NewStore(t, db, "other")
	i := upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity
	kinds := func(s *repo.Store) (got []string) {
		t.Helper()
		nodes, err := s.Nodes(t.Context(), []uuid.UUID{i.ID, uuid.New(), i.CustomerID, store.ID(), i.ID, uuid.Nil})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			got = append(got, fmt.Sprintf("%T", n))
		}
		return got
	}
	want := []string{"*model.CustomerIdentity", "<nil>", "*model.Customer", "*model.Store", "*model.CustomerIdentity", "<nil>"}
	if diff := cmp.Diff(want, kinds(store)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(slices.Repeat([]string{"<nil>"}, 6), kinds(other)); diff != "" {
		t.Errorf("from another store (-want +got)\n%s", diff)
	}
	_, err := store.Nodes(t.Context(), make([]uuid.UUID, model.MaxListed+1))
	if refused, ok := errors.AsType[*model.Error](err); !ok || refused.Code != model.CodeBadUserInput {
		t.Errorf("too many IDs: %v", err)
	}
	if nodes, err := store.Nodes(t.Context(), nil); err != nil || len(nodes) != 0 {
		t.Errorf("no IDs: %v, %v", nodes, err)
	}
}

// TestSearchForWhatIsPartlyCommon looks for fragments that are rare in all, of parts that most rows have: what an index is not
// asked for then must be looked for all the same.
func TestSearchForWhatIsPartlyCommon(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	store, _ := repotest.NewStore(t, db, "store")
	const customers, batch = 750, 250
	searched := map[uuid.UUID][]string{}
	var ids []uuid.UUID // newest first
	for from := 0; from < customers; from += batch {
		var inputs []*model.UpsertCustomerIdentityInput
		for i := from; i < from+batch; i++ {
			email := fmt.Sprintf("%s%03d@%s%[2]d.example", []string{"jane.50%", "иван_", "zoë+", "王小明"}[i%4], i, []string{"gmail", "corp-mail"}[i/4%2])
			inputs = append(inputs, &model.UpsertCustomerIdentityInput{Platform: "shop", PlatformCustomerID: fmt.Sprintf(`gid://Shop\%d`, i*i), Email: email})
		}
		created, err := store.UpsertCustomerIdentities(t.Context(), inputs, model.KeepValid)
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range created.Results {
			if result.CustomerIdentity == nil {
				t.Fatalf("%+v", result.UserErrors)
			}
			id := result.CustomerIdentity.CustomerID
			ids = append(ids, id)
			searched[id] = []string{strings.ToLower(inputs[i].PlatformCustomerID), inputs[i].Email}
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(b[:], a[:]) })
	twoLetters, random := regexp.MustCompile(`[\pL\pN].*[\pL\pN]`), rand.New(rand.NewPCG(1, 2))
	for range 150 {
		texts := searched[ids[random.IntN(customers)]]
		text := []rune(texts[random.IntN(len(texts))])
		from := random.IntN(len(text) - 2)
		fragment := string(text[from : from+3+random.IntN(len(text)-from-2)])
		if !twoLetters.MatchString(fragment) {
			continue // the search refuses it
		}
		want := slices.DeleteFunc(slices.Clone(ids), func(id uuid.UUID) bool {
			return !slices.ContainsFunc(searched[id], func(text string) bool { return strings.Contains(text, fragment) })
		})
		page, err := store.Customers(t.Context(), &model.CustomerFilter{Search: &fragment}, nil, model.PageArgs{First: new(100)})
		if err != nil {
			t.Fatalf("%q: %v", fragment, err)
		}
		if got, _, _ := read(page.Connection, customerID); !slices.Equal(got, want[:min(len(want), 100)]) {
			t.Errorf("%q finds %d, want %d", fragment, len(got), len(want))
		}
		if n, err := store.CountCustomers(t.Context(), page.Filter); err != nil || n != len(want) {
			t.Errorf("%q: counted %d of %d, %v", fragment, n, len(want), err)
		}
	}
}
