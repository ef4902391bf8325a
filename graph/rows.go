package graph

import (
	"context"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"akin/model"
)

// writeRows is field middleware that answers a root field with its JSON, once loadAhead has read all that is below it.
// gqlgen would start a goroutine for each element of a list, and make a context and closures for each field of it, which
// took most of the time of a page.
//
// It writes the bytes that gqlgen would write. What it cannot write, it leaves to gqlgen from the root field on: an error
// of a resolver, a null that the schema forbids, a directive or a Go type that is not known here. Errors, their paths and
// how far a null spreads are gqlgen's own therefore. Middleware that is added before it sees root fields only.
func writeRows(ctx context.Context, next graphql.Resolver) (any, error) {
	result, err := next(ctx)
	field := graphql.GetFieldContext(ctx)
	if err != nil || result == nil || field.Object != "Query" && field.Object != "Mutation" || strings.HasPrefix(field.Field.Name, "__") {
		return result, err
	}
	json, ok := writeJSON(ctx, field.Field, result)
	if ok {
		return json, nil
	}
	if left := answerLeft(ctx); left != nil && left.Load() < 0 {
		return nil, errTooLarge
	}
	return result, nil
}

type answerKey struct{}

// withMostOf has the root fields of an answer stop where they have more than so many bytes together.
func withMostOf(ctx context.Context, most int) context.Context {
	left := new(atomic.Int64)
	left.Store(int64(most))
	return context.WithValue(ctx, answerKey{}, left)
}

// answerLeft returns how many bytes an answer may still have, and nil where there is no end.
func answerLeft(ctx context.Context) *atomic.Int64 {
	left, _ := ctx.Value(answerKey{}).(*atomic.Int64)
	return left
}

// errorSize is what an error counts for among the bytes of an answer: gqlgen, which is to tell it in its place, takes far more
// memory for it than for a row (7,000 errors: 25 MB).
const errorSize = 16 << 10

// errTooLarge stops a field of an answer that is too large. The answer is then refused as a whole.
var errTooLarge = &model.Error{Code: model.CodeResultTooLarge, Message: "the answer is too large"}

// writeJSON returns the JSON of a field's result, unless gqlgen must write it; so it must where the code of a row panics,
// to tell at which field.
func writeJSON(ctx context.Context, field graphql.CollectedField, result any) (_ finished, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	rows := reflect.ValueOf(result)
	p := plan{ctx, answerLeft(ctx), &progress{}}
	write := p.value(field.Selections, field.Definition.Type, rows.Type())
	if write == nil {
		return finished{}, false
	}
	json := takeBuffer()
	*json, ok = write((*json)[:0], rows)
	return finished{json}, ok && !p.failed
}

// finished is JSON that is written as it is, and once.
type finished struct{ json *[]byte }

// MarshalGQL writes the JSON.
func (f finished) MarshalGQL(w io.Writer) {
	_, _ = w.Write(*f.json)
	keepBuffer(f.json, *f.json)
}

// write appends the JSON of a value. It is nil, or reports false, where gqlgen must answer.
type write func([]byte, reflect.Value) ([]byte, bool)

// plan turns the selection of a request into one write, before the first row.
type plan struct {
	ctx  context.Context //nolint:containedctx // it lives for one call
	left *atomic.Int64   // see answerLeft
	*progress
}

// progress is how far the writing has come.
type progress struct {
	counted int // of the bytes
	// failed is whether gqlgen must answer, for the sake of an error. What is left is written nonetheless, to see that it
	// is not too large: gqlgen would not stop.
	failed bool
}

// affords reports whether an answer may go on.
func (p plan) affords(json []byte) bool {
	grown := len(json) - p.counted
	p.counted = len(json)
	return p.left == nil || p.left.Add(-int64(grown)) >= 0
}

// value plans a value of a type of the schema, which is of this Go type.
func (p plan) value(selections ast.SelectionSet, t *ast.Type, goType reflect.Type) write {
	if leaf := leafOf(goType); leaf != nil && t.Elem == nil {
		return leaf.orNull(goType, t)
	}
	switch kind := goType.Kind(); {
	case kind == reflect.Pointer:
		value := p.value(selections, t, goType.Elem())
		return value.within(reflect.Value.Elem).orNull(goType, t)
	case kind == reflect.Interface && t.Elem == nil:
		return p.dynamic(selections, t).orNull(goType, t)
	case kind == reflect.Slice && t.Elem != nil:
		return p.list(p.value(selections, t.Elem, goType.Elem()), t)
	case kind == reflect.Struct && t.Elem == nil:
		if object := objectOf(t, goType); object != nil {
			return p.object(selections, object, goType)
		}
	}
	return nil
}

