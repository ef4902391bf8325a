package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"

	"akin/repo/repotest"
)

// NewStockHandler returns the handler of /graphql without writeRows, so that gqlgen writes everything.
func NewStockHandler(cfg Config) http.Handler { return newHandler(cfg, loadAhead) }

func newHandler(cfg Config, around ...graphql.FieldMiddleware) http.Handler {
	endpoint := newEndpoint(cfg)
	endpoint.exec = newExecutor(cfg, around...)
	return observe(newAccessLog(cfg.Log, 0), endpoint)
}

// TestRowsAreWrittenAsGqlgenWritesThem sends some thousands of random operations to two handlers, one of them without
// writeRows, and compares the answers: the data byte for byte, the errors in any order. For every second of them, what the
// resolvers and loadAhead have read is damaged before it is written. In the end each field of each object must have been
// written by writeRows, and most answers.
func TestRowsAreWrittenAsGqlgenWritesThem(t *testing.T) {
	t.Parallel()
	db := repotest.New(t)
	_, token := repotest.NewStore(t, db, "shop")
	cfg := Config{DB: db, Log: slog.New(slog.DiscardHandler)}
	seen := &writtenFields{fields: map[string]bool{}}
	stock := client{t, newHandler(cfg, damage, loadAhead), token}
	rows := client{t, newHandler(cfg, seen.watch, writeRows, damage, loadAhead), token}
	pool := fill(stock)

	same := func(seed uint64, mutation bool) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), pool: pool}
		document := g.operation(mutation)
		harm := seed % 2 * seed
		if mutation && !stock.settle(document, g.variables, harm) {
			return
		}
		want, got := stock.send(document, g.variables, harm), rows.send(document, g.variables, harm)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d: %s\n%v\n(-gqlgen +writeRows):\n%s", seed, document, g.variables, diff)
		}
	}
	const mutations, queries, workers = 500, 2_500, 4
	for seed := uint64(0); seed < mutations && !t.Failed(); seed++ {
		same(seed, true)
	}
	stock.awaitSettled()
	var group sync.WaitGroup
	for worker := range uint64(workers) {
		group.Go(func() {
			for seed := worker; seed < queries && !t.Failed(); seed += workers {
				same(seed, false)
			}
		})
	}
	group.Wait()
	t.Logf("of %d root fields, %d were written by writeRows", seen.roots, seen.written)
	if seen.roots < mutations+queries || seen.written < seen.roots*3/4 {
		t.Error("so few that little is shown")
	}
	for _, definition := range schema.Types {
		if definition.Kind != ast.Object || definition == schema.Query || definition == schema.Mutation || strings.HasPrefix(definition.Name, "__") {
			continue
		}
		for _, field := range definition.Fields {
			if name := definition.Name + "." + field.Name; !seen.fields[name] {
				t.Errorf("%s has never been written by writeRows", name)
			}
		}
	}
}

// client sends operations with a token.
type client struct {
	t       *testing.T
	handler http.Handler
	token   string
}

// reply is an answer with its errors sorted.
type reply struct {
	Status int
	Data   string
	Errors []string
}

