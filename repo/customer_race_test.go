package repo_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"akin/model"
	"akin/repo"
	"akin/repo/repotest"
)

// customerCall is one client's upsert of customers: a batch under a policy, or alone where there is none.
type customerCall struct {
	policy model.BatchErrorPolicy
	inputs []*model.UpsertCustomerInput
}

// customerAnswer is what became of one input of a client.
type customerAnswer struct {
	client int
	input  *model.UpsertCustomerInput
	*model.UpsertCustomerPayload
}

// told tells the answer in a word: the outcome or the code of the fault.
func (a customerAnswer) told() string {
	if len(a.UserErrors) > 0 {
		return string(a.UserErrors[0].Code)
	}
	return string(*a.Outcome)
}

// together runs a call of each client at once.
func together(t *testing.T, clients int, call func(client int) error) {
	t.Helper()
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			<-start
			if err := call(i); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	running.Wait()
}

// raceCustomers runs the calls at once and returns every answer.
func raceCustomers(t *testing.T, store *repo.Store, calls []customerCall) (all []customerAnswer) {
	t.Helper()
	answers := make([][]customerAnswer, len(calls))
	together(t, len(calls), func(i int) error {
		call, results := calls[i], []*model.UpsertCustomerPayload(nil)
		if call.policy == "" {
			payload, err := store.UpsertCustomer(t.Context(), *call.inputs[0])
			if err != nil {
				return err
			}
			results = append(results, payload)
		} else {
			payload, err := store.UpsertCustomers(t.Context(), call.inputs, call.policy)
			if err != nil {
				return err
			}
			results = payload.Results
		}
		for j, payload := range results {
			answers[i] = append(answers[i], customerAnswer{i, call.inputs[j], payload})
		}
		return nil
	})
	return slices.Concat(answers...)
}

// each returns a call of one input for each client.
func each(input func(client int) *model.UpsertCustomerInput) []customerCall {
	calls := make([]customerCall, racers)
	for i := range calls {
		calls[i].inputs = append(calls[i].inputs, marked(input(i), i))
	}
	return calls
}

// marked has the input set a key of properties that is its client's own.
func marked(in *model.UpsertCustomerInput, client int) *model.UpsertCustomerInput {
	in.Properties = props(fmt.Sprintf(`{"client_%d": true}`, client))
	return in
}

// TestCustomerRaces has clients write the same customers at once, each a key of properties of its own: at the end every
// key is there, so that no write was lost, and the version is one more for each that was told UPDATED.
func TestCustomerRaces(t *testing.T) {
	t.Parallel()
	withEmail := func(in *model.UpsertCustomerInput, email string) *model.UpsertCustomerInput {
		in.Email = omittable(email)
		return in
	}
	for _, kind := range []struct {
		name  string
		races int
		calls func(race int) []customerCall
	}{
		{"one new externalId", 200, func(race int) []customerCall {
			return each(func(int) *model.UpsertCustomerInput { return byExternalID(fmt.Sprint("C-", race)) })
		}},
		{"one new email in two spellings", 200, func(race int) []customerCall {
			return each(func(i int) *model.UpsertCustomerInput {
				return byEmail(fmt.Sprint([]string{"race", "RACE"}[i%2], race, "@example.com"))
			})
		}},
		{"one new customer by either of its keys", 200, func(race int) []customerCall {
			return each(func(i int) *model.UpsertCustomerInput {
				id, email := fmt.Sprint("C-", race), fmt.Sprint("race", race, "@example.com")
				if i%2 == 0 {
					return withEmail(byExternalID(id), email)
				}
				in := byEmail(email)
				in.ExternalID = omittable(id)
				return in
			})
		}},
		{"batches and single upserts of overlapping customers in any order", 120, func(race int) []customerCall {
			random := rand.New(rand.NewPCG(uint64(race), 3))
			calls := make([]customerCall, racers)
			for i := range calls {
				calls[i].policy = policies[random.IntN(3)]
				keys := random.Perm(8)[:1+random.IntN(7)]
				if calls[i].policy == "" {
					keys = keys[:1]
				}
				for _, key := range keys { // half of them those of the race before
					key += race * 4
					in := withEmail(byExternalID(fmt.Sprint("C-", key)), fmt.Sprint("c", key, "@example.com"))
					calls[i].inputs = append(calls[i].inputs, marked(in, race%2*racers+i))
				}
			}
			return calls
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "races")
			races := kind.races
			if testing.Short() {
				races /= 20
			}
			told := map[uuid.UUID][]customerAnswer{}
			for race := range races {
				for _, a := range raceCustomers(t, store, kind.calls(race)) {
					if a.Customer == nil {
						t.Fatalf("%s: %+v", a.told(), a.UserErrors)
					}
					told[a.Customer.ID] = append(told[a.Customer.ID], a)
				}
			}
			conn := connect(t, url)
			if n := one[int](t, conn, `SELECT count(*) FROM customers`); n != len(told) {
				t.Errorf("there are %d customers, and %d were told of", n, len(told))
			}
			for id, answers := range told {
				checkTold(t, store, id, answers)
			}
			checkDeadlocks(t, url)
		})
	}
}

