package graph_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/graph/generated"
)

func TestEverythingInTheSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	described := func(what, description string) {
		if strings.TrimSpace(description) == "" {
			t.Errorf("%s has no description", what)
		}
	}
	arguments := func(of string, list ast.ArgumentDefinitionList) {
		for _, argument := range list {
			described(of+"("+argument.Name+":)", argument.Description)
		}
	}
	schema := generated.NewExecutableSchema(generated.Config{}).Schema()
	count := 0
	for name, definition := range schema.Types {
		if definition.BuiltIn {
			continue
		}
		count++
		described(name, definition.Description)
		for _, field := range definition.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			described(name+"."+field.Name, field.Description)
			arguments(name+"."+field.Name, field.Arguments)
		}
		for _, value := range definition.EnumValues {
			described(name+"."+value.Name, value.Description)
		}
	}
	for name, directive := range schema.Directives {
		if directive.Position.Src.BuiltIn {
			continue
		}
		described("@"+name, directive.Description)
		arguments("@"+name, directive.Arguments)
	}
	if count < 30 {
		t.Errorf("looked at %d types only", count)
	}
}

// TestIntrospectionIsThatOfThePublishedSpecification asks where directives may stand, as clients do that build a schema from
// the answer, and may fail over a place they have never heard of.
func TestIntrospectionIsThatOfThePublishedSpecification(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var got struct {
		Schema struct {
			Directives []struct {
				Name      string
				Locations []string
			}
		} `json:"__schema"`
	}
	a.must(t, &got, `{ __schema { directives { name locations } } }`, nil)
	published := strings.Fields(`QUERY MUTATION SUBSCRIPTION FIELD FRAGMENT_DEFINITION FRAGMENT_SPREAD INLINE_FRAGMENT
		VARIABLE_DEFINITION SCHEMA SCALAR OBJECT FIELD_DEFINITION ARGUMENT_DEFINITION INTERFACE UNION ENUM ENUM_VALUE INPUT_OBJECT
		INPUT_FIELD_DEFINITION`) // https://spec.graphql.org/September2025/#sec-Type-System.Directives
	if len(got.Schema.Directives) < 4 {
		t.Errorf("there are but %d directives", len(got.Schema.Directives))
	}
	for _, directive := range got.Schema.Directives {
		for _, location := range directive.Locations {
			if !slices.Contains(published, location) {
				t.Errorf("@%s may stand at %s", directive.Name, location)
			}
		}
	}
}
