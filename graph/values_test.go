package graph_test

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/lexer"

	"akin/graph"
)

// quoting are requests that are refused for a value, of each kind of message that quotes one in gqlparser, in gqlgen or in
// package model, each with what the answer says instead. A value has "secret" or 98765 in it.
var quoting = []struct{ name, document, variables, code, message string }{
	// gqlparser's parser and lexer.
	{"a text in the place of a field", `{ "a secret sentence" }`, ``, unread, "Expected Name, found String"},
	{"a text in the place of a definition", `"a secret sentence"`, ``, unread, "Unexpected <EOF>"},
	{"a text before a query's braces", `"a secret sentence" { store { id } }`, ``, unread, "Unexpected String"},
	{"a long text before a query's braces", `"""a secret sentence` + strings.Repeat(" and more of it", 100) + `""" { store { id } }`, ``, unread, "Unexpected BlockString"},
	{"a number in the place of a definition", `9876543210`, ``, unread, "Unexpected Int"},
	{"a fraction in the place of a definition", `9876543210.5`, ``, unread, "Unexpected Float"},
	{"a text in the place of a keyword", `fragment F "a \"secret\" sentence"`, ``, unread, `Expected "on", found String`},
	{"a number in the place of a keyword", `fragment F 9876543210`, ``, unread, `Expected "on", found Int`},
	{"a comment in the place of a name", "\"\" #a secret sentence\n{ store { id } }", ``, unread, "Unexpected Comment"},
	{"an escape that is none", `{ node(id: "a secret sentence\u{98765432} of it") { id } }`, ``, unread, "Unexpected <Invalid>"},
	{"an escape at the end", `{ node(id: "a secret sentence \u9876`, ``, unread, "Unexpected <Invalid>"},
	{"a text without an end", `{ node(id: "a secret sentence`, ``, unread, "Unexpected <Invalid>"},

	// gqlparser's rule ValuesOfCorrectType, and the one other that meets values.
	{"a text for an Int", `{ customers(first: "a secret sentence: or found more") { nodes { id } } }`, ``, invalid, "Int cannot represent non-integer value."},
	{"a name for an Int", `{ customers(first: secret_name) { nodes { id } } }`, ``, invalid, "Int cannot represent non-integer value."},
	{"a list for an Int", `{ customers(first: ["a secret sentence", 9876543210]) { nodes { id } } }`, ``, invalid, "Int cannot represent non-integer value."},
	{"an object for an Int", `{ customers(first: {id: [98765432109876543210, "a secret sentence"]}) { nodes { id } } }`, ``, invalid, "Int cannot represent non-integer value."},
	{"a large number for an Int", `{ customers(first: 98765432109876543210) { nodes { id } } }`, ``, invalid, "Int cannot represent non 32-bit signed integer value."},
	{"a fraction for an Int", `{ customers(first: 98765.5) { nodes { id } } }`, ``, invalid, "Int cannot represent non-integer value."},
	{"a number for a String", `{ customers(after: 9876543210) { nodes { id } } }`, ``, invalid, "String cannot represent a non string value."},
	{"a name for a String", `{ customers(after: secret_name) { nodes { id } } }`, ``, invalid, "String cannot represent a non string value."},
	{"a name for a String in a list", `{ customers(filter: {tags: [secret_name]}) { nodes { id } } }`, ``, invalid, "String cannot represent a non string value."},
	{"a text for a Boolean", `{ store { id @skip(if: "a secret sentence") } }`, ``, invalid, "Boolean cannot represent a non boolean value."},
	{"a number for a Boolean", `{ store { id @skip(if: 9876543210) } }`, ``, invalid, "Boolean cannot represent a non boolean value."},
	{"a fraction for an ID", `{ node(id: 9876543210.5) { id } }`, ``, invalid, "ID cannot represent a non-string and non-integer value."},
	{"an object for an ID", `{ node(id: {id: [98765432109876543210, "a secret sentence"]}) { id } }`, ``, invalid, "ID cannot represent a non-string and non-integer value."},
	{"a text for an enum", `{ customers(orderBy: {field: "a secret sentence"}) { nodes { id } } }`, ``, invalid, `Enum "CustomerOrderField!" cannot represent non-enum value.`},
	{
		"a text for an enum that tells of a suggestion",
		`{ customers(orderBy: {field: "a Did you mean the secret sentence?"}) { nodes { id } } }`, ``, invalid,
		`Enum "CustomerOrderField!" cannot represent non-enum value.`,
	},
	{"a text for an enum that is close", `{ customers(orderBy: {field: "EMAI"}) { nodes { id } } }`, ``, invalid, `Enum "CustomerOrderField!" cannot represent non-enum value. Did you mean the enum value "EMAIL"?`},
	{"a number for an enum", `{ customers(orderBy: {field: 9876543210}) { nodes { id } } }`, ``, invalid, `Enum "CustomerOrderField!" cannot represent non-enum value.`},
	{"a list for an enum", `{ customers(orderBy: {field: ["a secret sentence"]}) { nodes { id } } }`, ``, invalid, `Enum "CustomerOrderField!" cannot represent non-enum value.`},
	{"a name that an enum does not have", `{ customers(orderBy: {field: SECRET}) { nodes { id } } }`, ``, invalid, `The value does not exist in "CustomerOrderField!" enum.`},
	{"a name that an enum nearly has", `{ customers(orderBy: {field: EMAI}) { nodes { id } } }`, ``, invalid, `The value does not exist in "CustomerOrderField!" enum. Did you mean the enum value "EMAIL"?`},
	{"a text for an object", `{ customer(by: "a secret sentence") { id } }`, ``, invalid, `Expected value of type "CustomerKey!".`},
	{"a list for an object", `{ customers(filter: ["a secret sentence"]) { nodes { id } } }`, ``, invalid, `Expected value of type "CustomerFilter".`},
	{"a number for a list", `{ nodes(ids: 98765.25) { id } }`, ``, invalid, `Expected value of type "[ID!]!".`},
	{"null in a list", `{ nodes(ids: [null, "a secret sentence"]) { id } }`, ``, invalid, `Expected value of type "ID!".`},
	{
		"a number beyond any in an object",
		`{ customers(filter: {search: "a secret sentence", createdAt: {from: 98765432109876543210}}) { nodes { id } } }`, ``, invalid,
		`Expected value of type "DateTimeRange".`,
	},
	{"two different texts for one field", `{ node(id: "a secret") { id } node(id: "secret b") { id } }`, ``, invalid, `Fields "node" conflict because they have differing arguments. Use different aliases on the fields to fetch both if this was intentional.`},

	// gqlparser's check of variables.
	{"an enum in a variable", `query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { totalCount } }`, `{"f": "a secret sentence is not a valid one"}`, badInput, "$f: must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME"},
	{"a number for an enum in a variable", `query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { totalCount } }`, `{"f": 9876543210}`, badInput, "$f: must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME"},
	{"a fraction for an enum in a variable", `query ($f: CustomerOrderField!) { customers(orderBy: {field: $f}) { totalCount } }`, `{"f": 98765.5}`, badInput, "$f: must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME"},
	{"an enum in a list in a variable", `query ($f: CustomerFilter) { customers(filter: $f) { totalCount } }`, `{"f": {"accountStatus": ["ENABLED", "secret"]}}`, badInput, "$f.accountStatus[1]: must be one of ENABLED, DISABLED, INVITED, DECLINED"},
	{"an enum that differs in its case", `query ($o: CustomerOrder) { customers(orderBy: $o) { totalCount } }`, `{"o": {"field": "email"}}`, badInput, "$o.field must be one of CREATED_AT, UPDATED_AT, EMAIL, LAST_NAME"},
	{"an unknown key", `query ($i: CustomerKey!) { customer(by: $i) { id } }`, `{"i": {"a secret key": "a secret sentence"}}`, badInput, "$i: unknown field of CustomerKey, which has id, externalId, email, identity"},
	{"an unknown key deep inside", `mutation ($i: [UpsertCustomerInput!]!) { upsertCustomers(inputs: $i) { createdCount } }`, `{"i": [{"by": {"identity": {"a secret key": 1}}}]}`, badInput, "$i[0].by.identity: unknown field of PlatformIdentityKey, which has platform, platformCustomerId"},
	{"a text for an object in a variable", `query ($i: CustomerKey!) { customer(by: $i) { id } }`, `{"i": "a secret sentence"}`, badInput, "$i: must be a CustomerKey"},
	{"a text for an Int in a variable", `query ($n: Int) { customers(first: $n) { totalCount } }`, `{"n": "a secret sentence"}`, badInput, "$n: must be an Int"},
	{"a fraction for an ID in a variable", `query ($n: ID!) { node(id: $n) { id } }`, `{"n": 98765.5}`, badInput, "$n: must be an ID"},
	{"a large number for an ID in a variable", `query ($n: ID!) { node(id: $n) { id } }`, `{"n": 9.8765432109e300}`, badInput, "$n: must be an ID"},
	{"a default beyond any number", `query ($d: DateTime = 98765432109876543210) { customers(filter: {createdAt: {from: $d}}) { totalCount } }`, ``, invalid, `Expected value of type "DateTimeRange".`},
	{"an operation that is not there", `query A { store { id } }`, `"operationName": "a secret sentence"`, invalid, "the document has no operation of the name that operationName gives"},

	// gqlgen's reading of arguments, with package model's scalars.
	{"a text that is no ID", `query ($n: ID!) { node(id: $n) { id } }`, `{"n": "a secret sentence"}`, badInput, "an ID must be a UUID, such as 0190a000-0000-7000-8000-000000000001"},
	{"a text that is no DateTime", `query ($f: CustomerFilter) { customers(filter: $f) { totalCount } }`, `{"f": {"createdAt": {"to": "a secret sentence"}}}`, badInput, "a DateTime must be an instant in RFC 3339, such as 2026-03-09T14:02:06.000Z"},
	{"an object for a DateTime", `query ($d: DateTime) { customers(filter: {createdAt: {to: $d}}) { totalCount } }`, `{"d": {"a secret key": "a secret sentence"}}`, badInput, "a DateTime must be an instant in RFC 3339, such as 2026-03-09T14:02:06.000Z"},
	{"a number that is no Int", `query ($n: Int) { customers(first: $n) { totalCount } }`, `{"n": 9876543210}`, badInput, "an Int must be a whole number of 32 bits"},
	{"a text for Properties", `mutation ($p: Properties) { upsertCustomer(input: {by: {externalId: "1"}, properties: $p}) { outcome } }`, `{"p": "a secret sentence"}`, badInput, "Properties must be an object"},

	// The rules of package model that are no user errors.
	{"a page of another length", `query ($n: Int) { customers(first: $n) { totalCount } }`, `{"n": 987654321}`, badInput, "first must be 1 to 100"},
	{"a page of a length below zero", `{ customers(last: -987654321) { totalCount } }`, ``, badInput, "last must be 1 to 100"},
	{"a cursor that is none", `{ customers(after: "a secret sentence") { totalCount } }`, ``, badInput, "after must be a cursor that this list gave, in this order"},
	{"a platform that is none", `{ customers(filter: {platform: "a secret sentence"}) { totalCount } }`, ``, badInput, "filter.platform must be made of a-z, 0-9, _ and -, beginning with a letter or digit"},
	{"an email that is none", `{ customer(by: {email: "a secret sentence"}) { id } }`, ``, badInput, "by.email must be an email address, such as jane@doe.com"},
	{"a phone number that is none", `{ customers(filter: {phoneNumber: "a secret sentence"}) { totalCount } }`, ``, badInput, "filter.phoneNumber must be a phone number with its country code and without an extension, such as +14155552671"},
}

