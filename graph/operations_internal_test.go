package graph

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// generator writes random operations of the schema: with aliases, fragments, directives, merged fields, and arguments as
// literals and as variables, most of which find something. A few of the operations are invalid.
type generator struct {
	*rand.Rand

	pool        pool
	fragments   []fragment
	definitions []string // of the variables
	variables   map[string]any
	names       int
}

// pool holds what arguments may be, by their names or, for an argument of a list, by "list.argument".
type pool map[string][]any

// fragment is a named fragment within a type, on a type that it may have there.
type fragment struct {
	name, text string
	within     *ast.Definition
}

// inputs are arguments that need not be in the database.
var inputs = pool{
	"platform":           {"woocommerce", "shopify", "Shopify", "newsletter"},
	"platformCustomerId": {"c0", "c1", "c2", "c3", "c4", "c5", "c 6", "ü7"},
	"email":              {"a0@example.com", "A1@example.com", "a2@example.com", "a3@example.com", "new@example.com"},
	"firstName":          {"Jane", `J"a\n/e` + "\u2028<é>", ""},
	"externalId":         {"e0", "e1", "e2", "e3"},
	"externalIds":        {"e0", "e1", "e2", "e3"},
	"phoneNumber":        {"+14155552671", "+4930123456"},
	"defaultLanguage":    {"en", "DE"},
	"defaultCurrency":    {"EUR", "usd"},
	"countryCode":        {"DE", "us"},
	"tags":               {"vip", "b2b"},
	"source":             {"quiz_app", "shop"},
	"type":               {"quiz_finished", "viewed"},
	"eventId":            {"1", "2", "3"},
	"ID":                 {"0190a000-0000-7000-8000-000000000001"},
	"DateTime":           {"2020-01-01T00:00:00Z", "2120-01-01T00:00:00.123456+02:00"},
	"Properties":         {map[string]any{}, map[string]any{"score": int64(7), "name": "é\"", "ok": true, "ratio": 0.25}},
	"Int":                {int64(1), int64(2), int64(3), int64(5), int64(20)},
	"Boolean":            {true, false},
}

// add takes the IDs and the cursors of an answer into the pool.
func (p pool) add(list string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) { // so that the same seed asks for the same
			inner := value[name]
			switch text, isText := inner.(string); {
			case name == "id":
				p["ID"] = append(p["ID"], text)
			case isText && strings.HasSuffix(strings.ToLower(name), "cursor"):
				p[list+".cursor"] = append(p[list+".cursor"], text)
			case name == "edges" || name == "nodes" || name == "node" || name == "pageInfo":
				p.add(list, inner)
			default:
				p.add(name, inner)
			}
		}
	case []any:
		for _, element := range value {
			p.add(list, element)
		}
	}
}

// operation returns a document of a query, or of a mutation of one field.
func (g *generator) operation(mutation bool) string {
	g.variables = map[string]any{}
	var document, body string
	if mutation {
		document, body = "mutation", g.field(schema.Mutation, 4)
	} else {
		document, body = "query", g.selections(schema.Query, 3+g.IntN(4))
	}
	if len(g.definitions) > 0 {
		document += " (" + strings.Join(g.definitions, ", ") + ")"
	}
	document += " { " + body + " }"
	for _, fragment := range g.fragments {
		document += "\n" + fragment.text
	}
	return document
}

// rarely is true as often as a fault is wanted.
func (g *generator) rarely() bool { return g.IntN(40) == 0 }

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// selections returns what to ask of a type, at most so many fields deep.
func (g *generator) selections(of *ast.Definition, depth int) string {
	var parts []string
	for range 1 + g.IntN(4) {
		switch roll := g.IntN(20); {
		case roll == 0:
			parts = append(parts, "__typename"+g.directive())
		case roll == 1:
			parts = append(parts, "..."+g.directive()+" { "+g.selections(of, depth)+" }")
		case roll < 4 || of.IsAbstractType() && roll < 12:
			on := g.condition(of)
			parts = append(parts, "... on "+on.Name+g.directive()+" { "+g.selections(on, depth)+" }")
		case roll == 4:
			parts = append(parts, "..."+g.spread(of, depth)+g.directive())
		default:
			parts = append(parts, g.field(of, depth))
		}
	}
	return strings.Join(parts, " ")
}

// condition returns a type that a fragment may have within another.
func (g *generator) condition(of *ast.Definition) *ast.Definition {
	types := append(slices.Clone(schema.GetPossibleTypes(of)), of)
	for _, name := range of.Interfaces {
		types = append(types, schema.Types[name])
	}
	return types[g.IntN(len(types))]
}

// spread returns the name of a fragment, now and then of one that is spread elsewhere too.
func (g *generator) spread(within *ast.Definition, depth int) string {
	for _, fragment := range g.fragments {
		if fragment.within == within && g.IntN(2) == 0 {
			return fragment.name
		}
	}
	name, on := g.name("F"), g.condition(within)
	text := fmt.Sprintf("fragment %s on %s { %s }", name, on.Name, g.selections(on, depth))
	g.fragments = append(g.fragments, fragment{name, text, within})
	return name
}

