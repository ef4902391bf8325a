package repo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// racers is how many clients take part in a race.
const racers = 8

// upsert is one client's call: a batch under a policy, or the single upsert where there is none.
type upsert struct {
	policy model.BatchErrorPolicy
	inputs []*model.UpsertCustomerIdentityInput
}

func (u upsert) run(ctx context.Context, store *repo.Store) ([]*model.UpsertCustomerIdentityPayload, error) {
	if u.policy == "" {
		payload, err := store.UpsertCustomerIdentity(ctx, *u.inputs[0])
		return []*model.UpsertCustomerIdentityPayload{payload}, err
	}
	payload, err := store.UpsertCustomerIdentities(ctx, u.inputs, u.policy)
	if err != nil {
		return nil, err
	}
	return payload.Results, nil
}

// answer is what became of one input.
type answer struct {
	input *model.UpsertCustomerIdentityInput
	*model.UpsertCustomerIdentityPayload
}

// race runs the calls at once and returns every answer.
func race(t *testing.T, store *repo.Store, calls []upsert) []answer {
	t.Helper()
	answers := make([][]answer, len(calls))
	start := make(chan struct{})
	var clients sync.WaitGroup
	for i, call := range calls {
		clients.Go(func() {
			<-start
			payloads, err := call.run(t.Context(), store)
			if err != nil {
				t.Error(err)
				return
			}
			for j, payload := range payloads {
				answers[i] = append(answers[i], answer{call.inputs[j], payload})
			}
		})
	}
	close(start)
	clients.Wait()
	var all []answer
	for _, some := range answers {
		all = append(all, some...)
	}
	return all
}

func input(id, email string) *model.UpsertCustomerIdentityInput {
	return &model.UpsertCustomerIdentityInput{Platform: "shopify", PlatformCustomerID: id, Email: email}
}

// TestRaces has clients write at once what they must agree on. Each kind of race runs on a database of its own, so that
// the kinds do not wait for one another.
func TestRaces(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name  string
		races int
		calls func(race int) []upsert
	}{
		{"one new identity with as many emails as clients", 600, func(race int) []upsert {
			return clients(func(i int) *model.UpsertCustomerIdentityInput {
				return input(fmt.Sprint("key-", race), fmt.Sprintf("race%d.client%d@example.com", race, i))
			})
		}},
		{"as many identities as clients on one new email", 500, func(race int) []upsert {
			return clients(func(i int) *model.UpsertCustomerIdentityInput {
				return input(fmt.Sprintf("key-%d-%d", race, i), fmt.Sprintf("race%d@example.com", race))
			})
		}},
		{"one known identity with a different first name from each client", 300, func(race int) []upsert {
			return clients(func(i int) *model.UpsertCustomerIdentityInput {
				in := input(fmt.Sprint("key-", race/racers), fmt.Sprintf("race%d@example.com", race/racers))
				in.FirstName = new(fmt.Sprint("name ", i))
				return in
			})
		}},
		{"single upserts and batches of overlapping keys and emails in any order", 600, mix},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			db := open(t, url+"&pool_max_conns=16", nil)
			store, _ := repotest.NewStore(t, db, "races")
			races := kind.races
			if testing.Short() {
				races /= 20
			}
			var answers []answer
			for i := range races {
				answers = append(answers, race(t, store, kind.calls(i))...)
			}
			checkAnswers(t, url, store, answers)
			checkDeadlocks(t, url)
		})
	}
}

// clients returns a single upsert for each client.
func clients(input func(client int) *model.UpsertCustomerIdentityInput) []upsert {
	calls := make([]upsert, racers)
	for i := range calls {
		calls[i].inputs = append(calls[i].inputs, input(i))
	}
	return calls
}

// mix has each client write some of eight keys, each with one of five emails, alone or in a batch.
func mix(race int) []upsert {
	random := rand.New(rand.NewPCG(uint64(race), 2))
	calls := make([]upsert, racers)
	for i := range calls {
		calls[i].policy = []model.BatchErrorPolicy{"", model.KeepValid, model.RejectAll}[random.IntN(3)]
		keys := random.Perm(8)[:1+random.IntN(7)]
		if calls[i].policy == "" {
			keys = keys[:1]
		}
		for _, key := range keys {
			// Half of the keys of a race are those of the race before.
			in := input(fmt.Sprint("key-", race*4+key), fmt.Sprintf("race%d.%d@example.com", race, random.IntN(5)))
			if random.IntN(2) == 0 {
				in.LastName = new(fmt.Sprint("name ", random.IntN(2)))
			}
			calls[i].inputs = append(calls[i].inputs, in)
		}
	}
	return calls
}