// objectOf returns the object that a struct is where the schema has this type: of an interface, such as Node, the one
// with the struct's name. It is nil where there is none.
func objectOf(t *ast.Type, goType reflect.Type) *ast.Definition {
	definition := schema.Types[t.NamedType]
	if definition.IsAbstractType() {
		object := schema.Types[goType.Name()]
		if !slices.Contains(schema.GetPossibleTypes(definition), object) {
			return nil
		}
		return object
	}
	if definition.Kind != ast.Object {
		return nil
	}
	return definition
}

// dynamic plans values whose Go type each row tells anew.
func (p plan) dynamic(selections ast.SelectionSet, t *ast.Type) write {
	writes := map[reflect.Type]write{}
	return func(json []byte, v reflect.Value) ([]byte, bool) {
		row := v.Elem()
		write, planned := writes[row.Type()]
		if !planned {
			write = p.value(selections, t, row.Type())
			writes[row.Type()] = write
		}
		if write == nil {
			return json, false
		}
		return write(json, row)
	}
}

func (p plan) object(selections ast.SelectionSet, object *ast.Definition, goType reflect.Type) write {
	fields := collectFields(p.ctx, selections, object.Name)
	keys, writes := make([]string, len(fields)), make([]write, len(fields))
	for i, field := range fields {
		keys[i] = `,"` + field.Alias + `":`
		if writes[i] = p.field(field, object, goType); writes[i] == nil {
			return nil
		}
	}
	if len(keys) > 0 {
		keys[0] = keys[0][1:]
	}
	return func(json []byte, row reflect.Value) (_ []byte, ok bool) {
		json = append(json, '{')
		for i, write := range writes {
			json = append(json, keys[i]...)
			if json, ok = write(json, row); !ok {
				return json, false
			}
		}
		return append(json, '}'), true
	}
}

// field plans a field of an object, to be written from the object's row.
func (p plan) field(field graphql.CollectedField, object *ast.Definition, goType reflect.Type) write {
	if field.Name == "__typename" {
		return func(json []byte, _ reflect.Value) ([]byte, bool) { return appendString(json, object.Name), true }
	}
	if hasDirective(field.Directives, "skip", "include") || hasDirective(field.Definition.Directives, "deprecated") {
		return nil
	}
	if len(field.Definition.Arguments) > 0 {
		return p.listOf(field, object)
	}
	member, ok := memberOf(goType, field.Name)
	if !ok {
		return nil
	}
	return p.value(field.Selections, field.Definition.Type, member.goType).within(member.get)
}

// hasDirective reports whether there are directives other than those of these names, with which gqlgen has dealt.
func hasDirective(directives ast.DirectiveList, but ...string) bool {
	return slices.ContainsFunc(directives, func(d *ast.Directive) bool { return !slices.Contains(but, d.Name) })
}

// listOf plans a list of an object that takes arguments: its resolver answers with what loadAhead has read.
func (p plan) listOf(field graphql.CollectedField, object *ast.Definition) write {
	switch object.Name + "." + field.Name {
	case "Customer.identities":
		platform, page, err := listArguments(argumentsOf(p.ctx, field), "platform")
		return resolved(p, field, err, func(c *model.Customer) (*model.CustomerIdentityConnection, error) {
			return (&customerResolver{}).Identities(p.ctx, c, platform, page.First, page.After, page.Last, page.Before)
		})
	case "Customer.events":
		eventType, page, err := listArguments(argumentsOf(p.ctx, field), "type")
		return resolved(p, field, err, func(c *model.Customer) (*model.CustomerEventConnection, error) {
			return (&customerResolver{}).Events(p.ctx, c, eventType, page.First, page.After, page.Last, page.Before)
		})
	}
	return nil
}

// resolved plans a field whose resolver answers from a row; err is that of its arguments.
func resolved[R, V any](p plan, field graphql.CollectedField, err error, resolve func(*R) (V, error)) write {
	value := p.value(field.Selections, field.Definition.Type, reflect.TypeFor[V]())
	if value == nil {
		return nil
	}
	return func(json []byte, row reflect.Value) ([]byte, bool) {
		r, _ := reflect.TypeAssert[*R](row.Addr())
		v, failed := resolve(r)
		if err != nil || failed != nil {
			p.failed = true
			if p.left != nil {
				p.left.Add(-errorSize)
			}
			return append(json, "null"...), true
		}
		return value(json, reflect.ValueOf(v))
	}
}

