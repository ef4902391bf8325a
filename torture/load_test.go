package torture_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load is a crowd of clients that write and read at once, at all servers by turns, and keep the history of it.
type load struct {
	servers []*akin
	token   string
	history *history // nil where nobody asks for it

	writes, reads, refused atomic.Int64 // what was acknowledged, and what was not

	mu     sync.Mutex
	slots  []*key
	keys   []string // all there were
	sets   []*atomicSet
	names  int
	faults []string
}

// key is one that the clients write to for a while. One with many lost answers is left, since each of them doubles what
// the checker has to try.
type key struct {
	name        string
	calls, lost int
	last        call // a write to send again, so that some change nothing
}

// atomicSet is a batch of keys that are written together or not at all, by nobody else.
type atomicSet struct {
	prefix string
	size   int
	known  bool // acknowledged
}

const (
	hotKeys     = 24 // of each kind that are written at a time
	callsOfKey  = 150
	lostOfKey   = 4
	identityKey = "identity-"
	customerKey = "customer-"
	eventKey    = "event-"
	platform    = "torture" // of the identities, and the source of the events
)

// kinds are what the keys of each kind begin with.
var kinds = []string{identityKey, customerKey, eventKey}

func newLoad(servers []*akin, token string) *load {
	return &load{servers: servers, token: token, history: newHistory(), slots: make([]*key, len(kinds)*hotKeys)}
}

