package torture_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// generator makes documents.
type generator struct {
	schema    *ast.Schema
	rand      *rand.Rand
	variables map[string]any
	declared  []string
	fields    int
}

// TestRandomDocuments sends random documents, made from the schema itself so that a new field is among them the day it is
// added: valid ones, and the same with something broken. None may get a 5xx, go unanswered or leave a fault in the log.
// A document that is valid by gqlparser must not be refused as one that is not, so that the valid ones are known to reach
// the resolvers.
func TestRandomDocuments(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema := gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(text)})
	database := startPostgres(t, nil).url
	a := startAkin(t, database)
	a.ready(t)
	token := newToken(t, database, "shop")

	seed := rand.Uint64()
	const senders = 4
	var running sync.WaitGroup
	tallies := make([]map[string]int, senders)
	for n := range senders {
		tallies[n] = map[string]int{}
		g := &generator{schema: schema, rand: rand.New(rand.NewPCG(seed, uint64(n)))}
		running.Go(func() {
			for range longer(2_000, 40_000) / senders {
				kind := g.send(t, a, token)
				tallies[n][kind]++
				if t.Failed() {
					return
				}
			}
		})
	}
	running.Wait()
	total := map[string]int{}
	for _, tally := range tallies {
		for kind, n := range tally {
			total[kind] += n
		}
	}
	t.Logf("seed %d: %v", seed, total)
	if total["executed"] < 100 || total["GRAPHQL_PARSE_FAILED"] < 100 || total["GRAPHQL_VALIDATION_FAILED"] < 100 {
		t.Errorf("too few are of one kind to say much: %v", total)
	}
}

// send sends one document and returns what became of it: executed, or the code of its first error.
func (g *generator) send(t *testing.T, a *akin, token string) string {
	t.Helper()
	document, variables := g.document()
	sound := valid(g.schema, document)
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		t.Error(err)
		return ""
	}
	status, answered, err := a.send(context.Background(), token, body)
	if err != nil || status >= 500 {
		t.Errorf("%d, %v, %s to\n%s", status, err, answered, body)
		return ""
	}
	var response struct {
		Data   any
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(answered, &response); err != nil {
		t.Errorf("%v: %s to\n%s", err, answered, body)
		return ""
	}
	code := "executed"
	if len(response.Errors) > 0 {
		code = response.Errors[0].Extensions.Code
	}
	refused := code == "GRAPHQL_PARSE_FAILED" || code == "GRAPHQL_VALIDATION_FAILED"
	if code == "" || code == "INTERNAL" || refused && sound || code == "executed" && !sound {
		t.Errorf("valid is %t: %s to\n%s", sound, answered, body)
	}
	return code
}

// valid reports whether gqlparser finds a document valid by itself.
func valid(schema *ast.Schema, text string) bool {
	document, err := parser.ParseQuery(&ast.Source{Input: text})
	return err == nil && len(validator.ValidateWithRules(schema, document, nil)) == 0 && len(document.Operations) == 1
}

// document returns a document with its variables; half of them are broken somewhere.
func (g *generator) document() (text string, variables map[string]any) {
	g.variables, g.declared, g.fields = map[string]any{}, nil, 0
	root, word := g.schema.Query, "query"
	if g.rand.IntN(3) == 0 {
		root, word = g.schema.Mutation, "mutation"
	}
	body := g.selection(root, 0)
	if len(g.declared) > 0 {
		word += " (" + strings.Join(g.declared, ", ") + ")"
	}
	text = word + " " + body
	if g.rand.IntN(2) == 0 {
		text = g.broken(text)
	}
	return text, g.variables
}

// selection returns some of the fields of a type, each under a name of its own, so that arguments never conflict.
func (g *generator) selection(definition *ast.Definition, depth int) string {
	var b strings.Builder
	b.WriteString("{")
	if definition.IsAbstractType() {
		b.WriteString(" __typename")
		for _, possible := range g.schema.GetPossibleTypes(definition) {
			fmt.Fprintf(&b, " ... on %s %s", possible.Name, g.selection(possible, depth+1))
		}
		return b.String() + " }"
	}
	candidates := slices.Clone(definition.Fields)
	g.rand.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	chosen := 0
	for _, field := range candidates {
		inner := g.schema.Types[field.Type.Name()]
		composite := inner.IsCompositeType()
		if composite && (depth > 4 || g.fields > 40 && chosen > 0) || chosen > 1+g.rand.IntN(5) {
			continue
		}
		if strings.HasPrefix(field.Name, "__") && g.rand.IntN(4) > 0 {
			continue
		}
		chosen++
		g.fields++
		fmt.Fprintf(&b, " f%d: %s%s%s", g.fields, field.Name, g.arguments(field.Arguments), g.directive())
		if composite {
			b.WriteString(" " + g.selection(inner, depth+1))
		}
	}
	if chosen == 0 {
		b.WriteString(" __typename")
	}
	return b.String() + " }"
}

