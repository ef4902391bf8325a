package repo_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// fill writes customers with one to three identities each, with ties in all that a page can be sorted by, a quarter of
// them without an email, and a second store with the same, which no page may show.
func fill(t *testing.T, url string, customers int) (*repo.Store, []*model.Customer, []*model.CustomerIdentity) {
	t.Helper()
	db := open(t, url, nil)
	store, _ := repotest.NewStore(t, db, "store")
	other, _ := repotest.NewStore(t, db, "other")
	random := rand.New(rand.NewPCG(1, uint64(customers)))
	var inputs []*model.UpsertCustomerIdentityInput
	for i := range customers {
		for j := range 1 + random.IntN(3) {
			in := named(fmt.Sprint(random.Uint32()), fmt.Sprintf("Customer%d@example.com", i), nil, nil)
			in.Platform = []string{"shopify", "woocommerce", "magento"}[(i+j)%3]
			if name := []string{"", "Doe", "doe", "Ärzte", "Zoë", "𝔇"}[random.IntN(6)]; j == 0 && name != "" {
				in.LastName = &name
			}
			inputs = append(inputs, in)
		}
	}
	random.Shuffle(len(inputs), func(i, j int) { inputs[i], inputs[j] = inputs[j], inputs[i] })
	for set := range slices.Chunk(inputs, 50) {
		for _, s := range []*repo.Store{store, other} {
			if payload := upsertBatch(t, s, model.RejectAll, set...); payload.CreatedCount() != len(set) {
				t.Fatalf("created %d of %d", payload.CreatedCount(), len(set))
			}
		}
	}
	// Few distinct times, to the microsecond.
	conn := connect(t, url)
	for _, table := range []string{"customers", "customer_identities"} {
		if _, err := conn.Exec(t.Context(), `UPDATE `+table+`
			SET updated_at = '2020-03-09T14:02:06Z'::timestamptz + abs(hashtext(id::text) % 7) * interval '1 microsecond'`); err != nil {
			t.Fatal(err)
		}
	}
	run(t, conn, `UPDATE customers
		SET email = CASE WHEN kept THEN email END, email_normalized = CASE WHEN kept THEN email_normalized END,
			external_id = CASE WHEN hash % 2 = 0 THEN 'E-' || id END, phone_number = CASE WHEN hash % 3 = 0 THEN '+1415555000' || hash % 7 END,
			account_status = (ARRAY['ENABLED', 'DISABLED', 'INVITED', NULL])[1 + hash % 4],
			tags = (ARRAY['{}', '{a}', '{a,b}', '{b,"c, d"}'])[1 + hash % 4]::text[]
		FROM (SELECT id AS of, abs(hashtext(id::text)::bigint) AS hash, hashtext(id::text) % 4 <> 0 OR email LIKE 'Customer7@%' AS kept
			FROM customers) AS each
		WHERE of = id`)
	return store, everyCustomer(t, store), everyIdentity(t, store)
}

func everyCustomer(t *testing.T, store *repo.Store) (all []*model.Customer) {
	t.Helper()
	args := model.PageArgs{First: new(100)}
	for {
		page, err := store.Customers(t.Context(), nil, nil, args)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Nodes...)
		if !page.PageInfo().HasNextPage {
			return all
		}
		args.After = page.PageInfo().EndCursor
	}
}

func everyIdentity(t *testing.T, store *repo.Store) (all []*model.CustomerIdentity) {
	t.Helper()
	args := model.PageArgs{First: new(100)}
	for {
		page, err := store.CustomerIdentities(t.Context(), nil, nil, args)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Nodes...)
		if !page.PageInfo().HasNextPage {
			return all
		}
		args.After = page.PageInfo().EndCursor
	}
}

// list is a list that can be paged through, and the IDs that it must give.
type list struct {
	name string
	want []uuid.UUID
	page func(model.PageArgs) (ids []uuid.UUID, cursors []string, info *model.PageInfo, err error)
}

// sorted returns the IDs of the rows that are kept, by a value and then by ID, descending or not.
func sorted[T any](rows []*T, keep func(*T) bool, id func(*T) uuid.UUID, value func(*T) string, direction model.OrderDirection) []uuid.UUID {
	var kept []*T
	for _, row := range rows {
		if keep == nil || keep(row) {
			kept = append(kept, row)
		}
	}
	slices.SortFunc(kept, func(a, b *T) int {
		x, y := id(a), id(b)
		return cmp.Or(strings.Compare(value(a), value(b)), slices.Compare(x[:], y[:]))
	})
	if direction == model.Descending {
		slices.Reverse(kept)
	}
	ids := make([]uuid.UUID, len(kept))
	for i, row := range kept {
		ids[i] = id(row)
	}
	return ids
}

const microseconds = "2006-01-02T15:04:05.000000"

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func customerID(c *model.Customer) uuid.UUID         { return c.ID }
func identityID(i *model.CustomerIdentity) uuid.UUID { return i.ID }

