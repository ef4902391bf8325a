package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"akin/model"
)

// What a document may ask for at most. Beyond one of them it is refused with QUERY_TOO_COMPLEX before anything runs.
const (
	maxTokens  = 10_000 // of the document's text; a batch of 250 inputs as literals has some 5,000
	maxRepeats = 50_000 // see repeats; some 220 fields of one name
	maxDepth   = 16     // fields below one another; GraphiQL's introspection has 15
	maxAliases = 100    // fields under a name of their own, in every place that a fragment comes to
	maxCost    = 25_000 // see weigher.field
)

// schemaCost is the cost of __schema: introspection takes as long as this many objects (measured: 5 ms).
const schemaCost = 1_000

// countCost is the cost of a totalCount of the whole store, which reads all that it counts. Those of customers' lists
// are cheap: one statement counts them all.
const countCost = 1_000

// The cache of validated documents. Both figures together bound its memory, whatever clients send: the tree of a
// document takes up to 70 times its text (measured).
const (
	cachedDocuments   = 500
	maxCachedDocument = 4 << 10 // bytes
)

type documentCache struct {
	*lru.LRU[*ast.QueryDocument]
}

func newDocumentCache() documentCache {
	return documentCache{lru.New[*ast.QueryDocument](cachedDocuments)}
}

// Add keeps a document unless it is long.
func (c documentCache) Add(ctx context.Context, query string, document *ast.QueryDocument) {
	if len(query) <= maxCachedDocument {
		c.LRU.Add(ctx, query, document)
	}
}

// limits is the extension of gqlgen that holds documents to the limits.
type limits struct {
	documents documentCache
}

// ExtensionName is part of graphql.HandlerExtension.
func (*limits) ExtensionName() string { return "Limits" }

// Validate is part of graphql.HandlerExtension.
func (*limits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters checks what must hold before a document is validated. gqlgen parses and validates in one
// step, so a document that is not in the cache is parsed here once more.
func (l *limits) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	if _, validated := l.documents.Get(ctx, params.Query); validated {
		return nil
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, maxTokens)
	if err != nil {
		at, _ := errors.AsType[*gqlerror.Error](err)
		if at.Message == fmt.Sprintf("exceeded token limit of %d", maxTokens) { // the parser has no other word for it
			return tooComplex("the document has more than %d tokens", maxTokens)
		}
		errcode.Set(at, errcode.ParseFailed)
		return at
	}
	if n := repeats(document); n > maxRepeats {
		return tooComplex("the document repeats fields or fragments so often that comparing them takes %d steps; "+
			"at most %d are allowed", n, maxRepeats)
	}
	return nil
}

// repeats returns how many pairs of selections validation compares, more or less, to see that fields of one name agree:
// in each operation, and each fragment, the square of how often a name comes up, spreads sharing one. (Measured: 9,000
// equal fields take 5 s to validate, and so do 150 operations that spread one fragment of 400.) It stops where it has
// enough.
func repeats(document *ast.QueryDocument) int {
	var roots []ast.SelectionSet
	for _, operation := range document.Operations {
		roots = append(roots, operation.SelectionSet)
	}
	fragments := map[string]ast.SelectionSet{}
	for _, fragment := range document.Fragments {
		roots = append(roots, fragment.SelectionSet)
		fragments[fragment.Name] = fragment.SelectionSet
	}
	total := 0
	for _, root := range roots {
		c := nameCount{fragments: fragments, seen: map[string]bool{}, names: map[string]int{}}
		c.add(root)
		for _, n := range c.names {
			total += n * n
		}
		if total > maxRepeats {
			break
		}
	}
	return total
}

// nameCount counts the names in a selection set, and in each fragment that it comes to once.
type nameCount struct {
	fragments map[string]ast.SelectionSet
	seen      map[string]bool
	names     map[string]int
}

func (c *nameCount) add(set ast.SelectionSet) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			c.names[selection.Alias]++
			c.add(selection.SelectionSet)
		case *ast.InlineFragment:
			c.names["..."]++
			c.add(selection.SelectionSet)
		case *ast.FragmentSpread:
			c.names["..."]++
			if !c.seen[selection.Name] {
				c.seen[selection.Name] = true
				c.add(c.fragments[selection.Name])
			}
		}
	}
}

// MutateOperationContext checks what the operation asks for with its variables.
func (*limits) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	w := weigher{variables: operation.Variables, fragments: map[string]weight{}}
	total := w.set(operation.Operation.SelectionSet)
	cost := add(total.once, total.each)
	recordFrom(ctx).cost = cost
	switch {
	case total.depth > maxDepth:
		return tooComplex("the operation is %d fields deep; at most %d are allowed", total.depth, maxDepth)
	case total.aliases > maxAliases:
		return tooComplex("the operation has %d aliases; at most %d are allowed", total.aliases, maxAliases)
	case cost > maxCost:
		return tooComplex("the operation costs %d; at most %d is allowed: ask for fewer or shorter pages", cost, maxCost)
	}
	return nil
}

func tooComplex(format string, args ...any) *gqlerror.Error {
	return gqlerror.Wrap(&model.Error{Code: model.CodeTooComplex, Message: fmt.Sprintf(format, args...)})
}

// weight is what a selection set asks for. Its cost is in two parts, for only the field above knows how often a list
// repeats: once is the cost of the fields that are not lists, each that of the lists for one element.
type weight struct {
	depth, aliases, once, each int
	counted                    bool // asks for totalCount
}

// weigher walks an operation, each fragment once however often it is spread: a kilobyte of fragments that spread the
// next one twice has billions of fields.
type weigher struct {
	variables map[string]any
	fragments map[string]weight
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
	total := weight{depth: inner.depth + 1, aliases: inner.aliases}
	if field.Alias != field.Name {
		total.aliases = add(total.aliases, 1)
	}
	if len(field.SelectionSet) == 0 {
		total.counted = field.Name == "totalCount"
		return total
	}
	cost, size := w.size(field)
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
	if field.Name == "__schema" {
		return schemaCost, 1
	}
	if len(field.Definition.Arguments) == 0 {
		return 1, 1
	}
	arguments := field.ArgumentMap(w.variables)
	if field.Definition.Arguments.ForName("first") != nil {
		size = model.DefaultPage
		for _, name := range []string{"first", "last"} {
			switch given := arguments[name].(type) {
			case nil:
			case int64:
				size = int(min(max(given, 1), model.MaxPage))
			default:
				size = model.MaxPage
			}
		}
		return 2, size
	}
	for _, argument := range field.Definition.Arguments {
		if list, ok := arguments[argument.Name].([]any); ok {
			return max(len(list), 1), max(len(list), 1)
		}
	}
	return 1, 1
}

// costCeiling keeps sums and products from overflowing.
const costCeiling = 1 << 30

func add(a, b int) int { return min(a+b, costCeiling) }

func multiply(a, b int) int { return min(a*b, costCeiling) }
