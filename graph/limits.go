package graph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/parser"

	"akin/model"
)

// Limits is what one request, and one token, may ask for at most. Where a field is zero, it has its default.
type Limits struct {
	Body       int `env:"BODY" placeholder:"BYTES" help:"The bytes of a request's body. Default: 1048576."`
	Tokens     int `env:"TOKENS" placeholder:"N" help:"The tokens of a document. Default: 10000."`
	Directives int `env:"DIRECTIVES" placeholder:"N" help:"The directives of a document. Default: 100."`
	RootFields int `env:"ROOT_FIELDS" placeholder:"N" help:"The fields at an operation's root. Default: 100."`
	Aliases    int `env:"ALIASES" placeholder:"N" help:"The fields under a name of their own. Default: 100."`
	Depth      int `env:"DEPTH" placeholder:"N" help:"The fields below one another. Default: 16, of which introspection needs 15."`
	Cost       int `env:"COST" placeholder:"N" help:"The cost of an operation, about one for each object that it may read. Default: 25000."`
	Batch      int `env:"BATCH" placeholder:"N" help:"The inputs of a batch, 250 at most. Default: 250."`
	Result     int `env:"RESULT" placeholder:"BYTES" help:"The bytes of an answer's data, with 16384 for each error. Default: 16777216."`
	Concurrent int `env:"CONCURRENT" placeholder:"N" help:"The requests of one token at the same time. Default: 100."`
}

// DefaultLimits is what Limits holds where it says nothing else.
var DefaultLimits = Limits{
	Body:       1 << 20,
	Tokens:     10_000, // a batch of 250 inputs as literals has some 5,000
	Directives: 100,
	RootFields: 100,
	Aliases:    100,
	Depth:      16, // GraphiQL's introspection has 15
	Cost:       25_000,
	Batch:      model.MaxBatch,
	Result:     16 << 20, // 1,000 customers whose properties are as long as they may be
	Concurrent: 100,
}

// Verify returns an error that names the flag of each limit that cannot be.
func (l Limits) Verify() error {
	var errs []error
	value := reflect.ValueOf(l)
	for i := range value.NumField() {
		if n := value.Field(i).Int(); n < 0 || n > math.MaxInt32 {
			flag := strings.ReplaceAll(strings.ToLower(value.Type().Field(i).Tag.Get("env")), "_", "-")
			errs = append(errs, fmt.Errorf("--max-%s must be 1 to %d, or 0 for its default; it is %d", flag, math.MaxInt32, n))
		}
	}
	if l.Batch > model.MaxBatch {
		errs = append(errs, fmt.Errorf("--max-batch must be 1 to %d, or 0 for its default; it is %d", model.MaxBatch, l.Batch))
	}
	return errors.Join(errs...)
}

// withDefaults puts the defaults in the place of what is zero.
func (l Limits) withDefaults() Limits {
	value, defaults := reflect.ValueOf(&l).Elem(), reflect.ValueOf(DefaultLimits)
	for i := range value.NumField() {
		if value.Field(i).IsZero() {
			value.Field(i).Set(defaults.Field(i))
		}
	}
	return l
}

// What reading and validating may cost, which no setting changes. A document beyond it is QUERY_TOO_COMPLEX, a body
// BODY_TOO_LARGE. Each stands at a few times of what a large client sends, and was measured to keep whatever is refused
// below 20 ms: validation compares operations, variables and fields of one name with one another, a name that is not
// known with those that are, letter by letter, and a text in an enum's place with the enum's values.
const (
	maxDocument    = 128 << 10 // bytes; 240 KB of names that are not known took 30 ms, 1 MB of comment 52 ms
	maxDefinitions = 250       // operations and fragments; 1,900 took 99 ms
	maxVariables   = 500       // of an operation; 2,400 took 53 ms
	maxSelections  = 2_500     // fields and fragments as written; 9,900 fields that are not known took 39 ms
	maxRepeats     = 50_000    // see repeats; some 220 fields of one name
	maxName        = 256       // bytes; one of 1 MB took 118 ms
	maxLiteral     = 32 << 10  // bytes; properties may have 16 KB
	maxValues      = 50_000    // of the JSON of a body; 500,000 took 220 ms and 57 MB
)

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
	Limits

	documents       documentCache
	noIntrospection bool
}

// ExtensionName is part of graphql.HandlerExtension.
func (*limits) ExtensionName() string { return "Limits" }

