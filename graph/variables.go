package graph

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/model"
)

// enumVariables is the extension of gqlgen that takes a variable for an enum value only if it is one, to the letter.
// gqlparser does not mind the case, and what it lets pass would be none of the values that resolvers know.
type enumVariables struct {
	names bool // tells the values that there are
}

// ExtensionName is part of graphql.HandlerExtension.
func (enumVariables) ExtensionName() string { return "EnumVariables" }

// Validate is part of graphql.HandlerExtension.
func (enumVariables) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext checks the operation's variables.
func (e enumVariables) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	for _, variable := range operation.Operation.VariableDefinitions {
		if err := checkEnums(variable.Type, operation.Variables[variable.Variable], variable.Variable, e.names); err != nil {
			return gqlerror.Wrap(err)
		}
	}
	return nil
}

// checkEnums looks for enum values in a value of this type; path is the way there from the variables.
func checkEnums(of *ast.Type, value any, path string, names bool) error {
	if list, ok := value.([]any); ok && of.Elem != nil {
		for i, element := range list {
			if err := checkEnums(of.Elem, element, fmt.Sprintf("%s.%d", path, i), names); err != nil {
				return err
			}
		}
		return nil
	}
	definition := schema.Types[of.Name()]
	switch value := value.(type) {
	case map[string]any:
		for _, field := range definition.Fields {
			if err := checkEnums(field.Type, value[field.Name], path+"."+field.Name, names); err != nil {
				return err
			}
		}
	case string:
		if definition.Kind == ast.Enum && definition.EnumValues.ForName(value) == nil {
			return model.BadInput("$"+path, ruleOf(definition, names))
		}
	}
	return nil
}

// ruleOf is what a value of a type must be; with names, an enum's is one of those.
func ruleOf(definition *ast.Definition, names bool) string {
	if definition.Kind != ast.Enum || !names {
		return "must be a " + definition.Name
	}
	var values []string
	for _, value := range definition.EnumValues {
		values = append(values, value.Name)
	}
	return "must be one of " + strings.Join(values, ", ")
}

// noValue are gqlparser's messages of variables that quote nothing of the request: kinds of JSON and names of types.
var noValue = regexp.MustCompile(`^(must be defined|cannot be null|cannot use \w+ as \w+|must be a \w+, not a \w+)$`)

// variableError words what gqlparser finds wrong with a variable: its place, as far as the schema knows the way there,
// and the rule. With names, it tells those that the place has in the schema.
func variableError(operation *ast.OperationDefinition, at *gqlerror.Error, names bool) string {
	path, message := at.Path[1:], at.Message
	unknown := message == "unknown field"
	if unknown {
		path = path[:len(path)-1] // its last is a key of the client's
	}
	definition := schema.Types[typeAt(operation, path).Name()]
	switch {
	case unknown && names:
		message = fmt.Sprintf("unknown field of %s, which has %s", definition.Name, strings.Join(fieldNames(definition), ", "))
	case unknown:
		message = "unknown field of " + definition.Name
	case !noValue.MatchString(message):
		message = ruleOf(definition, names)
	}
	return fmt.Sprintf("$%s: %s", strings.TrimPrefix(path.String(), "."), message)
}

func fieldNames(definition *ast.Definition) []string {
	var names []string
	for _, field := range definition.Fields {
		names = append(names, field.Name)
	}
	return names
}

// typeAt returns the type of a place in the variables, to which a path leads that the schema knows.
func typeAt(operation *ast.OperationDefinition, path ast.Path) *ast.Type {
	var of *ast.Type
	for i, step := range path {
		switch name, isName := step.(ast.PathName); {
		case i == 0:
			of = operation.VariableDefinitions.ForName(string(name)).Type
		case isName:
			of = schema.Types[of.Name()].Fields.ForName(string(name)).Type
		}
	}
	return of
}
