package graph_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/repo/repotest"
)

// takes has the fields whose values an argument or a field of an input takes, where it is not called like them.
var takes = map[string][]string{
	"ids":         {"id"},
	"customerId":  {"id"},
	"externalIds": {"externalId"},
	"from":        {"accountCreatedAt", "occurredAt"},
	"to":          {"accountCreatedAt", "occurredAt"},
	"search":      {"email", "externalId", "firstName", "lastName", "phoneNumber", "platformCustomerId"},
}

// plain has what is written where no store can be told from another: for numbers and choices, by their type, and for codes
// that all the world has, by the argument or the field that takes them.
var plain = map[string]string{
	"Boolean": "true", "Int": "1", "Float": "1", "defaultLanguage": `"en"`, "defaultCurrency": `"EUR"`, "countryCode": `"DE"`,
}

// cursorArguments take a cursor: readOn asks for these.
var cursorArguments = []string{"after", "before"}

// tenant is a store with a token of its own, and what it can read of itself.
type tenant struct {
	*api
	known known
}

// newTenant fills a new store on the server; all that it writes carries its owner's mark.
func newTenant(t *testing.T, on *api, schema *ast.Schema, owner, name string) *tenant {
	t.Helper()
	_, token := repotest.NewStore(t, on.db, name)
	store := &tenant{&api{url: on.url, token: token, db: on.db, log: on.log}, known{}}
	fill(t, store.api, owner)
	var all any
	store.must(t, &all, readable(schema), nil)
	store.known.learn(schema, all)
	return store
}

// fill writes every field of every input, but for what a code or a choice takes, with the owner's mark in each text.
// Two customers, of two identities and one, and of two events and one, are what lists need to be read on from a cursor.
func fill(t *testing.T, a *api, owner string) {
	t.Helper()
	mark := map[string]struct{ phone, year string }{"own": {"+14155551", "2001"}, "theirs": {"+14155552", "2092"}}[owner]
	properties := map[string]any{owner + "_key": owner + "-value"}
	var identities, customers, events []any
	for i := range 3 {
		email := fmt.Sprintf("%s%d@example.com", owner, i/2)
		identities = append(identities, map[string]any{
			"platform": owner + "-platform", "platformCustomerId": fmt.Sprintf("%s-id-%d", owner, i),
			"email": email, "firstName": owner + "-first", "lastName": owner + "-last",
		})
		events = append(events, map[string]any{
			"customer": map[string]any{"email": email}, "source": owner + "_source", "type": owner + "_type",
			"eventId": fmt.Sprintf("%s-event-%d", owner, i), "occurredAt": mark.year + "-01-01T00:00:00Z", "properties": properties,
		})
	}
	for i := range 2 {
		customers = append(customers, map[string]any{
			"by": map[string]any{"email": fmt.Sprintf("%s%d@example.com", owner, i)}, "externalId": fmt.Sprintf("%s-external-%d", owner, i),
			"phoneNumber": fmt.Sprintf("%s00%d", mark.phone, i), "accountCreatedAt": mark.year + "-02-01T00:00:00Z", "tags": []string{owner + "-tag"},
			"address": map[string]any{
				"address1": owner + "-1", "address2": owner + "-2", "company": owner + "-company", "city": owner + "-city", "state": owner + "-state",
				"provinceCode": owner + "-code", "zip": owner + "-zip", "phoneNumber": mark.phone + "002",
			}, "properties": properties,
		})
	}
	var done struct {
		UpsertCustomerIdentities, UpsertCustomerEvents struct{ CreatedCount int }
		UpsertCustomers                                struct{ UpdatedCount int }
	}
	a.must(t, &done, `mutation ($identities: [UpsertCustomerIdentityInput!]!, $customers: [UpsertCustomerInput!]!, $events: [UpsertCustomerEventInput!]!) {
		upsertCustomerIdentities(inputs: $identities) { createdCount } upsertCustomers(inputs: $customers) { updatedCount }
		upsertCustomerEvents(inputs: $events) { createdCount } }`,
		map[string]any{"identities": identities, "customers": customers, "events": events})
	if done.UpsertCustomerIdentities.CreatedCount != 3 || done.UpsertCustomers.UpdatedCount != 2 || done.UpsertCustomerEvents.CreatedCount != 3 {
		t.Fatalf("a new store did not take all as new, though nothing was in it: %+v", done)
	}
}