// checkTold holds a customer against all that was told of it.
func checkTold(t *testing.T, store *repo.Store, id uuid.UUID, answers []customerAnswer) {
	t.Helper()
	c, err := store.Customer(t.Context(), model.CustomerKey{ID: &id})
	if err != nil {
		t.Fatal(err)
	}
	created, updated := 0, 0
	versions := map[int]bool{}
	for _, a := range answers {
		switch a.told() {
		case "CREATED":
			created++
		case "UPDATED":
			updated++
		}
		if a.told() != "UNCHANGED" && versions[a.Customer.Version] {
			t.Errorf("two writes were told of version %d", a.Customer.Version)
		}
		versions[a.Customer.Version] = versions[a.Customer.Version] || a.told() != "UNCHANGED"
		key := strings.Trim(strings.Split(string(a.input.Properties.Value()), ":")[0], `{"`)
		if !strings.Contains(string(c.Properties), key+`"`) || !strings.Contains(string(a.Customer.Properties), key+`"`) {
			t.Errorf("the write of %s was lost: answered %s, stored %s", key, a.Customer.Properties, c.Properties)
		}
	}
	if created != 1 || c.Version != 1+updated {
		t.Errorf("version %d after %d creations and %d updates", c.Version, created, updated)
	}
}

// TestOneWriterOfAVersion has 8 clients write with the version that they have all read.
func TestOneWriterOfAVersion(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
	version := upserted(t, store, "CREATED", byExternalID("C-1")).Version
	for race := range 100 {
		answers := raceCustomers(t, store, each(func(i int) *model.UpsertCustomerInput {
			in := byExternalID("C-1")
			in.FirstName, in.IfVersion = omittable(fmt.Sprint(race, " ", i)), &version
			return in
		}))
		counts := map[string]int{}
		for _, a := range answers {
			counts[a.told()]++
			if a.Customer != nil {
				version = a.Customer.Version
			}
		}
		if counts["UPDATED"] != 1 || counts["VERSION_CONFLICT"] != racers-1 || version != race+2 {
			t.Fatalf("race %d: %v, version %d", race, counts, version)
		}
	}
	checkDeadlocks(t, url)
}

// TestPropertiesMergedAtOnceKeepTheirLimits has two clients, of whom each keeps the limits and both together do not, find the
// same customer before either has written.
func TestPropertiesMergedAtOnceKeepTheirLimits(t *testing.T) {
	t.Parallel()
	for name, property := range map[string]func(client int) string{
		"keys": func(client int) string {
			members := make([]string, 60)
			for i := range members {
				members[i] = fmt.Sprintf(`"k%d_%d": 1`, client, i)
			}
			return "{" + strings.Join(members, ", ") + "}"
		},
		"bytes": func(client int) string { return fmt.Sprintf(`{"k%d": %q}`, client, strings.Repeat("x", 9000)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			store, _ := repotest.NewStore(t, open(t, url+"&pool_max_wait=30s", nil), "store")
			upserted(t, store, model.OutcomeCreated, byExternalID("C"))
			holder, watcher := connect(t, url), connect(t, url)
			run(t, holder, "BEGIN")
			run(t, holder, "SELECT FROM customers FOR UPDATE")
			told := make(chan string, 2)
			var clients sync.WaitGroup
			for client := range 2 {
				clients.Go(func() {
					payload, err := store.UpsertCustomer(t.Context(), *change(byExternalID("C"), func(in *model.UpsertCustomerInput) {
						in.Properties = props(property(client))
					}))
					if err != nil {
						told <- err.Error()
						return
					}
					told <- customerAnswer{client, nil, payload}.told()
				})
			}
			awaitLocks(t, watcher, 2)
			run(t, holder, "COMMIT")
			clients.Wait()
			if got := []string{<-told, <-told}; !slices.Contains(got, "UPDATED") || !slices.Contains(got, "TOO_LONG") {
				t.Errorf("they hear %v", got)
			}
		})
	}
}

