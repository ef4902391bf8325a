package graph_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"akin/graph/generated"
)

// TestTenancy holds the promise that nothing crosses from one store to another. What it asks, it makes from the schema:
// each argument of each field, each field of each input, each mutation and each list in each of its orders is tried with
// the other store's values, IDs and cursors. Of every one must hold:
//
//   - nothing of the other store is in the answer, and nothing of the other store changes;
//   - the answer is that to the same question with values that nobody has, so that it does not even tell what exists;
//   - with the store's own values the question is a good one: it finds something, or is written.
//
// What is new in the schema is asked from its first day. Where the test has no value for it, the test fails and says so.
func TestTenancy(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	own, other := newTenant(t, a, schema, "own", "own"), newTenant(t, a, schema, "theirs", "theirs")
	all, uncovered := questions(schema, other.known)
	for _, complaint := range uncovered {
		t.Error(complaint)
	}
	if len(uncovered) > 0 {
		t.FailNow()
	}
	for _, q := range all {
		if q.of != schema.Mutation {
			read(t, schema, q, own, other)
		}
	}
	readOn(t, schema, own, other)
	before := other.query(t, readable(schema), nil).body
	for i, q := range all {
		if q.of == schema.Mutation {
			store, twin := newTenant(t, a, schema, "own", fmt.Sprint("store ", i)), newTenant(t, a, schema, "own", fmt.Sprint("twin ", i))
			write(t, schema, q, own, store, twin, other)
			if after := other.query(t, readable(schema), nil).body; after != before {
				t.Fatalf("%s changed the other store from\n%s\nto\n%s", q, before, after)
			}
		}
	}
}

// read asks a question that reads: of the whole store, or of each object that the store has of its type.
func read(t *testing.T, schema *ast.Schema, q question, own, other *tenant) {
	t.Helper()
	nobody, found := other.known.nobodys(), false
	for _, within := range wheres(q.of, own.known) {
		for _, try := range q.tries(schema, other.known) {
			ask := func(of known) (string, answer) {
				document := fmt.Sprintf(within, q.ask(schema, try, own.known, of))
				return document, own.query(t, document, nil)
			}
			question, got := ask(other.known)
			_, unknown := ask(nobody)
			_, itself := ask(own.known)
			compare(t, question, got, unknown, other.known.texts(own.known))
			found = found || said(itself) != said(unknown)
		}
	}
	if !found {
		t.Errorf("%s finds nothing by the store's own values", q)
	}
}

// readOn reads each list on from each cursor, in both directions: from the store's own, which must give just the rest of
// the list, and from the other store's of the same list in the same order, which are refused like one that nobody has.
func readOn(t *testing.T, schema *ast.Schema, own, other *tenant) {
	t.Helper()
	theirs := lists(schema, other.known)
	for name, documents := range lists(schema, own.known) {
		longest, foreign := 0, other.cursors(t, "first: 100", theirs[name]...)
		for _, document := range documents {
			page := own.cursors(t, "first: 100", document)
			longest = max(longest, len(page))
			for i, cursor := range page {
				for argument, want := range map[string][]string{"after: ": page[i+1:], "before: ": page[:i]} {
					if got := own.cursors(t, argument+literal(cursor), document); !slices.Equal(got, want) {
						t.Errorf("%s: %s the store's own cursor %d of %d are %d objects, want %d", name, argument, i+1, len(page), len(got), len(want))
					}
				}
			}
			for _, cursor := range foreign {
				for _, argument := range []string{"after: ", "before: "} {
					question := fmt.Sprintf(document, argument+literal(cursor))
					got, unknown := own.query(t, question, nil), own.query(t, fmt.Sprintf(document, argument+`"nobody's"`), nil)
					compare(t, question, got, unknown, other.known.texts(own.known))
					if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "BAD_USER_INPUT" {
						t.Errorf("%s\ntakes the other store's cursor:\n%s", question, got.body)
					}
				}
			}
		}
		if longest < 2 || len(foreign) < 2 {
			t.Errorf("%s has no cursor to read on from: let fill write two of its objects", name)
		}
	}
}

