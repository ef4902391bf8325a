package repo_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// The most buffers, of 8 KiB, that a statement may touch in a store of 100,000 customers among 200,000. A page that no
// one index serves, filter and order, may read much of the table in its order (5,136 at worst), but never go through
// another index row by row: that takes 75,000 and more.
const (
	pageBound     = 150
	filteredBound = 8_000
	searchBound   = 30_000 // a walk past 5,000 customers, with their identities
	oldBound      = 1_500  // a walk past 300, and what the index has of an email without its common parts
	keyBound      = 20     // one object
	manyBound     = 800    // the identities of 50 customers, 100 nodes
	upsertBound   = 100    // one input
	batchBound    = 6_000  // 100 inputs
	freshBound    = 200    // any of these in a store that is next to empty to its statistics, of 2 inputs or 20 rows
)

func TestPlans(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("of fewer customers PostgreSQL reads all")
	}
	const n = 200_000
	url := repotest.URL(t)
	conn := connect(t, url)
	seed(t, conn, n, true)
	run(t, conn, "ANALYZE")
	e := &explainer{t: t, own: conn}
	store := open(t, url, e).Store(largeStore)
	ctx := t.Context()
	explainCustomers(ctx, e, store, n)
	explainIdentities(ctx, e, store, n)
	explainKeys(ctx, e, store, n)
	explainUpserts(ctx, e, store, n)
	run(t, conn, `UPDATE customers AS c SET first_name = 'Seldom'
		FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS n FROM customers WHERE store_id = $1) AS newest
		WHERE c.store_id = $1 AND c.id = newest.id AND n % CASE WHEN n <= 300 THEN 50 ELSE 65 END = 0`, largeStore)
	run(t, conn, "VACUUM (ANALYZE) customers")
	explainSearchOfSome(ctx, e, store)
	explainSearchOfTheOld(ctx, e, store)
}

// seeded is when customer c of a seeded table was created.
func seeded(c int) *time.Time { return new(time.UnixMilli(seedStart + int64(c)*seedStep).UTC()) }

// ranges are of createdAt or updatedAt, over n seeded customers.
func ranges(n int) map[string]*model.DateTimeRange {
	return map[string]*model.DateTimeRange{
		"a narrow range": {From: seeded(n / 2), To: seeded(n/2 + 100)},
		"the newer half": {From: seeded(n / 2)},
		"the oldest":     {To: seeded(n / 200)},
		"the newest":     {From: seeded(n - n/200)},
		"the future":     {From: new(seeded(n).Add(1_000_000 * time.Second))},
	}
}

// pages returns the arguments of a list's first page and of one in its middle, read backwards. (Both directions of an
// order make that both ends and both ways.)
func pages(middle *string) map[string]model.PageArgs {
	return map[string]model.PageArgs{"first": {First: new(50)}, "before the half": {Last: new(50), Before: middle}}
}

func externalIDs(n int) (ids []string) {
	for i := range 100 {
		ids = append(ids, fmt.Sprint("ERP-", n/100*i))
	}
	return ids
}

