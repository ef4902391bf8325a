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

// TestTenancy asks for another store's data through every field and argument of every query, as the schema has them:
// with the IDs, cursors, emails and keys of the other store, and in each argument that could take one. Nothing of the
// other store may come back, and the answer must be the same as for a value that nobody has.
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
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	asked := 0
	for _, field := range schema.Query.Fields {
		if strings.HasPrefix(field.Name, "__") {
			continue
		}
		for _, documents := range documentsFor(schema, field, theirs, nobody) {
			asked++
			got, unknown := a.query(t, documents[0], nil), a.query(t, documents[1], nil)
			for kind, values := range theirs {
				for _, value := range values {
					if kind != "time" && strings.Contains(got.body, value) {
						t.Errorf("%s\nanswers with the other store's %s:\n%s", documents[0], kind, got.body)
					}
				}
			}
			if got.body != unknown.body || got.status != unknown.status {
				t.Errorf("%s\nanswers\n%s\nwhere a value that nobody has is answered with\n%s", documents[0], got.body, unknown.body)
			}
		}
	}
	if asked < 40 {
		t.Errorf("asked only %d questions", asked)
	}
	writeWithTheirKeys(t, a, other)
}

// fill writes identities that share nothing with those of another prefix.
func fill(t *testing.T, a *api, prefix string) {
	t.Helper()
	for i := range 3 {
		a.must(t, nil, `mutation ($input: UpsertCustomerIdentityInput!) { upsertCustomerIdentity(input: $input) { userErrors { message } } }`,
			map[string]any{"input": map[string]any{
				"platform": prefix + "-platform", "platformCustomerId": fmt.Sprintf("%s-id-%d", prefix, i),
				"email": fmt.Sprintf("%s%d@example.com", prefix, i/2), "firstName": prefix + "-first", "lastName": prefix + "-last",
			}})
	}
}

// secretsOf reads a store's own values through its own token, among them a cursor of every list in every order.
func secretsOf(t *testing.T, a *api) secrets {
	t.Helper()
	var got struct {
		Store              struct{ ID, Name string }
		CustomerIdentities struct {
			Nodes []struct {
				ID, Platform, PlatformCustomerID, Email, FirstName, CreatedAt string
				Customer                                                      struct {
					ID         string
					Identities struct{ PageInfo struct{ EndCursor string } }
				}
			}
		}
	}
	a.must(t, &got, `{ store { id name } customerIdentities { nodes {
		id platform platformCustomerId email firstName createdAt customer { id identities { pageInfo { endCursor } } } } } }`, nil)
	s := secrets{"ID": {got.Store.ID}, "name": {got.Store.Name}}
	for _, i := range got.CustomerIdentities.Nodes {
		s["ID"] = append(s["ID"], i.ID, i.Customer.ID)
		s["platform"] = append(s["platform"], i.Platform)
		s["platformCustomerId"] = append(s["platformCustomerId"], i.PlatformCustomerID)
		s["email"] = append(s["email"], i.Email)
		s["name"] = append(s["name"], i.FirstName)
		s["cursor"] = append(s["cursor"], i.Customer.Identities.PageInfo.EndCursor)
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
	case "cursor":
		return "A" + value[1:len(value)-1] + "A"
	default:
		return fmt.Sprintf("nobody-%d", i)
	}
}

// documentsFor returns pairs of documents: the field with one argument, or one field of an input object, set to a value
// of the other store's, and to one that nobody has. Each selects all there is to select, some levels deep.
func documentsFor(schema *ast.Schema, field *ast.FieldDefinition, theirs, nobody secrets) [][2]string {
	selection := everything(schema, schema.Types[field.Type.Name()], 4)
	document := func(arguments string) string {
		if arguments != "" {
			arguments = "(" + arguments + ")"
		}
		return "{ " + field.Name + arguments + selection + " }"
	}
	var documents [][2]string
	for _, argument := range field.Arguments {
		their, unknown := values(schema, argument.Name, argument.Type, theirs), values(schema, argument.Name, argument.Type, nobody)
		for i := range their {
			documents = append(documents, [2]string{
				document(argument.Name + ": " + their[i]), document(argument.Name + ": " + unknown[i]),
			})
		}
	}
	if len(documents) == 0 { // no argument, or none that a value of the other store's fits
		documents = append(documents, [2]string{document(""), document("")})
	}
	return documents
}

// values returns what an argument can be set to from these secrets, in GraphQL's notation.
func values(schema *ast.Schema, name string, of *ast.Type, known secrets) []string {
	definition := schema.Types[of.Name()]
	var found []string
	switch {
	case definition.Name == "PlatformIdentityKey": // makes sense only whole
		for i := range known["platformCustomerId"] {
			found = append(found, fmt.Sprintf(`{platform: %q, platformCustomerId: %q}`, known["platform"][0], known["platformCustomerId"][i]))
		}
	case definition.Kind == ast.InputObject:
		for _, field := range definition.Fields {
			for _, value := range values(schema, field.Name, field.Type, known) {
				found = append(found, "{"+field.Name+": "+value+"}")
			}
		}
	default:
		kind := name
		if of.Name() == "ID" {
			kind = "ID"
		} else if name == "after" || name == "before" {
			kind = "cursor"
		}
		for _, value := range known[kind] {
			found = append(found, quote(value))
		}
	}
	if of.Elem != nil {
		for i := range found {
			found[i] = "[" + found[i] + "]"
		}
	}
	return found
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
	const all = `{ store { id } customers { totalCount nodes { id email firstName updatedAt identities { nodes { id email firstName updatedAt } } } } }`
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
	if after := other.query(t, all, nil).body; after != before {
		t.Errorf("the other store changed from\n%s\nto\n%s", before, after)
	}
}
