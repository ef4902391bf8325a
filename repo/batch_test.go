package repo_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// upsertBatch is UpsertCustomerIdentities that must not fail as a whole.
func upsertBatch(
	t *testing.T, store *repo.Store, policy model.BatchErrorPolicy, inputs ...*model.UpsertCustomerIdentityInput,
) *model.UpsertCustomerIdentitiesPayload {
	t.Helper()
	payload, err := store.UpsertCustomerIdentities(t.Context(), inputs, policy)
	if err != nil {
		t.Fatal(err)
	}
	if len(payload.Results) != len(inputs) {
		t.Fatalf("%d inputs have %d results", len(inputs), len(payload.Results))
	}
	return payload
}

// summary tells each result of a batch in a line.
func summary(payload *model.UpsertCustomerIdentitiesPayload) []string {
	lines := make([]string, len(payload.Results))
	for i, r := range payload.Results {
		if r.CustomerIdentity != nil {
			lines[i] = fmt.Sprintf("%s %s %s ", *r.CustomerIdentity.PlatformCustomerID, *r.Outcome, *r.CustomerLink)
		}
		for _, e := range r.UserErrors {
			lines[i] += fmt.Sprintf("%s %s ", e.Code, strings.Join(e.Field, "."))
		}
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

func TestBatch(t *testing.T) {
	t.Parallel()
	faulty := input("faulty", "no address")
	cases := []struct {
		name   string
		policy model.BatchErrorPolicy
		inputs []*model.UpsertCustomerIdentityInput
		want   []string
		counts [4]int // created, updated, unchanged, failed
	}{
		{
			"each input is answered in its place whatever it does", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{
				input("z", "z@doe.com"), input("known", "known@doe.com"), faulty, input("a", "a@doe.com"),
				named("known 2", "known2@doe.com", new("New"), nil), input("m", "KNOWN@doe.com"),
			},
			[]string{
				"z CREATED CREATED", "known UNCHANGED KEPT", "INVALID inputs.2.email", "a CREATED CREATED",
				"known 2 UPDATED KEPT", "m CREATED MATCHED_BY_EMAIL",
			},
			[4]int{3, 1, 1, 1},
		},
		{
			"of two inputs with one key the later is a duplicate, however its platform is spelled", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{
				input("1", "a@doe.com"),
				{Platform: "Shopify", PlatformCustomerID: "1", Email: "b@doe.com"},
				{Platform: "magento", PlatformCustomerID: "1", Email: "a@doe.com"},
				input("1", "c@doe.com"),
			},
			[]string{"1 CREATED CREATED", "DUPLICATE_IN_BATCH inputs.1", "1 CREATED MATCHED_BY_EMAIL", "DUPLICATE_IN_BATCH inputs.3"},
			[4]int{2, 0, 0, 2},
		},
		{
			"a faulty input does not make a duplicate of a later one", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{input("1", "no address"), input("1", "a@doe.com")},
			[]string{"INVALID inputs.0.email", "1 CREATED CREATED"},
			[4]int{1, 0, 0, 1},
		},
		{
			"of the inputs with one new email the first makes the customer", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{
				input("9", "new@doe.com"), input("1", "New@Doe.com"), input("5", "other@doe.com"), input("3", "NEW@doe.com"),
			},
			[]string{"9 CREATED CREATED", "1 CREATED MATCHED_BY_EMAIL", "5 CREATED CREATED", "3 CREATED MATCHED_BY_EMAIL"},
			[4]int{4, 0, 0, 0},
		},
		{
			"a known identity's new email makes no customer for a later input to match", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{input("known", "new@doe.com"), input("1", "new@doe.com")},
			[]string{"known UPDATED KEPT", "1 CREATED CREATED"},
			[4]int{1, 1, 0, 0},
		},
		{
			"nothing but faults is an answer too", model.KeepValid,
			[]*model.UpsertCustomerIdentityInput{faulty, input("", "jane@doe.com")},
			[]string{"INVALID inputs.0.email", "BLANK inputs.1.platformCustomerId"},
			[4]int{0, 0, 0, 2},
		},
		{
			"all or nothing writes all where all are sound", model.RejectAll,
			[]*model.UpsertCustomerIdentityInput{input("1", "a@doe.com"), input("known", "b@doe.com")},
			[]string{"1 CREATED CREATED", "known UPDATED KEPT"},
			[4]int{1, 1, 0, 0},
		},
		{
			"all or nothing rejects the sound inputs for a faulty one", model.RejectAll,
			[]*model.UpsertCustomerIdentityInput{input("1", "a@doe.com"), faulty, input("known", "b@doe.com")},
			[]string{"BATCH_REJECTED inputs.0", "INVALID inputs.1.email", "BATCH_REJECTED inputs.2"},
			[4]int{0, 0, 0, 3},
		},
		{
			"all or nothing rejects the sound inputs for a duplicate", model.RejectAll,
			[]*model.UpsertCustomerIdentityInput{input("1", "a@doe.com"), input("1", "b@doe.com")},
			[]string{"BATCH_REJECTED inputs.0", "DUPLICATE_IN_BATCH inputs.1"},
			[4]int{0, 0, 0, 2},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			store, _ := repotest.NewStore(t, open(t, url, nil), "store")
			upsertBatch(t, store, model.KeepValid, input("known", "known@doe.com"), input("known 2", "known2@doe.com"))
			conn := connect(t, url)
			const content = `SELECT string_agg(i::text, ',' ORDER BY id) FROM customer_identities AS i`
			before := one[string](t, conn, content)
			payload := upsertBatch(t, store, c.policy, c.inputs...)
			if diff := cmp.Diff(c.want, summary(payload)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			counts := [4]int{payload.CreatedCount(), payload.UpdatedCount(), payload.UnchangedCount(), payload.FailedCount()}
			if counts != c.counts {
				t.Errorf("created, updated, unchanged and failed are %v, not %v", counts, c.counts)
			}
			if failed := counts[3]; failed == len(c.inputs) && one[string](t, conn, content) != before {
				t.Error("something was written")
			}
			for _, r := range payload.Results {
				if r.CustomerIdentity != nil {
					checkStored(t, store, r.CustomerIdentity)
				}
			}
		})
	}
}

func TestBatchTakesTheNamesOfTheFirstOfItsNewCustomers(t *testing.T) {
	t.Parallel()
	store, _ := repotest.NewStore(t, repotest.New(t), "store")
	payload := upsertBatch(t, store, model.KeepValid,
		named("9", "Jane@Doe.com", new("First"), nil), named("1", "jane@doe.com", new("Second"), new("Doe")))
	first, second := accountOf(t, store, payload.Results[0]), accountOf(t, store, payload.Results[1])
	if first.CustomerEmail != "Jane@Doe.com" || *first.CustomerFirst != "First" || first.CustomerLast != nil {
		t.Errorf("the customer is %+v", first)
	}
	if payload.Results[0].CustomerIdentity.CustomerID != payload.Results[1].CustomerIdentity.CustomerID || second.CustomerLast != nil {
		t.Errorf("the second identity's customer is %+v", second)
	}
}

func TestBatchSize(t *testing.T) {
	t.Parallel()
	store, _ := repotest.NewStore(t, repotest.New(t), "store")
	var inputs []*model.UpsertCustomerIdentityInput
	for i := range model.MaxBatch + 1 {
		inputs = append(inputs, input(fmt.Sprint(i), fmt.Sprintf("%d@doe.com", i)))
	}
	for _, n := range []int{0, model.MaxBatch + 1} {
		_, err := store.UpsertCustomerIdentities(t.Context(), inputs[:n], model.KeepValid)
		if refused, ok := errors.AsType[*model.Error](err); !ok || refused.Code != model.CodeBadUserInput || refused.Field != "inputs" {
			t.Errorf("a batch of %d was answered with %v", n, err)
		}
	}
	slices.Reverse(inputs) // the answers must follow the inputs, not the keys
	payload := upsertBatch(t, store, model.RejectAll, inputs[:model.MaxBatch]...)
	if payload.CreatedCount() != model.MaxBatch {
		t.Errorf("%d were created", payload.CreatedCount())
	}
	for i, r := range payload.Results {
		if *r.CustomerIdentity.PlatformCustomerID != inputs[i].PlatformCustomerID {
			t.Fatalf("input %s has the answer of %s", inputs[i].PlatformCustomerID, *r.CustomerIdentity.PlatformCustomerID)
		}
	}
}

// TestFailedBatchWritesNothing has the database fail when half of a batch is written.
func TestFailedBatchWritesNothing(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "store")
	upsertOne(t, store, input("known", "known@doe.com"))
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), `
		CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order' USING ERRCODE = 'XX001'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON customer_identities FOR EACH ROW WHEN (NEW.platform_customer_id = 'm') EXECUTE FUNCTION fail();`,
	); err != nil {
		t.Fatal(err)
	}
	inputs := []*model.UpsertCustomerIdentityInput{input("a", "a@doe.com"), input("known", "new@doe.com"), input("m", "m@doe.com"), input("z", "z@doe.com")}
	for _, policy := range []model.BatchErrorPolicy{model.KeepValid, model.RejectAll} {
		_, err := store.UpsertCustomerIdentities(t.Context(), inputs, policy)
		if failure, ok := errors.AsType[*pgconn.PgError](err); !ok || failure.Code != "XX001" {
			t.Errorf("%s: the error is %v", policy, err)
		}
		if n := one[int](t, conn, `SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM customer_identities)`); n != 2 {
			t.Errorf("%s: there are %d rows", policy, n)
		}
		if email := one[string](t, conn, `SELECT email FROM customer_identities`); email != "known@doe.com" {
			t.Errorf("%s: the known identity has the email %s", policy, email)
		}
	}
}