func explainCustomers(ctx context.Context, e *explainer, store *repo.Store, n int) {
	filters := map[string]*model.CustomerFilter{
		"all":                {},
		"an email":           {Email: new("nobody@example.com")},
		"a common platform":  {Platform: new("woocommerce")},
		"a rare platform":    {Platform: new("rare")},
		"an absent platform": {Platform: new("absent")},
		"100 external IDs":   {ExternalIDs: externalIDs(n)},
		"a phone number":     {PhoneNumber: new(fmt.Sprintf("+1415%d", 1_000_000+n/2))},
		"a common tag":       {Tags: []string{"newsletter"}},
		"a rarer tag":        {Tags: []string{"tag 8"}},
		"two tags":           {Tags: []string{"newsletter", "rare"}},
		"an absent tag":      {Tags: []string{"absent"}},
		"a common status":    {AccountStatus: []model.AccountStatus{model.AccountEnabled}},
		"a rarer status":     {AccountStatus: []model.AccountStatus{model.AccountDisabled}},
		"a rare status":      {AccountStatus: []model.AccountStatus{model.AccountDeclined}},
		"an absent status":   {AccountStatus: []model.AccountStatus{model.AccountInvited}},
		"two statuses":       {AccountStatus: []model.AccountStatus{model.AccountDeclined, model.AccountEnabled}},
		"a common fragment":  {Search: new("Example")},
		"a common fragment, created in a narrow range": {Search: new("Example"), CreatedAt: ranges(n)["a narrow range"]},
		"a common fragment of a few customers":         {Search: new("Example"), ExternalIDs: externalIDs(n)},
		"a fragment of few":                            {Search: new("cust_123")},
		"a rare fragment":                              {Search: new("deadb")},
		"an absent fragment":                           {Search: new("absent")},
		"an absent fragment outside ASCII":             {Search: new("Ж-Ж")},
		"a rare tag, updated in the newer half":        {Tags: []string{"rare"}, UpdatedAt: ranges(n)["the newer half"]},
		"a common tag, updated among the newest":       {Tags: []string{"newsletter"}, UpdatedAt: ranges(n)["the newest"]},
		"a common platform, created in a narrow range": {Platform: new("woocommerce"), CreatedAt: ranges(n)["a narrow range"]},
		"a common platform, created in the newer half": {Platform: new("woocommerce"), CreatedAt: ranges(n)["the newer half"]},
		"a rare platform, created in the newer half":   {Platform: new("rare"), CreatedAt: ranges(n)["the newer half"]},
		"a rare platform, updated in the newer half":   {Platform: new("rare"), UpdatedAt: ranges(n)["the newer half"]},
	}
	for name, r := range ranges(n) {
		filters["created in "+name] = &model.CustomerFilter{CreatedAt: r}
		filters["updated in "+name] = &model.CustomerFilter{UpdatedAt: r}
	}
	middle := &model.CustomerFilter{CreatedAt: &model.DateTimeRange{From: seeded(n / 2), To: seeded(n/2 + 2)}}
	for field := range customerValues {
		for _, direction := range []model.OrderDirection{model.Ascending, model.Descending} {
			by := &model.CustomerOrder{Field: field, Direction: direction}
			half, err := store.Customers(ctx, middle, by, model.PageArgs{First: new(1)})
			if err != nil {
				e.t.Fatal(err)
			}
			for where, args := range pages(half.PageInfo().StartCursor) {
				for what, filter := range filters {
					bound := filteredBound
					switch {
					case what == "all":
						bound = pageBound
					case filter.Search != nil || filter.Tags != nil:
						bound = searchBound
					}
					e.check(fmt.Sprintf("customers: %s by %s %s: %s", what, field, direction, where), bound, func() error {
						_, err := store.Customers(ctx, filter, by, args)
						return err
					})
				}
			}
		}
	}
}

// explainSearchOfSome searches for what is neither common nor rare. An index tells at once where all of it is, which for one
// customer in 256 is less than a walk comes past for a page of 50, and for one in 65 more than for a page of 100: though it
// takes two walks where the newest have it more often than the rest.
func explainSearchOfSome(ctx context.Context, e *explainer, store *repo.Store) {
	for fragment, want := range map[string]struct {
		page  int
		index bool
	}{"97@": {50, true}, "seldom": {100, false}} {
		e.check("customers: the fragment "+fragment, 2*searchBound, func() error {
			page, err := store.Customers(ctx, &model.CustomerFilter{Search: &fragment}, nil, model.PageArgs{First: &want.page})
			if err == nil && len(page.Nodes) != want.page {
				return fmt.Errorf("%d customers", len(page.Nodes))
			}
			return err
		})
		index := slices.ContainsFunc(e.plans, func(p plan) bool { return strings.Contains(p.text, "customers_search_idx") })
		if index != want.index {
			e.t.Errorf("the fragment %s is looked up in the index: %t", fragment, index)
		}
	}
}

// explainSearchOfTheOld searches for an old customer's email, most of which all old customers have, and none of the newest.
func explainSearchOfTheOld(ctx context.Context, e *explainer, store *repo.Store) {
	for batch := range 2 {
		inputs := make([]*model.UpsertCustomerIdentityInput, 200)
		for i := range inputs {
			key := strconv.Itoa(1_000*batch + i)
			inputs[i] = input("new "+key, key+"@doe.org")
		}
		if _, err := store.UpsertCustomerIdentities(ctx, inputs, model.RejectAll); err != nil {
			e.t.Fatal(err)
		}
	}
	oldest, err := store.Customers(ctx, nil, nil, model.PageArgs{Last: new(1)})
	if err != nil {
		e.t.Fatal(err)
	}
	e.check("customers: an email like all old ones", oldBound, func() error {
		_, err := store.Customers(ctx, &model.CustomerFilter{Search: oldest.Nodes[0].Email}, nil, model.PageArgs{})
		return err
	})
}