// send sends an operation, to be answered with this harm done to it (see damage); 0 is none.
func (c client) send(document string, variables map[string]any, harm uint64) reply {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequestWithContext(context.WithValue(c.t.Context(), harmKey{}, harm), http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", mediaJSON)
	r.Header.Set(requestIDHeader, "test")
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	var parts struct {
		Data   json.RawMessage
		Errors []json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &parts); err != nil {
		c.t.Errorf("%v in the answer to %s: %s", err, document, w.Body)
	}
	got := reply{Status: w.Code, Data: string(parts.Data)}
	for _, e := range parts.Errors {
		got.Errors = append(got.Errors, string(e))
	}
	slices.Sort(got.Errors)
	return got
}

// settle repeats a mutation until it has nothing new to say. One whose fields undo one another always has.
func (c client) settle(document string, variables map[string]any, harm uint64) bool {
	before := c.send(document, variables, harm)
	for range 3 {
		after := c.send(document, variables, harm)
		if cmp.Equal(before, after) {
			return true
		}
		before = after
	}
	return false
}

// fill writes customers that know much or little, with their identities and events, and returns what arguments find.
func fill(c client) pool {
	for i := range 8 {
		c.send(`mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { outcome } }`, map[string]any{
			"input": map[string]any{
				"platform": []string{"woocommerce", "shopify"}[i%2], "platformCustomerId": fmt.Sprintf("c%d", i),
				"email": fmt.Sprintf("a%d@example.com", i/2), "firstName": inputs["firstName"][i%3],
			},
		}, 0)
		c.send(`mutation ($input: UpsertCustomerEventInput!) { upsertCustomerEvent(input: $input) { outcome } }`, map[string]any{
			"input": map[string]any{
				"customer": map[string]any{"email": "a0@example.com"}, "source": "shop", "type": inputs["type"][i%2], "eventId": fmt.Sprint(i),
				"properties": inputs["Properties"][i%2],
			},
		}, 0)
	}
	c.send(`mutation { upsertCustomer(input: {by: {email: "a0@example.com"}, externalId: "e0", phoneNumber: "+14155552671", lastName: "Doe",
		gender: FEMALE, accountCreatedAt: "2020-02-29T23:59:59.9999+01:00", accountStatus: INVITED, defaultLanguage: "en", defaultCurrency: "EUR",
		tags: ["vip", "<b>\"2\"\\b</b>"], address: {address1: "1", address2: "2", company: "3", city: "4", state: "5", provinceCode: "6", zip: "7",
		countryCode: "DE", phoneNumber: "+14155552671"}, acceptsEmailMarketing: true, acceptsSmsMarketing: false, properties: {score: 7}}) { outcome } }`, nil, 0)
	found := c.send(`{ store { id } customers { pageInfo { startCursor endCursor } nodes { id
		identities { nodes { id } pageInfo { endCursor } } events { nodes { id } pageInfo { endCursor } } } }
		customerIdentities { edges { cursor } } }`, nil, 0)
	var data any
	if err := json.Unmarshal([]byte(found.Data), &data); err != nil {
		c.t.Fatal(err)
	}
	all := maps.Clone(inputs)
	all.add("", data)
	return all
}

// awaitSettled waits until the lists for mirrors have all that was written.
func (c client) awaitSettled() {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var data map[string]struct {
			TotalCount int
			Nodes      []any
		}
		found := c.send(`query ($all: DateTimeRange = {from: "2000-01-01T00:00:00Z"}) {
			customers(first: 100, orderBy: {field: UPDATED_AT}, filter: {updatedAt: $all}) { totalCount nodes { id } }
			customerIdentities(first: 100, orderBy: {field: UPDATED_AT}, filter: {updatedAt: $all}) { totalCount nodes { id } } }`, nil, 0)
		if err := json.Unmarshal([]byte(found.Data), &data); err != nil {
			c.t.Fatalf("%v: %v", err, found)
		}
		settled := true
		for _, list := range data {
			settled = settled && len(list.Nodes) == min(list.TotalCount, 100)
		}
		if settled {
			return
		}
	}
	c.t.Error("the lists for mirrors still lack what was written a minute ago")
}

type harmKey struct{}

// damage is field middleware that damages what a root field answers with, to the harm of the request: it takes pointers,
// interfaces and slices away, some of them such as the schema promises, and puts in texts and times that are hard to write.
// The same answer takes the same damage each time.
func damage(ctx context.Context, next graphql.Resolver) (any, error) {
	result, err := next(ctx)
	field := graphql.GetFieldContext(ctx)
	harm, _ := ctx.Value(harmKey{}).(uint64)
	if harm != 0 && err == nil && result != nil && (field.Object == "Query" || field.Object == "Mutation") {
		random := rand.New(rand.NewPCG(harm, 1))
		d := damager{random, 10 + random.IntN(300), map[any]bool{}}
		d.walk(reflect.ValueOf(&result).Elem())
	}
	return result, err
}

type damager struct {
	*rand.Rand

	seldom int // one value in so many is taken away
	met    map[any]bool
}

func (d damager) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || d.met[v.Interface()] {
			return
		}
		d.met[v.Interface()] = true
		d.walk(v.Elem())
	case reflect.Interface:
		if !v.IsNil() {
			d.walk(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.walk(v.Index(i))
		}
	case reflect.Map: // of the pages of a customer, in an order of their own
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, key := range keys {
			d.walk(v.MapIndex(key))
		}
	case reflect.Struct:
		if instant, ok := reflect.TypeAssert[time.Time](v); ok && v.CanSet() && d.IntN(30) == 0 {
			v.Set(reflect.ValueOf(instant.Add(time.Duration(d.Uint64() >> 1)).In(time.FixedZone("", -3600))))
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				d.walk(v.Field(i))
			}
		}
	case reflect.String:
		if v.CanSet() && d.IntN(30) == 0 {
			v.SetString([]string{"", "\x00\x1f\t\r\n", `"\`, "<&>\u2028", "\xff\xfe", "🦊"}[d.IntN(6)])
		}
	}
	if v.CanSet() && slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Interface, reflect.Slice}, v.Kind()) && d.IntN(d.seldom) == 0 {
		v.SetZero()
	}
}

// writtenFields counts what writeRows has written, when it is next in line.
type writtenFields struct {
	mu             sync.Mutex
	roots, written int
	fields         map[string]bool // such as "Customer.email"
}

func (w *writtenFields) watch(ctx context.Context, next graphql.Resolver) (any, error) {
	result, err := next(ctx)
	field := graphql.GetFieldContext(ctx)
	if err != nil || field.Object != "Query" && field.Object != "Mutation" {
		return result, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roots++
	if written, ok := result.(finished); ok {
		w.written++
		if string(*written.json) != "null" {
			w.add(ctx, field.Field.Selections)
		}
	}
	return result, err
}

func (w *writtenFields) add(ctx context.Context, selections ast.SelectionSet) {
	for _, field := range graphql.CollectFields(graphql.GetOperationContext(ctx), selections, nil) {
		w.fields[field.ObjectDefinition.Name+"."+field.Name] = true
		w.add(ctx, field.Selections)
	}
}