// TestCustomersRaceForAKey has two customers reach for the same free keys: for the externalId of a name and its email.
func TestCustomersRaceForAKey(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
	conn := connect(t, url)
	customers := []*model.Customer{upserted(t, store, "CREATED", byExternalID("a")), upserted(t, store, "CREATED", byExternalID("b"))}
	for race := range 100 {
		answers := raceCustomers(t, store, each(func(i int) *model.UpsertCustomerInput {
			in := &model.UpsertCustomerInput{By: model.CustomerKey{ID: &customers[i%2].ID}}
			in.ExternalID, in.Email = omittable(fmt.Sprint("key ", race)), omittable(fmt.Sprint("key", race, "@example.com"))
			return in
		}))
		winner := one[uuid.UUID](t, conn, `SELECT id FROM customers WHERE external_id = $1 AND email = $2`,
			fmt.Sprint("key ", race), fmt.Sprint("key", race, "@example.com"))
		for _, a := range answers {
			switch id := *a.input.By.ID; {
			case id == winner && a.Customer == nil:
				t.Errorf("race %d: who has the key was told %s", race, a.told())
			case id != winner && (a.told() != "TAKEN" || *a.UserErrors[0].ConflictingID != winner):
				t.Errorf("race %d: who has not the key was told %+v", race, a)
			}
		}
	}
	checkDeadlocks(t, url)
}

// TestAClearedKeyStaysCleared has 8 clients clear the key that they find a customer by: whoever comes when it is gone finds
// nobody, and does not bring it back.
func TestAClearedKeyStaysCleared(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
	conn := connect(t, url)
	for race := range 50 {
		email := fmt.Sprint("key", race, "@example.com")
		upserted(t, store, "CREATED", byEmail(email))
		counts := map[string]int{}
		for _, a := range raceCustomers(t, store, each(func(int) *model.UpsertCustomerInput {
			return change(byEmail(email), func(in *model.UpsertCustomerInput) { in.Email = null[string]() })
		})) {
			counts[a.told()]++
		}
		if counts["UPDATED"] == 0 || counts["UPDATED"]+counts["NOT_FOUND"] != racers {
			t.Errorf("race %d: %v", race, counts)
		}
	}
	if left := one[int](t, conn, "SELECT count(email) FROM customers"); left != 0 {
		t.Errorf("%d of the customers have their email back", left)
	}
	checkDeadlocks(t, url)
}

// TestCustomersRaceWithIdentities has customers and identities come with the same new email: in one customer, whom the
// identities leave as the others made it.
func TestCustomersRaceWithIdentities(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
	races := 200
	if testing.Short() {
		races = 10
	}
	for race := range races {
		email := fmt.Sprint("race", race, "@example.com")
		var mu sync.Mutex
		told, owners := map[uuid.UUID][]customerAnswer{}, map[uuid.UUID]int{}
		created := 0
		together(t, racers, func(i int) error {
			if i%2 == 0 {
				payload, err := store.UpsertCustomerIdentity(t.Context(), *input(fmt.Sprint(race, " ", i), email))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					owners[payload.CustomerIdentity.CustomerID]++
					if *payload.CustomerLink == model.LinkCreated {
						created++
					}
				}
				return err
			}
			in := marked(byEmail(email), i)
			payload, err := store.UpsertCustomer(t.Context(), *in)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && payload.Customer != nil {
				told[payload.Customer.ID] = append(told[payload.Customer.ID], customerAnswer{i, in, payload})
			}
			return err
		})
		if len(told) != 1 || len(owners) != 1 || created > 1 {
			t.Fatalf("race %d: %d customers, %d owners of identities, %d created by them", race, len(told), len(owners), created)
		}
		for id, answers := range told {
			if owners[id] != racers/2 || len(answers) != racers/2 {
				t.Fatalf("race %d: %s has %d identities and %d answers", race, id, owners[id], len(answers))
			}
			if created == 1 { // by an identity, which is told as the creation of nobody here
				first := byEmail(email)
				outcome := model.OutcomeCreated
				answers = append(answers, customerAnswer{0, marked(first, answers[0].client), &model.UpsertCustomerPayload{
					Upsert: model.Upsert{Outcome: &outcome}, Customer: &model.Customer{Version: 1, Properties: answers[0].Customer.Properties},
				}})
			}
			checkTold(t, store, id, answers)
		}
	}
	checkDeadlocks(t, url)
}