func explainIdentities(ctx context.Context, e *explainer, store *repo.Store, n int) {
	customer, err := store.Customers(ctx, nil, nil, model.PageArgs{First: new(1)})
	if err != nil {
		e.t.Fatal(err)
	}
	filters := map[string]*model.CustomerIdentityFilter{
		"all":                {},
		"an email":           {Email: customer.Nodes[0].Email},
		"a customer":         {CustomerID: &customer.Nodes[0].ID},
		"a common platform":  {Platform: new("woocommerce")},
		"a rare platform":    {Platform: new("rare")},
		"an absent platform": {Platform: new("absent")},
	}
	for name, r := range ranges(n) {
		filters["created in "+name] = &model.CustomerIdentityFilter{CreatedAt: r}
		filters["updated in "+name] = &model.CustomerIdentityFilter{UpdatedAt: r}
	}
	middle := &model.CustomerIdentityFilter{CreatedAt: &model.DateTimeRange{From: seeded(n / 2), To: seeded(n/2 + 2)}}
	for field := range identityValues {
		for _, direction := range []model.OrderDirection{model.Ascending, model.Descending} {
			by := &model.CustomerIdentityOrder{Field: field, Direction: direction}
			half, err := store.CustomerIdentities(ctx, middle, by, model.PageArgs{First: new(1)})
			if err != nil {
				e.t.Fatal(err)
			}
			for where, args := range pages(half.PageInfo().StartCursor) {
				for what, filter := range filters {
					bound := filteredBound
					if what == "all" {
						bound = pageBound
					}
					e.check(fmt.Sprintf("identities: %s by %s %s: %s", what, field, direction, where), bound, func() error {
						_, err := store.CustomerIdentities(ctx, filter, by, args)
						return err
					})
				}
			}
		}
	}
}

func explainKeys(ctx context.Context, e *explainer, store *repo.Store, n int) {
	page, err := store.Customers(ctx, &model.CustomerFilter{CreatedAt: &model.DateTimeRange{From: seeded(n / 2)}},
		&model.CustomerOrder{Field: model.CustomersByEmail, Direction: model.Ascending}, model.PageArgs{First: new(50)})
	if err != nil {
		e.t.Fatal(err)
	}
	one := page.Nodes[0]
	identity := &model.PlatformIdentityKey{Platform: "shopify", PlatformCustomerID: "cust_2"}
	for name, by := range map[string]model.CustomerKey{"ID": {ID: &one.ID}, "email": {Email: one.Email}, "identity": {Identity: identity}} {
		e.check("a customer by "+name, keyBound, func() error { _, err := store.Customer(ctx, by); return err })
	}
	for name, by := range map[string]model.CustomerIdentityKey{"ID": {ID: &one.ID}, "key": {PlatformIdentity: identity}} {
		e.check("an identity by "+name, keyBound, func() error { _, err := store.CustomerIdentity(ctx, by); return err })
		showing := store.Showing(repo.Columns{reflect.TypeFor[model.Customer](): {"email"}})
		e.check("an identity with its customer by "+name, keyBound, func() error { _, err := showing.CustomerIdentity(ctx, by); return err })
	}
	var ids []uuid.UUID
	for _, c := range page.Nodes {
		ids = append(ids, c.ID, uuid.New())
	}
	e.check("100 nodes", manyBound, func() error { _, err := store.Nodes(ctx, ids); return err })
	customers, _, _ := read(page.Connection, customerID)
	for _, platform := range []string{"", "shopify", "rare", "absent"} {
		first := model.IdentityPage{Platform: platform, Page: model.Page{Size: model.DefaultPage}}
		name := "of 50 customers on " + platform
		e.check("identities "+name, manyBound, func() error { _, err := store.IdentityPages(ctx, customers, first); return err })
		e.check("counts of identities "+name, manyBound, func() error {
			_, err := store.IdentityCounts(ctx, customers, platform)
			return err
		})
	}
}