// known has a store's own values by the field that they were read from, such as Customer.email.
type known map[string][]any

// learn takes in the values of an answer that selects the names of its types.
func (k known) learn(schema *ast.Schema, data any) {
	switch data := data.(type) {
	case []any:
		for _, element := range data {
			k.learn(schema, element)
		}
	case map[string]any:
		of, _ := data["__typename"].(string)
		for name, value := range data {
			field := schema.Types[cmp.Or(of, "Query")].Fields.ForName(name)
			switch {
			case field == nil || value == nil || name == "createdAt" || name == "updatedAt": // the last two may be another store's too
			case !schema.Types[field.Type.Name()].IsLeafType():
				k.learn(schema, value)
			default:
				k.add(of+"."+name, value)
			}
		}
	}
}

func (k known) add(field string, value any) {
	if list, ok := value.([]any); ok {
		for _, element := range list {
			k.add(field, element)
		}
		return
	}
	if !slices.ContainsFunc(k[field], func(other any) bool { return literal(other) == literal(value) }) {
		k[field] = append(k[field], value)
	}
}

// values returns what the place can take: a value of each field that has another.
func (k known) values(p place) []any {
	names := takes[p.name]
	switch {
	case p.of.Name() == "ID":
		names = []string{"id"}
	case names == nil:
		names = []string{p.name}
	}
	var values []any
	for _, field := range slices.Sorted(maps.Keys(k)) {
		if _, name, _ := strings.Cut(field, "."); slices.Contains(names, name) {
			values = append(values, k[field][0])
		}
	}
	return slices.CompactFunc(values, func(a, b any) bool { return literal(a) == literal(b) })
}

// asNobodys makes of the texts of the other store such as nobody has, in the same form and order.
var asNobodys = strings.NewReplacer("theirs", "nobody", "+14155552", "+14155553", "2092-", "2093-")

var id = regexp.MustCompile(`"01([0-9a-f]{6}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"`)

// nobodys returns values of the same forms that no store has.
func (k known) nobodys() known {
	text, err := json.Marshal(k)
	if err != nil {
		panic(err)
	}
	nobodys := known{}
	if err := json.Unmarshal(id.ReplaceAll([]byte(asNobodys.Replace(string(text))), []byte(`"00$1"`)), &nobodys); err != nil {
		panic(err)
	}
	return nobodys
}

// texts returns all texts that this store knows and the other does not.
func (k known) texts(other known) []string {
	var texts []string
	for field, values := range k {
		for _, value := range values {
			switch value := value.(type) {
			case string:
				if !slices.Contains(other[field], any(value)) {
					texts = append(texts, value)
				}
			case map[string]any: // properties
				for name, inner := range value {
					texts = append(texts, name, fmt.Sprint(inner))
				}
			}
		}
	}
	return texts
}

// made returns the IDs and cursors, which no store but this can have.
func (k known) made() []string {
	made := known{}
	for field, values := range k {
		if _, name, _ := strings.Cut(field, "."); name == "id" || strings.HasSuffix(strings.ToLower(name), "cursor") {
			made[field] = values
		}
	}
	return made.texts(nil)
}

// literal returns a value in GraphQL's notation.
func literal(value any) string {
	if object, ok := value.(map[string]any); ok {
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(object)) {
			fields = append(fields, name+": "+literal(object[name]))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	}
	b, _ := json.Marshal(value)
	return string(b)
}

// place is an argument or a field of an input.
type place struct {
	name     string
	of       *ast.Type
	required bool
}

func placesOf(arguments ast.ArgumentDefinitionList) []place {
	var places []place
	for _, a := range arguments {
		places = append(places, place{a.Name, a.Type, a.Type.NonNull && a.DefaultValue == nil})
	}
	return places
}

func placesIn(input *ast.Definition) []place {
	var places []place
	for _, f := range input.Fields {
		places = append(places, place{f.Name, f.Type, f.Type.NonNull && f.DefaultValue == nil})
	}
	return places
}

// question is a field with a place among its arguments for a value of a store's.
type question struct {
	of    *ast.Definition // the object that has the field
	field *ast.FieldDefinition
	path  []place // through the inputs to the place
}

// String names the question, such as Query.customers(filter.email).
func (q question) String() string {
	var names []string
	for _, p := range q.path {
		names = append(names, p.name)
	}
	return q.of.Name + "." + q.field.Name + "(" + strings.Join(names, ".") + ")"
}