var customerValues = map[model.CustomerOrderField]func(*model.Customer) string{
	model.CustomersByCreatedAt: func(*model.Customer) string { return "" }, // IDs are in the order of creation
	model.CustomersByUpdatedAt: func(c *model.Customer) string { return c.UpdatedAt.Format(microseconds) },
	model.CustomersByEmail:     func(c *model.Customer) string { return deref(c.EmailNormalized) },
	model.CustomersByLastName:  func(c *model.Customer) string { return deref(c.LastName) },
}

var identityValues = map[model.CustomerIdentityOrderField]func(*model.CustomerIdentity) string{
	model.IdentitiesByCreatedAt: func(*model.CustomerIdentity) string { return "" },
	model.IdentitiesByUpdatedAt: func(i *model.CustomerIdentity) string { return i.UpdatedAt.Format(microseconds) },
	model.IdentitiesByPlatform:  func(i *model.CustomerIdentity) string { return i.Platform },
}

func read[T any](c model.Connection[T], id func(*T) uuid.UUID) (ids []uuid.UUID, cursors []string, info *model.PageInfo) {
	for i, edge := range c.Edges() {
		if edge.Node != c.Nodes[i] {
			panic("edges and nodes differ")
		}
		ids, cursors = append(ids, id(edge.Node)), append(cursors, edge.Cursor)
	}
	return ids, cursors, c.PageInfo()
}

func customerList(ctx context.Context, store *repo.Store, filter *model.CustomerFilter, by *model.CustomerOrder, want []uuid.UUID) list {
	return list{
		fmt.Sprintf("customers by %s %s", by.Field, by.Direction), want,
		func(args model.PageArgs) ([]uuid.UUID, []string, *model.PageInfo, error) {
			page, err := store.Customers(ctx, filter, by, args)
			if err != nil {
				return nil, nil, nil, err
			}
			ids, cursors, info := read(page.Connection, customerID)
			return ids, cursors, info, nil
		},
	}
}

func identityList(ctx context.Context, store *repo.Store, filter *model.CustomerIdentityFilter, by *model.CustomerIdentityOrder, want []uuid.UUID) list {
	return list{
		fmt.Sprintf("identities by %s %s", by.Field, by.Direction), want,
		func(args model.PageArgs) ([]uuid.UUID, []string, *model.PageInfo, error) {
			page, err := store.CustomerIdentities(ctx, filter, by, args)
			if err != nil {
				return nil, nil, nil, err
			}
			ids, cursors, info := read(page.Connection, identityID)
			return ids, cursors, info, nil
		},
	}
}

// lists returns every list of a filled store in every order.
func lists(ctx context.Context, store *repo.Store, customers []*model.Customer, identities []*model.CustomerIdentity) (all []list) {
	for _, direction := range []model.OrderDirection{model.Ascending, model.Descending} {
		for field, value := range customerValues {
			by := &model.CustomerOrder{Field: field, Direction: direction}
			all = append(all, customerList(ctx, store, nil, by, sorted(customers, nil, customerID, value, direction)))
		}
		for field, value := range identityValues {
			by := &model.CustomerIdentityOrder{Field: field, Direction: direction}
			all = append(all, identityList(ctx, store, nil, by, sorted(identities, nil, identityID, value, direction)))
		}
	}
	of := customers[0].ID
	mine := func(i *model.CustomerIdentity) bool { return i.CustomerID == of }
	want := sorted(identities, mine, identityID, identityValues[model.IdentitiesByCreatedAt], model.Ascending)
	return append(all, list{
		"identities of a customer", want,
		func(args model.PageArgs) ([]uuid.UUID, []string, *model.PageInfo, error) {
			page, err := store.IdentityPage(of, nil, args)
			if err != nil {
				return nil, nil, nil, err
			}
			pages, err := store.IdentityPages(ctx, []uuid.UUID{of}, page)
			if err != nil {
				return nil, nil, nil, err
			}
			ids, cursors, info := read(pages[of].Connection, identityID)
			return ids, cursors, info, nil
		},
	})
}

func TestPagesVisitEverythingOnceInOrder(t *testing.T) {
	t.Parallel()
	store, customers, identities := fill(t, repotest.URL(t), 150)
	if len(customers) != 150 || len(identities) < 200 {
		t.Fatalf("%d customers and %d identities", len(customers), len(identities))
	}
	for _, l := range lists(t.Context(), store, customers, identities) {
		t.Run(l.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 4))
			for range 3 {
				walk(t, l, random, true)
				walk(t, l, random, false)
				between(t, l, random)
			}
		})
	}
}