func explainUpserts(ctx context.Context, e *explainer, store *repo.Store, n int) {
	known, err := store.CustomerIdentity(ctx, model.CustomerIdentityKey{
		PlatformIdentity: &model.PlatformIdentityKey{Platform: "shopify", PlatformCustomerID: "cust_2"},
	})
	if err != nil {
		e.t.Fatal(err)
	}
	for name, in := range map[string]*model.UpsertCustomerIdentityInput{
		"an unknown identity with an unknown email": input(uuid.NewString(), "new@example.com"),
		"an unknown identity with a known email":    input(uuid.NewString(), *known.Email),
		"a known identity with something new":       input("cust_2", "changed@example.com"),
		"a known identity with nothing new":         input("cust_4", "changed@example.com"),
	} {
		if name == "a known identity with nothing new" {
			upsertOne(e.t, store, in)
		}
		e.check("upsert of "+name, upsertBound, func() error { _, err := store.UpsertCustomerIdentity(ctx, *in); return err })
	}
	for _, set := range []string{"unknown", "known", "mixed"} {
		var inputs []*model.UpsertCustomerIdentityInput
		for i := range 100 {
			in := input(fmt.Sprint("cust_", i*n/100), fmt.Sprintf("%d@example.com", i))
			if set == "unknown" || set == "mixed" && i%2 == 0 {
				in.PlatformCustomerID = uuid.NewString()
			}
			inputs = append(inputs, in)
		}
		e.check("100 upserts of "+set+" identities", batchBound, func() error {
			_, err := store.UpsertCustomerIdentities(ctx, inputs, model.KeepValid)
			return err
		})
	}
	external := externalIDs(n)
	var customers []*model.UpsertCustomerInput
	var events []*model.UpsertCustomerEventInput
	for i, id := range external {
		in := byExternalID(id)
		in.FirstName, in.Email = omittable(fmt.Sprint("Changed ", i)), omittable(fmt.Sprintf("changed%d@example.com", i))
		customers = append(customers, in)
		events = append(events, &model.UpsertCustomerEventInput{
			Customer: model.CustomerKey{ExternalID: &external[i]}, Source: "plan", Type: "seen", EventID: uuid.NewString(),
		})
	}
	e.check("upsert of a customer", upsertBound, func() error { _, err := store.UpsertCustomer(ctx, *customers[0]); return err })
	e.check("upsert of an unknown customer", upsertBound, func() error {
		_, err := store.UpsertCustomer(ctx, *byExternalID("unknown"))
		return err
	})
	e.check("100 upserts of customers", batchBound, func() error {
		_, err := store.UpsertCustomers(ctx, customers, model.KeepValid)
		return err
	})
	e.check("upsert of an event", upsertBound, func() error { _, err := store.UpsertCustomerEvent(ctx, *events[0]); return err })
	e.check("100 upserts of events", batchBound, func() error {
		_, err := store.UpsertCustomerEvents(ctx, events, model.KeepValid)
		return err
	})
}