// run starts the clients, and returns a function that stops them and waits for their last answers.
func (l *load) run(clients int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for n := range clients {
		running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := l.act(l.servers[(n+i)%len(l.servers)], n); err != nil {
					l.refused.Add(1)
					select {
					case <-time.After(50 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	return func() { cancel(); running.Wait() }
}

// act does one thing. A client that has sent it waits for the answer, even when the load is to stop.
func (l *load) act(server *akin, client int) error {
	var err error
	switch roll := rand.IntN(100); {
	case roll < 30:
		err = l.read(server, client, l.pick(kinds[rand.IntN(len(kinds))]))
	case roll < 50:
		err = l.writeIdentities(server, client, []*key{l.pick(identityKey)}, "KEEP_VALID")
	case roll < 65:
		err = l.writeIdentities(server, client, l.some(identityKey), "KEEP_VALID")
	case roll < 70:
		err = l.writeIdentities(server, client, l.some(identityKey), "REJECT_ALL")
	case roll < 75:
		err = l.writeSet(server)
	case roll < 83:
		err = l.writeCustomers(server, client, l.some(customerKey))
	case roll < 87:
		err = l.writeEvents(server, client, []*key{l.pick(eventKey)}, "KEEP_VALID")
	case roll < 92:
		err = l.writeEvents(server, client, l.some(eventKey), "KEEP_VALID")
	case roll < 95:
		err = l.writeEvents(server, client, l.some(eventKey), "REJECT_ALL")
	default:
		err = l.page(server)
	}
	if _, wrong := errors.AsType[*wrongAnswerError](err); wrong || errors.Is(err, context.DeadlineExceeded) {
		l.fault(err.Error())
	}
	return err
}

func (l *load) fault(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, text)
}

// pick returns one of the keys of a kind.
func (l *load) pick(kind string) *key {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := &l.slots[slices.Index(kinds, kind)*hotKeys+rand.IntN(hotKeys)]
	if *slot == nil || (*slot).calls > callsOfKey || (*slot).lost >= lostOfKey {
		*slot = &key{name: kind + fmt.Sprint(len(l.keys))}
		l.keys = append(l.keys, (*slot).name)
	}
	(*slot).calls++
	return *slot
}

// some returns a few different keys of a kind.
func (l *load) some(kind string) []*key {
	var keys []*key
	seen := map[string]bool{}
	for range 2 + rand.IntN(10) {
		if k := l.pick(kind); !seen[k.name] {
			seen[k.name] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// write returns what to write to a key: mostly something new, with an email that others have too, and sometimes what
// was written before.
func (l *load) write(k *key) call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.last.Key != "" && rand.IntN(4) == 0 {
		return k.last
	}
	l.names++
	k.last = call{Key: k.name, Write: true, Name: fmt.Sprint("name ", l.names)}
	switch {
	case strings.HasPrefix(k.name, identityKey):
		k.last.Email = fmt.Sprintf("person-%d@example.com", l.names/20+rand.IntN(10))
	case strings.HasPrefix(k.name, eventKey):
		k.last.Type = fmt.Sprint("type_", rand.IntN(10))
	}
	return k.last
}

// shown is an object in an answer, of any kind.
type shown struct {
	ID         string
	Email      string
	FirstName  string
	Type       string
	Properties struct{ Name string }
	Version    int
	UpdatedAt  string
	Customer   struct{ ID, Email string }
}

func (s *shown) record() record {
	if s == nil {
		return record{}
	}
	return record{
		Exists: true, ID: s.ID, Customer: s.Customer.ID, Email: s.Email, Type: s.Type, Name: cmp.Or(s.FirstName, s.Properties.Name),
		Version: s.Version, Updated: s.UpdatedAt,
	}
}

const (
	identityFields = `{ id email firstName updatedAt customer { id email } }`
	customerFields = `{ id firstName version updatedAt }`
	eventFields    = `{ id type properties updatedAt customer { id } }`
)

func (l *load) read(server *akin, client int, k *key) error {
	document := `query ($k: String!) { found: customerIdentity(by: {platformIdentity: {platform: "` + platform + `", platformCustomerId: $k}}) ` + identityFields + ` }`
	if strings.HasPrefix(k.name, customerKey) {
		document = `query ($k: String!) { found: customer(by: {externalId: $k}) ` + customerFields + ` }`
	}
	if strings.HasPrefix(k.name, eventKey) {
		document = `query ($k: String!) { has: customer(by: {externalId: $k}) { events(first: 2) { nodes ` + eventFields + ` } } }`
	}
	sent := l.history.now()
	data, err := ask[struct {
		Found *shown
		Has   struct{ Events struct{ Nodes []*shown } }
	}](context.Background(), server, l.token, document, map[string]any{"k": k.name})
	if err != nil {
		return err
	}
	switch events := data.Has.Events.Nodes; len(events) {
	case 0:
	case 1:
		data.Found = events[0]
	default:
		return &wrongAnswerError{"more than one event with the key " + k.name}
	}
	l.history.add(client, sent, call{Key: k.name}, answer{Known: true, Record: data.Found.record()})
	l.reads.Add(1)
	return nil
}

// result is what became of one input.
type result struct {
	Outcome    string
	Object     *shown
	UserErrors []struct{ Code, Message string }
}

type results struct{ Written struct{ Results []result } }

func (l *load) writeIdentities(server *akin, client int, keys []*key, onError string) error {
	calls := make([]call, len(keys))
	inputs := make([]map[string]any, len(keys))
	for i, k := range keys {
		calls[i] = l.write(k)
		inputs[i] = map[string]any{"platform": platform, "platformCustomerId": k.name, "email": calls[i].Email, "firstName": calls[i].Name}
	}
	const one = `mutation ($inputs: UpsertCustomerIdentityInput!) { written: upsertCustomerIdentity(input: $inputs) {
		outcome object: customerIdentity ` + identityFields + ` userErrors { code message } } }`
	const many = `mutation ($inputs: [UpsertCustomerIdentityInput!]!, $onError: BatchErrorPolicy!) {
		written: upsertCustomerIdentities(inputs: $inputs, onError: $onError) { results {
		outcome object: customerIdentity ` + identityFields + ` userErrors { code message } } } }`
	sent := l.history.now()
	data, err := oneOrMany(server, l.token, one, many, map[string]any{"inputs": inputs, "onError": onError}, inputs)
	return l.written(client, sent, keys, calls, data, err)
}

// oneOrMany sends one input to the mutation of one, and more to that of many.
func oneOrMany(server *akin, token, one, many string, variables map[string]any, inputs []map[string]any) (data results, err error) {
	if len(inputs) > 1 {
		return ask[results](context.Background(), server, token, many, variables)
	}
	variables["inputs"] = inputs[0]
	alone, err := ask[struct{ Written result }](context.Background(), server, token, one, variables)
	data.Written.Results = []result{alone.Written}
	return data, err
}

func (l *load) writeCustomers(server *akin, client int, keys []*key) error {
	calls := make([]call, len(keys))
	inputs := make([]map[string]any, len(keys))
	for i, k := range keys {
		calls[i] = l.write(k)
		inputs[i] = map[string]any{"by": map[string]any{"externalId": k.name}, "firstName": calls[i].Name}
	}
	const document = `mutation ($inputs: [UpsertCustomerInput!]!) { written: upsertCustomers(inputs: $inputs) { results {
		outcome object: customer ` + customerFields + ` userErrors { code message } } } }`
	sent := l.history.now()
	data, err := ask[results](context.Background(), server, l.token, document, map[string]any{"inputs": inputs})
	return l.written(client, sent, keys, calls, data, err)
}

// writeEvents writes events, each to a customer of its own, by whom it is read again: an event cannot be asked for by its
// key. The same request makes the customer where there is none yet.
func (l *load) writeEvents(server *akin, client int, keys []*key, onError string) error {
	calls := make([]call, len(keys))
	inputs := make([]map[string]any, len(keys))
	customers := make([]map[string]any, len(keys))
	for i, k := range keys {
		calls[i] = l.write(k)
		by := map[string]any{"externalId": k.name}
		customers[i] = map[string]any{"by": by}
		inputs[i] = map[string]any{
			"customer": by, "source": platform, "eventId": k.name, "type": calls[i].Type, "properties": map[string]any{"name": calls[i].Name},
		}
	}
	const one = `mutation ($customers: [UpsertCustomerInput!]!, $inputs: UpsertCustomerEventInput!) {
		upsertCustomers(inputs: $customers) { failedCount }
		written: upsertCustomerEvent(input: $inputs) { outcome object: customerEvent ` + eventFields + ` userErrors { code message } } }`
	const many = `mutation ($customers: [UpsertCustomerInput!]!, $inputs: [UpsertCustomerEventInput!]!, $onError: BatchErrorPolicy!) {
		upsertCustomers(inputs: $customers) { failedCount }
		written: upsertCustomerEvents(inputs: $inputs, onError: $onError) { results {
		outcome object: customerEvent ` + eventFields + ` userErrors { code message } } } }`
	sent := l.history.now()
	data, err := oneOrMany(server, l.token, one, many,
		map[string]any{"inputs": inputs, "onError": onError, "customers": customers}, inputs)
	return l.written(client, sent, keys, calls, data, err)
}

// written records what became of writes that were sent together.
func (l *load) written(client int, sent int64, keys []*key, calls []call, data results, err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return err // it never arrived
	}
	if err == nil && len(data.Written.Results) != len(calls) {
		return &wrongAnswerError{fmt.Sprintf("%d results to %d inputs", len(data.Written.Results), len(calls))}
	}
	for i, c := range calls {
		if err != nil {
			l.mu.Lock()
			keys[i].lost++
			l.mu.Unlock()
			l.history.add(client, sent, c, answer{})
			continue
		}
		r := data.Written.Results[i]
		if len(r.UserErrors) > 0 || r.Object == nil {
			return &wrongAnswerError{fmt.Sprintf("%+v to %+v", r, c)}
		}
		if r.Outcome == "CREATED" && r.Object.Customer.Email != c.Email {
			return &wrongAnswerError{fmt.Sprintf("%+v has the customer of %s", c, r.Object.Customer.Email)}
		}
		l.history.add(client, sent, c, answer{Known: true, Outcome: r.Outcome, Record: r.Object.record()})
		l.writes.Add(1)
	}
	return err
}

// writeSet writes a batch of new keys that is all there or not at all.
func (l *load) writeSet(server *akin) error {
	l.mu.Lock()
	set := &atomicSet{prefix: fmt.Sprintf("set-%d-", len(l.sets)), size: 2 + rand.IntN(20)}
	l.sets = append(l.sets, set)
	l.mu.Unlock()
	inputs := make([]map[string]any, set.size)
	for i := range inputs {
		name := set.prefix + fmt.Sprint(i)
		inputs[i] = map[string]any{"platform": "set", "platformCustomerId": name, "email": name + "@example.com"}
	}
	const document = `mutation ($inputs: [UpsertCustomerIdentityInput!]!) { written: upsertCustomerIdentities(inputs: $inputs, onError: REJECT_ALL) {
		results { outcome } } }`
	_, err := ask[results](context.Background(), server, l.token, document, map[string]any{"inputs": inputs})
	set.known = err == nil
	return err
}

// page reads what an admin's page shows.
func (l *load) page(server *akin) error {
	const document = `{ customers(first: 20) { nodes { id email identities(first: 5) { nodes { platform platformCustomerId } } } pageInfo { endCursor } } }`
	_, err := ask[struct{}](context.Background(), server, l.token, document, nil)
	return err
}

// verify holds what the clients saw, and what is in the database now, to Akin's promises. The clients have stopped and
// all faults are mended.
func (l *load) verify(t *testing.T, p *postgres) {
	t.Helper()
	var readers sync.WaitGroup
	for names := range slices.Chunk(l.keys, len(l.keys)/4+1) { // every acknowledged write is there
		readers.Go(func() {
			for _, name := range names {
				if err := l.read(l.servers[0], -1, &key{name: name}); err != nil {
					l.fault(err.Error())
				}
			}
		})
	}
	readers.Wait()
	l.faults = append(l.faults, l.history.faults(time.Minute)...)
	counts := one[map[string]int](t, p, `SELECT coalesce(jsonb_object_agg(prefix, n), '{}') FROM (
		SELECT substring(platform_customer_id FROM '^set-\d+-') AS prefix, count(*) AS n
		FROM customer_identities WHERE platform = 'set' GROUP BY 1) AS sets`)
	for _, set := range l.sets {
		if found := counts[set.prefix]; found != set.size && (found != 0 || set.known) {
			l.fault(fmt.Sprintf("of a batch of %d that is written whole or not at all, acknowledged: %t, %d are there", set.size, set.known, found))
		}
	}
	for what, query := range map[string]string{
		"identities with one key": `SELECT count(*) FROM (SELECT FROM customer_identities
			GROUP BY store_id, platform, platform_customer_id HAVING count(*) > 1) AS twice`,
		"customers with one email": `SELECT count(*) FROM (SELECT FROM customers WHERE email_normalized IS NOT NULL
			GROUP BY store_id, email_normalized HAVING count(*) > 1) AS twice`,
		"customers without the identity they were created for": `SELECT count(*) FROM customers c WHERE external_id IS NULL
			AND NOT EXISTS (SELECT FROM customer_identities i WHERE i.store_id = c.store_id AND i.customer_id = c.id)`,
		"identities without a customer": `SELECT count(*) FROM customer_identities i
			WHERE NOT EXISTS (SELECT FROM customers c WHERE i.store_id = c.store_id AND i.customer_id = c.id)`,
		"events with one key": `SELECT count(*) FROM (SELECT FROM customer_events
			GROUP BY store_id, source, event_id HAVING count(*) > 1) AS twice`,
		"events without a customer": `SELECT count(*) FROM customer_events e
			WHERE NOT EXISTS (SELECT FROM customers c WHERE e.store_id = c.store_id AND e.customer_id = c.id)`,
		"identities that nobody sent": `SELECT count(*) FROM customer_identities WHERE platform NOT IN ('torture', 'set')`,
		"events that nobody sent":     `SELECT count(*) FROM customer_events WHERE source <> 'torture' OR NOT starts_with(event_id, 'event-')`,
	} {
		if n := one[int](t, p, query); n > 0 {
			l.fault(fmt.Sprintf("there are %d %s", n, what))
		}
	}
	t.Logf("%d writes and %d reads acknowledged, %d requests refused or lost, %d keys, %d batches whole or not at all",
		l.writes.Load(), l.reads.Load(), l.refused.Load(), len(l.keys), len(l.sets))
}

// report fails the test with the faults found.
func (l *load) report(t *testing.T) {
	t.Helper()
	for _, fault := range l.faults[:min(len(l.faults), 10)] {
		t.Error(fault)
	}
	if len(l.faults) > 10 {
		t.Errorf("and %d faults more", len(l.faults)-10)
	}
}