// TestCustomersRaceWithWhatLinksToThem has customers changed while identities and events are linked to them, alone and in
// batches: nobody waits for somebody who waits for him. (Where keys change, those who link come in the order of the customers:
// in another they may still meet a deadlock, and are run again.)
func TestCustomersRaceWithWhatLinksToThem(t *testing.T) {
	t.Parallel()
	for _, what := range []struct {
		name   string
		change func(in *model.UpsertCustomerInput, mark string)
	}{
		{"names", func(in *model.UpsertCustomerInput, mark string) { in.FirstName = omittable(mark) }},
		{"keys", func(in *model.UpsertCustomerInput, mark string) { in.Email = omittable(mark + "@example.com") }},
	} {
		t.Run(what.name, func(t *testing.T) {
			t.Parallel()
			url := repotest.URL(t)
			store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
			races := 150
			if testing.Short() {
				races = 20
			}
			var ids []uuid.UUID
			for i := range 3 {
				ids = append(ids, upserted(t, store, model.OutcomeCreated, byExternalID(fmt.Sprint("C-", i))).ID)
			}
			var updated atomic.Int64
			for race := range races {
				together(t, racers, func(i int) error {
					random := rand.New(rand.NewPCG(uint64(race), uint64(i)))
					some := random.Perm(len(ids))[:1+random.IntN(len(ids))]
					mark := func(c int) string { return fmt.Sprint(c, "-", race, "-", i) }
					if i%4 > 1 {
						var changes []*model.UpsertCustomerInput
						for _, c := range some {
							in := &model.UpsertCustomerInput{By: model.CustomerKey{ID: &ids[c]}}
							what.change(in, mark(c))
							changes = append(changes, in)
						}
						batch, err := store.UpsertCustomers(t.Context(), changes, model.KeepValid)
						if err == nil {
							updated.Add(int64(batch.UpdatedCount()))
						}
						return err
					}
					var events []*model.UpsertCustomerEventInput
					var identities []*model.UpsertCustomerIdentityInput
					for _, c := range some {
						events = append(events, &model.UpsertCustomerEventInput{
							Customer: model.CustomerKey{ID: &ids[c]}, Source: "race", Type: "ran", EventID: mark(c),
						})
						identity := input(mark(c), mark(c)+"@example.org")
						identity.Origin.CustomerID = &ids[c]
						identities = append(identities, identity)
					}
					var err error
					if i%4 == 0 {
						_, err = store.UpsertCustomerEvents(t.Context(), events, model.KeepValid)
					} else {
						_, err = store.UpsertCustomerIdentities(t.Context(), identities, model.KeepValid)
					}
					return err
				})
			}
			conn := connect(t, url)
			if n := one[int](t, conn, `SELECT sum(version) FROM customers`); n != len(ids)+int(updated.Load()) {
				t.Errorf("the versions come to %d after %d updates of %d customers", n, updated.Load(), len(ids))
			}
			checkDeadlocks(t, url)
		})
	}
}

