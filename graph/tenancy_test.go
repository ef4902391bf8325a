package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/graph/generated"
	"akin/repo/repotest"
)

// secrets are what only the other store knows, by the kind of argument that they fit.
type secrets map[string][]string

// TestTenancy asks for another store's data through every argument of every query, as the schema has them: with the IDs,
// cursors, emails and keys of the other store, in each argument that could take one. Nothing of the other store may come
// back, and the answer must be the same as for a value that nobody has; of the store's own values, each kind must find
// something.
func TestTenancy(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	_, otherToken := repotest.NewStore(t, a.db, "the other store")
	other := &api{url: a.url, token: otherToken, db: a.db, log: a.log}
	fill(t, a, "own")
	fill(t, other, "theirs")

	theirs := secretsOf(t, other)
	nobody := secrets{}
	for kind, values := range theirs {
		for i, value := range values {
			nobody[kind] = append(nobody[kind], unknownLike(kind, value, i))
		}
	}
	own := secretsOf(t, a)
	found := map[string]bool{} // the kinds of values that find something in their own store
	for _, q := range questions(generated.NewExecutableSchema(generated.Config{}).Schema(), theirs) {
		got, unknown := a.query(t, q.with(theirs), nil), a.query(t, q.with(nobody), nil)
		for kind, values := range theirs {
			for _, value := range values {
				if strings.Contains(got.body, value) {
					t.Errorf("%s\nanswers with the other store's %s:\n%s", q.with(theirs), kind, got.body)
				}
			}
		}
		if got.status != unknown.status || said(got) != said(unknown) {
			t.Errorf("%s\nanswers\n%s\nwhere a value that nobody has is answered with\n%s", q.with(theirs), got.body, unknown.body)
		}
		if said(a.query(t, q.with(own), nil)) != said(unknown) {
			found[q.kind] = true
		}
	}
	for kind := range theirs {
		if kind != "name" && !found[kind] { // nothing is found by a name
			t.Errorf("no question finds anything by the store's own %s", kind)
		}
	}
	writeWithTheirKeys(t, a, other)
}

// said is what an answer says; errors come in any order.
func said(a answer) string {
	var errs []string
	for _, err := range a.Errors {
		errs = append(errs, fmt.Sprint(err))
	}
	slices.Sort(errs)
	return string(a.Data) + strings.Join(errs, "\n")
}

// fill writes identities, customers and events that share nothing with those of another prefix.
func fill(t *testing.T, a *api, prefix string) {
	t.Helper()
	for i := range 3 {
		a.must(t, nil, `mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { userErrors { message } } }`,
			map[string]any{"input": map[string]any{
				"platform": prefix + "-platform", "platformCustomerId": fmt.Sprintf("%s-id-%d", prefix, i),
				"email": fmt.Sprintf("%s%d@example.com", prefix, i/2), "firstName": prefix + "-first", "lastName": prefix + "-last",
			}})
	}
	for i := range 2 {
		a.must(t, nil, `mutation ($input: UpsertCustomerInput!) { upsertCustomer(input: $input) { userErrors { message } } }`,
			map[string]any{"input": map[string]any{
				"by": map[string]any{"email": fmt.Sprintf("%s%d@example.com", prefix, i)}, "externalId": fmt.Sprintf("%s-external-%d", prefix, i),
				"phoneNumber": fmt.Sprintf("+1415555%04d", phoneOf(prefix)+i), "tags": []string{prefix + "-tag"}, "accountStatus": "ENABLED",
				"address": map[string]any{"city": prefix + "-city"}, "properties": map[string]any{prefix + "_key": prefix + "-value"},
			}})
		a.must(t, nil, `mutation ($input: UpsertCustomerEventInput!) { upsertCustomerEvent(input: $input) { userErrors { message } } }`,
			map[string]any{"input": map[string]any{
				"customer": map[string]any{"externalId": fmt.Sprintf("%s-external-%d", prefix, i)}, "source": prefix + "_source",
				"type": prefix + "_type", "eventId": fmt.Sprintf("%s-event-%d", prefix, i),
			}})
	}
}

// phoneOf returns the last digits of the phone numbers of a prefix.
func phoneOf(prefix string) int { return len(prefix) * 100 }