func (g *generator) directive() string {
	switch g.rand.IntN(40) {
	case 0:
		return " @skip(if: false)"
	case 1:
		return " @include(if: true)"
	}
	return ""
}

func (g *generator) arguments(definitions ast.ArgumentDefinitionList) string {
	var given []string
	for _, d := range definitions {
		if !d.Type.NonNull && g.rand.IntN(3) > 0 {
			continue
		}
		value := g.value(d.Type, 0)
		if g.rand.IntN(4) == 0 {
			name := "v" + strconv.Itoa(len(g.declared))
			g.declared = append(g.declared, "$"+name+": "+d.Type.String())
			g.variables[name] = value
			given = append(given, d.Name+": $"+name)
			continue
		}
		given = append(given, d.Name+": "+literal(value))
	}
	if len(given) == 0 {
		return ""
	}
	return "(" + strings.Join(given, ", ") + ")"
}

// word is a value of an enum, which a literal has without quotes.
type word string

// value returns a value of a type, as a variable has it. The scalars are as often what their rules refuse.
func (g *generator) value(t *ast.Type, depth int) any {
	if !t.NonNull && g.rand.IntN(8) == 0 {
		return nil
	}
	if t.Elem != nil {
		list := []any{}
		for range g.rand.IntN(3) + 1 {
			list = append(list, g.value(t.Elem, depth+1))
		}
		return list
	}
	definition := g.schema.Types[t.NamedType]
	switch definition.Kind {
	case ast.Enum:
		return word(definition.EnumValues[g.rand.IntN(len(definition.EnumValues))].Name)
	case ast.InputObject:
		object := map[string]any{}
		one := g.rand.IntN(len(definition.Fields))
		for i, field := range definition.Fields {
			switch {
			case definition.Directives.ForName("oneOf") != nil:
				if i == one {
					required := *field.Type
					required.NonNull = true
					object[field.Name] = g.value(&required, depth+1)
				}
			case field.Type.NonNull || g.rand.IntN(3) == 0 && depth < 5:
				object[field.Name] = g.value(field.Type, depth+1)
			}
		}
		return object
	}
	return g.scalar(t.NamedType)
}

func (g *generator) scalar(name string) any {
	switch name {
	case "Boolean":
		return g.rand.IntN(2) == 0
	case "Int":
		return []int{1, 2, 20, 100, 0, -1, 101, 2147483647}[g.rand.IntN(8)]
	case "Float":
		return g.rand.Float64()
	case "DateTime":
		return []string{"2026-03-09T14:02:06.000Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999+14:00"}[g.rand.IntN(3)]
	case "ID":
		return fmt.Sprintf("0190a000-0000-7000-8000-%012x", g.rand.IntN(4))
	case "Properties":
		return map[string]any{"size": g.rand.IntN(100), "colour": g.text()}
	}
	return g.text()
}

// text returns what a person, a program or an attacker may send for a string.
func (g *generator) text() string {
	texts := []string{
		"woocommerce", "cust_1", "jane@doe.com", "Jane", "+14155552671", "en", "EUR", "", " ", "quiz_app", "q-17",
		"José@BÜCHER.example", "محمد 👩‍🚀", "K\u0307", "a\u0000b", "\ufffd", "%_\\", "'; DROP TABLE customers; --", "${jndi:x}",
		strings.Repeat("x", 300), strings.Repeat("é", 130) + "@a.example", "null", "-1", "1e400", "2026-03-09T14:02:06Z",
	}
	return texts[g.rand.IntN(len(texts))]
}

// literal writes a value as a document has it.
func literal(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case word:
		return string(value)
	case []any:
		elements := make([]string, len(value))
		for i, element := range value {
			elements[i] = literal(element)
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case map[string]any:
		members := make([]string, 0, len(value))
		for name, member := range value {
			members = append(members, name+": "+literal(member))
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ", ") + "}"
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // only the values of the functions above come here
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(encoded))
}

// broken returns the text with something in it that does not belong there, or without something that does.
func (g *generator) broken(text string) string {
	at := g.rand.IntN(len(text))
	end := min(len(text), at+1+g.rand.IntN(12))
	words := strings.Fields(text)
	switch g.rand.IntN(7) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + text[end:]
	case 2:
		return text[:at] + text[at:end] + text[at:]
	case 3:
		return text[:at] + string(rune(g.rand.IntN(0x3000))) + text[at:]
	case 4:
		return text[:at] + []string{"{", "}", "(", ")", "$", "...", "@", "\"\"\"", "#", "[", "!", ":", "&"}[g.rand.IntN(13)] + text[at:]
	case 5:
		i, j := g.rand.IntN(len(words)), g.rand.IntN(len(words))
		words[i], words[j] = words[j], words[i]
		return strings.Join(words, " ")
	}
	words[g.rand.IntN(len(words))] = []string{"nonsense", "id", "customers", "query", "fragment", "on", "null", "99999999999999999999"}[g.rand.IntN(8)]
	return strings.Join(words, " ")
}
