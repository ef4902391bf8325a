package graph

import (
	"fmt"
	"strings"

	"akin/model"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// variableError words what gqlparser finds wrong with a variable: its place, as far as the schema knows the way there,
// and the rule. With names, it tells those that the place has in the schema.
func variableError(operation *ast.OperationDefinition, at *gqlerror.Error, names bool) string {
	path, message := knownPath(at), at.Message
	unknown := message == unknownField
	definition := schema.Types[typeAt(operation, path).Name()]
	switch {
	case unknown && names:
		message = fmt.Sprintf("unknown field of %s, which has %s", definition.Name, strings.Join(fieldNames(definition), ", "))
	case unknown:
		message = "unknown field of " + definition.Name
	case message != missing && message != isNull: // which quotes the value, or tells its type in Go
		message = ruleOf(definition, names)
	}
	return variablePlace(at) + ": " + message
}

// Messages of gqlparser's.
const (
	unknownField = "unknown field" // of a key that an input object does not have
	missing      = "must be defined"
	isNull       = "cannot be null"
)

// knownPath is the way to what gqlparser finds wrong with a variable, as far as the schema knows it.
func knownPath(at *gqlerror.Error) ast.Path {
	path := at.Path[1:]
	if at.Message == unknownField {
		return path[:len(path)-1] // the last is a key of the client's
	}
	return path
}

// variablePlace is how an error tells that way.
func variablePlace(at *gqlerror.Error) string {
	return "$" + model.Redact(strings.TrimPrefix(knownPath(at).String(), "."))
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