// walk pages through the whole list in pages of random length.
func walk(t *testing.T, l list, random *rand.Rand, forward bool) {
	t.Helper()
	var got []uuid.UUID
	var args model.PageArgs
	for {
		size := 1 + random.IntN(60)
		left := len(l.want) - len(got)
		if forward {
			args.First = &size
		} else {
			args.Last = &size
		}
		ids, cursors, info, err := l.page(args)
		if err != nil {
			t.Fatal(err)
		}
		more, behind := info.HasNextPage, info.HasPreviousPage
		if !forward {
			more, behind = behind, more
		}
		if len(ids) != min(size, left) || more != (left > size) || behind != (len(got) > 0) {
			t.Fatalf("with %d to come and %d seen, a page of %d has %d rows, more: %t, behind: %t",
				left, len(got), size, len(ids), more, behind)
		}
		if *info.StartCursor != cursors[0] || *info.EndCursor != cursors[len(cursors)-1] {
			t.Fatal("the page's cursors are not those of its edges")
		}
		if forward {
			got, args.After = append(got, ids...), info.EndCursor
		} else {
			got, args.Before = append(ids, got...), info.StartCursor
		}
		if !more {
			break
		}
	}
	if !slices.Equal(got, l.want) {
		t.Errorf("forward: %t: got\n%v, want\n%v", forward, got, l.want)
	}
}

// between asks for a page with both cursors, from either end of what lies between.
func between(t *testing.T, l list, random *rand.Rand) {
	t.Helper()
	_, cursors, _, err := l.page(model.PageArgs{First: new(100)})
	if err != nil {
		t.Fatal(err)
	}
	a, b := random.IntN(len(cursors)), random.IntN(len(cursors))
	a, b = min(a, b), max(a, b)
	size := 1 + random.IntN(20)
	inside := l.want[min(a+1, b):b]
	n := min(size, len(inside))
	for _, forward := range []bool{true, false} {
		args := model.PageArgs{After: &cursors[a], Before: &cursors[b], First: &size}
		want := inside[:n]
		if !forward {
			args.First, args.Last, want = nil, &size, inside[len(inside)-n:]
		}
		ids, _, info, err := l.page(args)
		if err != nil {
			t.Fatal(err)
		}
		hasNext, hasPrevious := len(inside) > n, true
		if !forward {
			hasNext, hasPrevious = hasPrevious, hasNext
		}
		if !slices.Equal(ids, want) || info.HasNextPage != hasNext || info.HasPreviousPage != hasPrevious {
			t.Errorf("between %d and %d, %d rows, forward: %t: got %v, %+v, want %v", a, b, size, forward, ids, info, want)
		}
		if len(ids) == 0 && (info.StartCursor != nil || info.EndCursor != nil) {
			t.Error("an empty page has cursors")
		}
	}
}

func TestPagesAreTwentyLongUnlessAsked(t *testing.T) {
	t.Parallel()
	store, customers, identities := fill(t, repotest.URL(t), 25)
	for _, l := range lists(t.Context(), store, customers, identities) {
		ids, _, info, err := l.page(model.PageArgs{})
		if want := min(20, len(l.want)); err != nil || len(ids) != want || info.HasNextPage != (len(l.want) > want) {
			t.Errorf("%s: %d rows, %+v, %v", l.name, len(ids), info, err)
		}
	}
}

func TestCursorsOfAnotherListAreRefused(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, customers, identities := fill(t, url, 20)
	all := lists(t.Context(), store, customers, identities)
	other, err := open(t, url, nil).FindStore(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, lists(t.Context(), open(t, url, nil).Store(other.ID), customers[1:], identities)...)
	own := make([]string, len(all)) // a cursor of each list
	for i, l := range all {
		_, cursors, _, err := l.page(model.PageArgs{})
		if err != nil {
			t.Fatal(err)
		}
		if len(cursors) > 0 { // the other store has nothing of this customer
			own[i] = cursors[0]
		}
	}
	for i, l := range all {
		for j := range own {
			if i == j || own[j] == "" {
				continue
			}
			for field, args := range map[string]model.PageArgs{"after": {After: &own[j]}, "before": {Before: &own[j]}} {
				_, _, _, err := l.page(args)
				if refused, ok := errors.AsType[*model.Error](err); !ok || refused.Code != model.CodeBadUserInput || refused.Field != field {
					t.Errorf("%s took a cursor of %s: %v", l.name, all[j].name, err)
				}
			}
		}
	}
}

func TestPageOfManyCustomersIdentities(t *testing.T) {
	t.Parallel()
	store, customers, identities := fill(t, repotest.URL(t), 60)
	ids := []uuid.UUID{uuid.New()} // of nobody
	for _, c := range customers {
		ids = append(ids, c.ID)
	}
	for _, platform := range []*string{nil, new("Shopify")} {
		page, err := store.IdentityPage(ids[0], platform, model.PageArgs{First: new(2)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.IdentityPages(t.Context(), ids, page)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := store.IdentityCounts(t.Context(), ids, page.Platform)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			mine := func(i *model.CustomerIdentity) bool {
				return i.CustomerID == id && (page.Platform == "" || i.Platform == page.Platform)
			}
			want := sorted(identities, mine, identityID, identityValues[model.IdentitiesByCreatedAt], model.Ascending)
			if got[id] == nil {
				t.Fatalf("%s has no page", id)
			}
			shown, _, info := read(got[id].Connection, identityID)
			if !slices.Equal(shown, want[:min(2, len(want))]) || info.HasNextPage != (len(want) > 2) || counts[id] != len(want) {
				t.Errorf("%s on %q: got %v of %d, want %v", id, page.Platform, shown, counts[id], want)
			}
		}
	}
}
