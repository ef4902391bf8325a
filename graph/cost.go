package graph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
)

// The cost of introspection, which takes as long as this many objects (measured: 5 ms for the __schema of GraphiQL, 1 to
// 1.5 ms for all of a __type). Each alias below it adds as much again: it may ask for the same once more. (Measured: 98
// aliases of the fields of all types take 300 ms.)
const (
	schemaCost = 1_000
	typeCost   = 300
)

// countCost is the cost of a totalCount of the whole store, which reads all that it counts. Those of customers' lists
// are cheap: one statement counts them all.
const countCost = 1_000

// weight is what a selection set asks for. Its cost is in two parts, for only the field above knows how often a list
// repeats: once is the cost of the fields that are not lists, each that of the lists for one element.
type weight struct {
	fields, depth, aliases, once, each int // fields are those of the set itself

	counted bool // asks for totalCount
}

// weigher walks an operation, each fragment once however often it is spread: a kilobyte of fragments that spread the
// next one twice has billions of fields.
type weigher struct {
	variables map[string]any
	fragments map[string]weight

	batch       int // the most inputs of a mutation's field
	introspects bool
}

func (w *weigher) set(set ast.SelectionSet) weight {
	var total weight
	for _, selection := range set {
		var part weight
		switch selection := selection.(type) {
		case *ast.Field:
			part = w.field(selection)
		case *ast.InlineFragment:
			part = w.set(selection.SelectionSet)
		case *ast.FragmentSpread:
			var known bool
			if part, known = w.fragments[selection.Name]; !known {
				part = w.set(selection.Definition.SelectionSet)
				w.fragments[selection.Name] = part
			}
		}
		total.fields = add(total.fields, part.fields)
		total.depth = max(total.depth, part.depth)
		total.aliases = add(total.aliases, part.aliases)
		total.once = add(total.once, part.once)
		total.each = add(total.each, part.each)
		total.counted = total.counted || part.counted
	}
	return total
}

// field weighs a field. A scalar costs 0 and an object 1. A connection, which is a field that takes `first`, costs 2
// and, for each element of its page, what its lists (edges, nodes) cost. A field that takes a list, such as
// nodes(ids:) or upsertCustomerIdentities(inputs:), costs 1 for each element of that list, and so do its own lists.
//
//	customers(first: 100) { nodes { identities(first: 100) { nodes { id } } } }
//	2 + 100 * (1 + 2 + 100 * 1) = 10,302
func (w *weigher) field(field *ast.Field) weight {
	inner := w.set(field.SelectionSet)
	total := weight{fields: 1, depth: inner.depth + 1, aliases: inner.aliases}
	if field.Alias != field.Name {
		total.aliases = add(total.aliases, 1)
	}
	if len(field.SelectionSet) == 0 {
		total.counted = field.Name == "totalCount"
		return total
	}
	cost, size := w.size(field)
	if field.Name == "__schema" || field.Name == "__type" {
		w.introspects = true
		cost = multiply(cost, 1+inner.aliases)
	}
	cost = add(cost, multiply(size, inner.each))
	if inner.counted && field.ObjectDefinition.Name == "Query" {
		cost = add(cost, countCost)
	}
	if field.Definition.Type.Elem == nil {
		total.once = add(cost, inner.once)
	} else {
		total.each = add(cost, multiply(size, inner.once))
	}
	return total
}

// size returns what the field itself costs and how many elements its lists have. Sizes that no resolver takes count
// as the nearest one it does, so that it can say what is wrong with them.
func (w *weigher) size(field *ast.Field) (cost, size int) {
	switch field.Name {
	case "__schema":
		return schemaCost, 1
	case "__type":
		return typeCost, 1
	}
	lists := func(a *ast.ArgumentDefinition) bool { return a.Name == "first" || a.Type.Elem != nil }
	if !slices.ContainsFunc(field.Definition.Arguments, lists) {
		return 1, 1
	}
	arguments := field.ArgumentMap(w.variables)
	if field.Definition.Arguments.ForName("first") != nil {
		size = model.DefaultPage
		for _, name := range []string{"first", "last"} {
			if arguments[name] == nil {
				continue
			}
			given, err := model.UnmarshalInt(arguments[name])
			if err != nil {
				given = model.MaxPage
			}
			size = min(max(given, 1), model.MaxPage)
		}
		return 2, size
	}
	for _, argument := range field.Definition.Arguments {
		if list, ok := arguments[argument.Name].([]any); ok {
			if field.ObjectDefinition.Name == "Mutation" {
				w.batch = max(w.batch, len(list))
			}
			return max(len(list), 1), max(len(list), 1)
		}
	}
	return 1, 1
}

// costCeiling keeps sums and products from overflowing.
const costCeiling = 1 << 30

func add(a, b int) int { return min(a+b, costCeiling) }

func multiply(a, b int) int { return min(a*b, costCeiling) }