// TestPlansOutlivedByTheirTables uses every statement until PostgreSQL keeps its plan, imports a store, which nobody then
// analyzes, and looks at the statements again in the same session.
func TestPlansOutlivedByTheirTables(t *testing.T) {
	t.Parallel()
	n := 40_000
	if testing.Short() {
		n = 10_000
	}
	const analyze = "VACUUM (ANALYZE) customers, customer_identities"
	cases := []struct {
		name   string
		seeded bool     // before the statements are used, rather than after
		before []string // then
		after  []string // after the statements were used
	}{
		{name: "tables never analyzed"},
		{
			name: "tables analyzed as soon as autovacuum would",
			before: []string{
				`CREATE TEMPORARY VIEW early AS SELECT generate_series(1, coalesce(max(option_value::int), 50)) AS n -- PostgreSQL's own threshold
				FROM pg_class, pg_options_to_table(reloptions) WHERE relname = 'customers' AND option_name = 'autovacuum_analyze_threshold'`,
				`INSERT INTO customers (store_id, id, email, email_normalized, created_at, updated_at)
				SELECT s.id, md5(n::text)::uuid, n || '@early.com', n || '@early.com', now(), now() FROM stores s, early`,
				`INSERT INTO customer_identities (store_id, id, customer_id, platform, platform_customer_id, email, email_normalized, created_at, updated_at)
				SELECT store_id, id, id, 'shopify', email, email, email, now(), now() FROM customers WHERE email LIKE '%@early.com'`,
				analyze,
			},
		},
		{
			name: "a new store beside others", seeded: true,
			before: []string{
				`DELETE FROM customer_identities i USING stores s WHERE s.id = store_id AND name = 'store 2' AND platform_customer_id <> '1'`,
				`DELETE FROM customers c USING stores s WHERE s.id = store_id AND name = 'store 2' AND email <> 'jane@doe.com'`,
				analyze,
			},
			after: []string{
				`INSERT INTO customers SELECT s.id, c.id, email, email_normalized, first_name, last_name, c.created_at, updated_at
				FROM customers c, stores s WHERE s.name = 'store 2' AND s.id <> store_id`,
				`INSERT INTO customer_identities SELECT s.id, i.id, customer_id, platform, platform_customer_id, email, email_normalized,
				first_name, last_name, i.created_at, updated_at
				FROM customer_identities i, stores s WHERE s.name = 'store 2' AND s.id <> store_id`,
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			conn := connect(t, url)
			e := &explainer{t: t}
			store := open(t, url+"&pool_max_conns=1", e).Store(largeStore)
			run(t, conn, "INSERT INTO stores VALUES ($1, 'store 2', now())", largeStore)
			// The first temporary object of a connection has PostgreSQL make every plan anew, of which seed must not be the cause.
			run(t, conn, "CREATE TEMPORARY TABLE nothing ()")
			all := calls(upsertOne(t, store, input("1", "jane@doe.com")).CustomerIdentity)
			delete(all, "CountEvents") // which does read the whole table
			if c.seeded {
				seed(t, conn, n, true)
			}
			for _, statement := range c.before {
				run(t, conn, statement)
			}
			for range 12 {
				for name, call := range all {
					if err := call(t.Context(), store); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
			}
			if !c.seeded {
				seed(t, conn, n, false)
			}
			for _, statement := range c.after {
				run(t, conn, statement)
			}
			for name, call := range all {
				e.check(name, freshBound, func() error { return call(t.Context(), store) })
				alone := strings.HasPrefix(name, "Upsert") && !strings.HasSuffix(name, "s")
				if alone && slices.ContainsFunc(e.plans, func(p plan) bool { return p.mode != "auto" }) {
					t.Errorf("%s is not prepared", name)
				}
			}
		})
	}
}

// TestNewStoreIsReadByKeys writes into a store of which PostgreSQL has no statistics, and which it yet has to read by
// keys, its own checks of foreign keys with their long-lived plans included.
func TestNewStoreIsReadByKeys(t *testing.T) {
	t.Parallel()
	const batches, size = 20, 100
	create := func(t *testing.T, url string, id uuid.UUID) {
		t.Helper()
		db, err := repo.Open(t.Context(), url+"&pool_max_conns=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range batches {
			var inputs []*model.UpsertCustomerIdentityInput
			for range size {
				key := uuid.NewString()
				inputs = append(inputs, input(key, key+"@example.com"))
			}
			if _, err := db.Store(id).UpsertCustomerIdentities(t.Context(), inputs, model.KeepValid); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil { // a session tells what it has read when it ends
			t.Fatal(err)
		}
	}
	for name, analyzed := range map[string]bool{"in tables never analyzed": false, "beside a store that was": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			conn := connect(t, url)
			run(t, conn, "INSERT INTO stores VALUES ($1, 'old', now()), ($2, 'new', now())", uuid.Nil, largeStore)
			written := int64(0)
			read := func() int64 {
				t.Helper()
				written += batches * size
				deadline := time.Now().Add(30 * time.Second)
				for one[int64](t, conn, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'customer_identities'") < written {
					if time.Now().After(deadline) {
						t.Fatal("PostgreSQL has not told what was read")
					}
				}
				return one[int64](t, conn, "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname LIKE 'customer%'")
			}
			before := int64(0)
			if analyzed {
				create(t, url, uuid.Nil)
				before = read()
				run(t, conn, "ANALYZE")
			}
			create(t, url, largeStore)
			// For each identity: its own key, its customer's email and the check of its foreign key.
			if n := read() - before; n > 3*batches*size {
				t.Errorf("%d entries of indexes read to create %d identities", n, batches*size)
			}
		})
	}
}

// settings reads what compiles plans in the session that runs a statement.
type settings struct {
	t   *testing.T
	jit []string
}

func (s *settings) TraceQueryStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	results, err := conn.PgConn().Exec(ctx, "SHOW jit").ReadAll()
	if err != nil {
		s.t.Error(err)
		return ctx
	}
	s.jit = append(s.jit, string(results[0].Rows[0][0]))
	return ctx
}

func (*settings) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestPlansAreNotCompiled(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	conn := connect(t, url)
	run(t, conn, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = on', current_database()); END $$")
	seen := &settings{t: t}
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	watched := open(t, url+"&pool_max_conns=2", seen).Store(store.ID())
	upserted(t, watched, model.OutcomeCreated, byExternalID("C-1"))
	if _, err := watched.UpsertCustomerIdentities(t.Context(), []*model.UpsertCustomerIdentityInput{input("1", "jane@doe.com")}, model.RejectAll); err != nil {
		t.Fatal(err)
	}
	if len(seen.jit) < 3 || slices.ContainsFunc(seen.jit, func(jit string) bool { return jit != "off" }) {
		t.Errorf("jit is %v", seen.jit)
	}
}