// field returns a field of a type, now and then twice under the same name. A field with arguments has an alias.
func (g *generator) field(of *ast.Definition, depth int) string {
	fields := slices.DeleteFunc(slices.Clone(of.Fields), func(f *ast.FieldDefinition) bool {
		return strings.HasPrefix(f.Name, "__") || depth <= 1 && schema.Types[f.Type.Name()].IsCompositeType()
	})
	if len(fields) == 0 {
		return "__typename"
	}
	field := fields[g.IntN(len(fields))]
	text := field.Name
	if arguments := g.arguments(field); arguments != "" {
		text = g.name("a") + ": " + field.Name + "(" + arguments + ")"
	} else if g.IntN(8) == 0 {
		text = g.name("a") + ": " + field.Name
	}
	repeated := ""
	for range 1 + g.IntN(8)/7 {
		repeated += " " + text + g.directive()
		if inner := schema.Types[field.Type.Name()]; inner.IsCompositeType() {
			repeated += " { " + g.selections(inner, depth-1) + " }"
		}
	}
	return repeated
}

func (g *generator) directive() string {
	if g.IntN(12) > 0 {
		return ""
	}
	condition := ast.NonNullNamedType("Boolean", nil)
	return fmt.Sprintf(" @%s(if: %s)", []string{"skip", "include"}[g.IntN(2)], g.argument(condition, g.IntN(2) == 0))
}

func (g *generator) arguments(field *ast.FieldDefinition) string {
	var parts []string
	given := map[string]bool{}
	for _, argument := range field.Arguments {
		wanted := argument.Type.NonNull
		switch argument.Name {
		case "first", "last":
			wanted = g.IntN(3) == 0 && !given["first"] || g.rarely()
		case "after", "before":
			wanted = g.IntN(12) == 0
		default:
			wanted = wanted || g.IntN(4) == 0
		}
		if wanted {
			given[argument.Name] = true
			parts = append(parts, argument.Name+": "+g.argument(argument.Type, g.value(argument.Type, argument.Name, field.Name)))
		}
	}
	return strings.Join(parts, ", ")
}

// argument returns a value as a literal or as a new variable.
func (g *generator) argument(of *ast.Type, value any) string {
	if g.IntN(2) == 0 {
		return literal(of, value)
	}
	name := g.name("v")
	g.definitions = append(g.definitions, "$"+name+": "+of.String())
	g.variables[name] = value
	return "$" + name
}

// value returns a value for an argument of this name, or for an input field of this name somewhere in an argument.
func (g *generator) value(of *ast.Type, name, list string) any {
	if !of.NonNull && g.rarely() {
		return nil
	}
	if of.Elem != nil {
		elements := []any{}
		for range g.IntN(4) {
			elements = append(elements, g.value(of.Elem, name, list))
		}
		return elements
	}
	definition := schema.Types[of.NamedType]
	switch definition.Kind {
	case ast.Enum:
		return definition.EnumValues[g.IntN(len(definition.EnumValues))].Name
	case ast.InputObject:
		return g.object(definition)
	}
	if (name == "after" || name == "before") && !g.rarely() {
		name = list + ".cursor"
	}
	values := g.pool[name]
	if len(values) == 0 {
		values = g.pool[of.NamedType]
	}
	if len(values) == 0 || of.NamedType == "String" && g.rarely() {
		return "x!"
	}
	if of.NamedType == "Int" && g.rarely() {
		return int64(g.IntN(2) * 1_000)
	}
	return values[g.IntN(len(values))]
}

func (g *generator) object(of *ast.Definition) map[string]any {
	object := map[string]any{}
	if of.Directives.ForName("oneOf") != nil {
		field := of.Fields[g.IntN(len(of.Fields))]
		field = &ast.FieldDefinition{Name: field.Name, Type: &ast.Type{NamedType: field.Type.NamedType, NonNull: true}}
		object[field.Name] = g.value(field.Type, field.Name, "")
		return object
	}
	for _, field := range of.Fields {
		if field.Type.NonNull || g.IntN(4) == 0 {
			object[field.Name] = g.value(field.Type, field.Name, "")
		}
	}
	return object
}

// literal writes a value of a type as a document has it.
func literal(of *ast.Type, value any) string {
	switch value := value.(type) {
	case []any:
		var parts []string
		for _, element := range value {
			parts = append(parts, literal(of.Elem, element))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			var inner *ast.Type
			if field := schema.Types[of.Name()].Fields.ForName(name); field != nil {
				inner = field.Type
			}
			parts = append(parts, name+": "+literal(inner, value[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case string:
		if of != nil && schema.Types[of.Name()].Kind == ast.Enum {
			return value
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it is made of texts, numbers and booleans
	}
	return string(text)
}