// secretsOf reads a store's own values through its own token, among them a cursor of every list in every order.
func secretsOf(t *testing.T, a *api) secrets {
	t.Helper()
	var got struct {
		Store              struct{ ID, Name string }
		CustomerIdentities struct {
			Nodes []struct {
				ID, Platform, PlatformCustomerID, Email, FirstName, CreatedAt string
				Customer                                                      struct {
					ID, ExternalID, PhoneNumber string
					Tags                        []string
					Identities                  struct{ PageInfo struct{ EndCursor string } }
					Events                      struct {
						Nodes    []struct{ ID, Source, Type, EventID string }
						PageInfo struct{ EndCursor string }
					}
				}
			}
		}
	}
	a.must(t, &got, `{ store { id name } customerIdentities { nodes {
		id platform platformCustomerId email firstName createdAt customer { id externalId phoneNumber tags
		identities { pageInfo { endCursor } } events { nodes { id source type eventId } pageInfo { endCursor } } } } } }`, nil)
	s := secrets{"ID": {got.Store.ID}, "name": {got.Store.Name}}
	for _, i := range got.CustomerIdentities.Nodes {
		s["ID"] = append(s["ID"], i.ID, i.Customer.ID)
		s["platform"] = append(s["platform"], i.Platform)
		s["name"] = append(s["name"], i.PlatformCustomerID)
		s["email"] = append(s["email"], i.Email)
		s["name"] = append(s["name"], i.FirstName)
		s["key"] = append(s["key"], fmt.Sprintf(`{platform: %q, platformCustomerId: %q}`, i.Platform, i.PlatformCustomerID))
		s["cursor"] = append(s["cursor"], i.Customer.Identities.PageInfo.EndCursor, i.Customer.Events.PageInfo.EndCursor)
		s["externalId"] = append(s["externalId"], i.Customer.ExternalID)
		s["externalIds"] = append(s["externalIds"], i.Customer.ExternalID)
		s["phoneNumber"] = append(s["phoneNumber"], i.Customer.PhoneNumber)
		s["tags"] = append(s["tags"], i.Customer.Tags...)
		s["search"] = append(s["search"], i.Email, i.PlatformCustomerID, i.FirstName, i.Customer.ExternalID, i.Customer.PhoneNumber)
		for _, e := range i.Customer.Events.Nodes {
			s["ID"] = append(s["ID"], e.ID)
			s["type"] = append(s["type"], e.Type)
			s["name"] = append(s["name"], e.Source, e.EventID)
		}
	}
	for list, fields := range map[string][]string{
		"customers":          {"CREATED_AT", "UPDATED_AT", "EMAIL", "LAST_NAME"},
		"customerIdentities": {"CREATED_AT", "UPDATED_AT", "PLATFORM"},
	} {
		for _, by := range fields {
			var page map[string]struct{ PageInfo struct{ StartCursor string } }
			a.must(t, &page, fmt.Sprintf(`{ %s(orderBy: {field: %s, direction: DESC}) { pageInfo { startCursor } } }`, list, by), nil)
			s["cursor"] = append(s["cursor"], page[list].PageInfo.StartCursor)
		}
	}
	for kind := range s {
		slices.Sort(s[kind])
		s[kind] = slices.Compact(s[kind])
	}
	return s
}

// unknownLike returns a value of the same form that no store has.
func unknownLike(kind, value string, i int) string {
	switch kind {
	case "ID":
		return fmt.Sprintf("0190a000-0000-7000-8000-%012d", i)
	case "email":
		return fmt.Sprintf("nobody%d@example.com", i)
	case "phoneNumber":
		return fmt.Sprintf("+493012345%d", i)
	case "type":
		return fmt.Sprintf("nothing_%d", i)
	case "key":
		return fmt.Sprintf(`{platform: "nobody", platformCustomerId: "%d"}`, i)
	case "cursor":
		return "A" + value[1:len(value)-1] + "A"
	default:
		return fmt.Sprintf("nobody-%d", i)
	}
}

// question is a document with a place for a value.
type question struct {
	document string // with %s
	kind     string // of the value
	index    int    // among the values of its kind
}

// with puts a value of these in the place: the same value of its kind for each.
func (q question) with(known secrets) string {
	values := known[q.kind]
	value := quote(values[q.index%len(values)])
	if q.kind == "key" {
		value = values[q.index%len(values)]
	}
	return fmt.Sprintf(q.document, value)
}

// questions returns a question for each argument that takes a value of a store's, and each field of an input object, of
// the query and of every object that the query has pages of. Each selects all there is to select, some levels deep.
func questions(schema *ast.Schema, known secrets) []question {
	var all []question
	for _, field := range schema.Query.Fields {
		all = append(all, ask(schema, field, known, "{ %s }")...)
		page := schema.Types[field.Type.Name()].Fields.ForName("nodes")
		if page == nil {
			continue
		}
		for _, inner := range schema.Types[page.Type.Name()].Fields {
			all = append(all, ask(schema, inner, known, "{ "+field.Name+"(first: 5) { nodes { %s } } }")...)
		}
	}
	return all
}

// ask returns the questions of one field, which stands in the place of %s.
func ask(schema *ast.Schema, field *ast.FieldDefinition, known secrets, place string) []question {
	var all []question
	for _, argument := range field.Arguments {
		for _, q := range values(schema, argument.Name, argument.Type, known) {
			selection := everything(schema, schema.Types[field.Type.Name()], 4)
			q.document = fmt.Sprintf(place, field.Name+"("+argument.Name+": "+q.document+")"+selection)
			all = append(all, q)
		}
	}
	return all
}

