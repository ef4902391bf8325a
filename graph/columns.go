package graph

import (
	"reflect"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
	"akin/repo"
)

// column is the column that a field of the schema shows.
type column struct {
	model reflect.Type
	name  string
}

// columns are the columns of the fields that have one, which is that of the model's field of the same name, in any case.
var columns = func() map[*ast.FieldDefinition]column {
	columns := map[*ast.FieldDefinition]column{}
	for _, of := range []reflect.Type{
		reflect.TypeFor[model.Customer](), reflect.TypeFor[model.CustomerIdentity](), reflect.TypeFor[model.CustomerEvent](),
	} {
		for _, field := range schema.Types[of.Name()].Fields {
			kept, _ := of.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, field.Name) })
			if name, _, _ := strings.Cut(kept.Tag.Get("bun"), ","); name != "" && name != "-" {
				columns[field] = column{of, name}
			}
		}
	}
	return columns
}()

// show adds what a field shows to the columns that an answer shows, where it has a column.
func show(shown repo.Columns, field *ast.Field) {
	if c, ok := columns[field.Definition]; ok && !slices.Contains(shown[c.model], c.name) {
		shown[c.model] = append(shown[c.model], c.name)
	}
}