// within writes a part of a value.
func (value write) within(part func(reflect.Value) reflect.Value) write {
	if value == nil {
		return nil
	}
	return func(json []byte, v reflect.Value) ([]byte, bool) { return value(json, part(v)) }
}

// orNull writes null for the nil of a Go type that has one, where the schema allows it.
func (value write) orNull(goType reflect.Type, t *ast.Type) write {
	if kind := goType.Kind(); value == nil || kind != reflect.Pointer && kind != reflect.Interface && kind != reflect.Slice {
		return value
	}
	return func(json []byte, v reflect.Value) ([]byte, bool) {
		if v.IsNil() {
			return append(json, "null"...), !t.NonNull
		}
		return value(json, v)
	}
}

// list writes each element of a slice. A nil slice is null where the schema allows it, and else has no elements.
func (p plan) list(value write, t *ast.Type) write {
	if value == nil {
		return nil
	}
	return func(json []byte, v reflect.Value) (_ []byte, ok bool) {
		if v.IsNil() && !t.NonNull {
			return append(json, "null"...), true
		}
		json = append(json, '[')
		for i := range v.Len() {
			if i > 0 {
				json = append(json, ',')
			}
			if json, ok = value(json, v.Index(i)); !ok || !p.affords(json) {
				return json, false
			}
		}
		return append(json, ']'), true
	}
}

// member is where the value of a field is in a Go struct: in a field of it, or what a method without arguments returns.
type member struct {
	goType reflect.Type
	get    func(reflect.Value) reflect.Value
}

type memberKey struct {
	goType reflect.Type
	name   string
}

// members are those that were asked for before: to look for one takes as long as to write a row.
var members sync.Map // of member by memberKey

// memberOf finds a member by the rule of gqlgen's autobind: its name is that of the field, in any case.
func memberOf(goType reflect.Type, name string) (member, bool) {
	key := memberKey{goType, name}
	if known, ok := members.Load(key); ok {
		return known.(member), true
	}
	named := func(n string) bool { return strings.EqualFold(n, name) }
	var found member
	if field, ok := goType.FieldByNameFunc(named); ok && field.IsExported() {
		found = member{field.Type, func(row reflect.Value) reflect.Value { return row.FieldByIndex(field.Index) }}
	} else {
		pointer := reflect.PointerTo(goType)
		for method := range pointer.Methods() {
			if named(method.Name) && method.Type.NumIn() == 1 && method.Type.NumOut() == 1 {
				found = member{method.Type.Out(0), func(row reflect.Value) reflect.Value {
					return row.Addr().Method(method.Index).Call(nil)[0]
				}}
			}
		}
	}
	if found.get != nil {
		members.Store(key, found)
	}
	return found, found.get != nil
}

// leafOf returns how values of a Go type are written that is a scalar or an enum of the schema, nil where it is none.
func leafOf(goType reflect.Type) write {
	switch goType {
	case reflect.TypeFor[uuid.UUID]():
		return leaf(func(json []byte, id uuid.UUID) []byte {
			text, _ := id.MarshalText() // never fails
			return append(append(append(json, '"'), text...), '"')
		})
	case reflect.TypeFor[time.Time]():
		return leaf(func(json []byte, t time.Time) []byte { return t.UTC().AppendFormat(json, `"2006-01-02T15:04:05.000Z"`) })
	case reflect.TypeFor[model.Properties]():
		return leaf(func(json []byte, p model.Properties) []byte { return append(json, p...) })
	}
	switch goType.Kind() {
	case reflect.String:
		return func(json []byte, v reflect.Value) ([]byte, bool) { return appendString(json, v.String()), true }
	case reflect.Int:
		return func(json []byte, v reflect.Value) ([]byte, bool) { return strconv.AppendInt(json, v.Int(), 10), true }
	case reflect.Bool:
		return func(json []byte, v reflect.Value) ([]byte, bool) { return strconv.AppendBool(json, v.Bool()), true }
	}
	return nil
}

func leaf[T any](appendJSON func([]byte, T) []byte) write {
	return func(json []byte, v reflect.Value) ([]byte, bool) {
		value, _ := reflect.TypeAssert[T](v)
		return appendJSON(json, value), true
	}
}

// appendString appends a text as graphql.MarshalString writes it.
func appendString(json []byte, text string) []byte {
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }) {
		var escaped strings.Builder
		graphql.MarshalString(text).MarshalGQL(&escaped)
		return append(json, escaped.String()...)
	}
	return append(append(append(json, '"'), text...), '"')
}
