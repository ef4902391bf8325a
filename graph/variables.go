package graph

import (
	"context"
	"fmt"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/model"
)

// enumVariables is the extension of gqlgen that takes a variable for an enum value only if it is one, to the letter.
// gqlparser does not mind the case, and what it lets pass would be none of the values that resolvers know.
type enumVariables struct{}

// ExtensionName is part of graphql.HandlerExtension.
func (enumVariables) ExtensionName() string { return "EnumVariables" }

// Validate is part of graphql.HandlerExtension.
func (enumVariables) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext checks the operation's variables.
func (enumVariables) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	for _, variable := range operation.Operation.VariableDefinitions {
		if err := checkEnums(variable.Type, operation.Variables[variable.Variable], variable.Variable); err != nil {
			return gqlerror.Wrap(err)
		}
	}
	return nil
}

// checkEnums looks for enum values in a value of this type; path is the way there from the variables.
func checkEnums(of *ast.Type, value any, path string) error {
	if list, ok := value.([]any); ok && of.Elem != nil {
		for i, element := range list {
			if err := checkEnums(of.Elem, element, fmt.Sprintf("%s.%d", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	definition := schema.Types[of.Name()]
	switch value := value.(type) {
	case map[string]any:
		for _, field := range definition.Fields {
			if err := checkEnums(field.Type, value[field.Name], path+"."+field.Name); err != nil {
				return err
			}
		}
	case string:
		if definition.Kind == ast.Enum && definition.EnumValues.ForName(value) == nil {
			var names []string
			for _, name := range definition.EnumValues {
				names = append(names, name.Name)
			}
			return model.BadInput("$"+path, "must be one of "+strings.Join(names, ", "))
		}
	}
	return nil
}
