package graph

import (
	"cmp"
	"context"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"akin/model"
	"akin/repo"
)

// values is the extension of gqlgen that reads values before anything runs, as GraphQL demands: gqlgen reads a scalar of
// ours, or an enum, when its field's turn has come. By then a mutation before it in the document would have been
// written, behind an answer without data.
type values struct {
	names bool // tells the values that an enum has
}

// ExtensionName is part of graphql.HandlerExtension.
func (values) ExtensionName() string { return "Values" }

// Validate is part of graphql.HandlerExtension.
func (values) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext checks the operation's variables and, of every field that is to run, its directives and arguments. It
// notes what these fields show.
func (v values) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	for _, variable := range operation.Operation.VariableDefinitions {
		value := operation.Variables[variable.Variable]
		if v.check(variable.Type, value, ast.Path{ast.PathName("$")}) != nil { // once more, with the name as it may be told
			return v.check(variable.Type, value, ast.Path{ast.PathName("$" + model.Redact(variable.Variable))})
		}
	}
	r := reading{
		values: v, variables: operation.Variables, writes: operation.Operation.Operation == ast.Mutation,
		fragments: map[string]bool{}, shown: repo.Columns{},
	}
	recordFrom(ctx).shown = r.shown
	return r.set(operation.Operation.SelectionSet)
}

// reading is a walk through what an operation selects, and through each fragment once.
type reading struct {
	values

	variables map[string]any
	writes    bool
	fragments map[string]bool // that it has come to
	shown     repo.Columns    // by the fields that it has come to
}

func (r reading) set(set ast.SelectionSet) *gqlerror.Error {
	for _, selection := range set {
		selected, err := r.selects(directivesOf(selection))
		if err != nil {
			return err
		}
		if !selected {
			continue
		}
		switch selection := selection.(type) {
		case *ast.Field:
			err = r.field(selection)
		case *ast.InlineFragment:
			err = r.set(selection.SelectionSet)
		case *ast.FragmentSpread:
			err = r.spread(selection)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func directivesOf(selection ast.Selection) ast.DirectiveList {
	switch selection := selection.(type) {
	case *ast.Field:
		return selection.Directives
	case *ast.InlineFragment:
		return selection.Directives
	case *ast.FragmentSpread:
		return selection.Directives
	}
	return nil
}

// selects reports whether @skip and @include let a selection be. Where its variable is null, which it can be if it has a
// default, gqlgen would panic.
func (r reading) selects(directives ast.DirectiveList) (bool, *gqlerror.Error) {
	for _, directive := range directives {
		if directive.Name != "skip" && directive.Name != "include" {
			continue
		}
		given, ok := directive.ArgumentMap(r.variables)["if"].(bool)
		if !ok {
			return false, gqlerror.Wrap(model.BadInput("$"+model.Redact(directive.Arguments.ForName("if").Value.Raw), "must not be null"))
		}
		if given == (directive.Name == "skip") {
			return false, nil
		}
	}
	return true, nil
}

func (r reading) spread(spread *ast.FragmentSpread) *gqlerror.Error {
	if r.fragments[spread.Name] {
		return nil
	}
	r.fragments[spread.Name] = true
	return r.set(spread.Definition.SelectionSet)
}

func (r reading) field(field *ast.Field) *gqlerror.Error {
	show(r.shown, field)
	if len(field.Arguments) > 0 {
		if err := r.arguments(field); err != nil {
			err.Locations = []gqlerror.Location{{Line: field.Position.Line, Column: field.Position.Column}}
			return err
		}
	}
	return r.set(field.SelectionSet)
}

func (r reading) arguments(field *ast.Field) *gqlerror.Error {
	arguments := field.ArgumentMap(r.variables)
	for _, argument := range field.Arguments {
		value := arguments[argument.Name]
		if argument.Value.Kind == ast.Variable && value != nil { // which has been checked
			continue
		}
		of := field.Definition.Arguments.ForName(argument.Name).Type
		if err := r.check(of, value, ast.Path{ast.PathName(argument.Name)}); err != nil {
			return err
		}
	}
	if r.writes {
		if err := checkBefore(field, arguments); err != nil {
			return gqlerror.Wrap(err)
		}
	}
	return nil
}

// checkBefore holds the arguments of a mutation's field, or of one below it, to those of their rules that repo checks only
// when fields before it may have been written. Which list a cursor belongs to, only repo can tell.
func checkBefore(field *ast.Field, arguments map[string]any) error {
	switch field.ObjectDefinition.Name + "." + field.Name {
	case "Customer.identities":
		platform, page, err := listArguments(arguments, "platform")
		if err == nil {
			_, err = model.CheckPlatform("platform", platform)
		}
		return cmp.Or(err, page.CheckSize())
	case "Customer.events":
		eventType, page, err := listArguments(arguments, "type")
		if err == nil && eventType != nil {
			err = model.CheckEventType("type", *eventType)
		}
		return cmp.Or(err, page.CheckSize())
	}
	if inputs, given := arguments["inputs"]; given && field.ObjectDefinition.Name == "Mutation" {
		return model.CheckBatch(len(graphql.CoerceList(inputs)))
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
// null of a variable where the variable or the place has a default, or of a key beside another where only one may be (@oneOf).
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
			path := append(path, ast.PathName(field.Name))
			if inner == nil && definition.Directives.ForName("oneOf") != nil {
				return gqlerror.Wrap(model.BadInput(path.String(), "must not be null: exactly one field may be given"))
			}
			if err := v.check(field.Type, inner, path); err != nil {
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
		article := "a "
		if strings.ContainsRune("AEIOU", rune(definition.Name[0])) {
			article = "an "
		}
		return "must be " + article + definition.Name
	}
	var values []string
	for _, value := range definition.EnumValues {
		values = append(values, value.Name)
	}
	return "must be one of " + strings.Join(values, ", ")
}