// TestEventRaces has clients report the same events at once, alone and in batches, each with properties of its own.
func TestEventRaces(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url+"&pool_max_conns=16", nil), "store")
	upserted(t, store, "CREATED", byExternalID("C-1"))
	upserted(t, store, "CREATED", byExternalID("C-2"))
	races := 200
	if testing.Short() {
		races = 10
	}
	var mu sync.Mutex
	created, last := map[string]int{}, map[string]*model.CustomerEvent{}
	for race := range races {
		together(t, racers, func(i int) error {
			random := rand.New(rand.NewPCG(uint64(race), uint64(i)))
			var inputs []*model.UpsertCustomerEventInput
			for _, key := range random.Perm(4)[:1+i%4] {
				inputs = append(inputs, &model.UpsertCustomerEventInput{
					Customer: model.CustomerKey{ExternalID: new(fmt.Sprint("C-", 1+i%2))}, Source: "race", Type: "ran",
					EventID: fmt.Sprint(race/2, " ", key), Properties: model.Properties(fmt.Sprintf(`{"n": %d}`, race*racers+i)),
				})
			}
			results, err := writeEvents(t.Context(), store, policies[random.IntN(3)], inputs)
			mu.Lock()
			defer mu.Unlock()
			for j, r := range results {
				if r.CustomerEvent == nil || string(r.CustomerEvent.Properties) != string(inputs[j].Properties) {
					return fmt.Errorf("%+v was answered with %+v", inputs[j], r)
				}
				key := inputs[j].EventID
				if *r.Outcome == model.OutcomeCreated {
					created[key]++
				}
				if last[key] == nil || r.CustomerEvent.UpdatedAt.After(last[key].UpdatedAt) {
					last[key] = r.CustomerEvent
				}
			}
			return err
		})
	}
	conn := connect(t, url)
	if n := one[int](t, conn, `SELECT count(*) FROM customer_events`); n != len(last) {
		t.Errorf("there are %d events, and %d were told of", n, len(last))
	}
	for key, event := range last {
		is := one[string](t, conn, `SELECT properties || customer_id::text FROM (SELECT properties::text, customer_id FROM customer_events WHERE event_id = $1) AS e`, key)
		if want := string(event.Properties) + event.CustomerID.String(); is != want || created[key] != 1 {
			t.Errorf("event %s was created %d times; told last %s, stored %s", key, created[key], want, is)
		}
	}
	checkDeadlocks(t, url)
}

// writeEvents writes the events as a batch, or one by one where there is no policy.
func writeEvents(
	ctx context.Context, store *repo.Store, policy model.BatchErrorPolicy, inputs []*model.UpsertCustomerEventInput,
) (results []*model.UpsertCustomerEventPayload, err error) {
	if policy != "" {
		batch, err := store.UpsertCustomerEvents(ctx, inputs, policy)
		if err != nil {
			return nil, err
		}
		return batch.Results, nil
	}
	for _, in := range inputs {
		payload, err := store.UpsertCustomerEvent(ctx, *in)
		if err != nil {
			return results, err
		}
		results = append(results, payload)
	}
	return results, nil
}

// TestACustomerIsLockedForWhatChanges changes a customer while something is being linked to it, which then changes the
// customer too. Only a change of keys waits for the link, and takes nothing before that the other would wait for.
func TestACustomerIsLockedForWhatChanges(t *testing.T) {
	t.Parallel()
	url := repotest.URL(t)
	store, _ := repotest.NewStore(t, open(t, url, nil), "shop")
	linker, watcher := connect(t, url), connect(t, url)
	change := func(firstName, email string) (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		ctx, effort := repo.WithEffort(ctx, "")
		of := byExternalID("C-1")
		of.FirstName, of.Email = omittable(firstName), omittable(email)
		_, err := store.UpsertCustomer(ctx, *of)
		return effort.Done().Retries, err
	}
	if _, err := change("A", "jane@doe.com"); err != nil {
		t.Fatal(err)
	}
	run(t, linker, "BEGIN")
	run(t, linker, "SELECT FROM customers FOR KEY SHARE") // as PostgreSQL does for a row that refers to this
	if _, err := change("B", "Jane@doe.com"); err != nil {
		t.Fatal("without new keys:", err)
	}
	changed := make(chan error, 1)
	go func() {
		retries, err := change("C", "new@doe.com")
		if retries > 0 {
			err = errors.Join(err, fmt.Errorf("%d retries", retries))
		}
		changed <- err
	}()
	awaitLocks(t, watcher, 1)
	run(t, linker, "UPDATE customers SET last_name = 'Doe'")
	run(t, linker, "COMMIT")
	if err := <-changed; err != nil {
		t.Error("with a new key:", err)
	}
	got, err := store.Customer(t.Context(), model.CustomerKey{ExternalID: new("C-1")})
	if err != nil || *got.FirstName != "C" || *got.LastName != "Doe" || *got.Email != "new@doe.com" {
		t.Errorf("%+v, %v", got, err)
	}
}