// questions returns a question for each place of the schema that takes a value, and a complaint of each that has none.
func questions(schema *ast.Schema, values known) (all []question, uncovered []string) {
	for _, name := range slices.Sorted(maps.Keys(schema.Types)) {
		of := schema.Types[name]
		if of.Kind != ast.Object || strings.HasPrefix(name, "__") {
			continue
		}
		for _, field := range of.Fields {
			if strings.HasPrefix(field.Name, "__") { // the schema itself, which is the same for every store
				continue
			}
			paths := pathsThrough(schema, nil, placesOf(field.Arguments))
			for _, path := range paths {
				q := question{of, field, path}
				switch last := path[len(path)-1]; {
				case of != schema.Query && of != schema.Mutation && !slices.Contains(of.Interfaces, "Node"):
					uncovered = append(uncovered, fmt.Sprintf("%s is asked by nobody: an object is found as a Node only", q))
				case len(values.values(last)) == 0:
					uncovered = append(uncovered, fmt.Sprintf("%s takes a %s of which no store has any: let fill write one, or name in takes the fields whose values it takes", q, last.of))
				default:
					all = append(all, q)
				}
			}
			if of == schema.Mutation && len(paths) == 0 {
				uncovered = append(uncovered, fmt.Sprintf("%s.%s takes no value of a store's, so that no question is made of it", name, field.Name))
			}
		}
	}
	return all, uncovered
}

// pathsThrough returns the paths to all places that take a value by which a store could be told from another.
func pathsThrough(schema *ast.Schema, above, places []place) [][]place {
	var paths [][]place
	for _, p := range places {
		path := append(slices.Clone(above), p)
		switch of := schema.Types[p.of.Name()]; {
		case slices.ContainsFunc(above, func(outer place) bool { return outer.of.Name() == of.Name }): // an input within itself
		case of.Kind == ast.InputObject:
			paths = append(paths, pathsThrough(schema, path, placesIn(of))...)
		case of.Kind != ast.Enum && plain[of.Name] == "" && plain[p.name] == "" && !slices.Contains(cursorArguments, p.name):
			paths = append(paths, path)
		}
	}
	return paths
}

// try is one way to ask a question: with which of the values that its place takes, and a bit for each value in the
// document, from the left, that is to be another store's. All others are the store's own.
type try struct {
	choice   int
	anothers uint
}