const badInput = "BAD_USER_INPUT"

func TestErrorsTellNoValue(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	terse := newAPI(t, func(cfg *graph.Config) { cfg.NoSuggestions = true })
	for _, test := range quoting {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body := quotingBody(t, test.document, test.variables)
			got := a.send(t, request{body: body})
			if len(got.Errors) == 0 || got.Errors[0].Extensions.Code != test.code || got.Errors[0].Message != test.message {
				t.Errorf("want %s %q: %d %s", test.code, test.message, got.status, got.body)
			}
			for _, answer := range []string{got.body, terse.send(t, request{body: body}).body} {
				if text := strings.ToLower(answer); strings.Contains(text, "secret") || strings.Contains(text, "98765") {
					t.Errorf("the value is told: %s", answer)
				}
			}
		})
	}
}

func quotingBody(t testing.TB, document, variables string) string {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case variables == "":
		return `{"query": ` + string(text) + `}`
	case variables[0] == '"':
		return `{"query": ` + string(text) + `, ` + variables + `}`
	}
	return `{"query": ` + string(text) + `, "variables": ` + variables + `}`
}

// sent returns what the errors of a request must not show: the texts and numbers of its document and of its variables, with
// the keys of those, and the name of its operation, each of 8 bytes or more. Of each it is the beginning, for messages are
// cut short, and up to what a message would escape. What is a name in the document or the schema, or an example in a
// message, says nothing.
func sent(document, operationName string, variables any) []string {
	const example = "0190a000-0000-7000-8000-000000000001 2026-03-09T14:02:06.000Z query operationName variables extensions\n"
	known := example + schemaText()
	texts := []string{operationName}
	for lex := lexer.New(&ast.Source{Input: document}); ; {
		token, err := lex.ReadToken()
		if err != nil || token.Kind == lexer.EOF {
			break
		}
		switch token.Kind {
		case lexer.Name:
			known += token.Value + "\n"
		case lexer.String, lexer.BlockString, lexer.Int, lexer.Float, lexer.Comment:
			texts = append(texts, token.Value)
		}
	}
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				texts = append(texts, key)
				walk(inner)
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		case string:
			texts = append(texts, value)
		case json.Number:
			texts = append(texts, value.String())
		}
	}
	walk(variables)
	var shown []string
	for _, text := range texts {
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\`, r) }) {
			if part = part[:min(len(part), 24)]; len(part) >= 8 && !strings.Contains(known, part) {
				shown = append(shown, part)
			}
		}
	}
	return shown
}

// schemaText returns the schema with gqlparser's own types, descriptions left out.
var schemaText = sync.OnceValue(func() string {
	source, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		panic(err)
	}
	var text strings.Builder
	formatter.NewFormatter(&text, formatter.WithBuiltin(), formatter.WithoutDescription()).FormatSchema(
		gqlparser.MustLoadSchema(&ast.Source{Input: string(source)}))
	return text.String()
})