// write asks a question that writes: with the other store's values in a new store, and with nobody's in its twin, so that
// the two must remain the same but for these.
func write(t *testing.T, schema *ast.Schema, q question, own, store, twin, other *tenant) {
	t.Helper()
	nobody, written := other.known.nobodys(), false
	for _, try := range q.tries(schema, other.known) {
		ask := func(in *tenant, of known) (string, answer) {
			document := fmt.Sprintf("mutation { %s }", q.ask(schema, try, in.known, of))
			return document, in.query(t, document, nil)
		}
		question, got := ask(store, other.known)
		_, unknown := ask(twin, nobody)
		compare(t, question, got, unknown, other.known.made())
		if t.Failed() { // what was written where it must not be makes all that follows wrong
			t.FailNow()
		}
		if !written {
			_, itself := ask(own, own.known)
			written = len(itself.Errors) == 0 && !strings.Contains(itself.body, `"__typename":"UserError"`)
		}
	}
	if !written {
		t.Errorf("%s writes nothing with the store's own values", q)
	}
}

// compare fails the test if one of the secrets is in the answer, or if it is not what is said of values that nobody has.
func compare(t *testing.T, question string, got, unknown answer, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(got.body, secret) {
			t.Errorf("%s\nanswers with the other store's %q:\n%s", question, secret, got.body)
		}
	}
	if got.status != unknown.status || said(got) != said(unknown) {
		t.Errorf("%s\nanswers\n%s\nwhere values that nobody has are answered with\n%s", question, got.body, unknown.body)
	}
}

// said is what an answer says, but for the IDs, the cursors and the time that Akin makes, and with nobody's values for the
// other store's; errors come in any order.
func said(a answer) string {
	errs := make([]string, len(a.Errors))
	for i, err := range a.Errors {
		errs[i] = fmt.Sprint(err)
	}
	slices.Sort(errs)
	return string(newMask().hide(asNobodys.Replace(string(a.Data)))) + asNobodys.Replace(strings.Join(errs, "\n"))
}

// TestTenancyAsksOfWhatIsNew adds to the schema what the test above has no value for, and what it has.
func TestTenancyAsksOfWhatIsNew(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	values := known{"Customer.email": {"a@example.com"}}
	for _, test := range []struct{ addition, question, complaint string }{
		{`extend type Query { new(email: String): Customer }`, "Query.new(email)", ""},
		{`extend type Query { new(nickname: String): Customer }`, "", "Query.new(nickname)"},
		{`extend type Customer { new(nickname: [ID!]): Int }`, "", "Customer.new(nickname)"},
		{`scalar Colour extend type Customer { new(eyes: Colour!): Int }`, "", "Customer.new(eyes)"},
		{`extend input CustomerFilter { nickname: String }`, "", "Query.customers(filter.nickname)"},
		{`input Names { email: [String!] nick: String } extend input CustomerKey { names: [Names!] }`, "Query.customer(by.names.email)", "Query.customer(by.names.nick)"},
		{`extend type Address { new(email: String): Int }`, "", "Address.new(email)"},
		{`extend input AddressInput { nickname: String }`, "", "Mutation.upsertCustomers(inputs.address.nickname)"},
		{`extend type Mutation { merge(email: String!, into: ID!): Customer }`, "Mutation.merge(email)", "Mutation.merge(into)"},
		{`extend type Mutation { forget(all: Boolean!): Int }`, "", "Mutation.forget"},
	} {
		schema := gqlparser.MustLoadSchema(&ast.Source{Input: string(file) + test.addition})
		asked, uncovered := questions(schema, values)
		if test.question != "" && !slices.ContainsFunc(asked, func(q question) bool { return q.String() == test.question }) {
			t.Errorf("%s: no question of %s", test.addition, test.question)
		}
		if test.complaint != "" && !slices.ContainsFunc(uncovered, func(s string) bool { return strings.HasPrefix(s, test.complaint+" ") }) {
			t.Errorf("%s: nothing is said of %s", test.addition, test.complaint)
		}
	}
}