// values returns what an argument can be set to, in GraphQL's notation.
func values(schema *ast.Schema, name string, of *ast.Type, known secrets) []question {
	definition := schema.Types[of.Name()]
	var all []question
	if definition.Kind == ast.InputObject && definition.Name != "PlatformIdentityKey" { // which makes sense only whole
		for _, field := range definition.Fields {
			for _, q := range values(schema, field.Name, field.Type, known) {
				q.document = "{" + field.Name + ": " + q.document + "}"
				all = append(all, q)
			}
		}
	} else {
		kind := name
		switch {
		case of.Name() == "ID":
			kind = "ID"
		case definition.Name == "PlatformIdentityKey":
			kind = "key"
		case name == "after" || name == "before":
			kind = "cursor"
		}
		for i := range known[kind] {
			all = append(all, question{document: "%s", kind: kind, index: i})
		}
	}
	if of.Elem != nil {
		for i := range all {
			all[i].document = "[" + all[i].document + "]"
		}
	}
	return all
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// everything selects all fields of a type that need no argument, and their fields, to a depth.
func everything(schema *ast.Schema, of *ast.Definition, depth int) string {
	if of.IsLeafType() {
		return ""
	}
	var b strings.Builder
	b.WriteString(" { __typename")
	for _, field := range of.Fields {
		inner := schema.Types[field.Type.Name()]
		if strings.HasPrefix(field.Name, "__") || depth == 0 && !inner.IsLeafType() {
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

// writeWithTheirKeys upserts with the other store's keys: each is new here, and nothing changes there.
func writeWithTheirKeys(t *testing.T, a, other *api) {
	t.Helper()
	const all = `{ store { id } customers { totalCount nodes { id externalId email firstName tags version updatedAt
		identities { nodes { id email firstName updatedAt } } events { nodes { id type properties updatedAt } } } } }`
	before := other.query(t, all, nil).body
	for i := range 3 {
		var got struct {
			UpsertCustomerIdentity struct{ Outcome string }
		}
		a.must(t, &got, `mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { outcome } }`,
			map[string]any{"input": map[string]any{
				"platform": "theirs-platform", "platformCustomerId": fmt.Sprintf("theirs-id-%d", i),
				"email": fmt.Sprintf("theirs%d@example.com", i/2), "firstName": "changed",
			}})
		if got.UpsertCustomerIdentity.Outcome != "CREATED" {
			t.Errorf("an identity with the other store's key is %s here, want CREATED", got.UpsertCustomerIdentity.Outcome)
		}
	}
	var theirs struct {
		Customers struct {
			Nodes []struct {
				ID     string
				Events struct{ Nodes []struct{ ID string } }
			}
		}
	}
	other.must(t, &theirs, `{ customers { nodes { id events { nodes { id } } } } }`, nil)
	for _, c := range []struct {
		by   map[string]any
		want string
	}{
		{map[string]any{"externalId": "theirs-external-0"}, "CREATED"},
		{map[string]any{"externalId": "theirs-external-1"}, "CREATED"},
		{map[string]any{"email": "theirs0@example.com"}, "UPDATED"}, // of the customer that the identity has just made here
		{map[string]any{"id": theirs.Customers.Nodes[0].ID}, "NOT_FOUND"},
		{map[string]any{"identity": map[string]any{"platform": "theirs-platform", "platformCustomerId": "theirs-id-0"}}, "UNCHANGED"},
		{map[string]any{"identity": map[string]any{"platform": "theirs-platform", "platformCustomerId": "theirs-id-9"}}, "NOT_FOUND"},
	} {
		type payload struct {
			Outcome    string
			UserErrors []struct{ Code string }
		}
		var got struct{ UpsertCustomer, UpsertCustomerEvent payload }
		said := func(p payload) string {
			for _, e := range p.UserErrors {
				return e.Code
			}
			return p.Outcome
		}
		a.must(t, &got, `mutation ($input: UpsertCustomerInput!) { upsertCustomer(input: $input) { outcome userErrors { code } } }`,
			map[string]any{"input": map[string]any{"by": c.by, "firstName": "mine", "tags": []string{"mine"}}})
		if said(got.UpsertCustomer) != c.want {
			t.Errorf("upsertCustomer by the other store's %v is %s here, want %s", c.by, said(got.UpsertCustomer), c.want)
		}
		a.must(t, &got, `mutation ($input: UpsertCustomerEventInput!) { upsertCustomerEvent(input: $input) { outcome userErrors { code } } }`,
			map[string]any{"input": map[string]any{
				"customer": c.by, "source": "theirs_source", "type": "mine", "eventId": "theirs-event-" + fmt.Sprint(c.by),
			}})
		want := "CREATED"
		if c.want == "NOT_FOUND" {
			want = c.want
		}
		if said(got.UpsertCustomerEvent) != want {
			t.Errorf("upsertCustomerEvent of the other store's %v is %s here, want %s", c.by, said(got.UpsertCustomerEvent), want)
		}
	}
	if after := other.query(t, all, nil).body; after != before {
		t.Errorf("the other store changed from\n%s\nto\n%s", before, after)
	}
}
