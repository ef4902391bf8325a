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

// values is the extension of gqlgen that reads values before anything runs, as GraphQL demands: gqlgen reads a scalar of
// ours, or an enum, when its field's turn has come. By then a mutation before it in the document would have been
// written, behind an answer without data.
type values struct {
	names bool // tells those that an enum has
}

// ExtensionName is part of graphql.HandlerExtension.
func (values) ExtensionName() string { return "Values" }

// Validate is part of graphql.HandlerExtension.
func (values) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext checks the operation's variables and the arguments that the fields at its root have then.
func (v values) MutateOperationContext(_ context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	for _, variable := range operation.Operation.VariableDefinitions {
		path := ast.Path{ast.PathName("$" + variable.Variable)}
		if err := v.check(variable.Type, operation.Variables[variable.Variable], path); err != nil {
			return err
		}
	}
	for _, field := range graphql.CollectFields(operation, operation.Operation.SelectionSet, []string{"Query", "Mutation"}) {
		arguments := field.ArgumentMap(operation.Variables)
		for _, argument := range field.Arguments {
			value := arguments[argument.Name]
			if argument.Value.Kind == ast.Variable && value != nil { // which has been checked
				continue
			}
			of := field.Definition.Arguments.ForName(argument.Name).Type
			if err := v.check(of, value, ast.Path{ast.PathName(argument.Name)}); err != nil {
				err.Locations = []gqlerror.Location{{Line: field.Position.Line, Column: field.Position.Column}}
				return err
			}
		}
	}
	return nil
}

// scalars reads those that gqlparser, which has seen to the kind of each value, does not know to the end.
var scalars = map[string]func(any) error{
	"DateTime":   reads(model.UnmarshalDateTime),
	"ID":         reads(model.UnmarshalID),
	"Int":        reads(model.UnmarshalInt),
	"Properties": reads(model.UnmarshalProperties),
}

func reads[T any](unmarshal func(any) (T, error)) func(any) error {
	return func(value any) error {
		_, err := unmarshal(value)
		return err
	}
}

// check looks for what cannot be read in a value of this type; path is the way there. An enum's value must be one of its
// names to the letter: gqlparser does not mind the case, and resolvers would not know what it lets pass. Nor does it mind the
// null of a variable where the variable or the place has a default.
func (v values) check(of *ast.Type, value any, path ast.Path) *gqlerror.Error {
	if value == nil {
		if of.NonNull {
			return gqlerror.Wrap(model.BadInput(path.String(), "must not be null"))
		}
		return nil
	}
	if of.Elem != nil {
		for i, element := range graphql.CoerceList(value) {
			if err := v.check(of.Elem, element, append(path, ast.PathIndex(i))); err != nil {
				return err
			}
		}
		return nil
	}
	definition := schema.Types[of.Name()]
	if read := scalars[definition.Name]; read != nil {
		if err := read(value); err != nil {
			return &gqlerror.Error{Err: err, Extensions: map[string]any{"field": path.String()}}
		}
		return nil
	}
	switch value := value.(type) {
	case map[string]any:
		for _, field := range definition.Fields {
			inner, given := value[field.Name]
			if !given {
				continue
			}
			if err := v.check(field.Type, inner, append(path, ast.PathName(field.Name))); err != nil {
				return err
			}
		}
	case string:
		if definition.Kind == ast.Enum && definition.EnumValues.ForName(value) == nil {
			return gqlerror.Wrap(model.BadInput(path.String(), ruleOf(definition, v.names)))
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