// checkAnswers compares what clients were told, all in lower case already, with what there is.
func checkAnswers(t *testing.T, url string, store *repo.Store, answers []answer) {
	t.Helper()
	conn := connect(t, url)
	for what, query := range map[string]string{
		"keys with two identities":      `SELECT count(*) FROM (SELECT FROM customer_identities GROUP BY store_id, platform, platform_customer_id HAVING count(*) > 1) AS twice`,
		"emails with two customers":     `SELECT count(*) FROM (SELECT FROM customers GROUP BY store_id, email_normalized HAVING count(*) > 1) AS twice`,
		"customers without an identity": `SELECT count(*) FROM customers c WHERE NOT EXISTS (SELECT FROM customer_identities i WHERE i.store_id = c.store_id AND i.customer_id = c.id)`,
	} {
		if n := one[int](t, conn, query); n != 0 {
			t.Errorf("there are %d %s", n, what)
		}
	}
	identities := identitiesByKey(t, conn, store)
	created, firsts := map[string]int{}, map[uuid.UUID]int{}
	for _, a := range answers {
		is, ok := identities[a.input.PlatformCustomerID]
		if !ok || a.CustomerIdentity == nil || len(a.UserErrors) > 0 {
			t.Fatalf("%s: answered %+v, stored: %t", a.input.PlatformCustomerID, a.UpsertCustomerIdentityPayload, ok)
		}
		checkAnswer(t, a, is)
		if *a.Outcome == model.OutcomeCreated {
			created[a.input.PlatformCustomerID]++
		}
		if *a.CustomerLink == model.LinkCreated {
			firsts[a.CustomerIdentity.CustomerID]++
		}
	}
	customers := one[int](t, conn, `SELECT count(*) FROM customers WHERE store_id = $1`, store.ID())
	if len(created) != len(identities) || len(firsts) != customers {
		t.Errorf("%d of %d identities and %d of %d customers were reported created",
			len(created), len(identities), len(firsts), customers)
	}
	for key, n := range created {
		if n != 1 {
			t.Errorf("the creation of identity %s was reported %d times", key, n)
		}
	}
	for id, n := range firsts {
		if n != 1 {
			t.Errorf("the creation of customer %s was reported %d times", id, n)
		}
	}
}

func checkAnswer(t *testing.T, a answer, is stored) {
	t.Helper()
	got := a.CustomerIdentity
	if got.CustomerID != is.CustomerID || got.ID != is.ID || !got.CreatedAt.Equal(is.CreatedAt) || got.UpdatedAt.After(is.UpdatedAt) {
		t.Errorf("answered %+v; stored is %+v", got, is)
	}
	if *got.Email != a.input.Email || a.input.FirstName != nil && *got.FirstName != *a.input.FirstName ||
		a.input.LastName != nil && *got.LastName != *a.input.LastName {
		t.Errorf("%+v was answered with %+v", a.input, got)
	}
	if kept := *a.CustomerLink == model.LinkKept; kept == (*a.Outcome == model.OutcomeCreated) {
		t.Errorf("outcome %s with link %s", *a.Outcome, *a.CustomerLink)
	}
	if *a.Outcome == model.OutcomeCreated && is.customerEmail != a.input.Email {
		t.Errorf("an identity with email %s was linked to the customer with %s", a.input.Email, is.customerEmail)
	}
}

// stored is an identity as the database has it.
type stored struct {
	model.CustomerIdentity

	customerEmail string // normalised
}

// identitiesByKey returns the store's identities by platformCustomerId.
func identitiesByKey(t *testing.T, conn *pgx.Conn, store *repo.Store) map[string]stored {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT i.id, i.customer_id, i.platform_customer_id, i.created_at, i.updated_at, c.email_normalized
		FROM customer_identities i JOIN customers c ON c.store_id = i.store_id AND c.id = i.customer_id
		WHERE i.store_id = $1`, store.ID())
	if err != nil {
		t.Fatal(err)
	}
	identities := map[string]stored{}
	var is stored
	_, err = pgx.ForEachRow(rows, []any{
		&is.ID, &is.CustomerID, &is.PlatformCustomerID, &is.CreatedAt, &is.UpdatedAt, &is.customerEmail,
	}, func() error {
		identities[*is.PlatformCustomerID] = is
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return identities
}

// checkDeadlocks fails the test where PostgreSQL had to break a deadlock, which the retries would hide.
func checkDeadlocks(t *testing.T, url string) {
	t.Helper()
	conn := connect(t, url)
	deadline := time.Now().Add(time.Minute)
	// Counts are published by a session that goes idle or ends: wait for those that raced to have done so.
	for one[int](t, conn, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`) > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the sessions do not end")
		}
		if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
	}
	if n := one[int](t, conn, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n > 0 {
		t.Errorf("there were %d deadlocks", n)
	}
}