// tries returns the ways to ask it with one value of another's, with all but one, and with all.
func (q question) tries(schema *ast.Schema, values known) []try {
	needed := 0
	q.arguments(schema, placesOf(q.field.Arguments), q.path, func(place) any { needed++; return nil })
	var all []try
	for choice := range values.values(q.path[len(q.path)-1]) {
		for anothers := uint(1); anothers < 1<<needed; anothers++ {
			if n := bits.OnesCount(anothers); n == 1 || n >= needed-1 {
				all = append(all, try{choice, anothers})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b try) int { return bits.OnesCount(a.anothers) - bits.OnesCount(b.anothers) })
	return all
}

// ask writes the question, with all there is to select below it.
func (q question) ask(schema *ast.Schema, try try, own, another known) string {
	n := 0
	arguments := q.arguments(schema, placesOf(q.field.Arguments), q.path, func(p place) any {
		from, choice := own, 0
		if try.anothers>>n&1 == 1 {
			from = another
		}
		n++
		values := from.values(p)
		if p == q.path[len(q.path)-1] {
			choice = try.choice
		}
		return values[choice%len(values)]
	})
	return q.field.Name + "(" + arguments + ")" + everything(schema, schema.Types[q.field.Type.Name()], 4)
}

// arguments writes the places on the path, and beside them those that are required. value is asked from left to right.
func (q question) arguments(schema *ast.Schema, places, path []place, value func(place) any) string {
	var given []string
	for _, p := range places {
		var inner []place
		switch on := len(path) > 0 && path[0] == p; {
		case on:
			inner = path[1:]
		case !p.required:
			continue
		}
		var text string
		switch of := schema.Types[p.of.Name()]; of.Kind {
		case ast.InputObject:
			fields := placesIn(of)
			if of.Directives.ForName("oneOf") != nil && len(inner) == 0 { // any but an ID, which finds nothing elsewhere
				i := slices.IndexFunc(fields, func(f place) bool { return f.of.Name() != "ID" })
				inner = fields[i : i+1]
			}
			text = "{" + q.arguments(schema, fields, inner, value) + "}"
		case ast.Enum:
			text = of.EnumValues[0].Name
		default:
			if text = cmp.Or(plain[of.Name], plain[p.name]); text == "" {
				text = literal(value(p))
			}
		}
		if p.of.Elem != nil {
			text = "[" + text + "]"
		}
		given = append(given, p.name+": "+text)
	}
	return strings.Join(given, ", ")
}

// wheres returns the documents in which a field of this object can stand: of the query, or of each such object.
func wheres(of *ast.Definition, values known) []string {
	if of.Name == "Query" {
		return []string{"{ %s }"}
	}
	var all []string
	for _, id := range values[of.Name+".id"] {
		all = append(all, fmt.Sprintf("{ node(id: %s) { ... on %s { %%s } } }", literal(id), of.Name))
	}
	return all
}

// lists returns the documents of each list in each of its orders, with a place for a cursor, by the name of the list.
func lists(schema *ast.Schema, values known) map[string][]string {
	all := map[string][]string{}
	for _, of := range schema.Types {
		for _, field := range of.Fields {
			if of.Kind != ast.Object || !slices.ContainsFunc(placesOf(field.Arguments), func(p place) bool { return slices.Contains(cursorArguments, p.name) }) {
				continue
			}
			for _, order := range orders(schema, field) {
				name := fmt.Sprintf("%s.%s(%s)", of.Name, field.Name, order)
				all[name] = []string{}
				for _, where := range wheres(of, values) {
					all[name] = append(all[name], fmt.Sprintf(where, "list: "+field.Name+"("+order+" %s)"+everything(schema, schema.Types[field.Type.Name()], 4)))
				}
			}
		}
	}
	return all
}

// orders returns each way to set the arguments that are choices, which are the orders of a list.
func orders(schema *ast.Schema, field *ast.FieldDefinition) []string {
	all := []string{""}
	for _, argument := range field.Arguments {
		of := schema.Types[argument.Type.Name()]
		if of.Kind != ast.InputObject || slices.ContainsFunc(of.Fields, func(f *ast.FieldDefinition) bool { return schema.Types[f.Type.Name()].Kind != ast.Enum }) {
			continue
		}
		choices := []string{""}
		for _, choice := range of.Fields {
			var longer []string
			for _, value := range schema.Types[choice.Type.Name()].EnumValues {
				for _, others := range choices {
					longer = append(longer, others+choice.Name+": "+value.Name+" ")
				}
			}
			choices = longer
		}
		var longer []string
		for _, choice := range choices {
			for _, others := range all {
				longer = append(longer, others+argument.Name+": {"+choice+"}")
			}
		}
		all = longer
	}
	return all
}

// cursors returns the cursors of the lists in these documents.
func (s *tenant) cursors(t *testing.T, argument string, documents ...string) []string {
	t.Helper()
	var cursors []string
	for _, document := range documents {
		type list struct{ Edges []struct{ Cursor string } }
		var got struct {
			List list
			Node struct{ List list }
		}
		s.must(t, &got, fmt.Sprintf(document, argument), nil)
		for _, edge := range append(got.List.Edges, got.Node.List.Edges...) {
			cursors = append(cursors, edge.Cursor)
		}
	}
	return cursors
}

// readable is the document that reads a store.
func readable(schema *ast.Schema) string { return everything(schema, schema.Query, 4) }

// everything selects all fields of a type that can be selected without a value, and their fields, to a depth.
func everything(schema *ast.Schema, of *ast.Definition, depth int) string {
	if of.IsLeafType() {
		return ""
	}
	var b strings.Builder
	b.WriteString(" { __typename")
	for _, field := range of.Fields {
		inner := schema.Types[field.Type.Name()]
		required := slices.ContainsFunc(placesOf(field.Arguments), func(p place) bool { return p.required })
		if strings.HasPrefix(field.Name, "__") || required || depth == 0 && !inner.IsLeafType() {
			continue
		}
		b.WriteString(" " + field.Name)
		if field.Arguments.ForName("first") != nil {
			b.WriteString("(first: 5)")
		}
		b.WriteString(everything(schema, inner, depth-1))
	}
	for _, possible := range schema.GetPossibleTypes(of) {
		if of.IsAbstractType() {
			b.WriteString(" ... on " + possible.Name + everything(schema, possible, depth-1))
		}
	}
	return b.String() + " }"
}