// Validate is part of graphql.HandlerExtension.
func (*limits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters checks what must hold before a document is validated. gqlgen parses and validates in one
// step, so a document that is not in the cache is parsed here once more.
func (l *limits) MutateOperationParameters(ctx context.Context, params *graphql.RawParams) *gqlerror.Error {
	if len(params.OperationName) > maxName {
		return beyond(model.CodeTooComplex, "operationName has %d bytes; at most %d are allowed", len(params.OperationName), maxName)
	}
	if _, validated := l.documents.Get(ctx, params.Query); validated {
		return nil
	}
	if err := l.scan(params.Query); err != nil {
		return err
	}
	document, err := parser.ParseQuery(&ast.Source{Input: params.Query})
	if err != nil {
		at, _ := errors.AsType[*gqlerror.Error](err)
		errcode.Set(at, errcode.ParseFailed)
		return at
	}
	if err := checkSize(document); err != nil {
		return err
	}
	if n := repeats(document); n > maxRepeats {
		return beyond(model.CodeTooComplex, "the document repeats fields or fragments so often that comparing them takes %d "+
			"steps; at most %d are allowed", n, maxRepeats)
	}
	return nil
}

// scan checks what can be told of a document's tokens one by one. What is no token, it leaves to the parser.
func (l *limits) scan(document string) *gqlerror.Error {
	if n := len(document); n > maxDocument {
		return beyond(model.CodeTooComplex, "the document has %d bytes; at most %d are allowed: send values as variables",
			n, maxDocument)
	}
	lex := lexer.New(&ast.Source{Input: document})
	directives := 0
	for tokens := 1; ; tokens++ {
		token, err := lex.ReadToken()
		if err != nil || token.Kind == lexer.EOF {
			return nil //nolint:nilerr // the parser will come to it too
		}
		if token.Kind == lexer.At {
			directives++
		}
		switch n := len(token.Value); {
		case tokens > l.Tokens:
			return beyond(model.CodeTooManyTokens, "the document has more than %d tokens", l.Tokens)
		case directives > l.Directives:
			return beyond(model.CodeTooManyDirectives, "the document has more than %d directives", l.Directives)
		case token.Kind == lexer.Name && n > maxName:
			return beyond(model.CodeTooComplex, "the document has a name of %d bytes; at most %d are allowed", n, maxName)
		case token.Kind != lexer.Comment && n > maxLiteral:
			return beyond(model.CodeTooComplex, "the document has a value of %d bytes; at most %d are allowed: "+
				"send it as a variable", n, maxLiteral)
		}
	}
}

// checkSize counts what a document defines and selects.
func checkSize(document *ast.QueryDocument) *gqlerror.Error {
	if n := len(document.Operations) + len(document.Fragments); n > maxDefinitions {
		return beyond(model.CodeTooComplex, "the document has %d operations and fragments; at most %d are allowed", n, maxDefinitions)
	}
	n := 0
	for _, operation := range document.Operations {
		if n := len(operation.VariableDefinitions); n > maxVariables {
			return beyond(model.CodeTooComplex, "an operation has %d variables; at most %d are allowed", n, maxVariables)
		}
		n += selections(operation.SelectionSet)
	}
	for _, fragment := range document.Fragments {
		n += selections(fragment.SelectionSet)
	}
	if n > maxSelections {
		return beyond(model.CodeTooComplex, "the document has %d fields and fragments in all; at most %d are allowed", n, maxSelections)
	}
	return nil
}

// selections counts the selections of a set as they are written.
func selections(set ast.SelectionSet) int {
	n := len(set)
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			n += selections(selection.SelectionSet)
		case *ast.InlineFragment:
			n += selections(selection.SelectionSet)
		}
	}
	return n
}

// jsonValues counts the values of a JSON text, or a few more where it is none.
func jsonValues(text []byte) int {
	n, inString := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
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
func (l *limits) MutateOperationContext(ctx context.Context, operation *graphql.OperationContext) *gqlerror.Error {
	w := weigher{variables: operation.Variables, fragments: map[string]weight{}}
	total := w.set(operation.Operation.SelectionSet)
	cost := add(total.once, total.each)
	recordFrom(ctx).cost = cost
	switch {
	case w.introspects && l.noIntrospection:
		return beyond(errcode.ValidationFailed, "introspection is turned off")
	case total.fields > l.RootFields:
		return beyond(model.CodeTooManyRootFields, "the operation has %d fields at its root; at most %d are allowed",
			total.fields, l.RootFields)
	case total.depth > l.Depth:
		return beyond(model.CodeTooDeep, "the operation is %d fields deep; at most %d are allowed", total.depth, l.Depth)
	case total.aliases > l.Aliases:
		return beyond(model.CodeTooManyAliases, "the operation has %d aliases; at most %d are allowed", total.aliases, l.Aliases)
	case w.batch > l.Batch:
		return beyond(model.CodeBatchTooLong, "a batch has %d inputs; at most %d are allowed", w.batch, l.Batch)
	case cost > l.Cost:
		return beyond(model.CodeTooComplex, "the operation costs %d; at most %d is allowed: ask for fewer or shorter pages",
			cost, l.Cost)
	}
	return nil
}

// beyond is the error of what is beyond a limit.
func beyond(code model.ErrorCode, format string, args ...any) *gqlerror.Error {
	return gqlerror.Wrap(&model.Error{Code: code, Message: fmt.Sprintf(format, args...)})
}
