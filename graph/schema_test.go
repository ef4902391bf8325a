package graph_test

import (
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
